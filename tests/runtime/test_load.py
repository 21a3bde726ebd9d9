"""A shipped file runs without torch, and gives what the compiled network gives."""

import json
import os
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from parts import known
from torch import nn

import openwork as ow
from openwork import runtime
from openwork.engine import CompiledModel
from openwork.engine.restore import describe
from openwork.engine.runners import Choice
from openwork.engine.tune.tuner import Tuner
from openwork.errors import ArgumentError, CheckpointError
from openwork.io import container
from openwork.kernels.dispatch import candidates
from openwork.kernels.native import extension as _C
from openwork.kernels.problem import Problem
from openwork.nn import SparseConv2d, SparseLinear
from openwork.patterns import random
from openwork.runtime.nodes import Conv

Build = Callable[..., CompiledModel]

# What importing torch raises, whether a module does so at once or later.
BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch is blocked")

sys.meta_path.insert(0, Blocked())
"""


def _without_torch(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", BLOCK + code, *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


class Block(nn.Module):
    """Two sparse convolutions around which the input is added."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.one = SparseConv2d(random(outputs, inputs, 3, 0.5), stride=stride, padding=1)
        self.two = SparseConv2d(random(outputs, outputs, 3, 0.5), padding=1)
        self.norm, self.norm2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        plain = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if plain else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm2(self.two(F.relu(self.norm(self.one(x)))))
        return F.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """Every kind of node that runs without torch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.Sequential(Block(8, 8, 1), Block(8, 12, 2))
        self.gate = nn.Conv2d(12, 12, 1)
        self.head = SparseLinear(random(5, 16, density=0.5))

    def forward(self, x: torch.Tensor) -> dict[str, Any]:
        y = self.blocks(F.max_pool2d(self.stem(x), 2))
        y = y * torch.sigmoid(self.gate(y.mean((2, 3), keepdim=True)))
        y = torch.cat([y, y[:, 2:6]], 1)
        scores = self.head(F.adaptive_avg_pool2d(y, 1).flatten(1))
        rest = OrderedDict(maps=y, constant=torch.ones(2), none=None)
        return {"scores": scores, "rest": (2.0 * F.avg_pool2d(y, 2) + 1.0, [rest, 3])}


def _model() -> nn.Module:
    model = ResNet()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(known(module.running_mean))
            nn.init.uniform_(known(module.running_var), 0.5, 2)
    return model.eval()


def _same(found: Any, expected: Any, tolerance: float = 0.0) -> None:
    assert type(found) is (np.ndarray if isinstance(expected, torch.Tensor) else type(expected))
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            _same(found[key], expected[key], tolerance)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _same(one, other, tolerance)
    elif isinstance(expected, torch.Tensor):
        assert found.dtype == expected.numpy().dtype
        np.testing.assert_allclose(found, expected.numpy(), rtol=tolerance, atol=tolerance)
    else:
        assert found == expected


def test_kernels_and_runtime_are_imported_without_torch() -> None:
    names = [
        *("patterns", "kernels", "kernels.dispatch", "kernels.native", "kernels.packed"),
        *("runtime", "runtime.nodes", "runtime.load"),
    ]
    code = "".join(f"import openwork.{name}\n" for name in names)
    assert _without_torch(code + "print('torch' in sys.modules)") == "False\n"


RUN = """
import numpy as np
from openwork import runtime

network = runtime.load(sys.argv[1], threads=2)
results = network(np.load(sys.argv[2]))
rest, (ordered, three) = results["rest"]
assert three == 3 and ordered["none"] is None and list(ordered) == ["maps", "constant", "none"]
np.savez(sys.argv[3], scores=results["scores"], rest=rest, maps=ordered["maps"])
print(network)
print(sorted({kernel.rpartition("-")[0].split("-")[2] for _, kernel in network.kernels}))
"""


def test_a_shipped_file_runs_where_torch_is_not(tmp_path: Path, build: Build) -> None:
    compiled = build(_model(), torch.randn(2, 3, 16, 12), tolerance=1e-4)
    paths = [str(tmp_path / name) for name in ("net.safetensors", "input.npy", "found.npz")]
    ow.save(compiled, paths[0])
    example = torch.randn(3, 3, 16, 12)
    np.save(paths[1], example.numpy())
    shown = _without_torch(RUN, *paths).splitlines()
    assert shown[0] == "Network(x: (any batch, 3, 16, 12))"
    expected = compiled(example)
    rest, (ordered, _) = expected["rest"]
    found = np.load(paths[2])
    for name, tensor in (("scores", expected["scores"]), ("rest", rest), ("maps", ordered["maps"])):
        np.testing.assert_array_equal(found[name], tensor.numpy())


def test_results_are_nested_as_the_originals(tmp_path: Path, build: Build) -> None:
    compiled = build(_model(), torch.randn(2, 3, 16, 12), tolerance=1e-4)
    ow.save(compiled, tmp_path / "file")
    network = runtime.load(tmp_path / "file", threads=1)
    assert network.shapes == {"x": (3, 16, 12)}
    assert [kernel for _, kernel in network.kernels] == compiled.layers.column("kernel")
    for batch in (1, 4):
        input = torch.randn(batch, 3, 16, 12)
        _same(network(input.numpy()), compiled(input))
    first = network(input.numpy())
    first["rest"][1][0]["constant"][:] = 7
    _same(network(input.numpy()), compiled(input))


@pytest.mark.parametrize("model", [nn.Conv2d(3, 4, 3), nn.Linear(3, 4)], ids=str)
def test_layers_that_torch_ran_get_a_kernel(model: nn.Module, tmp_path: Path, build: Build) -> None:
    # Of random numbers some cancel, which leaves nothing to compare with.
    torch.manual_seed(0)
    model.reset_parameters()  # type: ignore[operator]
    example = torch.randn(2, 3, 6, 6) if isinstance(model, nn.Conv2d) else torch.randn(2, 3)
    compiled = build(nn.Sequential(model, nn.ReLU()), example, "torch")
    assert compiled.layers.column("kernel") == ["torch"]
    ow.save(compiled, tmp_path / "file")
    network = runtime.load(tmp_path / "file", threads=1)
    ((layer, kernel),) = network.kernels
    # Whichever is measured to be the fastest here.
    families = ("f32-conv",) if isinstance(model, nn.Conv2d) else ("f32-linear", "f32-conv1x1")
    assert layer == "0"
    assert kernel.startswith(families)
    _same(network(example.numpy()), compiled(example), 1e-5)


def test_the_next_best_kernel_is_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best: list[str] = []

    def slower_than_torch(self: Tuner, conv: Conv, problem: Problem) -> Choice:
        names = [each.name for each in candidates(problem, self.isa)]
        best.append(next(name for name in names if "taps" in name))
        return Choice("torch", 1.0, 1.0, 0.1, best[-1])

    monkeypatch.setattr(Tuner, "_measure", slower_than_torch)
    compiled = ow.compile(nn.Conv2d(3, 4, 3), torch.randn(2, 3, 6, 6))
    assert compiled.layers.column("kernel") == ["torch"]
    ow.save(compiled, tmp_path / "file")
    ow.save(ow.load(tmp_path / "file"), tmp_path / "again")

    # Nothing is measured.
    monkeypatch.delattr(sys.modules["openwork.runtime.load"], "fastest_candidate")
    for name in ("file", "again"):
        network = runtime.load(tmp_path / name, threads=1)
        assert [kernel for _, kernel in network.kernels] == best
        input = torch.randn(2, 3, 6, 6)
        _same(network(input.numpy()), compiled(input), 1e-5)


@pytest.mark.parametrize("kernel", ["f32-linear-gemv-*", "f32-linear-dense-*"])
def test_kernels_of_linear_layers_are_those_of_the_file(
    kernel: str, tmp_path: Path, build: Build
) -> None:
    layer = nn.Linear(40, 30) if "dense" in kernel else SparseLinear(random(30, 40, density=0.2))
    compiled = build(layer, torch.randn(4, 40), kernel)
    ow.save(compiled, tmp_path / "file")
    network = runtime.load(tmp_path / "file", threads=2)
    assert [name for _, name in network.kernels] == compiled.layers.column("kernel")
    for batch in (1, 3):
        input = torch.randn(batch, 40)
        _same(network(input.numpy()), compiled(input))


def test_a_kernel_of_another_processor_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: Build
) -> None:
    compiled = build(nn.Conv2d(3, 4, 3), torch.randn(2, 3, 6, 6), "*-taps-*")
    ow.save(compiled, tmp_path / "file")
    monkeypatch.setenv("OPENWORK_ISA", "baseline")
    network = runtime.load(tmp_path / "file", threads=1)
    assert [kernel.rpartition("-")[2] for _, kernel in network.kernels] == ["baseline"]
    input = torch.randn(2, 3, 6, 6)
    _same(network(input.numpy()), compiled(input), 1e-5)


@pytest.mark.parametrize(
    ("body", "batch"),
    [(lambda x: x, 2), (lambda x: (x.flatten(1), x), 3)],
    ids=["the input", "a view"],
)
def test_networks_without_a_step(body: Any, batch: int, tmp_path: Path, build: Build) -> None:
    class Body(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return body(x)

    compiled = build(Body(), torch.randn(2, 3, 4, 5))
    ow.save(compiled, tmp_path / "file")
    input = torch.randn(batch, 3, 4, 5)
    _same(runtime.load(tmp_path / "file")(input.numpy()), compiled(input))


def test_several_inputs(tmp_path: Path, build: Build) -> None:
    class Sum(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return (x + y).relu()

    compiled = build(Sum(), [torch.randn(2, 3, 4, 5)] * 2)
    ow.save(compiled, tmp_path / "file")
    network = runtime.load(tmp_path / "file")
    inputs = [torch.randn(2, 3, 5, 4).transpose(2, 3) for _ in range(2)]
    _same(network(*(input.numpy() for input in inputs)), compiled(*inputs))
    with pytest.raises(ArgumentError, match="takes 2 arrays, but 1 were given"):
        network(inputs[0].numpy())
    with pytest.raises(ArgumentError, match="`y` holds 1 images, but `x` holds 2"):
        network(inputs[0].numpy(), inputs[1][:1].numpy())


def test_what_only_torch_runs_is_refused_by_name(tmp_path: Path, build: Build) -> None:
    ow.save(
        build(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Hardshrink()), torch.randn(2, 3, 6, 6)),
        tmp_path / "file",
    )
    with pytest.raises(
        CheckpointError, match=r"aten\.hardshrink\.default to torch; .*`openwork\.load`"
    ):
        runtime.load(tmp_path / "file")


def test_other_files_are_refused(tmp_path: Path, build: Build) -> None:
    ow.save(nn.Conv2d(3, 4, 3), tmp_path / "model")
    with pytest.raises(CheckpointError, match="does not hold a compiled network"):
        runtime.load(tmp_path / "model")
    with pytest.raises(CheckpointError, match="is not a file"):
        runtime.load(tmp_path / "missing")
    compiled = build(nn.Conv2d(3, 4, 3), torch.randn(2, 3, 6, 6))
    ow.save(compiled, tmp_path / "file")
    for threads in (0, 1_000_000):
        with pytest.raises(ArgumentError, match=f"`threads`={threads}"):
            runtime.load(tmp_path / "file", threads=threads)
    whole = (tmp_path / "file").read_bytes()
    (tmp_path / "cut").write_bytes(whole[:-1])
    with pytest.raises(CheckpointError, match="truncated"):
        runtime.load(tmp_path / "cut")


@pytest.mark.parametrize(
    "damage",
    [
        lambda header: header.pop("batches") and header.update(batch=0.5),
        lambda header: header["network"].update(nesting=[1]),
        lambda header: header["network"].update(nesting=True),
        lambda header: header["network"].update(kernels=[]),
        lambda header: header["network"].pop("results"),
        lambda header: header["network"]["nodes"][0].update(size=[6, 7]),
        lambda header: header["network"]["nodes"][0].update(kind="Convolution"),
        lambda header: header["origin"].update(images="two"),
    ],
)
def test_damaged_networks_are_refused(
    damage: Callable[[dict[str, Any]], Any], tmp_path: Path, build: Build
) -> None:
    tensors, header = describe(build(nn.Conv2d(3, 4, 3), torch.randn(2, 3, 6, 6)))
    header = json.loads(json.dumps(header))
    damage(header)
    container.write(tmp_path / "file", tensors, {"kind": "compiled", **header})
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        runtime.load(tmp_path / "file")


def test_layers_in_bfloat16_give_the_same_on_every_instruction_set(tmp_path: Path) -> None:
    model = nn.Sequential(
        SparseConv2d(random(8, 5, 3, 0.5), padding=1), nn.ReLU(), nn.Conv2d(8, 16, 1), nn.ReLU()
    )
    x = torch.randn(2, 5, 9, 11)
    compiled = ow.compile(model, x, precision="bfloat16", kernels={"*": "bf16-*"})
    ow.save(compiled, tmp_path / "file")
    np.save(tmp_path / "x.npy", x.numpy())
    code = (
        "import sys; import numpy as np; from openwork import runtime\n"
        "net = runtime.load(sys.argv[1] + '/file')\n"
        "np.save(sys.argv[1] + '/y.npy', net(np.load(sys.argv[1] + '/x.npy')))\n"
        "print(*(kernel for _, kernel in net.kernels))"
    )
    wanted = compiled(x).numpy()
    for isa in _C.usable_isas():
        environment = os.environ | {"OPENWORK_ISA": isa}
        command = [sys.executable, "-c", code, str(tmp_path)]
        ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
        assert ran.returncode == 0, ran.stderr
        suffix = f"-{_C.pair_isa_of(isa)}"
        names = ran.stdout.split()
        assert len(names) == 2
        assert all(name.startswith("bf16-") and name.endswith(suffix) for name in names)
        np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), wanted)

"""A compiled network that is saved is the same when it is loaded, or refused; never a crash."""

import copy
import json
import pickle
import random
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from parts import known
from torch import nn

import openwork as ow
from openwork.capture import BatchSizes
from openwork.engine import CompiledModel
from openwork.engine import restore as restore_module
from openwork.engine.restore import describe, restore
from openwork.engine.torch_data import TorchEncoder
from openwork.engine.tune.tuner import Tuner
from openwork.errors import ArgumentError, CheckpointError
from openwork.io import container
from openwork.nn import SparseConv2d, SparseLinear
from openwork.patterns import random as random_pattern

Build = Callable[..., CompiledModel]
KERNELS = ("*winograd2*", "*-spmm-*", "*-direct-*", "*-taps-*")


class Mixed(nn.Module):
    """Every kind of node, operators left to torch among them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SparseConv2d(random_pattern(8, 3, 3, 0.5), padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.left, self.right = (nn.Conv2d(8, 8, 3, padding=1, groups=g) for g in (1, 8))
        self.squeeze, self.excite = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.layer_norm = nn.LayerNorm(8)
        self.head = SparseLinear(random_pattern(5, 16, density=0.5))

    def forward(self, x: torch.Tensor) -> dict[str, Any]:
        x = F.relu(self.norm(self.stem(x)))
        x = F.relu(self.left(x) + x)
        x = x * torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        x = torch.cat([F.max_pool2d(x, 2), F.avg_pool2d(self.right(x), 2)], 1)[:, 2:14]
        x = torch.cat([x, x[:, :4]], 1)
        y = F.gelu(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 8)
        y = self.layer_norm(y) + 2.0
        scores = self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return {"scores": scores, "rest": [y, (x > 0, None)], "twice": (x, 2.0 * x), "three": 3}


def _randomised(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(known(module.running_mean))
            nn.init.uniform_(known(module.running_var), 0.5, 2)
    return model.eval()


def _load(path: Path) -> CompiledModel:
    loaded = ow.load(path)
    assert isinstance(loaded, CompiledModel)
    return loaded


def _same(one: CompiledModel, two: CompiledModel, *inputs: torch.Tensor) -> None:
    torch.testing.assert_close(two(*inputs), one(*inputs), rtol=0, atol=0, equal_nan=True)


@pytest.fixture
def mixed(build: Build) -> CompiledModel:
    return build(_randomised(Mixed()), torch.randn(2, 3, 8, 8), KERNELS, 1e-4)


@pytest.mark.parametrize("kernel", ["f32-linear-gemv-*", "f32-linear-dense-*"])
def test_linear_layers_come_back(kernel: str, build: Build, tmp_path: Path) -> None:
    dense = "dense" in kernel
    layer = nn.Linear(40, 30) if dense else SparseLinear(random_pattern(30, 40, density=0.2))
    compiled = build(nn.Sequential(layer, nn.ReLU()), torch.randn(4, 40), kernel)
    # A dense layer has no positions to keep.
    (node,) = compiled.snapshot.network["nodes"]
    assert (node["positions"] is None) == dense
    ow.save(compiled, tmp_path / "file")
    loaded = _load(tmp_path / "file")
    assert loaded.layers.rows == compiled.layers.rows
    for batch in (1, 3):
        _same(compiled, loaded, torch.randn(batch, 40))


def test_pickling_is_saving_in_memory(mixed: CompiledModel, tmp_path: Path) -> None:
    input = torch.randn(3, 3, 8, 8)
    torch.save(mixed, tmp_path / "file")
    _same(mixed, torch.load(tmp_path / "file", weights_only=False), input)
    _same(mixed, pickle.loads(pickle.dumps(mixed)), input)


class Even(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1 if x.shape[0] % 2 == 0 and x.shape[0] <= 6 else x


def test_the_batches_that_it_takes_are_kept(build: Build) -> None:
    compiled = build(Even(), torch.randn(2, 3))
    tensors, header = describe(compiled)
    assert restore(tensors, header).batches == compiled.batches != BatchSizes()
    # Files of before there were bounds.
    del header["batches"]
    assert restore(tensors, header).batches == BatchSizes()
    assert restore(tensors, header | {"batch": 2}).batches == BatchSizes.of(2)


@pytest.mark.parametrize("batches", [(0, 1, ()), (2, 1, ()), (1, None, ("len(batch)",))], ids=str)
def test_batches_of_no_sense_are_refused(batches: Any, build: Build) -> None:
    tensors, header = describe(build(Even(), torch.randn(2, 3)))
    with pytest.raises(CheckpointError, match="damaged"):
        restore(tensors, header | {"batches": TorchEncoder().encode(batches)})


@pytest.mark.parametrize("kernels", [KERNELS, ("*-taps-*",), ("torch",)], ids="-".join)
def test_what_is_loaded_computes_the_same(kernels: Any, tmp_path: Path, build: Build) -> None:
    compiled = build(_randomised(Mixed()), torch.randn(2, 3, 8, 8), kernels, 1e-4)
    ow.save(compiled, tmp_path / "one")
    loaded = ow.load(tmp_path / "one")
    assert isinstance(loaded, CompiledModel)
    assert loaded.layers == compiled.layers
    assert loaded.difference == compiled.difference
    for batch in (1, 4):
        _same(compiled, loaded, torch.randn(batch, 3, 8, 8))
    ow.save(loaded, tmp_path / "two")
    _same(compiled, _load(tmp_path / "two"), torch.randn(3, 3, 8, 8))


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 4, 3), nn.Linear(3, 4)], ids=str)
@pytest.mark.parametrize("kernels", ["f32-*", "torch"])
def test_a_dead_layer(layer: nn.Module, kernels: str, tmp_path: Path, build: Build) -> None:
    nn.init.zeros_(layer.get_parameter("weight"))
    example = torch.randn(2, 3, 8, 8)[(slice(None),) * 2 + (0,) * 2 * isinstance(layer, nn.Linear)]
    compiled = build(layer, example, kernels)
    ow.save(compiled, tmp_path / "file")
    _same(compiled, _load(tmp_path / "file"), example)


def test_nothing_is_measured_where_it_was_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = ow.compile(nn.Conv2d(3, 4, 3), torch.randn(1, 3, 6, 6))
    ow.save(compiled, tmp_path / "file")
    monkeypatch.setattr(Tuner, "choose", None)
    loaded = _load(tmp_path / "file")
    assert loaded.layers == compiled.layers
    assert loaded.layers.column("ms") != [None]


def test_a_kernel_that_is_not_there_is_chosen_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: Build
) -> None:
    compiled = build(Mixed().eval(), torch.randn(2, 3, 8, 8), KERNELS, 1e-4)
    ow.save(compiled, tmp_path / "file")
    if restore_module._C.chosen_isa() == "baseline":
        pytest.skip("this machine has no other instruction set")
    monkeypatch.setenv("OPENWORK_ISA", "baseline")
    loaded = _load(tmp_path / "file")
    assert sum("chosen again here" in note for note in loaded.layers.notes) == 6
    assert {name.rpartition("-")[2] for name in loaded.layers.column("kernel")} <= {
        "baseline",
        "torch",
    }
    input = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(loaded(input), compiled(input), rtol=1e-4, atol=1e-4)
    ow.save(loaded, tmp_path / "again")
    _same(loaded, _load(tmp_path / "again"), input)


def test_another_processor_is_noted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mixed: CompiledModel
) -> None:
    ow.save(mixed, tmp_path / "file")
    monkeypatch.setattr(restore_module, "processor_name", lambda: "another")
    ow.save(ow.load(tmp_path / "file"), tmp_path / "file")
    notes = _load(tmp_path / "file").layers.notes
    assert sum("kernels were chosen on" in note for note in notes) == 1


def test_a_fixed_batch_size_stays_fixed(tmp_path: Path, build: Build) -> None:
    class Fixed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.arange(2.0).reshape(2, 1, 1, 1)

    ow.save(build(Fixed(), torch.randn(2, 3, 4, 4)), tmp_path / "file")
    loaded = _load(tmp_path / "file")
    assert loaded.batch == 2
    assert any(note.startswith("takes batches of 2 only: ") for note in loaded.layers.notes)
    with pytest.raises(ArgumentError, match=r"compiled for \(2, 3, 4, 4\)"):
        loaded(torch.randn(3, 3, 4, 4))


def test_what_it_says_of_itself(tmp_path: Path, mixed: CompiledModel) -> None:
    ow.save(mixed, tmp_path / "file", metrics={"accuracy": 0.5})
    told = ow.info(tmp_path / "file")
    assert (told.source, told.plan, told.metrics) == (None, None, {"accuracy": 0.5})
    with pytest.raises(ArgumentError, match="`device`='cuda'"):
        ow.load(tmp_path / "file", device="cuda")
    with pytest.raises(ArgumentError, match="is not needed for a compiled model"):
        ow.load(tmp_path / "file", Mixed)


Pair = namedtuple("Pair", "a b")


def local_pair() -> type:
    """A class that only a function knows."""

    class Local(Pair):
        pass

    return Local


class Body(nn.Module):
    def __init__(self, body: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self._body = body

    def forward(self, x: torch.Tensor) -> Any:
        return self._body(x)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda x: local_pair()(x, x + 1), "a .*Local"),
        (lambda x: torch.bernoulli(x.sigmoid()), "the operator aten.bernoulli.default"),
    ],
    ids=["named tuple", "random"],
)
def test_what_a_file_cannot_hold_is_refused(
    body: Any, reason: str, tmp_path: Path, build: Build
) -> None:
    compiled = build(Body(body), torch.ones(2, 3, 4, 4), tolerance=float("inf"))
    with pytest.raises(ArgumentError, match=f"`model` cannot be saved: it holds .*({reason})"):
        ow.save(compiled, tmp_path / "file")
    assert list(tmp_path.glob("file*")) == []


def test_results_in_an_ordered_dict(tmp_path: Path, build: Build) -> None:
    model = Body(lambda x: OrderedDict(b=x + 1, a=F.softplus(x)))
    compiled = build(model, torch.randn(2, 3, 4, 4))
    ow.save(compiled, tmp_path / "file")
    found = ow.load(tmp_path / "file")(torch.ones(1, 3, 4, 4))
    assert type(found) is OrderedDict
    assert list(found) == ["b", "a"]


@dataclass(frozen=True)
class Found:
    """A result of a class of the user's."""

    boxes: torch.Tensor
    rest: Any


class Output(OrderedDict):
    """As transformers' outputs are, nearly."""


def _structured(x: torch.Tensor) -> Any:
    return Output(found=Found(x + 1, Pair(x * 2, None)), best=x.max(1), sizes=x.shape[2:])


def test_results_of_the_users_classes(tmp_path: Path, build: Build) -> None:
    compiled = build(Body(_structured), torch.randn(2, 3, 4, 4))
    ow.save(compiled, tmp_path / "file")
    x = torch.randn(3, 3, 4, 4)
    for model in (compiled, _load(tmp_path / "file"), pickle.loads(pickle.dumps(compiled))):
        result = model(x)
        assert (type(result), type(result["found"])) == (Output, Found)
        assert type(result["found"].rest) is Pair
        assert result["found"].rest.b is None
        torch.testing.assert_close(result["found"].boxes, x + 1)
        torch.testing.assert_close(result["best"].values, x.max(1).values)
        assert tuple(result["sizes"]) == (4, 4)


def test_a_class_that_is_not_imported_comes_as_plain_data(
    tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    ow.save(build(Body(_structured), torch.randn(2, 3, 4, 4)), tmp_path / "file")
    monkeypatch.delattr(f"{__name__}.Found")
    loaded = _load(tmp_path / "file")
    result = loaded(torch.ones(1, 3, 4, 4))
    assert type(result) is Output
    assert type(result["found"]) is dict
    assert type(result["found"]["rest"]) is Pair
    assert any("Found is not imported here" in note for note in loaded.layers.notes)


class Nasty(dict):
    def __init__(self) -> None:
        raise AssertionError

    def __del__(self) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    "name", ["Nasty", "Body", "build", "torch", "Missing.inner", "Pair.__new__"]
)
def test_files_do_not_name_what_runs_code(name: str, build: Build) -> None:
    tensors, header = describe(build(Body(_structured), torch.randn(2, 3, 4, 4)))
    header["network"]["nesting"]["typed"][:2] = [__name__, name]
    result = restore(tensors, header)(torch.ones(1, 3, 4, 4))
    assert type(result) is OrderedDict


def test_attributes_named_by_files_are_checked(build: Build) -> None:
    tensors, header = describe(build(Body(_structured), torch.randn(2, 3, 4, 4)))
    header["network"]["nesting"]["typed"][3][0] = {"dict": [["__class__", 3]]}
    with pytest.raises(CheckpointError, match="must be the name of an attribute of Output"):
        restore(tensors, header)


def test_inputs_of_every_kind(tmp_path: Path, build: Build) -> None:
    class Two(nn.Module):
        def forward(self, a: Any, *, scale: int = 1) -> torch.Tensor:
            return a["x"] * scale + a["t"][:, None]

    example = {"a": {"x": torch.randn(2, 3), "t": torch.arange(2)}, "scale": 3}
    compiled = build(Two(), example)
    ow.save(compiled, tmp_path / "file")
    loaded = _load(tmp_path / "file")
    other = {"t": torch.arange(4), "x": torch.ones(4, 3)}
    assert torch.equal(loaded(other, scale=3), compiled(other, scale=3))
    with pytest.raises(ArgumentError, match="`scale` is 1, but the network was compiled for 3"):
        loaded(other)


def test_files_without_the_form_of_a_call(build: Build) -> None:
    compiled = build(Body(lambda x: x + 1), torch.randn(2, 3))
    tensors, header = describe(compiled)
    del header["network"]["call"]
    assert torch.equal(restore(tensors, header)(torch.ones(4, 3)), torch.ones(4, 3) + 1)


# Fuzz: files that were edited by someone who knows the format ---------------------------------


@pytest.fixture
def parts(mixed: CompiledModel) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    tensors, header = describe(mixed)
    return tensors, json.loads(json.dumps(header))


def _places(tree: Any, at: tuple = ()) -> list[tuple]:
    """The paths of all leaves."""
    if isinstance(tree, dict | list):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return [place for key, item in items for place in _places(item, (*at, key))]
    return [at]


def _set(tree: Any, at: tuple, new: Any) -> None:
    for key in at[:-1]:
        tree = tree[key]
    if new is _GONE:
        del tree[at[-1]]
    else:
        tree[at[-1]] = new


_GONE = object()
_NEW = (-1, 0, 1, 2, 7, 1 << 40, -(1 << 70), 0.5, None, True, "", "t0", "t3", [], {}, [1], _GONE)
_NEW += ({"value": 0}, {"value": 9}, {"tensor": "t1"}, {"tuple": [1, 1]}, {"tuple": [1 << 20] * 2})


def _load_or_refuse(tensors: dict, header: dict, example: torch.Tensor) -> bool:
    """Whether the edited network was refused; a network that is not can be called."""
    try:
        loaded = restore(tensors, header)
    except CheckpointError:
        return True
    # What torch itself refuses when it runs is an error like any other.
    try:
        loaded(example)
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError, NotImplementedError):
        return False
    return False


def test_an_edited_header_is_refused_or_runs(parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tuner, "choose", None)
    tensors, header = parts
    dice = random.Random(0)
    places = _places(header["network"])
    refused = 0
    for place in dice.sample(places, min(len(places), 400)):
        edited = copy.deepcopy(header)
        _set(edited["network"], place, dice.choice(_NEW))
        refused += _load_or_refuse(dict(tensors), edited, torch.randn(1, 3, 8, 8))
    assert refused > 200


def test_every_size_is_checked(parts: Any) -> None:
    """Whatever number is made a little larger; strides and the like may still fit."""
    tensors, header = parts
    for place in _places(header["network"]["nodes"]):
        edited = copy.deepcopy(header)
        item = edited["network"]["nodes"]
        for key in place[:-1]:
            item = item[key]
        if type(item[place[-1]]) is not int:
            continue
        item[place[-1]] += 1
        refused = _load_or_refuse(dict(tensors), edited, torch.randn(1, 3, 8, 8))
        assert refused or not {"shape", "size", "channels"} & set(place)


def test_damaged_patterns_and_weights_are_refused(parts: Any) -> None:
    tensors, header = parts
    gaps = {
        node["positions"]["pattern"][3]
        for node in header["network"]["nodes"]
        if node["kind"] == "Conv" and node["positions"]
    }
    assert gaps
    for name in gaps:
        for damage in (
            lambda t: torch.cat([t, t.new_tensor([255] * 40)]),
            lambda t: t * 0,
            lambda t: t[:-1],
            lambda t: t.float(),
            lambda t: t.reshape(1, -1),
            lambda t: -t.to(torch.int32),
        ):
            edited = {**tensors, name: damage(tensors[name])}
            with pytest.raises(CheckpointError, match="the compiled network cannot be loaded"):
                restore(edited, header)


def test_missing_or_foreign_tensors_are_refused(parts: Any) -> None:
    tensors, header = parts
    for name, tensor in tensors.items():
        missing = {key: each for key, each in tensors.items() if key != name}
        with pytest.raises(CheckpointError, match="there is no tensor"):
            restore(missing, header)
        longer = torch.cat([tensor.reshape(-1), tensor.reshape(-1)[:1]])
        edited = {**tensors, name: longer.to(torch.float16)}
        refused = _load_or_refuse(edited, header, torch.randn(1, 3, 8, 8))
        assert refused or name in _of_fallbacks(header)


def _of_fallbacks(header: dict) -> set[str]:
    fallbacks = [node for node in header["network"]["nodes"] if node["kind"] == "Island"]
    return {word for word in json.dumps(fallbacks).replace('"', " ").split() if word[0] == "t"}


@pytest.mark.parametrize(
    "target",
    ["aten.from_file.default", "aten.set_.source_Tensor", "os.system", "aten.__class__.default"],
)
def test_operators_that_do_more_than_compute_are_refused(target: str, parts: Any) -> None:
    tensors, header = parts
    fallback = next(node for node in header["network"]["nodes"] if node["kind"] == "Island")
    fallback["target"] = target
    with pytest.raises(CheckpointError, match="the operator"):
        restore(tensors, header)


def test_flipped_bytes_are_found(mixed: CompiledModel, tmp_path: Path) -> None:
    path = tmp_path / "file"
    ow.save(mixed, path)
    whole = path.read_bytes()
    dice = random.Random(0)
    for position in dice.sample(range(len(whole)), 200):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            ow.load(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="truncated"):
        ow.load(path)


def test_a_file_without_its_network_is_refused(mixed: CompiledModel, tmp_path: Path) -> None:
    tensors, header = describe(mixed)
    for name in header.keys() - {"batches"}:
        rest = {key: item for key, item in header.items() if key != name}
        container.write(tmp_path / "file", tensors, {"kind": "compiled", **rest})
        with pytest.raises(CheckpointError, match=name):
            ow.load(tmp_path / "file")

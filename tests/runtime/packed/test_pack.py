"""A packed file gives what the file that it is made of gives, without torch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import openwork as ow
from openwork import runtime
from openwork.engine import CompiledModel
from openwork.errors import ArgumentError, CheckpointError
from openwork.kernels.native import extension as _C

Build = Callable[..., CompiledModel]


class Several(nn.Module):
    """Two inputs; nested results, of which one is a view, one an input and one a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor, unused: torch.Tensor) -> dict[str, Any]:
        y = self.conv(x).relu()
        y = torch.cat([y, y[:, 2:4]], 1)
        scores = self.head(y[:, :8].mean((2, 3)))
        return {"maps": (y, y.flatten(1)), "rest": [scores, x, torch.ones(2), None, 3]}


def test_a_packed_file_gives_the_same_bit_for_bit(tmp_path: Path, build: Build) -> None:
    compiled = build(Several(), [torch.randn(2, 3, 6, 5), torch.randn(2, 4)])
    ow.save(compiled, tmp_path / "file")
    runtime.pack(tmp_path / "file", tmp_path / "packed")
    plain = runtime.load(tmp_path / "file", threads=1)
    packed = runtime.load(tmp_path / "packed", threads=2)
    assert (packed.shapes, packed.kernels) == (plain.shapes, plain.kernels)
    assert (packed.batches, packed.threads) == (plain.batches, 2)
    random = np.random.default_rng(0)
    inputs = [random.random(shape, np.float32) for shape in ((3, 3, 6, 5), (3, 4))]
    wanted, found = plain(*inputs), packed(*inputs)
    assert list(found) == ["maps", "rest"]
    assert found["rest"][3:] == [None, 3]
    for one, other in zip(wanted["maps"], found["maps"], strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(wanted["rest"][:3], found["rest"][:3], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_compiled_network_is_saved_packed_at_once(tmp_path: Path, build: Build) -> None:
    compiled = build(nn.Conv2d(3, 4, 3), torch.randn(2, 3, 6, 6))
    ow.save(compiled, tmp_path / "file", metrics={"classes": ["a"]})
    runtime.pack(tmp_path / "file", tmp_path / "packed")
    ow.save(compiled, tmp_path / "saved", metrics={"classes": ["a"]}, packed=True)
    assert (tmp_path / "saved").read_bytes() == (tmp_path / "packed").read_bytes()
    for name in ("file", "saved"):
        assert runtime.load(tmp_path / name).metrics == {"classes": ["a"]}
    with pytest.raises(ArgumentError, match="`packed`=True is for compiled networks only"):
        ow.save(nn.Conv2d(3, 4, 3), tmp_path / "saved", packed=True)
    sized = ow.compile(nn.Conv2d(3, 4, 3), torch.randn(1, 3, 6, 6), sizes=[(8, 8)])
    with pytest.raises(ArgumentError, match=r"^`model` holds a network for 2 sizes of images"):
        ow.save(sized, tmp_path / "saved", packed=True)


def test_a_network_without_steps(tmp_path: Path, build: Build) -> None:
    compiled = build(nn.Flatten(), torch.randn(2, 3, 4, 5))
    ow.save(compiled, tmp_path / "file")
    runtime.pack(tmp_path / "file", tmp_path / "packed")
    x = np.random.default_rng(0).random((2, 3, 4, 5), np.float32)
    np.testing.assert_array_equal(runtime.load(tmp_path / "packed")(x), x.reshape(2, 60))


def test_layers_in_bfloat16_are_packed(tmp_path: Path) -> None:
    model, x = nn.Conv2d(5, 16, 3, padding=1), torch.randn(2, 5, 9, 7)
    compiled = ow.compile(model, x, precision="bfloat16", kernels={"*": "bf16-*"})
    ow.save(compiled, tmp_path / "file")
    for isa in _C.usable_isas():
        runtime.pack(tmp_path / "file", tmp_path / "packed", isa=isa)
        packed = runtime.load(tmp_path / "packed")
        assert packed.kernels[0][1].endswith(f"-{_C.pair_isa_of(isa)}")
        np.testing.assert_array_equal(packed(x.numpy()), compiled(x).detach().numpy())


def test_packed_for_another_processor(tmp_path: Path, build: Build) -> None:
    ow.save(build(nn.Conv2d(3, 4, 3), torch.randn(2, 3, 6, 6)), tmp_path / "file")
    runtime.pack(tmp_path / "file", tmp_path / "packed", isa="baseline")
    ((_, kernel),) = runtime.load(tmp_path / "packed").kernels
    assert kernel.endswith("-baseline")
    runtime.pack(tmp_path / "file", tmp_path / "neon", isa="neon")
    if "neon" not in _C.usable_isas():
        with pytest.raises(CheckpointError, match="for the instruction set 'neon', and this"):
            runtime.load(tmp_path / "neon")
    with pytest.raises(ArgumentError, match=r"`isa`='sse' must be one of: .*neon"):
        runtime.pack(tmp_path / "file", tmp_path / "sse", isa="sse")


def test_files_that_cannot_be_packed(tmp_path: Path, build: Build) -> None:
    ow.save(nn.Conv2d(3, 4, 3), tmp_path / "model")
    with pytest.raises(CheckpointError, match="does not hold a compiled network"):
        runtime.pack(tmp_path / "model", tmp_path / "packed")
    ow.save(build(nn.Conv2d(3, 4, 3), torch.randn(2, 3, 6, 6)), tmp_path / "file")
    with pytest.raises(CheckpointError, match=r"`packed`=.* could not be written"):
        runtime.pack(tmp_path / "file", tmp_path / "missing" / "packed")
    assert not (tmp_path / "packed").exists()
    for same in ("file", "../" + tmp_path.name + "/file"):
        with pytest.raises(ArgumentError, match=r"`packed`=.* is `path`"):
            runtime.pack(tmp_path / "file", tmp_path / same)
    runtime.pack(tmp_path / "file", tmp_path / "packed")
    with pytest.raises(ArgumentError, match=r"`path`=.* is a packed file"):
        runtime.pack(tmp_path / "packed", tmp_path / "again")


def test_a_network_for_several_sizes_is_refused(tmp_path: Path) -> None:
    compiled = ow.compile(nn.Conv2d(3, 4, 3), torch.randn(1, 3, 6, 6), sizes=[(8, 7)])
    ow.save(compiled, tmp_path / "file")
    with pytest.raises(ArgumentError, match="for 2 sizes of images"):
        runtime.pack(tmp_path / "file", tmp_path / "packed")


def test_damaged_packed_files_are_refused(tmp_path: Path, build: Build) -> None:
    ow.save(build(nn.Conv2d(3, 4, 3), torch.randn(2, 3, 6, 6)), tmp_path / "file")
    runtime.pack(tmp_path / "file", tmp_path / "packed")
    whole = (tmp_path / "packed").read_bytes()
    for damaged, text in (
        (whole[:-1], "truncated"),
        (whole + b"\0", "bytes were appended"),
        (whole[:200] + bytes([whole[200] ^ 4]) + whole[201:], "checksum does not match"),
        (whole[:16] + b"\x09" + whole[17:], "packed format 9, but this version reads 1"),
    ):
        (tmp_path / "damaged").write_bytes(damaged)
        with pytest.raises(CheckpointError, match=text):
            runtime.load(tmp_path / "damaged")

"""Images of several sizes through one compiled network, against torch at each of them."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import openwork as ow
from openwork import runtime
from openwork.engine import CompiledModel, sizes
from openwork.engine.tune.tuner import Tuner
from openwork.errors import ArgumentError
from openwork.kernels import dispatch
from openwork.nn import Plan, sparsify_

QUICK = {"*": ("*-spmm-*", "*-depthwise-*", "*-gemv-*")}


def _conv(inside: int, out: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, out, kernel, stride, kernel // 2)


class Fcn(nn.Module):
    """Segmentation: classes for each pixel, upsampled from an eighth."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(_conv(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), _conv(8, 16, 3, 2), nn.ReLU()),
            *(nn.MaxPool2d(2, ceil_mode=True), _conv(16, 5, 1)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(self.body(x), size=x.shape[2:], mode="bilinear")


class UNet(nn.Module):
    """Odd sizes lose a pixel on the way down; the way up takes the skip's size."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([_conv(3, 8), _conv(8, 16), _conv(16, 16)])
        self.up = nn.ModuleList([_conv(32, 8), _conv(16, 2)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = [F.relu(self.down[0](x))]
        for layer in list(self.down)[1:]:
            skips.append(F.relu(layer(F.max_pool2d(skips[-1], 2))))
        y = skips.pop()
        for layer in self.up:
            skip = skips.pop()
            if y.shape[2:] != skip.shape[2:]:
                y = F.interpolate(y, size=skip.shape[2:])
            y = layer(torch.cat([skip, y], 1))
        return y


class Found(NamedTuple):
    boxes: torch.Tensor
    scores: torch.Tensor


class Ssd(nn.Module):
    """Boxes and scores of two maps, one after another: their number depends on the size."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleList([_conv(3, 8, 3, 2), _conv(8, 16, 3, 2)])
        self.boxes = nn.ModuleList([_conv(8, 8), _conv(16, 8)])
        self.scores = nn.ModuleList([_conv(8, 6), _conv(16, 6)])

    def forward(self, x: torch.Tensor) -> Found:
        boxes, scores = [], []
        for body, box, score in zip(self.body, self.boxes, self.scores, strict=True):
            x = F.relu(body(x))
            boxes.append(box(x).permute(0, 2, 3, 1).reshape(len(x), -1, 4))
            scores.append(score(x).permute(0, 2, 3, 1).reshape(len(x), -1, 3))
        return Found(torch.cat(boxes, 1), torch.cat(scores, 1).softmax(-1))


class Mtcnn(nn.Module):
    """The first network of MTCNN: no padding, a pool that rounds up, several outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(3, 10, 3), nn.PReLU(10), nn.MaxPool2d(2, 2, ceil_mode=True)),
            *(nn.Conv2d(10, 16, 3), nn.PReLU(16), nn.Conv2d(16, 32, 3), nn.PReLU(32)),
        )
        self.faces, self.boxes = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        y = self.body(x)
        return {"boxes": self.boxes(y), "faces": self.faces(y).softmax(1)}


class Craft(nn.Module):
    """Text detection: a dilated body, skips joined at half the size, maps with channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = _conv(3, 8, 3, 2), _conv(8, 16, 3, 2)
        self.wide = nn.Conv2d(16, 16, 3, padding=6, dilation=6)
        self.join, self.head = _conv(24, 8), _conv(8, 2, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        one = F.relu(self.one(x))
        two = self.wide(F.relu(self.two(one)))
        two = F.interpolate(two, size=one.shape[2:], mode="bilinear", align_corners=False)
        feature = F.relu(self.join(torch.cat([two, one], 1)))
        return self.head(feature).permute(0, 2, 3, 1), feature


NETWORKS: dict[str, tuple[type[nn.Module], list[tuple[int, int]]]] = {
    "fcn": (Fcn, [(16, 16), (33, 47)]),
    "u-net": (UNet, [(21, 35), (16, 40)]),
    "ssd": (Ssd, [(17, 33), (48, 24)]),
    "mtcnn": (Mtcnn, [(12, 12), (31, 50)]),
    "craft": (Craft, [(20, 28), (45, 33)]),
}


def _compile(model: nn.Module, example: Any = None, **options: Any) -> CompiledModel:
    example = torch.randn(1, 3, 32, 32) if example is None else example
    return ow.compile(model.eval(), example, kernels=QUICK, **options)


def _same(model: nn.Module, run: Callable[..., Any], *inputs: torch.Tensor) -> None:
    with torch.no_grad():
        wanted = model(*inputs)
    torch.testing.assert_close(run(*inputs), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", NETWORKS)
def test_networks_take_other_sizes(kind: str, tmp_path: Path) -> None:
    network, others = NETWORKS[kind]
    model = network()
    sparsify_(model, Plan({"*": {"pattern": "random", "density": 0.5}}))
    compiled = _compile(model, sizes="any")
    assert compiled.sizes == ((32, 32),)
    for size in others:
        _same(model, compiled, torch.randn(2, 3, *size))
    assert compiled.sizes == ((32, 32), *others)
    ow.save(compiled, tmp_path / "any.safetensors")
    loaded = ow.load(tmp_path / "any.safetensors")
    for size in others:
        _same(model, loaded, torch.randn(2, 3, *size))
    with pytest.raises(ArgumentError, match=r"it takes sizes 32x32, .*; compile it with this size"):
        loaded(torch.randn(1, 3, 40, 40))


def test_listed_sizes_are_compiled_at_once_and_no_others_taken(tmp_path: Path) -> None:
    model = Fcn()
    compiled = _compile(model, sizes=[(16, 24), (32, 32), (16, 24)])
    assert compiled.sizes == ((32, 32), (16, 24))
    assert "sizes 32x32, 16x24; any batch size" in repr(compiled)
    _same(model, compiled, torch.randn(3, 3, 16, 24))
    with pytest.raises(ArgumentError, match="it takes sizes 32x32, 16x24; compile it with this"):
        compiled(torch.randn(1, 3, 24, 16))
    ow.save(compiled, tmp_path / "listed.safetensors")
    network = runtime.load(tmp_path / "listed.safetensors")
    assert network.sizes == ((32, 32), (16, 24))
    images = torch.randn(2, 3, 16, 24)
    with torch.no_grad():
        wanted = model(images).numpy()
    assert abs(network(images.numpy()) - wanted).max() < 1e-5
    with pytest.raises(ArgumentError, match="saved with the sizes 32x32, 16x24; compile it for"):
        network(images.numpy()[:, :, :, :16])


def test_weights_are_packed_once_for_all_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    model = UNet()
    sparsify_(model, Plan({"*": {"pattern": "random", "density": 0.5}}))
    packed: list[int] = []
    pack = dispatch.pack_spmm
    monkeypatch.setattr(dispatch, "pack_spmm", lambda *given: packed.append(1) or pack(*given))
    compiled = ow.compile(
        model.eval(), torch.randn(1, 3, 32, 32), kernels={"*": "*-spmm-*g1-*"}, sizes="any"
    )
    first = len(packed)
    assert first == 5
    compiled(torch.randn(1, 3, 40, 48))
    assert len(packed) == first


def test_a_call_at_another_size_does_not_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Mtcnn().eval()
    compiled = ow.compile(model, torch.randn(1, 3, 24, 24), sizes="any")
    monkeypatch.setattr(Tuner, "_measure", lambda *args: pytest.fail("measured"))
    _same(model, compiled, torch.randn(1, 3, 40, 30))
    assert compiled.models[1].layers.column("ms")[0] is None


def test_the_nearest_size_is_that_of_most_similar_pixels() -> None:
    small, large = (_compile(Fcn(), torch.randn(1, 3, *size)) for size in [(16, 16), (64, 64)])
    assert sizes.nearest([small, large], [torch.zeros(1, 3, 8, 64)]) is small
    assert sizes.nearest([small, large], [torch.zeros(1, 3, 20, 80)]) is large


def test_few_sizes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "MOST_SIZES", 2)
    compiled = _compile(nn.Sequential(_conv(3, 4)), sizes="any")
    for side in (8, 9, 8, 10):
        compiled(torch.randn(1, 3, side, side))
    assert compiled.sizes == ((32, 32), (8, 8), (10, 10))


def test_threads_may_call_at_new_sizes() -> None:
    model = UNet()
    compiled = _compile(model, sizes="any")
    failed: list[BaseException] = []

    def call(side: int) -> None:
        try:
            for extra in (0, 3, 0):
                _same(model, compiled, torch.randn(1, 3, side + extra, side))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=call, args=(side,)) for side in (12, 12, 15, 32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(compiled.sizes) == len(set(compiled.sizes)) == 6


def test_inference_mode_and_autocast_do_not_matter() -> None:
    model = Fcn()
    compiled = _compile(model, sizes="any")
    images = torch.randn(1, 3, 20, 24)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        result = compiled(images.clone())
    with torch.no_grad():
        torch.testing.assert_close(result.clone(), model(images), rtol=1e-4, atol=1e-4)


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = _conv(3, 4), nn.Linear(4 * 64, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).flatten(1))


class Viewed(Head):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).view(len(x), 256))


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (Head(), r"at 40x40, layer 'head' \(Linear\) fails with RuntimeError: mat1 and mat2"),
        (
            Viewed(),
            r"at 40x40, the forward of Viewed itself fails with RuntimeError: shape",
        ),
    ],
)
def test_a_network_of_one_size_is_refused_with_its_layer(model: nn.Module, why: str) -> None:
    with pytest.raises(ArgumentError, match=why):
        _compile(model, torch.randn(1, 3, 8, 8), sizes="any")
    with pytest.raises(ArgumentError, match=r"does not take inputs of shape \(1, 3, 16, 8\): "):
        _compile(model, torch.randn(1, 3, 8, 8), sizes=[(16, 8)])


def test_a_size_that_the_network_cannot_take_is_refused() -> None:
    compiled = _compile(Mtcnn(), sizes="any")
    with pytest.raises(ArgumentError, match=r"layer 'body.5' \(Conv2d\) fails with RuntimeError"):
        compiled(torch.randn(1, 3, 8, 8))
    with pytest.raises(ArgumentError, match="only height and width may differ"):
        compiled(torch.randn(1, 4, 16, 16))
    with pytest.raises(ArgumentError, match="only height and width may differ"):
        compiled(torch.randn(1, 3, 0, 16))


@pytest.mark.parametrize("given", ["all", [], [32], [(32, 0)], [(32, 32, 3)], 32, [(True, 3)]])
def test_wrong_sizes_are_refused(given: Any) -> None:
    with pytest.raises(ArgumentError, match="`sizes`"):
        _compile(Fcn(), sizes=given)


def test_sizes_need_a_batch_of_maps() -> None:
    with pytest.raises(ArgumentError, match="none of the inputs is a batch of maps"):
        _compile(nn.Sequential(nn.Linear(4, 2)), torch.randn(2, 4), sizes="any")


class Guided(nn.Module):
    """An image and a mask at half its size, and a number for each image."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.mask, self.out = _conv(3, 4), _conv(1, 4), _conv(4, 2)

    def forward(
        self, image: torch.Tensor, mask: torch.Tensor, *, gain: torch.Tensor
    ) -> dict[str, Any]:
        mask = F.interpolate(self.mask(mask), size=image.shape[2:])
        y = F.relu(self.image(image) + mask)
        return {"map": self.out(y) * gain[:, :, None, None], "each": [y, (mask,)]}


def test_several_inputs_by_position_by_name_and_in_a_dict() -> None:
    model = Guided().eval()

    def inputs(images: int, height: int, width: int) -> dict[str, torch.Tensor]:
        half = height // 2, width // 2
        return {
            "image": torch.randn(images, 3, height, width),
            "mask": torch.randn(images, 1, *half),
            "gain": torch.randn(images, 2),
        }

    compiled = _compile(model, inputs(1, 16, 16), sizes="any")
    for size in ((16, 16), (20, 12), (9, 31)):
        given = inputs(2, *size)
        with torch.no_grad():
            wanted = model(**given)
        torch.testing.assert_close(compiled(**given), wanted, rtol=1e-4, atol=1e-4)
        by_place = compiled(given["image"], given["mask"], gain=given["gain"])
        torch.testing.assert_close(by_place, wanted, rtol=1e-4, atol=1e-4)
    assert compiled.sizes == ((16, 16), (20, 12), (9, 31))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_shorter_floats_are_widened(dtype: torch.dtype, tmp_path: Path) -> None:
    model = Fcn()
    compiled = _compile(model, torch.randn(1, 3, 32, 32).to(dtype), sizes=[(16, 20)])
    for size in ((32, 32), (16, 20)):
        images = torch.randn(2, 3, *size).to(dtype)
        result = compiled(images)
        assert result.dtype == torch.float32
        with torch.no_grad():
            torch.testing.assert_close(result, model(images.float()), rtol=1e-4, atol=1e-4)
    with pytest.raises(ArgumentError, match="float64 on cpu, but a compiled network takes float32"):
        compiled(torch.randn(1, 3, 32, 32).double())
    if dtype == torch.float16:
        ow.save(compiled, tmp_path / "half.safetensors")
        again = runtime.load(tmp_path / "half.safetensors")(images.numpy())
        assert abs(again - result.numpy()).max() < 1e-6


@pytest.mark.parametrize("size", [(32, 32), (20, 28)])
def test_channels_last_inputs_give_the_same(size: tuple[int, int]) -> None:
    model = Craft()
    compiled = _compile(model, sizes="any")
    _same(model, compiled, torch.randn(2, 3, *size).to(memory_format=torch.channels_last))


def test_steps_are_timed_at_the_size_of_the_call() -> None:
    compiled = _compile(Fcn(), sizes="any")
    steps = compiled.step_times(torch.randn(1, 3, 40, 24))
    assert [kernel for _, kernel, _ in steps if kernel.startswith("f32")] == list(
        compiled.models[1].layers.column("kernel")
    )

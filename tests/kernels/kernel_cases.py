"""The generated table of boundary cases, one below, at and above every tile size."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from openwork.kernels.problem import Activation, Geometry, Problem


@dataclass(frozen=True)
class Case:
    """A convolution with a random pattern of a kind; `str(case)` is the test's name."""

    inputs: int
    outputs: int
    size: tuple[int, int]
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    batch: int = 1
    pattern: str = "random"
    activation: Activation = "none"
    bias: bool = False
    residual: bool = False
    seed: int = 0

    def __str__(self) -> str:
        text = f"{self.inputs}to{self.outputs}@{self.size[0]}x{self.size[1]}"
        text += f"-k{self.kernel[0]}x{self.kernel[1]}"
        for name, value in (("s", self.stride), ("p", self.padding), ("d", self.dilation)):
            text += f"{name}{value[0]}{value[1]}" if value != (1, 1) else ""
        text += f"-g{self.groups}" if self.groups > 1 else ""
        text += f"-n{self.batch}" if self.batch > 1 else ""
        extras = (self.pattern, self.activation, "bias" * self.bias, "residual" * self.residual)
        return "-".join([text, *(extra for extra in extras if extra not in ("random", "none", ""))])

    def random(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.inputs, self.outputs, *self.size])

    def problem(self) -> Problem:
        random = self.random()
        shape = (self.outputs, self.inputs // self.groups, *self.kernel)
        taps = _taps(self.pattern, shape, random)
        positions = np.flatnonzero(taps.reshape(-1))
        weight = random.standard_normal(len(positions)).astype(np.float32)
        # A live tap may well hold zero.
        weight[random.random(len(weight)) < 0.1] = 0
        bias = random.standard_normal(self.outputs).astype(np.float32) if self.bias else None
        geometry = Geometry(
            self.inputs,
            self.outputs,
            self.size,
            self.kernel,
            self.stride,
            self.padding,
            self.dilation,
        )
        return Problem(geometry, self.groups, positions, weight, bias, self.activation)


def _taps(kind: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    live = random.random(shape[:2]) < 0.4
    taps = np.zeros(shape, dtype=bool)
    if kind == "random":
        taps[live] = True
    elif kind == "dense":
        taps[:] = True
    elif kind == "dead-filters":
        live[random.random(shape[0]) < 0.5] = False
        taps[live] = True
    elif kind == "one-tap":
        taps[tuple(random.integers(n) for n in shape)] = True
    elif kind == "taps":
        taps[:] = live[:, :, None, None] & (random.random(shape[2:]) < 0.5)
    elif kind == "blocks":
        taps[np.repeat(live[::4], 4, axis=0)[: shape[0]]] = True
    elif kind != "all-dead":
        raise ValueError(kind)
    return taps


PATTERNS = ("random", "dense", "dead-filters", "all-dead", "one-tap", "taps", "blocks")
SHAPES = (
    ((3, 3), (1, 1), (1, 1)),
    ((3, 3), (2, 2), (1, 1)),
    ((5, 5), (1, 1), (2, 2)),
    ((7, 1), (1, 1), (3, 0)),
    ((1, 7), (1, 1), (0, 3)),
    ((3, 1), (1, 1), (1, 0)),
    ((1, 3), (1, 1), (0, 1)),
    ((1, 1), (1, 1), (0, 0)),
    ((1, 1), (2, 2), (0, 0)),
    ((7, 7), (2, 2), (3, 3)),
    ((2, 2), (2, 2), (0, 0)),
    ((4, 3), (3, 2), (2, 0)),
)


def table() -> Iterator[Case]:
    """Every case of the test run."""
    for pattern in PATTERNS:
        for kernel, stride, padding in SHAPES[:8]:
            yield Case(6, 9, (9, 11), kernel, stride, padding, pattern=pattern)
    for kernel, stride, padding in SHAPES:
        yield Case(5, 7, (13, 17), kernel, stride, padding, batch=3)
        yield Case(4, 6, (8, 7), kernel, stride, padding, groups=2)
        yield Case(6, 6, (10, 9), kernel, stride, padding, groups=6, pattern="dense")
    # Widths and heights around one, two and four vectors of every instruction set, and row tiles.
    for size in (3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65):
        yield Case(3, 5, (6, size))
        yield Case(3, 5, (size, 5))
        yield Case(3, 5, (2, size), (1, 1), padding=(0, 0))
    # Up to five pixels more than whole vectors of 8 and of 16 hold, of one image and of three.
    some = {(7, 7): (9, 20), (5, 10): (4, 8), (3, 17): (1, 5), (4, 13): (7, 17), (1, 53): (6, 9)}
    for size, channels in some.items():
        plain = Case(*channels, size, (1, 1), padding=(0, 0), pattern="dense", bias=True)
        yield replace(plain, residual=True, activation="relu6")
        yield replace(plain, batch=3, activation="silu")
    # Tiles of a row around the vector sizes, where Winograd changes its layout.
    for size in (12, 14, 28, 30, 56, 60, 62, 124):
        yield Case(3, 4, (7, size), batch=2)
    # Small maps of many images, whose tiles Winograd takes from different images at once: numbers
    # of images around those of one vector.
    for side in range(1, 10):
        yield Case(3, 5, (side, side), batch=15 + side % 3)
    for size in ((2, 3), (4, 4), (7, 7), (8, 8)):
        yield Case(4, 3, size, padding=(1, 2), batch=17)
        yield Case(4, 3, size, padding=(2, 0), batch=16)
    for size in ((6, 8), (9, 11), (3, 33)):
        yield Case(4, 6, size, groups=2, batch=16)
        yield Case(3, 5, size, pattern="taps", batch=33)
    yield Case(3, 4, (5, 8), batch=17, activation="silu", bias=True, residual=True)
    yield Case(3, 4, (4, 4), batch=16, activation="relu", bias=True)
    # Filters and inputs around groups and chunks.
    for channels in (1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33):
        yield Case(channels, channels + 1, (4, 4))
        yield Case(channels + 1, channels, (7, 7), (1, 1), padding=(0, 0), batch=3)
    # Filters around the blocks that threads share out.
    for outputs in (63, 64, 65, 130):
        yield Case(5, outputs, (3, 5))
        yield Case(9, outputs, (3, 5), (1, 1), padding=(0, 0))
    for size in ((1, 1), (1, 2), (2, 1), (1, 19)):
        for kernel, stride, padding in SHAPES[:4]:
            yield Case(5, 6, size, kernel, stride, padding, batch=3)
        yield Case(5, 6, size, (1, 1), padding=(0, 0))
    # Linear layers.
    for pattern in PATTERNS:
        yield Case(18, 37, (1, 1), (1, 1), padding=(0, 0), batch=3, pattern=pattern, bias=True)
    for padding in ((0, 0), (2, 2), (0, 2), (2, 1)):
        yield Case(3, 4, (9, 10), padding=padding)
    for dilation in ((2, 2), (1, 3), (3, 2)):
        yield Case(3, 4, (15, 16), padding=(2, 3), dilation=dilation)
        yield Case(3, 4, (15, 16), stride=(2, 1), padding=(2, 3), dilation=dilation)
    yield from _depthwise()
    yield from _dense()
    for activation in get_args(Activation):
        for stride, residual in (((1, 1), True), ((1, 1), False), ((2, 2), False)):
            yield Case(
                3, 3, (9, 40), stride=stride, groups=3, pattern="dense",
                batch=2, activation=activation, bias=True, residual=residual,
            )  # fmt: skip
        for kernel, stride, padding in (*SHAPES[:2], SHAPES[7]):
            for residual in (False, True):
                yield Case(
                    4, 5, (9, 18), kernel, stride, padding,
                    batch=2, activation=activation, bias=True, residual=residual,
                )  # fmt: skip
    yield from _silu()


def _silu() -> Iterator[Case]:
    """SiLU, which some kernels apply to what they have written: rows of filters, and whole maps."""
    for outputs in (1, 7, 8, 9, 18):
        for pattern in ("random", "dense"):
            for kernel, stride, padding in (((1, 1), (1, 1), (0, 0)), ((3, 3), (2, 2), (1, 1))):
                yield Case(
                    4, outputs, (20, 27), kernel, stride, padding,
                    batch=2, pattern=pattern, activation="silu", bias=True,
                )  # fmt: skip
    # Maps around four vectors, in the lanes of every instruction set.
    for size in ((1, 3), (4, 4), (5, 3), (4, 8), (11, 3), (6, 11), (1, 129)):
        yield Case(3, 3, size, groups=3, pattern="dense", batch=2, activation="silu", bias=True)


def _depthwise() -> Iterator[Case]:
    """Filters that read one channel: around tiles of rows, vectors, edges and bands."""
    for kernel in (3, 5, 7):
        for stride in (1, 2):
            sizes = (kernel, kernel), (stride, stride), (kernel // 2, kernel // 2)
            for size in ((7, 7), (8, 16), (9, 17), (17, 33), (4, 66)):
                yield Case(2, 2, size, *sizes, groups=2, pattern="dense", bias=True)
            yield Case(2, 6, (9, 9), *sizes, groups=2, pattern="dense", batch=2)
    for pattern in ("taps", "dead-filters", "all-dead", "one-tap"):
        yield Case(4, 8, (11, 18), groups=4, pattern=pattern, bias=True)
    yield Case(6, 6, (9, 12), stride=(2, 2), groups=6, pattern="dead-filters", batch=2)
    for padding in ((0, 0), (4, 5)):
        for stride in (1, 2):
            sizes = (3, 3), (stride, stride), padding
            yield Case(2, 2, (10, 37), *sizes, groups=2, pattern="dense")
    for kernel, stride, dilation in (
        ((3, 3), (1, 1), (2, 2)),
        ((3, 3), (3, 1), (1, 3)),
        ((1, 1), (1, 1), (1, 1)),
        ((2, 9), (1, 2), (1, 1)),
    ):
        yield Case(3, 3, (14, 35), kernel, stride, (1, 2), dilation, 3, pattern="dense")
    yield Case(1, 1, (300, 40), padding=(2, 2), dilation=(2, 2), pattern="dense")


def _dense() -> Iterator[Case]:
    """No dead tap: filters and pixels around tiles, inputs beyond one chunk."""
    for outputs in (4, 5, 6, 7, 8, 11, 12, 13):
        yield Case(5, outputs, (7, 7), (1, 1), padding=(0, 0), pattern="dense", bias=True)
    for size in ((1, 1), (4, 4), (1, 17), (4, 16), (5, 13), (3, 43)):
        yield Case(3, 7, size, (1, 1), padding=(0, 0), pattern="dense", batch=2)
    yield Case(3, 9, (20, 22), (3, 3), (2, 2), pattern="dense")
    yield Case(1030, 7, (4, 5), (1, 1), padding=(0, 0), pattern="dense", residual=True)
    yield Case(115, 5, (3, 6), pattern="dense", bias=True, activation="relu6")


_PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def any_case(draw: st.DrawFn) -> Case:
    """Random geometries and patterns, without an epilogue."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    size = draw(st.tuples(st.integers(1, 20), st.integers(1, 40)))
    case = Case(
        groups * draw(st.integers(1, 6)),
        groups * draw(st.integers(1, 6)),
        size,
        draw(st.sampled_from([(3, 3), (1, 1), (5, 5), (1, 7), (7, 1), (2, 3), (4, 4)])),
        draw(_PAIRS),
        draw(st.tuples(st.integers(0, 3), st.integers(0, 3))),
        draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (1, 3)])),
        groups,
        draw(st.integers(1, 3 if size[0] * size[1] > 100 else 20)),
        draw(st.sampled_from(PATTERNS)),
        seed=draw(st.integers(0, 1000)),
    )
    height, width = case.problem().geometry.out_size
    assume(height > 0 and width > 0)
    return case


@st.composite
def any_finished_case(draw: st.DrawFn) -> Case:
    """The same with a bias, a residual and an activation, or without."""
    return replace(
        draw(any_case()),
        activation=draw(st.sampled_from(["none", "relu", "relu6", "silu", "hardswish"])),
        bias=draw(st.booleans()),
        residual=draw(st.booleans()),
    )

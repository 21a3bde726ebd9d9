"""The compiled kernels."""

from collections.abc import Sequence
import enum
from typing import Annotated, overload

import numpy
from numpy.typing import NDArray


def usable_isas() -> list[str]:
    """Instruction sets that can run here, worst first."""

def chosen_isa() -> str:
    """OPENWORK_ISA if set, else the best usable one."""

def lanes(isa: str) -> int:
    """Floats in one vector of `isa`."""

def most_vectors(isa: str, group: int) -> int:
    """Most vectors in a tile of a sparse product."""

def row_tiles(isa: str) -> list[tuple[int, int]]:
    """(rows, vectors) of the direct kernel's tiles."""

def tap_tiles(isa: str) -> list[tuple[int, int]]:
    """(rows, vectors) of the taps kernel's tiles."""

def dense_tiles(isa: str) -> list[tuple[int, int]]:
    """(filters, vectors) of the dense kernel's tiles."""

def pair_isas() -> list[str]:
    """Instruction sets of the kernels of bfloat16, worst first."""

def pair_isa_of(isa: str) -> str:
    """Which of them runs networks compiled for `isa`; `isa` itself emulates."""

def most_pair_vectors(group: int) -> int:
    """
    Most vectors in a tile of a product in bfloat16, on every instruction set.
    """

filter_block: int = 64

most_taps: int = 1024

most_padded_floats: int = 2147479551

most_batch: int = 1048576

most_threads: int = 4096

class Activation(enum.Enum):
    """Applied to each finished output."""

    none = 0

    relu = 1

    relu6 = 2

    silu = 3

    hardswish = 4

    sigmoid = 5

    hardsigmoid = 6

class Function(enum.Enum):
    """Applied to each number alone."""

    abs = 0

    clamp = 1

    elu = 2

    erf = 3

    exp = 4

    gelu = 5

    gelu_tanh = 6

    log_sigmoid = 7

    mish = 8

    reciprocal = 9

    softplus = 10

    sqrt = 11

    square = 12

    tanh = 13

class Reduction(enum.Enum):
    """What the numbers along an axis become."""

    mean = 0

    variance = 1

    norm = 2

    sum = 3

class Operation(enum.Enum):
    """Applied to two numbers."""

    difference = 0

    product = 1

    quotient = 2

    sum = 3

class Geometry:
    """Sizes of a convolution on one map; y is vertical."""

    def __init__(self, *, in_channels: int, out_channels: int, height: int, width: int, kernel_y: int, kernel_x: int, stride_y: int, stride_x: int, pad_y: int, pad_x: int, dilation_y: int, dilation_x: int, out_height: int, out_width: int) -> None:
        """Raises ValueError for sizes that no kernel takes."""

    @property
    def in_channels(self) -> int: ...

    @property
    def out_channels(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def width(self) -> int: ...

    @property
    def kernel_y(self) -> int: ...

    @property
    def kernel_x(self) -> int: ...

    @property
    def stride_y(self) -> int: ...

    @property
    def stride_x(self) -> int: ...

    @property
    def pad_y(self) -> int: ...

    @property
    def pad_x(self) -> int: ...

    @property
    def dilation_y(self) -> int: ...

    @property
    def dilation_x(self) -> int: ...

    @property
    def out_height(self) -> int: ...

    @property
    def out_width(self) -> int: ...

class Pool:
    """Sizes of a pooling of one map; y is vertical."""

    def __init__(self, *, channels: int, height: int, width: int, kernel_y: int, kernel_x: int, stride_y: int, stride_x: int, pad_y: int, pad_x: int, out_height: int, out_width: int, average: bool, count_padding: bool, activation: Activation = Activation.none) -> None:
        """
        Raises ValueError for sizes that the kernel does not take. `average`: else the maximum; `count_padding`: averages divide by the window, padding included.
        """

    @property
    def channels(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def width(self) -> int: ...

    @property
    def kernel_y(self) -> int: ...

    @property
    def kernel_x(self) -> int: ...

    @property
    def stride_y(self) -> int: ...

    @property
    def stride_x(self) -> int: ...

    @property
    def pad_y(self) -> int: ...

    @property
    def pad_x(self) -> int: ...

    @property
    def out_height(self) -> int: ...

    @property
    def out_width(self) -> int: ...

    @property
    def average(self) -> bool: ...

    @property
    def count_padding(self) -> bool: ...

    @property
    def activation(self) -> Activation: ...

def tap_offsets(geometry: Geometry) -> list[int]:
    """
    Offsets of all taps within one padded channel, row by row, then the channel's floats.
    """

def pack_lists(out: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], inside: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], *, rows: int, inputs: int, taps: int, chunk: int, group: int, alike: bool) -> tuple[Annotated[NDArray[numpy.int32], dict(shape=(None,))], Annotated[NDArray[numpy.uint16], dict(shape=(None,))], Annotated[NDArray[numpy.int64], dict(shape=(None,))], Annotated[NDArray[numpy.int64], dict(shape=(None,))], Annotated[NDArray[numpy.uint16], dict(shape=(None,))], Annotated[NDArray[numpy.int32], dict(shape=(None,))]]:
    """Arrays 1 to 5 of a sparse matrix, and the entry of each packed weight."""

class Layer:
    """One packed layer, ready to run; keeps its arrays alive."""

    def run(self, input: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], output: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu')], residual: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)] | None, workspace: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')], threads: int) -> None:
        """
        Write activation(convolution + bias + residual) to `output`, all NCHW float32.
        """

    def workspace(self, batch: int, threads: int) -> int:
        """Floats that `run` needs as workspace."""

    @property
    def runs_in_bands(self) -> bool:
        """Whether it can be part of a chain (`Program.chain`)."""

class Lists:
    """Arrays 1 to 6 of a packed sparse matrix."""

    def __init__(self, row: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], count: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], entry_start: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], weight_start: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], index: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], weight: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None:
        """Holds the arrays; they are checked when a layer is made of them."""

class PairLists:
    """The same of pairs of bfloat16 weights."""

    def __init__(self, row: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], count: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], entry_start: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], weight_start: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], index: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], weight: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None:
        """Holds the arrays; they are checked when a layer is made of them."""

def spmm(isa: str, geometry: Geometry, bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, activation: Activation, lists: Lists, channel: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], tap: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], *, chunk: int, group: int, vectors: int, in_place: bool) -> Layer:
    """A convolution as sparse matrix times pixels."""

def pairs(isa: str, geometry: Geometry, bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, activation: Activation, lists: PairLists, channel: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], tap: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], *, chunk: int, group: int, vectors: int) -> Layer:
    """The same in bfloat16; `isa`: one of `pair_isas`."""

def winograd(isa: str, geometry: Geometry, bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, activation: Activation, lists: Lists, *, chunk: int, group: int, vectors: int, output: int) -> Layer:
    """
    A 3x3 convolution with stride 1, in tiles of `output` x `output` pixels.
    """

def direct(isa: str, geometry: Geometry, bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, activation: Activation, start: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], index: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], weight: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], *, rows: int, vectors: int) -> Layer:
    """A convolution by whole live kernels."""

def taps(isa: str, geometry: Geometry, bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, activation: Activation, start: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], offset: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], weight: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], *, rows: int, vectors: int, flat: bool) -> Layer:
    """A convolution by single live taps."""

def gemv(isa: str, geometry: Geometry, bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, activation: Activation, row: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], start: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], index: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], weight: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], *, chunk: int, group: int) -> Layer:
    """A linear layer as sparse matrix times vectors."""

def dense_gemv(isa: str, geometry: Geometry, bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, activation: Activation, weight: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> Layer:
    """A linear layer as dense matrix times vectors."""

def dense(isa: str, geometry: Geometry, bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, activation: Activation, channel: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], tap: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], weight: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], *, group: int, vectors: int, in_place: bool) -> Layer:
    """A convolution without dead taps as matrix times pixels."""

def depthwise(isa: str, geometry: Geometry, bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, activation: Activation, channel: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], start: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], tap: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], weight: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> Layer:
    """A convolution whose filters read one input channel each."""

class Trainable:
    """A packed layer that is given its live weights on each call."""

    def run(self, values: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], input: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], output: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu')], bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, workspace: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')], threads: int) -> None:
        """Write convolution + bias to `output`, all NCHW float32."""

    def workspace(self, batch: int, threads: int) -> int:
        """Floats that `run` needs as workspace."""

class Sampled:
    """A packed layer's gradient of its live weights."""

    def run(self, input: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], gradient: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], output: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')], workspace: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')], threads: int) -> None:
        """
        Write the gradient of each live weight, in canonical order, to `output`.
        """

    def workspace(self, batch: int, threads: int) -> int:
        """Floats that `run` needs as workspace."""

class ListIndices:
    """Arrays 1 to 5 of a packed sparse matrix."""

    def __init__(self, row: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], count: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], entry_start: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], weight_start: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], index: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None:
        """Holds the arrays; they are checked when a layer is made of them."""

def trainable_spmm(isa: str, geometry: Geometry, lists: ListIndices, order: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], step: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], channel: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], tap: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], *, live: int, chunk: int, group: int, vectors: int, in_place: bool) -> Trainable:
    """`spmm` with the weights of each call."""

def trainable_winograd(isa: str, geometry: Geometry, lists: ListIndices, order: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], tap: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, *, live: int, connections: int, flipped: bool, chunk: int, group: int, vectors: int, output: int) -> Trainable:
    """`winograd` with the weights of each call."""

def trainable_direct(isa: str, geometry: Geometry, start: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], index: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], order: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], step: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], *, live: int, rows: int, vectors: int) -> Trainable:
    """`direct` with the weights of each call."""

def trainable_taps(isa: str, geometry: Geometry, start: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], offset: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], order: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], step: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], *, live: int, rows: int, vectors: int, flat: bool) -> Trainable:
    """`taps` with the weights of each call."""

def trainable_depthwise(isa: str, geometry: Geometry, channel: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], start: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], tap: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], order: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], step: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], *, live: int) -> Trainable:
    """`depthwise` with the weights of each call."""

def transposed_depthwise(isa: str, geometry: Geometry, filter: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], kernel: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], order: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], step: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], *, live: int) -> Trainable:
    """The input's gradient of a depthwise layer with stride 2."""

def sampled_spmm(isa: str, geometry: Geometry, bound: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], index: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], channel: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], tap: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], *, chunk: int, vectors: int, in_place: bool) -> Sampled:
    """The weight's gradient of any convolution."""

def sampled_winograd(isa: str, geometry: Geometry, bound: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], index: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], tap: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, *, live: int, chunk: int, vectors: int) -> Sampled:
    """The weight's gradient of a 3x3 convolution with stride 1."""

def sampled_direct(isa: str, geometry: Geometry, bound: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], index: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> Sampled:
    """The weight's gradient of whole 3x3 kernels with stride 1."""

def sampled_depthwise(isa: str, geometry: Geometry, filter: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], channel: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> Sampled:
    """The weight's gradient of whole kernels, one by one."""

def interleave(isa: str, phases: Sequence[tuple[Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)] | None, int, int]], output: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu')], *, stride_y: int, stride_x: int, threads: int) -> None:
    """Put (array or None, top, left) of each phase together into `output`."""

def byte_isas() -> list[str]:
    """Instruction sets of kernels of bytes, worst first."""

def byte_isa_of(isa: str) -> str:
    """Which of them runs networks compiled for `isa`."""

def is_narrow(isa: str) -> bool:
    """
    Whether kernels of bytes add products in 16 bits, for which layers are packed.
    """

def halves_vectors(isa: str) -> bool:
    """
    Whether this processor runs instructions of one of `byte_isas` in two halves.
    """

most_direct_map: int = 2048

class ByteArrays:
    """The arrays of a packed convolution of bytes."""

    def __init__(self, channel: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], tap: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], group_column: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], column: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], group_block: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], filter: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], quad_start: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], quad: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], weight: Annotated[NDArray[numpy.int8], dict(shape=(None,), order='C', device='cpu', writable=False)], rest_start: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], rest_quad: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], rest_weight: Annotated[NDArray[numpy.int8], dict(shape=(None,), order='C', device='cpu', writable=False)], offset: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], scale: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None:
        """Checked when a layer is made of them."""

class ByteLayer:
    """A packed convolution of bytes."""

    @property
    def name(self) -> str:
        """Instruction set; empty for one that cannot run here."""

def byte_conv(isa: str, geometry: Geometry, arrays: ByteArrays, *, plain: bool, depthwise: bool, rows: int, zero: int, to_float: bool, least: float, most: float, out_zero: int, residual_zero: int, residual_scale: float) -> ByteLayer:
    """A convolution of bytes."""

class Program:
    """
    A network as steps over one arena. Slots are tensors: the methods that make them return the number by which the steps name them; sizes are floats per image.
    """

    def __init__(self, isa: str) -> None:
        """Without slots and steps."""

    def arena_slot(self, at: int, floats: int) -> int:
        """A slot in the arena, from `at` on."""

    def part(self, whole: int, first: int, floats: int) -> int:
        """A slot for the same part of every image of another."""

    def input(self, floats: int) -> int:
        """A slot for the next of `run`'s inputs."""

    def output(self, floats: int) -> int:
        """A slot for the next of `run`'s outputs."""

    def layer(self, layer: Layer, input: int, output: int, residual: int | None = None) -> None:
        """Run a packed layer."""

    def chain(self, layers: Sequence[Layer], input: int, output: int, residual: int | None = None) -> None:
        """
        Run packed layers, each on what the one before it wrote, some rows at a time.
        """

    def pool(self, input: int, output: int, pool: Pool, shift: Sequence[float] = []) -> None:
        """Pool each map, and add its channel's `shift` before the activation."""

    def mean(self, input: int, output: int) -> None:
        """The mean of each map."""

    def add(self, a: int, b: int | None, output: int, activation: Activation) -> None:
        """The activation of `a` + `b`, or of `a` alone."""

    def affine(self, input: int, output: int, scale: Sequence[float], shift: Sequence[float], activation: Activation) -> None:
        """The activation of each channel times its scale plus its shift."""

    def gate(self, input: int, gates: int, output: int) -> None:
        """Each map times its gate."""

    def copy(self, source: int, target: int) -> None:
        """Copy a slot to another."""

    def clear(self, target: int) -> None:
        """Fill a slot with zeros."""

    def fill(self, target: int, value: float) -> None:
        """Fill a slot with a number."""

    def move(self, input: int, output: int, size: Sequence[int], from_: Sequence[int], to: Sequence[int], first_from: int = 0, first_to: int = 0) -> None:
        """
        Copy what lies at the distances `from_` along axes of these sizes to where `to` says.
        """

    def resample(self, input: int, output: int, *, height: int, width: int, row: Sequence[int], row_weight: Sequence[float], row_taps: int, column: Sequence[int], column_weight: Sequence[float], column_taps: int) -> None:
        """
        Each map's rows and columns as weighted sums of those at the given places: all first taps, then all second ones. Without weights there is one tap, of weight 1.
        """

    def map(self, input: int, output: int, function: Function, numbers: Sequence[float]) -> None:
        """A function of each number; `numbers` are its parameters."""

    def combine(self, a: int, b: int, output: int, operation: Operation) -> None:
        """An operation on each number of `a` and that of `b` at the same place."""

    def spread(self, a: int, b: int, output: int, operation: Operation, inner: int) -> None:
        """
        An operation on each number of `a` and one of `b`, each `inner` floats of which count for as many neighbours in `a` as `b` fits into it.
        """

    def normalize(self, input: int, output: int, size: int, inner: int, repeat: int, eps: float, weight: Sequence[float], bias: Sequence[float], activation: Activation) -> None:
        """
        The activation of `size` numbers that are `inner` floats apart, less their mean, over their deviation, times `weight` plus `bias`, which have one entry for each `repeat` numbers along the axis or along all axes of an image, or none.
        """

    def reduce(self, input: int, output: int, reduction: Reduction, size: int, inner: int) -> None:
        """What `size` numbers that are `inner` floats apart become."""

    def dot(self, input: int, factors: int, output: int) -> None:
        """Each row of the input times `factors`, summed."""

    def prelu(self, input: int, output: int, slope: Sequence[float]) -> None:
        """Negative numbers times the slope of their channel."""

    def softmax(self, input: int, output: int, size: int, inner: int, log: bool) -> None:
        """
        Softmax, or its logarithm, of `size` numbers that are `inner` floats apart.
        """

    def byte_layer(self, layer: ByteLayer, input: int, output: int, residual: int | None = None) -> None:
        """Run a packed layer of bytes."""

    def quantize(self, input: int, output: int, inverse: float, range: tuple[int, int, int]) -> None:
        """Floats times `inverse`, as bytes."""

    def dequantize(self, input: int, output: int, scale: float, zero: int) -> None:
        """Bytes as floats."""

    def byte_pool(self, input: int, output: int, pool: Pool) -> None:
        """The largest byte of each window."""

    def byte_mean(self, input: int, output: int, maps: int, pixels: int, from_zero: int, scale: float, range: tuple[int, int, int]) -> None:
        """
        The sum of each map of bytes, less its zeros, times `scale`, as a byte.
        """

    def byte_add(self, a: int, b: int, output: int, from_a: tuple[int, float], from_b: tuple[int, float], range: tuple[int, int, int]) -> None:
        """
        Sums of two bytes, less their zeros and times their scales, as bytes; `from_a` and `from_b` are (zero, scale).
        """

    @property
    def isa(self) -> str:
        """Instruction set."""

    def steps(self) -> int:
        """Steps added so far."""

    def arena(self, batch: int, threads: int) -> int:
        """Floats that `run` needs as its arena."""

    def run(self, inputs: Sequence[Annotated[NDArray[numpy.float32], dict(order='C', device='cpu', writable=False)]], outputs: Sequence[Annotated[NDArray[numpy.float32], dict(order='C', device='cpu')]], arena: Annotated[NDArray[numpy.float32], dict(order='C', device='cpu')], batch: int, threads: int, seconds: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu')] | None = None) -> None:
        """Run all steps; `seconds` receives what each of them takes."""

def open_packed(path: str) -> tuple[Program, str]:
    """The program of a packed file, and the notes in it. The file is mapped."""

def parameters_of(function: Function) -> int:
    """How many parameters a function has."""

def packing(layer: Layer | ByteLayer) -> tuple[object, ...]:
    """
    What a layer was made of: kernel, activation, geometry in the order of its arguments, the kernel's sizes, and its arrays, in float32 the bias first (empty for none).
    """

def checksum(bytes: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> int:
    """XXH64 of the bytes."""

@overload
def batch_norm_forward(isa: str, *, input: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], residual: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)] | None, weight: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, eps: float, act: str, output: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu')], statistics: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], threads: int) -> None: ...

@overload
def batch_norm_forward(isa: str, *, input: Annotated[NDArray[numpy.uint16], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], residual: Annotated[NDArray[numpy.uint16], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)] | None, weight: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, eps: float, act: str, output: Annotated[NDArray[numpy.uint16], dict(shape=(None, None, None, None), order='C', device='cpu')], statistics: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], threads: int) -> None:
    """
    Normalise `input` by its batch, add `residual`, then `act`: 'none', 'relu' or 'relu6'. `statistics`: (3, channels) for the mean, one over the standard deviation, and the unbiased variance.
    """

@overload
def batch_norm_backward(isa: str, *, gradient: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], input: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], weight: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, statistics: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], output: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)] | None, act: str, grad_input: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu')] | None, grad_residual: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu')] | None, grad_affine: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')] | None, threads: int) -> None: ...

@overload
def batch_norm_backward(isa: str, *, gradient: Annotated[NDArray[numpy.uint16], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], input: Annotated[NDArray[numpy.uint16], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], weight: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, statistics: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], output: Annotated[NDArray[numpy.uint16], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)] | None, act: str, grad_input: Annotated[NDArray[numpy.uint16], dict(shape=(None, None, None, None), order='C', device='cpu')] | None, grad_residual: Annotated[NDArray[numpy.uint16], dict(shape=(None, None, None, None), order='C', device='cpu')] | None, grad_affine: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')] | None, threads: int) -> None:
    """
    Gradients of what `batch_norm_forward` gave. `output` is needed if a residual was added before an activation; `grad_affine`: (2, channels) for weight and bias.
    """

@overload
def max_pool2d_forward(isa: str, *, input: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], output: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu')], tap: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None, None), order='C', device='cpu')], kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int], threads: int) -> None: ...

@overload
def max_pool2d_forward(isa: str, *, input: Annotated[NDArray[numpy.uint16], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], output: Annotated[NDArray[numpy.uint16], dict(shape=(None, None, None, None), order='C', device='cpu')], tap: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None, None), order='C', device='cpu')], kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int], threads: int) -> None:
    """
    Maxima over windows; `tap`: of each output, the window's tap that it came from.
    """

@overload
def max_pool2d_backward(isa: str, *, gradient: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], tap: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], grad_input: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu')], kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int], threads: int) -> None: ...

@overload
def max_pool2d_backward(isa: str, *, gradient: Annotated[NDArray[numpy.uint16], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], tap: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], grad_input: Annotated[NDArray[numpy.uint16], dict(shape=(None, None, None, None), order='C', device='cpu')], kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int], threads: int) -> None:
    """Gradients of what `max_pool2d_forward` gave."""

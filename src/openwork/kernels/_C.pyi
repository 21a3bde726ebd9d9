from collections.abc import Sequence
from typing import Annotated

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

filter_block: int = 64

most_taps: int = 1024

def tap_offsets(geometry: Sequence[int]) -> list[int]: ...

def geometry_refusal(geometry: Sequence[int]) -> str | None:
    """Why no kernel takes a geometry; None if its sizes are within bounds."""

class Layer:
    """One packed layer, ready to run; holds its arrays."""

    def run(self, input: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], output: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu')], residual: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)] | None, workspace: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')], threads: int) -> None: ...

    def workspace(self, batch: int, threads: int) -> int:
        """Floats that `run` needs as workspace."""

class Lists:
    """Arrays 1 to 6 of a packed sparse matrix."""

    def __init__(self, row: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], count: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], entry_start: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], weight_start: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], index: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], weight: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None: ...

def spmm(isa: str, geometry: Sequence[int], bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, activation: int, lists: Lists, channel: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], tap: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order='C', device='cpu', writable=False)], chunk: int, group: int, vectors: int, in_place: bool) -> Layer: ...

def winograd(isa: str, geometry: Sequence[int], bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, activation: int, lists: Lists, chunk: int, group: int, vectors: int, output: int) -> Layer: ...

def direct(isa: str, geometry: Sequence[int], bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, activation: int, start: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], index: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], weight: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], rows: int, vectors: int) -> Layer: ...

def taps(isa: str, geometry: Sequence[int], bias: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, activation: int, start: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], offset: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], weight: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], rows: int, vectors: int, flat: bool) -> Layer: ...

def pool_refusal(sizes: Sequence[int]) -> str | None:
    """Why `Program.pool` does not take such sizes; None if it does."""

class Program:
    """A network as steps over one arena."""

    def __init__(self, isa: str) -> None: ...

    def arena_slot(self, at: int, floats: int) -> int: ...

    def part(self, whole: int, first: int, floats: int) -> int:
        """A slot for the same part of every image of another."""

    def input(self, floats: int) -> int: ...

    def output(self, floats: int) -> int: ...

    def layer(self, layer: object, input: int, output: int, residual: int | None = None) -> None: ...

    def pool(self, input: int, output: int, sizes: Sequence[int], average: bool, count_padding: bool, shift: Sequence[float] = [], activation: int = 0) -> None: ...

    def mean(self, input: int, output: int) -> None: ...

    def add(self, a: int, b: int | None, output: int, activation: int) -> None: ...

    def affine(self, input: int, output: int, scale: Sequence[float], shift: Sequence[float], activation: int) -> None: ...

    def gate(self, input: int, gates: int, output: int) -> None: ...

    def copy(self, source: int, target: int) -> None: ...

    def clear(self, target: int) -> None: ...

    def steps(self) -> int:
        """Steps added so far."""

    def arena(self, batch: int, threads: int) -> int:
        """Floats that `run` needs as its arena."""

    def run(self, inputs: Sequence[Annotated[NDArray[numpy.float32], dict(order='C', device='cpu', writable=False)]], outputs: Sequence[Annotated[NDArray[numpy.float32], dict(order='C', device='cpu')]], arena: Annotated[NDArray[numpy.float32], dict(order='C', device='cpu')], batch: int, threads: int, seconds: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu')] | None = None) -> None:
        """Run all steps; `seconds` receives what each of them takes."""

"""`pack`: a compiled network's file to one that is mapped and runs at once."""

import os
from typing import Any, cast

from openwork._files import atomic_path, writing
from openwork.errors import ArgumentError, CheckpointError
from openwork.kernels.candidate import Candidate
from openwork.kernels.native import extension as _C
from openwork.kernels.problem import Problem
from openwork.kernels.threads import threads_of
from openwork.runtime.file_errors import NotSerializable
from openwork.runtime.graph import Graph
from openwork.runtime.load import ReadNetwork, measured_choice, read_compiled
from openwork.runtime.nodes import Conv
from openwork.runtime.packed.layout import PackedFile
from openwork.runtime.packed.nearest import nearest_candidate
from openwork.runtime.packed.opened import is_packed, write_notes
from openwork.runtime.packed.recording import Recording
from openwork.runtime.program import add_steps
from openwork.runtime.values import Value, root

ELSEWHERE = ("neon",)
"""Instruction sets that layers are packed for here even where they cannot run."""


def pack(
    path: str | os.PathLike[str],
    packed: str | os.PathLike[str],
    *,
    isa: str | None = None,
    threads: int | None = None,
) -> None:
    """Write the compiled network at `path` once more, packed for one instruction set.

    `openwork.runtime.load` and the C library map such a file and run it where it lies: nothing is
    packed or copied, and processes that load it share its memory. It is larger than the file that
    it is made of, and is refused by another version whose packed formats differ and by processors
    without its instruction set.

    Args:
        path: of a file that `openwork.save` wrote of what `openwork.compile` gave.
        packed: path of the file to write, whole or not at all.
        isa: instruction set, default the best of this machine. For one that cannot run here
            ("neon") kernels are not measured, but taken as similar as possible.
        threads: with which kernels are measured where the file's cannot be used; default as `load`.

    Raises:
        CheckpointError: as `load`, or the file cannot be written.
        ArgumentError: `isa` is unknown, `threads` is not a whole number from 1 to 4,096, `path` is
            packed already or the same as `packed`, or the network was compiled for several sizes.
        MissingPackageError: openwork was installed without its compiled kernels.
    """
    threads = threads_of(threads)
    if is_packed(path):
        raise ArgumentError(
            f"`path`={str(path)!r} is a packed file; pack the file that it was made of"
        )
    if os.path.exists(path) and os.path.exists(packed) and os.path.samefile(path, packed):
        raise ArgumentError(
            f"`packed`={str(packed)!r} is `path`, which any processor can load; choose another name"
        )
    usable = _C.usable_isas()
    if isa is not None and isa not in (*usable, *ELSEWHERE):
        known = ", ".join(dict.fromkeys((*usable, *ELSEWHERE)))
        raise ArgumentError(f"`isa`={isa!r} must be one of: {known}")
    isa = _C.chosen_isa() if isa is None else isa
    choose = measured_choice(isa, threads)

    def nearest(conv: Conv, problem: Problem, kernel: str, images: int) -> Candidate:
        return nearest_candidate(problem, kernel, isa)

    network, *others = read_compiled(path, choose if isa in usable else nearest)
    if others:
        raise ArgumentError(
            f"`path`={str(path)!r} holds a network for {1 + len(others)} sizes of images, but a "
            "packed file holds one; compile it without `sizes`"
        )
    try:
        content = packed_file(network, isa).to_bytes()
    except (NotSerializable, ValueError) as error:
        raise CheckpointError(f"`path`={str(path)!r} cannot be packed: {error}") from error
    with (
        writing(packed, CheckpointError, "packed"),
        atomic_path(packed) as temporary,
        open(temporary, "wb") as file,
    ):
        file.write(content.data)


def packed_file(network: ReadNetwork, isa: str) -> PackedFile:
    """What the packed file of `network` holds.

    Raises:
        CheckpointError: its batch sizes have conditions.
        ValueError: a layer's kernel cannot be written to a file.
        NotSerializable: a result is a constant of a type that files do not hold.
    """
    batches = network.batches
    if batches.conditions:
        raise CheckpointError(
            f"it {batches.limits}, which a packed file cannot say; compile it for one batch size"
        )
    graph = network.graph
    outputs = _outputs(graph)
    recording = Recording(isa)
    roots = list(outputs)
    add_steps(cast(Any, recording), graph.nodes, network.layers, graph.inputs, roots)
    most = _C.most_batch if batches.most is None else min(batches.most, _C.most_batch)
    return PackedFile(
        isa,
        [(value.name, value.shape) for value in graph.inputs],
        [(value.name, value.shape) for value in outputs.values()],
        (batches.least, most),
        recording.made_slots,
        recording.made_steps,
        write_notes(graph, roots, network.nesting, batches, network.kernels, network.metrics),
    )


def _outputs(graph: Graph) -> dict[Value, Value]:
    """What the steps make of the results, in their order: each value and the first view of it."""
    made = {root(node.output) for node in graph.nodes}
    outputs: dict[Value, Value] = {}
    for value in graph.outputs:
        if root(value) in made:
            outputs.setdefault(root(value), value)
    return outputs

"""`load`: a compiled network from its file, with numpy alone."""

import contextlib
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from openwork.errors import CheckpointError
from openwork.kernels.candidate import Candidate
from openwork.kernels.native import extension as _C
from openwork.kernels.problem import Problem
from openwork.kernels.threads import threads_of
from openwork.runtime import container
from openwork.runtime.batch_sizes import BatchSizes
from openwork.runtime.decode import Decoder
from openwork.runtime.graph import Graph
from openwork.runtime.layers import TORCH, Layer, SharedWeights, fastest_candidate, find_candidate
from openwork.runtime.network import Network
from openwork.runtime.node import FALLBACK
from openwork.runtime.nodes import ByteConv, Conv
from openwork.runtime.packed.opened import is_packed, open_packed
from openwork.runtime.program import Native
from openwork.runtime.read_network import read_batches, read_graph, read_nesting, sizes_of
from openwork.runtime.values import root


def load(path: str | os.PathLike[str], *, threads: int | None = None) -> Network:
    """The compiled network in the file at `path`. Neither this nor calling it needs torch.

    The kernels are those that were chosen when it was compiled, and the best of them for a layer
    that was faster in torch. A layer whose kernel this processor does not have is measured here and
    gets the fastest one, which takes up to a second for each such layer.

    Args:
        path: of a file that `openwork.save` wrote of what `openwork.compile` gave, or `pack` of
            that. A packed file is mapped, and must not be written to while the network lives.
        threads: that a call uses, default `OMP_NUM_THREADS` if it is set, else one for each
            processor that this process may use.

    Returns:
        The network. It takes and gives arrays `(batch, ...)` float32, of the sizes of images for
        which it was compiled when it was saved.

    Raises:
        CheckpointError: the file is truncated, foreign, edited or from a newer version, does not
            hold a compiled network, or the network has an operator that only torch can run.
        ArgumentError: `threads` is not a whole number from 1 to 4,096.
        MissingPackageError: openwork was installed without its compiled kernels.
    """
    threads = threads_of(threads)
    isa: str = _C.chosen_isa()
    if is_packed(path):
        with _blaming(path):
            return open_packed(path, threads)
    read = read_compiled(path, measured_choice(isa, threads))
    with _blaming(path):
        first, *others = [_network(each, isa, threads) for each in read]
    return first.with_sizes(others) if others else first


def _network(read: "ReadNetwork", isa: str, threads: int) -> Network:
    graph = read.graph
    outputs = {root(value) for value in graph.outputs}
    native = Native(graph.nodes, read.layers, outputs, isa) if graph.nodes else None
    return Network(graph, native, read.nesting, read.batches, read.kernels, threads, read.metrics)


@dataclass(frozen=True, eq=False)
class ReadNetwork:
    """What a file holds of a compiled network for one size, its convolutions packed.

    Attributes:
        graph: without weights.
        layers: the packed layer of each convolution.
        nesting: of the results.
        batches: sizes that it takes.
        kernels: (layer, kernel) in the order in which they run.
        metrics: that were saved with it.
    """

    graph: Graph
    layers: Mapping[Conv, Layer]
    nesting: Any
    batches: BatchSizes
    kernels: list[tuple[str, str]]
    metrics: Mapping[str, Any]


Choose = Callable[[Conv, Problem, str, int], Candidate]
"""The kernel for a convolution and its problem, from the name of the one that was chosen when it
was compiled, and the batch size of the calls that were measured then."""


def read_compiled(path: str | os.PathLike[str], choose: Choose) -> list[ReadNetwork]:
    """The compiled network in the file at `path`, for each size of images that it holds.

    Args:
        path: of the file.
        choose: finds the kernels.

    Raises:
        CheckpointError: as `load`.
    """
    tensors, header = container.read(path)
    if header.get("kind") != "compiled":
        raise CheckpointError(
            f"`path`={str(path)!r} does not hold a compiled network; compile the model and save "
            "what `openwork.compile` gives"
        )
    with _blaming(path):
        sizes = sizes_of(header, tensors)
        for size, _ in sizes:
            _refuse_fallbacks(size["network"]["nodes"])
        shared = SharedWeights() if len(sizes) > 1 else None
        metrics = header["metrics"]
        return [_read(own, size, metrics, choose, shared) for size, own in sizes]


@contextlib.contextmanager
def _blaming(path: str | os.PathLike[str]) -> Generator[None]:
    """Raise every error in the block as a CheckpointError about the file at `path`."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"`path`={str(path)!r} cannot be loaded: {error}") from error
    except Exception as error:
        # An edited file may cause any error; so may an intact one where memory is short.
        raise CheckpointError(
            f"`path`={str(path)!r} cannot be loaded: {type(error).__name__}: {error}. If nothing "
            "is missing here, the file is damaged: compile and save it again"
        ) from error


def _read(
    tensors: Mapping[str, container.Stored],
    header: Mapping[str, Any],
    metrics: Mapping[str, Any],
    choose: Choose,
    shared: SharedWeights | None,
) -> ReadNetwork:
    network = header["network"]
    decoder = _StoredDecoder(tensors, network["values"])
    images = decoder.decode_as(int, "images", header["origin"]["images"])
    named = network.get("without_torch", network["kernels"])
    others = decoder.decode_as(list[str], "without_torch", named)
    kernels: list[tuple[str, str]] = []

    def pack(conv: Conv, kernel: str) -> Layer:
        kernel = others[len(kernels)] if kernel == TORCH else kernel
        conv = conv.with_live_weights()
        problem = conv.problem(None if shared is None else shared.packs(conv))
        candidate = choose(conv, problem, kernel, images)
        kernels.append((conv.layer, candidate.name))
        return candidate.build(problem)

    graph, layers = read_graph(network, decoder, pack)
    chosen = iter(kernels)
    kernels = [
        next(chosen) if isinstance(node, Conv) else (node.layer, node.kernel(_C.chosen_isa()))
        for node in graph.nodes
        if isinstance(node, Conv | ByteConv)
    ]
    nesting = read_nesting(network, decoder, len(graph.results))
    return ReadNetwork(graph, layers, nesting, read_batches(header, decoder), kernels, metrics)


def measured_choice(isa: str, threads: int) -> Choose:
    """Chooses the named kernel, or else the fastest that is measured here with `threads`."""

    def choose(conv: Conv, problem: Problem, kernel: str, images: int) -> Candidate:
        named = find_candidate(problem, kernel, isa)
        return named or fastest_candidate(conv, isa, images, threads)

    return choose


class _StoredDecoder(Decoder):
    """Tensors as arrays."""

    def tensor(self, name: Any) -> np.ndarray:
        return super().tensor(name).array()


def _refuse_fallbacks(nodes: Sequence[Mapping[str, Any]]) -> None:
    names = dict.fromkeys(str(node["target"]) for node in nodes if node["kind"] == FALLBACK)
    if names:
        raise CheckpointError(
            f"the network leaves {', '.join(names)} to torch; load it with `openwork.load`, or "
            "compile a network without such operators"
        )

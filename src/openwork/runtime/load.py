"""`load`: a compiled network from its file, with numpy alone."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from openwork._arguments import check_count
from openwork.errors import CheckpointError
from openwork.kernels.native import extension as _C
from openwork.runtime import container
from openwork.runtime.decode import Decoder
from openwork.runtime.layers import TORCH, Layer, SharedWeights, fastest_candidate, find_candidate
from openwork.runtime.network import Network
from openwork.runtime.node import FALLBACK
from openwork.runtime.nodes import Conv
from openwork.runtime.program import Native
from openwork.runtime.read_network import read_batches, read_graph, read_nesting, tensors_of
from openwork.runtime.values import root


def load(path: str | os.PathLike[str], *, threads: int | None = None) -> Network:
    """The compiled network in the file at `path`. Neither this nor calling it needs torch.

    The kernels are those that were chosen when it was compiled. A layer whose kernel this
    processor does not have, or that was faster in torch, is measured here and gets the fastest
    of the kernels, which takes up to a second for each such layer.

    Args:
        path: of a file that `openwork.save` wrote of what `openwork.compile` gave.
        threads: that a call uses, default `OMP_NUM_THREADS` if it is set, else one for each
            processor that this process may use.

    Returns:
        The network. It takes and gives arrays `(batch, ...)` float32, of the sizes of images for
        which it was compiled when it was saved.

    Raises:
        CheckpointError: the file is truncated, foreign, edited or from a newer version, does not
            hold a compiled network, or the network has an operator that only torch can run.
        ArgumentError: `threads` is not a whole number of at least 1.
        MissingPackageError: openwork was installed without its compiled kernels.
    """
    threads = _usable_threads() if threads is None else check_count("threads", threads)
    isa: str = _C.chosen_isa()
    tensors, header = container.read(path)
    if header.get("kind") != "compiled":
        raise CheckpointError(
            f"`path`={str(path)!r} does not hold a compiled network; compile the model and save "
            "what `openwork.compile` gives"
        )
    try:
        sizes = [header, *header.get("sizes", [])]
        for size in sizes:
            _refuse_fallbacks(size["network"]["nodes"])
        shared = SharedWeights() if len(sizes) > 1 else None
        first = _network(tensors, header, isa, threads, shared)
        others = [
            _network(tensors_of(size, tensors), size, isa, threads, shared) for size in sizes[1:]
        ]
        return first.with_sizes(others) if others else first
    except CheckpointError as error:
        raise CheckpointError(f"`path`={str(path)!r} cannot be loaded: {error}") from error
    except Exception as error:
        # An edited file may cause any error; so may an intact one where memory is short.
        raise CheckpointError(
            f"`path`={str(path)!r} cannot be loaded: {type(error).__name__}: {error}. If nothing "
            "is missing here, the file is damaged: compile and save it again"
        ) from error


def _network(
    tensors: Mapping[str, container.Stored],
    header: Mapping[str, Any],
    isa: str,
    threads: int,
    shared: SharedWeights | None,
) -> Network:
    network = header["network"]
    decoder = _StoredDecoder(tensors, network["values"])
    images = decoder.decode_as(int, "images", header["origin"]["images"])
    kernels: list[tuple[str, str]] = []

    def pack(conv: Conv, kernel: str) -> Layer:
        conv = conv.with_live_weights()
        problem = conv.problem(None if shared is None else shared.packs(conv))
        candidate = None if kernel == TORCH else find_candidate(problem, kernel, isa)
        candidate = candidate or fastest_candidate(conv, isa, images, threads)
        kernels.append((conv.layer, candidate.name))
        return candidate.build(problem)

    graph, layers = read_graph(network, decoder, pack)
    outputs = {root(value) for value in graph.outputs}
    program = Native(graph.nodes, layers, outputs, isa) if graph.nodes else None
    nesting = read_nesting(network, decoder, len(graph.results))
    return Network(graph, program, nesting, read_batches(header, decoder), kernels, threads)


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


def _usable_threads() -> int:
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

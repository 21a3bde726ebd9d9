"""A packed file as a network that runs where the file is mapped."""

import base64
import binascii
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from openwork._files import check_path
from openwork._json import decode_mapping
from openwork.errors import CheckpointError
from openwork.kernels.native import extension as _C
from openwork.runtime.batch_sizes import BatchSizes
from openwork.runtime.check import check_order
from openwork.runtime.decode import Decoder
from openwork.runtime.encode import Encoder
from openwork.runtime.file_errors import require
from openwork.runtime.graph import Graph
from openwork.runtime.network import Network
from openwork.runtime.packed.layout import MAGIC
from openwork.runtime.program import Runs
from openwork.runtime.read_network import read_nesting
from openwork.runtime.values import Value, root

__all__ = ["is_packed"]


def is_packed(path: str | os.PathLike[str]) -> bool:
    """Whether the file at `path` begins as a packed file does."""
    check_path(path)
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def write_notes(
    graph: Graph,
    outputs: Sequence[Value],
    nesting: Any,
    batches: BatchSizes,
    kernels: Sequence[tuple[str, str]],
    metrics: Mapping[str, Any],
) -> str:
    """What a packed file keeps for `open_packed` beside its program, as JSON.

    Args:
        graph: its inputs and results.
        outputs: values that the program gives.
        nesting: of the results.
        batches: sizes that the network takes.
        kernels: (layer, kernel) in order.
        metrics: that were saved with it.

    Raises:
        NotSerializable: a result is a constant of a type that files do not hold.
    """
    encoder = Encoder()
    notes = {
        "inputs": encoder.encode(graph.inputs),
        "outputs": encoder.encode(list(outputs)),
        "results": encoder.encode(graph.results),
        "nesting": encoder.encode(nesting),
        "batches": [batches.least, batches.most],
        "kernels": [list(pair) for pair in kernels],
        "metrics": metrics,
        "values": encoder.values,
        "arrays": {name: _to_text(array) for name, array in encoder.tensors.items()},
    }
    return json.dumps(notes)


def open_packed(path: str | os.PathLike[str], threads: int) -> Network:
    """The network in the packed file at `path`.

    Args:
        path: of a file for which `is_packed`.
        threads: that a call uses.

    Raises:
        CheckpointError: it is damaged, of another version, or for another instruction set.
    """
    try:
        program, text = _C.open_packed(os.fsdecode(path))
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    notes = decode_mapping(text)
    arrays = {name: _from_text(given) for name, given in notes["arrays"].items()}
    decoder = Decoder(arrays, notes["values"])
    inputs = decoder.decode_as(list[Value], "inputs", notes["inputs"])
    outputs = decoder.decode_as(list[Value], "outputs", notes["outputs"])
    results = decoder.decode_as(list[Any], "results", notes["results"])
    kernels = decoder.decode_as(list[list[str]], "kernels", notes["kernels"])
    least, most = decoder.decode_as(list[int | None], "batches", notes["batches"])
    graph = Graph(inputs, results, [])
    check_order(Graph([*inputs, *outputs], results, []))
    require(all(root(value) is value for value in outputs), "outputs must not be views")
    nesting = read_nesting(notes, decoder, len(results))
    batches = BatchSizes(least or 1, most)
    pairs = [(layer, kernel) for layer, kernel in kernels]
    runs = Runs(program, inputs, outputs, range(program.steps()))
    # Files written before have none.
    metrics = notes.get("metrics", {})
    require(isinstance(metrics, dict), "metrics must be a mapping")
    return Network(graph, runs, nesting, batches, pairs, threads, metrics)


def _to_text(array: np.ndarray) -> list[Any]:
    return [array.dtype.str, list(array.shape), base64.b64encode(array.tobytes()).decode()]


def _from_text(given: Any) -> np.ndarray:
    dtype, shape, text = given
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise CheckpointError(f"a constant of the packed file is damaged: {error}") from error
    return np.frombuffer(content, np.dtype(dtype)).reshape(shape)

"""`read_model`: an ONNX file, read within bounds and checked, as far as openwork needs it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from openwork._files import check_path, open_file, why
from openwork.errors import CheckpointError
from openwork.interchange.input_form import InputForm
from openwork.interchange.packages import package
from openwork.interchange.tensors import DTYPES, Weights
from openwork.interchange.wire import check_wire

# Protobuf's own limit.
_LARGEST = (1 << 31) - 1
_OLDEST = 11
# Numbers of AttributeProto.AttributeType -> the field that holds the value.
_FIELDS = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints", 8: "strings"}


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """A model whose names have been checked.

    Attributes:
        what: the file, in words.
        opset: version of the operators.
        inputs: by name, in order.
        outputs: names.
        weights: name -> tensor.
        nodes: each after those that it reads.
        proto: the model itself.
        reader: reads tensors of attributes.
    """

    what: str
    opset: int
    inputs: Mapping[str, InputForm]
    outputs: tuple[str, ...]
    weights: Mapping[str, torch.Tensor]
    nodes: tuple[Any, ...]
    proto: Any
    reader: Weights

    def attributes(self, node: Any) -> dict[str, Any]:
        """The attributes of a node.

        Raises:
            CheckpointError: one is malformed, or of a kind that openwork does not read.
        """
        found: dict[str, Any] = {}
        for each in node.attribute:
            field = _FIELDS.get(each.type)
            if field is None or each.name in found:
                raise CheckpointError(f"the attribute {each.name!r} is of a kind {each.type}")
            value = getattr(each, field)
            if field == "s":
                value = value.decode("utf-8", "replace")
            elif field == "t":
                value = self.reader.read(value)
            elif field in ("floats", "ints"):
                value = list(value)
            found[each.name] = value
        return found


def read_model(source: str | os.PathLike[str] | bytes) -> OnnxModel:
    """The model in a file, or of its bytes.

    Raises:
        CheckpointError: it cannot be read, or is malformed; weights that lie in other files must
            lie in the folder of the model.
        MissingPackageError: onnx is not installed.
    """
    onnx = package("onnx")
    if isinstance(source, bytes):
        content, what, folder = source, "the ONNX model", None
    else:
        check_path(source, "source")
        content, what, folder = _content(source), f"`path`={str(source)!r}", Path(source).parent
    try:
        check_wire(content, onnx.ModelProto.DESCRIPTOR)
        proto = onnx.ModelProto.FromString(content)
        return _checked(proto, what, Weights(folder, len(content)))
    except CheckpointError as error:
        raise CheckpointError(f"{what} is malformed or unknown: {error}") from error
    except Exception as error:
        # protobuf's errors differ between its versions.
        if not type(error).__module__.startswith("google."):
            raise
        raise CheckpointError(f"{what} is not an ONNX model ({error})") from error


def _content(path: str | os.PathLike[str]) -> bytes:
    try:
        with open_file(path) as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise CheckpointError(f"`path`={str(path)!r} cannot be read ({why(error)})") from error
    if len(content) > _LARGEST:
        raise CheckpointError(
            f"`path`={str(path)!r} has more than 2 GB, which protobuf does not read; save its "
            "weights as external data"
        )
    return content


def _checked(proto: Any, what: str, reader: Weights) -> OnnxModel:
    graph = proto.graph
    if proto.functions:
        names = sorted({f"{each.domain}.{each.name}" for each in proto.functions})[:5]
        raise CheckpointError(
            f"it defines the functions {', '.join(names)}; replace them by what they hold with "
            "onnx.inliner.inline_local_functions"
        )
    opset = _opset(proto)
    if graph.sparse_initializer:
        raise CheckpointError("it has sparse initialisers; write them dense")
    weights: dict[str, torch.Tensor] = {}
    for each in graph.initializer:
        if each.name in weights:
            raise CheckpointError(f"two initialisers are called {each.name!r}")
        weights[each.name] = reader.read(each)
    inputs: dict[str, InputForm] = {}
    for each in graph.input:
        if each.name in inputs:
            raise CheckpointError(f"two inputs are called {each.name!r}")
        # Before version 4 of the format, initialisers were inputs too.
        if each.name not in weights:
            inputs[each.name] = _form_of(each)
    outputs = tuple(each.name for each in graph.output)
    if not inputs or not outputs:
        raise CheckpointError("it has no inputs or no outputs")
    nodes = _sorted(graph.node, {*inputs, *weights}, outputs)
    return OnnxModel(what, opset, inputs, outputs, weights, nodes, proto, reader)


def _opset(proto: Any) -> int:
    newest = package("onnx").defs.onnx_opset_version()
    versions = [each.version for each in proto.opset_import if each.domain in ("", "ai.onnx")]
    opset = max(versions, default=0)
    if len(set(versions)) != 1 or not _OLDEST <= opset <= newest:
        raise CheckpointError(
            f"its operators are of opset {opset}, but must be of {_OLDEST} to {newest}; convert it "
            "with onnx.version_converter.convert_version, or install a newer onnx package"
        )
    return opset


def _form_of(value: Any) -> InputForm:
    kind = value.type
    if kind.WhichOneof("value") != "tensor_type" or kind.tensor_type.elem_type not in DTYPES:
        raise CheckpointError(f"the input {value.name!r} is not a tensor of numbers")
    dtype = DTYPES[kind.tensor_type.elem_type]
    if not kind.tensor_type.HasField("shape"):
        return InputForm(value.name, None, dtype)
    # Some exporters write -1 for any size.
    sizes = [
        None if each.dim_value in (0, -1) else each.dim_value for each in kind.tensor_type.shape.dim
    ]
    if any(size is not None and size < 0 for size in sizes) or len(sizes) > 16:
        raise CheckpointError(f"the input {value.name!r} has the shape {sizes[:17]}")
    return InputForm(value.name, tuple(sizes), dtype)


def _sorted(nodes: Any, known: set[str], outputs: tuple[str, ...]) -> tuple[Any, ...]:
    """The nodes, each after those that it reads.

    Raises:
        CheckpointError: a name is given twice or by nothing, or nodes read each other in a circle.
    """
    giver: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in filter(None, node.output):
            if name in giver or name in known:
                raise CheckpointError(f"{name!r} is given twice")
            giver[name] = index
    readers: dict[int, list[int]] = {index: [] for index in range(len(nodes))}
    waits = dict.fromkeys(readers, 0)
    for index, node in enumerate(nodes):
        for name in set(filter(None, node.input)) - known:
            if name not in giver:
                raise CheckpointError(f"{_called(node)} reads {name!r}, which nothing gives")
            readers[giver[name]].append(index)
            waits[index] += 1
    missing = [name for name in outputs if name not in giver and name not in known]
    if missing:
        raise CheckpointError(f"the output {missing[0]!r} is given by nothing")
    ready = [index for index, count in waits.items() if not count]
    order: list[int] = []
    for index in ready:
        order.append(index)
        for reader in readers[index]:
            waits[reader] -= 1
            if not waits[reader]:
                ready.append(reader)
    if len(order) < len(nodes):
        first = next(index for index, count in waits.items() if count)
        raise CheckpointError(f"{_called(nodes[first])} reads what depends on itself")
    in_place = all(giver.get(n, -1) < i for i, node in enumerate(nodes) for n in node.input)
    return tuple(nodes) if in_place else tuple(nodes[index] for index in order)


def _called(node: Any) -> str:
    return f"the node {node.name!r} ({node.op_type})"

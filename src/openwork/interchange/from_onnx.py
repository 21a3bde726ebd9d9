"""`from_onnx`: an ONNX model as an ordinary network of torch."""

import os
from typing import Any

from torch import fx, nn

from openwork.errors import CheckpointError
from openwork.interchange.builder import Builder, with_rank
from openwork.interchange.handle.table import HANDLERS
from openwork.interchange.names import identifier
from openwork.interchange.network import OnnxNetwork
from openwork.interchange.onnx_node import OnnxNode
from openwork.interchange.ranks import ranks
from openwork.interchange.read_model import OnnxModel, read_model
from openwork.interchange.values import Constant, NotReadable, Value

_DEFAULT = ("", "ai.onnx")
_OF_TORCH = (
    ValueError, RuntimeError, TypeError, IndexError, KeyError, OverflowError, ArithmeticError,
    AttributeError, NotImplementedError,
)  # fmt: skip


def from_onnx(source: str | os.PathLike[str] | bytes) -> nn.Module:
    """The network in an ONNX file, made of torch's modules, to train, prune, compact or compile.

    Layers with weights are modules under the names that they had where torch exported them;
    parameters and buffers are copies. The network is in evaluation mode; `.train()` makes it
    train. Opsets 11 and newer are read, without control flow. Of quantised models
    QuantizeLinear and DequantizeLinear are read; int8 weights stay int8 buffers.

    Args:
        source: the path of the file, or its bytes. External weights must lie in its folder.

    Returns:
        A module that takes the inputs of the model, `(batch, ...)` each, in their order, and
        returns its output, or a tuple if there are several.

    Raises:
        CheckpointError: the file is missing or malformed, or holds operators that openwork does
            not read; the message names them all.
        MissingPackageError: onnx is not installed.
    """
    model = read_model(source)
    _refuse_unknown(model)
    net = Builder()
    values: dict[str, Any] = {
        name: Constant(tensor, name) for name, tensor in model.weights.items()
    }
    names: set[str] = set()
    for name, form in model.inputs.items():
        own = identifier(name)
        while own in names:
            own = f"{own}_2"
        names.add(own)
        node = net.graph.placeholder(own)
        values[name] = _exactly(node, None if form.shape is None else len(form.shape))
    inferred = ranks(model.proto)
    for node in model.nodes:
        for name, value in _built(net, model, node, values).items():
            values[name] = _exactly(value, inferred.get(name))
    results = [net.tensor(values[name]) for name in model.outputs]
    net.graph.output(results[0] if len(results) == 1 else tuple(results))
    return OnnxNetwork(net.root, net.graph, list(model.inputs.values())).eval()


def _exactly(value: Any, rank: int | None) -> Any:
    if rank is not None and isinstance(value, fx.Node):
        value.meta["exact"] = rank
        return with_rank(value, rank)
    return value


def _refuse_unknown(model: OnnxModel) -> None:
    unknown: dict[str, list[Any]] = {}
    for node in model.nodes:
        if node.domain not in _DEFAULT or node.op_type not in HANDLERS:
            domain = "" if node.domain in _DEFAULT else f"{node.domain}."
            unknown.setdefault(f"{domain}{node.op_type}", []).append(node)
    if not unknown:
        return
    lines = [
        f"{operator} ({len(nodes)} times, first at {nodes[0].name or nodes[0].output[0]!r})"
        for operator, nodes in sorted(unknown.items())
    ]
    raise CheckpointError(
        f"{model.what} has operators of opset {model.opset} that openwork does not read: "
        f"{', '.join(lines)}; export the network without them, or build it in PyTorch"
    )


def _built(net: Builder, model: OnnxModel, node: Any, values: dict[str, Any]) -> dict[str, Value]:
    """What a node gives, by name.

    Raises:
        CheckpointError: the node cannot be built; the message names it.
    """
    try:
        inputs = [values[name] if name else None for name in node.input]
        while inputs and inputs[-1] is None:
            inputs.pop()
        outputs = list(node.output)
        while outputs and not outputs[-1]:
            outputs.pop()
        read = OnnxNode(
            node.op_type, node.name, model.opset, inputs, len(outputs), model.attributes(node)
        )
        found = HANDLERS[node.op_type](net, read)
        results = found if isinstance(found, tuple) else (found,)
        if len(results) < len(outputs):
            raise NotReadable(f"it gives {len(results)} results, but {len(outputs)} are read")
    except (NotReadable, CheckpointError, *_OF_TORCH) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{model.what}: openwork cannot read the node {node.name or node.output[:1]!r}, "
            f"{node.op_type} of opset {model.opset}: {reason}"
        ) from error
    # What a node holds goes by the name of what it gives, as weights do.
    return {
        name: Constant(value.tensor, name) if isinstance(value, Constant) else value
        for name, value in zip(outputs, results, strict=False)
        if name
    }

"""`fold_batch_norms_`: a batch norm after a layer becomes part of its weight and bias."""

import torch
from torch import fx

from openwork.capture.operators import arguments, batch_norm
from openwork.quantize.layer import Layer, layer_of
from openwork.quantize.net import Net, name_of

_NORMS = ("batch_norm", "cudnn_batch_norm", "native_batch_norm",
    "_native_batch_norm_legit_no_training")  # fmt: skip


@torch.no_grad()
def fold_batch_norms_(net: Net) -> None:
    """Fold each batch norm that alone reads a convolution or linear layer, in place."""
    for node in list(net.graph.nodes):
        layer = layer_of(net, node)
        if layer is None or len(node.users) != 1:
            continue
        norm = next(iter(node.users))
        if norm.op == "call_function" and name_of(norm) in _NORMS:
            _fold(net, node, layer, norm)
    net.graph.eliminate_dead_code()


def _fold(net: Net, node: fx.Node, layer: Layer, norm: fx.Node) -> None:
    record = batch_norm(norm)
    mean, variance = net.constant(record.mean), net.constant(record.variance)
    scale, shift = net.constant(record.weight), net.constant(record.bias)
    known = (record.weight is None or scale is not None) and (
        record.bias is None or shift is not None
    )
    if record.training or mean is None or variance is None or not known:
        return
    if record.input is not node or any(user.op != "call_function" for user in norm.users):
        return
    # In float64: small variances make large factors.
    factor = (variance.double() + record.eps).rsqrt()
    if scale is not None:
        factor = factor * scale.double()
    weight = layer.weight.double() * factor.reshape(-1, *[1] * (layer.weight.dim() - 1))
    bias = -mean.double() * factor
    if layer.bias is not None:
        bias += layer.bias.double() * factor
    if shift is not None:
        bias += shift.double()
    with net.graph.inserting_before(node):
        held = net.hold(f"{layer.name}.weight", weight.float())
        added = net.hold(f"{layer.name}.bias", bias.float())
    named = arguments(node)
    named[layer.weight_argument], named["bias"] = held, added
    order = [argument.name for argument in node.target._schema.arguments]  # type: ignore[union-attr]
    node.args, node.kwargs = tuple(named[name] for name in order), {}
    results = [norm] if _gives_tensor(norm) else list(norm.users)
    for result in results:
        result.replace_all_uses_with(node)
    net.layers[node.name] = layer.name


def _gives_tensor(norm: fx.Node) -> bool:
    return isinstance(norm.meta.get("val"), torch.Tensor)

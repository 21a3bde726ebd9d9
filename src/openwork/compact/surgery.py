"""`cut_`: take selected channels out of a model's own layers."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from openwork.compact.select import Selection
from openwork.flow.analysis import Analysis
from openwork.flow.weighted_sum import Weight, WeightedSum
from openwork.nn import SparseLayer
from openwork.nn.change.exchange import inherit_
from openwork.nn.layers import replace, sparse_layers
from openwork.nn.resize import mark_resized, set_pattern_
from openwork.ops.expand import collect, expand
from openwork.patterns import Pattern

# From a tensor of the old shape, the part that is kept.
Slice = Callable[[torch.Tensor], torch.Tensor]


@dataclass
class Cuts:
    """What was cut out of a model.

    Attributes:
        slices: qualified name of a parameter or buffer -> cuts a tensor of its old shape, such as
            its momentum, to its new shape; gives zero for weights that are new.
        added: names of new biases.
    """

    slices: dict[str, Slice] = field(default_factory=dict)
    added: list[str] = field(default_factory=list)


@torch.no_grad()
def cut_(model: nn.Module, analysis: Analysis, selection: Selection) -> Cuts:
    """Remove the atoms of `selection` from `model`, in place.

    Sparse layers that are left without a dead weight become plain layers of torch.

    Args:
        model: the one that was analysed, or an equal one.
        analysis: of that model.
        selection: the atoms to remove.

    Returns:
        How each parameter and buffer was cut: a weight `(out, in, ...)` to its kept rows and
        columns, a vector `(out,)` to its kept entries.
    """
    cuts = Cuts()
    gone = selection.gone
    resized: dict[nn.Module, int | None] = {}
    for op in analysis.weighted_sums:
        _fold(model, op, gone, cuts)
        if op.weight.name in cuts.slices:
            # Cut already, where the layer was used before.
            continue
        columns = selection.columns[op.weight.name]
        absorbers = op.absorbers(gone)
        whole = not gone[op.weight.out].any() and len(columns) == len(op.weight.inside)
        if not whole or (absorbers >= 0).any():
            keep, groups = _slice_of(op.weight, columns, gone)
            _cut_weight(model, op, keep, groups, absorbers, cuts)
            module = _owner(model, op.weight.name)
            resized[module] = groups if op.weight.groups > 1 else None
    for name, layout in analysis.vectors.items():
        kept = np.flatnonzero(~gone[layout.ids.reshape(-1)])
        if len(kept) < layout.ids.size:
            _cut_vector(model, name, kept, cuts)
            resized.setdefault(_owner(model, name), None)
    for module, groups in resized.items():
        mark_resized(module, groups)
    _make_plain_(model, cuts)
    return cuts


def _make_plain_(model: nn.Module, cuts: Cuts) -> None:
    """Replace sparse layers without a dead weight by plain ones, which torch runs faster.

    A model that is itself such a layer stays one.
    """
    layers = sparse_layers(model).items()
    whole = {n: x for n, x in layers if n and x.weight.numel() == math.prod(x.shape)}
    for name in whole:
        cuts.slices[f"{name}.weight"] = _unfolded(cuts.slices.get(f"{name}.weight"), whole[name])
    plain: dict[nn.Module, nn.Module] = {layer: layer.to_dense() for layer in whole.values()}
    replace(model, plain)
    for layer, dense in plain.items():
        inherit_(dense, layer)


def _unfolded(keep: Slice | None, layer: SparseLayer) -> Slice:
    """Cut by `keep`, which gives (live,), then bring to the shape of a dense weight."""
    return lambda held: (held if keep is None else keep(held)).reshape(layer.shape)


def _owner(model: nn.Module, name: str) -> nn.Module:
    return model.get_submodule(name.rpartition(".")[0])


def _tensor(model: nn.Module, name: str) -> torch.Tensor | None:
    return getattr(_owner(model, name), name.rpartition(".")[2])


def _fold(model: nn.Module, op: WeightedSum, gone: np.ndarray, cuts: Cuts) -> None:
    """Add what removed constants contributed to a bias, or subtract it from a running mean."""
    folded = op.folded(gone)
    if op.fold is None or not folded.any():
        return
    constant = torch.from_numpy(op.fold.sign * op.added(folded))
    held = _tensor(model, op.fold.name)
    if held is None:
        module = _owner(model, op.fold.name)
        weight = next(module.parameters(recurse=False))
        bias = constant[~gone[op.weight.out]].to(weight.dtype)
        module.register_parameter(
            op.fold.name.rpartition(".")[2], nn.Parameter(bias, weight.requires_grad)
        )
        cuts.added.append(op.fold.name)
    else:
        held.copy_(held.double() + constant)


def _slice_of(weight: Weight, columns: np.ndarray, gone: np.ndarray) -> tuple[Slice, int]:
    """How to cut a tensor of the weight's shape, and how many groups are kept."""
    out, _ = weight.by_group()
    alive = ~gone[out]
    if weight.groups == 1:
        rows = np.flatnonzero(alive[0])
        axes = (columns, rows) if weight.transposed else (rows, columns)
        first, second = map(torch.from_numpy, axes)
        return lambda t: _laid_out_like(t, t.index_select(0, first).index_select(1, second)), 1
    width = len(weight.inside) // weight.groups
    kept = np.flatnonzero(alive.any(1))
    inside = columns.reshape(len(kept), -1)
    filters = out.shape[1] * kept[:, None] + np.nonzero(alive[kept])[1].reshape(len(kept), -1)
    if weight.transposed:
        flat = inside[:, :, None] * out.shape[1] + (filters % out.shape[1])[:, None, :]
    else:
        flat = filters[:, :, None] * width + (inside % width)[:, None, :]
    places = torch.from_numpy(flat.reshape(-1, flat.shape[2]))
    return lambda t: _laid_out_like(t, t.reshape(-1, *t.shape[2:])[places]), len(kept)


def _laid_out_like(whole: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """`part`, with channels last in memory if `whole` has them last."""
    form = {4: torch.channels_last, 5: torch.channels_last_3d}.get(whole.dim())
    if form is None or whole.is_contiguous() or not whole.is_contiguous(memory_format=form):
        return part
    return part.contiguous(memory_format=form)


def _cut_weight(
    model: nn.Module, op: WeightedSum, keep: Slice, groups: int, absorbers: np.ndarray, cuts: Cuts
) -> None:
    module, name = _owner(model, op.weight.name), op.weight.name
    if isinstance(module, SparseLayer):
        cuts.slices[name] = _cut_sparse(module, op, keep, groups, absorbers)
        return
    held = _tensor(model, name)
    if held is not None:
        cuts.slices[name] = keep
        held.data = keep(_with_absorbed(held, op, absorbers, op.constants)).to(held.dtype)


def _with_absorbed(
    held: torch.Tensor, op: WeightedSum, absorbers: np.ndarray, value: np.ndarray
) -> torch.Tensor:
    """`held`, the kernels of removed constants added to those of their absorbers."""
    weight = op.weight
    width = len(weight.inside) // weight.groups
    if not (absorbers >= 0).any():
        return held
    double = held.double().clone()
    if weight.transposed:
        by_input = double.unbind(0)
    else:
        blocks = double.reshape(weight.groups, -1, width, *double.shape[2:])
        by_input = [blocks[i // width, :, i % width] for i in range(len(weight.inside))]
    for index in np.flatnonzero(absorbers >= 0):
        absorber = absorbers[index]
        by_input[absorber].add_(by_input[index] * (value[index] / value[absorber]))
    return double


def _cut_sparse(
    layer: SparseLayer, op: WeightedSum, keep: Slice, groups: int, absorbers: np.ndarray
) -> Slice:
    """Cut live weights (live,); how to cut other tensors of their shape."""
    gaps, shape = layer.gaps, layer.shape
    dense = keep(_with_absorbed(layer.dense_weight(), op, absorbers, op.constants))
    live = expand(torch.ones(layer.weight.shape[0]), gaps, shape)
    # An absorber gets the taps of all that it absorbs.
    absorbed = keep(_with_absorbed(live, op, absorbers, np.ones(len(absorbers))))
    pattern = Pattern((absorbed != 0).numpy(), groups)
    new = torch.from_numpy(pattern.gaps.copy())
    set_pattern_(layer, pattern, collect(dense, new, pattern.live))
    return lambda held: collect(keep(expand(held, gaps, shape)), new, pattern.live)


def _cut_vector(model: nn.Module, name: str, kept: np.ndarray, cuts: Cuts) -> None:
    held = _tensor(model, name)
    if held is None:
        return
    places = torch.from_numpy(kept)

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.reshape(-1)[places].reshape([-1 if n > 1 else 1 for n in tensor.shape])

    cuts.slices[name] = keep
    held.data = keep(held)

"""Cutting channels out of a model's own layers."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from openwork.channels.analysis import Analysis
from openwork.channels.mix import Mix, Weight
from openwork.channels.select import Selection
from openwork.kernels._expand import collect, expand
from openwork.nn import SparseLayer
from openwork.nn._resize import mark_resized, set_pattern_
from openwork.patterns import Pattern


@dataclass
class Cuts:
    """What was cut out of a model.

    Attributes:
        taken: qualified name of a parameter or buffer -> for each of its new numbers the flat place
            of the old one, -1 for a number that is new.
        added: names of biases that were made.
    """

    taken: dict[str, torch.Tensor] = field(default_factory=dict)
    added: list[str] = field(default_factory=list)


@torch.no_grad()
def cut_(model: nn.Module, analysis: Analysis, selection: Selection) -> Cuts:
    """Take the atoms of `selection` out of `model`, in place.

    Args:
        model: the one that was analysed, or an equal one.
        analysis: of it.
        selection: what goes.
    """
    cuts = Cuts()
    gone = selection.gone
    resized: dict[nn.Module, int | None] = {}
    for mix in analysis.mixes:
        _fold(model, mix, gone, cuts)
        if mix.weight.name in cuts.taken:
            # Cut already, at another use of it.
            continue
        module = _owner(model, mix.weight.name)
        connections, groups = _connections(mix.weight, selection.columns[mix.weight.name], gone)
        bearers = mix.carriers(gone)
        if connections.size < mix.weight.reads.size or (bearers >= 0).any():
            _cut_weight(model, mix, connections, groups, bearers, cuts)
            resized[module] = groups if mix.weight.groups > 1 else None
    for name, layout in analysis.vectors.items():
        staying = np.flatnonzero(~gone[layout.ids.reshape(-1)])
        if len(staying) < layout.ids.size:
            _cut_vector(model, name, staying, cuts)
            resized.setdefault(_owner(model, name), None)
    for module, groups in resized.items():
        mark_resized(module, groups)
    return cuts


def _owner(model: nn.Module, name: str) -> nn.Module:
    return model.get_submodule(name.rpartition(".")[0])


def _tensor(model: nn.Module, name: str) -> torch.Tensor | None:
    return getattr(_owner(model, name), name.rpartition(".")[2])


def _fold(model: nn.Module, mix: Mix, gone: np.ndarray, cuts: Cuts) -> None:
    """Add to a bias, or take from a running mean, what constants gave that go."""
    folded = mix.folded(gone)
    if mix.fold is None or not folded.any():
        return
    constant = torch.from_numpy(mix.fold.sign * mix.added(folded))
    held = _tensor(model, mix.fold.name)
    if held is None:
        module = _owner(model, mix.fold.name)
        weight = next(module.parameters(recurse=False))
        bias = constant[~gone[mix.weight.out]].to(weight.dtype)
        module.register_parameter(
            mix.fold.name.rpartition(".")[2], nn.Parameter(bias, weight.requires_grad)
        )
        cuts.added.append(mix.fold.name)
    else:
        held.copy_(held.double() + constant)


def _connections(weight: Weight, columns: np.ndarray, gone: np.ndarray) -> tuple[np.ndarray, int]:
    """What stays of a weight, as flat places of its first two axes, and its new groups."""
    out, _ = weight.by_group()
    width = len(weight.inside) // weight.groups
    stays = ~gone[out]
    kept = np.flatnonzero(stays.any(1))
    inside = columns.reshape(len(kept), -1)
    filters = out.shape[1] * kept[:, None] + np.nonzero(stays[kept])[1].reshape(len(kept), -1)
    if weight.transposed:
        places = inside[:, :, None] * out.shape[1] + (filters % out.shape[1])[:, None, :]
    else:
        places = filters[:, :, None] * width + (inside % width)[:, None, :]
    return places.reshape(-1, places.shape[2]), len(kept)


def _cut_weight(
    model: nn.Module,
    mix: Mix,
    connections: np.ndarray,
    groups: int,
    bearers: np.ndarray,
    cuts: Cuts,
) -> None:
    module, name = _owner(model, mix.weight.name), mix.weight.name
    places = torch.from_numpy(connections)
    if isinstance(module, SparseLayer):
        cuts.taken[name] = _cut_sparse(module, mix, places, groups, bearers)
        return
    held = _tensor(model, name)
    if held is None:
        return
    kernel = held.shape[2:]
    carried = _with_carriers(held, mix, bearers, mix.constants)
    old = torch.arange(held.numel()).reshape(-1, *kernel)
    cuts.taken[name] = old[places]
    held.data = carried.reshape(-1, *kernel)[places].to(held.dtype)


def _with_carriers(
    held: torch.Tensor, mix: Mix, bearers: np.ndarray, value: np.ndarray
) -> torch.Tensor:
    """`held` where the kernels of constants that go are added to those that bear them."""
    weight = mix.weight
    width = len(weight.inside) // weight.groups
    if not (bearers >= 0).any():
        return held
    double = held.double().clone()
    if weight.transposed:
        by_input = double.unbind(0)
    else:
        blocks = double.reshape(weight.groups, -1, width, *double.shape[2:])
        by_input = [blocks[i // width, :, i % width] for i in range(len(weight.inside))]
    for index in np.flatnonzero(bearers >= 0):
        bearer = bearers[index]
        by_input[bearer].add_(by_input[index] * (value[index] / value[bearer]))
    return double


def _cut_sparse(
    layer: SparseLayer, mix: Mix, places: torch.Tensor, groups: int, bearers: np.ndarray
) -> torch.Tensor:
    """Cut live weights; for each new one the place of the old one, -1 where there was none."""
    kernel = layer.shape[2:]
    dense = _with_carriers(layer.dense_weight(), mix, bearers, mix.constants).reshape(-1, *kernel)[
        places
    ]
    numbers = torch.arange(1, layer.weight.shape[0] + 1, dtype=torch.float64)
    old = expand(numbers, layer.gaps, layer.shape)
    # A bearer gets the taps of all that it bears.
    bears = _with_carriers((old > 0).double(), mix, bearers, np.ones(len(bearers)))
    live = bears.reshape(-1, *kernel)[places] != 0
    pattern = Pattern(live.numpy(), groups)
    gaps = torch.from_numpy(pattern.gaps.copy())
    kept = old.long().reshape(-1, *kernel)[places]
    set_pattern_(layer, pattern, collect(dense, gaps, pattern.live))
    return collect(kept, gaps, pattern.live) - 1


def _cut_vector(model: nn.Module, name: str, staying: np.ndarray, cuts: Cuts) -> None:
    held = _tensor(model, name)
    if held is None:
        return
    shape = [len(staying) if n > 1 else 1 for n in held.shape]
    cuts.taken[name] = torch.from_numpy(staying).reshape(shape)
    held.data = held.reshape(-1)[cuts.taken[name]].clone()

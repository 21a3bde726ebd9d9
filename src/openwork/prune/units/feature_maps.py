"""Feature maps as units: a map with all kernels that make it and all that read it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import nn

from openwork.errors import ArgumentError
from openwork.nn.layers import left_layers
from openwork.prune.units.coupling import Coupling, coupling_of
from openwork.prune.units.layers import Layer, all_layers
from openwork.prune.units.units import Cells, Group


def feature_map_units(
    model: nn.Module, layers: Mapping[str, Layer], example: torch.Tensor
) -> Cells:
    """One unit a feature map: no kernel makes it any more, and no kernel or column reads it.

    Since nothing reads the map, its bias and batch normalisation have no effect either. Maps that
    are added, multiplied or carried on by depthwise layers go together, if all layers that make
    them are among `layers`; what cannot go is noted, with the reason.

    Args:
        model: the network.
        layers: whose maps may go.
        example: an input batch.

    Raises:
        ArgumentError: none of the maps can go.
        CaptureError: torch.export cannot capture the network.

    Source: feature map pruning in "Compact Deep CNNs With Coarse Pruning" (Anwar, Sung 2016). What
    happens where maps are tied is our reading.
    """
    coupling = coupling_of(model, example)
    known = all_layers(model)
    _fix_what_cannot_be_cut(coupling, model, known)
    makers = _makers(coupling)
    groups, unit_of, notes = _grouped(coupling, makers, layers, known)
    notes += _carried(coupling, makers, layers)
    if not groups:
        raise ArgumentError(
            f"no feature map of `layers` can go: {'; '.join(notes)}. Name other layers, or cut "
            "kernels"
        )
    notes += _uneven(coupling, makers, unit_of)
    owner, reader = {}, {}
    for name in coupling.made.keys() & known.keys():
        shape = known[name].shape[:2]
        made, read = unit_of[coupling.made[name]], unit_of[coupling.read[name]]
        if (made >= 0).any():
            owner[name] = np.broadcast_to(made[:, None], shape)
        if (read >= 0).any():
            reader[name] = np.repeat(read, shape[0] // len(read), axis=0)
    norms = tuple((scale, unit_of[labels]) for scale, labels in coupling.norms)
    cut = {name: layer for name, layer in known.items() if name in owner or name in reader}
    owner = {name: owner[name] for name in cut if name in owner}
    return Cells("free maps", groups, cut, owner, reader, norms, notes)


def _fix_what_cannot_be_cut(
    coupling: Coupling, model: nn.Module, known: Mapping[str, Layer]
) -> None:
    """Maps made or read by a layer that cannot be made sparse must stay."""
    reasons = left_layers(model)
    for name in coupling.made.keys() - known.keys():
        reason = f"is made or read by {name}: {reasons.get(name, 'it cannot be made sparse')}"
        labels = np.concatenate([coupling.made[name], coupling.read[name].ravel()])
        for label in np.unique(labels).tolist():
            coupling.fixed.setdefault(label, reason)


def _makers(coupling: Coupling) -> dict[int, list[str]]:
    """Label -> the layers that make the map, those that only carry it on left out."""
    makers: dict[int, list[str]] = defaultdict(list)
    for name, labels in coupling.made.items():
        if name not in coupling.carriers:
            for label in np.unique(labels).tolist():
                makers[label].append(name)
    return makers


def _grouped(
    coupling: Coupling,
    makers: Mapping[int, list[str]],
    layers: Mapping[str, Layer],
    known: Mapping[str, Layer],
) -> tuple[tuple[Group, ...], np.ndarray, tuple[str, ...]]:
    """Groups of maps with the same makers; the unit of each label, -1 for none; and notes."""
    families: dict[tuple[str, ...], list[int]] = defaultdict(list)
    # Layers by reason, in order.
    notes: dict[str, dict[str, None]] = defaultdict(dict)
    for label, names in makers.items():
        reason = _reason_left(coupling, label, names, layers)
        if reason is None:
            families[tuple(names)].append(label)
        else:
            notes[reason] |= {name: None for name in names if name in layers}
    living = {name: known[name].connections.any(axis=1) for names in families for name in names}
    alive = {
        int(label)
        for name, rows in living.items()
        for label in np.unique(coupling.made[name][rows])
    }
    unit_of = np.full(coupling.labels, -1)
    groups, first = [], 0
    for names, labels in families.items():
        live = [label for label in labels if label in alive]
        if not live:
            notes["nothing lives in it"] |= dict.fromkeys(names)
            continue
        if len(live) < 2:
            notes["all its maps hang together, or it has one only"] |= dict.fromkeys(names)
            continue
        unit_of[live] = first + np.arange(len(live))
        first += len(live)
        groups.append(Group(_title(names), len(live), len(labels)))
    lines = (
        f"left whole: {', '.join(names)}: {reason}" for reason, names in notes.items() if names
    )
    return tuple(groups), unit_of, tuple(lines)


def _carried(
    coupling: Coupling, makers: Mapping[int, list[str]], layers: Mapping[str, Layer]
) -> tuple[str, ...]:
    """Notes on depthwise layers among `layers` whose maps are made by none of them."""
    notes = []
    for name in layers:
        if name in coupling.carriers:
            labels = np.unique(coupling.made[name]).tolist()
            others = {other: None for label in labels for other in makers.get(label, ())}
            if not others.keys() & layers.keys():
                whose = f"those of {', '.join(others)}" if others else "the inputs"
                notes.append(f"left whole: {name}: it is depthwise, and its maps go with {whose}")
    return tuple(notes)


def _uneven(
    coupling: Coupling, makers: Mapping[int, list[str]], unit_of: np.ndarray
) -> tuple[str, ...]:
    """Notes on maps that `compact` may not take out, whatever reads them no more."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for label, reader in coupling.even.items():
        if unit_of[label] >= 0:
            found[reader] |= dict.fromkeys(makers.get(label, ()))
    return tuple(
        f"maps of {', '.join(names)} that go: `compact` takes out as many as each part of {reader} "
        "loses, the others stay as zeros"
        for reader, names in found.items()
    )


def _reason_left(
    coupling: Coupling, label: int, names: Iterable[str], layers: Mapping[str, Layer]
) -> str | None:
    others = [name for name in names if name not in layers]
    if label in coupling.fixed:
        return f"its map {coupling.fixed[label]}"
    if others:
        return f"its maps are tied to those of {', '.join(others)}, not among `layers`"
    return None


def _title(names: tuple[str, ...]) -> str:
    quoted = " + ".join(map(repr, names))
    return f"layer {quoted}" if len(names) == 1 else f"the tied layers {quoted}"

"""Feature maps as units: a map with all kernels that produce it and all that read it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from torch import nn

from openwork.errors import ArgumentError
from openwork.nn.layers import left_layers
from openwork.prune.units.coupling import Coupling, coupling_of
from openwork.prune.units.layers import Layer, cuttable_layers
from openwork.prune.units.units import ConnectionUnits, Group

# Layers that produce the same maps -> the labels of those maps.
_Families = dict[tuple[str, ...], list[int]]
# Reason -> the layers that it leaves whole, in order.
_Notes = dict[str, dict[str, None]]


def feature_map_units(
    model: nn.Module, layers: Mapping[str, Layer], example: Any
) -> ConnectionUnits:
    """One unit for each feature map, with all kernels that produce it and all that read it.

    Since nothing reads the map then, its bias and batch normalisation have no effect either. Maps
    that are added, multiplied or passed on by depthwise layers are removed together, if all
    layers that produce them are among `layers`. What cannot be removed is noted, with the reason.

    Args:
        model: the network.
        layers: the layers whose maps may be removed.
        example: an input batch (N, ...).

    Raises:
        ArgumentError: none of the maps can be removed.
        CaptureError: torch.export cannot capture the network.

    Source: feature map pruning in "Compact Deep CNNs With Coarse Pruning" (Anwar, Sung 2016). What
    happens where maps are tied is our reading.
    """
    coupling = coupling_of(model, example)
    cuttable = cuttable_layers(model)
    _freeze_what_cannot_be_sparse(coupling, model, cuttable)
    producers = _producers_by_label(coupling)
    families, notes = _families(coupling, producers, layers)
    groups, unit_of = _numbered(coupling, families, cuttable, notes)
    lines = [
        *(f"left whole: {', '.join(names)}: {reason}" for reason, names in notes.items() if names),
        *_depthwise_notes(coupling, producers, layers),
    ]
    if not groups:
        raise ArgumentError(
            f"no feature map of `layers` can be removed: {'; '.join(lines)}. Name other layers, or "
            "cut kernels"
        )
    lines += _balance_notes(coupling, producers, unit_of)
    owner, reader = {}, {}
    for name in coupling.producers.keys() & cuttable.keys():
        shape = cuttable[name].shape[:2]
        produced = unit_of[coupling.producers[name]]
        consumed = unit_of[coupling.consumers[name]]
        if (produced >= 0).any():
            owner[name] = np.broadcast_to(produced[:, None], shape)
        if (consumed >= 0).any():
            reader[name] = np.repeat(consumed, shape[0] // len(consumed), axis=0)
    norms = tuple((scale, unit_of[labels]) for scale, labels in coupling.norms)
    cut = {name: layer for name, layer in cuttable.items() if name in owner or name in reader}
    owner = {name: owner[name] for name in cut if name in owner}
    return ConnectionUnits("free maps", groups, cut, owner, reader, norms, tuple(lines))


def _freeze_what_cannot_be_sparse(
    coupling: Coupling, model: nn.Module, cuttable: Mapping[str, Layer]
) -> None:
    """Freeze the maps that a layer produces or reads which cannot be made sparse."""
    reasons = left_layers(model)
    for name in coupling.producers.keys() - cuttable.keys():
        reason = f"is produced or read by {name}: {reasons.get(name, 'it cannot be made sparse')}"
        labels = np.concatenate([coupling.producers[name], coupling.consumers[name].ravel()])
        for label in np.unique(labels).tolist():
            coupling.frozen.setdefault(label, reason)


def _producers_by_label(coupling: Coupling) -> dict[int, list[str]]:
    """Label -> the layers that produce the map, without the depthwise ones that pass it on."""
    producers: dict[int, list[str]] = defaultdict(list)
    for name, labels in coupling.producers.items():
        if name not in coupling.depthwise_layers:
            for label in np.unique(labels).tolist():
                producers[label].append(name)
    return producers


def _families(
    coupling: Coupling, producers: Mapping[int, list[str]], layers: Mapping[str, Layer]
) -> tuple[_Families, _Notes]:
    """The maps that can be removed, by the layers that produce them; and why others cannot."""
    families: _Families = defaultdict(list)
    notes: _Notes = defaultdict(dict)
    for label, names in producers.items():
        reason = _reason_left(coupling, label, names, layers)
        if reason is None:
            families[tuple(names)].append(label)
        else:
            notes[reason] |= {name: None for name in names if name in layers}
    return families, notes


def _numbered(
    coupling: Coupling, families: _Families, cuttable: Mapping[str, Layer], notes: _Notes
) -> tuple[tuple[Group, ...], np.ndarray]:
    """One group for each set of tied layers with maps to choose from; each label's unit (labels,).

    The unit is -1 for a label that cannot be removed. Adds to `notes`.
    """
    alive = {
        int(label)
        for names in families
        for name in names
        for label in np.unique(coupling.producers[name][cuttable[name].connections.any(axis=1)])
    }
    unit_of = np.full(coupling.labels, -1)
    groups, first = [], 0
    for names, labels in families.items():
        live = [label for label in labels if label in alive]
        if not live:
            notes["nothing lives in it"] |= dict.fromkeys(names)
            continue
        if len(live) < 2:
            notes["all its maps depend on each other, or it has only one"] |= dict.fromkeys(names)
            continue
        unit_of[live] = first + np.arange(len(live))
        first += len(live)
        groups.append(Group(_title(names), len(live), len(labels), names))
    return tuple(groups), unit_of


def _depthwise_notes(
    coupling: Coupling, producers: Mapping[int, list[str]], layers: Mapping[str, Layer]
) -> list[str]:
    """Notes on depthwise layers among `layers` whose maps no layer of `layers` produces."""
    notes = []
    for name in layers:
        if name in coupling.depthwise_layers:
            labels = np.unique(coupling.producers[name]).tolist()
            others = {other: None for label in labels for other in producers.get(label, ())}
            if not others.keys() & layers.keys():
                whose = f"those of {', '.join(others)}" if others else "the inputs"
                notes.append(
                    f"left whole: {name}: it is depthwise, and its maps are removed with {whose}"
                )
    return notes


def _balance_notes(
    coupling: Coupling, producers: Mapping[int, list[str]], unit_of: np.ndarray
) -> list[str]:
    """Notes on maps that `compact` may have to keep although nothing reads them."""
    layers_by_part: dict[str, dict[str, None]] = defaultdict(dict)
    for label, part in coupling.balanced.items():
        if unit_of[label] >= 0:
            layers_by_part[part] |= dict.fromkeys(producers.get(label, ()))
    return [
        f"removed maps of {', '.join(names)}: `compact` removes the same number from each "
        f"{part}, the others remain as zeros"
        for part, names in layers_by_part.items()
    ]


def _reason_left(
    coupling: Coupling, label: int, names: Iterable[str], layers: Mapping[str, Layer]
) -> str | None:
    others = [name for name in names if name not in layers]
    if label in coupling.frozen:
        return f"its map {coupling.frozen[label]}"
    if others:
        return f"its maps are tied to those of {', '.join(others)}, not among `layers`"
    return None


def _title(names: tuple[str, ...]) -> str:
    quoted = " + ".join(map(repr, names))
    return f"layer {quoted}" if len(names) == 1 else f"the tied layers {quoted}"

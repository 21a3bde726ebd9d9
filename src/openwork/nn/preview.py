"""What a plan would do, layer by layer, before anything is changed."""

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from openwork.nn.cost import count_macs
from openwork.nn.layers import dense_layers, left_layers
from openwork.nn.table import Table, joined
from openwork.patterns import Pattern


def preview(model: nn.Module, patterns: Mapping[str, Pattern], example: Any) -> Table:
    """The table of `patterns` (qualified name -> pattern) against the layers of `model`."""
    macs = count_macs(model, example) if example is not None else None
    columns = ["layer", "weight", "density", "fan-in", "fan-out", "dense", "live"]
    columns += ["dense MACs", "live MACs"] if macs is not None else []
    rows, dense_sum, live_sum, dense_macs, live_macs = [], 0, 0, 0, 0
    for name, module in dense_layers(model).items():
        pattern = patterns.get(name)
        shape = tuple(module.weight.shape)
        dense = math.prod(shape)
        live = pattern.live if pattern else dense
        fans = (joined(pattern.fan_in), joined(pattern.fan_out)) if pattern else ("", "")
        row = ["x".join(map(str, shape)), live / dense, *fans, dense, live]
        dense_sum, live_sum = dense_sum + dense, live_sum + live
        if macs is not None:
            of_layer = macs.get(name, 0)
            row += [of_layer, of_layer * live // dense]
            dense_macs, live_macs = dense_macs + row[-2], live_macs + row[-1]
        rows.append((name, *row))
    total = ["total", "", live_sum / max(1, dense_sum), "", "", dense_sum, live_sum]
    total += [dense_macs, live_macs] if macs is not None else []
    notes = tuple(f"left as it is: {n}: {why}" for n, why in left_layers(model).items())
    return Table(tuple(columns), tuple(rows), tuple(total), notes)

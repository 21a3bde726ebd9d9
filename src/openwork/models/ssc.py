"""Any network with structured sparse convolutions; the sparsity is part of its name."""

import dataclasses
from collections.abc import Callable

from torch import nn

from openwork.errors import ArgumentError
from openwork.models.source import ModelSource
from openwork.nn import sparsify_, ssc_plan


def ssc_network(source: ModelSource, build: Callable[[ModelSource], nn.Module]) -> nn.Module:
    """A network made structured sparse: `ssc:`, its name and a sparsity, as in ssc:resnet32:0.95.

    The network of that name under `nn.ssc_plan`: the first convolution and the classifier stay
    dense, the other convolutions are `SparseConv2d`, and the share of dead weights over all
    convolutions is within 0.5 percentage points of the sparsity. Weights start as those of the
    dense network, scaled to the true fan-in.

    Raises:
        ArgumentError: the name does not end in a sparsity, or the channel counts do not allow it.
    """
    name, _, text = source.name.removeprefix("ssc:").rpartition(":")
    try:
        sparsity = float(text)
    except ValueError:
        sparsity = -1.0
    if not name or not 0 <= sparsity < 1:
        raise ArgumentError(
            f"`name` is {source.name!r}: after `ssc:` come a network and a sparsity in [0, 1). "
            "Write for instance ssc:resnet32:0.95."
        )
    model = build(dataclasses.replace(source, name=name))
    return sparsify_(model, ssc_plan(model, sparsity))

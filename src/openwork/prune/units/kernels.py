"""Units that can be found without the network's graph: kernels, and blocks of them."""

from collections.abc import Mapping

import numpy as np

from openwork._arguments import check_count
from openwork.errors import ArgumentError
from openwork.prune.units.layers import Layer, nothing_lives
from openwork.prune.units.units import ConnectionUnits, Group


def kernel_units(layers: Mapping[str, Layer]) -> ConnectionUnits:
    """One unit for each live connection: a kh x kw kernel, or a weight of a linear layer.

    Source: kernel pruning in "Compact Deep CNNs With Coarse Pruning" (Anwar, Sung 2016).
    """
    return _numbered("kernels", layers, (1, 1))


def block_units(layers: Mapping[str, Layer], block: tuple[int, int]) -> ConnectionUnits:
    """One unit for each block of neighbouring filters and inputs, as in `patterns.block`.

    Args:
        layers: where to cut.
        block: (filters, inputs) of a block.

    Raises:
        ArgumentError: `block` is not a pair of counts, or does not divide the filters and inputs
            of a group of some layer; or nothing lives in the layers.
    """
    if not isinstance(block, tuple | list) or len(block) != 2:
        raise ArgumentError(f"`block`={block!r} must be two numbers (filters, inputs), as (4, 1)")
    for size in block:
        check_count("block", size)
    for layer in layers.values():
        rows, columns = layer.shape[0] // layer.groups, layer.shape[1]
        if rows % block[0] or columns % block[1]:
            raise ArgumentError(
                f"`block`={block} must divide the {rows} filters and {columns} inputs of layer "
                f"{layer.name!r}; choose other sizes, or leave the layer out with `layers`"
            )
    return _numbered("blocks", layers, block)


def _numbered(noun: str, layers: Mapping[str, Layer], block: tuple[int, int]) -> ConnectionUnits:
    owner, groups, first = {}, [], 0
    for name, layer in layers.items():
        rows, columns = layer.shape[0] // block[0], layer.shape[1] // block[1]
        blocks = layer.connections.reshape(rows, block[0], columns, block[1])
        alive = blocks.any(axis=(1, 3))
        count = int(alive.sum())
        if not count:
            continue
        units = np.full(alive.shape, -1)
        units[alive] = first + np.arange(count)
        owner[name] = units.repeat(block[0], axis=0).repeat(block[1], axis=1)
        groups.append(Group(f"layer {name!r}", count, alive.size, (name,)))
        first += count
    if not groups:
        raise nothing_lives(layers)
    return ConnectionUnits(noun, tuple(groups), layers, owner)

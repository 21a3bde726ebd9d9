"""The pass that lets copies follow what they precede, so that convolutions may do it as they write.

The outputs of a transposed convolution are put in order by a copy, as are those of a convolution
before a pixel shuffle. Batch norms and activations behind it are as good in front of it.
"""

from dataclasses import replace

import numpy as np

from openwork.runtime.graph import Graph
from openwork.runtime.node import Node
from openwork.runtime.nodes import Add, Affine, Conv, Rearrange
from openwork.runtime.values import Value, contiguous


def copy_later(graph: Graph) -> None:
    """Exchange each copy of a convolution's output with the batch norm or activation behind it."""
    for copy in list(graph.nodes):
        if not isinstance(copy, Rearrange) or copy.part_of() is not None:
            continue
        convs = [node for node in graph.nodes if node.output is copy.inputs[0]]
        if not any(isinstance(conv, Conv) for conv in convs) or not graph.read_once(copy.inputs[0]):
            continue
        while (reader := _reader(graph, copy)) is not None:
            before = _in_front(copy, reader)
            if before is None:
                break
            later = replace(copy, inputs=[before.output], output=reader.output)
            graph.replace([copy, reader], [before, later])
            copy = later


def _reader(graph: Graph, copy: Node) -> Node | None:
    """The only node that reads the copy."""
    if not graph.read_once(copy.output):
        return None
    # What reads it in another shape is not moved.
    return next((node for node in graph.nodes if copy.output in node.inputs), None)


def _in_front(copy: Rearrange, reader: Node) -> Node | None:
    """`reader` on the copy's input; None if it is neither an activation nor a batch norm."""
    source = copy.inputs[0]
    output = Value(source.shape, f"{reader.output.name}_before")
    if isinstance(reader, Add) and len(reader.inputs) == 1:
        return replace(reader, inputs=[source], output=output)
    repeats = _channels_of_one(copy)
    if isinstance(reader, Affine) and repeats:
        scale, shift = (np.repeat(numbers, repeats) for numbers in (reader.scale, reader.shift))
        return replace(reader, inputs=[source], output=output, scale=scale, shift=shift)
    return None


def _channels_of_one(copy: Rearrange) -> int | None:
    """How many neighbouring channels of its input each channel of a copy takes, if it is whole."""
    source, channels = copy.inputs[0], copy.output.shape[0]
    pixels = contiguous(source.shape)[0]
    repeats, rest = divmod(source.shape[0], channels)
    inner = [(size - 1) * step for size, step in zip(copy.sizes[1:], copy.steps[1:], strict=True)]
    within = copy.first + sum(inner) < repeats * pixels and min(inner, default=0) >= 0
    whole = copy.sizes[0] == channels and copy.steps[0] == repeats * pixels
    return repeats if whole and within and not rest else None

"""`Chain`: convolutions that run some rows at a time, so that maps between them stay in cache."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from openwork.runtime.emission import Emission
from openwork.runtime.file_errors import MalformedFile
from openwork.runtime.node import Node
from openwork.runtime.nodes.conv import Conv
from openwork.runtime.values import Value, root

if TYPE_CHECKING:
    from openwork.kernels._C import Layer

# Floats of a map between two layers from which on a chain is faster: those of an L2 cache of 1 MB.
# On one Cascade Lake core it takes MobileNetV2 to 0.83 of its time, EfficientNet-B0 to 0.89 and
# MobileNetV3-Large to 0.92 when dense, and to 1.01, 0.95 and 0.99 at density 0.25.
_WORTH_IT = 256 * 1024


@dataclass(eq=False)
class Chain(Node):
    """Convolutions, each of which reads what the one before it makes and nothing else reads.

    Programs make chains of the nodes of a network; files hold those nodes.

    Attributes:
        convs: the layers, in order.
    """

    convs: list[Conv]

    def check(self) -> None:
        for conv in self.convs:
            conv.check()

    def emit(self, to: Emission) -> None:
        residual = to.slot(self.inputs[1]) if len(self.inputs) > 1 else None
        layers = [to.layers[conv] for conv in self.convs]
        to.native.chain(layers, to.slot(self.inputs[0]), to.slot(self.output), residual)

    def overwritable(self) -> Sequence[Value]:
        return self.convs[-1].overwritable() if self._residual_is_apart() else ()

    def _residual_is_apart(self) -> bool:
        return root(self.inputs[-1]) is not root(self.inputs[0])

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        raise MalformedFile("a file must hold the layers of a chain, not the chain")


def join_chains(
    nodes: Sequence[Node], layers: "Mapping[Any, Layer]", wanted: Collection[Value]
) -> list[Node]:
    """`nodes`, with neighbours that run faster as a chain joined.

    Args:
        nodes: consecutive steps.
        layers: the packed layer of each `Conv` among them.
        wanted: values that something after these nodes reads.
    """
    reads: dict[Value, int] = {}
    for node in nodes:
        for value in node.inputs:
            reads[root(value)] = reads.get(root(value), 0) + 1
    joined: list[Node] = []
    run: list[Conv] = []
    for node in nodes:
        conv = node if isinstance(node, Conv) and layers[node].runs_in_bands else None
        if run and (conv is None or not _continues(run, conv, reads, wanted)):
            joined += _as_chain(run)
            run = []
        if conv is None:
            joined.append(node)
        else:
            run.append(conv)
    return joined + _as_chain(run)


def _continues(
    run: Sequence[Conv], conv: Conv, reads: Mapping[Value, int], wanted: Collection[Value]
) -> bool:
    """Whether `conv` can follow the layers of `run` in one chain."""
    between = root(run[-1].output)
    alone = reads.get(between) == 1 and between not in wanted
    return (
        alone
        and root(conv.inputs[0]) is between
        and len(run[-1].inputs) == 1
        and sum(not _keeps_rows(each) for each in [*run[1:], conv]) <= 1
        and between.floats >= _WORTH_IT
    )


def _keeps_rows(conv: Conv) -> bool:
    """Whether each row of the output reads the input's row at the same place alone."""
    return (conv.shape[2], conv.stride[0], conv.padding[0]) == (1, 1, 0)


def _as_chain(run: Sequence[Conv]) -> list[Node]:
    """The layers as a chain, if they are several."""
    if len(run) < 2:
        return list(run)
    first, last = run[0], run[-1]
    return [Chain([first.inputs[0], *last.inputs[1:]], last.output, list(run))]

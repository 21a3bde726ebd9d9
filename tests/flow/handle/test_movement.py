"""Where channels are after views, slices and concatenations, and what may be removed."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from channel_networks import Probe

from openwork.capture import capture
from openwork.flow.analysis import Analysis, analyse
from openwork.flow.context import Opaque
from openwork.flow.op import Movement

Body = Callable[[torch.Tensor], torch.Tensor]


def _moved(body: Body) -> tuple[Analysis, list[int | None], Movement]:
    """The analysis; which channel each output channel is; the op of `body`."""
    model = Probe(lambda x: body(x).relu()).eval()
    analysis = analyse(capture(model, (torch.rand(2, 2, 6, 6),)), model)
    op = next(op for op in reversed(analysis.ops) if isinstance(op, Movement))
    channels = analysis.weighted_sums[0].out.tolist()
    along = analysis.ops[-2].inputs[0].along(1)
    assert along is not None
    return analysis, [channels.index(each) if each in channels else None for each in along], op


BODIES: dict[str, tuple[Body, list[int | None]]] = {
    "cast": (lambda x: x.double(), [0, 1, 2, 3]),
    "dropout": (lambda x: F.dropout(x, 0.5, training=False), [0, 1, 2, 3]),
    "expanded": (lambda x: x[:, :, :1].expand(-1, -1, 6, -1), [0, 1, 2, 3]),
    "flipped": (lambda x: x.flip(1), [3, 2, 1, 0]),
    "repeated": (lambda x: x.repeat(1, 2, 1, 1), [0, 1, 2, 3, 0, 1, 2, 3]),
    "repeated each": (lambda x: x.repeat_interleave(2, dim=1), [0, 0, 1, 1, 2, 2, 3, 3]),
    "cat": (lambda x: torch.cat([x, x], dim=1), [0, 1, 2, 3, 0, 1, 2, 3]),
    "cat along rows": (lambda x: torch.cat([x, x], -2), [0, 1, 2, 3]),
    "stack": (lambda x: torch.stack([x, x], 2), [0, 1, 2, 3]),
    "slice": (lambda x: x[:, 1:3], [1, 2]),
    "slice with a step": (lambda x: x[:, ::2], [0, 2]),
    "narrow": (lambda x: x.narrow(1, 1, 2), [1, 2]),
    "rows": (lambda x: x[:, :, 2:4], [0, 1, 2, 3]),
    "chunk": (lambda x: x.chunk(2, 1)[1], [2, 3]),
    "split": (lambda x: x.split([1, 3], 1)[1], [1, 2, 3]),
    "shuffle": (lambda x: F.channel_shuffle(x, 2), [0, 2, 1, 3]),
    "means, flattened": (lambda x: x.mean((2, 3)).flatten(1), [None] * 4),
    "turned there and back": (lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2), [0, 1, 2, 3]),
}


@pytest.mark.parametrize("name", BODIES)
def test_channels_move(name: str) -> None:
    body, expected = BODIES[name]
    assert _moved(body)[1] == expected


@pytest.mark.parametrize("name", ["slice", "slice with a step", "narrow", "split"])
def test_parts_at_fixed_places_keep_every_channel(name: str) -> None:
    analysis, _, _ = _moved(BODIES[name][0])
    assert analysis.atoms.frozen()[analysis.weighted_sums[0].out].all()


@pytest.mark.parametrize("name", ["cat", "flipped", "rows", "chunk", "shuffle"])
def test_other_movements_keep_none(name: str) -> None:
    analysis, _, _ = _moved(BODIES[name][0])
    assert not analysis.atoms.frozen()[analysis.weighted_sums[0].out].any()


@pytest.mark.parametrize("name", ["chunk", "shuffle"])
def test_equal_parts_must_stay_equal(name: str) -> None:
    analysis, _, op = _moved(BODIES[name][0])
    out = analysis.weighted_sums[0].out
    assert op.rows is not None
    assert op.rows.tolist() == out.reshape(2, 2).tolist()


@pytest.mark.parametrize(
    "body", [lambda x: x.half().float(), lambda x: x.long().float(), lambda x: x.sort(1)[0]]
)
def test_casts_that_round_are_not_understood(body: Body) -> None:
    model = Probe(body).eval()
    analysis = analyse(capture(model, (torch.rand(2, 2, 6, 6),)), model)
    assert sum(isinstance(op, Opaque) and op.node.op == "call_function" for op in analysis.ops) >= 1
    assert analysis.atoms.frozen()[analysis.weighted_sums[0].out].all()

"""Constants through pools, padding and reductions, near borders too."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from channel_networks import Probe

from openwork.capture import capture
from openwork.flow.analysis import Analysis, analyse
from openwork.flow.context import Opaque

NAN = float("nan")
Body = Callable[[torch.Tensor], torch.Tensor]


def _analyse(body: Body) -> Analysis:
    model = Probe(body).eval()
    return analyse(capture(model, (torch.rand(2, 2, 6, 6),)), model)


def _constants(body: Body) -> tuple[list[float], list[int]]:
    """The values and profiles of the network's output channels."""
    analysis = _analyse(body)
    ids = analysis.ops[-1].inputs[0].along(1)
    assert ids is not None
    return analysis.atoms.value[ids].tolist(), analysis.atoms.profile[ids].tolist()


KEPT, HALF = [NAN, 0.0, 0.5, -0.5], [NAN, NAN, 0.5, NAN]
BODIES: dict[str, tuple[Body, list[float], list[bool]]] = {
    "max pool": (lambda x: F.max_pool2d(x, 3, 2, 1), KEPT, [False] * 4),
    "average": (lambda x: F.avg_pool2d(x, 3, padding=0), KEPT, [False] * 4),
    "average of zeros too": (lambda x: F.avg_pool2d(x, 3, 1, 1), KEPT, [True, False, True, True]),
    "average with a divisor": (
        lambda x: F.avg_pool2d(x, 2, divisor_override=3),
        KEPT,
        [True, False, True, True],
    ),
    "zeros around": (lambda x: F.pad(x, (1, 0)), KEPT, [True, False, True, True]),
    "halves around": (lambda x: F.pad(x, (1, 0), value=0.5), HALF, [False] * 4),
    "mirrored": (lambda x: F.pad(x, (1, 1, 0, 0), mode="reflect"), KEPT, [False] * 4),
    "larger": (lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"), KEPT, [False] * 4),
    "mean": (lambda x: x.mean((2, 3)), KEPT, [False] * 4),
    "mean of rows": (lambda x: x.mean(-1, keepdim=True), KEPT, [False] * 4),
    "minimum": (lambda x: x.amin((2, 3)), KEPT, [False] * 4),
    "sum": (lambda x: x.sum((2, 3)), [NAN, 0.0, NAN, NAN], [False] * 4),
    "largest after borders": (
        lambda x: F.pad(x, (1, 0)).amax((2, 3)),
        [NAN, 0.0, NAN, NAN],
        [False] * 4,
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_values_and_profiles(name: str) -> None:
    body, values, bordered = BODIES[name]
    found, profiles = _constants(body)
    assert np.array_equal(found, values, equal_nan=True)
    constant = [value == value for value in values]
    assert [p != 0 for p, known in zip(profiles, constant, strict=True) if known] == [
        b for b, known in zip(bordered, constant, strict=True) if known
    ]


def test_equal_borders_have_the_same_profile() -> None:
    _, profiles = _constants(lambda x: F.avg_pool2d(x, 3, 1, 1))
    assert profiles[2] == profiles[3] != 0


def test_pixel_shuffle_needs_equal_constants() -> None:
    found, _ = _constants(lambda x: F.pixel_shuffle(torch.cat([x[:, 2:3]] * 4 + [x], 1), 2))
    assert np.array_equal(found, [0.5, NAN], equal_nan=True)


@pytest.mark.parametrize(
    "body",
    [
        lambda x: F.pad(x, (0, 0, 0, 0, 1, 0)),
        lambda x: F.softmax(x, 1),
        lambda x: F.max_pool2d(x.transpose(1, 2), 2),
    ],
    ids=["channels added", "over all channels", "channels pooled"],
)
def test_other_uses_are_not_understood(body: Body) -> None:
    analysis = _analyse(body)
    assert any(isinstance(op, Opaque) and op.node.op == "call_function" for op in analysis.ops)
    assert analysis.atoms.frozen()[analysis.weighted_sums[0].out].all()

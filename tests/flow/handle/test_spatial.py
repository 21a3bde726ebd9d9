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


class _Spaces(torch.nn.Module):
    """Convolutions, a norm and pools over one, two or three spatial axes."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        nn = torch.nn
        conv, norm, up = (
            (nn.Conv1d, nn.BatchNorm1d, nn.ConvTranspose1d),
            (nn.Conv2d, nn.BatchNorm2d, nn.ConvTranspose2d),
            (nn.Conv3d, nn.BatchNorm3d, nn.ConvTranspose3d),
        )[axes - 1]
        self.first, self.norm, self.last = conv(1, 4, 3), norm(4), conv(6, 2, 1)
        self.up = up(4, 6, 2)
        names = ("max_pool", "avg_pool", "adaptive_avg_pool")
        self.pools = [getattr(F, f"{name}{axes}d") for name in names]
        self.mode = ("linear", "bilinear", "trilinear")[axes - 1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.first(x)).relu()
        for pool in self.pools:
            x = pool(x, 2)
        x = F.interpolate(F.pad(x, (1, 1)), scale_factor=2, mode=self.mode)
        return self.last(self.up(x).relu())


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_channels_are_followed_over_any_number_of_axes(axes: int) -> None:
    model = _Spaces(axes).eval()
    model.get_parameter("norm.weight").data[1] = 0
    model.get_parameter("norm.bias").data[1] = 0
    model.get_parameter("last.weight").data[:, :2] = 0
    analysis = analyse(capture(model, (torch.rand(2, 1, *[12] * axes),)), model)
    assert not any(isinstance(op, Opaque) for op in analysis.ops if op.node.op == "call_function")
    _, up, last = analysis.weighted_sums
    # A scale and bias of zero make the second channel zero, through pools, padding and resizing.
    assert np.isnan(up.constants).tolist() == [True, False, True, True]
    assert analysis.live[last.ids].tolist() == [False, False, True, True, True, True]
    assert not analysis.atoms.frozen()[np.concatenate([up.ids, last.ids])].any()


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

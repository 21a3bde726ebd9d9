"""What is known of channels: zero, constant, never read, through every kind of operator."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from channel_networks import Probe
from parts import known, tensor
from torch import nn

from openwork.capture import capture
from openwork.compact.select import Selection
from openwork.flow.analysis import Analysis, analyse

NAN = float("nan")
VALUES = (NAN, 0.0, 0.5, -0.5)
Body = Callable[[torch.Tensor], torch.Tensor]


class Selected(nn.Module):
    """Some of the channels, by a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("places", torch.tensor([3, 3, 1]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.index_select(1, tensor(self, "places"))


def _analyse(model: nn.Module) -> Analysis:
    return analyse(capture(model.eval(), (torch.rand(2, 2, 6, 6),)), model)


def _values(body: Body) -> tuple[float, ...]:
    """Values of the channels that `body` gives; NaN if they depend on the input or the place."""
    analysis = _analyse(Probe(body))
    layout = analysis.ops[-1].inputs[0]
    ids = layout.along(1)
    assert ids is not None
    atoms = analysis.atoms
    value = torch.from_numpy(atoms.value[ids]).masked_fill(
        torch.from_numpy(atoms.profile[ids] != 0), NAN
    )
    return tuple(value.tolist())


BODIES: dict[str, tuple[Body, tuple[float, ...]]] = {
    "nothing": (lambda x: x.clone(), VALUES),
    "relu": (F.relu, (NAN, 0, 0.5, 0)),
    "relu in place": (lambda x: x.relu_(), (NAN, 0, 0.5, 0)),
    "leaky": (lambda x: F.leaky_relu(x, 0.5), (NAN, 0, 0.5, -0.25)),
    "sigmoid": (lambda x: torch.sigmoid(x) - 0.5, (NAN, 0, 0.12245933, -0.12245933)),
    "hardtanh": (lambda x: F.hardtanh(x, -0.2, 0.2), (NAN, 0, 0.2, -0.2)),
    "hardswish": (F.hardswish, (NAN, 0, 0.5 * 3.5 / 6, -0.5 * 2.5 / 6)),
    "scaled": (lambda x: 2 * x + 1, (NAN, 1, 2, 0)),
    "divided": (lambda x: 1 / x, (NAN, NAN, 2, -2)),
    "sum": (lambda x: x + x.flip(1), (NAN, 0.5, 0.5, NAN)),
    "product": (lambda x: x * x.flip(1), (NAN, 0, 0, NAN)),
    "gate": (lambda x: x * x.mean((2, 3), keepdim=True), (NAN, 0, 0.25, 0.25)),
    "glu": (lambda x: F.glu(x, 1), (NAN, 0)),
    "glu of constants": (lambda x: F.glu(x.flip(1), 1), (-0.25, NAN)),
    "one gate for all": (lambda x: x * x.mean(1, keepdim=True), (NAN, 0, NAN, NAN)),
    "twice each": (lambda x: x.repeat_interleave(2, 1)[:, 2:6], (0, 0, 0.5, 0.5)),
    "selected": (Selected(), (-0.5, -0.5, 0)),
    "decided": (lambda x: torch.where(x > 0, x, x - 1), (NAN, -1, 0.5, -1.5)),
    "either way": (
        lambda x: torch.where(x.flip(1) > 0, x * x, x.abs() * 0.5),
        (NAN, 0, 0.25, 0.25),
    ),
    "max pool": (lambda x: F.max_pool2d(x, 3, 2, 1), VALUES),
    "avg pool": (lambda x: F.avg_pool2d(x, 2), VALUES),
    "avg pool over zeros": (lambda x: F.avg_pool2d(x, 3, 1, 1), (NAN, 0, NAN, NAN)),
    "avg pool beside zeros": (
        lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
        VALUES,
    ),
    "adaptive pool": (lambda x: F.adaptive_avg_pool2d(x, 3), VALUES),
    "nearest": (lambda x: F.interpolate(x, scale_factor=2), VALUES),
    "bilinear": (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), VALUES),
    "zeros beside": (lambda x: F.pad(x, (1, 1, 0, 0)), (NAN, 0, NAN, NAN)),
    "halves beside": (lambda x: F.pad(x, (1, 1, 0, 0), value=0.5), (NAN, NAN, 0.5, NAN)),
    "mirrored": (lambda x: F.pad(x, (1, 1, 0, 0), mode="reflect"), VALUES),
    "mean": (lambda x: x.mean((2, 3)), VALUES),
    "sum over a map": (lambda x: x.sum((2, 3)), (NAN, 0, NAN, NAN)),
    "amax": (lambda x: x.amax((2, 3)), VALUES),
    "cat": (lambda x: torch.cat([x[:, :2], F.relu(x)], 1), (NAN, 0, NAN, 0, 0.5, 0)),
    "halves swapped": (lambda x: torch.cat(x.chunk(2, 1)[::-1], 1), (0.5, -0.5, NAN, 0)),
    "shuffle": (
        lambda x: x.view(-1, 2, 2, 6, 6).transpose(1, 2).reshape(-1, 4, 6, 6),
        (NAN, 0.5, 0, -0.5),
    ),
    "shuffle by torch": (lambda x: F.channel_shuffle(x, 2), (NAN, 0.5, 0, -0.5)),
    "there and back": (lambda x: x.permute(0, 2, 3, 1).flatten(1, 2).transpose(1, 2), VALUES),
    "softmax over channels": (lambda x: F.softmax(x, 1), (NAN,) * 4),
    "unknown": (lambda x: torch.cumsum(x, 1), (NAN,) * 4),
}


@pytest.mark.parametrize("name", BODIES)
def test_values(name: str) -> None:
    body, expected = BODIES[name]
    found = _values(body)
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), equal_nan=True)
    model = Probe(body).eval()
    with torch.no_grad():
        for size in (6, 9):
            if name == "shuffle" and size != 6:
                continue
            output = model(torch.randn(3, 2, size, size))
            for channel, value in enumerate(found):
                if value == value:
                    torch.testing.assert_close(
                        output[:, channel], torch.full_like(output[:, channel], value)
                    )


@pytest.mark.parametrize(
    ("padding", "expected"), [(0, (NAN, 0.25, 1.25, -0.75)), (1, (NAN, 0.25, NAN, NAN))]
)
def test_convolutions_of_constants(padding: int, expected: tuple[float, ...]) -> None:
    conv = nn.Conv2d(4, 4, 2, padding=padding, groups=4)
    nn.init.constant_(conv.weight, 0.5)
    nn.init.constant_(known(conv.bias), 0.25)
    torch.testing.assert_close(torch.tensor(_values(conv)), torch.tensor(expected), equal_nan=True)


def test_batch_norm_with_a_zero_scale_is_its_shift() -> None:
    norm = nn.BatchNorm2d(4).eval()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.0, 2, 2, 0]))
        norm.bias.copy_(torch.tensor([0.75, 1, 1, 0]))
        known(norm.running_var).fill_(1 - 1e-5)
    torch.testing.assert_close(torch.tensor(_values(norm)), torch.tensor([0.75, 1.0, 2.0, 0.0]))


def test_instance_norm_of_zeros_or_with_a_zero_scale_is_its_shift() -> None:
    norm = nn.InstanceNorm2d(4, affine=True)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.0, 2, 2, 0]))
        norm.bias.copy_(torch.tensor([0.75, 1, 1, 0]))
    torch.testing.assert_close(
        torch.tensor(_values(norm)), torch.tensor([0.75, 1, NAN, 0]), equal_nan=True
    )


def test_what_is_never_read() -> None:
    last = nn.Conv2d(4, 3, 1)
    with torch.no_grad():
        last.weight[:, 2] = 0
        last.weight[0, 3] = 0
    analysis = _analyse(nn.Sequential(nn.Conv2d(2, 4, 1), nn.SiLU(), last))
    assert analysis.live[analysis.weighted_sums[0].out].tolist() == [True, True, False, True]


def test_deadness_goes_back_through_layers() -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 1, 1))
    with torch.no_grad():
        model.get_parameter("3.weight")[:, 1:] = 0
        model.get_parameter("1.weight")[0, 2:] = 0
    analysis = _analyse(model)
    first, second, _ = (analysis.live[op.out].tolist() for op in analysis.weighted_sums)
    assert second == [True, False, False, False]
    assert first == [True, True, False, False]


def test_layers_over_other_axes_read_and_keep_everything() -> None:
    turned = nn.Conv2d(6, 2, 1)

    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.turned = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 1), turned

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.turned(F.relu(self.second(F.relu(self.first(x)))).transpose(1, 2))

    model = Turned()
    for conv in (model.first, model.second):
        nn.init.zeros_(conv.weight[:2])
        nn.init.zeros_(known(conv.bias)[:2])
    analysis = _analyse(model)
    first, second, _ = (op.out for op in analysis.weighted_sums)
    assert analysis.live[first][2:].all()
    assert analysis.live[second][2:].all()
    gone = Selection(analysis, np.empty(0, int)).gone
    assert gone[first].tolist() == [True, True, False, False]
    assert not gone[second].any()


def test_unknown_operators_read_and_keep_everything() -> None:
    analysis = _analyse(Probe(lambda x: torch.cumsum(x, 1)))
    op = analysis.weighted_sums[0]
    frozen = analysis.atoms.frozen()[op.out]
    assert frozen.all()
    assert analysis.live[op.out].all()

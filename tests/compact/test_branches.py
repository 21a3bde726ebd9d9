"""Which residual branches add nothing, and which of them zeros can replace."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from parts import known, part
from torch import nn

from openwork.capture import capture
from openwork.compact import compact
from openwork.compact.branches import dead_branches
from openwork.flow.analysis import analyse


class Residual(nn.Module):
    """`x` and two layers of it; `how` says what else uses the branch."""

    def __init__(self, how: str = "") -> None:
        super().__init__()
        self.how = how
        self.stem, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)
        self.one, self.two = nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(6, 4, 1)
        nn.init.zeros_(self.two.weight)
        nn.init.zeros_(known(self.two.bias))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        inner = F.relu(self.one(x))
        y = self.two(inner)
        if self.how == "read":
            return self.head(x + y) + inner.mean()
        if self.how == "subtracted":
            return self.head(x - y)
        if self.how == "used twice":
            return self.head(x + y) + self.one(x).mean()
        return self.head(x + y)


def _found(model: nn.Module) -> set[str]:
    analysis = analyse(capture(model.eval(), (torch.rand(2, 3, 6, 6),)), model)
    return {name for branch in dead_branches(analysis, model) for name in branch}


@pytest.mark.parametrize(
    ("how", "layers"),
    [
        ("", {"one", "two"}),
        # The second layer alone does not have inputs of the shape of its outputs.
        ("read", set()),
        ("subtracted", set()),
        ("used twice", set()),
    ],
)
def test_layers_of_a_zero_branch(how: str, layers: set[str]) -> None:
    assert _found(Residual(how)) == layers


@torch.no_grad()
def test_a_branch_with_one_live_channel_adds_something() -> None:
    model = Residual()
    model.two.weight[2] = 1
    assert _found(model) == set()
    # Unless nothing reads that channel of the sum.
    model.head.weight[:, 2] = 0
    assert _found(model) == {"one", "two"}


@torch.no_grad()
def test_a_constant_branch_adds_something() -> None:
    model = Residual()
    known(model.two.bias)[:] = 0.5
    assert _found(model) == set()


def _halves(y: torch.Tensor) -> torch.Tensor:
    one, two = y.chunk(2, 1)
    return one * two.sigmoid()


def _sizes(y: torch.Tensor) -> torch.Tensor:
    one, two, three = y.split([2, 2, 4], 1)
    return torch.cat([one, two], 1) * three


def _even(y: torch.Tensor) -> torch.Tensor:
    one, two = torch.split(y, 4, 1)
    return one.tanh() * two


def _mixed(y: torch.Tensor) -> torch.Tensor:
    return y[:, ::2] * y[:, 1::2] + y[:, :4] * y.narrow(1, 4, 4)


def _attention(y: torch.Tensor) -> torch.Tensor:
    query, key = y.flatten(2).split([4, 4], 1)
    return ((query @ key.transpose(1, 2)).softmax(-1) @ key).view(len(y), 4, 6, 6)


def _sum_of_gates(y: torch.Tensor) -> torch.Tensor:
    inner = F.glu(y, 1)
    return inner + inner * inner.mean((2, 3), keepdim=True)


def _swapped(y: torch.Tensor) -> torch.Tensor:
    return y.roll(4, 1)[:, :4]


# What makes four channels out of eight.
GATES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "chunk": _halves,
    "split by sizes": _sizes,
    "split evenly": _even,
    "tensor_split": lambda y: torch.tensor_split(y, 2, 1)[0] * torch.tensor_split(y, 2, 1)[1],
    "glu": lambda y: F.glu(y, 1),
    "slices": lambda y: y[:, :4] * y[:, 4:],
    "steps": _mixed,
    "select": lambda y: y.view(len(y), 2, 4, 6, 6)[:, 0] * y.view(len(y), 2, 4, 6, 6).select(1, 1),
    "unbind": lambda y: torch.mul(*y.unflatten(1, (4, 2)).unbind(2)),
    "index": lambda y: y.index_select(1, torch.tensor([0, 2, 4, 6])) * y[:, [1, 3, 5, 7]],
    "attention": _attention,
    "maximum": lambda y: y.unflatten(1, (2, 4)).amax(1),
    "shuffled": lambda y: F.channel_shuffle(y, 2)[:, 2:6],
    "a gate of a gate": _sum_of_gates,
    "rolled": _swapped,
    "permuted": lambda y: y.permute(0, 2, 3, 1)[..., :4].permute(0, 3, 1, 2) * y[:, 4:].exp(),
}


class Gated(nn.Module):
    """`x` and a gate over eight channels of it, some blocks one after another."""

    def __init__(self, gate: Callable[[torch.Tensor], torch.Tensor], last: bool, dead: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gate, self.last = gate, last
        self.stem, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)
        self.wide = nn.ModuleList(nn.Conv2d(4, 8, 1, bias=not last) for _ in range(2))
        self.project = nn.ModuleList(nn.Conv2d(4, 4, 1, bias=False) for _ in range(2))
        for index in range(2) if dead == "both" else (1,):
            nn.init.zeros_(part(self.project if last else self.wide, index, nn.Conv2d).weight)
            if not last:
                nn.init.zeros_(known(part(self.wide, index, nn.Conv2d).bias))
        nn.init.zeros_(self.stem.weight[1:2])
        nn.init.zeros_(known(self.stem.bias)[1:2])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for wide, project in zip(self.wide, self.project, strict=True):
            y = self.gate(wide(x))
            x = x + (project(y) if self.last else y)
        return self.head(x)


@pytest.mark.parametrize(("last", "dead"), [(False, "both"), (True, "one")])
@pytest.mark.parametrize("gate", GATES)
@torch.no_grad()
def test_a_dead_branch_that_zeros_do_not_pass_is_cut_without_them(
    gate: str, last: bool, dead: str
) -> None:
    model, x = Gated(GATES[gate], last, dead).eval(), torch.rand(2, 3, 6, 6)
    small, report = compact(model, x)
    assert report.parameters[1] <= report.parameters[0]
    for images in (x, torch.randn(3, 3, 6, 6)):
        assert torch.allclose(small(images), model(images), rtol=0, atol=1e-5)
    if last and gate != "tensor_split":
        assert report.branches or "keep their layers" in str(report)


def test_a_branch_that_zeros_pass_is_removed_beside_one_that_they_do_not() -> None:
    class Both(Gated):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            x = x + self.project[0](torch.relu(x))
            return self.head(x + self.project[1](self.gate(self.wide[1](x))))

    model, x = Both(F.glu, last=True, dead="both").eval(), torch.rand(2, 3, 6, 6)
    model.gate = lambda y: F.glu(y, 1)
    small, report = compact(model, x)
    assert report.branches == ("project.0",)
    assert "wide.1, project.1 (RuntimeError: " in str(report)
    assert torch.allclose(small(x), model(x), rtol=0, atol=1e-5)

"""`compare`: the float64 rule, sizes, kinds of numbers, and inputs that are not taken."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from channel_networks import Around
from parts import part
from torch import nn

from openwork.compact import compact
from openwork.errors import VerificationError
from openwork.verify import ANOTHER_SIZE, OutputDifference, compare, compare_many
from openwork.verify.difference import largest_difference

EXAMPLE = torch.rand(2, 3, 12, 12)


class Beside(nn.Module):
    """A network of an image and a vector, which is added at the end."""

    def __init__(self, body: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.around, self.vector = Around(body, lambda y: y.mean((2, 3)), 0.7), nn.Linear(5, 4)

    def forward(self, x: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        return self.around(x) + self.vector(vector)


class Patches(Around):
    """Takes images in patches of 12 only."""

    def forward(self, x: torch.Tensor) -> Any:
        assert (x.shape[2] % 12, x.shape[3] % 12) == (0, 0)
        return super().forward(x)


def _over_sides(x: torch.Tensor) -> torch.Tensor:
    return F.relu(x) / x.shape[-1]


@pytest.mark.parametrize(
    "model",
    [Around(_over_sides, constant=0.7), Patches(_over_sides, constant=0.7), Beside(_over_sides)],
    ids=["any size", "patches", "and a vector"],
)
def test_what_depends_on_the_size_is_not_constant(model: nn.Module) -> None:
    vector = (torch.rand(2, 5),) if isinstance(model, Beside) else ()
    small, report = compact(model.eval(), (EXAMPLE, *vector))
    assert ANOTHER_SIZE in {case.what for case in report.cases}
    assert "one image size" not in str(report)
    for size in (24, 36):
        x = torch.rand(2, 3, size, size)
        assert torch.allclose(small(x, *vector), model(x, *vector), rtol=0, atol=1e-5)


def test_a_sum_over_a_map_of_one_number_is_not_constant() -> None:
    def small_sum(x: torch.Tensor) -> torch.Tensor:
        return F.relu(x[:, :, ::12, ::12]).sum((2, 3), keepdim=True)

    model = Around(small_sum, constant=0.7).eval()
    small, report = compact(model, EXAMPLE)
    assert report.relative < 1e-5
    x = torch.rand(2, 3, 48, 48)
    assert torch.allclose(small(x), model(x), rtol=0, atol=1e-5)


def test_networks_of_one_size_are_noted() -> None:
    class Fixed(Around):
        def forward(self, x: torch.Tensor) -> Any:
            return super().forward(x) * {(12, 12): 1}[x.shape[2], x.shape[3]]

    small, report = compact(Fixed(), EXAMPLE)
    assert part(small, "conv", nn.Conv2d).out_channels == 5
    assert "one image size" in str(report)


@pytest.mark.parametrize(
    "end",
    [lambda y: y.mean(), lambda y: (y, y.mean((2, 3))[:, :0]), torch.fft.fft2],
    ids=["one number", "none", "complex"],
)
def test_outputs_of_every_kind(end: Callable[[torch.Tensor], Any]) -> None:
    small, report = compact(Around(end=end), EXAMPLE)
    assert part(small, "conv", nn.Conv2d).out_channels == 5
    assert report.relative < 1e-5


def test_imaginary_parts_are_compared() -> None:
    one, two = torch.tensor([3 + 4j]), torch.tensor([3 + 2j])
    assert largest_difference([one], [two]) == (2, 0.5)
    with pytest.raises(VerificationError, match="the same outputs twice"):
        compact(Around(end=lambda y: torch.complex(y, torch.rand_like(y))), EXAMPLE)


class Shifted(nn.Module):
    """Adds a constant and subtracts it again; `wrong` is added too."""

    def __init__(self, shift: float, wrong: float = 0.0) -> None:
        super().__init__()
        self.shift, self.wrong = shift, wrong

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.shift - self.shift + self.wrong


class Single(Shifted):
    """Takes float32 only, as compiled networks do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dtype != torch.float32:
            raise ValueError(x.dtype)
        return super().forward(x)


def _compare(rewritten: nn.Module) -> OutputDifference:
    return compare(Shifted(0), rewritten, (torch.linspace(0, 1, 7)[None],), 1e-4)


def test_a_small_difference_holds_without_float64() -> None:
    found = _compare(Shifted(0, wrong=5e-5))
    assert found.absolute == pytest.approx(5e-5, rel=1e-2)
    assert found.relative == pytest.approx(5e-5, rel=1e-2)
    assert (found.what, found.shape) == ("given", (1, 7))
    assert found.in_float64 is None
    assert found.holds(1e-4)
    assert found.inputs == ()


def test_what_rounding_makes_in_float32_holds_in_float64() -> None:
    found = _compare(Shifted(1e6))
    assert found.relative > 1e-3
    assert found.in_float64 is not None
    assert found.in_float64 < 1e-9
    assert found.holds(1e-4)


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_what_is_wrong_in_float64_does_not_hold(shift: float) -> None:
    found = _compare(Shifted(shift, wrong=1e-2))
    assert found.in_float64 == pytest.approx(1e-2)
    assert not found.holds(1e-4)
    assert torch.equal(found.inputs[0], torch.linspace(0, 1, 7)[None])


def test_without_float64_the_float32_difference_stands() -> None:
    found = _compare(Single(1e6))
    assert found.in_float64 is None
    assert not found.holds(1e-4)
    assert found.holds(found.relative)


@pytest.mark.parametrize(
    "rewritten",
    [nn.Flatten(0), nn.Softmax(1), nn.Threshold(2, float("nan"))],
    ids=["shape", "numbers", "NaN"],
)
def test_other_shapes_numbers_and_nans_do_not_hold(rewritten: nn.Module) -> None:
    found = _compare(rewritten)
    assert not found.holds(1e-4)
    assert (found.relative == float("inf")) == (not isinstance(rewritten, nn.Softmax))


class Overflowing(nn.Module):
    """Infinite where the input is above `limit` in float32, and a number in float64."""

    def __init__(self, limit: float, filler: float = float("inf")) -> None:
        super().__init__()
        self.limit, self.filler = limit, filler

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        over = (x > self.limit) & (x.dtype == torch.float32)
        return torch.where(over, self.filler, x)


@pytest.mark.parametrize("filler", [float("inf"), -float("inf"), float("nan")])
def test_infinities_and_nans_in_other_places_do_not_hold_in_float64_either(filler: float) -> None:
    inputs = (torch.linspace(0, 1, 7)[None],)
    some, more = Overflowing(0.8, filler), Overflowing(0.6, filler)
    for one, two in [(some, more), (more, some), (some, nn.Identity()), (nn.Identity(), some)]:
        found = compare(one, two, inputs, 1e-4)
        assert (found.relative, found.in_float64) == (float("inf"), None)
        assert not found.holds(1e-4)
    assert compare(some, copy.deepcopy(some), inputs, 1e-4).relative == 0


@pytest.mark.parametrize("how", ["overflows", "infinite weight", "divides"])
def test_a_dead_channel_that_makes_nans_is_kept(how: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))
    with torch.no_grad():
        first, last = part(model, 0, nn.Conv2d), part(model, 2, nn.Conv2d)
        first.weight[2] = float("inf") if how == "infinite weight" else 3e38
        last.weight[:, [1, 2]] = 0
        if how == "divides":
            model.insert(1, nn.BatchNorm2d(4, eps=0.0))
            model.get_buffer("1.running_var")[2] = 0
    expected = model.eval()(EXAMPLE)
    assert expected.isnan().any()
    small, report = compact(model, EXAMPLE)
    assert torch.equal(small(EXAMPLE).isnan(), expected.isnan())
    assert report.relative < float("inf")
    assert part(small, 0, nn.Conv2d).out_channels >= 3


def test_what_the_rewritten_network_raises_is_kept() -> None:
    found = _compare(nn.Linear(3, 3))
    assert isinstance(found.error, RuntimeError)
    assert found.relative == float("inf")
    assert not found.holds(1e-4)
    with pytest.raises(RuntimeError):
        compare(nn.Linear(3, 3), Shifted(0), (torch.rand(1, 7),), 1e-4)


def test_the_first_difference_that_does_not_hold_is_the_last() -> None:
    example = (torch.rand(2, 3, 12, 12),)
    found = compare_many(Shifted(0), Shifted(0), example, [(torch.rand(1, 3, 12, 12),)], 1e-4)
    assert [one.what for one in found] == [
        *("given", "given", "random", "another batch size"),
        *[ANOTHER_SIZE] * 3,
    ]
    assert [one.what for one in compare_many(Shifted(0), nn.ReLU(), example, (), 1e-4)] == [
        "given",
        "random",
    ]

"""`rewrite`: channels at fault are kept, and zeros replace dead branches."""

import pytest
import torch
import torch.nn.functional as F
from channel_networks import Around
from parts import known, part
from torch import nn

from openwork.compact import compact, rewrite

EXAMPLE = torch.rand(2, 3, 12, 12)


class Second(nn.Module):
    """A second head in training mode only, and a batch norm that needs two images to train."""

    def __init__(self) -> None:
        super().__init__()
        self.around = Around(end=lambda y: y.mean((2, 3)))
        self.norm, self.drop = nn.BatchNorm1d(4), nn.Dropout()
        self.head, self.second = nn.Linear(4, 3), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.head(self.drop(self.norm(self.around(x))))
        if self.training:
            found = found + self.second(F.relu(self.around.norm(self.around.conv(x))).mean((2, 3)))
        return found


def test_one_image_shows_what_only_training_reads() -> None:
    model, before = Second(), torch.random.get_rng_state()
    small, report = compact(model, EXAMPLE[:1])
    assert part(small, "around.conv", nn.Conv2d).out_channels == 8
    assert "training mode differ" in report.training
    assert torch.equal(torch.random.get_rng_state(), before)


class Counted(nn.Module):
    """A residual block whose code relies on eight channels."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = Around(self.counted), nn.Conv2d(4, 3, 1)

    def counted(self, y: torch.Tensor) -> torch.Tensor:
        return F.relu(y).view(len(y), 8, -1).view(len(y), 8, 12, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.narrow(self.wide(x))


@pytest.mark.parametrize(("attempts", "channels"), [(9, 5), (3, 8)])
def test_more_places_at_fault_than_attempts(
    attempts: int, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewrite, "_ATTEMPTS", attempts)
    model = nn.Sequential(*[Counted() for _ in range(3)], Around()).eval()
    small, _ = compact(model, EXAMPLE)
    assert [part(small, f"{i}.wide.conv", nn.Conv2d).out_channels for i in range(3)] == [8, 8, 8]
    assert part(small, "3.conv", nn.Conv2d).out_channels == channels
    assert torch.allclose(small(EXAMPLE), model(EXAMPLE), rtol=0, atol=1e-5)


class CountedElsewhere(Around):
    """Relies on eight channels, but only in images of another size than the example's."""

    def __init__(self) -> None:
        super().__init__(self.counted)

    def counted(self, y: torch.Tensor) -> torch.Tensor:
        rows, columns = y.shape[2:]
        return F.relu(y if rows == 12 else y.view(len(y), 8, rows, columns))


def test_a_fault_of_another_size_is_located_there() -> None:
    model = nn.Sequential(CountedElsewhere(), nn.Conv2d(4, 3, 1), Around()).eval()
    small, _ = compact(model, EXAMPLE)
    kept = [part(small, f"{i}.conv", nn.Conv2d).out_channels for i in (0, 2)]
    assert kept == [8, 5]
    for images in (EXAMPLE, torch.rand(2, 3, 16, 16)):
        assert torch.allclose(small(images), model(images), rtol=0, atol=1e-5)


class Residual(nn.Module):
    """Three channels of the branch are zero, and the others are read if `rest` is not zero."""

    def __init__(self, rest: float) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 2, 1)
        self.one, self.two = nn.Conv2d(6, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        with torch.no_grad():
            self.two.weight[:3], known(self.two.bias)[:3], self.head.weight[:, 3:] = 0, 0, rest

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.head(x + self.two(F.relu(self.one(x))))


@pytest.mark.parametrize("rest", [0.0, 0.1], ids=["unread", "read"])
def test_a_branch_is_dead_if_only_its_zeros_are_read(rest: float) -> None:
    model = Residual(rest).eval()
    small, report = compact(model, EXAMPLE)
    assert set(report.branches) == (set() if rest else {"one", "two"})
    assert torch.allclose(small(EXAMPLE), model(EXAMPLE), rtol=0, atol=1e-5)
    assert compact(small, EXAMPLE)[1].parameters == report.parameters[1:] * 2


def test_the_last_channel_of_a_layer_absorbs_the_constants() -> None:
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sigmoid()),
        *(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1)),
    )
    with torch.no_grad():
        model.get_parameter("1.weight").zero_()
        model.get_parameter("1.bias").copy_(torch.tensor([-1.0, 0.0, 1.0, 2.0]))
    small, _ = compact(model.eval(), EXAMPLE)
    assert part(small, 0, nn.Conv2d).out_channels == 1
    assert torch.allclose(small(EXAMPLE), model(EXAMPLE), rtol=0, atol=1e-5)

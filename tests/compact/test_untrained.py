"""What training has yet to use is kept, what pruning and decay leave is cut."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from parts import known, part
from torch import nn
from torch.nn.utils import prune

from openwork.capture import capture
from openwork.compact import compact
from openwork.compact.untrained import as_if_trained, untrained_parameters
from openwork.errors import ArgumentError
from openwork.flow.analysis import analyse

EXAMPLE = torch.rand(2, 3, 8, 8)


class Scale(nn.Module):
    """A factor for each channel; `how` says how it is written."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, shape = how, {"per channel": (6, 1, 1), "flat": (6,), "one": (1,)}
        self.factor = nn.Parameter(torch.zeros(shape.get(how, (1, 6, 1, 1))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.how == "flat":
            return x * self.factor[None, :, None, None]
        if self.how == "viewed":
            return self.factor.view(1, -1, 1, 1).expand(1, 6, 1, 1) * x
        if self.how == "in place":
            return x.mul_(self.factor)
        return x * self.factor


def _zeroed(layer: nn.Module) -> nn.Module:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class Branch(nn.Module):
    """`x` and a branch of it, whose end holds it at zero."""

    def __init__(self, end: nn.Module, after: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 40, 1)
        self.one, self.two = nn.Conv2d(6, 4, 3, padding=1), nn.Conv2d(4, 6, 1)
        self.end, self.after = end, after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.head(x + self.after(self.end(self.two(F.relu(self.one(x))))))


def _itself(x: torch.Tensor) -> torch.Tensor:
    return x


def _batch_norm(seen: bool = False, shift: float = 0.0) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(6)
    nn.init.zeros_(norm.weight)
    nn.init.constant_(norm.bias, shift)
    if seen:
        norm(torch.rand(2, 6, 3, 3))
    return norm


class LayerNorm2d(nn.LayerNorm):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


UNTRAINED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "batch norm": (_batch_norm, "end.weight"),
    "group norm": (lambda: _zeroed(nn.GroupNorm(2, 6)), "end.weight"),
    "instance norm": (lambda: _zeroed(nn.InstanceNorm2d(6, affine=True)), "end.weight"),
    "layer norm": (lambda: _zeroed(LayerNorm2d(6)), "end.weight"),
    "last layer": (lambda: _zeroed(nn.Conv2d(6, 6, 1)), "end.weight"),
    "last transposed": (lambda: _zeroed(nn.ConvTranspose2d(6, 6, 1)), "end.weight"),
    **{
        f"scale, {how}": (lambda how=how: Scale(how), "end.factor")
        for how in ("per channel", "flat", "one", "viewed", "in place", "with batch axis")
    },
}


@pytest.mark.parametrize("name", UNTRAINED)
def test_a_branch_that_training_has_yet_to_use_is_kept(name: str) -> None:
    end, parameter = UNTRAINED[name]
    model = Branch(end(), _itself).eval()
    small, report = compact(model, EXAMPLE)
    assert report.untrained == (parameter,)
    assert report.parameters[0] == report.parameters[1]
    assert f"({parameter})" in str(report)
    assert "allow_untrained=True removes it" in str(report)
    assert torch.equal(small(EXAMPLE), model(EXAMPLE))
    small, report = compact(model, EXAMPLE, allow_untrained=True)
    assert report.untrained == (parameter,)
    # What a layer norm makes of its channels is not followed.
    assert (report.parameters[1] < report.parameters[0]) == (name != "layer norm")
    assert "will not bring it back" in str(report)
    assert torch.allclose(small(EXAMPLE), model(EXAMPLE), rtol=0, atol=1e-5)


DEAD: dict[str, tuple[Callable[[], nn.Module], Callable[[torch.Tensor], torch.Tensor]]] = {
    "a norm that has seen batches": (lambda: _batch_norm(seen=True), _itself),
    "a norm with a shift": (lambda: _batch_norm(shift=-0.5), F.relu),
    "behind a rectifier": (_batch_norm, F.relu),
    "behind another zero": (_batch_norm, lambda x: x * x.mean((2, 3), keepdim=True)),
    "detached": (_batch_norm, torch.detach),
    "kernels without a bias": (lambda: _zeroed(nn.Conv2d(6, 6, 1, bias=False)), _itself),
    "frozen": (lambda: _batch_norm().requires_grad_(False), _itself),
}


@pytest.mark.parametrize("name", DEAD)
def test_what_no_training_brings_back_is_cut(name: str) -> None:
    end, after = DEAD[name]
    model = Branch(end(), after).eval()
    small, report = compact(model, EXAMPLE)
    assert report.untrained == ()
    assert report.parameters[1] < report.parameters[0]
    assert "yet to use" not in str(report)
    assert torch.allclose(small(EXAMPLE), model(EXAMPLE), rtol=0, atol=1e-5)


def test_single_channels_and_masks_are_not_untrained() -> None:
    model = Branch(nn.BatchNorm2d(6), _itself).eval()
    with torch.no_grad():
        part(model, "one", nn.Conv2d).weight[:2] = 0
        known(part(model, "one", nn.Conv2d).bias)[:2] = 0
        part(model, "end", nn.BatchNorm2d).weight[:5] = 0
    prune.l1_unstructured(model.two, "weight", amount=24)
    nn.init.zeros_(known(model.two.bias))
    small, report = compact(model, EXAMPLE)
    assert report.untrained == ()
    assert set(report.branches) == {"one", "two", "end"}
    assert torch.allclose(small(EXAMPLE), model(EXAMPLE), rtol=0, atol=1e-5)


def test_a_zero_behind_which_others_wait_is_found_with_them() -> None:
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = Branch(_batch_norm(), _itself), Scale("one")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean() + self.outer(self.inner(x))

    model = Nested().eval()
    captured = capture(model, (EXAMPLE,))
    found = untrained_parameters(captured, model, (EXAMPLE,))
    assert found == ("outer.factor", "inner.end.weight")
    assert untrained_parameters(captured, model, (EXAMPLE,), {"outer.factor"}) == ()
    assert not model.get_parameter("outer.factor").any()
    values = analyse(as_if_trained(captured, found), model).atoms.value
    assert np.isnan(values).sum() > np.isnan(analyse(captured, model).atoms.value).sum()


def test_a_network_that_hardly_anything_is_left_of_is_refused() -> None:
    model = nn.Sequential()
    for index in range(4):
        branch = Branch(_batch_norm(), _itself)
        for name in ("stem", "head"):
            branch.add_module(name, nn.Identity())
        branch.one, branch.two = nn.Conv2d(6, 64, 3, padding=1), nn.Conv2d(64, 6, 3, padding=1)
        model.add_module(str(index), branch)
    model.insert(0, nn.Conv2d(3, 6, 1))
    said = (
        r"`model` is a Sequential that has not been trained: .* 9\d\.\d% of its weights, which 4 "
    )
    for training in (False, True):
        with pytest.raises(ArgumentError, match=said + "parameters such as `1.end.weight` "):
            compact(model.train(training), EXAMPLE)
    small, report = compact(model, EXAMPLE, allow_untrained=True)
    assert report.parameters[1] < report.parameters[0] / 10
    assert torch.equal(small.eval()(EXAMPLE), model.eval()(EXAMPLE))


def test_a_network_without_gradients_has_nothing_untrained() -> None:
    class Inference(Branch):
        @torch.no_grad()
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x)

    report = compact(Inference(_batch_norm(), _itself).eval(), EXAMPLE)[1]
    assert report.untrained == ()
    assert report.branches


def test_channels_beside_an_untrained_branch_are_cut() -> None:
    model = Branch(_batch_norm(), _itself).eval()
    with torch.no_grad():
        part(model, "one", nn.Conv2d).weight[:3], known(model.one.bias)[:3] = 0, 0.25
    small, report = compact(model, EXAMPLE)
    assert report.untrained == ("end.weight",)
    assert part(small, "one", nn.Conv2d).out_channels == 1
    # The constants went to a bias, so both still agree once training has changed the scale.
    for network in (small, model):
        nn.init.ones_(network.get_parameter("end.weight"))
    assert torch.allclose(small(EXAMPLE), model(EXAMPLE), rtol=0, atol=1e-5)

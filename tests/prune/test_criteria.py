"""What each criterion scores lowest, on weights where the answer is obvious."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import openwork as ow
from openwork import prune

Build = Callable[[str], nn.Module]


@pytest.fixture
def model() -> nn.Sequential:
    """A network whose layer "2" has 6 maps to cut."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 4, 1),
    ).eval()


def _removed(model: nn.Module, example: torch.Tensor, criterion: str, **more: object) -> list[int]:
    plan = prune.by_criterion(
        model,
        criterion,
        granularity="feature_map",
        ratio=0.5,
        layers="2",
        example=example,
        progress=False,
        **more,  # type: ignore[arg-type]
    )
    return np.flatnonzero(plan.resolve(model)["2"].fan_in == 0).tolist()


def _middle(model: nn.Sequential) -> torch.Tensor:
    weight = model[2].weight
    assert isinstance(weight, torch.Tensor)
    return weight.detach()


def test_l1_and_l2_disagree_where_one_weight_is_large(
    model: nn.Sequential, example: torch.Tensor
) -> None:
    weight = _middle(model)
    weight.fill_(0.1)
    weight[:3] = 0.05
    weight[:3, 0, 0, 0] = 2.0
    assert _removed(model, example, "l1") == [0, 1, 2]
    assert _removed(model, example, "l2") == [3, 4, 5]


def test_bn_gamma_looks_at_the_scale(model: nn.Sequential, example: torch.Tensor) -> None:
    with torch.no_grad():
        norm = model[3].weight
        assert isinstance(norm, torch.Tensor)
        norm.copy_(torch.tensor([1.0, -0.1, 0.9, 0.2, -1.0, 0.0]))
    assert _removed(model, example, "bn_gamma") == [1, 3, 5]


def test_bn_gamma_needs_a_normalisation(network: Build, example: torch.Tensor) -> None:
    with pytest.raises(ow.ArgumentError, match="normalisation with a scale behind layer 'last'"):
        prune.by_criterion(
            network("plain"),
            "bn_gamma",
            granularity="feature_map",
            ratio=0.5,
            layers=["a", "last"],
            example=example,
            progress=False,
        )


def test_fpgm_removes_filters_that_others_can_replace(
    model: nn.Sequential, example: torch.Tensor
) -> None:
    weight = _middle(model)
    weight[:] = 0.0
    # Three filters are equal, three are far from them and from each other.
    for index in (1, 3, 5):
        weight[index, index] = 10.0
    assert _removed(model, example, "fpgm") == [0, 2, 4]


def test_taylor_is_the_squared_change_of_the_loss_to_first_order(
    model: nn.Sequential, example: torch.Tensor
) -> None:
    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(outputs.mean((2, 3)), targets)

    batches = [(example + 0.1 * n, torch.tensor([n, 1])) for n in range(3)]
    expected = torch.zeros(6)
    for inputs, targets in batches:
        model.zero_grad()
        loss(model(inputs), targets).backward()
        gradient = model[2].weight.grad
        assert isinstance(gradient, torch.Tensor)
        expected += (_middle(model) * gradient).sum((1, 2, 3)).square()
    model.zero_grad()
    lowest = sorted(expected.argsort()[:3].tolist())
    assert _removed(model, example, "taylor", batches=batches, loss=loss) == lowest
    assert all(parameter.grad is None for parameter in model.parameters())


def test_taylor_names_what_it_needs(model: nn.Sequential, example: torch.Tensor) -> None:
    with pytest.raises(ow.ArgumentError, match="`batches`=None"):
        _removed(model, example, "taylor")
    with pytest.raises(ow.ArgumentError, match="`batches` is empty"):
        _removed(model, example, "taylor", batches=[], loss=F.cross_entropy)
    model[2].requires_grad_(False)
    with pytest.raises(ow.ArgumentError, match="weights of 2 are frozen"):
        _removed(model, example, "taylor", batches=[(example, None)], loss=F.cross_entropy)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batches": [(1, 2)]}, "^`loss`=None: `criterion`"),
        ({"batches": torch.ones(2, 3)}, r"`batches` is a tensor of shape \(2, 3\)"),
        ({"batches": [(torch.ones(2, 3, 6, 6),)]}, "holds a tuple of 1"),
        ({"loss": lambda outputs, targets: outputs}, r"`loss` returned shape \(2, .* a scalar"),
        ({"loss": lambda outputs, targets: 1.0}, "`loss` returned 1.0"),
        ({"loss": lambda outputs, targets: outputs.detach().sum()}, "has no gradient"),
    ],
)
def test_taylor_refuses_what_it_cannot_differentiate(
    arguments: dict[str, Any], message: str, model: nn.Sequential, example: torch.Tensor
) -> None:
    valid = {"batches": [(example, None)], "loss": lambda outputs, targets: outputs.sum()}
    changed = arguments if message.startswith("^") else valid | arguments
    with pytest.raises(ow.ArgumentError, match=message):
        _removed(model, example, "taylor", **changed)
    with pytest.raises(ow.ArgumentError, match="inference_mode"), torch.inference_mode():
        _removed(model, example, "taylor", **valid)


def test_what_the_loss_does_not_depend_on_is_removed_first(example: torch.Tensor) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.other = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.used(x), self.other(x)

    plan = prune.by_criterion(
        Two(),
        "taylor",
        ratio=0.5,
        scope="global",
        layers="*",
        batches=[(example, None)],
        loss=lambda outputs, targets: outputs[0].square().sum(),
        progress=False,
    )
    assert [plan.layers[name].live for name in ("used", "other")] == [11, 1]


def test_random_depends_only_on_the_seed(model: nn.Sequential, example: torch.Tensor) -> None:
    assert _removed(model, example, "random", seed=4) == _removed(model, example, "random", seed=4)
    drawn = {tuple(_removed(model, example, "random", seed=seed)) for seed in range(8)}
    assert len(drawn) > 4


def test_scores_of_maps_are_refused_for_kernels(network: Build) -> None:
    with pytest.raises(ow.ArgumentError, match="scores feature maps, not `granularity`='kernel'"):
        prune.by_criterion(network("plain"), "fpgm", ratio=0.5)
    with pytest.raises(ow.ArgumentError, match="`criterion`='l3' must be one of 'l1'"):
        prune.by_criterion(network("plain"), "l3", ratio=0.5)


def test_weights_that_are_not_finite_are_refused(network: Build) -> None:
    model = network("plain")
    weight = model.get_submodule("a").weight
    assert isinstance(weight, torch.Tensor)
    weight.detach()[0, 0] = torch.nan
    with pytest.raises(ow.ArgumentError, match="NaN or infinity"):
        prune.by_criterion(model, ratio=0.5, progress=False)


def test_labels_beyond_the_outputs_are_refused() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(2, 3))
    with pytest.raises(ow.ArgumentError, match=r"`loss` raises IndexError: .*; the labels in `ba"):
        ow.prune.by_criterion(
            model,
            "taylor",
            ratio=0.5,
            layers="0",
            batches=[(torch.ones(2, 1, 1, 1), torch.tensor([0, 3]))],
            loss=nn.functional.cross_entropy,
            progress=False,
        )

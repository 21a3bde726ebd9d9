"""Plans made before training: their size, their ways in, and a network that is left alone."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import prune as masking

import openwork as ow
from openwork import prune
from openwork.nn.layers import sparse_layers
from openwork.patterns import Pattern

BATCHES = [(torch.randn(6, 3, 8, 8), torch.arange(6) % 4) for _ in range(2)]


@pytest.fixture
def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 4),
    )


def _live(plan: ow.Plan) -> int:
    patterns = [pattern for pattern in plan.layers.values() if isinstance(pattern, Pattern)]
    return sum(int(pattern.fan_in.sum()) for pattern in patterns)


@pytest.mark.parametrize("criterion", ["snip", "grasp", "synflow"])
def test_the_share_asked_for_lives_and_the_network_is_left_alone(
    criterion: str, model: nn.Sequential
) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model[6].eval()
    modes = [module.training for module in model.modules()]
    plan = prune.at_init(model, BATCHES, criterion, density=0.25, progress=False)
    assert _live(plan) == (8 * 16 + 16 * 16) // 4
    again = prune.at_init(model, BATCHES, criterion, density=0.25, progress=False)
    assert again == plan
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert modes == [module.training for module in model.modules()]
    assert all(parameter.grad is None for parameter in model.parameters())
    sparse = ow.sparsify_(model, plan, init="keep")
    assert torch.isfinite(sparse(BATCHES[0][0])).all()


@pytest.mark.parametrize("granularity", ["kernel", "feature_map", "intra_kernel", "block"])
def test_each_granularity_within_layers(granularity: str, model: nn.Sequential) -> None:
    plan = prune.at_init(
        model,
        BATCHES,
        granularity=granularity,
        density=0.5,
        scope="layer",
        layers=["3", "7"],
        progress=False,
    )
    for name in ("3", "7"):
        alive = plan.resolve(model)[name].taps
        shares = {"feature_map": alive.any((1, 2, 3)), "intra_kernel": alive}
        kept = shares.get(granularity, alive.any((2, 3))).mean()
        assert kept == pytest.approx(0.5, abs=0.06)


def test_synflow_keeps_every_layer_where_one_cut_would_empty_it() -> None:
    # Weights of the narrow layer carry little flow each before the wide one is thinned out.
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 1), nn.Conv2d(4, 64, 1), nn.Conv2d(64, 64, 1), nn.Conv2d(64, 2, 1)
    )
    example = torch.ones(1, 1, 2, 2)
    kept = {
        rounds: prune.at_init(
            model,
            criterion="synflow",
            density=0.02,
            layers=["1", "2"],
            rounds=rounds,
            example=example,
            progress=False,
        ).resolve(model)
        for rounds in (1, 100)
    }
    paths = {
        rounds: int((two["2"].taps[..., 0, 0].astype(int) @ two["1"].taps[..., 0, 0]).sum())
        for rounds, two in kept.items()
    }
    assert paths[100] > paths[1]


def test_synflow_needs_no_data_but_a_size(model: nn.Sequential) -> None:
    with_batches = prune.at_init(model, BATCHES, "synflow", density=0.5, progress=False)
    example = torch.zeros(1, 3, 8, 8)
    assert with_batches == prune.at_init(
        model, criterion="synflow", density=0.5, example=example, progress=False
    )
    with pytest.raises(ow.ArgumentError, match="`example`=None, but `criterion`='synflow'"):
        prune.at_init(model, criterion="synflow", density=0.5, layers="3", progress=False)


def test_a_sparse_network_keeps_a_share_of_its_dense_layers(model: nn.Sequential) -> None:
    half = prune.at_init(model, BATCHES, density=0.5, progress=False)
    ow.sparsify_(model, half, init="keep")
    quarter = prune.at_init(model, BATCHES, density=0.25, progress=False)
    assert _live(quarter) == (8 * 16 + 16 * 16) // 4
    for name, layer in sparse_layers(model).items():
        kept = quarter.layers[name]
        assert isinstance(kept, Pattern)
        assert not (kept.taps & ~layer.pattern.taps).any()


def test_masked_weights_count_as_dead(model: nn.Sequential) -> None:
    mask = torch.ones(16, 8, 3, 3)
    mask[:, :6] = 0
    masking.custom_from_mask(model[3], "weight", mask)
    plan = prune.at_init(model, BATCHES, density=0.1, layers="3", progress=False)
    kept = plan.layers["3"]
    assert isinstance(kept, Pattern)
    assert not kept.taps[:, :6].any()
    assert masking.is_pruned(model[3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"criterion": "l1"}, "`criterion`='l1'"),
        ({"density": 0}, "`density`=0 must lie"),
        ({"batches": None}, "`batches`=None: `criterion`='snip' needs"),
        ({"batches": []}, "`batches` is empty; `criterion`='snip'"),
        ({"batches": torch.ones(2, 3, 8, 8)}, "`batches` holds a Tensor, but must hold"),
        ({"criterion": "grasp", "rounds": 2}, "`rounds`=2 must be 1 for `criterion`='grasp'"),
        ({"rounds": 0}, "`rounds`=0"),
        ({"density": 0.001}, "feasible|must lie"),
        ({"scope": "all"}, "`scope`='all'"),
    ],
)
def test_refusals(arguments: dict[str, Any], message: str, model: nn.Sequential) -> None:
    valid: dict[str, Any] = {"batches": BATCHES, "density": 0.5, "progress": False, "layers": "3"}
    with pytest.raises(ow.ArgumentError, match=message):
        prune.at_init(model, **(valid | arguments))

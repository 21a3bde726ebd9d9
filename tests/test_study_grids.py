"""Each study: its cells, what one of them computes on tiny data, and verdicts on rows made up."""

import dataclasses
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import openwork as ow
from openwork.data import DataSet, Split

NAMES = (
    "coarse_pruning_cifar10",
    "fully_connected",
    "harvest",
    "implicit_sparsity",
    "incremental_training",
    "mask_search_vs_criteria",
    "mnist_at_ten_percent",
    "run_time",
    "scatter",
    "shared_inputs",
    "sparse_vs_depth_multiplier",
    "ssc_vs_others",
)
Load = Callable[[str], ModuleType]


def rows(settings: dict[str, Any], results: list[float], of: str = "accuracy", **more: Any):
    """A row for each result, with rising seeds."""
    return [
        {"settings": {**settings, **more, "seed": seed}, "result": {of: value}}
        for seed, value in enumerate(results)
    ]


def verdicts(claims: list[Any], text: str) -> list[str]:
    """Those of the claims whose text contains `text`."""
    found = [claim.finding.verdict for claim in claims if text in claim.text]
    assert found, text
    return found


def noise(classes: int = 10, side: int = 32, train: int = 48, test: int = 24) -> DataSet:
    """Images without meaning."""
    draw = np.random.Generator(np.random.PCG64(0))

    def split(count: int) -> Split:
        images = draw.integers(0, 256, (count, 3, side, side), dtype=np.uint8)
        return Split(images, np.arange(count, dtype=np.int64) % classes)

    names = tuple(map(str, range(classes)))
    whole = ow.data.load("mnist-subset")
    return dataclasses.replace(
        whole,
        name="noise",
        train=split(train),
        test=split(test),
        classes=names,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
    )


@pytest.fixture
def desk(grid: ModuleType, tmp_path: Path) -> Callable[[str], Any]:
    """`desk(name)`: a desk with time enough, in the folder of that name."""

    def at(name: str) -> Any:
        (tmp_path / name).mkdir(exist_ok=True)
        return grid.Desk(tmp_path / name, time.monotonic() + 600, tmp_path / "shared")

    return at


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_is_plain_data_and_differs_from_all_others(study: Load, name: str) -> None:
    grid, module = study("_grid"), study(name)
    for scale in grid.SCALES:
        cells = module.STUDY.cells(scale)
        assert json.loads(json.dumps(cells)) == cells
        assert len({grid.key(cell) for cell in cells}) == len(cells) > 0
        assert scale in module.STUDY.cut
        # What a claim compares has the same seeds on both sides.
        assert all(isinstance(cell["seed"], int) for cell in cells)
    assert module.STUDY.name == name


@pytest.mark.parametrize("name", NAMES)
def test_the_header_claims_and_cites(study: Load, name: str) -> None:
    header = study(name).__doc__ or ""
    assert header.startswith(("Claim: ", "Claims: ", "Question: "))
    assert "\nSource: " in header


@pytest.mark.parametrize("name", NAMES)
def test_committed_rows_are_of_cells_of_their_study(study: Load, name: str) -> None:
    grid, module = study("_grid"), study(name)
    for scale in grid.SCALES[1:]:
        cells = {grid.key(cell): cell for cell in module.STUDY.cells(scale)}
        for row in grid.read_rows(grid.rows_path(name, scale)):
            assert cells[row["cell"]] == row["settings"]
            # What was imported has no commit, and says so.
            assert (row["commit"] is None) == row.get("imported", False)
            assert 0 <= row["result"].get("accuracy", 0) <= 1
            assert "/" not in row["processor"]


@pytest.mark.parametrize("name", NAMES)
def test_no_rows_give_no_verdict_and_an_empty_picture(study: Load, name: str) -> None:
    module = study(name)
    findings = [claim.finding for claim in module.claims([])]
    assert {(found.n, found.verdict) for found in findings} <= {(0, "undecided")}
    assert module.points([])[2] == {}


def test_what_decides_is_said_once_for_all_parts(study: Load) -> None:
    claims = study("_claims")

    def part(text: str, verdict: str):
        return claims.Claim(text, "x", claims.Finding(verdict, 3), "points")

    parts = [part("a", "held"), part("b", "held"), part("a", "held"), part("c", "held")]
    parts += [part("c", "did not hold"), part("d", "undecided"), part("d", "undecided")]
    made = [(c.text, c.finding.verdict, c.finding.n) for c in claims.together(parts)]
    every = [m for m, c in zip(made, claims.together(parts), strict=True) if "all" in c.measure]
    assert every == [("a", "held", 6), ("c", "held in part", 6)]
    assert len(made) == len(parts) + 2


def test_at_most_mirrors_at_least(study: Load) -> None:
    claims = study("_claims")
    found = claims.at_most([1.0, 2.0, 3.0], 4.5)
    # Mean 2, half width 4.303 / sqrt(3) = 2.484.
    assert (found.verdict, found.value, found.n) == ("held", 2.0, 3)
    assert (found.low, found.high) == (
        pytest.approx(-0.484, abs=1e-3),
        pytest.approx(4.484, abs=1e-3),
    )
    assert claims.at_most([1.0, 2.0, 3.0], -0.5).verdict == "did not hold"
    assert claims.at_most([1.0, 2.0, 3.0], 4.0).verdict == "undecided"
    assert claims.at_most([], 4.0).verdict == "undecided"
    assert math.isnan(claims.at_most([1.0], 4.0).low)


def test_coarse_cuts_lose_a_point_or_not(study: Load) -> None:
    coarse = study("coarse_pruning_cifar10")
    whole = coarse._cell("cnn_small", [], "", False)
    maps = coarse._cell("cnn_small", coarse.STAGES[coarse.MAPS][1], "search", False)
    kernels = coarse._cell("cnn_small", coarse.STAGES[coarse.KERNELS][1], "search", False)
    taught = coarse._cell("resnet56", [["kernel", 0.5]], "l1", True)
    found = [
        *rows(whole, [0.80, 0.81, 0.82]),
        # 0.2, 0.3 and 0.1 points less, and 5, 6 and 5.5.
        *rows(maps, [0.798, 0.807, 0.819]),
        *rows(kernels, [0.75, 0.75, 0.765]),
        # Of another network: no whole one to compare with.
        *rows(taught, [0.9, 0.9, 0.9]),
    ]
    for row in found:
        row["result"]["conv_sparsity"] = (
            0.54 if row["settings"]["stages"] == maps["stages"] else 0.7
        )
    claims = coarse.claims(found)
    assert verdicts(claims, "About 60 %") == ["held"]
    assert verdicts(claims, "70 % of CNN_small") == ["did not hold"]
    assert set(verdicts(claims, "ResNet-56")) == {"undecided"}
    (claim,) = [claim for claim in claims if "About 60 %" in claim.text]
    assert claim.finding.value == pytest.approx(-0.2)
    assert claim.measure.startswith("54 % removed, feature maps 0.35 by search: ")
    assert coarse.points(found)[2]["cnn_small, feature maps by search"] == [
        (pytest.approx(54), [pytest.approx(v) for v in (79.8, 80.7, 81.9)])
    ]


# Two searches of feature maps and kernels, twice.
@pytest.mark.slow
def test_a_cut_network_has_what_is_left_and_the_same_row_after_a_kill(
    study: Load, grid: ModuleType, desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse = study("_coarse")
    monkeypatch.setattr(coarse, "loaded", lambda _: noise())
    (settings,) = [
        {**cell, "width": 0.03125, "train": 30, "held_out": 6, "test": 10, "batch": 8}
        for cell in study("coarse_pruning_cifar10").cells("smoke")
        if cell["stages"] == [["feature_map", 0.3], ["kernel", 0.5]]
    ]
    first = coarse.run(settings, desk("whole"))

    class Killed(grid.Desk):
        """Its cell ends before the second retraining."""

        def fit(self, *arguments: Any) -> Any:
            if arguments[3] == "retraining 1":
                raise grid.OutOfTimeError
            return super().fit(*arguments)

    whole = desk("killed")
    killed = Killed(whole.folder, whole.deadline, whole.shared)
    with pytest.raises(grid.OutOfTimeError):
        coarse.run(settings, killed)
    assert (killed.folder / "stages" / "stage-1.safetensors").exists()
    assert coarse.run(settings, whole) == first
    # Kernels of convolutions 2 to 6, whose widths are 4, 4, 4, 8 and 8. Without 0.3 of the maps, 1
    # of 4 and 2 of 8, 12 + 9 + 9 + 18 + 36 are left; then half of each is cut,
    # of 9 kernels 5.
    kernels = 4 * 4 + 4 * 4 + 4 * 4 + 8 * 4 + 8 * 8
    assert first["conv_sparsity"] == 1 - (6 + 4 + 4 + 9 + 18) / kernels
    assert first["accuracy"] == pytest.approx(1 - first["retrained"])


def test_the_layers_of_a_trained_resnet_that_are_cut(study: Load, grid: ModuleType) -> None:
    coarse = study("_coarse")
    model = coarse.ResNet(8)
    plan = ow.prune.by_criterion(
        model,
        "l1",
        granularity="feature_map",
        ratio=0.25,
        layers=coarse.LAYERS["resnet56"]["feature_map"],
        example=torch.zeros(1, 3, 32, 32),
        progress=False,
    )
    ow.prune.apply_(model, plan)
    # A quarter of what each block's first convolution writes and its second one reads.
    assert coarse.removed(model, "resnet56") == 0.25
    assert isinstance(model.get_submodule("conv1"), nn.Conv2d)


def test_the_best_mask_is_compared_by_its_harm(study: Load) -> None:
    masks = study("mask_search_vs_criteria")
    found = []
    for by, cut, retrained in (
        ("search", [0.60, 0.61, 0.62], [0.30, 0.31, 0.32]),
        ("l1", [0.65, 0.66, 0.675], [0.27, 0.28, 0.295]),
        ("random", [0.70, 0.70, 0.70], [0.30, 0.31, 0.32]),
    ):
        where = {"by": by, "stages": [["kernel", 0.5]]}
        found += rows(where, cut, "cut")
        for row, error in zip(found[-3:], retrained, strict=True):
            row["result"] |= {"retrained": error, "recalibrated": error}
    claims = masks.claims(found)
    # Only one of the three ratios has rows.
    assert verdicts(claims, "Before retraining") == ["undecided", "held", "undecided"]
    assert verdicts(claims, "After retraining it is still better")[1] == "did not hold"
    assert verdicts(claims, "one random mask")[1] == "held"
    (one,) = [c for c in claims if "Before" in c.text and "50%" in c.measure]
    assert one.finding.value == pytest.approx((5 + 5 + 5.5) / 3)
    assert masks.points(found)[2]["after retraining, l1"] == [
        (50, [pytest.approx(v) for v in (27, 28, 29.5)])
    ]


def test_dead_filters_are_compared_in_pairs(study: Load) -> None:
    dead = study("implicit_sparsity")
    weak, strong = 3e-4, 1e-3
    shares = {
        ("adam", strong, False, 40): [0.50, 0.51, 0.52],
        ("adam", strong, True, 40): [0.20, 0.22, 0.21],
        ("adam", weak, False, 40): [0.30, 0.31, 0.33],
        ("adam", weak, True, 40): [0.31, 0.32, 0.34],
        ("sgd", strong, False, 40): [0.011, 0.012, 0.011],
        ("sgd", strong, True, 40): [0.01, 0.02, 0.01],
        ("adagrad", strong, False, 40): [0.0, 0.0, 0.0],
        ("adam", 0.0, False, 40): [0.0, 0.0, 0.001],
        ("adam", strong, False, 120): [0.50, 0.10, 0.90],
    }
    keys = ("optimizer", "strength", "decoupled", "batch")
    found = []
    for chosen, values in shares.items():
        found += rows(dict(zip(keys, chosen, strict=True)), values, "by_scale")
    found += [
        {"settings": {"trained by others": f"resnet{d}", "seed": 0}, "result": {"by_scale": s}}
        for d, s in ((20, 0.025), (32, 0.032), (44, 0.026), (56, 0.028))
    ]
    claims = dead.claims(found)
    assert verdicts(claims, "than with decoupled decay") == ["did not hold", "held"]
    assert verdicts(claims, "Adaptive optimisers") == ["held", "undecided", "did not hold"]
    assert verdicts(claims, "about equally many") == ["held"]
    assert verdicts(claims, "A stronger penalty") == ["held"]
    assert verdicts(claims, "Smaller batches") == ["undecided", "undecided"]
    assert verdicts(claims, "Without a penalty") == ["held"]
    assert verdicts(claims, "trained by others") == ["held"]


def test_penalties_reach_the_optimiser_as_the_paper_means_them(study: Load) -> None:
    dead = study("implicit_sparsity")
    _, strengths, sizes = dead.SIZES["paper"]
    for way in dead.ways(*strengths):
        recipe = dead.recipe({**way, **sizes, "seed": 0})
        # L2 is added to the gradient; decay multiplies weights by 1 - strength at the first rate.
        decay = pytest.approx(recipe.peak_lr * recipe.weight_decay)
        assert (recipe.l2, decay) == (
            (0.0, way["strength"]) if way["decoupled"] else (way["strength"], 0.0)
        )
        assert recipe.batch_size == way["batch"]


def test_dead_scales_are_counted(study: Load) -> None:
    dead = study("implicit_sparsity")
    one, two = nn.BatchNorm2d(3), nn.BatchNorm2d(5)
    with torch.no_grad():
        one.weight.copy_(torch.tensor([1e-4, -1e-4, -1.0]))
        two.weight[0] = 1e-2
    assert dead.dead_scales(nn.Sequential(one, nn.ReLU(), two, nn.LayerNorm(4))) == 2 / 8


def test_harvest_and_slimming_are_compared_at_equal_size(study: Load) -> None:
    harvest = study("harvest")
    found = []
    for way, before, after, macs in (
        ("harvest", [0.95, 0.96, 0.97], [0.95, 0.96, 0.97], 500),
        ("slimming", [0.95, 0.96, 0.97], [0.94, 0.949, 0.961], 400),
        ("slimming x10", [0.95, 0.96, 0.97], [0.96, 0.969, 0.981], 450),
        ("l1", [0.95, 0.96, 0.97], [0.94, 0.91, 0.97], 200),
    ):
        found += rows({"way": way}, after)
        for row, accuracy in zip(found[-3:], before, strict=True):
            row["result"] |= {"accuracy_before": accuracy, "macs": macs, "macs_before": 1000}
    claims = harvest.claims(found)
    assert verdicts(claims, "goes without a loss") == ["held"]
    assert verdicts(claims, "Network Slimming") == ["held", "did not hold"]
    assert verdicts(claims, "as accurate as l1") == ["undecided"]
    assert verdicts(claims, "multiply-adds than l1") == ["did not hold"]
    (macs,) = [claim.finding.value for claim in claims if "multiply-adds than" in claim.text]
    assert macs == pytest.approx(-30.0)


def test_the_penalty_on_scales_adds_its_sign_to_the_gradient(study: Load) -> None:
    harvest = study("harvest")
    norm = nn.BatchNorm2d(2)
    model = nn.Sequential(norm)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, -0.5]))
    x = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    model(x).square().sum().backward()
    assert norm.weight.grad is not None
    plain = norm.weight.grad.clone()
    norm.weight.grad.zero_()
    harvest.penalise_gamma_(model, 0.25)
    model(x).square().sum().backward()
    torch.testing.assert_close(norm.weight.grad - plain, torch.tensor([0.25, -0.25]))


# Seven networks are compacted.
@pytest.mark.slow
def test_networks_are_pruned_to_a_size(study: Load) -> None:
    harvest = study("harvest")
    torch.manual_seed(0)
    model = nn.Sequential()
    model.features = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU())
    model.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))
    size = harvest.parameters(model) // 2
    small = harvest.pruned(model.eval(), "l1", "layer", size, torch.zeros(1, 3, 8, 8))
    # A filter has 27 weights, a bias, two of its norm and four that read it.
    assert abs(harvest.parameters(small) - size) <= 34
    assert small(torch.zeros(1, 3, 8, 8)).shape == (1, 4)


def test_filters_share_inputs_at_equal_weights(study: Load) -> None:
    shared = study("shared_inputs")
    counts = set()
    for cell in shared.cells("cpu")[:4]:
        model = shared.build(cell, 16)
        counts.add(shared.weights(model))
        group = cell["group"]
        first, *others = [m for m in model.modules() if isinstance(m, nn.Conv2d | ow.SparseConv2d)]
        assert isinstance(first, nn.Conv2d)
        for layer in others:
            assert isinstance(layer, ow.SparseConv2d)
            taps = layer.pattern.taps.reshape(layer.out_channels, -1)
            assert np.array_equal(taps, taps[::group].repeat(group, 0))
    assert len(counts) == 1
    claims = shared.claims(
        [
            *rows({"group": 1, "train": 100}, [0.8, 0.81, 0.82]),
            *rows({"group": 4, "train": 100}, [0.799, 0.809, 0.82]),
            *rows({"group": 16, "train": 100}, [0.75, 0.76, 0.765]),
        ]
    )
    assert [c.finding.verdict for c in claims] == ["held", "undecided", "did not hold"]


def test_mnist_at_ten_percent_is_judged_by_half_a_point(study: Load) -> None:
    ten = study("mnist_at_ten_percent")
    target = ten.parameters(ten.build("sparse", 0))
    thin = ten.parameters(ten.build("depth multiplier", 0))
    assert abs(thin / target - 1) < 0.05
    found = [
        *rows({"kind": "dense"}, [0.990, 0.991, 0.992]),
        *rows({"kind": "sparse"}, [0.989, 0.990, 0.9905]),
        *rows({"kind": "depth multiplier"}, [0.999, 0.9995, 1.0]),
    ]
    assert [c.finding.verdict for c in ten.claims(found)] == ["held", "did not hold"]


def test_short_runs_on_mnist_refute_no_figure_of_long_ones(study: Load) -> None:
    connected = study("fully_connected")
    where = {"network": connected.NARROW, "kind": "3 %"}
    text = "On MNIST 3 %"
    for epochs, verdict in ((5, "undecided"), (30, "did not hold")):
        found = rows(where, [0.90, 0.91, 0.905], epochs=epochs)
        assert verdicts(connected.claims(found), text) == [verdict]
    assert verdicts(connected.claims(rows(where, [0.96, 0.961], epochs=5)), text) == ["held"]
    # Cells that a figure of the authors needs come first, whatever the seed.
    first = connected.cells("paper")[:15]
    assert {(c["network"], c["kind"]) for c in first} == {
        (connected.NARROW, kind) for kind in ("dense", "3 %", "40 %")
    }
    assert {c["seed"] for c in first} == set(range(5))


def test_late_and_early_connections_are_compared_in_each_network(study: Load) -> None:
    connected = study("fully_connected")
    found = []
    for network, late in zip(connected.KINDS, ([0.9, 0.91], [0.7, 0.71], []), strict=True):
        found += rows({"network": network, "kind": "late"}, late, epochs=30)
        found += rows({"network": network, "kind": "early"}, [0.8, 0.81], epochs=30)
    assert verdicts(connected.claims(found), "later junction") == [
        *("held", "did not hold", "undecided")
    ]


def test_growing_networks_catch_up_or_lose(study: Load) -> None:
    growing = study("incremental_training")
    found = rows({"data": "x", "kind": "dense"}, [0.9, 0.91, 0.92])
    for kind, gain in (("grown by 1/4", 0.001), ("grown by 1/2", -0.02)):
        found += rows({"data": "x", "kind": kind}, [0.9 + gain, 0.91 + gain, 0.92 + gain])
    assert [c.finding.verdict for c in growing.claims(found)] == [
        *("held", "did not hold", "undecided")
    ]


def test_ssc_is_compared_with_each_of_the_others(study: Load) -> None:
    ways = study("ssc_vs_others")
    where = {"data": "cifar10", "sparsity": 0.95}
    found = []
    for kind, gain in (("ssc", 0.0), ("random", -0.01), ("groupwise", 0.02)):
        found += rows({**where, "kind": kind}, [0.9 + gain, 0.91 + gain, 0.92 + gain])
    found += rows({**where, "kind": "grasp"}, [0.8, 0.81])
    claims = ways.claims(found)
    assert verdicts(claims, "with as many weights") == [
        *("held", "did not hold", "undecided", "undecided")
    ]
    assert verdicts(claims, "pruning at initialisation") == ["undecided", "held"]


def test_sparse_and_narrow_are_equal_within_a_point(study: Load) -> None:
    widths = study("sparse_vs_depth_multiplier")
    found = []
    for alpha, gain in ((0.01, 0.05), (0.03, -0.05), (0.1, 0.002), (0.3, 0.03)):
        where = {"data": "mnist", "alpha": alpha}
        found += rows({**where, "kind": "depth multiplier"}, [0.9, 0.91, 0.92])
        found += rows({**where, "kind": "sparse"}, [0.9 + gain, 0.91 + gain, 0.92 + gain])
    claims = widths.claims(found)
    assert verdicts(claims, "Below 10 %") == ["held", "did not hold"]
    assert verdicts(claims, "From 10 %") == ["held", "did not hold"]


def test_run_time_is_a_share_of_the_ideal(study: Load) -> None:
    timed = study("run_time")
    found = [
        {
            "settings": {"what": "inference", "seed": seed},
            # At 0.1, 8 times as fast where 10 times is the ideal; at 0.05, 4 times of 20.
            "result": {"densities": [1.0, 0.1, 0.05, 0.2], "milliseconds": [8.0, 1.0, 2.0, 2.0]},
        }
        for seed in range(2)
    ]
    assert timed.shares(found, "inference", 0.1) == [pytest.approx(80.0)] * 2
    assert verdicts(timed.claims(found), "Run time")[:3] == ["held", "held", "did not hold"]


def test_scatter_is_correlated_over_all_patterns(study: Load) -> None:
    predicts = study("scatter")
    found = [
        {
            "settings": {"family": "mixed", "seed": seed},
            "result": {"scatter": 0.1 * seed, "accuracy": 0.02 * seed},
        }
        for seed in range(1, 10)
    ]
    every, high = predicts.claims(found)
    assert (every.finding.verdict, every.finding.n) == ("held", 9)
    assert every.finding.value == pytest.approx(1.0)
    # Four patterns above one half are too few.
    assert (high.finding.verdict, high.finding.n) == ("undecided", 4)

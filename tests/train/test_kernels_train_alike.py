"""Training on the native kernels is training on the reference, up to rounding."""

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

import dataclasses
import statistics

import torch
import torch.nn.functional as F

import openwork as ow
from openwork.data import DataSet, Split

VARIABLE = "OPENWORK_TRAIN_KERNELS"
PLAN = ow.Plan({"conv:*": {"pattern": "random", "density": 0.25}, "features.0": "dense"})
STEPS, BATCH = 100, 64


def network(seed: int) -> torch.nn.Sequential:
    torch.manual_seed(seed)
    return ow.sparsify_(ow.models.build("mnist_3conv", in_channels=1, image_size=28), PLAN)


def first(split: Split, count: int) -> Split:
    return Split(split.images[:count], split.labels[:count])


def few_images() -> DataSet:
    """Of MNIST itself."""
    full = ow.data.load("mnist-subset")
    return dataclasses.replace(full, train=first(full.train, 1600), test=first(full.test, 1000))


def accuracy(data: DataSet, seed: int) -> float:
    recipe = ow.train.Recipe(epochs=5, batch_size=BATCH, optimizer="adam", lr=1e-3, seed=seed)
    history = ow.train.fit(network(seed), data, recipe, device="cpu", progress=False)
    return history[-1].test_accuracy


def losses(data: DataSet, threads: int) -> torch.Tensor:
    """Of the first steps: (STEPS,)."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    model = network(0).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    batches = ow.data.Batches(data.train, BATCH, data.mean, data.std, shuffle=True, seed=0)
    found: list[float] = []
    try:
        while len(found) < STEPS:
            for images, labels, _ in batches.epoch(len(found) // len(batches)):
                loss = F.cross_entropy(model(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                found.append(loss.item())
    finally:
        torch.set_num_threads(before)
    return torch.tensor(found[:STEPS], dtype=torch.float64)


@pytest.mark.slow
def test_accuracies_are_within_the_spread_of_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    data = few_images()
    found: dict[str, list[float]] = {}
    for kernels in ("reference", "native"):
        monkeypatch.setenv(VARIABLE, kernels)
        found[kernels] = [accuracy(data, seed) for seed in range(3)]
    reference, native = found.values()
    assert min(reference) > 0.9
    spread = max(max(each) - min(each) for each in found.values())
    assert abs(statistics.mean(native) - statistics.mean(reference)) <= spread


@pytest.mark.slow
def test_losses_part_no_faster_than_with_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    data = few_images()
    monkeypatch.setenv(VARIABLE, "reference")
    reference = losses(data, 1)
    other = (losses(data, 2) - reference).abs().max().item()
    monkeypatch.setenv(VARIABLE, "native")
    native = (losses(data, 1) - reference).abs().max().item()
    assert 0 < native <= 10 * other

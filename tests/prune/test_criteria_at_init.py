"""Scores of untrained networks, against what a few weights give by hand."""

import numpy as np
import torch
from torch import nn

from openwork._call import Call
from openwork.nn import Plan, sparsify_
from openwork.patterns import Pattern
from openwork.prune.criteria_at_init import Trial, grasp, snip, synflow
from openwork.prune.units.granularity import units_of

FIRST = [[1.0, -2.0], [3.0, 0.5]]
SECOND = [[-1.0, 2.0], [4.0, 0.25]]


def _network() -> nn.Sequential:
    """Two 1x1 convolutions over images of one pixel: y = SECOND FIRST x."""
    model = nn.Sequential(nn.Conv2d(2, 2, 1, bias=False), nn.Conv2d(2, 2, 1, bias=False))
    for layer, weight in zip(model, (FIRST, SECOND), strict=True):
        layer.weight.data = torch.tensor(weight).reshape(2, 2, 1, 1)
    return model


def _images(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows).reshape(-1, 2, 1, 1)


def _total(outputs: torch.Tensor, targets: object) -> torch.Tensor:
    return outputs.sum()


def _squares(outputs: torch.Tensor, targets: object) -> torch.Tensor:
    return outputs.square().sum()


def _trial(model: nn.Module, batches: list, loss: object, granularity: str = "kernel") -> Trial:
    example = Call(_images([5.0, 7.0]))
    units = units_of(model, granularity, "*", (2, 1), example)
    return Trial(model, units, batches, loss, example)  # type: ignore[arg-type]


def test_snip_is_weight_times_gradient_without_its_sign() -> None:
    # d(sum y) / d FIRST[j][i] = (column sum j of SECOND) x_i; by SECOND[k][j] it is (FIRST x)_j.
    batches = [(_images([1.0, 2.0]), None), (_images([3.0, -4.0]), None)]
    scores = snip(_trial(_network(), batches, _total))
    mean_x, columns = np.array([2.0, -1.0]), np.array([3.0, 2.25])
    first = np.abs(np.array(FIRST) * columns[:, None] * mean_x[None, :])
    second = np.abs(np.array(SECOND) * (np.array(FIRST) @ mean_x)[None, :])
    np.testing.assert_allclose(np.concatenate(scores), [*first.flat, *second.flat], rtol=1e-6)


def test_one_gate_multiplies_all_weights_of_a_unit() -> None:
    # Blocks of two filters by one input: gradients add up before their sign is dropped.
    scores = snip(_trial(_network(), [(_images([1.0, 2.0]), None)], _total, "block"))
    first = np.array(FIRST) * np.array([3.0, 2.25])[:, None] * np.array([1.0, 2.0])
    second = np.array(SECOND) * (np.array(FIRST) @ [1.0, 2.0])
    expected = np.abs([*first.sum(axis=0), *second.sum(axis=0)])
    np.testing.assert_allclose(np.concatenate(scores), expected, rtol=1e-6)


IMAGES = [_images([1.0, 2.0]), _images([0.5, -1.0])]
WEIGHTS = torch.tensor([*np.ravel(FIRST), *np.ravel(SECOND)], dtype=torch.float32)


def _expected_grasp(alive: list[int]) -> np.ndarray:
    """Weight times Hessian times gradient by the weights at `alive`; the others are zero."""

    def loss_of(live: torch.Tensor) -> torch.Tensor:
        weights = torch.zeros(8).index_put((torch.tensor(alive),), live)
        first, second = weights[:4].reshape(2, 2), weights[4:].reshape(2, 2)
        losses = [(second @ first @ x.reshape(2)).square().sum() for x in IMAGES]
        return torch.stack(losses).sum()

    live = WEIGHTS[alive]
    hessian = torch.autograd.functional.hessian(loss_of, live)
    gradient = torch.autograd.functional.jacobian(loss_of, live) / len(IMAGES)
    return (live * (hessian @ gradient)).numpy()


def test_grasp_is_weight_times_hessian_times_gradient() -> None:
    scores = grasp(_trial(_network(), [(x, None) for x in IMAGES], _squares))
    np.testing.assert_allclose(np.concatenate(scores), _expected_grasp([*range(8)]), rtol=1e-4)


def test_grasp_without_a_loss_softens_the_outputs() -> None:
    targets = torch.tensor([1])

    def soft(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(outputs.flatten(1) / 200, targets)

    batch = (_images([1.0, 2.0]), targets)
    with_flatten = nn.Sequential(*_network(), nn.Flatten())
    default = grasp(_trial(with_flatten, [batch], None))
    expected = grasp(_trial(_network(), [batch], soft))
    np.testing.assert_allclose(np.concatenate(default), np.concatenate(expected), rtol=1e-4)


def test_synflow_counts_positive_paths() -> None:
    trial = _trial(_network(), [], None)
    scores = np.concatenate(synflow(trial))
    first, second = np.abs(FIRST), np.abs(SECOND)
    expected = [*(first * second.sum(axis=0)[:, None]).flat, *(second * first.sum(axis=1)).flat]
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


def test_sparse_layers_are_scored_where_they_live() -> None:
    alive = np.array([[True, False], [True, True]]).reshape(2, 2, 1, 1)
    sparse = sparsify_(_network(), Plan({"0": Pattern(alive)}), init="keep")
    masked = _network()
    first = masked[0].weight
    assert isinstance(first, torch.Tensor)
    first.data[0, 1] = 0
    batches = [(x, None) for x in IMAGES]
    # The dead kernel belongs to no unit.
    expected = np.delete(np.concatenate(snip(_trial(masked, batches, _squares))), 1)
    found = np.concatenate(snip(_trial(sparse, batches, _squares)))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    found = np.concatenate(grasp(_trial(sparse, batches, _squares)))
    np.testing.assert_allclose(found, _expected_grasp([0, 2, 3, 4, 5, 6, 7]), rtol=1e-4)


def test_a_cut_unit_scores_nothing() -> None:
    trial = _trial(_network(), [(_images([1.0, 2.0]), None)], _total)
    keep = np.ones((2, 2, 1, 1), dtype=bool)
    keep[1, 0] = False
    trial.cut({"0": keep, "1": np.ones_like(keep)})
    assert [score == 0 for score in snip(trial)[0]] == [False, False, True, False]

"""What training minimises: the labels, and a teacher's outputs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import openwork as ow
from openwork.data import DataSet
from openwork.errors import ArgumentError, CheckpointError
from openwork.train import Recipe, evaluate, fit
from openwork.train.objective import Objective, check_teacher

Make = Callable[..., Any]
IMAGES = torch.zeros(3, 1, 2, 2)
LABELS = torch.tensor([0, 1, 2])


class _Same(nn.Module):
    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits[: len(images)]


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_loss_is_that_of_the_formula(weight: float, temperature: float) -> None:
    torch.manual_seed(0)
    logits, taught = torch.randn(3, 5), torch.randn(3, 5)
    recipe = Recipe(temperature=temperature, teacher_weight=weight)
    found = Objective(recipe, _Same(taught))(logits, IMAGES, LABELS)
    mine, its = ((x.double() / temperature).softmax(1) for x in (logits, taught))
    distance = (its * (its / mine).log()).sum()
    hard = F.cross_entropy(logits, LABELS, reduction="sum")
    expected = (1 - weight) * hard + weight * temperature**2 * distance
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    assert Objective(recipe, None)(logits, IMAGES, LABELS).item() == hard.item()


def test_a_teacher_gets_no_gradient_and_no_mode(make: Make, toy: DataSet) -> None:
    teacher = make(plan=None).train()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    fit(make(), toy, Recipe(epochs=1), teacher=teacher, progress=False, device="cpu")
    after = teacher.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert teacher.training


def test_a_network_learns_from_a_teacher_alone(make: Make, toy: DataSet) -> None:
    teacher = make(plan=None)
    fit(teacher, toy, Recipe(epochs=6, batch_size=16, lr=0.05), progress=False, device="cpu")
    wrong = DataSet("wrong", toy.train, toy.test, toy.classes, toy.mean, toy.std)
    wrong.train.labels[:] = 0
    pupil = make()
    recipe = Recipe(epochs=6, batch_size=16, lr=0.05, teacher_weight=1.0)
    fit(pupil, wrong, recipe, teacher=teacher, progress=False, device="cpu")
    assert evaluate(pupil, toy).accuracy > 0.9


def test_the_teacher_may_be_compiled(make: Make, toy: DataSet) -> None:
    teacher = make(plan=None).eval()
    plain, compiled = make(dropout=0.0), make(dropout=0.0)
    recipe = Recipe(epochs=1, batch_size=35)
    fit(plain, toy, recipe, teacher=teacher, progress=False, device="cpu")
    quick = ow.compile(teacher, torch.zeros(1, 1, 8, 8))
    fit(compiled, toy, recipe, teacher=quick, progress=False, device="cpu")
    # The same up to rounding.
    torch.testing.assert_close(plain[0].weight, compiled[0].weight, rtol=1e-3, atol=1e-4)


def test_a_teacher_that_cannot_teach_is_refused(make: Make, toy: DataSet) -> None:
    model = make()
    with pytest.raises(ArgumentError, match="`teacher` shares weights with `model`"):
        check_teacher(nn.Sequential(*model), model, toy)
    with pytest.raises(ArgumentError, match="`teacher` has 3 outputs"):
        check_teacher(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), model, toy)
    with pytest.raises(ArgumentError, match="`teacher`"):
        fit(model, toy, Recipe(epochs=1), teacher="resnet56")  # type: ignore[arg-type]


def test_a_run_resumes_with_its_teacher_only(make: Make, toy: DataSet, tmp_path: Path) -> None:
    teacher, other = make(plan=None), make(plan=None, dropout=0.0)
    nn.init.zeros_(other[6].weight)
    recipe = Recipe(epochs=1, batch_size=35)
    options = {"out": tmp_path, "progress": False, "device": "cpu"}
    rows = fit(make(), toy, recipe, teacher=teacher, **options)
    for wrong in (None, other):
        with pytest.raises(CheckpointError, match="has another teacher"):
            fit(make(), toy, recipe, teacher=wrong, resume=True, **options)
    assert fit(make(), toy, recipe, teacher=teacher, resume=True, **options) == rows

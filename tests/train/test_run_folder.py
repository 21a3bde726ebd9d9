"""A run's folder: what is kept, and what is refused."""

import errno
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch
from parts import part
from torch import nn

from openwork.data import DataSet, Split
from openwork.errors import ArgumentError, CheckpointError, OpenworkError
from openwork.io import info, load
from openwork.models import build
from openwork.nn import Plan, SparseConv2d, sparsify_
from openwork.train import EpochMetrics, Recipe, fit
from openwork.train.optimizers import OPTIMIZERS, make_optimizer
from openwork.train.run_folder import CSV, MODEL, PLAN, STATE, RunFolder, identity_of

Make = Callable[..., nn.Sequential]


def _row(epoch: int) -> EpochMetrics:
    return EpochMetrics(epoch, 0.1, 1.0 / epoch, 0.5, 1 / 3, 0.25, 1.5)


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    torch.manual_seed(seed)
    optimizer.zero_grad()
    model(torch.randn(6, 1, 8, 8)).square().mean().backward()
    optimizer.step()


def _data(name: str = "toy", images: int = 4, shade: int = 9) -> DataSet:
    split = Split(np.full((images, 1, 8, 8), shade, np.uint8), np.zeros(images, np.int64))
    return DataSet(name, split, split, ("a",), (shade / 255,), (1.0,))


def _folder(path: Path, model: nn.Module, recipe: Recipe, plan: Plan | None = None) -> RunFolder:
    return RunFolder(path, identity_of(model, _data(), recipe), plan)


def _equal(one: nn.Module, two: nn.Module) -> bool:
    left, right = one.state_dict(), two.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_goes_on_as_if_it_had_not_stopped(name: str, make: Make, tmp_path: Path) -> None:
    recipe = Recipe(optimizer=name)
    model = make(dropout=0.0)
    optimizer = make_optimizer(model.parameters(), recipe)
    folder = _folder(tmp_path, model, recipe)
    folder.begin()
    assert not folder.has_state()
    for seed in (1, 2):
        _step(model, optimizer, seed)
    folder.finish_epoch(model, optimizer, [_row(1), _row(2)])
    again = make(dropout=0.0)
    other = make_optimizer(again.parameters(), recipe)
    folder = _folder(tmp_path, again, recipe)
    assert folder.has_state()
    assert folder.resume(again, other) == [_row(1), _row(2)]
    assert _equal(again, model)
    for seed in (3, 4):
        _step(model, optimizer, seed)
        _step(again, other, seed)
    assert _equal(again, model)


def test_everything_lies_in_the_folder(make: Make, plan: Plan, tmp_path: Path) -> None:
    model, recipe = make(), Recipe()
    optimizer = make_optimizer(model.parameters(), recipe)
    folder = _folder(tmp_path / "new" / "run", model, recipe, plan)
    folder.begin()
    folder.finish_epoch(model, optimizer, [_row(1)])
    found = {path.name for path in folder.path.iterdir()}
    assert found == {STATE, MODEL, PLAN, CSV}
    assert Plan.from_yaml(folder.path / PLAN) == plan
    told = info(folder.path / MODEL)
    assert told.plan == plan
    assert told.metrics["epoch"] == 1
    assert told.metrics["test_accuracy"] == 0.25
    assert told.metrics["data"] == "toy"
    assert _equal(load(folder.path / MODEL, lambda: make(plan=None)), model)


def test_tied_weights_and_views_are_kept(tmp_path: Path) -> None:
    def tied() -> nn.Sequential:
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 64))
        model[2].weight = model[1].weight
        return model

    model, recipe = tied(), Recipe()
    optimizer = make_optimizer(model.parameters(), recipe)
    _step(model, optimizer, 0)
    _folder(tmp_path, model, recipe).finish_epoch(model, optimizer, [_row(1)])
    again = tied()
    other = make_optimizer(again.parameters(), recipe)
    _folder(tmp_path, again, recipe).resume(again, other)
    assert _equal(again, model)
    assert again[1].weight is again[2].weight


def test_a_folder_with_a_run_is_not_begun_anew(make: Make, tmp_path: Path) -> None:
    model, recipe = make(), Recipe()
    optimizer = make_optimizer(model.parameters(), recipe)
    folder = _folder(tmp_path, model, recipe)
    folder.finish_epoch(model, optimizer, [_row(1)])
    with pytest.raises(CheckpointError, match="holds a run already"):
        folder.begin()


def _resume(path: Path, model: nn.Module, recipe: Recipe, data: DataSet | None = None) -> None:
    optimizer = make_optimizer(model.parameters(), recipe)
    RunFolder(path, identity_of(model, data or _data(), recipe), None).resume(model, optimizer)


@pytest.fixture
def run(make: Make, tmp_path: Path) -> Path:
    model, recipe = make(), Recipe()
    optimizer = make_optimizer(model.parameters(), recipe)
    _folder(tmp_path, model, recipe).finish_epoch(model, optimizer, [_row(1)])
    return tmp_path


def test_another_recipe_is_named_field_by_field(run: Path, make: Make) -> None:
    with pytest.raises(
        CheckpointError,
        match=r"another recipe: epochs is 10 there, 8 here; lr is 0.1 there, 0.2 here\.",
    ):
        _resume(run, make(), Recipe(epochs=8, lr=0.2))
    # More epochs are allowed, and so are not to blame.
    with pytest.raises(CheckpointError, match=r"another recipe: lr is 0.1 there, 0.2 here\."):
        _resume(run, make(), Recipe(epochs=12, lr=0.2))


def test_other_data_are_named(run: Path, make: Make) -> None:
    with pytest.raises(CheckpointError, match="another data: name is 'toy' there, 'mnist' here"):
        _resume(run, make(), Recipe(), _data("mnist"))
    with pytest.raises(CheckpointError, match=r"another data: .*train is 4 there, 5 here"):
        _resume(run, make(), Recipe(), _data(images=5))
    with pytest.raises(CheckpointError, match="another data: pixels is"):
        _resume(run, make(), Recipe(), _data(shade=8))


def test_other_frozen_parameters_are_named(run: Path, make: Make) -> None:
    model = make()
    model[0].weight.requires_grad_(False)
    with pytest.raises(CheckpointError, match=r"another frozen: \[\] there, \['0.weight'\] here"):
        _resume(run, model, Recipe())


def test_another_model_is_named(run: Path, make: Make) -> None:
    with pytest.raises(CheckpointError, match="another model: 'Sequential' there, 'Linear' here"):
        _resume(run, nn.Linear(2, 2), Recipe())
    with pytest.raises(CheckpointError, match=r"another plan: 2 layers differ, the first is '3'"):
        _resume(run, make(width=4), Recipe())


def test_another_shape_is_named(make: Make, tmp_path: Path) -> None:
    """Models of one class without sparse layers can only be told apart by their shapes."""
    model, recipe = make(plan=None), Recipe()
    optimizer = make_optimizer(model.parameters(), recipe)
    _folder(tmp_path, model, recipe).finish_epoch(model, optimizer, [_row(1)])
    with pytest.raises(CheckpointError, match=r"(?s)another model: .*0\.weight.*\. Resume with"):
        _resume(tmp_path, make(plan=None, width=4), recipe)


def test_another_model_by_name_is_named(tmp_path: Path) -> None:
    def made(classes: int) -> nn.Module:
        return build("mlp:64-8-4", in_channels=1, image_size=8, num_classes=classes)

    model, recipe = made(4), Recipe()
    optimizer = make_optimizer(model.parameters(), recipe)
    _folder(tmp_path, model, recipe).finish_epoch(model, optimizer, [_row(1)])
    other = build("mlp:64-9-4", in_channels=1, image_size=8, num_classes=4)
    with pytest.raises(CheckpointError, match="name is 'mlp:64-8-4' there, 'mlp:64-9-4' here"):
        _resume(tmp_path, other, recipe)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Plan({"*": {"pattern": "random", "density": 0.5}}, seed=1), "2 layers differ, .* '3'"),
        (Plan({"3": {"pattern": "random", "density": 0.5}}), "1 layers differ, .* '6'"),
        (None, "2 layers differ, .* '3'"),
    ],
)
def test_another_plan_is_named(run: Path, make: Make, other: Plan | None, message: str) -> None:
    with pytest.raises(CheckpointError, match=f"another plan: {message}"):
        _resume(run, make(plan=other), Recipe())


def test_a_damaged_state_is_refused(run: Path, make: Make) -> None:
    whole = (run / STATE).read_bytes()
    (run / STATE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="truncated"):
        _resume(run, make(), Recipe())
    (run / STATE).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="has been changed"):
        _resume(run, make(), Recipe())
    (run / STATE).write_bytes((run / MODEL).read_bytes())
    with pytest.raises(CheckpointError, match="is not the state of a run"):
        _resume(run, make(), Recipe())
    (run / STATE).unlink()
    with pytest.raises(CheckpointError, match="is not a file"):
        _resume(run, make(), Recipe())


def test_a_full_disk_leaves_the_epoch_before(
    run: Path, make: Make, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    model, recipe = make(), Recipe()
    optimizer = make_optimizer(model.parameters(), recipe)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with full_disk(1024), pytest.raises(CheckpointError, match="Free some space"):
        _folder(run, model, recipe).finish_epoch(model, optimizer, [_row(1), _row(2)])
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    assert _folder(run, model, recipe).resume(model, optimizer) == [_row(1)]


@pytest.mark.parametrize("failing", range(3))
def test_no_space_for_any_of_the_files_is_an_error_of_ours(
    run: Path, make: Make, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """The first, second or third file of the epoch does not fit; what is there stays readable."""
    synced: list[Path] = []
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        synced.append(self)
        if len(synced) == failing + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    model, recipe = make(), Recipe()
    optimizer = make_optimizer(model.parameters(), recipe)
    with pytest.raises(CheckpointError, match="No space left on device"):
        _folder(run, model, recipe).finish_epoch(model, optimizer, [_row(1), _row(2)])
    monkeypatch.undo()
    assert {path.name for path in run.iterdir()} == {STATE, MODEL, CSV}
    finished = 1 if failing == 0 else 2
    history = _folder(run, model, recipe).resume(model, optimizer)
    assert len(history) == finished
    _folder(run, model, recipe).export(model, history)
    assert info(run / MODEL).metrics["epoch"] == finished
    assert len((run / CSV).read_text().splitlines()) == 1 + finished


def test_no_space_for_the_plan_is_an_error_of_ours(
    make: Make, plan: Plan, tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    folder = _folder(tmp_path, make(), Recipe(), plan)
    with full_disk(16), pytest.raises(CheckpointError, match=r"plan\.yaml.*could not be written"):
        folder.begin()
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_is_no_tensor_is_refused(tmp_path: Path) -> None:
    class Talkative(nn.Linear):
        def get_extra_state(self) -> dict[str, str]:
            return {"mood": "fine"}

    model, recipe = Talkative(2, 2), Recipe()
    optimizer = make_optimizer(model.parameters(), recipe)
    with pytest.raises(ArgumentError, match="'_extra_state' of type dict"):
        _folder(tmp_path, model, recipe).finish_epoch(model, optimizer, [_row(1)])


def test_an_unwritable_folder_is_refused_at_once(make: Make, unwritable_folder: Path) -> None:
    for path in (unwritable_folder, unwritable_folder / "run"):
        with pytest.raises(OpenworkError, match=r"`out`=.* cannot be written to"):
            _folder(path, make(), Recipe())


def test_a_file_in_the_way_is_refused(make: Make, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(OpenworkError, match=r"`out`=.* cannot be written to"):
        _folder(tmp_path / "run", make(), Recipe())


def test_the_state_is_as_small_as_the_model_and_its_optimiser(tmp_path: Path) -> None:
    """Adam keeps two numbers a live weight: three in all, and none for the dead ones."""
    plan = Plan({"*": {"pattern": "random", "density": 0.1}})
    model = sparsify_(nn.Sequential(nn.Conv2d(128, 128, 3)), plan)
    recipe = Recipe(optimizer="adam")
    optimizer = make_optimizer(model.parameters(), recipe)
    model(torch.randn(1, 128, 4, 4)).sum().backward()
    optimizer.step()
    _folder(tmp_path, model, recipe).finish_epoch(model, optimizer, [_row(1)])
    dense = 3 * 4 * 128 * 128 * 9
    density = part(model, 0, SparseConv2d).pattern.density
    # Indices may cost 2 %; names, biases, history and digests a few kB.
    assert density * dense < (tmp_path / STATE).stat().st_size < density * dense * 1.02 + 8192


def test_two_runs_never_share_a_folder(make: Make, tmp_path: Path) -> None:
    data, recipe, left = (
        _data(),
        Recipe(epochs=1, batch_size=4),
        tmp_path / ".plan.abcd1234.partial",
    )

    def another(model: nn.Module, epoch: int) -> None:
        for resume in (False, True):
            with pytest.raises(CheckpointError, match=r"`out`=.* is in use by another run"):
                fit(make(), data, recipe, out=tmp_path, resume=resume, device="cpu", progress=False)

    left.touch()
    options = {"out": tmp_path, "device": "cpu", "progress": False}
    rows = fit(make(), data, recipe, on_epoch=another, **options)
    assert not left.exists()
    assert fit(make(), data, recipe, resume=True, **options) == rows

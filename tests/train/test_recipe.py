"""`Recipe`: what goes in comes out, and what does not fit is named."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from openwork.errors import ArgumentError
from openwork.train import GrowthSchedule, Recipe

FULL = Recipe(
    epochs=7,
    batch_size=33,
    optimizer="rmsprop",
    lr=0.02,
    momentum=0.5,
    beta2=0.9,
    l2=1e-4,
    weight_decay=0.1,
    schedule="step",
    warmup=0.1,
    milestones=(0.3, 0.6, 0.9),
    drop=0.5,
    label_smoothing=0.1,
    flip=True,
    crop_padding=4,
    growth=GrowthSchedule(start=0.1, every=20, until=0.8, init="original"),
    accumulate=2,
    clip_norm=1.0,
    ema=0.99,
    temperature=2.0,
    teacher_weight=0.5,
    precision="bfloat16",
    seed=11,
)


def test_every_field_survives_the_round_trip(tmp_path: Path) -> None:
    assert all(
        getattr(FULL, field.name) != field.default for field in dataclasses.fields(Recipe)
    ), "a field at its default would prove nothing"
    assert Recipe.from_dict(FULL.to_dict()) == FULL
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(FULL.to_dict()))
    assert Recipe.from_yaml(path) == FULL


def test_what_is_left_out_takes_its_default(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("epochs: 3\noptimizer: adam\n")
    assert Recipe.from_yaml(path) == Recipe(epochs=3, optimizer="adam")
    assert Recipe.from_dict({}) == Recipe()


@pytest.mark.parametrize(
    ("optimizer", "lr"),
    [
        ("sgd", 0.1),
        ("adam", 1e-3),
        ("adamw", 1e-3),
        ("adagrad", 1e-2),
        ("adadelta", 1.0),
        ("rmsprop", 1e-3),
    ],
)
def test_the_learning_rate_has_a_default_of_its_own(optimizer: str, lr: float) -> None:
    recipe = Recipe(optimizer=optimizer)
    assert recipe.lr == recipe.peak_lr == lr
    assert recipe == Recipe(optimizer=optimizer, lr=lr)
    assert Recipe(optimizer=optimizer, lr=0.5).peak_lr == 0.5


def test_a_recipe_cannot_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(FULL, "lr", 1.0)  # noqa: B010  # written plainly, a type error


def test_a_seed_that_torch_cannot_take_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"`seed`=.* must be below 2\*\*64"):
        Recipe(seed=2**64)


def _cases() -> list[tuple[str, Any, str]]:
    nan, inf = float("nan"), float("inf")
    cases: list[tuple[str, Any, str]] = []
    for name in ("epochs", "batch_size", "accumulate"):
        cases += [(name, v, "a whole number of at least 1") for v in (0, -1, 1.5, True, "1", None)]
    for name in ("seed", "crop_padding"):
        cases += [(name, v, "a whole number of at least 0") for v in (-1, 0.5, True, "0", None)]
    for name in ("optimizer", "schedule", "precision"):
        cases += [(name, v, "must be one of '") for v in ("SGD", "", None, 3, ["sgd"])]
    cases += [("clip_norm", v, "a number above 0.0") for v in (0, nan, "1")]
    cases += [("teacher_weight", v, "a number from 0 to 1") for v in (-0.1, 1.1, nan, None, True)]
    for name in ("lr", "drop", "temperature"):
        cases += [(name, v, "a number above 0.0") for v in (0, -1.0, nan, inf, True, "0.1")]
    for name in ("l2", "weight_decay"):
        cases += [(name, v, "a number at least 0.0") for v in (-1e-9, nan, inf, "0", None)]
    for name in ("momentum", "beta2", "warmup", "label_smoothing", "ema"):
        cases += [(name, v, "at least 0.0 and below 1.0") for v in (-0.1, 1, 1.0, nan, None, False)]
    cases += [("milestones", v, "must be a list of numbers") for v in (0.5, None, "0.5", {0.5: 1})]
    cases += [("growth", v, "must have start and every") for v in (0.1, {"start": 0.1}, {"x": 1})]
    cases += [("flip", v, "must be true or false") for v in (1, "yes", None)]
    return cases


@pytest.mark.parametrize(("argument", "value", "rule"), _cases())
def test_a_value_out_of_range_is_named_with_its_rule(argument: str, value: Any, rule: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        Recipe(**{argument: value})
    assert f"`{argument}`={value!r}" in str(caught.value)
    assert rule in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, float("nan"), "0.5"])
def test_each_milestone_lies_within_the_run(share: Any) -> None:
    with pytest.raises(ArgumentError, match=r"`milestones`=.* above 0.0 and below 1.0"):
        Recipe(milestones=(0.5, share))


def test_l2_and_decoupled_decay_are_not_confused() -> None:
    with pytest.raises(ArgumentError, match=r"`l2`=0\.1 does not go with `optimizer`='adamw'"):
        Recipe(optimizer="adamw", l2=0.1)
    assert Recipe(optimizer="adam", l2=0.1, weight_decay=0.2).weight_decay == 0.2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate: 0.1", "has no 'learning_rate'; it has epochs, batch_size"),
        ("lr: 0.1\nlr: 0.2", "line 2 gives 'lr' a second time"),
        ("- lr", "must hold a mapping, found list"),
        ("", "must hold a mapping, found NoneType"),
        ("lr: [", "not YAML"),
        ("epochs: 0", "`epochs`=0"),
        ("!!python/object/apply:os.getcwd []", "not YAML"),
        ("3: 4", "has no '3'"),
    ],
)
def test_a_bad_file_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ArgumentError) as caught:
        Recipe.from_yaml(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"missing\.yaml"):
        Recipe.from_yaml(tmp_path / "missing.yaml")
    (tmp_path / "latin").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ArgumentError, match="latin"):
        Recipe.from_yaml(tmp_path / "latin")


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.0e-3", "0.001", ".1e-2"])
def test_numbers_in_files_may_be_written_as_people_write_them(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.yaml").write_text(f"lr: {text}\n")
    assert Recipe.from_yaml(tmp_path / "recipe.yaml").lr == 0.001

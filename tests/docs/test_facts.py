"""Tables that pages generate are whole: every operator, error, name and command is on a page."""

import inspect
import json
import re
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs" / "_ext"))

import facts
from test_public_api import EXPORTS

from openwork import errors

DOCS = facts.DOCS


def test_every_operator_with_a_handler_is_in_a_table() -> None:
    shown = {row[0].strip("`") for grid in facts.operators().values() for row in grid.rows}
    handled = {*facts.COMPACT, *facts.COMPILE}
    assert {facts.plain_name(target) for target in handled} == shown
    assert len(shown) > 60


def test_an_operator_is_said_to_be_understood_by_who_has_a_handler() -> None:
    rows = {row[0]: row[1:] for grid in facts.operators().values() for row in grid.rows}
    assert rows["`conv2d`"] == ("yes", "yes")
    assert rows["`conv3d`"] == ("yes", "–")
    # Followed because torch tags it as pointwise.
    assert rows["`silu`"] == ("yes", "yes")
    assert "`hardshrink`" not in rows
    assert "hardshrink" in facts.pointwise_operators()


def test_reasons_of_both_parts_are_found() -> None:
    reasons = facts.declined()
    assert "in training mode" in reasons["compile"]
    assert "no scale and bias" in reasons["compact"]


def test_every_error_has_a_section_that_says_when_it_appears() -> None:
    family = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Exception)
    }
    assert set(facts.error_family()) == family
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^## `(\w+Error)`", text, flags=re.MULTILINE)) == family


def test_errors_are_listed_with_those_who_raise_them() -> None:
    rows = {row[0]: row for row in facts.error_table().rows}
    assert "`compile`" in rows["`CaptureError`"][3]
    assert "`ValueError`" in rows["`ArgumentError`"][2]


def test_every_public_name_is_in_the_reference() -> None:
    public = {
        (module, name)
        for module, names in EXPORTS.items()
        for name in names
        if module == "openwork" or name not in EXPORTS["openwork"]
    }
    assert set(facts.public_names()) == public
    with_names = sorted(module for module, names in EXPORTS.items() if names)
    assert facts.module_names() == with_names
    assert facts.module_page("openwork.nn").startswith("openwork.nn\n===========\n")


def test_every_command_and_option_is_listed() -> None:
    commands = {command.name: command for command in facts.commands()}
    assert {"train", "prune", "compile", "env"} <= set(commands)
    options = {row[0]: row for row in commands["prune"].parameters.rows}
    assert options["`--ratio`"][2] == "required"
    assert options["`--granularity`"][2] == "`kernel`"
    assert all(command.help for command in commands.values())


def test_the_atlas_shows_its_losses() -> None:
    grids = facts.atlases()
    assert grids
    cells = [cell for grid in grids.values() for row in grid.rows for cell in row[1:-1]]
    lost = [cell for cell in cells if cell.startswith("**")]
    assert lost
    assert all(float(cell.strip("*")) <= 1 for cell in lost)


def test_the_atlas_says_from_which_density_a_layer_is_twice_as_fast() -> None:
    _where, grid = next(iter(facts.atlases().items()))
    for _layer, *ratios, pays in grid.rows:
        if pays != "never":
            at = grid.head.index(pays) - 1
            assert all(float(ratio.strip("*")) >= 1.95 for ratio in ratios[at:])


def test_linear_layers_are_those_of_the_record() -> None:
    record = json.loads((facts.BENCHMARKS / "linear.json").read_text())
    ((where, grid),) = facts.linear_layers().items()
    assert record["machine"]["processor"] in where
    assert sum(cell != "–" for row in grid.rows for cell in row[1:]) == len(record["rows"])
    first = record["rows"][0]
    expected = first["onnxruntime_seconds"] / first["seconds"]
    shown = dict(zip(grid.head, grid.rows[0], strict=True))
    assert shown["layer"] == "`2048->1000`, batch 1"
    assert abs(float(shown["100%"].strip("*")) - expected) <= 0.05


def test_networks_are_compared_with_onnx_runtime() -> None:
    for grid in facts.networks().values():
        assert "ONNX Runtime" in grid.head[1]
        assert all(len(row) == len(grid.head) for row in grid.rows)


@pytest.mark.parametrize("part", ["compile", "compact"])
def test_what_was_tried_is_counted(part: str) -> None:
    assert re.search(r"\d+ networks of timm and torchvision", facts.tried()[part])


def test_training_steps_are_those_of_the_records() -> None:
    grids = facts.training_grids()
    for path in facts.BENCHMARKS.glob("training-step-*.json"):
        record = json.loads(path.read_text())
        title = next(title for title in grids if f"`benchmarks/{path.name}`" in title)
        assert f", {record['rows'][0]['threads']} thread" in title
        grid = grids[title]
        shown = {row[0]: dict(zip(grid.head, row, strict=True)) for row in grid.rows}
        for row in record["rows"]:
            name = f"`{row['what']}`, batch {row['batch']}{', fused' if row['fused'] else ''}"
            assert shown[name][str(row["density"])] == f"{row['speedup']:.1f}x"


def test_the_recipes_networks_are_those_of_the_record() -> None:
    record = json.loads((facts.BENCHMARKS / "recipe.json").read_text())
    ((where, grid),) = facts.recipe().items()
    assert "`benchmarks/recipe.json`" in where
    assert len(grid.rows) == len(record["rows"])
    for row in record["rows"]:
        shown = next(line for line in grid.rows if line[0] == f"{row['ratio']:.0%}")
        lost = f"{100 * (row['whole'] - row['retrained']):.2f}"
        assert shown[3:5] == (f"{row['retrained']:.2%}", lost)
        speedup = row["onnxruntime_milliseconds"] / row["milliseconds"]
        assert shown[-1] == f"{speedup:.1f}x"


def test_layers_come_after_networks() -> None:
    grids = facts.training_grids().values()
    layers = [["@" in row[0] for row in grid.rows] for grid in grids]
    assert any(any(found) for found in layers)
    assert all(found == sorted(found) for found in layers)


def test_pointwise_operators_are_those_that_torch_tags() -> None:
    assert torch.Tag.pointwise in torch.ops.aten.exp.default.tags
    assert "exp" in facts.pointwise_operators()
    assert "conv2d" not in facts.pointwise_operators()


def test_a_constant_is_described_by_the_text_behind_it() -> None:
    assert facts.constant_text("openwork.patterns", "KINDS").startswith("Every pattern that a plan")

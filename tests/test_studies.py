"""Every study says what it claims and what came out, and its results lie beside it."""

import ast
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from torch import nn

import openwork as ow

FOLDER = Path(__file__).parent.parent / "studies"
# The first study's record has another form.
STUDIES = sorted(
    path
    for path in FOLDER.glob("[!_]*.py")
    if "from _study import" in path.read_text(encoding="utf-8")
)


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch):
    """`study(name)`: the module of that name in the folder."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_header_claims_cites_and_concludes(path: Path) -> None:
    header = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert header.startswith("Claim: ")
    assert "\nSource: " in header
    assert f'\nResult at the scale "cpu" ({path.stem}_cpu.json' in header


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_record_is_whole_and_names_no_place(path: Path) -> None:
    text = path.with_name(f"{path.stem}_cpu.json").read_text(encoding="utf-8")
    record = json.loads(text)
    assert set(record) == {"summary", "settings", "rows", "machine", "versions", "seconds"}
    assert all(0 <= row["accuracy"] <= 1 for row in record["rows"])
    assert len({row.get("seed", number) for number, row in enumerate(record["rows"])}) >= 3
    assert "/" not in record["machine"]["processor"]
    assert path.with_name(f"{path.stem}_cpu.png").stat().st_size > 10_000


def test_intervals_are_students(study) -> None:
    mean, half = study("_study").interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    # t(0.975, 2) = 4.303, deviation 1.
    assert half == pytest.approx(4.303 / 3**0.5)
    assert np.isnan(study("_study").interval([1.0])[1])


def test_rank_correlation_ignores_the_scale_and_shares_ties(study) -> None:
    predicts = study("scatter_predicts")
    assert predicts.ranks([5.0, 1.0, 5.0]).tolist() == [1.5, 0.0, 1.5]
    values = [0.1, 0.5, 0.7, 3.0]
    assert predicts.spearman(values, [v**3 for v in values]) == pytest.approx(1)
    assert predicts.spearman(values, [-v for v in values]) == pytest.approx(-1)


def test_softmax_is_not_counted(study) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 5), nn.Linear(5, 3))
    assert study("_study").parameters_without_softmax(model) == 18 + 2 + 40 + 5


# The depth multiplier is found by building networks, some hundreds of them.
@pytest.mark.slow
@pytest.mark.parametrize("sparsity", [0.9, 0.95])
def test_the_five_ways_have_as_many_weights(study, sparsity: float) -> None:
    ways = study("ssc_vs_others")
    data = ow.data.load("mnist-subset")
    counts = [ways.weights(ways.build(kind, "resnet32", sparsity, data, 0)) for kind in ways.KINDS]
    assert max(counts) / min(counts) < 1.05

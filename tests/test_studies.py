"""The runner of the studies, and the page that is drawn from their rows."""

import contextlib
import dataclasses
import json
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import nn

import openwork as ow

FOLDER = Path(__file__).parent.parent / "studies"


def test_intervals_are_students(study) -> None:
    mean, half = study("_study").interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    # t(0.975, 2) = 4.303, deviation 1.
    assert half == pytest.approx(4.303 / 3**0.5)
    assert np.isnan(study("_study").interval([1.0])[1])


def test_rank_correlation_ignores_the_scale_and_shares_ties(study) -> None:
    predicts = study("scatter")
    assert predicts.ranks([5.0, 1.0, 5.0]).tolist() == [1.5, 0.0, 1.5]
    values = [0.1, 0.5, 0.7, 3.0]
    assert predicts.spearman(values, [v**3 for v in values]) == pytest.approx(1)
    assert predicts.spearman(values, [-v for v in values]) == pytest.approx(-1)


def test_softmax_is_not_counted(study) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 5), nn.Linear(5, 3))
    assert study("_study").parameters_without_softmax(model) == 18 + 2 + 40 + 5


@pytest.mark.slow
@pytest.mark.parametrize("sparsity", [0.9, 0.95])
def test_the_seven_ways_have_as_many_weights(study, sparsity: float) -> None:
    ways = study("ssc_vs_others")
    data = ow.data.load("mnist-subset")
    counts = [ways.weights(ways.build(kind, "resnet32", sparsity, data, 0)) for kind in ways.KINDS]
    assert max(counts) / min(counts) < 1.05


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Where a test's cells work: rows, unfinished cells and locks."""
    return {"rows": tmp_path, "work": tmp_path / "work", "locks": tmp_path / "lock"}


def _counting(grid: ModuleType, ran: list[int]):
    def run(settings, desk):
        desk.check()
        ran.append(settings["seed"])
        return {"accuracy": settings["seed"] / 10}

    return grid.Study("counting", 1, lambda _: [{"seed": s} for s in range(3)], run, {"cpu": ""})


def test_a_cell_with_a_row_does_not_run_again(grid, tmp_path: Path, folders) -> None:
    ran: list[int] = []
    study = _counting(grid, ran)
    assert grid.run_study(study, "cpu", **folders)
    path = grid.rows_path("counting", "cpu", tmp_path)
    # As if the last row were still to come.
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    assert grid.run_study(study, "cpu", **folders)
    assert ran == [0, 1, 2, 2]
    rows = grid.read_rows(path)
    assert grid.values(rows, "accuracy") == [0.0, 0.1, 0.2]
    assert set(rows[0]) == {
        *("cell", "settings", "result", "seconds", "contended", "threads", "processor", "gpu"),
        *("versions", "commit"),
    }
    assert list((tmp_path / "work" / "counting_cpu").iterdir()) == []


def test_the_budget_ends_a_run_before_its_next_cell(grid, folders) -> None:
    ran: list[int] = []
    assert not grid.run_study(_counting(grid, ran), "cpu", hours=0, **folders)
    assert ran == []


def test_a_cell_that_another_process_runs_is_left_to_it(grid, tmp_path: Path, folders) -> None:
    ran: list[int] = []
    study = _counting(grid, ran)
    # What the other one will have added: the row of the first cell.
    assert grid.run_study(study, "cpu", only={"seed": "0"}, **folders)
    path = grid.rows_path("counting", "cpu", tmp_path)
    first = path.read_text()
    path.unlink()
    place = grid.Place(study, "cpu", folders["work"], None, time.time() + 600)
    with contextlib.ExitStack() as other:
        assert place.hold({"seed": 0}, other)

        def run(settings, desk):
            if settings["seed"] == 2:
                path.write_text(path.read_text() + first)
                other.close()
            return study.run(settings, desk)

        assert grid.run_study(dataclasses.replace(study, run=run), "cpu", **folders)
    assert ran == [0, 1, 2]
    assert [row["settings"]["seed"] for row in grid.read_rows(path)] == [1, 0, 2]


def test_only_the_cells_asked_for_run(grid, folders) -> None:
    ran: list[int] = []
    assert grid.run_study(_counting(grid, ran), "cpu", only={"seed": "1"}, **folders)
    assert ran == [1]


def test_cells_share_a_network_that_is_trained_once(grid, tmp_path: Path, folders) -> None:
    data = _few_digits()
    trained, weights = [], []

    def run(settings, desk):
        torch.manual_seed(0)
        last = nn.Linear(28 * 28, 10)
        model = nn.Sequential(nn.Flatten(), last)
        recipe = ow.train.Recipe(epochs=2, batch_size=20, seed=0)
        trained.append(desk.trained({"name": "start"}, model, data, recipe))
        weights.append(last.weight.detach().clone())
        return {"accuracy": trained[-1]["accuracy"]}

    cells = [{"seed": 0}, {"seed": 1}]
    study = grid.Study("sharing", 1, lambda _: cells, run, {"cpu": ""})
    assert grid.run_study(study, "cpu", only={"seed": "0"}, **folders)
    assert len(list((tmp_path / "work" / "sharing_cpu" / "shared").iterdir())) == 1
    assert grid.run_study(study, "cpu", **folders)
    # Seconds are those of the first time: nothing was trained again.
    assert trained[0] == trained[1]
    assert torch.equal(*weights)
    assert not (tmp_path / "work" / "sharing_cpu" / "shared").exists()


def _few_digits() -> ow.data.DataSet:
    data = ow.data.load("mnist-subset")
    part = ow.data.Split(data.train.images[:40], data.train.labels[:40])
    return dataclasses.replace(data, train=part, test=part)


@pytest.mark.parametrize(
    ("threads", "timed", "runs"), [(1, False, True), (2, False, False), (1, True, False)]
)
def test_cells_share_the_cores(
    grid, tmp_path: Path, folders, monkeypatch, threads: int, timed: bool, runs: bool
) -> None:
    cores = sys.modules["_cores"]
    monkeypatch.setattr(cores, "CORES", 2)
    ran: list[int] = []
    asked = dataclasses.replace(_counting(grid, ran), threads=threads, timed=timed)
    with cores.cores(tmp_path / "lock", 1, 0.0):
        hours = 1 if runs else 1e-5
        assert grid.run_study(asked, "cpu", hours=hours, **folders) == runs
    assert bool(ran) == runs


def test_what_gets_too_few_cores_holds_none(study, tmp_path: Path, monkeypatch) -> None:
    cores = study("_cores")
    monkeypatch.setattr(cores, "CORES", 3)
    locks = tmp_path / "lock"
    with cores.cores(locks, 2, 0.0):
        for count in (2, None):
            with pytest.raises(cores.OutOfTimeError), cores.cores(locks, count, 0.0):
                pass
        with cores.cores(locks, 1, 0.0):
            pass
    with cores.cores(locks, None, 0.0):
        pass


def test_rows_of_two_machines_count_once(grid, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"cell": "a", "seconds": 1}\n{"cell": "b"}\n{"cell": "a", "seconds": 2}\n')
    assert grid.read_rows(path) == [{"cell": "a", "seconds": 1}, {"cell": "b"}]


def test_pairs_are_of_one_seed(grid) -> None:
    rows = [
        {"settings": {"kind": kind, "seed": seed}, "result": {"accuracy": value}}
        for kind, seed, value in [("a", 1, 0.5), ("b", 0, 0.1), ("a", 0, 0.4), ("a", 2, 0.9)]
    ]
    found = grid.paired(rows, "accuracy", {"kind": "a"}, {"kind": "b"})
    assert found == [pytest.approx(0.3)]


def test_verdicts_follow_from_intervals(study) -> None:
    claims = study("_claims")
    # Mean 2, half width 4.303 / sqrt(3) = 2.484.
    sample = [1.0, 2.0, 3.0]
    assert claims.at_least(sample, -0.5).verdict == "held"
    assert claims.at_least(sample, 0.0).verdict == "undecided"
    assert claims.at_least(sample, 4.5).verdict == "did not hold"
    assert claims.at_least([2.0], 0.0).verdict == "undecided"
    assert claims.at_least([], 0.0) == claims.Finding("undecided", 0)
    held, failed = claims.Finding("held", 3), claims.Finding("did not hold", 3)
    assert claims.combined([held, held]).verdict == "held"
    assert claims.combined([held, failed]).verdict == "held in part"
    assert claims.combined([failed, claims.Finding("undecided", 1)]).verdict == "undecided"


def test_a_rank_correlation_is_judged_by_fishers_interval(study) -> None:
    claims = study("_claims")
    finding = claims.rank_correlation(0.5, 28)
    # atanh(0.5) = 0.5493; 1.96 sqrt(1.06 / 25) = 0.4036.
    assert finding.low == pytest.approx(np.tanh(0.5493 - 0.4036), abs=1e-4)
    assert finding.high == pytest.approx(np.tanh(0.5493 + 0.4036), abs=1e-4)
    assert finding.verdict == "held"
    assert claims.rank_correlation(0.5, 10).verdict == "undecided"


def test_the_page_is_what_the_committed_rows_say(study) -> None:
    page = study("_page")
    found = {name: page.rows_of(name, FOLDER / "rows") for name in page.STUDIES}
    committed = (FOLDER.parent / "docs" / "evidence.md").read_text(encoding="utf-8")
    assert page.page(found) == committed, "run `python -m studies report`"
    # What did not hold comes first.
    verdicts = re.findall(r"^\| \*\*(.+?)\*\*", committed, re.MULTILINE)
    order = study("_claims").ORDER
    assert verdicts == sorted(verdicts, key=order.index)
    # Its pictures are there, each of them whole.
    shown = re.findall(r"^!\[.*\]\((.+\.svg)\)$", committed, re.MULTILINE)
    assert len(shown) == sum(map(len, found.values()))
    for name in shown:
        assert ElementTree.parse(FOLDER.parent / "docs" / name).getroot().tag.endswith("svg")


def test_a_claim_is_read_from_the_largest_scale_with_two_seeds(study) -> None:
    page = study("_page")

    def rows(alphas: tuple[float, ...], seeds: int, gain: float) -> list[dict[str, object]]:
        return [
            {
                "settings": {"data": "mnist", "kind": kind, "alpha": alpha, "seed": seed},
                "result": {"accuracy": 0.9 + (kind == "sparse") * gain + seed / 1000},
            }
            for kind in ("sparse", "depth multiplier")
            for alpha in alphas
            for seed in range(seeds)
        ]

    by_scale = {"paper": rows((0.01,), 2, 0.05), "cpu": rows((0.01, 0.03), 3, 0.02)}
    by_scale["paper"] += rows((0.03,), 1, 0.05)
    found = page.claims_of("sparse_vs_depth_multiplier", by_scale)
    seen = {claim.measure: (round(claim.finding.value, 6), cut) for claim, cut in found[:2]}
    cuts = page.STUDIES["sparse_vs_depth_multiplier"].STUDY.cut
    assert list(seen.values()) == [(5.0, cuts["paper"] or "nothing"), (2.0, cuts["cpu"])]
    # What both say together.
    assert (found[2][0].finding.verdict, found[2][0].finding.n) == ("held", 5)
    # A scale without rows is not asked.
    assert [claim.finding.n for claim, _ in page.claims_of("run_time", {})] == [0] * 6


def test_what_is_not_measured_is_listed_apart(study) -> None:
    page = study("_page")
    text = page.page({"run_time": {}, "shared_inputs": {}})
    table, _, missing = text.partition("Not measured yet:")
    assert not re.findall(r"^\| \*\*", table, re.MULTILINE)
    assert len(re.findall(r"^\* ", missing, re.MULTILINE)) == 6 + 3


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "studies", *arguments]


@pytest.mark.slow
def test_the_smoke_scale_of_all_studies_runs(study, tmp_path: Path) -> None:
    command = _command("all", "--scale", "smoke", "--rows", str(tmp_path))
    subprocess.run(command, check=True, cwd=FOLDER.parent, capture_output=True, timeout=600)
    assert len(list(tmp_path.glob("*_smoke.jsonl"))) == len(study("_page").STUDIES) == 12


@pytest.mark.slow
def test_a_cluster_gives_the_rows_of_one_process(study, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    cells = study("fully_connected").cells("smoke")
    rows = []
    for name, more in (("here", ()), ("there", ("--ray", "local"))):
        folder = tmp_path / name
        path = folder / "fully_connected_smoke.jsonl"
        folder.mkdir()
        done = [{"cell": study("_grid").key(cell)} for cell in cells[2:]]
        path.write_text("".join(json.dumps(row) + "\n" for row in done))
        command = _command("fully_connected", "--scale", "smoke", "--rows", str(folder), *more)
        subprocess.run(command, check=True, cwd=FOLDER.parent, capture_output=True, timeout=300)
        found = study("_grid").read_rows(path)[-2:]
        rows.append({row["cell"]: row["result"] for row in found})
        assert not list(folder.glob("unfinished/*/*"))
    assert rows[0] == rows[1]
    assert set(rows[0]) == {study("_grid").key(cell) for cell in cells[:2]}


@pytest.mark.slow
def test_a_killed_cell_ends_with_the_same_row(study, tmp_path: Path) -> None:
    cells = study("fully_connected").cells("smoke")
    rows = {}
    for name, delay in (("whole", None), ("killed", random.uniform(0.0, 1.0))):
        folder = tmp_path / name
        folder.mkdir()
        others = [{"cell": study("_grid").key(cell)} for cell in cells[1:]]
        path = folder / "fully_connected_smoke.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in others))
        command = _command("fully_connected", "--scale", "smoke", "--rows", str(folder))
        if delay is not None:
            process = subprocess.Popen(command, cwd=FOLDER.parent, stdout=subprocess.DEVNULL)
            until = time.monotonic() + 60
            while not list(folder.glob("unfinished/*/*/run")) and time.monotonic() < until:
                time.sleep(0.005)
            time.sleep(delay)
            process.kill()
            process.wait()
        subprocess.run(command, check=True, cwd=FOLDER.parent, capture_output=True, timeout=300)
        rows[name] = study("_grid").read_rows(path)[-1]
    assert "result" in rows["whole"]
    for part in ("cell", "settings", "result", "threads"):
        assert rows["killed"][part] == rows["whole"][part]

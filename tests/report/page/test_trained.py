"""Curves over epochs, density, and dead channels."""

from pathlib import Path

from run_folders import trained

from openwork.report.page.record import read_record
from openwork.report.page.trained import all_curves, curves, dead, density, training


def test_sections_of_a_training(tmp_path: Path) -> None:
    record = read_record(trained(tmp_path / "a"))
    found = [part(record) for part in (training, density, dead)]
    assert [section.key for section in found if section] == ["training", "density", "dead"]
    bodies = [section.body for section in found if section]
    assert bodies[0].count("<svg") == 3
    assert "25 % of 288" in bodies[1]
    assert "doubled every 100 steps" in bodies[1]
    assert "3 of 8" in bodies[2]


def test_runs_side_by_side(tmp_path: Path) -> None:
    records = [read_record(trained(tmp_path / name)) for name in "ab"]
    assert len(all_curves(["a", "b"], records)) == 2
    (one,) = curves({"a": records[0].epochs}, "test_accuracy")
    assert list(one.points) == [(1.0, 0.25), (2.0, 0.5), (3.0, 0.75)]
    assert all_curves([], []) == []

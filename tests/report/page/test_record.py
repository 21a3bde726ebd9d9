"""A record holds what the files say, and names those that cannot be read."""

from pathlib import Path

from run_folders import bench, pruned, put, trained

from openwork.report.page.record import read_record


def test_a_run_is_read_without_its_tensors(tmp_path: Path) -> None:
    run = trained(tmp_path / "a")
    put(run, "bench", bench())
    record = read_record(run)
    assert record.problems == []
    assert record.model is not None
    assert record.model.layout["conv.weight"] == ((72,), 288)
    assert record.metrics == {"data": "digits", "test_accuracy": 0.75}
    assert record.identity["data"]["name"] == "digits"
    assert [row["test_accuracy"] for row in record.epochs] == [0.25, 0.5, 0.75]
    assert [row.dead for row in record.dead] == [{"conv": 1}, {"conv": 2}, {"conv": 3}]
    assert record.documents == {"bench": bench()}
    assert not record.is_empty


def test_a_pruning_is_read_in_order(tmp_path: Path) -> None:
    record = read_record(pruned(tmp_path / "p"))
    assert [stage["ratio"] for stage in record.stages] == [0.25, 0.5]
    assert record.searches["search-1.jsonl"][-1] == (1, 1.0, 0.25)


def test_problems_are_named(tmp_path: Path) -> None:
    assert read_record(tmp_path).is_empty
    (tmp_path / "model.safetensors").write_text("x")
    (tmp_path / "bench.json").write_text("{")
    record = read_record(tmp_path)
    assert [problem.partition(" ")[0] for problem in record.problems] == [
        "model.safetensors",
        "bench.json",
    ]
    assert not record.is_empty

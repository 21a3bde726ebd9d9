"""Time, memory and proof."""

from pathlib import Path

from run_folders import bench, put, trained

from openwork.report.page import measured
from openwork.report.page.record import read_record


def test_latency_of_whole_and_parts(tmp_path: Path) -> None:
    put(tmp_path, "bench", bench())
    section = measured.latency(read_record(tmp_path))
    assert section is not None
    # The compiled network takes a quarter of the dense one's time, and so does its layer.
    assert section.body.count("width:25.00%") == 2
    assert "0.5 of 2" in section.body
    assert "One call takes 0.60 ms." in section.body


def test_memory_against_the_dense_network(tmp_path: Path) -> None:
    section = measured.memory(read_record(trained(tmp_path / "a")))
    assert section is not None
    assert "width:25.00%" in section.body
    assert "1.2 KB" in section.body


def test_the_proof_of_compact_lists_its_cases(tmp_path: Path) -> None:
    case = {"what": "the example", "shape": [2, 3, 8, 8], "absolute": 1e-7, "relative": 2e-7}
    layers = {"columns": ["layer", "out"], "rows": [["conv", "8 -> 4"]], "notes": []}
    held = {"cases": [case | {"in_float64": None}], "training": "runs", "layers": layers}
    put(tmp_path, "compact", held)
    record = read_record(tmp_path)
    proof, removed = measured.proof(record), measured.removed(record)
    assert proof is not None
    assert "2x3x8x8" in proof.body
    assert "2e-07" in proof.body
    assert removed is not None
    assert "8 -&gt; 4" in removed.body


def test_a_demo_is_shown_side_by_side(tmp_path: Path) -> None:
    cost = {"accuracy": 0.5, "parameters": 1000, "macs": 10, "checkpoint": 9, "epoch": None}
    cost |= {"latency": {"median": 0.001}, "compiled": None}
    put(tmp_path, "comparison", {"dense": cost, "sparse": cost})
    record = read_record(tmp_path)
    side, latency = measured.compared(record), measured.latency(record)
    assert side is not None
    assert side.body.count("1,000") == 2
    assert latency is not None
    assert "dense, torch" in latency.body
    assert measured.channels(record) is None

"""`QuantizeReport`: each layer's error, the worst of them named, as a table and as JSON."""

import json
from pathlib import Path

import pytest
from residual import residual

from openwork.nn import Plan, sparsify_
from openwork.quantize import quantize


def test_table_and_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, images = residual()
    model = sparsify_(model, Plan({"second": {"pattern": "random", "density": 0.25}}))
    _, report = quantize(model, images.split(32), evaluate=lambda m: 0.5)
    table = report.layers
    assert table.column("layer") == ["first", "second", "last"]
    assert table.column("density") == ["1", "0.25", "1"]
    errors = [float(each) for each in table.column("signal / error, dB")]
    worst = table.column("layer")[errors.index(min(errors))]
    assert table.notes[0] == "evaluated: 0.5 -> 0.5 (+0)"
    assert table.notes[1].startswith(f"most error: {worst} ({min(errors)} dB), ")
    report.to_json(tmp_path / "q.json")
    found = json.loads((tmp_path / "q.json").read_text())
    assert found["scores"] == [0.5, 0.5]
    assert (found["calibrate"], found["images"]) == ("minmax", 64)
    assert found["layers"]["rows"][1][:3] == ["second", "int8", "0.25"]
    report.print()
    assert "second" in capsys.readouterr().out
    assert str(report) == str(table)

"""Where a layer comes from survives being written as plain data."""

import json

from openwork.nn.drawn_from import DrawnFrom
from openwork.patterns import PatternSpec


def test_plain_data_and_back() -> None:
    spec = PatternSpec.from_data({"pattern": "random", "density": 0.25})
    origin = DrawnFrom(spec, seed=2**63 + 1, deviation=0.5)
    data = json.loads(json.dumps(origin.to_dict()))
    assert data["seed"] == 2**63 + 1
    assert DrawnFrom.from_dict(data) == origin

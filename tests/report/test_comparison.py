"""The comparison counts what the tensors and files are."""

import json
from pathlib import Path

import torch

from openwork.kernels.native import reason_missing
from openwork.models import build
from openwork.nn import Plan, sparsify_
from openwork.report import compare

PLAN = Plan({"conv:*": {"pattern": "random", "density": 0.1}, "features.0": "dense"})


def test_every_row_is_measured(tmp_path: Path) -> None:
    networks = [build("vgg-small", in_channels=1, image_size=28) for _ in range(2)]
    sparsify_(networks[1], PLAN)
    before = [{k: v.clone() for k, v in m.state_dict().items()} for m in networks]
    comparison = compare(
        networks[0],
        networks[1],
        torch.randn(4, 1, 28, 28),
        accuracies=(0.99, 0.98),
        epochs=(12.0, 6.0),
        passes=3,
    )
    dense, sparse = comparison.dense, comparison.sparse
    assert dense.parameters == 298_410
    assert sparse.parameters == sum(p.numel() for p in networks[1].parameters())
    assert dense.macs == 29_138_688
    for cost in (dense, sparse):
        # Weights, gradients and Adam's two averages; beside them only its step counters.
        exact = 16 * cost.parameters + cost.memory.indices
        assert exact <= cost.memory.training < exact + 500
        assert 4 * cost.parameters < cost.checkpoint < 4 * cost.parameters + 30_000
    for model, state in zip(networks, before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())

    table = comparison.table()
    assert table.rows[0] == ("test accuracy", "99.00%", "98.00%", "-1.00")
    assert table.rows[1][0] == "live parameters"
    compiled = [] if reason_missing else ["latency compiled, ms"]
    assert table.rows[4] == ("seconds per epoch of training", "12.0", "6.0", "0.500")
    assert [row[0] for row in table.rows][6:] == ["latency in torch, ms", *compiled]
    comparison.to_json(tmp_path / "c.json")
    assert json.loads((tmp_path / "c.json").read_text())["dense"]["macs"] == 29_138_688

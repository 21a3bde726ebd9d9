"""Candidates, stages and sensitivity."""

from pathlib import Path

from run_folders import pruned
from torch import nn

from openwork import prune
from openwork.report.page.pruned import search, search_charts, sensitivity, stages
from openwork.report.page.record import read_record


def test_the_winner_on_all_data_is_marked(tmp_path: Path) -> None:
    record = read_record(pruned(tmp_path / "p"))
    (chart,) = search_charts(record)
    assert chart.count('class="dot best"') == 1
    assert "<title>candidate 1: 0.25</title>" in chart
    section = search(record)
    assert section is not None
    assert "4 masks were drawn" in section.body
    assert "all 5 scores" in section.body


def test_stages_in_a_table_and_a_chart(tmp_path: Path) -> None:
    section = stages(read_record(pruned(tmp_path / "p")))
    assert section is not None
    assert "1,000" in section.body
    assert section.body.count("<svg") == 1


def test_sensitivity_is_drawn_by_ratio(tmp_path: Path) -> None:
    assert sensitivity(read_record(tmp_path)) is None
    errors = iter([0.1, 0.6, 0.3])
    prune.sensitivity(
        nn.Sequential(nn.Conv2d(3, 8, 3)),
        lambda model, share: next(errors),
        ratios=(0.8, 0.2),
        layers="*",
        out=tmp_path,
        progress=False,
    )
    section = sensitivity(read_record(tmp_path))
    assert section is not None
    assert "0.6 → 0.3" in section.body
    assert ">0<" in section.body  # The layer's name.
    # From the top, the highest score, to half of it.
    assert 'd="M0.0 1.0L100.0 12.0"' in section.body

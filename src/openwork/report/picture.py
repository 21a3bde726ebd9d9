"""`draw_run`: a picture of a run in its folder, as SVG."""

from pathlib import Path

from openwork._files import write_text
from openwork.report.page.chart import picture
from openwork.report.page.pruned import search_charts, stage_chart
from openwork.report.page.record import read_record
from openwork.report.page.trained import training_charts

__all__ = ["draw_run"]

_NAME = "picture.svg"


def draw_run(folder: Path) -> Path | None:
    """Draw what `folder` says of a training or a pruning; None if that was not possible.

    It costs milliseconds, and a run that took hours does not fail for its picture.
    """
    record = read_record(folder)
    charts = [*training_charts(record.epochs), *search_charts(record), stage_chart(record)]
    drawn = [chart for chart in charts if chart is not None]
    if not drawn:
        return None
    try:
        write_text(folder / _NAME, picture(drawn))
    except OSError:
        return None
    return folder / _NAME

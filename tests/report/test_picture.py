"""`draw_run`: a picture in the folder, or none, and never an error."""

from pathlib import Path
from xml.etree import ElementTree

from run_folders import pruned, trained

from openwork.report.picture import draw_run


def test_a_training_and_a_pruning_are_drawn(tmp_path: Path) -> None:
    for folder, charts in ((trained(tmp_path / "a"), 2), (pruned(tmp_path / "p"), 2)):
        path = draw_run(folder)
        assert path == folder / "picture.svg"
        drawn = ElementTree.parse(folder / "picture.svg").getroot()
        assert len(drawn.findall("{http://www.w3.org/2000/svg}g")) == charts


def test_what_cannot_be_drawn_is_left_out(tmp_path: Path) -> None:
    assert draw_run(tmp_path) is None
    folder = trained(tmp_path / "a")
    (folder / "picture.svg").mkdir()
    assert draw_run(folder) is None

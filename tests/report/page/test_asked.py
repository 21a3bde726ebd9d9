"""What was asked and reached, in words."""

from pathlib import Path

from run_folders import bench, pruned, put, trained

from openwork.report.page.asked import asked, headline, reached
from openwork.report.page.record import read_record


def test_the_headline_of_a_run(tmp_path: Path) -> None:
    run = trained(tmp_path / "a")
    put(run, "bench", bench())
    found = headline(read_record(run))
    assert found.pop("model file").endswith("KB")
    assert found == {
        "test accuracy": "75 %",
        "best test accuracy": "75 %",
        "epochs": "3",
        "training": "6.0 s",
        "live weights": "72",
        "density": "25 %",
        "dead channels": "37.5 %",
        "one call, compiled": "0.6 ms",
        "over dense torch": "4.00x",
    }


def test_the_recipe_says_what_is_on(tmp_path: Path) -> None:
    section = asked(read_record(trained(tmp_path / "a")))
    assert section is not None
    assert "lr 0.01, optimizer adam" in section.body
    assert "flip" not in section.body
    assert "random, density 0.25" in section.body


def test_nothing_is_said_of_what_is_not_there(tmp_path: Path) -> None:
    record = read_record(pruned(tmp_path / "p"))
    assert asked(record) is None
    assert reached(record) is None

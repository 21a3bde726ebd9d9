"""The scores of a search in a file: written at once, read again, and only by the same search."""

import json
from pathlib import Path

import pytest

import openwork as ow
from openwork import prune
from openwork.prune.search.log import Score, SearchLog

IDENTITY = {"kind": "search", "seed": 0}
FIRST, SECOND = Score(0, 1.0, 0.5), Score(1, 0.25, 0.125)


def test_scores_are_in_the_file_as_soon_as_they_are_added(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = SearchLog(IDENTITY, path)
    assert log.open() == {}
    log.add([FIRST])
    assert prune.read_log(path) == (FIRST,)
    log.add([SECOND])
    assert prune.read_log(path) == (FIRST, SECOND)
    assert log.errors == {(0, 1.0): 0.5, (1, 0.25): 0.125}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [
        IDENTITY,
        {"candidate": 0, "share": 1.0, "error": 0.5},
        {"candidate": 1, "share": 0.25, "error": 0.125},
    ]


def test_an_existing_file_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = SearchLog(IDENTITY, path)
    log.open()
    log.add([FIRST])
    with path.open("a") as file:
        file.write('{"candidate": 1, "sha')
    resumed = SearchLog(IDENTITY, path)
    assert resumed.open() == {(0, 1.0): 0.5}
    resumed.add([SECOND])
    assert prune.read_log(path) == (FIRST, SECOND)


def test_another_identity_is_refused_and_the_file_kept(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = SearchLog(IDENTITY, path)
    log.open()
    log.add([FIRST])
    with pytest.raises(ow.CheckpointError, match="another search: seed is 0 there, 1 here"):
        SearchLog(IDENTITY | {"seed": 1}, path).open()
    assert prune.read_log(path) == (FIRST,)


def test_without_a_path_scores_are_kept_in_memory() -> None:
    log = SearchLog(IDENTITY, None)
    log.open()
    log.add([FIRST])
    assert log.errors == {(0, 1.0): 0.5}
    assert log.way_out().endswith("with `log` to keep the scores")


def test_the_way_out_names_the_file_and_the_count(tmp_path: Path) -> None:
    log = SearchLog(IDENTITY, tmp_path / "log")
    log.open()
    log.add([FIRST, SECOND])
    assert log.way_out().endswith(f"2 scores are kept in {tmp_path / 'log'}")


@pytest.mark.parametrize(
    "line", ['{"candidate": -1, "share": 1.0, "error": 0.5}', '{"candidate": 0, "share": 0.0}']
)
def test_a_score_outside_its_range_is_named_by_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "log"
    path.write_text(f"{json.dumps(IDENTITY)}\n{line}\n")
    with pytest.raises(ow.CheckpointError, match=r"line 2 of `log`=.* is not a score"):
        prune.read_log(path)

"""A command writes over no other network than its own earlier result."""

from pathlib import Path

import pytest
from torch import nn

from openwork import io
from openwork.cli.result_path import result_path
from openwork.errors import ArgumentError
from openwork.train.run_folder import MODEL, STATE

BY = {"command": "compact", "of": "abc"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    io.save(nn.Linear(1, 1), tmp_path / "run" / MODEL)
    return tmp_path / "run"


def test_a_new_folder_and_an_earlier_result_are_taken(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert result_path(out, run, BY) == out / MODEL
    out.mkdir()
    io.save(nn.Linear(1, 1), out / MODEL, metrics={"by": BY})
    assert result_path(out, run, BY) == out / MODEL


def test_the_runs_own_folder_is_refused(run: Path) -> None:
    for given in (run, run / MODEL):
        with pytest.raises(ArgumentError, match="whose network would be lost"):
            result_path(run, given, BY)


@pytest.mark.parametrize(
    ("metrics", "why"),
    [
        (None, "does not say which command wrote it"),
        ({"by": BY | {"of": "def"}}, "of is 'def' there, 'abc' here"),
    ],
)
def test_another_network_is_not_overwritten(
    run: Path, tmp_path: Path, metrics: dict[str, object] | None, why: str
) -> None:
    (tmp_path / "out").mkdir()
    io.save(nn.Linear(1, 1), tmp_path / "out" / MODEL, metrics=metrics)
    with pytest.raises(ArgumentError, match=f"`out`=.* holds another network.*{why}"):
        result_path(tmp_path / "out", run, BY)


def test_the_folder_of_a_training_run_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / STATE).touch()
    with pytest.raises(ArgumentError, match="it is a run's folder"):
        result_path(tmp_path / "out", run, BY)

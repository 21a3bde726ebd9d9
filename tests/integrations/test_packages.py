"""Packages that are there, and those that are not."""

import json
import sys

import pytest

from openwork.errors import MissingPackageError
from openwork.integrations.packages import imported


def test_the_first_that_is_there_is_taken() -> None:
    assert imported(("no_such_package.part", "json"), "x") is json


def test_one_that_is_imported_already_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sched", raising=False)
    assert imported(("sched", "json"), "x") is json


def test_a_missing_package_is_named_with_the_way_to_install_it() -> None:
    with pytest.raises(MissingPackageError, match=r"no_such_a or no_such_b.*openwork\[some\]"):
        imported(("no_such_a.part", "no_such_b"), "some")


def test_a_package_that_fails_is_not_missing(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_here.py").write_text("import no_such_thing")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_thing"):
        imported(("broken_here",), "x")

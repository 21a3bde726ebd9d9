"""Examples in docstrings run, and print what they say."""

import doctest
import importlib
import warnings
from pathlib import Path

import pytest

import openwork

SOURCE = Path(openwork.__file__).parent
# Fewer examples than this, and somebody took some out; raise it when examples are added.
LEAST = 35
_FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def _modules() -> list[str]:
    paths = sorted(path for path in SOURCE.rglob("*.py") if ">>> " in path.read_text())
    parts = [path.relative_to(SOURCE).with_suffix("").parts for path in paths]
    names = [".".join(("openwork", *part)) for part in parts]
    return [name.removesuffix(".__init__") for name in names]


def _examples(module: str) -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    return [test for test in finder.find(importlib.import_module(module)) if test.examples]


EXAMPLES = [test for module in _modules() for test in _examples(module)]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda test: test.name)
def test_an_example_prints_what_it_says(
    example: doctest.DocTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # for examples that write files
    told: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = doctest.DocTestRunner(optionflags=_FLAGS).run(example, out=told.append)
    assert result.failed == 0, "".join(told)


def test_there_are_examples_of_the_names_that_people_use() -> None:
    assert len(EXAMPLES) >= LEAST
    # An example in a docstring that no finder reaches would never run.
    assert {test.name.split(".")[1] for test in EXAMPLES} >= {
        "data",
        "models",
        "nn",
        "patterns",
        "prune",
    }

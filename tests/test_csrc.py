"""The shape of the C++ sources: which folder may include which."""

import re
from pathlib import Path

import pytest

CSRC = Path(__file__).parent.parent / "csrc"
SOURCES = sorted(path for path in CSRC.rglob("*") if path.suffix in (".h", ".hpp", ".cc", ".cpp"))
# Folders that the files of a folder may include, beside their own.
MAY_INCLUDE = {
    ".": set(),
    "simd": {"."},
    "program": {"."},
    "packed": {".", "program"},
    "capi": {".", "packed", "program"},
    "bind": {".", "packed", "program"},
}


def _includes(source: Path) -> list[str]:
    return re.findall(r'#\s*include\s*(["<][^">]+)', source.read_text())


def _folder(path: Path) -> str:
    return str(path.parent.relative_to(CSRC))


def test_the_sources_are_found() -> None:
    assert {_folder(source) for source in SOURCES} == set(MAY_INCLUDE)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(CSRC)))
def test_a_folder_includes_only_what_lies_below_it(source: Path) -> None:
    folder = _folder(source)
    for include in _includes(source):
        if "nanobind" in include or "Python.h" in include:
            assert folder == "bind", include
        # In angle brackets only what lies outside.
        assert include[0] == '"' or ".." not in include
        if include[0] == '"':
            target = (source.parent / include[1:]).resolve()
            assert target.is_file(), include
            assert _folder(target) in MAY_INCLUDE[folder] | {folder}, include

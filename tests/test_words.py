"""Plain English: words that read like a translation are named, with the word to use instead."""

import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCANNED = (
    "CHANGELOG.md",
    "CMakeLists.txt",
    "CONTRIBUTING.md",
    "Makefile",
    "README.md",
    "benchmarks",
    "csrc",
    "docs",
    "pyproject.toml",
    "src/openwork",
    "studies",
    "tests",
)
SUFFIXES = (".py", ".pyi", ".md", ".h", ".cpp", ".txt")
# Pattern, matched without case and across line breaks -> what to write instead.
WORDS = {
    r"anew": "again, or new",
    r"shall": "must",
    r"not(?:e|es|ed|ing) down": "record",
    r"of (?:its|their|one's) own": "separate, its own, or your own",
    r"(?<!there )(?:is|are|was|were) no (?!longer|more|less|fewer|one\b|such|different)\w+": (
        "is not a, or are not"
    ),
    r"likewise": "also, or the same for",
    r"as many as": "the number of, or one per",
    r"(?:take|takes|taken|took|taking) (?:[\w`*'.-]+ ){1,2}for (?:a|an|the|zero|fixed|granted)": (
        "treat ... as"
    ),
    r"wished": "wanted, or requested",
    r"whoever": "code that, or callers that",
    r"(?:go|goes|going|went) on": "continue, or resume",
    r"rid of": "without, or remove",
    r"ways? to say no": "how to decline",
    r"ever more": "more and more",
    r"any more": "no longer",
    r"come out otherwise": "differ",
    r"take the place of": "replace",
    r"(?:row|line|sample|value|byte) an? (?:layer|epoch|sample|rank|group|entry|filter|weight)": (
        "per instead of a"
    ),
    r'(?:"""|help=")of': "a sentence with a subject",
}
# (file, matched text in lower case) -> why it stays.
ALLOWED: dict[tuple[str, str], str] = {}
# Sentences go over several lines: of a comment, or of a string in several parts.
_BREAK = re.compile(r'(?<=[ \w,;:])"\s*\n\s*f?"|\s*\n\s*(?:#|//)?\s*')


def files() -> list[Path]:
    """The scanned files, and every text file of the scanned folders but this one."""
    paths = [ROOT / entry for entry in SCANNED]
    within = [p for path in paths for p in path.rglob("*") if p.suffix in SUFFIXES]
    found = [*(path for path in paths if path.is_file()), *within]
    return sorted(path for path in found if path.name != Path(__file__).name)


@functools.cache
def scanned() -> dict[str, list[tuple[str, str]]]:
    """Of each file what is not plain in it; reading all takes seconds."""
    return {
        path.relative_to(ROOT).as_posix(): matches(path.read_text(encoding="utf-8"))
        for path in files()
    }


def matches(text: str) -> list[tuple[str, str]]:
    """Each word in `text` that is not plain, in lower case, and what to write instead."""
    text = " ".join(_BREAK.sub(" ", text).split())
    return [
        (match[0].lower(), instead)
        for pattern, instead in WORDS.items()
        for match in re.finditer(rf"(?<!\w)(?:{pattern})(?!\w)", text, re.IGNORECASE)
    ]


def test_every_scanned_entry_has_files() -> None:
    for entry in SCANNED:
        assert (ROOT / entry).exists(), f"{entry} does not exist"


def test_the_words_are_plain() -> None:
    odd = [
        f"{path}: {word!r}; write {instead}"
        for path, found in scanned().items()
        for word, instead in found
        if (path, word) not in ALLOWED
    ]
    assert not odd, "\n".join(odd)


def test_every_exception_is_still_needed() -> None:
    used = {(path, word) for path, found in scanned().items() for word, _ in found}
    assert set(ALLOWED) <= used
    assert all(ALLOWED.values())


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Drawn anew.", "anew"),
        ("# the plan is noted\n    # down beside it", "noted down"),
        ('"`path` is "\n    "no file"', "is no file"),
        ("Those are no CNNs.", "are no cnns"),
        ("each has a stream of its own", "of its own"),
        ("takes 1e-3 for a word", "takes 1e-3 for a"),
        ("takes smaller scales for zero", "takes smaller scales for zero"),
        ('help="Of everything random."', 'help="of'),
        ("one row an epoch", "row an epoch"),
        ("There is no file, there are no rows.", None),
        ("It is no longer there, nobody is, and so on.", None),
        ("Its own seed, and your own loop.", None),
    ],
)
def test_what_is_odd_and_what_is_not(text: str, word: str | None) -> None:
    assert [match for match, _ in matches(text)] == ([] if word is None else [word])

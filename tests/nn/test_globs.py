"""Globs: names, kinds, characters that stand for themselves, and help where nothing matches."""

import pytest
from torch import nn

from openwork.errors import PlanError
from openwork.nn.globs import check_glob, escape, matches, nothing_matched

CONV, LINEAR = nn.Conv2d(1, 1, 1), nn.Linear(1, 1)


@pytest.mark.parametrize(
    ("glob", "name", "module", "expected"),
    [
        ("*", "a.b", CONV, True),
        ("a.*", "a.b", LINEAR, True),
        ("A.*", "a.b", LINEAR, False),
        ("conv:*", "a", CONV, True),
        ("conv:*", "a", LINEAR, False),
        ("linear:b*", "bc", LINEAR, True),
        ("a[:]b", "a:b", CONV, True),
    ],
)
def test_what_a_glob_means(glob: str, name: str, module: nn.Module, expected: bool) -> None:
    assert matches(glob, name, module) is expected


def test_an_escaped_name_matches_itself_alone() -> None:
    for name in ("a*b", "conv:x", "[1]", "plain.0"):
        assert matches(escape(name), name, CONV)
    assert not matches(escape("a*b"), "axb", CONV)


@pytest.mark.parametrize("glob", ["", 3, "pool:*"])
def test_what_is_not_a_glob_is_refused(glob: object) -> None:
    with pytest.raises(PlanError, match="layer glob"):
        check_glob(glob)


def test_nothing_matched_names_what_comes_near() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    assert "closest are '0', '1' of 2" in nothing_matched("5", model, ["0", "1"])
    tied = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    tied[1].weight = tied[0].weight
    assert "its weight is shared" in nothing_matched("1", tied, [])
    assert "no layer to make sparse" in nothing_matched("1", nn.ReLU(), [])

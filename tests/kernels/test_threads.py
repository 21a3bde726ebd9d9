"""How many threads a call uses."""

import os

import pytest

from openwork.errors import ArgumentError
from openwork.kernels.threads import threads_of, usable_threads


def test_those_given_are_taken_up_to_a_limit() -> None:
    assert [threads_of(1), threads_of(4096)] == [1, 4096]
    for bad in (0, -1, 4097, 1.0, True):
        with pytest.raises(ArgumentError, match=f"`threads`={bad}"):
            threads_of(bad)  # type: ignore[arg-type]


def test_by_default_they_are_the_processors_or_what_openmp_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert (usable_threads(), threads_of(None)) == (3, 3)
    monkeypatch.setenv("OMP_NUM_THREADS", "99999")
    assert (usable_threads(), threads_of(None)) == (99999, 4096)
    for other in ("", "0", "2,2"):
        monkeypatch.setenv("OMP_NUM_THREADS", other)
        assert 1 <= usable_threads() <= (os.cpu_count() or 1)

"""The implementations: the fastest first, and one that always runs last."""

from openwork.kernels.native import reason_missing
from openwork.ops import BACKENDS, Backend


def test_the_reference_always_runs_and_comes_last() -> None:
    assert [backend.name for backend in BACKENDS] == ["native", "reference"]
    assert all(isinstance(backend, Backend) and backend.summary for backend in BACKENDS)
    assert BACKENDS[-1].why_not() is None


def test_the_compiled_one_says_why_it_cannot_run() -> None:
    native = BACKENDS[0]
    assert native.why_not() == reason_missing
    assert native.summary.startswith("compiled C++ kernels")
    assert ("for `openwork.compile`" in native.summary) is (reason_missing is None)

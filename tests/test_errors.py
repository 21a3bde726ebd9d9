"""One family of errors, each of which is also what Python would raise."""

import pytest

from openwork import errors


def test_all_are_of_the_family() -> None:
    found = [value for value in vars(errors).values() if isinstance(value, type)]
    assert len(found) == 8
    assert all(issubclass(error, errors.OpenworkError) for error in found)
    assert not issubclass(errors.OpenworkError, ValueError)


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (errors.ArgumentError, ValueError),
        (errors.PlanError, errors.ArgumentError),
        (errors.MissingPackageError, ImportError),
    ],
)
def test_callers_may_catch_pythons_own(error: type[Exception], base: type[Exception]) -> None:
    with pytest.raises(base, match="why"):
        raise error("why")

"""What one process does for all."""

import pytest

import openwork as ow
from openwork.prune.search.process_group import ProcessGroup


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (TypeError("no such thing"), ow.OpenworkError, "TypeError: no such thing"),
        (ow.CheckpointError("full"), ow.CheckpointError, "full"),
    ],
)
def test_errors_of_the_first_process_are_raised_as_openwork_errors(
    error: Exception, kind: type[Exception], text: str
) -> None:
    def work() -> None:
        raise error

    with ProcessGroup() as processes, pytest.raises(kind, match=text) as caught:
        processes.run_on_first(work)
    assert error in (caught.value, caught.value.__cause__)

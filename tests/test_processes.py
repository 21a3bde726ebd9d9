from collections.abc import Callable

import pytest
import torch.distributed as dist

from openwork._processes import join_processes


def test_one_process_joins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for world in (None, "1"):
        if world is None:
            monkeypatch.delenv("WORLD_SIZE", raising=False)
        else:
            monkeypatch.setenv("WORLD_SIZE", world)
        join_processes()
        assert not dist.is_initialized()


@pytest.mark.slow
def test_a_job_is_joined_once_and_left_before_python_ends(finish: Callable[..., str]) -> None:
    printed = finish("processes.py", processes=2)
    assert printed.count("sum of ranks: 1") == 2
    assert printed.count("joined at the end: False") == 2


@pytest.mark.slow
def test_what_others_joined_is_theirs_to_leave(finish: Callable[..., str]) -> None:
    printed = finish("processes.py", "--own", processes=2)
    assert printed.count("sum of ranks: 1") == 2
    assert printed.count("joined at the end: True") == 2

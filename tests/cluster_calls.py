"""What the tests run on workers: it imports nothing that takes long."""

import os
import signal
import time
from pathlib import Path


def added(shared: int, one: int, other: int) -> int:
    return shared + one + other


def divided(shared: int, by: int) -> float:
    return shared / by


def killed(shared: None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_once(folder: Path, number: int) -> int:
    die_once(folder / str(number))
    return number


def die_once(mark: Path) -> None:
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def until_there(path: Path, number: int) -> int:
    while not path.exists():
        time.sleep(0.01)
    return number

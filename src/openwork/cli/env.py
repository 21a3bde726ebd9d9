"""`openwork env` and `openwork cache`: what is on this machine."""

import contextlib
import re
import shutil
import uuid
from pathlib import Path
from typing import Annotated

import typer

from openwork._files import cache_folder, locked_folder, remove_partial, writing
from openwork.cli.say import say
from openwork.kernels.remembered import read_remembered
from openwork.report import environment

# What the library writes there; anything else in the folder stays.
_CHOICES = re.compile(r"(kernels|training)-[0-9a-f]{16}\.json")
_DATA_SET = re.compile(r"[^.].*-[0-9a-f]{16}")


def env() -> None:
    """Show versions, devices, and which kernels are used or why not."""
    environment().print()


def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove all of it; it is made again when needed.")
    ] = False,
) -> None:
    """Show what is remembered on this machine: kernels that were measured, decoded data sets."""
    folder = cache_folder()
    choices, data_sets = _contents(folder)
    remembered = sum(len(read_remembered(path)) for path in choices)
    say(f"folder: {folder}")
    say(f"kernel choices: {remembered}, {_megabytes(choices)}")
    say(f"data sets: {len(data_sets)}, {_megabytes(data_sets)}")
    if clear and folder.is_dir():
        _clear(folder)
        say("cleared")


def _contents(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files of choices, and the folders of decoded data sets."""
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    choices = [path for path in found if _CHOICES.fullmatch(path.name) and path.is_file()]
    folders = [
        path for path in found if _DATA_SET.fullmatch(path.name) and (path / "meta.json").is_file()
    ]
    return choices, folders


def _clear(folder: Path) -> None:
    """Remove what is there, while no other process adds to the choices.

    Raises:
        OpenworkError: another process writes, or something cannot be removed.
    """
    with locked_folder(folder, "OPENWORK_CACHE"), writing(folder):
        choices, data_sets = _contents(folder)
        for path in choices:
            path.unlink(missing_ok=True)
        for path in data_sets:
            # Renamed first: nobody may open half of it. Who has opened it keeps it.
            aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.damaged")
            with contextlib.suppress(FileNotFoundError):
                path.rename(aside)
                shutil.rmtree(aside)
        remove_partial(folder)


def _megabytes(paths: list[Path]) -> str:
    files = [each for path in paths for each in (path, *path.rglob("*")) if each.is_file()]
    return f"{sum(each.stat().st_size for each in files) / 1e6:.1f} MB"

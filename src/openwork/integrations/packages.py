"""Modules of other packages, imported when they are needed."""

import importlib
import sys
from typing import Any

from openwork.errors import MissingPackageError


def imported(modules: tuple[str, ...], extra: str) -> Any:
    """The first of `modules` that is there; one that is imported already comes first.

    Args:
        modules: their names.
        extra: of openwork, that installs one of them.

    Raises:
        MissingPackageError: none of them is installed.
    """
    for name in sorted(modules, key=lambda name: name not in sys.modules):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not name.startswith(error.name):
                raise
    raise MissingPackageError(
        f"needs {' or '.join(name.partition('.')[0] for name in modules)}: "
        f"pip install 'openwork[{extra}]'"
    )

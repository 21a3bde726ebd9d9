"""The compiled extension, or the reason why it is not there."""

import importlib
from typing import TYPE_CHECKING, Any

from openwork.errors import MissingPackageError

__all__ = ["extension", "reason_missing"]


class _Missing:
    """Replaces an extension that could not be loaded: every use raises an error that says why."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __getattr__(self, name: str) -> Any:
        raise MissingPackageError(
            f"the compiled kernels are not there ({self._reason}); install a C++ compiler and "
            "reinstall openwork. Everything but `openwork.compile` works without them"
        )


reason_missing: str | None = None
if TYPE_CHECKING:
    # As _C.pyi describes it.
    import openwork.kernels._C as extension
else:
    try:
        extension = importlib.import_module("openwork.kernels._C")
    except ModuleNotFoundError:
        reason_missing = "openwork was installed without a C++ compiler"
        extension = _Missing(reason_missing)
    except ImportError as error:
        reason_missing = str(error)
        extension = _Missing(reason_missing)

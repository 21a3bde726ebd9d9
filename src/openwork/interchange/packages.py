"""The optional packages for ONNX, and the one message for where they are missing."""

import importlib
from types import ModuleType

from openwork.errors import MissingPackageError


def package(name: str) -> ModuleType:
    """The module `name`, such as "onnx" or "onnxruntime".

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPackageError(
            f"ONNX files need the package {name}: pip install openwork[onnx]"
        ) from error

"""Models of your own: a class or function in a Python file, named as `net.py:Net`."""

import contextlib
import difflib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from openwork.errors import ArgumentError
from openwork.models.source import ModelSource, attach_source

__all__ = ["is_own"]

_SUFFIX = ".py"


def is_own(name: str) -> bool:
    """Whether `name` has the form `net.py:Net`, or is the file alone.

    >>> is_own("models/net.py:Net"), is_own("timm:resnet18")
    (True, False)
    """
    return name.rpartition(":")[0].endswith(_SUFFIX) or name.endswith(_SUFFIX)


def from_file(
    name: str,
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    image_size: int = 32,
) -> nn.Module:
    """Build a model from a Python file. This runs the file, so pass only one that you trust.

    The arguments are passed on by name, where the class or function takes parameters of these
    names. `openwork.load` never runs a file by itself: pass it `build`.

    Args:
        name: path of the file, a colon, and the name of a torch.nn.Module class, of a function
            that returns a module, or of a module, as in `nets/small.py:Net`. The file may import
            others beside it.
        num_classes: classes of the data. Default 10.
        in_channels: channels of the images. Default 3.
        image_size: height and width of the images in pixels. Default 32.

    Returns:
        The model, `(N, in_channels, image_size, image_size) -> (N, num_classes)`; `source_of`
        returns these arguments, and the name of the file without its folder.

    Raises:
        ArgumentError: there is no such file or name in it, the file or the call raises an error, or
            the result is not a module.
    """
    path, _, attribute = name.rpartition(":")
    source = ModelSource(
        f"{os.path.basename(path)}:{attribute}", num_classes, in_channels, image_size
    )
    sizes = {"num_classes": num_classes, "in_channels": in_channels, "image_size": image_size}
    if not path.endswith(_SUFFIX) or not attribute:
        raise ArgumentError(
            f"`name` is {name!r}: write the file, a colon, and the name of a class or function in "
            "it, such as net.py:Net."
        )
    with _importing_beside(Path(path)):
        made = _found(_run(name, Path(path)), name, attribute)
        model = made if isinstance(made, nn.Module) else _called(made, name, sizes)
    if not isinstance(model, nn.Module):
        raise ArgumentError(
            f"`name` is {name!r}: {attribute} returns a {type(model).__name__}, but must return a "
            "torch.nn.Module."
        )
    attach_source(model, source)
    return model


@contextlib.contextmanager
def _importing_beside(path: Path) -> Iterator[None]:
    """Find imports beside the file first, as Python does for a script."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _run(name: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise ArgumentError(f"`name` is {name!r}: there is no file {str(path)!r}; check the path.")
    # A name that no installed package has: `resnet.py` may import a package called resnet.
    called = f"openwork_own_{path.stem}"
    spec = importlib.util.spec_from_file_location(called, path)
    if spec is None or spec.loader is None:
        raise ArgumentError(f"`name` is {name!r}: {str(path)!r} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look up their module while their class is made.
    sys.modules[called] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ArgumentError(
            f"`name` is {name!r}: importing {str(path)!r} fails with {_told(error, path)}. "
            f"Correct it until `python {path}` runs."
        ) from error
    return module


def _found(module: ModuleType, name: str, attribute: str) -> Any:
    value: Any = module
    for part in attribute.split("."):
        value = getattr(value, part, None)
    if callable(value):
        return value
    offered = [
        key
        for key, entry in vars(module).items()
        if callable(entry) and getattr(entry, "__module__", None) == module.__name__
    ]
    close = difflib.get_close_matches(attribute, offered, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"It defines {', '.join(offered) or 'none'}."
    raise ArgumentError(
        f"`name` is {name!r}: the file has no class or function {attribute!r}. {hint}"
    )


def _called(build: Callable[..., Any], name: str, sizes: dict[str, int]) -> Any:
    try:
        parameters = inspect.signature(build).parameters
    except (TypeError, ValueError):
        parameters = {}
    keywords = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    taken = {n: p for n, p in parameters.items() if p.kind in keywords}
    unknown = [n for n, p in taken.items() if p.default is p.empty and n not in sizes]
    if unknown:
        raise ArgumentError(
            f"`name` is {name!r}: it needs {', '.join(unknown)}, but only {', '.join(sizes)} are "
            "passed. Give the others defaults, or name a function that fills them in."
        )
    try:
        return build(**{n: value for n, value in sizes.items() if n in taken})
    except (Exception, SystemExit) as error:
        path = Path(name.rpartition(":")[0])
        raise ArgumentError(f"`name` is {name!r}: it fails with {_told(error, path)}.") from error


def _told(error: BaseException, path: Path) -> str:
    """The error in one line, with the last line of the file at `path` that it passed through."""
    text = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}".rstrip(": .")
    if isinstance(error, SyntaxError):
        # Its text names the line already.
        return text
    lines, trace = [], error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).name == path.name:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f"{text} (line {lines[-1]})" if lines else text

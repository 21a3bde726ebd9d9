"""What torch says while it captures a network: kept short in errors, and off the terminal."""

import contextlib
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from torch.fx import config as fx_config

from openwork.errors import first_line

__all__ = ["quiet", "reason_of"]

_LONGEST = 400
_UNRECORDED = "do_not_emit_stack_traces"
_SPEAKERS = ("torch.export._trace", "torch.fx.experimental.symbolic_shapes")
_PLACES = (
    re.compile(r'call raised this error:\s*\n\s*File "(.+)", line (\d+), in \w+\n\s*(.*)'),
    # torch cuts the beginning of this path.
    re.compile(r"Caused by: \(.*?([^/]+):(\d+) in (.*)\)"),
)


def reason_of(error: BaseException) -> str:
    """torch's reason in one line, with the place in the network's code if torch names it."""
    line = first_line(error)
    text = line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
    for place in _PLACES:
        found = place.search(str(error))
        if found and "_export/" not in found[0] and "torch/" not in found[0]:
            return f"{text} At {found[1]}, line {found[2]}: {found[3]}"
    return text


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep torch's warnings, hints and printed graphs off the terminal within the block.

    Nodes keep no record of the calls that made them, which nobody reads and which takes up to a
    tenth of the time. Older torch has no such setting.
    """
    recorded = getattr(fx_config, _UNRECORDED, None)
    if recorded is not None:
        setattr(fx_config, _UNRECORDED, True)
    loggers = [logging.getLogger(name) for name in _SPEAKERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        # torch.export warns about deprecated helpers that it uses itself.
        stream: Any = _WithoutGraphs(sys.stderr)
        with warnings.catch_warnings(), contextlib.redirect_stderr(stream):
            warnings.simplefilter("ignore")
            yield
    finally:
        if recorded is not None:
            setattr(fx_config, _UNRECORDED, recorded)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class _WithoutGraphs:
    """Standard error, except for the graphs that torch.export prints where it fails.

    Four of them, of 60 lines each, would precede one error.
    """

    def __init__(self, stream: Any) -> None:
        self._stream, self._ends = stream, False

    def write(self, text: str) -> int:
        if "def forward(self" in text and "torch.ops." in text:
            self._ends = True
            return len(text)
        # `print` writes the end of the line by itself.
        dropped, self._ends = self._ends and text == "\n", False
        if dropped:
            return 1
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

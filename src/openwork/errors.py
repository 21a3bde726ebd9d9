"""What went wrong: every error that openwork raises on purpose is an `OpenworkError`.

A message names the argument in backticks, its value, the rule that it broke, and what to do.
"""


class OpenworkError(Exception):
    """Base of the family: `except ow.OpenworkError` catches everything raised on purpose."""


class ArgumentError(OpenworkError, ValueError):
    """An argument of a public function breaks a rule that the message states."""


class PlanError(ArgumentError):
    """A plan does not fit: an unknown pattern or layer, a bad parameter, a malformed file."""


class DataError(OpenworkError):
    """A data set is missing, empty or damaged; the message names the file and row."""


class CheckpointError(OpenworkError):
    """A checkpoint is truncated, foreign, edited, or belongs to another run or model."""


class MissingPackageError(OpenworkError, ImportError):
    """An optional package is needed; the message says which and how to install it."""


class CaptureError(OpenworkError):
    """torch cannot capture the network as a graph; the message gives its reason."""


class VerificationError(OpenworkError):
    """A rewritten network does not compute the same as the original, which is unchanged."""


def missing_extra(what: str, error: ImportError) -> MissingPackageError:
    """The error for `what`, which needs more than numpy; `error` says what is not installed."""
    return MissingPackageError(
        f"{what} needs more packages than are installed ({error}): pip install 'openwork[torch]'"
    )


def first_line(error: BaseException) -> str:
    """The first line of the error's text, for a message that names it; its type if it has none.

    torch adds graphs of many lines to its own.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__

"""The `openwork` command, and `python -m openwork` for launchers such as torchrun."""

import sys

from openwork.errors import missing_extra


def main() -> None:
    """Run the command line; where its packages are not installed, say so on standard error."""
    # Not at the top: processes that `openwork predict` starts import this file again.
    try:
        from openwork.cli import main as run
    except ModuleNotFoundError as error:
        sys.exit(f"error: {missing_extra('the command line', error)}")
    run()


if __name__ == "__main__":
    main()

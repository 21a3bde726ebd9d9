"""`openwork env`."""

from openwork.report import environment


def env() -> None:
    """Show versions, devices, and which kernels are used or why not."""
    environment().print()

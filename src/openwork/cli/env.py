"""`openwork env`."""

from openwork.report import environment


def env() -> None:
    """Versions, devices, and which kernels will run and why."""
    environment().print()

"""What every benchmark notes down of where it ran."""

from openwork.report import environment


def machine() -> dict[str, str]:
    """Versions, processor and kernels; not where this machine keeps its files."""
    return {k: v for k, v in environment().rows if k not in ("OPENWORK_DATA", "cache")}

"""The processor of this machine, and its devices by name."""

import platform

from openwork.errors import ArgumentError

_DEVICES = ("auto", "cpu", "cuda")


def device_named(name: str) -> str:
    """ "cpu" or "cuda"; "auto" means the GPU if torch can use one.

    Raises:
        ArgumentError: another name, or "cuda" if torch cannot use a GPU.
    """
    if name not in _DEVICES:
        raise ArgumentError(f"`device`={name!r} must be one of {', '.join(map(repr, _DEVICES))}")
    import torch

    usable = torch.cuda.is_available()
    if name == "auto":
        # Only CUDA, not any accelerator: Apple's has no float64, which sums need.
        return "cuda" if usable else "cpu"
    if name == "cuda" and not usable:
        raise ArgumentError("`device`='cuda', but torch can use no CUDA device here; use 'cpu'")
    return name


def processor_name() -> str:
    """The processor's model, such as "AMD EPYC", as far as the system reports it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()

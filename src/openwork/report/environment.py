"""What openwork found on this machine, and which kernels it will use."""

import importlib.util
import os
import platform
from importlib import metadata

import torch

from openwork._files import cache_folder
from openwork._machine import processor_name
from openwork._version import __version__
from openwork.nn import Table
from openwork.ops import BACKENDS

_NEEDED = ("torch", "numpy", "safetensors", "pyarrow", "Pillow", "lightning-fabric")
_OPTIONAL = {"huggingface_hub": "hub", "timm": "zoo", "torchvision": "zoo"}


def environment() -> Table:
    """A table of versions, devices, kernels, data folder and optional packages, one row each."""
    rows = [
        ("openwork", __version__),
        ("python", f"{platform.python_version()} on {platform.platform()}"),
        *((name, metadata.version(name)) for name in _NEEDED),
        ("processor", f"{processor_name()}, {os.cpu_count()} cores"),
        ("torch threads", str(torch.get_num_threads())),
        ("vector instructions", torch.backends.cpu.get_cpu_capability()),
        ("gpu", _gpu()),
    ]
    for backend in BACKENDS:
        reason = backend.why_not()
        state = backend.summary if reason is None else f"not used: {reason}"
        rows.append((f"kernels: {backend.name}", state))
    rows += [
        ("OPENWORK_DATA", os.environ.get("OPENWORK_DATA") or "not set: the hub is used"),
        ("cache", str(cache_folder())),
    ]
    for package, extra in _OPTIONAL.items():
        installed = importlib.util.find_spec(package) is not None
        missing = f"missing: pip install openwork[{extra}]"
        rows.append((package, metadata.version(package) if installed else missing))
    return Table(("what", "found"), tuple(rows), justify="left")


def _gpu() -> str:
    if not torch.cuda.is_available():
        return "none"
    count = torch.cuda.device_count()
    return ", ".join(torch.cuda.get_device_name(index) for index in range(count))

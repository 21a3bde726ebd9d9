"""Run a shipped file: compiled networks on the kernels, with numpy and without torch."""

from openwork.runtime.load import load as load
from openwork.runtime.network import Network as Network
from openwork.runtime.packed.pack import pack as pack

__all__ = ["Network", "load", "pack"]

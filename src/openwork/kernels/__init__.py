"""How is it computed? One operator per layer kind, with a plain reference behind it."""

from openwork.kernels.backends import BACKENDS as BACKENDS
from openwork.kernels.backends import Backend as Backend
from openwork.kernels.sparse_conv2d import sparse_conv2d as sparse_conv2d
from openwork.kernels.sparse_linear import sparse_linear as sparse_linear

__all__ = ["BACKENDS", "Backend", "sparse_conv2d", "sparse_linear"]

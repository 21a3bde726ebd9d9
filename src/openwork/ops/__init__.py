"""How does torch compute it? One operator per layer kind, with a plain reference behind it."""

from openwork.ops.backends import BACKENDS as BACKENDS
from openwork.ops.backends import Backend as Backend
from openwork.ops.sparse_conv2d import sparse_conv2d as sparse_conv2d
from openwork.ops.sparse_linear import sparse_linear as sparse_linear

__all__ = ["BACKENDS", "Backend", "sparse_conv2d", "sparse_linear"]

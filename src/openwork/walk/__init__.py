"""All that the code of a network reaches."""

from openwork.walk.walk import Walk as Walk

__all__ = ["Walk"]

"""Sparse training inside other frameworks: callbacks for Lightning and Hugging Face, a hub mixin.

`openwork.integrations.lightning`, `.huggingface` and `.hub` need those packages, and are imported
by these names. What needs none of them is here.
"""

from openwork.integrations.gradual_pruning import GradualPruning as GradualPruning

__all__ = ["GradualPruning"]

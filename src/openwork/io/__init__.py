"""Saving and loading: checkpoints that hold no code."""

from openwork.io.adopt import adopt_ as adopt_
from openwork.io.checkpoint import CheckpointInfo as CheckpointInfo
from openwork.io.checkpoint import info as info
from openwork.io.checkpoint import load as load
from openwork.io.checkpoint import save as save
from openwork.io.weights import load_weights_ as load_weights_

__all__ = ["CheckpointInfo", "adopt_", "info", "load", "load_weights_", "save"]

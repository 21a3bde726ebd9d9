"""The graph of a network, as torch.export gives it."""

from openwork.capture.batch_sizes import BatchSizes as BatchSizes
from openwork.capture.capture import Captured as Captured
from openwork.capture.capture import capture as capture

__all__ = ["BatchSizes", "Captured", "capture"]

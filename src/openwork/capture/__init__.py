"""What is its graph? Networks as torch exports them."""

from openwork.capture.batches import Batches as Batches
from openwork.capture.capture import Captured as Captured
from openwork.capture.capture import capture as capture
from openwork.capture.difference import difference as difference
from openwork.capture.difference import rounding as rounding

__all__ = ["Batches", "Captured", "capture", "difference", "rounding"]

"""What is its graph? Networks as torch exports them."""

from openwork.capture.capture import Captured as Captured
from openwork.capture.capture import capture as capture

__all__ = ["Captured", "capture"]

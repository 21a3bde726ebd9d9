"""What is dead? Channels that no output depends on, and networks without them."""

from openwork.channels.compact import compact as compact
from openwork.channels.proof import Case as Case
from openwork.channels.report import Proof as Proof

__all__ = ["Case", "Proof", "compact"]

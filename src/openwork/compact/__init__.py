"""Cut what is dead: a smaller network that computes the same, and the report that shows it."""

from openwork.compact.compact import compact as compact
from openwork.compact.report import CompactReport as CompactReport

__all__ = ["CompactReport", "compact"]

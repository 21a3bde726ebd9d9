"""Reports: comparisons and measurements for people to read."""

from openwork.report.benchmark import Benchmark as Benchmark
from openwork.report.benchmark import benchmark as benchmark
from openwork.report.comparison import Comparison as Comparison
from openwork.report.comparison import NetworkCost as NetworkCost
from openwork.report.comparison import compare as compare
from openwork.report.environment import environment as environment
from openwork.report.html import html as html
from openwork.report.latency import Latency as Latency
from openwork.report.latency import measure_latency as measure_latency

__all__ = [
    "Benchmark",
    "Comparison",
    "Latency",
    "NetworkCost",
    "benchmark",
    "compare",
    "environment",
    "html",
    "measure_latency",
]

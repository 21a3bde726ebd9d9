"""Tests of the compiled kernels import their helpers (kernel_*.py) from this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

"""Tests of generators import their helpers (pattern_cases.py) from this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

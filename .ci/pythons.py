"""Which Pythons are at hand."""

import subprocess
from pathlib import Path


def interpreter(version: str) -> str | None:
    """A Python of `version` that starts, on the path or among those of pyenv."""
    kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for candidate in (f"python{version}", *map(str, kept)):
        try:
            asked = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
            ran = subprocess.run(asked, capture_output=True, text=True, timeout=30)
        except OSError:
            continue
        if ran.returncode == 0 and ran.stdout.strip() == version:
            return candidate
    return None

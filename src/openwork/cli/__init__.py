"""From the shell: each command parses, calls one public function, and prints."""

from openwork.cli.app import main as main

__all__ = ["main"]

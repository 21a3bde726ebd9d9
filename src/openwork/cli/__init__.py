"""The command line: each command parses its options, calls a public function, and prints."""

from openwork.cli.app import main as main

__all__ = ["main"]

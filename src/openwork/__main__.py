"""`python -m openwork`, for launchers such as torchrun."""

from openwork.cli import main

main()

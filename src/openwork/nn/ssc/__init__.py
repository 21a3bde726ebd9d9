"""Structured sparse convolution: its block, and the plan that puts it into a network."""

__all__: list[str] = []

"""Layers that train: forward and both gradients, each at the price of what is live."""

__all__: list[str] = []

"""Which kernel runs a layer: measured here, and remembered."""

__all__: list[str] = []

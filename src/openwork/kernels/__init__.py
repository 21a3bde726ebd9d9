"""How is it computed fast? Packing, and the choice among the compiled kernels; without torch."""

__all__: list[str] = []

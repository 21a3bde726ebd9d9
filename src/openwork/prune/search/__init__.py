"""Random masks, scored on held-out data; the best one wins."""

__all__: list[str] = []

"""Changes of the engine's graph: fewer steps for the same numbers."""

__all__: list[str] = []

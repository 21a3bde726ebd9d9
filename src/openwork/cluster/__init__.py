"""Many machines: independent calls on the workers of a Ray cluster."""

__all__: list[str] = []

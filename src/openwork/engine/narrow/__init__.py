"""Networks of bytes: what becomes of a quantised graph, and how its numbers are compared."""

__all__: list[str] = []

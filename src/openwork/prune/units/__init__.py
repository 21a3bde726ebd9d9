"""What goes together in a cut: units of one granularity, and the choice among them."""

__all__: list[str] = []

"""Which layer replaces which: sparse forms, masked layers, and what cannot be replaced."""

__all__: list[str] = []

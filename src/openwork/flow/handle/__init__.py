"""What each exported operator does to channels, one table for each kind of operator."""

__all__: list[str] = []

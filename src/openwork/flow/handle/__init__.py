"""What each exported operator does to channels, by kind of operator."""

__all__: list[str] = []

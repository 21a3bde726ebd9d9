"""All that the code of a network reaches."""

__all__: list[str] = []

"""What is known of every channel: its value, whether an output depends on it, its coupling."""

__all__: list[str] = []

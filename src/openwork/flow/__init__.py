"""What is known of every channel? Its value, whether an output reads it, what it is tied to."""

__all__: list[str] = []

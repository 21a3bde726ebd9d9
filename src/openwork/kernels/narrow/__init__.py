"""Layers of bytes: uint8 maps and int8 weights."""

__all__: list[str] = []

"""What a training step spends in its sparse layers, and on which kernels."""

__all__: list[str] = []

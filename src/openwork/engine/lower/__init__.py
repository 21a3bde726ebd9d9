"""From the exported graph to the engine's: operators become nodes, and neighbours fuse."""

__all__: list[str] = []

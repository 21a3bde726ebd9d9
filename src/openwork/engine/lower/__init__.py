"""From the exported graph to the engine's: operators become nodes."""

__all__: list[str] = []

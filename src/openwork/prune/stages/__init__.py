"""Cut, retrain, cut again: stages, schedules, and how far a network can go."""

__all__: list[str] = []

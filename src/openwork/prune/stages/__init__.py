"""How far can a network be cut if it is retrained in between? Stages, schedules, bisection.

`in_stages` and `largest_ratio` are the ways in. `apply` cuts, and a `stage` is one cut with the
retraining after it. `schedules` make the stages that reach a ratio, and `checkpoints` keep the
network after each one.
"""

__all__: list[str] = []

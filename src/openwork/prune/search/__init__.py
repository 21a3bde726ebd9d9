"""Which of many random masks does the least harm? Each is scored on held-out data.

`search` is the way in. `successive_halving` says how many candidates are scored on how much data,
`masked` puts a mask into the network for the time of a score, `log` keeps the scores, and
`process_group` shares the work between the processes of a `torchrun` job.
"""

__all__: list[str] = []

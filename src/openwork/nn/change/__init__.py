"""How do layers change while they train? They are exchanged or grow, and optimisers follow.

`exchange` puts new layers in the place of old ones, `grow` makes the weights of a layer more.
`optimizers` moves the state along; `left_behind` finds optimisers that were not given.
"""

__all__: list[str] = []

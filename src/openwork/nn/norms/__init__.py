"""What surrounds a convolution: a batch norm with its sum and ReLU, and the verb that puts it in.

`fuse` is the way in. `watch` runs a network and sees where each norm's output goes.
"""

__all__: list[str] = []

"""`unchanged`: whatever running a network changes is put back afterwards.

Networks store things outside their outputs: caches made on first use, feature maps for a later
look, counters, tables in class attributes, globals and closures.
"""

import contextlib
import threading
from collections.abc import Iterator

from torch import nn

from openwork.walk.walk import Walk

# torch.export patches torch for all threads while it traces, so that nothing else may run.
_ALONE = threading.RLock()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Run the block while no other thread runs such a block."""
    with _ALONE:
        yield


@contextlib.contextmanager
def unchanged(*models: nn.Module) -> Iterator[None]:
    """Put back afterwards what the block changed in `models` and in all that their code reaches.

    That is: attributes, modes and hooks, containers and helper objects; tensors, but not what is
    written into the memory of parameters; gradients, which there are none of within the block;
    attributes of classes and functions, globals that the code names, and variables of closures;
    the state of random numbers. An `lru_cache` that was added to is cleared. One thread at a time.
    """
    with _ALONE:
        walk = Walk(models)
        try:
            for tensor in walk.with_gradients:
                tensor.grad = None
            yield
        finally:
            walk.put_back()

"""Batches of images classified by one process or several, in order."""

import itertools
import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from openwork.errors import OpenworkError
from openwork.predict.classifier import Classified, Classifier, Setup

Batch = Sequence[Path]

# Batches that wait for each process, so that none waits for the next.
_AHEAD = 2


def classified(
    classifier: Classifier, setup: Setup, batches: Sequence[Batch], workers: int
) -> Iterator[list[Classified]]:
    """What became of each batch.

    Args:
        classifier: of this process.
        setup: of those of other processes.
        batches: files.
        workers: processes; 1 is this one.

    Raises:
        OpenworkError: a process died.
    """
    if workers == 1:
        yield from map(classifier.classify, batches)
        return
    # Not by fork, which copies locks of the OpenMP pool that other threads hold.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start, (setup,)) as pool:
        waiting: deque[Future[list[Classified]]] = deque()
        coming = iter(batches)
        try:
            for batch in itertools.islice(coming, workers * _AHEAD):
                waiting.append(pool.submit(_classify, batch))
            while waiting:
                done = waiting.popleft().result()
                waiting.extend(pool.submit(_classify, b) for b in itertools.islice(coming, 1))
                yield done
        except BrokenProcessPool as error:
            raise OpenworkError(
                "a process died, which happens where memory is short; use fewer --workers"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_of_this_process: list[Classifier] = []


def _start(setup: Setup) -> None:
    _of_this_process.append(Classifier(setup))


def _classify(batch: Batch) -> list[Classified]:
    return _of_this_process[0].classify(batch)

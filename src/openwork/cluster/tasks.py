"""Calls of one function as tasks of a Ray cluster; a task whose worker dies is run again."""

import importlib
import os
import site
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any, Self

from openwork.errors import ArgumentError, MissingPackageError, OpenworkError, first_line

__all__ = ["Cluster"]

# Addresses that Ray resolves.
_NAMES = ("local", "auto")
# Deaths of a task's worker before the task counts as the cause.
_RETRIES = 5
# Tasks handed over per processor: none waits for work, and few arguments are in memory.
_AHEAD = 2


class Cluster:
    """A connection to a Ray cluster within a `with` block.

    One that the caller has opened with `ray.init` is used, and left open.

    Args:
        address: "local" starts a cluster on this machine, "auto" finds the one that runs here;
            else its "HOST:PORT".

    Raises:
        ArgumentError: there is no cluster at `address`.
        MissingPackageError: Ray is not installed.
    """

    def __init__(self, address: str) -> None:
        if not isinstance(address, str) or not address:
            raise ArgumentError(f"`ray`={address!r} must be 'local', 'auto' or 'HOST:PORT'")
        self._address = address
        self._opened = False
        try:
            self._ray: Any = importlib.import_module("ray")
        except ModuleNotFoundError as error:
            raise MissingPackageError(
                "`ray` needs the package Ray: pip install 'openwork[ray]'"
            ) from error
        if address not in _NAMES:
            _check_answers(address)

    def __enter__(self) -> Self:
        if self._ray.is_initialized():
            return self
        # Ray would report each cluster that is started to its makers.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            self._ray.init(self._address, logging_level="warning", log_to_driver=False)
        # Ray exits where something other than a cluster answers.
        except (ConnectionError, ValueError, RuntimeError, SystemExit) as error:
            raise _no_cluster(self._address, error) from error
        self._opened = True
        return self

    def __exit__(self, *raised: object) -> None:
        if self._opened:
            self._ray.shutdown()

    def run(
        self,
        function: Callable[..., Any],
        shared: Any,
        calls: Iterable[tuple[Any, ...]],
        *,
        cpus: int = 1,
        gpus: int = 0,
    ) -> Iterator[tuple[int, Any]]:
        """Call `function(shared, *call)` for each of `calls`, each as a task.

        Args:
            function: called in other processes, so that what it changes is lost.
            shared: its first argument, sent to each machine once.
            calls: its other arguments, made only when a task is about to begin.
            cpus: processors of a task, which has as many threads.
            gpus: accelerators of a task.

        Yields:
            The number of a call, and what it returned; in the order in which they end.

        Raises:
            ArgumentError: `shared` cannot be sent to another process.
            OpenworkError: the worker of one task died too often. What `function` raises passes
                through.
        """
        ray = self._ray
        for module in _not_installed():
            ray.cloudpickle.register_pickle_by_value(module)
        try:
            sent = ray.put(shared)
        except (TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise ArgumentError(
                "`ray` sends the network and its data to other processes, which fails: "
                f"{first_line(error)}"
            ) from error
        task = ray.remote(function).options(
            num_cpus=cpus,
            num_gpus=gpus,
            max_retries=_RETRIES,
            runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(_own_folders())}},
        )
        most = max(1, _AHEAD * int(ray.cluster_resources().get("CPU", 1)) // cpus)
        numbers: dict[Any, int] = {}
        try:
            for number, call in enumerate(calls):
                if len(numbers) == most:
                    yield self._next(numbers)
                numbers[task.remote(sent, *call)] = number
            while numbers:
                yield self._next(numbers)
        finally:
            for waiting in numbers:
                ray.cancel(waiting, force=True)

    def _next(self, numbers: dict[Any, int]) -> tuple[int, Any]:
        """The number and result of the next task that ends; it is taken out of `numbers`."""
        exceptions = self._ray.exceptions
        (done,), _ = self._ray.wait(list(numbers))
        number = numbers.pop(done)
        try:
            return number, self._ray.get(done)
        except exceptions.RayTaskError as error:
            if isinstance(error.cause, BaseException):
                raise error.cause from error
            raise OpenworkError(f"a task of the cluster failed: {error}") from error
        except exceptions.RayError as error:
            raise OpenworkError(
                f"a task of the cluster failed in each of {_RETRIES + 1} tries: "
                f"{first_line(error)} Give its workers more memory, or run without `ray`"
            ) from error


def _check_answers(address: str) -> None:
    """Refuse an address where nothing listens: Ray would try it for two minutes, and exit."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: BaseException) -> ArgumentError:
    return ArgumentError(
        f"`ray`={address!r} is not a cluster ({first_line(error)}); start one with "
        "`ray start --head`, or pass 'local'"
    )


def _own_folders() -> list[str]:
    """Where this process finds the caller's modules, which its functions and networks need."""
    installed = (sys.prefix, sys.base_prefix, *site.getsitepackages())
    return [path for path in sys.path if path and not path.startswith(installed)]


def _not_installed() -> list[ModuleType]:
    """Modules that no other process could import, such as a file that was run by its path."""
    tops = [module for name, module in sys.modules.items() if "." not in name]
    specs = [(getattr(module, "__spec__", None), module) for module in tops]
    return [
        module
        for spec, module in specs
        if spec is not None and spec.has_location and PathFinder.find_spec(spec.name) is None
    ]

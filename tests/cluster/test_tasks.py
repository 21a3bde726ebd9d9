"""Tasks on a real Ray cluster of two nodes, whose workers and nodes are killed."""

import contextlib
import importlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cluster_calls
import pytest
from torch import nn
from toy_search import toy_error, toy_network

import openwork as ow
from openwork import prune
from openwork.cluster.tasks import Cluster
from openwork.models.own import from_file


def test_without_ray_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ow.MissingPackageError, match=r"pip install 'openwork\[ray\]'"):
        Cluster("local")


@pytest.mark.parametrize("address", ["", None, 6379])
def test_an_address_that_is_none_is_refused(address: Any) -> None:
    with pytest.raises(ow.ArgumentError, match="`ray`="):
        Cluster(address)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1", "::"])
def test_an_address_where_nobody_answers_is_refused_at_once(address: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(ow.ArgumentError, match="ray start --head"):
        Cluster(address)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A cluster of two nodes with two processors each, to which this process is connected."""
    ray = pytest.importorskip("ray")
    Nodes = importlib.import_module("ray.cluster_utils").Cluster
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Nodes(
        initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False}
    )
    cluster.add_node(num_cpus=2)
    ray.init(cluster.address, logging_level="error", log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.slow
class TestTasks:
    def test_each_call_gives_its_result(self, nodes: Any) -> None:
        with Cluster("auto") as cluster:
            found = dict(cluster.run(cluster_calls.added, 10, ((n, 2 * n) for n in range(20))))
        assert found == {n: 10 + 3 * n for n in range(20)}

    def test_arguments_are_made_when_a_task_is_about_to_begin(self, nodes: Any) -> None:
        made: list[int] = []

        def calls() -> Iterator[tuple[int, int]]:
            for number in range(50):
                made.append(number)
                yield number, 0

        with Cluster("auto") as cluster:
            results = cluster.run(cluster_calls.added, 0, calls())
            next(results)
            # Two for each of four processors, and the one whose turn it is.
            assert len(made) <= 9
            assert len(list(results)) == 49

    def test_a_task_whose_worker_is_killed_is_run_again(self, nodes: Any, tmp_path: Path) -> None:
        with Cluster("auto") as cluster:
            found = dict(cluster.run(cluster_calls.killed_once, tmp_path, ((n,) for n in range(6))))
        assert found == {n: n for n in range(6)}
        assert len(list(tmp_path.iterdir())) == 6

    def test_a_task_that_kills_each_worker_ends_in_an_error(self, nodes: Any) -> None:
        with (
            Cluster("auto") as cluster,
            pytest.raises(ow.OpenworkError, match="in each of 6 tries"),
        ):
            list(cluster.run(cluster_calls.killed, None, [()]))

    def test_what_the_function_raises_passes_through(self, nodes: Any) -> None:
        with Cluster("auto") as cluster, pytest.raises(ZeroDivisionError):
            list(cluster.run(cluster_calls.divided, 1, [(0,)]))

    def test_what_cannot_be_sent_is_named(self, nodes: Any) -> None:
        with Cluster("auto") as cluster, pytest.raises(ow.ArgumentError, match="lock"):
            list(cluster.run(cluster_calls.added, threading.Lock(), [(0, 0)]))

    def test_a_network_of_a_file_run_by_its_path_is_sent(self, nodes: Any, tmp_path: Path) -> None:
        path = tmp_path / "mine.py"
        path.write_text(
            "from torch import nn\nclass Net(nn.Linear): pass\ndef build(**_): return Net(2, 3)\n"
        )
        model = from_file(f"{path}:build", num_classes=3, in_channels=1, image_size=2)
        with Cluster("auto") as cluster:
            assert dict(cluster.run(lambda net: net.out_features, model, [()])) == {0: 3}

    def test_the_tasks_of_a_lost_node_run_elsewhere(self, nodes: Any, tmp_path: Path) -> None:
        node = nodes.add_node(num_cpus=2, resources={"lost": 1})
        with Cluster("auto") as cluster:
            results = cluster.run(
                cluster_calls.until_there, tmp_path / "go", ((n,) for n in range(8))
            )
            (tmp_path / "go").touch()
            found = dict([next(results)])
            nodes.remove_node(node)
            found |= dict(results)
        assert found == {n: n for n in range(8)}


@pytest.mark.slow
class TestSearches:
    def test_a_search_finds_what_one_process_finds(self, nodes: Any, tmp_path: Path) -> None:
        def search(name: str, evaluate: Any, ray: str | None) -> ow.Plan:
            log = tmp_path / name
            return prune.search(
                toy_network(), evaluate, ratio=0.5, candidates=24, log=log, ray=ray, progress=False
            )

        def fragile(model: nn.Module, share: float) -> float:
            cluster_calls.die_once(tmp_path / "died")
            return toy_error(model, share)

        here, there = search("here", toy_error, None), search("there", fragile, "auto")
        assert (tmp_path / "died").exists()
        assert here == there
        one, other = (prune.read_log(tmp_path / name) for name in ("here", "there"))
        by_candidate = sorted(other, key=lambda score: (score.share, score.candidate))
        assert [(s.candidate, s.share) for s in by_candidate] == sorted(
            ((s.candidate, s.share) for s in one), key=lambda key: key[::-1]
        )
        scores = {(s.candidate, s.share): s.error for s in one}
        assert all(s.error == pytest.approx(scores[s.candidate, s.share], rel=1e-4) for s in other)

    def test_a_failing_evaluate_is_named_and_the_scores_are_kept(
        self, nodes: Any, tmp_path: Path
    ) -> None:
        def evaluate(model: nn.Module, share: float) -> float:
            raise ValueError("no such data")

        with pytest.raises(ow.OpenworkError, match=r"ValueError: no such data.*scores are kept"):
            prune.search(
                toy_network(), evaluate, ratio=0.5, log=tmp_path / "log", ray="auto", progress=False
            )

    def test_a_sensitivity_measures_what_one_process_measures(
        self, nodes: Any, tmp_path: Path
    ) -> None:
        def measure(ray: str | None, out: Path | None = None) -> prune.Sensitivity:
            return prune.sensitivity(
                toy_network(), toy_error, ratios=[0.25, 0.5], out=out, ray=ray, progress=False
            )

        here, there = measure(None), measure("auto", tmp_path)
        assert [layer.layers for layer in here.layers] == [layer.layers for layer in there.layers]
        for one, other in zip(here.layers, there.layers, strict=True):
            assert other.errors == pytest.approx(one.errors, rel=1e-4)
        assert measure(None, tmp_path).layers == there.layers


@pytest.mark.slow
def test_local_starts_a_cluster_and_ends_it() -> None:
    ray = pytest.importorskip("ray")
    with contextlib.suppress(Exception):
        ray.shutdown()
    with Cluster("local") as cluster:
        assert dict(cluster.run(cluster_calls.added, 1, [(1, 1)])) == {0: 3}
    assert not ray.is_initialized()

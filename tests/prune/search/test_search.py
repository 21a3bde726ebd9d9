"""Mask search: cheaply the best of N, on any number of processes, and resumed."""

import json
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from torch import nn
from toy_search import toy_error, toy_network

import openwork as ow
from openwork import prune
from openwork.prune.error_of import Evaluate

Full = Callable[[int], AbstractContextManager[None]]


def _search(model: nn.Module, evaluate: Evaluate = toy_error, **more: object) -> ow.Plan:
    settings = {"ratio": 0.5, "candidates": 32, "progress": False, **more}
    return prune.search(model, evaluate, **settings)  # type: ignore[arg-type]


def test_the_best_candidate_is_kept(tmp_path: Path) -> None:
    model, log = toy_network(), tmp_path / "log"
    plan = _search(model, halving=False, log=log)
    scores = prune.read_log(log)
    assert [score.candidate for score in scores] == list(range(32))
    best = min(score.error for score in scores)
    assert best < 0.9 * scores[0].error
    prune.apply_(model, plan)
    assert toy_error(model, 1.0) == pytest.approx(best, rel=1e-5)


def test_every_layer_meets_the_ratio() -> None:
    model = toy_network()
    patterns = _search(model).resolve(model)
    assert {name: len(p.connections) for name, p in patterns.items()} == {"1": 24, "2": 32}


def test_halving_finds_the_same_winner_at_a_quarter_of_the_work() -> None:
    shares: list[float] = []

    def counting(model: nn.Module, share: float) -> float:
        shares.append(share)
        return toy_error(model, share)

    for seed in range(2):
        shares.clear()
        halved = _search(toy_network(), counting, seed=seed, candidates=64)
        work = sum(shares)
        shares.clear()
        full = _search(toy_network(), counting, seed=seed, candidates=64, halving=False)
        assert halved == full
        assert work <= sum(shares) / 4


def test_the_seed_fixes_the_plan() -> None:
    assert _search(toy_network(), seed=1) == _search(toy_network(), seed=1)
    assert _search(toy_network(), seed=1) != _search(toy_network(), seed=2)


@pytest.mark.parametrize("raises", [None, ValueError, KeyboardInterrupt])
def test_weights_are_as_before_whatever_happens(raises: type[BaseException] | None) -> None:
    model = toy_network()
    with torch.no_grad():
        # A zero with a sign and a denormal number must come back too.
        weight = model[1].weight
        assert isinstance(weight, torch.Tensor)
        weight[0, 0, 0, 0], weight[0, 0, 0, 1] = -0.0, 1e-42
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    seen: list[int] = []

    def evaluate(model: nn.Module, share: float) -> float:
        seen.append(int((model.get_parameter("1.weight") == 0).sum()))
        if raises is not None and len(seen) == 3:
            raise raises
        return toy_error(model, share)

    if raises is None:
        _search(model, evaluate)
    else:
        with pytest.raises((ow.OpenworkError, KeyboardInterrupt)):
            _search(model, evaluate)
    assert min(seen) >= 24 * 9
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor.view(torch.int32), before[name].view(torch.int32))


def test_the_model_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy_network()

    def evaluate(network: nn.Module, share: float) -> float:
        assert network is model
        return toy_error(network, share)

    monkeypatch.setattr(nn.Module, "__deepcopy__", None, raising=False)
    assert _search(model, evaluate, candidates=4).resolve(model)


@pytest.mark.parametrize("halving", [True, False])
def test_a_search_that_was_stopped_resumes_from_its_log(tmp_path: Path, halving: bool) -> None:
    calls = 0

    def stopping(model: nn.Module, share: float) -> float:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise KeyboardInterrupt
        return toy_error(model, share)

    log = tmp_path / "log"
    with pytest.raises(KeyboardInterrupt):
        _search(toy_network(), stopping, log=log, halving=halving)
    assert len(prune.read_log(log)) == 19
    with log.open("a") as file:
        # An incomplete line, as a killed process leaves it.
        file.write('{"candidate": 19, "sha')
    resumed = _search(toy_network(), stopping, log=log, halving=halving)
    whole = _search(toy_network(), halving=halving, log=tmp_path / "whole")
    assert resumed == whole
    assert prune.read_log(log) == prune.read_log(tmp_path / "whole")
    before = calls
    assert _search(toy_network(), stopping, log=log, halving=halving) == whole
    assert calls == before


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (math.nan, "returned nan for candidate 2 on 0.0625 of the data"),
        (math.inf, "returned inf"),
        (None, "returned None"),
    ],
    ids=["nan", "inf", "nothing"],
)
def test_an_error_that_is_not_finite_ends_the_search_and_keeps_the_log(
    tmp_path: Path, outcome: float, text: str
) -> None:
    calls = 0

    def evaluate(model: nn.Module, share: float) -> float:
        nonlocal calls
        calls += 1
        return outcome if calls == 3 else toy_error(model, share)

    log = tmp_path / "log"
    with pytest.raises(ow.OpenworkError, match=rf"{text}.*2 scores are kept in"):
        _search(toy_network(), evaluate, log=log)
    assert _search(toy_network(), log=log) == _search(toy_network())


def test_an_evaluate_that_raises_is_the_cause() -> None:
    def evaluate(model: nn.Module, share: float) -> float:
        raise LookupError("no such file")

    with pytest.raises(ow.OpenworkError, match=r"LookupError: no such file.*with `log`") as caught:
        _search(toy_network(), evaluate)
    assert isinstance(caught.value.__cause__, LookupError)


def test_the_log_of_another_search_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "log"
    _search(toy_network(), log=log)
    with pytest.raises(ow.CheckpointError, match=r"another search: ratio is 0.5 there, 0.25 here"):
        _search(toy_network(), log=log, ratio=0.25)
    other = toy_network()
    with torch.no_grad():
        other.get_parameter("3.bias").add_(1)
    with pytest.raises(ow.CheckpointError, match="the network's weights differ"):
        _search(other, log=log)


@pytest.mark.parametrize("text", ["", "{}\n", "no json\n", "[1]\n"])
def test_a_file_that_is_not_a_log_is_refused(tmp_path: Path, text: str) -> None:
    log = tmp_path / "log"
    log.write_text(text)
    with pytest.raises(ow.CheckpointError, match="not the log of a search"):
        prune.read_log(log)
    with pytest.raises(ow.CheckpointError, match="cannot be read"):
        prune.read_log(tmp_path / "nothing")


@pytest.mark.parametrize(
    "line",
    [
        '{"a": 1}',
        '{"candidate": 0, "share": 1.0, "error": null}',
        '{"candidate": 0, "share": 1.0, "error": "low"}',
        '{"candidate": 0, "share": 1.0, "error": NaN}',
        '{"candidate": [0], "share": 1.0, "error": 0.5}',
        '{"candidate": 0, "share": "all", "error": 0.5}',
        "",
    ],
)
def test_a_line_that_is_not_a_score_is_named(tmp_path: Path, line: str) -> None:
    log = tmp_path / "log"
    _search(toy_network(), candidates=4, log=log)
    lines = log.read_text().splitlines()
    log.write_text("\n".join([*lines[:2], line, *lines[3:], ""]))
    with pytest.raises(ow.CheckpointError, match=r"line 3 of `log`.*Delete that line"):
        _search(toy_network(), candidates=4, log=log)
    log.write_text("\n".join([*lines[:2], *lines[3:], ""]))
    assert _search(toy_network(), candidates=4, log=log) == _search(toy_network(), candidates=4)


def test_the_log_of_a_search_on_other_data_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "log"
    _search(toy_network(), candidates=2, log=log, identity={"images": 5})
    with pytest.raises(ow.CheckpointError, match="images is 5 there, 6 here"):
        _search(toy_network(), candidates=2, log=log, identity={"images": 6})


def test_a_log_that_cannot_be_written_is_an_error(unwritable_folder: Path) -> None:
    with pytest.raises(ow.CheckpointError, match="could not be written"):
        _search(toy_network(), log=unwritable_folder / "log")


def test_the_error_says_what_helps(tmp_path: Path, full_disk: Full) -> None:
    with pytest.raises(ow.CheckpointError, match="Make its folder first"):
        _search(toy_network(), log=tmp_path / "missing" / "log")
    with full_disk(600), pytest.raises(ow.CheckpointError, match="Free some space"):
        _search(toy_network(), log=tmp_path / "log")


def test_feature_maps_are_searched_too() -> None:
    model = toy_network()
    plan = _search(model, granularity="feature_map", example=torch.zeros(1, 3, 5, 5))
    error = _lowest(model, plan)
    other = prune.by_criterion(
        model,
        "random",
        granularity="feature_map",
        ratio=0.5,
        example=torch.zeros(1, 3, 5, 5),
        progress=False,
    )
    assert error < _lowest(model, other)


def _lowest(model: nn.Module, plan: ow.Plan) -> float:
    copy = toy_network()
    copy.load_state_dict(model.state_dict())
    return toy_error(prune.apply_(copy, plan), 1.0)


def test_in_sparse_networks_only_live_weights_are_cut() -> None:
    model = toy_network()
    prune.apply_(model, prune.by_criterion(model, ratio=0.5, progress=False))
    weights = model[1].weight
    assert isinstance(weights, torch.Tensor)
    before = weights.clone()
    plan = _search(model, candidates=4)
    assert torch.equal(before, weights)
    prune.apply_(model, plan)
    assert {
        n: m.pattern.live for n, m in model.named_modules() if isinstance(m, ow.SparseConv2d)
    } == {
        "1": 12 * 9,
        "2": 16 * 9,
    }


def test_bad_counts_are_refused() -> None:
    with pytest.raises(ow.ArgumentError, match="`candidates`=0"):
        _search(toy_network(), candidates=0)
    with pytest.raises(ow.ArgumentError, match="`seed`=-1"):
        _search(toy_network(), seed=-1)
    with pytest.raises(ow.ArgumentError, match="`halving`='no'"):
        _search(toy_network(), halving="no")
    with pytest.raises(ow.ArgumentError, match=r"`ratio`=1.0 must lie in"):
        _search(toy_network(), ratio=1.0)
    with pytest.raises(ow.PlanError, match="matches no layer"):
        _search(toy_network(), layers="nope")


def test_the_scores_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    _search(toy_network(), progress=True)
    printed = capsys.readouterr().err
    assert "112 kernels in 2 layers; a ratio from 0 to 0.9895 is feasible" in printed
    assert "32 candidates on 0.0625 of the data" in printed
    assert "2 candidates on 1 of the data" in printed
    assert "50.00%" in printed


@pytest.mark.slow
def test_two_processes_find_the_same_plan_as_one(
    tmp_path: Path, finish: Callable[..., str]
) -> None:
    folders = {name: tmp_path / name for name in ("one", "two")}
    for folder in folders.values():
        folder.mkdir()
    finish("search.py", folders["one"])
    finish("search.py", folders["two"], processes=2)
    plans = [folders["one"] / "plan-0.json", *(folders["two"] / f"plan-{r}.json" for r in (0, 1))]
    assert len({path.read_text() for path in plans}) == 1
    logs = [folder / "search.jsonl" for folder in folders.values()]
    one, two = (prune.read_log(log) for log in logs)
    assert one == two
    assert json.loads(logs[0].read_text().splitlines()[0])["candidates"] == 21


@pytest.mark.slow
def test_a_failure_on_one_process_ends_all(tmp_path: Path, finish: Callable[..., str]) -> None:
    finish("search.py", tmp_path, "--fail", processes=2)
    texts = {rank: (tmp_path / f"error-{rank}.txt").read_text() for rank in (0, 1)}
    assert all("ValueError: no such data" in text for text in texts.values())
    assert "1 scores are kept" in texts[0]
    assert len(prune.read_log(tmp_path / "search.jsonl")) == 1


@pytest.mark.slow
def test_a_full_disk_of_one_process_ends_all(tmp_path: Path, finish: Callable[..., str]) -> None:
    finish("search.py", tmp_path, "--full", processes=2)
    for rank in (0, 1):
        assert "Free some space" in (tmp_path / f"error-{rank}.txt").read_text()

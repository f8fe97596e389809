"""What tracking adds: the tracked training writes its run, the other writes none, and both write the same files."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from bench.results import Comparison, Share
from bench.tracking import PICTURES, QUICK, Timed, Training, fresh_store, measure_training

from echosynth.config.parameters import Params
from echosynth.stages import classify


@pytest.fixture(scope="module", autouse=True)
def _few_threads() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)  # with another number later tests would round otherwise than their own processes


def test_calls_are_timed_passed_on_and_left_out_without_a_run() -> None:
    seen = []

    def metrics(values: dict[str, float], step: int) -> None:
        time.sleep(0.02)
        seen.append((values, step))

    timed, silent = Timed(SimpleNamespace(metrics=metrics)), Timed(None)  # type: ignore[arg-type]
    for run in (timed, silent):
        run.metrics({"a": 1.0}, step=3)
    assert seen == [({"a": 1.0}, 3)]
    assert timed.seconds >= 0.02


def test_pictures_for_the_run_count_and_are_not_made_without_one() -> None:
    made = []

    def figure(title: str) -> str:
        time.sleep(0.02)
        made.append(title)
        return title

    timed, silent = Timed(SimpleNamespace()), Timed(None)  # type: ignore[arg-type]
    assert [run.counted(figure)("a") for run in (timed, silent)] == ["a", None]
    assert made == ["a"]
    assert timed.seconds >= 0.02


@pytest.mark.slow
def test_one_training_writes_a_run_the_other_none_and_both_the_same_files(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, pictures = dict(os.environ), []
    for name in PICTURES:
        make = getattr(classify, name)

        def counted(*values: object, name: str = name, make: Callable[..., object] = make) -> object:
            pictures.append(name)
            return make(*values)

        monkeypatch.setattr(classify, name, counted)
    with fresh_store() as folder:
        from mlflow import MlflowClient

        training = Training(params, QUICK, folder)
        results = [training.do(tracked) for tracked in (True, False)]
        client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
        runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
        children = [run for run in runs if run.data.tags["echosynth.stage"] == "classify"]
        files = [
            {path.name: path.read_bytes() for path in (folder / name).rglob("*") if path.is_file()}
            for name in ("training-0", "training-1")
        ]
    assert [run.info.run_name for run in children] == ["training-0"]
    assert children[0].info.status == "FINISHED"
    for name in ("run.json", "confusion.png", "precision_recall.png"):
        assert files[0].pop(name)
    assert len(files[0]) > 3 and files[0] == files[1]
    (whole, tracked), (plain, untracked) = results
    assert sorted(pictures) == ["confusion_png", "precision_recall_png"]  # once each, for the tracked one
    assert 0 < tracked < whole and 0 <= untracked < plain
    assert dict(os.environ) == before


@pytest.mark.slow
def test_both_kinds_take_turns(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([(9.0, 1.0), (5.0, 0.5), (4.0, 0.0), (4.4, 0.2), (4.2, 0.0)])
    kinds = []

    def do(self: Training, tracked: bool) -> tuple[float, float]:
        kinds.append(tracked)
        return next(times)

    monkeypatch.setattr(Training, "do", do)
    sizes = SimpleNamespace(**vars(QUICK) | {"repeats": 2})
    whole, share = measure_training(params, sizes)  # type: ignore[arg-type]
    assert kinds == [True, True, False, True, False]
    assert isinstance(whole, Comparison) and isinstance(share, Share)
    assert whole.times == pytest.approx(4.0 / 4.4)
    assert share.share == pytest.approx(0.2 / 4.4)
    assert not list(Path.cwd().glob("training-*"))

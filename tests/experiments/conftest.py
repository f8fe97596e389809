"""A project to plan experiments in, and a queue that only pretends to run them."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from echosynth.common.yaml12 import read_yaml
from echosynth.experiments import queue, rows, sweep, workers
from echosynth.tracking import closing

ROOT = Path(__file__).parents[2]


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """params.yaml as it is read; the working directory is a folder that holds a copy of it and nothing else."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    tree: dict[str, Any] = read_yaml("params.yaml")
    return tree


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Write a grid or a space."""

    def to_file(text: str) -> Path:
        path = tmp_path / "grid.yaml"
        path.write_text(text)
        return path

    return to_file


@dataclass
class FakeQueue:
    """What `echosynth.experiments.queue` does, without DVC: an experiment takes two looks at the queue.

    Nothing is buried on which somebody may be at work: it would run twice.

    Attributes:
        outcomes: name -> what its attempts will be: "done", "failed", "unborn" (DVC fails before the first stage),
            "orphan" (its worker is killed) or "seeming" (it fails between the look at the experiments and that at the
            workers, so that it seems to be killed); the last one again and again, and "done" where nothing is said.
        scores: by overrides.
    """

    outcomes: dict[str, list[str]] = field(default_factory=dict)
    scores: Callable[[tuple[str, ...]], dict[str, float]] = lambda overrides: {}
    origin: str = "here"
    waiting: list[str] = field(default_factory=list)
    running: dict[str, int] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    results: dict[str, tuple[str, ...]] = field(default_factory=dict)
    logs: dict[str, list[str]] = field(default_factory=dict)
    put_names: list[str] = field(default_factory=list)
    overrides: dict[str, tuple[str, ...]] = field(default_factory=dict)
    orphans: set[str] = field(default_factory=set)
    seeming: set[str] = field(default_factory=set)
    workers: Any = None
    most: int = 0

    def put(self, experiment: queue.Experiment) -> None:
        assert experiment.name not in self.waiting
        self.put_names.append(experiment.name)
        self.overrides[experiment.name] = experiment.overrides
        self.waiting.append(experiment.name)

    def forget(self, name: str) -> None:
        self.ended.discard(name)
        self.logs.pop(name, None)

    def bury(self, name: str) -> bool:
        if name in self.seeming:
            self.seeming.discard(name)
            return False
        assert name in self.orphans
        self.orphans.discard(name)
        del self.running[name]
        self.ended.add(name)
        self.logs[name] = ["what it printed before it was killed"]
        return True

    def state(self) -> queue.QueueState:
        alive = self.workers.alive if self.workers else 0
        for name in [name for name in self.running if name not in self.orphans]:
            self.running[name] -= 1
            if self.running[name] <= 0:
                self._end(name)
        while self.waiting and len(self.running) - len(self.orphans) < alive:
            self.running[self.waiting.pop(0)] = 2
        self.most = max(self.most, len(self.running) - len(self.orphans))
        running = {name: name not in self.orphans for name in self.running} | dict.fromkeys(self.seeming, False)
        return queue.QueueState(frozenset(self.waiting), running, frozenset(self.ended))

    def _end(self, name: str) -> None:
        planned = self.outcomes.get(name, ["done"])
        outcome = planned.pop(0) if len(planned) > 1 else planned[0]
        if outcome == "orphan":
            self.orphans.add(name)
            self.workers.died += 1
            self.workers.alive -= 1
            return
        del self.running[name]
        self.ended.add(name)
        if outcome == "done":
            self.results[name] = self.overrides.get(name, ())
        elif outcome in ("failed", "seeming"):
            self.logs[name] = ["error: the loss is nan"]
            if outcome == "seeming":
                self.seeming.add(name)


@dataclass
class FakeWorkers:
    """As many workers as are asked for, at once."""

    count: int
    lock: int
    died: int = 0
    alive: int = 0
    fake: Any = None

    def __enter__(self) -> "FakeWorkers":
        return self

    def __exit__(self, *_: object) -> None:
        self.fake.workers = None

    def keep(self, queued: int) -> None:
        self.alive = max(self.alive, min(self.count, queued))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeQueue:
    """The queue that pretends, in the place of DVC's."""
    pretended = FakeQueue()

    def team(count: int, lock: int) -> FakeWorkers:
        pretended.workers = FakeWorkers(count, lock, fake=pretended)
        return pretended.workers

    for name in ("put", "forget", "bury", "state"):
        monkeypatch.setattr(queue, name, getattr(pretended, name))
    monkeypatch.setattr(queue, "origin", lambda: pretended.origin)
    monkeypatch.setattr(queue, "finished", lambda: frozenset(pretended.results))
    monkeypatch.setattr(queue, "log_tail", lambda name: pretended.logs.get(name, []))
    monkeypatch.setattr(queue, "scores", lambda name: pretended.scores(pretended.results[name]))
    monkeypatch.setattr(sweep, "Workers", team)
    monkeypatch.setattr(sweep, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(closing, "close_dead", list)
    monkeypatch.setattr(rows, "settle", lambda kept, lost: [])
    monkeypatch.setattr(workers, "end_orphans", lambda names: None)
    monkeypatch.setattr(workers, "remove_copies", lambda: None)  # the working directory may be a real project
    return pretended

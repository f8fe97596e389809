"""The number of threads: within what there is, and one beside other work."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from echosynth.compute import threads
from echosynth.compute.threads import RETRY_SECONDS, WINDOW, ThreadKeeper


class World:
    """A machine whose clock goes on by the work that is done on it.

    Attributes:
        seconds: how long a step takes, by the number of threads.
        tried: with how many threads a trial was made.
    """

    def __init__(self) -> None:
        self.now, self.seconds, self.tried = 0.0, {1: 0.2, 2: 0.11}, list[int]()

    def work(self) -> None:
        self.now += self.seconds[torch.get_num_threads()]

    def trial(self) -> None:
        self.tried.append(torch.get_num_threads())
        self.work()

    def steps(self, keeper: ThreadKeeper, count: int) -> None:
        for _ in range(count):
            with keeper.step(self.trial):
                self.work()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    made = World()
    for clock in ("perf_counter", "monotonic"):
        monkeypatch.setattr(threads.time, clock, lambda: made.now)
    torch.set_num_threads(2)
    yield made
    torch.set_num_threads(before)


def test_a_quiet_machine_is_tried_once(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    keeper = ThreadKeeper(on=True)
    world.steps(keeper, WINDOW)
    assert world.tried == []
    world.steps(keeper, 100 * WINDOW)
    assert world.tried == [2, 1, 2, 1]
    assert torch.get_num_threads() == 2
    assert capsys.readouterr().err == ""


def test_beside_other_work_one_thread_goes_on_until_it_is_quiet(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    keeper = ThreadKeeper(on=True)
    world.steps(keeper, 2 * WINDOW)
    world.seconds[2] = 0.9
    world.steps(keeper, 2 * WINDOW)
    assert torch.get_num_threads() == 1
    assert "takes 4.5 times as long as with one: going on with 1 (" in capsys.readouterr().err
    began, world.tried = world.now, []
    while not world.tried:
        world.steps(keeper, 1)
    assert world.now - began == pytest.approx(RETRY_SECONDS, abs=3)
    assert torch.get_num_threads() == 1
    assert capsys.readouterr().err == ""  # nothing has changed
    world.seconds[2] = 0.11
    world.steps(keeper, round(RETRY_SECONDS / 0.2) + 2)
    assert torch.get_num_threads() == 2
    assert "going on with 2 (" in capsys.readouterr().err
    world.seconds[2] = 0.9
    world.steps(keeper, 2 * WINDOW)
    keeper.close()
    assert torch.get_num_threads() == 2


def test_a_machine_that_is_busy_from_the_start_is_noticed_too(world: World) -> None:
    world.seconds[2] = 0.9
    keeper = ThreadKeeper(on=True)
    world.steps(keeper, WINDOW + 1)
    assert torch.get_num_threads() == 1


def test_steps_that_are_slow_with_one_thread_too_change_nothing(world: World) -> None:
    keeper = ThreadKeeper(on=True)
    world.steps(keeper, 2 * WINDOW)
    world.seconds, world.tried = {1: 2.0, 2: 1.1}, []
    world.steps(keeper, 10 * WINDOW)
    assert torch.get_num_threads() == 2
    assert world.tried == [2, 1, 2, 1]


@pytest.mark.parametrize("reason", ["off", "one thread", "chosen by the user"])
def test_nothing_is_tried_where_there_is_no_choice(world: World, monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    if reason == "chosen by the user":
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
    if reason == "one thread":
        torch.set_num_threads(1)
    world.seconds[2] = 0.9
    keeper, before = ThreadKeeper(on=reason != "off"), torch.get_num_threads()
    world.steps(keeper, 3 * WINDOW)
    keeper.close()
    assert (world.tried, torch.get_num_threads()) == ([], before)


CODE = "import torch; torch.set_num_threads(64); from echosynth.compute.device import pick_device; pick_device(); "


@pytest.mark.parametrize(("environment", "threads"), [({}, 1), ({"OMP_NUM_THREADS": "64"}, 64)])
def test_no_more_threads_than_cores_unless_you_say_so(environment: dict[str, str], threads: int) -> None:
    """joblib knows affinity and cgroup limits, and takes a lower number from LOKY_MAX_CPU_COUNT."""
    if torch.cuda.is_available():
        pytest.skip("the work is done on the GPU")
    kept = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    code = CODE + f"assert torch.get_num_threads() == {threads}, torch.get_num_threads()"
    command = [sys.executable, "-c", code]
    subprocess.run(command, env=kept | {"LOKY_MAX_CPU_COUNT": "1"} | environment, check=True)

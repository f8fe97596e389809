import os
import signal
import threading
from collections.abc import Iterator

import pytest

from echosynth.common.termination import Terminated, deferred, termination_as_exception


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """Python's own handler, also where the tests run in a shell's background, which ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


SIGNALS = [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]


@pytest.mark.parametrize(("number", "error"), SIGNALS)
def test_signal_takes_effect_when_a_block_that_defers_it_has_ended(number: int, error: type[BaseException]) -> None:
    done = []
    with pytest.raises(error), termination_as_exception():
        with deferred():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)  # two presses of Ctrl-C are one request
            done.append("block")
        done.append("after it")
    assert done == ["block"]


@pytest.mark.parametrize(("number", "error"), SIGNALS)
def test_signal_outside_a_block_that_defers_takes_effect_at_once(number: int, error: type[BaseException]) -> None:
    done = []
    with pytest.raises(error), termination_as_exception():
        with deferred():
            done.append("block")
        os.kill(os.getpid(), number)
        done.append("after it")
    assert done == ["block"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_being_asked_to_go_counts_more_than_the_failure_of_the_block() -> None:
    with pytest.raises(Terminated) as stopped, termination_as_exception(), deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        raise ValueError("of the block")
    assert str(stopped.value.__context__) == "of the block"


def test_a_thread_leaves_signals_alone() -> None:
    seen = []

    def work() -> None:
        with deferred(), termination_as_exception():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


def test_a_signal_that_is_ignored_stays_so() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with deferred():
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN

"""Jobs in child processes: what a job does to its process does not happen to this one."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from echosynth.common import children as module
from echosynth.common.children import SCRATCH, Children, remove_left
from echosynth.common.errors import EchosynthError

JOBS = """
import os, resource, sys, tempfile, time
from echosynth.common.errors import EchosynthError

def talk(channel, payload, word):
    channel.send({"pid": os.getpid(), "word": word, "folder": os.getcwd()}, bytes(payload)[::-1])
    answer, _ = channel.receive(0)
    channel.send(answer)

def take(channel, payload, mebibytes):
    kept = bytearray(mebibytes << 20)
    channel.send({"taken": len(kept)})

def count(channel, payload, seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass

def sleep(channel, payload):
    time.sleep(3600)

def end(channel, payload):
    os.abort()

def leave(channel, payload):
    os._exit(0)

def refuse(channel, payload):
    raise EchosynthError("clip.dcm is torn; copy it again")

def fail(channel, payload):
    raise ValueError("of some kind")

def shout(channel, payload):
    os.write(1, b"no message\\n")
    os.write(2, b"PATIENT NAME\\n")
    print("no message", flush=True)

def litter(channel, payload):
    handle, path = tempfile.mkstemp()
    channel.send({"path": path})

def lie(channel, payload):
    channel.send({}, bytes(1000))
"""


@dataclass(frozen=True)
class Limits:
    memory: int = 512
    seconds: int = 60


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Children]:
    (tmp_path / "jobs.py").write_text(JOBS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = Children("jobs")
    yield found
    found.close()


def done(jobs: Children, name: str, limits: Limits | None = None, **arguments: object) -> list[dict[str, object]]:
    """The messages of a job."""
    found = []
    with jobs.job(f"jobs:{name}", "clip.dcm", limits or Limits(), **arguments) as job:
        while message := job.receive():
            found.append(message[0])
    return found


def process(jobs: Children) -> object:
    """Number of the child that does the next job."""
    with jobs.job("jobs:talk", "clip.dcm", Limits(), b"abc", word="x") as job:
        told, payload = job.next(3)
        assert payload == b"cba"
        job.send({"answer": told["word"]})
        assert job.receive() == ({"answer": "x"}, b"")
        assert job.receive() is None
    return told["pid"]


def test_a_child_talks_and_is_kept(jobs: Children) -> None:
    first = process(jobs)
    assert first != os.getpid()
    assert process(jobs) == first


def test_it_works_where_this_process_works(jobs: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        monkeypatch.chdir(folder)
        with jobs.job("jobs:talk", "clip.dcm", Limits(), word="x") as job:
            assert job.next()[0]["folder"] == str(folder)


def test_memory(jobs: Children) -> None:
    first = process(jobs)
    assert done(jobs, "take", Limits(memory=512), mebibytes=300) == [{"taken": 300 << 20}]
    words = r"^clip\.dcm takes more memory than decoding\.memory = 100 MiB; leave it out or raise the limit$"
    with pytest.raises(EchosynthError, match=words):
        done(jobs, "take", Limits(memory=100), mebibytes=300)
    assert process(jobs) != first
    assert done(jobs, "take", Limits(memory=512), mebibytes=300)  # the limit was of that job
    with pytest.raises(EchosynthError, match="memory = 1 MiB"):
        done(jobs, "take", Limits(memory=1), mebibytes=2)
    with pytest.raises(EchosynthError, match="torn"):
        done(jobs, "refuse", Limits(memory=1))
    with jobs.job("jobs:take", "clip.dcm", Limits(), bytes(200 << 20), mebibytes=1) as job:  # between two jobs is none
        assert job.next()
        assert job.receive() is None


def test_processor_time(jobs: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_PATIENCE", 3600)
    monkeypatch.setattr(module, "PATIENCE", 3600)
    first = process(jobs)
    words = r"^clip\.dcm takes longer than decoding\.seconds = 1 s to decode; leave it out or raise the limit$"
    with pytest.raises(EchosynthError, match=words):
        done(jobs, "count", Limits(seconds=1), seconds=20)
    second = process(jobs)
    assert second != first
    for _ in range(3):  # together more than one of them may take
        assert done(jobs, "count", Limits(seconds=1), seconds=0.5) == []
    assert process(jobs) == second


def test_one_that_waits_for_ever(jobs: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    monkeypatch.setattr(module, "LEAST_PATIENCE", 0.1)
    with pytest.raises(EchosynthError, match=r"^clip\.dcm takes longer than decoding\.seconds = 1 s"):
        done(jobs, "sleep", Limits(seconds=1))


@pytest.mark.parametrize(("name", "how"), [("end", "by SIGABRT"), ("leave", "without a word")])
def test_one_that_ends_its_process(jobs: Children, name: str, how: str) -> None:
    with pytest.raises(EchosynthError, match=rf"^clip\.dcm ends the process that decodes it \({how}\); leave it out"):
        done(jobs, name)
    assert process(jobs)


def test_a_refusal_keeps_its_words_and_the_child(jobs: Children) -> None:
    first = process(jobs)
    with pytest.raises(EchosynthError, match=r"^clip\.dcm is torn; copy it again$"):
        done(jobs, "refuse")
    assert process(jobs) == first


def test_a_failure_is_one_sentence(jobs: Children) -> None:
    words = r"^clip\.dcm cannot be decoded \(ValueError: of some kind\); export it again$"
    with pytest.raises(EchosynthError, match=words):
        done(jobs, "fail")


def test_more_than_was_expected_is_not_read(jobs: Children) -> None:
    with pytest.raises(EchosynthError, match="ends the process"), jobs.job("jobs:lie", "clip.dcm", Limits()) as job:
        job.receive(999)


def test_what_it_prints_is_nobodys_business(jobs: Children, capfd: pytest.CaptureFixture[str]) -> None:
    assert done(jobs, "shout") == []
    assert capfd.readouterr() == ("", "")


def test_a_job_that_is_left_does_not_meet_the_next(jobs: Children) -> None:
    with jobs.job("jobs:talk", "clip.dcm", Limits(), word="x") as job:
        left = job.next()[0]["pid"]
    assert process(jobs) != left


def test_temporary_files_go_with_the_child(jobs: Children) -> None:
    (found,) = done(jobs, "litter")
    path = Path(str(found["path"]))
    assert path.exists() and path.parent.name.startswith(SCRATCH)
    jobs.close()
    assert not path.parent.exists()


PARENT = """
import os, signal, sys
from echosynth.common.children import Children

class Limits:
    memory, seconds = 512, 60

children = Children("jobs")
with children.job("jobs:talk", "clip.dcm", Limits(), word="x") as job:
    print(job.next()[0]["pid"], job._child.scratch, flush=True)
    signal.pause()
"""


def test_a_killed_parent_leaves_no_child_and_its_files_go_later(
    jobs: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("TMPDIR", "TMP", "TEMP"):
        monkeypatch.setenv(place, str(tmp_path))
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    pid, scratch = parent.stdout.readline().split()
    folder = Path(scratch)
    long_ago = time.time() - 3600
    os.utime(folder, (long_ago, long_ago))
    remove_left()
    assert folder.exists()  # somebody is at work there
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    while Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        time.sleep(0.02)
    process(jobs)  # whoever comes next
    assert not folder.exists()
    young = tmp_path / f"{SCRATCH}young"
    young.mkdir()
    remove_left()
    assert young.exists()  # its process may be about to hold it


def test_a_fork_has_children_of_its_own(jobs: Children) -> None:
    first = process(jobs)
    reading, writing = os.pipe()
    if not os.fork():
        os.write(writing, str(process(jobs)).encode())
        os._exit(0)
    os.wait()
    assert int(os.read(reading, 100)) != first
    assert process(jobs) == first


def test_a_child_that_was_ended_between_two_files_is_replaced(jobs: Children) -> None:
    first = process(jobs)
    os.kill(int(str(first)), signal.SIGKILL)
    while jobs._idle[0].alive():
        time.sleep(0.01)
    assert process(jobs) != first


def test_few_wait_for_work(jobs: Children) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(module.MOST_IDLE + 2):
            job = stack.enter_context(jobs.job("jobs:count", "clip.dcm", Limits(), seconds=0))
            assert job.receive() is None
    assert len(jobs._idle) == module.MOST_IDLE


def test_files_beside_it_are_no_modules(jobs: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "tempfile.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path / "here")
    assert process(jobs)


def test_a_folder_that_was_deleted(jobs: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert process(jobs)
    monkeypatch.chdir(tmp_path)


def test_where_no_process_or_folder_can_be_made(
    jobs: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path / "nowhere"))
    words = r"^no process can be started to decode files in \(No such file or directory\); look at .*nowhere"
    with pytest.raises(EchosynthError, match=words):
        process(jobs)
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    before = len(list(Path("/proc/self/fd").iterdir()))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(tmp_path / "no-python"))
        with pytest.raises(EchosynthError, match=r"^no process can be started to decode files in"):
            process(jobs)
    assert list(tmp_path.glob(f"{SCRATCH}*")) == [] and len(list(Path("/proc/self/fd").iterdir())) == before
    assert process(jobs)


def test_pipes_and_links_of_that_name_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    (tmp_path / "kept").mkdir()
    os.mkfifo(tmp_path / f"{SCRATCH}pipe")
    (tmp_path / f"{SCRATCH}link").symlink_to(tmp_path / "kept")
    for name in ("kept", f"{SCRATCH}pipe"):
        os.utime(tmp_path / name, (0, 0))
    remove_left()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["kept", f"{SCRATCH}pipe", f"{SCRATCH}link"])

"""Child processes for work on files of strangers: whatever such a file does, it does not do it to this process.

A file may claim absurd sizes, keep a decoder busy for ever or end it. So it is decoded by `echosynth.common.child` in
a process with limits on memory and time, which is kept for the next file, and replaced when a file has ended it.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol
from weakref import WeakSet

import echosynth
from echosynth.common.child import Channel
from echosynth.common.errors import EchosynthError

SCRATCH: Final = "echosynth-child-"  # folders for temporary files begin so
PATIENCE: Final = 10  # seconds that may pass for each of processor time: the machine may have other work, too
LEAST_PATIENCE: Final = 60
MOST_IDLE: Final = 4
OLD: Final = 60  # seconds after which a folder that nobody holds was left by a process that was killed


class Limits(Protocol):
    """What a job may use; section decoding of params.yaml says so."""

    @property
    def memory(self) -> int: ...  # MiB
    @property
    def seconds(self) -> int: ...  # of processor time


class Child:
    """A child process, waiting for jobs.

    Args:
        module: it imports this at once.
    """

    def __init__(self, module: str) -> None:
        remove_left()
        try:
            self.scratch = Path(tempfile.mkdtemp(prefix=SCRATCH))
            self._held = os.open(self.scratch, os.O_RDONLY)
        except OSError as error:
            raise _unable(error) from None
        fcntl.flock(self._held, fcntl.LOCK_EX)  # until this process ends, however it does
        try:
            self._process = _started(module, self.scratch)
        except OSError as error:
            self._remove()
            raise _unable(error) from None
        assert self._process.stdin and self._process.stdout
        self.channel = Channel(self._process.stdout.fileno(), self._process.stdin.fileno())

    def ended(self) -> str:
        """Say by which signal it ended, "" for none; called when its pipe is closed or what comes from it is wrong."""
        self._process.kill()  # which changes nothing where it has ended
        code = self._process.wait()
        return signal.Signals(-code).name if code < 0 else ""

    def end(self) -> None:
        """End its process, and remove what it left; whoever waits for it is told, and closes it."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def close(self) -> None:
        """End it, and let go of what belongs to it."""
        self.end()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # what could not be written
                assert pipe
                pipe.close()
        os.close(self._held)

    def alive(self) -> bool:
        """Whether nobody has ended it, such as a system without memory."""
        return self._process.poll() is None

    def _remove(self) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)
        os.close(self._held)


def _started(module: str, scratch: Path) -> "subprocess.Popen[bytes]":
    package = str(Path(echosynth.__file__).parents[1])
    return subprocess.Popen(
        # -P: a file in the current folder is not taken for a module.
        [sys.executable, "-P", "-m", "echosynth.common.child", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # words of decoders, which may quote the file
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")])),
            "TMPDIR": str(scratch),
            # Frames of some megabytes come and go: glibc is not to give their memory back to the system each time.
            "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
            "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
            "OMP_NUM_THREADS": "1",  # a thread's stack counts as memory
            "OPENBLAS_NUM_THREADS": "1",
            "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
        },
    )


def _unable(error: OSError) -> EchosynthError:
    return EchosynthError(
        f"no process can be started to decode files in ({error.strerror}); look at {tempfile.gettempdir()}, at the "
        "memory and at the limits of this user"
    )


class Children:
    """The children of this process: each does one job at a time.

    Args:
        module: what they import when they start.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._idle: list[Child] = []
        self._all: WeakSet[Child] = WeakSet()
        self._owner = os.getpid()
        self._lock = threading.Lock()

    def warm(self) -> None:
        """Have a child start while this process does something else."""
        self._idle.append(self._taken())

    def close(self) -> None:
        """End the children that have nothing to do."""
        while self._idle and self._owner == os.getpid():
            self._idle.pop().close()

    def end(self) -> None:
        """End all children, also those that are at work: who waits for them gets an EchosynthError."""
        self.close()
        with self._lock:
            for child in self._all if self._owner == os.getpid() else ():
                child.end()

    def _taken(self) -> Child:
        with self._lock:
            if self._owner != os.getpid():  # after a fork: these children are the parent's
                self._idle, self._all, self._owner = [], WeakSet(), os.getpid()
            while self._idle:
                child = self._idle.pop()
                if child.alive():
                    return child
                child.close()
        child = Child(self._module)
        with self._lock:
            self._all.add(child)
        return child

    @contextlib.contextmanager
    def job(
        self, function: str, subject: str, limits: Limits, payload: bytes | bytearray = b"", **arguments: Any
    ) -> Iterator["Job"]:
        """Have a child do something.

        Args:
            function: module:name of a job, see `echosynth.common.child`.
            subject: what the job is about, as sentences name it.
            limits: what it may use.
            payload: bytes for it.
            **arguments: plain values for it.

        Raises:
            EchosynthError: the child cannot be started.
        """
        child = self._taken()
        job = Job(child, subject, limits)
        try:
            message = {"job": function, "folder": _folder(), "arguments": arguments}
            job.send(message | {"memory": limits.memory, "seconds": limits.seconds}, payload)
            yield job
        finally:
            if job.finished and len(self._idle) < MOST_IDLE:
                self._idle.append(child)
            else:
                child.close()


def _folder() -> str:
    """The working directory; the root where it was deleted."""
    try:
        return str(Path.cwd())
    except OSError:
        return "/"


class Job:
    """The talk with a child about one job."""

    def __init__(self, child: Child, subject: str, limits: Limits) -> None:
        self._child, self._subject, self._limits = child, subject, limits
        self._patience = max(PATIENCE * limits.seconds, LEAST_PATIENCE)
        self.finished = False

    def send(self, message: dict[str, Any], payload: bytes | bytearray = b"") -> None:
        """Write a message to the job.

        Raises:
            EchosynthError: the child has ended.
        """
        try:
            self._child.channel.send(message, payload)
        except OSError:
            raise self._broken() from None

    def next(self, most: int = 0) -> tuple[dict[str, Any], bytearray]:
        """See `receive`; the job cannot be done yet."""
        found = self.receive(most)
        if found is None:
            raise self._broken()
        return found

    def receive(self, most: int = 0) -> tuple[dict[str, Any], bytearray] | None:
        """Wait for the next message of the job and the bytes with it.

        Args:
            most: bytes that may come.

        Returns:
            None when the job is done.

        Raises:
            EchosynthError: the job refused what it was given, needed more than it may use, or ended its process.
        """
        try:
            message, payload = self._child.channel.receive(most, self._patience)
        except EOFError:
            raise self._broken() from None
        except TimeoutError:
            raise self._too_slow() from None
        if "end" not in message:
            return message, payload
        self.finished = message["end"] in ("done", "refused")
        if message["end"] == "done":
            return None
        words = str(message.get("words"))
        if message["end"] == "memory":
            raise EchosynthError(
                f"{self._subject} takes more memory than decoding.memory = {self._limits.memory} MiB; leave it out or "
                "raise the limit"
            )
        raise EchosynthError(
            words if message["end"] == "refused" else f"{self._subject} cannot be decoded ({words}); export it again"
        )

    def _broken(self) -> EchosynthError:
        name = self._child.ended()
        if name == "SIGXCPU":
            return self._too_slow()
        how = f"by {name}" if name else "without a word"
        return EchosynthError(
            f"{self._subject} ends the process that decodes it ({how}); leave it out, or raise decoding.memory if it "
            "is a good recording"
        )

    def _too_slow(self) -> EchosynthError:
        return EchosynthError(
            f"{self._subject} takes longer than decoding.seconds = {self._limits.seconds} s to decode; leave it out or "
            "raise the limit"
        )


def remove_left() -> None:
    """Remove temporary files of children whose parent was killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        with contextlib.suppress(OSError):  # another user's, or gone meanwhile
            if time.time() - folder.stat().st_mtime < OLD:  # it may not be held yet
                continue
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)  # a pipe would wait
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(held)

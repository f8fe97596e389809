"""What runs in a child process that works on a file of a stranger: one job after another, each within limits.

    python -P -m echosynth.common.child MODULE

imports MODULE, then waits for jobs on its standard input, and ends with it; `echosynth.common.children` starts it. A
job is a function `job(channel, payload, **arguments)`, which may talk with the other side over the channel.
"""

import contextlib
import fcntl
import math
import os
import resource
import select
import signal
import struct
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from importlib import import_module
from json import dumps, loads
from pathlib import Path
from typing import Any, Final

from echosynth.common.errors import EchosynthError

HEAD: Final = struct.Struct("<IQ")  # lengths of the message and of the bytes that follow
MOST_TEXT: Final = 1 << 24
PIPE: Final = 1 << 20  # bytes: so much may be written before somebody reads
# Words of libraries that ran out of memory and raise something else for it.
NO_MEMORY: Final = (
    "insufficient memory",
    "failed to allocate",
    "bad_alloc",
    "cannot allocate",
    "out of memory",
    "failed to map segment",  # of a library that is loaded
)

Message = Mapping[str, Any]


class Channel:
    """Messages of plain values with bytes behind them, over two pipes."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing
        for pipe in (reading, writing):
            with contextlib.suppress(OSError, AttributeError):  # elsewhere than on Linux pipes are as they are
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)

    def send(self, message: Message, payload: bytes | bytearray | memoryview = b"") -> None:
        """Write a message.

        Raises:
            OSError: nobody reads any more.
        """
        text = dumps(message).encode()
        self._write(HEAD.pack(len(text), memoryview(payload).nbytes) + text)
        self._write(payload)

    def receive(self, most: int, seconds: float = math.inf) -> tuple[dict[str, Any], bytearray]:
        """Wait for a message.

        Args:
            most: bytes that may follow it.
            seconds: to wait for.

        Raises:
            EOFError: the other side ended, or what it wrote is no message.
            TimeoutError: nothing came.
        """
        until = time.monotonic() + seconds
        length, size = HEAD.unpack(self._read(HEAD.size, until))
        if length > MOST_TEXT or size > most:
            raise EOFError
        try:
            message = loads(self._read(length, until))
        except ValueError:
            raise EOFError from None
        if not isinstance(message, dict):
            raise EOFError
        return message, self._read(size, until)

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        left = memoryview(data).cast("B") if memoryview(data).nbytes else b""
        while left:
            left = left[os.write(self._writing, left) :]

    def _read(self, size: int, until: float) -> bytearray:
        found = bytearray(size)
        place, something = memoryview(found), select.poll()
        something.register(self._reading, select.POLLIN)
        while place:
            left = until - time.monotonic()
            if not something.poll(None if left == math.inf else max(left, 0) * 1000):
                raise TimeoutError
            count = os.readv(self._reading, [place])
            if not count:
                raise EOFError
            place = place[count:]
        return found


def main() -> None:
    """Do jobs until the other side ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends this process by its pipe
    channel = Channel(os.dup(0), os.dup(1))
    with Path(os.devnull).open("r+b") as nothing:  # what libraries print is no message
        for standard in (0, 1):
            os.dup2(nothing.fileno(), standard)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    import_module(sys.argv[1])
    with contextlib.suppress(EOFError, OSError):
        while True:
            message, payload = channel.receive(sys.maxsize)
            channel.send(_outcome(channel, message, payload))
    os._exit(0)  # at once: a library may have something to say at the end


def _outcome(channel: Channel, message: Message, payload: bytearray) -> Message:
    """Do one job; its last message says how it ended."""
    module, _, name = message["job"].partition(":")
    try:
        os.chdir(message["folder"])
        with limited(message["memory"], message["seconds"]):
            getattr(import_module(module), name)(channel, payload, **message["arguments"])
    except EchosynthError as error:
        return {"end": "refused", "words": str(error)}
    except Exception as error:
        # Not raised on: the next job may be another file.
        end = "memory" if lacks_memory(error) else "failed"
        return {"end": end, "words": f"{type(error).__name__}: {error}"[:300]}
    return {"end": "done"}


def lacks_memory(error: Exception) -> bool:
    """Say whether an error comes from too little memory, whatever a library made of it."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in NO_MEMORY)


def _end_with(parent: int) -> None:
    """End this process when its parent has gone, also in the middle of a job."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


@contextlib.contextmanager
def limited(memory: int, seconds: int) -> Iterator[None]:
    """Limit what this process may use in the block, beyond what it has used so far.

    Args:
        memory: MiB of address space. It is not limited where /proc does not tell how much there is (macOS).
        seconds: of processor time; then the process is ended by SIGXCPU.
    """
    use = resource.getrusage(resource.RUSAGE_SELF)
    limits = {resource.RLIMIT_CPU: math.ceil(use.ru_utime + use.ru_stime) + seconds}
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + memory * 2**20
    before = {kind: resource.getrlimit(kind) for kind in limits}
    for kind, limit in limits.items():
        hard = before[kind][1]
        resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    finally:
        for kind, values in before.items():
            resource.setrlimit(kind, values)


if __name__ == "__main__":
    main()

"""Commands that need not import their libraries: a server that has imported them forks for each one.

To import PyTorch, MLflow and DVC takes seconds of each stage. The server imports them once; `python`, `dvc` and
`echosynth` in a folder of its own, first in PATH, hand it their arguments, environment, working directory, standard
streams and signals, and end as the process ends that it forked for them. That one imports this project's own modules
afresh, from wherever PYTHONPATH says. To the system its parent is the server; psutil in it says who called, since an
execution is told by the `dvc` above its stages. Who asks from outside sees the server: tests that kill what is below a
command use the plain interpreter.

    python preloaded.py SOCKET ROOM LIBRARY...        # until its standard input is closed
"""

import atexit
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import psutil

OWN = "echosynth"  # in place of a library: all that this project's modules import
DVC = ("dvc.cli", "dvc.commands.repro", "dvc.repo.experiments", "dvc.dvcfile", "dvc.stage.cache", "dvc.parsing")
DVC += ("dvc.cli.parser", "dvc.repo.index", "dvc.repo.graph", "dvc.repo.plots", "dvc.analytics", "dvc.data_cloud")
DVC += ("dvc_data.hashfile.status", "networkx", "dvc_s3", "dvc_ssh")
EXPERIMENTS = ("dvc.repo.experiments.run", "dvc.repo.experiments.queue.tasks", "dvc.repo.experiments.executor.local")
EXPERIMENTS += ("dvc_task.app", "dvc_task.worker", "dvc.utils.hydra")
MLFLOW = ("mlflow", "mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store")
MLFLOW += ("mlflow.store.tracking.sqlalchemy_workspace_store", "mlflow.store.model_registry.sqlalchemy_workspace_store")
MLFLOW += ("mlflow.tracing.export.utils", "mlflow.tracing.processor.otel_metrics_mixin", "sqlalchemy.dialects.sqlite")
MLFLOW += ("opentelemetry.sdk.metrics.export", "alembic.command")
SYSTEM = ("mlflow.system_metrics.system_metrics_monitor", "matplotlib.pyplot", "sklearn.metrics")
# What these libraries import at their first use: the first optimiser, network, image of a plot, checked table.
NETWORKS = ("torch._dynamo", "diffusers.models", "diffusers.models.unets.unet_2d", "accelerate")
LATER = (
    *NETWORKS,
    "torchvision",
    "matplotlib.backends.backend_agg",
    "pandera.backends.pandas.register",
    "pandera.backends.pandas.builtin_checks",
    "pandera.backends.pandas.builtin_hypotheses",
    "pandera.accessors.pandas_accessor",
    "pandas.io.formats.csvs",
    "pyarrow.pandas_compat",
    "PIL.JpegImagePlugin",
)
ALL = (OWN, *DVC, *EXPERIMENTS, *MLFLOW, *SYSTEM, *LATER)
ROOM = "-" * 2000  # on the server's command line, for those of its processes
COMMANDS = ("python", "dvc", "echosynth")
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What stands for each command: the plain interpreter without its site-packages, which starts in no time.
CLIENT = """#!{python} -IS
import json, os, signal, socket, sys
passed_on = {passed_on}
ignored = [number for number in passed_on if signal.getsignal(number) == signal.SIG_IGN]
signal.pthread_sigmask(signal.SIG_BLOCK, passed_on)
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
asked = {{"words": [{name!r}, *sys.argv[1:]], "folder": os.getcwd(), "environment": dict(os.environ)}}
asked["ignored"] = ignored
text = json.dumps(asked).encode()
socket.send_fds(server, [len(text).to_bytes(8, "big")], [0, 1, 2])
server.sendall(text)
pid = int.from_bytes(server.recv(8), "big")
for number in passed_on:
    signal.signal(number, lambda number, frame: os.kill(pid, number))
signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
status = int.from_bytes(server.recv(8), "big", signed=True)
if status < 0:
    if -status != signal.SIGKILL:
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


@contextmanager
def running(folder: Path, libraries: Sequence[str] = ALL) -> Iterator[Path]:
    """A server whose commands stand in `folder`/bin, to be put first in PATH."""
    commands = folder / "bin"
    commands.mkdir()
    address = str(folder / "socket")
    for name in COMMANDS:
        values = {"python": sys.executable, "address": address, "name": name}
        (commands / name).write_text(CLIENT.format(passed_on=tuple(map(int, PASSED_ON)), **values))
        (commands / name).chmod(0o755)
    words = [sys.executable, __file__, address, ROOM, *libraries]
    server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin and server.stdout
    try:
        assert server.stdout.readline() == b"ready\n", "the server of preloaded commands did not start"
        yield commands
    finally:
        server.stdin.close()
        server.wait()


def load(libraries: Sequence[str]) -> None:
    """Import libraries as far as they are there, and of this project's modules only what they import."""
    if not {OWN, *NETWORKS}.isdisjoint(libraries):
        importlib.import_module(f"{OWN}.compute.torchvision_schemas").make_importable()
    for name in libraries:
        with suppress(ImportError):
            package = importlib.import_module(name)
            if name == OWN:
                for module in pkgutil.walk_packages(package.__path__, f"{OWN}."):
                    with suppress(ImportError):
                        importlib.import_module(module.name)
    for name in [name for name in sys.modules if name.partition(".")[0] == OWN]:
        del sys.modules[name]
    if "mlflow" in libraries:
        know_the_last_migration()
        leave_writing_to_the_system()


def leave_writing_to_the_system() -> None:
    """Let SQLite not wait for the disk at each commit: a database need not outlive the machine, only its processes."""
    from sqlalchemy import Engine, event

    def connected(connection: Any, record: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", connected)


def know_the_last_migration() -> None:
    """Let MLflow look through all of its migrations once to find the last one, and not at each store that it opens."""
    from mlflow.store.db import utils

    utils._get_latest_schema_revision = cache(utils._get_latest_schema_revision)
    utils._get_latest_schema_revision()


def asked_for(client: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """What a command hands over: its words, folder and environment, and its three standard streams."""
    size, streams, _, _ = socket.recv_fds(client, 8, 3)
    text = b""
    while len(text) < int.from_bytes(size, "big"):
        text += client.recv(1 << 20)
    return json.loads(text), streams


def serve(address: str) -> list[str]:
    """Fork for each command; returns in the forked processes alone, with the words of theirs."""
    clients: dict[int, socket.socket] = {}
    waker, woken = socket.socketpair()
    for each in (waker, woken):
        each.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    selector = selectors.DefaultSelector()
    for each in (sys.stdin, woken, listener):
        selector.register(each, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                for pid in clients:
                    os.kill(pid, signal.SIGKILL)
                os._exit(0)
            elif key.fileobj is listener:
                client, _ = listener.accept()
                asked, streams = asked_for(client)
                caller, _, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    selector.close()
                    for each in (listener, waker, woken, client, *clients.values()):
                        each.close()
                    return become(asked, streams, caller)
                for stream in streams:
                    os.close(stream)
                client.sendall(pid.to_bytes(8, "big"))
                clients[pid] = client
                selector.register(client, selectors.EVENT_READ, pid)
            elif key.fileobj is woken:
                with suppress(BlockingIOError):
                    woken.recv(4096)
            elif key.data in clients:  # the one who asked is gone, killed: so is what it asked for
                os.kill(key.data, signal.SIGKILL)
                selector.unregister(clients[key.data])
        for pid, client in list(clients.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                with suppress(OSError):
                    client.sendall(os.waitstatus_to_exitcode(status).to_bytes(8, "big", signed=True))
                with suppress(KeyError):
                    selector.unregister(client)
                client.close()
                del clients[pid]


def become(asked: dict[str, Any], streams: list[int], caller: int) -> list[str]:
    """Take over what a process has from the one that starts it."""
    name_process(asked["words"])
    real, mine = psutil.Process.ppid, os.getpid()
    psutil.Process.ppid = lambda self: caller if self.pid == mine else real(self)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    # Those of the server know of its own whether they can seek.
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in asked["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    return asked["words"]


def name_process(words: list[str]) -> None:
    """Say in the table of processes what this one does, where the server's own words stood."""
    first, last = map(int, Path("/proc/self/stat").read_text().rpartition(")")[2].split()[45:47])
    text = "\0".join(words).encode()[: last - first - 1]
    ctypes.memset(first, 0, last - first)
    ctypes.memmove(first, text, len(text))


def run(words: list[str]) -> None:
    """Do what the interpreter does with these words on its command line, or what the script of that name does."""
    name, *words = words
    sys.modules["__main__"] = main = types.ModuleType("__main__")
    sys.path[0:1] = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    importlib.invalidate_caches()
    with suppress(ImportError):
        sys.modules.pop("sitecustomize", None)
        import sitecustomize  # noqa: F401
    if name == "dvc":
        sys.argv = [name, *words]
        from dvc.cli import main as dvc

        sys.exit(dvc())
    if name == "echosynth":
        words = ["-m", "echosynth.cli", *words]
    sys.orig_argv = [sys.executable, *words]
    if words[0] == "-m":
        sys.path.insert(0, str(Path.cwd()))
        sys.argv = words[1:]
        runpy._run_module_as_main(words[1])
    elif words[0] == "-c":
        sys.path.insert(0, "")
        sys.argv = ["-c", *words[2:]]
        exec(compile(words[1], "<string>", "exec"), main.__dict__)
    else:
        sys.path.insert(0, str(Path(words[0]).parent))
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


def end(code: object) -> None:
    """End as the interpreter does, but without taking down all that was imported, which takes seconds."""
    if isinstance(code, str):
        print(code, file=sys.stderr)
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    load(sys.argv[3:])
    gc.freeze()
    words = serve(sys.argv[1])
    try:
        run(words)
    except SystemExit as stopped:
        end(stopped.code)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        end(1)
    end(0)

"""`python -m bench.peak_memory SOURCE FOLDER OUT`: ingest a release and print the peak memory as JSON, in MiB.

On Linux alone: the peak that `getrusage` tells is no use, as a process takes over that of the one that started it.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from echosynth.config.parameters import load_params
from echosynth.ingest.image_set import ingest
from echosynth.sources.registry import find_source

PROCESSES = Path("/proc")


def facts(process: int | str) -> dict[str, str]:
    """What the kernel tells of a process; nothing when it has ended."""
    try:
        lines = (PROCESSES / str(process) / "status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def peak(status: dict[str, str]) -> float:
    """The most resident memory that a process held since it began, in MiB."""
    return int(status["VmHWM"].split()[0]) / 1024 if "VmHWM" in status else 0.0


def workers() -> Iterator[float]:
    """Peaks of the processes that this one started: joblib keeps its workers for the next call."""
    for folder in PROCESSES.glob("[0-9]*"):
        status = facts(folder.name)
        if status.get("PPid") == str(os.getpid()):
            yield peak(status)


def main() -> None:
    """Ingest and print."""
    name, folder, out = sys.argv[1:]
    ingest(find_source(name), Path(folder), Path(out), load_params())
    print(json.dumps({"main": peak(facts("self")), "worker": max(workers(), default=0.0)}))


if __name__ == "__main__":
    main()

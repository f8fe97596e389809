"""Ingest: files a second, and memory at many files."""

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from bench.loading import cache_in
from bench.results import Peak, Rate, rate, timed
from echosynth.common.views import VIEWS
from echosynth.config.parameters import Params
from echosynth.ingest.image_set import ingest
from echosynth.phantom.release import write_release
from echosynth.sources.options import SourceName
from echosynth.sources.registry import find_source

SEED = 0
TINY = 16


@dataclass(frozen=True)
class Sizes:
    """How much is ingested.

    Attributes:
        videos_one_in: phantom.one_in of the videos that are read; larger means fewer.
        stills_one_in: the same of the stills.
        memory_files: numbers of tiny files at which memory is measured.
        repeats: runs, of which the best counts.
    """

    videos_one_in: float = 100.0
    stills_one_in: float = 20.0
    memory_files: tuple[int, ...] = (1_000, 10_000)
    repeats: int = 3


QUICK = Sizes(2000.0, 2000.0, (16,), 1)


@contextlib.contextmanager
def quiet_folder() -> Iterator[Path]:
    """A temporary folder, which caches go to as well; what is left out of phantoms would be said in every run."""
    with (
        TemporaryDirectory(prefix="echosynth-bench-") as folder,
        cache_in(Path(folder)),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        yield Path(folder)


def measure_ingest(params: Params, sizes: Sizes, name: SourceName) -> Rate:
    """Read a release of phantoms: decode, choose frames, prepare, store; with all processes."""
    source = find_source(name)
    unit, one_in = ("videos", sizes.videos_one_in) if source.has_cines else ("images", sizes.stills_one_in)
    setting = f"phantoms, to {params.ingest.size} x {params.ingest.size}"
    # Of few phantoms, the one file that is missing on purpose is a large share.
    params = params.model_copy(update={"data": params.data.model_copy(update={"max_bad_share": 1.0})})
    with quiet_folder() as folder:
        write_release(params.phantom.model_copy(update={"one_in": one_in}), name, folder, params.ingest.workers)
        count = len(source.list_records(folder / name).records)

        def work() -> None:
            ingest(source, folder / name, folder / "out", params)

        return rate(f"ingest {name}", unit, count, setting, sizes.repeats, timed(work))


def write_tiny(folder: Path, count: int) -> None:
    """Write TMED-2 as released, but with `count` PNGs of 16 x 16, eight of a patient."""
    rng = np.random.default_rng(SEED)
    (folder / "view_labeled_set").mkdir(parents=True)
    rows = ["query_key,view_label"]
    for index in range(count):
        name = f"{index // 8 + 1}s1_{index % 8}.png"
        assert cv2.imwrite(str(folder / "view_labeled_set" / name), rng.integers(0, 256, (TINY, TINY), dtype=np.uint8))
        rows.append(f"{name},{VIEWS[index % len(VIEWS)]}")
    (folder / "labels_per_image.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def measure_memory(count: int) -> Peak:
    """Peak memory of an ingest of `count` tiny files, in a process of its own and its workers."""
    with quiet_folder() as folder:
        write_tiny(folder / "tmed2", count)
        command = [sys.executable, "-m", "bench.peak_memory", "tmed2", str(folder / "tmed2"), str(folder / "out")]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    peaks = json.loads(done.stdout.splitlines()[-1])
    return Peak("ingest tmed2", count, peaks["main"], peaks["worker"], f"PNGs of {TINY} x {TINY}")

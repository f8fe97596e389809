"""`echosynth sync` after the database was deleted: a project with many experiments, as a command of its own."""

import hashlib
import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml

from bench.results import Duration, Result
from echosynth.common.options import Precision
from echosynth.common.views import VIEWS
from echosynth.config.parameters import Params
from echosynth.evaluation.scores import evaluate

LIMIT = 60.0
SCORES, STAGES, DEPS = 60, 40, 24  # as the demo has: a dvc.lock of 100 kB
SEEDS, IMAGES = 2, 200  # classifiers of an experiment; validation images
FIRST = 1_700_000_000


@dataclass(frozen=True)
class Sizes:
    """Experiments of the project, each on other parameters."""

    experiments: int = 100


QUICK = Sizes(2)


def md5(content: bytes) -> str:
    """As DVC hashes."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def in_cache(cache: Path, content: bytes, ending: str = "") -> str:
    """Put something into a DVC cache; returns its hash."""
    name = md5(content) + ending
    path = cache / name[:2] / name[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return name


def folder_in_cache(cache: Path, files: dict[str, str]) -> str:
    """Put a folder into a DVC cache; returns its hash."""
    entries = [{"md5": in_cache(cache, text.encode()), "relpath": name} for name, text in files.items()]
    return in_cache(cache, json.dumps(entries).encode(), ".dir")


def image_set(cache: Path) -> str:
    """Put the list of an image set into the cache, as far as its labels are concerned; returns the folder's hash."""
    lines = [f"image-{index},{VIEWS[index % len(VIEWS)]}" for index in range(IMAGES)]
    return folder_in_cache(cache, {"manifest.csv": "\n".join(["id,view", *lines])})


def cell(cache: Path, number: int) -> str:
    """Put the classifiers of one group and size into the cache; returns the folder's hash."""
    rng = np.random.default_rng(number)
    labels = np.arange(IMAGES) % len(VIEWS)
    files: dict[str, str] = {}
    for seed in range(SEEDS):
        probabilities = rng.dirichlet(np.ones(len(VIEWS)), len(labels))
        scores = evaluate(probabilities, labels, labels, np.full(len(labels), "bench"))
        facts = {"arm": "real", "subset": "all", "architecture": "resnet18", "seed": seed}
        facts |= {"real_images": 1552, "images": 1552, "synthetic": 0, "steps": number}
        rows = [f"{step},{1 / step},{1 - 1 / step},{1 - 2 / step},{2 / step}" for step in range(25, 151, 25)]
        curve = ["step,training_loss,validation.macro_auprc,validation.macro_f1,validation.loss", *rows]
        table = [f"image-{index},{','.join(f'{p:.7f}' for p in row)}" for index, row in enumerate(probabilities)]
        files |= {
            f"real/seed-{seed}/metrics.json": json.dumps({"facts": facts, "validation": scores}),
            f"real/seed-{seed}/validation.csv": "\n".join([f"id,{','.join(VIEWS)}", *table]),
            f"real/seed-{seed}/curve.csv": "\n".join(curve),
        }
    return folder_in_cache(cache, files)


def revision(params: dict[str, Any], number: int, outs: dict[str, str], rest: str) -> dict[str, bytes]:
    """The files of one result: other parameters, other scores, and the dvc.lock that fits to them."""
    own = params | {"classifier": params["classifier"] | {"steps": 100 + number}}
    own["data"] = params["data"] | {"train_sources": ["bench"]}
    read = [{"path": f"data/split/{name}.csv", "md5": "5b" * 16} for name in ("assignment", "subsets/all")]
    scores = {"bench": {f"score_{index}": index + number / 1000 for index in range(SCORES)}}
    text = json.dumps(scores).encode()
    entries = [{"path": path, "md5": value} for path, value in outs.items()]
    report = {
        "deps": read,
        "params": {"params.yaml": {key: own[key] for key in ("split", "diffusion", "classifier")}},
        "outs": [{"path": "reports/metrics.json", "md5": md5(text)}, *entries],
    }
    lock = rest + textwrap.indent(yaml.safe_dump({"report": report}), "  ")
    return {"params.yaml": yaml.safe_dump(own).encode(), "reports/metrics.json": text, "dvc.lock": lock.encode()}


def commands(ref: str, start: str, seconds: int, files: dict[str, bytes]) -> Iterator[bytes]:
    """A commit for `git fast-import`."""
    yield f"commit {ref}\ncommitter bench <bench@example.org> {seconds} +0000\ndata 4\nwork\n".encode()
    if start:
        yield f"from {start}\n".encode()
    for name, content in files.items():
        yield f"M 100644 inline {name}\ndata {len(content)}\n".encode() + content + b"\n"


def make_project(folder: Path, params: dict[str, Any], sizes: Sizes, *, children: bool) -> None:
    """A git and DVC repository with one result and, built on it, `sizes.experiments` experiments."""

    def git(*words: str, data: bytes = b"") -> str:
        done = subprocess.run(["git", *words], cwd=folder, input=data, capture_output=True, check=True)
        return done.stdout.decode().strip()

    cache = folder / ".dvc/cache/files/md5"
    deps = [{"path": f"src/module_{index}.py", "hash": "md5", "md5": "0" * 32, "size": 1} for index in range(DEPS)]
    rest = yaml.safe_dump({"stages": {f"stage-{index}": {"deps": deps} for index in range(STAGES)}})
    cache.mkdir(parents=True)
    (folder / ".dvc/config").touch()
    git("init", "-q", "-b", "main")

    def files(number: int) -> dict[str, bytes]:
        outs = {"models/classifiers/real-all-resnet18": cell(cache, number)} if children else {}
        outs |= {"data/sources/bench": image_set(cache)} if children else {}
        return revision(params, number, outs, rest)

    git("fast-import", "--quiet", data=b"".join(commands("refs/heads/main", "", FIRST, files(0))))
    head = git("rev-parse", "main")
    stream: list[bytes] = []
    for number in range(1, sizes.experiments + 1):
        ref = f"refs/exps/{head[:2]}/{head[2:]}/exp-{number}"
        stream += commands(ref, head, FIRST + 60 * number, files(number))
    git("fast-import", "--quiet", data=b"".join(stream))
    git("reset", "-q", "--hard", "main")


def timed_sync(folder: Path) -> tuple[float, dict[str, Any]]:
    """Seconds of the command, from its start to its end, and what it says."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_"))}
    began = time.perf_counter()
    command = [sys.executable, "-m", "echosynth.cli", "sync", "--json"]
    done = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, check=True)
    return time.perf_counter() - began, json.loads(done.stdout)


def measure_sync(params: Params, sizes: Sizes, *, children: bool) -> list[Result]:
    """The first call, which makes the SQLite store too, and a second one, which has nothing to do."""
    content = params.model_dump(mode="json")
    with TemporaryDirectory(prefix="echosynth-bench-") as temporary:
        folder = Path(temporary)
        make_project(folder, content, sizes, children=children)
        first, did = timed_sync(folder)
        again, nothing = timed_sync(folder)
    expected = sizes.experiments + 1
    assert (did["rows"], did["children"]) == (expected, expected * SEEDS * children), did
    assert (nothing["rows"], nothing["children"], nothing["results"]) == (0, 0, expected), nothing
    with_children = f"{SEEDS} child runs" if children else "no child runs"
    setting = f"{sizes.experiments} experiments, {SCORES} scores and {with_children} each, SQLite"
    return [
        Duration("sync into a new store", LIMIT, (first,), setting),
        Duration("sync with nothing new", LIMIT, (again,), setting),
    ]


def measurements(params: Params, quick: bool, auto: Precision) -> list[Callable[[], Result | list[Result]]]:
    """All of them.

    Args:
        params: as for the pipeline.
        quick: few experiments, to see that it works.
        auto: for measurements of networks; no matter here.
    """
    sizes = QUICK if quick else Sizes()
    return [partial(measure_sync, params, sizes, children=children) for children in (False, True)]

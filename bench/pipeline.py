"""What DVC itself costs: in a full `dvc repro` of the demo, and in one that has nothing to do, of larger graphs too.

The stages do no work here. A copy of the project has the same dvc.yaml, parameters and code, but the command of each
stage is a stand-in that writes outputs of random digits: with as many files and bytes as dvc.lock tells of the demo, or
tiny ones for other graphs, whose overhead by stage is all that is shown. The stand-in notes when it began and when it
ended. What is left of the wall time of `dvc repro` is DVC's own: its start, reading the graph, hashing what stages read
and wrote, copies in the cache, dvc.lock. DVC and a stage never work at the same time, so that this is what it adds.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from bench.results import Duration, Missing, Rate, Result, Share
from bench.trees import Tree
from echosynth.common.errors import EchosynthError
from echosynth.common.yaml12 import read_yaml
from echosynth.compute.device import Precision
from echosynth.config.parameters import Params
from echosynth.config.presets import apply_preset
from echosynth.tracking.history import stages

DEMO_SECONDS = 20 * 60  # the shortest `make demo` that README.md names, on 2 cores
NO_OP_LIMIT = 5.0
NO_OP = {  # the first reads dvc.lock twice; what is left of it looks for changes, stage by stage
    "`dvc repro` with nothing to do": "dvc repro",
    "of it, start and one reading of dvc.yaml and dvc.lock (`dvc stage list`)": "dvc stage list --name-only",
    "of it, DVC's own start (`dvc root`)": "dvc root",
}
PIPELINES = ("dvc.yaml", "data/raw/dvc.yaml")
COPIED = (*PIPELINES, "params.yaml", ".dvcignore", ".gitignore", "params", "src", "data/review", "data/salt.demo")
COMMAND, STAND_IN = "python -m echosynth.stages.", "bash stand_in.sh "
SCRIPTS = {
    "stand_in.sh": f'began=$(date +%s.%N)\n"{sys.executable}" writer.py "$*"\necho "$began $(date +%s.%N)" >> times\n',
    "writer.py": """\
import json, os, pathlib, sys
for path, files, size in json.load(open("outputs.json"))[sys.argv[1]]:
    target = pathlib.Path(path)
    for number in range(files):
        file = target if target.suffix else target / f"{number:05d}"
        file.parent.mkdir(parents=True, exist_ok=True)
        each = max(8, size // files)
        file.write_text(os.urandom(-(-each // 2)).hex()[:each])  # text, which metrics must be
""",
}
TINY = (2, 200)  # files and bytes of an output of which nothing is known
Changes = Mapping[str, Mapping[str, Any]]
Outputs = dict[str, list[tuple[str, int, int]]]  # words of a stage's command -> path, files and bytes of what it writes


@dataclass(frozen=True)
class Sizes:
    """How much work a measurement does.

    Attributes:
        repeats: runs with nothing to do; the best one counts, as others only waited for somebody else.
        changes: parameters of the demo that are other than in params.yaml.
        large: whether the graphs of the preset thesis are measured.
    """

    repeats: int = 3
    changes: Changes = field(default_factory=dict)
    large: bool = True


QUICK = Sizes(
    1,
    {
        "split": {"subsets": [100]},
        "arms": {"real": ["real"], "synthetic": ["mixed"], "baseline": []},
        "data": {"train_sources": ["tmed2"], "shift_sources": ["unity"]},
    },
    large=False,
)
# More than 100 stages: all architectures, eight subsets.
LARGER: Changes = {
    "split": {"subsets": [250, 500, 1000, 2000, 4000, 8000, 16000, "all"]},
    "arms": {"architectures": ["vgg16", "densenet121", "resnet18", "inception_v3"]},
}


class Project(Tree):
    """A copy of the project in a git and DVC repository of its own, with stand-ins for the work of the stages.

    Args:
        folder: an empty folder.
        preset: applied to params.yaml, or empty.
        changes: parameters that are other.
        lock: a dvc.lock that tells how large the outputs are, or None: all are tiny.
    """

    def __init__(self, folder: Path, preset: str, changes: Changes, lock: Path | None) -> None:
        super().__init__(folder)
        self._copy(preset, changes)
        self.begin()
        self.outputs = self._outputs(_sizes(lock) if lock else {})
        (folder / "outputs.json").write_text(json.dumps(self.outputs))

    @property
    def files(self) -> int:
        """Files in all outputs."""
        return sum(files for parts in self.outputs.values() for _, files, _ in parts)

    @property
    def size(self) -> int:
        """Bytes of all outputs."""
        return sum(size for parts in self.outputs.values() for _, _, size in parts)

    def first_run(self) -> tuple[float, float]:
        """Run all stages; DVC's own seconds, and those of all stand-ins.

        Raises:
            EchosynthError: a stage did not run.
        """
        whole = self.call("dvc", "repro")
        spans = [line.split() for line in (self.folder / "times").read_text().splitlines()]
        if len(spans) != len(self.outputs):
            raise EchosynthError(f"{len(spans)} of {len(self.outputs)} stages ran; clean the copy and measure again")
        stand_ins = sum(float(end) - float(start) for start, end in spans)
        return whole - stand_ins, stand_ins

    def _copy(self, preset: str, changes: Changes) -> None:
        for name in COPIED:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            if Path(name).is_dir():
                shutil.copytree(name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                shutil.copy(name, self.folder / name)
        path = self.folder / "params.yaml"
        if preset:
            apply_preset(preset, path)
        params = read_yaml(path)
        for section, values in changes.items():
            params[section] |= values
        path.write_text(yaml.safe_dump(params))
        for name, text in SCRIPTS.items():
            (self.folder / name).write_text(text)
        for pipeline in (self.folder / name for name in PIPELINES):
            pipeline.write_text(pipeline.read_text().replace(COMMAND, STAND_IN))

    def _outputs(self, known: Mapping[str, tuple[int, int]]) -> Outputs:
        """What each stand-in writes that `dvc repro` runs: stages of dvc.yaml, and what they need of other pipelines.

        What no stage writes and is not there is written here, tiny.
        """
        import networkx as nx
        from dvc.repo import Repo

        with Repo(str(self.folder)) as repo:
            needs = repo.index.graph
            study = [stage for stage in needs if stage.path_in_repo == PIPELINES[0]]
            graph = list(dict.fromkeys(one for stage in study for one in (stage, *nx.descendants(needs, stage))))
            made = [out.def_path for stage in graph for out in stage.outs]
            read = sorted({dep.def_path for stage in graph for dep in stage.deps})
            commands = {stage.cmd.removeprefix(STAND_IN): [out.def_path for out in stage.outs] for stage in graph}
        for path in read:
            if not (self.folder / path).exists() and not any(_holds(path, out) or _holds(out, path) for out in made):
                target = self.folder / path
                target.mkdir(parents=True)
                (target / "file").write_text(path)
        found: Outputs = {}
        for words, outs in commands.items():
            # What a later stage reads inside an output must be there by its name.
            inner = {path: known.get(path, TINY) for path in read for out in outs if path != out and _holds(out, path)}
            parts = [(path, files, size) for path, (files, size) in inner.items()]
            for out in outs:
                files, size = known.get(out, TINY)
                within = [sizes for path, sizes in inner.items() if _holds(out, path)]
                files, size = files - sum(n for n, _ in within), size - sum(n for _, n in within)
                parts += [(out, files, max(0, size))] if files > 0 or not within else []
            found[words] = parts
        return found


def _holds(folder: str, path: str) -> bool:
    """Whether a path is a folder or lies below it."""
    return f"{path}/".startswith(f"{folder}/")


def _sizes(lock: Path) -> dict[str, tuple[int, int]]:
    """Path -> files and bytes, of all that a dvc.lock names."""
    entries = [
        entry
        for stage in stages(lock.read_bytes()).values()
        for kind in ("deps", "outs")
        for entry in stage.get(kind, [])
    ]
    return {entry["path"]: (entry.get("nfiles", 1), entry["size"]) for entry in entries}


@contextmanager
def copied(preset: str = "", changes: Changes | None = None, lock: Path | None = None) -> Iterator[Project]:
    """A `Project` in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="echosynth-bench-") as folder:
        yield Project(Path(folder), preset, changes or {}, lock)


def no_op(project: Project, name: str, repeats: int) -> list[Result]:
    """`dvc repro` of a finished copy, in turns with commands of DVC that do a part of it."""
    turns = [[project.call(*command.split()) for command in NO_OP.values()] for _ in range(repeats)]
    setting = f"{name}: {len(project.outputs)} stages, {project.files:,} files"
    return [
        Duration(task, NO_OP_LIMIT, seconds, setting)
        for task, seconds in zip(NO_OP, zip(*turns, strict=True), strict=True)
    ]


def measure_demo(sizes: Sizes) -> list[Result]:
    """What DVC adds to `make demo`, and the same graph when nothing is to do."""
    lock = Path("dvc.lock")
    if not lock.is_file():
        return [Missing("what DVC adds to `make demo`", "dvc.lock, which tells how large its outputs are; `make demo`")]
    with copied(changes=sizes.changes, lock=lock) as project:
        own, stand_ins = project.first_run()
        setting = (
            f"{len(project.outputs)} stages, {project.files:,} files, {project.size / 1e6:.0f} MB; {own:.1f} s of DVC "
            f"beside {DEMO_SECONDS // 60} minutes of stages (here stand-ins, {stand_ins:.1f} s)"
        )
        share = Share("make demo", own / (own + DEMO_SECONDS), "DVC's own work", own + stand_ins, setting)
        return [share, *no_op(project, "demo", sizes.repeats)]


def measure_thesis(sizes: Sizes, name: str, changes: Changes) -> list[Result]:
    """The graph of the preset thesis when nothing is to do, with tiny outputs."""
    with copied("thesis", changes) as project:
        own, _ = project.first_run()
        count = len(project.outputs)
        first = Rate("first run, DVC's own work", count / own, "stages", count, (own,), f"{name}, tiny outputs")
        return [first, *no_op(project, f"{name}, tiny outputs", sizes.repeats)]


def measurements(params: Params, quick: bool, auto: Precision) -> list[Callable[[], Result | list[Result]]]:
    """All of them.

    Args:
        params: not needed: the copy reads its own.
        quick: a small graph, to see that it works.
        auto: not needed.
    """
    sizes = QUICK if quick else Sizes()
    graphs: dict[str, Changes] = {"thesis": {}, "thesis, eight subsets, four architectures": LARGER}
    return [
        partial(measure_demo, sizes),
        *(partial(measure_thesis, sizes, name, changes) for name, changes in graphs.items() if sizes.large),
    ]

"""Git and DVC repositories that hold results, made by hand: no pipeline runs."""

import copy
import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

PARAMS: dict[str, Any] = {
    "data": {"root": "data/raw/phantom"},
    "split": {"seed": 3, "subsets": [60]},
    "diffusion": {"steps": 20, "learning_rate": 1e-05},
    "sample": {"guidance": 1.0},
    "fidelity": {"count": 8},
    "arms": {"real": ["real"], "synthetic": ["mixed"], "architectures": ["resnet18"]},
    "classifier": {
        "seeds": [0, 1],
        "steps": 6,
    },
}
SCORES = {"best": {"validation_macro_auprc": 0.75}, "test": {"macro_auprc": 0.5, "recall_A2C": 0.25}}


def flat(tree: dict[str, Any]) -> dict[str, float]:
    """Scores as the report's summary gives them."""
    return {f"{branch}.{leaf}": float(value) for branch, leaves in tree.items() for leaf, value in leaves.items()}


def changed(tree: dict[str, Any], **sections: dict[str, Any]) -> dict[str, Any]:
    """A copy with other values."""
    tree = copy.deepcopy(tree)
    for section, values in sections.items():
        tree[section] |= values
    return tree


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


class Repository:
    """A repository in the working directory; each commit is a minute later than the one before.

    Attributes:
        minutes: how many commits there are.
        outs: path -> hash of what the next dvc.lock says was written, each by a stage of its own.
        deps: path -> hash of what it says that each of these stages read.
    """

    def __init__(self) -> None:
        self.minutes = 0
        self.outs: dict[str, str] = {}
        self.deps: dict[str, str] = {}
        Path(".dvc").mkdir()
        Path(".dvc/config").touch()
        Path(".gitignore").write_text("/.dvc/cache\n/.dvc/tmp\n/.resume\n/mlflow.db*\n/mlartifacts\n")
        self.git("init", "-q", "-b", "main")
        self.commit()

    def git(self, *words: str) -> str:
        """What git prints."""
        date = f"{1_700_000_000 + 60 * self.minutes} +0000"
        names = {f"GIT_{who}_{what}": "t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        done = subprocess.run(
            ["git", *words], env=os.environ | names | dates, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self) -> str:
        """Commit all that there is; returns the revision."""
        self.minutes += 1
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "work")
        return self.git("rev-parse", "HEAD")

    def write(self, params: dict[str, Any] = PARAMS, scores: dict[str, Any] = SCORES, **outs: str) -> None:
        """What an execution leaves behind: parameters, scores, and a dvc.lock that fits to them."""
        Path("params.yaml").write_text(yaml.safe_dump(params))
        text = json.dumps(scores)
        Path("reports").mkdir(exist_ok=True)
        Path("reports/metrics.json").write_text(text)
        report = {
            "cmd": "report",
            "params": {"params.yaml": copy.deepcopy(params)},
            "outs": [{"path": "reports/metrics.json", "hash": "md5", "md5": md5(text.encode())}],
        }
        deps = [{"path": path, "md5": value} for path, value in self.deps.items()]
        stages = {
            f"stage@{path}": {"deps": deps, "outs": [{"path": path, "md5": value}]} for path, value in self.outs.items()
        }
        Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"report": report, **stages}}))

    def result(self, params: dict[str, Any] = PARAMS, scores: dict[str, Any] = SCORES) -> str:
        """A commit with a result."""
        self.write(params, scores)
        return self.commit()

    def experiment(self, name: str, params: dict[str, Any] = PARAMS, scores: dict[str, Any] = SCORES) -> str:
        """A result that DVC keeps as an experiment on the revision that is checked out."""
        baseline, outs = self.git("rev-parse", "HEAD"), dict(self.outs)
        self.git("checkout", "-q", "--detach")
        revision = self.result(params, scores)
        self.git("update-ref", f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}", revision)
        self.git("checkout", "-q", "main")
        self.outs = outs
        return revision

    def output(self, path: str, files: dict[str, bytes | str | dict[str, Any]] | bytes) -> list[str]:
        """Put an output, a folder of files or one file, into DVC's cache and the next dvc.lock; returns its hashes."""
        if isinstance(files, bytes):
            self.outs[path] = self._store(files)
            return [self.outs[path]]
        coded = {
            name: text if isinstance(text, bytes) else (text if isinstance(text, str) else json.dumps(text)).encode()
            for name, text in files.items()
        }
        listing = [{"md5": self._store(content), "relpath": name} for name, content in sorted(coded.items())]
        self.outs[path] = self._store(json.dumps(listing).encode(), ".dir")
        return [self.outs[path], *(entry["md5"] for entry in listing)]

    def _store(self, content: bytes, ending: str = "") -> str:
        name = md5(content) + ending
        object_of(name).parent.mkdir(parents=True, exist_ok=True)
        object_of(name).write_bytes(content)
        object_of(name).chmod(0o444)
        return name


def object_of(name: str) -> Path:
    """Where DVC keeps what has this hash."""
    return Path(".dvc/cache/files/md5", name[:2], name[2:])


def recorded(name: str, stage: str, **more: Any) -> str:
    """The content of a run.json."""
    content = {"tags": {}, "params": {}, "datasets": [], "metrics": {}, "artifacts": []}
    return json.dumps({"name": name, "stage": stage, **content, **more}, indent=2)


def cell(arm: str = "real", **files: str) -> dict[str, bytes | str | dict[str, Any]]:
    """The folder that the training of two classifiers leaves, as far as their runs are concerned."""
    found: dict[str, bytes | str | dict[str, Any]] = {}
    for seed in (0, 1):
        record = recorded(
            f"resnet18 {arm} 60 seed {seed}",
            "classify",
            tags={"echosynth.arm": arm, "echosynth.subset": "60"},
            params={"classifier.steps": "6", "real_images": "60", "seed": str(seed)},
            datasets=[
                {
                    "name": "subset-60",
                    "path": "data/split/subsets/60.csv",
                    "md5": "5b" * 16,
                    "context": "training",
                }
            ],
            metrics={
                "training_loss": {"3": 1.25, "6": 0.5},
                "validation.macro_auprc": {"3": 0.30000000000000004},
                "images": {"6": 60},
            },
            artifacts=["confusion.png", "metrics.json"],
        )
        found |= {
            f"{arm}/seed-{seed}/run.json": record,
            f"{arm}/seed-{seed}/metrics.json": {"validation": {}},
            f"{arm}/seed-{seed}/confusion.png": f"matrix {seed}".encode(),
        }
    return found | files

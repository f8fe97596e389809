"""What the stages of a result wrote, from the DVC cache: its child runs, as the stages log them while they run.

What is in no file does not come back: clock times, what only the machine knows (images a second, system metrics), the
learning rate of classifiers, and the curve of the echo network.
"""

import csv
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from echosynth.common import paths
from echosynth.common.views import VIEW_INDEX, VIEWS
from echosynth.evaluation.copies import COLUMNS
from echosynth.evaluation.scores import headline
from echosynth.imagesets.preview import first_images
from echosynth.tracking import artifacts, history
from echosynth.tracking.dvc_cache import Cache, Folder, NotCachedError
from echosynth.tracking.history import Content
from echosynth.tracking.plots import precision_recall_png
from echosynth.tracking.runs import Context

TORN = (KeyError, TypeError, ValueError, AttributeError, OSError, zipfile.BadZipFile)  # what torn files raise
Point = tuple[str, float, int]  # name, value, step
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Child:
    """A run below the row of a result.

    Attributes:
        name: name of the run.
        stage: the stage of dvc.yaml.
        params: nested parameters and facts.
        points: metrics with their steps; a final number stands at the end of the curves.
        artifacts: writes its artifacts into an empty folder.
        tags: further tags.
        datasets: name, hash and context of the data that went in, as far as they are known.
    """

    name: str
    stage: str
    params: Facts
    points: list[Point]
    artifacts: Callable[[Path], object]
    tags: Mapping[str, str] = field(default_factory=dict)
    datasets: tuple[tuple[str, str, Context], ...] = ()


@dataclass
class Found:
    """What the cache gave.

    Attributes:
        children: in the order of the pipeline.
        missing: how many runs the cache lacks.
        unreadable: outputs that are of another form than today's, or torn.
    """

    children: list[Child] = field(default_factory=list)
    missing: int = 0
    unreadable: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Output:
    """A folder that a stage wrote.

    Attributes:
        name: of the folder.
        folder: what is in it.
        params: params.yaml of the result, nested.
        hashes: path -> MD5 of what dvc.lock says that the stage read, and of all that was written.
        cache: where files are.
    """

    name: str
    folder: Folder
    params: Facts
    hashes: Mapping[str, str]
    cache: Cache

    def data(self, *inputs: tuple[str, Path, Context]) -> tuple[tuple[str, str, Context], ...]:
        """Name, hash and context of the data that went in, of which `inputs` give name, path and context."""
        named = [(name, self.hashes.get(path.as_posix()), context) for name, path, context in inputs]
        return tuple((name, digest, context) for name, digest, context in named if digest)


def children(content: Content, before: Mapping[str, str], cache: Cache) -> Found:
    """The child runs of a result: those of the stages whose outputs it does not share with the result before it.

    A stage that DVC found up to date has not run, and logged nothing.

    Args:
        content: the result.
        before: `Content.outs` of the result before it; empty for the first one.
        cache: where the outputs are.
    """
    found = Found()
    writers = {path: stage for stage in content.stages.values() for path in history.entries(stage, "outs")}
    written = {Path(path): md5 for path, md5 in content.outs.items() if before.get(path) != md5}
    for place, make in MAKERS.items():
        for path in sorted(path for path in written if place in (path, path.parent) and _wanted(path, content.params)):
            hashes = content.outs | history.entries(writers[path.as_posix()], "deps")
            try:
                folder = cache.folder(written[path])
                found.children += make(Output(path.name, folder, content.params, hashes, cache))
            except NotCachedError:
                found.missing += len(_list(content.params, "classifier", "seeds")) if place == paths.CLASSIFIERS else 1
            except TORN:
                found.unreadable.append(path.as_posix())
    return found


def _wanted(path: Path, params: Facts) -> bool:
    """Whether the parameters ask for this output: dvc.lock keeps what they asked for at other times."""
    sizes, architectures = _list(params, "split", "subsets"), _list(params, "classifier", "architectures")
    arms = [*_list(params, "classifier", "real_arms"), *_list(params, "classifier", "synthetic_arms")]
    if path.parent in (paths.DIFFUSION, paths.SYNTHETIC, paths.FIDELITY):
        return not sizes or path.name in map(str, sizes)
    cells = [paths.cell_folder(*cell) for cell in product(arms, sizes, architectures)]
    return path.parent != paths.CLASSIFIERS or not cells or path in cells


def _list(params: Facts, section: str, key: str) -> list[Any]:
    """A list among the parameters; empty where they have none there."""
    found = params[section].get(key) if isinstance(params.get(section), Mapping) else None
    return found if isinstance(found, list) else []


def _echo(output: Output) -> list[Child]:
    """As `echosynth.stages.feature_network` logs it, but for the curve, which is in no file."""
    card, settings = output.folder.json("card.json"), output.params["fidelity"]
    facts = {name: settings[name] for name in ("architecture", "seed", "training")}
    points = [("images", float(sum(card["training_images"].values())), int(card["steps"]))]
    data = output.data(("train", paths.ASSIGNMENT, "training"))
    return [Child("echo network", "echo", {"fidelity": facts}, points, artifacts.nothing, datasets=data)]


def _diffusion(output: Output) -> list[Child]:
    """As `echosynth.stages.diffusion` logs it."""
    from echosynth.diffusion.training_job import AUTOENCODER_CURVE
    from echosynth.diffusion.training_job import numbers_beside_curves as numbers

    folder, size = output.folder, output.name
    frechet = [
        (f"frechet_ema_{row['ema_decay']}", float(row["frechet"]), int(row["step"]))
        for row in folder.table("snapshots.csv")
        if row["frechet"]
    ]
    autoencoder = _curve(folder.table(AUTOENCODER_CURVE)) if AUTOENCODER_CURVE in folder.hashes else []
    files = {name: folder.file(name) for name in folder.hashes if name.endswith(".png") or name == "curve.csv"}
    points = _ended([*autoencoder, *_curve(folder.table("curve.csv")), *frechet], numbers(folder.json("metrics.json")))
    facts = {"diffusion": output.params["diffusion"], "subset": size}
    data = output.data(
        (f"subset-{size}", paths.subset_file(size), "training"), ("validation", paths.ASSIGNMENT, "validation")
    )
    return [Child(f"diffusion {size}", "diffusion", facts, points, partial(artifacts.copy, files), datasets=data)]


def _sample(output: Output) -> list[Child]:
    """As `echosynth.stages.sample` logs it."""
    folder, size = output.folder, output.name
    metrics, archive, file = folder.json("metrics.json"), folder.file("images.zip"), folder.file("metrics.json")
    counts = {f"images_{view}": number for view, number in metrics["by_view"].items()}

    def write(out: Path) -> None:
        artifacts.copy({"metrics.json": file}, out)
        (out / "samples.png").write_bytes(first_images(archive))

    points = _ended([], {"images": metrics["images"], **counts})
    facts = {"sample": output.params["sample"], "subset": size}
    data = output.data((f"diffusion-{size}", paths.DIFFUSION / size, "evaluation"))
    return [Child(f"sample {size}", "sample", facts, points, write, datasets=data)]


def _classifier(output: Output) -> list[Child]:
    """As `echosynth.stages.classify` logs them, one a seed, but for the learning rate, which is in no file."""
    return [
        _seed(output, name.partition("/")[0]) for name in sorted(output.folder.hashes) if name.endswith("/metrics.json")
    ]


def _seed(output: Output, seed: str) -> Child:
    metrics = output.folder.json(f"{seed}/metrics.json")
    facts, scores = metrics["facts"], metrics["validation"]
    arm, size, architecture = facts["arm"], facts["subset"], facts["architecture"]
    known = {name: facts[name] for name in ("arm", "subset", "architecture", "seed", "real_images")}
    title = f"Validation: {architecture}, {arm}, {size} real images, seed {facts['seed']}"

    def write(out: Path) -> None:
        artifacts.scored({"confusion.png": (scores, title)}, scores, out)
        _curves(output, f"{seed}/validation.csv", _trained_on(output), title, out / "precision_recall.png")

    final = headline(scores, "validation") | {"images": facts["images"]}
    inputs: list[tuple[str, Path, Context]] = [
        (f"subset-{size}", paths.subset_file(size), "training"),
        ("validation", paths.ASSIGNMENT, "validation"),
    ]
    if facts["synthetic"]:
        inputs.append((f"synthetic-{size}", paths.SYNTHETIC / size, "training"))
    return Child(
        f"{architecture} {arm} {size} seed {facts['seed']}",
        "classify",
        {"classifier": output.params["classifier"], **known},
        _ended(_curve(output.folder.table(f"{seed}/curve.csv")), final),
        write,
        {"echosynth.arm": arm, "echosynth.subset": size},
        output.data(*inputs),
    )


def _fidelity(output: Output) -> list[Child]:
    """As `echosynth.stages.fidelity` logs it."""
    metrics, size = output.folder.json("metrics.json"), output.name
    known = {f"echo.{name}": value for name, value in metrics["echo"].items()}
    known |= {f"privacy.{name}": metrics.get("privacy", {}).get(name) for name in COLUMNS}
    points = _ended([], {name: value for name, value in known.items() if value is not None})
    facts = {"fidelity": output.params["fidelity"], "subset": size}
    data = output.data(
        (f"synthetic-{size}", paths.SYNTHETIC / size, "evaluation"), ("validation", paths.ASSIGNMENT, "validation")
    )
    return [Child(f"fidelity {size}", "fidelity", facts, points, artifacts.nothing, datasets=data)]


def _final(output: Output) -> list[Child]:
    """As `echosynth.stages.final` logs it."""
    result = output.folder.json("metrics.json")
    best = result["best"]
    cell = paths.cell_folder(best["arm"], best["subset"], best["architecture"]).name
    name = f"{cell}, seed {best['seed']}"
    titles = {split: f"{split}, {name}" for split in ("test", "shift") if result[split]}
    final = {key: value for split in titles for key, value in headline(result[split], split).items()}
    shift = {source: paths.SHIFT / source for source in _list(output.params, "data", "shift_sources")}
    sets = {"test": _trained_on(output), "shift": list(shift.values())}

    def write(out: Path) -> None:
        matrices = {f"confusion_{split}.png": (result[split], title) for split, title in titles.items()}
        artifacts.scored(matrices, result, out)
        for split, title in titles.items():
            _curves(output, f"{split}.csv", sets[split], title, out / f"precision_recall_{split}.png")

    inputs: list[tuple[str, Path, Context]] = [("test", paths.ASSIGNMENT, "test")]
    inputs += [(f"shift-{source}", folder, "test") for source, folder in shift.items()]
    facts = {"final": best["arm"], "trained": name}
    return [Child("final model", "final", facts, _ended([], final), write, datasets=output.data(*inputs))]


MAKERS: dict[Path, Callable[[Output], list[Child]]] = {
    paths.FEATURE_NETWORK: _echo,
    paths.DIFFUSION: _diffusion,
    paths.SYNTHETIC: _sample,
    paths.CLASSIFIERS: _classifier,
    paths.FIDELITY: _fidelity,
    paths.FINAL_SCORES: _final,
}


def _curve(rows: list[dict[str, str]]) -> list[Point]:
    """The points of a table with the column `step`, which may be written as 5.0; what was not measured is empty."""
    return [
        (name, float(value), int(float(row["step"])))
        for row in rows
        for name, value in row.items()
        if value and name != "step"
    ]


def _ended(curve: list[Point], numbers: Mapping[str, float]) -> list[Point]:
    """A curve with the final numbers at its end, but for those that are points of it."""
    last, there = max((step for _, _, step in curve), default=0), {name for name, _, _ in curve}
    return [*curve, *((name, float(value), last) for name, value in numbers.items() if name not in there)]


def _trained_on(output: Output) -> list[Path]:
    """The image sets that were split into training, validation and test."""
    return [paths.SOURCES / source for source in _list(output.params, "data", "train_sources")]


def _curves(output: Output, name: str, sets: Iterable[Path], title: str, picture: Path) -> None:
    """Draw the precision-recall curves of a table of predictions about images of these sets; no picture where the cache
    lacks the table, as earlier results did, or a set."""
    try:
        table = output.folder.table(name)
        views: dict[str, str] = {}
        for folder in sets:
            views |= _views(output.cache.folder(output.hashes[folder.as_posix()]).file("manifest.csv"))
        labels = np.array([VIEW_INDEX[views[row["id"]]] for row in table], np.int64)
    except (KeyError, NotCachedError):
        return
    probabilities = np.array([[float(row[view]) for view in VIEWS] for row in table])
    picture.write_bytes(precision_recall_png(probabilities, labels, title))


@lru_cache(maxsize=16)
def _views(manifest: Path) -> dict[str, str]:
    """Id -> view of an image set; a file in the cache never changes."""
    with manifest.open(encoding="utf-8", newline="") as stream:
        return {row["id"]: row["view"] for row in csv.DictReader(stream)}

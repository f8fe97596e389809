"""What the stages of a result wrote, from the DVC cache: its child runs, as the stages log them while they run.

Clock times and what only the machine knows, such as images a second, are in no file and do not come back.
"""

import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from echosynth import paths
from echosynth.files import write_json
from echosynth.images.grid import grid
from echosynth.images.store import Images, encode
from echosynth.measure.scores import headline
from echosynth.track.cache import Cache, Folder, NotCachedError
from echosynth.track.history import Content, stages
from echosynth.track.plots import confusion_figure
from echosynth.track.runs import Context
from echosynth.views import VIEWS

PRIVACY = ("threshold", "near_copies", "held_out_near_copies", "copying_z")  # as the stage `fidelity` logs them
SHOWN = 128  # synthetic images in samples.png
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


def outs(lock: bytes) -> dict[str, str]:
    """Path -> MD5 of all that dvc.lock says was written."""
    entries = [entry for stage in stages(lock).values() for entry in stage.get("outs", [])]
    return {entry["path"]: entry["md5"] for entry in entries if "path" in entry and "md5" in entry}


def children(content: Content, lock_before: bytes, cache: Cache) -> Found:
    """The child runs of a result: those of the stages whose outputs it does not share with the result before it.

    A stage that DVC found up to date has not run, and logged nothing.

    Args:
        content: the result.
        lock_before: dvc.lock of the result before it; empty for the first one.
        cache: where the outputs are.
    """
    found, before = Found(), outs(lock_before)
    written = {Path(path): md5 for path, md5 in outs(content.lock_bytes).items() if before.get(path) != md5}
    for place, make in MAKERS.items():
        for path in sorted(path for path in written if place in (path, path.parent) and _wanted(path, content.params)):
            try:
                found.children += make(path.name, cache.folder(written[path]), content.params)
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


def _diffusion(size: str, folder: Folder, params: Facts) -> list[Child]:
    """As `echosynth.stages.diffusion` logs it."""
    from echosynth.diffusion.fit import numbers

    metrics, card = folder.json("metrics.json"), folder.json("card.json")
    frechet = [
        (f"frechet_ema_{row['ema_decay']}", float(row["frechet"]), int(row["step"]))
        for row in folder.table("snapshots.csv")
        if row["frechet"]
    ]
    files = {name: folder.file(name) for name in folder.hashes if name.endswith(".png") or name == "curve.csv"}
    points = _ended([*_curve(folder.table("curve.csv")), *frechet], numbers(metrics))
    return [
        Child(
            f"diffusion {size}",
            "diffusion",
            {"diffusion": params["diffusion"], "subset": size},
            points,
            lambda out: _copy(files, out),
            datasets=((f"subset-{size}", card["training_hash"], "training"),),
        )
    ]


def _sample(size: str, folder: Folder, params: Facts) -> list[Child]:
    """As `echosynth.stages.sample` logs it."""
    metrics, archive, file = folder.json("metrics.json"), folder.file("images.zip"), folder.file("metrics.json")
    counts = {f"images_{view}": number for view, number in metrics["by_view"].items()}

    def write(out: Path) -> None:
        _copy({"metrics.json": file}, out)
        (out / "samples.png").write_bytes(_first_images(archive))

    points = _ended([], {"images": metrics["images"], **counts})
    return [Child(f"sample {size}", "sample", {"sample": params["sample"], "subset": size}, points, write)]


def _classifier(cell: str, folder: Folder, params: Facts) -> list[Child]:
    """As `echosynth.stages.classify` logs them, one a seed."""
    return [
        _seed(folder, name.partition("/")[0], params)
        for name in sorted(folder.hashes)
        if name.endswith("/metrics.json")
    ]


def _seed(folder: Folder, seed: str, params: Facts) -> Child:
    metrics, card = folder.json(f"{seed}/metrics.json"), folder.json(f"{seed}/card.json")
    facts, scores = metrics["facts"], metrics["validation"]
    arm, size, architecture = facts["arm"], facts["subset"], facts["architecture"]
    known = {name: facts[name] for name in ("arm", "subset", "architecture", "seed", "real_images")}
    title = f"Validation: {architecture}, {arm}, {size} real images, seed {facts['seed']}"
    final = headline(scores, "validation") | {"images": facts["images"]}
    return Child(
        f"{architecture} {arm} {size} seed {facts['seed']}",
        "classify",
        {"classifier": params["classifier"], **known},
        _ended(_curve(folder.table(f"{seed}/curve.csv")), final),
        lambda out: _scored({"confusion.png": (scores, title)}, scores, out),
        {"echosynth.arm": arm, "echosynth.subset": size},
        ((f"subset-{size}", card["training_hash"], "training"),),
    )


def _fidelity(size: str, folder: Folder, params: Facts) -> list[Child]:
    """As `echosynth.stages.fidelity` logs it."""
    metrics = folder.json("metrics.json")
    known = {f"echo.{name}": value for name, value in metrics["echo"].items()}
    known |= {f"privacy.{name}": metrics.get("privacy", {}).get(name) for name in PRIVACY}
    points = _ended([], {name: value for name, value in known.items() if value is not None})
    return [
        Child(
            f"fidelity {size}", "fidelity", {"fidelity": params["fidelity"], "subset": size}, points, lambda out: None
        )
    ]


def _final(_: str, folder: Folder, params: Facts) -> list[Child]:
    """As `echosynth.stages.final` logs it."""
    result = folder.json("metrics.json")
    best = result["best"]
    cell = paths.cell_folder(best["arm"], best["subset"], best["architecture"]).name
    name = f"{cell}, seed {best['seed']}"
    splits = {split: result[split] for split in ("test", "shift") if result[split]}
    figures = {f"confusion_{split}.png": (scores, f"{split}, {name}") for split, scores in splits.items()}
    final = {key: value for split, scores in splits.items() for key, value in headline(scores, split).items()}
    calibration = {f"{split}.calibration_error": scores.get("calibration_error") for split, scores in splits.items()}
    final |= {name: value for name, value in calibration.items() if value is not None}
    facts = {"final": best["arm"], "trained": name}
    return [Child("final model", "final", facts, _ended([], final), lambda out: _scored(figures, result, out))]


MAKERS: dict[Path, Callable[[str, Folder, Facts], list[Child]]] = {
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


def _copy(files: Mapping[str, Path], out: Path) -> None:
    """Copy files, whose mode in the cache is read-only, under their names."""
    for name, file in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, out / name)


def _scored(figures: Mapping[str, tuple[dict[str, Any], str]], scores: Facts, out: Path) -> None:
    """Confusion matrices and the scores themselves."""
    for name, (evaluation, title) in figures.items():
        confusion_figure(evaluation, title).savefig(out / name)
    write_json(out / "scores.json", scores)


def _first_images(archive: Path) -> bytes:
    """A sheet of the first images of a set, as PNG."""
    with zipfile.ZipFile(archive) as images:
        coded = [images.read(name) for name in images.namelist()[:SHOWN]]
    return encode(grid(np.stack([_decoded(one) for one in coded]), 4 * len(VIEWS)))


def _decoded(coded: bytes) -> Images:
    picture = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise ValueError("no picture")
    return picture.astype(np.uint8, copy=False)

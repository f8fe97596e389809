"""The pictures of a comparison of two states: plots and synthetic samples, nothing of a patient."""

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.common.files import read_json
from echosynth.common.views import VIEWS
from echosynth.evaluation.plots import confusion_png
from echosynth.imagesets.store import Images, encode
from echosynth.imagesets.tiles import contact_grid
from echosynth.report.changes.states import ProjectState
from echosynth.report.drawing import HEIGHT, STYLES, look, png

SIDES = ("old", "new")
PER_VIEW = 8
SHOWN_SIDE = 96  # pixels at least of a synthetic image on the page
OLD_COLOUR = "#57606a"


@dataclass(frozen=True)
class PngFile:
    """A PNG file of the page, what it shows in words, and the side that it is of (empty: both)."""

    file: str
    alt: str
    png: bytes
    side: str = ""


@dataclass(frozen=True)
class Group:
    """Pictures side by side, under a heading."""

    title: str
    pictures: Sequence[PngFile]
    note: str = ""


def draw(old: ProjectState, new: ProjectState) -> tuple[list[Group], list[str]]:
    """Draw what differs, and say in a sentence what cannot be drawn on this machine.

    Raises:
        EchosynthError: DVC's cache is damaged.
    """
    with look():
        found = [_scores_by_arm(old.scores, new.scores)]
        missing: list[str] = []
        found.append(_pair(old, new, paths.FINAL_SCORES.as_posix(), "Final model on the test set", _confusion, missing))
        for output in sorted(path for path in {*old.outputs, *new.outputs} if _is_synthetic(path)):
            title = f"Synthetic images, subset {output.rpartition('/')[2]}"
            found.append(_pair(old, new, output, title, _samples, missing))
    return [group for group in found if group], missing


def auprc_figure(old: Mapping[str, float], new: Mapping[str, float]) -> Figure | None:
    """Draw validation macro AUPRC against the subset, old and new, a panel for each arm of the first architecture.

    Args:
        old: scores as "auprc.<arm>_<subset>" -> number; others are left out.
        new: likewise.

    Returns:
        The figure, or None where there is no such score.
    """
    sides = [_by_arm(scores) for scores in (old, new)]
    arms = STYLES.in_order(arm for side in sides for arm in side)
    if not arms:
        return None
    subsets = sorted({subset for side in sides for arm in side.values() for subset in arm}, key=_size)
    figure = Figure(figsize=(1.2 + 2.4 * len(arms), HEIGHT), layout="constrained")
    figure.suptitle("Validation macro AUPRC by arm and subset", fontweight="bold")
    figure.supxlabel("training subset (real images)", fontsize="medium")
    panels = figure.subplots(1, len(arms), sharey=True, squeeze=False)[0]
    for axes, arm in zip(panels, arms, strict=True):
        style = STYLES[arm]
        looks = (
            {"color": OLD_COLOUR, "linestyle": "--", "mfc": "white"},
            {"color": style.colour, "linestyle": "-"},
        )
        for label, side, how in zip(SIDES, sides, looks, strict=True):
            known = [(place, side[arm][subset]) for place, subset in enumerate(subsets) if subset in side.get(arm, {})]
            if known:
                axes.plot(*zip(*known, strict=True), marker=style.marker, ms=6.5, label=label, **how)
        axes.set_title(arm)
        axes.set_xticks(range(len(subsets)), subsets)
        axes.set_xlim(-0.4, len(subsets) - 0.6)
        axes.legend()
    panels[0].set_ylabel("macro AUPRC, validation")
    return figure


def _size(subset: str) -> tuple[float, str]:
    return (int(subset) if subset.isdecimal() else float("inf")), subset


def _by_arm(scores: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Arm -> subset -> AUPRC, of the first architecture, whose name is not part of the score's."""
    found: dict[str, dict[str, float]] = {}
    for name, value in scores.items():
        branch, _, cell = name.partition(".")
        arm, _, subset = cell.rpartition("_")
        if branch == "auprc" and arm in STYLES:
            found.setdefault(arm, {})[subset] = value
    return found


def _scores_by_arm(old: Mapping[str, float], new: Mapping[str, float]) -> Group | None:
    if _by_arm(old) == _by_arm(new) or not (figure := auprc_figure(old, new)):
        return None
    alt = "Macro AUPRC of each arm against the training subset, old and new; numbers in the table above"
    return Group("AUPRC by arm and subset", [PngFile("auprc.png", alt, png(figure))], "Mean of the seeds.")


def _is_synthetic(path: str) -> bool:
    return path.startswith(f"{paths.SYNTHETIC.as_posix()}/")


Draw = Callable[[ProjectState, str], tuple[bytes, str] | None]


def _pair(
    old: ProjectState, new: ProjectState, output: str, title: str, draw: Draw, missing: list[str]
) -> Group | None:
    """The pictures of an output in both states; None where it is the same or nowhere at hand."""
    states = dict(zip(SIDES, (old, new), strict=True))
    hashes = {side: state.outputs[output].md5 for side, state in states.items() if output in state.outputs}
    if len(hashes) == len(states) and len(set(hashes.values())) == 1:
        return None
    pictures = []
    for side in hashes:
        if drawn := draw(states[side], output):
            content, alt = drawn
            pictures.append(PngFile(f"{output.replace('/', '-')}-{side}.png", f"{side}: {alt}", content, side))
        else:
            missing.append(
                f"{output} of {states[side].name} is not in DVC's cache on this machine; get it by "
                "`dvc fetch --all-commits`, or by `dvc exp pull` where it is an experiment"
            )
    note = f"From the top: {', '.join(VIEWS)}." if _is_synthetic(output) else ""
    return Group(title, pictures, note) if pictures else None


def _confusion(state: ProjectState, output: str) -> tuple[bytes, str] | None:
    """The confusion matrix on the test set."""
    path = state.file(output, "metrics.json")
    if not path:
        return None
    try:
        picture = confusion_png(read_json(path)["test"], f"Test set, {state.name}")
    except (KeyError, TypeError, IndexError, ValueError):
        raise EchosynthError(f"{path} holds no scores of the test set; delete it and run `dvc fetch`") from None
    return picture, f"confusion matrix of the final model on the test set, {state.name}"


def _samples(state: ProjectState, output: str) -> tuple[bytes, str] | None:
    """The first images of each view, a row each, enlarged without smoothing."""
    archive, manifest = (state.file(output, name) for name in ("images.zip", "manifest.csv"))
    if not archive or not manifest:
        return None
    try:
        table = pd.read_csv(manifest).sort_values("id", kind="stable")
        if not table["synthetic"].all():
            raise EchosynthError(f"{output} of {state.name} holds images that are not synthetic: they are not shown")
        chosen = {view: table.loc[table["view"] == view, "id"].head(PER_VIEW) for view in VIEWS}
        with zipfile.ZipFile(archive) as members:
            rows = [[_image(members.read(f"{name}.png")) for name in ids] for ids in chosen.values()]
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise EchosynthError(f"{archive} or {manifest} is damaged ({error}); delete both, run `dvc fetch`") from None
    side = next((len(row[0]) for row in rows if row), 1)
    white = np.full((side, side), 255, np.uint8)
    filled = [image for row in rows for image in [*row, *[white] * (PER_VIEW - len(row))]]
    sheet = contact_grid(np.stack(filled), PER_VIEW)
    times = max(1, SHOWN_SIDE // side)
    enlarged = np.repeat(np.repeat(sheet, times, 0), times, 1)
    return encode(enlarged), f"synthetic images of {state.name}, a row for each view"


def _image(content: bytes) -> Images:
    """A grey picture (side, side) uint8 out of a PNG.

    Raises:
        ValueError: it is none.
    """
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ValueError("a picture that is no PNG")
    return image.astype(np.uint8)

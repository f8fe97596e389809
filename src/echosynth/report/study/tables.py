"""The tables of the report: every cell is text that comes from a number of the inputs."""

from collections.abc import Sequence
from dataclasses import dataclass

from echosynth.common.views import RARE_VIEWS, VIEWS
from echosynth.report.study.inputs import Inputs, Json
from echosynth.report.words import (
    between,
    count,
    distance,
    number,
    rare_recall,
    signed,
    signed_between,
    spread,
    verdict,
)
from echosynth.sources.registry import find_source

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: what it shows.
        header: names of the columns.
        rows: cells as text.
        labels: how many columns from the left are words, not numbers.
        note: what to know when reading it.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    labels: int = 1
    note: str = ""


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: rows are true views, columns predicted ones, both in the order of `VIEWS`."""

    caption: str
    counts: Sequence[Sequence[int]]
    shares: Sequence[Sequence[float]]


def title(source: str) -> str:
    """A release's name for people."""
    return find_source(source).title


def fidelity(inputs: Inputs, features: str) -> Table:
    """Distances of the synthetic sets to real validation images beside the floor, on "echo" or "inception" features."""
    rows = []
    for subset, model in inputs.diffusion.items():
        found = model.fidelity[features]
        if found is None:
            continue
        pairs = [distance(found[f"{key}frechet"], found[f"{key}frechet_sd"]) for key in ("", "floor_")]
        kernels = [f"{found[key]:.3g}".replace("-", "−") for key in ("kernel", "floor_kernel")]
        rows.append([subset, count(model.fidelity["count"]), *pairs, *kernels])
    name = {
        "echo": "features of a network trained on all real training images",
        "inception": "ImageNet Inception features",
    }[features]
    header = ["subset", "n", "Fréchet, synthetic", "Fréchet, real (floor)", "kernel, synthetic", "kernel, real (floor)"]
    note = (
        "Distance to real validation images on n images a side, drawn with the validation set's mixture of views; "
        "lower is closer. The floor is the same for real test images: nearer than that is not to be expected. "
        "± is the standard deviation over draws."
    )
    return Table(f"Distance between synthetic and real images on {name}", header, rows, note=note)


def models(inputs: Inputs) -> Table:
    """Size, chosen snapshot and last losses of each diffusion model."""
    rows = []
    for subset, model in inputs.diffusion.items():
        facts = model.metrics
        sizes = [count(facts[key]) for key in ("images", "parameters", "steps", "step")]
        losses = [number(facts["loss"], 4), number(facts["validation_loss"], 4)]
        bits = "–" if facts.get("bits_per_dimension") is None else number(facts["bits_per_dimension"], 2)
        rows.append([subset, *sizes, f"{facts['ema_decay']:g}", *losses, bits])
    header = [
        "subset",
        "images",
        "weights",
        "steps",
        "chosen step",
        "EMA",
        "training loss",
        "validation loss",
        "bits/dim",
    ]
    note = (
        "Losses are those at the end. The chosen step and average are those whose samples came nearest to the "
        "validation images, which makes the distances below a little optimistic. Bits per dimension: variational bound "
        f"on real validation images, comparable only among models of one variance ({inputs.params.diffusion.variance})."
    )
    return Table("Diffusion models", header, rows, note=note)


def differences(inputs: Inputs) -> Table:
    """Every arm against real at every subset."""
    rows = []
    for architecture, subset, arm in _keys(inputs):
        cell = inputs.cell(subset, arm, architecture)
        if not cell or not (versus := cell["versus_real"]):
            continue
        scores: list[str] = []
        for key, value in (("rare_recall", rare_recall(cell)), ("macro_auprc", cell["macro_auprc"])):
            bounds = versus[f"{key}_interval"]
            known = bounds[0] is not None
            scores += [number(value), signed(versus[key]), signed_between(bounds) if known else "–", verdict(bounds)]
        rows.append([count(cell["real_images"]), arm, *_named(inputs, architecture), *scores])
    names = ["difference", "95 % interval", "reading"]
    header = ["real images", "arm", *_named(inputs, "architecture"), "rare recall", *names, "macro AUPRC", *names]
    note = (
        f"Rare recall is the mean recall of {' and '.join(RARE_VIEWS)}. The interval comes from drawing validation "
        "patients with replacement, the same patients for both arms; it holds the chance in patients, not that in "
        "seeds, which the small dots of the figures below show."
    )
    return Table("Each arm against real images alone", header, rows, labels=2, note=note)


def comparison(inputs: Inputs) -> Table:
    """Arm x size: all scores on the validation set, mean ± standard deviation over seeds."""
    rows = []
    for architecture, subset, arm in _keys(inputs):
        cell = inputs.cell(subset, arm, architecture)
        if not cell:
            continue
        runs = inputs.seeds(cell)
        scores = [spread([run[key] for run in runs]) for key in ("macro_auprc", "macro_f1", "loss", "accuracy")]
        scores += [spread([run["recall"][view] for run in runs], 2) for view in VIEWS]
        scores += [spread([run["tmed2"] and run["tmed2"][key] for run in runs]) for key in ("macro_auprc", "macro_f1")]
        rows.append([count(cell["real_images"]), arm, *_named(inputs, architecture), *scores])
    header = ["real images", "arm", *_named(inputs, "architecture"), "AUPRC", "F1", "loss", "accuracy"]
    header += [f"recall {view}" for view in VIEWS] + ["TMED-2 AUPRC", "TMED-2 F1"]
    seeds = len(inputs.params.classifier.seeds)
    note = (
        f"Mean ± standard deviation over seeds ({seeds}). AUPRC and F1 are macro averages over the views. "
        "TMED-2: that source alone."
    )
    return Table("Validation scores by arm and size", header, rows, labels=2, note=note)


def training_sets(inputs: Inputs) -> Table:
    """What each arm was trained on, and for how long."""
    rows = []
    for architecture, subset, arm in _keys(inputs):
        if cell := inputs.cell(subset, arm, architecture):
            sizes = [count(cell[key]) for key in ("images", "synthetic", "steps")]
            rows.append([count(cell["real_images"]), arm, *_named(inputs, architecture), *sizes])
    header = ["real images", "arm", *_named(inputs, "architecture"), "training images", "of them synthetic", "steps"]
    return Table("What the classifiers were trained on", header, rows, labels=2)


def sources_of_cells(inputs: Inputs, subset: str) -> Table:
    """Scores by source of the arms at one subset."""
    cells = [cell for arm in inputs.arms if (cell := inputs.cell(subset, arm))]
    rows = [[cell["arm"], *row] for cell in cells for row in _source_rows(cell["by_source"])]
    size = count(inputs.sizes[subset])
    return Table(f"Validation scores by source, {size} real images", ["arm", *SOURCE_HEADER], rows, labels=2)


def sources_of_final(scores: Json, name: str) -> Table:
    """Scores of the final model by source on one set."""
    return Table(f"Final model by source, {name}", SOURCE_HEADER, _source_rows(scores["by_source"]))


def final(inputs: Inputs) -> Table:
    """Scores of the final model on validation, test and domain-shift images, with intervals: a row for each score."""
    sets = _final_sets(inputs)
    bounds = [scores.get("interval", {}) for _, scores in sets]
    rows = [["images", *(count(scores["count"]) for _, scores in sets)]]
    for key, name in (("macro_auprc", "macro AUPRC"), ("macro_f1", "macro F1")):
        rows.append([name, *(_with(s[key], b.get(key)) for (_, s), b in zip(sets, bounds, strict=True))])
    for key in ("accuracy", "loss"):
        rows.append([key, *(number(scores[key]) for _, scores in sets)])
    for view in VIEWS:
        cells = [
            _with(s["recall"][view], b.get("recall", {}).get(view)) for (_, s), b in zip(sets, bounds, strict=True)
        ]
        rows.append([f"recall {view}", *cells])
    rows += [[f"AUPRC {view}", *(number(scores["auprc"][view]) for _, scores in sets)] for view in VIEWS]
    note = (
        "In brackets: 95 % interval over patients. –: the set holds no image of this view; macro AUPRC is the mean "
        "over the views that a set holds. The model was chosen by its validation AUPRC, so that its validation score "
        "is optimistic; test and shift images were scored once."
    )
    return Table("Final model", ["score", *(name for name, _ in sets)], rows, note=note)


def matrices(inputs: Inputs, subset: str) -> list[Matrix]:
    """Confusion matrices of the arms at one subset."""
    cells = [cell for arm in inputs.arms if (cell := inputs.cell(subset, arm))]
    return [Matrix(cell["arm"], cell["confusion"], cell["confusion_normalised"]) for cell in cells]


def final_matrices(inputs: Inputs) -> list[Matrix]:
    """Confusion matrices of the final model."""
    return [Matrix(name, scores["confusion"], scores["confusion_normalised"]) for name, scores in _final_sets(inputs)]


SOURCE_HEADER = ("source", "images", "accuracy", "AUPRC", "F1", *(f"recall {view}" for view in VIEWS))


def _keys(inputs: Inputs) -> list[tuple[str, str, str]]:
    architectures = inputs.params.classifier.architectures
    return [(name, subset, arm) for name in architectures for subset in inputs.sizes for arm in inputs.arms]


def _named(inputs: Inputs, text: str) -> list[str]:
    """A column for the architecture, only where there are several."""
    return [text] if len(inputs.params.classifier.architectures) > 1 else []


def _with(value: float | None, bounds: Sequence[float | None] | None) -> str:
    text = between(bounds)
    return f"{number(value)} [{text}]" if text else number(value)


def _source_rows(by_source: Json) -> list[list[str]]:
    rows = []
    for source, scores in by_source.items():
        values = [number(scores[key]) for key in ("accuracy", "macro_auprc", "macro_f1")]
        rows.append(
            [title(source), count(scores["count"]), *values, *(number(scores["recall"][view]) for view in VIEWS)]
        )
    return rows


def _final_sets(inputs: Inputs) -> list[tuple[str, Json]]:
    names = {
        "validation": "validation",
        "test": "test",
        "shift": f"shift ({' + '.join(map(title, inputs.params.data.shift_sources))})",
    }
    return [(name, inputs.final[key]) for key, name in names.items() if inputs.final.get(key)]

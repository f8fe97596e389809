"""The tables of the report: every cell is text that comes from a number of the inputs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from echosynth.common.views import RARE_VIEWS, VIEWS
from echosynth.report.formatting import (
    Score,
    count,
    decimal,
    distance,
    interval,
    mean_sd,
    plural,
    signed,
    signed_interval,
)
from echosynth.report.study.headline import against, rare_recall, verdict
from echosynth.report.study.inputs import Inputs
from echosynth.report.tables import Json, Table, release_title

SOURCE_HEADER = ("source", "images", "accuracy", "AUPRC", "F1", *(f"recall {view}" for view in VIEWS))


ALONE = {"diffusion": "synthetic"}  # arm of a generator's images alone; that of a baseline has its name


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: rows are true views, columns predicted ones, both in the order of `VIEWS`."""

    caption: str
    counts: Sequence[Sequence[int]]
    shares: Sequence[Sequence[float]]


def yardstick(inputs: Inputs) -> Table:
    """Show of every synthetic set what counts: distance, anatomy, use, copies."""
    judged = inputs.comparison["agreement"]
    rows = []
    for subset, model in inputs.diffusion.items():
        for generator, made in model.sets.items():
            echo, privacy = made.fidelity["echo"], made.fidelity["privacy"]
            seen, cell = inputs.agreement(generator, subset), inputs.cell(subset, ALONE.get(generator, generator))
            versus = (cell and cell["versus"].get("real")) or {
                "macro_auprc": None,
                "macro_auprc_interval": [None, None],
            }
            row = [subset, generator, decimal(echo["kernel"]), decimal(echo["floor_kernel"])]
            row += [decimal(seen["macro"] if seen else None), decimal(judged["real"]["macro"] if judged else None)]
            row += [decimal(cell["macro_auprc"] if cell else None), signed(versus["macro_auprc"])]
            bounds = versus["macro_auprc_interval"]
            row.append("–" if bounds[0] is None else signed_interval(bounds))
            row += [f"{100 * privacy[key]:.1f} %" for key in ("near_copies", "quantile")]
            row.append(distance(echo["frechet"]))
            rows.append(row)
    header = ["subset", "generator", "kernel distance", "floor", "view agreement", "real images"]
    header += ["AUPRC, these alone", "to real alone", "95 % interval", "near copies", "expected", "Fréchet"]
    judges = (
        f"View agreement: how often {plural(judged['judges']['number'], 'classifier')} "
        f"({judged['judges']['architecture']}, arm real, subset {judged['judges']['subset']}) trained on real images "
        "alone see the view that an image is meant to show, mean over the views; real images: the same for the real "
        "validation images. "
        if judged
        else ""
    )
    note = (
        f"Kernel distance to real validation images, and between these and real test images (floor). "
        f"{inputs.no_floor}{judges}AUPRC of "
        "classifiers trained on these images alone, and its difference to those trained on the subset itself. Near "
        "copies: nearer to a training image than nearly all held-out real images. The Fréchet distance stands last: "
        "it sees texture, and hardly anatomy."
    )
    return Table("Synthetic sets by what counts", header, rows, labels=2, note=note)


def known_pictures(inputs: Inputs) -> Table:
    """Show what the measures say of pictures of which one knows what is wrong with them."""
    rows = [
        [one["name"], decimal(one["kernel"]), decimal(one["view_agreement"]), distance(one["frechet"])]
        for one in inputs.known_pictures
    ]
    note = (
        "Real test images, changed, unless training images are named; compared with the validation images on echo "
        "features, one draw. Here the feature network itself says which view it sees; it has seen the training images. "
        "No column is enough alone: a set may have a small distance and show wrong views, or show every view well and "
        "consist of a few copies."
    )
    if inputs.no_floor:
        note += " Distances are to the validation images of the views that the pictures show."
    header = ["pictures", "kernel distance", "view agreement", "Fréchet distance"]
    return Table("What the measures say of known pictures", header, rows, note=note)


def fidelity(inputs: Inputs, features: str) -> Table:
    """Show the distances of the synthetic sets of all generators to real validation images beside the floor.

    Args:
        inputs: the inputs of the report.
        features: "echo", "inception" or "imagenet".

    Returns:
        A table without rows where these distances were not measured.
    """
    rows, network = [], ""
    for subset, model in inputs.diffusion.items():
        for generator, made in model.sets.items():
            scores, network = made.fidelity[features], made.fidelity["imagenet_architecture"]
            if scores is None:
                continue
            kernels = [
                "–" if scores[key] is None else f"{decimal(scores[key])} ± {decimal(scores[f'{key}_sd'])}"
                for key in ("kernel", "floor_kernel")
            ]
            pairs = [distance(scores[f"{key}frechet"], scores[f"{key}frechet_sd"]) for key in ("", "floor_")]
            rows.append([subset, generator, count(made.fidelity["count"]), *kernels, *pairs])
    name = {
        "echo": "echo features (of the feature network, trained on all real training images)",
        "inception": "ImageNet Inception features",
        "imagenet": f"ImageNet features ({network})",
    }[features]
    header = ["subset", "generator", "n", "kernel, synthetic", "kernel, real (floor)"]
    header += ["Fréchet, synthetic", "Fréchet, real (floor)"]
    note = (
        "Distance to real validation images on n images a side, drawn with the validation set's mixture of views; "
        "lower is closer. The floor is the same for real test images: nearer than that is not to be expected. "
        f"{inputs.no_floor}"
        "± is the standard deviation over draws. The kernel distance does not depend on n, so that equal images have "
        "one around 0; the Fréchet distance grows as n falls, and says little of anatomy."
    )
    return Table(f"Distance between synthetic and real images on {name}", header, rows, labels=2, note=note)


def models(inputs: Inputs) -> Table:
    """Show size, length of training and losses of each diffusion model."""
    rows = []
    for subset, model in inputs.diffusion.items():
        facts = model.metrics
        sizes = [count(facts[key]) for key in ("images", "parameters", "steps", "step")]
        losses = [decimal(facts["loss"], 4), decimal(facts["validation_loss"], 4)]
        beside = [decimal(facts.get(key), 2) for key in ("loss_to_gaussian", "bits_per_dimension")]
        rows.append([subset, *sizes, f"{facts['ema_decay']:g}", *losses, *beside])
    header = ["subset", "images", "weights", "steps", "chosen step", "EMA"]
    header += ["training loss", "validation loss", "to the Gaussian's", "bits/dim"]
    note = (
        "Losses are those at the end. To the Gaussian's: the loss of the chosen weights on training images, divided by "
        "that of the Gaussian alone; at 1 the network has learned nothing. The chosen step and average are those whose "
        "samples came nearest to the validation images, which makes the distances below a little optimistic. Bits per "
        "dimension: variational bound on real validation images, comparable only among models of one variance "
        f"({inputs.params.diffusion.variance})."
    )
    return Table("Diffusion models", header, rows, note=note)


def differences(inputs: Inputs) -> Table:
    """Hold every arm against real at every subset, and those with the diffusion model's images against what is had
    without it."""
    rows = []
    for start, cell in _cells(inputs):
        for other, versus in against(inputs, cell):
            scores: list[str] = []
            for key, value in (("rare_recall", rare_recall(cell)), ("macro_auprc", cell["macro_auprc"])):
                bounds = versus[f"{key}_interval"]
                known = bounds[0] is not None
                scores += [decimal(value), signed(versus[key])]
                scores += [signed_interval(bounds) if known else "–", verdict(bounds)]
            rows.append([*start, other, *scores])
    training = (
        "it holds no chance of training, of which one seed says nothing."
        if inputs.intervals_over == "patients"
        else "the chance of training is in it as far as seeds show it, pooled over the arms of as many images."
    )
    names = ["difference", "95 % interval", "reading"]
    header = [*_cell_header(inputs), "against", "rare recall", *names, "macro AUPRC", *names]
    note = (
        f"Rare recall is the mean recall of {' and '.join(RARE_VIEWS)}. The interval comes from drawing validation "
        f"patients with replacement, the same patients for both arms; {training} Oversampled has copies of real images "
        "in place of synthetic ones, gaussian and mixup those of generators without any training."
    )
    return Table("Arms against each other", header, rows, labels=3, note=note)


def comparison(inputs: Inputs) -> Table:
    """Show all scores on the validation set by arm and size, mean ± standard deviation over seeds."""
    rows = []
    for start, cell in _cells(inputs):
        runs = inputs.seeds(cell)
        scores = [mean_sd([run[key] for run in runs]) for key in ("macro_auprc", "macro_f1", "loss", "accuracy")]
        scores += [mean_sd([run["recall"][view] for run in runs], 2) for view in VIEWS]
        scores += [mean_sd([run["tmed2"] and run["tmed2"][key] for run in runs]) for key in ("macro_auprc", "macro_f1")]
        rows.append([*start, *scores])
    header = [*_cell_header(inputs), "AUPRC", "F1", "loss", "accuracy"]
    header += [f"recall {view}" for view in VIEWS] + ["TMED-2 AUPRC", "TMED-2 F1"]
    seeds = len(inputs.params.classifier.seeds)
    note = (
        f"Mean ± standard deviation over seeds ({seeds}). AUPRC and F1 are macro averages over the views. "
        "TMED-2: that source alone."
    )
    return Table("Validation scores by arm and size", header, rows, labels=2, note=note)


def training_sets(inputs: Inputs) -> Table:
    """Show what each arm was trained on, and for how long."""
    keys = ("images", "synthetic", "steps")
    rows = [[*start, *(count(cell[key]) for key in keys)] for start, cell in _cells(inputs)]
    header = [*_cell_header(inputs), "training images", "of them synthetic", "steps"]
    return Table("What the classifiers were trained on", header, rows, labels=2)


def sources_of_cells(inputs: Inputs, subset: str) -> Table:
    """Show the scores by source of the arms at one subset."""
    rows = [[cell["arm"], *row] for cell in inputs.cells(subset) for row in _source_rows(cell["by_source"])]
    caption = f"Validation scores by source, {count(inputs.sizes[subset])} real images"
    return Table(caption, ["arm", *SOURCE_HEADER], rows, labels=2)


def sources_of_final(scores: Json, name: str) -> Table:
    """Show the scores of the final model by source on one set."""
    return Table(f"Final model by source, {name}", SOURCE_HEADER, _source_rows(scores["by_source"]))


def final(inputs: Inputs) -> Table:
    """Show the scores of the final model on validation, test and domain-shift images: a row for each score."""
    sets = _final_sets(inputs)

    def row(name: str, key: str, view: str = "") -> list[str]:
        """Give a score of every set with its interval, where it has one."""
        cells = [name]
        for scores in sets.values():
            value, bounds = scores[key], scores.get("interval", {}).get(key)
            text = interval(bounds.get(view) if view and bounds else bounds)
            cells.append(f"{decimal(value[view] if view else value)}{f' [{text}]' if text else ''}")
        return cells

    rows = [["images", *(count(scores["count"]) for scores in sets.values())]]
    rows += [row("macro AUPRC", "macro_auprc"), row("macro F1", "macro_f1"), row("accuracy", "accuracy")]
    rows += [row("loss", "loss")]
    rows += [row(f"recall {view}", "recall", view) for view in VIEWS]
    rows += [row(f"AUPRC {view}", "auprc", view) for view in VIEWS]
    note = (
        "In brackets: 95 % interval over patients. –: the set holds no image of this view; macro AUPRC is the mean "
        f"over the views that a set holds. {_without_macro(sets)}"
        "The model was chosen by its validation AUPRC, so that its validation score "
        "is optimistic; test and shift images were scored once."
    )
    return Table("Final model", ["score", *sets], rows, note=note)


def _without_macro(sets: dict[str, Json]) -> str:
    """Say of which sets there are no macro scores, and why."""
    reasons = {name: scores["absent"]["macro_auprc"] for name, scores in sets.items() if scores.get("absent")}
    said = (f"AUPRC and F1 of {name} are absent, as it has {reason}. " for name, reason in reasons.items())
    return "".join(said)


def matrices(inputs: Inputs, subset: str) -> list[Matrix]:
    """Give the confusion matrices of the arms at one subset."""
    return [Matrix(cell["arm"], cell["confusion"], cell["confusion_normalised"]) for cell in inputs.cells(subset)]


def final_matrices(inputs: Inputs) -> list[Matrix]:
    """Give the confusion matrices of the final model."""
    sets = _final_sets(inputs).items()
    return [Matrix(name, scores["confusion"], scores["confusion_normalised"]) for name, scores in sets]


def _cells(inputs: Inputs) -> Iterator[tuple[list[str], Json]]:
    """Yield every cell with the words that begin its row; the architecture is named only where there are several."""
    architectures = inputs.params.arms.architectures
    for architecture in architectures:
        for subset in inputs.sizes:
            for cell in inputs.cells(subset, architecture):
                named = [architecture] if len(architectures) > 1 else []
                yield [count(cell["real_images"]), cell["arm"], *named], cell


def _cell_header(inputs: Inputs) -> list[str]:
    """Name the columns of these words."""
    several = len(inputs.params.arms.architectures) > 1
    return ["real images", "arm", *(["architecture"] if several else [])]


def _source_rows(by_source: Json) -> list[list[str]]:
    rows = []
    for source, scores in by_source.items():
        values: list[Score] = [scores[key] for key in ("accuracy", "macro_auprc", "macro_f1")]
        values += [scores["recall"][view] for view in VIEWS]
        rows.append([release_title(source), count(scores["count"]), *map(decimal, values)])
    return rows


def _final_sets(inputs: Inputs) -> dict[str, Json]:
    """Give the scores of the final model by the name of the set, without sets that were not scored."""
    shift = f"shift ({' + '.join(map(release_title, inputs.params.data.shift_sources))})"
    names = {"validation": "validation", "test": "test", "shift": shift}
    return {name: inputs.final[key] for key, name in names.items() if inputs.final.get(key)}

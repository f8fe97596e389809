"""The tables of the explorations, with the study's numbers beside ours."""

from echosynth.config.explore import Reference
from echosynth.report.explorations.inputs import (
    CLASSES,
    KINDS,
    METHODS,
    RECIPE_SEEDS,
    RECIPES,
    SCHEDULES,
    STUDY_ALONG,
    STUDY_METHODS,
    STUDY_VARIANTS,
    VARIANCES,
    Explorations,
)
from echosynth.report.formatting import count, decimal, distance, listing
from echosynth.report.tables import Json, Table

OTHER_DATA = (
    "The study's numbers were measured on another data set, at 112 pixels, on Inception features: compare the order of "
    "the rows, not the values."
)
FLOOR = (
    "Floor: what other real images reach at the same n, or at that in the header. ± is the standard deviation over "
    "draws; where all were taken, there is none. Lower is closer."
)
STUDY_COUNTS = (1_000, 10_000)


def _with_sd(scores: Json, prefix: str = "") -> str:
    return distance(scores[f"{prefix}frechet"], scores[f"{prefix}frechet_sd"])


def _distances(results: Explorations, cell: Json) -> list[str]:
    """Give distance and floor at every count and kind of features."""
    pairs = [
        (distances[kind], prefix)
        for distances in cell["distances"]
        for kind in results.kinds
        for prefix in ("", "floor_")
    ]
    return [_with_sd(scores, prefix) for scores, prefix in pairs]


def _header(results: Explorations, cell: Json) -> list[str]:
    """Name those columns; the kind of features is named where there are several, the floor's n where it is smaller."""
    names = []
    for distances in cell["distances"]:
        made, floor = distances["count"], distances["floor_count"]
        for kind in results.kinds:
            aside = f", {kind}" if len(results.kinds) > 1 else ""
            names += [f"Fréchet, n = {count(made)}{aside}"]
            names += [f"floor{aside}" if floor == made else f"floor, n = {count(floor)}{aside}"]
    return names


def real_images(reference: Reference, number: int) -> str:
    """Name the real images that an entry of `explore.reference` stands for, of which there were so many."""
    split, _, whole = reference.partition("-")
    named = {"validation": "validation images", "train": "training images"}[split]
    return f"all {count(number)} real {named}" if whole else f"as many real {named}"


def _features(results: Explorations, reference: Reference, cell: Json) -> str:
    kinds = listing(KINDS[kind] for kind in results.kinds)
    return f"Distances on {kinds} of n samples to {real_images(reference, cell['distances'][-1]['real_count'])}."


def methods(results: Explorations) -> Table:
    """Show the study's table 5.1 made anew: both methods on two and on four classes."""
    rows = []
    for method, title in METHODS.items():
        for classes in CLASSES:
            cell = results.cells[f"{method}-{classes}"]
            size = [listing(cell["views"]) if classes == "2" else classes, count(cell["parameters"])]
            rows.append([title, *size, *_distances(results, cell), decimal(STUDY_METHODS[f"{method}-{classes}"], 2)])
    any_cell = results.cells["improved-4"]
    header = ["method", "classes", "weights", *_header(results, any_cell), "study, n = 1,000"]
    return Table(
        "Table 5.1: Medfusion's route against Improved Diffusion's",
        header,
        rows,
        labels=2,
        note=f"{_features(results, results.params.explore.reference.methods, any_cell)} {FLOOR} {OTHER_DATA} "
        f"{_two_classes(results)}",
    )


def _two_classes(results: Explorations) -> str:
    """Warn that with fewer views there may be fewer real images, and n is then smaller than the header says."""
    found = results.cells["improved-2"]["distances"]
    sizes, real = listing(count(each["count"]) for each in found), listing(count(each["real_count"]) for each in found)
    against = "" if sizes == real else f" against {count(found[-1]['real_count'])}"
    if (floors := listing(count(each["floor_count"]) for each in found)) != sizes:
        against += f" (floor: {floors})"
    return f"Two and four classes have different real sets: do not compare them; with two, n is {sizes}{against}."


def reconstructions(results: Explorations) -> Table:
    """Show what the autoencoder of the latent route keeps of a held-out image."""
    rows = []
    for classes in CLASSES:
        cell = results.cells[f"medfusion-{classes}"]
        name = listing(cell["views"]) if classes == "2" else classes
        rows.append([name, f"{cell['reconstruction_psnr']:.1f} dB", f"{cell['reconstruction_mae']:.1f}"])
    return Table(
        "The autoencoder behind Medfusion's route",
        ["classes", "peak signal-to-noise ratio", "mean absolute error (grey levels of 255)"],
        rows,
        note="On real validation images, encoded and decoded: the latent route cannot be sharper than this.",
    )


def variants(results: Explorations) -> Table:
    """Show the study's table 5.2 made anew: variances and schedules of Improved Diffusion."""
    rows = []
    for variance, title in VARIANCES.items():
        for schedule in SCHEDULES:
            cell, study = results.cells[f"{variance}-{schedule}"], STUDY_VARIANTS[f"{variance}-{schedule}"]
            rows.append([title, schedule, *_distances(results, cell), *(decimal(value, 2) for value in study)])
    any_cell = results.cells["learned-linear"]
    header = ["variance", "schedule", *_header(results, any_cell)]
    header += [f"study, n = {count(n)}" for n in STUDY_COUNTS]
    note = f"{_features(results, results.params.explore.reference.variants, any_cell)} {FLOOR} {OTHER_DATA}"
    return Table("Table 5.2: variance and noise schedule of Improved Diffusion", header, rows, labels=2, note=note)


def _real_and_floor(reference: Reference, distances: Json) -> str:
    """Name what samples stand against and, as the subject of a sentence, the images of the floor."""
    floor = distances["floor_count"]
    number = "as many" if distances["count"] == distances["real_count"] == floor else count(floor)
    return f"{real_images(reference, distances['real_count'])}; {number} other real images"


def recipes(results: Explorations) -> Table:
    """Show the recipes, all seeds beside each other."""
    rows = []
    for name, seeds in results.recipes.items():
        scores = [[cell["distances"][-1][kind] for cell in seeds] for kind in results.kinds]
        distances = [_with_sd(one) for kind in scores for one in kind]
        rows.append([RECIPES[name], *distances, *(f"{one['kernel']:.3f}" for kind in scores for one in kind)])
    last = next(iter(results.recipes.values()))[0]["distances"][-1]
    header = ["recipe"]
    for what in ("Fréchet", "kernel"):
        for kind in results.kinds:
            header += [f"{what}, {KINDS[kind]}, seed {seed}" for seed in RECIPE_SEEDS]
    floors = listing(
        f"{_with_sd(last[kind], 'floor_')} and {last[kind]['floor_kernel']:.3f} on {KINDS[kind]}"
        for kind in results.kinds
    )
    note = (
        f"{count(last['count'])} samples against {_real_and_floor(results.params.explore.reference.variants, last)} "
        f"reach {floors}. A difference as large as that between two seeds says nothing. Lower is closer."
    )
    return Table("Recipes at equal steps", header, rows, note=note)


def curve(results: Explorations) -> Table:
    """Show the numbers of figure 5.1."""
    rows = []
    for point in results.curve["points"]:
        floor = point["floor"] or {}
        distances = [scores.get(kind) for kind in results.kinds for scores in (point, floor)]
        rows.append([count(point["count"]), *("–" if value is None else distance(value) for value in distances)])
    itself = listing(f"{max(0.0, value):.3f} on {KINDS[kind]}" for kind, value in results.curve["self"].items())
    header = ["samples"]
    for kind in results.kinds:
        header += [f"Fréchet, {KINDS[kind]}", "floor"]
    reference, number = results.params.explore.reference.curve, results.curve["real"]
    whole = real_images(reference, number)
    real = whole if reference.endswith("-all") else f"a fixed set of {whole.replace('as many', count(number))}"
    note = (
        f"Against {real}. Floor: as many other real images, where there are so many. Check: the whole set against "
        f"itself gives {itself}. The study found its curve flat from about 10,000 samples, against 10,000 real images "
        "of another data set."
    )
    return Table("Figure 5.1 in numbers", header, rows, labels=0, note=note)


def along(results: Explorations) -> Table:
    """Show the numbers of figure 5.2."""
    rows = [
        [
            count(point["step"]),
            *(_with_sd(point[kind]) for kind in results.kinds),
            *(decimal(point[name], 4) for name in ("loss", "validation_loss")),
        ]
        for point in results.along["points"]
    ]
    last = results.along["points"][-1]
    floors = listing(f"{distance(last[kind]['floor_frechet'])} on {KINDS[kind]}" for kind in results.kinds)
    study = listing(f"{value:.2f} at {count(step)}" for step, value in STUDY_ALONG.items())
    note = (
        f"{count(last['count'])} samples against {_real_and_floor(results.params.explore.reference.along, last)} reach "
        f"{floors} (floor). The training loss is the mean since the step above. The study's training of 72,000 steps "
        f"on another data set: {study} steps."
    )
    header = ["step", *(f"Fréchet, {KINDS[kind]}" for kind in results.kinds), "training loss", "validation loss"]
    return Table("Figure 5.2 in numbers", header, rows, note=note)


def solvers(results: Explorations) -> list[Table]:
    """Show the distances by solver and evaluations, a table for each kind of features."""
    points = results.solvers["points"]
    tables = []
    for kind in results.kinds:
        rows: dict[str, list[str]] = {}
        for point in points:
            rows.setdefault(point["solver"], [point["solver"]]).append(_with_sd(point[kind]))
        note = (
            f"{count(points[0]['count'])} samples against "
            f"{_real_and_floor(results.params.explore.reference.solvers, points[0])} reach "
            f"{_with_sd(points[0][kind], 'floor_')} (floor). heun evaluates the network twice a step but once in "
            "the last, so that it uses one less than an even number."
        )
        asked = dict.fromkeys(point["asked"] for point in points)
        caption = f"Fréchet distance on {KINDS[kind]}, by solver and most evaluations of the network for an image"
        tables.append(Table(caption, ["solver", *map(count, asked)], list(rows.values()), labels=1, note=note))
    return tables


def times(measured: Json) -> Table:
    """Show the clock times of the solvers."""
    rows = [
        [point["solver"], count(point["evaluations"]), f"{point['images_per_second']:.1f}"]
        for point in measured["points"]
    ]
    header = ["solver", "network evaluations an image", "images a second"]
    note = f"{measured['device']}; each measured once, on {count(measured['images'])} images."
    return Table("Sampling speed", header, rows, note=note)

"""The tables of the explorations, with the study's numbers beside ours."""

from echosynth.report.explorations.inputs import (
    CLASSES,
    KINDS,
    METHODS,
    SCHEDULES,
    STUDY_ALONG,
    STUDY_METHODS,
    STUDY_VARIANTS,
    VARIANCES,
    Explorations,
    Json,
)
from echosynth.report.study.tables import Table
from echosynth.report.words import count, distance, listing, number

OTHER_DATA = (
    "The study's numbers were measured on another data set, at 112 pixels, on Inception features: compare the order of "
    "the rows, not the values."
)
FLOOR = "Floor: what other real images reach at the same n. ± is the standard deviation over draws. Lower is closer."
STUDY_COUNTS = (1_000, 10_000)


def _with_spread(found: Json, prefix: str = "") -> str:
    return distance(found[f"{prefix}frechet"], found[f"{prefix}frechet_sd"])


def _distances(found: Explorations, cell: Json) -> list[str]:
    """Distance and floor at every count and kind of features."""
    pairs = [
        (distances[kind], prefix)
        for distances in cell["distances"]
        for kind in found.kinds
        for prefix in ("", "floor_")
    ]
    return [_with_spread(scores, prefix) for scores, prefix in pairs]


def _header(found: Explorations, cell: Json) -> list[str]:
    """Names of those columns; the kind of features is named where there are several."""
    names = []
    for distances in cell["distances"]:
        for kind in found.kinds:
            aside = f", {kind}" if len(found.kinds) > 1 else ""
            names += [f"Fréchet, n = {count(distances['count'])}{aside}", f"floor{aside}"]
    return names


def _features(found: Explorations) -> str:
    return (
        f"Distances on {listing(KINDS[kind] for kind in found.kinds)} to real {found.params.explore.reference} images."
    )


def methods(found: Explorations) -> Table:
    """Table 5.1."""
    rows = []
    for method, title in METHODS.items():
        for classes in CLASSES:
            cell = found.cells[f"{method}-{classes}"]
            size = [listing(cell["views"]) if classes == "2" else classes, count(cell["parameters"])]
            rows.append([title, *size, *_distances(found, cell), number(STUDY_METHODS[f"{method}-{classes}"], 2)])
    any_cell = found.cells["improved-4"]
    header = ["method", "classes", "weights", *_header(found, any_cell), "study, n = 1,000"]
    return Table(
        "Table 5.1: Medfusion's route against Improved Diffusion's",
        header,
        rows,
        labels=2,
        note=f"{_features(found)} {FLOOR} {OTHER_DATA} {_two_classes(found)}",
    )


def _two_classes(found: Explorations) -> str:
    """With fewer views there may be fewer real images, and n is then smaller than the header of the table says."""
    sizes = listing(count(distances["count"]) for distances in found.cells["improved-2"]["distances"])
    return f"Two and four classes have different real sets: do not compare them; with two, n is {sizes}."


def reconstructions(found: Explorations) -> Table:
    """What the autoencoder of the latent route keeps of a held-out image."""
    rows = []
    for classes in CLASSES:
        cell = found.cells[f"medfusion-{classes}"]
        name = listing(cell["views"]) if classes == "2" else classes
        rows.append([name, f"{cell['reconstruction_psnr']:.1f} dB", f"{cell['reconstruction_mae']:.1f}"])
    return Table(
        "The autoencoder behind Medfusion's route",
        ["classes", "peak signal-to-noise ratio", "mean absolute error (grey levels of 255)"],
        rows,
        note="On real validation images, encoded and decoded: the latent route cannot be sharper than this.",
    )


def variants(found: Explorations) -> Table:
    """Table 5.2."""
    rows = []
    for variance, title in VARIANCES.items():
        for schedule in SCHEDULES:
            cell, study = found.cells[f"{variance}-{schedule}"], STUDY_VARIANTS[f"{variance}-{schedule}"]
            rows.append([title, schedule, *_distances(found, cell), *(number(value, 2) for value in study)])
    header = ["variance", "schedule", *_header(found, found.cells["learned-linear"])]
    header += [f"study, n = {count(n)}" for n in STUDY_COUNTS]
    note = f"Each n against as many real images. {_features(found)} {FLOOR} {OTHER_DATA}"
    return Table("Table 5.2: variance and noise schedule of Improved Diffusion", header, rows, labels=2, note=note)


def curve(found: Explorations) -> Table:
    """Numbers of figure 5.1."""
    rows = []
    for point in found.curve["points"]:
        floor = point["floor"] or {}
        cells = [distance(scores[kind]) if kind in scores else "–" for kind in found.kinds for scores in (point, floor)]
        rows.append([count(point["count"]), *cells])
    itself = listing(f"{max(0.0, value):.3f} on {KINDS[kind]}" for kind, value in found.curve["self"].items())
    header = ["samples"]
    for kind in found.kinds:
        header += [f"Fréchet, {KINDS[kind]}", "floor"]
    note = (
        f"Against a fixed set of {count(found.curve['real'])} real {found.params.explore.reference} images. Floor: as "
        f"many other real images, where there are so many. Check: the whole set against itself gives {itself}. The "
        "study found its curve flat from about 10,000 samples, against 10,000 real images of another data set."
    )
    return Table("Figure 5.1 in numbers", header, rows, labels=0, note=note)


def along(found: Explorations) -> Table:
    """Numbers of figure 5.2."""
    rows = [
        [count(point["step"]), *(_with_spread(point[kind]) for kind in found.kinds)] for point in found.along["points"]
    ]
    last = found.along["points"][-1]
    floors = listing(f"{distance(last[kind]['floor_frechet'])} on {KINDS[kind]}" for kind in found.kinds)
    study = listing(f"{value:.2f} at {count(step)}" for step, value in STUDY_ALONG.items())
    note = (
        f"{count(last['count'])} images a side; the floor of other real images is {floors}. The study's training of "
        f"72,000 steps on another data set: {study} steps."
    )
    return Table(
        "Figure 5.2 in numbers", ["step", *(f"Fréchet, {KINDS[kind]}" for kind in found.kinds)], rows, note=note
    )


def solvers(found: Explorations) -> list[Table]:
    """Solver x evaluations, a table for each kind of features."""
    points = found.solvers["points"]
    tables = []
    for kind in found.kinds:
        rows: dict[str, list[str]] = {}
        for point in points:
            rows.setdefault(point["solver"], [point["solver"]]).append(_with_spread(point[kind]))
        note = (
            f"{count(points[0]['count'])} images a side; other real images reach "
            f"{_with_spread(points[0][kind], 'floor_')} (floor). heun evaluates the network twice a step but once in "
            "the last, so that it uses one less than an even number."
        )
        asked = dict.fromkeys(point["asked"] for point in points)
        caption = f"Fréchet distance on {KINDS[kind]}, by solver and most evaluations of the network for an image"
        tables.append(Table(caption, ["solver", *map(count, asked)], list(rows.values()), labels=1, note=note))
    return tables


def times(measured: Json) -> Table:
    """Clock times of the solvers."""
    rows = [
        [point["solver"], count(point["evaluations"]), f"{point['images_per_second']:.1f}"]
        for point in measured["points"]
    ]
    header = ["solver", "network evaluations an image", "images a second"]
    note = f"{measured['device']}; each measured once, on {count(measured['images'])} images."
    return Table("Sampling speed", header, rows, note=note)

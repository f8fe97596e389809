"""Real against synthetic images by size and architecture: tables 5.3, 5.4, A.1, A.2, figures 0.1, 5.11, 5.12, 5.15 and
5.16."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from echosynth.report.formatting import count, decimal
from echosynth.report.study.figures import classifier_figures
from echosynth.report.tables import Json, Table
from echosynth.report.thesis.inputs import Thesis
from echosynth.report.thesis.section import Matrix, Section, judged

HEADER = ["data", "real images", "architecture", "AUPRC", "F1", "loss"]
THEIRS = ["thesis: size", "AUPRC", "F1", "loss", "time"]


def sections(thesis: Thesis) -> list[Section]:
    """Give the sections about them."""
    return [_largest(thesis), _sizes(thesis), _matrices(thesis)]


def _largest(thesis: Thesis) -> Section:
    rows = [row for row in _rows(thesis, "5.3") if row[0] == "real, scratch" and row[6] == "32k"]
    rows += _frozen_rows(thesis, "5.3")
    note = "The thesis had one seed; ours are means over the seeds. Times of ours stand on the page of times."
    return Section(
        ("Table 5.3",),
        "Architectures on all real images, from scratch and with frozen ImageNet weights",
        "On all 32,000 real images networks trained from scratch (AUPRC 0.978 to 0.988) are far ahead of frozen "
        "ImageNet networks with a new last layer (0.843 to 0.895).",
        _frozen_verdict(thesis),
        tables=[Table("On all real images", [*HEADER, *THEIRS], rows, labels=3, note=note)],
    )


def _sizes(thesis: Thesis) -> Section:
    note = (
        "The thesis's rows stand beside subsets of the same size; beside others its smallest stands with our smallest "
        "and its largest with ours."
    )
    scratch = Table("From scratch", [*HEADER, *THEIRS], _rows(thesis, "5.4"), labels=3, note=note)
    frozen = [
        Table(f"Frozen ImageNet weights, {data} images", [*HEADER, *THEIRS], rows, labels=3, note=note)
        for table, data in (("A.1", "real"), ("A.2", "synthetic"))
        if (rows := _frozen_rows(thesis, table))
    ]
    return Section(
        ("Table 5.4", "Table A.1", "Table A.2", "Figure 5.11", "Figure 5.12"),
        "Real against synthetic images by the number of real ones",
        "Synthetic images help most where real ones are few (VGG16, 1,000 real images: AUPRC 0.64 to 0.93) and make no "
        "difference from 16,000 on; VGG16 is the best on every synthetic set, though not on the smallest real one.",
        _differences(thesis),
        figures=classifier_figures(thesis.main),
        tables=[scratch, *frozen],
    )


def _matrices(thesis: Thesis) -> Section:
    main = thesis.main
    smallest = next(iter(main.sizes))
    found = [
        Matrix(f"{architecture}, {cell['arm']}", cell["confusion"], cell["confusion_normalised"])
        for architecture in main.params.arms.architectures
        for cell in main.cells(smallest, architecture)
        if cell["arm"] in ("real", "synthetic")
    ]
    verdict = []
    for view in ("A2C", "PSAX"):
        recalls = [(main.cell(smallest, arm) or {"recall": {}})["recall"].get(view) for arm in ("real", "synthetic")]
        verdict.append(f"Recall of {view} at {count(main.sizes[smallest])} real images: {_pair(*recalls)}.")
    return Section(
        ("Figure 0.1", "Figure 5.15", "Figure 5.16"),
        "Rare views on the smallest subset",
        "VGG16 trained on 1,000 real images finds no A2C and no PSAX; trained on synthetic images it finds 83 % and "
        "77 % of them.",
        verdict,
        matrices=found,
    )


def _pair(real: float | None, synthetic: float | None) -> str:
    return f"{decimal(real)} trained on real, {decimal(synthetic)} on synthetic images"


def _rows(thesis: Thesis, table: str) -> list[list[str]]:
    """Our classifiers trained from scratch, with the thesis's beside."""
    main, rows = thesis.main, []
    for arm in ("real", "synthetic"):
        for subset, images in main.sizes.items():
            for architecture in thesis.params.arms.architectures:
                if cell := main.cell(subset, arm, architecture):
                    size = their_size(subset, main.sizes)
                    theirs = _theirs(thesis, table, arm, "scratch", size, architecture)
                    rows.append([f"{arm}, scratch", count(images), architecture, *_scores(cell), *theirs])
    return rows


def _frozen_rows(thesis: Thesis, table: str) -> list[list[str]]:
    """Our frozen networks, and fine-tuned ones, with the thesis's beside; none where none was trained."""
    rows = []
    for subset, cell in _frozen_cells(thesis):
        size = their_size(subset, thesis.main.sizes)
        if (table == "5.3" and (cell["arm"] != "real" or size != "32k")) or (
            table in ("A.1", "A.2") and cell["arm"] != {"A.1": "real", "A.2": "synthetic"}[table]
        ):
            continue
        network, _, way = cell["architecture"].partition(" ")
        theirs = _theirs(thesis, table, cell["arm"], way, size, network)
        words = [f"{cell['arm']}, {way}", count(cell["real_images"]), network]
        rows.append([*words, *_scores(cell), *theirs])
    return rows


def _frozen_cells(thesis: Thesis) -> Iterator[tuple[str, Json]]:
    for subset, result in thesis.compared("frozen").items():
        for cell in result["cells"]:
            yield subset, cell


def _scores(cell: Json) -> list[str]:
    return [decimal(cell["macro_auprc"]), decimal(cell["macro_f1"]), decimal(cell["loss"])]


def their_size(subset: str, sizes: dict[str, int]) -> str:
    """The thesis's size to stand beside one of ours: the same, else smallest beside smallest and largest beside
    largest."""
    images = sizes[subset]
    if images % 1000 == 0 and images // 1000 in (1, 2, 4, 8, 16):
        return f"{images // 1000}k"
    places = list(sizes)
    return "32k" if subset == places[-1] else "1k" if subset == places[0] else ""


def published(
    thesis: Thesis, table: str, data: str, weights: str, size: str, architecture: str
) -> "pd.Series[Any] | None":
    """Give the thesis's row in one of its tables; None where it has none."""
    known = thesis.published
    mine = known[(known["data"] == data) & (known["weights"] == weights) & (known["architecture"] == architecture)]
    mine = mine[(mine["size"] == size) & (mine["table"] == table)]
    return None if mine.empty else mine.iloc[0]


def _theirs(thesis: Thesis, table: str, data: str, weights: str, size: str, architecture: str) -> list[str]:
    """Cells of the thesis's row; dashes where it has none."""
    row = published(thesis, table, data, weights, size, architecture)
    if row is None:
        return ["–"] * len(THEIRS)
    return [size, *(decimal(row[key]) for key in ("auprc", "f1", "loss")), f"{row['minutes']} min"]


def _differences(thesis: Thesis) -> list[str]:
    """Synthetic less real at each size."""
    sentences = []
    for architecture in thesis.params.arms.architectures:
        for subset, images in thesis.main.sizes.items():
            cell = thesis.main.cell(subset, "synthetic", architecture)
            versus = cell and cell["versus"].get("real")
            if versus:
                what = f"{architecture}, {count(images)} real images: synthetic less real, macro AUPRC"
                sentences.append(judged(what, versus["macro_auprc"], versus["macro_auprc_interval"]))
    return sentences


def _frozen_verdict(thesis: Thesis) -> list[str]:
    cells = [
        cell for _, cell in _frozen_cells(thesis) if cell["arm"] == "real" and cell["architecture"].endswith(" frozen")
    ]
    if not cells:
        return ["No frozen network was trained: no file with pretrained weights is named (study.pretrained)."]
    most = max(cell["real_images"] for cell in cells)
    best = max((cell for cell in cells if cell["real_images"] == most), key=lambda cell: cell["macro_auprc"])
    scratch = [
        cell
        for architecture in thesis.params.arms.architectures
        if (cell := thesis.main.cell(list(thesis.main.sizes)[-1], "real", architecture))
    ]
    if not scratch:
        return ["No classifier was trained from scratch on real images alone (arms.real)."]
    own = max(scratch, key=lambda cell: cell["macro_auprc"])
    return [
        f"On {count(most)} real images the best network from scratch has AUPRC {decimal(own['macro_auprc'])} "
        f"({own['architecture']}), the best frozen one {decimal(best['macro_auprc'])} ({best['architecture']})."
    ]

"""The data and pictures of the thesis: tables 3.1, 3.2 and 3.4, figures 2.2, 3.4, 3.5, 5.4, 5.5 and A.1."""

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure

from echosynth.common.arrays import Image
from echosynth.common.views import VIEWS
from echosynth.diffusion.forward import ForwardProcess
from echosynth.diffusion.options import Schedule
from echosynth.diffusion.schedules import betas
from echosynth.imagesets.dataset import LabelledImages
from echosynth.imagesets.store import Images
from echosynth.imagesets.tiles import contact_grid
from echosynth.report.drawing import WIDTH, PageFigure, embedded, page_figure
from echosynth.report.formatting import decimal
from echosynth.report.tables import images_by_split_and_source, images_by_split_and_view, training_subsets
from echosynth.report.thesis.inputs import Thesis
from echosynth.report.thesis.section import Section
from echosynth.sources.registry import find_source
from echosynth.thesis.cells import SCORES
from echosynth.thesis.images import subset, synthetic

SCHEDULES: tuple[Schedule, ...] = ("linear", "cosine")
NOISED = 8  # pictures of a row of figure 2.2
SHOWN_VIEWS = ("A4C", "PLAX")  # of the assessment task
EACH = 6  # real and synthetic pictures of it, as many


def sections(thesis: Thesis) -> list[Section]:
    """Give the sections about them."""
    return [_noising(thesis), _tables(thesis), _cines(thesis), _task(thesis)]


def _cines(thesis: Thesis) -> Section:
    found = []
    for source in thesis.params.data.train_sources:
        file = SCORES / "cine" / source / "frames.png"
        if file.is_file():
            title = find_source(source).title
            words = f"Evenly spaced frames of one recording of {title}"
            sheet = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
            found.append(PageFigure(_enlarged(np.asarray(sheet, np.uint8)), words, f"{words}, from left to right."))
    return Section(
        ("Figure 3.4", "Figure 3.5"),
        "Frames of one recording",
        "A recording is 3 to 4 seconds long, about 50 frames each; one frame of it is drawn at random.",
        [] if found else ["No release of this study holds recordings."],
        figures=found,
    )


def _tables(thesis: Thesis) -> Section:
    split, sources = thesis.main.split, thesis.params.data.train_sources
    return Section(
        ("Table 3.1", "Table 3.2", "Table 3.4"),
        "The four-class set, its splits and subsets",
        "38,915 images of three releases, 80/10/10 by patient; A2C and PSAX are 9 and 7 % of them and come from TMED-2 "
        "alone.",
        ["Tables of this run; sources, screening, frames a recording and the domain-shift set: the data card."],
        tables=[
            images_by_split_and_source(split["by_source"], sources),
            images_by_split_and_view(split["by_view"]),
            training_subsets(split["subsets"], sources),
        ],
    )


def noised(image: Image, schedule: Schedule, timesteps: int) -> Images:
    """Noise a picture at evenly spaced steps, from none to the last.

    Args:
        image: (S, S) uint8.
        schedule: of the noise.
        timesteps: T of the process.

    Returns:
        (`NOISED`, S, S) uint8.
    """
    process = ForwardProcess(betas(schedule, timesteps, False))
    x = torch.from_numpy(image).float().div(127.5).sub(1).expand(NOISED - 1, 1, -1, -1)
    noise = torch.randn(x[:1].shape, generator=torch.Generator().manual_seed(0)).expand_as(x)
    t = torch.linspace(0, timesteps - 1, NOISED).round().long()[1:]
    pictures = process.q_sample(x, t, noise).clamp(-1, 1).add(1).mul(127.5).round().byte().numpy()[:, 0]
    return np.concatenate([image[None], pictures])


def _noising(thesis: Thesis) -> Section:
    timesteps = thesis.params.diffusion.timesteps
    image = next(iter(thesis.main.diffusion.values())).real["A4C"][0]
    rows = np.concatenate([noised(image, schedule, timesteps) for schedule in SCHEDULES])
    late = round(0.75 * timesteps)
    left = [ForwardProcess(betas(schedule, timesteps, False)).alpha[late] for schedule in SCHEDULES]
    words = f"One real picture at t = 0 to {timesteps} in even steps: linear (top) and cosine schedule (bottom)"
    return Section(
        ("Figure 2.2",),
        "Linear and cosine noise schedules",
        "With the linear schedule the last quarter of the steps shows almost nothing but noise.",
        [
            f"At t = {late} of {timesteps} the picture is multiplied by {decimal(left[0])} under the linear and by "
            f"{decimal(left[1])} under the cosine schedule."
        ],
        figures=[PageFigure(_enlarged(contact_grid(rows, NOISED, gap=2)), words, words)],
    )


def _enlarged(sheet: Images) -> str:
    """A sheet of small pictures, large enough for a page."""
    factor = max(1, round(800 / sheet.shape[1]))
    large = cv2.resize(sheet, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    return embedded(cv2.imencode(".png", large)[1].tobytes())


def task_images(thesis: Thesis) -> tuple[LabelledImages, LabelledImages]:
    """Draw the pictures of the assessment task from all real and the synthetic images of the largest subset, as many
    of each."""
    largest = list(thesis.main.sizes)[-1]
    real, made = subset(thesis.params.data.train_sources, largest), synthetic(largest)
    rng = np.random.default_rng(thesis.params.fidelity.seed)
    wanted = [VIEWS.index(view) for view in SHOWN_VIEWS]
    drawn = []
    for images in (real, made):
        rows = np.flatnonzero(np.isin(images.labels, wanted))
        drawn.append(images.rows(rng.choice(rows, min(EACH, len(rows)), replace=False)))
    return drawn[0], drawn[1]


def _task(thesis: Thesis) -> Section:
    real, made = task_images(thesis)
    both = real.joined(made)
    order = np.random.default_rng(thesis.params.fidelity.seed).permutation(len(both.labels))
    mixed = both.rows(order)
    grid = _enlarged(contact_grid(real.images, EACH, gap=2))
    key = "Figure A.1: the key. Synthetic pictures have a thick orange frame"
    return Section(
        ("Figure 5.4", "Figure 5.5", "Figure A.1"),
        "Can you tell them apart?",
        "15 people, two cardiologists among them, told the real one of a pair in 21 of 50 cases (chance: 25).",
        ["No person has been asked here; the key stands below."],
        figures=[
            PageFigure(grid, "Real pictures", "Figure 5.4: real pictures alone"),
            page_figure(
                _framed(mixed, False), "Real and synthetic pictures, mixed", "Figure 5.5: which are synthetic?"
            ),
            page_figure(_framed(mixed, True), f"{key}, and their views", f"{key}."),
        ],
    )


def _framed(images: LabelledImages, key: bool) -> Figure:
    """Draw the pictures side by side, with the key or without."""
    rows = -(-len(images.labels) // EACH)
    figure = Figure(figsize=(WIDTH, (1.25 if key else 1.05) * rows), layout="constrained")
    for place, (image, label) in enumerate(zip(images.images, images.labels, strict=True)):
        axes = figure.add_subplot(rows, EACH, place + 1)
        axes.imshow(image, cmap="gray", vmin=0, vmax=255)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(False)
        made = key and images.rows(np.array([place])).synthetic
        for spine in axes.spines.values():
            spine.set(visible=True, color="#D55E00" if made else "#57606a", linewidth=4 if made else 0.6)
        if key:
            axes.set_title(f"{VIEWS[label]}, {'synthetic' if made else 'real'}", fontsize=7.5, fontweight="normal")
    return figure

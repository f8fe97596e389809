"""The explorations as pages: one that depends on the results alone, one with this machine's clock times."""

import yaml

from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.report.drawing import PageFigure, embedded, look, page_figure
from echosynth.report.explorations import figures, losses, tables
from echosynth.report.explorations.inputs import (
    FOLDER,
    RECIPE_SEEDS,
    RECIPES,
    SCHEDULES,
    VARIANCES,
    Explorations,
    cell_folder,
)
from echosynth.report.formatting import count, distance
from echosynth.report.tables import Json
from echosynth.report.templates import fill

PREDICTED = {
    "epsilon": "the noise",
    "x0": "the clean picture",
    "v": "v, a mixture of noise and picture",
    "flow": "the velocity from picture to noise",
    "edm": "what EDM's preconditioning leaves open",
}


@look()
def render(results: Explorations) -> str:
    """Render the page as HTML, a function of the results alone.

    Raises:
        EchosynthError: naming the first grid of images that is missing.
    """
    params = results.params
    return fill(
        "explorations/page.html",
        phantom=paths.simulated(params.data.root),
        styles=figures.SOLVERS,
        explore=params.explore,
        predicted=PREDICTED[params.diffusion.prediction],
        images=results.cells["improved-4"]["images"],
        size=params.ingest.size,
        views=VIEWS,
        methods=tables.methods(results),
        method_grids=_method_grids(),
        reconstructions=tables.reconstructions(results),
        variants=tables.variants(results),
        variant_grids=_variant_grids(),
        recipes=tables.recipes(results),
        recipe_grids=_recipe_grids(),
        curve_figures=figures.curve_figures(results),
        curve=tables.curve(results),
        along_figures=figures.along_figures(results),
        along=tables.along(results),
        along_grids=_along_grids(results),
        loss_figures=losses.loss_figures(results),
        loss_words=losses.sentences(results),
        solver_figures=figures.solver_figures(results),
        solvers=tables.solvers(results),
        inception_missing="inception" not in results.kinds,
        parameters=yaml.safe_dump({"explore": params.explore.model_dump()}, sort_keys=False),
    )


@look()
def render_times(results: Explorations, measured: Json) -> str:
    """Render the page of clock times, which differ from run to run.

    Args:
        results: of the explorations.
        measured: content of reports/explore_times.json.
    """
    alt = "Frechet distance of each solver against milliseconds an image; numbers in the tables"
    caption = f"{measured['device']}. Distances as in the explorations."
    return fill(
        "explorations/times.html",
        styles=figures.SOLVERS,
        quality_by_time=page_figure(figures.times(results, measured), alt, caption),
        times=tables.times(measured),
    )


def _method_grids() -> list[PageFigure]:
    names = {"medfusion-4": "Medfusion's route, four classes", "improved-4": "Improved Diffusion's route, four classes"}
    folders = {cell_folder(name).name: words for name, words in names.items()}
    return [_grid(f"{name}/grid.png", f"Synthetic images: {words}", words) for name, words in folders.items()]


def _variant_grids() -> list[PageFigure]:
    grids = []
    for variance, title in VARIANCES.items():
        for schedule in SCHEDULES:
            words = f"Variance {title}, {schedule} schedule"
            grids.append(_grid(f"{variance}-{schedule}/grid.png", f"Synthetic images: {words}", words))
    return grids


def _recipe_grids() -> list[PageFigure]:
    return [
        _grid(f"{name}-{RECIPE_SEEDS[0]}/grid.png", f"Synthetic images: {words}", words)
        for name, words in RECIPES.items()
    ]


def _along_grids(results: Explorations) -> list[PageFigure]:
    grids = [_grid("along/real.png", "Real images of the training subset", "REAL, of the training subset")]
    for row in results.along["points"]:
        words = f"Step {count(row['step'])}, Fréchet distance {distance(row['echo']['frechet'])}"
        grids.append(_grid(f"along/{row['grid']}", f"Synthetic images after step {row['step']}", words))
    return grids


def _grid(name: str, alt: str, caption: str) -> PageFigure:
    """Make a grid of images that a stage wrote below reports/explore part of the page.

    Raises:
        EchosynthError: it is missing.
    """
    path = FOLDER / name
    if not path.is_file():
        raise EchosynthError(f"{path} is missing; run `dvc repro explore/dvc.yaml` to make it")
    return PageFigure(embedded(path.read_bytes()), alt, caption)

"""The explorations as pages: one that depends on the results alone, one with this machine's clock times."""

import yaml

from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.report.drawing import Picture, embedded, look, rendered
from echosynth.report.explorations import figures as explore_figures
from echosynth.report.explorations import tables as explore_tables
from echosynth.report.explorations.inputs import FOLDER, SCHEDULES, VARIANCES, Explorations, Json, cell_folder
from echosynth.report.templates import template
from echosynth.report.words import count, distance

PREDICTED = {"epsilon": "the noise", "x0": "the clean picture", "v": "v, a mixture of noise and picture"}


def _picture(name: str, alt: str, caption: str) -> Picture:
    """A picture that a stage wrote below reports/explore.

    Raises:
        EchosynthError: it is missing.
    """
    path = FOLDER / name
    if not path.is_file():
        raise EchosynthError(f"{path} is missing; run `dvc repro explore/dvc.yaml` to make it")
    return Picture(embedded(path.read_bytes()), alt, caption)


def _along_grids(found: Explorations) -> list[Picture]:
    grids = [_picture("along/real.png", "Real images of the training subset", "REAL, of the training subset")]
    for point in found.along["points"]:
        words = f"Step {count(point['step'])}, Fréchet distance {distance(point['echo']['frechet'])}"
        grids.append(_picture(f"along/{point['grid']}", f"Synthetic images after step {point['step']}", words))
    return grids


def _variant_grids(found: Explorations) -> list[Picture]:
    grids = []
    for variance, title in VARIANCES.items():
        for schedule in SCHEDULES:
            words = f"Variance {title}, {schedule} schedule"
            grids.append(_picture(f"{variance}-{schedule}/grid.png", f"Synthetic images: {words}", words))
    return grids


def _method_grids(found: Explorations) -> list[Picture]:
    names = {"medfusion-4": "Medfusion's route, four classes", "improved-4": "Improved Diffusion's route, four classes"}
    grids = {cell_folder(name).name: words for name, words in names.items()}
    return [_picture(f"{name}/grid.png", f"Synthetic images: {words}", words) for name, words in grids.items()]


def render(found: Explorations) -> str:
    """The page as HTML, a function of the results alone.

    Raises:
        EchosynthError: naming the first picture that is missing.
    """
    params = found.params
    with look():
        return template("explorations/page.html").render(
            phantom=paths.simulated(params.data.root),
            styles=explore_figures.SOLVERS,
            explore=params.explore,
            predicted=PREDICTED[params.diffusion.prediction],
            images=found.cells["improved-4"]["images"],
            size=params.ingest.size,
            views=VIEWS,
            methods=explore_tables.methods(found),
            method_grids=_method_grids(found),
            reconstructions=explore_tables.reconstructions(found),
            variants=explore_tables.variants(found),
            variant_grids=_variant_grids(found),
            curve_pictures=explore_figures.pictures(found, "curve"),
            curve=explore_tables.curve(found),
            along_pictures=explore_figures.pictures(found, "along"),
            along=explore_tables.along(found),
            along_grids=_along_grids(found),
            solver_pictures=explore_figures.pictures(found, "solvers"),
            solvers=explore_tables.solvers(found),
            inception_missing="inception" not in found.kinds,
            parameters=yaml.safe_dump({"explore": params.explore.model_dump()}, sort_keys=False),
        )


def render_times(found: Explorations, measured: Json) -> str:
    """The page of clock times, which differ from run to run.

    Args:
        found: the results.
        measured: content of reports/explore_times.json.
    """
    with look():
        alt = "Frechet distance of each solver against milliseconds an image; numbers in the tables"
        caption = f"{measured['device']}. Distances as in the explorations."
        picture = Picture(rendered(explore_figures.times(found, measured)), alt, caption)
        return template("explorations/times.html").render(
            styles=explore_figures.SOLVERS, pictures_=[picture], times=explore_tables.times(measured)
        )

"""Read what the explorations wrote; the study's own numbers stand here to be shown beside them."""

from dataclasses import dataclass
from pathlib import Path

from echosynth.common.files import read_json
from echosynth.config.parameters import Params
from echosynth.report.tables import Json

FOLDER = Path("reports/explore")
TIMES = Path("reports/explore_times.json")
METHODS = {"medfusion": "Medfusion's route (latent)", "improved": "Improved Diffusion's route (pixel)"}
CLASSES = ("2", "4")
VARIANCES = {"learned": "learned", "fixed": "fixed"}
SCHEDULES = ("linear", "cosine")
RECIPES = {
    "min-snr": "v, min-SNR",
    "edm": "EDM, log-normal noise levels",
    "flow": "rectified flow, logit-normal",
    "gaussian": "Gaussian preconditioning, v, loss edm",
    "gaussian-flow": "the same, rectified flow",
    "gaussian-unshuffle": "the same as v, bare pixels in place of Haar coefficients",
    "gaussian-told": "the same as v, half of the images augmented, and told",
}
RECIPE_SEEDS = ("1", "2")
KINDS = {"echo": "echo features", "inception": "Inception features"}

# The study's tables 5.1 (1,000 samples) and 5.2 (1,000 and 10,000 samples), and what its figure 5.2 says in words.
STUDY_METHODS = {"medfusion-2": 95.89, "improved-2": 30.48, "medfusion-4": 78.16, "improved-4": 47.46}
STUDY_VARIANTS = {
    "learned-linear": (16.03, 4.56),
    "learned-cosine": (20.87, 9.07),
    "fixed-linear": (21.33, 9.20),
    "fixed-cosine": (17.47, 6.54),
}
SAME_TRAINING = {"improved-4": "learned-linear"}  # a row of table 5.1 that is one of table 5.2 too
STUDY_ALONG = {9_000: 379.36, 18_000: 400.78, 63_000: 12.79, 72_000: 12.20}


@dataclass(frozen=True)
class Explorations:
    """All that the page shows.

    Attributes:
        params: of the project.
        cells: name -> metrics of each training of tables 5.1 and 5.2, with the distances of the table that names it so.
        recipes: name of each recipe -> metrics by seed.
        curve: figure 5.1.
        along: figures 5.2 and 5.3.
        solvers: solver x evaluations.
        kinds: features that distances were measured on.
    """

    params: Params
    cells: dict[str, Json]
    recipes: dict[str, list[Json]]
    curve: Json
    along: Json
    solvers: Json
    kinds: list[str]


def cell_folder(name: str) -> Path:
    """Give the folder of the result of a row of table 5.1 or 5.2."""
    return FOLDER / SAME_TRAINING.get(name, name)


def _read_cell(name: str, table: str) -> Json:
    """Read the result of a training, of its distances those for one table: an entry of `explore.reference`."""
    cell = read_json(cell_folder(name) / "metrics.json")
    return cell | {"distances": cell["distances"][table]}


def read_explorations(params: Params) -> Explorations:
    """Read reports/explore.

    Raises:
        EchosynthError: naming the first file that is missing or damaged.
    """
    cells = {name: _read_cell(name, "methods") for name in STUDY_METHODS}
    cells |= {name: _read_cell(name, "variants") for name in STUDY_VARIANTS}
    recipes = {name: [_read_cell(f"{name}-{seed}", "variants") for seed in RECIPE_SEEDS] for name in RECIPES}
    curve, along, solvers = (read_json(FOLDER / name / "metrics.json") for name in ("curve", "along", "solvers"))
    kinds = [kind for kind in KINDS if kind in curve["self"]]
    return Explorations(params, cells, recipes, curve, along, solvers, kinds)


def summary(results: Explorations) -> dict[str, float]:
    """Give the scores by which executions of the explorations are compared: largest count, echo features."""
    scores = {}
    for name, cell in results.cells.items():
        scores[f"explore.{name}.frechet"] = cell["distances"][-1]["echo"]["frechet"]
    for name, seeds in results.recipes.items():
        distances = [cell["distances"][-1]["echo"]["frechet"] for cell in seeds]
        scores[f"explore.{name}.frechet"] = sum(distances) / len(distances)
    scores["explore.curve.frechet"] = results.curve["points"][-1]["echo"]
    scores["explore.along.frechet"] = results.along["points"][-1]["echo"]["frechet"]
    for point in results.solvers["points"]:
        # "dpm++" is no name of a metric.
        name = point["solver"].replace("+", "p")
        scores[f"explore.{name}-{point['evaluations']}.frechet"] = point["echo"]["frechet"]
    return scores

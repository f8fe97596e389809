"""The trainings of tables 5.1 and 5.2 and the recipes: what each changes in section `diffusion` of the parameters."""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from echosynth.common.errors import EchosynthError, OptionError
from echosynth.common.views import VIEW_INDEX, VIEWS
from echosynth.config.parameters import Params
from echosynth.diffusion.options import DiffusionParams, SampleParams, SolverParams, check_levels

Changes = dict[str, Any]

LEARNED: Changes = {"variance": "learned", "loss": "hybrid"}
FIXED: Changes = {"variance": "fixed-large", "loss": "simple"}  # what Improved Diffusion does without learn_sigma
# What is predicted stays as section `diffusion` says: noise in the study, which few steps do not suffice for.
PLAIN: Changes = {"preconditioning": "none", "patching": "unshuffle", "zero_terminal_snr": False}
IMPROVED: Changes = {"space": "pixel"} | PLAIN
MEDFUSION: Changes = {"space": "latent", "unshuffle": 1} | PLAIN
TWO, FOUR = ("A4C", "PLAX"), VIEWS

CELLS: dict[str, tuple[Changes, tuple[str, ...]]] = {
    # Table 5.1: method and number of classes. Improved Diffusion's on four is the first of table 5.2.
    "improved-2": (IMPROVED | LEARNED | {"schedule": "linear"}, TWO),
    "medfusion-2": (MEDFUSION | {"variance": "fixed-small", "loss": "simple", "schedule": "linear"}, TWO),
    "medfusion-4": (MEDFUSION | {"variance": "fixed-small", "loss": "simple", "schedule": "linear"}, FOUR),
    # Table 5.2: variance and schedule of Improved Diffusion.
    "learned-linear": (IMPROVED | LEARNED | {"schedule": "linear"}, FOUR),
    "learned-cosine": (IMPROVED | LEARNED | {"schedule": "cosine"}, FOUR),
    "fixed-linear": (IMPROVED | FIXED | {"schedule": "linear"}, FOUR),
    "fixed-cosine": (IMPROVED | FIXED | {"schedule": "cosine"}, FOUR),
}
# Rows of table 5.1; all but the last are in it alone. All other trainings are rows of table 5.2, or recipes.
METHODS = ("improved-2", "medfusion-2", "medfusion-4", "learned-linear")
# What the network says, what its error weighs, and what it need not learn; each with all seeds of RECIPE_SEEDS.
DEMO: Changes = PLAIN | {
    "space": "pixel",
    "schedule": "cosine",
    "prediction": "v",
    "variance": "fixed-small",
    "loss": "edm",
    "timestep_sampling": "uniform",
    "preconditioning": "gaussian",
    "patching": "haar",
    "augment": 0.0,
    "augment_told": False,
}
FLOW: Changes = {"schedule": "flow", "prediction": "flow", "loss": "simple", "timestep_sampling": "logit-normal"}
RECIPES: dict[str, Changes] = {
    "min-snr": DEMO | {"preconditioning": "none", "loss": "min-snr"},
    "edm": DEMO | {"preconditioning": "none", "prediction": "edm", "timestep_sampling": "log-normal"},
    "flow": DEMO | FLOW | {"preconditioning": "none"},
    "gaussian": DEMO,
    "gaussian-flow": DEMO | FLOW,
    "gaussian-unshuffle": DEMO | {"patching": "unshuffle"},
    "gaussian-told": DEMO | {"augment": 0.3, "augment_share": 0.5, "augment_told": True},
}
RECIPE_SEEDS = (1, 2)
# No snapshot is chosen: each training is scored as it ends, all in the same way.
UNCHOSEN: Changes = {"snapshot_images": 0, "patience": 0}


@dataclass(frozen=True)
class Cell:
    """One training of an exploration.

    Attributes:
        name: of its folders and of its run.
        params: section `diffusion` with the changes.
        views: indices of the views that it is trained on.
        sampling: how its samples are made.
        figures: entries of `explore.reference`: with what its samples are compared.
    """

    name: str
    params: DiffusionParams
    views: tuple[int, ...]
    sampling: SolverParams
    figures: tuple[str, ...]


def changed_section(params: Params, changes: Changes, name: str) -> DiffusionParams:
    """Change section `diffusion`, checked like params.yaml itself.

    Raises:
        EchosynthError: they do not fit the rest of the section.
    """
    try:
        settings = DiffusionParams.model_validate(params.diffusion.model_dump() | changes)
        check_levels(settings, params.ingest.size)
    except (ValidationError, OptionError) as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ") if isinstance(error, ValidationError) else error
        raise EchosynthError(f"exploration {name}: {reason}; change section diffusion or explore") from None
    return settings


def table_cell(name: str, params: Params) -> Cell:
    """Describe a training of table 5.1 or 5.2, sampled as section `explore` says, or, by recipe and seed such as
    `edm-1`, one of the recipes, sampled by the solver of section `sample`.

    Raises:
        EchosynthError: there is none of this name, or it does not fit the rest of the parameters.
    """
    explore, recipes = params.explore, {f"{name}-{seed}": (name, seed) for name in RECIPES for seed in RECIPE_SEEDS}
    if name in CELLS:
        (changes, views), sampling = CELLS[name], SolverParams.plain(explore.solver, explore.evaluations)
    elif name in recipes:
        recipe, seed = recipes[name]
        changes, views, sampling = RECIPES[recipe] | {"seed": seed}, FOUR, _alone(params)
    else:
        raise EchosynthError(f"{name} is no exploration; known are {', '.join([*CELLS, *recipes])}")
    latent = {"attention": explore.latent_attention} if changes["space"] == "latent" else {}
    length = {"steps": explore.steps, "snapshots": 1, "keep_snapshots": False}
    settings = changed_section(params, changes | latent | length | UNCHOSEN, name)
    figures = [*(["methods"] if name in METHODS else []), *([] if name in METHODS[:-1] else ["variants"])]
    return Cell(name, settings, tuple(VIEW_INDEX[view] for view in views), sampling, tuple(figures))


def along_cell(params: Params) -> Cell:
    """Describe the training of figures 5.2 and 5.3: section `diffusion` as it is, with snapshots that are kept."""
    length = {"steps": params.explore.along_steps, "snapshots": params.explore.along_snapshots, "keep_snapshots": True}
    settings = changed_section(params, length | UNCHOSEN, "along")
    return Cell("along", settings, tuple(range(len(VIEWS))), _alone(params), ("along",))


def _alone(params: Params) -> SampleParams:
    """Take section `sample`, but guided by no earlier snapshot: the view must be what guides."""
    return params.sample.model_copy(update={"autoguidance": 0.0})

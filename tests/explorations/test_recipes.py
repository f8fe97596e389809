"""The recipes: each fits the demo, is what its name says, and has a stage and a row."""

from pathlib import Path

import pytest
import yaml

from echosynth.common.errors import EchosynthError
from echosynth.config.parameters import Params
from echosynth.explorations.table_cells import CELLS, RECIPE_SEEDS, RECIPES, table_cell
from echosynth.report.explorations import inputs

STAGE = yaml.safe_load((Path(__file__).parents[2] / "explore/dvc.yaml").read_text())["stages"]["recipe"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_fits_the_demo_with_each_seed(params: Params, recipe: str) -> None:
    cells = [table_cell(f"{recipe}-{seed}", params) for seed in RECIPE_SEEDS]
    assert [cell.params.seed for cell in cells] == list(RECIPE_SEEDS)
    assert len({str(cell.params.model_copy(update={"seed": 0})) for cell in cells}) == 1
    for cell in cells:
        assert (cell.params.preconditioning == "gaussian") == recipe.startswith("gaussian")
        assert cell.params.steps == params.explore.steps
        assert cell.views == (0, 1, 2, 3)
        assert (cell.sampling.solver, cell.sampling.evaluations) == (params.sample.solver, params.sample.evaluations)


def test_the_demo_is_among_them(params: Params) -> None:
    recipe, demo = table_cell("gaussian-1", params).params.model_dump(), params.diffusion.model_dump()
    apart = {key for key, value in demo.items() if recipe[key] != value}
    assert apart <= {"seed", "steps", "snapshots", "snapshot_images"}


def test_stage_and_page_name_the_same_recipes() -> None:
    assert STAGE["matrix"]["recipe"] == list(RECIPES) == list(inputs.RECIPES)
    assert tuple(map(str, RECIPE_SEEDS)) == inputs.RECIPE_SEEDS
    assert all(STAGE["cmd"].count(f"${{item.recipe}}-{seed}") == 1 for seed in RECIPE_SEEDS)
    assert not set(CELLS) & {f"{recipe}-{seed}" for recipe in RECIPES for seed in RECIPE_SEEDS}


def test_an_unknown_recipe_is_named(params: Params) -> None:
    with pytest.raises(EchosynthError, match=r"edm-3 is no exploration; known are .*edm-1, edm-2"):
        table_cell("edm-3", params)

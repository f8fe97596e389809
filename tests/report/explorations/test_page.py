"""The page of the explorations, on made-up results."""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from echosynth.common.errors import EchosynthError
from echosynth.common.files import read_json, write_json
from echosynth.config.parameters import Params, load_params
from echosynth.diffusion.options import Prediction, SolverParams
from echosynth.diffusion.process import Process
from echosynth.diffusion.solvers import network_evaluations
from echosynth.imagesets.store import encode
from echosynth.imagesets.tiles import contact_grid
from echosynth.report.explorations import tables as explore_tables
from echosynth.report.explorations.inputs import (
    FOLDER,
    RECIPE_SEEDS,
    RECIPES,
    STUDY_ALONG,
    STUDY_METHODS,
    STUDY_VARIANTS,
    Explorations,
    cell_folder,
    read_explorations,
    summary,
)
from echosynth.report.explorations.page import PREDICTED, render, render_times

ROOT = Path(__file__).parents[3]
KINDS = ("echo", "inception")


def scores(frechet: float) -> dict[str, float]:
    """One kind of features of one result of the yardstick."""
    floor = {"floor_frechet": 3.21, "floor_frechet_sd": 0.2, "floor_kernel": -0.002}
    return {"frechet": frechet, "frechet_sd": 0.05 * frechet, "kernel": 0.01 * frechet, **floor}


def distances(frechet: float, count: int, kinds: tuple[str, ...]) -> dict[str, Any]:
    sizes = dict.fromkeys(("count", "real_count", "floor_count"), count)
    return {**sizes, **{kind: scores(frechet * (index + 1)) for index, kind in enumerate(kinds)}}


def pictures(path: Path, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 255, (32, 32, 32), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(contact_grid(images, 8)))


def write_all(params: Params, kinds: tuple[str, ...] = ("echo",)) -> None:
    """Made-up results of every stage below the current folder."""
    explore = params.explore
    for index, name in enumerate((*STUDY_METHODS, *STUDY_VARIANTS)):
        found = [distances(40.0 - index - 8 * place, n, kinds) for place, n in enumerate(explore.counts)]
        facts: dict[str, Any] = {"images": 400, "parameters": 1_234_567, "steps": explore.steps}
        facts["distances"] = dict.fromkeys(("methods", "variants"), found)
        facts["views"] = ["A4C", "PLAX"] if name.endswith("-2") else ["A2C", "A4C", "PLAX", "PSAX"]
        if name.startswith("medfusion"):
            facts |= {"reconstruction_psnr": 27.31, "reconstruction_mae": 6.12}
        write_json(cell_folder(name) / "metrics.json", facts)
        pictures(cell_folder(name) / "grid.png", index)
    for index, name in enumerate(RECIPES):
        for seed in RECIPE_SEEDS:
            found = [distances(30.0 - index + int(seed), n, kinds) for n in explore.counts]
            write_json(FOLDER / f"{name}-{seed}" / "metrics.json", {"distances": {"variants": found}})
            pictures(FOLDER / f"{name}-{seed}" / "grid.png", index)
    points = [
        {
            "count": n,
            **dict.fromkeys(kinds, 8 + 300 / n),
            "floor": {"count": n, **dict.fromkeys(kinds, 2 + 200 / n)} if n < 190 else None,
        }
        for n in explore.curve
    ]
    write_json(
        FOLDER / "curve/metrics.json",
        {"subset": "400", "step": 1000, "real": 194, "self": dict.fromkeys(kinds, 1e-11), "points": points},
    )
    along = []
    for number in range(1, explore.along_snapshots + 1):
        step = number * explore.along_steps // explore.along_snapshots
        losses = {"loss": 0.4 + 0.5 / number**2, "validation_loss": 0.5 + 0.4 / number**2}
        named = {"step": step, "grid": f"step-{step:07d}.png"}
        along.append({**named, **losses, **distances(300 / number**1.6, 180, kinds)})
        pictures(FOLDER / "along" / f"step-{step:07d}.png", number)
    pictures(FOLDER / "along/real.png", 99)
    write_json(FOLDER / "along/metrics.json", {"points": along})
    process = Process(params.diffusion.model_copy(update={"preconditioning": "none", "loss": "simple"}))
    tried = [
        {"solver": solver, "asked": n, "evaluations": network_evaluations(SolverParams.plain(solver, n), process)}
        | distances(9 + (60 if solver == "ancestral" else 20 + 3 * index) / n, 120, kinds)
        for (index, solver), n in product(enumerate(explore.solvers), explore.solver_evaluations)
    ]
    write_json(FOLDER / "solvers/metrics.json", {"subset": "400", "step": 1000, "points": tried})


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params: Params) -> Callable[..., Explorations]:
    """Write made-up results into the current folder and read them back."""
    monkeypatch.chdir(tmp_path)

    def make(kinds: tuple[str, ...] = ("echo",)) -> Explorations:
        write_all(params, kinds)
        return read_explorations(params)

    return make


Made = Callable[..., Explorations]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of other, equal results."""
    params = load_params(ROOT / "params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("explorations"))
        write_all(params)
        return render(read_explorations(params))


def test_the_page_has_every_part_and_loads_nothing(page: str) -> None:
    for section in ("methods", "variants", "recipes", "curve", "along", "solvers"):
        assert f'<section id="{section}">' in page
        assert f'<a href="#{section}">' in page
    for word in ("No distances on Inception features", "simulated phantoms", "27.3 dB", "against itself gives 0.000"):
        assert word in page, word
    sources = re.findall(r'src="([^"]{0,40})', page)
    # Figures, both methods, four variants, seven recipes, eight snapshots and the real images.
    assert len(sources) == 4 + 2 + 4 + 7 + 9
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"<script|<link|@import|url\(|https?://", page)


def test_same_results_same_bytes(made: Made, page: str) -> None:
    assert render(made()) == page


def test_the_study_stands_beside_ours_and_is_marked_as_of_other_data(made: Made) -> None:
    found = made()
    tables = explore_tables.methods(found), explore_tables.variants(found)
    assert [row[-1] for row in tables[0].rows] == ["95.89", "78.16", "30.48", "47.46"]
    assert [row[-2:] for row in tables[1].rows] == [
        ["16.03", "4.56"],
        ["20.87", "9.07"],
        ["21.33", "9.20"],
        ["17.47", "6.54"],
    ]
    for table in tables:
        assert "another data set" in table.note
        assert all(len(row) == len(table.header) for row in table.rows)
    assert all(f"{value:.2f}" in explore_tables.along(found).note for value in STUDY_ALONG.values())


def test_each_table_names_its_real_images_and_both_sizes(made: Made) -> None:
    found = made()
    assert (
        "Distances on echo features of n samples to as many real validation images"
        in explore_tables.methods(found).note
    )
    entries = {"methods": "train-all", "variants": "train", "curve": "validation-all", "along": "validation-all"}
    explore = found.params.explore
    reference = explore.reference.model_copy(update=entries)
    params = found.params.model_copy(update={"explore": explore.model_copy(update={"reference": reference})})
    for name in STUDY_METHODS:
        for distances in found.cells[name]["distances"]:
            distances |= {"real_count": 31_000, "floor_count": min(distances["count"], 90)}
    for point in found.along["points"]:
        point |= {"count": 10_000, "real_count": 3_895, "floor_count": 9_000}
    found = replace(found, params=params)
    methods, variants = explore_tables.methods(found), explore_tables.variants(found)
    assert list(methods.header[3:7]) == ["Fréchet, n = 60", "floor", "Fréchet, n = 180", "floor, n = 90"]
    assert "all 31,000 real training images" in methods.note
    assert "with two, n is 60 and 180 against 31,000 (floor: 60 and 90)" in methods.note
    assert "as many real training images" in variants.note
    assert "Against all 194 real validation images" in explore_tables.curve(found).note
    along = explore_tables.along(found)
    assert "10,000 samples against all 3,895 real validation images; 9,000 other real images reach" in along.note
    assert along.header[-2:] == ["training loss", "validation loss"]
    assert along.rows[0][-2:] == ["0.9000", "0.9000"]


def test_a_distance_of_one_draw_has_no_deviation(made: Made) -> None:
    found = made()
    for point in found.along["points"]:
        point["echo"]["frechet_sd"] = None
    assert explore_tables.along(found).rows[0][1] == "300.0"
    assert "along the training" in render(found)


def test_both_kinds_of_features_get_columns_and_figures(made: Made) -> None:
    found = made(KINDS)
    table = explore_tables.variants(found)
    assert len(table.header) == 2 + 2 * 2 * 2 + 2  # counts x kinds x (distance, floor)
    assert len(table.rows[0]) == len(table.header)
    page = render(found)
    assert len(re.findall(r'src="', page)) == 26 + 4
    assert "No distances on Inception features" not in page


def test_recipes_stand_with_all_their_seeds(made: Made) -> None:
    found = made(KINDS)
    table = explore_tables.recipes(found)
    assert len(table.rows) == len(RECIPES)
    assert all(len(row) == len(table.header) == 1 + 2 * 2 * 2 for row in table.rows)  # scores x kinds x seeds
    assert table.rows[1][1:3] == ["30.0 ± 1.5", "31.0 ± 1.6"]
    assert table.rows[1][5:7] == ["0.300", "0.310"]
    assert "3.21 ± 0.20 and -0.002 on echo features" in table.note
    assert summary(found)["explore.edm.frechet"] == pytest.approx(30.5)


def test_the_page_says_what_was_predicted(page: str) -> None:
    assert "Both predict v, a mixture of noise and picture" in page
    assert "Both predict the noise" not in page
    assert set(PREDICTED) == set(get_args(Prediction))


def test_a_set_larger_than_the_real_ones_has_no_floor(made: Made) -> None:
    found = made()
    rows = {row[0]: row[2] for row in explore_tables.curve(found).rows}
    assert rows["1,600"] == "–"
    assert rows["100"] == "4.00"


def test_times_are_on_a_page_of_their_own(made: Made, page: str) -> None:
    found = made()
    points = [
        {
            "solver": point["solver"],
            "evaluations": point["evaluations"],
            "images_per_second": 500 / point["evaluations"],
        }
        for point in found.solvers["points"]
    ]
    times = render_times(found, {"device": "CPU, 2 threads", "images": 120, "points": points})
    assert "CPU, 2 threads" in times
    assert "images a second" in times
    assert "Sampling speed" in times
    assert "Sampling speed" not in page


def test_solvers_by_evaluations(made: Made) -> None:
    found = made()
    (table,) = explore_tables.solvers(found)
    assert list(table.header[1:]) == ["4", "8", "16", "32", "64"]
    assert [row[0] for row in table.rows] == ["ancestral", "ddim", "dpm++", "unipc", "heun"]
    assert table.rows[0][1] == "24.0 ± 1.2"


def test_scores_for_the_row_in_mlflow(made: Made) -> None:
    found = summary(made())
    assert found["explore.improved-2.frechet"] == pytest.approx(31.0)
    assert all(re.fullmatch(r"[A-Za-z0-9_. /-]+", name) for name in found)  # what MLflow allows
    assert len(found) == 8 + 7 + 2 + 25


@pytest.mark.parametrize(
    "lost", ["curve/metrics.json", "fixed-cosine/metrics.json", "along/real.png", "medfusion-4/grid.png"]
)
def test_a_missing_file_is_named(made: Made, params: Params, lost: str) -> None:
    made()
    (FOLDER / lost).unlink()
    with pytest.raises(EchosynthError, match=lost):
        render(read_explorations(params))


def test_damaged_results_are_named(made: Made, params: Params) -> None:
    made()
    (FOLDER / "solvers/metrics.json").write_text("{")
    with pytest.raises(EchosynthError, match=r"solvers/metrics\.json is no valid JSON"):
        read_explorations(params)
    assert read_json(FOLDER / "curve/metrics.json")["real"] == 194

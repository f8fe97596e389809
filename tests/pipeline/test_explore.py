"""The explorations: their table of trainings, their sets, and all of explore/dvc.yaml in a toy copy of the project."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml
from mlflow import MlflowClient

from echosynth.common.errors import EchosynthError
from echosynth.config.parameters import Params
from echosynth.config.presets import overlay
from echosynth.evaluation.distance import Yardstick
from echosynth.evaluation.fidelity import mixture_counts
from echosynth.evaluation.frechet import frechet_distance
from echosynth.explorations import compared_sets
from echosynth.explorations.compared_sets import training_images
from echosynth.explorations.table_cells import CELLS, RECIPE_SEEDS, RECIPES, along_cell, table_cell
from echosynth.imagesets.dataset import LabelledImages

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "explore/dvc.yaml").read_text())["stages"]
TINY = {
    "subset": 60,
    "reference": {
        "methods": "validation-all",
        "variants": "validation",
        "curve": "validation",
        "along": "validation-all",
        "solvers": "validation",
    },
    "steps": 4,
    "counts": [8, 12],
    "evaluations": 3,
    "curve": [8, 16, 24],
    "along_steps": 4,
    "along_snapshots": 2,
    "solvers": ["ancestral", "heun"],
    "solver_evaluations": [3, 4],
    "solver_images": 12,
}

# Instances of the stages of explore/dvc.yaml that are run, of those that train.
TRAINED = {
    "method": {"cell": ["medfusion-4", "improved-2"]},
    "both-tables": {},
    "recipe": {"recipe": ["gaussian"]},
}


def labelled(labels: list[int], seed: int = 0) -> LabelledImages:
    """Pictures of one pixel a view's number brighter."""
    views = np.array(labels, np.int64)
    images = np.random.default_rng(seed).integers(0, 200, (len(labels), 4, 4)).astype(np.uint8) + views[:, None, None]
    names = np.array([f"{seed}-{number}" for number in range(len(labels))])
    return LabelledImages(images.astype(np.uint8), views, names, np.full(len(labels), "tmed2"), names)


def quarters(images: np.ndarray) -> np.ndarray:
    """Features: the means of the quarters of a picture."""
    return images.reshape(-1, 2, 2, 2, 2).mean((2, 4)).reshape(-1, 4).astype(np.float64)


@pytest.fixture
def scale() -> Yardstick:
    """Two views, three of the first for each of the second."""
    real, other = labelled([1, 1, 1, 2] * 20, 1), labelled([1, 1, 1, 2] * 10, 2)
    return Yardstick(real, other, {"echo": quarters}, 3, 0)


@pytest.fixture
def whole() -> Yardstick:
    """The same, but all real images are compared with."""
    real, other = labelled([1, 1, 1, 2] * 20, 1), labelled([1, 1, 1, 2] * 10, 2)
    return Yardstick(real, other, {"echo": quarters}, 3, 0, whole=True)


@pytest.mark.parametrize("name", CELLS)
def test_every_training_of_the_tables_fits_the_demo(params: Params, name: str) -> None:
    cell = table_cell(name, params)
    assert cell.params.steps == params.explore.steps
    assert cell.params.prediction == params.diffusion.prediction
    assert (cell.params.variance == "learned") == (cell.params.loss == "hybrid")
    assert cell.params.space == ("latent" if name.startswith("medfusion") else "pixel")
    assert cell.views == ((1, 2) if name.endswith("-2") else (0, 1, 2, 3))
    assert cell.params.snapshot_images == cell.params.patience == 0


def test_the_stages_are_the_tables(params: Params) -> None:
    named = [*STAGES["method"]["matrix"]["cell"], *STAGES["variance"]["matrix"]["cell"]]
    assert sorted([*named, STAGES["both-tables"]["cmd"].split()[-1]]) == sorted(CELLS)
    assert all(stage["wdir"] == ".." for stage in STAGES.values())
    assert along_cell(params).params.keep_snapshots


def test_a_stage_depends_on_the_real_images_of_its_own_figure_alone(params: Params) -> None:
    cells = {
        "method": STAGES["method"]["matrix"]["cell"],
        "both-tables": ["learned-linear"],
        "variance": STAGES["variance"]["matrix"]["cell"],
        "recipe": [f"{recipe}-{seed}" for recipe in RECIPES for seed in RECIPE_SEEDS],
    }
    read = {
        stage: {figure for n in names for figure in table_cell(n, params).figures} for stage, names in cells.items()
    }
    read |= {"along": set(along_cell(params).figures), "curve": {"curve"}, "solvers": {"solvers"}}
    assert read.keys() == STAGES.keys() - {"page"}
    for stage, figures in read.items():
        start = "explore.reference"
        listed = {key for key in STAGES[stage]["params"] if key.startswith(start)}
        assert listed == {f"{start}.{figure}" for figure in figures}, stage
    for names in cells.values():  # all cells of a stage read the same
        assert len({table_cell(name, params).figures for name in names}) == 1


def test_one_reference_for_all_is_refused(params_with: Callable[..., Params]) -> None:
    with pytest.raises(EchosynthError, match=r"explore\.reference = train is one for all; give each of methods, varia"):
        params_with(explore={"reference": "train"})


def test_a_training_that_does_not_fit_is_named(params_with: Callable[..., Params]) -> None:
    with pytest.raises(EchosynthError, match=r"exploration medfusion-2: diffusion\.attention = 16 is the side of no"):
        table_cell("medfusion-2", params_with(explore={"latent_attention": [16]}))


def test_an_unknown_training_is_named(params: Params) -> None:
    with pytest.raises(EchosynthError, match="medfusion-3 is no exploration; known are improved-2"):
        table_cell("medfusion-3", params)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"counts": [180, 60]}, r"explore\.counts = \[180, 60\] must rise"),
        ({"curve": [50, 50]}, r"explore\.curve = \[50, 50\] must rise"),
        ({"solvers": ["ddim", "ddim"]}, r"explore\.solvers names a solver twice"),
        ({"counts": [1]}, r"explore\.counts\.0 = 1 is not allowed"),
    ],
)
def test_wrong_parameters_are_named(params_with: Callable[..., Params], change: dict, sentence: str) -> None:
    with pytest.raises(EchosynthError, match=sentence):
        params_with(explore=change)


def test_a_subset_that_is_not_drawn_is_named(params_with: Callable[..., Params]) -> None:
    with pytest.raises(
        EchosynthError, match=r"explore\.subset = 77 is none of split\.subsets, which are 100, 400, all"
    ):
        training_images(params_with(explore={"subset": 77}), [1, 2])


def test_a_subset_without_a_view_is_named(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compared_sets, "read_subset", lambda *_: labelled([1, 2]))
    assert len(training_images(params, [1, 2]).labels) == 2
    with pytest.raises(EchosynthError, match="holds no image of A2C, PSAX; name a larger one"):
        training_images(params, range(4))


def test_real_sets_of_the_study_share_no_patient(
    params_with: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    train = labelled([0, 1, 2, 3] * 30)
    groups = np.array([f"patient-{number // 3}" for number in range(120)])
    train = LabelledImages(train.images, train.labels, groups, train.sources, train.ids)
    monkeypatch.setattr(compared_sets, "read_split", lambda sources, split: {"train": train}[split])
    reference, other = compared_sets.real_sets(params_with(), [1, 2], "train")
    assert not set(reference.groups) & set(other.groups)
    assert len(reference.labels) + len(other.labels) == 60
    assert set(reference.labels) == {1, 2}
    assert abs(len(reference.labels) - len(other.labels)) < 20


@pytest.mark.parametrize(("split", "rest"), [("validation", "train"), ("train", "validation")])
def test_all_of_a_split_stands_against_samples_and_the_other_one_is_the_floor(
    params: Params, monkeypatch: pytest.MonkeyPatch, split: str, rest: str
) -> None:
    splits = {"train": labelled([0, 1, 2, 3] * 30, 1), "validation": labelled([0, 1, 2, 3] * 5, 2)}
    monkeypatch.setattr(compared_sets, "read_split", lambda sources, name: splits[name])
    reference, other = compared_sets.real_sets(params, [1, 2], f"{split}-all")  # type: ignore[arg-type]
    for found, name in ((reference, split), (other, rest)):
        assert found.ids.tolist() == splits[name].ids[np.isin(splits[name].labels, [1, 2])].tolist()


def test_sets_have_the_mixture_of_the_real_ones(scale: Yardstick) -> None:
    assert scale.counts(20) == {1: 15, 2: 5}
    assert scale.counts(1000) == {1: 30, 2: 10}  # all that the smaller real set holds
    assert mixture_counts(scale.reference, 1001) == {1: 751, 2: 250}


def test_more_samples_than_real_images_stand_against_all_of_these(whole: Yardstick) -> None:
    assert whole.counts(1001) == {1: 751, 2: 250}
    made = labelled([1] * 751 + [2] * 250, 3)
    assert whole.distances(made.images, made.labels, 1001)["count"] == 1001
    made = labelled([1, 1, 1, 2] * 75, 3)
    found = whole.distances(made.images, made.labels, 300)
    assert [found[key] for key in ("count", "real_count", "floor_count")] == [300, 80, 40]
    assert found["echo"]["frechet_sd"] is found["echo"]["floor_frechet_sd"] is None  # all there are, drawn once
    fewer = whole.distances(made.images, made.labels, 20)
    assert [fewer[key] for key in ("count", "real_count", "floor_count")] == [20, 80, 20]
    assert fewer["echo"]["frechet_sd"] > 0 < fewer["echo"]["floor_frechet_sd"]


def test_the_curve_stands_against_all_real_images_too(whole: Yardstick) -> None:
    made = labelled([1, 1, 1, 2] * 25, 5)
    found = whole.growing(made.images, [8, 40, 100], 60)
    assert found["real"] == 80
    assert [point["floor"] and point["floor"]["count"] for point in found["points"]] == [8, 40, None]
    real = quarters(labelled([1, 1, 1, 2] * 20, 1).images)
    assert found["points"][1]["echo"] == pytest.approx(frechet_distance(quarters(made.images[:40]), real))


def test_distances_are_beside_their_floor_at_one_size(scale: Yardstick) -> None:
    near, far = labelled([1, 1, 1, 2] * 10, 3), labelled([1, 1, 1, 2] * 10, 4)
    good = scale.distances(near.images, near.labels, 40)
    bad = scale.distances((far.images // 2).astype(np.uint8), far.labels, 40)
    assert good["count"] == bad["count"] == 40
    assert good["echo"]["floor_frechet"] == bad["echo"]["floor_frechet"] > 0
    assert bad["echo"]["frechet"] > 3 * good["echo"]["frechet"]


def test_a_set_against_itself_gives_zero_and_its_beginnings_are_the_smaller_sets(scale: Yardstick) -> None:
    whole = labelled([1, 1, 1, 2] * 25, 5)
    found = scale.growing(whole.images, [8, 40, 100], 60)
    assert found["real"] == 60
    assert found["self"]["echo"] == pytest.approx(0, abs=1e-9)
    assert [point["count"] for point in found["points"]] == [8, 40, 100]
    short = scale.growing(whole.images[:40], [8, 40], 60)
    assert [point["echo"] for point in short["points"]] == [point["echo"] for point in found["points"]][:2]
    assert [point["floor"] and point["floor"]["count"] for point in found["points"]] == [8, 40, None]


def stages_with_fewer_trainings() -> str:
    """explore/dvc.yaml with one training of each kind; the others differ from these in parameters alone."""
    content = yaml.safe_load((ROOT / "explore/dvc.yaml").read_text())
    del content["stages"]["variance"]  # like both-tables
    for stage, instances in TRAINED.items():
        content["stages"][stage]["matrix"] |= instances
    return yaml.safe_dump(content, sort_keys=False)  # instances are named in the order of the matrix


def stand_in(scores: Path) -> None:
    """Write a result for each training that `stages_with_fewer_trainings` leaves out: a copy of one of the kind."""
    for name in CELLS:
        if not (scores / name).is_dir():
            shutil.copytree(
                scores / ("medfusion-4" if name.startswith("medfusion") else "learned-linear"), scores / name
            )
    for name, seed in product(RECIPES, RECIPE_SEEDS):
        if not (scores / f"{name}-{seed}").is_dir():
            shutil.copytree(scores / f"gaussian-{seed}", scores / f"{name}-{seed}")


def copied(source: str, target: str) -> None:
    """Copy a file, or link what is large and never written to: DVC and stages put a new file into its place."""
    large = source.endswith(".safetensors") or "/.dvc/cache/" in source
    (os.link if large else shutil.copy2)(source, target)


@pytest.mark.slow
def test_all_explorations_in_a_toy_project(finished: Path, environment: dict[str, str], tmp_path: Path) -> None:
    project = tmp_path / "toy"
    left_out = shutil.ignore_patterns("mlflow.db*", "mlartifacts")
    shutil.copytree(finished, project, symlinks=True, ignore=left_out, copy_function=copied)
    (project / "explore").mkdir()
    (project / "explore/dvc.yaml").write_text(stages_with_fewer_trainings())
    environment = environment | {"PYTHONPATH": str(project / "src")}

    def dvc(*words: str) -> str:
        done = subprocess.run(
            ["dvc", *words], cwd=project, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout

    assert "up to date" in dvc("status")  # nobody has asked for explorations
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["explore"] |= TINY | overlay("explore", ROOT / "params.yaml")["explore"]
    side = params["ingest"]["size"] // 2
    params["explore"]["latent_attention"] = [side >> (len(params["diffusion"]["channels"]) - 1)]
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    assert "method@all-medfusion-4" in dvc("status")
    dvc("repro", *(f"explore/dvc.yaml:{stage}" for stage in TRAINED))
    stand_in(project / "reports/explore")
    dvc("repro", "explore/dvc.yaml")
    page = (project / "reports/explore.html").read_text()
    assert "Table 5.1" in page
    assert "Quality against time" not in page
    assert "Sampling speed" in (project / "reports/explore_times.html").read_text()
    scores = project / "reports/explore"
    snapshots = json.loads((scores / "along/metrics.json").read_text())["points"]
    assert all(point["loss"] > 0 for point in snapshots)
    assert all(point["count"] == 12 < point["real_count"] for point in snapshots)
    curve = json.loads((scores / "curve/metrics.json").read_text())
    assert curve["self"]["echo"] == pytest.approx(0, abs=1e-6 * curve["points"][-1]["echo"])
    latent, both = (
        json.loads((scores / name / "metrics.json").read_text()) for name in ("medfusion-4", "learned-linear")
    )
    assert latent["reconstruction_psnr"] > 0
    assert latent["distances"].keys() == {"methods"}
    assert both["distances"].keys() == {"methods", "variants"}
    methods, variants = (both["distances"][name][-1] for name in ("methods", "variants"))
    assert methods["real_count"] > methods["count"] == 12
    assert variants["real_count"] == variants["count"] <= 12
    assert "images_per_second" not in (scores / "solvers/metrics.json").read_text()
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    found = client.search_runs([client.get_experiment_by_name("echosynth").experiment_id])
    metrics = {run.info.run_name: run.data.metrics for run in found}
    assert {"loss", "autoencoder_loss", "autoencoder_error"} <= metrics["explore medfusion-4"].keys()
    assert "autoencoder_loss" not in metrics["explore improved-2"]
    # Nothing that git would take up but the lock file, and nothing left to do.
    status = subprocess.run(["git", "status", "--short"], cwd=project, text=True, capture_output=True, check=True)
    assert {line.split()[-1] for line in status.stdout.splitlines()} <= {"params.yaml", "dvc.lock", "explore/"}
    assert "up to date" in dvc("repro", "explore/dvc.yaml")
    # The same bytes from the same inputs, whatever the clock says.
    before = (project / "explore/dvc.lock").read_text()
    dvc("repro", "--force", "--single-item", "explore/dvc.yaml:solvers@all", "explore/dvc.yaml:page@all")
    assert (project / "explore/dvc.lock").read_text() == before

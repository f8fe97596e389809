import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.tracking.results import CURVE, EVALUATION, PARAMS, Repository, cell, changed, object_of

from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.tracking import history
from echosynth.tracking.dvc_cache import Cache
from echosynth.tracking.outputs import Child, Found, children
from echosynth.tracking.plots import precision_recall_png

DEPS = {
    "data/split/assignment.csv": "a5" * 16,
    "data/split/subsets/60.csv": "5b" * 16,
    "data/synthetic/60": f"{'5d' * 16}.dir",
    "models/diffusion/60": f"{'d1' * 16}.dir",
}
VALIDATION = ("validation", "a5" * 16, "validation")


@pytest.fixture
def repository(bare: Path) -> Repository:
    return Repository()


def found(lock_before: bytes = b"") -> Found:
    """Children of the latest result."""
    before = history.outs(history.stages(lock_before))
    return children(history.read(history.results()[-1]), before, Cache())


def written(repository: Repository, path: str, files: dict) -> Found:
    repository.deps |= DEPS
    repository.output(path, files)
    repository.result()
    return found()


def pictures(child: Child, folder: Path) -> set[str]:
    """Names of the artifacts, which are written into a folder."""
    folder.mkdir()
    child.artifacts(folder)
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_classifiers_come_with_curve_facts_and_confusion_matrix(repository: Repository, tmp_path: Path) -> None:
    first, second = written(repository, "models/classifiers/real-60-resnet18", cell()).children
    assert (first.name, second.name) == ("resnet18 real 60 seed 0", "resnet18 real 60 seed 1")
    assert first.stage == "classify"
    assert first.params == {
        "classifier": PARAMS["classifier"],
        "arm": "real",
        "subset": "60",
        "architecture": "resnet18",
        "seed": 0,
        "real_images": 60,
    }
    points = {(name, step): value for name, value, step in first.points}
    assert points[("training_loss", 3)] == 1.25
    assert points[("validation.macro_auprc", 3)] == 0.30000000000000004  # to the last bit
    assert ("validation.macro_auprc", 6) not in points  # was not measured
    assert points[("validation.recall_A2C", 6)] == 1.0  # final numbers stand at the end of the curve
    assert points[("images", 6)] == 60
    assert "validation.recall_PSAX" not in {name for name, _ in points}
    assert first.datasets == (("subset-60", "5b" * 16, "training"), VALIDATION)
    assert first.tags == {"echosynth.arm": "real", "echosynth.subset": "60"}
    assert pictures(first, tmp_path / "out") == {"confusion.png", "scores.json"}


def test_classifiers_with_synthetic_images_name_them(repository: Repository) -> None:
    facts = {"arm": "mixed", "subset": "60", "architecture": "resnet18", "seed": 0, "real_images": 60, "images": 99}
    files = {
        "seed-0/metrics.json": {"facts": facts | {"synthetic": 39}, "validation": EVALUATION},
        "seed-0/curve.csv": CURVE,
    }
    (child,) = written(repository, "models/classifiers/mixed-60-resnet18", files).children
    assert child.datasets[2:] == (("synthetic-60", f"{'5d' * 16}.dir", "training"),)


def test_precision_recall_curves_are_drawn_where_the_cache_has_the_labels(
    repository: Repository, tmp_path: Path
) -> None:
    views = ["A2C", "A4C", "PLAX", "PSAX"] * 3
    manifest = "\n".join(["id,view", *(f"one-{index},{view}" for index, view in enumerate(views))])
    rows = [f"one-{index},{index / 20},0.1,0.2,0.3" for index in range(0, 12, 2)]
    predictions = "\n".join(["id,A2C,A4C,PLAX,PSAX", *rows])
    _, labels = repository.output("data/sources/one", {"manifest.csv": manifest})
    change = {"seed-0/validation.csv": predictions, "seed-1/validation.csv": "id,A2C\nunknown,1\n"}
    params = changed(PARAMS, data={"train_sources": ["one"]})
    repository.output("models/classifiers/real-60-resnet18", cell(**change))
    repository.result(params)
    first, second = found().children
    assert pictures(first, tmp_path / "first") == {"confusion.png", "precision_recall.png", "scores.json"}
    probabilities = np.array([[float(value) for value in row.split(",")[1:]] for row in rows])
    title = "Validation: resnet18, real, 60 real images, seed 0"
    expected = precision_recall_png(probabilities, np.arange(0, 12, 2) % 4, title)
    assert (tmp_path / "first/precision_recall.png").read_bytes() == expected
    assert "precision_recall.png" not in pictures(second, tmp_path / "second")
    object_of(labels).unlink()
    assert "precision_recall.png" not in pictures(found().children[0], tmp_path / "third")


def test_the_echo_network_comes_with_its_settings(repository: Repository) -> None:
    training = {"steps": 7, "batch_size": 4}
    params = changed(PARAMS, fidelity={"architecture": "resnet18", "seed": 17, "training": training})
    repository.deps |= DEPS
    repository.output("models/feature-network", {"card.json": {"training_images": {"A2C": 3, "PSAX": 2}, "steps": 7}})
    repository.result(params)
    (child,) = found().children
    assert (child.name, child.stage) == ("echo network", "echo")
    assert child.params == {"fidelity": {"architecture": "resnet18", "seed": 17, "training": training}}
    assert child.points == [("images", 5.0, 7)]
    assert child.datasets == (("train", "a5" * 16, "training"),)


def test_diffusion_models_come_with_curve_snapshots_and_numbers(repository: Repository, tmp_path: Path) -> None:
    files = {
        "metrics.json": {"images": 60, "loss": 0.5, "by_view": {"A2C": 15}, "bits_per_dimension": 6.5, "frechet": None},
        "curve.csv": "step,loss,validation_loss\n5.0,0.75,\n10.0,0.5,0.625\n",
        "snapshots.csv": "step,ema_decay,frechet\n10,0.97,91.5\n10,0.99,\n",
        "autoencoder_curve.csv": "step,autoencoder_loss\n4.0,0.875\n",
        "snapshots/step-0000010.png": b"a picture",
        "model.safetensors": b"weights",
    }
    (child,) = written(repository, "models/diffusion/60", files).children
    assert (child.name, child.stage) == ("diffusion 60", "diffusion")
    assert child.params == {"diffusion": PARAMS["diffusion"], "subset": "60"}
    assert child.datasets == (("subset-60", "5b" * 16, "training"), VALIDATION)
    assert sorted(child.points) == [
        ("autoencoder_loss", 0.875, 4),
        ("bits_per_dimension", 6.5, 10),
        ("frechet_ema_0.97", 91.5, 10),
        ("images", 60.0, 10),
        ("loss", 0.5, 10),
        ("loss", 0.75, 5),
        ("validation_loss", 0.625, 10),
    ]
    assert pictures(child, tmp_path / "out") == {"snapshots/step-0000010.png", "curve.csv"}
    assert (tmp_path / "out/snapshots/step-0000010.png").read_bytes() == b"a picture"
    assert (tmp_path / "out/curve.csv").stat().st_mode & 0o200  # the cache is read-only, its copies are not


def test_synthetic_sets_come_with_their_counts_and_first_images(repository: Repository, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(3):
            picture = np.full((8, 8), 80 * number, np.uint8)
            archive.writestr(f"synthetic-60-{number:06d}.png", cv2.imencode(".png", picture)[1].tobytes())
    files = {"images.zip": packed.getvalue(), "metrics.json": {"images": 3, "by_view": {"A2C": 2, "PSAX": 1}}}
    (child,) = written(repository, "data/synthetic/60", files).children
    assert (child.name, child.stage, child.params["sample"]) == ("sample 60", "sample", {"guidance": 1.0})
    assert child.points == [("images", 3.0, 0), ("images_A2C", 2.0, 0), ("images_PSAX", 1.0, 0)]
    assert child.datasets == (("diffusion-60", f"{'d1' * 16}.dir", "evaluation"),)
    assert pictures(child, tmp_path / "out") == {"metrics.json", "samples.png"}
    sheet = cv2.imread(str(tmp_path / "out/samples.png"), cv2.IMREAD_GRAYSCALE)
    assert [int(sheet[4, 4 + 9 * number]) for number in range(3)] == [0, 80, 160]


def test_the_final_model_comes_with_its_scores_on_each_split(repository: Repository, tmp_path: Path) -> None:
    best = {"arm": "mixed", "subset": "60", "architecture": "resnet18", "seed": 1}
    result = {"best": best, "test": EVALUATION | {"calibration_error": 0.125}, "shift": None}
    repository.output("data/shift/camus", {"manifest.csv": "id\n"})
    repository.deps |= DEPS
    repository.output("reports/final", {"metrics.json": result})
    repository.result(changed(PARAMS, data={"shift_sources": ["camus", "unity"]}))
    (child,) = found().children
    shift = ("shift-camus", repository.outs["data/shift/camus"], "test")
    assert child.datasets == (("test", "a5" * 16, "test"), shift)
    assert (child.name, child.stage) == ("final model", "final")
    assert child.params == {"final": "mixed", "trained": "mixed-60-resnet18, seed 1"}
    assert {("test.macro_auprc", 0.625, 0), ("test.calibration_error", 0.125, 0)} <= set(child.points)
    assert not [name for name, _, _ in child.points if name.startswith("shift")]
    assert pictures(child, tmp_path / "out") == {"confusion_test.png", "scores.json"}


def test_the_final_model_s_curves_are_drawn_from_its_predictions(repository: Repository, tmp_path: Path) -> None:
    best = {"arm": "real", "subset": "60", "architecture": "resnet18", "seed": 1}
    predictions = {}
    for split, folder in (("test", "data/sources/one"), ("shift", "data/shift/camus")):
        views = "\n".join(f"{split}-{number},{VIEWS[number % 4]}" for number in range(8))
        repository.output(folder, {"manifest.csv": f"id,view\n{views}\n"})
        rows = "\n".join(f"{split}-{number},0.{number}1,0.2,0.3,0.05" for number in range(8))
        predictions[f"{split}.csv"] = f"id,{','.join(VIEWS)}\n{rows}\n"
    result = {"best": best, "test": EVALUATION, "shift": EVALUATION}
    repository.output("reports/final", {"metrics.json": result} | predictions)
    repository.result(changed(PARAMS, data={"train_sources": ["one"], "shift_sources": ["camus"]}))
    (child,) = found().children
    kinds = ("confusion", "precision_recall")
    drawn = {f"{kind}_{split}.png" for kind in kinds for split in ("test", "shift")}
    assert pictures(child, tmp_path / "out") == {*drawn, "scores.json"}
    probabilities = np.array([[number / 10 + 0.01, 0.2, 0.3, 0.05] for number in range(8)])
    expected = precision_recall_png(probabilities, np.arange(8) % 4, "shift, real-60-resnet18, seed 1")
    assert (tmp_path / "out/precision_recall_shift.png").read_bytes() == expected


def test_fidelity_comes_with_its_numbers(repository: Repository) -> None:
    metrics = {"echo": {"frechet": 9.5}, "privacy": {"near_copies": 0.25, "features": "echo", "copying_z": None}}
    (child,) = written(repository, "reports/fidelity/60", {"metrics.json": metrics}).children
    assert child.points == [("echo.frechet", 9.5, 0), ("privacy.near_copies", 0.25, 0)]
    assert child.datasets == (("synthetic-60", f"{'5d' * 16}.dir", "evaluation"), VALIDATION)


def test_only_what_the_result_before_did_not_hold_was_run(repository: Repository) -> None:
    repository.output("models/classifiers/real-60-resnet18", cell())
    repository.result()
    before = Path("dvc.lock").read_bytes()
    repository.output("models/classifiers/mixed-60-resnet18", cell(7))
    repository.result(changed(PARAMS, classifier={"steps": 7}))
    assert len(found().children) == 4
    assert len(found(before).children) == 2


def test_entries_of_dvc_lock_that_nobody_asks_for_are_no_runs(repository: Repository) -> None:
    for path in ("models/classifiers/real-60-vgg16", "models/classifiers/oversampled-60-resnet18"):
        repository.output(path, cell())
    repository.output("models/diffusion/100", {"metrics.json": {}})
    repository.output("models/classifiers/real-60-resnet18", cell())
    repository.result()
    assert len(found().children) == 2
    assert found().unreadable == []


def test_what_the_cache_lacks_is_counted_in_runs(repository: Repository) -> None:
    folder, *files = repository.output("models/classifiers/real-60-resnet18", cell())
    repository.output("data/synthetic/60", {"metrics.json": {}})
    repository.result()
    object_of(repository.outs["data/synthetic/60"]).unlink()
    object_of(files[0]).unlink()  # a curve
    assert (found().missing, found().children) == (3, [])
    object_of(folder).unlink()
    assert found().missing == 3


@pytest.mark.parametrize("change", [{"seed-0/metrics.json": "{"}, {"seed-1/curve.csv": "step,loss\nx,1\n"}])
def test_outputs_of_another_form_are_named(repository: Repository, change: dict[str, str]) -> None:
    torn = written(repository, "models/classifiers/real-60-resnet18", cell(**change))
    assert (torn.children, torn.unreadable) == ([], ["models/classifiers/real-60-resnet18"])


def test_a_torn_listing_is_named(repository: Repository) -> None:
    folder, *_ = repository.output("models/classifiers/real-60-resnet18", cell())
    repository.result()
    object_of(folder).chmod(0o644)
    object_of(folder).write_text("[")
    assert found().unreadable == ["models/classifiers/real-60-resnet18"]


def test_without_dvc_it_says_so(bare: Path) -> None:
    with pytest.raises(EchosynthError, match=r"the DVC cache cannot be found .*run from the project's root"):
        Cache()

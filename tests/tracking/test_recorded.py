from pathlib import Path

import pytest
from tests.tracking.results import PARAMS, Repository, cell, changed, object_of, recorded

from echosynth.common.errors import EchosynthError
from echosynth.tracking import history
from echosynth.tracking.dvc_cache import Cache
from echosynth.tracking.record import Record
from echosynth.tracking.recorded import RecordedRuns, recorded_runs

CELL = "models/classifiers/real-60-resnet18"


@pytest.fixture
def repository(bare: Path) -> Repository:
    return Repository()


def found(lock_before: bytes = b"") -> RecordedRuns:
    """Runs of the latest result."""
    before = history.outs(history.stages(lock_before))
    return recorded_runs(history.read(history.results()[-1]), before, Cache())


def test_runs_come_in_the_order_of_the_pipeline_with_their_artifacts(repository: Repository) -> None:
    grid = recorded("diffusion 60", "diffusion", artifacts=["snapshots/step-0000010.png"])
    repository.output("reports/final", {"run.json": recorded("final model", "final")})
    repository.output(CELL, cell())
    repository.output("models/diffusion/60", {"run.json": grid, "snapshots/step-0000010.png": b"a picture"})
    repository.output("models/feature-network", {"run.json": recorded("feature network", "feature-network")})
    repository.output("data/split", {"metrics.json": {}})  # of a stage without runs
    repository.result()
    names = ["feature network", "diffusion 60", "resnet18 real 60 seed 0", "resnet18 real 60 seed 1", "final model"]
    assert [run.record.name for run in found().runs] == names
    _, diffusion, first, *_ = found().runs
    assert diffusion.artifacts["snapshots/step-0000010.png"].read_bytes() == b"a picture"
    assert first.record == Record.parse(cell()["real/seed-0/run.json"].encode())  # type: ignore[union-attr]
    assert first.artifacts["confusion.png"].read_bytes() == b"matrix 0"
    assert (found().missing, found().unrecorded, found().unreadable) == (0, 0, [])


def test_only_what_the_result_before_did_not_hold_was_run(repository: Repository) -> None:
    repository.output(CELL, cell())
    repository.result()
    before = Path("dvc.lock").read_bytes()
    repository.output("models/classifiers/synthetic-60-resnet18", cell(arm="mixed"))
    repository.result(changed(PARAMS, classifier={"steps": 7}))
    assert len(found().runs) == 4
    assert [run.record.name for run in found(before).runs] == [f"resnet18 mixed 60 seed {seed}" for seed in (0, 1)]


def test_entries_of_dvc_lock_that_nobody_asks_for_are_no_runs(repository: Repository) -> None:
    for path in ("models/classifiers/real-60-vgg16", "models/classifiers/oversampled-60-resnet18"):
        repository.output(path, cell())
    repository.output("models/diffusion/100", {"metrics.json": {}})
    repository.output("data/baselines/60", {"metrics.json": {}})  # without generators
    repository.output(CELL, cell())
    repository.result()
    assert len(found().runs) == 2
    assert found().unrecorded == 0


def test_results_of_earlier_versions_have_their_arms_in_section_classifier(repository: Repository) -> None:
    params = changed(PARAMS, classifier={"real_arms": ["real"], "architectures": ["resnet18"]})
    del params["arms"]
    for path in (CELL, "models/classifiers/real-60-vgg16", "models/classifiers/synthetic-60-resnet18"):
        repository.output(path, cell())
    repository.result(params)
    assert len(found().runs) == 2


def test_results_of_earlier_versions_have_an_output_for_each_arm(repository: Repository) -> None:
    for arm in ("real", "mixed", "oversampled"):  # the last one is asked for no more
        files = {name.removeprefix(f"{arm}/"): content for name, content in cell(arm).items()}
        repository.output(f"models/classifiers/{arm}-60-resnet18", files)
    repository.result()
    names = [f"resnet18 {arm} 60 seed {seed}" for arm in ("mixed", "real") for seed in (0, 1)]
    assert [run.record.name for run in found().runs] == names
    assert set(found().runs[0].artifacts) == {"confusion.png", "metrics.json"}


def test_what_the_cache_lacks_is_counted(repository: Repository) -> None:
    folder, *files = repository.output(CELL, cell())
    repository.output("data/synthetic/60", {"run.json": recorded("sample 60", "sample")})
    repository.result()
    object_of(repository.outs["data/synthetic/60"]).unlink()
    object_of(files[0]).unlink()  # a picture
    assert (found().missing, found().runs) == (2, [])
    object_of(folder).unlink()
    assert found().missing == 2


def test_outputs_from_before_records_are_counted_and_are_no_error(repository: Repository) -> None:
    repository.output(CELL, {"real/seed-0/metrics.json": {"facts": {}}, "real/seed-0/curve.csv": "step,loss\n1,2\n"})
    repository.output("models/diffusion/60", {"run.json": recorded("diffusion 60", "diffusion")})
    repository.result()
    assert [run.record.name for run in found().runs] == ["diffusion 60"]
    assert (found().missing, found().unrecorded, found().unreadable) == (0, 1, [])


@pytest.mark.parametrize(
    "torn",
    [
        "{",
        "[]",
        '{"name": "a"}',
        recorded("a", "b").replace('"metrics": {}', '"metrics": {"loss": {"x": 1}}'),
        recorded("a", "b").replace('"tags": {}', '"tags": {"arm": 1}'),
        recorded("a", "b").replace('"datasets": []', '"datasets": [{"name": "only"}]'),
        recorded("a", "b", artifacts=["nowhere.png"]),
    ],
)
def test_records_that_are_torn_or_of_another_form_are_named(repository: Repository, torn: str) -> None:
    repository.output(CELL, cell(**{"real/seed-0/run.json": torn}))
    repository.result()
    assert (found().runs, found().unreadable) == ([], [CELL])


def test_a_torn_listing_is_named(repository: Repository) -> None:
    folder, *_ = repository.output(CELL, cell())
    repository.result()
    object_of(folder).chmod(0o644)
    object_of(folder).write_text("[")
    assert found().unreadable == [CELL]


def test_without_dvc_it_says_so(bare: Path) -> None:
    with pytest.raises(EchosynthError, match=r"the DVC cache cannot be found .*run from the project's root"):
        Cache()

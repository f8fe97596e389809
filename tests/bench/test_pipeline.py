"""The copy of the project in which DVC's own time is measured: its graph, its outputs, what is left of the clock."""

from pathlib import Path

import pytest
import yaml
from bench.pipeline import LARGER, QUICK, copied, measure_demo, no_op
from bench.results import Duration, Missing, Share

from echosynth.common.yaml12 import read_yaml

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def write_lock(path: Path) -> Path:
    """Sizes of an output that later stages read in parts, of one that they read whole, and of one file."""
    outs = [("data/raw/phantom", 7, 700), ("data/split", 5, 500), ("reports/metrics.json", 1, 90)]
    deps = [("data/raw/phantom/tmed2", 4, 400), ("data/split/assignment.csv", 1, 300)]
    entries = {
        kind: [{"path": name, "md5": "0", "nfiles": files, "size": size} for name, files, size in rows]
        for kind, rows in (("outs", outs), ("deps", deps))
    }
    path.write_text(yaml.safe_dump({"schema": "2.0", "stages": {"any": {"cmd": "x"} | entries}}))
    return path


def test_the_copy_runs_every_stage_once_and_then_nothing(tmp_path: Path) -> None:
    with copied(changes=QUICK.changes, lock=write_lock(tmp_path / "dvc.lock")) as project:
        params = read_yaml(project.folder / "params.yaml")
        assert params["split"]["subsets"] == [100] and params["data"]["train_sources"] == ["tmed2"]
        words = set(project.outputs)
        assert {"phantom", "diffusion 100", "classify synthetic 100 resnet18", "report", "screen unity"} <= words
        assert "classify gaussian 100 resnet18" not in words
        own, stand_ins = project.first_run()
        assert own > 0 and stand_ins > 0
        files = [path for path in (project.folder / "data/raw/phantom").rglob("*") if path.is_file()]
        assert len(files) == 7 and len(list((project.folder / "data/raw/phantom/tmed2").iterdir())) == 4
        assert (project.folder / "data/split/assignment.csv").stat().st_size == 300
        assert (project.folder / "reports/metrics.json").stat().st_size == 90
        ran = (project.folder / "times").read_text()
        whole, graph, start = no_op(project, "small", 1)
        assert (project.folder / "times").read_text() == ran
    assert isinstance(whole, Duration) and isinstance(graph, Duration) and isinstance(start, Duration)
    assert "dvc stage list" in graph.task and "dvc root" in start.task
    assert whole.seconds[0] > 0 and f"{len(words)} stages" in whole.setting
    assert not project.folder.exists()


def test_without_a_lock_it_is_said_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (missing,) = measure_demo(QUICK)
    assert isinstance(missing, Missing) and "make demo" in missing.reason


def test_the_share_is_that_of_the_whole_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import pipeline

    monkeypatch.setattr(pipeline.Project, "first_run", lambda self: (20.0, 3.0))
    monkeypatch.setattr(pipeline.Project, "call", lambda self, *words: 1.5)
    monkeypatch.setattr(pipeline.Project, "_outputs", lambda self, known: {"phantom": [("data", 2, 3_000_000)]})
    share, whole, graph, start = measure_demo(QUICK)
    assert isinstance(share, Share) and share.share == pytest.approx(20 / (20 + 20 * 60))
    assert "3 MB" in share.setting and "20.0 s of DVC beside 20 minutes" in share.setting
    assert whole.seconds == graph.seconds == start.seconds == (1.5,)  # type: ignore[union-attr]


def test_the_larger_graph_has_more_than_100_stages() -> None:
    with copied("thesis", LARGER) as project:
        assert len(project.outputs) > 100
    with copied("thesis") as project:
        assert 50 < len(project.outputs) <= 100

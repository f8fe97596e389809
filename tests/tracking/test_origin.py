import subprocess
from pathlib import Path

import pytest

from echosynth.common.errors import EchosynthError
from echosynth.tracking import origin


def test_folder_hash_is_the_one_of_dvc(tmp_path: Path) -> None:
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db.local import LocalHashFileDB
    from dvc_objects.fs.local import LocalFileSystem

    folder = tmp_path / "data"
    (folder / "b" / "deep").mkdir(parents=True)
    # "b.txt" sorts before "b/..." as text, but after it as a path.
    for name in ("a.txt", "b/deep/é.txt", "b/z.txt", "b.txt"):
        (folder / name).write_text(name)
    _, _, tree = build(LocalHashFileDB(LocalFileSystem(), str(tmp_path / "odb")), str(folder), LocalFileSystem(), "md5")
    assert origin.data_hash(folder) == tree.hash_info.value
    assert len(origin.data_hash(folder)) == 36


def test_missing_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(EchosynthError, match="gone is missing; run `dvc repro`"):
        origin.data_hash(tmp_path / "gone")


def test_key_follows_parameters_and_experiment(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "params.yaml").write_text("a: 1\n")
    first = origin.parent_key()
    (bare / "params.yaml").write_text("# a comment\na:  1\n")
    assert origin.parent_key() == first
    assert first.startswith("repro-")
    (bare / "params.yaml").write_text("a: 2\n")
    assert origin.parent_key() != first
    monkeypatch.setenv("DVC_EXP_NAME", "tidy-owl")
    assert origin.execution_name() == "tidy-owl"
    named = origin.parent_key()
    assert named.startswith("tidy-owl-")
    (bare / "params.yaml").write_text("a: 3\n")
    assert origin.parent_key() != named


@pytest.mark.parametrize("experiment", ["", "tidy-owl"])
def test_clones_with_the_same_parameters_are_told_apart(
    bare: Path, monkeypatch: pytest.MonkeyPatch, experiment: str
) -> None:
    keys = set()
    monkeypatch.setenv("DVC_EXP_NAME", experiment)
    for name in ("one", "two"):
        (bare / name).mkdir()
        monkeypatch.chdir(bare / name)
        (bare / name / "params.yaml").write_text("a: 1\n")
        keys.add(origin.parent_key())
    assert len(keys) == 2


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize("place", [".", "project"])  # the repository's root, and a folder of a larger one
def test_what_the_pipeline_writes_does_not_make_a_revision_dirty(
    bare: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    project = bare / place
    locks = ["dvc.lock", "explore/dvc.lock", "data/raw/dvc.lock"]
    names = [*locks, "reports/metrics.json", ".gitignore", "data/.gitignore", "params.yaml"]
    for name in [*names, "dvc.yaml", "src/code.py"]:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("{}\n")
    git(bare, "init", "-q")
    git(bare, "add", "-A")
    git(bare, "commit", "-qm", "start")
    monkeypatch.chdir(project)
    for name in names[:-1]:
        (project / name).write_text("{a: 1}\n")
    assert origin.origin_tags()["git.dirty"] == "false"

    (project / "params.yaml").write_text("{a: 1}\n")
    assert origin.origin_tags()["git.dirty"] == "true"
    monkeypatch.setenv("DVC_EXP_NAME", "tidy-owl")
    assert origin.origin_tags()["git.dirty"] == "false"

    for name in ("dvc.yaml", "src/code.py"):
        (project / name).write_text("{a: 1}\n")
        assert origin.origin_tags()["git.dirty"] == "true"
        (project / name).write_text("{}\n")
    assert origin.origin_tags()["git.dirty"] == "false"


def test_no_git_no_tags(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert origin.origin_tags() == {"echosynth.parameters": "none"}
    monkeypatch.setenv("PATH", "")
    assert origin.head() == ""


def test_preset_is_the_most_particular_one_that_the_parameters_hold(bare: Path) -> None:
    params = bare / "params.yaml"
    params.write_text("split:\n  seed: 3\n  subsets: [150, all]\nsample:\n  guidance: 1.0\n")
    assert origin.preset() == "own"  # nothing is committed
    git(bare, "init", "-q")
    git(bare, "add", "params.yaml")
    git(bare, "commit", "-qm", "start")
    assert origin.preset() == "demo"  # and there is no folder of presets
    (bare / "params").mkdir()
    (bare / "params" / "small.yaml").write_text("split:\n  seed: 4\n")
    (bare / "params" / "large.yaml").write_text("split:\n  seed: 4\n  subsets: [1000, all]\n")
    (bare / "params" / "broken.yaml").write_text("split: [\n")
    (bare / "params" / "empty.yaml").write_text("")
    assert origin.preset() == "demo"
    params.write_text("split:\n  seed: 4\n  subsets: [150, all]\nsample:\n  guidance: 1.0\n")
    assert origin.preset() == "small"
    params.write_text("split:\n  seed: 4\n  subsets: [1000, all]\nsample:\n  guidance: 9.0\n")
    assert origin.preset() == "large"
    params.write_text("split:\n  seed: 5\n")
    assert origin.preset() == "own"

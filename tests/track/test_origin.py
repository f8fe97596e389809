from pathlib import Path

import pytest

from echosynth.errors import EchosynthError
from echosynth.track import origin


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
    assert first == origin.parent_key()
    assert first.startswith("repro-")
    (bare / "params.yaml").write_text("a: 2\n")
    assert origin.parent_key() != first
    monkeypatch.setenv("DVC_EXP_NAME", "tidy-owl")
    assert origin.parent_key() == origin.execution_name() == "tidy-owl"


def test_no_git_no_tags(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert origin.origin_tags() == {}
    monkeypatch.setenv("PATH", "")
    assert origin.head() == ""

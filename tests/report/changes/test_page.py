"""Two states of a small git repository with files of DVC, and the page of what lies between them."""

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from echosynth.common.errors import EchosynthError
from echosynth.common.views import VIEWS
from echosynth.imagesets.store import write_image_set
from echosynth.report.changes.figures import auprc_figure, draw
from echosynth.report.changes.page import render_page, write_page
from echosynth.report.changes.states import find_state, working_tree

PARAMS = {"sample": {"guidance": 1.0, "solver": "unipc"}, "split": {"subsets": [100, "all"]}, "data": {"flag": True}}
SCORES = {
    "auprc": {"real_100": 0.75, "mixed_100": 0.85, "mixed_all": 0.9, "densenet121_real_100": 0.5},
    "fid_echo": {"100": 97.31},
    "fid_echo_floor": {"100": 10.42},
    "test": {"macro_auprc": 0.9, "macro_f1": 0.8, "recall_A2C": 0.7, "loss": 0.2, "accuracy": 0.95},
    "best": {"validation_macro_f1": 0.8},
}
Repository = Callable[..., str]


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def git(folder: Path, *words: str) -> str:
    environment = os.environ | {
        f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    done = subprocess.run(["git", *words], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def store(cache: Path, content: bytes) -> str:
    """Put a file into the cache as DVC does."""
    name = md5(content)
    path = cache / "files/md5" / name[:2] / name[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return name


def store_folder(cache: Path, files: dict[str, bytes]) -> dict[str, Any]:
    """Put a folder into the cache, and what dvc.lock says of it."""
    listing = json.dumps([{"md5": store(cache, content), "relpath": name} for name, content in files.items()]).encode()
    name = f"{md5(listing)}.dir"
    path = cache / "files/md5" / name[:2] / name[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(listing)
    return {"md5": name, "size": sum(map(len, files.values())), "nfiles": len(files)}


def final_scores(right: int) -> dict[str, bytes]:
    """reports/final with so many right predictions of each view."""
    counts = np.full((4, 4), 1) + (right - 1) * np.eye(4, dtype=int)
    shares = counts / counts.sum(1, keepdims=True)
    scores = {"test": {"confusion": counts.tolist(), "confusion_normalised": shares.tolist()}}
    return {"metrics.json": json.dumps(scores).encode()}


def synthetic_set(folder: Path, level: int, synthetic: bool = True) -> dict[str, bytes]:
    """Ten images of each view but PSAX, of one, whose grey is 40 times the number of the view above `level`."""
    rows = [(view, number) for view in VIEWS for number in range(1 if view == "PSAX" else 10)]
    table = pd.DataFrame(rows, columns=["view", "frame"])
    table["frame"] = 0
    table = table.assign(
        id=[f"synthetic-100-{number:06d}" for number in range(len(rows))],
        source="tmed2",
        group="none",
        group_kind="none",
        official_split="",
        moment="",
        frames=1,
        width=16,
        height=16,
        synthetic=True,
    )
    columns = ["id", "source", "view", "group", "group_kind", "official_split", "moment", "frame", "frames", "width"]
    pictures = (np.full((16, 16), level + 40 * VIEWS.index(view), np.uint8) for view, _ in rows)
    write_image_set(folder, pictures, table[[*columns, "height", "synthetic"]])
    files = {name: (folder / name).read_bytes() for name in ("images.zip", "manifest.csv")}
    if not synthetic:
        files["manifest.csv"] = files["manifest.csv"].replace(b"True", b"False", 1)
    return files


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """DVC's cache, which the settings of the project have moved out of it."""
    return tmp_path / "cache"


@pytest.fixture
def commit(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Write a state of the project into a git repository, the current folder, and commit it; returns the commit."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    git(folder, "init", "-q", "-b", "main")
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text(f"[cache]\n    dir = {cache}\n")

    def make(
        params: dict[str, Any] = PARAMS,
        scores: dict[str, Any] = SCORES,
        outputs: dict[str, dict[str, Any]] | None = None,
        code: str = "a",
        review: str = "b",
        used: dict[str, Any] | None = None,
    ) -> str:
        text = json.dumps(scores)
        outs = [{"path": path, "hash": "md5", **entry} for path, entry in (outputs or {}).items()]
        deps = [
            {"path": "src/echosynth/a.py", "md5": md5(code.encode()), "size": 5},
            {"path": "data/review/tmed2.yaml", "md5": md5(review.encode()), "size": 1234},
            {"path": "data/synthetic", "md5": md5(text.encode()), "size": 5},
        ]
        summary = [{"path": "reports/metrics.json", "md5": md5(text.encode()), "size": len(text)}]
        stages = {
            "sample@100": {"cmd": "x", "deps": deps, "outs": outs},
            "report": {"cmd": "y", "params": {"params.yaml": used or params}, "outs": summary},
        }
        (folder / "reports").mkdir(exist_ok=True)
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        (folder / "reports/metrics.json").write_text(text)
        (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "--allow-empty", "-m", "state")
        return git(folder, "rev-parse", "HEAD")

    return make


def changed(tree: dict[str, Any], **branches: dict[str, Any]) -> dict[str, Any]:
    return {key: value | branches.get(key, {}) for key, value in tree.items()} | {
        key: value for key, value in branches.items() if key not in tree
    }


def row(text: str, name: str) -> list[str]:
    """Cells of the row whose first or second cell is `name`."""
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:1] == "|"]
    return next(cells for cells in rows if name in cells[:2])


def test_parameters_that_changed_came_or_went_are_listed_and_no_others(commit: Repository) -> None:
    old = commit()
    params = changed(PARAMS, sample={"guidance": 2.0, "eta": 0}, split={"subsets": ["100", "all"]}, data={"flag": 1})
    params["sample"].pop("solver")
    commit(params)
    text = render_page(find_state(old), working_tree())
    assert "5 of 5 parameters differ" in text
    assert row(text, "`sample.guidance`")[1:] == ["`1.0`", "`2.0`"]
    assert row(text, "`sample.eta`")[1:] == ["–", "`0`"]
    assert row(text, "`sample.solver`")[1:] == ["`unipc`", "–"]
    assert row(text, "`split.subsets`")[1:] == ['`[100, "all"]`', '`["100", "all"]`']  # a type that changed
    assert row(text, "`data.flag`")[1:] == ["`true`", "`1`"]


def test_a_number_that_became_text_is_told_apart(commit: Repository) -> None:
    old = commit()
    commit(changed(PARAMS, sample={"guidance": "1.0", "solver": "unipc"}))
    assert row(render_page(find_state(old), working_tree()), "`sample.guidance`")[1:] == ["`1.0`", '`"1.0"`']


def test_scores_stand_in_order_with_their_difference_in_words(commit: Repository) -> None:
    old = commit()
    scores = changed(
        SCORES,
        auprc={"mixed_all": 0.8, "real_all": 0.7},
        fid_echo={"100": 90.0},
        fid_echo_floor={"100": 10.0},
        test={"macro_auprc": 0.95, "loss": 0.25},
        shift={"macro_f1": 0.5},
    )
    scores["best"] = {}
    commit(scores=scores)
    text = render_page(find_state(old), working_tree())
    assert "8 of 14 scores differ" in text
    names = [line.split("|")[1].strip() for line in text.partition("## Scores")[2].splitlines() if line[:1] == "|"][2:]
    assert names[:5] == ["test.macro_auprc", "shift.macro_f1", "fid_echo.100", "auprc.mixed_all", "auprc.real_all"]
    assert row(text, "test.macro_auprc")[1:] == ["0.9000", "0.9500", "+0.0500", "higher, better"]
    assert row(text, "fid_echo.100")[1:] == ["97.31", "90.00", "−7.31", "lower, better"]
    assert row(text, "fid_echo_floor.100")[-1] == "lower"
    assert row(text, "test.loss")[-1] == "higher, worse"
    assert row(text, "auprc.real_all")[1:] == ["–", "0.7000", "–", "new"]
    assert row(text, "best.validation_macro_f1")[-1] == "gone"
    assert "test.accuracy" not in text


def test_a_score_that_is_absent_is_named_with_its_reason(commit: Repository) -> None:
    old = commit()
    scores = changed(SCORES) | {"absent": {"test.macro_f1": "images of A4C alone"}}
    del scores["test"]["macro_f1"]
    commit(scores=scores)
    text = render_page(find_state(old), working_tree())
    assert "1 of 12 scores differ" in text and row(text, "test.macro_f1")[-1] == "gone"
    assert "`test.macro_f1` of the working tree is absent: the set has images of A4C alone." in text


def test_data_and_code_that_differ_are_named(commit: Repository) -> None:
    folders = {
        name: {"md5": f"{name * 8}.dir", "size": size, "nfiles": 2} for name, size in (("a", 999), ("b", 1_500_000))
    }
    old = commit(outputs={"data/synthetic/100": folders["a"], "models/feature-network": folders["b"]})
    commit(
        outputs={"data/synthetic/100": folders["b"], "models/feature-network": folders["b"]}, code="other", review="x"
    )
    text = render_page(find_state(old), working_tree())
    assert row(text, "`data/synthetic/100`") == [
        "sample@100", "`data/synthetic/100`", "aaaaaaa, 2 files, 999 bytes", "bbbbbbb, 2 files, 1.5 MB",
    ]  # fmt: skip
    assert "models/feature-network" not in text
    assert row(text, "`data/review/tmed2.yaml`")[0] == "sample@100"
    assert "`data/synthetic`" not in text  # holds outputs: no input
    assert "Code that stages depend on differs: `src/echosynth/a.py`." in text


def test_equal_states_say_so(commit: Repository) -> None:
    old = commit()
    text = render_page(find_state(old), find_state("main"), *draw(find_state(old), find_state("main")))
    assert "4 parameters, no difference." in text
    assert "12 scores, no difference." in text
    assert "The code that stages depend on is the same." in text
    assert "![" not in text
    assert text.rstrip().endswith("never a patient's.") and "Research software" in text


def test_what_is_compared_is_named(commit: Repository) -> None:
    base = commit()
    tip = commit(changed(PARAMS, sample={"guidance": 3.0}))
    git(Path(), "update-ref", f"refs/exps/{base[:2]}/{base[2:]}/strong", tip)
    git(Path(), "reset", "-q", "--hard", base)
    git(Path(), "tag", "first")
    Path("params.yaml").write_text(yaml.safe_dump(changed(PARAMS, sample={"guidance": 9.0})))
    text = render_page(find_state("strong"), working_tree())
    assert "# What changes from experiment strong to the working tree" in text
    assert row(text, "commit")[1:] == [tip[:7], f"{base[:7]} with changes"]
    assert row(text, "experiment")[1:] == ["strong", "–"]
    assert row(text, "`sample.guidance`")[1:] == ["`3.0`", "`9.0`"]
    assert "The scores of the working tree were not made with its params.yaml" in text
    assert "The scores of experiment strong" not in text
    assert find_state("first").commit == find_state(base[:9]).commit == base
    assert find_state(tip).experiments == ("strong",)


def test_of_experiments_with_one_name_that_of_head_is_meant(commit: Repository) -> None:
    one, two, three = commit(), commit(), commit()
    for base, tip in ((one, two), (two, three)):
        git(Path(), "update-ref", f"refs/exps/{base[:2]}/{base[2:]}/twice", tip)
    with pytest.raises(EchosynthError, match=f"2 experiments are called twice; name the commit of one: .*{two[:7]}"):
        find_state("twice")
    git(Path(), "reset", "-q", "--hard", one)
    assert find_state("twice").commit == two


def test_pictures_of_both_sides_lie_beside_the_page(commit: Repository, cache: Path, tmp_path: Path) -> None:
    def outputs(number: int) -> dict[str, dict[str, Any]]:
        images = synthetic_set(tmp_path / "set", 20 * number)
        return {
            "data/synthetic/100": store_folder(cache, images),
            "reports/final": store_folder(cache, final_scores(10 + number)),
        }

    old = commit(outputs=outputs(1))
    commit(scores=changed(SCORES, auprc={"mixed_100": 0.5}), outputs=outputs(2))
    out = tmp_path / "out"
    assert write_page(find_state(old), working_tree(), out) == []
    text = (out / "report.md").read_text()
    names = {
        "auprc.png",
        *(f"{name}-{side}.png" for name in ("reports-final", "data-synthetic-100") for side in ("old", "new")),
    }
    assert {path.name for path in out.iterdir()} == names | {"report.md"}
    assert all(f"]({name})" in text for name in names)
    for side, level in (("old", 20), ("new", 40)):
        sheet = cv2.imread(str(out / f"data-synthetic-100-{side}.png"), cv2.IMREAD_GRAYSCALE)
        assert sheet.shape == ((4 * 17 - 1) * 6, (8 * 17 - 1) * 6)
        cells = sheet[::6, ::6][8::17, 8::17]
        assert cells[:, 0].tolist() == [level + 40 * number for number in range(4)]
        assert cells[3, 1:].tolist() == [255] * 7  # there is one image of PSAX
        assert (cells[:3] < 255).all()
    before = {path: path.read_bytes() for path in out.iterdir()}
    write_page(find_state(old), working_tree(), out)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_what_the_cache_lacks_is_said_and_the_rest_is_shown(commit: Repository, cache: Path, tmp_path: Path) -> None:
    gone = {"md5": "0" * 32 + ".dir", "size": 1, "nfiles": 1}
    old = commit(outputs={"reports/final": gone})
    commit(outputs={"reports/final": store_folder(cache, final_scores(5))})
    (sentence,) = write_page(find_state(old), working_tree(), tmp_path / "out")
    assert f"reports/final of revision {old} is not in DVC's cache" in sentence and "dvc fetch" in sentence
    assert sentence in (tmp_path / "out/report.md").read_text()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.md", "reports-final-new.png"}


def test_pictures_of_patients_are_never_shown(commit: Repository, cache: Path, tmp_path: Path) -> None:
    old = commit()
    commit(outputs={"data/synthetic/100": store_folder(cache, synthetic_set(tmp_path / "set", 0, synthetic=False))})
    with pytest.raises(EchosynthError, match="holds images that are not synthetic"):
        write_page(find_state(old), working_tree(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["images.zip", "manifest.csv", "metrics.json"])
def test_a_damaged_cache_is_named(commit: Repository, cache: Path, tmp_path: Path, name: str) -> None:
    old = commit()
    folders = {"data/synthetic/100": synthetic_set(tmp_path / "set", 0), "reports/final": final_scores(3)}
    for files in folders.values():
        files |= {name: b"{"} if name in files else {}
    outputs = {path: store_folder(cache, files) for path, files in folders.items()}
    commit(outputs=outputs)
    with pytest.raises(EchosynthError, match=r"cache/files/md5.*(damaged|no valid JSON)"):
        write_page(find_state(old), working_tree(), tmp_path / "out")


def test_the_curves_are_those_of_the_first_architecture() -> None:
    figure = auprc_figure(
        {"auprc.real_100": 0.7, "auprc.real_all": 0.9, "auprc.vgg16_real_100": 0.1}, {"auprc.mixed_20": 0.8}
    )
    assert figure is not None
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert list(panels) == ["real", "mixed"]
    assert [label.get_text() for label in panels["real"].get_xticklabels()] == ["20", "100", "all"]
    (line,) = panels["real"].get_lines()
    assert line.get_label() == "old" and line.get_ydata().tolist() == [0.7, 0.9] and line.get_xdata().tolist() == [1, 2]
    (line,) = panels["mixed"].get_lines()
    assert line.get_label() == "new"
    assert auprc_figure({"test.macro_auprc": 0.7}, {}) is None


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda: Path("reports/metrics.json").unlink(), "reports/metrics.json is missing; run `dvc repro`"),
        (lambda: Path("reports/metrics.json").write_text('{"test": {'), "reports/metrics.json is no valid JSON"),
        (lambda: Path("reports/metrics.json").write_text('{"test": 3}'), "holds no scores"),
        (lambda: Path("dvc.lock").unlink(), "dvc.lock is missing"),
        (lambda: Path("dvc.lock").write_text("stages: ["), "dvc.lock or params.yaml of the working tree is torn"),
        (lambda: Path("dvc.lock").write_text("stages: {a: {outs: [3]}}"), "dvc.lock or params.yaml .* is torn"),
        (lambda: Path("params.yaml").write_text("a: ["), "params.yaml is no valid YAML"),
        (lambda: Path("params.yaml").write_text("3"), "dvc.lock or params.yaml .* is torn"),
    ],
)
def test_a_torn_working_tree_is_named(commit: Repository, break_it: Callable[[], None], sentence: str) -> None:
    commit()
    break_it()
    with pytest.raises(EchosynthError, match=sentence):
        working_tree()
    break_names = git(Path(), "status", "--porcelain")
    assert break_names  # it was tracked
    git(Path(), "commit", "-qam", "torn")
    with pytest.raises(EchosynthError, match="revision HEAD"):
        find_state("HEAD")


def test_unknown_names_and_states_without_results_are_refused(commit: Repository, tmp_path: Path) -> None:
    git(Path(), "commit", "-q", "--allow-empty", "-m", "nothing yet")
    with pytest.raises(EchosynthError, match=r"revision main holds no params.yaml.*made after `dvc repro`"):
        find_state("main")
    commit()
    for name in ("nonsense", "--all", "", "a b\nc"):
        with pytest.raises(EchosynthError, match=r"there is no revision or experiment .*dvc exp list"):
            find_state(name)


def test_without_git_or_a_repository_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(EchosynthError, match=r"not a git repository.*run from the project's root"):
        working_tree()
    git(tmp_path, "init", "-q")
    with pytest.raises(EchosynthError, match="nothing is committed yet"):
        working_tree()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EchosynthError, match="git is missing"):
        working_tree()


def test_a_folder_with_other_things_is_not_replaced(commit: Repository, tmp_path: Path) -> None:
    state = find_state(commit())
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("years of work")
    for folder in (tmp_path / "out", tmp_path / "out/thesis.tex"):
        with pytest.raises(EchosynthError, match="name a new folder"):
            write_page(state, state, folder)
    (tmp_path / "out/report.md").write_text("")
    with pytest.raises(EchosynthError, match="name a new folder"):
        write_page(state, state, tmp_path / "out")
    assert (tmp_path / "out/thesis.tex").read_text() == "years of work"
    (tmp_path / "out/thesis.tex").unlink()
    (tmp_path / "out/report.md").write_text("# Months of work\n\n![photo](photo.png)\n")
    (tmp_path / "out/photo.png").write_bytes(b"png")
    with pytest.raises(EchosynthError, match="which this command did not write; name a new folder"):
        write_page(state, state, tmp_path / "out")
    assert (tmp_path / "out/photo.png").read_bytes() == b"png"


def test_a_picture_that_somebody_added_is_not_deleted(commit: Repository, tmp_path: Path) -> None:
    state = find_state(commit())
    write_page(state, state, tmp_path / "out")
    write_page(state, state, tmp_path / "out")
    (tmp_path / "out/photo.png").write_bytes(b"png")
    with pytest.raises(EchosynthError, match=r"out holds photo\.png, which this command did not write"):
        write_page(state, state, tmp_path / "out")
    assert (tmp_path / "out/photo.png").read_bytes() == b"png"

"""The data card: its numbers are those of the stages' outputs, and neither it nor the page says too much."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.common.files import read_json, write_json
from echosynth.common.views import VIEWS
from echosynth.common.yaml12 import read_yaml
from echosynth.config.parameters import Params, parse_params
from echosynth.imagesets.store import write_image_set
from echosynth.report.data_card import tables as card_tables
from echosynth.report.data_card.card import collect, frame_statistics
from echosynth.report.data_card.screening import read_review
from echosynth.sources.registry import find_source
from echosynth.stages.card import build

SIDE, EACH = 32, 20
SPLITS = ("train", "validation", "test")
KINDS = {"echonet-dynamic": "file", "echonet-lvh": "file", "tmed2": "patient", "camus": "patient", "unity": "cine"}


def _picture(rng: np.random.Generator, view: str) -> np.ndarray:
    """A sector with a dark blob whose place depends on the view."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    sector = (np.hypot(x - 0.5, y) < 0.95) & (np.abs(np.arctan2(x - 0.5, y + 0.02)) < 0.7)
    spot = np.hypot(x - 0.3 - 0.13 * VIEWS.index(view), y - 0.55) < 0.14
    return np.clip(sector * (110 + 40 * rng.standard_normal((SIDE, SIDE)) - 80 * spot), 0, 255).astype(np.uint8)


def _manifest(source: str, rng: np.random.Generator) -> pd.DataFrame:
    """`EACH` images of every view; two of each group; CAMUS with both moments."""
    views = [view for view in find_source(source).views for _ in range(EACH)]
    cines = KINDS[source] == "file"
    rows: list[dict[str, Any]] = []
    for number, view in enumerate(views):
        group = f"ab{number if cines else number // 2:010x}"
        frames = int(rng.normal(170, 40)) if cines else 1
        rows.append(
            {
                "id": f"{source}-{rng.integers(16**12):012x}",
                "source": source,
                "view": view,
                "group": group,
                "group_kind": KINDS[source],
                "official_split": "",
                "moment": ("ED", "ES")[number % 2] if source == "camus" else "",
                "frame": 0,
                "frames": frames,
                "width": 112 if source == "tmed2" else (1024, 800)[number % 2],
                "height": 112 if source == "tmed2" else (768, 600)[number % 2],
                "synthetic": False,
            }
        )
    return pd.DataFrame(rows)


def _report(source: str, manifest: pd.DataFrame) -> dict[str, Any]:
    sizes = (manifest["width"].astype(str) + "x" + manifest["height"].astype(str)).value_counts()
    cines = find_source(source).has_cines
    return {
        "source": source,
        "images": len(manifest),
        "omitted": {"colour Doppler": {"count": 3, "names": [f"{source}-secretname"]}} if cines else {},
        "notes": ["the table of splits is missing"] if source == "unity" else [],
        "native_sizes": sizes.to_dict(),
        "frame_counts": {str(key): int(n) for key, n in manifest["frames"].value_counts().items()},
        "enlarged": 2 if source == "tmed2" else 0,
        "selection": "one random frame of each cine" if cines else "at most 15 images of a patient and view",
        "validation": {
            "method": "ks" if cines else "none",
            "kept": len(manifest),
            "dropped": 3 if cines else 0,
            "by_reason": {"colour Doppler": 3} if cines else {},
        },
    }


def _validation(source: str, rng: np.random.Generator) -> None:
    """Sixteen groups, of which three are proposed to be dropped; a person keeps one of these and drops another."""
    folder = Path("data/screening") / source
    folder.mkdir(parents=True)
    review = Path("data/review") / f"{source}.yaml"
    review.parent.mkdir(parents=True, exist_ok=True)
    columns = ["group", "size", "colourfulness", "flagged", "proposal", "reason"]
    if not find_source(source).has_cines:
        pd.DataFrame(columns=columns).to_csv(folder / "groups.csv", index=False)
        names = ["id", "group", "grey_share", "coloured_share", "proposal", "statistic", "p_value"]
        pd.DataFrame(columns=names).to_csv(folder / "recordings.csv", index=False)
        write_json(folder / "metrics.json", {"recordings": 0})
        review.write_text("groups: {}\nrecordings: {}\n")
        return
    reasons = {1: "colour Doppler", 2: "split picture", 3: "odd colours"}
    groups, recordings = [], []
    for number in range(16):
        founder, size = f"{source}-{number:012x}", 3 if number in reasons else 16 - number
        proposal, reason = ("drop", reasons[number]) if number in reasons else ("keep", "")
        groups.append([founder, size, round(float(rng.random()), 2) + 30 * (number in reasons), 0, proposal, reason])
        for member in range(size):
            name = founder if member == 0 else f"{founder}x{member}"
            recordings.append([name, founder, 0.99, 0.0, reason, 0.01, 0.5])
    pd.DataFrame(groups, columns=columns).to_csv(folder / "groups.csv", index=False)
    names = ["id", "group", "grey_share", "coloured_share", "proposal", "statistic", "p_value"]
    pd.DataFrame(recordings, columns=names).to_csv(folder / "recordings.csv", index=False)
    write_json(folder / "metrics.json", {"recordings": len(recordings), "groups": 16, "method": "ks"})
    sheet = rng.integers(0, 256, (480, 1800, 3), dtype=np.uint8)
    for name in ("sheet.png", "sheet-2.png"):
        (folder / name).write_bytes(cv2.imencode(".png", sheet)[1].tobytes())
    ids = [f"{source}-{number:012x}" for number in range(16)]
    review.write_text(f"groups:\n  {ids[3]}: keep\n  {ids[1]}: drop\nrecordings:\n  {ids[5]}: drop\n")


def _split(params: Params, manifests: dict[str, pd.DataFrame]) -> None:
    four = pd.concat(manifests.values(), ignore_index=True)
    four["split"] = [SPLITS[max(0, number % 10 - 7)] for number in range(len(four))]

    def count(rows: pd.DataFrame, column: str) -> dict[str, int]:
        return {str(key): int(value) for key, value in rows[column].value_counts().items()}

    parts = {name: four[four["split"] == name] for name in SPLITS}
    subset = {"images": len(four), "by_view": count(four, "view"), "by_source": count(four, "source")}
    metrics = {
        "by_source": {name: count(part, "source") for name, part in parts.items()},
        "by_view": {name: count(part, "view") for name, part in parts.items()},
        "groups": {name: int(part["group"].nunique()) for name, part in parts.items()},
        "subsets": {"all": subset},
        "rules": {
            name: {"rule": "group", "reason": "the source names its patients"} for name in params.data.train_sources
        },
        "duplicates": {
            "exact": 2,
            "near": 1,
            "other_view": 1,
            "within_groups": {"exact": 4, "near": 0},
            "blank": 1,
            "linked_groups": 5,
            "clusters": 2,
            "largest_cluster": 3,
            "torn_clusters": 1,
        },
    }
    write_json(paths.SPLIT / "metrics.json", metrics)
    ids = manifests["tmed2"]["id"].tolist()
    # Groups 0-1 share a picture, 1-2 nearly one, 5-6 another under two views.
    pairs = [
        [ids[0], ids[2], "exact", 1.0, False, True],
        [ids[2], ids[4], "near", 0.997, False, True],
        [ids[10], ids[12], "exact", 1.0, False, False],
    ]
    columns = ["first", "second", "kind", "correlation", "same_group", "same_view"]
    pd.DataFrame(pairs, columns=columns).to_csv(paths.SPLIT / "duplicates.csv", index=False)


def _params() -> Params:
    """The parameters of real releases."""
    content = read_yaml(Path(__file__).parents[3] / "params.yaml")
    content["data"] |= {"root": "data/raw/releases", "salt_file": "data/salt"}
    content["review"]["undecided"] = "proposal"
    return parse_params(content)


def _write_all(settings: Params) -> None:
    rng = np.random.default_rng(0)
    manifests = {}
    for source in [*settings.data.train_sources, *settings.data.shift_sources]:
        manifest = _manifest(source, rng)
        folder = (paths.SHIFT if source in settings.data.shift_sources else paths.SOURCES) / source
        write_image_set(folder, [_picture(rng, view) for view in manifest["view"]], manifest)
        write_json(folder / "report.json", _report(source, manifest))
        _validation(source, rng)
        if source in settings.data.train_sources:
            manifests[source] = manifest
    _split(settings, manifests)


@pytest.fixture(scope="module")
def written_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what the stages of the data write, to be copied."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _write_all(_params())
    return folder


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written_data: Path) -> Params:
    """The current folder holds what the stages of the data write; the parameters are those of real releases."""
    shutil.copytree(written_data, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return _params()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, written_data: Path) -> Path:
    """The reports of another, equal tree."""
    folder = tmp_path_factory.mktemp("built")
    shutil.copytree(written_data, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DVC_ROOT", str(folder))
        build(_params())
    return folder / "reports"


@pytest.fixture
def card(built: Path) -> dict[str, Any]:
    return dict(read_json(built / "data_card.json"))


@pytest.fixture(scope="module")
def page(built: Path) -> str:
    return (built / "data.html").read_text(encoding="utf-8")


def _rows(page: str, caption: str) -> list[list[str]]:
    """Cells of the rows of a table."""
    table = page.split(f"<figcaption>{caption}</figcaption>", 1)[1].split("</table>", 1)[0]
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr.*?</tr>", table.split("<tbody>")[1])]


def test_counts(card: dict[str, Any]) -> None:
    assert card["images"] == {"all": 220, "four_class": 120, "shift": 100, "train": 96, "validation": 12, "test": 12}
    assert card["groups"] == {"cine": 30, "file": 40, "patient": 40 + 20}
    lvh = card["sources"]["echonet-lvh"]
    assert lvh["views"] == {"A2C": 0, "A4C": 0, "PLAX": 20, "PSAX": 0}
    assert lvh["native_sizes"] == {"1024x768": 10, "800x600": 10}
    assert lvh["split"] == {"rule": "group", "reason": "the source names its patients"}
    assert card["sources"]["camus"]["split"] is None
    assert card["shift"]["unity"] == {"A2C": 20, "A4C": 20, "PLAX": 20, "PSAX": 0}
    assert card["left_out"] == {name: lvh["left_out"] if "echonet" in name else {} for name in card["sources"]}
    assert all(source["licence"] and source["citation"] for source in card["sources"].values())
    assert card["sources"]["tmed2"]["enlarged"] == 2


def test_frame_statistics() -> None:
    found = frame_statistics({"100": 1, "110": 98, "400": 1})
    assert found == {
        "files": 100, "fewest": 100, "most": 400, "mean": 112.8, "median": 110, "low": 110, "high": 110,
    }  # fmt: skip


def test_a_person_decides_and_the_rest_follows_the_parameter(params: Params) -> None:
    def decided(undecided: str) -> dict[int, tuple[str, str]]:
        review = params.review.model_copy(update={"undecided": undecided})
        table = read_review("echonet-lvh", params.model_copy(update={"review": review})).groups
        return {row["number"]: (row["decision"], row["by"]) for row in table.to_dict("records")}

    proposed, dropped = decided("proposal"), decided("drop")
    assert proposed[2] == dropped[2] == ("drop", "person")
    assert proposed[4] == dropped[4] == ("keep", "person")
    assert proposed[3] == ("drop", "proposal")
    assert proposed[1] == ("keep", "proposal")
    assert dropped[1] == ("drop", "undecided: dropped")
    assert decided("keep")[3] == ("keep", "undecided: kept")


def test_validation(card: dict[str, Any]) -> None:
    assert set(card["validation"]) == {"echonet-dynamic", "echonet-lvh"}
    found = card["validation"]["echonet-lvh"]
    assert found["groups"] == 16
    assert found["single"] == {"drop": 1, "keep": 0}
    kept = {"decision": "keep", "by": "person", "proposal": "drop", "reason": "odd colours"}
    assert kept | {"groups": 1, "recordings": 3} in found["decisions"]
    assert sum(row["recordings"] for row in found["decisions"]) == found["recordings"]


def test_duplicates(card: dict[str, Any]) -> None:
    assert card["duplicates"] == {
        "exact": {"across_groups": 2, "across_views": 1, "within_groups": 4},
        "near": {"across_groups": 1, "across_views": 0, "within_groups": 0},
        "linked_groups": 5,
        "clusters": 2,
        "largest_cluster": 3,
        "torn_clusters": 1,
        "blank": 1,
    }


def test_the_card_names_no_file_patient_place_or_secret(params: Params, built: Path, page: str) -> None:
    text = (built / "data_card.json").read_text(encoding="utf-8")
    assert json.loads(text) == json.loads(json.dumps(collect(params)))
    manifest = pd.read_csv(paths.SOURCES / "tmed2/manifest.csv", dtype="str")
    for word in ("secretname", "data/salt", "data/raw", "scheduler", "image/png", *manifest["id"], *manifest["group"]):
        assert word not in text, word
    assert "secretname" not in page
    assert not any(name in page for name in [*manifest["id"], *manifest["group"]])


def test_page_loads_nothing_and_links_to_the_report(page: str) -> None:
    sources = re.findall(r'src="([^"]{0,40})', page)
    assert len(sources) > 12
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    links = re.findall(r'href="([^"]*)"', page)
    assert {link for link in links if not link.startswith("#")} == {"index.html"}
    for link in links:
        assert link == "index.html" or f'<section id="{link[1:]}">' in page
    assert not re.search(r"<script|<link|@import|url\(|https?://", page)


def test_page_says_what_the_card_holds(page: str) -> None:
    for word in (
        "220 images from 5 sources: 120 of the four-class set (96 train, 12 validation, 12 test)",
        "100 for the domain shift alone",
        "Leclerc et al.",
        "CAMUS, A2C: end diastole above, end systole of the same below",
        "the table of splits is missing",
        "by group: the source names its patients",
        "does not reject at level 0.05",
        "Research software, no medical device",
        "This is the first of 2 sheets; all lie in data/screening/echonet-lvh.",
        "32 x 32 pixels",
        "A person decided about 1 recording apart from the group: 1 dropped, 0 kept.",
    ):
        assert word in page, word
    assert "phantom" not in page
    assert _rows(page, "Duplicates in the four-class set (pairs of images)")[0] == ["exact", "2", "1", "4"]
    reasons = _rows(page, "Left out by ingest (files or rows)")
    assert reasons[0] == ["EchoNet-Dynamic", "colour Doppler", "3"]


def test_groups_shown_are_the_dropped_ones_and_then_the_most_colourful(page: str) -> None:
    rows = _rows(page, "EchoNet-LVH: groups, dropped ones first, then the most colourful")
    assert len(rows) == 12
    assert [row[0] for row in rows[:3]] == ["drop (person)", "drop (proposal)", "keep (person)"]
    assert [row[3] for row in rows[:3]] == ["2", "3", "4"]
    assert "Not shown: 4 more groups" in page


def test_phantoms_are_marked(params: Params) -> None:
    named = params.model_copy(update={"data": params.data.model_copy(update={"root": "data/raw/phantom"})})
    card = collect(named)
    assert card["simulated"]
    assert card["parameters"]["phantom"]["one_in"] == params.phantom.one_in
    build(named)
    assert "All pictures here are simulated phantoms" in Path("reports/data.html").read_text(encoding="utf-8")


def test_real_data_have_no_phantom_parameters(card: dict[str, Any]) -> None:
    assert not card["simulated"]
    assert set(card["parameters"]) == {"data", "review", "ingest", "split"}
    assert card["validation"]["echonet-lvh"]["on_phantoms"] is None


def test_same_inputs_same_bytes(params: Params, page: str) -> None:
    build(params)
    assert Path("reports/data.html").read_text(encoding="utf-8") == page


def test_without_shift_and_cines(params: Params) -> None:
    data = params.data.model_copy(update={"shift_sources": []})
    four = read_json(paths.SPLIT / "metrics.json")
    write_json(paths.SPLIT / "metrics.json", four)
    build(params.model_copy(update={"data": data}))
    page = Path("reports/data.html").read_text(encoding="utf-8")
    assert "domain shift" not in page.lower()


@pytest.mark.parametrize(
    "lost",
    ["data/sources/tmed2/report.json", "data/split/duplicates.csv", "data/screening/echonet-lvh/groups.csv",
     "data/review/echonet-lvh.yaml"],
)  # fmt: skip
def test_a_missing_file_is_named_and_nothing_is_written(params: Params, lost: str) -> None:
    Path(lost).unlink()
    with pytest.raises(EchosynthError, match=lost):
        build(params)
    assert not Path("reports").exists()


def test_outliers_found_among_phantoms(card: dict[str, Any]) -> None:
    found = {"recall": 0.5, "precision": None, "dropped": 1200, "outliers": 24}
    card["validation"]["echonet-lvh"]["on_phantoms"] = {"grey": found, "decisions": found | {"precision": 1.0}}
    rows = card_tables.judged(card).rows
    assert rows[0] == ["EchoNet-LVH", "grey-proportion threshold (a)", "1,200", "24", "0.50", "–"]
    assert rows[1][1:] == ["decisions, which the ingest follows", "1,200", "24", "0.50", "1.00"]

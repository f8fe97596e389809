"""The split stage on a small tree: tables that fit their schemas, duplicates on one side, the same bytes again."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from echosynth.common import paths
from echosynth.common.files import read_json
from echosynth.common.views import VIEWS
from echosynth.common.yaml12 import read_yaml
from echosynth.imagesets.dataset import read_split, read_subset
from echosynth.imagesets.schema import ASSIGNMENT, DUPLICATES, SUBSET, read_csv
from echosynth.imagesets.store import write_image_set
from echosynth.stages.split import main

PARAMS = Path(__file__).parents[2] / "params.yaml"
SOURCES = ["echonet-dynamic", "tmed2"]


def rows(source: str, views: list[str], groups: list[str], kind: str, official: list[str]) -> pd.DataFrame:
    table = pd.DataFrame({"id": [f"{source}-{row:04x}" for row in range(len(views))], "source": source, "view": views})
    table = table.assign(group=groups, group_kind=kind, official_split=official, moment="", frame=0, frames=1)
    return table.assign(width=112, height=112, synthetic=False)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files with an official split and patients with each view twice; one A4C of both is the same,
    and another A4C is the same as a PLAX."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["split"])
    params: dict[str, Any] = read_yaml(PARAMS)
    params["data"] |= {"train_sources": SOURCES, "shift_sources": []}
    params["split"] |= {"subsets": [40, "all"], "official": "auto"}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (40 + 320, 32, 32), dtype=np.uint8)
    pictures[41], pictures[42 + 8] = pictures[0], pictures[4]
    official = ["test", *["train", "train", "validation"] * 13]
    dynamic = rows(SOURCES[0], ["A4C"] * 40, [f"f{row}" for row in range(40)], "file", official)
    patients = [f"p{row // 8}" for row in range(320)]
    tmed2 = rows(SOURCES[1], [*VIEWS, *VIEWS] * 40, patients, "patient", ["train"] * 320)
    write_image_set(paths.SOURCES / SOURCES[0], pictures[:40], dynamic)
    write_image_set(paths.SOURCES / SOURCES[1], pictures[40:], tmed2)
    return tmp_path


def hashes() -> dict[str, str]:
    return {str(path): hashlib.md5(path.read_bytes()).hexdigest() for path in paths.SPLIT.rglob("*") if path.is_file()}


def test_what_the_stage_writes(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main()
    assert "1 exact and 0 near duplicates across groups; 2 groups in 1 clusters" in capsys.readouterr().err
    assignment = read_csv(paths.ASSIGNMENT, ASSIGNMENT).set_index("id")["split"]
    # Nobody can tell whether it is an A4C or a PLAX.
    assert len(assignment) == 358 and not {"echonet-dynamic-0004", "tmed2-000a"} & set(assignment.index)
    # The patient with the copy follows the official split of the file, all eight pictures of him.
    assert set(assignment[[f"tmed2-{row:04x}" for row in range(8)]]) == {"test"}
    assert assignment["echonet-dynamic-0000"] == "test"
    assert read_csv(paths.SPLIT / "duplicates.csv", DUPLICATES).to_dict("records") == [
        {
            "first": "echonet-dynamic-0000",
            "second": "tmed2-0001",
            "kind": "exact",
            "correlation": 1.0,
            "same_group": False,
            "same_view": True,
        }
    ]
    assert len(read_csv(paths.subset_file(40), SUBSET)) == 40
    metrics = read_json(paths.SPLIT / "metrics.json")
    assert {source: rule["rule"] for source, rule in metrics["rules"].items()} == {
        SOURCES[0]: "official",
        SOURCES[1]: "group",
    }
    assert metrics["duplicates"] == {
        "exact": 1,
        "near": 0,
        "other_view": 0,
        "within_groups": {"exact": 0, "near": 0},
        "blank": 0,
        "linked_groups": 2,
        "clusters": 1,
        "largest_cluster": 2,
        "torn_clusters": 0,
        "contradictory": 2,
    }
    assert sum(metrics["groups"].values()) == 79
    assert len(read_subset(SOURCES, "40").images) == 40
    counts = {split: len(read_split(SOURCES, split).images) for split in ("train", "validation", "test")}
    assert counts == {split: sum(metrics["by_view"][split].values()) for split in counts}


def test_groups_are_not_compared_where_nobody_asks(tree: Path) -> None:
    params = yaml.safe_load((tree / "params.yaml").read_text())
    params["split"]["near_duplicate"] = "none"
    (tree / "params.yaml").write_text(yaml.safe_dump(params))
    main()
    twice = read_json(paths.SPLIT / "metrics.json")["duplicates"]
    assert twice["linked_groups"] == twice["exact"] == twice["near"] == 0
    assert pd.read_csv("data/split/duplicates.csv").empty


def test_again_the_same_bytes(tree: Path) -> None:
    main()
    before = hashes()
    main()
    assert hashes() == before and len(before) == 5


def test_damage_is_one_sentence_and_leaves_the_old_split(tree: Path) -> None:
    main()
    before = hashes()
    table = pd.read_csv(paths.SOURCES / "tmed2/manifest.csv", dtype=str, keep_default_na=False)
    table.loc[3, "view"] = "PLAXX"
    table.to_csv(paths.SOURCES / "tmed2/manifest.csv", index=False)
    with pytest.raises(SystemExit, match=r"^error: data/sources/tmed2/manifest\.csv: view holds 'PLAXX' in row 4"):
        main()
    assert hashes() == before

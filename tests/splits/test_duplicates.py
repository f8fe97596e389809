"""Equal and nearly equal pictures in different groups are found, whatever was done to them, and groups joined."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from echosynth.config.parameters import load_params
from echosynth.imagesets.cache import pixel_hash
from echosynth.imagesets.prepare import prepare
from echosynth.phantom.recordings import draw_recording
from echosynth.splits import duplicates
from echosynth.splits.duplicates import find_duplicates, linked_groups

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
THRESHOLD = 0.96
Change = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module", params=[32, 112])
def phantoms(request: pytest.FixtureRequest) -> np.ndarray:
    """Pictures of 24 patients, 12 of a view, at the side of the demo and of the study."""
    drawn = [
        draw_recording(PARAMS.phantom, source, patient, 0, view).picture(0.3, 0)  # type: ignore[arg-type]
        for source, view in (("echonet-lvh", "PLAX"), ("echonet-dynamic", "A4C"))
        for patient in range(12)
    ]
    return np.stack([prepare(picture, request.param) for picture in drawn])


def rows(images: np.ndarray, groups: list[str] | None = None, views: list[str] | None = None) -> pd.DataFrame:
    table = pd.DataFrame({"id": [f"a-{number:03d}" for number in range(len(images))], "source": "a"})
    table["group"] = groups or [f"g{number:03d}" for number in range(len(images))]
    table["view"] = views or "A4C"
    return table.assign(pixels=[pixel_hash(image) for image in images])


def jpeg(picture: np.ndarray) -> np.ndarray:
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


def brighter(picture: np.ndarray) -> np.ndarray:
    return cv2.add(picture, np.full_like(picture, 1))


def rescaled(picture: np.ndarray) -> np.ndarray:
    """As 112 -> 100 -> 112."""
    side = len(picture)
    small = cv2.resize(picture, (side * 25 // 28, side * 25 // 28), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)


def test_the_parameter_is_the_threshold_of_these_tests() -> None:
    assert PARAMS.split.near_duplicate == THRESHOLD


def test_different_patients_of_a_view_are_no_duplicates(phantoms: np.ndarray) -> None:
    found = find_duplicates([phantoms], rows(phantoms), THRESHOLD)
    assert found.pairs.empty and found.within == {"exact": 0, "near": 0} and found.blank == 0


@pytest.mark.parametrize("change", [jpeg, brighter, rescaled])
def test_a_changed_copy_is_found(phantoms: np.ndarray, change: Change) -> None:
    copies = np.stack([change(picture) for picture in phantoms])
    images = np.concatenate([phantoms, copies])
    found = find_duplicates([phantoms, copies], rows(images), THRESHOLD)
    count = len(phantoms)
    expected = [(f"a-{number:03d}", f"a-{number + count:03d}") for number in range(count)]
    assert list(zip(found.pairs["first"], found.pairs["second"], strict=True)) == expected
    assert set(found.pairs["kind"]) == {"near"} and found.pairs["correlation"].between(THRESHOLD, 1).all()


def test_all_pairs_are_those_of_a_plain_comparison(phantoms: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """With small blocks, and a threshold that many pairs reach."""
    flat = phantoms.reshape(len(phantoms), -1)
    plain = np.corrcoef(flat.astype(np.float64))
    threshold = float(np.quantile(plain[np.triu_indices(len(flat), 1)], 0.801))
    monkeypatch.setattr(duplicates, "BLOCK", 5)
    monkeypatch.setattr(duplicates, "PAIRS", 3)
    monkeypatch.setattr(duplicates, "SLACK", 0.5)
    found = find_duplicates([phantoms[:7], phantoms[7:]], rows(phantoms), threshold).pairs
    pairs = [pair for pair in combinations(range(len(flat)), 2) if plain[pair] >= threshold]
    expected = {(f"a-{first:03d}", f"a-{second:03d}"): plain[first, second] for first, second in pairs}
    assert len(expected) > 30
    values = dict(zip(zip(found["first"], found["second"], strict=True), found["correlation"], strict=True))
    assert values == pytest.approx(expected, abs=1e-6)


def test_the_bound_is_never_below_the_product() -> None:
    vectors = np.random.default_rng(0).standard_normal((200, 256)).astype(np.float32)
    vectors += np.repeat(np.random.default_rng(1).standard_normal((200, 16)), 16, axis=1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    short = duplicates._bounding(vectors)
    assert short.shape == (200, 65)
    assert (short @ short.T - vectors @ vectors.T).min() > -duplicates.ROUNDING


def test_equal_pictures_hang_on_the_first_of_their_kind() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.integers(0, 256, (2, 32, 32), dtype=np.uint8)
    images = np.stack([one, two, one, one, one])
    table = rows(images, ["p", "q", "p", "r", "r"], ["A4C", "A4C", "A4C", "A4C", "PLAX"])
    found = find_duplicates([images], table, THRESHOLD)
    assert found.pairs.to_dict("list") == {
        "first": ["a-000", "a-000"],
        "second": ["a-003", "a-004"],
        "kind": ["exact", "exact"],
        "correlation": [1.0, 1.0],
        "same_group": [False, False],
        "same_view": [True, False],
    }
    assert found.within == {"exact": 1, "near": 0}


def test_near_duplicates_inside_a_group_are_only_counted(phantoms: np.ndarray) -> None:
    images = np.stack([phantoms[0], brighter(phantoms[0]), phantoms[1]])
    found = find_duplicates([images], rows(images, ["p", "p", "q"]), THRESHOLD)
    assert found.pairs.empty and found.within == {"exact": 0, "near": 1}


def test_pictures_without_contrast_are_left_alone() -> None:
    board = (np.indices((32, 32)).sum(axis=0) % 2 * 255).astype(np.uint8)  # all areas alike, and yet no blank
    images = np.stack([np.zeros((32, 32), np.uint8)] * 3 + [np.full((32, 32), 9, np.uint8), board, board.T[::-1]])
    found = find_duplicates([images], rows(images), THRESHOLD)
    assert found.blank == 4 and found.pairs.empty


def test_the_order_of_rows_and_sets_does_not_matter(phantoms: np.ndarray) -> None:
    images = np.concatenate([phantoms, phantoms[:3], [brighter(picture) for picture in phantoms[3:6]]])
    table = rows(images)
    found = find_duplicates([images], table, THRESHOLD).pairs
    assert len(found) == 6
    order = np.random.default_rng(0).permutation(len(images))
    shuffled = table.iloc[order].reset_index(drop=True)
    again = find_duplicates([images[order[:9]], images[order[9:]]], shuffled, THRESHOLD).pairs
    pd.testing.assert_frame_equal(found, again)
    clusters = pd.Series(linked_groups(table, found), table["id"])
    assert clusters.equals(pd.Series(linked_groups(shuffled, again), shuffled["id"])[table["id"]])


def test_no_images_at_all() -> None:
    found = find_duplicates([], rows(np.zeros((1, 8, 8), np.uint8)).head(0), THRESHOLD)
    assert found.pairs.empty and found.blank == 0


def test_groups_are_linked_over_any_number_of_steps() -> None:
    table = pd.DataFrame({"id": list("abcdefg"), "source": [*"xxxxyyy"], "group": [*"1123124"]})
    pairs = pd.DataFrame({"first": ["a", "c"], "second": ["c", "f"]})
    found = linked_groups(table, pairs)
    assert found.tolist() == ["x\x001", "x\x001", "x\x001", "x\x003", "y\x001", "x\x001", "y\x004"]
    alone = linked_groups(table, pairs.head(0))
    assert alone.tolist() == ["x\x001", "x\x001", "x\x002", "x\x003", "y\x001", "y\x002", "y\x004"]

"""The question of sources: what each arm is trained on, what is left out, and where the arms are judged."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from tests.thesis.test_pairs import NAMES, REAL, labelled

from echosynth.common.files import read_json
from echosynth.config.parameters import Params
from echosynth.evaluation.comparison import ScoredClassifier
from echosynth.imagesets.dataset import LabelledImages
from echosynth.thesis import material, pairs, sources
from echosynth.thesis.cells import Cell
from echosynth.thesis.material import cells_of
from echosynth.thesis.pairs import lacking, shares
from echosynth.thesis.sources import ARMS, judge, make, run, train

MADE = shares("as-real", REAL, 40)
SHIFT = ["camus", "unity"]


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "subset", lambda *_: labelled(REAL))
    monkeypatch.setattr(pairs, "synthetic", lambda _: labelled(MADE, "synthetic-"))
    monkeypatch.setattr(pairs, "more_pairs", lambda _: labelled(lacking(REAL, MADE, 40), "synthetic-"))


def cell(arm: str) -> Cell:
    return Cell(arm, "100", "resnet18", 0)


@pytest.mark.usefixtures("images")
def test_synthetic_sets_differ_in_their_sources_alone(params: Params) -> None:
    made = {arm: make(params, cell(arm)) for arm in ARMS}
    assert made["real"].data.ids.tolist() == labelled(REAL).ids.tolist()
    for arm in ARMS[1:]:
        real = 100 if arm.startswith("mixed") else 0
        assert len(made[arm].data.labels) - made[arm].data.synthetic == real
        assert {view: sum(row.values()) for view, row in made[arm].facts["pairs"].items()} == dict.fromkeys(
            ("A2C", "A4C", "PLAX", "PSAX"), 10
        )
    assert made["synthetic-all-pairs"].facts["pairs"]["PSAX"] == {"dynamic": 4, "lvh": 3, "tmed2": 3}
    assert made["synthetic-seen-pairs"].facts["pairs"]["PSAX"] == {"dynamic": 0, "lvh": 0, "tmed2": 10}
    assert made["mixed-all-pairs"].facts == made["synthetic-all-pairs"].facts


@pytest.mark.usefixtures("images")
def test_what_cannot_be_made_is_left_out_with_one_reason(
    monkeypatch: pytest.MonkeyPatch, params_with: Callable[..., Params]
) -> None:
    untold = params_with(diffusion={"source_conditioning": False})
    cells, left_out = cells_of(untold, "100", ARMS, make)
    assert {one.arm for one in cells} == {"real"}
    assert set(left_out) == set(ARMS[1:]) and len(set(left_out.values())) == 1
    whole = np.maximum(REAL, 1)
    monkeypatch.setattr(sources, "subset", lambda *_: labelled(whole))
    monkeypatch.setattr(pairs, "more_pairs", lambda _: labelled(lacking(whole, MADE, 40), "synthetic-"))
    _, left_out = cells_of(params_with(), "100", ARMS, make)
    assert set(left_out) == {"synthetic-all-pairs", "mixed-all-pairs"}
    assert "every view in every source: seen-pairs is the same set" in left_out["mixed-all-pairs"]


def pictures(data: LabelledImages) -> LabelledImages:
    """The same rows with pictures of noise that a network takes."""
    noise = np.random.default_rng(0).integers(0, 256, (len(data.labels), 32, 32), dtype=np.uint8)
    return LabelledImages(noise, data.labels, data.groups, data.sources, data.ids)


@pytest.mark.usefixtures("images")
def test_a_training_predicts_the_shift_too(monkeypatch: pytest.MonkeyPatch, params: Params) -> None:
    monkeypatch.setattr(sources, "subset", lambda *_: pictures(labelled(REAL)))
    monkeypatch.setattr(material, "validation", lambda _: pictures(labelled(REAL)).rows(np.arange(12)))
    monkeypatch.setattr(material, "shifted", lambda _: pictures(labelled(REAL)).rows(np.arange(7)))
    quick = params.classifier.model_copy(update={"steps": 1, "batch_size": 4})
    outcome = train(params.model_copy(update={"classifier": quick}), cell("real"))
    assert outcome.probabilities.shape == (12, 4)
    assert outcome.shift is not None and outcome.shift.shape == (7, 4)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> dict[str, LabelledImages]:
    """Two arms that guess, on validation images as the real ones and on a shift of two sources without PSAX."""
    held_out = labelled(3 * REAL)
    views = np.arange(60) % 3
    ids = np.array([f"shift-{number}" for number in range(60)])
    foreign = LabelledImages(held_out.images[:60], views, ids, np.array(SHIFT)[np.arange(60) // 30], ids)
    sets = {"validation": held_out, "shift": foreign}

    def read(question: str, size: str, data: LabelledImages, name: str) -> list[ScoredClassifier]:
        assert data is sets[name]
        facts = {"subset": size, "architecture": "resnet18", "seed": 0, "real_images": 100}
        facts |= {"images": 40, "synthetic": 40, "steps": 5}
        found = []
        for number, arm in enumerate(("synthetic-as-real", "synthetic-all-pairs")):
            guesses = np.random.default_rng(number).random((len(data.labels), 4)) + 0.4 * np.eye(4)[data.labels]
            found.append(ScoredClassifier(facts | {"arm": arm}, {}, guesses / guesses.sum(1, keepdims=True)))
        return found

    monkeypatch.setattr(sources, "validation", lambda _: held_out)
    monkeypatch.setattr(sources, "shifted", lambda _: foreign)
    monkeypatch.setattr(sources, "read_cells", read)
    return sets


def test_arms_are_judged_where_a_source_tells_nothing_of_the_view(
    judged: dict[str, LabelledImages], params_with: Callable[..., Params]
) -> None:
    found = judge(params_with(classifier={"bootstrap": 50}), "100")
    assert list(found) == ["validation (tmed2)", "shift", "shift (camus)", "shift (unity)"]
    held_out = judged["validation"]
    mine = held_out.sources == NAMES[2]
    guesses = np.random.default_rng(0).random((len(held_out.labels), 4)) + 0.4 * np.eye(4)[held_out.labels]
    guesses /= guesses.sum(1, keepdims=True)
    expected = [average_precision_score(held_out.labels[mine] == view, guesses[mine, view]) for view in range(4)]
    own = found["validation (tmed2)"]
    assert own["cells"][0]["macro_auprc"] == pytest.approx(np.mean(expected))
    assert own["images"] == mine.sum() and "best" not in own
    shift = found["shift"]["cells"][1]
    assert shift["recall"]["PSAX"] is None and found["shift"]["by_view"]["PSAX"] == 0
    low, high = shift["versus"]["synthetic-as-real"]["macro_auprc_interval"]
    assert low < shift["versus"]["synthetic-as-real"]["macro_auprc"] < high


def test_without_a_shift_the_validation_images_are_judged_alone(
    judged: dict[str, LabelledImages], params_with: Callable[..., Params]
) -> None:
    alone = params_with(data={"shift_sources": []}, classifier={"bootstrap": 0})
    assert list(judge(alone, "100")) == ["validation (tmed2)"]


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.usefixtures("images")
def test_beside_the_trainings_stand_what_was_judged_and_a_picture_of_every_pair(
    monkeypatch: pytest.MonkeyPatch, params_with: Callable[..., Params], tmp_path: Path, told: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, read = Path("reports/study/sources/100"), []
    monkeypatch.setattr(sources, "run_arms", lambda *given: (read.extend(given[-1]), folder.mkdir(parents=True)))
    monkeypatch.setattr(sources, "judge", lambda *_: {"shift": "judged"})
    run(params_with(diffusion={"source_conditioning": told}), "100")
    assert read == [Path("data/pairs/100"), Path("data/shift/camus"), Path("data/shift/unity")]
    found = read_json(folder / "metrics.json")
    assert found["within"] == {"shift": "judged"} and found["real"]["A4C"] == {"dynamic": 24, "lvh": 0, "tmed2": 12}
    assert (folder / "pairs.png").is_file() == told

"""Sets that differ in their sources alone: how many of each pair, which images, what has to be sampled."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from echosynth.common.errors import EchosynthError
from echosynth.config.parameters import Params
from echosynth.imagesets.dataset import LabelledImages
from echosynth.thesis import pairs
from echosynth.thesis.pairs import count_pairs, lacking, plan_more, shares, sheet, source_names, take, unanswerable

NAMES = ["dynamic", "lvh", "tmed2"]
# As in the thesis: A4C alone, PLAX alone, and one that has all views.
REAL = np.array([[0, 0, 9], [24, 0, 12], [0, 30, 18], [0, 0, 7]])


def labelled(table: np.ndarray, before: str = "") -> LabelledImages:
    """So many images of each view and source; `before` their sources' names."""
    view, source = (np.repeat(index.ravel(), table.ravel()) for index in np.indices(table.shape))
    ids = np.array([f"{before or 'real-'}{number:06d}" for number in range(len(view))])
    sources = np.array([before + NAMES[index] for index in source])
    return LabelledImages(np.zeros((len(view), 4, 4), np.uint8), view, ids, sources, ids)


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subset, its synthetic set of 40 images with sources as the real ones have them, and what that lacks."""
    made = shares("as-real", REAL, 40)
    monkeypatch.setattr(pairs, "subset", lambda *_: labelled(REAL))
    monkeypatch.setattr(pairs, "synthetic", lambda _: labelled(made, "synthetic-"))
    monkeypatch.setattr(pairs, "more_pairs", lambda _: labelled(lacking(REAL, made, 40), "synthetic-"))
    monkeypatch.setattr(pairs, "read_card", lambda _: SimpleNamespace(sources=tuple(NAMES)))


def test_all_mixtures_are_of_one_size_and_balanced_over_views() -> None:
    assert shares("as-real", REAL, 24).tolist() == [[0, 0, 6], [4, 0, 2], [0, 4, 2], [0, 0, 6]]
    assert shares("seen-pairs", REAL, 24).tolist() == [[0, 0, 6], [3, 0, 3], [0, 3, 3], [0, 0, 6]]
    assert shares("all-pairs", REAL, 24).tolist() == [[2, 2, 2]] * 4
    assert shares("all-pairs", REAL, 23).sum(1).tolist() == [6, 6, 6, 5]


def test_images_are_counted_by_view_and_source() -> None:
    real = labelled(REAL)
    shuffled = real.rows(np.random.default_rng(0).permutation(len(real.labels)))
    assert source_names(shuffled) == NAMES
    assert count_pairs(shuffled, NAMES).tolist() == REAL.tolist()


@pytest.mark.parametrize("made", [np.zeros_like(REAL), shares("as-real", REAL, 40), np.full_like(REAL, 100)])
def test_what_lacks_suffices_for_every_mixture_and_no_less_would_do(made: np.ndarray) -> None:
    there = made + lacking(REAL, made, 40)
    wanted = [shares(mixture, REAL, 40) for mixture in ("as-real", "seen-pairs", "all-pairs")]
    assert all((there >= one).all() for one in wanted)
    assert (np.max(wanted, axis=0) == there)[lacking(REAL, made, 40) > 0].all()


@pytest.mark.usefixtures("images")
def test_mixtures_have_as_many_images_in_common_as_they_can() -> None:
    found = {}
    for mixture in ("as-real", "seen-pairs", "all-pairs"):
        data, wanted = take(mixture, REAL, NAMES, "100")  # type: ignore[arg-type]
        assert count_pairs(data, [f"synthetic-{name}" for name in NAMES]).tolist() == wanted.tolist()
        assert data.synthetic == 40
        found[mixture] = {
            (view, source, name) for view, source, name in zip(data.labels, data.sources, data.ids, strict=True)
        }
    common = np.minimum(shares("as-real", REAL, 40), shares("all-pairs", REAL, 40)).sum()
    assert len(found["as-real"] & found["all-pairs"]) == common


@pytest.mark.usefixtures("images")
def test_what_is_sampled_is_what_lacks() -> None:
    plan, facts = plan_more(_params(), "100")
    assert plan is not None and plan.source_names == tuple(NAMES)
    table = np.zeros_like(REAL)
    np.add.at(table, (plan.views, plan.sources), 1)
    assert table.tolist() == lacking(REAL, shares("as-real", REAL, 40), 40).tolist()
    assert facts["images"] == len(plan) == table.sum() > 0


def _params() -> Params:
    return SimpleNamespace(data=SimpleNamespace(train_sources=NAMES))  # type: ignore[return-value]


@pytest.mark.usefixtures("images")
def test_nothing_is_sampled_where_nothing_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "read_card", lambda _: SimpleNamespace(sources=()))
    plan, facts = plan_more(_params(), "100")
    assert plan is None and facts["images"] == 0
    assert "not told the source (diffusion.source_conditioning)" in facts["why"]
    monkeypatch.setattr(pairs, "read_card", lambda _: SimpleNamespace(sources=tuple(NAMES)))
    even = np.full_like(REAL, 5)  # every mixture is the same
    monkeypatch.setattr(pairs, "subset", lambda *_: labelled(even))
    monkeypatch.setattr(pairs, "synthetic", lambda _: labelled(even, "synthetic-"))
    plan, facts = plan_more(_params(), "100")
    assert plan is None and "holds enough of every pair" in facts["why"]


def test_the_question_needs_two_sources_and_a_model_that_is_told_them() -> None:
    assert unanswerable(REAL, True) == ""
    assert "of one source alone (data.train_sources)" in unanswerable(REAL[:, 2:], True)
    assert "source_conditioning" in unanswerable(REAL, False)


@pytest.mark.usefixtures("images")
def test_too_few_of_a_pair_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "more_pairs", lambda _: None)
    with pytest.raises(EchosynthError, match=r"4 synthetic images of A2C in dynamic are asked for, and there are 0: "):
        take("all-pairs", REAL, NAMES, "100")


def test_the_picture_has_a_row_for_each_source_and_is_white_where_there_is_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = labelled(np.array([[4, 4, 4], [4, 4, 4], [4, 4, 4], [4, 2, 4]]), "synthetic-")
    grey = np.broadcast_to((10 * made.labels)[:, None, None], (len(made.labels), 4, 4)).astype(np.uint8)
    monkeypatch.setattr(pairs, "synthetic", lambda _: replace(made, images=grey))
    monkeypatch.setattr(pairs, "more_pairs", lambda _: None)
    shown = sheet("100", NAMES)[:, 0, 0].reshape(3, 16).tolist()
    row = [0] * 4 + [10] * 4 + [20] * 4 + [30] * 4
    assert shown == [row, [*row[:14], 255, 255], row]

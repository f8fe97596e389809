"""Scores against scikit-learn and counting by hand."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, confusion_matrix, f1_score, log_loss, recall_score

from echosynth.common.views import VIEWS
from echosynth.evaluation.scores import (
    absent,
    average_precision,
    confusion,
    evaluate,
    headline,
    interval,
    macro_auprc,
    macro_f1,
    recalls,
    resample,
)


def example(count: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, count, p=[0.1, 0.4, 0.4, 0.1])
    logits = rng.normal(size=(count, 4)) + 1.2 * np.eye(4)[labels]
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), labels


def test_all_scores_agree_with_scikit_learn() -> None:
    probabilities, labels = example()
    sources = np.array(["tmed2"] * 200)
    scores = evaluate(probabilities, labels, np.arange(200), sources)
    predicted = probabilities.argmax(1)
    by_view = [average_precision_score(labels == i, probabilities[:, i]) for i in range(4)]
    assert list(scores["auprc"].values()) == pytest.approx(by_view)
    assert scores["macro_auprc"] == pytest.approx(np.mean(by_view))
    assert scores["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert list(scores["recall"].values()) == pytest.approx(recall_score(labels, predicted, average=None))
    assert scores["confusion"] == confusion_matrix(labels, predicted).tolist()
    assert scores["loss"] == pytest.approx(log_loss(labels, probabilities))
    assert scores["by_source"]["tmed2"]["macro_auprc"] == pytest.approx(scores["macro_auprc"])


def test_average_precision_handles_ties_and_weights_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(1)
    truth, score = rng.random(60) < 0.3, rng.integers(0, 6, 60) / 5
    weights = rng.integers(0, 4, (5, 60)).astype(float)
    reference = [average_precision_score(truth, score, sample_weight=row) for row in weights]
    assert average_precision(truth, score, weights) == pytest.approx(reference)


def test_f1_leaves_out_views_neither_present_nor_predicted() -> None:
    labels, predicted = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    matrix = confusion(labels, predicted, np.ones((1, 4)))
    assert macro_f1(matrix)[0] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert np.isnan(recalls(matrix)[0, 2:]).all()


def test_absent_views_have_no_score_and_one_view_alone_no_average_precision() -> None:
    probabilities, labels = example()
    keep = labels != 3
    sources = np.where(labels[keep] == 1, "echonet-dynamic", "tmed2")
    scores = evaluate(probabilities[keep], labels[keep], np.arange(keep.sum()), sources, draws=20)
    assert scores["recall"]["PSAX"] is None
    assert scores["auprc"]["PSAX"] is None
    assert scores["by_source"]["echonet-dynamic"]["macro_auprc"] is None
    assert scores["by_source"]["echonet-dynamic"]["recall"]["A4C"] == pytest.approx(scores["recall"]["A4C"])
    assert scores["interval"]["recall"]["PSAX"] == [None, None]


def test_of_one_view_alone_there_is_its_recall_and_no_score_that_needs_another() -> None:
    labels = np.ones(50, int)
    probabilities = np.full((50, 4), 0.2)
    probabilities[:, 2] = 0.4  # all called PLAX
    probabilities[0] = [0.1, 0.7, 0.1, 0.1]
    scores = evaluate(probabilities, labels, np.arange(50), np.full(50, "tmed2"), draws=30)
    assert scores["accuracy"] == 0.02 and scores["recall"]["A4C"] == 0.02
    assert scores["macro_auprc"] is scores["macro_f1"] is None
    assert scores["auprc"] == dict.fromkeys(VIEWS)
    assert scores["interval"]["macro_auprc"] == scores["interval"]["macro_f1"] == [None, None]
    assert scores["by_source"]["tmed2"]["macro_auprc"] is None
    assert scores["absent"] == dict.fromkeys(("macro_auprc", "macro_f1"), "images of A4C alone")
    assert set(headline(scores, "test")) == {"test.loss", "test.accuracy", "test.recall_A4C"}


def test_what_a_set_lacks_is_named() -> None:
    probabilities, labels = example()
    names = np.full(200, "tmed2")
    assert absent(evaluate(probabilities, labels, names, names)) == {}
    keep = labels != 3
    scores = evaluate(probabilities[keep], labels[keep], names[keep], names[keep])
    assert absent(scores) == {"recall_PSAX": "no image of PSAX", "auprc_PSAX": "no image of PSAX"}
    assert "absent" not in scores  # the macro scores are means over the three others


def test_draws_of_one_view_alone_are_left_out() -> None:
    """Two patients of one view each: half of the draws hold one of them twice, whose precision would be 1."""
    labels, groups = np.array([0, 0, 1, 1]), np.array(["a", "a", "b", "b"])
    probabilities = np.array([[0.6, 0.4, 0, 0], [0.2, 0.8, 0, 0], [0.7, 0.3, 0, 0], [0.3, 0.7, 0, 0]])
    weights = resample(groups, 40, 0)
    alone = (weights == 0).any(axis=1)
    assert 0 < alone.sum() < 40
    whole = np.mean([average_precision_score(labels == view, probabilities[:, view]) for view in (0, 1)])
    predicted = probabilities.argmax(1)
    for values, point in (
        (macro_auprc(probabilities, labels, weights), whole),
        (macro_f1(confusion(labels, predicted, weights)), f1_score(labels, predicted, average="macro")),
    ):
        assert np.isnan(values[alone]).all()
        assert values[~alone] == pytest.approx(point)


def test_bootstrap_draws_whole_patients() -> None:
    groups = np.array(["a", "a", "b", "c", "c", "c"])
    weights = resample(groups, 50, 0)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 5]).all()
    assert (weights[:, [0, 2, 3]].sum(1) == 3).all()  # as many patients as there are
    assert np.array_equal(weights, resample(groups, 50, 0))


def test_interval_of_the_accuracy_like_recall_covers_the_binomial_one() -> None:
    """Independent images: the bootstrap interval of a recall must have about the width of the normal approximation."""
    rng = np.random.default_rng(3)
    labels = np.zeros(400, int)
    predicted = (rng.random(400) > 0.7).astype(int)
    low, high = interval(recalls(confusion(labels, predicted, resample(np.arange(400), 2000, 1)))[:, 0])
    share = (predicted == 0).mean()
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(share * (1 - share) / 400), rel=0.1)
    assert low < share < high


def test_intervals_widen_when_images_come_from_few_patients() -> None:
    probabilities, labels = example(400)
    sources = np.array(["tmed2"] * 400)
    single = evaluate(probabilities, labels, np.arange(400), sources, 300)["interval"]["macro_auprc"]
    order = np.argsort(probabilities[np.arange(400), labels])  # patients whose images are alike
    groups = np.empty(400, int)
    groups[order] = np.arange(400) // 20
    clustered = evaluate(probabilities, labels, groups, sources, 300)["interval"]["macro_auprc"]
    assert clustered[1] - clustered[0] > 1.5 * (single[1] - single[0])

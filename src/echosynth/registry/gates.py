"""What a classifier must reach before it goes into use: numbers in, passed or refused out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from echosynth.common.views import VIEWS
from echosynth.config.promotion import PromotionParams
from echosynth.evaluation.paired import Difference
from echosynth.evaluation.scores import absent

# Two machines round differently; another model, or scores of another test set, differ by more.
SAME_SCORE = 0.01
NO_CHAMPION = "no champion yet"
NOT_GIVEN = "not given: the test set has "  # and what it lacks


@dataclass(frozen=True)
class Gate:
    """One condition of a promotion.

    Attributes:
        name: such as "recall of A2C".
        limit: what is asked, as text.
        value: what was found, as text.
        passed: whether that is enough.
    """

    name: str
    limit: str
    value: str
    passed: bool


def floor_gates(scores: Mapping[str, Any], params: PromotionParams) -> list[Gate]:
    """Macro F1 and the recall of each view against their floors.

    Args:
        scores: what `echosynth.evaluation.scores.evaluate` returned. What the test set cannot give is refused with the
            reason, unless its floor is 0.
        params: the floors.
    """
    reasons = absent(scores)
    asked = [("macro F1", "macro_f1", scores["macro_f1"], params.min_macro_f1)]
    for view in VIEWS:
        floor = getattr(params.min_recall, view)
        asked.append((f"recall of {view}", f"recall_{view}", scores["recall"][view], floor))
    return [
        Gate(
            name,
            f"at least {floor:g}",
            f"{NOT_GIVEN}{reasons[key]}" if score is None else f"{score:.3f}",
            (score or 0) >= floor,
        )
        for name, key, score, floor in asked
    ]


def size_gate(size: int, champion: int | None, params: PromotionParams) -> Gate:
    """The champion takes pictures of the same size: only then can the two be compared on the same images.

    Args:
        size: side of the candidate's pictures in pixels.
        champion: side of the champion's; None when there is no champion.
        params: whether another size is allowed.
    """
    name, limit = "picture size against the champion", "any" if params.allow_other_size else "the same"
    if champion is None:
        return Gate(name, limit, NO_CHAMPION, True)
    return Gate(name, limit, f"{size} pixels, champion {champion}", size == champion or params.allow_other_size)


def regression_gates(
    differences: Mapping[str, Difference] | None,
    params: PromotionParams,
    *,
    comparable: bool = True,
    reasons: Mapping[str, str] | None = None,
) -> list[Gate]:
    """No regression against the champion: non-inferiority, that is, the lower bound of the paired difference must not
    lie below the margin. Few patients make the bound low, so that what a test set cannot show is refused.

    Args:
        differences: to the champion, see `echosynth.evaluation.paired.paired_differences`; None when there is no
            champion or no comparison.
        params: margins and level.
        comparable: False where the champion takes pictures of another size; what cannot be compared passes only if
            that is allowed.
        reasons: why scores are not among the differences, see `echosynth.evaluation.scores.absent`. What the test set
            cannot give is refused with the reason, unless its margin is 1, which no difference exceeds.
    """
    found = []
    names = {"macro_auprc": "macro AUPRC against the champion", "macro_f1": "macro F1 against the champion"}
    for key, name in names.items():
        margin = getattr(params.max_regression, key)
        limit = f"lower bound at least {0 - margin:g} (alpha {params.alpha:g})"
        if not comparable:
            found.append(Gate(name, limit, "not compared: other picture size", params.allow_other_size))
        elif differences is None:
            found.append(Gate(name, limit, NO_CHAMPION, True))
        elif key not in differences or math.isnan(differences[key].lower):
            lacking = (reasons or {}).get(key, "patients of one view in every draw")
            found.append(Gate(name, limit, f"{NOT_GIVEN}{lacking}", margin == 1))
        else:
            one = differences[key]
            found.append(Gate(name, limit, f"{one.value:+.3f}, bound {one.lower:+.3f}", bool(one.lower >= -margin)))
    return found


def calibration_gate(error: float, params: PromotionParams) -> Gate:
    """The expected calibration error, see `echosynth.evaluation.calibration.calibration_error`."""
    limit = f"at most {params.max_calibration_error:g} ({params.calibration_bins} bins)"
    return Gate("calibration error", limit, f"{error:.3f}", error <= params.max_calibration_error)


def patients_gate(shared: int) -> Gate:
    """No patient on both sides.

    Args:
        shared: number of patients with images in the training and in the test set.
    """
    return Gate("patients in training and test", "none", str(shared), shared == 0)


def privacy_gate(
    audit: Mapping[str, Any] | None,
    synthetic_images: int,
    synthetic_hash: str,
    training_hash: str,
    params: PromotionParams,
) -> Gate:
    """A privacy audit of the synthetic images that the classifier was trained on: of all of them, and of each view,
    since a rare view's copies hardly show among all images.

    Args:
        audit: "privacy" of reports/fidelity/<subset>/diffusion/metrics.json; None where there is none.
        synthetic_images: how many of them the classifier was trained on.
        synthetic_hash: `LabelledImages.hash` of them.
        training_hash: of the real images that the classifier, and so the generative model, was trained on.
        params: whether it is asked for, and the limit.
    """
    name, limit = "near copies among synthetic images", f"at most {params.max_near_copies:g}"
    if not synthetic_images:
        return Gate(name, limit, "no synthetic images", True)
    if not params.require_privacy_audit:
        return Gate(name, "not asked for", "not checked", True)
    if not audit:
        return Gate(name, limit, "no privacy audit", False)
    # An audit from before it named its synthetic set is of no known set.
    if (audit.get("synthetic_hash"), audit["training_hash"]) != (synthetic_hash, training_hash):
        return Gate(name, limit, "the audit is of other images", False)
    shares = {"all": audit["near_copies"]} | audit.get("near_copies_by_view", {})
    worst = max(shares, key=shares.__getitem__)
    value = f"{shares['all']:.3f}" + (f", {worst} {shares[worst]:.3f}" if worst != "all" else "")
    return Gate(name, limit, f"{value} ({audit['quantile']:g} expected)", shares[worst] <= params.max_near_copies)


def registered_gate(scores: Mapping[str, float], registered: Mapping[str, float]) -> Gate:
    """The scores that were registered are those of these weights.

    Args:
        scores: as computed now, such as "test.macro_f1".
        registered: as registered, the same names; none of them may be missing in `scores`.
    """
    worst = max(abs(scores[name] - value) for name, value in registered.items())
    return Gate("registered scores", f"within {SAME_SCORE:g}", f"off by {worst:.4f}", bool(worst <= SAME_SCORE))

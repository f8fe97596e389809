"""Marks of the arms."""

import pytest

from echosynth.report.drawing import STYLES, look, page_figure, panel


def test_arms_with_a_per_cent_follow_mixed_and_show_it() -> None:
    named = ["gaussian", "mixed-100", "loss", "real", "mixed-20", "mixed", "oversampled"]
    assert STYLES.in_order(named) == ["real", "oversampled", "mixed", "mixed-20", "mixed-100", "gaussian"]
    assert "mixed-20" in STYLES and "mixed-x" not in STYLES and 3 not in STYLES
    assert STYLES["mixed-20"].colour == STYLES["mixed"].colour
    with pytest.raises(KeyError):
        STYLES["mixed-x"]


@look()
def test_their_per_cent_is_drawn() -> None:
    def drawn(arm: str) -> str:
        figure, axes = panel("Arms", "images", "AUPRC")
        axes.plot([1, 2], [1, 2], **STYLES[arm].options())
        return page_figure(figure, "", "").address

    assert drawn("mixed-20") != drawn("mixed-70")

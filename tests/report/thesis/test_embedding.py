"""Figures and tables of the embedding and of early selection."""

import numpy as np
import pandas as pd
import pytest

from echosynth.common.views import VIEWS
from echosynth.report.thesis.embedding import VIEW_STYLES, histograms, overlap_table, scatter, stability_table
from echosynth.report.thesis.ranking import early_scores, ranking_tables, ranking_verdict


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    points = pd.DataFrame(rng.uniform(size=(80, 4)), columns=["x", "y", "pca_x", "pca_y"])
    points["view"] = np.array(VIEWS)[np.arange(80) % 3]  # no PSAX
    points["set"] = np.where(np.arange(80) < 50, "training", "synthetic")
    return points


def test_a_scatter_names_what_is_there_with_its_number(table: pd.DataFrame) -> None:
    axes = scatter(table, "view", VIEW_STYLES, "Real", ("pca_x", "pca_y")).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["A2C (27)", "A4C (27)", "PLAX (26)"]
    assert axes.get_xlabel().startswith("first principal axis")


def test_histograms_have_a_panel_for_each_view_in_shares_of_its_images(table: pd.DataFrame) -> None:
    panels = histograms(table).axes[:8]
    titles = [axes.get_title() for axes in panels]
    assert titles[0] == "A2C, real (17)" and titles[7] == "PSAX, synthetic (0)"
    assert np.nansum(panels[0].images[0].get_array().filled(np.nan)) == pytest.approx(100)


def test_the_tables_of_the_embedding() -> None:
    row = {"method": "t-SNE", "perplexity": 30.0, "iterations": 1000, "features": 0.5, "shown": 1, "trustworthiness": 1}
    pca = row | {"method": "PCA", "perplexity": None, "iterations": None}
    metrics = {"neighbours": 30, "stability_points": 301, "stability": [row, pca]}
    shown = stability_table(metrics)
    assert shown.rows[0][:4] == ["t-SNE", "30", "1,000", "0.500"] and shown.rows[1][1:3] == ["–", "–"]
    assert "by chance 0.100" in shown.note
    overlap = {
        "A2C": {"points": 10, "synthetic": 0.5, "real": 0.6},
        "PSAX": {"points": 0, "synthetic": None, "real": None},
    }
    assert overlap_table({"overlap": overlap}).rows[1] == ["PSAX", "0", "–", "–"]


def test_early_selection_is_worded_drawn_and_tabled() -> None:
    found = {
        "tau": {"value": 0.5, "interval": [-0.2, 0.9], "chance": 0.2},
        "top1": {"value": 1.0, "share": 0.6, "random": 0.5},
        "regret": {"value": 0.0, "interval": [0.0, 0.1], "random": 0.05},
    }
    versus = {"tau": {"value": 0.1, "interval": [-0.3, 0.4]}}
    rows = [
        {"architecture": "a", "real": 0.7, "synthetic": 0.6, "all real": 0.8},
        {"architecture": "b", "real": 0.6, "synthetic": 0.7, "all real": 0.9},
    ]
    result = {
        "subset": "100",
        "real_images": 100,
        "seeds": 2,
        "architectures": rows,
        "early": {"real": found, "synthetic": found | {"versus": versus}},
    }
    labels = [text.get_text() for text in early_scores(result).axes[0].get_yticklabels()]
    assert labels == ["a (0.800)", "b (0.900)"], "the best on top"
    assert ranking_tables(result)[0].rows == [
        ["b", "0.600 (2)", "0.700 (1)", "0.900 (1)"],
        ["a", "0.700 (1)", "0.600 (2)", "0.800 (2)"],
    ]
    verdict = ranking_verdict(result)
    assert "synthetic images made from 100: Kendall's tau 0.50 (−0.20 to 0.90" in verdict[1]
    assert verdict[2].endswith("open, the interval holds 0.")

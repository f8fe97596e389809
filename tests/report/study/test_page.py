"""The page holds every section, loads nothing and does not depend on time."""

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.common.files import read_json, write_json
from echosynth.config.parameters import Params
from echosynth.report.drawing import look, mosaic
from echosynth.report.study.inputs import read_inputs
from echosynth.report.study.page import render


def test_sections(page: str) -> None:
    for section in ("headline", "data", "diffusion", "classifiers", "final", "next"):
        assert f'<section id="{section}">' in page
        assert f'<a href="#{section}">' in page
    for word in (
        "Research software, no medical device",
        "All pictures here are simulated phantoms",
        "All arms train the same number of steps (160)",
        "A2C and PSAX come only from TMED-2",
        "Times are in MLflow, not here",
        "No Inception distances: the weights are not there.",
        "make ui",
        "one_in: 8.0",
    ):
        assert word in page, word
    assert "min_macro_f1" not in page  # a change of it would make no stage run again
    assert page.count("SYNTHETIC, made by the model") == 3


def test_loads_nothing(page: str) -> None:
    sources = re.findall(r'src="([^"]{0,40})', page)
    assert len(sources) > 20
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    links = {link for link in re.findall(r'href="([^"]*)"', page) if not link.startswith("#")}
    assert links == {"data.html"}
    assert not re.search(r"<script|<link|@import|url\(|https?://", page)


def test_same_inputs_same_bytes_whatever_folder_and_look(page: str, tree: Path, params: Params) -> None:
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        assert render(read_inputs(params)) == page


def test_look_is_restored() -> None:
    with mpl.rc_context({"font.size": 31}):
        with look():
            assert mpl.rcParams["font.size"] != 31
        assert mpl.rcParams["font.size"] == 31


def test_real_data_and_epochs_are_named(tree: Path, params: Params) -> None:
    data = params.data.model_copy(update={"root": "data/raw/releases"})
    settings = params.classifier.model_copy(update={"budget": "epochs"})
    page = render(read_inputs(params.model_copy(update={"data": data, "classifier": settings})))
    assert "phantom" not in page.split("Parameters of this run")[0]
    assert "All arms train 25 epochs" in page


def test_without_shift_bootstrap_and_view(tree: Path, params: Params) -> None:
    """No shift sets, no intervals, and a subset that holds a single seed and no PSAX image."""
    comparison = read_json(paths.COMPARISON / "metrics.json")
    comparison["runs"] = [run for run in comparison["runs"] if run["seed"] == 0]
    for cell in comparison["cells"]:
        cell["versus"] = {}
        del cell["interval"]
        cell["recall"]["PSAX"] = None
    for run in comparison["runs"]:
        run["recall"]["PSAX"] = None
        run["tmed2"] = None
    write_json(paths.COMPARISON / "metrics.json", comparison)
    final = read_json(paths.FINAL_SCORES / "metrics.json") | {"shift": None}
    write_json(paths.FINAL_SCORES / "metrics.json", final)
    data = params.data.model_copy(update={"shift_sources": []})
    page = render(read_inputs(params.model_copy(update={"data": data})))
    assert "domain shift" not in page
    assert "no comparison with real images was computed" in page


@pytest.mark.parametrize(
    "lost", ["models/diffusion/150/curve.csv", "data/split/subsets/500.csv", "data/sources/tmed2/manifest.csv"]
)
def test_a_missing_file_is_named(tree: Path, params: Params, lost: str) -> None:
    (tree / lost).unlink()
    with pytest.raises(EchosynthError, match=lost):
        read_inputs(params)


def test_mosaic_differs_with_pictures() -> None:
    images = np.zeros((4, 8, 8), np.uint8)
    assert mosaic(images, 2) == mosaic(images.copy(), 2)
    assert mosaic(images, 2) != mosaic(images + 1, 2)

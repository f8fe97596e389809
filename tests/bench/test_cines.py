"""The measurements of cines run, and both sides of each give the same frames (they check it themselves)."""

import json
from pathlib import Path
from typing import get_args

import pytest
from bench.cines import CODECS, Wanted
from bench.run import main


@pytest.mark.slow
def test_cines_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cines", "--quick", "--name", "here", "--folder", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "here-cines-quick.json").read_text())["results"]
    tasks = [result["task"] for result in results]
    assert tasks[:-1] == [f"{wanted} of a regular cine" for _ in CODECS for wanted in get_args(Wanted)]
    assert tasks[-1] == "one random frame of each cine, to an image"
    assert all(result["kind"] == "comparison" and result["times"] > 0 for result in results)
    assert "OpenCV, seeking" in capsys.readouterr().out

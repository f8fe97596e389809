"""Recall and precision of the ways to find unusable recordings, on a truth made by hand."""

import pandas as pd
import pytest

from echosynth.screening.decisions import Decisions
from echosynth.screening.outliers import judge_proposals, phantom_truth
from echosynth.sources.base import record_id, salt_id


def test_truth_is_found_by_id_and_only_for_phantoms(tmp_path, write_csv):
    salt = str(tmp_path / "salt"), salt_id("salt")
    assert phantom_truth(tmp_path, "echonet-lvh", *salt) is None
    (tmp_path / "salt").write_text("salt")
    rows = (
        "echonet-lvh,Batch1/a.avi,PLAX,doppler,0",
        "tmed2,x.png,A2C,usable,1",
        "echonet-lvh,Batch2/b.avi,PLAX,tinted,2",
    )
    write_csv(tmp_path / "phantom-truth.csv", "source,file,view,kind,patient", *rows)
    found = phantom_truth(tmp_path, "echonet-lvh", *salt)
    assert found.to_dict() == {
        record_id("salt", "echonet-lvh", "Batch1/a.avi"): "doppler",
        record_id("salt", "echonet-lvh", "Batch2/b.avi"): "tinted",
    }


def test_every_approach_is_scored(params_with):
    truth = pd.Series({"a": "usable", "b": "split", "c": "doppler", "d": "odd", "e": "tinted"})
    groups = pd.DataFrame(
        {"group": ["a", "c", "e"], "size": [2, 2, 1], "proposal": ["keep", "drop", "drop"], "reason": ["", "x", "y"]}
    )
    recordings = pd.DataFrame(
        {
            "id": list("abcdez"),
            "group": ["a", "a", "c", "c", "e", "e"],
            "grey_share": [1.0, 1.0, 0.5, 0.99, 0.2, 0.0],
            "proposal": ["", "split picture", "colour Doppler", "odd colours", "", ""],
        }
    )
    params = params_with(review={"method": "ks", "undecided": "keep", "grey_share": 0.9}).review
    found = judge_proposals(truth, groups, recordings, Decisions({"c": "drop"}, {"b": "drop"}), params)
    assert found["grey"] == {"recall": pytest.approx(1 / 3), "precision": 0.5, "dropped": 2, "outliers": 3}
    assert found["rule"] == {"recall": 1, "precision": 1, "dropped": 3, "outliers": 3}
    assert found["groups"] == {
        "recall": pytest.approx(2 / 3),
        "precision": pytest.approx(2 / 3),
        "dropped": 3,
        "outliers": 3,
    }
    assert found["decisions"] == {"recall": 1, "precision": 1, "dropped": 3, "outliers": 3}


def test_no_outliers_and_nothing_dropped_divide_by_nothing(params_with):
    truth = pd.Series({"a": "usable"})
    groups = pd.DataFrame({"group": ["a"], "size": [1], "proposal": ["keep"], "reason": [""]})
    recordings = pd.DataFrame({"id": ["a"], "group": ["a"], "grey_share": [1.0], "proposal": [""]})
    found = judge_proposals(truth, groups, recordings, Decisions({}, {}), params_with().review)
    assert found["decisions"] == {"recall": None, "precision": None, "dropped": 0, "outliers": 0}

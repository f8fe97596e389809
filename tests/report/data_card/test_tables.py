"""The tables of the data card from counts."""

from echosynth.report.data_card import tables


def test_shift_sets() -> None:
    table = tables.shift_sets({"camus": {"A2C": 1000, "A4C": 1000}, "unity": {"A4C": 3311, "PLAX": 2891, "A2C": 1029}})
    assert table.rows[1] == ["Unity", "1,029", "3,311", "2,891", "0", "7,231", "78.3 %"]
    assert table.rows[2][:6] == ["all", "2,029", "4,311", "2,891", "0", "9,231"]
    assert tables.shift_sets({}).rows[0][-2] == "0"


def test_left_out() -> None:
    table = tables.left_out({"tmed2": {"unreadable": 2, "ambiguous view": 1300}, "camus": {}})
    assert table.rows == [["TMED-2", "ambiguous view", "1,300"], ["TMED-2", "unreadable", "2"]]
    assert tables.left_out({"camus": {}}).note == "Nothing was left out."

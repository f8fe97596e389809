"""Numbers and lists as text."""

from echosynth.report.formatting import decimal, distance, listing, mean_sd, signed


def test_numbers_as_text() -> None:
    assert decimal(0.12345) == "0.123"
    assert decimal(-0.5, 2) == "−0.50"
    assert decimal(None) == decimal(float("nan")) == "–"
    assert (signed(0.25), signed(-0.25), signed(None)) == ("+0.250", "−0.250", "–")
    assert mean_sd([0.1, 0.3]) == "0.200 ± 0.141"
    assert mean_sd([0.1]) == "0.100"
    assert mean_sd([None, None]) == "–"
    assert listing(["a", "b", "c"]) == "a, b and c"


def test_distance() -> None:
    assert distance(1136.24, 5.31) == "1,136.2 ± 5.3"
    assert distance(4.56, 0.0274) == "4.56 ± 0.03"
    assert distance(11.48) == "11.5"

import numpy as np
import pytest
from scipy import stats

from echosynth.phantom.acoustics import (
    PointSpread,
    amplitude,
    attenuation_db,
    beamform,
    compress,
    draw_scatterers,
    lateral_kernels,
)

DEPTHS = np.arange(1, 401, dtype=np.float32) * np.float32(0.4)
ANGLES = np.linspace(-0.7, 0.7, 129, dtype=np.float32)
SPREAD = PointSpread(axial=0.6, lateral=1.0, focus=60.0, rayleigh=40.0)
KERNELS = lateral_kernels(SPREAD, DEPTHS, ANGLES)


def _uniform(seed: int) -> np.ndarray:
    scatterers = draw_scatterers(np.random.default_rng(seed), (len(DEPTHS), len(ANGLES)))
    return np.abs(beamform(scatterers, SPREAD, DEPTHS, KERNELS))


def test_speckle_of_a_uniform_region_is_rayleigh() -> None:
    envelope = _uniform(1)
    assert envelope.mean() / envelope.std() == pytest.approx(1.913, rel=0.03)
    # Apart by more than a point spread, samples are independent: a test of the whole distribution.
    apart = envelope[100::12, ::12].ravel()
    assert stats.kstest(apart, stats.rayleigh(scale=np.sqrt(0.5)).cdf).pvalue > 0.01


def test_power_of_speckle_is_the_echogenicity_at_every_depth() -> None:
    power = np.mean([(_uniform(seed) ** 2).mean(axis=1) for seed in range(4)], axis=0)
    assert power.reshape(8, -1).mean(axis=1) == pytest.approx(np.ones(8), rel=0.15)


def _lateral_response(depth: float) -> float:
    """Standard deviation in mm of the amplitude that one point at `depth` leaves across the beams."""
    field = np.zeros((len(DEPTHS), len(ANGLES)), np.complex64)
    row = int(np.argmin(np.abs(DEPTHS - depth)))
    field[row, len(ANGLES) // 2] = 1
    line = np.abs(beamform(field, SPREAD, DEPTHS, KERNELS))[row]
    across = ANGLES * DEPTHS[row]
    return float(np.sqrt((line * across**2).sum() / line.sum()))


def test_lateral_resolution_is_best_at_the_focus_and_worsens_away_from_it() -> None:
    widths = {depth: _lateral_response(depth) for depth in (60.0, 100.0, 140.0)}
    assert widths[60.0] == pytest.approx(1.0, rel=0.05)
    assert widths[100.0] == pytest.approx(np.sqrt(2), rel=0.05)  # one Rayleigh distance behind the focus
    assert widths[140.0] == pytest.approx(np.sqrt(5), rel=0.05)
    assert SPREAD.lateral_width(np.array([20.0], np.float32))[0] > widths[60.0]


def test_axial_response_is_the_pulse() -> None:
    field = np.zeros((len(DEPTHS), len(ANGLES)), np.complex64)
    field[200, 64] = 1
    line = np.abs(beamform(field, SPREAD, DEPTHS, KERNELS))[:, 64]
    width = np.sqrt((line * (DEPTHS - DEPTHS[200]) ** 2).sum() / line.sum())
    assert width == pytest.approx(SPREAD.axial, rel=0.05)


def test_attenuation_has_the_slope_of_the_coefficient() -> None:
    loss = attenuation_db(DEPTHS, coefficient=0.5, frequency=3.0)
    measured = 20 * np.log10(_uniform(2).mean(axis=1) * amplitude(-loss))
    slope = np.polyfit(DEPTHS / 10, measured, 1)[0]
    assert slope == pytest.approx(-2 * 0.5 * 3.0, rel=0.05)  # dB/cm, there and back


def test_compression_maps_the_dynamic_range_to_black_and_white() -> None:
    envelope = amplitude(np.array([0.0, -25.0, -50.0, -80.0, 20.0], np.float32))
    assert compress(envelope, dynamic_range=50.0, gain=0.0).tolist() == [255, 128, 0, 0, 255]
    assert compress(envelope, dynamic_range=50.0, gain=10.0)[1] > 128

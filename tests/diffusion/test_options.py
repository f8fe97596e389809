"""The choices of the engine: each has its code, and what does not go together is refused in one sentence."""

import math
from typing import Any, get_args

import pytest
from pydantic import ValidationError
from tests.diffusion.conftest import small_settings

from echosynth.common.errors import EchosynthError
from echosynth.config.parameters import Params
from echosynth.diffusion.options import (
    DiffusionParams,
    OptionError,
    Prediction,
    SampleParams,
    Schedule,
    Solver,
    SolverParams,
    TimestepSampling,
    check_guidance,
    check_sources,
)
from echosynth.diffusion.predictions import PREDICTIONS
from echosynth.diffusion.schedules import SCHEDULES
from echosynth.diffusion.solvers import SOLVERS
from echosynth.diffusion.timesteps import TIMESTEP_SAMPLERS


@pytest.mark.parametrize(
    ("table", "choice"),
    [
        (SCHEDULES, Schedule),
        (PREDICTIONS, Prediction),
        (SOLVERS, Solver),
        (TIMESTEP_SAMPLERS, TimestepSampling),
    ],
)
def test_every_choice_has_its_code_and_no_code_is_without_a_choice(table: dict[str, object], choice: Any) -> None:
    assert tuple(table) == get_args(choice)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"prediction": "epsilon", "zero_terminal_snr": True}, ["diffusion.prediction", "diffusion.zero_terminal_snr"]),
        ({"variance": "learned", "loss": "simple"}, ["diffusion.variance", "diffusion.loss"]),
        ({"variance": "learned", "loss": "min-snr"}, ["diffusion.variance", "diffusion.loss"]),
        ({"variance": "fixed-small", "loss": "hybrid"}, ["diffusion.variance", "diffusion.loss"]),
        ({"loss": "min-snr", "min_snr_gamma": 0.0}, ["min_snr_gamma"]),
        (
            {"loss": "edm", "preconditioning": "none"},
            ["diffusion.loss = edm", "diffusion.preconditioning", "diffusion.prediction to edm"],
        ),
        ({"loss": "edm", "prediction": "flow"}, ["diffusion.loss = edm", "diffusion.prediction to edm"]),
        ({"loss": "edm", "prediction": "edm", "variance": "learned"}, ["diffusion.variance"]),
        (
            {"loss": "variational", "timestep_sampling": "logit-normal"},
            ["diffusion.timestep_sampling = logit-normal", "diffusion.loss = variational"],
        ),
        ({"loss": "edm", "preconditioning": "gaussian", "variance": "learned"}, ["diffusion.variance"]),
        (
            {"space": "latent", "unshuffle": 1, "preconditioning": "gaussian"},
            ["diffusion.preconditioning = gaussian", "diffusion.space"],
        ),
        ({"gaussian_directions": 0}, ["gaussian_directions"]),
        ({"augment_share": 1.5}, ["augment_share"]),
    ],
)
def test_what_cannot_be_trained_is_refused(changes: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(ValidationError) as error:
        small_settings(**changes)
    assert all(name in str(error.value) for name in named)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"solver": "euler"}, "solver"),
        ({"evaluations": 0}, "evaluations"),
        ({"solver": "ddim", "eta": -0.1}, "eta"),
        ({"solver": "ddim", "eta": 1.1}, "eta"),
        ({"solver": "ddim", "eta": math.nan}, "eta"),
        ({"eta": 0.5}, "sample.eta = 0.5"),
        ({"autoguidance": 0.5}, "sample.autoguidance = 0.5 does nothing"),
        ({"guidance_interval": [0.8, 0.2]}, "sample.guidance_interval"),
    ],
)
def test_what_cannot_be_sampled_is_refused(changes: dict[str, Any], named: str) -> None:
    plain = SolverParams.plain("dpm++", 5)
    with pytest.raises(ValidationError, match=named):
        SolverParams.model_validate(plain.model_dump() | changes)


def test_a_sampling_is_a_solver_with_what_is_shown(params: Params) -> None:
    assert isinstance(params.sample, SolverParams)
    assert set(SolverParams.model_fields) < set(SampleParams.model_fields)


def test_guidance_needs_a_null_view_or_a_snapshot() -> None:
    plain = SolverParams.plain("unipc", 4)
    guided = plain.model_copy(update={"guidance": 2.0})
    with pytest.raises(EchosynthError, match=r"sample\.guidance = 2\.0 .*diffusion\.view_dropout above 0"):
        check_guidance(small_settings(view_dropout=0.0), guided)
    check_guidance(small_settings(view_dropout=0.0), plain)
    check_guidance(small_settings(view_dropout=0.0), guided.model_copy(update={"autoguidance": 0.5}))
    check_guidance(small_settings(view_dropout=0.1), guided)


@pytest.mark.parametrize(
    ("model", "known", "sources", "words"),
    [
        (small_settings(), ["lvh", "tmed2"], "camus", "this model knows lvh, tmed2 alone"),
        (small_settings(source_conditioning=False), ["lvh"], "lvh", "diffusion.source_conditioning = true"),
        (small_settings(), [], "balanced", "diffusion.source_conditioning = true"),
        (small_settings(source_dropout=0.0), ["lvh"], "none", "diffusion.source_dropout above 0"),
    ],
)
def test_sources_must_be_known(model: DiffusionParams, known: list[str], sources: str, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        check_sources(model, known, sources)
    check_sources(model, known, "real")

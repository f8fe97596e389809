"""A project whose registry is asked: data, gates and pretended networks."""

from collections.abc import Callable
from pathlib import Path

import pytest

from echosynth.config.parameters import Params


@pytest.fixture
def project(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with data and an empty registry, whose networks are pretended; Ada works there."""
    from tests.registry import pretended

    from echosynth.registry import scoring

    monkeypatch.setattr(scoring, "load", pretended.pretended_load)
    monkeypatch.setattr(scoring, "predict", pretended.pretended_predict)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(workspace / "gitconfig"))
    (workspace / "gitconfig").write_text("[user]\n\tname = Ada\n")
    pretended.write_project()
    return workspace


@pytest.fixture
def params(params_with: Callable[..., Params]) -> Params:
    """Parameters for that project."""
    from tests.registry.pretended import with_gates

    return with_gates(params_with)


@pytest.fixture
def three(workspace: Path) -> Path:
    """A workspace with versions 1 to 3, of which 2 is the champion."""
    from tests.registry.pretended import add_version

    from echosynth.registry.versions import CHAMPION, NAME
    from echosynth.tracking import store

    for number in (1, 2, 3):
        add_version(workspace / f"model-{number}", f"weights {number}")
    store.client().set_registered_model_alias(NAME, CHAMPION, "2")
    return workspace

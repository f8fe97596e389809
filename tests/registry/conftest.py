"""A project whose registry is asked: data, gates and pretended networks."""

from collections.abc import Callable
from pathlib import Path

import pytest

from echosynth.config.parameters import Params


@pytest.fixture
def project(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with data and an empty registry, whose networks are pretended; Ada works there."""
    from tests.registry import pretended

    from echosynth.registry import examine

    monkeypatch.setattr(examine, "load", pretended.pretended_load)
    monkeypatch.setattr(examine, "predict", pretended.pretended_predict)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(workspace / "gitconfig"))
    (workspace / "gitconfig").write_text("[user]\n\tname = Ada\n")
    pretended.write_project()
    return workspace


@pytest.fixture
def params(params_with: Callable[..., Params]) -> Params:
    """Parameters for that project."""
    from tests.registry.pretended import with_gates

    return with_gates(params_with)

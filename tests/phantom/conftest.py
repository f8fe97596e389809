from pathlib import Path

import pytest

from echosynth.phantom.options import PhantomParams
from echosynth.phantom.release import write_all

SMALL = PhantomParams(seed=7, one_in=500.0, unusable_share=0.2, tinted_share=0.2, difficulty=1.0)


@pytest.fixture(scope="session")
def small_params() -> PhantomParams:
    return SMALL


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All five releases at 1 in 500."""
    root = tmp_path_factory.mktemp("phantom") / "raw"
    write_all(SMALL, root, workers=2)
    return root

"""The images of the study, read once a process."""

from collections.abc import Sequence
from functools import cache

from echosynth.common import paths
from echosynth.imagesets.dataset import LabelledImages, read_labelled, read_split, read_subset


def validation(sources: Sequence[str]) -> LabelledImages:
    """Real images that every classifier of the study is scored on."""
    return _split(tuple(sources), "validation")


def subset(sources: Sequence[str], size: str) -> LabelledImages:
    """Real images of one training subset."""
    return _subset(tuple(sources), str(size))


def shifted(sources: Sequence[str]) -> LabelledImages:
    """Real images of the domain shift, of one release at least."""
    return _shifted(tuple(sources))


def training(sources: Sequence[str]) -> LabelledImages:
    """All real training images."""
    return _split(tuple(sources), "train")


@cache
def synthetic(size: str) -> LabelledImages:
    """The synthetic set of the diffusion model of one subset."""
    return read_labelled([paths.synthetic_set("diffusion", size)])


@cache
def more_pairs(size: str) -> LabelledImages | None:
    """What was sampled beside it for sets balanced over view and source; None where nothing was."""
    folder = paths.more_pairs(size)
    return read_labelled([folder]) if (folder / "images.zip").is_file() else None


@cache
def _shifted(sources: tuple[str, ...]) -> LabelledImages:
    return read_labelled([paths.SHIFT / source for source in sources])


@cache
def _split(sources: tuple[str, ...], name: str) -> LabelledImages:
    return read_split(sources, name)


@cache
def _subset(sources: tuple[str, ...], size: str) -> LabelledImages:
    return read_subset(sources, size)

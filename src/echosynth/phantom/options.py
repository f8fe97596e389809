"""Options of the embedded demo data."""

from pydantic import Field

from echosynth.common.options import Section, Seed


class PhantomParams(Section):
    """The embedded demo data."""

    seed: Seed
    one_in: float = Field(ge=1)
    unusable_share: float = Field(ge=0, le=0.5)
    tinted_share: float = Field(ge=0, le=0.5)
    difficulty: float = Field(ge=0, le=2)

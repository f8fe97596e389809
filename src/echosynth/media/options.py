"""Options of decoding: what the file of a stranger may use of this machine, and how much of it must be usable."""

from pydantic import Field

from echosynth.common.options import Positive, Section
from echosynth.media.probe import MAX_PIXELS

LEAST_MEMORY = 256  # MiB: to load the decoders takes half of it


class DecodingParams(Section):
    """Limits for one file; see `echosynth.common.children`."""

    memory: int = Field(ge=LEAST_MEMORY)
    seconds: Positive
    pixels: Positive
    usable: float = Field(gt=0, le=1)


# Where there is no params.yaml.
LIMITS = DecodingParams(memory=2048, seconds=60, pixels=MAX_PIXELS, usable=0.8)

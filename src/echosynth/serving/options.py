"""Choices of whoever asks a classifier: how many frames are looked at, and what a server lets a request use."""

from typing import Final

from echosynth.media.options import LIMITS, DecodingParams

FRAMES: Final = 32  # of a cine, evenly spaced: what is looked at unless somebody asks for another number
# A server has others to answer: with the largest request it takes less than 1 GB more, and 3,840 x 2,160 are fewer.
SERVED: Final = DecodingParams(memory=640, seconds=10, pixels=2**23, usable=LIMITS.usable)
MAX_BODY: Final = 176 * 2**20  # bytes of a request, of which a file in base64 may have 128 MiB

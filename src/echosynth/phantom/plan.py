"""How much of what: the study's tables, scaled down, dealt out to patients."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice, repeat
from typing import Final, Literal

import numpy as np

from echosynth.phantom.knobs import Rng
from echosynth.phantom.options import PhantomParams
from echosynth.phantom.recordings import SOURCES

Kind = Literal["usable", "tinted", "doppler", "split", "odd"]
UNUSABLE: Final[tuple[Kind, ...]] = ("doppler", "split", "odd")

# Items of the study by source and view (tables 3.1 to 3.3). TMED-2 is table 3.2 less the two sources of one view.
STUDY: Final[dict[str, dict[str, int]]] = {
    "echonet-dynamic": {"A4C": 10_026},
    "echonet-lvh": {"PLAX": 11_182},
    "tmed2": {"A2C": 3_432, "A4C": 14_531 - 10_026, "PLAX": 18_225 - 11_182, "PSAX": 2_727},
    "camus": {"A2C": 1_000, "A4C": 1_000},
    "unity": {"A2C": 1_029, "A4C": 3_311, "PLAX": 2_891},
}
TMED2_PATIENTS: Final = 1_280
CAMUS_PATIENTS: Final = (450, 50)  # training, testing
PER_PATIENT_VIEW: Final = 15  # images of one patient and view in TMED-2, at most


@dataclass(frozen=True)
class Item:
    """One recording to be written.

    Attributes:
        view: what is pictured: one of `echosynth.common.views.VIEWS`, or "other".
        kind: usable, or what is wrong with it.
        patient: number of the patient within the source.
        number: number of the recording within the patient.
    """

    view: str
    kind: Kind
    patient: int
    number: int


def scaled(count: float, one_in: float) -> int:
    """A count of the study at the demo's size, at least 1."""
    return max(1, round(count / one_in))


def planner(params: PhantomParams, source: str) -> Rng:
    """The generator that deals out a source's items; recordings have generators of their own."""
    return np.random.default_rng((params.seed, SOURCES.index(source), 0, 3, 0))


def video_items(params: PhantomParams, source: str, view: str, shared: float, rng: Rng) -> list[Item]:
    """Video recordings: the study's usable ones, tinted ones among them, and the unusable ones on top, in random order.

    Args:
        shared: chance that a video is of the same patient as the one before.
    """
    usable = scaled(STUDY[source][view], params.one_in)
    unusable = round(usable * params.unusable_share / (1 - params.unusable_share))
    tinted = min(usable, round((usable + unusable) * params.tinted_share))
    good: tuple[Kind, Kind] = ("tinted", "usable")
    kinds: list[Kind] = [*repeat(good[0], tinted), *repeat(good[1], usable - tinted)]
    kinds += islice(cycle(UNUSABLE), unusable)
    order = rng.permutation(len(kinds))
    items: list[Item] = []
    for place in order:
        last = items[-1] if items else Item(view, "usable", -1, 0)
        again = items != [] and rng.random() < shared
        patient, number = (last.patient, last.number + 1) if again else (last.patient + 1, 0)
        items.append(Item(view, kinds[place], patient, number))
    return items


def deal(count: int, patients: int, most: int, rng: Rng) -> list[int]:
    """Deal `count` images to patients, unevenly, at most `most` each (more only where there are too few patients).

    Returns:
        Number of images by patient.
    """
    most = max(most, -(-count // patients))
    appetite, shares = rng.gamma(1.5, size=patients), np.zeros(patients, dtype=int)
    for _ in range(count):
        weights = np.where(shares < most, appetite, 0.0)
        shares[rng.choice(patients, p=weights / weights.sum())] += 1
    return [int(share) for share in shares]


def parts(count: int, shares: Sequence[float]) -> list[int]:
    """Divide `count` in proportion to `shares` (largest remainders), each part at least 1 where `count` allows it."""
    exact = np.array(shares, dtype=float) * count / sum(shares)
    sizes = np.floor(exact).astype(int)
    for index in np.argsort(sizes - exact, kind="stable")[: count - int(sizes.sum())]:
        sizes[index] += 1
    while count >= len(sizes) and sizes.min() == 0:
        sizes[int(sizes.argmax())] -= 1
        sizes[int(sizes.argmin())] += 1
    return [int(size) for size in sizes]


def split_names(count: int, shares: dict[str, float], rng: Rng) -> list[str]:
    """Names of `shares` in random order and in exact proportion, `count` in all."""
    sizes = parts(count, list(shares.values()))
    names = [name for name, size in zip(shares, sizes, strict=True) for _ in range(size)]
    return [names[place] for place in rng.permutation(count)]


def video_name(params: PhantomParams, source: str, *values: object) -> str:
    """Name of a video, eight bytes without leading zeros as the releases print them: 15 or 16 digits.

    It depends on all parameters of the phantoms: decisions on recordings go by name, and other pictures must not come
    under a name that was decided about.
    """
    return f"0X{int(digest(8, sorted(params.model_dump().items()), source, *values), 16):X}"


def digest(size: int, *values: object) -> str:
    """Hex digits (two for each of `size` bytes) that stand for `values`: file names as the releases have them."""
    return hashlib.blake2b(repr(values).encode(), digest_size=size).hexdigest()

"""Rules that `echosynth check` and the ingest share: which stills are taken, and when a release cannot be trusted."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from echosynth.ingest.options import IngestParams
from echosynth.sources.base import Listing, Record, Source, hashed
from echosynth.sources.tables import ROW_WITHOUT_FILE

Seed = tuple[int, int]


def own_seed(seed: int, *parts: str) -> Seed:
    """A seed of its own for a file or patient, so that others coming or going change nothing."""
    return seed, int(hashed("", *parts), 16)


def limit_per_patient(records: Sequence[Record], params: IngestParams) -> tuple[list[Record], list[Record]]:
    """Take at most `ingest.max_per_patient_view` stills of one patient and view, drawn at random, and of these at most
    `ingest.max_per_patient` of one patient, where that is above 0.

    Args:
        records: of a release of stills.
        params: section ingest.

    Returns:
        The records that are taken and those that are left out, in their order.
    """
    dropped = _surplus(records, lambda record: (record.group, record.view), params.max_per_patient_view, params.seed)
    if params.max_per_patient:
        left = [record for record in records if record not in dropped]
        dropped |= _surplus(left, lambda record: (record.group,), params.max_per_patient, params.seed)
    return [one for one in records if one not in dropped], [one for one in records if one in dropped]


def _surplus(
    records: Sequence[Record], together: Callable[[Record], tuple[str, ...]], most: int, seed: int
) -> set[Record]:
    """Records of known patients beyond `most` of those that belong together, drawn at random."""
    sets: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        sets[together(record)].append(record)
    dropped: set[Record] = set()
    for key, some in sets.items():
        if some[0].group_kind == "patient" and len(some) > most:
            order = np.random.default_rng(own_seed(seed, *key)).permutation(len(some))
            dropped.update(some[index] for index in order[most:])
    return dropped


def bad_files(listing: Listing, unreadable: int, attempted: int) -> tuple[int, int]:
    """How many files are unreadable or missing, and of how many in all.

    Args:
        listing: what the adapter found, with the rows of tables whose files are missing.
        unreadable: number of files that cannot be read.
        attempted: number of files that were opened, or should have been.
    """
    lost = len(listing.omitted.get(ROW_WITHOUT_FILE, []))
    return unreadable + lost, attempted + lost


def too_many_bad(bad: int, total: int, most: float) -> str | None:
    """Why a release with so many bad files is refused: the beginning of a sentence; None when it is not.

    Args:
        bad: see `bad_files`.
        total: see `bad_files`.
        most: data.max_bad_share, 0 to 1.
    """
    if bad <= most * total:
        return None
    return (
        f"{bad} of {total} files ({bad / total:.1%}) are unreadable or missing, more than data.max_bad_share = {most} "
        "allows"
    )


def missing_views(source: Source, views: Mapping[str, int]) -> list[str]:
    """Views without an image although the release must hold them: each of a complete one's, at least one of another's.

    Args:
        source: the adapter.
        views: view -> images.
    """
    missing = [view for view in source.views if not views.get(view)]
    return missing if source.complete or len(missing) == len(source.views) else []

"""Files that one process decodes in one go, and the bytes in which their pictures come back.

Apart from what the stage itself needs, as every process imports this module.
"""

import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from echosynth.ingest.frames import Reading, Taken, read_record
from echosynth.ingest.options import IngestParams
from echosynth.ingest.rules import Seed
from echosynth.media.options import DecodingParams
from echosynth.sources.base import Record

ROWS = "rows.json"
FIXED_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Batch:
    """Files to decode.

    Attributes:
        number: of the batch, from 0.
        records: the files.
        seeds: one for each of them.
        is_cine: see `echosynth.ingest.frames.read_record`.
        params: section ingest.
        limits: section decoding.
    """

    number: int
    records: Sequence[Record]
    seeds: Sequence[Seed]
    is_cine: bool
    params: IngestParams
    limits: DecodingParams


def decode(batch: Batch) -> tuple[int, bytes]:
    """The number of a batch and its pictures as the journal keeps them: small, and ready to be written."""
    readings = (
        read_record(record, batch.is_cine, seed, batch.params, batch.limits)
        for record, seed in zip(batch.records, batch.seeds, strict=True)
    )
    return batch.number, pack(readings)


def pack(readings: Iterable[Reading]) -> bytes:
    """A batch as the bytes of a ZIP: rows.json and the pictures as stored PNGs."""
    buffer = io.BytesIO()
    rows = []
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for place, reading in enumerate(readings):
            row = asdict(reading)
            for number, picture in enumerate(row["taken"]):
                archive.writestr(zipfile.ZipInfo(f"{place}-{number}.png", FIXED_DATE), picture.pop("png"))
            rows.append(row)
        archive.writestr(zipfile.ZipInfo(ROWS, FIXED_DATE), json.dumps(rows))
    return buffer.getvalue()


def unpack(data: bytes) -> list[Reading]:
    """What `pack` packed.

    Raises:
        ValueError: the bytes are damaged.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [
                Reading(
                    **row
                    | {
                        "taken": tuple(
                            Taken(**picture, png=archive.read(f"{place}-{number}.png"))
                            for number, picture in enumerate(row["taken"])
                        )
                    }
                )
                for place, row in enumerate(json.loads(archive.read(ROWS)))
            ]
    except (zipfile.BadZipFile, KeyError, TypeError, EOFError, NotImplementedError) as error:
        raise ValueError(str(error)) from error

"""The runs of a result, from the records that its stages left in their outputs, as the DVC cache holds them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, product
from pathlib import Path
from typing import Any

from echosynth.common import paths
from echosynth.tracking.dvc_cache import Cache, Folder, NotCachedError
from echosynth.tracking.history import Content
from echosynth.tracking.record import RECORD, Record

# Outputs of the stages that have runs, and folders of such outputs, in the order of the pipeline.
PLACES = (
    paths.FEATURE_NETWORK,
    paths.DIFFUSION,
    paths.SYNTHETIC,
    paths.BASELINES,
    paths.CLASSIFIERS,
    paths.FIDELITY,
    paths.FINAL_SCORES,
)


@dataclass(frozen=True)
class RecordedRun:
    """A run below the row of a result.

    Attributes:
        record: what its stage did.
        artifacts: name -> where its content is.
    """

    record: Record
    artifacts: dict[str, Path]


@dataclass
class RecordedRuns:
    """What the cache gave.

    Attributes:
        runs: in the order of the pipeline.
        missing: outputs with runs that the cache lacks, as a whole or in part.
        unrecorded: outputs that hold no record: they are older than it.
        unreadable: outputs whose record is torn or of another form.
    """

    runs: list[RecordedRun] = field(default_factory=list)
    missing: int = 0
    unrecorded: int = 0
    unreadable: list[str] = field(default_factory=list)


def recorded_runs(content: Content, before: Mapping[str, str], cache: Cache) -> RecordedRuns:
    """The runs of a result: those of the stages whose outputs it does not share with the result before it.

    A stage that DVC found up to date has not run, and logged nothing.

    Args:
        content: the result.
        before: `Content.outs` of the result before it; empty for the first one.
        cache: where the outputs are.
    """
    found = RecordedRuns()
    written = {Path(path): md5 for path, md5 in content.outs.items() if before.get(path) != md5}
    for place in PLACES:
        for path in sorted(path for path in written if place in (path, path.parent) and _asked(path, content.params)):
            try:
                runs = list(_runs(cache.folder(written[path])))
            except NotCachedError:
                found.missing += 1
            except (ValueError, KeyError, TypeError, OSError):
                found.unreadable.append(path.as_posix())
            else:
                found.unrecorded += not runs
                found.runs += runs
    return found


def _runs(output: Folder) -> Iterator[RecordedRun]:
    """The runs of an output, which holds one record, or one in each of its folders."""
    for name in sorted(name for name in output.hashes if Path(name).name == RECORD):
        record, folder = Record.parse(output.file(name).read_bytes()), Path(name).parent
        yield RecordedRun(record, {each: output.file((folder / each).as_posix()) for each in record.artifacts})


def _asked(path: Path, params: Mapping[str, Any]) -> bool:
    """Whether the parameters ask for this output: dvc.lock keeps what they asked for at other times."""
    # Results of earlier versions have these lists in section classifier.
    section, ending = ("arms", "") if "arms" in params else ("classifier", "_arms")
    sizes, architectures = _list(params, "split", "subsets"), _list(params, section, "architectures")
    arms = {group: _list(params, section, f"{group}{ending}") for group in ("real", "synthetic", "baseline")}
    # Results of still earlier ones have an output for each arm; since then those of real and of synthetic arms are one.
    groups = [*chain(*arms.values()), *(group for group, names in arms.items() if names)]
    if path.parent == paths.BASELINES and not _list(params, "baselines", "generators"):
        return False  # the outputs are there, and empty
    if path.parent in (paths.DIFFUSION, paths.SYNTHETIC, paths.BASELINES, paths.FIDELITY):
        return not sizes or path.name in map(str, sizes)
    cells = [paths.cell_folder(*cell) for cell in product(groups, sizes, architectures)]
    return path.parent != paths.CLASSIFIERS or not cells or path in cells


def _list(params: Mapping[str, Any], section: str, key: str) -> list[Any]:
    """A list among the parameters; empty where they have none there."""
    found = params[section].get(key) if isinstance(params.get(section), Mapping) else None
    return found if isinstance(found, list) else []

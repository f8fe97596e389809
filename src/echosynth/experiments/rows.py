"""What a sweep sees to in MLflow: at most one finished row for an experiment, and none without a result."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from echosynth.tracking import origin, rows, store
from echosynth.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun


def settle(kept: Collection[str], lost: Collection[str] = ()) -> list[str]:
    """See to it that at most one execution of each experiment in this workspace is FINISHED.

    A stage ends the row before DVC takes the result: where DVC was killed between, the experiment ran again. Of two
    finished rows the later one is the result that DVC has, and takes the place of the other.

    Args:
        kept: names of experiments whose result DVC has.
        lost: names of those of which it has none: none of their rows is FINISHED.

    Returns:
        Those of `kept` that have no row at all, because no stage of them ran.

    Raises:
        Unreachable: a server does not answer; the rows that wait for it here have been seen to.
        EchosynthError: a store cannot be used.
    """
    without = set(kept)
    for place in _places():
        with store.reported(place.uri), store.lock():
            latest: dict[str, str] = {}  # execution -> id of its row
            for run in rows.search(place, f"tags.`{rows.STAGE}` = 'pipeline'"):  # the latest first
                name, execution = run.data.tags.get("dvc.exp_name", ""), run.data.tags.get(rows.PIPELINE, "")
                without.discard(name)
                if run.info.status != "FINISHED" or name not in {*kept, *lost} or execution != _own(run):
                    continue
                row = str(run.info.run_id)
                later = latest.setdefault(execution, row)
                if later != row:
                    rows.replace(place, row, later)
                elif name in lost:
                    rows.end(place, row, "FAILED", rows.REPLACED)
    return sorted(without)


def _places() -> Iterator[Store]:
    """The stores that are there. Unlike `store.existing`, a server that does not answer is no store without rows."""
    if store.kept_folder():
        yield store.kept()
    if store.exists():
        yield store.connect()


def _own(run: "MlflowRun") -> str:
    """The key of a row, had it been made in this workspace; a colleague's has another one."""
    tags = run.data.tags
    return origin.execution_key(
        tags.get("dvc.exp_name", ""), tags.get(rows.OTHER_PIPELINE, ""), tags.get(rows.PARAMETERS, "")
    )

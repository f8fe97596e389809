"""What a sweep sees to in MLflow: one finished row for an experiment, none that seems to run though it was killed."""

from collections.abc import Collection

from echosynth.track import closing, rows, store

REPLACED = "DVC did not keep this result, because its process was killed; a later attempt did"


def close_dead() -> list[str]:
    """Mark the runs of killed experiments as failed.

    Returns:
        Their names.

    Raises:
        EchosynthError: a store cannot be used.
    """
    return closing.close_dead()


def settle(names: Collection[str]) -> list[str]:
    """See to it that one execution of each experiment is FINISHED.

    A stage ends the row before DVC takes the result: where DVC was killed between, the experiment ran again, and of two
    finished rows the later one is the result that DVC has.

    Args:
        names: of experiments.

    Returns:
        Those that have no row at all, because no stage of them ran.

    Raises:
        EchosynthError: a store cannot be used.
    """
    without = set(names)
    for place in store.existing():
        with store.reported(place.uri), store.lock():
            finished: set[str] = set()
            for run in rows.search(place, f"tags.`{rows.STAGE}` = 'pipeline'"):  # the latest first
                name = run.data.tags.get("dvc.exp_name", "")
                if name not in names:
                    continue
                without.discard(name)
                if run.info.status == "FINISHED":
                    execution = run.data.tags.get(rows.PIPELINE, "")  # of this workspace
                    if execution in finished:
                        rows.end(place, run.info.run_id, "FAILED", REPLACED)
                    finished.add(execution)
    return sorted(without)

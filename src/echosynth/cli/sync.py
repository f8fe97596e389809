"""`echosynth sync`: rebuild MLflow's rows from git and DVC."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from echosynth.cli.shared import json_option, print_json

if TYPE_CHECKING:
    from echosynth.tracking.sync import Synced


def waiting() -> int:
    """Count the runs that were kept while a server was away, when nothing names that server now."""
    from echosynth.tracking import answers, rows, store

    if store.kept_folder() is None or answers.is_server(store.tracking_uri()):
        return 0
    with store.reported(), store.lock():
        return sum(rows.SENT not in run.data.tags for run in rows.search(store.kept()))


def tidied(sent: int, waits: int, closed: list[str], abandoned: list[str]) -> list[str]:
    """Say for people what was sent, what waits, what was closed, and which experiments only seem to run; nothing where
    there was nothing."""
    from echosynth.experiments import queue

    said = []
    if sent:
        said.append(f"sent {sent} runs that were kept while the tracking server did not answer")
    if waits:
        said.append(
            f"{waits} runs wait for the tracking server that did not answer; "
            "`MLFLOW_TRACKING_URI=http://SERVER:PORT echosynth sync` sends them"
        )
    if closed:
        said.append(f"closed {len(closed)} runs whose process is gone: {', '.join(closed)}")
    return said + [queue.advice(name) for name in abandoned]


def rebuilt(done: "Synced") -> list[str]:
    """Say for people what was added to MLflow, and what could not be."""
    said = [f"git and DVC know {done.results} results; added {done.rows} rows and {done.children} child runs"]
    if done.corrected:
        said.append(f"corrected the tag dvc.lock of {done.corrected} rows")
    if done.missing:
        bring = (
            "`dvc pull` (`dvc fetch --all-commits` for older commits, `dvc exp pull REMOTE` for experiments) brings "
            "them, then run `echosynth sync` again"
            if done.remote
            else "no remote is set that may have them, so their rows stay without; `dvc repro` makes those of the "
            "present state"
        )
        said.append(f"{done.missing} outputs with child runs, or pages, are not in the DVC cache; {bring}")
    if done.unrecorded:
        said.append(
            f"{done.unrecorded} outputs hold no run.json, as they are older than this file: their rows have no child "
            "runs for them"
        )
    if done.stale:
        said.append(f"{done.stale} revisions hold scores of other parameters (they were not run to the end): no row")
    if done.shallow:
        said.append(
            "this clone is shallow: `git fetch --unshallow` brings earlier commits, and with them their results"
        )
    return said


@click.command()
@json_option
def run(as_json: bool) -> int:
    """Add to MLflow what git and DVC know and it does not: every commit and experiment with scores.

    Sends runs that were kept while no tracking server answered, closes runs whose process is gone, and names
    experiments of DVC's queue that only seem to run.
    """
    from echosynth.experiments import queue, workers
    from echosynth.tracking import offline, runs
    from echosynth.tracking.history import flat_scores
    from echosynth.tracking.sync import sync

    sent, waits, closed = offline.send(), waiting(), runs.close_dead()
    abandoned = queue.abandoned(queue.state()) if workers.MESSAGES.is_dir() else []  # there since the first was queued
    for line in [] if as_json else tidied(sent, waits, closed, abandoned):
        print(line, flush=True)  # before what may fail
    done = sync(flat_scores)
    if as_json:
        print_json({"sent": sent, "waiting": waits, "closed": closed, "abandoned": abandoned, **asdict(done)})
    else:
        print("\n".join(rebuilt(done)))
    sys.stdout.flush()
    for what, why in done.skipped.items():
        print(f"skipped {what}: {why}", file=sys.stderr)
    return 0

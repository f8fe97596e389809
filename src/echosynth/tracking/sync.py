"""MLflow's rows from git and DVC alone: each result that they know gets the row that its execution would have left.

Only what is committed counts: `reports/metrics.json` of commits and of DVC's experiments. A row that is half written
when the process is killed is RUNNING, has no `echosynth.result`, and is completed by the next call.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from echosynth.common import git, paths
from echosynth.common.errors import EchosynthError
from echosynth.common.files import fingerprint
from echosynth.common.progress import progress
from echosynth.tracking import history, origin, rows, store
from echosynth.tracking.dvc_cache import Cache, NotCachedError
from echosynth.tracking.history import Content, Result
from echosynth.tracking.logger import RunLogger
from echosynth.tracking.record import Record, flat_params
from echosynth.tracking.recorded import RecordedRun, recorded_runs
from echosynth.tracking.rows import PARAMETERS, PARENT, PIPELINE, RUN_TYPE, RUN_TYPES, STAGE
from echosynth.tracking.runs import RESULT
from echosynth.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

SYNCED = "echosynth.synced"  # tags
REVISION = "echosynth.revision"  # the commit that holds the result
COMPLETE = "echosynth.complete"  # a synced row lacks no child run and no page any more
PAGE = "reports/index.html"
UNREADABLE = "its files are torn or of an older form"
Flat = Callable[[dict[str, Any]], dict[str, float]]


@dataclass
class Synced:
    """What a call of `sync` did.

    Attributes:
        results: how many different ones git and DVC know.
        rows: of them, those that got a row now.
        children: child runs added, to these rows and to rows of earlier calls.
        corrected: rows whose tag dvc.lock was that of the moment before DVC completed the file.
        missing: outputs with child runs, and pages, that the DVC cache of this machine lacks.
        remote: whether something is missing and DVC knows a remote that may hold it.
        unrecorded: outputs that are older than the records of runs, so that they bring no child runs.
        stale: revisions whose scores are, by dvc.lock, not those of the parameters beside them; they get no row.
        skipped: what cannot be read -> why.
        shallow: the clone lacks earlier commits, and so their results.
    """

    results: int = 0
    rows: int = 0
    children: int = 0
    corrected: int = 0
    missing: int = 0
    remote: bool = False
    unrecorded: int = 0
    stale: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    shallow: bool = False


def sync(flat: Flat) -> Synced:
    """Add to MLflow what git and DVC know and it does not.

    Args:
        flat: from the content of reports/metrics.json to the scores of a row.

    Raises:
        EchosynthError: there is no git repository, no result in it, no DVC project, a merge is not finished, or the
            store cannot be used.
    """
    from filelock import Timeout

    if conflicts := git.text_or("", "diff", "--name-only", "--diff-filter=U").splitlines():
        raise EchosynthError(f"a merge is not finished: {conflicts[0]} has conflicts; resolve them, commit, run again")
    results = history.results()
    if not results:
        raise EchosynthError(
            f"there is nothing to sync: no commit and no experiment holds {history.SCORES}; "
            "run `dvc repro`, commit, and run again"
        )
    place = store.connect()
    try:
        with store.lock("sync"), store.reported(place.uri):
            work = _Sync(place, flat)
            for result in progress(results, len(results), "sync", "results"):
                work.take(result)
    except Timeout:
        raise EchosynthError("another `echosynth sync` is at work; run again when it is done") from None
    work.done.remote = bool(work.done.missing) and work.cache.remote
    work.done.shallow = git.text_or("", "rev-parse", "--is-shallow-repository") == "true"
    return work.done


class _Sync:
    """One call: the rows that MLflow holds, and what was done."""

    def __init__(self, place: Store, flat: Flat) -> None:
        self.place, self.flat, self.done = place, flat, Synced()
        self._seen: set[str] = set()
        self._settled: set[str] = set()  # rows whose result was met
        self._known: dict[str, dict[str, str]] = {}
        parents = rows.search(place, f"tags.`{STAGE}` = 'pipeline'")
        finished = [run for run in parents if run.info.status == "FINISHED"]
        self._half = {
            run.data.tags.get(PIPELINE): str(run.info.run_id)
            for run in parents
            if SYNCED in run.data.tags and run not in finished
        }
        self._unnamed = [run for run in finished if RESULT not in run.data.tags]
        self._held: dict[str, list[MlflowRun]] = {}
        for run in finished:
            self._held.setdefault(run.data.tags.get(RESULT, ""), []).append(run)

    def take(self, result: Result) -> None:
        """Bring the row of one result up to date, or make it."""
        try:
            content = history.read(result)
            scores = self._scores(content)
        except EchosynthError as error:
            self.done.skipped[str(result)] = str(error)
            return
        key = origin.result_key(content.params, scores)
        if key not in self._held:
            self._held[key] = self._name(key, content.params, scores)
        held = self._held[key]
        for run in held:
            self._correct(run, result, content)
        if key in self._seen:  # a commit that takes over an experiment, say
            return
        if not held and not content.belongs():
            self.done.stale += 1
            return
        self._seen.add(key)
        self.done.results += 1
        for run in held:
            if SYNCED in run.data.tags and COMPLETE not in run.data.tags:
                self._write(result, content, scores, key, str(run.info.run_id))
        if not held:
            self._write(result, content, scores, key)

    @cached_property
    def cache(self) -> Cache:
        """Where outputs are; opened when the first one is looked for."""
        return Cache()

    def _outs(self, lock: str) -> dict[str, str]:
        """What stages wrote by the dvc.lock that is this object of git: experiments have it from one baseline."""
        if lock not in self._known:
            self._known[lock] = history.outs(history.stages(history.blobs(lock)[0]))
        return self._known[lock]

    def _scores(self, content: Content) -> dict[str, float]:
        try:
            return self.flat(content.scores)
        except (AttributeError, TypeError, ValueError) as error:
            raise EchosynthError(f"{history.SCORES} holds no scores by branch and name ({error})") from None

    def _name(self, key: str, params: Mapping[str, Any], scores: Mapping[str, float]) -> "list[MlflowRun]":
        """Rows that hold this result but were written before results had keys; they get it."""
        text = flat_params(params)
        found = [
            run
            for run in self._unnamed
            if scores.items() <= run.data.metrics.items() and text.items() <= run.data.params.items()
        ]
        for run in found:
            self.place.client.set_tag(run.info.run_id, RESULT, key)
        return found

    def _correct(self, run: "MlflowRun", result: Result, content: Content) -> None:
        """The stage that ends a row runs before DVC writes that stage into dvc.lock.

        Code that changes no number gives one result from several baselines or experiments: each row keeps the lock of
        its own.
        """
        tags, run_id = run.data.tags, str(run.info.run_id)
        own = tags.get("dvc.baseline_rev") == result.baseline
        own &= result.experiment in ("", tags.get("dvc.exp_name", ""))  # a commit may take an experiment over
        if not own or not content.lock_hash or run_id in self._settled:
            return
        self._settled.add(run_id)
        if tags.get("dvc.lock") != content.lock_hash:
            self.place.client.set_tag(run_id, "dvc.lock", content.lock_hash)
            self.done.corrected += 1

    def _write(self, result: Result, content: Content, scores: Mapping[str, float], key: str, row: str = "") -> None:
        """Write a row, or what one of an earlier call lacks; what makes it a row, its key and status, comes last."""
        tags = _tags(result, content, key)
        record = Record(result.name, "pipeline", params=flat_params(content.params))
        record.add(scores, 0)
        half = row or self._half.get(tags[PIPELINE], "")
        with TemporaryDirectory() as folder:
            page = self._page(content, Path(folder))
            run = self._replay(record, Path(folder), half, result, tags)
        complete = self._children(run.id, result, content, tags, new=not half) and page
        rows.log_tags(self.place, run.id, {RESULT: key, **({COMPLETE: "true"} if complete else {})})
        self._finish(run, result)
        self.done.rows += not row
        self.done.missing += not page

    def _children(self, parent: str, result: Result, content: Content, tags: Mapping[str, str], *, new: bool) -> bool:
        """Add the child runs that a row lacks, and return whether the cache has all of them; a new row lacks all."""
        found = recorded_runs(content, self._outs(result.lock_before), self.cache)
        below = [] if new else rows.search(self.place, f"tags.`{PARENT}` = '{parent}'")
        there = {run.info.run_name: run.info for run in below}
        for child in found.runs:
            old = there.get(child.record.name)
            if old is None or old.status != "FINISHED":
                self._child(child, str(old.run_id) if old else "", result, {**tags, PARENT: parent})
        self.done.missing += found.missing
        self.done.unrecorded += found.unrecorded
        self.done.skipped |= {f"{result}, {path}": UNREADABLE for path in found.unreadable}
        return not found.missing

    def _page(self, content: Content, folder: Path) -> bool:
        """Write the artifacts of a row: the report's numbers and, of phantoms, its page; returns whether the cache has
        what there is."""
        (folder / Path(history.SCORES).name).write_bytes(content.scores_bytes)
        data = content.params.get("data")
        page = content.outs.get(PAGE) if isinstance(data, Mapping) and paths.simulated(str(data.get("root"))) else None
        try:
            if page:
                shutil.copyfile(self.cache.file(page), folder / Path(PAGE).name)
        except NotCachedError:
            return False
        return True

    def _child(self, child: RecordedRun, half: str, result: Result, tags: Mapping[str, str]) -> None:
        with TemporaryDirectory() as folder:
            for name, file in child.artifacts.items():
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, Path(folder) / name)  # without its mode: files of the cache are read-only
            run = self._replay(child.record, Path(folder), half, result, {**tags, **child.record.tags})
        self._finish(run, result)
        self.done.children += 1

    def _replay(self, record: Record, artifacts: Path, half: str, result: Result, tags: Mapping[str, str]) -> RunLogger:
        """Write a record into a new run, or into one that a killed call has left half written."""
        run_id, milliseconds = half, 1000 * result.seconds
        if not run_id:
            kind = RUN_TYPES.get(record.stage, "evaluation")
            own = {STAGE: record.stage, RUN_TYPE: kind, "mlflow.source.name": record.stage}
            made = self.place.client.create_run(
                self.place.experiment, start_time=milliseconds, tags={**tags, **own}, run_name=record.name
            )
            run_id = str(made.info.run_id)
        run = RunLogger(run_id, "", self.place)
        run.replay(record, artifacts, milliseconds)
        return run

    def _finish(self, run: RunLogger, result: Result) -> None:
        self.place.client.set_terminated(run.id, "FINISHED", 1000 * result.seconds)


def _tags(result: Result, content: Content, key: str) -> dict[str, str]:
    """Tags of a row and its children, as the pipeline sets them. Whether the working tree was dirty is not known."""

    def unchanged() -> bool:
        return git.text_or("", "rev-parse", f"{result.baseline}:./{history.PARAMS}") == result.params

    tags = {
        PIPELINE: f"sync-{key}",  # no stage takes such a row for its own
        PARAMETERS: fingerprint(content.params),
        SYNCED: "true",
        "echosynth.preset": origin.preset_of(content.params, unchanged),
        REVISION: result.revision,
        "dvc.exp_name": result.experiment,
        "dvc.baseline_rev": result.baseline,
        "dvc.lock": content.lock_hash,
        "mlflow.source.git.commit": result.baseline,
        "mlflow.source.type": "LOCAL",
        **history.flat_reasons(content.scores),
    }
    return {name: text for name, text in tags.items() if text}

"""MLflow's rows from git and DVC alone: each result that they know gets the row that its execution would have left.

Only what is committed counts: `reports/metrics.json` of commits and of DVC's experiments. A row that is half written
when the process is killed is RUNNING, has no `echosynth.result`, and is completed by the next call.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from echosynth.common import paths
from echosynth.common.errors import EchosynthError
from echosynth.common.files import fingerprint
from echosynth.common.progress import progress
from echosynth.tracking import history, origin, outputs, rows, store
from echosynth.tracking.dvc_cache import Cache, NotCachedError
from echosynth.tracking.history import Content, Result
from echosynth.tracking.outputs import Child, Point
from echosynth.tracking.parents import flat_params
from echosynth.tracking.rows import PARAMETERS, PARENT, PIPELINE, RUN_TYPE, STAGE
from echosynth.tracking.runs import RESULT, Run
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
        missing: child runs and pages that the DVC cache of this machine lacks.
        stale: revisions whose scores are, by dvc.lock, not those of the parameters beside them; they get no row.
        skipped: what cannot be read -> why.
    """

    results: int = 0
    rows: int = 0
    children: int = 0
    corrected: int = 0
    missing: int = 0
    stale: int = 0
    skipped: dict[str, str] = field(default_factory=dict)


def sync(flat: Flat) -> Synced:
    """Add to MLflow what git and DVC know and it does not.

    Args:
        flat: from the content of reports/metrics.json to the scores of a row.

    Raises:
        EchosynthError: there is no git repository, no result in it, no DVC project, or the store cannot be used.
    """
    from filelock import Timeout

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
                self._complete(str(run.info.run_id), result, content, key)
        if not held:
            self._add(result, content, scores, key)

    @cached_property
    def _cache(self) -> Cache:
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

    def _add(self, result: Result, content: Content, scores: Mapping[str, float], key: str) -> None:
        """Write a row; what makes it one, its key and its status, comes last."""
        tags = _tags(result, content, key)
        half = self._half.get(tags[PIPELINE], "")
        run_id = half or self._create(result, result.name, "pipeline", tags)
        points = [(name, value, 0) for name, value in scores.items()]
        self._log(run_id, content.params, points, result, new=not half)
        self._complete(run_id, result, content, key, new=not half)
        rows.log_tags(self.place, run_id, {RESULT: key})
        self._finish(run_id, result)
        self.done.rows += 1

    def _complete(self, parent: str, result: Result, content: Content, key: str, *, new: bool = False) -> None:
        """Add the page and the child runs that a row lacks, as far as the cache has them; a new one lacks all."""
        found = outputs.children(content, self._outs(result.lock_before), self._cache)
        found.missing += not self._page(parent, content)
        below = [] if new else rows.search(self.place, f"tags.`{PARENT}` = '{parent}'")
        there = {run.info.run_name: run.info for run in below}
        tags = _tags(result, content, key) | {PARENT: parent}
        for child in found.children:
            old = there.get(child.name)
            if old is None or old.status != "FINISHED":
                self._child(child, str(old.run_id) if old else "", result, tags)
        self.done.missing += found.missing
        self.done.skipped |= {f"{result}, {path}": UNREADABLE for path in found.unreadable}
        if not found.missing:
            rows.log_tags(self.place, parent, {COMPLETE: "true"})

    def _page(self, parent: str, content: Content) -> bool:
        """Log the report's numbers and, of phantoms, its page; returns whether the cache has what there is."""
        with TemporaryDirectory() as temporary:
            folder, md5 = Path(temporary), None
            if isinstance(data := content.params.get("data"), Mapping) and paths.simulated(str(data.get("root"))):
                md5 = content.outs.get(PAGE)
            (folder / Path(history.SCORES).name).write_bytes(content.scores_bytes)
            try:
                if md5:
                    (folder / Path(PAGE).name).write_bytes(self._cache.file(md5).read_bytes())
                return True
            except NotCachedError:
                return False
            finally:
                self._run(parent).artifact(folder)

    def _child(self, child: Child, half: str, result: Result, tags: Mapping[str, str]) -> None:
        with TemporaryDirectory() as folder:
            try:
                child.artifacts(Path(folder))
            except outputs.TORN:
                self.done.skipped[f"{result}, {child.name}"] = UNREADABLE
                return
            run_id = half or self._create(result, child.name, child.stage, {**tags, **child.tags})
            self._log(run_id, child.params, child.points, result, new=not half)
            for name, digest, context in child.datasets:
                self._run(run_id).dataset(name, digest, context)
            self._run(run_id).artifact(Path(folder))
        self._finish(run_id, result)
        self.done.children += 1

    def _create(self, result: Result, name: str, stage: str, tags: Mapping[str, str]) -> str:
        own = {STAGE: stage, RUN_TYPE: rows.RUN_TYPES.get(stage, "evaluation"), "mlflow.source.name": stage}
        run = self.place.client.create_run(
            self.place.experiment, start_time=1000 * result.seconds, tags={**tags, **own}, run_name=name
        )
        return str(run.info.run_id)

    def _log(
        self, run_id: str, params: Mapping[str, Any], points: Sequence[Point], result: Result, *, new: bool
    ) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(name, value, 1000 * result.seconds, step) for name, value, step in points]
        rows.log(self.place, run_id, flat_params(params), metrics, new=new)

    def _finish(self, run_id: str, result: Result) -> None:
        self.place.client.set_terminated(run_id, "FINISHED", 1000 * result.seconds)

    def _run(self, run_id: str) -> Run:
        return Run(run_id, "", self.place)


def _tags(result: Result, content: Content, key: str) -> dict[str, str]:
    """Tags of a row and its children, as the pipeline sets them. Whether the working tree was dirty is not known."""
    tags = {
        PIPELINE: f"sync-{key}",  # no stage takes such a row for its own
        PARAMETERS: fingerprint(content.params),
        SYNCED: "true",
        REVISION: result.revision,
        "dvc.exp_name": result.experiment,
        "dvc.baseline_rev": result.baseline,
        "dvc.lock": content.lock_hash,
        "mlflow.source.git.commit": result.baseline,
        "mlflow.source.type": "LOCAL",
    }
    return {name: text for name, text in tags.items() if text}

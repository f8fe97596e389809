"""Which version is in use: promotion through gates, and the way back. One at a time, and every decision is kept."""

import os
import signal
import socket
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from filelock import Timeout

from echosynth.common.errors import EchosynthError
from echosynth.common.termination import Terminated, termination_as_exception
from echosynth.config.parameters import Params
from echosynth.registry import versions as registry
from echosynth.registry.decisions import Decision, keep, now, reason, summarise, who, withdraw
from echosynth.registry.versions import CHAMPION, NAME, PREVIOUS
from echosynth.tracking import store
from echosynth.tracking.runs import child_run

# A registered model of this name, without a version, is the claim of whoever decides: every store refuses to make it
# twice, and no store has a lock to offer.
CLAIM = f"{NAME}-decision-in-progress"


def promote(params: Params, which: str | None = None, why: str = "", *, dry_run: bool = False) -> Decision:
    """Put a version to the gates and, if it passes all, make it the champion; the champion becomes `previous`.

    Args:
        params: all parameters; the data are those of the working directory.
        which: alias or version; None for the newest.
        why: for the record; a dry run needs none.
        dry_run: judge it and change nothing.

    Returns:
        The decision; it is kept whether the gates accept or refuse, but for a dry run.

    Raises:
        EchosynthError: no reason is given, the version cannot be judged (see `echosynth.registry.judging.judge`), is
            the champion already or not what was registered, or another decision is being made; nothing is changed then.
    """
    from echosynth.registry.judging import judge

    if not dry_run:
        why = reason(why)
    store.require_existing()
    with nullcontext() if dry_run else alone():
        version = registry.newest() if which is None else registry.find(which)
        number, before = str(version.version), registry.champion()
        if number == before:
            raise EchosynthError(f"version {number} of {NAME} is the champion already; name another version")
        registry.check_stored(version)  # what is promoted is what will be served: the code too
        gates, scores, notes = judge(version, registry.find(before) if before else None, params)
        accepted = all(gate.passed for gate in gates)
        decision = Decision(
            action="promote",
            accepted=accepted,
            version=number,
            before=before,
            after=number if accepted else before,
            model_sha=version.tags.get(registry.SHA, ""),
            who=who(),
            when=now(),
            why=why,
            gates=gates,
            scores=scores,
            notes=notes,
        )
        if not dry_run:
            _carry_out(decision)
    return decision


def rollback(why: str) -> Decision:
    """Exchange `champion` and `previous`.

    Args:
        why: for the record.

    Raises:
        EchosynthError: no reason is given, there is no champion or no previous one, its files are gone or not those
            that were registered, or another decision is being made; nothing is changed then.
    """
    why = reason(why)
    store.require_existing()
    with alone():
        aliases = registry.aliases()
        before, after = aliases.get(CHAMPION), aliases.get(PREVIOUS)
        if before is None or after is None or before == after:
            missing = "champion" if before is None else "previous champion"
            raise EchosynthError(f"there is no {missing} of {NAME} to go back from or to; promote a version")
        version = registry.find(after)
        with tempfile.TemporaryDirectory() as folder:  # who goes back in a hurry must not find that the files are gone
            registry.fetch(version, Path(folder))
        registry.check_stored(version)
        sha = version.tags.get(registry.SHA, "")
        decision = Decision("rollback", True, after, before, after, sha, who(), now(), why)
        _carry_out(decision)
    return decision


def unlock() -> str | None:
    """Remove the claim of a decision that was killed.

    Returns:
        Whose it was; None when there was none.

    Raises:
        EchosynthError: there is no registry.
    """
    store.require_existing()
    claim = _claim()
    if claim:
        with store.reported():
            store.client().delete_registered_model(CLAIM)
    return claim["by"] if claim else None


def _carry_out(decision: Decision) -> None:
    """Keep a decision, then move the aliases if it is accepted: the very last step makes it true."""
    name = f"{decision.action} version {decision.version}"
    facts = {"version": decision.version, "before": decision.before, "after": decision.after, "when": decision.when}
    with child_run(
        name, "promote", {"decision": facts}, {"echosynth.accepted": str(decision.accepted)}, late=True
    ) as run:
        run.metrics(decision.scores)
        run.dict(decision.as_json(), "decision.json")
        try:
            keep(decision)
            if decision.accepted:
                _move(decision)
        except BaseException:
            with suppress(EchosynthError):  # the first error is the one to report
                if not (decision.accepted and _is_champion(decision.after)):
                    withdraw(decision)
            raise
        try:
            summarise(decision)
        except EchosynthError as error:  # what was decided holds without it
            print(f"the decision stands, but not all of its tags are written: {error}", file=sys.stderr)


def _is_champion(version: str | None) -> bool:
    """Whether a version is known to be the champion: a store that does not answer says nothing."""
    try:
        return registry.champion() == version
    except EchosynthError:
        return False


def _move(decision: Decision) -> None:
    """Point the aliases to their new versions, unless somebody else moved them since the decision was made."""
    held = registry.aliases()
    found = held.get(CHAMPION)
    if found != decision.before:
        raise EchosynthError(
            f"the champion of {NAME} changed from {decision.before or 'none'} to {found or 'none'} while version "
            f"{decision.version} was compared with it; nothing is changed, run it again"
        )
    # Stopped between the two, a promotion has changed nothing that is in use, and a rollback has gone back.
    if decision.action == "rollback":
        _point(CHAMPION, decision.after)
        _point(PREVIOUS, decision.before)
        return
    try:
        if decision.before:
            _point(PREVIOUS, decision.before)
        _point(CHAMPION, decision.after)
    except BaseException:
        with suppress(EchosynthError):  # the first error is the one to report
            if decision.before and registry.champion() == decision.before:
                _point(PREVIOUS, held.get(PREVIOUS))
        raise


def _point(alias: str, version: str | None) -> None:
    """Let an alias name a version, or none."""
    with store.reported():
        if version is None:
            store.client().delete_registered_model_alias(NAME, alias)
        else:
            store.client().set_registered_model_alias(NAME, alias, version)


@contextmanager
def alone() -> Iterator[None]:
    """Let one decision be made at a time: by a file lock in this workspace, by a claim in the store for all others.

    Raises:
        EchosynthError: another one is being made, or was killed and left its claim.
    """
    lock = store.lock("promotion")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise EchosynthError(
            "another promotion or rollback is running on this machine; run this again when that one has ended"
        ) from None
    try:
        with termination_as_exception():  # else SIGTERM would leave the claim
            token = _take()
            try:
                yield
            finally:
                _release(token)
    except Terminated:
        raise SystemExit(128 + signal.SIGTERM) from None
    finally:
        lock.release()


def _take() -> str:
    """Make the claim, and return what tells it from others."""
    from mlflow.exceptions import MlflowException

    token = uuid.uuid4().hex
    by = f"{who()} on {socket.gethostname()}, process {os.getpid()}, {now()}"
    with store.reported():
        try:
            store.client().create_registered_model(CLAIM, {"by": by, "token": token}, f"held by {by}")
            return token
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    holder = (_claim() or {}).get("by", "somebody")
    raise EchosynthError(
        f"another promotion or rollback holds the registry ({holder}); run this again when that one has ended, or, if "
        "it was killed, after `echosynth promote --unlock`"
    )


def _release(token: str) -> None:
    """Remove the claim, unless it was removed by hand and is another's now. Where that fails, say so: what was decided
    stands, and an error on the way to it is the one to report."""
    try:
        if (_claim() or {}).get("token") == token:
            with store.reported():
                store.client().delete_registered_model(CLAIM)
    except EchosynthError as error:
        what = str(error).partition(";")[0]
        print(f"the claim on the registry stays: {what}; `echosynth promote --unlock` removes it", file=sys.stderr)


def _claim() -> dict[str, str] | None:
    """What the claim says of its holder; None when nobody holds it."""
    from mlflow.exceptions import MlflowException

    with store.reported():
        try:
            return dict(store.client().get_registered_model(CLAIM).tags)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    return None

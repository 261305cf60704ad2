"""Undo what a killed conductor has left, from what it wrote down before it did it: `gameday recover`.

It promises to touch nothing while the conductor lives, or where nobody can tell whether it does; no process but those
of the run, whose numbers may belong to others by now; and nothing at AWS but where the run was, in its account. What is
undone already stays as it is, so that it may be called as often as one likes; and it says what became of each.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT
from typing import Any

from gameday.history.errors import RunError, TargetError, UsageError
from gameday.processes import kin, proc
from gameday.processes.kin import Process
from gameday.processes.undo import FILE, Kind, Open, Undo
from gameday.run.directory import RUNS, shown
from gameday.run.leaving import Where
from gameday.targets.account import Account
from gameday.targets.start import somebody_elses
from gameday.targets.sweep import SweepRequest, sweep
from gameday.targets.target import Target
from gameday.transports import experiments
from gameday.transports.aws_errors import is_gone
from gameday.transports.base import Call, CallFailed, Plan
from gameday.transports.carriers.boto import BotoCarrier, run_plan
from gameday.transports.endpoint import Endpoint
from gameday.transports.queue_policy import allow
from gameday.transports.services import SERVICES

# How long a process may take to end in good order, and to be gone when it was killed.
_TERM_S = 10.0
_KILL_S = 5.0
_AT_AWS: tuple[Kind, ...] = ("policy", "call", "resources")

Say = Callable[[str], None]
# The account of today's credentials in a region, where it is allowed there, and where it has these services besides
# those that are swept. Errors: UsageError, TargetError.
Admitted = Callable[[str, Collection[str]], Account]


@dataclass(frozen=True, kw_only=True, slots=True)
class RecoverRequest:
    """What a person asked for. `gone`: the machine or container that the conductor ran in is no more."""

    dry: bool = False
    gone: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Conductor:
    """Who conducted the run, by its record. `directory`: where the run was recorded then."""

    id: str
    directory: str
    pid: int
    began: str | None
    numbering: str
    host: str
    where: Where | None

    @property
    def counted_here(self) -> bool:
        """Whether its process numbers mean anything in this machine or container, as it runs now."""
        return bool(self.numbering) and self.numbering == proc.numbering()

    @property
    def restarted(self) -> bool:
        """Whether the machine has been started again since, so that all processes of the run are gone."""
        boot, here = self.numbering.partition(" ")[0], proc.numbering().partition(" ")[0]
        return self.host == socket.gethostname() and bool(boot and here) and boot != here

    @property
    def lives(self) -> bool:
        return self.counted_here and proc.lives(self.pid) and proc.began(self.pid) == self.began

    @property
    def described(self) -> str:
        return f"process {self.pid}" if self.counted_here else f"process {self.pid} on {self.host}"


def unfinished(runs: Path = RUNS) -> Path:
    """The newest run there that has left something open, and whose conductor is gone. Errors: UsageError."""
    written = sorted(runs.glob(f"*/{FILE}"), key=lambda path: path.stat().st_mtime, reverse=True)
    going_on = []
    for run in [path.parent for path in written]:
        if records := Undo(run).open():
            if (conductor := _conductor(records)) is None or not conductor.lives:
                return run
            going_on.append(shown(run))
    told = f"; going on: {', '.join(going_on)}" if going_on else ""
    raise UsageError(f"no run in {runs}{os.sep} has left anything to undo{told}; name another run's directory")


def recover(run: Path, asked: RecoverRequest, admitted: Admitted, say: Say) -> int:
    """Do it; the exit code: 0 when nothing is left, else 4.

    Errors: UsageError where there is no run; RunError where it goes on, or may do so; TargetError where its AWS, or its
    account, is not there: then nothing is undone at AWS.
    """
    undo = Undo(run)
    if not undo.path.exists():
        raise UsageError(f"{run} has no {FILE}, so no run has written down there what it does; name a run's directory")
    records = undo.open()
    if not records:
        say("nothing to undo: the run has put everything away")
        return 0
    conductor = _conductor(records)
    if conductor is None:
        raise RunError(f"{undo.path} does not tell whose run it is, nor where; remove what it names by hand")
    _refuse_where_it_may_live(conductor, asked)
    say(f"{conductor.id}: its conductor, {conductor.described}, is gone")
    return _Recovery(undo, conductor, dry=asked.dry, admitted=admitted, say=say).do(records)


def _conductor(records: Sequence[Open]) -> Conductor | None:
    """Errors: RunError for a record that is not as a run writes it."""
    told = next((record.what for record in records if record.kind == "run"), None)
    if told is None:
        return None
    try:
        return Conductor(
            id=str(told["id"]),
            directory=str(told["directory"]),
            pid=int(told["pid"]),
            began=told["began"],
            numbering=str(told["numbering"]),
            host=str(told["host"]),
            where=Where.of(told["target"]) if "target" in told else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"the record of the run itself in {FILE} is not as a run writes it: {error!r}") from error


def _refuse_where_it_may_live(conductor: Conductor, asked: RecoverRequest) -> None:
    """Errors: RunError."""
    if conductor.lives:
        raise RunError(
            f"{conductor.id} goes on: its conductor, {conductor.described}, lives. Ctrl-C or SIGTERM ends it in good "
            "order, and then nothing is left to undo"
        )
    if not (conductor.counted_here or conductor.restarted or asked.gone):
        raise RunError(
            f"{conductor.id} was conducted by {conductor.described}, on another machine or in another container, and "
            "nobody can tell from here whether that lives. Recover it there; or, where that is gone with all that ran "
            "in it, with --gone"
        )


class _Recovery:
    """One recovery. What fails keeps none of the others from being undone; a record is closed as soon as it may be."""

    def __init__(self, undo: Undo, conductor: Conductor, *, dry: bool, admitted: Admitted, say: Say) -> None:
        self._undo = undo
        self._conductor = conductor
        self._dry = dry
        self._admitted = admitted
        self._say = say
        self._left = 0

    def do(self, records: Sequence[Open]) -> int:
        """Errors: UsageError, TargetError."""
        self._end([record for record in records if record.kind == "process"])
        self._wake([record for record in records if record.kind == "stopped"])
        for record in records:
            if record.kind == "directory":
                self._remove(record)
        # The latest first: what was changed stands on what was created.
        self._put_right_at_aws([record for record in reversed(records) if record.kind in _AT_AWS])
        for record in records:
            if record.kind == "lasting":
                self._say(f"cannot be undone: {record.what.get('what')}")
                self._done(record)
        if self._dry:
            return 0
        if self._left:
            self._say(f"{self._left} could not be undone; once more: gameday recover {shown(self._undo.path.parent)}")
            return RunError.exit_code
        for record in self._undo.open():
            self._done(record)
        self._say("nothing is left to undo")
        return 0

    def _done(self, record: Open) -> None:
        if not self._dry:
            self._undo.done(record)

    # On this machine

    def _end(self, records: Sequence[Open]) -> None:
        if not self._conductor.counted_here:
            self._say("its processes are gone with the machine or container that they ran in")
            self._close(records)
            return
        known = [process for record in records if (process := _process(record)) is not None]
        if self._dry:
            for process in kin.family(self._conductor.directory, known):
                self._say(f"would end {process.described}")
            return
        ended = kin.end(self._conductor.directory, known, term_s=_TERM_S, kill_s=_KILL_S)
        if not ended:
            self._say("its processes are gone")
        for process in ended:
            if process.lives:
                self._left += 1
                self._say(f"could not end {process.described}")
            else:
                self._say(f"ended {process.described}")
        living = {process.pid for process in known if process.lives}
        self._close([record for record in records if record.what.get("pid") not in living])

    def _wake(self, records: Sequence[Open]) -> None:
        """Those that were there before the run, and go on after it."""
        for record in records:
            process = _process(record) if self._conductor.counted_here else None
            if process is None or not process.lives or proc.state(process.pid) != "T":
                self._done(record)
            elif self._dry:
                self._say(f"would wake {process.described}")
            else:
                process.signal(SIGCONT)
                if proc.state(process.pid) == "T" and process.lives:
                    self._left += 1
                    self._say(f"could not wake {process.described}")
                else:
                    self._say(f"woke {process.described}")
                    self._done(record)

    def _remove(self, record: Open) -> None:
        path = Path(str(record.what.get("path")))
        if path.exists():
            if self._dry:
                self._say(f"would remove {path}")
                return
            shutil.rmtree(path, ignore_errors=True)
            if path.exists():
                self._left += 1
                self._say(f"could not remove {path}")
                return
            self._say(f"removed {path}")
        self._done(record)

    def _close(self, records: Sequence[Open]) -> None:
        for record in records:
            self._done(record)

    # At AWS

    def _put_right_at_aws(self, records: Sequence[Open]) -> None:
        """Errors: UsageError, TargetError."""
        where = self._conductor.where
        if where is not None and where.ends_with_the_run:
            self._say(f"what it created has gone with {where.what}, which ends with its run")
            self._close(records)
        elif where is not None and records:
            target = self._target(where)
            self._say(f"at {target.what}:")
            carrier = BotoCarrier(target.endpoint)
            for record in records:
                if record.kind == "resources":
                    self._sweep(record, target)
                else:
                    self._put_right(record, carrier)

    def _target(self, where: Where) -> Target:
        """Where the run was. Errors: UsageError, TargetError."""
        if where.account is None:
            endpoint = Endpoint.emulated(where.urls, region=where.region, environ=os.environ)
            return somebody_elses(endpoint, list(SERVICES))
        account = self._admitted(where.region, where.urls.keys() - {"*"})
        if account.id != where.account:
            raise TargetError(
                f"{self._conductor.id} was in account {where.account}, and these credentials are of {account.id}; take "
                "those of the run, with --profile for example"
            )
        then = dict(where.urls)
        if bool(then) != bool(account.endpoint.urls) or any(account.endpoint.url(name) != then[name] for name in then):
            raise TargetError(
                f"{self._conductor.id} was at {where.what}, and environment or profile lead elsewhere now; set "
                "AWS_ENDPOINT_URL as it was then"
            )
        return account.target(list(SERVICES))

    def _sweep(self, record: Open, target: Target) -> None:
        """Errors: TargetError where nobody answers there."""
        asked = SweepRequest(run=self._conductor.id, older_than_s=None, dry=self._dry)
        if sweep(asked, target, self._say):
            self._left += 1
        else:
            self._done(record)

    def _put_right(self, record: Open, carrier: BotoCarrier) -> None:
        what, plan = _undoing(record, self._conductor.id)
        if self._dry:
            self._say(f"would undo: {what}")
            return
        try:
            run_plan(plan, carrier)
        except CallFailed as failed:
            self._left += 1
            self._say(f"could not undo: {what}: {failed}")
        else:
            self._say(f"undone: {what}")
            self._done(record)


def _process(record: Open) -> Process | None:
    """None where it was killed before it could write down which one it had started: then its mark tells."""
    pid, began = record.what.get("pid"), record.what.get("began")
    if not isinstance(pid, int) or not isinstance(began, str):
        return None
    return Process(pid=pid, began=began, name=str(record.what.get("name")))


def _undoing(record: Open, run: str) -> tuple[str, Plan[None]]:
    """In words, and as calls."""
    told = record.what
    if record.kind == "policy":
        queue, sid = str(told.get("queue")), str(told.get("sid"))
        what = f"what the policy of {queue.rpartition('/')[2]} denied"
        return what, _where_it_still_is(allow(queue, sid=sid, before=str(told.get("before") or "")))
    calls = told.get("calls")
    return str(told.get("what")), _called(calls) if calls else _found(run)


def _found(run: str) -> Plan[None]:
    """Of an experiment or a template whose id its maker never learnt: whatever carries the run's tag."""
    going, templates = yield from experiments.of_run(run)
    for each in going:
        yield from _where_it_still_is(_ended(each))
    for each in templates:
        yield from _where_it_still_is(_one(experiments.delete_template(each)))


def _called(calls: Sequence[Any]) -> Plan[None]:
    for each in calls:
        call = Call(str(each["service"]), str(each["operation"]), dict(each["params"]))
        yield from _where_it_still_is(_one(call))


def _one(call: Call) -> Plan[None]:
    if (call.service, call.operation) == (experiments.SERVICE, "StopExperiment"):
        yield from _ended(call.params["id"])
    else:
        yield call


def _ended(experiment: str) -> Plan[None]:
    # One that is over already cannot be stopped.
    yield from experiments.end(experiment)


def _where_it_still_is(plan: Plan[None]) -> Plan[None]:
    """What it is about may be gone: then nothing of it is left."""
    try:
        yield from plan
    except CallFailed as failed:
        if not is_gone(failed):
            raise

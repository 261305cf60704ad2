"""Undo records: what a run has to put right at its end, written down before it is done, for whoever comes after a
conductor that was killed (`gameday recover`).

They stand in `undo.jsonl` of the run directory. Nobody judges by them. Whatever lasts longer than the conductor is
done like this:

    pending = Undo(run).will("policy", queue=url, sid="gameday-…")    # written, and with the disk, before it is done
    …                                                                 # do it
    pending.now(…)                                                    # what is known only now, if anything
    …                                                                 # put it right again
    pending.done()                                                    # nothing is left of it

It promises that a thing of which no record could be written is not done (`will` raises then); that a line is whole or
is not read; and that what is not `done` is found again, whatever became of who wrote it. A `done` too few costs
nothing: what is undone already is undone once more, and nothing happens.

The kinds, with what their records hold:

    run         id, pid, began, numbering, directory; later target: of the whole run, first
    process     name; later pid, began: it is ended, with what it has started
    stopped     name, pid, began: stopped by a signal, it is woken
    directory   path: it is removed
    resources   nothing more: what carries the run's id at the run's target is removed, as `gameday sweep` does it
    policy      queue, sid: the statements with that Sid are taken out of the queue's policy
    call        what, calls: AWS calls, each {service, operation, params}, that put it right, in this order
    lasting     what: cannot be undone, and is only told
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import orjson

from gameday.history.errors import HistoryError

FILE = "undo.jsonl"
Kind = Literal["run", "process", "stopped", "directory", "resources", "policy", "call", "lasting"]
KINDS = get_args(Kind)
# What is gone when the machine is, so that its record need not outlive that.
_OF_THE_MACHINE: tuple[Kind, ...] = ("process", "stopped", "directory")
# Every process of a run has it in its environment, and so has what that starts: the run directory.
MARK = "GAMEDAY_RUN_DIRECTORY"


def marked(run: Path) -> dict[str, str]:
    """What the environment of a process of that run has besides."""
    return {MARK: str(run.resolve())}


@dataclass(frozen=True, kw_only=True, slots=True)
class Open:
    """A record that nobody has called done. `what` has all that was told of it, the later over the earlier."""

    number: str
    kind: Kind
    what: Mapping[str, Any]


class Undo:
    """The records of the run in that directory. Each is a line of one write, so that several may write beside each
    other."""

    def __init__(self, run: Path) -> None:
        self.path = run / FILE

    def will(self, kind: Kind, **what: object) -> Pending:
        """Before it is done. Errors: HistoryError where it cannot be written down, and then it must not be done."""
        # From several writers, so no count would do.
        number = secrets.token_hex(6)
        self._write({"undo": "will", "number": number, "kind": kind, **what}, lasting=kind not in _OF_THE_MACHINE)
        return Pending(self, number, kind)

    def open(self) -> list[Open]:
        """What is not done, in the order in which it was begun. Errors: HistoryError where it cannot be read."""
        found: dict[str, Open] = {}
        for line in self._lines():
            match line.pop("undo", None), line.pop("number", None):
                case "will", str(number) if line.get("kind") in KINDS:
                    kind: Kind = line.pop("kind")
                    found[number] = Open(number=number, kind=kind, what=line)
                case "now", str(number) if number in found:
                    known = found[number]
                    found[number] = Open(number=number, kind=known.kind, what={**known.what, **line})
                case "done", str(number):
                    found.pop(number, None)
        return list(found.values())

    def done(self, record: Open) -> None:
        """Somebody else has put it right."""
        self._write({"undo": "done", "number": record.number}, lasting=True)

    def _lines(self) -> list[dict[str, Any]]:
        try:
            text = self.path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise HistoryError(f"{self.path} cannot be read: {error.strerror}") from error
        lines = []
        for each in text.splitlines():
            # What was half written when its writer died was not done either.
            with suppress(orjson.JSONDecodeError):
                if isinstance(line := orjson.loads(each), dict):
                    lines.append(line)
        return lines

    def _write(self, line: Mapping[str, object], *, lasting: bool) -> None:
        """Errors: HistoryError."""
        # Each begins on a line of its own, whatever the last writer left of his.
        text = b"\n" + orjson.dumps(line) + b"\n"
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                if os.write(file, text) < len(text):
                    raise OSError(0, "it was written only in part")
                if lasting:
                    os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise HistoryError(f"cannot write to {self.path}: {error.strerror}") from error


class Pending:
    """One thing that is to be put right. Calling it done twice does nothing more."""

    def __init__(self, undo: Undo, number: str, kind: Kind) -> None:
        self._undo = undo
        self._number = number
        self._lasting = kind not in _OF_THE_MACHINE
        self._open = True

    def now(self, **what: object) -> None:
        """What is known only after it was done. Errors: HistoryError."""
        self._undo._write({"undo": "now", "number": self._number, **what}, lasting=self._lasting)

    def done(self) -> None:
        """Nothing is left of it. Where that cannot be written, it is undone once more."""
        if self._open:
            self._open = False
            with suppress(HistoryError):
                self._undo._write({"undo": "done", "number": self._number}, lasting=False)


class Stops:
    """Writes down that a process is stopped, before it is, and that it was woken or killed."""

    def __init__(self, undo: Undo, *, name: str, pid: int, began: str | None) -> None:
        self._undo = undo
        self._who = {"name": name, "pid": pid, "began": began}
        self._pending: Pending | None = None

    def before(self, number: signal.Signals) -> None:
        """Errors: HistoryError where it cannot be written down, and then it must not be stopped."""
        if number == signal.SIGSTOP and self._pending is None:
            self._pending = self._undo.will("stopped", **self._who)

    def after(self, number: signal.Signals) -> None:
        if number in (signal.SIGCONT, signal.SIGKILL) and self._pending is not None:
            self._pending.done()
            self._pending = None

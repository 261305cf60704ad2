"""What a run writes down of itself for whoever has to undo it: who conducts it, where its AWS is, and when it is over.

It promises that a run which has put everything away leaves no record open.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from gameday.history.errors import HistoryError
from gameday.processes import proc
from gameday.processes.undo import Kind, Pending, Undo
from gameday.targets.account import Account
from gameday.targets.target import Kind as TargetKind
from gameday.targets.target import Target

# What the end of the conductor alone ends, or nobody can undo.
_NEEDS_NOBODY: tuple[Kind, ...] = ("run", "process", "lasting")


@dataclass(frozen=True, kw_only=True, slots=True)
class Where:
    """Where the AWS of a run is. `account`: of a real one, or of what plays one, its twelve digits."""

    kind: TargetKind
    what: str
    urls: Mapping[str, str]
    region: str
    account: str | None
    ends_with_the_run: bool

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        return cls(**told)


def where(target: Target, account: Account | None) -> dict[str, object]:
    """As the record of the run keeps it."""
    return asdict(
        Where(
            kind=target.kind,
            what=target.what,
            urls=dict(target.endpoint.urls),
            region=target.endpoint.region,
            account=None if account is None else account.id,
            ends_with_the_run=target.ends_with_the_run,
        )
    )


def begin(undo: Undo, *, id: str, directory: Path) -> Pending:
    """Before anything else of the run. Errors: HistoryError."""
    pid = os.getpid()
    return undo.will(
        "run",
        id=id,
        directory=str(directory.resolve()),
        pid=pid,
        began=proc.began(pid),
        numbering=proc.numbering(),
        host=socket.gethostname(),
    )


def end(undo: Undo, own: Pending) -> None:
    """After everything else of the run. Where something is left, whoever undoes it needs to know whose it is."""
    if left_open(undo):
        return
    # Of a disk that is full, say: then it is undone once more.
    with suppress(HistoryError):
        for record in undo.open():
            # What cannot be undone, the run itself has told.
            if record.kind == "lasting":
                undo.done(record)
    own.done()


def left_open(undo: Undo) -> bool:
    """Whether something is left that somebody has to undo; so it is where nobody can read what there is."""
    try:
        return any(record.kind not in _NEEDS_NOBODY for record in undo.open())
    except HistoryError:
        return True

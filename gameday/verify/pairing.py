"""Which answer belongs to which intent, where several calls of one kind for one message were open at once.

A writer records an intent before a call and the answer after it, so the order of its lines pairs them while no more
than one is open; `gameday/verify/tables/40_settles.sql` does that. Here is the rest: what a `call` or the times decide
is paired, and what they do not decide counts neither as worked nor as failed. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """One `settling` (an intent) or `settled` (an answer), times in ns. `began`: `started` of an answer."""

    line: int
    intent: bool
    at: int
    began: int | None
    outcome: str | None
    call: str | None


@dataclass(kw_only=True, slots=True)
class Settling:
    """One call. `outcome` None: no answer to it is known."""

    line: int
    began: int
    answered: int | None = None
    answered_line: int | None = None
    outcome: str | None = None
    call: str | None = None

    @property
    def ok(self) -> bool:
        return self.outcome == "ok"

    @property
    def may_work(self) -> bool:
        return self.outcome != "failed"


def pair(records: Iterable[Told]) -> list[Settling]:
    """The calls that the records of one file and one key, in the order of their lines, tell of."""
    found: list[Settling] = []
    open_now: list[Settling] = []
    owed = 0
    for record in records:
        if record.intent:
            call = Settling(line=record.line, began=record.at, call=record.call)
            found.append(call)
            open_now.append(call)
            continue
        meant = _meant(record, open_now, owed)
        if meant is not None:
            open_now.remove(meant)
            meant.answered, meant.answered_line, meant.outcome = record.at, record.line, record.outcome
        elif open_now or owed:
            # An answer to one of them; which is not told, so none of them is proven to have worked or failed.
            owed += len(open_now) - 1
            open_now.clear()
        else:
            began = record.at if record.began is None else record.began
            found.append(
                Settling(
                    line=record.line,
                    began=began,
                    answered=record.at,
                    answered_line=record.line,
                    outcome=record.outcome,
                )
            )
    return found


def _meant(answer: Told, open_now: list[Settling], owed: int) -> Settling | None:
    """The open call that an answer belongs to, if that is decided."""
    if len(open_now) == 1 and not owed:
        return open_now[0]
    named = [call for call in open_now if call.call is not None and call.call == answer.call]
    if len(named) == 1:
        return named[0]
    if owed or answer.began is None or not open_now:
        return None
    # One writer's clock reads before its intent is written, another's after: where both readings agree, or only one of
    # them is possible, the time decides.
    before = [call for call in open_now if call.began <= answer.began]
    after = [call for call in open_now if call.began >= answer.began]
    last = [call for call in before if call.began == max(each.began for each in before)]
    first = [call for call in after if call.began == min(each.began for each in after)]
    pointed = {id(call): call for call in (*last, *first)}
    return next(iter(pointed.values())) if len(pointed) == 1 else None

"""Every check by the name of the anomaly that it finds: the files of `checks/`, and nothing else. Adding one is a file.

A check is a query over the tables of `gameday/verify/tables/`. It gives rows (s, id, n, note, other, other_s, line,
other_line): subscription, message, how many it counts there, a word that a claim may ask about; the message that it
suffered from, with its subscription where that is another one; and the `line` of the first record that it counts, with
that of the record that this one suffered from (the copy before, the hold that was still on). The last four may be left
out. Its file opens with one comment,
which is what it finds. One that ends with "legal" finds what AWS may do: it is counted and explained, and violates
nothing by itself. Which claims an anomaly violates stands with the claims (gameday/verify/claims.py).

Every cause by its name: the files of `causes/`, each `NN_name.sql`. Where several causes explain one subject
(gameday/verify/subjects/), the lowest number is the cause, and the others contribute to it. A file opens with a comment
of four parts: what the cause is, one sentence; `Of:` the kinds of subject that it explains; `Proof:` which records
prove it; `Do:` what to do about it in one's own system, with AWS's page. The query gives rows (what, s, id, line,
instance, excess_ns): which subject, the instance of the fault that brought it about where the records prove one, and by
how much, where that means anything. A query is asked only where there are subjects of its kinds.

Every dangerous place that a message can come to, by its name: the files of `places/`. A file opens with a comment: what
befell the message, one sentence; `On:` the kinds of subscription where that can be; `Of:`, as of a cause, the kinds of
subject that it is asked of, where it is; `Needs: effects` where only who tells of effects can say it. The query gives
rows (s, id), a message as often as it likes; s is NULL of a send.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

# What is explained: each receive of a copy that had been received before, each copy more than one, each message that
# did not come, each that came or worked out of its order, each effect that is not there, each that is there once more,
# and each dead letter.
KINDS = ("redelivery", "duplicate", "loss", "overtake", "effect-missing", "effect-duplicate", "dead-letter")
# What no record tells, and who is to blame where the records exclude everybody else.
UNTOLD, BROKER = "untold", "broker"


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    anomaly: str
    sql: str

    @property
    def summary(self) -> str:
        """The comment that its file opens with."""
        return _opening(self.sql)

    @property
    def legal(self) -> bool:
        return self.summary.endswith("legal")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """`number`: of several that apply the lowest is the cause; `of`: the kinds of subject that it explains.

    `summary`, `proof` and `action` are what the file says of it: what it is, which records prove it, what to do.
    """

    name: str
    number: int
    sql: str
    summary: str
    of: Sequence[str]
    proof: str
    action: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """`on`: the kinds of subscription where a message can come to it; `of`: the kinds of subject without which there is
    nothing to ask (none: it is always asked); `needs_effects`: who tells nothing of effects cannot say whether one
    did."""

    name: str
    sql: str
    summary: str
    on: Sequence[str]
    of: Sequence[str]
    needs_effects: bool


def _opening(sql: str) -> str:
    lines = []
    for line in sql.splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").strip())
    return " ".join(lines)


def _files(directory: str) -> Iterator[tuple[str, str]]:
    """The queries of a directory, in the order of their names: the name without its ending, and the text."""
    for path in sorted(files("gameday.verify").joinpath(directory).iterdir(), key=lambda path: path.name):
        if path.name.endswith(".sql"):
            yield path.name.removesuffix(".sql"), path.read_text(encoding="utf-8").strip().rstrip(";")


def _checks() -> Iterator[Check]:
    for name, sql in _files("checks"):
        yield Check(anomaly=name.replace("_", "-"), sql=sql)


_PARTS = re.compile(r"(?P<summary>.+?) Of: (?P<of>.+?)\. Proof: (?P<proof>.+?) Do: (?P<action>.+)")


def _causes() -> Iterator[Cause]:
    for file, sql in _files("causes"):
        number, _, name = file.partition("_")
        told = _PARTS.fullmatch(_opening(sql))
        assert told is not None, f"{file}.sql does not say what it is, of what, how it is proven, and what to do"
        of = tuple(told["of"].split(", "))
        assert set(of) <= set(KINDS), f"{file}.sql is of {of}"
        yield Cause(
            name=name.replace("_", "-"),
            number=int(number),
            sql=sql,
            summary=told["summary"],
            of=of,
            proof=told["proof"],
            action=told["action"],
        )


_PLACE = re.compile(r"(?P<summary>.+?) On: (?P<on>.+?)\.( Of: (?P<of>.+?)\.)?(?P<needs> Needs: effects\.)?")


def _places() -> Iterator[Place]:
    for file, sql in _files("places"):
        told = _PLACE.fullmatch(_opening(sql))
        assert told is not None, f"{file}.sql does not say what befell the message, and on what"
        on = tuple(told["on"].split(", "))
        of = tuple(told["of"].split(", ")) if told["of"] else ()
        assert set(on) <= {"queue", "stream"} and set(of) <= set(KINDS), f"{file}.sql is on {on}, of {of}"
        yield Place(
            name=file.replace("_", "-"),
            sql=sql,
            summary=told["summary"],
            on=on,
            of=of,
            needs_effects=told["needs"] is not None,
        )


CHECKS: Mapping[str, Check] = {check.anomaly: check for check in _checks()}
# What looks at messages of several groups, or at none: on a history that is judged in buckets it reads what was learnt
# from the whole. Every other check may look at one group alone (gameday/verify/buckets.py).
OF_THE_WHOLE = frozenset({"stale-checkpoint", "unidentified", "vacuous"})
# By its name, those of the highest precedence first.
CAUSES: Mapping[str, Cause] = {cause.name: cause for cause in _causes()}
# The same of causes: what swallowed a message may be of any group.
CAUSES_OF_THE_WHOLE = frozenset({"deduplicated"})
# What makes the tables that causes read, from what the checks found: the first the subjects themselves.
SUBJECTS: Mapping[str, str] = dict(_files("subjects"))
PLACES: Mapping[str, Place] = {place.name: place for place in _places()}

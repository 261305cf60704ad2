"""How far the clocks of a run's writers may differ: what its manifest says, and what marks say of its hosts.

It takes the worst pair of hosts at its worst moment for every pair at every moment, which blames nobody for a clock and
needs one number. Where a host's clock is not known there is none: then that host is named, and nothing that two files
tell has an order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gameday.history.clock import ERROR_UNKNOWN, drift_ns
from gameday.history.events import Record


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockMark:
    """A `clock` mark. `error_ns` is None where it says that nobody knows."""

    host: str
    at_ns: int
    error_ns: int | None


@dataclass(kw_only=True, slots=True)
class HostsTold:
    """What one history file tells of hosts: (file, host) of its `writer` marks that name one, and its `clock` marks.
    `last_ns` is the largest `at` of all its records, None without any."""

    last_ns: int | None = None
    writers: list[tuple[str, str]] = field(default_factory=list)
    marks: list[ClockMark] = field(default_factory=list)

    def hear(self, mark: Record) -> None:
        if not mark.get("host"):
            return
        host, at_ns = str(mark["host"]), mark["at"]
        if mark.get("name") == "writer" and mark.get("file"):
            self.writers.append((plain(mark["file"]), host))
        elif mark.get("name") == "clock" and isinstance(at_ns, int):
            error = mark.get("error_ns")
            known = math.ceil(error) if isinstance(error, int | float) else None
            self.marks.append(ClockMark(host=host, at_ns=at_ns, error_ns=known))


def plain(file: object) -> str:
    """The name of a history file as it is when it is not packed."""
    return str(file).removesuffix(".gz")


@dataclass(frozen=True, kw_only=True, slots=True)
class Clocks:
    """`error_ns` bounds the difference between the clocks of any two writers. `unknown`: the hosts whose clocks are not
    known, each with the reason; where there is one, `error_ns` is more than any two times of a run differ by.
    `contradictory`: of files that are given to several hosts, those hosts."""

    error_ns: int
    unknown: Mapping[str, str] = field(default_factory=dict)
    contradictory: Mapping[str, Sequence[str]] = field(default_factory=dict)


def reckon(told: Mapping[str, HostsTold], *, declared_ns: int) -> Clocks:
    """`told` by the name of the file, and the error that the manifest declares."""
    placed: dict[str, set[str]] = {}
    for each in told.values():
        for file, host in each.writers:
            placed.setdefault(file, set()).add(host)
    # When each host last wrote; None is the conductor's own, which has no name and no error.
    ends: dict[str | None, int] = {}
    for file, each in told.items():
        if each.last_ns is not None:
            for on in placed.get(file) or (None,):
                ends[on] = max(each.last_ns, ends.get(on, each.last_ns))
    contradictory = {file: sorted(hosts) for file, hosts in placed.items() if len(hosts) > 1}
    if len(ends) < 2:
        return Clocks(error_ns=declared_ns, contradictory=contradictory)
    marks = [mark for each in told.values() for mark in each.marks]
    errors: dict[str | None, int] = {}
    unknown: dict[str, str] = {}
    for name, end_ns in ends.items():
        found = _error_ns([mark for mark in marks if mark.host == name], end_ns) if name is not None else 0
        if isinstance(found, int):
            errors[name] = found
        elif name is not None:
            unknown[name] = found
    worst = sum(sorted(errors.values())[-2:])
    return Clocks(
        error_ns=ERROR_UNKNOWN if unknown else declared_ns + worst,
        unknown=dict(sorted(unknown.items())),
        contradictory=contradictory,
    )


def _error_ns(marks: Sequence[ClockMark], end_ns: int) -> int | str:
    """The error of a host that last wrote at `end_ns`, or why nobody knows it."""
    if not marks:
        return "no `clock` mark tells how far it may be off"
    errors = [mark.error_ns for mark in marks if mark.error_ns is not None]
    if len(errors) < len(marks):
        return "a `clock` mark says that it was not known, or not synchronised"
    return max(errors) + drift_ns(end_ns - max(mark.at_ns for mark in marks))


def reasons(clocks: Clocks) -> Iterator[str]:
    """Why nothing that rests on the times of different hosts is told, in a sentence a host."""
    for host, why in clocks.unknown.items():
        yield (
            f"the clock of host {host} is not known: {why}; nothing that rests on times of different hosts is told. A "
            "measured clock (`clock` marks with `error_ns`, once a minute) would settle it"
        )

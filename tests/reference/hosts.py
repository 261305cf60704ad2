"""Spreads a simulated run over hosts whose clocks are off and drift, and has `clock` marks tell how far.

The run directory of `simulate` is changed in place, always the same for the same seed; most runs stay on one host. What
a host's processes wrote is moved as that host's clock would have shown it. It promises that in a legal run the marks
tell the truth, or that nobody knows; in others they may lie, and a file may be on two hosts.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.reference.retelling import Line, read_lines, write_lines
from tests.reference.world import EPOCH, MILLISECOND

MINUTE = 60_000 * MILLISECOND
# What the marks tell, so that many runs have the same error and are judged together.
ROUND = tuple(n * MILLISECOND for n in (10, 100, 1000, 3000))


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """`ahead` in nanoseconds at the start of the run, and what that changes by each second, in nanoseconds."""

    name: str
    ahead: int
    drift: int

    def off(self, at: int) -> int:
        return self.ahead + (at - EPOCH) * self.drift // 1_000_000_000

    def moved(self, record: dict[str, Any]) -> dict[str, Any]:
        times = {
            name: record[name] + self.off(record[name])
            for name in ("at", "started")
            if isinstance(record.get(name), int) and abs(record[name] - EPOCH) < 1000 * MINUTE
        }
        return {**record, **times}


def spread(run: Path, seed: int, *, legal: bool) -> None:
    """Of a run with packed files, nothing is changed."""
    chance = random.Random(f"hosts {seed}")
    history = run / "history"
    if chance.random() >= 0.2 or any(history.glob("*.gz")):
        return
    files = {path: list(read_lines(path)) for path in sorted(history.glob("*.jsonl"))}
    hosts = [
        Host(
            name=f"h{number + 1}",
            ahead=chance.choice((-1, 1)) * chance.choice((0, 5, 200, 2000)) * MILLISECOND,
            drift=chance.choice((0, 0, -900_000, 900_000)),
        )
        for number in range(chance.choice((1, 2, 2, 3)))
    ]
    listed = {
        str(line["file"]) for lines in files.values() for line in lines if isinstance(line, dict) and "file" in line
    }
    on: dict[str, Host] = {}
    for path in files:
        if path.name in listed and (host := chance.choice((None, *hosts))) is not None:
            on[path.name] = host
    twice = not legal and chance.random() < 0.05
    for path, lines in files.items():
        host = on.get(path.name)
        files[path] = [
            line if isinstance(line, bytes) else named(host.moved(line) if host else line, on, hosts, chance, twice)
            for line in lines
        ]
    conductor = next(path for path in files if path.name not in listed)
    for host in hosts:
        written = [
            int(line["at"])
            for path, lines in files.items()
            for line in lines
            if isinstance(line, dict) and on.get(path.name) is host
        ]
        lies = not legal and chance.random() < 0.1
        if written:
            told(chance, files, conductor, [path for path in files if on.get(path.name) is host], host, written, lies)
    write_lines(files)


def named(
    record: dict[str, Any], on: dict[str, Host], hosts: Sequence[Host], chance: random.Random, twice: bool
) -> dict[str, Any]:
    """A `writer` mark with the host of its file."""
    host = on.get(str(record.get("file"))) if record["event"] == "mark" else None
    if host is None:
        return record
    return {**record, "host": chance.choice(hosts).name if twice else host.name}


def told(
    chance: random.Random,
    files: dict[Path, list[Line]],
    conductor: Path,
    own: Sequence[Path],
    host: Host,
    written: Sequence[int],
    lies: bool,
) -> None:
    """Add a host's `clock` marks to its own files and the conductor's."""
    kind = chance.choices(("all", "early", "unknown", "none"), (7, 2, 1, 1))[0]
    if kind == "none":
        return
    # A record whose time is damaged is no moment of the run.
    moments = [at for at in written if abs(at - EPOCH) < 1000 * MINUTE]
    if not moments:
        return
    first, last = min(moments), max(moments)
    apart = chance.choice((2, 20)) * 1000 * MILLISECOND
    ends = [*range(first + apart, last, apart), last]
    if kind == "early" and len(ends) > 1:
        # It was killed, and nobody measured its clock after that: what it may have drifted since is the judge's to add.
        ends = ends[: chance.randint(1, len(ends) - 1)]
    for begin, end in pairwise([first, *ends]):
        # What was written at either end was moved by no more than the clock is off then, and a little.
        worst = max(abs(host.off(begin)), abs(host.off(end))) + 3 * MILLISECOND
        error: int | float | None = worst // 3 if lies else next(each for each in ROUND if each >= worst)
        if kind == "unknown" and chance.random() < 0.5:
            error = None
        elif chance.random() < 0.02:
            error = float(worst) + 0.5
        mark = {"event": "mark", "at": end, "by": host.name, "name": "clock", "host": host.name, "error_ns": error}
        lines = files[chance.choice((conductor, *own))]
        place = next(
            (n for n, line in enumerate(lines) if isinstance(line, bytes) or line["at"] > end or _closes(line)),
            len(lines),
        )
        lines.insert(place, mark)


def _closes(line: dict[str, Any]) -> bool:
    return line["event"] == "mark" and line.get("name") == "closed"

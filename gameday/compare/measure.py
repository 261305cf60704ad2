"""What a recorded run measured: its messages with their delays, as far as a comparison asks, and its verdict.

A run is read and judged once and leaves a small table (in a file of its own, so that one of millions of messages is
no matter of memory); from it the blocks of time are counted, once it is known how long the shortest run's load lasted.
All times are nanoseconds since the first message was due, so that runs of different days stand beside each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from pathlib import Path
from typing import Any

import duckdb

from gameday.compare.noise import BLOCKS, Weights
from gameday.history.errors import UsageError
from gameday.history.manifest import Manifest
from gameday.verify.judge import judging
from gameday.verify.load import Loaded, Progress

# Delays are counted in classes this wide, a share of the delay: finer than any tolerance that makes sense.
RESOLUTION = 0.005
_LEAST_NS = 1000
# The anomalies that are counted per message, by what a comparison calls them.
COUNTED: Mapping[str, tuple[str, ...]] = {
    "redeliveries": ("redelivery", "early-redelivery"),
    "duplicate copies": ("send-duplicate",),
    "duplicate effects": ("effect-duplicate",),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """A run that was read. `document` is the object of verdict.json; `lasted_ns`: until its last message was due."""

    directory: Path
    manifest: Manifest
    document: Mapping[str, Any]
    lasted_ns: int
    messages: Path
    sends: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Delays:
    """Delays by block, in classes: `below` tells for each how many of each block lie in it or below it."""

    classes: Sequence[int]
    below: Sequence[Sequence[int]]

    @classmethod
    def of(cls, counted: Iterable[tuple[int, int, int]]) -> Delays:
        """From (delay's class, block, how many)."""
        by_class: dict[int, list[int]] = {}
        for number, block, count in counted:
            by_class.setdefault(number, [0] * BLOCKS)[block] += count
        classes = sorted(by_class)
        below = accumulate(
            (by_class[number] for number in classes), lambda a, b: [x + y for x, y in zip(a, b, strict=True)]
        )
        return cls(classes=classes, below=[tuple(counts) for counts in below])

    @property
    def count(self) -> int:
        return sum(self.below[-1]) if self.below else 0

    def quantile(self, q: float, weights: Weights) -> float | None:
        """In seconds, to `RESOLUTION`; nearest rank. None where the drawn blocks have no message."""
        total = _dot(weights, self.below[-1])
        if not total:
            return None
        rank = max(1, math.ceil(q * total))
        low, high = 0, len(self.classes) - 1
        while low < high:
            middle = (low + high) // 2
            if _dot(weights, self.below[middle]) < rank:
                low = middle + 1
            else:
                high = middle
        return _LEAST_NS / 1e9 * math.exp((self.classes[low] + 0.5) * RESOLUTION)


@dataclass(frozen=True, kw_only=True, slots=True)
class Blocks:
    """One subscription of one run in blocks of time. `handled`: None where the history tells of no effects."""

    latency: Delays
    handled: Delays | None
    messages: Sequence[int]
    received: Sequence[int]
    counted: Mapping[str, Sequence[int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """What is compared of the runs: from the end of the warm-up to when the last message of the shortest was due."""

    start_ns: int
    end_ns: int

    @property
    def block_s(self) -> float:
        return (self.end_ns - self.start_ns) / BLOCKS / 1e9


def read(run: Path, scratch: Path, progress: Progress | None = None) -> Recorded:
    """Read and judge a run; its tables go into `scratch`. Errors: those of `judge`, UsageError for one without load."""
    with judging(run, progress=progress, with_examples=False) as (loaded, verdict):
        bounds = loaded.rows(
            "SELECT run, min(coalesce(due_ns, intended_ns)), max(coalesce(due_ns, intended_ns)) "
            "FROM messages GROUP BY run"
        )
        if not bounds or bounds[0][1] is None:
            raise UsageError(f"{run}: no message was sent in this run, so there is nothing to compare")
        start_ns, last_ns = bounds[0]
        messages, sends = scratch / "messages.parquet", scratch / "sends.parquet"
        _export(loaded, _MESSAGES, start_ns, messages)
        _export(loaded, _SENDS, start_ns, sends)
        return Recorded(
            directory=run,
            manifest=loaded.manifest,
            document=verdict.document,
            lasted_ns=last_ns - start_ns,
            messages=messages,
            sends=sends,
        )


# As the claim `lag` has it: acked or received, and not dead; what never came counts until the end of the history, so
# that losing the slow ones makes no run faster. A handler that found the effect done had it done at that time.
_MESSAGES = """
WITH ended AS (SELECT max(at_ns) AS end_ns FROM raw), handled AS (
    SELECT id, s, min(at_ns) AS at_ns FROM effect_records WHERE outcome IN ('applied', 'skipped') GROUP BY id, s
), counted AS (
    SELECT id, s, {counts} FROM found GROUP BY id, s
)
SELECT p.s, coalesce(p.due_ns, p.intended_ns) - ? AS due_ns,
       CASE WHEN p.received THEN p.first.at_ns - ? END AS received_ns,
       greatest(coalesce(p.first.at_ns, ended.end_ns) - coalesce(p.due_ns, p.intended_ns), 0) AS latency_ns,
       CASE WHEN p.s IN (SELECT s FROM effect_records)
            THEN greatest(coalesce(h.at_ns, ended.end_ns) - coalesce(p.due_ns, p.intended_ns), 0) END AS handled_ns,
       {columns}
FROM pairs p CROSS JOIN ended LEFT JOIN handled h ON h.id = p.id AND h.s = p.s
LEFT JOIN counted c ON c.id = p.id AND c.s = p.s
WHERE p.expected AND (p.acked OR p.received) AND NOT p.dead
""".format(
    counts=", ".join(
        "coalesce(sum(n) FILTER (anomaly IN ({})), 0)::BIGINT AS {}".format(
            ", ".join(f"'{anomaly}'" for anomaly in anomalies), f'"{name}"'
        )
        for name, anomalies in COUNTED.items()
    ),
    columns=", ".join(f'coalesce(c."{name}", 0) AS "{name}"' for name in COUNTED),
)
_SENDS = "SELECT min(at_ns) - ? AS sent_ns FROM raw WHERE event = 'sent' AND outcome = 'ok' GROUP BY id"


def _export(loaded: Loaded, query: str, start_ns: int, path: Path) -> None:
    # A statement that copies takes no parameters.
    loaded.db.execute(f"COPY ({query.replace('?', str(int(start_ns)))}) TO {_quoted(path)} (FORMAT parquet)")


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A run in blocks of time. `sent`: messages accepted, by when the answer came."""

    block_s: float
    sent: Sequence[int]
    subscriptions: Mapping[str, Blocks]


def measure(run: Recorded, span: Span) -> Measured:
    """Count what lies within the span."""
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as db:
        db.execute("SET enable_progress_bar = false")
        db.execute(f"CREATE VIEW messages AS FROM {_quoted(run.messages)}")
        sent = _counts(db, f"SELECT {_block('sent_ns', span)}, count(*) FROM {_quoted(run.sends)} GROUP BY ALL")
        names = db.execute("SELECT DISTINCT s FROM messages ORDER BY s").fetchall()
        subscriptions = {name: _subscription(db, name, span) for (name,) in names}
    return Measured(block_s=span.block_s, sent=sent, subscriptions=subscriptions)


def _subscription(db: duckdb.DuckDBPyConnection, name: str, span: Span) -> Blocks:
    due, received = _block("due_ns", span), _block("received_ns", span)
    of_it = "FROM messages WHERE s = ? GROUP BY ALL"
    handled = _delays(db, name, "handled_ns", span)
    return Blocks(
        latency=_delays(db, name, "latency_ns", span),
        handled=handled if handled.count else None,
        messages=_counts(db, f"SELECT {due}, count(*) {of_it}", name),
        received=_counts(db, f"SELECT {received}, count(received_ns) {of_it}", name),
        counted={what: _counts(db, f'SELECT {due}, sum("{what}") {of_it}', name) for what in COUNTED},
    )


def _block(moment: str, span: Span) -> str:
    """The number of the block that a moment lies in; NULL outside the span."""
    start, length = span.start_ns, span.end_ns - span.start_ns
    return (
        f"CASE WHEN {moment} BETWEEN {start} AND {span.end_ns} "
        f"THEN least(({moment} - {start}) * {BLOCKS} // {length}, {BLOCKS - 1}) END AS block"
    )


def _counts(db: duckdb.DuckDBPyConnection, query: str, *parameters: str) -> list[int]:
    counts = [0] * BLOCKS
    for block, count in db.execute(query, parameters).fetchall():
        if block is not None:
            counts[block] += int(count)
    return counts


def _delays(db: duckdb.DuckDBPyConnection, name: str, delay: str, span: Span) -> Delays:
    rows = db.execute(
        f"SELECT floor(ln(greatest({delay}, {_LEAST_NS}) / {_LEAST_NS}) / {RESOLUTION})::INTEGER AS class, "
        f"{_block('due_ns', span)}, count(*) FROM messages WHERE s = ? AND {delay} IS NOT NULL GROUP BY ALL",
        [name],
    ).fetchall()
    return Delays.of(row for row in rows if row[1] is not None)


def _dot(weights: Weights, counts: Sequence[int]) -> int:
    return sum(map(mul, weights, counts))

"""CloudWatch's numbers of a run beside our own, as rows of the report's table.

Where the two count the same, ours stand in the row; they need not be equal: CloudWatch counts whole minutes, and all
who use the resource.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gameday.history.errors import HistoryError
from gameday.history.reader import Scan, blocks
from gameday.history.writer import DIRECTORY
from gameday.report.html.words import amount, seconds
from gameday.targets.cloudwatch import Metric, Reading, load
from gameday.transports.aws_errors import THROTTLES
from gameday.verify.load import Loaded

_MINUTES_MOST = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """`theirs`, `ours`: in words; empty where there is no such number. `minutes`: by the minute, in few words."""

    resource: str
    metric: str
    stat: str
    theirs: str
    ours: str
    minutes: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    rows: Sequence[Row]
    notes: Sequence[str]
    asked: str


def measured(run: Loaded, document: Mapping[str, Any]) -> Measured | None:
    """None where the run has none."""
    try:
        reading = load(run.directory)
    except HistoryError as error:
        return Measured(rows=(), notes=[str(error)], asked="")
    if reading is None:
        return None
    ours = _Ours(run, document)
    return Measured(
        rows=[_row(metric, ours) for metric in reading.metrics],
        notes=list(_notes(reading)),
        asked="" if reading.asked_s is None else _moment(reading.asked_s),
    )


def _notes(reading: Reading) -> Sequence[str]:
    if reading.failed is not None:
        return [f"CloudWatch could not be read: {reading.failed}"]
    if reading.asked_s is None:
        return ["CloudWatch has not been asked: the run did not come to its end."]
    if reading.late:
        return [f"CloudWatch did not have the last minute of {', '.join(reading.late)} yet, so the numbers may be low."]
    return []


def _row(metric: Metric, ours: _Ours) -> Row:
    told: Callable[[float], str] = amount
    if metric.name == "ApproximateAgeOfOldestMessage":
        told = seconds
    elif metric.name.endswith("Milliseconds"):
        told = _milliseconds
    own = ours.of(metric)
    shown = metric.points[-_MINUTES_MOST:]
    cut = "… " if len(metric.points) > len(shown) else ""
    return Row(
        resource=metric.resource,
        metric=metric.name,
        stat="in all" if metric.stat == "Sum" else "at most",
        theirs="" if metric.value is None else told(metric.value),
        ours="" if own is None else told(own),
        minutes=cut + ", ".join(told(value) for _, value in shown),
    )


def _milliseconds(value: float) -> str:
    return seconds(value / 1000)


class _Ours:
    """What our own records say of what a metric counts."""

    def __init__(self, run: Loaded, document: Mapping[str, Any]) -> None:
        self._run = run
        self._totals: Mapping[str, Any] = document["totals"]
        self._depths = _depths(run)
        self._ways: Mapping[str, Callable[[str], float | None]] = {
            "ApproximateAgeOfOldestMessage": self._lag_s,
            "ApproximateNumberOfMessagesVisible": lambda s: self._depths.get((s, "visible")),
            "ApproximateNumberOfMessagesNotVisible": lambda s: self._depths.get((s, "hidden")),
            "NumberOfMessagesSent": lambda s: self._totals["subscriptions"].get(s, {}).get("acked"),
            "NumberOfMessagesReceived": lambda s: self._totals["subscriptions"].get(s, {}).get("receives"),
            "NumberOfMessagesDeleted": lambda s: self._one(
                "SELECT count(*) FROM raw WHERE event = 'settled' AND action = 'delete' AND outcome = 'ok' AND s = ?", s
            ),
        }

    def of(self, metric: Metric) -> float | None:
        match metric.name:
            case "IncomingRecords" | "NumberOfMessagesPublished":
                return float(self._totals["acked"])
            case "GetRecords.IteratorAgeMilliseconds":
                lags = [lag for s in self._totals["subscriptions"] if (lag := self._lag_s(s)) is not None]
                return max(lags) * 1000 if lags else None
            case "WriteProvisionedThroughputExceeded":
                throttles = "|".join(THROTTLES)
                return self._one(
                    "SELECT count(*) FROM raw WHERE event = 'sent' AND regexp_matches(coalesce(error, ''), ?)",
                    throttles,
                )
        if metric.subscription is None or metric.name not in self._ways:
            return None
        found = self._ways[metric.name](metric.subscription)
        return None if found is None else float(found)

    def _lag_s(self, s: str) -> float | None:
        return self._one(
            "SELECT max(first_ns - due_ns) / 1e9 FROM (SELECT id, min(at_ns) AS first_ns FROM raw "
            "WHERE event = 'received' AND s = ? GROUP BY id) JOIN messages USING (id)",
            s,
        )

    def _one(self, query: str, given: str) -> float | None:
        row = self._run.db.execute(query, [given]).fetchone()
        return None if row is None or row[0] is None else float(row[0])


def _depths(run: Loaded) -> dict[tuple[str, str], float]:
    """The most that each subscription was seen to hold: judged by nobody, so in no table."""
    most: dict[tuple[str, str], float] = {}
    path = run.directory / DIRECTORY / "conductor.jsonl"
    if not path.exists():
        return most
    marks = [mark for block in blocks(path, Scan()) for mark in block.marks if mark.get("name") == "depth"]
    for mark in marks:
        for what in ("visible", "hidden"):
            value, key = mark.get(what), (str(mark.get("subscription")), what)
            if isinstance(value, int | float):
                most[key] = max(most.get(key, 0.0), float(value))
    return most


def _moment(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

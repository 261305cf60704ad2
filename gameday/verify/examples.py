"""Up to three examples of an anomaly, each with the message's whole timeline, its cause (gameday/verify/explaining.py),
and the faults that were at work on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gameday.verify.explaining import KIND_OF, cause_of
from gameday.verify.load import COLUMNS, Loaded

MOST = 3
# A message's timeline is evidence for a person; one that was retried a thousand times is cut in the middle.
_MOST_EVENTS = 60
# Where it is asked why a message did not come.
_ABSENCES = ("lost", "unseen", "fanout-missing", "effect-missing", "poison-escaped")
_DEDUPLICATED = (
    "deduplicated away: its send was answered with the broker_id of {other}, so both were sent with one deduplication "
    "id, or one body, within the window"
)
# What somebody reads at the end of the run; the message's life was over by then.
_READ_BACK = ("dead", "effects")
_LEFT_OUT = ("event", "at", "id", "params", "parents")
_SHOWN = [(field.name, column) for column, field in COLUMNS.items() if field.name not in _LEFT_OUT]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fault:
    fault: str
    label: str | None
    targets: tuple[str, ...]
    start_ns: int
    stop_ns: int | None

    @property
    def told(self) -> str:
        return self.label or (f"{self.fault} on {', '.join(self.targets)}" if self.targets else self.fault)

    def lines(self) -> list[dict[str, Any]]:
        """Its start and its stop, as a timeline shows them."""
        told = {
            "event": "fault",
            "fault": self.fault,
            **({"label": self.label} if self.label else {}),
            **({"targets": list(self.targets)} if self.targets else {}),
        }
        moments = [("start", self.start_ns)] + ([] if self.stop_ns is None else [("stop", self.stop_ns)])
        return [told | {"phase": phase, "at": at} for phase, at in moments]


# Of each anomaly the first few messages that show it, one of each note before a second one.
_FOUND = f"""
SELECT run, anomaly, s, id, note, other, other_s, line, other_line FROM (
    SELECT *, row_number() OVER (PARTITION BY run, anomaly ORDER BY turn, id, s, note) AS nth FROM (
        SELECT *, row_number() OVER (PARTITION BY run, anomaly, note ORDER BY id, s) AS turn
        FROM (SELECT run, anomaly, s, id, note, min(other) AS other, min(other_s) AS other_s, min(line) AS line,
                     arg_min(other_line, line) AS other_line
              FROM found WHERE n > 0 GROUP BY ALL)))
WHERE nth <= {MOST} ORDER BY anomaly, nth
"""


def examples(loaded: Loaded, anomaly: str, *, explained: bool = True) -> list[dict[str, Any]]:
    """The first few messages that show `anomaly`, one of each note before a second one; for `vacuous` the reasons.

    `explained`: each with its cause, where it has one.
    """
    rows = [row for name, *row in loaded.rows(_FOUND) if name == anomaly]
    if anomaly == "vacuous":
        return [{"reason": note} for _, _, note, *_ in rows]
    if anomaly == "unidentified":
        return [_unnamed(loaded, s, name) for s, name in loaded.rows(_UNNAMED)[:MOST]]
    told = []
    for s, id, note, other, other_s, line, other_line in rows:
        across = None if other is None else (other, other_s)
        sides = {at: side for side, at in (("counted", line), ("other", other_line)) if at is not None}
        why = cause_of(loaded, KIND_OF[anomaly], s, id, line) if explained and anomaly in KIND_OF else None
        told.append(_example(loaded, anomaly, s, id, note, across, sides, why))
    return told


# Its records, and what the invocations that it was in answered.
_OF_A_MESSAGE = (
    "(id = ? OR event = 'responded' AND (s, batch) IN (SELECT (s, batch) FROM raw "
    "WHERE event = 'received' AND id = ? AND s IS NOT NULL AND batch IS NOT NULL))"
)


# What was received and cannot be told, by the name that the broker gave it.
_UNNAMED = "SELECT run, s, name FROM unidentified WHERE event = 'received' GROUP BY run, s, name ORDER BY min(line)"


def _unnamed(loaded: Loaded, s: str, name: str | None) -> dict[str, Any]:
    """It is known by the broker's name alone, and so are its records."""
    lines = "line IN (SELECT line FROM unidentified WHERE s = ? AND name IS NOT DISTINCT FROM ?)"
    events = _events(loaded, lines, [s, name], {})
    faults = _faults(loaded, events, s, set())
    return {
        "id": name or "without a name",
        "subscription": s,
        "cause": _cause(events, faults),
        "timeline": _cut(sorted([*events, *(line for fault in faults for line in fault.lines())], key=_moment)),
    }


def noted(loaded: Loaded) -> dict[str, dict[str, Any]]:
    """Of each anomaly whose check tells kinds apart, how many of which: {anomaly: {"notes": {note: count}}}."""
    rows = loaded.rows(
        "SELECT run, anomaly, note, sum(n)::BIGINT FROM found WHERE note IS NOT NULL AND n > 0 "
        "AND anomaly <> 'vacuous' GROUP BY run, anomaly, note ORDER BY anomaly, note"
    )
    told: dict[str, dict[str, Any]] = {}
    for anomaly, note, count in rows:
        told.setdefault(anomaly, {"notes": {}})["notes"][note] = count
    return told


def _example(
    loaded: Loaded,
    anomaly: str,
    s: str | None,
    id: str,
    note: str | None,
    other: tuple[str, str] | None,
    sides: Mapping[int, str],
    why: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """`other`: the message that it suffered from, if that is another one, and its subscription. Its records stand among
    those of the message, each with the id that it is of. `sides`: lines of records whose side is to be told. `why`: its
    cause."""
    events = _events(loaded, _OF_A_MESSAGE, [id, id], sides)
    across = (
        []
        if other is None or other[0] == id
        else [{"id": other[0]} | event for event in _events(loaded, _OF_A_MESSAGE, [other[0]] * 2, sides)]
    )
    # Who received it and never wrote that down is not in the timeline: it may be anybody of that subscription.
    others = _consumers(loaded, s) if anomaly == "unrecorded-receive" else set()
    faults = _faults(loaded, events, s, others)
    swallowed_by = _swallowed_by(loaded, id) if anomaly in _ABSENCES else None
    return {
        "id": id,
        "subscription": s,
        **({"note": note} if note else {}),
        **({"other": {"id": other[0], "subscription": other[1]}} if other else {}),
        **({"why": why} if why else {}),
        "cause": _cause(events, faults) if swallowed_by is None else _DEDUPLICATED.format(other=swallowed_by),
        "timeline": _cut(
            sorted([*events, *across, *(line for fault in faults for line in fault.lines())], key=_moment)
        ),
    }


def _swallowed_by(loaded: Loaded, id: str) -> str | None:
    """Another message that was sent before, and whose broker_id the answer to a send of this one names."""
    row = loaded.db.execute(
        "SELECT o.id FROM raw m JOIN raw o ON o.broker_id = m.broker_id AND o.id <> m.id "
        "WHERE m.event = 'sent' AND m.id = ? AND m.outcome = 'ok' AND o.event = 'sent' AND o.outcome = 'ok' "
        "AND CASE WHEN o.file = m.file THEN o.line < m.line ELSE o.at_ns < m.at_ns END "
        "ORDER BY o.at_ns, o.line LIMIT 1",
        [id],
    ).fetchone()
    return None if row is None else str(row[0])


def _moment(event: dict[str, Any]) -> int:
    at: int = event["at"]
    return at


def _events(loaded: Loaded, which: str, parameters: Sequence[object], sides: Mapping[int, str]) -> list[dict[str, Any]]:
    """The records that a condition selects, in the order of time; each with its `side` where that is told."""
    columns = ", ".join(column for _, column in _SHOWN)
    rows = loaded.db.execute(
        f"SELECT line, event, at_ns, {columns} FROM raw WHERE {which} ORDER BY at_ns, file, line", parameters
    ).fetchall()
    return [
        {"event": event, "at": at}
        | ({"side": sides[line]} if line in sides else {})
        | {field: value for (field, _), value in zip(_SHOWN, told, strict=True) if value is not None}
        for line, event, at, *told in rows
    ]


def _cut(timeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(timeline) <= _MOST_EVENTS:
        return timeline
    half = _MOST_EVENTS // 2
    middle = timeline[half:-half]
    shown = [event for event in middle if "side" in event]
    left_out = {"event": f"… {len(middle) - len(shown)} more …", "at": middle[0]["at"]}
    return [*timeline[:half], left_out, *shown, *timeline[-half:]]


def _consumers(loaded: Loaded, s: str | None) -> set[str]:
    return {
        name for (name,) in loaded.db.execute("SELECT DISTINCT consumer FROM raw WHERE s = ?", [s]).fetchall() if name
    }


def _faults(loaded: Loaded, events: list[dict[str, Any]], s: str | None, others: set[str]) -> list[_Fault]:
    """The faults at work during the message's life that struck a process which handled it (or that struck no process
    by name), the earliest first. The load and the stream have a hand in every message."""
    if not events:
        return []
    life = [event for event in events if event["event"] not in _READ_BACK] or events
    actors = (
        others
        | {"load", "stream"}
        | {
            event.get(role)
            for event in events
            if s is None or event.get("subscription") in (None, s)
            for role in ("consumer", "producer")
        }
    )
    rows = loaded.db.execute(
        "SELECT fault, label, targets, start_ns, stop_ns FROM faults "
        "WHERE run = ? AND fault IS NOT NULL AND start_ns <= ? AND coalesce(stop_ns, start_ns) >= ? "
        "ORDER BY start_ns, fault, label",
        [loaded.number, life[-1]["at"], life[0].get("due") or life[0]["at"]],
    ).fetchall()
    return [
        _Fault(fault=fault, label=label, targets=tuple(targets or ()), start_ns=start_ns, stop_ns=stop_ns)
        for fault, label, targets, start_ns, stop_ns in rows
        if not targets or actors & set(targets)
    ]


def _cause(events: list[dict[str, Any]], faults: list[_Fault]) -> str:
    """Those faults in words; or that there was none."""
    if not events:
        return "no record of it"
    return "; ".join(dict.fromkeys(fault.told for fault in faults)) or "no fault was at work on it"

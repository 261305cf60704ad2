"""Up to three examples of an anomaly, each with the message's whole timeline and the fault that explains it."""

from __future__ import annotations

from typing import Any

from verify.load import FIELDS, Loaded

MOST = 3
# A message's timeline is evidence for a person; one that was retried a thousand times is cut in the middle.
_MOST_EVENTS = 60
_SHOWN = [(field, column) for field, column, _ in FIELDS if field not in ("event", "at", "id", "params", "parents")]


def examples(loaded: Loaded, anomaly: str) -> list[dict[str, Any]]:
    """The first few messages that show `anomaly`; for `vacuous` the reasons."""
    rows = loaded.db.execute(
        "SELECT DISTINCT s, id, note FROM found WHERE anomaly = ? AND n > 0 ORDER BY id, s, note LIMIT ?",
        [anomaly, MOST],
    ).fetchall()
    if anomaly == "vacuous":
        return [{"reason": note} for _, _, note in rows]
    return [_example(loaded, anomaly, s, id, note) for s, id, note in rows]


def _example(loaded: Loaded, anomaly: str, s: str | None, id: str, note: str | None) -> dict[str, Any]:
    timeline = _timeline(loaded, id)
    # Who received it and never wrote that down is not in the timeline: it may be anybody of that subscription.
    others = _consumers(loaded, s) if anomaly == "unrecorded-receive" else set()
    return {
        "id": id,
        "subscription": s,
        **({"note": note} if note else {}),
        "cause": _cause(loaded, timeline, s, others),
        "timeline": timeline,
    }


def _timeline(loaded: Loaded, id: str) -> list[dict[str, Any]]:
    columns = ", ".join(column for _, column in _SHOWN)
    rows = loaded.db.execute(
        f"SELECT event, at_ns, {columns} FROM raw WHERE id = ? ORDER BY at_ns, file, line", [id]
    ).fetchall()
    events = [
        {"event": row[0], "at": row[1]}
        | {field: value for (field, _), value in zip(_SHOWN, row[2:], strict=True) if value is not None}
        for row in rows
    ]
    if len(events) > _MOST_EVENTS:
        half = _MOST_EVENTS // 2
        left_out = {"event": f"… {len(events) - 2 * half} more …", "at": events[half]["at"]}
        events = [*events[:half], left_out, *events[-half:]]
    return events


def _consumers(loaded: Loaded, s: str | None) -> set[str]:
    return {
        name for (name,) in loaded.db.execute("SELECT DISTINCT consumer FROM raw WHERE s = ?", [s]).fetchall() if name
    }


def _cause(loaded: Loaded, timeline: list[dict[str, Any]], s: str | None, others: set[str]) -> str:
    """The faults at work during the message's life that struck a process which handled it (or that struck no process
    by name), the nearest first; or that there was none. The load and the stream have a hand in every message."""
    if not timeline:
        return "no record of it"
    actors = (
        others
        | {"load", "stream"}
        | {
            event.get(role)
            for event in timeline
            if s is None or event.get("subscription") in (None, s)
            for role in ("consumer", "producer")
        }
    )
    faults = loaded.db.execute(
        "SELECT fault, label, targets FROM faults WHERE start_ns <= ? AND coalesce(stop_ns, start_ns) >= ? "
        "ORDER BY start_ns",
        [timeline[-1]["at"], timeline[0].get("due") or timeline[0]["at"]],
    ).fetchall()
    causes = [
        label or (f"{fault} on {', '.join(targets)}" if targets else fault)
        for fault, label, targets in faults
        if not targets or actors & set(targets)
    ]
    return "; ".join(dict.fromkeys(causes)) or "no fault was at work on it"

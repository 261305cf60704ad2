"""How much there was: the numbers that stand behind every claim, counted from the tables of a run.

They judge nothing. A reader who sees "no-loss holds" also sees how many messages were scheduled, accepted and received,
and how many ended among the dead letters. All are counts of messages, but for `receives`.
"""

from __future__ import annotations

from typing import Any

from gameday.verify.load import Loaded

NS_PER_S = 1_000_000_000
# As the load itself counts them (loadgen/lanes.py).
LATE_NS = 100_000_000


def totals(run: Loaded) -> dict[str, Any]:
    """Of the run: `scheduled` (None where the load never came to its end) and `intended`, which is `acked` + `failed` +
    `unknown`; `late`, whose send began more than 100 ms after it was due, and by how much at the most (`latest_s`). Per
    subscription, how many it should get (`expected`), what came, what ended among the dead letters,
    and, where others use it, how many of their messages were met (`foreign`).
    """
    planned = run.rows(
        "SELECT run, CASE WHEN count(*) FILTER (name = 'load-stopped' AND scheduled IS NOT NULL)"
        "                      >= count(*) FILTER (name = 'load-started') THEN sum(scheduled)::BIGINT END "
        "FROM raw WHERE event = 'mark' AND name IN ('load-started', 'load-stopped') GROUP BY run"
    )
    sent = run.rows(
        "SELECT run, count(*), count(*) FILTER (status = 'acked'), count(*) FILTER (status = 'failed'), "
        "count(*) FILTER (status = 'unknown'), "
        f"count(*) FILTER (begun_ns > due_ns + {LATE_NS}), greatest(max(begun_ns - due_ns), 0) / 1e9 "
        "FROM messages WHERE intended_ns IS NOT NULL GROUP BY run"
    )
    of_run = {"scheduled": planned[0][0] if planned else None}
    names = ("intended", "acked", "failed", "unknown", "late", "latest_s")
    of_run |= dict(zip(names, sent[0] if sent else (0, 0, 0, 0, 0, 0.0), strict=True))
    counts = ", ".join(_OF_A_SUBSCRIPTION.values())
    rows = run.rows(
        f"SELECT u.run, u.s, {counts} FROM subs u LEFT JOIN pairs p ON p.s = u.s GROUP BY u.run, u.s ORDER BY u.s"
    )
    others = dict(
        run.rows(
            "SELECT u.run, u.s, coalesce(sum(r.met), 0)::BIGINT FROM raw r JOIN subs u ON u.s = r.s "
            "WHERE r.event = 'mark' AND r.name = 'foreign' GROUP BY u.run, u.s"
        )
    )
    return {
        **of_run,
        "subscriptions": {
            s: {**dict(zip(_OF_A_SUBSCRIPTION, row, strict=True)), **({"foreign": others[s]} if s in others else {})}
            for s, *row in rows
        },
    }


_OF_A_SUBSCRIPTION = {
    "expected": "count(*) FILTER (expected)",
    "acked": "count(*) FILTER (expected AND acked)",
    "received": "count(*) FILTER (received)",
    "receives": "coalesce(sum(receives), 0)::BIGINT",
    "dead": "count(*) FILTER (dead)",
    "poison": "count(*) FILTER (expected AND poison)",
    "dead_poison": "count(*) FILTER (dead AND poison)",
    "applied": "count(*) FILTER (applied > 0)",
}


def lasted(run: Loaded) -> tuple[int | None, float]:
    """When the first record was written (ns of the run's clock; None without one), and the seconds until the last."""
    rows = run.rows("SELECT run, min(at_ns), max(at_ns) FROM raw GROUP BY run")
    first_ns, last_ns = rows[0] if rows else (None, None)
    return first_ns, 0.0 if first_ns is None else (last_ns - first_ns) / NS_PER_S

"""How much there was: the numbers that stand behind every claim, counted from the tables of a run.

They judge nothing. A reader who sees "no-loss holds" also sees how many messages were scheduled, accepted and received,
and how many ended among the dead letters. All are counts of messages, but for `receives`.
"""

from __future__ import annotations

from typing import Any

import duckdb

NS_PER_S = 1_000_000_000


def totals(db: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Of the run: `scheduled` (None where the load never came to its end) and `intended`, which is `acked` + `failed` +
    `unknown`. Per subscription, how many it should get (`expected`), what came, and what ended among the dead letters.
    """
    run = db.execute(
        "SELECT (SELECT CASE WHEN count(*) FILTER (name = 'load-stopped' AND scheduled IS NOT NULL)"
        "                         >= count(*) FILTER (name = 'load-started') THEN sum(scheduled)::BIGINT END"
        " FROM raw WHERE event = 'mark' AND name IN ('load-started', 'load-stopped')) AS scheduled, "
        "count(*) AS intended, count(*) FILTER (status = 'acked') AS acked, "
        "count(*) FILTER (status = 'failed') AS failed, count(*) FILTER (status = 'unknown') AS unknown "
        "FROM messages WHERE intended_ns IS NOT NULL"
    )
    (of_run,) = _objects(run)
    subscriptions = db.execute(
        "SELECT u.s, count(*) FILTER (expected) AS expected, count(*) FILTER (expected AND acked) AS acked, "
        "count(*) FILTER (received) AS received, coalesce(sum(receives), 0)::BIGINT AS receives, "
        "count(*) FILTER (dead) AS dead, count(*) FILTER (expected AND poison) AS poison, "
        "count(*) FILTER (dead AND poison) AS dead_poison, count(*) FILTER (applied > 0) AS applied "
        "FROM subs u LEFT JOIN pairs p ON p.s = u.s GROUP BY u.s ORDER BY u.s"
    )
    return {**of_run, "subscriptions": {row.pop("s"): row for row in _objects(subscriptions)}}


def lasted(db: duckdb.DuckDBPyConnection) -> tuple[int | None, float]:
    """When the first record was written (ns of the run's clock; None without one), and the seconds until the last."""
    row = db.execute("SELECT min(at_ns), max(at_ns) FROM raw").fetchone()
    assert row is not None
    first_ns, last_ns = row
    return first_ns, 0.0 if first_ns is None else (last_ns - first_ns) / NS_PER_S


def _objects(result: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

"""What a workflow came to, for people: its executions by how they ended, and what each step was asked and did.

It judges nothing. Counts are of records, so that a reader sees how much was tried again beside how much was done.
"""

from __future__ import annotations

from typing import Any

from gameday.verify.load import Loaded

_STATUSES = (
    "SELECT run, last.status, count(*) FROM executions WHERE last IS NOT NULL GROUP BY run, last.status ORDER BY ALL"
)
_REDRIVES = "SELECT run, sum(last.redrives)::BIGINT FROM executions WHERE last.redrives > 0 GROUP BY run"
_STARTS = (
    "SELECT run, count(*), count(*) FILTER (attempts > 1) FROM (SELECT any_value(run) AS run, count(*) AS attempts "
    "FROM raw WHERE event = 'sent' AND id IS NOT NULL GROUP BY id) GROUP BY run"
)
# `tasks` that were asked for, in how many `messages`; what handlings came to; and what became of tokens.
_STEPS = """
SELECT u.run, u.s,
       count(DISTINCT (r.id, r.execution, coalesce(r.item, -1))) FILTER (r.event = 'received'),
       count(DISTINCT r.broker_id) FILTER (r.event = 'received'),
       count(*) FILTER (r.event = 'step' AND r.outcome = 'applied'),
       count(*) FILTER (r.event = 'step' AND r.outcome = 'skipped'),
       count(*) FILTER (r.event = 'step' AND r.outcome = 'failed'),
       count(*) FILTER (r.event = 'answered' AND r.outcome = 'ok'),
       count(*) FILTER (r.event = 'answered' AND r.outcome = 'failed')
FROM subs u LEFT JOIN raw r ON r.s = u.s AND r.event IN ('received', 'step', 'answered') AND r.execution IS NOT NULL
WHERE u.step IS NOT NULL GROUP BY u.run, u.s ORDER BY u.s
"""
_OF_A_STEP = ("tasks", "messages", "applied", "skipped", "failed", "tokens_accepted", "tokens_refused")


def workflow_of(run: Loaded) -> dict[str, Any] | None:
    """`kind`; `started` messages, `started_again` of them more than once; `executions` by status and their `redrives`;
    and by step how many `tasks` were asked for, in how many `messages`, and what came of them. None without one."""
    if run.manifest.workflow is None:
        return None
    started, again = next(iter(run.rows(_STARTS)), (0, 0))
    return {
        "kind": run.manifest.workflow,
        "started": started,
        "started_again": again,
        "executions": dict(run.rows(_STATUSES)),
        "redrives": next(iter(run.rows(_REDRIVES)), (0,))[0],
        "steps": {s: dict(zip(_OF_A_STEP, counts, strict=True)) for s, *counts in run.rows(_STEPS)},
    }

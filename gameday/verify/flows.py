"""What a workflow came to, for people: its executions by how they ended, and what each step was asked and did.

It judges nothing. Counts are of records, so that a reader sees how much was tried again beside how much was done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gameday.verify.bounds import QUANTILES, rank, seconds
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
# How long each start took from `due` until it was accepted; and each execution that is over, by the service's clock.
_TIMES: Mapping[str, str] = {
    "start": "SELECT run, greatest(answered_ns - due_ns, 0) FROM starts "
    "WHERE answered_ns IS NOT NULL AND due_ns IS NOT NULL",
    "duration": "SELECT run, last.stopped_ns - last.started_ns FROM executions "
    "WHERE last.status <> 'running' AND last.stopped_ns IS NOT NULL AND last.started_ns IS NOT NULL",
}
_OF_A_STEP = ("tasks", "messages", "applied", "skipped", "failed", "tokens_accepted", "tokens_refused")


def workflow_of(run: Loaded) -> dict[str, Any] | None:
    """`kind`; `started` messages, `started_again` of them more than once; `executions` by status and their `redrives`;
    `latency_s`, quantiles of how long starts and executions took, each where there is one; and by step how many `tasks`
    were asked for, in how many `messages`, and what came of them. None without one."""
    if run.manifest.workflow is None:
        return None
    started, again = next(iter(run.rows(_STARTS)), (0, 0))
    return {
        "kind": run.manifest.workflow,
        "started": started,
        "started_again": again,
        "executions": dict(run.rows(_STATUSES)),
        "redrives": next(iter(run.rows(_REDRIVES)), (0,))[0],
        "latency_s": {
            what: _quantiles(times)
            for what, query in _TIMES.items()
            if (times := sorted(time for (time,) in run.rows(query)))
        },
        "steps": {s: dict(zip(_OF_A_STEP, counts, strict=True)) for s, *counts in run.rows(_STEPS)},
    }


def _quantiles(times: Sequence[int]) -> dict[str, float]:
    """Exact p50, p99 and max in seconds, by nearest rank."""
    return {name[:-2]: seconds(times[rank(hundredths, len(times)) - 1]) for name, hundredths in QUANTILES.items()}

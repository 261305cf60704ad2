"""*Load*: whether the schedule was kept, which is asked before a broker is blamed.

Service time is what a call took; response time is counted from when the message was due, so that a broker that makes
the load wait does not look fast.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from gameday.dashboards import panels as p

_SENDS = f'{p.RUN}, role="load"'
_CALLS = {
    "/SendMessage/": p.SKY,
    "/Publish/": p.ORANGE,
    "/PutEvents/": p.PURPLE,
    "/PutRecord/": p.GREEN,
}


def dashboard() -> Dashboard:
    made = p.board(
        "gameday-load",
        "Load",
        "What the schedule wanted and what was sent: attempts, outcomes, service time and response time.",
    )
    for panel in (
        p.number("Scheduled", "Messages that are due by now.", p.total("gameday_messages_scheduled_total", p.RUN)),
        p.number("Tried", "Messages with an attempt to send.", p.total("gameday_messages_intended_total", p.RUN)),
        p.number("Accepted", "Messages that the broker has taken.", p.total("gameday_messages_acked_total", p.RUN)),
        p.number(
            "Behind",
            "Messages that are due and were not tried. More than a second's worth: the load cannot keep up, and lag "
            "says more about it than about the broker.",
            f"sum (gameday_messages_scheduled_total{{{p.RUN}}}) - sum (gameday_messages_intended_total{{{p.RUN}}})",
            notice_from=100,
            bad_from=1000,
        ),
        p.number(
            "Refused",
            "Attempts that the broker refused for certain. They are sent again until `give_up`.",
            f'sum (gameday_messages_sent_total{{{p.RUN}, outcome="failed"}})',
            notice_from=1,
        ),
        p.number(
            "Unknown",
            "Attempts of which nobody knows whether they arrived: a time-out, a lost answer. Sent again they may "
            "arrive twice.",
            f'sum (gameday_messages_sent_total{{{p.RUN}, outcome="unknown"}})',
            notice_from=1,
        ),
        p.lines(
            "Scheduled and sent",
            "In a second.",
            (
                p.Series(
                    name="scheduled", expr=p.rate("gameday_messages_scheduled_total", p.RUN), colour=p.GREY, dashed=True
                ),
                p.Series(name="tried", expr=p.rate("gameday_messages_intended_total", p.RUN), colour=p.ORANGE),
                p.Series(name="accepted", expr=p.rate("gameday_messages_acked_total", p.RUN), colour=p.SKY),
            ),
            unit="mps",
            span=24,
        ),
        p.lines(
            "Attempts",
            "In a second, retries included, by what became of them.",
            (
                p.Series(name="ok", expr=_sent("ok"), colour=p.GREEN),
                p.Series(name="refused", expr=_sent("failed"), colour=p.VERMILLION),
                p.Series(name="unknown", expr=_sent("unknown"), colour=p.ORANGE),
                p.Series(name="all", expr=p.rate("gameday_send_attempts_total", p.RUN), colour=p.GREY, dashed=True),
            ),
            unit="ops",
        ),
        p.lines(
            "Late",
            "From when a message was due to its first attempt. Above a second the load is late: fewer messages a "
            "second, more processes, or larger batches.",
            (
                p.Series(name="p50", expr=p.quantile(0.5, "gameday_send_lag_seconds", p.RUN), colour=p.GREEN),
                p.Series(name="p99", expr=p.quantile(0.99, "gameday_send_lag_seconds", p.RUN), colour=p.SKY),
                p.Series(
                    name="p99, as the workers see it",
                    expr=p.quantile(0.99, "gameday_load_schedule_lag_seconds", p.RUN),
                    colour=p.PURPLE,
                    dashed=True,
                ),
            ),
            unit="s",
            limit=1,
        ),
        p.lines(
            "Service time",
            "p99 of how long a call of AWS takes, by operation; from the load's processes.",
            (p.Series(name="{{operation}}", expr=p.quantile(0.99, "gameday_aws_call_seconds", _SENDS, "operation")),),
            unit="s",
            looks=_CALLS,
        ),
        p.lines(
            "Response time",
            "From when a message was due to its first receive, by subscription: what a person would wait.",
            (
                p.Series(
                    name="p50 {{subscription}}",
                    expr=p.quantile(0.5, "gameday_end_to_end_latency_seconds", p.SUB, "subscription"),
                ),
                p.Series(
                    name="p99 {{subscription}}",
                    expr=p.quantile(0.99, "gameday_end_to_end_latency_seconds", p.SUB, "subscription"),
                    exemplars=True,
                ),
            ),
            unit="s",
            looks={"/^p50/": p.GREEN, "/^p99/": p.SKY},
        ),
        p.lines(
            "Attempts, by worker",
            "In a second, as each worker counts its own. One far below the others has too many groups, or a slow host.",
            (p.Series(name="{{process}}", expr=p.rate("gameday_load_attempts_total", p.RUN, "process")),),
            unit="ops",
            looks={f"/load.*{worker}/": colour for worker, colour in enumerate(p.PALETTE)},
        ),
        p.rows(
            "Errors of AWS",
            "Calls that AWS refused, as the workers saw them.",
            f"sum by (service, operation, error) (gameday_aws_call_errors_total{{{_SENDS}}} > 0) or "
            f'sum by (where, error) (gameday_errors_total{{{p.RUN}, where="send"}} > 0)',
            unit="short",
            hidden=(),
        ),
    ):
        made.with_panel(panel)
    return made


def _sent(outcome: str) -> str:
    return f'sum (rate(gameday_messages_sent_total{{{p.RUN}, outcome="{outcome}"}}[$__rate_interval]))'

"""*Consumers*: the fleet of each subscription, and what its processes say of themselves.

It promises totals from the history (they survive the death of a process); what a process says of itself dies with it,
and is shown as rates and quantiles only.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from gameday.dashboards import panels as p

# By the number of the slot, so that a consumer and its replacement look alike.
SLOTS = {f"/-{slot}(\\.|$)/": colour for slot, colour in enumerate(p.PALETTE, 1)}
OPERATIONS = {
    "ReceiveMessage": p.SKY,
    "DeleteMessage": p.GREEN,
    "ChangeMessageVisibility": p.ORANGE,
    "GetRecords": p.BLUE,
    "GetShardIterator": p.GREY,
    "UpdateItem": p.PURPLE,
    "PutItem": p.YELLOW,
    "TransactWriteItems": p.VERMILLION,
}
# Noisy ones stand out; how the others are called the scenario says.
TENANTS = {"/^noisy$/": p.VERMILLION, "/^(?!noisy$)/": p.SKY}
CALLS = {f"/{operation}/": colour for operation, colour in OPERATIONS.items()}


def dashboard() -> Dashboard:
    made = p.board(
        "gameday-consumers",
        "Consumers",
        "The consumers of a run: how many live, how long they poll, work and settle, what they have in hand.",
    )
    for panel in (
        p.number(
            "Running",
            "Consumer processes that run now. Fewer than at the start: one died, and is started again after "
            "`restart_delay`.",
            p.total("gameday_consumers_running", p.SUB),
        ),
        p.number(
            "Restarts",
            "Consumers started again since the run began. More than the faults killed: they die of themselves; look "
            "into logs/ of the run directory.",
            p.total("gameday_consumer_restarts_total", p.SUB),
            notice_from=1,
        ),
        p.number(
            "In hand",
            "Messages received and not let go of by any consumer.",
            p.total("gameday_messages_in_flight", p.SUB),
        ),
        p.number(
            "Refused settles",
            "Deletes, releases, extensions and checkpoints that did not succeed: the message was out of the consumer's "
            "hands already, or the broker refused.",
            f'sum (gameday_settles_total{{{p.SUB}, outcome!="ok"}})',
            notice_from=1,
        ),
        p.number(
            "Received too often",
            "Receives above the redrive policy's most, by the broker's count.",
            p.total("gameday_over_received_total", p.SUB),
            bad_from=1,
        ),
        p.number(
            "Misrouted",
            "Messages received on a subscription that should not get them: a filter or a rule is too wide.",
            p.total("gameday_misrouted_total", p.SUB),
            bad_from=1,
        ),
        p.lines(
            "Running",
            "Consumer processes by subscription's slots. A step down is a death, a step up its replacement.",
            (
                p.Series(
                    name="{{subscription}}",
                    expr=p.total("gameday_consumers_running", p.SUB, "subscription"),
                ),
            ),
            unit="short",
        ),
        p.lines(
            "In hand, by consumer",
            "Received and neither settled, failed nor received again by somebody. One that stands still while others "
            "move is paused, or stuck in a handler.",
            (p.Series(name="{{consumer}}", expr=p.total("gameday_messages_in_flight", p.SUB, "consumer")),),
            unit="short",
            looks=SLOTS,
        ),
        p.lines(
            "Processing time",
            "How long a handler works on a message. Near the visibility timeout, messages come again while they are "
            "still worked on.",
            (
                p.Series(
                    name="p50", expr=p.quantile(0.5, "gameday_consumer_processing_seconds", p.SUB), colour=p.GREEN
                ),
                p.Series(name="p99", expr=p.quantile(0.99, "gameday_consumer_processing_seconds", p.SUB), colour=p.SKY),
            ),
            unit="s",
        ),
        p.lines(
            "Lag by class of tenant",
            "From when a message was due to its first receive, p99, where a queue is shared. That of quiet tenants "
            "growing with that of noisy ones: the queue is not fair, or no message brings its tenant.",
            (
                p.Series(
                    name="{{tenant_class}}",
                    expr=p.quantile(0.99, "gameday_tenant_latency_seconds", p.SUB, "tenant_class"),
                ),
            ),
            unit="s",
            looks=TENANTS,
        ),
        p.lines(
            "Polling",
            "How long a receive call takes. An empty queue makes it as long as `wait`; long under load, the broker is "
            "slow or the queue locked.",
            (
                p.Series(name="p50", expr=p.quantile(0.5, "gameday_consumer_poll_seconds", p.SUB), colour=p.GREEN),
                p.Series(name="p99", expr=p.quantile(0.99, "gameday_consumer_poll_seconds", p.SUB), colour=p.SKY),
            ),
            unit="s",
        ),
        p.lines(
            "Batch",
            "Messages of a receive, in the mean. Near 1 under load: more pollers than messages.",
            (
                p.Series(
                    name="messages a receive",
                    expr=f"{p.rate('gameday_consumer_batch_size_sum', p.SUB)} "
                    f"/ {p.rate('gameday_consumer_batch_size_count', p.SUB)}",
                    colour=p.SKY,
                ),
            ),
            unit="short",
        ),
        p.lines(
            "Settled",
            "Answers to settling calls in a second, from the history.",
            (
                p.Series(name="deleted", expr=_settled("delete"), colour=p.GREEN),
                p.Series(name="checkpoints", expr=_settled("checkpoint"), colour=p.SKY),
                p.Series(name="released", expr=_settled("release"), colour=p.ORANGE),
                p.Series(name="extended", expr=_settled("extend"), colour=p.PURPLE),
                p.Series(
                    name="refused",
                    expr=f'sum (rate(gameday_settles_total{{{p.SUB}, outcome!="ok"}}[$__rate_interval]))',
                    colour=p.VERMILLION,
                    dashed=True,
                ),
            ),
            unit="ops",
        ),
        p.lines(
            "Calls of AWS",
            "p99 of how long a consumer's calls take, by operation.",
            (
                p.Series(
                    name="{{operation}}",
                    expr=p.quantile(0.99, "gameday_aws_call_seconds", f'{p.RUN}, role="consumer"', "operation"),
                ),
            ),
            unit="s",
            looks=CALLS,
        ),
        p.rows(
            "Errors",
            "Sends and settles that did not succeed, and calls that AWS refused, since the run began; what each "
            "process counted itself dies with it.",
            f"sum by (where, subscription, error) (gameday_errors_total{{{p.RUN}}} > 0) or "
            f'sum by (service, operation, error) (gameday_aws_call_errors_total{{{p.RUN}, role="consumer"}} > 0)',
            unit="short",
            hidden=(),
        ),
        p.lines(
            "Signs of life",
            "Heartbeats in a second, by consumer. None: the process is paused or gone.",
            (p.Series(name="{{process}}", expr=p.rate("gameday_consumer_heartbeats_total", p.SUB, "process")),),
            unit="ops",
            looks=SLOTS,
        ),
        p.lines(
            "Refused settles, as consumers see them",
            "By action; only of consumers that live.",
            (p.Series(name="{{action}}", expr=p.rate("gameday_consumer_settle_failures_total", p.SUB, "action")),),
            unit="ops",
            looks={"/delete/": p.VERMILLION, "/release/": p.ORANGE, "/extend/": p.PURPLE, "/checkpoint/": p.SKY},
        ),
    ):
        made.with_panel(panel)
    return made


def _settled(action: str) -> str:
    return f'sum (rate(gameday_settles_total{{{p.SUB}, action="{action}", outcome="ok"}}[$__rate_interval]))'

"""*Game day*: the one that hangs on the wall. What the claims speak of, by subscription, under the faults of the run.

It shows what the observer counts, which the verdict may correct: whoever wants proof asks the verdict.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from gameday.dashboards import panels as p


def dashboard() -> Dashboard:
    made = p.board(
        "gameday-game-day",
        "Game day",
        "A run as its claims see it: lag, backlog, redeliveries, duplicates, order and effects, under the faults. "
        "Counts are live and may be corrected by the verdict.",
    )
    for panel in (
        p.number(
            "Phase",
            "What the run is doing. `draining` goes on until the queues are proven empty.",
            f"max by (phase) (gameday_run_phase{{{p.RUN}}} == 1)",
            name="{{phase}}",
        ),
        p.number(
            "Faults at work",
            "How many faults strike now. While one does, late messages and redeliveries are what you asked for.",
            f"{p.total('gameday_fault_active', p.RUN)} or vector(0)",
            notice_from=1,
        ),
        p.number(
            "Effects twice",
            "Effects applied more than once. One is enough to violate exactly-once-effect: look at the guard of the "
            "subscription, and at the message in the report.",
            f'sum (gameday_duplicates_total{{{p.SUB}, kind="effect-duplicate"}})',
            bad_from=1,
        ),
        p.number(
            "Out of order",
            "First receives behind a later message of their group. Look at what was redelivered, and at what was sent "
            "again after an unknown answer.",
            p.total("gameday_order_violations_total", p.SUB),
            bad_from=1,
        ),
        p.number(
            "Dead letters",
            "Messages in the dead-letter queues, about once a second, and those found there when the run ends. Poison "
            "belongs there, healthy messages do not.",
            f"{p.total('gameday_dead_letter_queue_messages', p.SUB)} > 0 or "
            f"{p.total('gameday_dead_letters_total', p.SUB)}",
            notice_from=1,
        ),
        p.number(
            "Oldest message",
            "How long the oldest message that was accepted waits for somebody to settle it. Growing while the queues "
            "are empty, it is lost.",
            f"max (gameday_oldest_message_age_seconds{{{p.SUB}}})",
            unit="s",
            notice_from=5,
            bad_from=30,
        ),
    ):
        made.with_panel(panel)
    made.with_panel(
        p.regions(
            "Faults",
            "Which fault was at work when, and on what. From the record of the injection to that of the end of the "
            "harm: a kill is over when the replacement polls.",
            f"max by (fault, target) (gameday_fault_active{{{p.RUN}}})",
            "{{fault}} {{target}}",
            span=16,
        )
    )
    made.with_panel(
        p.rows(
            "Claims and their bounds",
            "What the run claims, with the bounds in seconds of lag and recovery. Whether they held, the verdict says.",
            f"max by (claim, bound) (gameday_claim_bound_seconds{{{p.RUN}}}) "
            f"or max by (claim) (gameday_claim_info{{{p.RUN}}} * 0)",
            unit="s",
            hidden=(),
            span=8,
            height=6,
        )
    )
    made.with_panel(
        p.lines(
            "Load",
            "What the schedule wants sent in a second, what was tried and what was accepted. A gap between the first "
            "two is a load that cannot keep up: look at *Load* before you blame the broker.",
            (
                p.Series(
                    name="scheduled", expr=p.rate("gameday_messages_scheduled_total", p.RUN), colour=p.GREY, dashed=True
                ),
                p.Series(name="tried", expr=p.rate("gameday_messages_intended_total", p.RUN), colour=p.ORANGE),
                p.Series(name="accepted", expr=p.rate("gameday_messages_acked_total", p.RUN), colour=p.SKY),
            ),
            unit="mps",
            span=24,
            height=7,
        )
    )
    made.with_row(p.row("Subscription $subscription", each_subscription=True))
    for each in _of_one():
        made.with_panel(each)
    return made


def _of_one() -> tuple[p.Panel, ...]:
    latency = "gameday_end_to_end_latency_seconds"
    return (
        p.lines(
            "Lag",
            "From when a message was due to its first receive, over the last seconds, and the bound that the claim "
            "sets on its p99. A point leads to the message's trace where there is one.",
            (
                p.Series(name="p50", expr=p.quantile(0.5, latency, p.ONE), colour=p.GREEN),
                p.Series(name="p99", expr=p.quantile(0.99, latency, p.ONE), colour=p.SKY, exemplars=True),
                p.Series(
                    name="bound of {{claim}}",
                    expr=f'max by (claim) (gameday_claim_bound_seconds{{{p.RUN}, claim=~"lag.*", bound="p99"}})',
                    colour=p.VERMILLION,
                    dashed=True,
                ),
            ),
            unit="s",
        ),
        p.lines(
            "Backlog",
            "What waits in the queue, what is in the hands of consumers, and what is not settled by our own count. "
            "Growing under steady load: the consumers are too slow, or too few.",
            (
                p.Series(name="visible", expr=_queue("visible"), colour=p.SKY),
                p.Series(name="hidden", expr=_queue("hidden"), colour=p.ORANGE),
                p.Series(name="delayed", expr=_queue("delayed"), colour=p.PURPLE),
                p.Series(
                    name="not settled", expr=p.total("gameday_backlog_messages", p.ONE), colour=p.GREY, dashed=True
                ),
            ),
            unit="short",
        ),
        p.lines(
            "Age",
            "How long the oldest message waits, and how far the slowest reader of a stream is behind. It grows by a "
            "second in a second where nothing is settled.",
            (
                p.Series(
                    name="oldest message", expr=f"max (gameday_oldest_message_age_seconds{{{p.ONE}}})", colour=p.SKY
                ),
                p.Series(name="iterator age", expr=f"max (gameday_iterator_age_seconds{{{p.ONE}}})", colour=p.PURPLE),
            ),
            unit="s",
        ),
        p.lines(
            "Delivered again",
            "Since the run began. A redelivery is legal where delivery is at least once; a copy of a message (sent "
            "twice) and an effect applied twice are what a guard is for.",
            (
                p.Series(name="redeliveries", expr=p.total("gameday_redeliveries_total", p.ONE), colour=p.GREY),
                p.Series(name="sent twice", expr=_kind("duplicates", "send-duplicate"), colour=p.ORANGE),
                p.Series(name="effect twice", expr=_kind("duplicates", "effect-duplicate"), colour=p.VERMILLION),
                p.Series(name="out of order", expr=p.total("gameday_order_violations_total", p.ONE), colour=p.PURPLE),
            ),
            unit="short",
        ),
        p.lines(
            "Effects",
            "What the handlers did, in a second. `skipped`: a guard found it done, which is right after a redelivery. "
            "`failed`: it comes again, and uses up a receive.",
            (
                p.Series(name="applied", expr=_outcome("applied"), colour=p.GREEN),
                p.Series(name="skipped", expr=_outcome("skipped"), colour=p.YELLOW),
                p.Series(name="failed", expr=_outcome("failed"), colour=p.VERMILLION),
            ),
            unit="mps",
        ),
        p.lines(
            "Received and settled",
            "Receives in a second, redeliveries included, and what was deleted or passed by a checkpoint. Settled "
            "below received for long: messages come again.",
            (
                p.Series(name="received", expr=p.rate("gameday_messages_received_total", p.ONE), colour=p.SKY),
                p.Series(
                    name="settled",
                    expr=f'sum (rate(gameday_settles_total{{{p.ONE}, action=~"delete|checkpoint", outcome="ok"}}'
                    "[$__rate_interval]))",
                    colour=p.GREEN,
                    dashed=True,
                ),
            ),
            unit="mps",
        ),
    )


def _queue(state: str) -> str:
    return f'sum (gameday_queue_messages{{{p.ONE}, state="{state}"}})'


def _kind(metric: str, kind: str) -> str:
    return f'sum (gameday_{metric}_total{{{p.ONE}, kind="{kind}"}})'


def _outcome(outcome: str) -> str:
    return f'sum (rate(gameday_effects_total{{{p.ONE}, outcome="{outcome}"}}[$__rate_interval]))'

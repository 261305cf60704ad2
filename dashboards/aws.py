"""*AWS*: CloudWatch's own numbers for staging, and beside them what the observer makes of the same words.

The names are AWS's, as its documents list them (SQS, Kinesis, SNS and EventBridge in the CloudWatch namespace of each).
CloudWatch has a value a minute and is about two minutes late: it is no view of a short run, and costs money for each
metric that is asked for.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from gameday.dashboards import panels as p

CLOUDWATCH_UID = "gameday-cloudwatch"
_CHOICES = {
    "region": "regions()",
    "queue": "dimension_values($region,AWS/SQS,NumberOfMessagesSent,QueueName)",
    "stream": "dimension_values($region,AWS/Kinesis,IncomingRecords,StreamName)",
    "topic": "dimension_values($region,AWS/SNS,NumberOfMessagesPublished,TopicName)",
    "rule": "dimension_values($region,AWS/Events,MatchedEvents,RuleName)",
}


def _sqs(name: str, metric: str, statistic: str, colour: str) -> p.Metric:
    return p.Metric(
        name=name,
        namespace="AWS/SQS",
        metric=metric,
        dimension="QueueName",
        value="$queue",
        statistic=statistic,
        colour=colour,
    )


def _kinesis(name: str, metric: str, statistic: str, colour: str) -> p.Metric:
    return p.Metric(
        name=name,
        namespace="AWS/Kinesis",
        metric=metric,
        dimension="StreamName",
        value="$stream",
        statistic=statistic,
        colour=colour,
    )


def dashboard() -> builders.Dashboard:
    made = p.board(
        "gameday-aws",
        "AWS",
        "CloudWatch's metrics of the queues, streams, topics and rules of a run, and our own by the same names.",
    )
    made.with_variable(
        builders.DatasourceVariable("cloudwatch")
        .label("CloudWatch")
        .type("cloudwatch")
        .current(models.VariableOption(selected=True, text="gameday CloudWatch", value=CLOUDWATCH_UID))
    )
    for choice in p.cloudwatch_choices(_CHOICES):
        made.with_variable(choice)
    made.with_row(p.row("By the same names, from the run itself (emulators too)"))
    for panel in _ours():
        made.with_panel(panel)
    made.with_row(p.row("CloudWatch: queues"))
    for panel in _queues():
        made.with_panel(panel)
    made.with_row(p.row("CloudWatch: streams"))
    for panel in _streams():
        made.with_panel(panel)
    made.with_row(p.row("CloudWatch: topics and rules"))
    for panel in _routing():
        made.with_panel(panel)
    return made


def _ours() -> tuple[p.Panel, ...]:
    return (
        p.lines(
            "ApproximateAgeOfOldestMessage",
            "As CloudWatch would count it: without what was received three times and not deleted.",
            (
                p.Series(
                    name="{{subscription}}",
                    expr=f"max by (subscription) (gameday_approximate_age_of_oldest_message_seconds{{{p.SUB}}})",
                ),
            ),
            unit="s",
            span=8,
        ),
        p.lines(
            "ApproximateNumberOfMessages",
            "Visible, not visible and delayed, as the queue's attributes say.",
            (
                p.Series(name="visible", expr=_approximate("visible"), colour=p.SKY),
                p.Series(name="not visible", expr=_approximate("not_visible"), colour=p.ORANGE),
                p.Series(name="delayed", expr=_approximate("delayed"), colour=p.PURPLE),
            ),
            unit="short",
            span=8,
        ),
        p.lines(
            "IteratorAgeMilliseconds",
            "How far each shard's reader is behind the tip. Near the retention, records are lost unread.",
            (
                p.Series(
                    name="{{subscription}} {{shard}}",
                    expr=f"max by (subscription, shard) (gameday_iterator_age_milliseconds{{{p.SUB}}})",
                ),
            ),
            unit="ms",
            span=8,
        ),
    )


def _approximate(state: str) -> str:
    return f"sum (gameday_approximate_number_of_messages_{state}{{{p.SUB}}})"


def _queues() -> tuple[p.Panel, ...]:
    return (
        p.cloud(
            "Age of the oldest message",
            "Growing under steady load: the consumers are too slow, or a message cannot be handled.",
            (_sqs("oldest", "ApproximateAgeOfOldestMessage", "Maximum", p.SKY),),
            unit="s",
        ),
        p.cloud(
            "Messages in the queue",
            "Approximate, and settled only about a minute after the last send.",
            (
                _sqs("visible", "ApproximateNumberOfMessagesVisible", "Maximum", p.SKY),
                _sqs("not visible", "ApproximateNumberOfMessagesNotVisible", "Maximum", p.ORANGE),
                _sqs("delayed", "ApproximateNumberOfMessagesDelayed", "Maximum", p.PURPLE),
            ),
            unit="short",
        ),
        p.cloud(
            "Sent, received, deleted",
            "In a minute. Received above deleted for long: messages come again.",
            (
                _sqs("sent", "NumberOfMessagesSent", "Sum", p.GREY),
                _sqs("received", "NumberOfMessagesReceived", "Sum", p.SKY),
                _sqs("deleted", "NumberOfMessagesDeleted", "Sum", p.GREEN),
            ),
            unit="short",
        ),
        p.cloud(
            "Empty receives",
            "In a minute. Many: shorten the fleet, or poll longer.",
            (_sqs("empty", "NumberOfEmptyReceives", "Sum", p.GREY),),
            unit="short",
        ),
    )


def _streams() -> tuple[p.Panel, ...]:
    return (
        p.cloud(
            "Iterator age",
            "How far readers are behind. Near the retention, records are lost unread.",
            (_kinesis("age", "GetRecords.IteratorAgeMilliseconds", "Maximum", p.SKY),),
            unit="ms",
        ),
        p.cloud(
            "Throttled",
            "Above zero: more than 1,000 records or 1 MB a second into a shard, or more than 2 MB or five reads out of "
            "it.",
            (
                _kinesis("writes", "WriteProvisionedThroughputExceeded", "Sum", p.VERMILLION),
                _kinesis("reads", "ReadProvisionedThroughputExceeded", "Sum", p.ORANGE),
            ),
            unit="short",
        ),
        p.cloud(
            "Records",
            "In and out, in a minute.",
            (
                _kinesis("in", "IncomingRecords", "Sum", p.GREY),
                _kinesis("out", "GetRecords.Records", "Sum", p.SKY),
            ),
            unit="short",
            span=24,
        ),
    )


def _routing() -> tuple[p.Panel, ...]:
    topic = {"namespace": "AWS/SNS", "dimension": "TopicName", "value": "$topic", "statistic": "Sum"}
    rule = {"namespace": "AWS/Events", "dimension": "RuleName", "value": "$rule", "statistic": "Sum"}
    return (
        p.cloud(
            "Topics",
            "Delivered to subscriptions, filtered out, and failed, in a minute. Failed: the queue's policy does not "
            "let the topic send.",
            (
                p.Metric(name="published", metric="NumberOfMessagesPublished", colour=p.GREY, **topic),
                p.Metric(name="delivered", metric="NumberOfNotificationsDelivered", colour=p.GREEN, **topic),
                p.Metric(name="filtered out", metric="NumberOfNotificationsFilteredOut", colour=p.YELLOW, **topic),
                p.Metric(name="failed", metric="NumberOfNotificationsFailed", colour=p.VERMILLION, **topic),
            ),
            unit="short",
        ),
        p.cloud(
            "Rules",
            "Events that a rule matched, what its targets were sent, and what failed for good, in a minute.",
            (
                p.Metric(name="matched", metric="MatchedEvents", colour=p.GREY, **rule),
                p.Metric(name="invoked", metric="Invocations", colour=p.GREEN, **rule),
                p.Metric(name="throttled", metric="ThrottledRules", colour=p.ORANGE, **rule),
                p.Metric(name="failed", metric="FailedInvocations", colour=p.VERMILLION, **rule),
            ),
            unit="short",
        ),
    )

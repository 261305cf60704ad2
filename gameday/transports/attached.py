"""What is there already, as data: how it is named, and reading what holds for a queue that a run attaches to.

It promises that nothing is changed by looking, and that a queue in which a message stands is refused unless it is
shared with others: whatever is in it would be taken for the run's, or be in its way.

Sources: docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes and
SQSDeveloperGuide/sqs-dead-letter-queues.html (a queue without a redrive policy has no dead-letter queue).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from gameday.transports.base import Call, CallFailed, Deployed, Plan, Standing, SubscriptionSpec, Topology

_SQS = "sqs"
DEPTHS = {
    "visible": "ApproximateNumberOfMessages",
    "hidden": "ApproximateNumberOfMessagesNotVisible",
    "delayed": "ApproximateNumberOfMessagesDelayed",
}
FIFO = ".fifo"
# A queue's URL at AWS. An old one names its region elsewhere, the oldest is in us-east-1.
_AT_AWS = re.compile(
    r"https?://(?:(?:[a-z0-9.-]+\.)?sqs(?:-fips)?\.(?P<region>[a-z0-9-]+)\.(?:vpce\.)?(?:amazonaws\.com(?:\.cn)?|api\.aws)"
    r"|(?:(?P<older>[a-z0-9-]+)\.)?queue\.amazonaws\.com)/(?P<account>[0-9]{12})/[^/]+"
)
_OLDEST = "us-east-1"


def name_of(place: str) -> str:
    """The name that stands at the end of a URL or an ARN; of a name, itself."""
    return place.rpartition(":")[2].rpartition("/")[2] if place.startswith("arn:") else place.rpartition("/")[2]


def whose(place: str) -> tuple[str | None, str | None]:
    """The region and the account that a URL or an ARN says; None where it does not, as a name never does.

    Source of the hosts: docs.aws.amazon.com/general/latest/gr/sqs-service.html.
    """
    if place.startswith("arn:"):
        region, account = place.split(":")[3:5]
        return region or None, account or None
    if (told := _AT_AWS.fullmatch(place)) is None:
        return None, None
    return told["region"] or told["older"] or _OLDEST, told["account"]


def is_fifo_queue(place: str) -> bool:
    """A FIFO queue's name ends so, and no other's does (APIReference/API_CreateQueue)."""
    return name_of(place).endswith(FIFO)


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundQueue:
    """`standing` but for what stands in front of the queue. `by_content`: it deduplicates so."""

    url: str
    arn: str
    dead_letter_url: str | None
    standing: Standing
    by_content: bool


def found_queue(name: str, topology: Topology) -> Plan[FoundQueue]:
    """What holds for the queue that subscription `name` ends in. Errors: CallFailed."""
    attached = topology.attached
    assert attached is not None
    place = attached.queues[name]
    url = yield from _url(place.queue)
    answer = yield Call(_SQS, "GetQueueAttributes", {"QueueUrl": url, "AttributeNames": ["All"]})
    told: Mapping[str, str] = answer["Attributes"]
    redrive = orjson.loads(told.get("RedrivePolicy") or "{}")
    target, most = redrive.get("deadLetterTargetArn"), redrive.get("maxReceiveCount")
    if not attached.shared:
        _refuse_messages(told, name_of(url), "which are none of this run's")
    dead = place.dead_letter_queue or target
    if target is not None and name_of(target) != name_of(str(dead)):
        raise CallFailed(
            "QueueDiffers",
            f"the dead letters of {name_of(url)} go to {name_of(target)} by its redrive policy, not to "
            f"{name_of(str(dead))}; take dead_letter_queue out",
            definite=True,
        )
    dead_url = None if dead is None else (yield from _url(dead))
    if dead_url is not None and not attached.shared:
        looked = yield Call(_SQS, "GetQueueAttributes", {"QueueUrl": dead_url, "AttributeNames": list(DEPTHS.values())})
        of = f"{name_of(dead_url)}, where dead letters of {name_of(url)} go,"
        _refuse_messages(looked["Attributes"], of, "which the run would read and remove")
    standing = Standing(
        visibility_timeout_s=float(told["VisibilityTimeout"]),
        max_receives=None if most is None else int(most),
        dead_letter=dead is not None,
        delay_s=float(told.get("DelaySeconds") or 0),
        wait_s=float(told.get("ReceiveMessageWaitTimeSeconds") or 0),
        retention_s=float(told["MessageRetentionPeriod"]) if "MessageRetentionPeriod" in told else None,
        max_message_bytes=int(told["MaximumMessageSize"]) if "MaximumMessageSize" in told else None,
        keys=[key] if (key := told.get("KmsMasterKeyId")) else [],
    )
    return FoundQueue(
        url=url,
        arn=told["QueueArn"],
        dead_letter_url=dead_url,
        standing=standing,
        by_content=told.get("ContentBasedDeduplication") == "true",
    )


def filter_differs(name: str, meant: object, deployed: object, what: str) -> list[str]:
    """In words, where what a topic or a bus lets through to a subscription is not what is meant for it."""
    if meant == deployed:
        return []
    told = "none at all" if deployed is None else orjson.dumps(deployed).decode()
    return [f"{name}: the {what} that stands there is {told}, which is not what the scenario means"]


def deployed_as(
    spec: SubscriptionSpec, *, there: bool, filter: object = None, pattern: object = None
) -> Deployed | None:
    """What is deployed for a subscription, where that is not what is meant; an empty filter lets everything through."""
    if not there:
        return Deployed(missing=True)
    if filter != spec.filter:
        return Deployed(filter=filter or {})  # type: ignore[arg-type]  # JSON of the service's
    if pattern != spec.pattern:
        return Deployed(pattern=pattern or {"source": [{"prefix": ""}]})  # type: ignore[arg-type]  # the same
    return None


def _url(place: str) -> Plan[str]:
    """Of a queue by its URL or ARN."""
    if not place.startswith("arn:"):
        return place
    owner, name = place.split(":")[4:6]
    params = {"QueueName": name, **({"QueueOwnerAWSAccountId": owner} if owner else {})}
    url: str = (yield Call(_SQS, "GetQueueUrl", params))["QueueUrl"]
    return url


def _refuse_messages(attributes: Mapping[str, str], queue: str, why: str) -> None:
    """Errors: CallFailed where a queue that is there already holds any."""
    if standing := sum(int(attributes.get(depth) or 0) for depth in DEPTHS.values()):
        raise CallFailed(
            "QueueNotEmpty",
            f"{queue} holds {standing} messages, {why}; empty it, or say `shared: true` in topology.attach if others "
            "use it (docs/staging.md tells what that costs)",
            definite=True,
        )

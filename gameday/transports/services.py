"""The AWS services that runs use, as data: is one there, what has a killed run left in it, and how is that removed.

It promises to take nothing for ours that gameday did not make: a name that begins with `gameday-` only says where to
look. What is ours carries the run's tag; or, where the service takes no tags (an archive) or an emulator drops them
(MiniStack does, of a stream), a name that is made of a run's whole id, or of a probe's. It is removed by the plans with
which a run removes it at its end. Rules are found with their bus: a run makes none on another's. A tag alone makes
nothing ours, for anybody may have copied it: what the tagging API finds besides is told, and left.

Sources: ListQueues, ListTopics, ListSubscriptions, ListEventBuses, ListArchives and ListStreams with their pages, and
the calls that list tags, in the API references of the services; GetResources in that of the Resource Groups Tagging
API.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from gameday.transports import eventbridge, functions, kinesis, objects, queue, sns, stepfunctions
from gameday.transports.aws_errors import lacks
from gameday.transports.base import Addresses, Answer, Call, CallFailed, Plan

PREFIX = "gameday-"
RUN_TAG = "gameday:run"
TAGGING = "resourcegroupstaggingapi"
# As `new_id` in gameday/run/context.py and `Bench.name` in gameday/conformance/base.py make them.
_NAME = re.compile(rf"{PREFIX}(.+-\d{{8}}-\d{{6}}-[0-9a-f]{{4}}|probe-[0-9a-f]{{12}})([-.].+)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """Something with one of our names. `run` is None where nothing shows that it is ours; `made_s` is when it was made,
    in seconds since 1970, where the service tells."""

    what: str
    name: str
    run: str | None
    made_s: float | None
    remove: Callable[[], Plan[None]] = field(compare=False)


def run_of(name: str, tags: Mapping[str, str]) -> str | None:
    """Of which run, or probe of `gameday conformance`, something is."""
    named = _NAME.fullmatch(name)
    return tags.get(RUN_TAG) or (named[1] if named else None)


def queues() -> Plan[list[Left]]:
    found = []
    sqs = partial(Call, queue.SERVICE)
    for url in (yield from _listed(sqs, "ListQueues", "QueueUrls", {"QueueNamePrefix": PREFIX, "MaxResults": 1000})):
        name, which = url.rpartition("/")[2], {"QueueUrl": url}
        tags = yield from _asked(sqs("ListQueueTags", which))
        told = yield from _asked(sqs("GetQueueAttributes", {**which, "AttributeNames": ["CreatedTimestamp"]}))
        made = (told.get("Attributes") or {}).get("CreatedTimestamp")
        remove = partial(queue.delete_queues, Addresses(send_to=url, queues={name: url}))
        found.append(_left("queue", name, tags.get("Tags") or {}, made, remove))
    return found


def topics() -> Plan[list[Left]]:
    """SNS does not tell when a topic was made."""
    found = []
    for topic in (yield from _listed(partial(Call, sns.SERVICE), "ListTopics", "Topics", {})):
        arn = topic["TopicArn"]
        name = arn.rpartition(":")[2]
        if name.startswith(PREFIX):
            answer = yield from _asked(Call(sns.SERVICE, "ListTagsForResource", {"ResourceArn": arn}))
            remove = partial(sns.Sns(name="sns", fifo=False).tear_down, Addresses(send_to=arn))
            found.append(_left("topic", name, _tags(answer), None, remove))
    return found


def subscriptions() -> Plan[list[Left]]:
    """Those of a run's queue to a topic that is not a run's. Of a run's own topic they go with it; these a run makes
    none of, but a person may have, for its queue."""
    found = []
    call = partial(Call, sns.SERVICE)
    try:
        listed = yield from _listed(call, "ListSubscriptions", "Subscriptions", {})
    except CallFailed as failed:
        if not lacks(failed):
            raise
        return []
    for each in listed:
        arn, queue_name = str(each["SubscriptionArn"]), str(each["Endpoint"]).rpartition(":")[2]
        topic = each["TopicArn"].rpartition(":")[2]
        # One that waits to be confirmed has no ARN, and goes by itself after some days.
        run = run_of(queue_name, {})
        if arn.startswith("arn:") and run is not None and not topic.startswith(PREFIX):
            remove = partial(_one, call("Unsubscribe", {"SubscriptionArn": arn}))
            name = f"{queue_name} to {topic}"
            found.append(Left(what="subscription", name=name, run=run, made_s=None, remove=remove))
    return found


def topics_and_subscriptions() -> Plan[list[Left]]:
    return [*(yield from topics()), *(yield from subscriptions())]


def archives_and_buses() -> Plan[list[Left]]:
    """A bus with its rules; its archive has a rule of its own there, and so goes first."""
    events = partial(Call, eventbridge.SERVICE)
    found = []
    for archive in (yield from _listed(events, "ListArchives", "Archives", {})):
        name, bus = archive["ArchiveName"], archive["EventSourceArn"].rpartition("/")[2]
        if bus.startswith(PREFIX):
            remove = partial(_one, events("DeleteArchive", {"ArchiveName": name}))
            run = run_of(bus, {})
            found.append(
                Left(what="archive", name=name, run=run, made_s=_s(archive.get("CreationTime")), remove=remove)
            )
    for bus in (yield from _listed(events, "ListEventBuses", "EventBuses", {"NamePrefix": PREFIX})):
        if bus["Name"].startswith(PREFIX):
            answer = yield from _asked(events("ListTagsForResource", {"ResourceARN": bus["Arn"]}))
            remove = partial(eventbridge.Eventbridge().tear_down, Addresses(send_to=bus["Name"]))
            found.append(_left("bus", bus["Name"], _tags(answer), bus.get("CreationTime"), remove))
    return found


def streams() -> Plan[list[Left]]:
    found = []
    call = partial(Call, kinesis.SERVICE)
    for name in (yield from _listed(call, "ListStreams", "StreamNames", {})):
        if name.startswith(PREFIX):
            answer = yield from _asked(call("ListTagsForStream", {"StreamName": name}))
            told = yield from _asked(call("DescribeStreamSummary", {"StreamName": name}))
            made = (told.get("StreamDescriptionSummary") or {}).get("StreamCreationTimestamp")
            remove = partial(kinesis.Kinesis(name="kinesis").tear_down, Addresses(send_to=name))
            found.append(_left("stream", name, _tags(answer), made, remove))
    return found


def machines() -> Plan[list[Left]]:
    """Its executions go with it."""
    found = []
    call = partial(Call, stepfunctions.SERVICE)
    for each in (yield from _listed(call, "ListStateMachines", "stateMachines", {})):
        name, arn = each["name"], each["stateMachineArn"]
        if name.startswith(PREFIX):
            answer = yield from _asked(call("ListTagsForResource", {"resourceArn": arn}))
            tags = {tag["key"]: tag.get("value", "") for tag in answer.get("tags") or ()}
            remove = partial(_one, call("DeleteStateMachine", {"stateMachineArn": arn}))
            found.append(_left("state machine", name, tags, each.get("creationDate"), remove))
    return found


def tables() -> Plan[list[Left]]:
    """Of effects and of leases, which consumers keep in DynamoDB where the scenario says so."""
    found = []
    call = partial(Call, "dynamodb")
    for name in (yield from _listed(call, "ListTables", "TableNames", {})):
        if name.startswith(PREFIX):
            table = (yield from _asked(call("DescribeTable", {"TableName": name}))).get("Table") or {}
            answer = yield from _asked(call("ListTagsOfResource", {"ResourceArn": table.get("TableArn", name)}))
            remove = partial(_one, call("DeleteTable", {"TableName": name}))
            found.append(_left("table", name, _tags(answer), table.get("CreationDateTime"), remove))
    return found


def lambdas() -> Plan[list[Left]]:
    """A function with its mappings. When it was made Lambda does not tell, but when it was changed last."""
    found = []
    call = partial(Call, functions.SERVICE)
    for each in (yield from _listed(call, "ListFunctions", "Functions", {})):
        name = each["FunctionName"]
        if name.startswith(PREFIX):
            answer = yield from _asked(call("ListTags", {"Resource": each["FunctionArn"]}))
            remove = partial(functions.removed_with_mappings, name)
            found.append(_left("function", name, answer.get("Tags") or {}, each.get("LastModified"), remove))
    return found


def schedules() -> Plan[list[Left]]:
    """Of probes: no run makes one."""
    found = []
    call = partial(Call, "scheduler")
    for each in (yield from _listed(call, "ListSchedules", "Schedules", {"NamePrefix": PREFIX})):
        remove = partial(_one, call("DeleteSchedule", {"Name": each["Name"]}))
        found.append(_left("schedule", each["Name"], {}, each.get("CreationDate"), remove))
    return found


def pipes() -> Plan[list[Left]]:
    """Likewise."""
    found = []
    call = partial(Call, "pipes")
    for each in (yield from _listed(call, "ListPipes", "Pipes", {"NamePrefix": PREFIX})):
        remove = partial(_one, call("DeletePipe", {"Name": each["Name"]}))
        found.append(_left("pipe", each["Name"], {}, each.get("CreationTime"), remove))
    return found


def buckets() -> Plan[list[Left]]:
    """With what is in them: a bucket is removed empty."""
    found = []
    call = partial(Call, "s3")
    for each in (yield from _listed(call, "ListBuckets", "Buckets", {})):
        name = each["Name"]
        if name.startswith(PREFIX):
            answer = yield from _asked(call("GetBucketTagging", {"Bucket": name}))
            tags = dict(_pairs(answer.get("TagSet") or ()))
            remove = partial(objects.remove_bucket, name)
            found.append(_left("bucket", name, tags, each.get("CreationDate"), remove))
    return found


def tagged() -> Plan[list[tuple[str, str]]]:
    """The ARN of whatever carries the tag of a run, and which run: of every service that tells the Resource Groups
    Tagging API, and for some time also of what is there no more."""
    call = partial(Call, TAGGING)
    listed = yield from _listed(call, "GetResources", "ResourceTagMappingList", {"TagFilters": [{"Key": RUN_TAG}]})
    return [(each["ResourceARN"], _tags(each).get(RUN_TAG, "")) for each in listed]


def is_looked_for(arn: str) -> bool:
    """Whether it is something that is found by its name here, if it is still there."""
    service, *parts = re.split("[:/]", arn.removeprefix("arn:").partition(":")[2])
    return service in SERVICES and any(part.startswith(PREFIX) for part in parts)


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """`look`: a call that changes nothing and tells whether the service is there. `leftovers`: what is left in it.
    `emulated_only`: nothing of ours is ever made there on AWS, so a sweep of AWS does not look, nor needs the right to.
    """

    look: Call
    leftovers: Callable[[], Plan[list[Left]]]
    emulated_only: bool = False


SERVICES: Mapping[str, Service] = {
    "events": Service(look=Call("events", "ListEventBuses", {}), leftovers=archives_and_buses),
    "sns": Service(look=Call("sns", "ListTopics", {}), leftovers=topics_and_subscriptions),
    "kinesis": Service(look=Call("kinesis", "ListStreams", {}), leftovers=streams),
    "scheduler": Service(look=Call("scheduler", "ListSchedules", {}), leftovers=schedules, emulated_only=True),
    "pipes": Service(look=Call("pipes", "ListPipes", {}), leftovers=pipes, emulated_only=True),
    "stepfunctions": Service(
        look=Call("stepfunctions", "ListStateMachines", {}), leftovers=machines, emulated_only=True
    ),
    "lambda": Service(look=Call("lambda", "ListFunctions", {}), leftovers=lambdas, emulated_only=True),
    "sqs": Service(look=Call("sqs", "ListQueues", {}), leftovers=queues),
    "dynamodb": Service(look=Call("dynamodb", "ListTables", {}), leftovers=tables),
    "s3": Service(look=Call("s3", "ListBuckets", {}), leftovers=buckets, emulated_only=True),
}
"""In the order in which what is left is removed: what sends to a queue goes before the queue."""

# How the next page of a list is asked for, by what the answer calls the place where it begins.
_NEXT = {
    "NextToken": "NextToken",
    "nextToken": "nextToken",
    "LastEvaluatedTableName": "ExclusiveStartTableName",
    "PaginationToken": "PaginationToken",
    "NextMarker": "Marker",
}


def _listed(
    call: Callable[[str, Mapping[str, Any]], Call], operation: str, items: str, params: Mapping[str, Any]
) -> Plan[Sequence[Any]]:
    """All pages of a list."""
    found: list[Any] = []
    page: dict[str, Any] = {}
    while True:
        answer = yield call(operation, {**params, **page})
        found += answer.get(items) or ()
        page = {_NEXT[key]: answer[key] for key in _NEXT if answer.get(key)}
        if answer.get("HasMoreStreams") and not page:
            # Kinesis without a token: older, and most emulators.
            page = {"ExclusiveStartStreamName": found[-1]}
        if not page:
            return found


def _asked(call: Call) -> Plan[Answer]:
    """The answer; nothing where the service refuses, because what was listed a moment ago may be gone by now."""
    try:
        return (yield call)
    except CallFailed as failed:
        if not failed.definite:
            raise
        return {}


def _one(call: Call) -> Plan[None]:
    yield call


def _left(what: str, name: str, tags: Mapping[str, str], made: object, remove: Callable[[], Plan[None]]) -> Left:
    return Left(what=what, name=name, run=run_of(name, tags), made_s=_s(made), remove=remove)


def _tags(answer: Answer) -> dict[str, str]:
    return dict(_pairs(answer.get("Tags") or ()))


def _pairs(tags: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    for tag in tags:
        yield tag["Key"], tag.get("Value", "")


def _s(made: object) -> float | None:
    """A time as botocore reads it, or as SQS or Lambda writes it."""
    if isinstance(made, datetime):
        return made.timestamp()
    for read in (float, lambda text: datetime.fromisoformat(text).timestamp()):
        with suppress(ValueError):
            return read(str(made))
    return None

"""Each planted defect breaks the promises that it names and no other; a correct broker beside it keeps all.

The promises are small exchanges with the services inside this process. Those about messages that are stored send
thirty, so that a defect that strikes at every 25th strikes there and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from gameday.emulator.defects import DEFECTS, FILTER_OPERATORS, OPERATORS, defect
from gameday.emulator.eventbridge import BusConduct
from gameday.emulator.pipes import PipeConduct
from gameday.emulator.queues import Conduct
from gameday.emulator.s3 import ObjectConduct
from gameday.emulator.scheduler import SchedulerConduct
from gameday.emulator.sns import TopicConduct
from gameday.emulator.wire import Refused
from gameday.history import envelope
from tests.emulator.inside import Inside, arn_of, attribute, event

COUNT = 30


def thirty(inside: Inside) -> tuple[list[str], list[envelope.Envelope], list[int]]:
    """Thirty orders of one group: the ids sent, what was received of them, and the numbers that the sends answered."""
    queue = inside.queue("orders.fifo")
    ids = [str(n) for n in range(COUNT)]
    numbers = []
    for id in ids:
        body = envelope.pack(id=id, run="r", group="g", timestamp_ns=0, payload_bytes=0).decode()
        answer = inside.send(queue, body, MessageGroupId="g", MessageDeduplicationId=id)
        numbers.append(int(answer["SequenceNumber"]))
    got = [envelope.unpack(message["Body"]) for message in inside.drain(queue)]
    return ids, [order for order in got if order is not None], numbers


def all_arrive(inside: Inside) -> bool:
    ids, got, _ = thirty(inside)
    return set(ids) <= {order.id for order in got}


def none_twice(inside: Inside) -> bool:
    _, got, _ = thirty(inside)
    return len({order.id for order in got}) == len(got)


def intact(inside: Inside) -> bool:
    _, got, _ = thirty(inside)
    return all(order.intact for order in got)


def none_unsent(inside: Inside) -> bool:
    ids, got, _ = thirty(inside)
    return {order.id for order in got} <= set(ids)


def in_order(inside: Inside) -> bool:
    ids, got, _ = thirty(inside)
    order = [int(order.id) for order in got if order.id in ids]
    return order == sorted(order)


def numbers_grow(inside: Inside) -> bool:
    _, _, numbers = thirty(inside)
    return numbers == sorted(set(numbers))


def number_received(inside: Inside) -> bool:
    queue = inside.queue("q.fifo")
    told = inside.send(queue, "a1")["SequenceNumber"]
    return bool(inside.receive(queue)[0].get("Attributes", {}).get("SequenceNumber") == told)


def hidden(inside: Inside) -> bool:
    queue = inside.queue()
    inside.send(queue, "a1")
    inside.receive(queue)
    inside.later(9)
    return inside.bodies(queue) == []


def comes_back(inside: Inside) -> bool:
    queue = inside.queue()
    inside.send(queue, "a1")
    inside.receive(queue)
    inside.later(10)
    return inside.bodies(queue) == ["a1"]


def deleted(inside: Inside) -> bool:
    queue = inside.queue()
    inside.send(queue, "a1")
    inside.delete(queue, inside.take(queue)["a1"])
    inside.later(10)
    return inside.bodies(queue) == []


def stale(inside: Inside, queue: str) -> tuple[str, bool]:
    """The error that deleting with an old receipt answers, and whether the message is still there."""
    inside.send(queue, "a1")
    old = inside.take(queue)["a1"]
    inside.sqs("ChangeMessageVisibility", QueueUrl=queue, ReceiptHandle=old, VisibilityTimeout=0)
    new = inside.take(queue)["a1"]
    answer = ""
    try:
        inside.delete(queue, old)
    except Refused as refused:
        answer = refused.code
    try:
        inside.sqs("ChangeMessageVisibility", QueueUrl=queue, ReceiptHandle=new, VisibilityTimeout=0)
    except Refused:
        return answer, False
    return answer, True


def stale_succeeds(inside: Inside) -> bool:
    return stale(inside, inside.queue()) == ("", True)


def stale_refused(inside: Inside) -> bool:
    return stale(inside, inside.queue("q.fifo")) == ("InvalidParameterValue", True)


def buried(inside: Inside) -> bool:
    source, dead = inside.dead_letters()
    inside.send(source, "a1")
    inside.receive(source, VisibilityTimeout=0)
    return (inside.bodies(source), inside.bodies(dead)) == ([], ["a1"])


def redriven(inside: Inside) -> bool:
    source, dead = inside.dead_letters()
    inside.send(source, "a1")
    inside.receive(source, VisibilityTimeout=0)
    inside.receive(source)
    inside.sqs("StartMessageMoveTask", SourceArn=arn_of(dead))
    inside.later(10)
    return inside.bodies(source) == ["a1"]


def batch_tells(inside: Inside) -> bool:
    queue = inside.queue()
    inside.send(queue, "a1")
    entries = [{"Id": "good", "ReceiptHandle": inside.take(queue)["a1"]}, {"Id": "bad", "ReceiptHandle": "none"}]
    answer = inside.sqs("DeleteMessageBatch", QueueUrl=queue, Entries=entries)
    return [entry["Id"] for entry in answer.get("Failed", ())] == ["bad"]


def delayed(inside: Inside) -> bool:
    queue = inside.queue()
    inside.send(queue, "a1", DelaySeconds=5)
    early = inside.bodies(queue)
    inside.later(5)
    return early == [] and inside.bodies(queue) == ["a1"]


def delayed_by_queue(inside: Inside, queue: str) -> bool:
    inside.send(queue, "a1")
    early = inside.bodies(queue)
    inside.later(5)
    return early == [] and inside.bodies(queue) == ["a1"]


def delay_anew(inside: Inside) -> bool:
    queue = inside.queue("q.fifo", DelaySeconds="900")
    inside.send(queue, "a1")
    inside.sqs("SetQueueAttributes", QueueUrl=queue, Attributes={"DelaySeconds": "0"})
    return inside.bodies(queue) == ["a1"]


def delayed_first(inside: Inside) -> bool:
    """Whether a delayed message comes before one that was sent later without a delay."""
    queue = inside.queue("q.fifo", DelaySeconds="5")
    inside.send(queue, "a1")
    inside.sqs("SetQueueAttributes", QueueUrl=queue, Attributes={"DelaySeconds": "0"})
    inside.send(queue, "a2")
    early = inside.drain(queue)
    inside.later(5)
    return [message["Body"] for message in [*early, *inside.drain(queue)]] == ["a1", "a2"]


def is_refused(ask: Callable[..., object], *args: Any, **params: Any) -> bool:
    try:
        ask(*args, **params)
    except Refused:
        return True
    return False


LARGEST = 1_048_576
LARGEST_PUBLISHED = 262_144


def body_limited(inside: Inside) -> bool:
    return is_refused(inside.send, inside.queue(), "x" * (LARGEST + 1))


def attributes_counted(inside: Inside) -> bool:
    return is_refused(inside.send, inside.queue(), "x" * LARGEST, MessageAttributes={"a": attribute("b")})


def batch_limited(inside: Inside) -> bool:
    entries = [{"Id": id, "MessageBody": "x" * (LARGEST // 2 + 1)} for id in "ab"]
    return is_refused(inside.sqs, "SendMessageBatch", QueueUrl=inside.queue(), Entries=entries)


def publish_limited(inside: Inside) -> bool:
    return is_refused(inside.sns, "Publish", TopicArn=inside.topic(), Message="x" * (LARGEST_PUBLISHED + 1))


def publish_attributes_counted(inside: Inside) -> bool:
    given = {"Message": "x" * LARGEST_PUBLISHED, "MessageAttributes": {"a": attribute("b")}}
    return is_refused(inside.sns, "Publish", TopicArn=inside.topic(), **given)


def publish_batch_limited(inside: Inside) -> bool:
    entries = [{"Id": id, "Message": "x" * (LARGEST_PUBLISHED // 2 + 1)} for id in "ab"]
    return is_refused(inside.sns, "PublishBatch", TopicArn=inside.topic(), PublishBatchRequestEntries=entries)


def publish_raised(inside: Inside) -> bool:
    topic = inside.topic(MaximumMessageSize=str(LARGEST))
    return not is_refused(inside.sns, "Publish", TopicArn=topic, Message="x" * (LARGEST_PUBLISHED + 1))


def characters_refused(inside: Inside) -> bool:
    return is_refused(inside.send, inside.queue(), "a\x00b")


def timers_refused(inside: Inside) -> bool:
    return is_refused(inside.send, inside.queue("q.fifo"), "a1", DelaySeconds=1)


def told(inside: Inside, parameter: str) -> bool:
    queue = inside.queue()
    inside.send(queue, "a1")
    answer = inside.sqs("ReceiveMessage", QueueUrl=queue, **{parameter: ["SentTimestamp"]})
    return list(answer["Messages"][0].get("Attributes", ())) == ["SentTimestamp"]


def group_locked(inside: Inside) -> bool:
    queue = inside.queue("q.fifo")
    for body in ("a1", "a2"):
        inside.send(queue, body)
    inside.receive(queue, 1)
    return inside.bodies(queue) == []


def others_flow(inside: Inside) -> bool:
    queue = inside.queue("q.fifo")
    for body in ("a1", "b1"):
        inside.send(queue, body)
    inside.receive(queue, 1)
    return inside.bodies(queue) == ["b1"]


def order_kept(inside: Inside) -> bool:
    queue = inside.queue("q.fifo")
    for body in ("a1", "a2"):
        inside.send(queue, body)
    inside.receive(queue, 1, VisibilityTimeout=0)
    return inside.bodies(queue) == ["a1", "a2"]


def extended_locks(inside: Inside) -> bool:
    queue = inside.queue("q.fifo")
    for body in ("a1", "a2"):
        inside.send(queue, body)
    receipt = inside.take(queue, 1)["a1"]
    inside.sqs("ChangeMessageVisibility", QueueUrl=queue, ReceiptHandle=receipt, VisibilityTimeout=60)
    return inside.bodies(queue) == []


def repeats(inside: Inside) -> bool:
    queue = inside.queue("q.fifo")
    inside.send(queue, "a1")
    first = inside.receive(queue, ReceiveRequestAttemptId="x")
    again = inside.receive(queue, ReceiveRequestAttemptId="x")
    return [m["ReceiptHandle"] for m in first] == [m["ReceiptHandle"] for m in again]


def sent_twice(inside: Inside, *, after_s: float, delete: bool = False, **params: Any) -> int:
    """How often a message is received that was sent twice with one id, the second time in another group."""
    queue = inside.queue("q.fifo", DeduplicationScope=params.pop("scope", "queue"))
    got = 0
    for group in params.pop("groups", "ab"):
        inside.send(queue, "x", MessageGroupId=group, MessageDeduplicationId="1")
        if delete:
            got += len(inside.drain(queue))
        inside.later(after_s)
    return got + len(inside.bodies(queue))


def dedup_inside(inside: Inside) -> bool:
    return sent_twice(inside, after_s=0) == 1


def dedup_deleted(inside: Inside) -> bool:
    return sent_twice(inside, after_s=0, delete=True) == 1


def dedup_over(inside: Inside) -> bool:
    return sent_twice(inside, after_s=300) == 2


def dedup_in_group(inside: Inside) -> bool:
    return sent_twice(inside, after_s=0, scope="messageGroup", groups="aab") == 2


def dedup_in_queue(inside: Inside) -> bool:
    queue = inside.queue("q.fifo")
    for body in ("a1", "b1"):
        inside.send(queue, body, MessageDeduplicationId="1")
    return inside.bodies(queue) == ["a1"]


def dedup_content(inside: Inside) -> bool:
    queue = inside.queue("q.fifo", ContentBasedDeduplication="true")
    for body in ("x", "x", "y"):
        inside.sqs("SendMessage", QueueUrl=queue, MessageBody=body, MessageGroupId="g")
    return inside.bodies(queue) == ["x", "y"]


def topic_fans_out(inside: Inside) -> bool:
    topic, queues = inside.topic(), [inside.queue(name) for name in "ab"]
    for queue in queues:
        inside.subscribe(topic, queue)
    inside.sns("Publish", TopicArn=topic, Message="x")
    return [len(inside.bodies(queue)) for queue in queues] == [1, 1]


def filtered(inside: Inside, value: str, **policy: str) -> bool:
    """Whether a message whose attribute and body say `value` gets through a policy."""
    topic, queue = inside.topic(), inside.queue()
    inside.subscribe(topic, queue, **policy)
    body, attributes = orjson.dumps({"colour": value}).decode(), {"colour": attribute(value)}
    inside.sns("Publish", TopicArn=topic, Message=body, MessageAttributes=attributes)
    return len(inside.bodies(queue)) == 1


RED = '{"colour":["red"]}'


def raw(inside: Inside) -> bool:
    topic, queue = inside.topic(), inside.queue()
    inside.subscribe(topic, queue)
    inside.sns("Publish", TopicArn=topic, Message="x", MessageAttributes={"colour": attribute("red")})
    (message,) = inside.receive(queue)
    return message["Body"] == "x" and "colour" in message.get("MessageAttributes", ())


def publish_batch(inside: Inside, *entries: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    topic, queue = inside.topic("t.fifo"), inside.queue("q.fifo")
    inside.subscribe(topic, queue)
    answer = inside.sns("PublishBatch", TopicArn=topic, PublishBatchRequestEntries=list(entries))
    got = [message["Body"] for message in inside.drain(queue)]
    return answer, [text if "{" not in text else orjson.loads(text)["Message"] for text in got]


def draft(name: str, **more: str) -> dict[str, str]:
    return {"Id": name, "Message": name, "MessageGroupId": "g", "MessageDeduplicationId": name, **more}


def publish_batch_tells(inside: Inside) -> bool:
    answer, _ = publish_batch(inside, draft("good"), draft("bad", MessageGroupId=""))
    return [entry["Id"] for entry in answer["Failed"]] == ["bad"]


def topic_in_order(inside: Inside) -> bool:
    # Four, so that a topic that drops every second delivery still has an order to show.
    _, got = publish_batch(inside, *(draft(name) for name in "abcd"))
    return got == sorted(got)


def topic_dedup(inside: Inside) -> bool:
    _, got = publish_batch(inside, draft("a", MessageDeduplicationId="1"), draft("b", MessageDeduplicationId="1"))
    return len(got) == 1


def topic_dedup_in_topic(inside: Inside) -> bool:
    topic, queue = inside.topic("t.fifo"), inside.queue()
    inside.subscribe(topic, queue)
    for group in "ab":
        inside.sns("Publish", TopicArn=topic, Message=group, MessageGroupId=group, MessageDeduplicationId="1")
    return len(inside.bodies(queue)) == 1


def on_body(inside: Inside, policy: Any, body: Any) -> bool:
    topic, queue = inside.topic(), inside.queue()
    text = orjson.dumps(policy).decode()
    inside.subscribe(topic, queue, FilterPolicy=text, FilterPolicyScope="MessageBody")
    inside.sns("Publish", TopicArn=topic, Message=orjson.dumps(body).decode())
    return len(inside.bodies(queue)) == 1


def filter_answers(operator: str, *, fits: bool) -> Callable[[Inside], bool]:
    policy, fitting, other = PATTERNS[operator]
    return lambda inside: on_body(inside, policy, fitting if fits else other) is fits


def matches(inside: Inside, pattern: Any, detail: Any) -> bool:
    text = orjson.dumps({"detail": detail}).decode()
    asked = {"EventPattern": orjson.dumps({"detail": pattern}).decode(), "Event": text}
    return bool(inside.events("TestEventPattern", **asked)["Result"])


# By suffix, which no other promise asks for.
ARRAYS = {"a": {"b": [{"suffix": "x"}]}}, {"a": [{"b": "y"}, {"b": "x"}]}
DOTS = {"a.b": [{"suffix": "x"}]}, {"a": {"b": "x"}}


def bus_fans_out(inside: Inside) -> bool:
    queues = [inside.queue(name) for name in "abcd"]
    for queue in queues:
        inside.rule(f"r-{queue[-1]}", {"source": [{"prefix": "s"}]}, queue)
    inside.put({})
    return [len(inside.bodies(queue)) for queue in queues] == [1, 1, 1, 1]


def put_events_tells(inside: Inside) -> bool:
    answer = inside.events("PutEvents", Entries=[event({}), event("{")])
    return answer["FailedEntryCount"] == 1 and "ErrorCode" in answer["Entries"][1]


def replayed(inside: Inside) -> list[dict[str, Any]]:
    """What a replay of two archived events delivers; an archive takes all, and the rule asks by prefix."""
    dead = inside.queue("replayed")
    bus = inside.events("CreateEventBus", Name="b")["EventBusArn"]
    archive = inside.events("CreateArchive", ArchiveName="a", EventSourceArn=bus)["ArchiveArn"]
    inside.put({"n": 1}, {"n": 2})
    inside.rule("r", {"source": [{"prefix": "s"}]}, dead)
    asked = {"EventStartTime": inside.now_s, "EventEndTime": inside.now_s + 1, "Destination": {"Arn": bus}}
    inside.events("StartReplay", ReplayName="again", EventSourceArn=archive, **asked)
    return [orjson.loads(message["Body"]) for message in inside.drain(dead)]


def replay_complete(inside: Inside) -> bool:
    return [each["detail"]["n"] for each in replayed(inside)] == [1, 2]


def replay_named(inside: Inside) -> bool:
    return all(each.get("replay-name") == "again" for each in replayed(inside))


# Each operator: a pattern with it, and a detail that fits and one that does not.
PATTERNS: dict[str, tuple[Any, Any, Any]] = {
    "exact": ({"a": ["x"]}, {"a": "x"}, {"a": "y"}),
    "prefix": ({"a": [{"prefix": "x"}]}, {"a": "xy"}, {"a": "yx"}),
    "suffix": ({"a": [{"suffix": "x"}]}, {"a": "yx"}, {"a": "xy"}),
    "anything-but": ({"a": [{"anything-but": ["x"]}]}, {"a": "y"}, {"a": "x"}),
    "equals-ignore-case": ({"a": [{"equals-ignore-case": "x"}]}, {"a": "X"}, {"a": "y"}),
    "numeric": ({"a": [{"numeric": [">", 1]}]}, {"a": 2}, {"a": 1}),
    "exists": ({"a": [{"exists": True}]}, {"a": 1}, {"b": 1}),
    "cidr": ({"a": [{"cidr": "10.0.0.0/24"}]}, {"a": "10.0.0.1"}, {"a": "10.0.1.1"}),
    "wildcard": ({"a": [{"wildcard": "x*z"}]}, {"a": "xyz"}, {"a": "xy"}),
    "or": ({"$or": [{"a": ["x"]}, {"b": ["x"]}]}, {"b": "x"}, {"b": "y"}),
}


def pattern_answers(operator: str, *, fits: bool) -> Callable[[Inside], bool]:
    def ask(inside: Inside) -> bool:
        pattern, fitting, other = PATTERNS[operator]
        text = orjson.dumps({"detail": fitting if fits else other}).decode()
        asked = {"EventPattern": orjson.dumps({"detail": pattern}).decode(), "Event": text}
        return bool(inside.events("TestEventPattern", **asked)["Result"] is fits)

    return ask


def policy_heeded(inside: Inside) -> bool:
    queue = inside.queue()
    statement = {"Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn_of(queue)}
    policy = orjson.dumps({"Version": "2012-10-17", "Statement": statement}).decode()
    inside.sqs("SetQueueAttributes", QueueUrl=queue, Attributes={"Policy": policy})
    try:
        inside.send(queue, "a1")
    except Refused as refused:
        return refused.code == "AccessDeniedException"
    return False


def tenants_fair(inside: Inside) -> bool:
    """Whether a quiet tenant's message comes before the second of one who has one in flight."""
    queue = inside.queue()
    for body in ("a1", "a2", "a3"):
        inside.send(queue, body, MessageGroupId="a")
    inside.receive(queue, 1)
    inside.send(queue, "b1", MessageGroupId="b")
    return inside.bodies(queue) == ["b1", "a2", "a3"]


def at(inside: Inside, seconds: float, queue: str) -> dict[str, Any]:
    """A one-time schedule so many seconds from now."""
    moment = datetime.fromtimestamp(inside.now_s + seconds, tz=UTC)
    target = {"Arn": arn_of(queue), "RoleArn": "arn:aws:iam::0:role/r", "Input": '"a1"'}
    expression = f"at({moment:%Y-%m-%dT%H:%M:%S})"
    return {"ScheduleExpression": expression, "FlexibleTimeWindow": {"Mode": "OFF"}, "Target": target}


def schedule_sends(inside: Inside) -> bool:
    queue = inside.queue()
    inside.scheduler("CreateSchedule", Name="s", **at(inside, 5, queue))
    inside.later(6)
    return inside.bodies(queue) == ['"a1"']


def schedule_waits(inside: Inside) -> bool:
    queue = inside.queue()
    inside.scheduler("CreateSchedule", Name="s", **at(inside, 5, queue))
    inside.later(3)
    return inside.bodies(queue) == []


def schedule_cancelled(inside: Inside) -> bool:
    queue = inside.queue()
    inside.scheduler("CreateSchedule", Name="s", **at(inside, 5, queue))
    inside.scheduler("DeleteSchedule", Name="s")
    inside.later(60)
    return inside.bodies(queue) == []


def piped(inside: Inside) -> tuple[str, str]:
    source, target = inside.queue("source"), inside.queue("target")
    ends = {"Source": arn_of(source), "Target": arn_of(target)}
    inside.pipes("CreatePipe", Name="p", RoleArn="arn:aws:iam::0:role/r", **ends)
    return source, target


def pipe_moves(inside: Inside) -> bool:
    source, target = piped(inside)
    inside.send(source, "a1")
    return (inside.bodies(source), inside.bodies(target)) == ([], ["a1"])


def pipe_stops(inside: Inside) -> bool:
    source, target = piped(inside)
    inside.pipes("StopPipe", Name="p")
    inside.send(source, "a1")
    return inside.bodies(target) == []


def bucket(inside: Inside, count: int = COUNT) -> list[str]:
    """A bucket with so many objects; their names."""
    inside.s3("CreateBucket", Bucket="bkt")
    keys = [f"o{n:02}" for n in range(count)]
    for key in keys:
        inside.s3("PutObject", Bucket="bkt", Key=key, Body=key.encode())
    return keys


def object_of(inside: Inside, key: str) -> bytes | None:
    try:
        body: bytes = inside.s3("GetObject", Bucket="bkt", Key=key)["Body"]
    except Refused:
        return None
    return body


def objects_there(inside: Inside) -> bool:
    return all(object_of(inside, key) is not None for key in bucket(inside))


def objects_whole(inside: Inside) -> bool:
    return all(object_of(inside, key) in (key.encode(), None) for key in bucket(inside))


def objects_stay(inside: Inside) -> bool:
    keys = bucket(inside, 1)
    inside.later(3600)
    return object_of(inside, keys[0]) is not None


def objects_removed(inside: Inside) -> bool:
    keys = bucket(inside, 1)
    inside.s3("DeleteObject", Bucket="bkt", Key=keys[0])
    return object_of(inside, keys[0]) is None


def objects_listed(inside: Inside) -> bool:
    last = bucket(inside, 2)[-1]
    return last in [each["Key"] for each in inside.s3("ListObjectsV2", Bucket="bkt")["Contents"]]


def objects_conditional(inside: Inside) -> bool:
    keys = bucket(inside, 1)
    try:
        inside.s3("PutObject", Bucket="bkt", Key=keys[0], Body=b"again", IfNoneMatch="*")
    except Refused as refused:
        return refused.code == "PreconditionFailed"
    return False


PROMISES: dict[str, Callable[[Inside], bool]] = {
    "all arrive": all_arrive,
    "none twice": none_twice,
    "intact": intact,
    "none unsent": none_unsent,
    "in order": in_order,
    "numbers grow": numbers_grow,
    "number at receive": number_received,
    "hidden": hidden,
    "comes back": comes_back,
    "deleted": deleted,
    "stale succeeds": stale_succeeds,
    "stale refused": stale_refused,
    "buried": buried,
    "redriven": redriven,
    "policy heeded": policy_heeded,
    "tenants fair": tenants_fair,
    "schedule sends": schedule_sends,
    "schedule waits": schedule_waits,
    "schedule cancelled": schedule_cancelled,
    "pipe moves": pipe_moves,
    "pipe stops": pipe_stops,
    "objects there": objects_there,
    "objects whole": objects_whole,
    "objects stay": objects_stay,
    "objects removed": objects_removed,
    "objects listed": objects_listed,
    "objects conditional": objects_conditional,
    "batch tells": batch_tells,
    "delayed": delayed,
    "delayed by queue": lambda inside: delayed_by_queue(inside, inside.queue(DelaySeconds="5")),
    "delayed by FIFO queue": lambda inside: delayed_by_queue(inside, inside.queue("q.fifo", DelaySeconds="5")),
    "delay anew": delay_anew,
    "delayed first": delayed_first,
    "timers refused": timers_refused,
    "characters refused": characters_refused,
    "body limited": body_limited,
    "attributes counted": attributes_counted,
    "batch limited": batch_limited,
    "told as asked": lambda inside: told(inside, "MessageSystemAttributeNames"),
    "told as asked of old": lambda inside: told(inside, "AttributeNames"),
    "group locked": group_locked,
    "others flow": others_flow,
    "order kept": order_kept,
    "extended locks": extended_locks,
    "repeats": repeats,
    "dedup inside": dedup_inside,
    "dedup deleted": dedup_deleted,
    "dedup over": dedup_over,
    "dedup in group": dedup_in_group,
    "dedup in queue": dedup_in_queue,
    "dedup content": dedup_content,
    "topic fans out": topic_fans_out,
    "filter on attributes passes": lambda inside: filtered(inside, "red", FilterPolicy=RED),
    "filter on attributes stops": lambda inside: not filtered(inside, "blue", FilterPolicy=RED),
    "filter on body passes": lambda inside: filtered(inside, "red", FilterPolicy=RED, FilterPolicyScope="MessageBody"),
    "filter on body stops": lambda inside: (
        not filtered(inside, "blue", FilterPolicy=RED, FilterPolicyScope="MessageBody")
    ),
    **{f"filter {operator} fits": filter_answers(operator, fits=True) for operator in FILTER_OPERATORS},
    **{f"filter {operator} does not": filter_answers(operator, fits=False) for operator in FILTER_OPERATORS},
    "filter on arrays": lambda inside: on_body(inside, *ARRAYS),
    "filter on dots": lambda inside: on_body(inside, *DOTS),
    "publish limited": publish_limited,
    "publish attributes counted": publish_attributes_counted,
    "publish batch limited": publish_batch_limited,
    "publish raised": publish_raised,
    "raw": raw,
    "publish batch tells": publish_batch_tells,
    "topic in order": topic_in_order,
    "topic dedup": topic_dedup,
    "topic dedup in topic": topic_dedup_in_topic,
    "bus fans out": bus_fans_out,
    **{f"{operator} fits": pattern_answers(operator, fits=True) for operator in PATTERNS},
    **{f"{operator} does not": pattern_answers(operator, fits=False) for operator in PATTERNS},
    "pattern on arrays": lambda inside: matches(inside, *ARRAYS),
    "pattern on dots": lambda inside: matches(inside, *DOTS),
    "put events tells": put_events_tells,
    "replay complete": replay_complete,
    "replay named": replay_named,
}

# Every promise that a defect breaks. Several, where one implies the other.
BREAKS: dict[str, set[str]] = {
    "lose:25": {"all arrive"},
    "duplicate-copy:25": {"none twice"},
    "corrupt-body:25": {"intact"},
    "phantom:25": {"none unsent"},
    "reorder:25": {"in order"},
    "misnumber:25": {"numbers grow"},
    "misnumber-at-receive": {"number at receive"},
    "early-redelivery:0.5": {"hidden"},
    # What does not come back is never received too often, and has no place in its group.
    "forget-in-flight": {"comes back", "buried", "redriven", "order kept"},
    # What is not deleted keeps the rest of its group back.
    "undelete": {"deleted", "all arrive"},
    "stale-receipt-refused": {"stale succeeds"},
    "stale-receipt-deletes": {"stale refused"},
    "no-dead-letter": {"buried"},
    # A pipe moves as a redrive does.
    "redrive-loses": {"redriven", "pipe moves"},
    "policy-ignored": {"policy heeded"},
    "unfair": {"tenants fair"},
    "schedule-never-sends": {"schedule sends"},
    "schedule-sends-early": {"schedule waits"},
    "schedule-outlives-delete": {"schedule cancelled"},
    "pipe-moves-nothing": {"pipe moves"},
    "pipe-never-stops": {"pipe stops"},
    "object-lost:25": {"objects there"},
    "object-corrupt:25": {"objects whole"},
    "object-expires": {"objects stay"},
    "object-undelete": {"objects removed"},
    "object-list-misses": {"objects listed"},
    "object-condition-ignored": {"objects conditional"},
    "batch-hides-failures": {"batch tells"},
    "no-delay": {"delayed", "delayed by queue", "delayed by FIFO queue"},
    "delay-not-retroactive": {"delay anew"},
    "delayed-overtaken": {"delay anew", "delayed first"},
    "fifo-takes-timers": {"timers refused"},
    "any-character": {"characters refused"},
    "no-size-limit": {"body limited", "attributes counted", "batch limited"},
    "size-of-body-only": {"attributes counted"},
    "no-batch-limit": {"batch limited"},
    # The sequence number is asked for so, too.
    "attribute-names-ignored:AttributeNames": {"told as asked of old", "number at receive"},
    "attribute-names-ignored:MessageSystemAttributeNames": {"told as asked"},
    "overtake": {"group locked", "extended locks"},
    "one-lock": {"others flow"},
    "requeue-at-end": {"order kept"},
    "extend-unlocks": {"extended locks"},
    "no-attempt-id": {"repeats"},
    "no-dedup": {"dedup inside", "dedup deleted", "dedup in group", "dedup in queue", "dedup content"},
    "dedup-forgets-after-delete": {"dedup deleted"},
    "dedup-never-forgets": {"dedup over"},
    "dedup-ignores-scope": {"dedup in group"},
    # The others send twice in two groups.
    "dedup-by-group": {"dedup in queue", "dedup inside", "dedup deleted"},
    "dedup-ignores-content": {"dedup content"},
    "topic-misses": {"topic fans out"},
    "filter-always:attributes": {"filter on attributes stops"},
    "filter-never:attributes": {"filter on attributes passes"},
    "filter-always:body": {"filter on body stops", *(f"filter {one} does not" for one in FILTER_OPERATORS)},
    "filter-never:body": {
        "filter on body passes",
        "filter on arrays",
        "filter on dots",
        *(f"filter {one} fits" for one in FILTER_OPERATORS),
    },
    **{f"filter-operator-always:{one}": {f"filter {one} does not"} for one in FILTER_OPERATORS},
    **{f"filter-operator-never:{one}": {f"filter {one} fits"} for one in FILTER_OPERATORS},
    # These ask by exact values, by suffix, and so does what stands above.
    "filter-operator-always:exact": {
        "filter exact does not",
        "filter or does not",
        "filter on attributes stops",
        "filter on body stops",
    },
    "filter-operator-never:exact": {
        "filter exact fits",
        "filter or fits",
        "filter on attributes passes",
        "filter on body passes",
    },
    "filter-operator-never:suffix": {"filter suffix fits", "filter on arrays", "filter on dots"},
    "filter-stops-at-arrays": {"filter on arrays"},
    "filter-literal-dots": {"filter on dots"},
    "topic-dedup-by-group": {"topic dedup in topic"},
    "topic-no-size-limit": {"publish limited", "publish attributes counted", "publish batch limited"},
    "topic-size-of-body-only": {"publish attributes counted"},
    "topic-no-batch-limit": {"publish batch limited"},
    "topic-size-fixed": {"publish raised"},
    "raw-ignored": {"raw"},
    "topic-batch-hides-failures": {"publish batch tells"},
    "topic-reverses-batch": {"topic in order"},
    "topic-no-dedup": {"topic dedup", "topic dedup in topic"},
    "rule-misses:4": {"bus fans out"},
    **{f"pattern-always:{operator}": {f"{operator} does not"} for operator in PATTERNS},
    **{f"pattern-never:{operator}": {f"{operator} fits"} for operator in PATTERNS},
    # The alternatives of the pattern with `$or` are exact.
    "pattern-always:exact": {"exact does not", "or does not"},
    "pattern-never:exact": {"exact fits", "or fits"},
    # The patterns on arrays and dots ask by suffix.
    "pattern-never:suffix": {"suffix fits", "pattern on arrays", "pattern on dots"},
    # The rules of these ask by prefix.
    "pattern-never:prefix": {"prefix fits", "bus fans out", "replay complete"},
    "pattern-stops-at-arrays": {"pattern on arrays"},
    "pattern-literal-dots": {"pattern on dots"},
    "put-events-hides-failures": {"put events tells"},
    "replay-misses": {"replay complete"},
    "replay-unnamed": {"replay named"},
}


def broken(planted: str | None) -> set[str]:
    return {name for name, kept in PROMISES.items() if not kept(Inside(planted))}


def test_a_correct_broker_keeps_every_promise() -> None:
    assert broken(None) == set()


@pytest.mark.parametrize("planted", BREAKS)
def test_a_defect_breaks_its_promises_and_no_other(planted: str) -> None:
    assert broken(planted) == BREAKS[planted]


def test_every_defect_of_what_ends_in_queues_is_here() -> None:
    kinds = (Conduct, TopicConduct, BusConduct, SchedulerConduct, PipeConduct, ObjectConduct)
    names = {name for name, kind in DEFECTS.items() if issubclass(kind, kinds)}
    assert names == {planted.partition(":")[0] for planted in BREAKS}
    assert set(OPERATORS) == set(PATTERNS)


@pytest.mark.parametrize(
    "text",
    [
        "nope",
        "lose:0",
        "lose:x",
        "lose:1.5",
        "overtake:3",
        "early-redelivery:2",
        "lose:",
        "filter-always",
        "filter-always:3",
        "pattern-always:near",
        "attribute-names-ignored:Names",
    ],
)
def test_a_wrong_defect_is_an_error_that_says_what_is_right(text: str) -> None:
    with pytest.raises(ValueError, match=r"defect"):
        defect(text)

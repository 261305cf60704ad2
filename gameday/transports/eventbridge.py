"""The pipeline `eventbridge`: a bus of the run's own, and for each subscription a rule whose target is an SQS queue.

It promises what AWS documents: every event that a rule's pattern matches arrives at least once, in no order, not even
in a FIFO queue, because EventBridge keeps none; a repeated PutEvents is another event with another id, so nothing is
deduplicated. What a rule should match is decided here (gameday/transports/filters/event_pattern.py) and never asked of
the service. An archive keeps what the bus got, and a replay sends it to all rules once more, each event with its
`replay-name`.

Sources, all under docs.aws.amazon.com/eventbridge/latest: APIReference/API_PutEvents and API_PutEventsResultEntry (ten
entries of together less than 1 MB, answered in their order, an `EventId` or an `ErrorCode` each), APIReference/
API_SqsParameters, userguide/eb-putevent-size.html (how an entry is measured), eb-service-retry.html (at least once,
tried again for 24 hours), eb-archive.html and eb-replay-archived-event.html.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import orjson

from gameday.history import envelope
from gameday.history.clock import NS_PER_S
from gameday.history.events import SendResult
from gameday.history.manifest import Subscription
from gameday.transports.attached import deployed_as, filter_differs, name_of
from gameday.transports.aws_errors import is_permanent
from gameday.transports.base import (
    Addresses,
    Answer,
    Call,
    CallFailed,
    Capability,
    Document,
    Found,
    Limits,
    Outgoing,
    Plan,
    ReplayState,
    SendOutcome,
    Size,
    SubscriptionSpec,
    Topology,
    refuse_unknown,
)
from gameday.transports.filters import event_pattern
from gameday.transports.filters.event_pattern import EVENTBRIDGE
from gameday.transports.filters.reach import asks
from gameday.transports.queue import SERVICE as SQS
from gameday.transports.queue import (
    EndsInQueues,
    Unwrapped,
    create_queues,
    delete_queues,
    find_queues,
    is_fifo,
    promise,
)

SERVICE = "events"
BATCH_MAX = 10
BYTES_MAX = 1024 * 1024
_TIME_BYTES = 14
# What EventBridge adds to an event on its way to a queue: id, account, time, region, resources, a replay's name.
_ADDED_BYTES = 1024
_TARGET = "queue"
_EVERYTHING: Document = {"source": [envelope.SOURCE]}
# Of messages whose source the user names (userguide/eb-create-pattern-operators.html, "Prefix matching").
_ANY_SOURCE: Document = {"source": [{"prefix": ""}]}
# What an event has when a producer makes it. The rest (id, time, account, …) EventBridge adds, so that nobody could
# say beforehand what a pattern on it matches.
_OF_THE_PRODUCER = ("source", "detail-type", "detail")
# A FIFO target takes a constant or a path into the event; the group that the producer meant stands there.
_GROUP_PATH = "$.detail.metadata.group"
# The codes that API_PutEventsResultEntry documents as refusals. `InternalFailure` is not among them, and neither is a
# code that nobody documents: then the event may be on the bus.
_REFUSALS = frozenset(
    {
        "AccessDeniedException",
        "InvalidAccountIdException",
        "InvalidArgument",
        "MalformedDetail",
        "NotAuthorizedForDetailTypeException",
        "NotAuthorizedForSourceException",
        "ThrottlingException",
    }
)
_ENDS: Mapping[str, SendResult] = {"COMPLETED": "ok", "FAILED": "failed", "CANCELLED": "failed"}


def unwrap(body: str) -> Unwrapped:
    """Take off what EventBridge put around the event of a producer; a body that is none of its is left as it is."""
    try:
        event = orjson.loads(body)
        sent = {name: event[name] for name in _OF_THE_PRODUCER}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return Unwrapped(body=body)
    # The queue's message groups are those of the target: a path into the event on AWS, but a constant on emulators.
    return Unwrapped(
        body=orjson.dumps(sent).decode(),
        upstream_id=event.get("id"),
        replay=event.get("replay-name"),
        regrouped=True,
    )


class Eventbridge(EndsInQueues):
    """`send_to` is the name of the bus; its ARN, and that of the archive, stand in `extra`."""

    name = "eventbridge"
    ordered = False
    batch_max = BATCH_MAX
    services = (SERVICE, SQS)
    attaches_to: Literal["bus"] = "bus"
    traced_in = "body"
    takes_aws_trace_header = True
    unwrap = staticmethod(unwrap)
    lacks: Mapping[Capability, str] = {need: why for need, why in EndsInQueues.lacks.items() if need != "replay"}

    def promises(self, topology: Topology) -> dict[str, Subscription]:
        """Errors: ValueError for a pattern that EventBridge would refuse, or that nobody could judge by."""
        refuse_unknown(self.name, topology, takes=("queue", "pattern", "deployed", "archive"))
        for spec in topology.subscriptions:
            _check(spec)
        return {
            spec.name: replace(promise(topology, spec, fifo=False), filtered=spec.pattern is not None)
            for spec in topology.subscriptions
        }

    def look(self, topology: Topology) -> Plan[Found]:
        assert topology.attached is not None
        bus = name_of(topology.attached.at)
        told = yield Call(SERVICE, "DescribeEventBus", {"Name": bus})
        found = yield from find_queues(topology)
        standing, differs = {}, list[str]()
        for spec in topology.subscriptions:
            rule = str(topology.attached.queues[spec.name].rule)
            pattern, why = yield from _rule_found(bus, rule, found.arns[spec.name])
            there = why is None
            if why is not None:
                differs.append(f"{spec.name}: {why}, so nothing can come there")
            elif spec.pattern is not None:
                differs += filter_differs(spec.name, spec.pattern, pattern, "pattern")
            holds = found.standing[spec.name]
            # Without a pattern of its own it is meant to get all that is sent here; the rule's may be any that does.
            meant = spec if spec.pattern is not None else replace(spec, pattern=pattern)
            keys = [key for key in (told.get("KmsKeyIdentifier"), *holds.keys) if key]
            standing[spec.name] = replace(
                holds,
                deployed=deployed_as(meant, there=there, filter=meant.filter, pattern=pattern),
                keys=list(dict.fromkeys(keys)),
            )
        return Found(
            addresses=Addresses(
                send_to=bus,
                queues=found.urls,
                dead_letter_queues=found.dead_letter_urls,
                extra={"bus": told["Arn"]},
                attached=True,
            ),
            standing=standing,
            differs=differs,
        )

    def provision(self, topology: Topology, *, run: str, tags: Mapping[str, str]) -> Plan[Addresses]:
        if topology.attached is not None:
            return (yield from self.look(topology)).addresses
        labels = [{"Key": key, "Value": value} for key, value in tags.items()]
        bus = f"gameday-{run}"
        made = yield from create_queues(
            topology, ordered=self.ordered, run=run, tags=tags, sender="events.amazonaws.com"
        )
        encryption = topology.encryption
        key = {"KmsKeyIdentifier": encryption.key} if encryption is not None and encryption.key is not None else {}
        created = yield Call(
            SERVICE, "CreateEventBus", {"Name": bus, "Tags": labels, **key}, undo=lambda _: _bus_deleted(bus)
        )
        extra = {"bus": created["EventBusArn"]}
        if topology.archive:
            # Its name has at most 48 characters, too few for the prefix that everything else has; it takes no tags.
            params = {"ArchiveName": run, "EventSourceArn": extra["bus"], **key}
            archive = yield Call(SERVICE, "CreateArchive", params, undo=lambda _: _archive_deleted(run))
            extra |= {"archive": archive["ArchiveArn"], "archive_name": run}
        for spec in topology.subscriptions:
            target: dict[str, Any] = {"Id": _TARGET, "Arn": made.arns[spec.name]}
            if is_fifo(topology, spec, ordered=self.ordered):
                target["SqsParameters"] = {"MessageGroupId": _GROUP_PATH}
                # EventBridge names no deduplication id, and SQS then asks for one made of the content.
                by_content = {"ContentBasedDeduplication": "true"}
                yield Call(SQS, "SetQueueAttributes", {"QueueUrl": made.urls[spec.name], "Attributes": by_content})
            pattern = _deployed(topology, spec)
            if pattern is None:
                continue
            rule = {"Name": spec.name, "EventBusName": bus, "EventPattern": orjson.dumps(pattern).decode()}
            yield Call(SERVICE, "PutRule", {**rule, "Tags": labels}, undo=partial(_rule_deleted, bus, spec.name))
            put = yield Call(
                SERVICE,
                "PutTargets",
                {"Rule": spec.name, "EventBusName": bus, "Targets": [target]},
                undo=partial(_target_removed, bus, spec.name),
            )
            for failed in put.get("FailedEntries") or ():
                raise CallFailed(str(failed.get("ErrorCode")), f"{spec.name}: {failed}", definite=True)
        return Addresses(send_to=bus, queues=made.urls, dead_letter_queues=made.dead_letter_urls, extra=extra)

    def tear_down(self, addresses: Addresses) -> Plan[None]:
        if addresses.attached:
            return
        bus = addresses.send_to
        if archive := addresses.extra.get("archive_name"):
            yield _archive_deleted(archive)
        rules = yield Call(SERVICE, "ListRules", {"EventBusName": bus})
        for rule in rules.get("Rules") or ():
            # An archive has a rule of its own on the bus, which goes with the archive.
            if not rule.get("ManagedBy"):
                yield _target_removed(bus, rule["Name"])
                yield _rule_deleted(bus, rule["Name"])
        yield _bus_deleted(bus)
        yield from delete_queues(addresses)

    def send(self, addresses: Addresses, messages: Sequence[Outgoing]) -> Call:
        entries = []
        for message in messages:
            event = orjson.loads(message.body)
            entry = {
                "EventBusName": addresses.send_to,
                "Source": event["source"],
                "DetailType": event["detail-type"],
                "Detail": orjson.dumps(event["detail"]).decode(),
            }
            if message.due is not None:
                # In whole seconds, as EventBridge keeps it. A replay goes by this time.
                entry["Time"] = message.due // NS_PER_S
            if message.aws_trace_header is not None:
                entry["TraceHeader"] = message.aws_trace_header
            entries.append(entry)
        return Call(SERVICE, "PutEvents", {"Entries": entries})

    def limits(self, topology: Topology) -> Limits:
        return Limits(message=BYTES_MAX, call=BYTES_MAX, text=False)

    def size(self, topology: Topology, message: Outgoing) -> Size:
        """An entry's measure is source, detail-type, detail and 14 bytes for a time; the event has names as well."""
        event = orjson.loads(message.body)
        texts = (event["source"].encode(), event["detail-type"].encode(), orjson.dumps(event["detail"]))
        return Size(
            sent=sum(map(len, texts)) + (0 if message.due is None else _TIME_BYTES),
            arrives=len(message.body.encode()) + _ADDED_BYTES,
            beside="" if message.due is None else "its time",
        )

    def sent(self, answer: Answer, messages: Sequence[Outgoing]) -> list[SendOutcome]:
        entries = list(answer.get("Entries") or ())
        return [_outcome(message.id, n, entries[n] if n < len(entries) else None) for n, message in enumerate(messages)]

    def expect(self, topology: Topology, message: Outgoing) -> list[str]:
        event = orjson.loads(message.body)
        return [
            spec.name
            for spec in topology.subscriptions
            if spec.pattern is None or event_pattern.matches(spec.pattern, event)
        ]

    def needs(self, topology: Topology) -> Collection[Capability]:
        carried_out = [_deployed(topology, spec) for spec in topology.subscriptions]
        return set().union(*(asks(pattern, EVENTBRIDGE) for pattern in carried_out if pattern))

    def start_replay(self, addresses: Addresses, *, name: str, since_s: int, until_s: int) -> Call:
        return Call(
            SERVICE,
            "StartReplay",
            {
                "ReplayName": name,
                "EventSourceArn": addresses.extra["archive"],
                "EventStartTime": since_s,
                "EventEndTime": until_s,
                "Destination": {"Arn": addresses.extra["bus"]},
            },
        )

    def describe_replay(self, name: str) -> Call:
        return Call(SERVICE, "DescribeReplay", {"ReplayName": name})

    def replay_of(self, answer: Answer) -> ReplayState:
        state = str(answer.get("State"))
        reached = answer.get("EventLastReplayedTime")
        return ReplayState(
            state=state,
            outcome=_ENDS.get(state),
            reached=None if reached is None else str(reached),
            why=answer.get("StateReason"),
        )


def _rule_found(bus: str, rule: str, queue: str) -> Plan[tuple[Document | None, str | None]]:
    """The pattern of a rule that is there already, or why it brings nothing to that queue.

    Errors: CallFailed where it brings something else than the event, which nobody could tell as the run's.
    """
    named = {"Name": rule, "EventBusName": bus}
    told = yield Call(SERVICE, "DescribeRule", named)
    targets = yield Call(SERVICE, "ListTargetsByRule", {"Rule": rule, "EventBusName": bus})
    target = next((each for each in targets.get("Targets") or () if each["Arn"] == queue), None)
    if target is None:
        return None, f"its queue is no target of the rule {rule}"
    if told.get("State") == "DISABLED":
        return None, f"the rule {rule} is disabled"
    if changed := [key for key in ("Input", "InputPath", "InputTransformer") if target.get(key)]:
        raise CallFailed(
            "RuleDiffers",
            f"the rule {rule} sends something else than the event ({changed[0]}), in which no message of the run could "
            "be told; attach to a rule that hands events on as they are",
            definite=True,
        )
    pattern: Document | None = orjson.loads(told["EventPattern"]) if told.get("EventPattern") else None
    return pattern, None if pattern is not None else f"the rule {rule} goes by a schedule and has no pattern"


def _bus_deleted(bus: str) -> Call:
    return Call(SERVICE, "DeleteEventBus", {"Name": bus})


def _archive_deleted(archive: str) -> Call:
    return Call(SERVICE, "DeleteArchive", {"ArchiveName": archive})


def _rule_deleted(bus: str, rule: str, _: Answer | None = None) -> Call:
    return Call(SERVICE, "DeleteRule", {"Name": rule, "EventBusName": bus})


def _target_removed(bus: str, rule: str, _: Answer | None = None) -> Call:
    return Call(SERVICE, "RemoveTargets", {"Rule": rule, "Ids": [_TARGET], "EventBusName": bus})


def _outcome(id: str, n: int, entry: Mapping[str, Any] | None) -> SendOutcome:
    if entry is None:
        return SendOutcome(id=id, entry=n, outcome="unknown", error="entry missing from the answer")
    if event_id := entry.get("EventId"):
        return SendOutcome(id=id, entry=n, outcome="ok", broker_id=event_id)
    code = str(entry.get("ErrorCode"))
    outcome: SendResult = "failed" if code in _REFUSALS else "unknown"
    final = outcome == "failed" and is_permanent(code)
    return SendOutcome(id=id, entry=n, outcome=outcome, final=final, error=f"{code}: {entry.get('ErrorMessage', '')}")


def _deployed(topology: Topology, spec: SubscriptionSpec) -> Document | None:
    """The pattern of the rule that is really made; None: none is made."""
    if spec.deployed is not None and spec.deployed.missing:
        return None
    if spec.deployed is not None and spec.deployed.pattern is not None:
        return spec.deployed.pattern
    if spec.pattern is not None:
        return spec.pattern
    return _ANY_SOURCE if topology.own_messages else _EVERYTHING


def _check(spec: SubscriptionSpec) -> None:
    """Errors: ValueError."""
    deployed = None if spec.deployed is None else spec.deployed.pattern
    for where, pattern in (("pattern", spec.pattern), ("deployed.pattern", deployed)):
        if pattern is None:
            continue
        try:
            event_pattern.check(pattern)
        except ValueError as error:
            raise ValueError(f"{where} of {spec.name}: {error}") from error
    if spec.pattern is not None and (alien := _aliens(spec.pattern)):
        raise ValueError(
            f"pattern of {spec.name}: `{alien[0]}` is EventBridge's to fill in, so nobody could say beforehand which "
            f"events match; write it with {', '.join(_OF_THE_PRODUCER)}"
        )


def _aliens(pattern: Document) -> list[str]:
    """The fields at the top of an event that no producer fills in."""
    found: list[str] = []
    for name, value in pattern.items():
        if name == "$or":
            found += [alien for alternative in value for alien in _aliens(alternative)]
        elif name not in _OF_THE_PRODUCER:
            found.append(name)
    return found

"""EventBridge's operations as data: buses, rules and archives that deliver at once into the broker's own queues.

Names, limits and error codes are those of the API reference and the user guide
(docs.aws.amazon.com/eventbridge/latest/APIReference, …/userguide). Every event reaches each target of each rule that it
matches, once; what a queue refuses goes to the target's dead-letter queue, if it has one. A replay is over when
StartReplay answers. Not modelled: other targets than SQS, schedules, input transformers, policies, pages of lists.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson

from gameday.emulator.broker import ACCOUNT, Broker
from gameday.emulator.wire import Answer, Params, Refused, known
from gameday.history.clock import NS_PER_S
from gameday.transports.filters import event_pattern

REGION = "us-east-1"
ENTRIES_MAX = 10
BYTES_MAX = 1_048_576
_TIME_BYTES = 14
_ARN = f"arn:aws:events:{REGION}:{ACCOUNT}:"
_BUS_NAME = re.compile(r"[/.\-_A-Za-z0-9]{1,256}")
_NAME = re.compile(r"[.\-_A-Za-z0-9]{1,64}")
_NOT_MODELLED = {"InputPath", "InputTransformer", "RoleArn"}

Event = dict[str, Any]
T = TypeVar("T")


class BusConduct:
    """The right conduct of buses. A defect overrides one answer (gameday/emulator/defects.py)."""

    def delivers(self) -> bool:
        """Whether an event reaches a target that it is for."""
        return True

    def matches(self, pattern: Mapping[str, Any], event: Event) -> bool:
        """Whether an event is for a rule with this pattern."""
        return event_pattern.matches(pattern, event)

    def tells_failures(self) -> bool:
        """Whether PutEvents tells that an entry failed."""
        return True

    def replays(self) -> bool:
        """Whether an archived event is in a replay."""
        return True

    def names_replay(self) -> bool:
        """Whether a replayed event says so."""
        return True


@dataclass(slots=True)
class _Rule:
    name: str
    arn: str
    bus: str
    text: str
    pattern: Mapping[str, Any]
    enabled: bool
    description: str | None
    targets: dict[str, Params] = field(default_factory=dict)

    def told(self) -> Answer:
        told = {
            "Name": self.name,
            "Arn": self.arn,
            "EventPattern": self.text,
            "State": "ENABLED" if self.enabled else "DISABLED",
            "EventBusName": self.bus,
        }
        return told if self.description is None else {**told, "Description": self.description}


@dataclass(slots=True)
class _Bus:
    name: str
    arn: str
    created_s: int
    key: str | None = None
    rules: dict[str, _Rule] = field(default_factory=dict)


@dataclass(slots=True)
class _Archive:
    name: str
    bus: str
    text: str | None
    pattern: Mapping[str, Any] | None
    retention_days: int
    created_s: int
    key: str | None = None
    events: list[tuple[int, Event]] = field(default_factory=list)

    @property
    def arn(self) -> str:
        return f"{_ARN}archive/{self.name}"


@dataclass(kw_only=True)
class EventBridge:
    """All buses of one account, delivering into the queues of `sqs`."""

    sqs: Broker
    conduct: BusConduct = field(default_factory=BusConduct)

    def __post_init__(self) -> None:
        self._buses = {"default": _Bus("default", f"{_ARN}event-bus/default", 0)}
        self._archives: dict[str, _Archive] = {}
        self._replays: dict[str, Answer] = {}
        self._tags: dict[str, dict[str, str]] = {}
        self._operations: dict[str, Callable[[int, Params], Answer]] = {
            "CreateEventBus": self._create_bus,
            "DescribeEventBus": self._describe_bus,
            "DeleteEventBus": self._delete_bus,
            "ListEventBuses": self._list_buses,
            "PutRule": self._put_rule,
            "DescribeRule": self._describe_rule,
            "DeleteRule": self._delete_rule,
            "ListRules": self._list_rules,
            "PutTargets": self._put_targets,
            "RemoveTargets": self._remove_targets,
            "ListTargetsByRule": self._list_targets,
            "PutEvents": self._put_events,
            "TestEventPattern": self._test_pattern,
            "CreateArchive": self._create_archive,
            "DescribeArchive": self._describe_archive,
            "DeleteArchive": self._delete_archive,
            "ListArchives": self._list_archives,
            "StartReplay": self._start_replay,
            "DescribeReplay": self._describe_replay,
            "ListReplays": self._list_replays,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": self._list_tags,
        }

    def call(self, now: int, operation: str, params: Params) -> Answer:
        """Errors: Refused."""
        carry_out = known(self._operations, operation)
        return carry_out(now, params)

    # Buses.

    def _create_bus(self, now: int, params: Params) -> Answer:
        name = _named(params, "Name", _BUS_NAME)
        if name in self._buses:
            raise _there(f"Event bus {name}")
        self._buses[name] = _Bus(name, f"{_ARN}event-bus/{name}", now // NS_PER_S, params.get("KmsKeyIdentifier"))
        self._tags[self._buses[name].arn] = _tags(params)
        return {"EventBusArn": self._buses[name].arn}

    def _describe_bus(self, now: int, params: Params) -> Answer:
        bus = self._bus(params.get("Name"))
        return {**_told_bus(bus), **_with_key(bus.key)}

    def _delete_bus(self, now: int, params: Params) -> Answer:
        """With its rules. A bus that is not there is none to delete; the default one stays."""
        name = _named(params, "Name", _BUS_NAME)
        if name == "default":
            raise _invalid("Cannot delete event bus default.")
        bus = self._buses.pop(name, None)
        for arn in () if bus is None else (bus.arn, *(rule.arn for rule in bus.rules.values())):
            self._tags.pop(arn, None)
        return {}

    def _list_buses(self, now: int, params: Params) -> Answer:
        prefix = params.get("NamePrefix") or ""
        return {"EventBuses": [_told_bus(bus) for name, bus in self._buses.items() if name.startswith(prefix)]}

    # Rules and targets.

    def _put_rule(self, now: int, params: Params) -> Answer:
        name, bus = _named(params, "Name", _NAME), self._bus(params.get("EventBusName"))
        text = params.get("EventPattern")
        if not text or params.get("ScheduleExpression"):
            raise _invalid("A rule here has an EventPattern and no ScheduleExpression.")
        arn = f"{_ARN}rule/{name}" if bus.name == "default" else f"{_ARN}rule/{bus.name}/{name}"
        known = bus.rules.get(name)
        bus.rules[name] = _Rule(
            name=name,
            arn=arn,
            bus=bus.name,
            text=text,
            pattern=_pattern(text),
            enabled=params.get("State", "ENABLED") != "DISABLED",
            description=params.get("Description"),
            targets={} if known is None else known.targets,
        )
        # "Any tags you specify in the PutRule operation are not applied" to a rule that is there.
        self._tags.setdefault(arn, _tags(params))
        return {"RuleArn": arn}

    def _describe_rule(self, now: int, params: Params) -> Answer:
        return {**self._rule(params, "Name").told(), "CreatedBy": ACCOUNT}

    def _delete_rule(self, now: int, params: Params) -> Answer:
        bus = self._bus(params.get("EventBusName"))
        rule = bus.rules.get(str(params.get("Name")))
        if rule is not None and rule.targets:
            raise _invalid("Rule can't be deleted since it has targets.")
        if rule is not None:
            del bus.rules[rule.name]
            self._tags.pop(rule.arn, None)
        return {}

    def _list_rules(self, now: int, params: Params) -> Answer:
        prefix, rules = params.get("NamePrefix") or "", self._bus(params.get("EventBusName")).rules
        return {"Rules": [rule.told() for name, rule in rules.items() if name.startswith(prefix)]}

    def _put_targets(self, now: int, params: Params) -> Answer:
        rule, targets = self._rule(params, "Rule"), params.get("Targets") or ()
        for target in targets:
            name, arn = target.get("Id"), str(target.get("Arn", ""))
            if not name or not arn.startswith("arn:aws:sqs:") or target.keys() & _NOT_MODELLED:
                raise _invalid(f"Target {name!r}: here a target has an Id and the Arn of a queue, and gets the event.")
            if arn.endswith(".fifo") and not (target.get("SqsParameters") or {}).get("MessageGroupId"):
                raise _invalid(f"Parameter(s) SqsParameters.MessageGroupId must be specified for target: {name}.")
        rule.targets.update({target["Id"]: target for target in targets})
        return {"FailedEntryCount": 0, "FailedEntries": []}

    def _remove_targets(self, now: int, params: Params) -> Answer:
        rule, failed = self._rule(params, "Rule"), []
        for name in params.get("Ids") or ():
            if rule.targets.pop(name, None) is None:
                error = {"ErrorCode": "ResourceNotFoundException", "ErrorMessage": f"Target {name} does not exist."}
                failed.append({"TargetId": name, **error})
        return {"FailedEntryCount": len(failed), "FailedEntries": failed}

    def _list_targets(self, now: int, params: Params) -> Answer:
        return {"Targets": list(self._rule(params, "Rule").targets.values())}

    # Events.

    def _put_events(self, now: int, params: Params) -> Answer:
        entries: Sequence[Params] = params.get("Entries") or ()
        if not 1 <= len(entries) <= ENTRIES_MAX:
            raise _invalid(f"Member must have length between 1 and {ENTRIES_MAX}: entries, which are {len(entries)}.")
        if sum(map(_size, entries)) > BYTES_MAX:
            raise _invalid("Total size of the entries in the request is over the limit.")
        answers: list[Answer] = []
        failed = 0
        for entry in entries:
            try:
                answers.append({"EventId": self._accept(now, entry)})
            except Refused as refused:
                if self.conduct.tells_failures():
                    failed += 1
                    answers.append({"ErrorCode": refused.code, "ErrorMessage": refused.message})
                else:
                    answers.append({"EventId": str(uuid.uuid4())})
        return {"FailedEntryCount": failed, "Entries": answers}

    def _accept(self, now: int, entry: Params) -> str:
        """An event for a bus that is not there goes nowhere. Errors: Refused, for this entry alone."""
        for name in ("Source", "DetailType", "Detail"):
            if not entry.get(name):
                raise Refused(
                    "InvalidArgument", f"Parameter {name} is not valid. Reason: {name} is a required argument."
                )
        if str(entry["Source"]).startswith("aws."):
            raise Refused("NotAuthorizedForSourceException", "Not authorized for the source.")
        detail = _object(str(entry["Detail"]))
        if detail is None:
            raise Refused("MalformedDetail", "Detail is malformed.")
        at_s = int(entry.get("Time") or now // NS_PER_S)
        event = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": entry["DetailType"],
            "source": entry["Source"],
            "account": ACCOUNT,
            "time": datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": REGION,
            "resources": list(entry.get("Resources") or ()),
            "detail": detail,
        }
        bus = self._buses.get(_short(entry.get("EventBusName")))
        if bus is not None:
            for archive in self._archives.values():
                if archive.bus == bus.name and (
                    archive.pattern is None or self.conduct.matches(archive.pattern, event)
                ):
                    archive.events.append((at_s, event))
            for rule in bus.rules.values():
                self._offer(now, rule, event)
        return str(event["id"])

    def _offer(self, now: int, rule: _Rule, event: Event) -> None:
        if not rule.enabled or not self.conduct.matches(rule.pattern, event):
            return
        for target in rule.targets.values():
            if self.conduct.delivers():
                draft = {"MessageBody": target.get("Input") or orjson.dumps(event).decode(), **_parameters(target)}
                dead_letters = (target.get("DeadLetterConfig") or {}).get("Arn")
                if not self.sqs.deliver(now, target["Arn"], draft) and dead_letters:
                    self.sqs.deliver(now, dead_letters, draft)

    def _test_pattern(self, now: int, params: Params) -> Answer:
        event = _object(str(params.get("Event", "")))
        if event is None:
            raise _invalid("Parameter Event is not valid. Reason: it is no JSON object.")
        return {"Result": self.conduct.matches(_pattern(params.get("EventPattern")), event)}

    # Archives and replays.

    def _create_archive(self, now: int, params: Params) -> Answer:
        name, bus = _named(params, "ArchiveName", _NAME), self._bus(params.get("EventSourceArn"))
        if name in self._archives:
            raise _there(f"Archive {name}")
        text = params.get("EventPattern")
        archive = self._archives[name] = _Archive(
            name=name,
            bus=bus.name,
            text=text,
            pattern=_pattern(text) if text else None,
            retention_days=int(params.get("RetentionDays") or 0),
            created_s=now // NS_PER_S,
            key=params.get("KmsKeyIdentifier"),
        )
        return {"ArchiveArn": archive.arn, "State": "ENABLED", "CreationTime": archive.created_s}

    def _describe_archive(self, now: int, params: Params) -> Answer:
        archive = self._found(self._archives, params, "ArchiveName")
        pattern = {} if archive.text is None else {"EventPattern": archive.text}
        return {"ArchiveArn": archive.arn, **self._told_archive(archive), **pattern, **_with_key(archive.key)}

    def _delete_archive(self, now: int, params: Params) -> Answer:
        del self._archives[self._found(self._archives, params, "ArchiveName").name]
        return {}

    def _list_archives(self, now: int, params: Params) -> Answer:
        prefix = params.get("NamePrefix") or ""
        return {"Archives": [self._told_archive(a) for name, a in self._archives.items() if name.startswith(prefix)]}

    def _told_archive(self, archive: _Archive) -> Answer:
        return {
            "ArchiveName": archive.name,
            "EventSourceArn": f"{_ARN}event-bus/{archive.bus}",
            "State": "ENABLED",
            "RetentionDays": archive.retention_days,
            "SizeBytes": sum(len(orjson.dumps(event)) for _, event in archive.events),
            "EventCount": len(archive.events),
            "CreationTime": archive.created_s,
        }

    def _start_replay(self, now: int, params: Params) -> Answer:
        """Every archived event whose time lies in the range, both ends included, in the order of their times."""
        name = _named(params, "ReplayName", _NAME)
        if name in self._replays:
            raise _there(f"Replay {name}")
        source, destination = str(params.get("EventSourceArn")), params.get("Destination") or {}
        archive = self._archives.get(source.removeprefix(f"{_ARN}archive/"))
        if archive is None or archive.arn != source:
            raise _absent(f"Archive {source}")
        bus = self._bus(destination.get("Arn"))
        if bus.name != archive.bus:
            raise _invalid("Parameter Destination.Arn is not valid. Reason: Cross event bus replay is not permitted.")
        start, end = int(params.get("EventStartTime") or 0), int(params.get("EventEndTime") or 0)
        if start >= end:
            raise _invalid("Parameter EventEndTime is not valid. Reason: EventStartTime must be before EventEndTime.")
        rules, last = destination.get("FilterArns"), None
        for at_s, event in sorted(archive.events, key=lambda timed: timed[0]):
            if start <= at_s <= end and self.conduct.replays():
                last = at_s
                again = {**event, "replay-name": name} if self.conduct.names_replay() else event
                for rule in bus.rules.values():
                    if not rules or rule.arn in rules:
                        self._offer(now, rule, again)
        arn, at = f"{_ARN}replay/{name}", now // NS_PER_S
        self._replays[name] = {
            "ReplayName": name,
            "ReplayArn": arn,
            "State": "COMPLETED",
            "EventSourceArn": source,
            "Destination": destination,
            "EventStartTime": start,
            "EventEndTime": end,
            **({} if last is None else {"EventLastReplayedTime": last}),
            "ReplayStartTime": at,
            "ReplayEndTime": at,
        }
        return {"ReplayArn": arn, "State": "STARTING", "ReplayStartTime": at}

    def _describe_replay(self, now: int, params: Params) -> Answer:
        return self._found(self._replays, params, "ReplayName")

    def _list_replays(self, now: int, params: Params) -> Answer:
        prefix = params.get("NamePrefix") or ""
        hidden = {"ReplayArn", "Destination"}
        found = (replay for name, replay in self._replays.items() if name.startswith(prefix))
        return {"Replays": [{key: value for key, value in r.items() if key not in hidden} for r in found]}

    # Tags.

    def _tag(self, now: int, params: Params) -> Answer:
        self._tagged(params).update(_tags(params))
        return {}

    def _untag(self, now: int, params: Params) -> Answer:
        tags = self._tagged(params)
        for key in params.get("TagKeys") or ():
            tags.pop(key, None)
        return {}

    def _list_tags(self, now: int, params: Params) -> Answer:
        return {"Tags": [{"Key": key, "Value": value} for key, value in self._tagged(params).items()]}

    # What they share.

    def _bus(self, name: str | None) -> _Bus:
        """By name or ARN; none is the default bus."""
        bus = self._buses.get(_short(name))
        if bus is None:
            raise _absent(f"Event bus {name}")
        return bus

    def _rule(self, params: Params, key: str) -> _Rule:
        bus = self._bus(params.get("EventBusName"))
        return self._found(bus.rules, params, key)

    def _found(self, known: Mapping[str, T], params: Params, key: str) -> T:
        found = known.get(str(params.get(key)))
        if found is None:
            raise _absent(f"{key} {params.get(key)}")
        return found

    def _tagged(self, params: Params) -> dict[str, str]:
        arn = str(params.get("ResourceARN"))
        if arn == self._buses["default"].arn:
            self._tags.setdefault(arn, {})
        return self._found(self._tags, params, "ResourceARN")


def _with_key(key: str | None) -> Answer:
    """Kept and told, without effect: nothing is encrypted here."""
    return {} if key is None else {"KmsKeyIdentifier": key}


def _told_bus(bus: _Bus) -> Answer:
    return {"Name": bus.name, "Arn": bus.arn, "CreationTime": bus.created_s, "LastModifiedTime": bus.created_s}


def _short(bus: str | None) -> str:
    return (bus or "default").removeprefix(f"{_ARN}event-bus/")


def _named(params: Params, key: str, rule: re.Pattern[str]) -> str:
    name = str(params.get(key, ""))
    if not rule.fullmatch(name):
        raise _invalid(f"Value {name!r} at {key} failed to satisfy constraint: {rule.pattern}")
    return name


def _pattern(text: object) -> Mapping[str, Any]:
    pattern = _object(str(text))
    try:
        if pattern is None:
            raise ValueError("it is no JSON object")
        event_pattern.check(pattern)
    except ValueError as error:
        raise Refused("InvalidEventPatternException", f"Event pattern is not valid. Reason: {error}") from None
    return pattern


def _object(text: str) -> dict[str, Any] | None:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def _parameters(target: Params) -> dict[str, str]:
    group = (target.get("SqsParameters") or {}).get("MessageGroupId")
    return {} if group is None else {"MessageGroupId": group}


def _size(entry: Params) -> int:
    """As under "Calculating PutEvents event entry size" in the user guide."""
    texts = [entry.get("Source"), entry.get("DetailType"), entry.get("Detail"), *(entry.get("Resources") or ())]
    return sum(len(str(text or "").encode()) for text in texts) + (_TIME_BYTES if entry.get("Time") else 0)


def _tags(params: Params) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in params.get("Tags") or ()}


def _invalid(what: str) -> Refused:
    return Refused("ValidationException", what)


def _there(what: str) -> Refused:
    return Refused("ResourceAlreadyExistsException", f"{what} already exists.")


def _absent(what: str) -> Refused:
    return Refused("ResourceNotFoundException", f"{what} does not exist.")

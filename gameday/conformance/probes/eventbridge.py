"""What EventBridge documents for a bus, its rules and its archive, seen from SQS queues as targets.

Sources: the EventBridge user guide (docs.aws.amazon.com/eventbridge/latest/userguide) and API reference. Delivery is at
least once and in any order; a new rule may take a while to apply, and an event up to ten minutes to be archived.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gameday.conformance.base import Bench, NotImplementedHere, Probe, Undecided, claim, missing
from gameday.conformance.queues import ProbeQueue, numbered, texts
from gameday.transports.base import CallFailed, Document

_SOURCE = "gameday.probe"
_LOOK_S = 2.0
_RULE_APPLIES_S = 60.0
_ARCHIVED_S = 600.0
_MARGIN_S = 5


class Bus:
    """An event bus made for one probe. Its events are told apart by their detail type."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.name = bench.name("bus")
        self.arn: str = bench.call("events", "CreateEventBus", Name=self.name)["EventBusArn"]
        bench.afterwards("events", "DeleteEventBus", Name=self.name)

    def queue(self, pattern: Document) -> ProbeQueue:
        """A queue that gets what the pattern matches. Errors: NotImplementedHere for a pattern that is not known."""
        queue, rule = ProbeQueue(self.bench), self.bench.name("rule")
        at = {"Name": rule, "EventBusName": self.name}
        try:
            self.bench.call("events", "PutRule", **at, EventPattern=json.dumps(pattern), State="ENABLED")
        except CallFailed as failed:
            if failed.code == "InvalidEventPatternException":
                raise NotImplementedHere(f"{json.dumps(pattern)} is refused: {failed}") from failed
            raise
        self.bench.afterwards("events", "DeleteRule", **at)
        target = {"Id": "queue", "Arn": queue.open_to("events.amazonaws.com")}
        answer = self.bench.call("events", "PutTargets", Rule=rule, EventBusName=self.name, Targets=[target])
        if answer.get("FailedEntryCount"):
            raise Undecided(f"a queue could not be made a rule's target: {answer.get('FailedEntries')}")
        self.bench.afterwards("events", "RemoveTargets", Rule=rule, EventBusName=self.name, Ids=["queue"])
        return queue

    def everything(self) -> ProbeQueue:
        """A queue that gets all events, replayed ones too."""
        return self.queue({"account": [{"prefix": ""}]})

    def entry(self, name: str, *, detail: Document | None = None, source: str = _SOURCE) -> dict[str, Any]:
        return {
            "EventBusName": self.name,
            "Source": source,
            "DetailType": name,
            "Detail": json.dumps(detail if detail is not None else {"name": name}),
        }

    def put(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Up to ten entries, all of which must be taken."""
        answer = self.bench.call("events", "PutEvents", Entries=list(entries))
        claim(not answer.get("FailedEntryCount"), f"valid events failed: {answer.get('Entries')}")


def names(events: Sequence[Mapping[str, Any]]) -> list[str]:
    return [event["detail-type"] for event in events]


def _collect(queue: ProbeQueue, wanted: Sequence[str], *, replayed: bool = False) -> list[Mapping[str, Any]]:
    """Receive events until the wanted ones came, those of a replay or those not. Errors: Violated if one does not."""
    bench, got = queue.bench, list[Mapping[str, Any]]()
    deadline = bench.now + bench.conditions.patience_s
    while True:
        got += [json.loads(body) for body in texts(queue.receive())]
        lost = missing(wanted, names([event for event in got if ("replay-name" in event) is replayed]))
        if not lost:
            return got
        kind = "replayed" if replayed else "published"
        claim(
            bench.now < deadline,
            f"{kind}, and not received within {bench.conditions.patience_s:g} s: {', '.join(lost)}",
        )


def fan_out_complete(bench: Bench) -> None:
    """An event reaches the target of every rule that matches it (user guide, "Rules in Amazon EventBridge")."""
    bus = Bus(bench)
    queues = [bus.queue({"source": [_SOURCE]}) for _ in range(3)]
    bench.let_apply(_RULE_APPLIES_S)
    sent = numbered("e", 5)
    bus.put([bus.entry(name) for name in sent])
    for queue in queues:
        _collect(queue, sent)


@dataclass(frozen=True, kw_only=True, slots=True)
class Operator:
    """A pattern of one comparison operator, with details that it matches and details that it does not."""

    pattern: Document
    matching: Sequence[Document]
    others: Sequence[Document]


# User guide, "Comparison operators for use in event patterns".
OPERATORS: Mapping[str, Operator] = {
    "exact": Operator(
        pattern={"x": ["red", 5, None]},
        matching=[{"x": "red"}, {"x": 5}, {"x": None}, {"x": ["blue", "red"]}],
        others=[{"x": "blue"}, {"x": "Red"}, {"y": "red"}, {"x": "5"}],
    ),
    "prefix": Operator(
        pattern={"x": [{"prefix": "re"}]}, matching=[{"x": "red"}, {"x": "re"}], others=[{"x": "are"}, {"x": "Red"}]
    ),
    "suffix": Operator(
        pattern={"x": [{"suffix": ".png"}]},
        matching=[{"x": "a.png"}, {"x": ".png"}],
        others=[{"x": "a.png.txt"}, {"x": "a.PNG"}],
    ),
    "anything-but": Operator(
        pattern={"x": [{"anything-but": ["red", "blue"]}]},
        matching=[{"x": "green"}, {"x": "Red"}],
        others=[{"x": "red"}, {"x": "blue"}, {"y": "green"}],
    ),
    "numeric": Operator(
        pattern={"x": [{"numeric": [">", 0, "<=", 5]}]},
        matching=[{"x": 5}, {"x": 0.5}],
        others=[{"x": 0}, {"x": 5.1}, {"x": "3"}, {"x": -1}],
    ),
    "exists": Operator(
        pattern={"x": [{"exists": True}], "y": [{"exists": False}]},
        matching=[{"x": "red"}, {"x": 1, "z": 1}],
        others=[{"z": "red"}, {"x": "red", "y": 1}],
    ),
    "equals-ignore-case": Operator(
        pattern={"x": [{"equals-ignore-case": "Red"}]},
        matching=[{"x": "red"}, {"x": "RED"}],
        others=[{"x": "reds"}, {"x": "blue"}],
    ),
    "wildcard": Operator(
        pattern={"x": [{"wildcard": "dir/*.png"}]},
        matching=[{"x": "dir/a.png"}, {"x": "dir/sub/b.png"}],
        others=[{"x": "dir/a.jpg"}, {"x": "a.png"}],
    ),
    "cidr": Operator(
        pattern={"x": [{"cidr": "10.0.0.0/24"}]},
        matching=[{"x": "10.0.0.0"}, {"x": "10.0.0.255"}],
        others=[{"x": "10.0.1.0"}, {"x": "10.1.0.1"}, {"x": "host"}],
    ),
    "or": Operator(
        pattern={"$or": [{"x": [{"prefix": "re"}]}, {"y": [{"numeric": [">", 5]}]}]},
        matching=[{"x": "red"}, {"y": 6}, {"x": "blue", "y": 7}],
        others=[{"x": "blue", "y": 5}, {"z": 6}],
    ),
}


# The guide on arrays leaves objects in them to the matcher's own README.
SHAPES: Mapping[str, tuple[Operator, str]] = {
    "arrays": (
        Operator(
            pattern={"x": {"y": ["red"], "z": [5]}},
            matching=[{"x": [{"y": "red", "z": 5}]}, {"x": [{"y": "blue", "z": 5}, {"y": "red", "z": 5}]}],
            others=[{"x": [{"y": "red", "z": 4}, {"y": "blue", "z": 5}]}, {"x": []}, {"y": "red", "z": 5}],
        ),
        'Fields below an array must match in one of its objects (github.com/aws/event-ruler, "JSON Array Matching").',
    ),
    "dots": (
        Operator(
            pattern={"x.y": ["red"]},
            matching=[{"x": {"y": "red"}}, {"x.y": "red"}],
            others=[{"x": {"y": "blue"}}, {"x": "red"}, {"y": "red"}],
        ),
        'A dot in a key is a step into the event (user guide, "Considerations when creating event patterns").',
    ),
}


def _pattern(name: str, operator: Operator) -> Probe:
    return _matching(
        operator, f'Events match a pattern of `{name}` as documented (user guide, "Comparison operators").'
    )


def _matching(operator: Operator, rule: str) -> Probe:
    def probe(bench: Bench) -> None:
        bus = Bus(bench)
        everything = bus.everything()
        matched = bus.queue({"detail": operator.pattern})
        bench.let_apply(_RULE_APPLIES_S)
        details = {f"match{n}": detail for n, detail in enumerate(operator.matching, start=1)}
        wanted = list(details)
        details |= {f"other{n}": detail for n, detail in enumerate(operator.others, start=1)}
        bus.put([bus.entry(each, detail=detail) for each, detail in details.items()])
        # A rule for everything shows that all were delivered: what is absent beside it was not matched.
        _collect(everything, list(details))
        got = names(_collect(matched, wanted))
        got += [json.loads(body)["detail-type"] for body in texts(matched.watch(_LOOK_S))]
        wrong = [json.dumps(details[each]) for each in sorted(set(got) - set(wanted))]
        claim(not wrong, f"{json.dumps(operator.pattern)} matched {', '.join(wrong)}")

    probe.__doc__ = rule
    return probe


def put_events_partial_failure(bench: Bench) -> None:
    """PutEvents succeeds or fails entry by entry, in the order of the entries (API reference, PutEvents)."""
    bus = Bus(bench)
    everything = bus.everything()
    bench.let_apply(_RULE_APPLIES_S)
    entries = [
        bus.entry("good1"),
        {**bus.entry("malformed detail"), "Detail": "{no json"},
        bus.entry("good2"),
        bus.entry("source of AWS", source="aws.gameday"),
        bus.entry("good3"),
    ]
    answer = bench.call("events", "PutEvents", Entries=entries)
    told = answer.get("Entries") or []
    claim(len(told) == len(entries), f"of {len(entries)} entries the answer tells {len(told)}")
    failed = [entry["DetailType"] for entry, one in zip(entries, told, strict=True) if one.get("ErrorCode")]
    accepted = [entry["DetailType"] for entry, one in zip(entries, told, strict=True) if one.get("EventId")]
    counted = answer.get("FailedEntryCount")
    claim(counted == len(failed), f"FailedEntryCount is {counted}, and {len(failed)} entries have an ErrorCode")
    claim(not any(name.startswith("good") for name in failed), f"good entries failed: {', '.join(failed)}")
    # Whatever was accepted must come: an entry that failed without a word would be missing here.
    got = names(_collect(everything, accepted))
    wrong = sorted(set(got) & set(failed))
    claim(not wrong, f"answered as failed, and delivered: {', '.join(wrong)}")
    if not failed:
        raise Undecided("no entry could be made to fail: malformed detail and a source of AWS's were accepted")


def archive_replay_complete(bench: Bench) -> None:
    """A replay sends every event of the archive in its span again (user guide, "Archiving and replaying events")."""
    _replay(bench)


def replay_name(bench: Bench) -> None:
    """A replayed event bears `replay-name`, and no other does (user guide, "Replaying archived events")."""
    replay, first, again = _replay(bench)
    wrong = [event.get("replay-name") for event in again if event.get("replay-name") not in (None, replay)]
    claim(not wrong, f"events of the replay {replay} bear {wrong}")
    claim(not any("replay-name" in event for event in first), "an event bore replay-name before any replay")


def _replay(bench: Bench) -> tuple[str, Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
    """Archive events, replay them; the replay's name, what came before it and what came after its start."""
    bus = Bus(bench)
    everything = bus.everything()
    # Archive names have at most 48 characters.
    archive = f"probe-{bench.id}"
    arn = bench.call("events", "CreateArchive", ArchiveName=archive, EventSourceArn=bus.arn)["ArchiveArn"]
    bench.afterwards("events", "DeleteArchive", ArchiveName=archive)
    bench.ready(
        lambda: bench.call("events", "DescribeArchive", ArchiveName=archive).get("State") == "ENABLED", "the archive"
    )
    bench.let_apply(_RULE_APPLIES_S)
    sent = numbered("e", 5)
    bus.put([bus.entry(name) for name in sent])
    first = _collect(everything, sent)
    bench.let_apply(_ARCHIVED_S)
    times = [datetime.fromisoformat(event["time"]).timestamp() for event in first]
    replay = f"replay-{bench.id}"

    bench.call(
        "events",
        "StartReplay",
        ReplayName=replay,
        EventSourceArn=arn,
        EventStartTime=int(min(times)) - _MARGIN_S,
        EventEndTime=int(max(times)) + _MARGIN_S,
        Destination={"Arn": bus.arn},
    )
    again = _collect(everything, sent, replayed=True)
    return replay, first, again


PROBES: Mapping[str, Probe] = {
    "fan-out-complete": fan_out_complete,
    **{f"pattern-{name}": _pattern(name, operator) for name, operator in OPERATORS.items()},
    **{f"pattern-{name}": _matching(operator, rule) for name, (operator, rule) in SHAPES.items()},
    "put-events-partial-failure": put_events_partial_failure,
    "archive-replay-complete": archive_replay_complete,
    "replay-name": replay_name,
}

"""The spans of a message's trace, by OpenTelemetry's semantic conventions for messaging, from its records.

The producer's span is the root, and the one that travelled as `traceparent`; below it stand a span for each attempt to
send and one for each time that a consumer had the message. A link leads to what the message suffered from: the same
message in other hands before, and the other message that a check found. It promises that the ids are those of
gameday/history/trace.py, so that spans which a consumer of the user's own recorded stand in the same trace.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal

from gameday.history.trace import span_id, trace_id
from gameday.verify.judge import Verdict, broken_by_message
from gameday.verify.load import COLUMNS, Loaded

MESSAGES_MOST = 1_000
# The values that the conventions know; the others are made in their manner.
SYSTEMS = {
    "sqs": "aws_sqs",
    "sqs-fifo": "aws_sqs",
    "sns": "aws.sns",
    "sns-fifo": "aws.sns",
    "eventbridge": "aws.eventbridge",
    "kinesis": "aws.kinesis",
}
_SYSTEM_OF_KIND = {"queue": "aws_sqs", "stream": "aws.kinesis"}
_PRODUCER = "producer"
_LIFE = ("intended", "sent", "received", "effect", "settled")
# What happens to a message in nobody's hands; when it is seen, which is at the end of a run.
_ELSEWHERE = {"dead": "found dead", "redriven": "redriven"}

Value = str | int | float | bool | Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Happened:
    """Something within a span, at a time in ns."""

    name: str
    at: int
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    trace: str
    span: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Times in ns since 1970. `service`: whose it is. `error`: what went wrong, where something did."""

    trace: str
    id: str
    parent: str | None
    name: str
    kind: Literal["producer", "client", "consumer"]
    service: str
    start: int
    end: int
    attributes: Mapping[str, Value]
    happened: Sequence[Happened] = ()
    links: Sequence[Link] = ()
    error: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """How a message broke a claim. `other`: the message that it suffered from, if that is another one."""

    claim: str
    anomaly: str
    subscription: str | None
    note: str | None
    other: str | None

    def __str__(self) -> str:
        where = f" at {self.subscription}" if self.subscription else ""
        return f"{self.claim}: {self.anomaly}{where}{f' ({self.note})' if self.note else ''}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Traces:
    """`messages`: of how many there are spans; `left_out`: how many more broke a claim."""

    spans: Sequence[Span]
    messages: int
    left_out: int


def traces(loaded: Loaded, verdict: Verdict) -> Traces:
    """Of the first messages that broke a claim, at most `MESSAGES_MOST`. No single one breaks `lag` or `recovery`."""
    broken = _broken(loaded, verdict)
    chosen = list(broken)[:MESSAGES_MOST]
    found = {id: list(records) for id, records in groupby(_records(loaded, chosen), key=lambda record: record["id"])}
    faults = loaded.rows("SELECT run, fault, label, start_ns, stop_ns FROM faults ORDER BY start_ns")
    run, transport = loaded.manifest.run, loaded.manifest.scenario.get("transport")
    kinds = {name: subscription.kind for name, subscription in loaded.manifest.subscriptions.items()}
    told = _Told(run=run, transport=transport if isinstance(transport, str) else None, kinds=kinds)
    spans = [span for id in chosen if id in found for span in _of_message(told, id, found[id], broken[id], faults)]
    return Traces(spans=spans, messages=len(found), left_out=len(broken) - len(chosen))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Told:
    """What is the same for every message. `kinds`: queue or stream, of each subscription."""

    run: str
    transport: str | None
    kinds: Mapping[str, str]

    def system(self, subscription: str | None = None) -> str:
        """What a subscription is consumed from, or with none what producers send to."""
        if subscription is None and self.transport in SYSTEMS:
            return SYSTEMS[self.transport]
        kind = self.kinds.get(subscription) if subscription else next(iter(self.kinds.values()), "queue")
        return _SYSTEM_OF_KIND.get(kind or "queue", "aws_sqs")


def _broken(loaded: Loaded, verdict: Verdict) -> dict[str, list[Broken]]:
    """Of each message that broke a claim, how; by claim in the order of sending."""
    broken: dict[str, list[Broken]] = defaultdict(list)
    for claim, findings in verdict.broken_by.items():
        for finding in findings:
            for id, other in broken_by_message(loaded, finding):
                broken[id].append(
                    Broken(
                        claim=claim,
                        anomaly=finding.anomaly,
                        subscription=finding.subscription,
                        note=finding.note,
                        other=other if other != id else None,
                    )
                )
    return broken


def _records(loaded: Loaded, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Every record of these messages, by message and in the order of time."""
    columns = {column: field.name for column, field in COLUMNS.items() if field.name not in ("event", "at", "params")}
    rows = loaded.db.execute(
        f"SELECT event, at_ns, {', '.join(columns)} FROM raw WHERE id IN (SELECT unnest(?::VARCHAR[])) "
        "ORDER BY id, at_ns, file, line",
        [list(ids)],
    ).fetchall()
    for event, at, *values in rows:
        told = zip(columns.values(), values, strict=True)
        yield {"event": event, "at": at} | {name: value for name, value in told if value is not None}


def _of_message(
    told: _Told,
    id: str,
    records: Sequence[Mapping[str, Any]],
    broken: Sequence[Broken],
    faults: Iterable[Sequence[Any]],
) -> Iterator[Span]:
    trace, root = trace_id(told.run, id), span_id(told.run, id)
    sends = list(_sends(told, id, records))
    takes = list(_takes(told, id, records, broken))
    first = records[0]["at"]
    # As docs/history.md has a message's life: what is read back at the end of the run is no part of it.
    last = max([first, *(record["at"] for record in records if record["event"] in _LIFE)])
    happened = [
        Happened(
            name=_ELSEWHERE[record["event"]],
            at=record["at"],
            attributes={"gameday.subscription": record.get("subscription", "")},
        )
        for record in records
        if record["event"] in _ELSEWHERE
    ]
    for fault, label, start, stop in faults:
        if start <= last and (stop is None or stop >= first):
            named: dict[str, Value] = {"gameday.fault": label or fault}
            happened.append(Happened(name="fault begins", at=start, attributes=named))
            if stop is not None:
                happened.append(Happened(name="fault ends", at=stop, attributes=named))
    due = next((record["due"] for record in records if "due" in record), None)
    yield Span(
        trace=trace,
        id=root,
        parent=None,
        name=f"create {told.transport or _PRODUCER}",
        kind="producer",
        service=_PRODUCER if sends else "nobody (never intended)",
        start=min([first, *(span.start for span in sends)]),
        end=max([first, *(span.end for span in sends)]),
        attributes={
            "messaging.system": told.system(),
            "messaging.operation.name": "create",
            "messaging.operation.type": "create",
            "messaging.destination.name": told.transport or _PRODUCER,
            "gameday.run": told.run,
            "gameday.message.id": id,
            "gameday.claims": sorted({each.claim for each in broken}),
            "gameday.anomalies": sorted({each.anomaly for each in broken}),
            **({} if due is None else {"gameday.due": due}),
            **_group(records),
        },
        happened=sorted(happened, key=lambda each: each.at),
        links=_others(told, [each for each in broken if each.subscription is None]),
        error="; ".join(map(str, broken)),
    )
    yield from sends
    yield from takes


def _group(records: Sequence[Mapping[str, Any]]) -> dict[str, Value]:
    """Its place in its group, where it has one."""
    names = {"group": "gameday.group", "seq": "gameday.seq"}
    first = next((record for record in records if record["event"] == "intended"), {})
    return {told: first[name] for name, told in names.items() if name in first}


def _sends(told: _Told, id: str, records: Sequence[Mapping[str, Any]]) -> Iterator[Span]:
    """A span for each attempt, in their order; one without an answer has no length."""
    answers = [record for record in records if record["event"] == "sent"]
    for number, record in enumerate(record for record in records if record["event"] == "intended"):
        attempt = record.get("attempt", 1)
        # The first that is left of the same number: a producer that started anew may use one twice.
        at = next((n for n, each in enumerate(answers) if each.get("attempt", 1) == attempt), None)
        answer = {} if at is None else answers.pop(at)
        outcome = answer.get("outcome", "no answer")
        start = answer.get("started", record["at"])
        error = None if outcome == "ok" else str(answer.get("error") or outcome)
        yield Span(
            trace=trace_id(told.run, id),
            id=span_id(told.run, id, "send", number),
            parent=span_id(told.run, id),
            name=f"send {told.transport or _PRODUCER}",
            kind="client",
            service=_PRODUCER,
            start=start,
            end=max(start, answer.get("at", start)),
            attributes={
                "messaging.system": told.system(),
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                "messaging.destination.name": told.transport or _PRODUCER,
                "messaging.client.id": str(record.get("producer", _PRODUCER)),
                **({"messaging.message.id": answer["broker_id"]} if "broker_id" in answer else {}),
                "gameday.attempt": attempt,
                "gameday.outcome": outcome,
                **({} if error is None else {"error.type": error.partition(":")[0]}),
            },
            error=error,
        )


def _takes(told: _Told, id: str, records: Sequence[Mapping[str, Any]], broken: Sequence[Broken]) -> Iterator[Span]:
    """A span for each time that a consumer had the message, until the last that it did with it."""
    in_turn = [[record] for record in records if record["event"] == "received"]
    for record in records:
        if record["event"] in ("effect", "settling", "settled") and (taken := _take_of(record, in_turn)):
            taken.append(record)
    before: dict[str, str] = {}
    for number, (received, *done) in enumerate(in_turn):
        s = str(received.get("subscription"))
        span = span_id(told.run, id, "process", number)
        links = _others(told, [each for each in broken if each.subscription == s])
        if s in before:
            links.insert(0, Link(trace=trace_id(told.run, id), span=before[s], why="delivered before"))
        before[s] = span
        failed = [record for record in done if record.get("outcome") in ("failed", "unknown")]
        yield Span(
            trace=trace_id(told.run, id),
            id=span,
            parent=span_id(told.run, id),
            name=f"process {s}",
            kind="consumer",
            service=s,
            start=received["at"],
            end=max([received["at"], *(record["at"] for record in done)]),
            attributes={
                "messaging.system": told.system(s),
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": s,
                **({"messaging.client.id": received["consumer"]} if "consumer" in received else {}),
                **({"messaging.message.id": received["broker_id"]} if "broker_id" in received else {}),
                **({"messaging.destination.partition.id": received["partition"]} if "partition" in received else {}),
                **({"gameday.receives": received["receives"]} if "receives" in received else {}),
            },
            happened=[
                Happened(
                    name=record["event"],
                    at=record["at"],
                    attributes={
                        f"gameday.{name}": record[name] for name in ("action", "outcome", "error") if name in record
                    },
                )
                for record in done
            ],
            links=links,
            error=f"{failed[-1]['event']}: {failed[-1].get('error') or failed[-1]['outcome']}" if failed else None,
        )


def _take_of(record: Mapping[str, Any], takes: Sequence[list[Mapping[str, Any]]]) -> list[Mapping[str, Any]] | None:
    """The delivery that a record is about: of its batch, or else the consumer's latest before it."""
    there = [take for take in takes if take[0].get("subscription") == record.get("subscription")]
    if "batch" in record:
        there = [take for take in there if take[0].get("batch") == record["batch"]]
        # A message may come twice in one batch; and its writer's clock may be behind.
        return next((take for take in reversed(there) if take[0]["at"] <= record["at"]), there[0] if there else None)
    by_it = [take for take in there if take[0].get("consumer") == record.get("consumer")]
    return next((take for take in reversed(by_it) if take[0]["at"] <= record["at"]), None)


def _others(told: _Told, broken: Iterable[Broken]) -> list[Link]:
    """To the messages that this one suffered from."""
    others = sorted({(each.other, each.anomaly) for each in broken if each.other is not None})
    return [
        Link(trace=trace_id(told.run, other), span=span_id(told.run, other), why=anomaly) for other, anomaly in others
    ]

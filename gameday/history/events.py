"""The events of a history, one function each: it takes the fields that the record format names and gives the record.

A record is a flat JSON object. The writer adds `at` and `by`; fields that are None are left out. Times are integers in
nanoseconds of the run's clock, durations end in `_s`. What each field means is told in docs/history.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

Value = None | bool | int | float | str | Sequence["Value"] | Mapping[str, "Value"]
Record = dict[str, Value]

SendResult = Literal["ok", "failed", "unknown"]
EffectResult = Literal["applied", "skipped", "failed"]
SettleAction = Literal["delete", "release", "extend", "checkpoint"]
Phase = Literal["start", "stop"]


def _record(event: str, fields: Mapping[str, Value]) -> Record:
    return {"event": event, **{name: value for name, value in fields.items() if value is not None}}


def intended(
    *,
    id: str,
    attempt: int,
    producer: str,
    group: str | None = None,
    seq: int | None = None,
    due: int | None = None,
    expect: Sequence[str] | None = None,
    bytes: int | None = None,
    poison: bool | None = None,
) -> Record:
    """Before every attempt to send. From the second on `id`, `attempt` and `producer` are enough."""
    return _record(
        "intended",
        {
            "id": id,
            "attempt": attempt,
            "producer": producer,
            "group": group,
            "seq": seq,
            "due": due,
            "expect": expect,
            "bytes": bytes,
            "poison": poison,
        },
    )


def sent(
    *,
    id: str,
    attempt: int,
    started: int,
    outcome: SendResult,
    error: str | None = None,
    broker_id: str | None = None,
    broker_seq: str | None = None,
    partition: str | None = None,
    call: str,
    entry: int,
) -> Record:
    """After each attempt. `unknown`: nothing proves that the message was, or was not, stored."""
    return _record(
        "sent",
        {
            "id": id,
            "attempt": attempt,
            "started": started,
            "outcome": outcome,
            "error": error,
            "broker_id": broker_id,
            "broker_seq": broker_seq,
            "partition": partition,
            "call": call,
            "entry": entry,
        },
    )


def received(
    *,
    id: str,
    subscription: str,
    consumer: str,
    batch: str,
    started: int,
    broker_id: str | None = None,
    broker_seq: str | None = None,
    upstream_id: str | None = None,
    partition: str | None = None,
    group: str | None = None,
    receives: int | None = None,
    enqueued: int | None = None,
    hidden_s: float | None = None,
    intact: bool | None = None,
    replay: str | None = None,
) -> Record:
    """Before the handler sees the message. `started` is when the receive call began; `replay` names the replay of an
    archive that it came from."""
    return _record(
        "received",
        {
            "id": id,
            "subscription": subscription,
            "consumer": consumer,
            "batch": batch,
            "started": started,
            "broker_id": broker_id,
            "broker_seq": broker_seq,
            "upstream_id": upstream_id,
            "partition": partition,
            "group": group,
            "receives": receives,
            "enqueued": enqueued,
            "hidden_s": hidden_s,
            "intact": intact,
            "replay": replay,
        },
    )


def effect(*, id: str, subscription: str, consumer: str, batch: str, started: int, outcome: EffectResult) -> Record:
    """After the handler. `started` is when the write to the store began; `skipped`: a guard found it done."""
    return _record(
        "effect",
        {
            "id": id,
            "subscription": subscription,
            "consumer": consumer,
            "batch": batch,
            "started": started,
            "outcome": outcome,
        },
    )


def settling(
    *,
    id: str,
    subscription: str,
    consumer: str,
    batch: str,
    action: SettleAction,
    broker_id: str | None = None,
    hidden_s: float | None = None,
    partition: str | None = None,
    broker_seq: str | None = None,
) -> Record:
    """Before the call that settles. `batch` is that of the receive."""
    return _record(
        "settling",
        {
            "id": id,
            "subscription": subscription,
            "consumer": consumer,
            "batch": batch,
            "broker_id": broker_id,
            "action": action,
            "hidden_s": hidden_s,
            "partition": partition,
            "broker_seq": broker_seq,
        },
    )


def settled(intent: Record, *, started: int, outcome: SendResult, error: str | None = None) -> Record:
    """After the answer to the call that `intent`, a `settling` record, announced."""
    fields = {name: value for name, value in intent.items() if name not in ("event", "at", "by")}
    return _record("settled", {**fields, "started": started, "outcome": outcome, "error": error})


def dead(*, id: str, subscription: str, receives: int | None = None) -> Record:
    """A message found in the dead-letter queue. `receives` leaves out the dead-letter queue's own reads."""
    return _record("dead", {"id": id, "subscription": subscription, "receives": receives})


def redriven(*, id: str, subscription: str) -> Record:
    """Before a dead letter is sent back."""
    return _record("redriven", {"id": id, "subscription": subscription})


def effects(*, id: str, subscription: str, applied: int) -> Record:
    """At the end, read back from the effect store: how often the message's effect stands in it."""
    return _record("effects", {"id": id, "subscription": subscription, "applied": applied})


def fault(
    *,
    fault: str,
    instance: str,
    phase: Phase,
    targets: Iterable[str] = (),
    label: str | None = None,
    params: Mapping[str, Value] | None = None,
) -> Record:
    """By the injector, before it breaks (start) and when the harm is over (stop); `instance` pairs the two."""
    return _record(
        "fault",
        {
            "fault": fault,
            "instance": instance,
            "phase": phase,
            "targets": list(targets),
            "label": label,
            "params": params,
        },
    )


def mark(name: str, **fields: Value) -> Record:
    """A moment of the run itself: load-started, load-stopped, drained, effects-read, partition, aborted, …"""
    return _record("mark", {"name": name, **fields})

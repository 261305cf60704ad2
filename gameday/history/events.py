"""The events of a history, one function each: it takes the fields that the record format names and gives the record.

A record is a flat JSON object. The writer adds `at` and `by`; fields that are None are left out. Times are integers in
nanoseconds of the run's clock, durations end in `_s`. What each field means is told in docs/history.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from gameday.history.schema import EVENTS

Value = None | bool | int | float | str | Sequence["Value"] | Mapping[str, "Value"]
Record = dict[str, Value]

SendResult = Literal["ok", "failed", "unknown"]
EffectResult = Literal["applied", "skipped", "failed"]
SettleAction = Literal["delete", "release", "extend", "checkpoint"]
Phase = Literal["start", "stop"]
FetchResult = Literal["ok", "gone", "failed"]
Conforms = Literal["ok", "bad"]
ExecutionStatus = Literal["running", "succeeded", "failed", "timed-out", "aborted"]
Steering = Literal["redrive", "stop"]
TaskAnswer = Literal["success", "failure"]


def _record(event: str, given: Mapping[str, Value]) -> Record:
    """What was given, which are fields that the format has for this event."""
    record: Record = {name: value for name, value in given.items() if value is not None}
    record["event"] = event
    return record


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
    key: str | None = None,
    tenant: str | None = None,
    tenant_class: str | None = None,
    items: int | None = None,
) -> Record:
    """Before every attempt to send. From the second on `id`, `attempt` and `producer` are enough. `key`: what its
    effects are read back under, where that is not its `id`. `tenant`: whose it is, of several who share a queue.
    `items`: how many items a workflow's maps go over for it."""
    return _record("intended", locals())


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
    return _record("sent", locals())


def received(
    *,
    id: str | None = None,
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
    schema: Conforms | None = None,
    execution: str | None = None,
    item: int | None = None,
) -> Record:
    """Before the handler sees the message. `started` is when the receive call began; `replay` names the replay of an
    archive that it came from. Without `id` it is known by what its send was answered with: `broker_id` of a queue,
    `partition` and `broker_seq` of a stream; so in all that follows about it."""
    return _record("received", locals())


def delivered(*, subscription: str, consumer: str, batch: str, outcome: SendResult, error: str | None = None) -> Record:
    """By who records a receive before the consumer has it: `ok` once the answer was passed on, `failed` if it never was
    nor will be, `unknown` if it broke in the middle."""
    return _record("delivered", locals())


def effect(
    *, id: str, subscription: str, consumer: str, batch: str | None, started: int, outcome: EffectResult
) -> Record:
    """After the handler. `started` is when the write to the store began; `skipped`: a guard found it done.

    `failed` without a `batch`: a handler failed it, and nobody knows what it did before.
    """
    return _record("effect", locals())


def settling(
    *,
    id: str | None = None,
    subscription: str,
    consumer: str,
    batch: str | None = None,
    action: SettleAction,
    broker_id: str | None = None,
    hidden_s: float | None = None,
    partition: str | None = None,
    broker_seq: str | None = None,
    call: str | None = None,
) -> Record:
    """Before the call that settles. `batch` is that of the receive; `call` names the call where several of one message
    may be open at once."""
    return _record("settling", locals())


def settled(intent: Record, *, started: int, outcome: SendResult, error: str | None = None) -> Record:
    """After the answer to the call that `intent`, a `settling` record, announced."""
    told = {name: intent.get(name) for name in EVENTS["settling"].fields}
    return _record("settled", {**told, "started": started, "outcome": outcome, "error": error})


def dead(
    *,
    id: str | None,
    subscription: str,
    broker_id: str | None = None,
    partition: str | None = None,
    broker_seq: str | None = None,
    receives: int | None = None,
) -> Record:
    """A message found in the dead-letter queue. `receives` leaves out the dead-letter queue's own reads."""
    return _record("dead", locals())


def redriven(
    *,
    id: str | None,
    subscription: str,
    broker_id: str | None = None,
    partition: str | None = None,
    broker_seq: str | None = None,
) -> Record:
    """Before a dead letter is sent back."""
    return _record("redriven", locals())


def effects(*, id: str | None = None, key: str | None = None, subscription: str, applied: int) -> Record:
    """At the end, read back from where effects stand: how often that of a message does, known by its `id` or by the
    `key` that it was intended with."""
    return _record("effects", locals())


def invoked(
    *,
    subscription: str,
    batch: str,
    ids: Sequence[str] = (),
    function: str | None = None,
    request: str | None = None,
    consumer: str | None = None,
) -> Record:
    """Before a function's handler sees its messages. `batch` names this invocation and no other; `ids`: its messages,
    in their order. One that cannot be named by an id has a `received` with the same `batch` instead."""
    return _record("invoked", locals())


def responded(
    *,
    subscription: str,
    batch: str,
    outcome: SendResult,
    failed: Sequence[str] = (),
    error: str | None = None,
    function: str | None = None,
    request: str | None = None,
    consumer: str | None = None,
) -> Record:
    """What an invocation answered: before the answer is given, or by who has waited for it. `ok` with `failed`: all
    but these are reported done; `failed`: the whole batch failed."""
    return _record("responded", locals())


def storing(*, id: str, object: str) -> Record:
    """Before the body of a message is put where objects are kept; what is sent is a reference to it."""
    return _record("storing", locals())


def stored(intent: Record, *, started: int, outcome: SendResult, error: str | None = None) -> Record:
    """After the answer to the call that `intent`, a `storing` record, announced."""
    told = {name: intent.get(name) for name in EVENTS["storing"].fields}
    return _record("stored", {**told, "started": started, "outcome": outcome, "error": error})


def fetched(
    *,
    id: str,
    subscription: str,
    consumer: str,
    batch: str,
    object: str,
    started: int,
    outcome: FetchResult,
    error: str | None = None,
    intact: bool | None = None,
    schema: Conforms | None = None,
) -> Record:
    """After a consumer asked for the object of a reference: `gone` if an answer says that there is none."""
    return _record("fetched", locals())


def removing(*, id: str, object: str, subscription: str | None = None, consumer: str | None = None) -> Record:
    """Before an object is removed."""
    return _record("removing", locals())


def removed(intent: Record, *, started: int, outcome: SendResult, error: str | None = None) -> Record:
    """After the answer to the call that `intent`, a `removing` record, announced."""
    told = {name: intent.get(name) for name in EVENTS["removing"].fields}
    return _record("removed", {**told, "started": started, "outcome": outcome, "error": error})


def leftover(*, id: str, object: str) -> Record:
    """At the end: an object that is still there."""
    return _record("leftover", locals())


def execution(
    *,
    id: str,
    arn: str,
    status: ExecutionStatus,
    name: str | None = None,
    started: int | None = None,
    stopped: int | None = None,
    redrives: int | None = None,
    version: str | None = None,
) -> Record:
    """An execution as its service told it when somebody asked. `id`: the message that it was started for; `started` and
    `stopped`: the service's own times."""
    return _record("execution", locals())


def steering(*, id: str, arn: str, action: Steering, call: str) -> Record:
    """Before an execution is stopped, or redriven. `id`: the message that it was started for."""
    return _record("steering", locals())


def steered(intent: Record, *, started: int, outcome: SendResult, error: str | None = None) -> Record:
    """After the answer to what `intent`, a `steering` record, announced."""
    told = {name: intent.get(name) for name in EVENTS["steering"].fields}
    return _record("steered", {**told, "started": started, "outcome": outcome, "error": error})


def step(
    *,
    id: str,
    subscription: str,
    execution: str,
    outcome: EffectResult,
    item: int | None = None,
    consumer: str | None = None,
    batch: str | None = None,
    started: int | None = None,
) -> Record:
    """What came of a workflow's task, after its handler: what `effect` is to a message. `item`: the one of a map."""
    return _record("step", locals())


def steps(*, id: str, subscription: str, execution: str, applied: int, item: int | None = None) -> Record:
    """At the end, read back: how often the effect of a task stands."""
    return _record("steps", locals())


def answering(
    *,
    id: str,
    subscription: str,
    execution: str,
    token: str,
    answer: TaskAnswer,
    item: int | None = None,
    consumer: str | None = None,
    batch: str | None = None,
    call: str | None = None,
) -> Record:
    """Before a task's token is sent back."""
    return _record("answering", locals())


def answered(intent: Record, *, started: int, outcome: SendResult, error: str | None = None) -> Record:
    """After the service's answer to what `intent`, an `answering` record, announced."""
    told = {name: intent.get(name) for name in EVENTS["answering"].fields}
    return _record("answered", {**told, "started": started, "outcome": outcome, "error": error})


def fault(
    *,
    fault: str,
    instance: str,
    phase: Phase,
    targets: Sequence[str] = (),
    label: str | None = None,
    params: Mapping[str, Value] | None = None,
) -> Record:
    """By the injector, before it breaks (start) and when the harm is over (stop); `instance` pairs the two."""
    return _record("fault", locals())


def mark(name: str, **fields: Value) -> Record:
    """A moment of the run itself: load-started, load-stopped, drained, effects-read, partition, aborted, …"""
    return {"event": "mark", "name": name, **{field: value for field, value in fields.items() if value is not None}}

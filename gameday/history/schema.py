"""The one table of what a history's records hold: every field, event and mark that the record format knows.

Who reads a history learns from here what a record must have and may have; who judges it, which columns there are; and
the tables of docs/history.md are written from here. It promises that a field which is written is one that a check may
read, or one that says for whom it is instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Literal

from gameday.history.clock import ERROR_MAX, SECONDS_MAX, TIME_MAX

Kind = Literal["text", "texts", "number", "flag", "object", "any"]
# What JSON may give for each. A text may have been written as a number: an id that looks like one.
JSON: Mapping[Kind, frozenset[type]] = {
    "text": frozenset((str, int, float, NoneType)),
    "texts": frozenset((list, NoneType)),
    "number": frozenset((int, float, NoneType)),
    "flag": frozenset((bool, NoneType)),
}
_SQL: Mapping[Kind, str] = {
    "text": "VARCHAR",
    "texts": "VARCHAR[]",
    "number": "BIGINT",
    "flag": "BOOLEAN",
    "object": "JSON",
    "any": "VARCHAR",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """A field of one or more events. `column` is its name in the tables of the judge, where it has one.

    `time`: it is a time in nanoseconds since 1970. `names`: it names something of the run (a message, a process, a
    call), which is another thing in another run. `strict`: only a string will do. `seconds`: a duration in seconds.
    `bound`: how far a clock may be off, in nanoseconds. `not_judged` says who reads a field that has no column.
    """

    name: str
    kind: Kind
    column: str | None = None
    time: bool = False
    names: bool = False
    strict: bool = False
    seconds: bool = False
    bound: bool = False
    not_judged: str | None = None

    def __post_init__(self) -> None:
        assert (self.column is None) == (self.not_judged is not None), f"{self.name}: a column, or who reads it instead"

    @property
    def sql(self) -> str:
        """The type of its column."""
        return "DOUBLE" if self.seconds else _SQL[self.kind]

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the largest number that is one of this field at all. A time of other units is within them."""
        if self.seconds:
            return 0, SECONDS_MAX
        return (0, ERROR_MAX) if self.bound else (1 - TIME_MAX, TIME_MAX - 1)

    @property
    def json(self) -> frozenset[type] | None:
        """The types of its value, if it is there; None where anything will do."""
        return frozenset((str, NoneType)) if self.strict else JSON.get(self.kind)


def _field(name: str, kind: Kind, column: str | None = None, **more: object) -> Field:
    read_by_none = "not_judged" in more
    return Field(name=name, kind=kind, column=None if read_by_none else column or name, **more)  # type: ignore[arg-type]


_LIVE = "the live view and the report"
_CLOCKS = "who reckons how far clocks may differ"
# In the order of the columns. `at`, `group` and `partition` are words of SQL's own.
FIELDS: Mapping[str, Field] = {
    each.name: each
    for each in (
        _field("event", "any"),
        _field("at", "number", "at_ns", time=True),
        _field("by", "any", not_judged="nobody: each file has one writer"),
        _field("id", "text", names=True),
        _field("attempt", "number"),
        _field("producer", "text", names=True),
        _field("group", "text", "grp"),
        _field("seq", "number"),
        _field("due", "number", "due_ns", time=True),
        _field("expect", "texts", names=True),
        _field("bytes", "any", not_judged=_LIVE),
        _field("poison", "flag"),
        _field("key", "text", "effects_key", names=True),
        _field("tenant", "any", not_judged="people: its class is judged"),
        _field("tenant_class", "text"),
        _field("started", "number", "started_ns", time=True),
        _field("outcome", "text"),
        _field("error", "text"),
        _field("broker_id", "text", names=True),
        _field("broker_seq", "text"),
        _field("upstream_id", "text", names=True),
        _field("partition", "text", "part"),
        _field("call", "text", names=True),
        _field("entry", "number"),
        _field("subscription", "text", "s", names=True),
        _field("consumer", "text", names=True),
        _field("batch", "text", names=True),
        _field("receives", "number"),
        _field("enqueued", "number", "enqueued_ns", time=True),
        _field("hidden_s", "number", seconds=True),
        _field("intact", "flag"),
        _field("action", "text"),
        _field("applied", "number"),
        _field("fault", "text"),
        _field("instance", "text", names=True),
        _field("phase", "text"),
        _field("label", "text"),
        _field("targets", "texts", names=True),
        _field("params", "object"),
        _field("name", "any"),
        _field("empty", "flag"),
        _field("count", "number", "met"),
        _field("scheduled", "number"),
        _field("parents", "texts"),
        _field("reason", "any"),
        _field("replay", "text", names=True, strict=True),
        _field("since", "number", "since_ns", time=True),
        _field("until", "number", "until_ns", time=True),
        _field("file", "any", not_judged="who looks for missing files"),
        _field("host", "text", strict=True, not_judged=_CLOCKS),
        _field("error_ns", "number", bound=True, not_judged=_CLOCKS),
        _field("offset_ns", "any", not_judged="people"),
        _field("method", "any", not_judged="people"),
        _field("text", "any", not_judged=_LIVE),
        _field("start", "any", not_judged=_LIVE),
        _field("schedule", "any", not_judged=_LIVE),
        _field("visible", "any", not_judged=_LIVE),
        _field("hidden", "any", not_judged=_LIVE),
        _field("delayed", "any", not_judged=_LIVE),
        _field("dead_letters", "any", not_judged=_LIVE),
        _field("behind_ms", "any", not_judged=_LIVE),
        _field("slot", "any", not_judged=_LIVE),
        _field("code", "any"),
        _field("calls", "any", not_judged="the bill at the end of a run"),
        _field("function", "text"),
        _field("request", "text", names=True),
        _field("ids", "texts", names=True),
        _field("failed", "texts", names=True),
        _field("object", "text", "object_name", names=True),
        _field("schema", "text", "conforms"),
        _field("expires_s", "number", seconds=True),
        _field("arn", "text", names=True),
        _field("status", "text"),
        _field("stopped", "number", "stopped_ns", time=True),
        _field("redrives", "number"),
        _field("version", "any", not_judged="people: which version of a machine it was"),
        _field("execution", "text", names=True),
        _field("item", "number"),
        _field("items", "number"),
        _field("token", "text", names=True),
        _field("answer", "text"),
    )
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordKind:
    """An event or a mark: its fields besides `event`, `at` and `by` (a mark's `name`).

    `needed`: those without which it says nothing, None where no check reads any of it; `known_by`: what tells the
    message that it is of, one of these; `words`: those whose values are one of some words; `shapes`: what stands behind
    a field's name in the documents; `told`: when it is written, or what it says.
    """

    fields: tuple[str, ...]
    told: str
    needed: tuple[str, ...] | None = ()
    known_by: tuple[tuple[str, ...], ...] = ()
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shapes: Mapping[str, str] = field(default_factory=dict)


_SENT = ("ok", "failed", "unknown")
_ACTIONS = ("delete", "release", "extend", "checkpoint")
# A message's own id, or what the answer to its send named: a queue's id of it, or its place in a partition of a stream.
_ID_OR_COPY = (("id",), ("broker_id",), ("partition", "broker_seq"))
_SETTLING = (
    "id",
    "subscription",
    "consumer",
    "batch",
    "broker_id",
    "action",
    "hidden_s",
    "partition",
    "broker_seq",
    "call",
)
_STEERING = ("id", "arn", "action", "call")
STEERING = ("redrive", "stop")
_ANSWERING = ("id", "subscription", "execution", "item", "token", "answer", "consumer", "batch", "call")
EXECUTION_STATUS = ("running", "succeeded", "failed", "timed-out", "aborted")
EVENTS: Mapping[str, RecordKind] = {
    "intended": RecordKind(
        fields=(
            *("id", "attempt", "producer", "group", "seq", "due", "expect", "bytes", "poison", "key"),
            *("tenant", "tenant_class", "items"),
        ),
        needed=("id",),
        shapes={"expect": "[subscription…]"},
        told=(
            "before **every** attempt; from the second on `id`, `attempt`, `producer` are enough. `id` names the "
            "logical message: retries keep it. `seq` counts 1, 2, … per (producer, group). `due` is when the schedule "
            "wanted it sent. `key` is what its effects are read back under, where that is not its `id`. `tenant` names "
            "whose it is, of several who share a queue, and `tenant_class` which kind of tenant that is: `noisy`, or "
            "any other word ([fair](#fair)). `items`: how many items a workflow's maps go over for it"
        ),
    ),
    "sent": RecordKind(
        fields=(
            "id",
            "attempt",
            "started",
            "outcome",
            "error",
            "broker_id",
            "broker_seq",
            "partition",
            "call",
            "entry",
        ),
        needed=("id", "outcome"),
        words={"outcome": _SENT},
        told=(
            "after each attempt. A timeout, a reset or a lost reply is `unknown`; only an answer that proves the "
            "message was not stored is `failed`. `call` names the API call, `entry` the place in its batch"
        ),
    ),
    "received": RecordKind(
        fields=(
            "id",
            "subscription",
            "consumer",
            "batch",
            "started",
            "broker_id",
            "broker_seq",
            "upstream_id",
            "partition",
            "group",
            "receives",
            "enqueued",
            "hidden_s",
            "intact",
            "replay",
            "schema",
            "execution",
            "item",
        ),
        shapes={"schema": "ok/bad"},
        needed=("subscription",),
        known_by=_ID_OR_COPY,
        told=(
            "before the handler sees it. `batch` names the receive call, unique in the run; `started` is when that "
            "call began. `hidden_s` is the visibility timeout in force. `upstream_id` is SNS's or EventBridge's own "
            "id. `intact` is the checksum's answer, `schema` whether what it carries fits the schema that is asked of "
            "it. `id` may be left out here, and of what follows about a message but of `effect`: see "
            "[*which message*](#words). `execution` and `item`: of which task of a workflow it is "
            "([workflows](#workflows))"
        ),
    ),
    "delivered": RecordKind(
        fields=("subscription", "consumer", "batch", "outcome", "error"),
        needed=("subscription", "batch", "outcome"),
        words={"outcome": _SENT},
        told=(
            "by who records a receive before the consumer has it (a proxy), for the whole `batch`: `ok` once the "
            "answer was passed on (`at` is that moment), `failed` where it was not and never will be, `unknown` where "
            "it broke in the middle"
        ),
    ),
    "effect": RecordKind(
        fields=("id", "subscription", "consumer", "batch", "started", "outcome"),
        needed=("id", "subscription", "outcome"),
        words={"outcome": ("applied", "skipped", "failed")},
        told=(
            "after the handler; `started` is when the write to the store began. `skipped`: an idempotency guard found "
            "it done"
        ),
    ),
    "settling": RecordKind(
        fields=_SETTLING,
        needed=("subscription", "action"),
        words={"action": _ACTIONS},
        shapes={"hidden_s": "(extend)", "broker_seq": "(checkpoint)"},
        told="before the call. `batch` is that of the receive; a checkpoint names the last record that it covers",
    ),
    "settled": RecordKind(
        fields=(*_SETTLING, "started", "outcome", "error"),
        needed=("subscription", "action", "outcome"),
        words={"action": _ACTIONS, "outcome": _SENT},
        told="after the answer. `call`, on both, names the call where several of one message may be open at once",
    ),
    "dead": RecordKind(
        fields=("id", "subscription", "broker_id", "partition", "broker_seq", "receives"),
        needed=("subscription",),
        known_by=_ID_OR_COPY,
        shapes={"receives": "(without the dead-letter queue's own reads)"},
        told="for each message found in the dead-letter queue",
    ),
    "redriven": RecordKind(
        fields=("id", "subscription", "broker_id", "partition", "broker_seq"),
        needed=("subscription",),
        known_by=_ID_OR_COPY,
        told="before a dead letter is sent back",
    ),
    "effects": RecordKind(
        fields=("id", "key", "subscription", "applied"),
        needed=("subscription", "applied"),
        known_by=(("id",), ("key",)),
        told="at the end, read back from where effects stand. With `key` in place of `id`: of the one with that key",
    ),
    "invoked": RecordKind(
        fields=("subscription", "function", "request", "batch", "ids", "consumer"),
        needed=("subscription", "batch"),
        shapes={"ids": "[id…]"},
        told=(
            "before a function's handler sees its messages. `batch` names the invocation, unique in the run (one that "
            "is tried again is another one); `request` is what the service calls it; `ids` are its messages, in their "
            "order: each counts as `received` then ([invocations](#invocations))"
        ),
    ),
    "responded": RecordKind(
        fields=("subscription", "function", "request", "batch", "outcome", "failed", "error", "consumer"),
        needed=("subscription", "batch", "outcome"),
        words={"outcome": _SENT},
        shapes={"failed": "[id…]"},
        told=(
            "before the function gives the answer of that invocation, or, by who has waited for it, before anything is "
            "settled by it. `ok` with `failed`: a partial batch answer, which reports the others done. `failed`: the "
            "whole batch failed, by an error, a time-out or an answer that is none. `unknown`, and no `responded` at "
            "all: nobody knows"
        ),
    ),
    "storing": RecordKind(
        fields=("id", "object"),
        needed=("id",),
        told=(
            "before the body of a message is put where objects are kept, under the name `object`: what is sent is a "
            "reference to it ([large messages](#large-messages))"
        ),
    ),
    "stored": RecordKind(
        fields=("id", "object", "started", "outcome", "error"),
        needed=("id", "outcome"),
        words={"outcome": _SENT},
        told="after the answer",
    ),
    "fetched": RecordKind(
        fields=(
            *("id", "subscription", "consumer", "batch", "object", "started", "outcome", "error", "intact", "schema"),
        ),
        needed=("id", "subscription", "outcome"),
        words={"outcome": ("ok", "gone", "failed")},
        shapes={"schema": "ok/bad"},
        told=(
            "after a consumer asked for the object that a reference names which it received in `batch`. `gone`: an "
            "answer says that there is none; `failed`: there was no such answer, nor a body. `intact` and `schema` as "
            "of `received`, of the body"
        ),
    ),
    "removing": RecordKind(
        fields=("id", "object", "subscription", "consumer"),
        needed=("id",),
        told="before an object is removed, by whoever does it",
    ),
    "removed": RecordKind(
        fields=("id", "object", "subscription", "consumer", "started", "outcome", "error"),
        needed=("id", "outcome"),
        words={"outcome": _SENT},
        told="after the answer",
    ),
    "leftover": RecordKind(
        fields=("id", "object"),
        needed=("id",),
        told="at the end, for each object that is still there",
    ),
    "execution": RecordKind(
        fields=("id", "arn", "name", "status", "started", "stopped", "redrives", "version"),
        needed=("id", "arn", "status"),
        words={"status": EXECUTION_STATUS},
        told=(
            "an execution as its service told it, whenever somebody asked: the last record of an `arn` is what is "
            "known of it. `id` is the message that it was started for; `started` and `stopped` are the service's own "
            "times; `redrives` counts how often it was begun again behind what had failed; `version` is its machine's"
        ),
    ),
    "steering": RecordKind(
        fields=_STEERING,
        needed=("id", "arn", "action"),
        words={"action": STEERING},
        told=(
            "before somebody has an execution redriven, which begins it again behind what was done, or stops it. `id` "
            "is the message that it was started for; `call` names the call"
        ),
    ),
    "steered": RecordKind(
        fields=(*_STEERING, "started", "outcome", "error"),
        needed=("id", "arn", "action", "outcome"),
        words={"action": STEERING, "outcome": _SENT},
        told="after the answer to that. It has the `call` of its `steering`",
    ),
    "step": RecordKind(
        fields=("id", "subscription", "execution", "item", "consumer", "batch", "started", "outcome"),
        needed=("id", "subscription", "execution", "outcome"),
        words={"outcome": ("applied", "skipped", "failed")},
        told=(
            "what `effect` is to a message, of a workflow's task: after the handler. `batch` is that of the receive, "
            "`item` the one of a map, counted from 0"
        ),
    ),
    "steps": RecordKind(
        fields=("id", "subscription", "execution", "item", "applied"),
        needed=("id", "subscription", "execution", "applied"),
        told="at the end, read back from where the effects of tasks stand",
    ),
    "answering": RecordKind(
        fields=_ANSWERING,
        needed=("id", "subscription", "execution", "token", "answer"),
        words={"answer": ("success", "failure")},
        told="before a task's token is sent back. `batch` is that of the receive; `call` names the call",
    ),
    "answered": RecordKind(
        fields=(*_ANSWERING, "started", "outcome", "error"),
        needed=("id", "subscription", "execution", "token", "answer", "outcome"),
        words={"answer": ("success", "failure"), "outcome": _SENT},
        told=(
            "after the service's answer to that: `ok` where it took it, `failed` where it refused it, for example "
            "because the token had been sent back before, or its time was over. It has the `call` of its `answering`"
        ),
    ),
    "fault": RecordKind(
        fields=("fault", "instance", "phase", "targets", "label", "params"),
        needed=("phase",),
        words={"phase": ("start", "stop")},
        shapes={"targets": "[…]"},
        told=(
            "by the injector, before and after; `instance` pairs start with stop, which may name more `targets`: who "
            "came in the place of one and was struck as well. Stop is when the harm is over: the killed consumer's "
            "replacement polls, the stopped one continues"
        ),
    ),
}
# What anybody's history may tell of the run itself, and below what ours adds.
MARKS: Mapping[str, RecordKind] = {
    "load-started": RecordKind(
        fields=("start", "schedule"),
        needed=None,
        told=(
            "the load begins. For who watches: when the schedule begins, and [[seconds since then, messages due by "
            "then], …], straight lines between"
        ),
    ),
    "load-stopped": RecordKind(
        fields=("scheduled",),
        told="the load is over, and how many messages the schedule held",
    ),
    "drained": RecordKind(
        fields=("subscription", "empty", "visible", "hidden", "delayed"),
        needed=("subscription", "empty"),
        shapes={"empty": "true/false"},
        told="somebody looked whether it was empty; ours add what they saw, `visible`, `hidden`, `delayed`",
    ),
    "effects-read": RecordKind(
        fields=("subscription",),
        needed=("subscription",),
        told="the effect store was read back: the `effects` records of this subscription are all there are",
    ),
    "objects-read": RecordKind(
        fields=("expires_s",),
        told=(
            "somebody listed the objects: the `leftover` records are all that are still there. `expires_s`: a rule of "
            "their bucket removes what is so many seconds old; left out, none does"
        ),
    ),
    "steps-read": RecordKind(
        fields=("subscription",),
        needed=("subscription",),
        told="the same of a workflow's step: its `steps` records are all there are",
    ),
    "executions-read": RecordKind(
        fields=(),
        told="the workflow's executions were read: those of which `execution` records tell are all there are",
    ),
    "partition": RecordKind(
        fields=("subscription", "partition", "parents"),
        needed=("subscription", "partition"),
        shapes={"parents": "[…]"},
        told="a partition of a stream, and those it came from",
    ),
    "foreign": RecordKind(
        fields=("subscription", "count"),
        needed=("subscription",),
        told=(
            "so many messages, since this writer's last such mark, were received there that bear no mark of the run: "
            "somebody else's, of which nothing more is recorded; 0 where others are only known to use it. A queue with "
            "such a mark is [*shared*](#words)"
        ),
    ),
    "writer": RecordKind(
        fields=("file", "host"),
        needed=("file",),
        shapes={"file": ": its name in `history/`"},
        told=(
            "a process is about to be started, and this is its file. `host` is where that process runs; left out, on "
            "the conductor's own host ([hosts](#hosts-and-their-clocks))"
        ),
    ),
    "clock": RecordKind(
        fields=("host", "error_ns", "offset_ns", "method"),
        needed=("host",),
        told=(
            "since the mark before it, that host's times were within `error_ns` nanoseconds of the conductor's clock; "
            "without `error_ns`, nobody knows. `offset_ns` is what was taken off before they were written, `method` "
            "how it was found (`round-trips`, `chrony`, `ecs`): for people"
        ),
    ),
    "closed": RecordKind(
        fields=(),
        needed=None,
        told="the writer ends in good order; nothing follows",
    ),
    "aborted": RecordKind(
        fields=("reason",),
        needed=None,
        told="the run ended before it was done",
    ),
}
OUR_MARKS: Mapping[str, RecordKind] = {
    "replay-started": RecordKind(
        fields=("replay", "since", "until"),
        needed=("replay", "since", "until"),
        told=(
            "everything that was published from `since` to `until` is sent to all subscriptions once more; `replay` "
            "names it; written before the call"
        ),
    ),
    "replay-ended": RecordKind(
        fields=("replay", "outcome"),
        needed=("replay", "outcome"),
        told="`ok` if it ran to its end",
    ),
    "depth": RecordKind(
        fields=("subscription", "visible", "hidden", "delayed", "dead_letters"),
        needed=None,
        told=(
            "the queue as the broker counts it, about once a second, and how many stand in its dead-letter queue; of a "
            "stream, what stands after the checkpoints, up to 1,000 a shard"
        ),
    ),
    "iterator-age": RecordKind(
        fields=("subscription", "partition", "behind_ms"),
        needed=None,
        told="how far a reader is behind its shard's tip, about once a second",
    ),
    "consumer-started": RecordKind(
        fields=("consumer", "slot"),
        needed=None,
        told="a consumer process was started; `orders-2.1` is the first incarnation of slot `orders-2`",
    ),
    "consumer-exited": RecordKind(
        fields=("consumer", "slot", "code"),
        needed=None,
        told="it ended, with its exit code (negative: the signal)",
    ),
    "steady": RecordKind(
        fields=("outcome", "reason"),
        needed=("outcome",),
        told="before the first fault: `ok` if the steady state held, else `failed` and why; then no fault strikes",
    ),
    "chaos-ended": RecordKind(
        fields=("reason",),
        needed=("reason",),
        told="something ended chaos before its end: everything is healed, and nothing more strikes",
    ),
    "effects-unread": RecordKind(
        fields=("subscription", "reason"),
        needed=("subscription",),
        told="the effects of this subscription could not be read back, and why",
    ),
    "note": RecordKind(
        fields=("text",),
        needed=None,
        told="what the run told people at that moment: the log of notes",
    ),
    "calls": RecordKind(
        fields=("calls",),
        needed=None,
        told=(
            "how often this process has called each operation of AWS's until now, and what AWS counts that for: "
            "[{service, operation, fifo, calls, seconds, requests, units, entries, bytes}, …]. Its last one counts"
        ),
    ),
    "fault-unproven": RecordKind(
        fields=("instance",),
        needed=None,
        told=(
            "nobody knows whether that fault struck, nor whether it is over. It has no stop, and the run is `vacuous` "
            "as if it had never struck"
        ),
    ),
}
ALL_MARKS: Mapping[str, RecordKind] = {**MARKS, **OUR_MARKS}


def kind_of(event: str, mark: str | None) -> RecordKind | None:
    """What the format knows of an event, or of a mark by its name; None where it does not know it."""
    return ALL_MARKS.get(mark or "") if event == "mark" else EVENTS.get(event)

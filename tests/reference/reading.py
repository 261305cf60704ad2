"""Reads a run directory by the contract and turns it into plain typed facts.

This is the lower half of the reference judge: which lines count, which are torn, what is damaged, and what each
record says. It draws no conclusion about the system under test. It shares no code with the product on purpose, so
that a mistake made in one reader is not made in the other.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import orjson

SECOND = 1_000_000_000
FOREVER = 10**30
YEAR_2001 = 978_307_200 * SECOND

Number = tuple[int, str]
"""A decimal string of any length, comparable: its length without leading zeros, then its digits."""

Copy = str | tuple[str, Number]
"""What a record names: on a queue the `broker_id`, on a stream `partition` and `broker_seq`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """A point in time on the clock of one writer; `line` is there when it is the moment of a record."""

    time: int
    file: str
    line: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One readable line."""

    file: str
    line: int
    at: int
    event: str
    fields: Mapping[str, Any]

    @property
    def moment(self) -> Moment:
        return Moment(time=self.at, file=self.file, line=self.line)

    def text(self, name: str) -> str | None:
        value = self.fields.get(name)
        if value == "" and name in ("id", "broker_id"):
            return None
        return value if isinstance(value, str) else None

    def integer(self, name: str) -> int | None:
        value = self.fields.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def nanoseconds(self, name: str) -> int | None:
        return nanoseconds(self.fields.get(name))

    def number(self, name: str) -> Number | None:
        return number(self.fields.get(name))

    def flag(self, name: str) -> bool | None:
        value = self.fields.get(name)
        return value if isinstance(value, bool) else None

    def texts(self, name: str) -> tuple[str, ...] | None:
        value = self.fields.get(name)
        return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else None

    def time(self, name: str) -> Moment | None:
        value = self.integer(name)
        return None if value is None else Moment(time=value, file=self.file)


def nanoseconds(seconds: object) -> int | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    return round(seconds * SECOND)


def number(value: object) -> Number | None:
    if not isinstance(value, str) or not value.isascii() or not value.isdigit():
        return None
    digits = value.lstrip("0") or "0"
    return (len(digits), digits)


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscription:
    """What the manifest promises of one subscription."""

    name: str
    kind: str
    ordered_by: str | None
    visibility_timeout_ns: int | None
    max_receives: int | None
    dead_letter: bool
    dedup_window_ns: int | None
    filtered: bool
    settle_ns: int
    effective_from: int | None
    promises: str
    effects_elsewhere: bool
    seen_from: str
    by_service: bool = False
    all_invoked: bool = False
    step: str | None = None
    per_item: bool = False
    retried: bool = False
    followed_by: tuple[str, ...] = ()

    @property
    def gives_up(self) -> bool:
        """A service settles it, and may give up what it could not get done."""
        return self.by_service and (self.kind == "stream" or self.visibility_timeout_ns is None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Promise:
    """One claim as the manifest writes it."""

    claim: str
    strict: bool
    during: str
    bounds_ns: Mapping[str, int]
    said: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    clock_error_ns: int
    broker_tick_ns: int
    subscriptions: Mapping[str, Subscription]
    promises: tuple[Promise, ...]
    workflow: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    file: str
    line: int | None
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """The outcome of one attempt."""

    id: str
    attempt: int | None
    moment: Moment
    started: Moment | None
    outcome: str
    number: Number | None
    partition: str | None
    call: str | None
    entry: int | None
    broker_id: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One intended attempt and the outcome that belongs to it, if that was recorded.

    Several are one attempt if their producer started anew. Nobody knows which outcome belongs to which of them, so
    `sent` pairs them by line order, to be counted, and `may_have_started` names the start of every one of their calls.
    """

    intended: Moment
    sent: Sent | None
    may_have_started: tuple[Moment | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A logical message: all that its producer recorded of it."""

    id: str
    attempts: tuple[Attempt, ...]
    sends: tuple[Sent, ...]
    producer: str | None
    group: str | None
    seq: int | None
    due: Moment | None
    expect: frozenset[str]
    expect_known: bool
    poison: bool
    key: str
    tenant_class: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    id: str
    subscription: str
    moment: Moment
    started: Moment | None
    batch: str | None
    broker_id: str | None
    number: Number | None
    partition: str | None
    group: str | None
    receives: int | None
    enqueued: int | None
    hidden_ns: int | None
    intact: bool | None
    replay: str | None
    schema: str | None = None
    bare: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """Whether a batch was passed on, and when that was known."""

    subscription: str
    batch: str
    moment: Moment
    outcome: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Invoked:
    """An invocation began; its messages in their order."""

    subscription: str
    batch: str
    moment: Moment
    ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Responded:
    """What an invocation answered; whom it names as failed, where it is `ok`."""

    subscription: str
    batch: str
    moment: Moment
    outcome: str
    failed: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Unidentified:
    """A record of which nobody can tell the message; the copy that it names, if it names one."""

    event: str
    subscription: str
    moment: Moment
    copy: Copy | None
    batch: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    id: str
    subscription: str
    moment: Moment
    started: Moment | None
    batch: str | None
    outcome: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One delete, release, extend or checkpoint: its `settling` and its `settled`, whichever are recorded.

    One that was answered, but nobody knows by which `settled`, has neither an answer nor an outcome.
    """

    id: str
    subscription: str
    action: str
    batch: str | None
    broker_id: str | None
    begun: Moment
    answered: Moment | None
    outcome: str | None
    hidden_ns: int | None
    partition: str | None
    number: Number | None

    @property
    def may_have_worked(self) -> bool:
        return self.outcome != "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """A `dead` or `redriven` of a message on a subscription."""

    id: str
    subscription: str
    moment: Moment
    receives: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadBack:
    """An `effects` record."""

    id: str
    subscription: str
    moment: Moment
    applied: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    instance: str
    start: Moment
    stop: Moment | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Drained:
    subscription: str
    moment: Moment
    empty: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """A replay of an archive: what time it covers, the moments of its marks, and whether it ran to its end."""

    name: str
    since: int | None
    until: int | None
    marks: tuple[Moment, ...]
    ended: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class EffectsRead:
    subscription: str
    moment: Moment


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """Somebody asked for the object of a message."""

    id: str
    subscription: str
    moment: Moment
    outcome: str
    intact: bool | None
    schema: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """Everything that a run directory says."""

    manifest: Manifest
    messages: Mapping[str, Message]
    receives: tuple[Received, ...]
    unidentified: tuple[Unidentified, ...]
    delivered: tuple[Delivered, ...]
    invoked: tuple[Invoked, ...]
    responded: tuple[Responded, ...]
    keys_told: bool
    effects: tuple[Effect, ...]
    steps: tuple[Step, ...]
    settled: tuple[tuple[str, Moment], ...]
    dead: tuple[About, ...]
    redriven: tuple[About, ...]
    read_back: tuple[ReadBack, ...]
    faults: tuple[Fault, ...]
    drained: tuple[Drained, ...]
    replays: tuple[Replay, ...]
    effects_read: tuple[EffectsRead, ...]
    put: Mapping[str, bool]
    fetched: tuple[Fetched, ...]
    removed: tuple[tuple[str, Moment], ...]
    leftover: frozenset[str]
    objects_touched: tuple[Moment, ...]
    objects_read: tuple[tuple[Moment, bool], ...]
    met_foreign: frozenset[str]
    parents: Mapping[tuple[str, str], frozenset[str]]
    load_stopped: Moment | None
    loads_started: int
    loads_told: int
    scheduled: int | None
    last_at: int | None
    torn_lines: int
    damaged: tuple[Damage, ...]
    unsynchronised: tuple[str, ...]
    # What tells of workflows, as it was written: by event, and by mark.
    of_workflows: Mapping[str, Sequence[Record]] = field(default_factory=dict)


# What a claim may say besides its name. Anything else is a bound that does not exist.
CLAIMS: Mapping[str, frozenset[str]] = {
    "no-loss": frozenset(),
    "at-least-once": frozenset(),
    "no-phantom": frozenset(),
    "exactly-once-delivery": frozenset(),
    "at-least-once-effect": frozenset(),
    "exactly-once-effect": frozenset(),
    "ordered-per-group": frozenset({"strict"}),
    "ordered-per-partition": frozenset({"strict"}),
    "ordered-effects": frozenset(),
    "fanout-complete": frozenset(),
    "replay-complete": frozenset(),
    "filter-correct": frozenset(),
    "dead-letter": frozenset({"strict"}),
    "all-accepted": frozenset(),
    "batch-isolation": frozenset(),
    "esm-ordered": frozenset(),
    "no-premature-death": frozenset(),
    "discard-accounted": frozenset(),
    "no-dangling-reference": frozenset(),
    "no-orphan": frozenset(),
    "payload-intact": frozenset(),
    "schema-conformant": frozenset(),
    "exactly-once-execution": frozenset(),
    "at-least-once-execution": frozenset(),
    "at-most-once-execution": frozenset(),
    "redrive-no-rerun": frozenset(),
    "exactly-once-step-effect": frozenset(),
    "callback-once": frozenset(),
    "no-hung-execution": frozenset({"within_s"}),
    "execution-lag": frozenset({"p50_s", "p99_s", "max_s", "duration_p50_s", "duration_p99_s", "duration_max_s"}),
    "map-complete": frozenset(),
    "lag": frozenset({"p50_s", "p99_s", "max_s", "grace_s", "during"}),
    "recovery": frozenset({"within_s"}),
    "fair": frozenset({"quiet_p99_s", "times_baseline"}),
}
DURING = ("calm", "faults", "all")

OF_WORKFLOWS = (
    "intended",
    "sent",
    "received",
    "execution",
    "step",
    "steps",
    "answering",
    "answered",
    "steering",
    "steered",
)

# The fields that hold a time of ours or of the broker, by the event that has them. `at` is in all.
TIMES: Mapping[str, frozenset[str]] = {
    "intended": frozenset({"due"}),
    "sent": frozenset({"started"}),
    "received": frozenset({"started", "enqueued"}),
    "effect": frozenset({"started"}),
    "settled": frozenset({"started"}),
    "stored": frozenset({"started"}),
    "fetched": frozenset({"started"}),
    "removed": frozenset({"started"}),
    "execution": frozenset({"started", "stopped"}),
    "steered": frozenset({"started"}),
    "step": frozenset({"started"}),
    "answered": frozenset({"started"}),
    "replay-started": frozenset({"since", "until"}),
}


def read_manifest(run: Path) -> Manifest:
    """Reads what was promised; what is not a run directory is a ValueError (exit code 2)."""
    try:
        document = orjson.loads((run / "manifest.json").read_bytes())
    except OSError as error:
        raise ValueError(f"not a run directory: no manifest.json in {run}") from error
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not a run directory: manifest.json cannot be read: {error}") from error
    if not isinstance(document, dict) or document.get("schema") != 1 or isinstance(document.get("schema"), bool):
        raise ValueError("manifest.json is not of schema 1")
    declared = document.get("subscriptions", {})
    if not isinstance(declared, dict):
        raise ValueError("subscriptions must be an object")
    claims = document.get("claims")
    if not isinstance(claims, list) or not claims:
        raise ValueError("manifest.json makes no claims")
    return Manifest(
        clock_error_ns=_count(document, "clock_error_ns"),
        broker_tick_ns=_count(document, "broker_tick_ns"),
        subscriptions={name: read_subscription(name, spec) for name, spec in declared.items()},
        promises=tuple(read_promise(claim) for claim in claims),
        workflow=_one_of(document, "workflow", ("standard", "express", "express-sync"), "manifest.json"),
    )


def _count(document: Mapping[str, Any], name: str) -> int:
    value = document.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} must be an integer that is not negative")
    return value


def read_subscription(name: str, spec: object) -> Subscription:
    if not isinstance(spec, dict):
        raise ValueError(f"subscription {name} must be an object")
    kind = spec.get("kind", "queue")
    ordered_by = spec.get("ordered_by")
    promises = spec.get("promises", "at-least-once")
    seen_from = spec.get("seen_from", "consumer")
    if kind not in ("queue", "stream"):
        raise ValueError(f"subscription {name} has an unknown kind {kind!r}")
    if ordered_by not in ("group", "partition", None):
        raise ValueError(f"subscription {name} is ordered by an unknown thing {ordered_by!r}")
    if promises not in ("at-least-once", "at-most-once"):
        raise ValueError(f"subscription {name} promises an unknown thing {promises!r}")
    if seen_from not in ("consumer", "wire", "nobody"):
        raise ValueError(f"subscription {name} is seen from an unknown place {seen_from!r}")
    if spec.get("settled_by", "consumer") not in ("consumer", "service") or spec.get("invocations") not in (
        None,
        "all",
    ):
        raise ValueError(f"subscription {name} is settled, or invoked, by an unknown one")
    most = spec.get("max_receives")
    start = spec.get("effective_from")
    return Subscription(
        name=name,
        kind=kind,
        ordered_by=ordered_by,
        visibility_timeout_ns=nanoseconds(spec.get("visibility_timeout_s")),
        max_receives=most if isinstance(most, int) and not isinstance(most, bool) else None,
        dead_letter=spec.get("dead_letter") is True,
        dedup_window_ns=nanoseconds(spec.get("dedup_window_s")),
        filtered=spec.get("filtered") is True,
        settle_ns=nanoseconds(spec.get("settle_s")) or 0,
        effective_from=start if isinstance(start, int) and not isinstance(start, bool) else None,
        promises=promises,
        effects_elsewhere=spec.get("effects_from") == "read-back",
        seen_from=seen_from,
        by_service=spec.get("settled_by") == "service",
        all_invoked=spec.get("invocations") == "all",
        step=_one_of(spec, "step", ("task", "callback"), f"subscription {name}"),
        per_item=spec.get("per_item") is True,
        retried=spec.get("retried") is True,
        followed_by=tuple(spec.get("followed_by") or ()),
    )


def _one_of(spec: Mapping[str, Any], field: str, words: Sequence[str], what: str) -> str | None:
    value = spec.get(field)
    if value is not None and value not in words:
        raise ValueError(f"{what} has an unknown {field} {value!r}")
    return value


def read_promise(claim: object) -> Promise:
    if not isinstance(claim, dict) or claim.get("claim") not in CLAIMS:
        raise ValueError(f"a claim that does not exist: {claim!r}")
    name: str = claim["claim"]
    said = {key: value for key, value in claim.items() if key != "claim"}
    strange = sorted(set(said) - CLAIMS[name])
    if strange:
        raise ValueError(f"claim {name} has no bound {', '.join(strange)}")
    strict = said.get("strict", False)
    if not isinstance(strict, bool):
        raise ValueError(f"claim {name}: strict is true or false")
    during = said.get("during", "calm")
    if during not in DURING:
        raise ValueError(f"claim {name}: during is one of {', '.join(DURING)}")
    bounds: dict[str, int] = {}
    for key, value in said.items():
        if key in ("strict", "during"):
            continue
        bound = nanoseconds(value)
        if bound is None or bound < 0:
            raise ValueError(f"claim {name}: {key} must be a number of seconds")
        bounds[key] = bound
    if name == "lag" and not set(bounds) - {"grace_s"}:
        raise ValueError("claim lag names no bound")
    if name == "fair" and not bounds:
        raise ValueError("claim fair names no bound")
    if name in ("recovery", "no-hung-execution") and "within_s" not in bounds:
        raise ValueError(f"claim {name} names no within_s")
    return Promise(claim=name, strict=strict, during=during, bounds_ns=bounds, said=said)


def read_files(history: Path) -> tuple[list[Record], int, list[Damage]]:
    """Reads every file: `NAME.jsonl.gz` is read as `NAME.jsonl` (both of one name: the history is damaged)."""
    records: list[Record] = []
    damaged: list[Damage] = []
    torn = 0
    plain = {path.name: path for path in history.glob("*.jsonl")}
    packed = {path.name.removesuffix(".gz"): path for path in history.glob("*.jsonl.gz")}
    for name in sorted(plain.keys() | packed.keys()):
        if name in plain and name in packed:
            damaged.append(Damage(file=name, line=None, reason="there plain and packed"))
        try:
            content = plain[name].read_bytes() if name in plain else gzip.decompress(packed[name].read_bytes())
        except (EOFError, OSError, zlib.error):
            damaged.append(Damage(file=name, line=None, reason="cannot be unpacked"))
            continue
        found, torn_here, damaged_here = read_file(name, content)
        records += found
        torn += torn_here
        damaged += damaged_here
    return records, torn, damaged


def read_file(name: str, content: bytes) -> tuple[list[Record], int, list[Damage]]:
    """Reads one file: its records, how many lines are torn (0 or 1), and what is damaged in it."""
    records: list[Record] = []
    damaged: list[Damage] = []
    torn = 0
    closed = False
    pieces = content.split(b"\n")
    for index, piece in enumerate(pieces):
        line = index + 1
        unfinished = index == len(pieces) - 1
        if unfinished and piece == b"":
            break
        try:
            value = orjson.loads(piece)
        except orjson.JSONDecodeError:
            if not unfinished:
                damaged.append(Damage(file=name, line=line, reason="not a JSON object"))
                continue
            torn += 1
            if closed:
                damaged.append(Damage(file=name, line=line, reason="a torn line after closed"))
            continue
        event = value.get("event") if isinstance(value, dict) else None
        at = value.get("at") if isinstance(value, dict) else None
        if not isinstance(event, str) or isinstance(at, bool) or not isinstance(at, int):
            damaged.append(Damage(file=name, line=line, reason="no event or no integer at"))
            continue
        records.append(Record(file=name, line=line, at=at, event=event, fields=value))
        closed = closed or (event == "mark" and value.get("name") == "closed")
    return records, torn, damaged


def read(run: Path) -> Facts:
    """Reads a run directory."""
    manifest = read_manifest(run)
    history = run / "history"
    records, torn, damaged = read_files(history)
    listed = {record.text("file") for record in records if _mark(record) == "writer"}
    for name in sorted(name for name in listed if name is not None):
        if not (history / name).exists() and not (history / f"{name}.gz").exists():
            damaged.append(Damage(file=name, line=None, reason="listed, but absent"))
    damaged += _in_another_unit(records)
    damaged += _lacking(records)
    error, unsynchronised, twice = _clocks(records)
    damaged += twice
    manifest = replace(manifest, clock_error_ns=manifest.clock_error_ns + error)
    records, unidentified = _told(records, manifest)
    keys_told = any(record.text("key") is not None for record in records if record.event in ("intended", "effects"))
    records = _told_by_key(records)
    by_event: dict[str, list[Record]] = {}
    for record in records:
        by_event.setdefault(record.event, []).append(record)
    marks: dict[str, list[Record]] = {}
    for record in by_event.get("mark", []):
        marks.setdefault(_mark(record) or "", []).append(record)
    damaged += _two_messages(by_event.get("intended", []))
    invoked = tuple(
        Invoked(
            subscription=record.text("subscription") or "",
            batch=record.text("batch") or "",
            moment=record.moment,
            ids=tuple(id for id in record.texts("ids") or () if id),
        )
        for record in by_event.get("invoked", [])
    )
    scheduled = [count for mark in marks.get("load-stopped", []) if (count := mark.integer("scheduled")) is not None]
    return Facts(
        manifest=manifest,
        messages=_messages(by_event.get("intended", []), by_event.get("sent", [])),
        receives=_with_invoked(
            [_received(record, manifest) for record in by_event.get("received", []) if record.text("subscription")],
            invoked,
            manifest,
        ),
        unidentified=tuple(unidentified),
        delivered=tuple(
            Delivered(
                subscription=record.text("subscription") or "",
                batch=record.text("batch") or "",
                moment=record.moment,
                outcome=record.text("outcome") or "unknown",
            )
            for record in by_event.get("delivered", [])
        ),
        invoked=invoked,
        responded=tuple(
            Responded(
                subscription=record.text("subscription") or "",
                batch=record.text("batch") or "",
                moment=record.moment,
                outcome=record.text("outcome") or "unknown",
                failed=record.texts("failed") or () if record.text("outcome") == "ok" else (),
            )
            for record in by_event.get("responded", [])
        ),
        of_workflows={
            **{name: tuple(by_event.get(name, ())) for name in OF_WORKFLOWS},
            **{name: tuple(marks.get(name, ())) for name in ("executions-read", "steps-read")},
        },
        keys_told=keys_told,
        effects=tuple(_effect(record) for record in by_event.get("effect", []) if _whole(record)),
        steps=_steps(by_event.get("settling", []), by_event.get("settled", []), manifest),
        settled=tuple((record.text("id") or "", record.moment) for record in by_event.get("settled", [])),
        dead=tuple(_about(record) for record in by_event.get("dead", []) if _whole(record)),
        redriven=tuple(_about(record) for record in by_event.get("redriven", []) if _whole(record)),
        read_back=tuple(_read_back(record) for record in by_event.get("effects", []) if _whole(record)),
        faults=_faults(by_event.get("fault", [])),
        drained=tuple(
            Drained(
                subscription=record.text("subscription") or "",
                moment=record.moment,
                empty=record.flag("empty") is True,
            )
            for record in marks.get("drained", [])
        ),
        replays=_replays(marks.get("replay-started", []), marks.get("replay-ended", [])),
        effects_read=tuple(
            EffectsRead(subscription=record.text("subscription") or "", moment=record.moment)
            for record in marks.get("effects-read", [])
        ),
        put=_put(by_event.get("storing", []), by_event.get("stored", [])),
        fetched=tuple(
            Fetched(
                id=record.text("id") or "",
                subscription=record.text("subscription") or "",
                moment=record.moment,
                outcome=record.text("outcome") or "",
                intact=record.flag("intact"),
                schema=record.text("schema"),
            )
            for record in by_event.get("fetched", [])
            if _whole(record)
        ),
        removed=tuple(
            (id, record.moment)
            for record in by_event.get("removed", [])
            if (id := record.text("id")) is not None and record.text("outcome") == "ok"
        ),
        leftover=frozenset(id for record in by_event.get("leftover", []) if (id := record.text("id")) is not None),
        objects_touched=tuple(record.moment for name in _TOUCHES_OBJECTS for record in by_event.get(name, [])),
        objects_read=tuple(
            (record.moment, nanoseconds(record.fields.get("expires_s")) is not None)
            for record in marks.get("objects-read", [])
        ),
        met_foreign=frozenset(record.text("subscription") or "" for record in marks.get("foreign", [])),
        parents=_parents(marks.get("partition", [])),
        load_stopped=max(
            (record.moment for record in marks.get("load-stopped", [])), key=lambda moment: moment.time, default=None
        ),
        loads_started=len(marks.get("load-started", [])),
        loads_told=len(scheduled),
        scheduled=sum(scheduled) if scheduled else None,
        last_at=max((record.at for record in records), default=None),
        torn_lines=torn,
        damaged=tuple(damaged),
        unsynchronised=unsynchronised,
    )


# What the objects are read after.
_TOUCHES_OBJECTS = ("storing", "stored", "fetched", "removing", "removed", "received")


def _put(storing: Iterable[Record], stored: Iterable[Record]) -> dict[str, bool]:
    """The messages that are claim-checked, and whether a `stored` of each is `ok`."""
    put: dict[str, bool] = {}
    for record in (*storing, *stored):
        if (id := record.text("id")) is not None:
            ok = record.event == "stored" and record.text("outcome") == "ok"
            put[id] = put.get(id, False) or ok
    return put


def _clocks(records: Sequence[Record]) -> tuple[int, tuple[str, ...], list[Damage]]:
    """What hosts add to the error of the run; which of them are unsynchronised; and files that are on two of them."""
    on: dict[str, set[str]] = {}
    for record in records:
        if _mark(record) == "writer" and (host := record.text("host")):
            on.setdefault((record.text("file") or "").removesuffix(".gz"), set()).add(host)
    twice = [
        Damage(file=file, line=None, reason="on two hosts") for file, hosts in sorted(on.items()) if len(hosts) > 1
    ]
    # Only of a damaged history is a file on two hosts, and nothing is told of that.
    host_of = {file: min(hosts) for file, hosts in on.items()}
    writing = {host_of.get(record.file) for record in records}
    if len(writing) < 2:
        return 0, (), twice
    errors: list[int] = []
    unsynchronised: list[str] = []
    for host in writing - {None}:
        marks = [record for record in records if _mark(record) == "clock" and record.text("host") == host]
        told = [record.fields.get("error_ns") for record in marks]
        if not told or None in told:
            unsynchronised.append(str(host))
            continue
        last = max(record.at for record in records if host_of.get(record.file) == host)
        after = max(0, last - max(mark.at for mark in marks))
        # 1000 ppm is a thousandth.
        errors.append(max(math.ceil(error) for error in told if error is not None) + math.ceil(Fraction(after, 1000)))
    if unsynchronised:
        return FOREVER, tuple(sorted(unsynchronised)), twice
    return sum(sorted(errors, reverse=True)[:2]), (), twice


def _mark(record: Record) -> str | None:
    return record.text("name") if record.event == "mark" else None


def _whole(record: Record) -> bool:
    return record.text("id") is not None and record.text("subscription") is not None


def _in_another_unit(records: Iterable[Record]) -> list[Damage]:
    """Times that cannot be nanoseconds since 1970: before the year 2001 they are in another unit."""
    damaged: list[Damage] = []
    for record in records:
        names = {"at"} | TIMES.get(_mark(record) or record.event, frozenset())
        strange = sorted(name for name in names if (record.integer(name) or YEAR_2001) < YEAR_2001)
        if strange:
            reason = f"{', '.join(strange)} not in nanoseconds"
            damaged.append(Damage(file=record.file, line=record.line, reason=reason))
    return damaged


# What no record of an event can do without, and those words that it must be one of.
NEEDED: dict[str, tuple[str, ...]] = {
    "intended": ("id",),
    "sent": ("id", "outcome"),
    "received": ("subscription",),
    "delivered": ("subscription", "batch", "outcome"),
    "effect": ("id", "subscription", "outcome"),
    "settling": ("subscription", "action"),
    "settled": ("subscription", "action", "outcome"),
    "dead": ("subscription",),
    "redriven": ("subscription",),
    "effects": ("subscription", "applied"),
    "invoked": ("subscription", "batch"),
    "responded": ("subscription", "batch", "outcome"),
    "storing": ("id",),
    "stored": ("id", "outcome"),
    "fetched": ("id", "subscription", "outcome"),
    "removing": ("id",),
    "removed": ("id", "outcome"),
    "leftover": ("id",),
    "execution": ("id", "arn", "status"),
    "steering": ("id", "arn", "action"),
    "steered": ("id", "arn", "action", "outcome"),
    "step": ("id", "subscription", "execution", "outcome"),
    "steps": ("id", "subscription", "execution", "applied"),
    "answering": ("id", "subscription", "execution", "token", "answer"),
    "answered": ("id", "subscription", "execution", "token", "answer", "outcome"),
    "fault": ("phase",),
}
_ANSWERS = frozenset({"ok", "failed", "unknown"})
WORDS: dict[str, dict[str, frozenset[str]]] = {
    "sent": {"outcome": _ANSWERS},
    "delivered": {"outcome": _ANSWERS},
    "effect": {"outcome": frozenset({"applied", "skipped", "failed"})},
    "settling": {"action": frozenset({"delete", "release", "extend", "checkpoint"})},
    "settled": {"action": frozenset({"delete", "release", "extend", "checkpoint"}), "outcome": _ANSWERS},
    "responded": {"outcome": _ANSWERS},
    "stored": {"outcome": _ANSWERS},
    "fetched": {"outcome": frozenset({"ok", "gone", "failed"})},
    "removed": {"outcome": _ANSWERS},
    "execution": {"status": frozenset({"running", "succeeded", "failed", "timed-out", "aborted"})},
    "steering": {"action": frozenset({"redrive", "stop"})},
    "steered": {"action": frozenset({"redrive", "stop"}), "outcome": _ANSWERS},
    "step": {"outcome": frozenset({"applied", "skipped", "failed"})},
    "answering": {"answer": frozenset({"success", "failure"})},
    "answered": {"answer": frozenset({"success", "failure"}), "outcome": _ANSWERS},
    "fault": {"phase": frozenset({"start", "stop"})},
}


def _lacking(records: Iterable[Record]) -> list[Damage]:
    """Records that lack what they cannot do without, or hold another word than the table has."""
    damaged: list[Damage] = []
    for record in records:
        told = record.fields
        lacks = [name for name in NEEDED.get(record.event, ()) if told.get(name) is None]
        strange = [name for name, words in WORDS.get(record.event, {}).items() if told.get(name) not in words]
        if record.event in ("received", "dead", "redriven"):
            named = told.get("id") is not None or told.get("broker_id") is not None
            if not named and (told.get("partition") is None or told.get("broker_seq") is None):
                lacks.append("id")
        if record.event == "effects" and told.get("id") is None and told.get("key") is None:
            lacks.append("key")
        if record.event == "intended" and told.get("attempt") == 1 and told.get("expect") is None:
            lacks.append("expect")
        if lacks or strange:
            reason = f"{record.event}: {', '.join([*lacks, *strange])}"
            damaged.append(Damage(file=record.file, line=record.line, reason=reason))
    return damaged


def _two_messages(intended: Iterable[Record]) -> list[Damage]:
    """One `id` for two messages: `intended` again as attempt 1 with another `group`, `seq`, `due` or `expect`, or a
    later attempt that names another one."""
    of_id: dict[str, list[Record]] = {}
    for record in sorted(intended, key=_by_attempt):
        of_id.setdefault(record.text("id") or "", []).append(record)
    return [
        Damage(file=record.file, line=record.line, reason=f"{id} is another message")
        for id, intents in of_id.items()
        for record in intents
        if id and not _same_message(_first_attempt(intents) or _described(intents), record)
    ]


def _same_message(described: Record, record: Record) -> bool:
    return all(
        value == told or (value is None and record.integer("attempt") != 1)
        for value, told in zip(_description(record), _description(described), strict=True)
    )


def _first_attempt(intents: Sequence[Record]) -> Record | None:
    return next((record for record in intents if record.integer("attempt") == 1), None)


def _described(intents: Sequence[Record]) -> Record:
    """The intent that says what the message is."""
    return next((record for record in intents if record.texts("expect") is not None), intents[0])


def _description(record: Record) -> tuple[object, ...]:
    expect = record.texts("expect")
    told = None if expect is None else frozenset(expect)
    return (record.text("group"), record.integer("seq"), record.integer("due"), told, record.text("key"))


ABOUT_A_COPY = ("received", "settling", "settled", "dead", "redriven")


def _told(records: Sequence[Record], manifest: Manifest) -> tuple[list[Record], list[Unidentified]]:
    """*which message*: the records that leave out their `id`, with the one that they are of; and what is of none."""
    kinds = {name: spec.kind for name, spec in manifest.subscriptions.items()}
    answers: dict[tuple[str, Copy], list[Record]] = {}
    intents: dict[str, list[Record]] = {}
    receives: dict[tuple[str, Copy], set[str]] = {}
    for record in records:
        id = record.text("id")
        if id is None:
            continue
        if record.event == "intended":
            intents.setdefault(id, []).append(record)
        elif record.event == "sent" and record.text("outcome") == "ok":
            for kind in ("queue", "stream"):
                copy = _copy(record, kind)
                if copy is not None:
                    answers.setdefault((kind, copy), []).append(record)
        elif record.event == "received":
            name = record.text("subscription") or ""
            copy = _copy(record, kinds.get(name, "queue"))
            if copy is not None:
                receives.setdefault((name, copy), set()).add(id)
    told: list[Record] = []
    unidentified: list[Unidentified] = []
    for record in records:
        subscription = record.text("subscription")
        if record.event not in ABOUT_A_COPY or record.text("id") is not None or subscription is None:
            told.append(record)
            continue
        kind = kinds.get(subscription, "queue")
        copy = _copy(record, kind)
        message = None
        if copy is not None:
            naming = _meant(
                answers.get((kind, copy), []), intents, manifest.subscriptions.get(subscription), subscription
            )
            message = _first_answered(naming, intents, manifest)
        if message is None and copy is not None:
            message = _only(receives.get((subscription, copy), set()))
        settles = record.event in ("settling", "settled")
        if message is not None:
            told.append(replace(record, fields={**record.fields, "id": message}))
        elif settles:
            # It is still a call of which answers are owed.
            told.append(record)
        if message is None and not (settles and (copy is None or record.text("action") == "checkpoint")):
            unidentified.append(
                Unidentified(
                    event=record.event,
                    subscription=subscription,
                    moment=record.moment,
                    copy=copy,
                    batch=record.text("batch"),
                )
            )
    return told, unidentified


def _copy(record: Record, kind: str) -> Copy | None:
    if kind == "queue":
        return record.text("broker_id")
    partition, place = record.text("partition"), record.number("broker_seq")
    return None if partition is None or place is None else (partition, place)


def _meant(
    answers: Sequence[Record], intents: Mapping[str, list[Record]], spec: Subscription | None, subscription: str
) -> list[Record]:
    """Those of the messages that expect s. Where there are none, those of the others if s is `filtered`, else of such
    as expect nothing or of which nobody knows what they expect."""
    expects = {
        answer.fields["id"]: {
            name for intent in intents.get(answer.fields["id"], []) for name in intent.texts("expect") or ()
        }
        for answer in answers
    }
    meant = [answer for answer in answers if subscription in expects[answer.fields["id"]]]
    filtered = spec is not None and spec.filtered
    return meant or [answer for answer in answers if filtered or not expects[answer.fields["id"]]]


def _only(ids: set[str]) -> str | None:
    return next(iter(ids)) if len(ids) == 1 else None


def _first_answered(answers: Sequence[Record], intents: Mapping[str, list[Record]], manifest: Manifest) -> str | None:
    """Where those of several messages name one copy, it is the one that had been answered so before each of the others
    was first `intended`, where that is proven of just one."""
    ids = {record.fields["id"] for record in answers}
    if len(ids) < 2:
        return _only(ids)

    def before(a: Record, b: Record) -> bool:
        return a.line < b.line if a.file == b.file else b.at - a.at > manifest.clock_error_ns

    def was_first(answer: Record) -> bool:
        others = ids - {answer.fields["id"]}
        return all(intents.get(other) and all(before(answer, intent) for intent in intents[other]) for other in others)

    return _only({answer.fields["id"] for answer in answers if was_first(answer)})


def _told_by_key(records: Sequence[Record]) -> list[Record]:
    """An `effects` with a `key` and no `id` is of the one message with that key."""
    intents: dict[str, list[Record]] = {}
    for record in sorted((record for record in records if record.event == "intended"), key=_by_attempt):
        if (id := record.text("id")) is not None:
            intents.setdefault(id, []).append(record)
    owners: dict[str, set[str]] = {}
    for id, own in intents.items():
        owners.setdefault(_described(own).text("key") or id, set()).add(id)
    return [
        replace(record, fields={**record.fields, "id": owner})
        if record.event == "effects"
        and record.text("id") is None
        and (owner := _only(owners.get(record.text("key") or "", set()))) is not None
        else record
        for record in records
    ]


def _by_attempt(record: Record) -> tuple[int, int, str, int]:
    return (record.integer("attempt") or 0, record.at, record.file, record.line)


def _messages(intended: list[Record], sent: list[Record]) -> dict[str, Message]:
    intents: dict[str, list[Record]] = {}
    outcomes: dict[str, list[Sent]] = {}
    for record in intended:
        intents.setdefault(record.text("id") or "", []).append(record)
    for record in sent:
        outcomes.setdefault(record.text("id") or "", []).append(_sent(record))
    return {
        id: _message(id, intents.get(id, []), outcomes.get(id, []))
        for id in sorted((set(intents) | set(outcomes)) - {""})
    }


def _message(id: str, intents: list[Record], sends: list[Sent]) -> Message:
    intents = sorted(intents, key=_by_attempt)
    waiting: dict[tuple[str, int | None], list[Sent]] = {}
    for sent in sends:
        waiting.setdefault((sent.moment.file, sent.attempt), []).append(sent)
    starts = {key: tuple(sent.started for sent in own) for key, own in waiting.items()}
    attempts: list[Attempt] = []
    for record in intents:
        key = (record.file, record.integer("attempt"))
        own = waiting.get(key, [])
        attempts.append(
            Attempt(intended=record.moment, sent=own.pop(0) if own else None, may_have_started=starts.get(key, ()))
        )
    full = _described(intents) if intents else None
    return Message(
        id=id,
        attempts=tuple(attempts),
        sends=tuple(sends),
        producer=full.text("producer") if full else None,
        group=full.text("group") if full else None,
        seq=full.integer("seq") if full else None,
        due=full.time("due") if full else None,
        expect=frozenset((full.texts("expect") if full else None) or ()),
        expect_known=full is not None and full.texts("expect") is not None,
        poison=full is not None and full.flag("poison") is True,
        key=(full.text("key") if full else None) or id,
        tenant_class=full.text("tenant_class") if full else None,
    )


def _sent(record: Record) -> Sent:
    return Sent(
        id=record.text("id") or "",
        attempt=record.integer("attempt"),
        moment=record.moment,
        started=record.time("started"),
        outcome=record.text("outcome") or "unknown",
        number=record.number("broker_seq"),
        partition=record.text("partition"),
        call=record.text("call"),
        entry=record.integer("entry"),
        broker_id=record.text("broker_id"),
    )


def _received(record: Record, manifest: Manifest) -> Received:
    name = record.text("subscription") or ""
    hidden = record.nanoseconds("hidden_s")
    if hidden is None and name in manifest.subscriptions:
        hidden = manifest.subscriptions[name].visibility_timeout_ns
    return Received(
        id=record.text("id") or "",
        subscription=name,
        moment=record.moment,
        started=record.time("started"),
        batch=record.text("batch"),
        broker_id=record.text("broker_id"),
        number=record.number("broker_seq"),
        partition=record.text("partition"),
        group=record.text("group"),
        receives=record.integer("receives"),
        enqueued=record.integer("enqueued"),
        hidden_ns=hidden,
        intact=record.flag("intact"),
        replay=record.text("replay"),
        schema=record.text("schema"),
    )


def _with_invoked(receives: Sequence[Received], invoked: Sequence[Invoked], manifest: Manifest) -> tuple[Received, ...]:
    """Each of the `ids` of an `invoked` is a `received` of that message, in that `batch`, at that `at`. Where a
    `received` on s in that batch tells of each of them, these stand for that; where only of some, these are set
    aside."""
    told = {(one.subscription, one.batch, one.id) for one in receives}
    listed = {(one.subscription, one.batch, id) for one in invoked for id in one.ids}
    in_part = {(subscription, batch) for subscription, batch, _ in listed - told}
    kept = [
        one
        for one in receives
        if (one.subscription, one.batch) not in in_part or (one.subscription, one.batch, one.id) not in listed
    ]
    own = [
        Received(
            id=id,
            subscription=one.subscription,
            moment=replace(one.moment, line=(one.moment.line or 0) + place / 1_000_000),
            started=None,
            batch=one.batch,
            broker_id=None,
            number=None,
            partition=None,
            group=None,
            receives=None,
            enqueued=None,
            hidden_ns=manifest.subscriptions[one.subscription].visibility_timeout_ns
            if one.subscription in manifest.subscriptions
            else None,
            intact=None,
            replay=None,
            bare=True,
        )
        for one in invoked
        if (one.subscription, one.batch) in in_part
        for place, id in enumerate(one.ids, start=1)
    ]
    return (*kept, *own)


def _effect(record: Record) -> Effect:
    return Effect(
        id=record.text("id") or "",
        subscription=record.text("subscription") or "",
        moment=record.moment,
        started=record.time("started"),
        batch=record.text("batch"),
        outcome=record.text("outcome") or "",
    )


def _about(record: Record) -> About:
    return About(
        id=record.text("id") or "",
        subscription=record.text("subscription") or "",
        moment=record.moment,
        receives=record.integer("receives"),
    )


def _read_back(record: Record) -> ReadBack:
    return ReadBack(
        id=record.text("id") or "",
        subscription=record.text("subscription") or "",
        moment=record.moment,
        applied=record.integer("applied") or 0,
    )


def _replays(started: list[Record], ended: list[Record]) -> tuple[Replay, ...]:
    def of(name: str) -> Replay:
        begins = [record for record in started if record.text("replay") == name]
        ends = [record for record in ended if record.text("replay") == name]
        return Replay(
            name=name,
            since=begins[0].integer("since") if begins else None,
            until=begins[0].integer("until") if begins else None,
            marks=tuple(record.moment for record in begins + ends),
            ended=any(record.text("outcome") == "ok" for record in ends),
        )

    names = {record.text("replay") for record in started + ended} - {None}
    return tuple(of(name) for name in sorted(name for name in names if name is not None))


@dataclass(kw_only=True, slots=True)
class _Calls:
    """The calls of one key: which intents are open, and how many answers are owed to those that stay in doubt."""

    open: list[Record] = field(default_factory=list)
    owed: int = 0


def _steps(settling: list[Record], settled: list[Record], manifest: Manifest) -> tuple[Step, ...]:
    """*the answer to an intent*, by line order within a file."""
    calls: dict[tuple[Any, ...], _Calls] = {}
    steps: list[Step] = []
    for record in sorted(settling + settled, key=lambda record: (record.file, record.line)):
        if record.text("subscription") is None:
            continue
        names = ["id", "subscription", "batch", "action", "broker_id", "partition"]
        names += ["broker_seq"] * (record.text("action") == "checkpoint")
        of_key = calls.setdefault((record.file, *(record.text(name) for name in names)), _Calls())
        if record.event == "settling":
            of_key.open.append(record)
            continue
        intent = _intent(of_key, record)
        if intent is not None:
            of_key.open.remove(intent)
            steps.append(_step(intent, record, manifest))
        elif not of_key.open and not of_key.owed:
            steps.append(_step(None, record, manifest))
        else:
            # It answers one of those that are open or in doubt: all of them are in doubt from here on.
            steps += [_step(one, None, manifest) for one in of_key.open]
            of_key.owed += len(of_key.open) - 1
            of_key.open.clear()
    for left in calls.values():
        steps += [_step(record, None, manifest) for record in left.open]
    return tuple(sorted(steps, key=lambda step: (step.begun.time, step.begun.file, step.begun.line or 0)))


def _intent(calls: _Calls, settled: Record) -> Record | None:
    """With one open it is that one's, whatever the times say. With several, it is that of the one with its `call`;
    else of the one to which `started` points."""
    named = [one for one in calls.open if one.text("call") is not None and one.text("call") == settled.text("call")]
    if len(calls.open) == 1 and not calls.owed:
        return calls.open[0]
    if len(named) == 1:
        return named[0]
    return None if calls.owed else _pointed_at(calls.open, settled.integer("started"))


def _pointed_at(intents: Sequence[Record], started: int | None) -> Record | None:
    """The last written at or before `started` and the first written at or after it are the same one, or only one of
    the two exists."""
    if started is None:
        return None
    before = [one for one in intents if one.at <= started][-1:]
    after = [one for one in intents if one.at >= started][:1]
    decides = before == after or not before or not after
    return next(iter(before + after), None) if decides else None


def _step(settling: Record | None, settled: Record | None, manifest: Manifest) -> Step:
    record = settling or settled
    assert record is not None
    name = record.text("subscription") or ""
    hidden = record.nanoseconds("hidden_s")
    if hidden is None and name in manifest.subscriptions:
        hidden = manifest.subscriptions[name].visibility_timeout_ns
    return Step(
        id=record.text("id") or "",
        subscription=name,
        action=record.text("action") or "",
        batch=record.text("batch"),
        broker_id=record.text("broker_id"),
        begun=settling.moment if settling else (record.time("started") or record.moment),
        answered=settled.moment if settled else None,
        outcome=(settled.text("outcome") or "unknown") if settled else None,
        hidden_ns=hidden,
        partition=record.text("partition"),
        number=record.number("broker_seq"),
    )


def _faults(records: list[Record]) -> tuple[Fault, ...]:
    starts = [record for record in records if record.text("phase") == "start"]
    stops = {record.text("instance"): record for record in reversed(records) if record.text("phase") == "stop"}
    faults: list[Fault] = []
    for start in sorted(starts, key=lambda record: (record.at, record.file, record.line)):
        stop = stops.get(start.text("instance"))
        faults.append(
            Fault(
                instance=start.text("instance") or "",
                start=start.moment,
                stop=stop.moment if stop is not None else None,
            )
        )
    return tuple(faults)


def _parents(marks: list[Record]) -> dict[tuple[str, str], frozenset[str]]:
    parents: dict[tuple[str, str], frozenset[str]] = {}
    for mark in marks:
        key = (mark.text("subscription") or "", mark.text("partition") or "")
        parents[key] = parents.get(key, frozenset()) | frozenset(mark.texts("parents") or ())
    return parents

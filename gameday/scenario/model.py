"""The scenario: what a run builds, pushes, breaks and claims, read strictly from YAML.

It promises that nothing is silently ignored or guessed: an unknown key, a missing unit, a claim that the transport
never promises or a fault that can strike nothing is a UsageError that names file and line, the key, and what to do
about it. As much as can be told at once is. What comes out is complete: every default stands in it, and written back
(`resolved`) it is a scenario again.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from gameday.chaos.base import Fault, TimelineError, TimesVisibilityTimeout
from gameday.chaos.base import units as fault_units
from gameday.chaos.faults.reshard import Reshard
from gameday.chaos.registry import FAULTS
from gameday.chaos.timeline import plan as plan_timeline
from gameday.consumers.guards import GUARDS
from gameday.consumers.handlers import HANDLERS
from gameday.history import envelope
from gameday.history.errors import NotARun, UsageError
from gameday.history.manifest import ALIASES, BOUNDS, Claim, Subscription, parse_claim
from gameday.loadgen.shapes import SHAPES, Shape
from gameday.loadgen.shapes import units as shape_units
from gameday.scenario import document as documents
from gameday.scenario import units
from gameday.scenario.document import Document, Route
from gameday.scenario.units import Duration, PositiveDuration, Rate, Share, Size
from gameday.transports.base import Capability, Deployed, Outgoing, SubscriptionSpec, Topology, Transport
from gameday.transports.queue import BYTES_MAX as QUEUE_BYTES_MAX
from gameday.transports.registry import TRANSPORTS
from gameday.transports.sns import BYTES_MAX as TOPIC_BYTES_MAX
from gameday.transports.sns import MESSAGE_SIZE_MAX
from gameday.verify.registry import CHECKS

SCENARIOS = Path(__file__).resolve().parent.parent / "scenarios"
# The transports whose broker is our own (gameday/transports/memory) and not an AWS emulator.
MEMORY = ("memory", "memory-fifo", "memory-kinesis")

Verdict = Literal["holds", "violated", "unknown"]
Count = Annotated[int, Field(ge=1)]
_NAME = r"^[A-Za-z0-9][A-Za-z0-9-]*$"
# RUN is the name and 21 characters more. A queue is called gameday-RUN-SUBSCRIPTION-dlq.fifo, which SQS bounds at 80
# characters; an archive is called RUN, which EventBridge bounds at 48.
_NAME_MAX, _SUBSCRIPTION_MAX, _NAMES_MAX = 27, 16, 41
_DELAY_MAX_S = 15 * 60
# What has no meaning for some kind of transport, by part of the scenario, and why.
_NOTHING_TO: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "queue": {
        "topology": {"shards": "a queue has no shards"},
        "consumers": {
            "checkpoint": "a queue's messages are deleted one by one",
            "children": "a queue has no shards",
            "lease": "a queue has no shards to hold",
        },
    },
    "stream": {
        "topology": {
            "delay": "a record of a stream can be read at once",
            "visibility_timeout": "a stream hides nothing from anybody",
            "max_receives": "a stream has no dead-letter queue",
            "redrive": "a stream has no dead-letter queue",
        },
        "consumers": {
            "heartbeat": "what was read from a stream is hidden from nobody",
            "pollers": "each shard has one reader",
            "wait": "a read of a stream does not wait",
            "retry_delay": "a record that failed is handled again in its place",
            "retry_delay_max": "a record that failed is handled again in its place",
        },
    },
}
# What one receive takes: SQS 10; of a stream more would be in hand for too long.
_BATCH_MAX = {"queue": 10, "stream": 1000}
# A shard may be read five times a second, so that ten records at a time would be 50 a second.
_BATCH = {"queue": 10, "stream": 100}


_Model = TypeVar("_Model", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class DeployedModel(_Strict):
    """What is really deployed, where it differs from what is meant: a mistake planted on purpose."""

    missing: bool = Field(default=False, description="the subscription was forgotten")
    filter: dict[str, Any] | None = Field(default=None, description="the SNS filter policy that it has instead")
    pattern: dict[str, Any] | None = Field(default=None, description="the EventBridge pattern that it has instead")


class SubscriptionModel(_Strict):
    """Who gets the messages, and which of them. Filters say what is meant; see `deployed`."""

    name: str = Field(pattern=_NAME, max_length=_SUBSCRIPTION_MAX, description="letters, digits and hyphens")
    queue: Literal["fifo", "standard"] | None = Field(
        default=None, description="what it ends in (default: as ordered as the transport)"
    )
    raw: bool = Field(default=False, description="SNS hands the body on as it is, without an envelope of its own")
    filter: dict[str, Any] | None = Field(default=None, description="an SNS filter policy")
    filter_on: Literal["attributes", "body"] = Field(
        default="attributes", description="what the filter policy looks at: message attributes, or the body"
    )
    pattern: dict[str, Any] | None = Field(
        default=None, description="an EventBridge event pattern (default: all of ours)"
    )
    deployed: DeployedModel | None = Field(
        default=None,
        description="what is really deployed, where that is not what is meant: a mistake planted on purpose",
    )
    promises: Literal["at-least-once"] | None = Field(
        default=None,
        description="hold the target to more than AWS promises: where AWS promises at most once (a FIFO topic behind a "
        "filter), what never arrives is then lost; refused on AWS itself",
    )


class TopologySpec(_Strict):
    """What is built."""

    visibility_timeout: PositiveDuration = Field(default=5.0, description="how long a received message stays hidden")
    max_receives: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=5, description="receives before a message goes to the dead-letter queue; null: no dead-letter queue"
    )
    subscriptions: list[SubscriptionModel] = Field(
        default_factory=lambda: [SubscriptionModel(name="orders")],
        min_length=1,
        description="who gets the messages (default: one, called orders)",
    )
    delay: Annotated[Duration, Field(ge=0, le=_DELAY_MAX_S)] = Field(
        default=0.0, description="how long a queue keeps every new message back (DelaySeconds); lag counts it"
    )
    max_message: Annotated[Size, Field(ge=1024, le=MESSAGE_SIZE_MAX)] | None = Field(
        default=None, description="what an SNS topic takes: a message, or a batch, with attributes (default: 256KiB)"
    )
    shards: Annotated[int, Field(ge=1, le=100)] = Field(default=2, description="of a stream, when it is made")
    redrive: bool = Field(default=False, description="move dead letters back once the load is done, and drain again")
    replay: bool = Field(default=False, description="replay everything from an archive once the load is done")
    settle: Duration | None = Field(
        default=None, description="how long an absence must last before it is loss (default: what the target needs)"
    )


class LoadSpec(_Strict):
    """What is sent. A shape adds keys of its own (`gameday list shapes`)."""

    shape: str = Field(default="constant", description="how the rate changes: `gameday list shapes`")
    rate: Rate = Field(
        gt=0,
        description="messages per second over all users; a ramp and a staircase end at it, other shapes move around it",
    )
    duration: PositiveDuration = Field(description="how long the load lasts")
    groups: Count = Field(default=10, description="message groups; each belongs to one user, so its order is real")
    payload: Size = Field(default=512, ge=0, description="least size of a body; how large it may be the service says")
    batch: Count = Field(default=10, description="messages in one send call, at most as many as the transport takes")
    users: Count = Field(default=4, description="producers; at most as many as groups")
    poison: Share = Field(default=0.0, description="messages that no handler can do")
    processes: Count = Field(default=1, description="Locust processes")
    give_up: PositiveDuration = Field(default=10.0, description="how long a message is retried")
    retry: Literal["ordered", "unordered", "none"] = Field(
        default="ordered",
        description="whether a message that was not accepted holds back what comes after it in its group; unordered "
        "breaks the order of a group on purpose; none sends nothing again, as a producer that ignores partial failures",
    )
    delay: Annotated[Duration, Field(ge=0, le=_DELAY_MAX_S)] | None = Field(
        default=None, description="a delay that each message brings, in place of the queue's; Standard queues only"
    )
    dedup: Literal["id", "content"] = Field(
        default="id",
        description="by what a FIFO queue or topic deduplicates: an id that the producer names, or the body "
        "(ContentBasedDeduplication)",
    )
    dedup_reuse: Share = Field(
        default=0.0,
        description="messages that go out, by mistake, as an earlier one of their group: under its deduplication id, "
        "or with its body where `dedup` is content; the broker swallows them",
    )


class ConsumersSpec(_Strict):
    """Who receives: each consumer is an OS process of its own."""

    processes: Count = Field(default=3, description="consumer processes, for each subscription")
    concurrency: Count = Field(default=4, description="messages in work at once in each process")
    pollers: Count = Field(default=1, description="receive loops in each process")
    batch: Count | None = Field(
        default=None, description="messages in one receive (default: of a queue 10, its most; of a stream 100 of 1000)"
    )
    wait: Annotated[Duration, Field(ge=0, le=20)] = Field(default=1.0, description="long polling")
    handler: str = Field(default="reference", description="what is done with a message: `gameday list handlers`")
    processing_time: Annotated[Duration, Field(ge=0)] = Field(
        default=0.0, description="how long the work of one message takes"
    )
    guard: str = Field(default="transaction", description="what stands around an effect: `gameday list guards`")
    guard_expiry: PositiveDuration | None = Field(
        default=None,
        description="of the guard in-progress, which needs it: how long the mark of who has begun a message keeps "
        "others from it",
    )
    store: Literal["sqlite", "dynamodb"] = Field(default="sqlite", description="where effects are kept")
    heartbeat: PositiveDuration | None = Field(default=None, description="how often what is in hand is hidden anew")
    after_failure: Literal["stop", "continue", "fail-batch"] | None = Field(
        default=None,
        description="what a failed message does to others of its batch (default: stop where there is an order, else "
        "continue). stop: the rest of its group waits for it; continue: the rest goes on, which breaks an order; "
        "fail-batch: all of them fail, as with Lambda without batchItemFailures",
    )
    retry_delay: Annotated[Duration, Field(ge=0)] = Field(
        default=0.0, description="how long a message whose handler failed stays hidden before it comes again"
    )
    retry_delay_max: PositiveDuration | None = Field(
        default=None, description="with it retry_delay doubles with each receive, up to this (default: no doubling)"
    )
    on_term: Literal["release", "finish", "abandon"] = Field(
        default="release",
        description="what SIGTERM does with what was received and not begun; what is begun is finished. release: "
        "gives it back; finish: works it off; abandon: leaves it to expire",
    )
    drain_timeout: PositiveDuration = Field(
        default=20.0, description="how long after SIGTERM it may work; then it leaves what is in hand to expire"
    )
    restart_delay: Annotated[Duration, Field(ge=0)] = Field(
        default=1.0, description="how long a consumer that died stays away"
    )
    checkpoint: Literal["after", "before"] = Field(
        default="after", description="of a stream: after the effects of what it covers or, wrongly, before them"
    )
    children: Literal["wait", "early"] = Field(
        default="wait", description="of a stream: shards wait for their parents to be read or, wrongly, do not"
    )
    lease: PositiveDuration = Field(default=2.0, description="of a stream: how long a silent holder keeps its shards")


class ExpectSpec(_Strict):
    """What the verdict should be, for scenarios that show something: no run is judged by it, a script checks it."""

    verdict: Verdict = Field(description="of the whole run")
    claims: dict[str, Verdict] = Field(
        default_factory=dict,
        description="what single claims must come out as, each by what it is known by: `no-loss`, `lag during faults`",
    )
    anomalies: list[str] = Field(default_factory=list, description="anomalies that must be counted at least once")


class Body(_Strict):
    """The document but for chaos and claims, whose forms the faults and the claims themselves tell."""

    name: str = Field(
        pattern=_NAME,
        max_length=_NAME_MAX,
        description="letters, digits and hyphens; run directories are named after it",
    )
    transport: str = Field(description="the pipeline: `gameday list transports`")
    topology: TopologySpec = Field(default=TopologySpec(), description="what is built")
    load: LoadSpec = Field(description="what is sent")
    consumers: ConsumersSpec = Field(default=ConsumersSpec(), description="who receives")
    drain_timeout: PositiveDuration | None = Field(
        default=None,
        description="how long the queues may take to be empty after the load (default: long enough for every "
        "message to reach the dead-letter queue)",
    )
    seed: int | None = Field(default=None, description="makes schedule, payloads, groups and chaos repeatable")
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=0, description="where /metrics is served; 0: any free port"
    )
    expect: ExpectSpec | None = Field(
        default=None, description="what the verdict should be; `python -m gameday.run.rehearsal` compares, no run does"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """A scenario that can be run. `document` is all of it as it would be written, defaults included; `source` is what
    was written, and where."""

    name: str
    transport: str
    topology: TopologySpec
    load: LoadSpec
    shape: Shape
    consumers: ConsumersSpec
    receive_batch: int
    after_failure: str
    chaos: Sequence[Fault]
    claims: Sequence[Claim]
    drain_timeout_s: float
    seed: int | None
    metrics_port: int
    expect: ExpectSpec | None
    document: Mapping[str, Any] = field(repr=False)
    source: Document = field(repr=False)

    @property
    def subscriptions(self) -> list[str]:
        return [subscription.name for subscription in self.topology.subscriptions]


def find(name: str) -> Path:
    """A scenario's file: a path, or the name of one in scenarios/. Errors: UsageError that names those there are."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or "/" in name:
        if not path.is_file():
            raise UsageError(f"there is no scenario file {path}")
        return path
    shipped = SCENARIOS / f"{name}.yaml"
    if not shipped.is_file():
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UsageError(
            f"no scenario is called {name!r}{hint or '.'} There are {', '.join(names()) or 'none'} in {SCENARIOS}; "
            f"a file of your own is named by its path (./{name}.yaml)."
        )
    return shipped


def names() -> list[str]:
    return sorted(path.stem for path in SCENARIOS.glob("*.yaml"))


def load(path: Path, overrides: Sequence[str] = ()) -> Scenario:
    """Errors: UsageError, one line for each thing that is wrong."""
    return resolve(documents.override(documents.read(path), overrides))


def resolve(document: Document) -> Scenario:
    """Errors: UsageError, one line for each thing that is wrong."""
    problems = _Problems(document)
    data = dict(document.data)
    chaos_data, claims_data = data.pop("chaos", None) or [], data.pop("claims", None)
    load_data = data.get("load")
    own: dict[str, Any] = {}
    if isinstance(load_data, dict):
        own = {key: value for key, value in load_data.items() if key not in LoadSpec.model_fields}
        data["load"] = {key: value for key, value in load_data.items() if key in LoadSpec.model_fields}
    body = problems.validated(Body, data, (), known=[*_keys(Body), "chaos", "claims"])
    shape = _shape(load_data, own, problems) if isinstance(load_data, dict) else None
    chaos = _faults(chaos_data, problems)
    claims = _claims(claims_data, problems)
    problems.raise_if_any()
    assert body is not None and shape is not None
    promises = _promises(body, problems)
    _check_meaning(body, problems)
    _check_consumers(body, problems)
    _check_load(body, problems)
    _check_chaos(body, chaos, problems)
    _check_claims(body, chaos, claims, promises, problems)
    _check_expect(body, claims, problems)
    problems.raise_if_any()
    drain_timeout_s = body.drain_timeout or _drain_timeout_s(body)
    transport = TRANSPORTS[body.transport]
    receive_batch = body.consumers.batch or _BATCH[transport.kind]
    after_failure = body.consumers.after_failure or ("stop" if transport.ordered else "continue")
    written = {"batch": receive_batch, "after_failure": after_failure}
    return Scenario(
        name=body.name,
        transport=body.transport,
        topology=body.topology,
        load=body.load,
        shape=shape,
        consumers=body.consumers,
        receive_batch=receive_batch,
        after_failure=after_failure,
        chaos=chaos,
        claims=claims,
        drain_timeout_s=drain_timeout_s,
        seed=body.seed,
        metrics_port=body.metrics_port,
        expect=body.expect,
        document=_written_back(body, own, chaos_data, claims_data, written, drain_timeout_s),
        source=document,
    )


class _Problems:
    """What is wrong so far, each with the path of the value that is."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._found: dict[Route, str] = {}

    def add(self, path: Route, message: str) -> None:
        """The first complaint about a value is the one to act on; a union's other branches only repeat it."""
        key = ".".join(str(part) for part in path)
        self._found.setdefault(path, f"{self._document.where(path)}: {key + ': ' if key else ''}{message}")

    def validated(
        self, model: type[_Model], data: object, path: Route, known: Iterable[str] | None = None
    ) -> _Model | None:
        """The model of the data, or None and its problems noted. `known`: the keys there are, if not the model's."""
        try:
            return model.model_validate(data)
        except ValidationError as errors:
            for error in errors.errors():
                inner = tuple(_without_tags(error["loc"], data))
                if error["type"] == "extra_forbidden":
                    at_top = len(inner) == 1 and known is not None
                    message = _unknown(str(inner[-1]), known if at_top and known else _keys_at(model, inner[:-1]))
                elif error["type"] == "missing":
                    message = f"is missing{_like(model, inner)}"
                elif error["type"] == "bool_type":
                    message = f"{self._written((*path, *inner))!r} is neither true nor false"
                elif error["type"] == "value_error":
                    message = str(error["ctx"]["error"])
                else:
                    message = f"{self._written((*path, *inner))!r}: {error['msg'][0].lower()}{error['msg'][1:]}"
                self.add((*path, *inner), message)
            return None

    def _written(self, path: Route) -> object:
        """The value as it stands in the document, before units were read."""
        here: Any = self._document.data
        for part in path:
            here = here[part]
        return here

    def raise_if_any(self) -> None:
        if self._found:
            raise UsageError("\n".join(self._found.values()))


def _without_tags(loc: Iterable[str | int], data: object) -> Iterator[str | int]:
    """Pydantic puts the branches of a union into the path; what stands in no document is left out."""
    here = data
    for part in loc:
        if isinstance(here, dict):
            # A key that is not there is a missing one, and then the last of its path.
            yield part
            here = here.get(part)
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            yield part
            here = here[part]


def _keys(model: type[BaseModel]) -> list[str]:
    return [found.alias or name for name, found in model.model_fields.items()]


def _keys_at(model: type[BaseModel], loc: Route) -> list[str]:
    inner = _model_at(model, loc)
    return _keys(inner) if inner else []


def _model_at(annotation: Any, loc: Route) -> type[BaseModel] | None:
    """The model that a path leads to, through optional values and lists."""
    while (origin := get_origin(annotation)) in (Union, UnionType, Annotated, list):
        if origin is list and loc:
            loc = loc[1:]
        annotation = get_args(annotation)[0]
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return None
    if not loc:
        return annotation
    found = annotation.model_fields.get(str(loc[0]))
    return _model_at(found.annotation, loc[1:]) if found else None


def _like(model: type[BaseModel], loc: Route) -> str:
    """An example of a missing value, where its type has one."""
    inner = _model_at(model, loc[:-1])
    found = inner.model_fields.get(str(loc[-1])) if inner else None
    for schema in [item.json_schema for item in (found.metadata if found else ()) if isinstance(item, WithJsonSchema)]:
        if schema and schema.get("examples"):
            return f"; write it like `{loc[-1]}: {schema['examples'][0]}`"
    return ""


def _unknown(key: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(key, known, n=1)
    return f"there is no such key{f'; did you mean `{close[0]}`?' if close else '.'} Known here: {', '.join(known)}"


def _no_such(what: str, name: object, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"no {what} is called {name!r}{f'; did you mean {close[0]}?' if close else '.'} Known are {', '.join(known)}"


# Parts whose form something else tells


def _shape(data: Mapping[str, Any], own: Mapping[str, Any], problems: _Problems) -> Shape | None:
    """The load's shape, from the keys that all loads have and those of its own."""
    name = data.get("shape", LoadSpec.model_fields["shape"].default)
    model = SHAPES.get(name) if isinstance(name, str) else None
    if model is None:
        problems.add(("load", "shape"), _no_such("shape", name, SHAPES))
        return None
    written = {key: data[key] for key in ("rate", "duration") if key in data} | dict(own)
    read = _with_units(written, shape_units(model), ("load",), problems)
    return problems.validated(model, read, ("load",), known=dict.fromkeys([*_keys(LoadSpec), *_keys(model)]))


def _faults(data: object, problems: _Problems) -> list[Fault]:
    if not isinstance(data, list):
        problems.add(("chaos",), "a list of faults belongs here, each like {at: 6s, fault: kill-consumer}")
        return []
    faults = []
    for number, entry in enumerate(data):
        path: Route = ("chaos", number)
        if not isinstance(entry, dict) or "fault" not in entry:
            problems.add(path, f"{entry!r} is no fault; write it like {{at: 6s, fault: kill-consumer}}")
            continue
        model = FAULTS.get(entry["fault"]) if isinstance(entry["fault"], str) else None
        if model is None:
            problems.add((*path, "fault"), _no_such("fault", entry["fault"], FAULTS))
            continue
        fault = problems.validated(model, _with_units(entry, fault_units(model), path, problems), path)
        if fault is not None:
            faults.append(fault)
    return faults


def _with_units(entry: Mapping[str, Any], kinds: Mapping[str, str], path: Route, problems: _Problems) -> dict[str, Any]:
    """The entry with its durations, rates, shares and multiples as numbers; a value without its unit is noted."""
    read = dict(entry)
    for key, kind in kinds.items():
        if read.get(key) is None:
            continue
        try:
            read[key] = _number(read[key], kind)
        except ValueError as error:
            problems.add((*path, key), str(error))
    return read


def _number(value: object, kind: str) -> object:
    if kind == "rate":
        return units.rate_per_s(value)
    if kind == "duration":
        return units.duration_s(value)
    if kind == "share":
        return units.share(value)
    if kind == "count-or-share":
        return value if isinstance(value, int) else units.share(value)
    if kind == "duration-or-multiple":
        multiple = units.multiple(value, ("visibility_timeout",))
        if multiple is not None:
            return {"times_visibility_timeout": multiple}
        try:
            return units.duration_s(value)
        except ValueError as error:
            like = value if isinstance(value, int | float) and not isinstance(value, bool) else 1.5
            raise ValueError(f"{error}, or as a multiple like {like}x visibility_timeout") from None
    return value


# A scenario's bound carries its unit in the value, the manifest's in the name.
_CLAIM_KEYS = {"p50": "p50_s", "p99": "p99_s", "max": "max_s", "grace": "grace_s", "within": "within_s"}
# Those of them that something is measured by.
_MEASURED = ("p50", "p99", "max", "within")


def short_bound(bound: str) -> str:
    """A bound as a scenario calls it: `p99` for `p99_s`."""
    return next((short for short, long in _CLAIM_KEYS.items() if long == bound), bound)


def needs_bound(claim: str) -> bool:
    """Whether the claim says nothing without one."""
    return any(kind is float for kind in BOUNDS[claim].values())


def _claims(data: object, problems: _Problems) -> list[Claim]:
    if not isinstance(data, list) or not data:
        problems.add(("claims",), "nothing is claimed, so there is nothing to judge; write it like claims: [no-loss]")
        return []
    claims: list[Claim] = []
    for number, entry in enumerate(data):
        path: Route = ("claims", number)
        written = {"claim": entry} if isinstance(entry, str) else entry
        given = written.get("claim") if isinstance(written, dict) else None
        if not isinstance(given, str):
            problems.add(path, f"{entry!r} is no claim; write it like no-loss, or {{claim: lag, p99: 3s}}")
            continue
        name: str = ALIASES.get(given, given)
        if name not in BOUNDS:
            problems.add(path, _no_such("claim", given, sorted([*BOUNDS, *ALIASES])))
            continue
        bounds = [short_bound(bound) for bound in BOUNDS[name]]
        document: dict[str, Any] = {"claim": name}
        for key, value in written.items():
            if key == "claim":
                continue
            if key not in bounds:
                problems.add((*path, str(key)), _unknown(str(key), ["claim", *bounds]))
                continue
            try:
                document[_CLAIM_KEYS.get(key, key)] = units.duration_s(value) if key in _CLAIM_KEYS else value
            except ValueError as error:
                problems.add((*path, key), str(error))
        if needs_bound(name) and not any(key in written for key in _MEASURED):
            problems.add(
                path, f"{name} claims nothing without a bound; write it like {{claim: {name}, {_BOUND_LIKE[name]}}}"
            )
            continue
        try:
            claim = parse_claim(document, where=name)
        except NotARun as error:
            problems.add(path, str(error))
            continue
        if any(claim.key == other.key for other in claims):
            problems.add(path, f"{claim.key} is claimed twice; keep one, with all its bounds")
        claims.append(claim)
    return claims


_BOUND_LIKE = {"lag": "p99: 3s", "recovery": "within: 15s"}


# What does not go together


def _promises(body: Body, problems: _Problems) -> Mapping[str, Subscription]:
    transport = TRANSPORTS.get(body.transport)
    if transport is None:
        problems.add(("transport",), _no_such("transport", body.transport, TRANSPORTS))
        return {}
    subscriptions = [subscription.name for subscription in body.topology.subscriptions]
    if len(set(subscriptions)) < len(subscriptions):
        problems.add(("topology", "subscriptions"), "two subscriptions have the same name")
        return {}
    try:
        promised = promises_of(body, settle_s=0)
    except ValueError as error:
        problems.add(("topology", "subscriptions"), str(error))
        return {}
    for number, subscription in enumerate(body.topology.subscriptions):
        if subscription.promises is not None and promised[subscription.name].promised_by is None:
            problems.add(
                ("topology", "subscriptions", number, "promises"),
                f"{subscription.promises} is already promised by {body.transport} there; remove it",
            )
    return promised


def needs_of(scenario: Scenario) -> list[Capability]:
    """What its target must be able to do beyond sending and receiving."""
    topology = scenario.topology
    asked: dict[Capability, bool] = {
        "replay": topology.replay,
        "redrive": topology.redrive,
        "reshard": any(fault.fault == "reshard" for fault in scenario.chaos),
        "max_message": (topology.max_message or 0) > TOPIC_BYTES_MAX,
    }
    filters = TRANSPORTS[scenario.transport].needs(topology_of(scenario, settle_s=0.0))
    return [*(need for need, wanted in asked.items() if wanted), *sorted(filters)]


def promises_of(scenario: Body | Scenario, *, settle_s: float) -> dict[str, Subscription]:
    """What is promised on each subscription: what AWS documents, and more where the scenario asks for more.

    Errors: ValueError for a topology that the transport cannot have.
    """
    promised = TRANSPORTS[scenario.transport].promises(topology_of(scenario, settle_s=settle_s))
    for subscription in scenario.topology.subscriptions:
        promise = promised[subscription.name]
        if subscription.promises is not None and promise.promises != subscription.promises:
            promised[subscription.name] = replace(promise, promises=subscription.promises, promised_by="user")
    return promised


def topology_of(scenario: Body | Scenario, *, settle_s: float) -> Topology:
    """`settle_s`: the target's, where the scenario says nothing."""
    spec = scenario.topology
    return Topology(
        subscriptions=[_meant(subscription) for subscription in spec.subscriptions],
        visibility_timeout_s=spec.visibility_timeout,
        max_receives=spec.max_receives,
        settle_s=settle_s if spec.settle is None else spec.settle,
        shards=spec.shards,
        archive=spec.replay,
        max_message_bytes=spec.max_message,
        delay_s=spec.delay,
        dedup=scenario.load.dedup,
    )


def _meant(model: SubscriptionModel) -> SubscriptionSpec:
    deployed = None if model.deployed is None else Deployed(**model.deployed.model_dump())
    return SubscriptionSpec(**{**model.model_dump(exclude={"promises"}), "deployed": deployed})


def _check_meaning(body: Body, problems: _Problems) -> None:
    for part, keys in _nothing_to(body).items():
        for key, why in keys.items():
            if key in getattr(body, part).model_fields_set:
                problems.add((part, key), f"{body.transport} makes nothing of it: {why}; remove it")
    topology = body.topology
    if topology.redrive and topology.max_receives is None:
        problems.add(
            ("topology", "redrive"),
            "nothing could be moved back: without max_receives there is no dead-letter queue; write it, or remove this",
        )
    for number, subscription in enumerate(topology.subscriptions):
        path: Route = ("topology", "subscriptions", number)
        if len(body.name) + len(subscription.name) > _NAMES_MAX:
            problems.add(
                (*path, "name"),
                f"with the name of the scenario it has more than {_NAMES_MAX} characters, and the names of queues "
                "would be longer than SQS allows; shorten one of the two",
            )
        deployed = subscription.deployed
        if (
            subscription.filter_on != "attributes"
            and subscription.filter is None
            and not (deployed and deployed.filter)
        ):
            problems.add((*path, "filter_on"), "there is no filter that it could speak of; add `filter`, or remove it")
        if deployed is not None and deployed == DeployedModel():
            problems.add((*path, "deployed"), "says no difference to what is meant; name one, or remove it")
        if deployed is not None and deployed.missing and (deployed.filter or deployed.pattern):
            problems.add((*path, "deployed"), "a subscription that is missing has no filter and no pattern; keep one")


def _nothing_to(body: Body) -> Mapping[str, Mapping[str, str]]:
    """The keys that mean nothing to the transport, by part, each with the reason."""
    transport = TRANSPORTS.get(body.transport)
    return _NOTHING_TO[transport.kind] if transport else {}


def _check_consumers(body: Body, problems: _Problems) -> None:
    hidden_s, consumers = body.topology.visibility_timeout, body.consumers
    if hidden_s != int(hidden_s) or hidden_s > _VISIBILITY_MAX_S:
        problems.add(
            ("topology", "visibility_timeout"), f"{units.format_duration(hidden_s)}: SQS takes whole seconds, 1s to 12h"
        )
    for part, delay_s in (("topology", body.topology.delay), ("load", body.load.delay or 0.0)):
        if delay_s != int(delay_s):
            problems.add((part, "delay"), f"{units.format_duration(delay_s)}: SQS takes whole seconds, 0s to 15min")
    if (transport := TRANSPORTS.get(body.transport)) is not None:
        _check_consumed(body, transport.kind, problems)
    if consumers.handler not in HANDLERS:
        problems.add(("consumers", "handler"), _no_such("handler", consumers.handler, HANDLERS))
    if consumers.guard not in GUARDS:
        problems.add(("consumers", "guard"), _no_such("guard", consumers.guard, GUARDS))
    elif consumers.guard == "in-progress" and consumers.guard_expiry is None:
        problems.add(
            ("consumers", "guard"),
            "in-progress needs consumers.guard_expiry: how long the mark of who has begun a message keeps others "
            "from it; longer than the work takes, shorter than the retries last",
        )
    elif consumers.guard != "in-progress" and consumers.guard_expiry is not None:
        problems.add(
            ("consumers", "guard_expiry"),
            f"the marks of {consumers.guard} do not expire; remove it, or use the guard in-progress",
        )
    _check_retries(consumers, problems)
    if consumers.wait != int(consumers.wait):
        problems.add(
            ("consumers", "wait"), f"{units.format_duration(consumers.wait)}: SQS takes whole seconds, 0s to 20s"
        )
    if consumers.heartbeat is not None and consumers.heartbeat >= hidden_s:
        problems.add(
            ("consumers", "heartbeat"),
            f"every {units.format_duration(consumers.heartbeat)} is too late for a visibility timeout of "
            f"{units.format_duration(hidden_s)}; a third of it is usual",
        )


def _check_retries(consumers: ConsumersSpec, problems: _Problems) -> None:
    for key in ("retry_delay", "retry_delay_max"):
        delay_s = getattr(consumers, key)
        if delay_s is not None and (delay_s != int(delay_s) or delay_s > _VISIBILITY_MAX_S):
            problems.add(
                ("consumers", key), f"{units.format_duration(delay_s)}: SQS hides for whole seconds, at most 12h"
            )
    if consumers.retry_delay_max is None:
        return
    if not consumers.retry_delay:
        problems.add(("consumers", "retry_delay_max"), "there is no consumers.retry_delay to grow up to it; add one")
    elif consumers.retry_delay_max <= consumers.retry_delay:
        problems.add(
            ("consumers", "retry_delay_max"), "consumers.retry_delay grows up to it, so it must be longer than that"
        )


def _check_consumed(body: Body, kind: Literal["queue", "stream"], problems: _Problems) -> None:
    """What a receive of that kind cannot do, and what has an end only where there are dead letters."""
    consumers, load = body.consumers, body.load
    if consumers.batch is not None and consumers.batch > (most := _BATCH_MAX[kind]):
        problems.add(("consumers", "batch"), f"{consumers.batch} is more than the {most} of one receive")
    transport = TRANSPORTS[body.transport]
    if consumers.after_failure == "stop" and not transport.ordered:
        problems.add(
            ("consumers", "after_failure"),
            f"{body.transport} keeps no order, so nothing waits for a message that failed; write continue or "
            "fail-batch",
        )
    if kind == "stream" and consumers.after_failure == "fail-batch" and consumers.checkpoint == "before":
        problems.add(
            ("consumers", "after_failure"),
            "a batch that was checkpointed before it was handled does not come again; write stop, or remove "
            "`checkpoint: before`",
        )
    if kind == "stream" and consumers.handler == "delete-first":
        problems.add(
            ("consumers", "handler"),
            "a stream's records are not deleted; what is as wrong there is `checkpoint: before`",
        )
    if kind == "stream" and load.poison:
        problems.add(
            ("load", "poison"),
            f"{body.transport} has no dead-letter queue: a record that no handler can do would block its shard for "
            "good; remove it",
        )


def _check_load(body: Body, problems: _Problems) -> None:
    load, transport = body.load, TRANSPORTS.get(body.transport)
    if transport is not None:
        if load.batch > transport.batch_max:
            problems.add(
                ("load", "batch"),
                f"{load.batch} is more than the {transport.batch_max} messages that one send call of "
                f"{body.transport} takes",
            )
        else:
            _check_sizes(body, transport, problems)
        _check_dedup(body, transport, problems)
        if load.delay is not None and not transport.delays_messages:
            problems.add(
                ("load", "delay"),
                f"a message of {body.transport} brings no delay of its own: that takes a Standard queue which it is "
                "sent to. Remove it, or delay the whole queue with topology.delay",
            )
        if load.retry == "unordered" and not transport.ordered:
            problems.add(("load", "retry"), f"{body.transport} keeps no order that a retry could break; remove it")
    if load.users > load.groups:
        problems.add(
            ("load", "users"),
            f"{load.users} users for {load.groups} groups: a group belongs to one user, so some would send nothing; "
            "raise load.groups or lower load.users",
        )
    if load.processes > load.users:
        problems.add(("load", "processes"), f"{load.processes} processes for {load.users} users: some would be empty")
    if load.retry == "none" and "give_up" in load.model_fields_set:
        problems.add(("load", "give_up"), "nothing is sent again where load.retry is none; remove one of the two")


def _check_sizes(body: Body, transport: Transport, problems: _Problems) -> None:
    """What a service would refuse each time, and what it would accept and could put into no queue."""
    load, topology = body.load, topology_of(body, settle_s=0)
    limits = transport.limits(topology)
    # More than any call takes: a body of a terabyte is not made to see that it is too large.
    size = transport.size(topology, _longest(body, min(load.payload, 2 * limits.call)))
    what = f"{max(size.sent, load.payload)} bytes{f' with {size.beside}' if size.beside else ''}"
    raised = f", or raise {limits.raised_by}" if limits.raised_by else ""
    if size.sent > limits.message:
        problems.add(
            ("load", "payload"),
            f"a message would have {what}, and {body.transport} takes {limits.message}; lower load.payload{raised}",
        )
    elif load.batch * size.sent > limits.call:
        problems.add(
            ("load", "payload"),
            f"{load.batch} messages of {what} exceed the {limits.call} bytes that one send call of {body.transport} "
            f"takes; lower load.batch or load.payload{raised}",
        )
    elif size.arrives > QUEUE_BYTES_MAX:
        problems.add(
            ("load", "payload"),
            f"{body.transport} would take a message of {what}, but what it makes of it may have {size.arrives}, and a "
            f"queue takes {QUEUE_BYTES_MAX}, so that it would be lost; lower load.payload",
        )


def _longest(body: Body, payload_bytes: int) -> Outgoing:
    """A message as large as this load's are at most: the largest of some dozen, whose contents differ."""
    groups = body.load.groups
    id = f"g{groups - 1}-{10**9}"

    def packed(seed: int, least: int) -> bytes:
        run = f"{body.name}-YYYYmmdd-HHMMSS-0123"
        return envelope.pack(
            id=id, run=run, group=f"g{groups - 1}", timestamp_ns=10**18, payload_bytes=least, seed=seed
        )

    largest = max(range(_SAMPLES), key=lambda seed: len(packed(seed, 0)))
    return Outgoing(id=id, body=packed(largest, payload_bytes).decode(), group=f"g{groups - 1}", dedup_id=None)


_SAMPLES = 50


def _check_dedup(body: Body, transport: Transport, problems: _Problems) -> None:
    if transport.deduplicates:
        return
    for key, given in (("dedup", body.load.dedup != "id"), ("dedup_reuse", body.load.dedup_reuse > 0)):
        if given:
            sibling = _ordered_sibling(body.transport)
            problems.add(
                ("load", key),
                f"{body.transport} deduplicates nothing; remove it{f', or use {sibling}' if sibling else ''}",
            )


def _check_chaos(body: Body, chaos: Sequence[Fault], problems: _Problems) -> None:
    consumers = {subscription.name: body.consumers.processes for subscription in body.topology.subscriptions}
    try:
        plan_timeline(chaos, duration_s=body.load.duration, consumers=consumers, seed=0)
    except TimelineError as error:
        problems.add(("chaos", error.entry, error.key), str(error))
    transport = TRANSPORTS.get(body.transport)
    kind = transport.kind if transport else None
    for number, fault in enumerate(chaos):
        if isinstance(fault, Reshard) and kind == "queue":
            problems.add(("chaos", number, "fault"), f"reshard has nothing to strike: {body.transport} has no shards")
        if kind == "stream" and fault.fault == "lose-delete":
            problems.add(
                ("chaos", number, "fault"), f"lose-delete has nothing to strike: {body.transport} has no deletes"
            )
        if kind == "stream" and any(isinstance(value, TimesVisibilityTimeout) for _, value in fault):
            problems.add(
                ("chaos", number), f"{body.transport} has no visibility timeout to be multiplied; write a duration"
            )
        if body.consumers.handler in NO_EFFECTS and fault.fault in _NEEDS_HANDLER:
            problems.add(
                ("chaos", number, "fault"),
                f"{fault.fault} has nothing to strike: the handler {body.consumers.handler} does no work",
            )


def _check_claims(
    body: Body,
    chaos: Sequence[Fault],
    claims: Sequence[Claim],
    promises: Mapping[str, Subscription],
    problems: _Problems,
) -> None:
    if not promises:
        # The transport is wrong already, and has been told.
        return
    for number, claim in enumerate(claims):
        if not any(_promised(claim.claim, promise) for promise in promises.values()):
            problems.add(
                ("claims", number),
                f"{body.transport} never promises {claim.claim}: {_PROMISE_NEEDS[claim.claim]}. Remove the claim"
                + (f", or use the transport {fifo}" if (fifo := _ordered_sibling(body.transport)) else ""),
            )
        elif claim.claim == "exactly-once-delivery" and (
            without := [name for name, promise in promises.items() if not _promised(claim.claim, promise)]
        ):
            problems.add(
                ("claims", number),
                f"it speaks of every subscription, and {', '.join(without)} never promises it: "
                f"{_PROMISE_NEEDS[claim.claim]}. Remove the claim, or make that queue FIFO",
            )
        elif claim.claim in _EFFECT_CLAIMS and body.consumers.handler in NO_EFFECTS:
            problems.add(
                ("claims", number),
                f"{claim.claim} can show nothing: the handler {body.consumers.handler} has no effects",
            )
        elif claim.claim == "replay-complete" and not body.topology.replay:
            problems.add(
                ("claims", number),
                "replay-complete can show nothing: nothing is replayed. Remove the claim, or add replay: true to "
                "`topology`",
            )
        elif claim.claim == "recovery" and not chaos:
            problems.add(
                ("claims", number),
                "recovery can show nothing: there is no fault to recover from. Remove the claim, or add one to `chaos`",
            )


def _promised(claim: str, promise: Subscription) -> bool:
    if claim == "ordered-per-group":
        return promise.ordered_by == "group"
    if claim == "ordered-per-partition":
        return promise.ordered_by == "partition"
    if claim == "ordered-effects":
        return promise.ordered_by is not None
    if claim == "exactly-once-delivery":
        return promise.dedup_window_s is not None
    if claim == "dead-letter":
        return promise.dead_letter
    if claim == "filter-correct":
        return promise.filtered
    return True


_PROMISE_NEEDS = {
    "ordered-per-group": "it keeps no order by group",
    "ordered-per-partition": "it has no partitions",
    "ordered-effects": "it keeps no order",
    "exactly-once-delivery": "it delivers at least once, and has no deduplication window",
    "dead-letter": "there is no dead-letter queue (a stream has none, and a queue needs topology.max_receives)",
    "filter-correct": "no subscription has a filter",
}
_EFFECT_CLAIMS = ("at-least-once-effect", "exactly-once-effect", "ordered-effects")
NO_EFFECTS = ("no-op",)
_NEEDS_HANDLER = ("stretch-processing", "fail-handler", "crash-at")
_VISIBILITY_MAX_S = 12 * 3600


def _ordered_sibling(transport: str) -> str | None:
    sibling = f"{transport}-fifo"
    return sibling if sibling in TRANSPORTS else None


def _check_expect(body: Body, claims: Sequence[Claim], problems: _Problems) -> None:
    if body.expect is None:
        return
    for number, anomaly in enumerate(body.expect.anomalies):
        if anomaly not in CHECKS:
            problems.add(("expect", "anomalies", number), _no_such("anomaly", anomaly, CHECKS))
    claimed = [claim.key for claim in claims]
    for name in body.expect.claims:
        if name not in claimed:
            problems.add(("expect", "claims", name), f"it is not among the claims: {', '.join(claimed)}")


def _drain_timeout_s(body: Body) -> float:
    """Long enough for a message that fails each time to reach the dead-letter queue, after the delay of the last."""
    receives = (body.topology.max_receives or _RECEIVES_GUESS) + 1
    consumers = body.consumers
    delay_s = body.topology.delay if body.load.delay is None else body.load.delay
    hidden_s = max(body.topology.visibility_timeout, consumers.retry_delay_max or consumers.retry_delay)
    return math.ceil(receives * hidden_s + delay_s + (consumers.guard_expiry or 0)) + _DRAIN_SPARE_S


_RECEIVES_GUESS = 5
_DRAIN_SPARE_S = 30.0


def _written_back(
    body: Body,
    shape: Mapping[str, Any],
    chaos: object,
    claims: object,
    consumers: Mapping[str, Any],
    drain_timeout_s: float,
) -> dict[str, Any]:
    """`consumers`: their defaults that only the transport tells."""
    written = body.model_dump(mode="json", by_alias=True)
    for part, keys in _nothing_to(body).items():
        written[part] = {key: value for key, value in written[part].items() if key not in keys}
    written["load"] |= shape
    if body.load.retry == "none":
        del written["load"]["give_up"]
    written["consumers"] |= consumers
    written["drain_timeout"] = units.format_duration(drain_timeout_s)
    return {**written, "chaos": chaos, "claims": claims}

"""The manifest: what a run promised before it began, read by every check and written by the conductor.

A manifest that cannot be judged (another schema, a claim nobody knows, a bound that does not exist, no claims) is
`NotARun`, exit code 2: a judgement that silently left a claim out would be a wrong verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, cast, get_args

import orjson

from gameday.history.claim_texts import CLAIM_TEXTS
from gameday.history.clock import SECONDS_MAX, TIME_MAX, TIME_MIN, Clock
from gameday.history.errors import NotARun

SCHEMA = 1
FILE = "manifest.json"
_FIELDS = (
    "schema", "run", "seed", "target", "clock_error_ns", "broker_tick_ns", "clock", "subscriptions", "claims",
    "scenario", "workflow",
)  # fmt: skip

Kind = Literal["queue", "stream"]
OrderedBy = Literal["group", "partition"]
Promise = Literal["at-least-once", "at-most-once"]
During = Literal["calm", "faults", "all"]
PromisedBy = Literal["user"]
EffectsFrom = Literal["read-back"]
SeenFrom = Literal["consumer", "wire", "nobody"]
SettledBy = Literal["consumer", "service"]
Invocations = Literal["all"]
Step = Literal["task", "callback"]
WorkflowKind = Literal["standard", "express", "express-sync"]

ALIASES = {"at-least-once": "no-loss"}
BOUNDS: Mapping[str, Mapping[str, type]] = {name: claim.bounds for name, claim in CLAIM_TEXTS.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscription:
    """What a transport promises on one subscription; durations in seconds, `effective_from` in ns of our clock.

    `promised_by` is `user` where the scenario holds the target to more than AWS promises. `effects_from` is `read-back`
    where effects stand elsewhere than consumers record, and what is read back there alone tells how many there are.
    `seen_from` says who records the receives: the consumer, a proxy before it (`wire`), or nobody. `settled_by` is
    `service` where the service receives, deletes and checkpoints by itself (an event source mapping, an asynchronous
    invocation). `invocations` is `all` where whoever invokes functions records each invocation.
    Of a workflow's `step`: `retried` where one execution may ask for it more than once; `followed_by` are the steps of
    which none is asked for before this one is over.
    """

    kind: Kind = "queue"
    ordered_by: OrderedBy | None = None
    visibility_timeout_s: float | None = None
    max_receives: int | None = None
    dead_letter: bool = False
    dedup_window_s: float | None = None
    filtered: bool = False
    settle_s: float = 0.0
    effective_from: int | None = None
    promises: Promise = "at-least-once"
    promised_by: PromisedBy | None = None
    effects_from: EffectsFrom | None = None
    seen_from: SeenFrom = "consumer"
    settled_by: SettledBy = "consumer"
    invocations: Invocations | None = None
    step: Step | None = None
    per_item: bool = False
    retried: bool = False
    followed_by: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One claim with its bounds: `strict` of orders and dead letters, `during` of lag, seconds of lag and recovery,
    and a multiple of fair."""

    claim: str
    bounds: Mapping[str, float | bool | str] = field(default_factory=dict)

    @property
    def during(self) -> During:
        """Which messages it speaks of: those due away from faults, those around them, or all."""
        return cast(During, self.bounds.get("during", "calm"))

    @property
    def key(self) -> str:
        """What it is known by in a run: its name, and its `during` where that is not the usual one."""
        return self.claim if self.during == "calm" else f"{self.claim} during {self.during}"

    def seconds(self, bound: str) -> float | None:
        """A bound in seconds; None where it has none."""
        value = self.bounds.get(bound)
        return None if value is None else float(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    run: str
    subscriptions: Mapping[str, Subscription]
    claims: Sequence[Claim]
    seed: int = 0
    target: str | None = None
    clock_error_ns: int = 0
    broker_tick_ns: int = 0
    clock: Clock | None = None
    # What messages start, where they start executions.
    workflow: WorkflowKind | None = None
    # Fields that no judgement reads: (name, of what, the known name that it may be meant for). Nothing of ours has any.
    unknown: Sequence[tuple[str, str, str | None]] = ()
    scenario: Mapping[str, Any] = field(default_factory=dict)

    @property
    def deployed_otherwise(self) -> frozenset[str]:
        """The subscriptions that the scenario deployed in another way than it means them, a mistake made on purpose."""
        topology = self.scenario.get("topology")
        listed = topology.get("subscriptions") if isinstance(topology, dict) else None
        entries = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        return frozenset(str(each.get("name")) for each in entries if each.get("deployed"))

    def save(self, run: Path) -> None:
        document = {
            "schema": SCHEMA,
            "run": self.run,
            "seed": self.seed,
            "target": self.target,
            "clock_error_ns": self.clock_error_ns,
            "broker_tick_ns": self.broker_tick_ns,
            **({"clock": asdict(self.clock)} if self.clock else {}),
            **({"workflow": self.workflow} if self.workflow else {}),
            "subscriptions": {name: asdict(s) for name, s in self.subscriptions.items()},
            "claims": [{"claim": c.claim, **c.bounds} for c in self.claims],
            "scenario": self.scenario,
        }
        (run / FILE).write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")


def load(run: Path) -> Manifest:
    """Errors: NotARun, with what is wrong and where."""
    path = run / FILE
    try:
        document = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise NotARun(f"{run} is not a run directory: it has no {FILE}") from None
    except OSError as error:
        raise NotARun(f"cannot read {path}: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise NotARun(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise NotARun(f"{path} is not a JSON object")
    if document.get("schema") != SCHEMA or isinstance(document.get("schema"), bool):
        raise NotARun(f"{path}: schema {document.get('schema')!r}; this gameday reads schema {SCHEMA}")
    subscriptions = _typed(path, document, "subscriptions", dict, {})
    claims = _typed(path, document, "claims", list, [])
    if not claims:
        raise NotARun(f"{path}: no claims, so there is nothing to judge")
    parsed = [parse_claim(value, where=f"{path}: claims[{n}]") for n, value in enumerate(claims)]
    if (workflow := document.get("workflow")) not in (None, *get_args(WorkflowKind)):
        raise NotARun(f"{path}: workflow is {workflow!r}; it must be one of {', '.join(get_args(WorkflowKind))}")
    for n, claim in enumerate(parsed):
        if claim.key in [earlier.key for earlier in parsed[:n]]:
            raise NotARun(f"{path}: claims[{n}]: {claim.key} is claimed twice; bounds of one claim stand in one entry")
    return Manifest(
        run=str(document.get("run", run.name)),
        seed=_integer(path, document, "seed"),
        target=document.get("target"),
        clock_error_ns=_integer(path, document, "clock_error_ns", least=0),
        broker_tick_ns=_integer(path, document, "broker_tick_ns", least=0),
        subscriptions={name: _subscription(path, name, value) for name, value in subscriptions.items()},
        claims=parsed,
        workflow=document.get("workflow"),
        scenario=_typed(path, document, "scenario", dict, {}),
        unknown=[
            *_unknown("the manifest", document, _FIELDS),
            *(
                each
                for name, value in subscriptions.items()
                for each in _unknown(f"subscription {name}", value, list(Subscription.__dataclass_fields__))
            ),
        ],
    )


def _unknown(of: str, found: Mapping[str, Any], known: Sequence[str]) -> list[tuple[str, str, str | None]]:
    return [(name, of, next(iter(get_close_matches(name, known, n=1)), None)) for name in found if name not in known]


def parse_claim(value: object, *, where: str) -> Claim:
    """A claim as the manifest writes it: {"claim": name, bound: number, …}. Errors: NotARun."""
    given_name = value.get("claim") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(given_name, str):
        raise NotARun(f"{where} is no claim: {value!r}")
    name = ALIASES.get(given_name, given_name)
    known = BOUNDS.get(name)
    if known is None:
        raise NotARun(
            f"{where}: no claim is called {value['claim']!r}; known are {', '.join(sorted([*BOUNDS, *ALIASES]))}"
        )
    bounds: dict[str, float | bool | str] = {}
    for bound, given in value.items():
        if bound == "claim":
            continue
        if bound not in known:
            raise NotARun(f"{where}: {name} has no bound {bound!r}; it has {', '.join(known) or 'none'}")
        if given is None:
            continue
        if known[bound] is bool:
            right, wanted = isinstance(given, bool), "true or false"
        elif known[bound] is str:
            right, wanted = given in get_args(During), f"one of {', '.join(get_args(During))}"
        else:
            right = _is_number(given) and 0 <= given <= SECONDS_MAX
            wanted = "a number of seconds" if bound.endswith("_s") else "a number"
        if not right:
            raise NotARun(f"{where}: {bound} of {name} is {given!r}; {wanted} belongs there")
        if (bound, given) == ("during", "calm"):
            # What it is known by should not depend on whether the usual is written out.
            continue
        bounds[bound] = given
    return Claim(claim=name, bounds=bounds)


def _subscription(path: Path, name: str, value: object) -> Subscription:
    where = f"{path}: subscription {name!r}"
    if not isinstance(value, dict):
        raise NotARun(f"{where} is not an object")
    fields = {key: value[key] for key in Subscription.__dataclass_fields__ if value.get(key) is not None}
    for key, allowed in (
        ("kind", ("queue", "stream")),
        ("ordered_by", ("group", "partition")),
        ("promises", ("at-least-once", "at-most-once")),
        ("promised_by", get_args(PromisedBy)),
        ("effects_from", get_args(EffectsFrom)),
        ("seen_from", get_args(SeenFrom)),
        ("settled_by", get_args(SettledBy)),
        ("invocations", get_args(Invocations)),
        ("step", get_args(Step)),
    ):
        if key in fields and fields[key] not in allowed:
            raise NotARun(f"{where}: {key} is {fields[key]!r}; it must be one of {', '.join(allowed)}")
    for key in ("visibility_timeout_s", "dedup_window_s", "settle_s"):
        if key in fields and not (_is_number(fields[key]) and 0 <= fields[key] <= SECONDS_MAX):
            raise NotARun(f"{where}: {key} is {fields[key]!r}; a number of seconds from 0 to 1e9 belongs there")
    for key, least in (("max_receives", 0), ("effective_from", TIME_MIN)):
        if key in fields and not (type(fields[key]) is int and least <= fields[key] < TIME_MAX):
            unit = " (nanoseconds since 1970)" if key == "effective_from" else ""
            raise NotARun(f"{where}: {key} is {fields[key]!r}; an integer{unit} belongs there")
    for key in ("dead_letter", "filtered", "per_item", "retried"):
        if key in fields and type(fields[key]) is not bool:
            raise NotARun(f"{where}: {key} is {fields[key]!r}; true or false belongs there")
    if not _are_names(fields.get("followed_by", [])):
        raise NotARun(f"{where}: followed_by is {fields['followed_by']!r}; a list of names belongs there")
    return Subscription(**cast(Any, fields))


def _typed(path: Path, document: dict[str, Any], key: str, kind: type, default: Any) -> Any:
    value = document.get(key)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise NotARun(f"{path}: {key} is not {'an object' if kind is dict else 'a list'}")
    return value


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _integer(path: Path, document: dict[str, Any], key: str, *, least: int | None = None) -> int:
    value = document.get(key, 0)
    if type(value) is not int or (least is not None and not least <= value < TIME_MAX):
        raise NotARun(f"{path}: {key} is {value!r}; an integer{'' if least is None else ' from 0'} belongs there")
    return value

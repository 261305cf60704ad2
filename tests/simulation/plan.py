"""What a seed decides: the scenario of a simulated run, its faults, its network, and what is planted in it.

A plan is data. The same seed draws the same plan, and a plan can be made smaller and played again (shrink.py). Half of
the runs are of consumers, producers and brokers that do nothing wrong; in the others one thing is.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

import orjson

from gameday.chaos.faults.crash_at import CrashAt

POINTS: tuple[str, ...] = get_args(CrashAt.model_fields["point"].annotation)
TRANSPORTS = ("sqs", "sqs-fifo", "sns", "sns-fifo", "eventbridge", "kinesis")
FIFO = ("sqs-fifo", "sns-fifo")
QUEUES = ("sqs", "sqs-fifo", "sns", "sns-fifo", "eventbridge")

# What strikes processes, and what strikes the network between them and what they talk to.
ON_CONSUMERS = ("kill", "kill-in-write", "term", "pause", "crash-at", "stretch-processing", "fail-handler")
ON_NETWORK = ("lose-request", "lose-answer", "late-request", "late-answer", "refuse", "refuse-entries", "doubt-entries")
# The share of seeds whose runs are on several hosts.
_ON_HOSTS = 0.1
# And of those, the share in which a queue gives messages in the wrong order, to several hosts.
_REORDERED = 0.15
# Whose operations a fault of the network strikes.
PARTS = ("send", "receive", "settle", "store", "leases")

# Defects that a run can meet, by the transports on which it can, with some parameters.
PLANTED: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "lose": (QUEUES, (":3", ":10")),
    "forget-in-flight": (QUEUES, ("", ":2")),
    "duplicate-copy": (FIFO, (":3", ":10")),
    "reorder": (FIFO, (":2", ":5")),
    "overtake": (FIFO, ("",)),
    "early-redelivery": (FIFO, (":0.25", ":0.5")),
    "misnumber": (FIFO, (":4",)),
    "misnumber-at-receive": (FIFO, ("",)),
    "no-dead-letter": (QUEUES, ("",)),
    "corrupt-body": (QUEUES, (":3", ":10")),
    "phantom": (QUEUES, (":5",)),
    "no-dedup": (FIFO, ("",)),
    "dedup-forgets-after-delete": (FIFO, ("",)),
    "dedup-ignores-content": (FIFO, ("",)),
    "dedup-never-forgets": (FIFO, ("",)),
    "one-lock": (FIFO, ("",)),
    "requeue-at-end": (FIFO, ("",)),
    "extend-unlocks": (FIFO, ("",)),
    "undelete": (QUEUES, ("", ":3")),
    "stale-receipt-deletes": (FIFO, ("",)),
    "stale-receipt-refused": (("sqs", "sns", "eventbridge"), ("",)),
    "batch-hides-failures": (FIFO, ("",)),
    "redrive-loses": (QUEUES, ("",)),
    "topic-misses": (("sns", "sns-fifo"), (":2", ":7")),
    "filter-always": (("sns", "sns-fifo"), (":attributes", ":body")),
    "filter-never": (("sns", "sns-fifo"), (":attributes", ":body")),
    "topic-reverses-batch": (("sns-fifo",), ("",)),
    "topic-no-dedup": (("sns-fifo",), ("",)),
    "rule-misses": (("eventbridge",), (":2", ":7")),
    "pattern-always": (("eventbridge",), (":exact", ":prefix")),
    "pattern-never": (("eventbridge",), (":exact", ":prefix")),
    "replay-misses": (("eventbridge",), (":2",)),
    "replay-unnamed": (("eventbridge",), ("",)),
    "reverse-reads": (("kinesis",), ("",)),
    "scatter-keys": (("kinesis",), ("",)),
    "misnumber-records": (("kinesis",), (":4",)),
    "reshard-drops-parent": (("kinesis",), ("",)),
    "merge-forgets-adjacent": (("kinesis",), ("",)),
    "throttle-records": (("kinesis",), (":4",)),
    "throttled-said-stored": (("kinesis",), (":4",)),
    "throttled-loses-call": (("kinesis",), (":4",)),
}
# They break no promise: what AWS may do too, and what no load and no consumer of ours can notice.
HARMLESS = (
    "throttle-records", "one-lock", "stale-receipt-refused", "dedup-never-forgets", "misnumber-at-receive",
    "topic-reverses-batch",
)  # fmt: skip
# They break a promise of AWS's of which no claim speaks: a message that comes again after its delete and after its
# hold; a delete by a receipt that is no good any more; a group in two shards at once, or in one whose parents are
# not all named.
UNCLAIMED = ("undelete", "stale-receipt-deletes", "batch-hides-failures", "scatter-keys", "merge-forgets-adjacent")
# What consumers and producers may do wrong.
BROKEN = (
    "none", "check-then-act", "claim-first", "in-progress", "delete-first", "continue", "checkpoint-before",
    "children-early", "unordered-retry", "no-retry", "dedup-reuse", "no-op", "forgotten", "wrong-filter",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """`at_s` counts from the load's start. `slot` picks a consumer; `part` whose requests the network loses.

    `holding`: of what strikes a consumer at one moment, that it waits until a message is in hand, and `seconds` more.

    `told`: whether the history has its records; nobody has to record a fault that he knows nothing of.
    """

    kind: str
    at_s: float
    for_s: float = 0.0
    slot: int = 0
    share: float = 1.0
    seconds: float = 0.0
    point: str | None = None
    nth: int | None = None
    part: str | None = None
    slow: bool = True
    noticed: bool = True
    holding: bool = False
    told: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class OnHost:
    """A host beside the conductor's: its clock is `ahead_ns` ahead at the start, and `rate_ppm` too fast; once it is
    stepped, by `step_ns`. What is in seconds counts from the load's start.

    `known`: it is measured, from `silent_s` on in vain; or nobody can, which is told (unknown) or not (untold).
    """

    name: str
    ahead_ns: int
    rate_ppm: int
    step_at_s: float | None = None
    step_ns: int = 0
    silent_s: float | None = None
    known: Literal["measured", "unknown", "untold"] = "measured"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """`scenario` is a document as YAML would give it; `planted` a defect of the broker; `broken` what consumers or
    producers do wrong. Durations in seconds. `clock_error_ns` bounds how far the clocks of processes of one host
    differ. Over `hosts` and the conductor's own, consumers and loads are spread in turn; without any all is on one.
    """

    seed: int
    scenario: Mapping[str, Any]
    faults: tuple[Fault, ...] = ()
    planted: str | None = None
    broken: str | None = None
    latency_s: tuple[float, float] = (0.001, 0.01)
    timeout_s: float = 2.0
    step_ns: int = 0
    clock_error_ns: int = 0
    hosts: tuple[OnHost, ...] = ()

    @property
    def transport(self) -> str:
        return str(self.scenario["transport"])

    def to_json(self) -> str:
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Plan:
        document = orjson.loads(text)
        faults = tuple(Fault(**fault) for fault in document.pop("faults"))
        hosts = tuple(OnHost(**host) for host in document.pop("hosts"))
        latency_s = tuple(document.pop("latency_s"))
        return cls(**document, faults=faults, hosts=hosts, latency_s=latency_s)


_FAILING = Fault(kind="fail-handler", at_s=0.2, for_s=3.0, share=0.5)
_UNSURE = Fault(kind="lose-answer", part="send", at_s=0.0, for_s=8.0, share=0.5, slow=False)
_AT_WORK = {"processing_time": "1500ms", "batch": 10, "concurrency": 1}
# Without what a planted defect can strike nothing, by the part of the scenario, and the faults.
_NEEDS: Mapping[str, tuple[Mapping[str, Mapping[str, Any]], Sequence[Fault]]] = {
    "forget-in-flight": ({}, (Fault(kind="crash-at", at_s=0.3, for_s=8.0, point="before-delete", nth=2),)),
    "overtake": ({"consumers": {"processing_time": "300ms", "batch": 1}, "load": {"groups": 1, "users": 1}}, ()),
    "early-redelivery": ({"topology": {"visibility_timeout": "4s"}, "consumers": _AT_WORK}, ()),
    "extend-unlocks": (
        {"topology": {"visibility_timeout": "2s"}, "consumers": {**_AT_WORK, "heartbeat": "600ms"},
         "load": {"groups": 1, "users": 1}},
        (),
    ),
    "no-dedup": ({}, (_UNSURE,)),
    "topic-no-dedup": ({}, (_UNSURE,)),
    "dedup-ignores-content": ({"load": {"dedup": "content"}}, (_UNSURE,)),
    "dedup-forgets-after-delete": (
        {}, (Fault(kind="late-request", at_s=0.0, for_s=8.0, share=0.5, seconds=3.0, part="send", slow=False),)
    ),
    "requeue-at-end": ({"load": {"groups": 1, "users": 1}}, (_FAILING,)),
    "reverse-reads": ({"load": {"groups": 1, "users": 1}, "consumers": {"processing_time": "300ms", "batch": 100}}, ()),
    "reorder": ({"load": {"groups": 1, "users": 1}, "consumers": {"processing_time": "300ms"}}, ()),
    "reshard-drops-parent": (
        {"consumers": {"processing_time": "300ms", "concurrency": 1}}, (Fault(kind="split", at_s=0.5),)
    ),
    "merge-forgets-adjacent": ({"topology": {"shards": 2}}, (Fault(kind="merge", at_s=0.5),)),
    "topic-reverses-batch": ({"load": {"batch": 10, "groups": 8, "users": 1, "rate": "100/s", "duration": "1s"}}, ()),
    "throttled-loses-call": ({"load": {"batch": 10, "groups": 8, "users": 1, "rate": "40/s", "duration": "1s"}}, ()),
}  # fmt: skip


def draw(seed: int, *, on_hosts: bool | None = None) -> Plan:
    """`on_hosts`: on several hosts, or on one; left out, the seed decides that, too. Without them a seed draws what it
    would draw if there were none."""
    dice = random.Random(f"{seed}:hosts")
    if on_hosts is None:
        on_hosts = dice.random() < _ON_HOSTS
    if not on_hosts:
        return _drawn(seed)
    if dice.random() < _REORDERED:
        plan = _drawn(seed, planted="reorder")
        # So that one host has what another one should have had before.
        plan.scenario["consumers"].update({"processes": 2, "pollers": 1, "batch": 1, "concurrency": 1})
    else:
        plan = _drawn(seed)
    duration_s = _s(plan.scenario["load"]["duration"])
    names = ("h1", "h2")[: dice.randint(1, 2)]
    return replace(plan, hosts=tuple(_host(dice, name, duration_s) for name in names))


def _drawn(seed: int, *, planted: str | None = None) -> Plan:
    """`planted`: the name of a defect that it is to have."""
    dice = random.Random(f"{seed}:plan")
    transport = dice.choice(TRANSPORTS if planted is None else PLANTED[planted][0])
    fault_free = dice.random() < 0.1
    broken = None
    match dice.randrange(4) if planted is None else 0:
        case 0:
            name = planted or dice.choice([name for name, (where, _) in PLANTED.items() if transport in where])
            planted = name + dice.choice(PLANTED[name][1])
        case 1:
            broken = dice.choice([name for name in BROKEN if _can_be(name, transport)])
    scenario = _scenario(dice, transport, planted, broken)
    slots = scenario["consumers"]["processes"] * len(scenario["topology"]["subscriptions"])
    faults = [] if fault_free else _faults(dice, transport, _s(scenario["load"]["duration"]), slots)
    if planted is not None and (needs := _NEEDS.get(planted.partition(":")[0])) is not None:
        for part, changes in needs[0].items():
            scenario[part] |= changes
        if scenario["load"]["users"] == 1:
            scenario["load"].pop("processes", None)
        faults += needs[1]
    return Plan(
        seed=seed,
        scenario=scenario,
        faults=tuple(sorted(faults, key=lambda fault: fault.at_s)),
        planted=planted,
        broken=broken,
        latency_s=dice.choice([(0.0, 0.0), (0.0005, 0.003), (0.001, 0.05), (0.0, 0.4)]),
        timeout_s=dice.choice([1.0, 2.0, 5.0]),
        step_ns=dice.choice([0, 1_000, 1_000, 50_000]),
        clock_error_ns=dice.choice([0] * 7 + [1_000_000, 50_000_000]),
    )


def _host(dice: random.Random, name: str, duration_s: float) -> OnHost:
    host = OnHost(
        name=name,
        ahead_ns=dice.choice([-1, 1]) * round(math.exp(dice.uniform(math.log(5e6), math.log(2e9)))),
        rate_ppm=dice.choice([0, dice.randint(-500, 500), -500, 500]),
    )
    match dice.randrange(16):
        case 0:
            step_ns = dice.choice([-1, 1]) * round(math.exp(dice.uniform(math.log(5e6), math.log(2e9))))
            return replace(host, step_at_s=dice.uniform(0, duration_s), step_ns=step_ns)
        case 1:
            return replace(host, known=dice.choice(["unknown", "untold"]))
        case 2:
            return replace(host, silent_s=dice.uniform(0, duration_s))
    return host


def _can_be(broken: str, transport: str) -> bool:
    match broken:
        case "checkpoint-before" | "children-early":
            return transport == "kinesis"
        case "delete-first":
            return transport != "kinesis"
        case "continue" | "unordered-retry":
            return transport in (*FIFO, "kinesis")
        case "dedup-reuse":
            return transport in FIFO
        case "forgotten" | "wrong-filter":
            return transport in ("sns", "eventbridge")
    return True


def _scenario(dice: random.Random, transport: str, planted: str | None, broken: str | None) -> dict[str, Any]:
    queue, fifo = transport != "kinesis", transport in FIFO
    named = (planted or "").partition(":")[0]
    subscriptions = _subscriptions(dice, transport, planted, broken)
    filtered = any("filter" in each or "pattern" in each for each in subscriptions)
    duration_s = dice.choice([1, 1, 1, 2, 2, 4, 8])
    messages = dice.choice([4, 12, 25, 40, 60])
    groups = dice.randint(1, 8)
    topology: dict[str, Any] = {"subscriptions": subscriptions}
    load: dict[str, Any] = {
        "shape": "constant",
        "rate": f"{messages / duration_s:g}/s",
        "duration": f"{duration_s}s",
        "groups": groups,
        "users": dice.randint(1, min(3, groups)),
        "batch": dice.choice([1, 3, 10]),
        "payload": "1B",
        "give_up": f"{dice.choice([3, 10, 30])}s",
    }
    if load["users"] > 1 and dice.random() < 0.2:
        load["processes"] = 2
    # Mostly so long that something is in hand when a fault strikes.
    processing_ms = dice.choice([0, 5, 50, 300, 300])
    consumers: dict[str, Any] = {
        "processes": dice.randint(1, 3),
        "concurrency": dice.randint(1, 4),
        "handler": "reference",
        "processing_time": f"{processing_ms}ms",
        "guard": "transaction",
        "on_term": dice.choice(["release", "finish", "abandon"]),
        "drain_timeout": f"{dice.choice([1, 10])}s",
        "restart_delay": f"{dice.choice([0, 300, 1000])}ms",
    }
    if queue:
        redrive = named == "redrive-loses" or dice.random() < 0.1
        hidden_s = dice.randint(1, 4)
        most = dice.choice([2, 3, 5, 10])
        topology |= {"visibility_timeout": f"{hidden_s}s", "max_receives": most}
        if not redrive and named != "no-dead-letter" and dice.random() < 0.2:
            topology["max_receives"] = None
        elif redrive or named == "no-dead-letter" or dice.random() < 0.5:
            load["poison"] = f"{dice.choice([5, 20])}%"
        if redrive:
            topology["redrive"] = True
        if dice.random() < 0.15:
            topology["delay"] = f"{dice.randint(1, 2)}s"
        consumers |= {
            "pollers": dice.randint(1, 2),
            "batch": dice.choice([1, 3, 10]),
            "wait": f"{dice.choice([0, 1, 1, 2, 5])}s",
        }
        in_hand = consumers["batch"] * consumers["pollers"] + consumers["concurrency"]
        if in_hand * processing_ms / consumers["concurrency"] > hidden_s * 1000:
            # Else all that is in hand may be somebody else's before it is begun, and then nothing ever ends.
            consumers |= {"batch": 1, "pollers": 1}
        if dice.random() < 0.3:
            consumers["heartbeat"] = f"{hidden_s * 300}ms"
        if dice.random() < 0.3:
            consumers["retry_delay"] = f"{dice.randint(1, 2)}s"
            if dice.random() < 0.5:
                consumers["retry_delay_max"] = "4s"
    else:
        topology["shards"] = dice.randint(1, 3)
        consumers |= {"batch": dice.choice([1, 5, 100]), "lease": f"{dice.choice([1, 2])}s"}
    if transport == "eventbridge" and (named.startswith("replay") or dice.random() < 0.15):
        topology["replay"] = True
    if fifo and dice.random() < 0.2:
        load["dedup"] = "content"
    if dice.random() < 0.1:
        topology["settle"] = f"{dice.randint(1, 3)}s"
    if dice.random() < 0.15:
        # What is settled only when all is done must be done within a visibility timeout, or it never will be.
        consumers |= {"after_failure": "fail-batch", "processing_time": "5ms"}
    _break(broken, load, consumers, dice)
    return {
        "name": "sim",
        "transport": transport,
        "topology": topology,
        "load": load,
        "consumers": consumers,
        "claims": _claims(transport, topology, consumers, filtered=filtered),
        # A correct run drains before, however slow it is made; one of a broker with a defect may never.
        "drain_timeout": "300s" if planted is None else "60s",
    }


def _break(broken: str | None, load: dict[str, Any], consumers: dict[str, Any], dice: random.Random) -> None:
    match broken:
        case "none" | "check-then-act" | "claim-first":
            consumers["guard"] = broken
        case "in-progress":
            consumers |= {"guard": broken, "guard_expiry": f"{dice.choice([200, 1000, 5000])}ms"}
        case "delete-first" | "no-op":
            consumers["handler"] = broken
        case "continue":
            consumers["after_failure"] = "continue"
        case "checkpoint-before":
            consumers |= {"checkpoint": "before", "after_failure": "stop"}
        case "children-early":
            consumers["children"] = "early"
        case "unordered-retry":
            load["retry"] = "unordered"
        case "no-retry":
            load["retry"] = "none"
            del load["give_up"]
        case "dedup-reuse":
            load["dedup_reuse"] = "20%"


def _subscriptions(
    dice: random.Random, transport: str, planted: str | None, broken: str | None
) -> list[dict[str, Any]]:
    subscriptions: list[dict[str, Any]] = [{"name": "orders"}]
    if transport in ("sqs", "sqs-fifo"):
        return subscriptions
    if dice.random() < 0.5 or broken in ("forgotten", "wrong-filter"):
        subscriptions.append({"name": "audit"})
    first = subscriptions[0]
    named = (planted or "").partition(":")[0]
    wants_filter = named.startswith(("filter", "pattern")) or broken == "wrong-filter"
    if transport == "kinesis" or not (wants_filter or dice.random() < 0.3):
        if transport == "sns":
            first["raw"] = dice.random() < 0.5
    elif transport == "eventbridge":
        first["pattern"] = dice.choice(
            [
                {"detail": {"currency": ["EUR", "USD"], "customerId": [{"prefix": "customer-"}]}},
                {"detail": {"currency": ["EUR"], "customerId": [{"prefix": "customer-0"}]}},
            ]
        )
        if broken == "wrong-filter":
            first["deployed"] = {"pattern": {"detail": {"currency": ["GBP"]}}}
    else:
        on_body = (planted or "").endswith(":body") or (not wants_filter and dice.random() < 0.5)
        if on_body:
            first |= {"filter_on": "body", "filter": {"detail": {"currency": ["EUR", "USD"]}}}
        else:
            first["filter"] = {"currency": ["EUR", "USD"]}
        if broken == "wrong-filter":
            first["deployed"] = {"filter": {"currency": ["GBP"]}}
        if transport == "sns-fifo" and dice.random() < 0.5:
            # Held to more than AWS promises, as a scenario may.
            first["promises"] = "at-least-once"
    if broken == "forgotten":
        subscriptions[1]["deployed"] = {"missing": True}
    return subscriptions


def _claims(transport: str, topology: Mapping[str, Any], consumers: Mapping[str, Any], *, filtered: bool) -> list[Any]:
    claims: list[Any] = ["all-accepted", "no-loss", "no-phantom", "fanout-complete"]
    claims.append({"claim": "lag", "max": "3s", "during": "all"})
    if consumers["handler"] != "no-op":
        claims += ["at-least-once-effect", "exactly-once-effect"]
    if transport in FIFO:
        claims += ["exactly-once-delivery", "ordered-per-group"]
    if transport == "kinesis":
        claims.append("ordered-per-partition")
    if transport in (*FIFO, "kinesis") and consumers["handler"] != "no-op":
        claims.append("ordered-effects")
    if topology.get("max_receives") is not None:
        claims.append("dead-letter")
    if filtered:
        claims.append("filter-correct")
    if topology.get("replay"):
        claims.append("replay-complete")
    return claims


def _faults(dice: random.Random, transport: str, duration_s: float, slots: int) -> list[Fault]:
    faults: list[Fault] = []
    if transport == "kinesis" and dice.random() < 0.4:
        kind = dice.choice(["split", "merge"])
        faults.append(Fault(kind=kind, at_s=dice.uniform(0, duration_s), told=dice.random() < 0.5))
    for _ in range(dice.choice([0, 1, 1, 2, 3, 5])):
        faults.append(_fault(dice, transport, duration_s, slots))
    return faults


def _fault(dice: random.Random, transport: str, duration_s: float, slots: int) -> Fault:
    fault = _drawn_fault(dice, transport, duration_s, slots)
    # Half of them are on record; one that strikes nobody proves nothing, and then no claim holds.
    return replace(fault, told=dice.random() < 0.5)


def _drawn_fault(dice: random.Random, transport: str, duration_s: float, slots: int) -> Fault:
    at_s, for_s = dice.uniform(0, duration_s), dice.choice([0.2, 1.0, 3.0, 8.0])
    slot = dice.randrange(slots)
    match dice.randrange(9):
        case 0 | 1:
            kind = dice.choice(["kill", "kill-in-write", "term"])
            noticed, holding, seconds = dice.random() < 0.7, dice.random() < 0.7, dice.choice([0.0, 0.02, 0.3])
            return Fault(kind=kind, at_s=at_s, slot=slot, noticed=noticed, holding=holding, seconds=seconds)
        case 2:
            holding, seconds = dice.random() < 0.7, dice.choice([0.0, 0.02, 0.3])
            return Fault(kind="pause", at_s=at_s, for_s=for_s, slot=slot, holding=holding, seconds=seconds)
        case 3 | 4:
            nth, share = (dice.randint(1, 6), 1.0) if dice.random() < 0.7 else (None, dice.choice([0.05, 0.3]))
            return Fault(
                kind="crash-at", at_s=at_s, for_s=for_s, slot=slot, point=dice.choice(POINTS), nth=nth, share=share,
                noticed=dice.random() < 0.7,
            )  # fmt: skip
        case 5:
            kind = dice.choice(["stretch-processing", "fail-handler"])
            kind = "lose-delete" if transport != "kinesis" and dice.random() < 0.3 else kind
            share = dice.choice([0.1, 0.3, 1.0])
            return Fault(
                kind=kind, at_s=at_s, for_s=for_s, slot=slot, share=share, seconds=dice.choice([0.5, 2.5, 5.0])
            )
        case 6:
            # What a wire does to what is sent: a reply is lost at once, entries are refused.
            kind, share = dice.choice(["lose-answer", "refuse-entries"]), dice.choice([0.1, 0.5, 1.0])
            return Fault(kind=kind, part="send", at_s=at_s, for_s=for_s, share=share, slow=False)
    kind = dice.choice(ON_NETWORK)
    parts = [part for part in PARTS if part != "leases" or transport == "kinesis"]
    if kind.endswith("-entries"):
        # Nothing else comes in batches; of a stream only what is sent.
        parts = ["send"] if transport == "kinesis" else ["send", "settle"]
    return Fault(
        kind=kind,
        at_s=at_s,
        for_s=for_s,
        part=dice.choice(parts),
        share=dice.choice([0.1, 0.5, 1.0]),
        seconds=dice.choice([0.3, 1.5, 3.0, 6.0]),
        slow=dice.random() < 0.5,
    )


def _s(duration: str) -> float:
    return float(duration.removesuffix("s"))


@dataclass
class Counts:
    """How often something was reached, by name."""

    of: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, times: int = 1) -> None:
        self.of[name] = self.of.get(name, 0) + times

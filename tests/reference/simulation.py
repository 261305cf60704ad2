"""Writes run directories of a simulated service: small, of every shape, deterministic by seed.

Producers, consumers, an injector of faults and a conductor run against the simulated broker in simulated time and
record what they do by the contract. They are correct, and the broker is legal, however often they are killed or
paused and replies are lost; unless the plan plants defects, each of which breaks one promise. The run directories are
food for judges: what a legal run must never be blamed for, and what a broken one should be caught at.
"""

from __future__ import annotations

import gzip
import random
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from tests.reference.broker import LEASE, Answer, Delivery, Letter, Mischief, Partition, Queue, Stored, Stream, Topic
from tests.reference.hosts import spread
from tests.reference.mapping import Functions, Service, roll
from tests.reference.reading import CLAIMS
from tests.reference.world import EPOCH, MILLISECOND, SECOND, Call, Process, Script, Ticket, World

# What may be planted, by the shape of the run that it needs. What is named twice is planted more often.
QUEUE_DEFECTS = ("lose", "forget", "duplicate", "phantom", "corrupt", "store refused")
ORDERED_QUEUE_DEFECTS = ("early", "undelete", "twice", "reorder", "overtake", "overtake", "misnumber")
TOPIC_DEFECTS = ("misroute", "misroute", "misroute")
DEAD_LETTER_DEFECTS = ("overreceive", "lose dead", "lose redriven", "lose redriven", "swallow poison", "fail healthy")
# What an archive sends again has no place in an order.
REPLAY_DEFECTS = ("skip replayed", "skip replayed")
STREAM_DEFECTS = ("lose", "duplicate", "reorder", "phantom", "corrupt", "misnumber", "store refused")
LEASE_DEFECTS = ("child first", "child first", "unfenced", "unfenced")
ORDERED_DEFECTS = ("backwards", "impatient")
PROCESS_DEFECTS = (
    "no guard",
    "lose effect",
    "skip effect",
    "fail healthy",
    "refuse all",
    "idle fault",
    "slow",
    "terse",
    "mute",
    "swap calls",
)
FILE_DEFECTS = (
    "damaged line",
    "missing file",
    "torn after closed",
    "another unit",
    "another unit",
    "plain and packed",
    "cut packed",
    "one id twice",
    "one id twice",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """One subscription of the plan."""

    name: str
    kind: str
    ordered_by: str | None
    visibility: int
    max_receives: int | None
    dead_letter: bool
    window: int | None
    filtered: bool
    settle: int
    effective_from: int | None
    promises: str

    def manifest(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "ordered_by": self.ordered_by,
            "visibility_timeout_s": self.visibility / SECOND if self.kind == "queue" else None,
            "max_receives": self.max_receives,
            "dead_letter": self.dead_letter,
            "dedup_window_s": None if self.window is None else self.window / SECOND,
            "filtered": self.filtered,
            "settle_s": self.settle / SECOND,
            "effective_from": self.effective_from,
            "promises": self.promises,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Parcel:
    """One message of the plan. `number` counts them; two of one `id` are a producer's mistake."""

    number: int
    id: str
    producer: str
    group: str | None
    seq: int
    due: int
    expect: frozenset[str]
    poison: bool
    tenant_class: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Everything that is decided before the simulation starts."""

    target: str
    specs: tuple[Spec, ...]
    parcels: tuple[Parcel, ...]
    producers: int
    consumers: int
    clock_error: int
    declared_error: int
    tick: int
    grain: int
    flaky: float
    stormy: bool
    numbered_sends: bool
    numbered_receives: bool
    whole_groups: bool
    batch: int
    receive_batch: int
    attempts: int
    ahead: int
    send_timeout: int
    refusals: float
    abandons_groups: bool
    counts_attempts: str
    clock_first: float
    overlaps: float
    names_calls: float
    counts: str
    loads: str
    one_process: bool
    packed: float
    keeps_effects: bool
    reads_effects: bool
    drains: bool
    redrives: bool
    replays: bool
    guarded: bool
    fails: float
    heartbeats: float
    extends_alike: bool
    handler: int
    deletes_at_end: bool
    faults: tuple[str, ...]
    reshards: int
    drops_before: bool
    planted: Mapping[str, int]
    file_defects: tuple[str, ...]
    claims: tuple[dict[str, Any], ...]


def plan(chance: random.Random, *, legal: bool) -> Plan:
    """Rolls the dice for one run."""
    target = chance.choices(("queue", "topic", "stream"), (5, 4, 3))[0]
    ordered = target == "stream" or chance.random() < 0.65
    planted: dict[str, int] = {}
    file_defects: tuple[str, ...] = ()
    if not legal and chance.random() < 0.85:
        pool = _pool(target, ordered)
        planted = {name: chance.choice((1, 1, 2, 3, 8)) for name in chance.sample(pool, chance.choice((1, 1, 2)))}
        if chance.random() < 0.1:
            file_defects = (chance.choice(FILE_DEFECTS),)
    counts = "right" if chance.random() < 0.75 else chance.choice(("absent", "sparse", "one"))
    if counts != "right" and not legal and ordered and target != "stream" and chance.random() < 0.4:
        planted["early"] = chance.choice((1, 3, 8))
    specs = _specs(chance, target, ordered, planted)
    crowd = chance.random() < 0.07
    count = chance.randint(120, 170) if crowd else chance.randint(5, 60)
    parcels = _parcels(chance, specs, planted, file_defects, count=count)
    clock_error = 0 if chance.random() < 0.55 else chance.choice((2, 200, 200, 1000, 3000)) * MILLISECOND
    wrong_clocks = not legal and chance.random() < 0.06
    grain = chance.choice((1, 1, MILLISECOND))
    busy = bool({"overtake", "unfenced", "child first"} & set(planted))
    return Plan(
        target=target,
        specs=specs,
        parcels=parcels,
        producers=len({parcel.producer for parcel in parcels}),
        consumers=chance.choice((2, 3) if busy else (1, 2, 2, 3)),
        clock_error=chance.choice((SECOND, 5 * SECOND)) if wrong_clocks else clock_error,
        declared_error=chance.choice((0, 0, 50 * MILLISECOND)) if wrong_clocks else clock_error,
        tick=chance.choice((MILLISECOND, MILLISECOND, 10 * MILLISECOND)),
        grain=grain,
        flaky=chance.choice((0.0, 0.0, 0.0, 0.03, 0.15, 0.3)),
        stormy=chance.random() < 0.3,
        numbered_sends=chance.random() < 0.85,
        numbered_receives=chance.random() < 0.85,
        whole_groups=chance.random() < 0.5,
        batch=chance.choice((1, 1, 3, 10)),
        receive_batch=chance.choice((1, 3, 10)),
        attempts=chance.choice((1, 2, 4)),
        ahead=chance.choice((500 * MILLISECOND, SECOND)) if chance.random() < 0.1 else 0,
        send_timeout=chance.choice((200 * MILLISECOND, SECOND)),
        refusals=1.0 if "refuse all" in planted else 0.0 if chance.random() < 0.75 else chance.choice((0.05, 0.1, 0.4)),
        abandons_groups=chance.random() < (0.1 if crowd else 0.3),
        counts_attempts=chance.choice(("on", "on", "on", "on", "anew", "never", "twice")),
        clock_first=chance.choice((0.0, 0.0, 0.5, 1.0)),
        overlaps=chance.choice((0.0, 0.0, 0.0, 0.3)),
        names_calls=chance.choice((0.0, 0.0, 0.5, 1.0)),
        counts=counts,
        loads=chance.choice(("told",) * 12 + ("untold", "endless", "two", "half")),
        one_process=chance.random() < 0.08,
        packed=1.0 if "cut packed" in file_defects else 0.5 if chance.random() < 0.15 else 0.0,
        keeps_effects=chance.random() < 0.9,
        reads_effects=chance.random() < 0.6,
        drains=chance.random() < 0.9,
        redrives=chance.random() < 0.5 or "lose redriven" in planted,
        guarded="no guard" not in planted and (legal or chance.random() < 0.9),
        fails=0.4 if "fail healthy" in planted else chance.choice((0.0, 0.0, 0.1)),
        heartbeats=chance.choice((0.0, 0.0, 0.3)),
        # Of several that are open at once nobody knows which the service takes last.
        extends_alike=legal or chance.random() < 0.3,
        handler=chance.choice((10 * MILLISECOND, 50 * MILLISECOND, 300 * MILLISECOND)),
        deletes_at_end=chance.random() < 0.3,
        faults=_faults(chance, planted, crowd=crowd),
        reshards=chance.choice((2, 3) if busy else (0, 1, 2, 3)) if target == "stream" else 0,
        drops_before=not legal and chance.random() < 0.5,
        planted=planted,
        file_defects=file_defects,
        replays=target != "stream" and not ordered and ("skip replayed" in planted or chance.random() < 0.4),
        claims=_claims(chance, crowd=crowd),
    )


def with_tenants(rolled: Plan, seed: int, *, legal: bool) -> Plan:
    """Some have tenants, by a die of their own: what else is rolled stays as it was. Mostly they are too few to tell
    anything of; some are a crowd, in which a noise begins that the consumers cannot keep up with."""
    die = random.Random(f"{seed}: tenants")
    if die.random() >= 0.1:
        return rolled
    both = {"quiet_p99_s": die.choice((0.5, 2, 5, 20)), "times_baseline": die.choice((1.5, 5, 20))}
    named = die.choice((list(both), list(both)[:1], list(both)[1:]))
    rolled = replace(rolled, claims=(*rolled.claims, {"claim": "fair", **{name: both[name] for name in named}}))
    quiet = die.choice((("quiet",), ("quiet",), ("gold", "silver")))
    if die.random() < 0.25 and "one id twice" not in rolled.file_defects:
        return _noisy_crowd(rolled, die, quiet, legal=legal)
    since = len(rolled.parcels) // 3
    classes = [die.choice((*quiet, *["noisy"] * (n >= since))) if die.random() < 0.97 else None for n in range(10_000)]
    parcels = tuple(replace(parcel, tenant_class=classes[parcel.number]) for parcel in rolled.parcels)
    return replace(rolled, parcels=parcels)


def _noisy_crowd(rolled: Plan, die: random.Random, quiet: tuple[str, ...], *, legal: bool) -> Plan:
    """A Standard queue and a slow consumer, with about as many messages as it takes to tell a p99."""
    spec = replace(rolled.specs[0], kind="queue", ordered_by=None, window=None, filtered=False, effective_from=None)
    before, during = (die.choice((98, 103, 110, 115)) for _ in range(2))
    noisy = [*(["noisy"] * die.choice((99, 110, 150))), *(quiet[n % len(quiet)] for n in range(during * len(quiet)))]
    die.shuffle(noisy)
    due = EPOCH + SECOND
    parcels = []
    for number, name in enumerate([*(quiet[n % len(quiet)] for n in range(before * len(quiet))), *noisy]):
        due += (300 if number < before * len(quiet) else die.choice((20, 60))) * MILLISECOND
        parcels.append(
            Parcel(
                number=number,
                id=f"m{number}",
                producer="producer0",
                group=None,
                seq=number + 1,
                due=due,
                expect=frozenset({spec.name}),
                poison=False,
                tenant_class=name,
            )
        )
    planted = {name: count for name, count in rolled.planted.items() if name in ("lose", "duplicate", "slow")}
    if not legal and die.random() < 0.4:
        planted["unfair"] = 1
    return replace(
        rolled,
        target="queue",
        specs=(spec,),
        parcels=tuple(parcels),
        producers=1,
        consumers=die.choice((1, 2)),
        handler=die.choice((100, 300)) * MILLISECOND,
        receive_batch=die.choice((1, 3)),
        batch=10,
        faults=rolled.faults[:1] if die.random() < 0.15 else (),
        loads=rolled.loads if die.random() < 0.2 else "told",
        file_defects=(),
        ahead=0,
        flaky=rolled.flaky if die.random() < 0.3 else 0.0,
        refusals=rolled.refusals if die.random() < 0.3 else 0.0,
        reshards=0,
        replays=False,
        fails=0.0,
        planted=planted,
    )


def _pool(target: str, ordered: bool) -> list[str]:
    pool = list(PROCESS_DEFECTS)
    if target == "stream":
        pool += STREAM_DEFECTS + LEASE_DEFECTS
    else:
        pool += QUEUE_DEFECTS + DEAD_LETTER_DEFECTS
        pool += TOPIC_DEFECTS if target == "topic" else ()
        pool += ORDERED_QUEUE_DEFECTS if ordered else REPLAY_DEFECTS
    return pool + list(ORDERED_DEFECTS if ordered else ())


def _specs(chance: random.Random, target: str, ordered: bool, planted: Mapping[str, int]) -> tuple[Spec, ...]:
    count = {"queue": 1, "topic": chance.choice((1, 2, 2, 3)), "stream": chance.choice((1, 1, 2))}[target]
    window = chance.choice((300 * SECOND, 300 * SECOND, 3 * SECOND, None)) if ordered else None
    specs: list[Spec] = []
    for index in range(count):
        kind = "stream" if target == "stream" else "queue"
        needed = bool(set(DEAD_LETTER_DEFECTS) & set(planted))
        dead_letter = kind == "queue" and (needed or chance.random() < 0.6)
        filtered = target == "topic" and ("misroute" in planted or chance.random() < 0.5)
        # What is dropped there stays dropped: a retry within the window is no second chance.
        behind_filter = filtered and window == 300 * SECOND and chance.random() < 0.5
        specs.append(
            Spec(
                name=f"s{index}",
                kind=kind,
                ordered_by=("partition" if kind == "stream" else "group") if ordered else None,
                visibility=chance.choice((2 * SECOND, 2 * SECOND, 5 * SECOND)),
                max_receives=chance.choice((1, 2, 3, 5)) if dead_letter else None,
                dead_letter=dead_letter,
                window=window if kind == "queue" else None,
                filtered=filtered,
                settle=2 * SECOND if target == "topic" else chance.choice((0, 0, SECOND)),
                effective_from=EPOCH + 2 * SECOND if filtered and chance.random() < 0.3 else None,
                promises="at-most-once" if behind_filter else "at-least-once",
            )
        )
    return tuple(specs)


def _parcels(
    chance: random.Random,
    specs: tuple[Spec, ...],
    planted: Mapping[str, int],
    file_defects: tuple[str, ...],
    *,
    count: int,
) -> tuple[Parcel, ...]:
    groups = [f"g{index}" for index in range(chance.choice((1, 2, 4, 8)))]
    producers = [f"producer{index}" for index in range(chance.choice((1, 1, 2)))]
    gap = chance.choice((20, 100, 400)) * MILLISECOND
    wanted = bool(set(DEAD_LETTER_DEFECTS) & set(planted))
    poison = chance.choice((0.1, 0.2) if wanted else (0.0, 0.05, 0.15))
    if not all(spec.dead_letter for spec in specs):
        poison = 0.0
    grouped = specs[0].ordered_by is not None or chance.random() < 0.3
    numbers: Counter[tuple[str, str | None]] = Counter()
    parcels: list[Parcel] = []
    for index in range(count):
        producer = chance.choice(producers)
        group = chance.choice(groups) if grouped else None
        numbers[producer, group] += 1
        parcels.append(
            Parcel(
                number=index,
                id=f"m{index}",
                producer=producer,
                group=group,
                seq=numbers[producer, group],
                due=EPOCH + SECOND + index * gap,
                expect=frozenset(spec.name for spec in specs if not spec.filtered or chance.random() < 0.6),
                poison=chance.random() < poison,
            )
        )
    if "one id twice" in file_defects:
        first, second = sorted(chance.sample(range(count), 2))
        parcels[second] = replace(parcels[second], id=parcels[first].id)
    return tuple(parcels)


def _faults(chance: random.Random, planted: Mapping[str, int], *, crowd: bool) -> tuple[str, ...]:
    common = ("kill consumer", "kill consumer", "pause consumer", "kill producer", "pause producer", "storm")
    kinds = (*common, *common, "throttle")
    faults = [chance.choice(kinds) for _ in range(chance.choice((0, 1, 1) if crowd else (0, 1, 1, 2, 4, 8)))]
    if "unfenced" in planted:
        faults += ["pause consumer"] * 2
    return (*faults, *(["idle"] if "idle fault" in planted else []))


def _claims(chance: random.Random, *, crowd: bool) -> tuple[dict[str, Any], ...]:
    strict = chance.random() < 0.3
    claims: list[dict[str, Any]] = [
        {"claim": chance.choice(("no-loss", "at-least-once"))},
        *(
            {"claim": name, **({"strict": True} if strict and "strict" in bounds else {})}
            for name, bounds in CLAIMS.items()
            if name not in ("no-loss", "at-least-once") and bounds <= {"strict"}
        ),
    ]
    claims += [_lag(chance, during, crowd=crowd) for during in ("calm", "faults", "all") if chance.random() < 0.6]
    claims.append({"claim": "recovery", "within_s": chance.choice((0.5, 3, 10))})
    return tuple(claims)


def _lag(chance: random.Random, during: str, *, crowd: bool) -> dict[str, Any]:
    """Quantiles are known in a crowd only."""
    lag: dict[str, Any] = {"claim": "lag"}
    if not crowd or chance.random() < 0.3:
        lag["max_s"] = chance.choice((0.3, 1, 5, 60))
    if during != "calm" or chance.random() < 0.3:
        lag["during"] = during
    if crowd or chance.random() < 0.1:
        bounds = {"p50_s": chance.choice((0.2, 0.5, 1, 5)), "p99_s": chance.choice((1, 2, 5, 20))}
        lag |= chance.choice((bounds, bounds, {"p50_s": bounds["p50_s"]}, {"p99_s": bounds["p99_s"]}))
    if chance.random() < 0.3:
        lag["grace_s"] = chance.choice((0, 1, 20))
    return lag


@dataclass(kw_only=True, slots=True)
class Desk:
    """What one producer still has to send; it outlives the process that sits at it."""

    pending: list[Parcel]
    attempts: Counter[int | str] = field(default_factory=Counter)


@dataclass(frozen=True, kw_only=True, slots=True)
class Begun:
    """A call of which the answer is still to come."""

    record: dict[str, Any]
    started: int
    ticket: Ticket


def _nameless(record: dict[str, Any], nameless: bool) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "call" or not nameless}


class Scene:
    """One simulation: the plan, the broker, and every process in it."""

    def __init__(self, world: World, plan: Plan, functions: Mapping[str, Functions]) -> None:
        self.world = world
        self.plan = plan
        self.chance = world.chance
        self.mischief = Mischief(world.chance, plan.planted)
        self.specs = {spec.name: spec for spec in plan.specs}
        self.parcels = {parcel.id: parcel for parcel in plan.parcels}
        self.store: Counter[tuple[str, str]] = Counter()
        self.desks = {
            name: Desk(pending=[parcel for parcel in plan.parcels if parcel.producer == name])
            for name in sorted({parcel.producer for parcel in plan.parcels})
        }
        self.producing: dict[str, Process] = {}
        self.consuming: dict[tuple[str, int], Process] = {}
        self.injectors: list[Process] = []
        self.replacements_due = 0
        self.throttles = 0
        self.stopping = False
        self.names = 0
        self.described: set[tuple[str, int]] = set()
        self.conductor = Process(world, "conductor", "conductor.jsonl")
        self.shared = self.spawn_shared() if plan.one_process else None
        self.queues: dict[str, Queue] = {}
        self.stream: Stream | None = None
        self.topic: Topic | None = None
        self.send: Callable[[list[Letter], Callable[[], bool]], list[Answer]]
        if plan.target == "stream":
            self.stream = Stream(
                world, self.mischief, partitions=self.chance.choice((1, 2, 3)), subscriptions=list(self.specs)
            )
            self.send = self.stream.send
        else:
            for index, spec in enumerate(plan.specs):
                self.queues[spec.name] = Queue(
                    world,
                    self.mischief,
                    name=spec.name,
                    ordered=spec.ordered_by is not None,
                    window=spec.window,
                    max_receives=spec.max_receives,
                    dead_letter=spec.dead_letter,
                    tick=plan.tick,
                    first_number=self.chance.choice((9_990, 10**18, 10**20 - 20)) + index,
                    counts=plan.counts,
                )
            self.topic = Topic(
                world,
                self.mischief,
                queues=list(self.queues.values()),
                direct=plan.target == "queue",
                ordered=plan.specs[0].ordered_by is not None,
                window=plan.specs[0].window,
                delay=SECOND,
                at_most_once=frozenset(spec.name for spec in plan.specs if spec.promises == "at-most-once"),
                effective_from={
                    spec.name: spec.effective_from for spec in plan.specs if spec.effective_from is not None
                },
                drops_before=plan.drops_before,
            )
            self.send = self.topic.send
        self.services = {name: Service(self, self.specs[name], functions[name]) for name in functions}

    def new_name(self, prefix: str) -> str:
        self.names += 1
        return f"{prefix}{self.names}"

    def spawn(self, role: str, *, by: Process) -> Process:
        """Lists the file of a new process, then creates it."""
        file = self.new_name(f"{role}-") + ".jsonl"
        by.write({"event": "mark", "name": "writer", "file": file})
        return Process(self.world, role, file)

    def spawn_shared(self) -> Process:
        """The file and the clock of the one process that produces and consumes."""
        self.conductor.write({"event": "mark", "name": "writer", "file": "both.jsonl"})
        return Process(self.world, "both", "both.jsonl")

    def part_of_shared(self, role: str) -> Process:
        """A part of that process. Its parts die one by one here, so that none of them closes the file."""
        assert self.shared is not None
        part = Process(self.world, role, self.shared.file)
        part.skew, part.closes = self.shared.skew, False
        return part

    # -- producers -------------------------------------------------------------------------------------------------

    def hire_producer(self, name: str, *, by: Process, skip_doubtful: bool) -> Process:
        process = self.part_of_shared(name) if self.shared and name == "producer0" else self.spawn(name, by=by)
        self.producing[name] = process
        process.start(self.produce(process, name, skip_doubtful=skip_doubtful))
        return process

    def produce(self, process: Process, name: str, *, skip_doubtful: bool) -> Script:
        """Sends in order: what is not acknowledged is tried again before anything later of its group is sent. What is
        given up may take the rest of its group with it."""
        desk = self.desks[name]
        if skip_doubtful:
            desk.pending = [parcel for parcel in desk.pending if not desk.attempts[self.counted_as(parcel)]]
        if self.plan.counts_attempts == "anew":
            desk.attempts.clear()
        while desk.pending:
            batch = self.next_batch(desk)
            yield max(0, batch[0].due - self.plan.ahead - self.world.now)
            left = batch
            for _ in range(self.plan.attempts):
                left = yield from self.attempt(process, desk, left)
                if not left:
                    break
                yield self.world.between(MILLISECOND, 300 * MILLISECOND)
            abandoned = {parcel.group for parcel in left if parcel.group is not None and self.plan.abandons_groups}
            desk.pending = [parcel for parcel in desk.pending if parcel not in batch and parcel.group not in abandoned]
        process.close()

    def next_batch(self, desk: Desk) -> list[Parcel]:
        first = desk.pending[0]
        latest = max(first.due, self.world.now)
        batch: list[Parcel] = []
        groups: set[str | None] = set()
        for parcel in desk.pending:
            if len(batch) == self.plan.batch or (batch and parcel.due > latest):
                break
            if parcel.group in groups and parcel.group is not None and not self.whole_groups():
                continue
            groups.add(parcel.group)
            batch.append(parcel)
        if self.mischief.strikes("impatient") and len(desk.pending) > len(batch):
            batch[0] = next(parcel for parcel in desk.pending if parcel not in batch)
        return batch

    def whole_groups(self) -> bool:
        return self.plan.whole_groups and self.plan.target != "stream"

    def attempt(self, process: Process, desk: Desk, batch: list[Parcel]) -> Any:
        for parcel in batch:
            if self.plan.counts_attempts != "never" or not desk.attempts[self.counted_as(parcel)]:
                desk.attempts[self.counted_as(parcel)] += 1
        started, clock_first = process.clock, self.chance.random() < self.plan.clock_first
        if clock_first:
            yield self.world.grain
        intents = [self.intent(process, parcel, desk.attempts[self.counted_as(parcel)]) for parcel in batch]
        if self.plan.counts_attempts == "twice" and self.chance.random() < 0.2:
            intents += intents
        process.write(*intents)
        yield self.chance.choice((0, self.world.grain))
        started, call = started if clock_first else process.clock, self.new_name("call")
        refused = self.chance.random() < self.plan.refusals
        letters = [
            Letter(id=parcel.id, group=parcel.group, expect=parcel.expect, noisy=parcel.tenant_class == "noisy")
            for parcel in batch
        ]

        def refuse() -> bool:
            if self.throttles:
                return True
            return refused if self.whole_groups() else self.chance.random() < self.plan.refusals

        answers: list[Answer] | None = yield Call(
            action=lambda: self.send(letters, refuse), timeout=self.plan.send_timeout
        )
        numbered = self.plan.numbered_sends and self.plan.specs[0].ordered_by is not None
        process.write(
            *(
                {
                    "event": "sent",
                    "id": parcel.id,
                    "attempt": desk.attempts[self.counted_as(parcel)],
                    "started": started,
                    "outcome": answer.outcome,
                    "error": None if answer.outcome == "ok" else "refused" if answers else "timeout",
                    "broker_id": answer.broker_id,
                    "broker_seq": str(answer.number) if numbered and answer.number is not None else None,
                    "partition": answer.partition,
                    "call": call,
                    "entry": entry,
                }
                for entry, (parcel, answer) in enumerate(
                    zip(batch, answers or [Answer(outcome="unknown")] * len(batch), strict=True)
                )
            )
        )
        if answers is None:
            return batch
        return [parcel for parcel, answer in zip(batch, answers, strict=True) if answer.outcome != "ok"]

    def counted_as(self, parcel: Parcel) -> int | str:
        """What the attempts are counted by: it matters only where two messages have one id."""
        return parcel.id if self.plan.counts_attempts == "on" else parcel.number

    def intent(self, process: Process, parcel: Parcel, attempt: int) -> dict[str, Any]:
        """In full the first time that this process says it: nobody knows what a killed one still wrote."""
        short = {"event": "intended", "id": parcel.id, "attempt": attempt, "producer": parcel.producer}
        said = (process.file, parcel.number) in self.described and attempt > 1
        self.described.add((process.file, parcel.number))
        if said and self.chance.random() < 0.7:
            return short
        return short | {
            "group": parcel.group,
            "seq": parcel.seq,
            "due": parcel.due,
            "expect": sorted(parcel.expect),
            "bytes": 100,
            "poison": parcel.poison,
            **({"tenant_class": parcel.tenant_class} if parcel.tenant_class is not None else {}),
        }

    # -- consumers -------------------------------------------------------------------------------------------------

    def hire_consumer(self, name: str, index: int, *, by: Process) -> Process:
        role = f"consumer-{name}-{index}"
        shared = self.shared is not None and (name, index) == (next(iter(self.specs)), 0)
        process = self.part_of_shared(role) if shared else self.spawn(role, by=by)
        self.consuming[name, index] = process
        spec = self.specs[name]
        if name in self.services:
            service = self.services[name]
            process.start(service.follow(process) if spec.kind == "stream" else service.poll(process))
            return process
        process.start(self.follow(process, spec) if spec.kind == "stream" else self.consume(process, spec))
        return process

    def nap(self) -> int:
        return self.world.between(50 * MILLISECOND, 500 * MILLISECOND)

    def consume(self, process: Process, spec: Spec) -> Script:
        """Receives from a queue, handles in order, and goes no further in a group after a failure in it."""
        queue = self.queues[spec.name]
        while not self.stopping:
            batch, started = self.new_name("batch"), process.clock
            deliveries: list[Delivery] | None = yield Call(
                action=lambda: queue.receive(self.plan.receive_batch, spec.visibility), timeout=SECOND
            )
            if not deliveries:
                yield self.nap()
                continue
            process.write(*(self.receipt(process, spec, one, batch, started) for one in deliveries))
            if self.mischief.strikes("backwards", 0.7):
                deliveries.reverse()
            yield from self.work_through(process, spec, deliveries, batch)
        process.close()

    def work_through(self, process: Process, spec: Spec, deliveries: list[Delivery], batch: str) -> Script:
        failed: set[str] = set()
        handled: list[Delivery] = []
        careless = self.mischief.strikes("backwards", 0.3)
        for one in deliveries:
            group = one.group or one.id
            if spec.ordered_by is not None and group in failed and not careless:
                if self.chance.random() < 0.5:
                    yield from self.steps(process, spec, one, batch, "release")
                continue
            if self.chance.random() < self.plan.heartbeats:
                yield from self.steps(process, spec, one, batch, "extend", hidden=(1, 2, 6))
            done = yield from self.handle(process, spec, one, batch)
            if not done:
                failed.add(group)
                if self.chance.random() < 0.5:
                    yield from self.steps(process, spec, one, batch, "release")
            elif self.plan.deletes_at_end:
                handled.append(one)
            else:
                yield from self.remove(process, spec, one, batch)
        for one in handled:
            yield from self.remove(process, spec, one, batch)

    def remove(self, process: Process, spec: Spec, one: Delivery, batch: str) -> Script:
        if self.chance.random() < self.plan.overlaps:
            yield from self.steps(process, spec, one, batch, "delete")
            return
        for _ in range(self.chance.choice((1, 2))):
            outcome = yield from self.step(process, spec, one, batch, "delete")
            if outcome == "ok":
                return

    def receipt(self, process: Process, spec: Spec, one: Delivery, batch: str, started: int) -> dict[str, Any]:
        chance, plan = self.chance, self.plan
        numbered = spec.kind == "stream" or (plan.numbered_receives and spec.ordered_by is not None)
        record: dict[str, Any] = {
            "event": "received",
            "id": one.id,
            "subscription": spec.name,
            "consumer": process.name,
            "batch": batch,
            "started": started,
            "broker_id": one.broker_id if spec.kind == "queue" else None,
            "broker_seq": str(one.number) if numbered else None,
            "partition": one.partition,
            "group": one.group if spec.ordered_by is not None or chance.random() < 0.5 else None,
            "receives": one.receives,
            "enqueued": one.enqueued,
            "hidden_s": spec.visibility / SECOND if spec.kind == "queue" else None,
            "intact": one.intact,
        } | ({"replay": one.replay} if one.replay is not None else {})
        if chance.random() < 0.1:
            del record["hidden_s"]
        if chance.random() < 0.02:
            del record["enqueued"]
        if spec.kind == "queue" and chance.random() < 0.01:
            del record["broker_id"]
        return record

    def handle(self, process: Process, spec: Spec, one: Delivery, batch: str) -> Any:
        """Applies the effect once, however often the message comes; False if the handler failed."""
        parcel = self.parcels.get(one.id)
        yield self.world.between(MILLISECOND, self.plan.handler)
        if self.mischief.strikes("slow", 0.05):
            yield 8 * SECOND
        poison = parcel is not None and parcel.poison and not self.mischief.strikes("swallow poison", 0.7)
        fragile = not spec.dead_letter or "fail healthy" in self.mischief
        if poison or (fragile and self.chance.random() < self.plan.fails):
            if self.plan.keeps_effects:
                self.note_effect(process, spec, one, batch, process.clock, "failed")
            return False
        if not self.plan.keeps_effects:
            return True
        started, key = process.clock, (one.id, spec.name)
        yield self.world.between(MILLISECOND, 10 * MILLISECOND)
        if (self.plan.guarded and self.store[key]) or self.mischief.strikes("skip effect", 0.2):
            outcome = "skipped"
        else:
            outcome = "applied"
            if not self.mischief.strikes("lose effect", 0.2):
                self.store[key] += 1
        yield self.world.between(MILLISECOND, 10 * MILLISECOND)
        self.note_effect(process, spec, one, batch, started, outcome)
        return True

    def note_effect(self, process: Process, spec: Spec, one: Delivery, batch: str, started: int, outcome: str) -> None:
        process.write(
            {
                "event": "effect",
                "id": one.id,
                "subscription": spec.name,
                "consumer": process.name,
                "batch": batch,
                "started": started,
                "outcome": outcome,
            }
        )

    def step(self, process: Process, spec: Spec, one: Delivery, batch: str, action: str, *, hidden: int = 0) -> Any:
        """One call about a delivery, its intent before and its outcome after."""
        record, call = self.describe(process, spec, one, batch, action, hidden=hidden)
        started, clock_first = process.clock, self.chance.random() < self.plan.clock_first
        if clock_first:
            yield self.world.grain
        if not self.mischief.strikes("terse", 0.3):
            process.write({"event": "settling", **record})
        started = started if clock_first else process.clock
        outcome: str | None = yield Call(action=call, timeout=SECOND)
        if not self.mischief.strikes("mute", 0.3):
            process.write({"event": "settled", **record, "started": started, "outcome": outcome or "unknown"})
        return outcome

    def steps(
        self, process: Process, spec: Spec, one: Delivery, batch: str, action: str, *, hidden: tuple[int, ...] = (0,)
    ) -> Script:
        """One call about a delivery, or several open at once, as a client does that hedges or a heartbeat that comes
        while the last one waits. Each reads the clock and writes its intent in one go, unless that is the mischief."""
        waiting = self.chance.choice((2, 2, 3, 4)) if self.chance.random() < self.plan.overlaps else 1
        if waiting == 1:
            yield from self.step(process, spec, one, batch, action, hidden=self.chance.choice(hidden) * SECOND)
            return
        if self.plan.extends_alike:
            hidden = (self.chance.choice(hidden),)
        mixed = self.mischief.strikes("swap calls", 0.8)
        clock_first = self.chance.random() < self.plan.clock_first
        begun: list[Begun] = []
        while waiting or begun:
            if waiting and (len(begun) < 2 or self.chance.random() < 0.3):
                waiting -= 1
                record, call = self.describe(
                    process, spec, one, batch, action, hidden=self.chance.choice(hidden) * SECOND
                )
                begun.append((yield from self.begin(process, record, call, clock_first=clock_first, mixed=mixed)))
                continue
            answered = [step for step in begun if step.ticket.done]
            if answered:
                step = self.chance.choice(answered)
                begun.remove(step)
                if not self.mischief.strikes("mute", 0.3):
                    outcome = step.ticket.answer or "unknown"
                    process.write({**step.record, "event": "settled", "started": step.started, "outcome": outcome})
            yield self.world.between(self.world.grain, 20 * MILLISECOND)

    def begin(
        self, process: Process, record: dict[str, Any], call: Callable[[], str], *, clock_first: bool, mixed: bool
    ) -> Generator[int | Call, Any, Begun]:
        """Writes an intent, and sends its request."""
        world, chance = self.world, self.chance
        early = process.clock
        yield world.grain if clock_first else 0
        if not (mixed and chance.random() < 0.2):
            process.write({"event": "settling", **_nameless(record, mixed and chance.random() < 0.2)})
        yield chance.choice((0, world.grain))
        started = early if clock_first else process.clock
        if mixed:
            started += chance.choice((-2, -1, 0, 0, 1, 2)) * world.between(MILLISECOND, 10 * MILLISECOND)
        ticket = process.post(Call(action=call, timeout=SECOND))
        yield chance.choice((1, 1, 5)) * world.between(world.grain, 5 * MILLISECOND)
        return Begun(record=_nameless(record, mixed and chance.random() < 0.2), started=started, ticket=ticket)

    def describe(
        self, process: Process, spec: Spec, one: Delivery, batch: str, action: str, *, hidden: int
    ) -> tuple[dict[str, Any], Callable[[], str]]:
        """What both records of a call say, and the call."""
        record: dict[str, Any] = {
            "id": one.id,
            "subscription": spec.name,
            "consumer": process.name,
            "batch": batch,
            "broker_id": one.broker_id if spec.kind == "queue" else None,
            "action": action,
        }
        if self.chance.random() < self.plan.names_calls:
            record["call"] = self.new_name("step")
        call: Callable[[], str]
        if action == "checkpoint":
            stream = self.stream
            assert stream is not None and one.partition is not None
            partition, owner, position = one.partition, process.file, int(one.receipt)
            record |= {"partition": partition, "broker_seq": str(one.number)}

            def call() -> str:
                return stream.checkpoint(spec.name, owner, partition, position)
        elif action == "delete":

            def call() -> str:
                return self.queues[spec.name].delete(one.receipt, one.broker_id)
        else:
            if action == "extend":
                record["hidden_s"] = hidden / SECOND

            def call() -> str:
                return self.queues[spec.name].hide(one.receipt, one.broker_id, hidden)

        return record, call

    def follow(self, process: Process, spec: Spec) -> Script:
        """Reads the partitions that it holds a lease of, parents before children, and checkpoints behind itself."""
        stream = self.stream
        assert stream is not None
        positions: dict[str, int] = {}
        last: dict[str, Delivery] = {}
        while not self.stopping:
            held: list[tuple[str, int]] | None = yield Call(
                action=lambda: stream.acquire(spec.name, process.file, LEASE), timeout=SECOND
            )
            positions = {name: max(positions.get(name, done), done) for name, done in held or []}
            for name, done in held or []:
                yield from self.advance(process, spec, name, done, positions, last)
            yield self.nap()
        process.close()

    def advance(
        self,
        process: Process,
        spec: Spec,
        name: str,
        done: int,
        positions: dict[str, int],
        last: dict[str, Delivery],
    ) -> Script:
        stream = self.stream
        assert stream is not None
        batch, started, position = self.new_name("batch"), process.clock, positions[name]
        deliveries: list[Delivery] | None = yield Call(
            action=lambda: stream.read(name, position, self.plan.receive_batch), timeout=SECOND
        )
        if not deliveries:
            if deliveries is not None and position > done and name in last:
                yield from self.step(process, spec, last[name], batch, "checkpoint")
            return
        process.write(*(self.receipt(process, spec, one, batch, started) for one in deliveries))
        if self.mischief.strikes("backwards", 0.7):
            deliveries.reverse()
        reached: Delivery | None = None
        for one in deliveries:
            handled = yield from self.handle(process, spec, one, batch)
            if not handled:
                break
            if reached is None or int(one.receipt) > int(reached.receipt):
                reached = one
        if reached is not None:
            positions[name], last[name] = int(reached.receipt), reached
            yield from self.steps(process, spec, reached, batch, "checkpoint")

    # -- faults ----------------------------------------------------------------------------------------------------

    def inject(self, process: Process, kind: str, instance: str) -> Script:
        """One fault, between its two records."""
        world, chance = self.world, self.chance
        record = {"event": "fault", "fault": kind, "instance": instance, "targets": [], "label": kind, "params": {}}
        process.write({**record, "phase": "start"})
        yield world.between(MILLISECOND, 10 * MILLISECOND)
        length = world.between(200 * MILLISECOND, 6 * SECOND)
        back = chance.random() < 0.85
        if kind == "kill consumer":
            name, index = chance.choice(list(self.consuming))
            self.consuming[name, index].kill(in_write=chance.random() < 0.5)
            self.replacements_due += back
            yield length
            if back:
                self.replacements_due -= 1
                self.hire_consumer(name, index, by=process)
                yield world.between(MILLISECOND, 50 * MILLISECOND)
        elif kind == "pause consumer":
            self.consuming[chance.choice(list(self.consuming))].pause(world.now + length)
            yield length
        elif kind == "kill producer":
            name = chance.choice(list(self.producing))
            self.producing[name].kill(in_write=chance.random() < 0.5)
            self.replacements_due += back
            yield length
            if back:
                self.replacements_due -= 1
                if not self.producing[name].done:
                    self.producing[name].alive = False
                    self.hire_producer(name, by=process, skip_doubtful=chance.random() < 0.5)
        elif kind == "pause producer":
            self.producing[chance.choice(list(self.producing))].pause(world.now + length)
            yield length
        elif kind == "storm":
            before, world.flaky = world.flaky, 0.4
            yield length
            world.flaky = before
        elif kind == "throttle":
            self.throttles += 1
            yield length
            self.throttles -= 1
        if back or kind not in ("kill consumer", "kill producer"):
            process.write({**record, "phase": "stop"})
        process.close()

    # -- the conductor ---------------------------------------------------------------------------------------------

    def conduct(self) -> Script:
        """Starts everything, waits for the load to end, drains, and reads back what there is to read."""
        process, plan, world = self.conductor, self.plan, self.world
        process.write({"event": "mark", "name": "load-started"}, {"event": "weather", "sky": "clear"})
        if plan.loads in ("two", "half"):
            process.write({"event": "mark", "name": "load-started"})
        if self.stream is not None:
            self.note_partitions(process, list(self.stream.partitions.values()))
        for spec in plan.specs:
            for index in range(plan.consumers):
                self.hire_consumer(spec.name, index, by=process)
        for name in self.desks:
            self.hire_producer(name, by=process, skip_doubtful=False)
        last_due = max(parcel.due for parcel in plan.parcels)
        for number, kind in enumerate(plan.faults):
            injector = self.spawn("injector", by=process)
            self.injectors.append(injector)
            span = last_due - EPOCH
            after = 300 * SECOND if kind == "idle" else self.chance.randint(SECOND, max(SECOND, span))
            injector.start(self.inject(injector, kind, f"fault{number}"), after=after)
        splits = sorted(self.chance.randint(EPOCH, last_due) for _ in range(plan.reshards))
        while world.now < last_due + SECOND or self.busy_producing():
            if self.stream is not None and splits and splits[0] <= world.now:
                splits.pop(0)
                self.note_partitions(process, self.stream.reshard())
            if world.now > last_due + 60 * SECOND:
                break
            yield 200 * MILLISECOND
        if plan.drains or self.chance.random() < 0.5:
            self.note_stop(process)
        if plan.drains:
            if plan.replays:
                yield from self.replay(process)
            yield from self.drain(process)
        else:
            process.write({"event": "mark", "name": "aborted", "reason": "interrupted"})
        self.stopping = True
        yield self.chance.choice((SECOND, 10 * SECOND))
        if plan.reads_effects and plan.keeps_effects:
            self.read_effects(process)
        if "idle" in plan.faults:
            yield max(0, EPOCH + 310 * SECOND - world.now)
        process.close()

    def note_stop(self, process: Process) -> None:
        """The load is over; not everybody writes that, or how many messages the schedule held."""
        stop, total = {"event": "mark", "name": "load-stopped"}, len(self.plan.parcels)
        if self.plan.loads == "untold":
            process.write(stop)
        elif self.plan.loads == "two":
            process.write({**stop, "scheduled": total // 2}, {**stop, "scheduled": total - total // 2})
        elif self.plan.loads != "endless":
            process.write({**stop, "scheduled": total})

    def busy_producing(self) -> bool:
        working = any(process.alive and not process.done for process in self.producing.values())
        return working or self.replacements_due > 0

    def note_partitions(self, process: Process, partitions: list[Partition]) -> None:
        for partition in partitions:
            for name in self.specs:
                process.write(
                    {
                        "event": "mark",
                        "name": "partition",
                        "subscription": name,
                        "partition": partition.name,
                        "parents": list(partition.parents),
                    }
                )

    def drain(self, process: Process) -> Script:
        """Waits until nothing is left on a subscription, reads its dead letters, sends some back once, waits again."""
        world, stopped = self.world, self.world.now
        margin = self.plan.clock_error + self.chance.choice((0, 100 * MILLISECOND))
        give_up = stopped + self.chance.choice((5, 60, 60, 60)) * SECOND
        waiting = dict.fromkeys(self.specs, 0)
        redriven: set[str] = set()
        while waiting:
            for name in list(waiting):
                spec = self.specs[name]
                if not self.is_empty(name):
                    waiting[name] = 0
                    if self.chance.random() < 0.02:
                        self.note_drained(process, name, empty=False)
                    if world.now > give_up:
                        self.note_drained(process, name, empty=False)
                        del waiting[name]
                elif not waiting[name]:
                    waiting[name] = world.now
                elif world.now - waiting[name] >= margin and world.now - stopped >= spec.settle + margin:
                    if self.plan.redrives and name not in redriven and spec.kind == "queue":
                        redriven.add(name)
                        if self.send_back(process, name):
                            waiting[name] = 0
                            continue
                    self.note_drained(process, name, empty=True)
                    del waiting[name]
            yield self.world.between(100 * MILLISECOND, 300 * MILLISECOND)

    def replay(self, process: Process) -> Script:
        """Sends what is archived once more, to its end or, now and then, only half of it."""
        assert self.topic is not None
        chance, now = self.chance, self.world.now
        since, until = EPOCH + chance.choice((0, 0, 3)) * SECOND, now - chance.choice((0, 0, 2)) * SECOND
        outcome = chance.choice(("ok", "ok", "ok", "ok", "failed", "unknown"))
        mark = {"event": "mark", "replay": "again"}
        process.write({**mark, "name": "replay-started", "since": since, "until": until})
        yield self.world.between(MILLISECOND, SECOND)
        self.topic.replay("again", 1.0 if outcome == "ok" else 0.5)
        yield self.world.between(MILLISECOND, SECOND)
        process.write({**mark, "name": "replay-ended", "outcome": outcome})

    def is_empty(self, name: str) -> bool:
        return self.stream.at_end(name) if self.stream is not None else self.queues[name].empty()

    def note_dead(self, process: Process, name: str) -> list[Stored]:
        dead = list(self.queues[name].dead) if name in self.queues else []
        for stored in dead:
            letter = {"id": stored.letter.id, "subscription": name, "broker_id": stored.broker_id}
            process.write({"event": "dead", **letter, "receives": stored.receives})
        for one in self.services[name].given_up if name in self.services else ():
            place = {"partition": one.partition, "broker_seq": str(one.number)}
            id = {"id": one.id} if self.chance.random() < 0.5 else {}
            process.write({"event": "dead", "subscription": name, **place, **id})
        return dead

    def send_back(self, process: Process, name: str) -> bool:
        back = [stored for stored in self.note_dead(process, name) if self.chance.random() < 0.6]
        for stored in back:
            letter = {"id": stored.letter.id, "subscription": name, "broker_id": stored.broker_id}
            process.write({"event": "redriven", **letter})
            self.queues[name].redrive(stored)
        return bool(back)

    def note_drained(self, process: Process, name: str, *, empty: bool) -> None:
        self.note_dead(process, name)
        process.write({"event": "mark", "name": "drained", "subscription": name, "empty": empty})

    def read_effects(self, process: Process) -> None:
        for name in self.specs:
            for id in self.parcels:
                count = self.store[id, name]
                if count or self.chance.random() < 0.2:
                    process.write({"event": "effects", "id": id, "subscription": name, "applied": count})
            process.write({"event": "mark", "name": "effects-read", "subscription": name})


def spoil(world: World, defects: tuple[str, ...]) -> None:
    """Damages files as no killed process would."""
    chance, files = world.chance, world.files
    name = chance.choice(sorted(files))
    if "damaged line" in defects:
        lines = files[name].splitlines(keepends=True)
        bad = chance.choice((b"\n", b"[]\n", b'{"event":"sent"}\n', b'{"event":"sent","at":1.5}\n', b'{"event":"se\n'))
        lines.insert(chance.randint(0, len(lines)), bytearray(bad))
        files[name] = bytearray().join(lines)
    if "missing file" in defects and name != "conductor.jsonl":
        del files[name]
    if "torn after closed" in defects and world.closed:
        files[chance.choice(sorted(world.closed))] += b'{"event":"rece'
    if "another unit" in defects:
        files[name] = in_another_unit(chance, files[name])


def spoil_packed(history: Path, chance: random.Random, defects: tuple[str, ...]) -> None:
    if "plain and packed" in defects:
        path = chance.choice(sorted(history.glob("*.jsonl")))
        (history / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    if "cut packed" in defects:
        path = chance.choice(sorted(history.glob("*.jsonl.gz")))
        path.write_bytes(path.read_bytes()[: -chance.choice((1, 8, 12))])


TIMES = ("at", "due", "started", "enqueued", "since", "until")


def in_another_unit(chance: random.Random, content: bytearray) -> bytearray:
    """The same records with some of their times in seconds, milliseconds or microseconds."""
    divisor = chance.choice((1000, 1_000_000, SECOND))
    names = chance.choice((TIMES, (chance.choice(TIMES),)))
    lines = bytearray()
    for line in content.splitlines(keepends=True):
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            lines += line
            continue
        record |= {name: record[name] // divisor for name in names if isinstance(record.get(name), int)}
        lines += orjson.dumps(record) + b"\n"
    return lines


def _effects_from(seed: int, name: str) -> dict[str, str]:
    """A few have their effects elsewhere, by a die of its own: what else is rolled stays as it was."""
    return {"effects_from": "read-back"} if random.Random(f"{seed}: {name}").random() < 0.15 else {}


def simulate(seed: int, *, run: Path, legal: bool = False, functions: bool = False) -> None:
    """Writes one small run directory, always the same for the same seed. `functions`: a service invokes functions in
    place of consumers, on each subscription or some."""
    chance = random.Random(seed)
    rolled = plan(chance, legal=legal)
    invoked: dict[str, Functions] = {}
    if functions:
        rolled = replace(rolled, one_process=False, handler=min(rolled.handler, 50 * MILLISECOND))
        dice = random.Random(f"functions {seed}")
        some = [spec for number, spec in enumerate(rolled.specs) if number == 0 or dice.random() < 0.7]
        invoked = {spec.name: roll(seed, spec, legal=legal) for spec in some}
    else:
        rolled = with_tenants(rolled, seed, legal=legal)
    world = World(chance, grain=rolled.grain, clock_error=rolled.clock_error)
    world.flaky = rolled.flaky
    scene = Scene(world, rolled, invoked)
    scene.conductor.start(scene.conduct())
    while not scene.conductor.done and world.now < EPOCH + 600 * SECOND:
        world.run(world.now + SECOND)
    world.run(world.now + chance.choice((0, 10)) * SECOND)
    run.mkdir(parents=True, exist_ok=True)
    manifest = {
        "schema": 1,
        "run": f"simulated-{seed}",
        "seed": seed,
        "clock_error_ns": rolled.declared_error,
        "broker_tick_ns": rolled.tick,
        "target": rolled.target,
        "subscriptions": {
            spec.name: {
                **spec.manifest(),
                **_effects_from(seed, spec.name),
                **(invoked[spec.name].manifest(spec.manifest()) if spec.name in invoked else {}),
            }
            for spec in rolled.specs
        },
        "claims": list(rolled.claims),
        "scenario": {"planted": dict(rolled.planted), "files": list(rolled.file_defects)},
    }
    (run / "manifest.json").write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
    spoil(world, rolled.file_defects)
    packed = [name for name in world.files if chance.random() < rolled.packed]
    world.save(run / "history", packed)
    spoil_packed(run / "history", chance, rolled.file_defects)
    if chance.random() < 0.05:
        (run / "history" / "notes.json").write_bytes(b"nobody reads this\n")
    spread(run, seed, legal=legal)

"""A simulated service that invokes functions: the event source mapping of a queue or a stream, or an asynchronous one.

It polls, gathers, invokes, and settles by what it was answered; functions run in environments of their own, each with a
history file, and record themselves unless whoever invokes them does. A legal one is as awkward as may be: it gathers
from several receives, is throttled, asks again, gives messages back, is killed with functions at work, gives up on an
answer while its function goes on, and reads a stream again after success. Functions are killed before they write,
between, and after; they answer in part, or fail whole batches.

What it does wrong is planted: `at once` invokes halves of a batch together, `go on` does not wait for what failed,
`drop failed` settles what failed, `give back` gives back what is done.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.reference.broker import LEASE, Delivery
from tests.reference.world import MILLISECOND, SECOND, Call, Process, Script

if TYPE_CHECKING:
    from tests.reference.simulation import Scene, Spec

DEFECTS = ("at once", "go on", "drop failed", "give back")


@dataclass(frozen=True, kw_only=True, slots=True)
class Functions:
    """How functions are invoked on one subscription.

    `recorded`: by whoever invokes them. `tells`: what is recorded of the messages beside the invocation: nothing, all
    of them, some, those without `id`, or all in place of `ids`. `gives_up_after`: so many tries, where the service may
    give up; `destination`: what it gave up is found there.
    """

    recorded: bool
    tells: str
    partial: bool
    window: int
    timeout: int
    zombies: bool
    crashes: float
    throttled: float
    asks_again: float
    gives_back: float
    slow: float
    parallel: bool
    asynchronous: bool
    gives_up_after: int
    destination: bool
    bisects: bool
    both_tell: bool
    planted: frozenset[str]

    def manifest(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Over what the subscription promises besides."""
        own: dict[str, Any] = {"settled_by": "service", **({"invocations": "all"} if self.recorded else {})}
        if self.asynchronous:
            own |= {"visibility_timeout_s": None, "max_receives": self.gives_up_after, "dead_letter": self.destination}
        if self.parallel and told["kind"] == "stream":
            own["ordered_by"] = told["ordered_by"] and "group"
        return own


def roll(seed: int, spec: Spec, *, legal: bool) -> Functions:
    """By dice of its own, the same for the same seed."""
    chance = random.Random(f"functions {seed} {spec.name}")
    planted = frozenset({chance.choice(DEFECTS)} if not legal and chance.random() < 0.5 else ())
    asynchronous = spec.kind == "queue" and spec.ordered_by is None and not spec.dead_letter and chance.random() < 0.5
    return Functions(
        recorded=chance.random() < 0.5,
        tells=chance.choice(("nothing", "all", "all", "all", "some", "nameless", "instead")),
        partial=chance.random() < 0.7,
        window=chance.choice((0, 0, SECOND, 3 * SECOND)) if spec.ordered_by is None and spec.kind == "queue" else 0,
        timeout=chance.choice((SECOND, 2 * SECOND, 4 * SECOND)),
        zombies=chance.random() < 0.4,
        crashes=chance.choice((0.0, 0.0, 0.05, 0.2)),
        throttled=chance.choice((0.0, 0.0, 0.1)),
        asks_again=chance.choice((0.0, 0.0, 0.1)),
        gives_back=chance.choice((0.0, 0.5)),
        slow=chance.choice((0.0, 0.02, 0.1)),
        parallel=chance.random() < 0.4,
        asynchronous=asynchronous,
        gives_up_after=chance.choice((1, 2, 3)),
        destination=legal or chance.random() < 0.5,
        bisects=chance.random() < 0.5,
        both_tell=chance.random() < 0.2,
        planted=planted,
    )


@dataclass(kw_only=True, slots=True)
class Invocation:
    """What is known of one: `failed` are places in its deliveries. `over`: no answer will come any more."""

    batch: str
    deliveries: Sequence[Delivery]
    started: int
    until: int
    answered: bool = False
    whole: bool = False
    failed: list[int] = field(default_factory=list)
    environment: Process | None = None

    @property
    def over(self) -> bool:
        return self.answered or self.environment is None or not self.environment.alive

    @property
    def done(self) -> list[Delivery]:
        if not self.answered or self.whole:
            return []
        return [one for place, one in enumerate(self.deliveries) if place not in self.failed]

    @property
    def undone(self) -> list[Delivery]:
        done = self.done
        return [one for one in self.deliveries if one not in done]


class Service:
    """The functions of one subscription, and who invokes them."""

    def __init__(self, scene: Scene, spec: Spec, functions: Functions) -> None:
        self.scene = scene
        self.spec = spec
        self.functions = functions
        self.chance = scene.chance
        self.idle: list[Process] = []
        # Of a stream, what was given up, with a record at its destination.
        self.given_up: list[Delivery] = []

    # -- invoking

    def begin(self, process: Process, deliveries: Sequence[Delivery], started: int) -> Invocation:
        """Starts a function with these messages."""
        scene, functions = self.scene, self.functions
        batch = scene.new_name("batch")
        invocation = Invocation(
            batch=batch,
            deliveries=list(deliveries),
            started=started,
            until=scene.world.now + functions.timeout,
        )
        if functions.recorded:
            process.write(*self.records(process, invocation))
        if self.chance.random() < functions.crashes / 2:
            # It dies before it can write.
            return invocation
        if not self.idle:
            self.idle.append(scene.spawn("function", by=process))
        environment = invocation.environment = self.idle.pop()
        environment.start(self.work(environment, invocation), after=self.chance.choice((0, 0, 50)) * MILLISECOND)
        return invocation

    def begin_all(
        self, process: Process, batches: Sequence[Sequence[Delivery]], started: int
    ) -> Generator[int | Call, Any, list[Invocation]]:
        """Starts one after the other, and waits for none."""
        begun: list[Invocation] = []
        for batch in batches:
            begun.append(self.begin(process, batch, started))
            yield self.chance.choice((1, 5, 20)) * MILLISECOND
        return begun

    def records(self, process: Process, invocation: Invocation) -> Iterator[dict[str, Any]]:
        """`invoked`, and what is told besides of its messages."""
        tells, chance = self.functions.tells, self.chance
        ids = [one.id for one in invocation.deliveries]
        told = {"subscription": self.spec.name, "function": "work", "request": invocation.batch}
        listed = tells not in ("nameless", "instead")
        yield {
            "event": "invoked",
            **told,
            "batch": invocation.batch,
            "consumer": process.name,
            **({"ids": ids} if listed else {"ids": []} if chance.random() < 0.5 else {}),
        }
        for one in invocation.deliveries:
            if tells == "nothing" or (tells == "some" and chance.random() < 0.4):
                continue
            receipt = self.scene.receipt(process, self.spec, one, invocation.batch, invocation.started)
            if not self.functions.recorded or chance.random() < 0.3:
                del receipt["started"]
            if self.functions.asynchronous:
                receipt = {name: value for name, value in receipt.items() if name not in ("receives", "hidden_s")}
            if tells == "nameless" and (receipt.get("broker_id") or receipt.get("partition")):
                del receipt["id"]
            yield receipt

    def work(self, environment: Process, invocation: Invocation) -> Script:
        """The function: it handles each message in its order, and goes no further in a group after a failure in it."""
        functions, spec, chance = self.functions, self.spec, self.chance
        if not functions.recorded:
            environment.write(*self.records(environment, invocation))
        if chance.random() < functions.crashes:
            environment.kill(in_write=chance.random() < 0.3)
        if chance.random() < functions.slow:
            yield chance.choice((1, 3, 6)) * SECOND
        stopped: set[str] = set()
        failed: list[int] = []
        whole = False
        for place, one in enumerate(invocation.deliveries):
            group = one.group or one.id
            if spec.ordered_by is not None and group in stopped:
                failed.append(place)
                continue
            if not (yield from self.scene.handle(environment, spec, one, invocation.batch)):
                stopped.add(group)
                failed.append(place)
                if not functions.partial:
                    whole = True
                    break
        yield chance.choice((0, 1, 20)) * MILLISECOND
        if not functions.recorded or functions.both_tell:
            self.tell(environment, invocation, "failed" if whole else "ok", failed)
        if chance.random() < functions.crashes / 2:
            environment.kill(in_write=False)
        yield chance.choice((0, 1, 20)) * MILLISECOND
        invocation.whole, invocation.failed, invocation.answered = whole, failed, True
        self.idle.append(environment)

    def tell(self, process: Process, invocation: Invocation, outcome: str, failed: Sequence[int]) -> None:
        """`responded`; no places are named where the whole batch failed."""
        names = [invocation.deliveries[place].id for place in failed] if outcome == "ok" else []
        process.write(
            {
                "event": "responded",
                "subscription": self.spec.name,
                "function": "work",
                "request": invocation.batch,
                "batch": invocation.batch,
                "outcome": outcome,
                **({"failed": names} if names or self.chance.random() < 0.2 else {}),
                "error": None if outcome == "ok" else "made up",
            }
        )

    def wait(self, process: Process, invocations: Sequence[Invocation]) -> Script:
        """Until each is answered, or given up: then its function is killed, or goes on as a zombie."""
        world = self.scene.world
        while any(not one.over and world.now < one.until for one in invocations):
            yield 10 * MILLISECOND
        for one in invocations:
            late = not one.over
            if late and not self.functions.zombies and one.environment is not None:
                one.environment.kill(in_write=False)
            if not self.functions.recorded:
                continue
            if one.answered:
                self.tell(process, one, "failed" if one.whole else "ok", one.failed)
            elif self.functions.both_tell or self.chance.random() < 0.9:
                self.tell(process, one, "failed" if late or self.chance.random() < 0.5 else "unknown", ())

    # -- a queue

    def poll(self, process: Process) -> Script:
        scene, spec, functions, chance = self.scene, self.spec, self.functions, self.chance
        queue, tries = scene.queues[spec.name], dict[str, int]()
        hidden = 20 * SECOND if functions.asynchronous else spec.visibility
        while not scene.stopping:
            gathered: dict[str, Delivery] = {}
            started, until = process.clock, scene.world.now + functions.window
            while True:
                received: list[Delivery] | None = yield Call(
                    action=lambda: queue.receive(scene.plan.receive_batch, hidden), timeout=SECOND
                )
                gathered |= {one.broker_id: one for one in received or []}
                if scene.world.now >= until or not gathered or len(gathered) >= 10:
                    break
                yield 100 * MILLISECOND
            if not gathered:
                yield scene.nap()
                continue
            if chance.random() < functions.throttled:
                # Each has used up a receive in vain.
                yield scene.nap()
                continue
            if functions.asynchronous:
                for one in gathered.values():
                    yield from self.invoke_alone(process, one, started, tries)
                continue
            yield from self.invoke(process, list(gathered.values()), started)
        process.close()

    def split(self, deliveries: list[Delivery]) -> list[list[Delivery]]:
        """Into batches that are invoked one after another."""
        if self.chance.random() < 0.7 or len(deliveries) < 2 or self.spec.ordered_by is not None:
            return [deliveries]
        middle = self.chance.randint(1, len(deliveries) - 1)
        return [deliveries[:middle], deliveries[middle:]]

    def invoke(self, process: Process, deliveries: list[Delivery], started: int) -> Script:
        planted = self.functions.planted
        batches = self.split(deliveries)
        if len(deliveries) > 1 and {"at once", "go on"} & planted and self.chance.random() < 0.7:
            middle = self.chance.randint(1, len(deliveries) - 1)
            batches = [deliveries[:middle], deliveries[middle:]]
        if "at once" in planted:
            invocations = yield from self.begin_all(process, batches, started)
            yield from self.wait(process, invocations)
            for one in invocations:
                yield from self.settle(one)
            return
        for batch in batches:
            invocation = self.begin(process, batch, started)
            yield from self.wait(process, [invocation])
            if not invocation.answered and self.chance.random() < self.functions.asks_again:
                # Of one receive, once more.
                again = self.begin(process, batch, started)
                yield from self.wait(process, [again])
                invocation = again
            yield from self.settle(invocation)

    def settle(self, invocation: Invocation) -> Script:
        queue, functions, chance = self.scene.queues[self.spec.name], self.functions, self.chance
        gone = list(invocation.done)
        if "drop failed" in functions.planted:
            gone += [one for one in invocation.undone if chance.random() < 0.5]
        for one in gone:
            if "give back" in functions.planted and chance.random() < 0.3:
                yield Call(action=lambda one=one: queue.hide(one.receipt, one.broker_id, 0), timeout=SECOND)
                continue
            yield Call(action=lambda one=one: queue.delete(one.receipt, one.broker_id), timeout=SECOND)
        # What a zombie may still report done is not given back.
        if invocation.over and chance.random() < functions.gives_back:
            for one in reversed([each for each in invocation.undone if each not in gone]):
                yield Call(action=lambda one=one: queue.hide(one.receipt, one.broker_id, 0), timeout=SECOND)

    def invoke_alone(self, process: Process, one: Delivery, started: int, tries: dict[str, int]) -> Script:
        """As an asynchronous invocation is: tried again by the service, and then given up."""
        scene, functions = self.scene, self.functions
        queue = scene.queues[self.spec.name]
        while True:
            tries[one.broker_id] = tries.get(one.broker_id, 0) + 1
            invocation = self.begin(process, [one], started)
            yield from self.wait(process, [invocation])
            if invocation.done:
                yield Call(action=lambda: queue.delete(one.receipt, one.broker_id), timeout=SECOND)
                return
            if tries[one.broker_id] >= functions.gives_up_after:
                stored = next(each for each in queue.stored if each.broker_id == one.broker_id)
                if functions.destination and not stored.deleted:
                    queue.dead.append(stored)
                stored.deleted = True
                return
            yield self.chance.choice((100, 500)) * MILLISECOND

    # -- a stream

    def follow(self, process: Process) -> Script:
        """Reads the shards that it holds, parents before children, and moves on behind what is done or given up."""
        scene, spec = self.scene, self.spec
        stream = scene.stream
        assert stream is not None
        while not scene.stopping:
            held: list[tuple[str, int]] | None = yield Call(
                action=lambda: stream.acquire(spec.name, process.file, LEASE), timeout=SECOND
            )
            for name, done in held or []:
                deliveries: list[Delivery] | None = yield Call(
                    action=lambda name=name, done=done: stream.read(name, done, scene.plan.receive_batch),
                    timeout=SECOND,
                )
                if deliveries:
                    yield from self.process_records(process, name, deliveries)
            yield scene.nap()
        process.close()

    def process_records(self, process: Process, partition: str, deliveries: list[Delivery]) -> Script:
        stream, functions = self.scene.stream, self.functions
        assert stream is not None
        tries, left = 0, deliveries
        while left:
            tries += 1
            invocations = yield from self.begin_all(process, self.lanes(left), process.clock)
            yield from self.wait(process, invocations)
            undone = [one for invocation in invocations for one in invocation.undone]
            if not undone:
                left = []
                break
            lowest = min(int(one.receipt) for one in undone)
            left = [one for one in left if int(one.receipt) >= lowest]
            if "go on" in functions.planted and self.chance.random() < 0.3:
                break
            if tries >= functions.gives_up_after:
                if functions.bisects and len(left) > 1:
                    middle = len(left) // 2
                    yield from self.process_records(process, partition, left[:middle])
                    yield from self.process_records(process, partition, left[middle:])
                    return
                if functions.destination:
                    self.given_up += left
                break
            yield self.chance.choice((0, 100)) * MILLISECOND
        position = int(deliveries[-1].receipt)
        if self.chance.random() < 0.95:
            yield Call(
                action=lambda: stream.checkpoint(self.spec.name, process.file, partition, position), timeout=SECOND
            )

    def lanes(self, deliveries: list[Delivery]) -> list[list[Delivery]]:
        """What is invoked at once: by key, where that is asked for."""
        if "at once" in self.functions.planted and len(deliveries) > 1:
            middle = self.chance.randint(1, len(deliveries) - 1)
            return [deliveries[:middle], deliveries[middle:]]
        if not self.functions.parallel:
            return [deliveries]
        lanes: dict[int, list[Delivery]] = {}
        for one in deliveries:
            lanes.setdefault(sum((one.group or one.id).encode()) % 2, []).append(one)
        return list(lanes.values())

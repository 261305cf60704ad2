"""A simulated broker: queues, a topic before them, and a stream.

It keeps the promises of a legal service: a queue ordered by group delivers a group in order, never while a message of
it is hidden, and stores no duplicate within its deduplication window; a plain queue may deliver twice; a stream keeps
the order of a partition. Everything that it does wrong is asked for by name through `Mischief`, so that a run can be
legal, or break one promise at a time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tests.reference.world import MILLISECOND, SECOND, World


class Mischief:
    """Which defects are planted, and how often each may still strike."""

    def __init__(self, chance: random.Random, planted: Mapping[str, int]) -> None:
        self._chance = chance
        self._left = dict(planted)

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def strikes(self, name: str, probability: float = 0.4) -> bool:
        if name not in self._left or self._left[name] <= 0 or self._chance.random() >= probability:
            return False
        self._left[name] -= 1
        return True


@dataclass(kw_only=True, slots=True)
class Letter:
    """What a producer hands over."""

    id: str
    group: str | None
    expect: frozenset[str]
    replay: str | None = None
    noisy: bool = False


@dataclass(kw_only=True, slots=True)
class Stored:
    """One copy in a queue."""

    broker_id: str
    number: int
    letter: Letter
    enqueued: int
    visible_at: int
    receives: int = 0
    receipt: str = ""
    deleted: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One message in the answer to a receive."""

    id: str
    group: str | None
    broker_id: str
    number: int | None
    partition: str | None
    receives: int | None
    enqueued: int
    intact: bool
    receipt: str
    replay: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The answer to one entry of a send."""

    outcome: str
    broker_id: str | None = None
    number: int | None = None
    partition: str | None = None


class Queue:
    """A queue, ordered by group or not at all."""

    def __init__(
        self,
        world: World,
        mischief: Mischief,
        *,
        name: str,
        ordered: bool,
        window: int | None,
        max_receives: int | None,
        dead_letter: bool,
        tick: int,
        first_number: int,
        counts: str,
    ) -> None:
        self.world = world
        self.mischief = mischief
        self.name = name
        self.ordered = ordered
        self.window = window
        self.max_receives = max_receives
        self.dead_letter = dead_letter
        self.tick = tick
        self.stored: list[Stored] = []
        self.dead: list[Stored] = []
        self.number = first_number
        self.counts = counts
        self.arriving = 0
        self._copies = 0
        self._receipts = 0
        self._seen: dict[str, tuple[int, Answer]] = {}

    @property
    def clock(self) -> int:
        """The broker counts in ticks."""
        return self.world.now // self.tick * self.tick

    def store(self, letter: Letter) -> Answer:
        known = self._seen.get(letter.id)
        if self.window is not None and known is not None and self.world.now - known[0] < self.window:
            return known[1]
        if self.mischief.strikes("lose", 0.15):
            self._copies += 1
            answer = Answer(outcome="ok", broker_id=f"{self.name}-{self._copies}", number=self._next_number())
            self._seen[letter.id] = (self.world.now, answer)
            return answer
        answer = self._add(letter)
        self._seen[letter.id] = (self.world.now, answer)
        if self.mischief.strikes("duplicate", 0.2):
            self._add(letter)
        return answer

    def _next_number(self) -> int:
        self.number += self.world.chance.choice((1, 1, 1, 7, 256))
        return self.number

    def _add(self, letter: Letter) -> Answer:
        self._copies += 1
        number = self._next_number()
        if self.mischief.strikes("misnumber", 0.3):
            number -= 1000
        stored = Stored(
            broker_id=f"{self.name}-{self._copies}",
            number=number,
            letter=letter,
            enqueued=self.clock,
            visible_at=self.world.now,
        )
        self.stored.append(stored)
        return Answer(outcome="ok", broker_id=stored.broker_id, number=number)

    def receive(self, most: int, hidden: int) -> list[Delivery]:
        """A batch: what may be delivered now, hidden from here on."""
        now, chance = self.world.now, self.world.chance
        self._bury()
        ready = self._ready()
        deliveries: list[Delivery] = []
        for stored in ready[:most]:
            if stored.receives and self.mischief.strikes("forget", 0.5):
                stored.deleted = True
                continue
            self._receipts += 1
            stored.receives += 1
            stored.receipt = f"{self.name}-r{self._receipts}"
            stored.visible_at = (now // self.tick * self.tick) + hidden
            deliveries.append(self._deliver(stored))
            if self.mischief.strikes("twice", 0.1):
                deliveries.append(self._deliver(stored))
        if self.mischief.strikes("phantom", 0.1):
            ghost = Letter(id=f"ghost-{self.name}-{len(self.stored)}", group="g0", expect=frozenset())
            self._add(ghost)
        if self.mischief.strikes("forget", 0.1) and ready:
            ready[0].deleted = True
        if not self.ordered:
            chance.shuffle(deliveries)
        return deliveries

    def _deliver(self, stored: Stored) -> Delivery:
        group, intact = stored.letter.group, True
        if self.mischief.strikes("corrupt", 0.1):
            intact = False
        if group is not None and self.mischief.strikes("corrupt", 0.1):
            group = f"{group}x"
        return Delivery(
            id=stored.letter.id,
            group=group,
            broker_id=stored.broker_id,
            number=stored.number,
            partition=None,
            receives=self._told(stored.receives),
            enqueued=stored.enqueued,
            intact=intact,
            receipt=stored.receipt,
            replay=stored.letter.replay,
        )

    def _told(self, receives: int) -> int | None:
        """Some services and proxies leave the count out, always or now and then, or say 1 each time."""
        if self.counts == "absent" or (self.counts == "sparse" and self.world.chance.random() < 0.3):
            return None
        return 1 if self.counts == "one" else receives

    def _bury(self) -> None:
        """What was received too often becomes a dead letter once it is visible again."""
        if not self.dead_letter:
            return
        for stored in self.stored:
            if (
                self.max_receives is not None
                and not stored.deleted
                and stored.receives >= self.max_receives
                and stored.visible_at <= self.world.now
                and not ("overreceive" in self.mischief and self.world.chance.random() < 0.5)
            ):
                stored.deleted = True
                if not self.mischief.strikes("lose dead"):
                    self.dead.append(stored)

    def _ready(self) -> list[Stored]:
        now, chance = self.world.now, self.world.chance
        alive = [stored for stored in self.stored if not stored.deleted]
        early = [stored for stored in alive if stored.visible_at > now and self.mischief.strikes("early", 0.15)]
        undeleted = [
            stored
            for stored in (self.stored if "undelete" in self.mischief else [])
            if stored.deleted
            and stored.receives
            and not any(stored is dead for dead in self.dead)
            and self.mischief.strikes("undelete", 0.1)
        ]
        if not self.ordered:
            again = [
                stored
                for stored in alive
                if stored.visible_at > now
                and not (self.dead_letter and stored.receives >= (self.max_receives or 0))
                and chance.random() < 0.01
            ]
            ready = [stored for stored in alive if stored.visible_at <= now] + again + early + undeleted
            ready = list({id(stored): stored for stored in ready}.values())
            chance.shuffle(ready)
            if "unfair" in self.mischief:
                ready.sort(key=lambda stored: stored.enqueued)
            else:
                ready.sort(key=lambda stored: stored.letter.noisy)
            return ready
        locked = {stored.letter.group for stored in alive if stored.visible_at > now}
        if "overtake" in self.mischief:
            locked = {group for group in locked if not self.mischief.strikes("overtake", 0.3)}
        ready = [stored for stored in alive if stored.visible_at <= now and stored.letter.group not in locked]
        ready.sort(key=lambda stored: stored.number)
        if self.mischief.strikes("reorder", 0.3):
            ready.reverse()
        return [*early, *undeleted, *(stored for stored in ready if stored not in early)]

    def delete(self, receipt: str, broker_id: str) -> str:
        stored = next((one for one in self.stored if one.broker_id == broker_id), None)
        if stored is None or stored.deleted:
            return "ok"
        current = stored.receipt == receipt
        hidden = stored.visible_at > self.world.now
        if current and (hidden or self.world.chance.random() < 0.5):
            stored.deleted = True
            return "ok"
        if not self.ordered and self.world.chance.random() < 0.5:
            stored.deleted = True
            return "ok"
        return self.world.chance.choice(("ok", "failed"))

    def hide(self, receipt: str, broker_id: str, hidden: int) -> str:
        """Extends a hold, or ends it now."""
        stored = next((one for one in self.stored if one.broker_id == broker_id), None)
        if (
            stored is not None
            and not stored.deleted
            and stored.receipt == receipt
            and stored.visible_at > self.world.now
        ):
            stored.visible_at = (self.clock + hidden) if hidden else self.world.now
            return "ok"
        return self.world.chance.choice(("ok", "failed"))

    def redrive(self, stored: Stored) -> None:
        self.dead.remove(stored)
        if not self.mischief.strikes("lose redriven", 0.7):
            self._add(stored.letter)

    def replay(self, letter: Letter) -> None:
        self._add(letter)

    def empty(self) -> bool:
        self._bury()
        return self.arriving == 0 and all(stored.deleted for stored in self.stored)


class Topic:
    """A topic before several queues; to a single queue it is the queue itself."""

    def __init__(
        self,
        world: World,
        mischief: Mischief,
        *,
        queues: Sequence[Queue],
        direct: bool,
        ordered: bool,
        window: int | None,
        delay: int,
        at_most_once: frozenset[str],
        effective_from: Mapping[str, int],
        drops_before: bool,
    ) -> None:
        self.world = world
        self.mischief = mischief
        self.queues = {queue.name: queue for queue in queues}
        self.direct = direct
        self.ordered = ordered
        self.window = window
        self.delay = delay
        self.at_most_once = at_most_once
        self.effective_from = effective_from
        self.drops_before = drops_before
        self.number = 10**19
        self.archive: dict[str, Letter] = {}
        self._seen: dict[str, tuple[int, Answer]] = {}
        self._busy_until: dict[str, int] = {}
        self._passed_by: dict[tuple[str, str], bool] = {}

    def send(self, letters: Sequence[Letter], refuse: Callable[[], bool]) -> list[Answer]:
        """One call: each entry answered on its own, in the order of the entries."""
        answers: list[Answer] = []
        for letter in letters:
            if refuse():
                if self.mischief.strikes("store refused"):
                    self._store(letter)
                answers.append(Answer(outcome="failed"))
            else:
                answers.append(self._store(letter))
        return answers

    def replay(self, name: str, share: float) -> None:
        """Sends that share of what it got once more, whether or not it ever arrived."""
        for letter in self.archive.values():
            for queue in self.queues.values():
                wanted = queue.name in letter.expect and self.world.chance.random() < share
                if wanted and not self.mischief.strikes("skip replayed", 0.2):
                    queue.replay(replace(letter, replay=name))

    def _store(self, letter: Letter) -> Answer:
        self.archive[letter.id] = letter
        if self.direct:
            (queue,) = self.queues.values()
            return queue.store(letter)
        known = self._seen.get(letter.id)
        if self.window is not None and known is not None and self.world.now - known[0] < self.window:
            return known[1]
        self.number += 1
        number = self.number - (1000 if self.mischief.strikes("misnumber", 0.2) else 0)
        answer = Answer(outcome="ok", broker_id=f"topic-{self.number}", number=number)
        self._seen[letter.id] = (self.world.now, answer)
        for name, queue in self.queues.items():
            wanted = name in letter.expect
            if self.world.now < self.effective_from.get(name, 0) and self._unfiltered(letter, name):
                wanted = not (wanted and self.drops_before)
            if self.mischief.strikes("misroute", 0.15):
                wanted = not wanted
            if wanted and name in self.at_most_once and self.world.chance.random() < 0.1:
                continue
            if wanted:
                self._forward(letter, queue)
        return answer

    def _unfiltered(self, letter: Letter, name: str) -> bool:
        """A filter that is not in effect yet passes a message by, however often it is sent, or does not."""
        return self._passed_by.setdefault((letter.id, name), self.world.chance.random() < 0.5)

    def _forward(self, letter: Letter, queue: Queue) -> None:
        """Reaches the queue a little later; in order, where the topic is."""
        due = self.world.now + self.world.between(MILLISECOND, max(2 * MILLISECOND, self.delay))
        if self.ordered:
            due = max(due, self._busy_until.get(queue.name, 0))
            self._busy_until[queue.name] = due
        queue.arriving += 1

        def arrive() -> None:
            queue.arriving -= 1
            queue.store(letter)

        self.world.at(due, arrive)


@dataclass(kw_only=True, slots=True)
class StreamRecord:
    number: int
    letter: Letter
    enqueued: int


@dataclass(kw_only=True, slots=True)
class Partition:
    name: str
    parents: tuple[str, ...] = ()
    closed: bool = False
    records: list[StreamRecord] = field(default_factory=list)


@dataclass(kw_only=True, slots=True)
class Lease:
    """Who reads a partition for one subscription, until when, and how far it is done."""

    owner: str = ""
    until: int = 0
    done: int = 0


class Stream:
    """A stream of partitions that split and merge; order is kept within a partition only."""

    def __init__(self, world: World, mischief: Mischief, *, partitions: int, subscriptions: Sequence[str]) -> None:
        self.world = world
        self.mischief = mischief
        self.partitions = {f"p{index}": Partition(name=f"p{index}") for index in range(partitions)}
        self.leases = {name: {partition: Lease() for partition in self.partitions} for name in subscriptions}
        self.routes: dict[str, str] = {}
        self.number = world.chance.choice((49_660 * 10**51, 10**56 - 10**13))
        self.lost: set[str] = set()

    def open_partitions(self) -> list[Partition]:
        return [partition for partition in self.partitions.values() if not partition.closed]

    def route(self, group: str) -> Partition:
        """The same group goes to the same partition, until that is split or merged."""
        name = self.routes.get(group)
        if name is None:
            name = self.world.chance.choice(self.open_partitions()).name
            self.routes[group] = name
        if self.partitions[name].closed:
            children = [one for one in self.partitions.values() if name in one.parents]
            name = self.world.chance.choice(children).name
            self.routes[group] = name
            return self.route(group)
        return self.partitions[name]

    def send(self, letters: Sequence[Letter], refuse: Callable[[], bool]) -> list[Answer]:
        """One call: its entries are stored in any order."""
        answers: dict[int, Answer] = {}
        order = list(range(len(letters)))
        self.world.chance.shuffle(order)
        for index in order:
            if refuse():
                if self.mischief.strikes("store refused"):
                    self._store(letters[index])
                answers[index] = Answer(outcome="failed")
            else:
                answers[index] = self._store(letters[index])
        return [answers[index] for index in range(len(letters))]

    def _store(self, letter: Letter) -> Answer:
        partition = self.route(letter.group or letter.id)
        self.number += self.world.chance.choice((1, 2, 10**12))
        number = self.number
        if self.mischief.strikes("misnumber", 0.2):
            number -= 10**14
        if not self.mischief.strikes("lose", 0.15):
            record = StreamRecord(number=number, letter=letter, enqueued=self.world.now // MILLISECOND * MILLISECOND)
            partition.records.append(record)
            if self.mischief.strikes("duplicate", 0.2):
                self.number += 1
                partition.records.append(StreamRecord(number=self.number, letter=letter, enqueued=record.enqueued))
            if self.mischief.strikes("phantom", 0.1):
                ghost = Letter(id=f"ghost-{number % 1000}", group=letter.group, expect=frozenset())
                self.number += 1
                partition.records.append(StreamRecord(number=self.number, letter=ghost, enqueued=record.enqueued))
            if self.mischief.strikes("reorder", 0.3) and len(partition.records) > 1:
                partition.records[-1], partition.records[-2] = partition.records[-2], partition.records[-1]
        return Answer(outcome="ok", broker_id=str(number), number=number, partition=partition.name)

    def reshard(self) -> list[Partition]:
        """Splits one partition in two or merges two into one; returns the new ones."""
        current = self.open_partitions()
        if len(current) > 1 and self.world.chance.random() < 0.4:
            parents = tuple(self.world.chance.sample(current, 2))
            count = 1
        else:
            parents = (self.world.chance.choice(current),)
            count = 2
        born: list[Partition] = []
        for parent in parents:
            parent.closed = True
        for _ in range(count):
            name = f"p{len(self.partitions)}"
            partition = Partition(name=name, parents=tuple(parent.name for parent in parents))
            self.partitions[name] = partition
            for leases in self.leases.values():
                leases[name] = Lease()
            born.append(partition)
        return born

    def finished(self, subscription: str, partition: Partition) -> bool:
        return (
            partition.closed
            and self.leases[subscription][partition.name].done >= len(partition.records)
            and all(self.finished(subscription, self.partitions[parent]) for parent in partition.parents)
        )

    def acquire(self, subscription: str, owner: str, span: int) -> list[tuple[str, int]]:
        """Renews the caller's leases and gives it free ones whose parents are done: partition and position."""
        held: list[tuple[str, int]] = []
        for name, lease in self.leases[subscription].items():
            partition = self.partitions[name]
            ready = all(self.finished(subscription, self.partitions[parent]) for parent in partition.parents)
            if self.finished(subscription, partition) or not (ready or "child first" in self.mischief):
                continue
            if lease.owner == owner or lease.until <= self.world.now:
                lease.owner, lease.until = owner, self.world.now + span
                held.append((name, lease.done))
        return held

    def read(self, partition: str, position: int, most: int) -> list[Delivery]:
        deliveries: list[Delivery] = []
        for record in self.partitions[partition].records[position : position + most]:
            group, intact = record.letter.group, not self.mischief.strikes("corrupt", 0.1)
            deliveries.append(
                Delivery(
                    id=record.letter.id,
                    group=group,
                    broker_id=str(record.number),
                    number=record.number,
                    partition=partition,
                    receives=None,
                    enqueued=record.enqueued,
                    intact=intact,
                    receipt=str(position + len(deliveries) + 1),
                )
            )
        return deliveries

    def checkpoint(self, subscription: str, owner: str, partition: str, position: int) -> str:
        """Only its owner moves a checkpoint, and only forward."""
        lease = self.leases[subscription][partition]
        if "unfenced" in self.mischief:
            lease.done = position
            return "ok"
        if lease.owner != owner or position < lease.done:
            return "failed"
        lease.done = position
        return "ok"

    def at_end(self, subscription: str) -> bool:
        return all(
            self.leases[subscription][name].done >= len(partition.records)
            for name, partition in self.partitions.items()
        )


LEASE = 3 * SECOND

"""One queue, Standard or FIFO, as pure decisions: time is an argument in nanoseconds, nothing is read or written.

Rules from the SQS developer guide and API reference (docs.aws.amazon.com/AWSSimpleQueueService/latest):
- a received message is hidden until its visibility timeout ends, then comes back; each receive gives a new receipt;
- FIFO: while a message of a group is hidden, no other of the group is delivered, but one receive may take several;
- FIFO: a deduplication id that was accepted in the last 5 minutes is accepted again and not delivered, even when the
  message has been deleted meanwhile;
- FIFO refuses an old receipt; Standard answers it with success and may do nothing;
- FIFO: a delay is the queue's, and a new one reaches what is delayed already (page "Delay queues"); a delayed message
  keeps those behind it in its group back;
- FIFO: a receive repeated with its ReceiveRequestAttemptId gives the same messages and receipts, hidden anew, unless
  one of them was deleted, hidden otherwise or shown meanwhile;
- a message whose receives would exceed the redrive policy's maxReceiveCount goes to the dead-letter queue instead; its
  receive count goes on there, and on FIFO its sent time and sequence number are new and its deduplication id is its
  MessageId;
- a message that a move task takes out of a dead-letter queue is a new one: MessageId, sent time and count start again;
- Standard: of messages with a MessageGroupId, a tenant's, those come first whose tenant has little in flight, and one
  without is a tenant of its own (page "How Amazon SQS fair queues work"). AWS looks at a tenant with more than about a
  tenth of what is in flight, and 30 messages, or of the consumers' time; here the one with the fewest comes first, from
  the first message on.

What a defect may change stands in `Conduct`, the correct answer to each question at which a broker can go wrong.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from heapq import heappop, heappush
from typing import Any, NamedTuple

from gameday.emulator.capacity import Bucket
from gameday.emulator.wire import Refused
from gameday.history.clock import NS_PER_S

# As AWS's look: 20 digits, and neighbours are 256 apart.
_SEQUENCE_FIRST = 18_849_496_460_467_696_128
_SEQUENCE_STEP = 256
# How many deletes a FIFO queue remembers, so that repeating one (its answer was lost) is a success and no refusal.
_DELETED_REMEMBERED = 100_000


class State(IntEnum):
    VISIBLE = 0
    HIDDEN = 1
    DELAYED = 2
    GONE = 3


class Draft(NamedTuple):
    """What a producer sends. `attributes` and `system` are the message's attributes, as the API spells them."""

    body: str
    group: str | None = None
    dedup_id: str | None = None
    delay_ns: int | None = None
    attributes: Mapping[str, Any] | None = None
    system: Mapping[str, Any] | None = None


class Accepted(NamedTuple):
    """What a producer is answered; the sequence number is a FIFO queue's only."""

    message_id: str
    sequence: str | None


@dataclass(slots=True, eq=False)
class Message:
    """A stored message. `number` is its key in its queue, `order` its place in its group; times in ns."""

    number: int
    order: float
    draft: Draft
    accepted: Accepted
    sent_ns: int
    state: State
    visible_at: int
    receives: int = 0
    first_received_ns: int = 0
    receipt: str = ""
    source_arn: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Redrive:
    dead_letter: Queue
    max_receives: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Durations in ns. `dedup_by_group`: a deduplication id counts within its group only."""

    visibility_ns: int = 30 * NS_PER_S
    delay_ns: int = 0
    dedup_window_ns: int = 300 * NS_PER_S
    dedup_by_group: bool = False
    redrive: Redrive | None = None


class Conduct:
    """The right conduct. A defect overrides one answer (gameday/emulator/defects.py)."""

    def stores(self, draft: Draft) -> Sequence[Draft]:
        """The messages that an accepted send puts into the queue."""
        return (draft,)

    def sequence(self, number: int) -> int:
        """The number that a message is told by, from its own."""
        return number

    def place(self, number: int, last: float) -> float:
        """Where a message stands in its group, `last` being the place of the one before it."""
        return number

    def returns_to(self, place: float, last: float) -> float:
        """Where a message that comes back stands in its group, `last` being the place of the last one there."""
        return place

    def locks(self) -> bool:
        """Whether a hidden message keeps the rest of its group back."""
        return True

    def locks_extended(self) -> bool:
        """Whether it still does when its visibility was changed."""
        return True

    def locks_others(self) -> bool:
        """Whether a hidden message keeps other groups back too."""
        return False

    def delays_ns(self, asked_ns: int) -> int:
        """How long a new message is delayed."""
        return asked_ns

    def redelays(self) -> bool:
        """Whether a new delay of a FIFO queue reaches the messages that are delayed already."""
        return True

    def waits_for_delayed(self) -> bool:
        """Whether a delayed message keeps those behind it in its group back."""
        return True

    def refuses_timers(self) -> bool:
        """Whether a delay of one message alone is refused on FIFO."""
        return True

    def refuses_characters(self) -> bool:
        """Whether a body with characters outside the allowed set is refused."""
        return True

    def counts(self, body: int, attributes: int) -> int:
        """How many bytes a message counts, by those of its body and of its attributes."""
        return body + attributes

    def limits_batches(self) -> bool:
        """Whether a batch may hold no more bytes than a message."""
        return True

    def system_names(self, asked: Sequence[str], asked_of_old: Sequence[str]) -> Sequence[str]:
        """The system attributes that a receive tells, asked for by MessageSystemAttributeNames or by AttributeNames."""
        return asked or asked_of_old

    def hides_ns(self, asked_ns: int) -> int:
        """How long a received message stays hidden."""
        return asked_ns

    def comes_back(self) -> bool:
        """Whether a message whose visibility timeout has ended is delivered again."""
        return True

    def deletes(self) -> bool:
        """Whether a delete that succeeds deletes."""
        return True

    def refuses_stale(self, *, fifo: bool) -> bool:
        """Whether deleting with an outdated receipt is an error; where it is none on FIFO, it deletes."""
        return fifo

    def repeats(self) -> bool:
        """Whether a receive with the ReceiveRequestAttemptId of an earlier one repeats it."""
        return True

    def deduplicates(self) -> bool:
        """Whether a message with a known deduplication id is not stored again."""
        return True

    def fair(self) -> bool:
        """Whether a Standard queue heeds message groups: those with the fewest messages in flight come first."""
        return True

    def content_id(self, digest: str) -> str:
        """The deduplication id of a message that has none, from the digest of its body."""
        return digest

    def dedups_by_group(self, asked: bool) -> bool:
        """Whether a deduplication id counts within its group only; `asked`: whether the queue is set so."""
        return asked

    def remembers_deleted(self) -> bool:
        """Whether the deduplication id of a deleted message still counts."""
        return True

    def forgets(self) -> bool:
        """Whether a deduplication id is forgotten when its window is over."""
        return True

    def buries(self) -> bool:
        """Whether a message received too often goes to the dead-letter queue."""
        return True

    def moves(self) -> bool:
        """Whether a message that a move task took out arrives."""
        return True

    def tells_failures(self) -> bool:
        """Whether a batch tells that an entry failed."""
        return True

    def heeds_policy(self) -> bool:
        """Whether a call is refused that the queue's policy denies everybody."""
        return True

    def told_sequence(self, sequence: str) -> str:
        """The sequence number that a receive tells."""
        return sequence


@dataclass(slots=True, eq=False)
class Arrival:
    """What another service will send here by itself, `at` that moment, unless it is cancelled."""

    at: int
    draft: Draft
    cancelled: bool = False


class Queue:
    """What both kinds share: messages, timers, receipts. `arn` is the queue's name wherever another refers to it."""

    fifo = False
    # What receives are held to, where that is planted.
    receives: Bucket | None = None
    # Told the time whenever something may have come that a receive could take.
    arrived: Callable[[int], None] | None = None

    def __init__(self, *, arn: str, settings: Settings, conduct: Conduct | None = None) -> None:
        self.arn = arn
        self.settings = settings
        self.conduct = conduct or Conduct()
        self._numbers = 0
        self._messages: dict[int, Message] = {}
        # When a hidden or delayed message turns visible: (visible_at, number). Outdated entries are skipped when due.
        self._timers: list[tuple[int, int]] = []
        # By their time, and then as they were told.
        self._arrivals: list[tuple[int, int, Arrival]] = []
        self._counts = [0, 0, 0, 0]

    def expect(self, arrival: Arrival) -> Arrival:
        """Something that will be sent here by itself."""
        heappush(self._arrivals, (arrival.at, self._next_number(), arrival))
        return arrival

    def send(self, now: int, draft: Draft) -> Accepted:
        """Errors: Refused."""
        stored = [self._store(now, each) for each in self.conduct.stores(draft)]
        if self.arrived is not None:
            self.arrived(now)
        return stored[0] if stored else self._accept(self._next_number())

    def receive(
        self, now: int, *, most: int, hidden_ns: int | None = None, attempt: str | None = None
    ) -> list[Message]:
        """Up to `most` messages, now hidden. A message's `receipt` is that of its latest receive.

        `attempt` names this receive, so that a FIFO queue can repeat it.
        """
        self.advance(now)
        until = self._until(now, hidden_ns)
        redrive = self.settings.redrive
        taken: list[Message] = []
        if self.receives is not None and (most := min(most, self.receives.available(now))) == 0:
            return taken
        for message in self._candidates():
            if redrive is not None and message.receives >= redrive.max_receives and self.conduct.buries():
                self._remove(message)
                redrive.dead_letter._adopt(now, message, source_arn=self.arn)
                continue
            message.receives += 1
            message.first_received_ns = message.first_received_ns or now
            message.receipt = f"{self.arn}/{message.number}/{message.receives}"
            self._hide(message, until)
            taken.append(message)
            if len(taken) == most:
                break
        if self.receives is not None:
            self.receives.take(len(taken))
        return taken

    def move(self, now: int, *, to: Callable[[Message], Queue | None]) -> int:
        """Move every message that a receive could take to where it belongs, or leave it. Answers how many went."""
        self.advance(now)
        staying, moved = [], 0
        for message in self._candidates():
            target = to(message)
            if target is None:
                staying.append(message)
                continue
            self._remove(message)
            if self.conduct.moves():
                target._store(now, message.draft)
            moved += 1
        for message in staying:
            self._entered(message)
        return moved

    def delete(self, now: int, receipt: str) -> None:
        """Errors: Refused, for a receipt that is none, and on FIFO for one that is outdated."""
        raise NotImplementedError

    def hide(self, now: int, receipt: str, hidden_ns: int) -> None:
        """Hide a received message for `hidden_ns` from now; 0 gives it back. Errors: Refused."""
        self.advance(now)
        number, receives = self._read(receipt)
        message = self._messages.get(number)
        if message is None or message.receives != receives:
            raise _unavailable(receipt)
        if message.state is not State.HIDDEN:
            raise Refused("MessageNotInflight", "The message referred to is not in flight.")
        if hidden_ns:
            self._hide_until(message, now + hidden_ns)
        else:
            message.visible_at = now
            self._show(message)

    def redelay(self) -> None:
        """Hold what is delayed to the queue's delay as it is set now; on Standard a delay lasts as it was begun."""

    def purge(self) -> None:
        """Delete every message at once (AWS takes up to a minute)."""
        self._messages.clear()
        self._timers.clear()
        self._counts = [0, 0, 0, 0]
        self._purged()

    def advance(self, now: int) -> None:
        """Let what is due by `now` turn visible."""
        timers, counted = self._timers, self._counts[State.VISIBLE]
        while self._arrivals and self._arrivals[0][0] <= now:
            at, _, arrival = heappop(self._arrivals)
            if not arrival.cancelled:
                self._store(at, arrival.draft)
        while timers and timers[0][0] <= now:
            visible_at, number = heappop(timers)
            message = self._messages.get(number)
            if message is None or message.visible_at != visible_at or message.state is State.VISIBLE:
                continue
            if message.state is State.HIDDEN and not self.conduct.comes_back():
                self._remove(message)
            else:
                self._show(message)
        if self.arrived is not None and self._counts[State.VISIBLE] > counted:
            self.arrived(now)

    def next_change_ns(self) -> int | None:
        """The earliest time at which something may turn visible by itself, or what is visible may be received."""
        changes = [self._timers[0][0]] if self._timers else []
        changes += [self._arrivals[0][0]] if self._arrivals else []
        if self.receives is not None and self._counts[State.VISIBLE]:
            may_pass = self.receives.next_ns()
            changes += [] if may_pass is None else [may_pass]
        return min(changes, default=None)

    def deliverable(self) -> bool:
        """Whether a receive could give something, as of the last `advance`; at worst it looks in vain."""
        raise NotImplementedError

    def depth(self, now: int) -> tuple[int, int, int]:
        """Visible, hidden and delayed messages."""
        self.advance(now)
        return self._counts[State.VISIBLE], self._counts[State.HIDDEN], self._counts[State.DELAYED]

    # What the kinds do differently.

    def _place(self, draft: Draft, number: int) -> float:
        return number

    def _candidates(self) -> Iterator[Message]:
        """Take visible messages off their line, in the order of delivery."""
        raise NotImplementedError

    def _entered(self, message: Message) -> None:
        """It is new here, visible or delayed."""
        raise NotImplementedError

    def _shown(self, message: Message, was: State) -> None:
        """It was hidden or delayed, and turned visible."""
        raise NotImplementedError

    def _hidden(self, message: Message) -> None:
        """It was received."""

    def _removed(self, message: Message, was: State) -> None:
        """It is gone for good."""

    def _purged(self) -> None:
        """All are gone."""
        raise NotImplementedError

    # What they share.

    def _until(self, now: int, hidden_ns: int | None) -> int:
        return now + self.conduct.hides_ns(self.settings.visibility_ns if hidden_ns is None else hidden_ns)

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _accept(self, number: int) -> Accepted:
        return Accepted(str(uuid.uuid4()), self._sequence(number))

    def _sequence(self, number: int) -> str | None:
        return str(_SEQUENCE_FIRST + _SEQUENCE_STEP * self.conduct.sequence(number)) if self.fifo else None

    def _store(self, now: int, draft: Draft) -> Accepted:
        number = self._next_number()
        delay_ns = self.settings.delay_ns if draft.delay_ns is None else draft.delay_ns
        if delay_ns:
            delay_ns = self.conduct.delays_ns(delay_ns)
        message = Message(
            number=number,
            order=self._place(draft, number),
            draft=draft,
            accepted=self._accept(number),
            sent_ns=now,
            state=State.DELAYED if delay_ns else State.VISIBLE,
            visible_at=now + delay_ns,
        )
        if delay_ns:
            heappush(self._timers, (message.visible_at, number))
        self._enter(message)
        return message.accepted

    def _adopt(self, now: int, message: Message, *, source_arn: str) -> None:
        """Take over a message that was received too often elsewhere."""
        message.number = self._next_number()
        message.order = message.number
        message.state = State.VISIBLE
        message.source_arn = source_arn
        if self.fifo:
            message.sent_ns = now
            message.accepted = message.accepted._replace(sequence=self._sequence(message.number))
            message.draft = message.draft._replace(dedup_id=message.accepted.message_id)
        self._enter(message)

    def _enter(self, message: Message) -> None:
        self._messages[message.number] = message
        self._counts[message.state] += 1
        self._entered(message)

    def _turn(self, message: Message, state: State) -> State:
        was = message.state
        self._counts[was] -= 1
        self._counts[state] += 1
        message.state = state
        return was

    def _hide_until(self, message: Message, until: int) -> None:
        message.visible_at = until
        heappush(self._timers, (until, message.number))

    def _hide(self, message: Message, until: int) -> None:
        self._hide_until(message, until)
        self._turn(message, State.HIDDEN)
        self._hidden(message)

    def _show(self, message: Message) -> None:
        self._shown(message, self._turn(message, State.VISIBLE))

    def _remove(self, message: Message) -> None:
        del self._messages[message.number]
        self._removed(message, self._turn(message, State.GONE))

    def _read(self, receipt: str) -> tuple[int, int]:
        """Number and receive count of a receipt of this queue."""
        arn, _, rest = receipt.partition("/")
        number, _, receives = rest.partition("/")
        if arn != self.arn or not number.isdecimal() or not receives.isdecimal():
            raise Refused(
                "ReceiptHandleIsInvalid", f'The input receipt handle "{receipt}" is not a valid receipt handle.'
            )
        return int(number), int(receives)


@dataclass(slots=True, eq=False)
class _Tenant:
    """A message group of a Standard queue: its messages in line, and how many are in flight."""

    line: deque[Message] = field(default_factory=deque)
    held: int = 0


class StandardQueue(Queue):
    """At least once, in any order: here in the order in which messages turn visible, and fair among tenants."""

    def __init__(self, *, arn: str, settings: Settings, conduct: Conduct | None = None) -> None:
        super().__init__(arn=arn, settings=settings, conduct=conduct)
        # Of messages without a group.
        self._line: deque[Message] = deque()
        self._tenants: dict[str, _Tenant] = {}
        # Whose turn it is: (how many are in flight, the place of the first in line, tenant); the outdated are skipped.
        self._turns: list[tuple[int, float, str]] = []
        self._places = 0

    def delete(self, now: int, receipt: str) -> None:
        """The latest receipt deletes, even after its visibility timeout; an older one does nothing, with success."""
        self.advance(now)
        number, receives = self._read(receipt)
        message = self._messages.get(number)
        if message is None:
            return
        if message.receives != receives:
            if self.conduct.refuses_stale(fifo=False):
                raise _expired(receipt)
        elif self.conduct.deletes():
            self._remove(message)

    def deliverable(self) -> bool:
        return bool(self._line or self._turns)

    def _candidates(self) -> Iterator[Message]:
        while True:
            turn = self._turn_of_tenants()
            while self._line and self._line[0].state is not State.VISIBLE:
                self._line.popleft()  # it was deleted by an old receipt while it stood in line
            if turn is None and not self._line:
                return
            if turn is None or (self._line and (0, self._line[0].order) < turn[:2]):
                yield self._line.popleft()
            else:
                yield self._take_turn(turn[2])

    def _turn_of_tenants(self) -> tuple[int, float, str] | None:
        """The tenant whose turn it is, with the fewest messages in flight; of those that have as many, the one whose
        first message has waited longest."""
        while self._turns:
            held, place, name = self._turns[0]
            tenant = self._tenants.get(name)
            first = None if tenant is None else _first(tenant)
            if tenant is not None and first is not None and (tenant.held, first.order) == (held, place):
                return held, place, name
            heappop(self._turns)
        return None

    def _take_turn(self, name: str) -> Message:
        tenant = self._tenants[name]
        message = tenant.line.popleft()
        self._list(name, tenant)
        return message

    def _entered(self, message: Message) -> None:
        if message.state is State.VISIBLE:
            self._stand_in_line(message)

    def _shown(self, message: Message, was: State) -> None:
        if was is State.HIDDEN:
            self._let_go(message, held=True)
        self._stand_in_line(message)

    def _hidden(self, message: Message) -> None:
        if (name := self._tenant_of(message)) is not None:
            self._tenants[name].held += 1
            self._list(name, self._tenants[name])

    def _removed(self, message: Message, was: State) -> None:
        self._let_go(message, held=was is State.HIDDEN)

    def _purged(self) -> None:
        self._line.clear()
        self._tenants.clear()
        self._turns.clear()

    def _tenant_of(self, message: Message) -> str | None:
        return message.draft.group if self.conduct.fair() else None

    def _stand_in_line(self, message: Message) -> None:
        self._places += 1
        message.order = self._places
        name = self._tenant_of(message)
        if name is None:
            self._line.append(message)
            return
        tenant = self._tenants.setdefault(name, _Tenant())
        waits = _first(tenant) is not None
        tenant.line.append(message)
        if not waits:
            self._list(name, tenant)

    def _let_go(self, message: Message, *, held: bool) -> None:
        """It is in flight no longer where it was `held`, else gone from the line."""
        if (name := self._tenant_of(message)) is not None:
            tenant = self._tenants[name]
            tenant.held -= held
            self._list(name, tenant)
            if not tenant.held and not tenant.line:
                del self._tenants[name]

    def _list(self, name: str, tenant: _Tenant) -> None:
        if (first := _first(tenant)) is not None:
            heappush(self._turns, (tenant.held, first.order, name))


def _first(tenant: _Tenant) -> Message | None:
    """The first in line; what was deleted by an old receipt while it stood there is dropped."""
    while tenant.line and tenant.line[0].state is not State.VISIBLE:
        tenant.line.popleft()
    return tenant.line[0] if tenant.line else None


@dataclass(slots=True, eq=False)
class _Group:
    """A group's messages that are not in flight, by their order, and how many are. `listed`: it stands in line."""

    name: str
    waiting: list[tuple[float, int, Message]] = field(default_factory=list)
    held: int = 0
    listed: bool = False
    last: float = 0


class FifoQueue(Queue):
    """In order within a group, each deduplication id once in the window. Groups take turns."""

    fifo = True

    def __init__(self, *, arn: str, settings: Settings, conduct: Conduct | None = None) -> None:
        super().__init__(arn=arn, settings=settings, conduct=conduct)
        self._groups: dict[str, _Group] = {}
        # The groups whose head could be delivered now; one that cannot any more is dropped when its turn comes.
        self._line: deque[_Group] = deque()
        self._accepted_ids: dict[tuple[str | None, str], tuple[int, Accepted]] = {}
        self._forget: deque[tuple[int, tuple[str | None, str]]] = deque()
        self._deleted: dict[int, int] = {}
        # What a named receive took, and until when it is hidden: as long as that is so, the receive can be repeated.
        self._attempts: dict[str, tuple[int, list[tuple[Message, str]]]] = {}
        # Hidden messages that keep nobody back, as only a defect has them.
        self._unlocking: set[int] = set()

    def send(self, now: int, draft: Draft) -> Accepted:
        """A draft without `group` or `dedup_id` must not get here."""
        key = self._dedup_key(draft)
        self._forget_old_ids(now)
        known = self._accepted_ids.get(key)
        if known is not None and self.conduct.deduplicates():
            return known[1]
        accepted = super().send(now, draft)
        forget_at = now + self.settings.dedup_window_ns
        self._accepted_ids[key] = (forget_at, accepted)
        self._forget.append((forget_at, key))
        return accepted

    def receive(
        self, now: int, *, most: int, hidden_ns: int | None = None, attempt: str | None = None
    ) -> list[Message]:
        if attempt is None:
            return super().receive(now, most=most, hidden_ns=hidden_ns)
        self.advance(now)
        self._attempts = {name: taken for name, taken in self._attempts.items() if taken[0] > now}
        until, taken = self._attempts.get(attempt, (0, []))
        same = all(m.receipt == receipt and m.state is State.HIDDEN and m.visible_at == until for m, receipt in taken)
        if taken and same and self.conduct.repeats():
            messages = [message for message, _ in taken]
            until = self._until(now, hidden_ns)
            for message in messages:
                self._hide_until(message, until)
        else:
            messages = super().receive(now, most=most, hidden_ns=hidden_ns)
            until = messages[0].visible_at if messages else 0
        self._attempts[attempt] = until, [(message, message.receipt) for message in messages]
        return messages

    def delete(self, now: int, receipt: str) -> None:
        """Only the receipt of the hold that lasts still deletes (and repeats its delete); any other is refused."""
        self.advance(now)
        number, receives = self._read(receipt)
        message = self._messages.get(number)
        if message is None and self._deleted.get(number) == receives:
            return
        stale = message is None or message.receives != receives or message.state is not State.HIDDEN
        if stale and self.conduct.refuses_stale(fifo=True):
            raise _expired(receipt)
        if message is None or not self.conduct.deletes():
            return
        self._remove(message)
        self._deleted[number] = receives
        if len(self._deleted) > _DELETED_REMEMBERED:
            del self._deleted[next(iter(self._deleted))]
        if not self.conduct.remembers_deleted():
            self._accepted_ids.pop(self._dedup_key(message.draft), None)

    def hide(self, now: int, receipt: str, hidden_ns: int) -> None:
        self.advance(now)
        number, receives = self._read(receipt)
        message = self._messages.get(number)
        if message is not None and (message.receives != receives or message.state is not State.HIDDEN):
            raise _expired(receipt)
        super().hide(now, receipt, hidden_ns)
        if message is not None and hidden_ns and not self.conduct.locks_extended() and number not in self._unlocking:
            self._release(self._group(message.draft), message)
            self._unlocking.add(number)
            self._list(self._group(message.draft))

    def redelay(self) -> None:
        if not self.conduct.redelays():
            return
        delay_ns = self.conduct.delays_ns(self.settings.delay_ns)
        for message in self._messages.values():
            if message.state is State.DELAYED:
                self._hide_until(message, message.sent_ns + delay_ns)

    def deliverable(self) -> bool:
        return bool(self._line)

    def _dedup_key(self, draft: Draft) -> tuple[str | None, str]:
        assert draft.dedup_id is not None
        by_group = self.conduct.dedups_by_group(self.settings.dedup_by_group)
        return (draft.group if by_group else None), draft.dedup_id

    def _forget_old_ids(self, now: int) -> None:
        while self._forget and self._forget[0][0] <= now and self.conduct.forgets():
            forget_at, key = self._forget.popleft()
            if self._accepted_ids.get(key, (0,))[0] == forget_at:
                del self._accepted_ids[key]

    def _place(self, draft: Draft, number: int) -> float:
        group = self._group(draft)
        group.last = self.conduct.place(number, group.last)
        return group.last

    def _candidates(self) -> Iterator[Message]:
        if self.conduct.locks_others() and self._counts[State.HIDDEN]:
            return
        # As SQS does: as many as possible of one group, then the next group.
        for _ in range(len(self._line)):
            group = self._line.popleft()
            group.listed = False
            if group.held and self.conduct.locks():
                continue
            while (head := _head(group)) is not None and head.state is State.VISIBLE:
                yield heappop(group.waiting)[2]

    def _entered(self, message: Message) -> None:
        if message.state is State.VISIBLE or self.conduct.waits_for_delayed():
            self._wait(message)

    def _shown(self, message: Message, was: State) -> None:
        if was is State.HIDDEN:
            group = self._group(message.draft)
            self._release(group, message)
            message.order = self.conduct.returns_to(message.order, group.last)
            self._wait(message)
        elif self.conduct.waits_for_delayed():
            self._list(self._group(message.draft))
        else:
            self._wait(message)

    def _hidden(self, message: Message) -> None:
        group = self._group(message.draft)
        group.held += 1
        self._list(group)

    def _removed(self, message: Message, was: State) -> None:
        group = self._group(message.draft)
        if was is State.HIDDEN:
            self._release(group, message)
        self._list(group)
        if not group.held and not group.waiting:
            del self._groups[group.name]

    def _release(self, group: _Group, message: Message) -> None:
        """It keeps its group back no longer."""
        if message.number in self._unlocking:
            self._unlocking.remove(message.number)
        else:
            group.held -= 1

    def _purged(self) -> None:
        self._unlocking.clear()
        self._groups.clear()
        self._line.clear()

    def _group(self, draft: Draft) -> _Group:
        name = draft.group
        assert name is not None
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = _Group(name)
        return group

    def _wait(self, message: Message) -> None:
        group = self._group(message.draft)
        heappush(group.waiting, (message.order, message.number, message))
        self._list(group)

    def _list(self, group: _Group) -> None:
        """Put the group in line if its head can be delivered: a delayed head keeps the rest back, as a hidden one."""
        if not group.listed and group.waiting and (not group.held or not self.conduct.locks()):
            head = _head(group)
            if head is not None and head.state is not State.DELAYED:
                group.listed = True
                self._line.append(group)


def _head(group: _Group) -> Message | None:
    """The first that waits; what was deleted while it waited (only a defect does that) is dropped."""
    while group.waiting and group.waiting[0][2].state is State.GONE:
        heappop(group.waiting)
    return group.waiting[0][2] if group.waiting else None


def _expired(receipt: str) -> Refused:
    return Refused(
        "InvalidParameterValue",
        f"Value {receipt} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.",
    )


def _unavailable(receipt: str) -> Refused:
    return Refused(
        "InvalidParameterValue",
        f"Value {receipt} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available "
        "for visibility timeout change.",
    )

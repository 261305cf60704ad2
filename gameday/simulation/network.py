"""What lies between the processes of a simulated run: the broker, the stores, and a network that may lose or delay.

Every exchange is a request that travels, is carried out at one moment, and an answer that travels back. A fault may
refuse it, lose the request or the answer, or hold either up so long that the client has given up before. The broker is
the emulator itself, called as functions; its long polls wait here as they do in its server.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar, Generic, Literal, TypeVar

from greenlet import getcurrent  # type: ignore[import-untyped]

from gameday.consumers.effects import Begun, Key
from gameday.consumers.leases import Lease
from gameday.emulator import services as emulator
from gameday.emulator.broker import LongPoll
from gameday.emulator.defects import defect
from gameday.emulator.eventbridge import BusConduct
from gameday.emulator.held import Held
from gameday.emulator.kinesis import StreamConduct
from gameday.emulator.queues import Conduct, Queue
from gameday.emulator.sns import TopicConduct
from gameday.emulator.wire import Refused
from gameday.processes.disturbances import Disturbances
from gameday.simulation.kernel import Planned, Process, World
from gameday.transports.aws_errors import is_definite
from gameday.transports.base import Answer, Call, CallFailed

Reply = Callable[[object], object]
State = TypeVar("State")
# The share of a batch's entries that something becomes of, and what.
Entries = tuple["Fate", Callable[[], bool]] | None
Serve = Callable[[Reply, Entries], object]
_ENTRIES_SHARE = 0.5
_CONDUCTS = (Conduct, TopicConduct, BusConduct, StreamConduct)
Fate = Literal[
    "lose-request",
    "lose-answer",
    "late-request",
    "late-answer",
    "refuse",
    "refuse-entries",
    "doubt-entries",
    "lose-entries",
]
# What is armed on the wire before a client, and what becomes of what it strikes. Of some, entries are struck alone.
ON_WIRE: Mapping[str, Fate] = {
    "throttle": "refuse",
    "lose-request": "lose-request",
    "lose-answer": "lose-answer",
    "throttle-entries": "refuse-entries",
    "lose-delete": "lose-entries",
}
# Where the entries of a batch stand, in the request and in the answer. SQS and SNS name entries, the others count them.
_BATCHES = {
    "SendMessageBatch": ("Entries", "Successful"),
    "DeleteMessageBatch": ("Entries", "Successful"),
    "ChangeMessageVisibilityBatch": ("Entries", "Successful"),
    "PublishBatch": ("PublishBatchRequestEntries", "Successful"),
    "PutEvents": ("Entries", "Entries"),
    "PutRecords": ("Records", "Records"),
}


@dataclass(kw_only=True, slots=True)
class Trouble:
    """A fault of the network while it stands. `whom`: whose requests; `what`: their operations (None: all of them).

    `late_s` is how long a late one takes; `slow`: the client sits a lost one out, else its connection breaks at once.
    Of a batch, entries may be refused (they are not done), end in doubt (done, and said to be an internal error), or be
    lost: they are not done, and of the whole batch there is no answer. `by_entry`: `share` is that of the entries.
    """

    fate: Fate
    share: float
    whom: Callable[[str], bool]
    what: Callable[[str], bool]
    late_s: float = 0.0
    slow: bool = True
    by_entry: bool = False
    fired: int = 0
    strikes: Callable[[], object] = lambda: None

    def strike(self) -> None:
        self.fired += 1
        self.strikes()


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault of the network struck a request of `who` at `when`, on the world's clock."""

    who: str
    operation: str
    fate: Fate
    when: int


class Network:
    """`latency_s`: between the two an exchange's one way takes; `timeout_s`: how long a client waits for an answer."""

    def __init__(self, world: World, *, latency_s: tuple[float, float], timeout_s: float) -> None:
        self.world = world
        self.troubles: list[Trouble] = []
        self.struck: list[Strike] = []
        # By client, what is armed on a wire before it.
        self.wires: dict[str, Disturbances] = {}
        self._calls = 0
        self._latency_s = latency_s
        self._timeout_s = timeout_s

    def exchange(self, who: str, operation: str, serve: Serve, reply: Reply, *, wait_s: float = 0.0) -> None:
        """Carry out `serve` at the other end, sometime; `reply` hears its answer or a CallFailed, exactly once.

        `serve` is given what to tell its answer, and the fate of single entries.
        """
        world, told = self.world, False
        given_up: Planned | None = None

        def tell(result: object) -> None:
            nonlocal told
            if not told:
                told = True
                if given_up is not None:
                    given_up.cancel()
                reply(result)

        def lost() -> CallFailed:
            return CallFailed("ReadTimeoutError", f"no answer to {operation} (simulated)", definite=False)

        trouble = self._struck(who, operation)
        fate = trouble.fate if trouble else None
        if trouble is not None:
            self.struck.append(Strike(who, operation, trouble.fate, world.now_ns))
        timeout_s = self._timeout_s + wait_s
        there_s, back_s = self._way_s(), self._way_s()
        if fate == "refuse":
            error = CallFailed("ThrottlingException", f"{operation} was refused (simulated)", definite=True)
            world.after(there_s + back_s, lambda: tell(error))
            return
        broken = CallFailed("ConnectionClosedError", f"{operation}: the connection broke (simulated)", definite=False)
        if trouble and fate in ("lose-request", "lose-answer") and not trouble.slow:
            world.after(there_s + back_s + self._way_s(), lambda: tell(broken))
        else:
            given_up = world.after(timeout_s, lambda: tell(lost()))
        if trouble and fate == "late-request":
            there_s += trouble.late_s
        if trouble and fate == "late-answer":
            back_s += trouble.late_s

        answers = fate != "lose-answer"

        def answer(result: object) -> None:
            if answers:
                world.after(back_s, lambda: tell(result))
            elif trouble and trouble.by_entry and not trouble.slow:
                world.after(back_s, lambda: tell(broken))

        def strikes_entry() -> bool:
            nonlocal answers
            assert trouble is not None
            if world.dice.random() >= trouble.share:
                return False
            answers = fate != "lose-entries"
            trouble.strike()
            return True

        entries: Entries = None
        if trouble and fate and trouble.by_entry:
            entries = fate, strikes_entry
        elif fate in ("refuse-entries", "doubt-entries"):
            entries = fate, lambda: world.dice.random() < _ENTRIES_SHARE
        if fate != "lose-request":
            world.after(there_s, lambda: serve(answer, entries))

    def _way_s(self) -> float:
        return self.world.dice.uniform(*self._latency_s)

    def _struck(self, who: str, operation: str) -> Trouble | None:
        for trouble in self.troubles:
            if not (trouble.whom(who) and trouble.what(operation)):
                continue
            if trouble.by_entry:
                # Its dice are rolled then.
                return trouble
            if self.world.dice.random() < trouble.share:
                trouble.strike()
                return trouble
        return self._struck_on_wire(who, operation)

    def _struck_on_wire(self, who: str, operation: str) -> Trouble | None:
        wire = self.wires.get(who)
        # What goes to a store or to the leases does not go over it.
        if wire is None or not wire.armed or "." in operation:
            return None
        self._calls += 1
        for kind, fate in ON_WIRE.items():
            if not fate.endswith("-entries"):
                if wire.struck(kind, str(self._calls), operation=operation) is not None:
                    return _whoever(fate)
                continue
            for armed in wire.standing(kind):
                # What deletes strikes no other call, and does not say so.
                if operation in (armed.operations or ("DeleteMessageBatch",)):
                    return _whoever(fate, share=armed.share, by_entry=True, strikes=partial(wire.count, armed))
        return None


def _whoever(fate: Fate, *, share: float = 1.0, **fields: Any) -> Trouble:
    """Whom it strikes is known already; connections break at once."""
    return Trouble(fate=fate, share=share, whom=lambda who: True, what=lambda operation: True, slow=False, **fields)


class Link:
    """A process's end of the network."""

    def __init__(self, network: Network, process: Process, broker: Broker) -> None:
        self._network = network
        self._process = process
        self._broker = broker

    async def carry(self, call: Call) -> Answer:
        """Errors: CallFailed."""
        wait_s = float(call.params.get("WaitTimeSeconds") or 0)
        answer: Answer = await self.ask(
            call.operation,
            lambda reply, entries: self._broker.serve(call, self._process, reply, entries),
            wait_s=wait_s,
        )
        return answer

    def ask(self, operation: str, serve: Serve, *, wait_s: float = 0.0) -> Awaitable[Any]:
        self._process.must_live()
        future: asyncio.Future[Any] = self._process.create_future()
        self._network.exchange(
            self._process.name, operation, serve, lambda result: self._process.tell(future, result), wait_s=wait_s
        )
        return future


def blocking(network: Network, broker: Broker, who: str) -> Callable[[Call], Answer]:
    """A carrier for code in a greenlet."""

    def carry(call: Call) -> Answer:
        me = getcurrent()
        heard: list[Any] = []

        def hear(result: object) -> None:
            heard.append(result)
            me.switch()

        network.exchange(who, call.operation, lambda reply, entries: broker.serve(call, None, reply, entries), hear)
        me.parent.switch()
        (result,) = heard
        if isinstance(result, CallFailed):
            raise result
        answer: Answer = result
        return answer

    return carry


@dataclass(slots=True)
class _Waiting:
    poll: LongPoll
    client: Process | None
    reply: Reply
    over: bool = False


class Broker:
    """The emulator's services behind one door. `planted`: a defect, as the command line of the emulator has it.

    `struck`: how often the defect has answered otherwise than it should have.
    """

    def __init__(self, world: World, *, planted: str | None, dedup_window_s: float) -> None:
        self.struck = 0
        made = emulator.World(defect=self._counted(defect(planted)) if planted else None, dedup_window_s=dedup_window_s)
        self._world = world
        self._services = {name: spoken.make(made) for name, spoken in emulator.SERVICES.items() if name != "dynamodb"}
        self._waiting: list[_Waiting] = []
        # When the queues on which somebody waits are looked at next.
        self._alarms: dict[Queue, int] = {}

    def _counted(self, conduct: object) -> object:
        """The defect, with each answer of its own held against the right one."""
        right = next(kind for kind in type(conduct).__mro__ if kind in _CONDUCTS)
        for name in [name for name in vars(right) if not name.startswith("_")]:
            if getattr(type(conduct), name) is not getattr(right, name):
                setattr(
                    conduct, name, self._held_against(getattr(conduct, name), partial(getattr(right, name), conduct))
                )
        return conduct

    def _held_against(self, given: Callable[..., object], right: Callable[..., object]) -> Callable[..., object]:
        def answer(*args: object, **kwargs: object) -> object:
            answered = given(*args, **kwargs)
            self.struck += answered != right(*args, **kwargs)
            return answered

        return answer

    def call(self, call: Call) -> Answer | LongPoll:
        """Errors: CallFailed."""
        try:
            params = _as_told(call)
            outcome = self._services[call.service].call(self._world.now_ns, call.operation, params)
        except Refused as refused:
            definite = is_definite(refused.status, refused.code)
            raise CallFailed(refused.code, refused.message, definite=definite) from None
        assert not isinstance(outcome, Held), "nobody here waits for an execution in its start"
        return outcome if isinstance(outcome, LongPoll) else _as_heard(outcome)

    def carry(self, call: Call) -> Answer:
        """At once and without a network. Errors: CallFailed."""
        outcome = self.call(call)
        assert not isinstance(outcome, LongPoll), f"{call.operation} waits"
        return outcome

    def serve(self, call: Call, client: Process | None, reply: Reply, entries: Entries = None) -> None:
        try:
            outcome = self.call(call) if entries is None else self._in_part(call, *entries)
        except CallFailed as error:
            reply(error)
        else:
            if isinstance(outcome, LongPoll):
                waiting = _Waiting(outcome, client, reply)
                self._waiting.append(waiting)
                self._world.at(outcome.until, lambda: self._give_up(waiting))
            else:
                reply(outcome)
        self._stir()

    def _in_part(self, call: Call, fate: Fate, strikes: Callable[[], bool]) -> Answer | LongPoll:
        """A batch of which some entries fail. Errors: CallFailed."""
        if call.operation not in _BATCHES:
            return self.call(call)
        asked, told = _BATCHES[call.operation]
        struck = [strikes() for _ in call.params[asked]]
        if fate == "doubt-entries":
            done = list(call.params[asked])
        else:
            done = [entry for entry, bad in zip(call.params[asked], struck, strict=True) if not bad]
        answer: dict[str, Any] = {}
        if done:
            outcome = self.call(Call(call.service, call.operation, {**call.params, asked: done}))
            assert isinstance(outcome, dict)
            answer = dict(outcome)
        if told == "Successful":
            bad_ids = {entry["Id"] for entry, bad in zip(call.params[asked], struck, strict=True) if bad}
            failed = [each for each in answer.get("Failed") or () if each["Id"] not in bad_ids]
            ok = [each for each in answer.get("Successful") or () if each["Id"] not in bad_ids]
            code = "InternalError" if fate == "doubt-entries" else "ThrottlingException"
            failed += [{"Id": id, "Code": code, "SenderFault": fate != "doubt-entries"} for id in sorted(bad_ids)]
            return {"Successful": ok, "Failed": failed}
        code = "InternalFailure" if fate == "doubt-entries" else "ThrottlingException"
        entries = iter(answer.get(told) or ())
        listed = []
        for bad in struck:
            entry = next(entries) if fate == "doubt-entries" or not bad else None
            listed.append({"ErrorCode": code, "ErrorMessage": "simulated"} if bad else entry)
        return {**answer, told: listed}

    def forget(self, client: Process) -> None:
        """Its connections are closed: its long polls must take no message."""
        for waiting in [each for each in self._waiting if each.client is client]:
            self._drop(waiting)

    def _give_up(self, waiting: _Waiting) -> None:
        if not waiting.over:
            self._drop(waiting)
            waiting.reply({})

    def _drop(self, waiting: _Waiting) -> None:
        waiting.over = True
        self._waiting.remove(waiting)

    def _stir(self) -> None:
        """Ask the long polls again, the oldest first."""
        now = self._world.now_ns
        for waiting in list(self._waiting):
            queue = waiting.poll.queue
            queue.advance(now)
            if queue.deliverable() and (answer := waiting.poll.ask(now)) is not None:
                self._drop(waiting)
                waiting.reply(answer)
            else:
                self._set_alarm(queue)

    def _set_alarm(self, queue: Queue) -> None:
        change = queue.next_change_ns()
        if change is not None and self._alarms.get(queue) != change:
            self._alarms[queue] = change
            self._world.at(change, lambda: self._ring(queue, change))

    def _ring(self, queue: Queue, change: int) -> None:
        if self._alarms.get(queue) == change:
            del self._alarms[queue]
            self._stir()


def _as_told(call: Call) -> Mapping[str, Any]:
    """Parameters as they arrive: an SDK sends bytes as Base64."""
    if call.operation != "PutRecords":
        return call.params
    records = [{**record, "Data": base64.b64encode(record["Data"]).decode()} for record in call.params["Records"]]
    return {**call.params, "Records": records}


def _as_heard(answer: Answer) -> Answer:
    """An answer as an SDK hands it on."""
    records = answer.get("Records")
    if not records or "Data" not in records[0]:
        return answer
    return {
        **answer,
        "Records": [
            {
                **record,
                "Data": base64.b64decode(record["Data"]),
                "ApproximateArrivalTimestamp": datetime.fromtimestamp(record["ApproximateArrivalTimestamp"], UTC),
            }
            for record in records
        ],
    }


# Stores: the state is one, each process has a client of its own.


@dataclass
class Effects:
    """What is in the effect store, and what was applied when: the truth about effects."""

    guards: dict[Key, int | None] = field(default_factory=dict)
    applied: dict[Key, int] = field(default_factory=dict)
    order: list[Key] = field(default_factory=list)

    def seen(self, key: Key) -> bool:
        return key in self.guards

    def claim(self, key: Key) -> bool:
        new = key not in self.guards
        self.guards.setdefault(key, None)
        return new

    def begin(self, key: Key, now_ns: int, expires_ns: int) -> Begun:
        if key in self.guards:
            stands = self.guards[key]
            if stands is None:
                return "done"
            if stands > now_ns:
                return "in-progress"
        self.guards[key] = expires_ns
        return "begun"

    def finish(self, key: Key) -> None:
        self.guards[key] = None

    def forget(self, key: Key) -> None:
        self.guards.pop(key, None)

    def apply(self, key: Key) -> None:
        self.applied[key] = self.applied.get(key, 0) + 1
        self.order.append(key)

    def claim_and_apply(self, key: Key) -> bool:
        if not self.claim(key):
            return False
        self.apply(key)
        return True

    def of(self, subscription: str) -> dict[str, int]:
        return {key.id: n for key, n in self.applied.items() if key.subscription == subscription}


class _Remote(Generic[State]):
    """A store behind the network, for one process."""

    # What its steps are called on the network, before a dot.
    _name: ClassVar[str]

    def __init__(self, link: Link, state: State) -> None:
        self._link = link
        self._state = state

    async def create(self, *, tags: Mapping[str, str]) -> None: ...
    async def open(self) -> None: ...
    async def remove(self) -> None: ...
    async def close(self) -> None: ...

    async def _step(self, do: Callable[..., Any], *args: Any) -> Any:
        return await self._link.ask(f"{self._name}.{do.__name__}", lambda reply, entries: reply(do(*args)))


class RemoteEffects(_Remote[Effects]):
    """An effect store."""

    _name = "store"

    async def seen(self, key: Key) -> bool:
        return bool(await self._step(self._state.seen, key))

    async def claim(self, key: Key) -> bool:
        return bool(await self._step(self._state.claim, key))

    async def begin(self, key: Key, *, now_ns: int, expires_ns: int) -> Begun:
        begun: Begun = await self._step(self._state.begin, key, now_ns, expires_ns)
        return begun

    async def finish(self, key: Key) -> None:
        await self._step(self._state.finish, key)

    async def forget(self, key: Key) -> None:
        await self._step(self._state.forget, key)

    async def apply(self, key: Key) -> None:
        await self._step(self._state.apply, key)

    async def claim_and_apply(self, key: Key) -> bool:
        return bool(await self._step(self._state.claim_and_apply, key))

    async def read_back(self, subscription: str) -> Mapping[str, int]:
        return self._state.of(subscription)


class Rows:
    """The leases of all shards: a store as plain as can be."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Lease] = {}

    def all(self, subscription: str) -> list[Lease]:
        return [lease for lease in self.rows.values() if lease.subscription == subscription]

    def add(self, lease: Lease) -> bool:
        return self.rows.setdefault((lease.subscription, lease.shard), lease) is lease

    def take(self, seen: Lease, owner: str) -> Lease | None:
        taken = self._changed(seen, beat=seen.beat, owner=owner, token=seen.token + 1)
        return self.rows[seen.subscription, seen.shard] if taken else None

    def renew(self, mine: Lease) -> bool:
        return self._changed(mine)

    def checkpoint(self, mine: Lease, position: str | None, done: bool) -> bool:
        return self._changed(mine, position=position, done=done)

    def release(self, mine: Lease) -> bool:
        return self._changed(mine, owner=None, token=mine.token + 1)

    def _changed(self, lease: Lease, *, beat: int | None = None, **change: Any) -> bool:
        key = (lease.subscription, lease.shard)
        row = self.rows[key]
        if row.token != lease.token or beat not in (None, row.beat):
            return False
        self.rows[key] = replace(row, beat=row.beat + 1, **change)
        return True


class RemoteLeases(_Remote[Rows]):
    """The lease store."""

    _name = "leases"

    async def all(self, subscription: str) -> list[Lease]:
        found: list[Lease] = await self._step(self._state.all, subscription)
        return found

    async def add(self, lease: Lease) -> bool:
        return bool(await self._step(self._state.add, lease))

    async def take(self, seen: Lease, owner: str) -> Lease | None:
        taken: Lease | None = await self._step(self._state.take, seen, owner)
        return taken

    async def renew(self, mine: Lease) -> bool:
        return bool(await self._step(self._state.renew, mine))

    async def checkpoint(self, mine: Lease, *, position: str | None, done: bool) -> bool:
        return bool(await self._step(self._state.checkpoint, mine, position, done))

    async def release(self, mine: Lease) -> bool:
        return bool(await self._step(self._state.release, mine))

"""The fleet: the consumer processes of one subscription, started, restarted when they die unasked, and stopped.

A slot ("orders-2") is a place for a consumer and stays; each process in it is an incarnation with a name, and a history
file, of its own ("orders-2.1", then "orders-2.2"). A fault that stands in a slot is armed in whatever starts there,
before its first receive. One with an `nth` that has struck in a slot does not stand there any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gameday.consumers.starters import Incarnation, Starter
from gameday.history import events
from gameday.history.errors import ProcessError, TargetError
from gameday.history.writer import Writer
from gameday.processes.child import Report
from gameday.processes.disturbances import Disturbance
from gameday.processes.remote import HostGone

# So often in a row may a consumer die before it is ready; then it cannot be started at all.
_DEATHS_MAX = 3
_ANSWER_S = 5.0


@dataclass(slots=True)
class StandingFault:
    """A disturbance that stands in `slots`. `fired`: how often, as each incarnation by name has reported; `spent`: the
    slots in which its n-th has come."""

    disturbance: Disturbance
    slots: frozenset[str]
    fired: dict[str, int] = field(default_factory=dict)
    spent: set[str] = field(default_factory=set)


class Member:
    """One slot and the process that is in it now, if one is."""

    def __init__(self, slot: str) -> None:
        self.slot = slot
        self.name = ""
        self.ready = False
        self._incarnations = 0
        self._child: Incarnation | None = None
        self._news = asyncio.Condition()

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.alive

    @property
    def pid(self) -> int | None:
        """None while the slot is empty."""
        return self._child.pid if self._child is not None and self._child.alive else None

    @property
    def stopped(self) -> bool:
        return self.alive and self._child is not None and self._child.stopped

    def signal(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.signal(number)

    async def command(self, do: str, **fields: object) -> None:
        if self._child is not None:
            await self._child.command(do, **fields)

    async def report(self, kind: str, *, timeout_s: float, **match: object) -> Report | None:
        """A report of the process that is in the slot now; None when it dies or time runs out."""
        if self._child is None:
            return None
        return await self._child.report(kind, timeout_s=timeout_s, **match)

    async def ready_after(self, name: str, timeout_s: float) -> bool:
        """Whether an incarnation other, so later, than `name` polls; waits for it no longer than `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s), self._news:
                await self._news.wait_for(lambda: self.ready and self.name != name)
        except TimeoutError:
            return False
        return True

    def next_name(self) -> str:
        """A new incarnation's name; the slot is empty until `fill`."""
        self._incarnations += 1
        self.name = f"{self.slot}.{self._incarnations}"
        self._child = None
        return self.name

    def fill(self, child: Incarnation) -> None:
        self._child = child

    async def tell(self, *, ready: bool) -> None:
        """Note that the process in the slot polls, or that it is gone."""
        async with self._news:
            self.ready = ready
            self._news.notify_all()

    def last_words(self) -> str:
        return self._child.last_words() if self._child is not None else "it never started"


class Fleet:
    """`writer` is the conductor's: it gets each incarnation's `writer`, `consumer-started` and `consumer-exited` marks.

    Whoever calls `start` calls `stop` at the end, whatever happened.
    """

    def __init__(
        self,
        *,
        starter: Starter,
        size: int,
        writer: Writer,
        restart_delay_s: float = 1.0,
        foreign_most: int | None = None,
    ) -> None:
        """`foreign_most`: how many messages of others they may be given; None: there are none."""
        self.subscription = starter.subscription
        self._starter = starter
        self.members = [Member(f"{self.subscription}-{n}") for n in range(1, size + 1)]
        self._writer = writer
        self._restart_delay_s = restart_delay_s
        self._standing: dict[str, StandingFault] = {}
        # Slots that are to stay empty, by who wants it. Who waits for one is woken where that changes, and at the end.
        self._vacant: dict[str, frozenset[str]] = {}
        self._filled = asyncio.Event()
        self._stopping = asyncio.Event()
        self._stop_timeout_s = 0.0
        self._foreign_most = foreign_most
        self._foreign: list[str] = []
        # Set when there are too many, or the fleet stops.
        self._enough = asyncio.Event()
        self._keepers: set[asyncio.Task[None]] = set()

    async def start(self, timeout_s: float) -> None:
        """Returns once every slot polls. Errors: ProcessError, with the last words of a consumer that does not."""
        self._starter.prepare()
        self._keepers = {asyncio.create_task(self._keep(m), name=f"keeper of {m.slot}") for m in self.members}
        ready = asyncio.create_task(self._all_ready(timeout_s))
        await asyncio.wait({ready, *self._keepers}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            await self.watch()
        for member, polls in zip(self.members, await ready, strict=True):
            if not polls:
                words = member.last_words()
                raise ProcessError(f"consumer {member.name} was not ready within {timeout_s} s; it said: {words}")

    async def watch(self) -> None:
        """Waits until the fleet is stopped. Errors: ProcessError for a slot that nothing can be started in any more,
        HistoryError when the conductor's history cannot be written, TargetError for too many messages of others.
        """
        counting = asyncio.create_task(self._refuse_too_many())
        try:
            done, _ = await asyncio.wait({*self._keepers, counting}, return_when=asyncio.FIRST_EXCEPTION)
            for each in done:
                each.result()
        finally:
            counting.cancel()

    async def _refuse_too_many(self) -> None:
        await self._enough.wait()
        if not self._stopping.is_set():
            raise TargetError(
                f"{self.subscription}: its consumers were given {len(self._foreign)} messages of others, and "
                f"topology.attach.foreign_max is {self._foreign_most}; they are given back. Raise it if their owners "
                "can wait until a run is over, or attach to a queue that nobody else sends to"
            )

    async def stop(self, timeout_s: float) -> None:
        """Drain every consumer, and kill those that take longer; stopping twice does nothing more."""
        self._stop_timeout_s = timeout_s
        self._stopping.set()
        self._enough.set()
        self._filled.set()
        if self._keepers:
            await asyncio.wait(self._keepers)

    def take_foreign(self) -> list[str]:
        """The receipts of the messages of others that are kept out of sight; whoever takes them gives these back."""
        taken, self._foreign = self._foreign, []
        return taken

    def kill(self) -> None:
        """Kill every process that was started here, now."""
        if not self._starter.lasts:
            for member in self.members:
                member.signal(signal.SIGKILL)

    async def arm(self, disturbance: Disturbance, slots: Iterable[str]) -> None:
        """Let it stand in these slots. Returns once the consumers that run have it armed, or did not answer."""
        standing = StandingFault(disturbance, frozenset(slots))
        self._standing[disturbance.instance] = standing
        await asyncio.gather(*(self._arm(m, disturbance) for m in self.members if m.slot in standing.slots))

    async def disarm(self, instance: str) -> Mapping[str, int]:
        """It stands no more; how often it struck each incarnation, as far as that is known.

        A consumer that was killed took its count with it but for the first strike, which it reported at once.
        """
        standing = self._standing.pop(instance, None)
        if standing is None:
            return {}
        await asyncio.gather(*(self._disarm(m, standing) for m in self.members if m.slot in standing.slots))
        return standing.fired

    def vacate(self, instance: str, slots: Iterable[str]) -> None:
        """Start nobody in these slots, once whoever is there has ended, until `fill`."""
        self._vacant[instance] = frozenset(slots)

    def fill(self, instance: str) -> None:
        """What was vacated under this name is filled again."""
        self._vacant.pop(instance, None)
        self._filled.set()
        self._filled.clear()

    async def _arm(self, member: Member, disturbance: Disturbance) -> None:
        if member.alive:
            await member.command("arm", disturbance=disturbance.to_json())
            await member.report("armed", timeout_s=_ANSWER_S, instance=disturbance.instance)

    async def _disarm(self, member: Member, standing: StandingFault) -> None:
        name = member.name
        if member.alive:
            await member.command("disarm", instance=standing.disturbance.instance)
            answer = await member.report("disarmed", timeout_s=_ANSWER_S, instance=standing.disturbance.instance)
            if answer is not None:
                standing.fired[name] = answer["fired"]

    async def _all_ready(self, timeout_s: float) -> list[bool]:
        return await asyncio.gather(*(member.ready_after("", timeout_s) for member in self.members))

    async def _keep(self, member: Member) -> None:
        """Keep a consumer in the slot until `stop`; where its host goes after there was one, the slot stays empty.

        Errors: ProcessError, HistoryError.
        """
        deaths = 0
        began = False
        while not self._stopping.is_set():
            try:
                child = await self._launch(member)
            except HostGone:
                if began:
                    return
                raise
            began = True
            code, was_ready = await self._outlive(member, child)
            self._writer.write(events.mark("consumer-exited", consumer=child.name, slot=member.slot, code=code))
            deaths = 0 if was_ready else deaths + 1
            if deaths == _DEATHS_MAX and not self._stopping.is_set():
                raise ProcessError(
                    f"consumers in slot {member.slot} died {deaths} times in a row before they were ready "
                    f"(the last with exit code {code}); the last words, from {child.log}: {child.last_words()}"
                )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._restart_delay_s)
            await self._may_fill(member.slot)

    async def _may_fill(self, slot: str) -> None:
        """Wait until nobody wants the slot to be empty, or the fleet stops."""
        while not self._stopping.is_set() and any(slot in slots for slots in self._vacant.values()):
            await self._filled.wait()

    async def _launch(self, member: Member) -> Incarnation:
        name = member.next_name()
        if self._starter.records:
            await self._starter.announce(name, self._writer)
        armed = self._standing_in(member.slot)
        child = await self._starter.start(name, armed)
        child.on_report = lambda report: self._note(name, report)
        member.fill(child)
        self._writer.write(events.mark("consumer-started", consumer=name, slot=member.slot))
        # What has come to stand there while the process was being made.
        for disturbance in self._standing_in(member.slot):
            if disturbance not in armed:
                await child.command("arm", disturbance=disturbance.to_json())
        return child

    async def _outlive(self, member: Member, child: Incarnation) -> tuple[int, bool]:
        """Its exit code, and whether it was ever ready; ends it when the fleet stops."""
        life = asyncio.create_task(self._live(member, child))
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({life, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not life.done():
                await child.end(timeout_s=self._stop_timeout_s)
            was_ready = await life
            return await child.wait(), was_ready
        finally:
            # Only a cancelled keeper finds it alive here; no process that it started may outlast its keeper.
            if not self._starter.lasts:
                child.signal(signal.SIGKILL)
                child.sweep()
            stop.cancel()

    async def _live(self, member: Member, child: Incarnation) -> bool:
        was_ready = await child.report("ready", timeout_s=math.inf) is not None
        if was_ready:
            await member.tell(ready=True)
        await child.wait()
        await member.tell(ready=False)
        return was_ready

    def _standing_in(self, slot: str) -> list[Disturbance]:
        return [each.disturbance for each in self._standing.values() if slot in each.slots - each.spent]

    def _note(self, name: str, report: Report) -> None:
        """A consumer tells that a disturbance struck for the first time, or that it was given messages of others."""
        if report.get("report") == "foreign":
            self._foreign += report["receipts"]
            if self._foreign_most is not None and len(self._foreign) > self._foreign_most:
                self._enough.set()
        if report.get("report") == "fired" and (standing := self._standing.get(report["instance"])) is not None:
            standing.fired.setdefault(name, 1)
            if standing.disturbance.nth is not None:
                standing.spent.add(name.rpartition(".")[0])

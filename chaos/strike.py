"""One strike while it happens: whom it hits, what it writes into the history, and the waits that faults share.

It promises that a strike's `start` is written before anything breaks and its `stop` at most once, with how often it
fired; and that every wait is bounded and ends early when the run heals all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from gameday.chaos.fault_targets import Consumer, FaultTargets, Fleet, NotInjected
from gameday.history import events
from gameday.history.events import Value
from gameday.processes.disturbances import Disturbance

# A place in a fleet: the subscription, and the number of the member from 0.
Place = tuple[str, int]
LOOK_AGAIN_S = 0.02


class Refusals:
    """Who was refused how often, by name."""

    def __init__(self) -> None:
        self.by_name: dict[str, int] = {}

    def add(self, name: str, times: int) -> None:
        if times:
            self.by_name[name] = self.by_name.get(name, 0) + times

    @property
    def count(self) -> int:
        return sum(self.by_name.values())


class Strike:
    """What a fault's `inject` is given. `fault` is its name, `params` what the scenario wrote of it."""

    def __init__(
        self,
        *,
        fault: str,
        instance: str,
        params: Mapping[str, Value],
        places: Sequence[Place],
        targets: FaultTargets,
        over: asyncio.Event,
        on_phase: Callable[[events.Phase], None] = lambda phase: None,
    ) -> None:
        """`on_phase` hears of its start and its stop once they are on record; not of one that could not be injected."""
        self.fault = fault
        self.instance = instance
        self.places = places
        self.targets = targets
        self.fired = 0
        self.error: str | None = None
        self._over = over
        self._on_phase = on_phase
        self._target_names: list[str] = []
        self._label: str | None = None
        self._params: dict[str, Value] = dict(params)
        self._started = False
        self._stopped = False

    # Whom it hits

    def fleets(self) -> dict[str, tuple[Fleet, list[Consumer]]]:
        """The fleets that are hit, by subscription, each with the members of it that are."""
        hit: dict[str, tuple[Fleet, list[Consumer]]] = {}
        for subscription, index in self.places:
            fleet = self.targets.fleets[subscription]
            hit.setdefault(subscription, (fleet, []))[1].append(fleet.members[index])
        return hit

    async def consumers(self) -> list[Consumer]:
        """Those of the picked consumers that live. One that is being restarted is waited for.

        Errors: NotInjected when none of them lives.
        """
        picked = [consumer for _, members in self.fleets().values() for consumer in members]
        await self.until(lambda: self.over or all(consumer.alive for consumer in picked), self.targets.find_s)
        alive = [consumer for consumer in picked if consumer.alive]
        if not alive:
            names = ", ".join(consumer.slot for consumer in picked)
            raise NotInjected(f"no consumer to strike: not one of {names} is alive")
        return alive

    def everybody(self, *, of: Sequence[str], at_load: bool) -> list[str]:
        """The consumers of these subscriptions that live, by name, and the load."""
        fleets = [fleet for name, fleet in self.targets.fleets.items() if name in of]
        names = [consumer.name for fleet in fleets for consumer in fleet.members if consumer.alive]
        return [*(["load"] if at_load else []), *names]

    # What it writes

    def start(self, targets: Iterable[str], *, label: str, **params: Value) -> None:
        """Write that it begins; a second call does nothing. `targets` are names of incarnations."""
        if self._started:
            return
        self._target_names, self._label = list(targets), label
        self._params |= params
        self._write("start")
        self._started = True

    def also_struck(self, names: Iterable[str]) -> None:
        """Those who came into the place of one that it began with: the end names them, too."""
        self._target_names += [name for name in names if name not in self._target_names]

    def stop(self, *, fired: int, **params: Value) -> None:
        """Write that the harm is over; a second call does nothing."""
        if not self._stopped:
            self.fired = fired
            self._params |= {**params, "fired": fired}
            self._write("stop")
            self._stopped = True

    def unhealed(self, *, fired: int, why: str) -> None:
        """The harm may go on: no `stop`, for that would say that it is over.

        Where nobody saw it strike (`fired` 0) a mark says so, without which a run that was not harmed could hold.
        """
        self.fired, self.error = fired, why
        if not fired:
            self.targets.writer.write(events.mark("fault-unproven", instance=self.instance))

    def failed(self, why: str, **params: Value) -> None:
        """It could not be injected: say so to the conductor, and in the history, where a fault that never fired
        keeps every claim from holding."""
        self.error = why
        if not self._started:
            self.start((), label=f"{self.fault}: not injected")
        self.stop(fired=0, error=why, **params)

    # How it waits

    async def lasts(self, seconds: float | None) -> None:
        """Wait that long (None: without end), or until the run heals all."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()

    @property
    def over(self) -> bool:
        """Whether the run heals all."""
        return self._over.is_set()

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until the condition holds; False when time runs out before it does."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not condition():
            if loop.time() >= deadline:
                return False
            await asyncio.sleep(LOOK_AGAIN_S)
        return True

    async def unless_over(self, work: Awaitable[bool], seconds: float | None = None) -> bool:
        """The answer of `work`; False when time runs out or the run heals all before there is one."""
        working, healing = asyncio.ensure_future(work), asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait((working, healing), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return working.done() and working.result()
        finally:
            for task in (working, healing):
                task.cancel()

    async def holding(self, consumer: Consumer) -> bool:
        """Wait, bounded, until the consumer holds a message. Where another fault kills it meanwhile, its successor."""

        async def ask() -> bool:
            while await self.until(lambda: consumer.alive, self.targets.find_s):
                name = consumer.name
                # The late answer to an earlier strike's question tells nothing about now.
                while await consumer.report("holding", timeout_s=0) is not None:
                    pass
                await consumer.command("tell-when-holding")
                told = await consumer.report("holding", timeout_s=self.targets.hold_s)
                if not self.gone([(consumer, name)]):
                    return told is not None
            return False

        return await self.unless_over(ask())

    async def called(self, operation: str, nth: int) -> None:
        """Wait until a consumer makes its `nth` call of an operation, which the wires before them all count."""
        watch = Disturbance(
            kind="watch-call", instance=f"{self.instance}-moment", on_wire=True, operations=[operation], nth=nth
        )
        fleets = self.targets.fleets.values()
        members = [member for fleet in fleets for member in fleet.members]
        try:
            for fleet in fleets:
                await fleet.arm(watch, [member.slot for member in fleet.members])
            while not any([await self._saw(member, watch) for member in members]):  # noqa: ASYNC110
                # Of several processes whoever is first: there is no one event to wait for.
                await asyncio.sleep(LOOK_AGAIN_S)
        finally:
            for fleet in fleets:
                await fleet.disarm(watch.instance)

    @staticmethod
    async def _saw(consumer: Consumer, watch: Disturbance) -> bool:
        return await consumer.report("fired", timeout_s=0, instance=watch.instance) is not None

    @staticmethod
    def gone(struck: Sequence[tuple[Consumer, str]]) -> list[tuple[Consumer, str]]:
        """Those that are no longer the incarnation that was struck."""
        return [(consumer, name) for consumer, name in struck if not consumer.alive or consumer.name != name]

    async def together(self, works: Iterable[Coroutine[Any, Any, None]]) -> None:
        """Do them at the same time; when one fails, the others are cancelled."""
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)

    async def replaced(self, struck: Sequence[tuple[Consumer, str]], *, fired: int, **params: Value) -> None:
        """Wait, bounded, until a later incarnation polls in each one's place: then the harm is over.

        `struck`: each consumer with the name that its incarnation had when it was struck.
        """
        waits = (consumer.ready_after(name, self.targets.recover_s) for consumer, name in struck)
        if all(await asyncio.gather(*waits)):
            self.stop(fired=fired, **params)
        else:
            names = ", ".join(name for _, name in struck)
            self.unhealed(fired=fired, why=f"nobody polls in the place of {names} after {self.targets.recover_s:g} s")

    # How it disturbs a process from within

    def disturbance(self, kind: str, **fields: Any) -> Disturbance:
        """A disturbance of this strike's own: it has its instance, and a seed that makes its choices repeatable."""
        return Disturbance(kind=kind, instance=self.instance, seed=self.targets.seed, **fields)

    @asynccontextmanager
    async def disturbed(
        self, make: Callable[[float], Disturbance], *, label: str
    ) -> AsyncIterator[Sequence[tuple[Consumer, str]]]:
        """The picked consumers, and their replacements, have a disturbance armed; it is disarmed on every exit.

        `make` makes it from the visibility timeout of the subscription. Who answers proves nothing (a paused consumer
        obeys when it wakes, a replacement at once); how often it fired does. Errors: NotInjected.
        """
        struck = [(consumer, consumer.name) for consumer in await self.consumers()]
        self.start((name for _, name in struck), label=label)
        fleets = self.fleets()
        fired: dict[str, int] = {}
        try:
            for subscription, (fleet, members) in fleets.items():
                disturbance = make(self.targets.visibility_timeout_s[subscription])
                await fleet.arm(disturbance, [member.slot for member in members])
            yield struck
        finally:
            for fleet, _ in fleets.values():
                fired |= await fleet.disarm(self.instance)
            self.also_struck(name for name, count in fired.items() if count)
            times = sum(fired.values())
            gone = self.gone(struck)
            if not gone:
                self.stop(fired=times)
        await self.replaced(gone, fired=times)

    @asynccontextmanager
    async def load_disturbed(self, disturbance: Disturbance, *, label: str) -> AsyncIterator[None]:
        """The wire before the load has a disturbance armed, which is disarmed on every exit. Errors: NotInjected."""
        load, answer_s, instance = self.targets.load, self.targets.answer_s, self.instance
        if load is None:
            raise NotInjected("no wire stands before the load")
        self.start(["load"], label=label)
        try:
            await load.command("arm", disturbance=disturbance.to_json())
            if await load.report("armed", timeout_s=answer_s, instance=instance) is None:
                raise NotInjected("the wire before the load did not confirm the disturbance")
            yield
        finally:
            await load.command("disarm", instance=instance)
            answer = await load.report("disarmed", timeout_s=answer_s, instance=instance)
            if answer is not None:
                self.stop(fired=int(answer["fired"]))
        if answer is None:
            seen = await load.report("fired", timeout_s=0, instance=instance) is not None
            self.unhealed(fired=int(seen), why="the wire before the load did not say how often it struck")

    @asynccontextmanager
    async def refusals_counted(
        self,
        found: Refusals,
        *,
        codes: Sequence[str],
        operations: Sequence[str],
        of: Sequence[str],
        at_load: bool,
        point: str | None = None,
    ) -> AsyncIterator[None]:
        """The wires count what the service itself refuses with one of these codes: into `found`, on every exit.

        `operations`: of which calls (none named: all); `of`: before the consumers of these subscriptions; `at_load`:
        before the load; `point`: on the queue of that name alone. Errors: NotInjected.
        """
        watch = self.disturbance(
            "refused-there", on_wire=True, codes=list(codes), operations=list(operations), point=point
        )
        load, answer_s = self.targets.load if at_load else None, self.targets.answer_s
        fleets = [fleet for name, fleet in self.targets.fleets.items() if name in of]
        if at_load and load is None:
            raise NotInjected("no wire stands before the load")
        try:
            for fleet in fleets:
                await fleet.arm(watch, [member.slot for member in fleet.members])
            if load is not None:
                await load.command("arm", disturbance=watch.to_json())
                if await load.report("armed", timeout_s=answer_s, instance=self.instance) is None:
                    raise NotInjected("the wire before the load did not confirm that it watches")
            yield
        finally:
            for fleet in fleets:
                for name, times in (await fleet.disarm(self.instance)).items():
                    found.add(name, times)
            if load is not None:
                await load.command("disarm", instance=self.instance)
                told = await load.report("disarmed", timeout_s=answer_s, instance=self.instance)
                if told is not None:
                    found.add("load", int(told["fired"]))
                elif await load.report("fired", timeout_s=0, instance=self.instance) is not None:
                    # How often nobody knows, but it did.
                    found.add("load", 1)
            self.also_struck(found.by_name)

    def _write(self, phase: events.Phase) -> None:
        self.targets.writer.write(
            events.fault(
                fault=self.fault,
                instance=self.instance,
                phase=phase,
                targets=self._target_names,
                label=self._label,
                params=self._params,
            )
        )
        if self.error is None:
            self._on_phase(phase)

"""The hosts of a simulated run: their clocks, which are off, drift and may step, and how they are measured.

Nobody but the simulation knows how far a clock is off. What the history tells of it comes from gameday's own code, by
round trips over the simulated network; the conductor's clock is the world's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gameday.history.clock import NS_PER_S, Clock
from gameday.history.writer import Writer
from gameday.processes import clock_sync
from gameday.processes.round_trips import MEASURE_S, RoundTrips
from gameday.simulation.kernel import EPOCH_NS, Process, World
from gameday.simulation.network import Network
from tests.simulation.plan import OnHost

_PPM = 1_000_000


class HostClock(Clock):
    """The run's clock as a process of a host reads it: made from a measurement of that host's own, which `read` tells.

    `skew_ns`: how far this process is ahead of the others of its host.
    """

    __slots__ = ("_read", "_skew_ns")

    def __init__(self, made: Clock, read: Callable[[], int], *, skew_ns: int = 0) -> None:
        super().__init__(epoch_ns=made.epoch_ns, monotonic_ns=made.monotonic_ns)
        object.__setattr__(self, "_read", read)
        object.__setattr__(self, "_skew_ns", skew_ns)

    def now_ns(self) -> int:
        read: Callable[[], int] = object.__getattribute__(self, "_read")
        skew_ns: int = object.__getattribute__(self, "_skew_ns")
        return self.epoch_ns + read() - self.monotonic_ns + skew_ns


class SimulatedHost:
    """One host. `process` asks for the time, as `gameday host` does."""

    def __init__(self, plan: OnHost, process: Process, network: Network) -> None:
        self.plan = plan
        self.name = plan.name
        self.process = process
        self._world: World = process.world
        self._network = network
        self._load_begins_ns: int | None = None
        self._round_trips = RoundTrips(self._ask, now_ns=self.now_ns)
        self._known: clock_sync.HostClock | None = None
        # Nobody has measured it: what it shows is all that its processes have.
        self._made = Clock(epoch_ns=0, monotonic_ns=0)
        self._measuring: asyncio.Task[None] | None = None

    def now_ns(self) -> int:
        """CLOCK_MONOTONIC, which a step back makes stand still."""
        now_ns, step_ns = self._world.now_ns, self.plan.step_ns
        stepped_ns = self._at_load_ns(self.plan.step_at_s)
        if stepped_ns is None or now_ns < stepped_ns:
            return self._unstepped_ns(now_ns)
        return max(self._unstepped_ns(stepped_ns), self._unstepped_ns(now_ns) + step_ns)

    def _unstepped_ns(self, now_ns: int) -> int:
        return now_ns + self.plan.ahead_ns + (now_ns - EPOCH_NS) * self.plan.rate_ppm // _PPM

    def _at_load_ns(self, seconds: float | None) -> int | None:
        if seconds is None or self._load_begins_ns is None:
            return None
        return self._load_begins_ns + round(seconds * NS_PER_S)

    def clock(self, *, skew_ns: int = 0) -> Clock:
        return HostClock(self._made, self.now_ns, skew_ns=skew_ns)

    def load_begins(self, at_ns: int) -> None:
        """What the plan has for its clock counts from here."""
        self._load_begins_ns = at_ns

    # What it does, of its own process

    async def join(self) -> None:
        """Find out how far its clock is off, before anything is written by it."""
        if self.plan.known != "measured":
            return
        found = clock_sync.measured(await self._round_trips.made())
        assert found is not None, "nothing disturbs a host's clock before the load"
        self._known = clock_sync.HostClock(host=self.name, found=found, taken_off_ns=0)
        self._made = self._known.clock
        self._round_trips.by(self.clock().now_ns)

    def begin(self, writer: Writer) -> None:
        """As `gameday host` does it, with its own file."""
        if self._known is not None:
            writer.write(self._known.begun(writer.clock.now_ns()))
            self._measuring = self.process.create_task(self._measure(writer))
        elif self.plan.known == "unknown":
            writer.write(clock_sync.unknown(self.name))

    async def _measure(self, writer: Writer) -> None:
        while True:
            await asyncio.sleep(MEASURE_S)
            await self._mark(writer)

    async def _mark(self, writer: Writer) -> None:
        assert self._known is not None
        if trips := await self._round_trips.made():
            writer.write(self._known.again(clock_sync.measured(trips), now_ns=writer.clock.now_ns()))

    async def end(self, writer: Writer) -> None:
        """Nothing is written there after it."""
        if self._measuring is not None:
            self._measuring.cancel()
            await self._mark(writer)
        writer.close()

    async def _ask(self) -> None:
        sent_ns = self._round_trips.sending()
        silent_ns = self._at_load_ns(self.plan.silent_s)
        if silent_ns is not None and self._world.now_ns >= silent_ns:
            return

        def hear(there_ns: object) -> None:
            if isinstance(there_ns, int) and self.process.alive:
                self.process.call_soon(lambda: self._round_trips.came_back(sent_ns=sent_ns, there_ns=there_ns))

        self._network.exchange(self.process.name, "time", lambda reply, entries: reply(self._world.now_ns), hear)

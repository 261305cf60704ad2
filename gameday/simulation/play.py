"""A scenario with its faults, played on a clock that jumps: the fleet, the faults and their timeline are the real ones.

What it leaves is a run directory like any other. It promises the same history for the same scenario and seed.
"""

from __future__ import annotations

import asyncio
import traceback
from pathlib import Path

from gameday.chaos.fault_targets import FaultTargets
from gameday.chaos.timeline import Runner, plan
from gameday.consumers.fleet import Fleet
from gameday.history import events
from gameday.history.clock import NS_PER_S
from gameday.history.errors import GamedayError, ProcessError, RunError
from gameday.loadgen.config import LoadConfig
from gameday.run.phases.redrive import NOT_EMPTY, NOTHING_DEAD
from gameday.run.resharding import Resharder
from gameday.run.state import HASTE_S
from gameday.scenario.model import Scenario
from gameday.simulation.consumers import Simulated, Wired
from gameday.simulation.kernel import Stuck
from gameday.simulation.network import blocking
from gameday.simulation.stage import LEAD_S, NOWHERE, Stage, sealed
from gameday.transports.base import Addresses

# As between processes of one machine, and a queue that is on it.
_LATENCY_S = (0.0005, 0.003)
_TIMEOUT_S = 10.0
# How long a step takes whoever makes it.
_STEP_NS = 20_000
_STEPS_MOST = 500_000
_READY_S = 60.0
# So many of the last characters that its parts said tell why a simulation failed.
_SAID_MOST = 500


def play(scenario: Scenario, *, seed: int, directory: Path) -> None:
    """Play the run and leave its history in `directory`, which must not be there yet.

    What cannot be simulated is told by `unsimulated`. Errors: GamedayError; ProcessError where a part failed.
    """
    with sealed(seed) as said:
        run = _Run(scenario, seed=seed, directory=directory)
        try:
            run.play()
        except ProcessError as error:
            raise ProcessError(f"{error}\n{said.getvalue()[-_SAID_MOST:]}".rstrip()) from None
        finally:
            run.bury()


class _Run(Stage):
    def __init__(self, scenario: Scenario, *, seed: int, directory: Path) -> None:
        super().__init__(
            scenario, seed=seed, directory=directory, latency_s=_LATENCY_S, timeout_s=_TIMEOUT_S, step_ns=_STEP_NS
        )
        self._fleets: list[Fleet] = []

    def play(self) -> None:
        """Errors: GamedayError."""
        addresses = self.provide()
        self.writer = self.writer_of(self.conductor, "conductor")
        work = self.conductor.begin(self._conduct(addresses))
        load = self.scenario.load
        within_s = load.duration + load.give_up + 4 * self.scenario.drain_timeout_s + _READY_S
        try:
            self.world.run(work.done, steps_max=_STEPS_MOST, within_s=within_s)
            work.result()
        except (Stuck, GamedayError) as error:
            # As the conductor does when it cannot go on.
            self.writer.write(events.mark("aborted", reason=str(error)))
        except Exception:
            self.failures.append(f"the conductor failed: {traceback.format_exc()}")
        self.failures += [error for process in self.everybody for error in process.errors]
        if self.failures:
            more = f"\n({len(self.failures) - 1} more failed)" if len(self.failures) > 1 else ""
            raise ProcessError(f"the simulation failed: {self.failures[0]}{more}")

    async def _conduct(self, addresses: Addresses) -> None:
        """As gameday/run/conductor.py does it."""
        context, scenario, writer = self.context, self.scenario, self.writer
        configs = [context.consumers(name, endpoint=NOWHERE, addresses=addresses) for name in scenario.subscriptions]
        self._fleets = [
            Fleet(
                starter=Simulated(self, config),
                size=scenario.consumers.count,
                writer=writer,
                restart_delay_s=scenario.consumers.restart_delay,
            )
            for config in configs
        ]
        await asyncio.gather(*(fleet.start(_READY_S) for fleet in self._fleets))
        watching = [asyncio.create_task(fleet.watch()) for fleet in self._fleets]
        going = asyncio.create_task(self._go_on(addresses))
        # A fleet that nothing can be started in any more ends the run.
        done, _ = await asyncio.wait({going, *watching}, return_when=asyncio.FIRST_EXCEPTION)
        for each in done:
            each.result()

    async def _go_on(self, addresses: Addresses) -> None:
        """With the fleets polling, to the end."""
        context, scenario, writer = self.context, self.scenario, self.writer
        backlog = self.backlog(addresses, writer)
        load_config = context.load(endpoint=NOWHERE, addresses=addresses, topology=self.topology)
        for name in load_config.writers:
            writer.announce(name)
        chaos = self._chaos(addresses, load_config)
        start_ns = context.clock.now_ns() + round(LEAD_S * NS_PER_S)
        writer.write(events.mark("load-started", start=start_ns, schedule=scenario.shape.outline()))
        striking = asyncio.create_task(chaos.run(start_ns=start_ns))
        await self.send(load_config, start_ns)
        writer.write(events.mark("load-stopped", scheduled=load_config.schedule().total))
        chaos.heal_all()
        await striking
        emptied = await self.empty(backlog, addresses, writer, start_ns=start_ns)
        if scenario.topology.redrive and not emptied.redriven:
            raise RunError(NOTHING_DEAD if emptied.drained else NOT_EMPTY)
        await asyncio.gather(*(fleet.stop(scenario.consumers.drain_timeout + HASTE_S) for fleet in self._fleets))
        await self.read(backlog, writer)
        writer.close()

    def _chaos(self, addresses: Addresses, load: LoadConfig) -> Runner:
        scenario, subscriptions = self.scenario, self.scenario.subscriptions
        strikes = plan(
            scenario.chaos,
            duration_s=scenario.load.duration,
            consumers=dict.fromkeys(subscriptions, scenario.consumers.count),
            seed=self.seed,
        )
        source = self.context.transport.subscription(addresses, subscriptions[0], scenario.identification)
        carrier = blocking(self.network, self.broker, "conductor")
        targets = FaultTargets(
            fleets={fleet.subscription: fleet for fleet in self._fleets},
            visibility_timeout_s={name: self.context.hidden_s(name) for name in subscriptions},
            load=Wired(self, *load.writers, wire="load"),
            writer=self.writer,
            seed=self.seed,
            stream=Resharder(source, carrier, pause=self.world.sleep) if source.kind == "stream" else None,
        )
        return Runner(strikes, targets=targets, each_s=scenario.brakes.each)

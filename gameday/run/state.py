"""One run while it happens: what each phase has started and created, for the phases after it.

It promises that whatever is started or created is put away with the run, last things first, however the run ends; and
that no process of the run is unknown to `kill`.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Protocol

from gameday.chaos.fault_targets import FunctionControl
from gameday.consumers.effects import EffectStore
from gameday.consumers.fleet import Fleet
from gameday.consumers.leases import LeaseStore
from gameday.consumers.read_back.base import EffectReader
from gameday.consumers.starters import Port
from gameday.history import events
from gameday.history.clock import NS_PER_S
from gameday.history.errors import HistoryError, TargetError
from gameday.history.writer import Writer
from gameday.processes.child import Child, Report, python
from gameday.processes.remote import Host
from gameday.processes.undo import Pending, Undo
from gameday.run.backlog import Backlog
from gameday.run.context import RunContext, RunRequest
from gameday.run.elsewhere import Elsewhere
from gameday.run.instruments import Instruments
from gameday.run.wires import Wires
from gameday.scenario.model import Scenario
from gameday.targets.target import Target
from gameday.transports.base import Addresses, Source, Topology
from gameday.transports.carriers.boto import BotoCarrier

# How long a process may take to start.
START_S = 60.0
# How long a process may take to end in good order when the run ends badly.
HASTE_S = 5.0


class View(Protocol):
    """Who watches: see gameday/report/live.py."""

    def note(self, text: str) -> None: ...
    def phase(self, text: str) -> None: ...
    def started(self, start_ns: int) -> None: ...
    def snapshot(self, report: Report) -> None: ...
    def keys(self, pressed: Callable[[str], None]) -> AbstractContextManager[bool]: ...
    def end(self) -> None: ...


class Orders(Protocol):
    """Who takes what an operator asks for: see gameday/run/operator.py."""

    def take(self, order: Report) -> None: ...


class DeployedFunctions(FunctionControl, Protocol):
    """Those of the run on the target: see gameday/run/functions.py."""

    async def stop(self) -> None: ...
    async def read_back(self) -> None: ...


class HostsOfRun(Protocol):
    """Those that have joined the run: see gameday/run/hosts.py."""

    def slots(self, subscription: str) -> Mapping[str, Host]: ...
    async def start_senders(self) -> None: ...
    async def gather(self) -> None: ...


class Run:
    """What all phases share. What has no value yet is set by the phase that its comment names.

    `ending` is why the run ends badly, once it does. `stack` puts away what is started and created, and `undo` is where
    that is written down before; `removed` becomes false where something that was created could not be removed.
    """

    # Before all else: gameday/run/conductor.py.
    pending: Pending
    # Before the phases: gameday/run/opening.py.
    metrics_port: int
    target: Target
    topology: Topology
    writer: Writer
    # By action of FIS, the types of resource that it strikes; empty where the scenario asks for none.
    experiment_kinds: Mapping[str, Mapping[str, str]]
    # While the run is watched: gameday/run/endings.py. What it is given must not end before the run does.
    watch_over: Callable[[Coroutine[Any, Any, None], str], None]
    # provision
    carrier: BotoCarrier
    addresses: Addresses
    leases: LeaseStore | None
    sources: Mapping[str, Source]
    backlog: Backlog
    # start
    load: Child
    hosts: HostsOfRun | None
    # load: when it began, and from when on what was sent counts as lost where it is not.
    start_ns: int
    settled_ns: int
    # drain
    drained: bool

    def __init__(self, *, request: RunRequest, context: RunContext, view: View) -> None:
        self.request = request
        self.context = context
        self.view = view
        self.stack = AsyncExitStack()
        self.undo = Undo(context.directory)
        self.removed = True
        self.fleets: list[Fleet] = []
        self.wires = Wires()
        # provision, where the effects are kept by us.
        self.store: EffectStore | None = None
        # start: where the target invokes a function.
        self.functions: DeployedFunctions | None = None
        # start: the load's port of the wire before it, where one stands there.
        self.load_port: Port | None = None
        self.load_failure: str | None = None
        # opening: where it is, of what is there already.
        self.found: Addresses | None = None
        # load: how many messages were accepted.
        self.acked = 0
        self.effects_read: set[str] = set()
        # look_for_effects: by subscription, where there are any, and all that may have started a program.
        self.elsewhere: dict[str, Elsewhere] = {}
        self.readers: list[EffectReader] = []
        self.ending: str | None = None
        # What the observer has told of the run while it goes on.
        self.instruments = Instruments()
        # While load and chaos run, where the run has an operator.
        self.operator: Orders | None = None
        self._children: list[Child] = []

    @property
    def foreign_most(self) -> int:
        """How many messages of others may be held on each subscription."""
        attach = self.scenario.topology.attach
        return 0 if attach is None else attach.foreign_max

    @property
    def scenario(self) -> Scenario:
        return self.context.scenario

    def note(self, text: str) -> None:
        """Tell people, now and whoever reads the history later."""
        self.view.note(text)
        with suppress(HistoryError):  # of one that is closed, or cannot be written: that is told elsewhere
            self.writer.write(events.mark("note", text=text))

    def note_sent(self) -> None:
        """What is sent until now counts as lost, where it is not received, once the target has settled."""
        self.settled_ns = self.context.clock.now_ns() + round(self.topology.settle_s * NS_PER_S)

    async def start(
        self, name: str, *arguments: object, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Child:
        """Start a Python program of ours. Errors: ProcessError."""
        child = await Child.start(name=name, argv=python(*arguments), run=self.context.directory, env=env, cwd=cwd)
        self.adopt(child)
        self.stack.push_async_callback(child.end, timeout_s=HASTE_S)
        return child

    def adopt(self, child: Child) -> None:
        """It belongs to the run, and who started it ends it."""
        self._children.append(child)

    async def stop_fleets(self, timeout_s: float) -> None:
        """And give back what their consumers have kept out of sight that is not the run's."""
        await asyncio.gather(*(fleet.stop(timeout_s) for fleet in self.fleets))
        for fleet in self.fleets:
            if receipts := fleet.take_foreign():
                name = fleet.subscription
                try:
                    given = await self.backlog.give_back(name, receipts)
                except TargetError as error:
                    self.note(f"{name}: {len(receipts)} messages of others could not be given back: {error}")
                else:
                    self.note(f"{name}: {given} messages of others were met, left alone, and given back")

    def kill(self) -> None:
        """Kill every process of the run, now."""
        for reader in self.readers:
            reader.kill()
        for fleet in self.fleets:
            fleet.kill()
        for child in self._children:
            child.signal(signal.SIGKILL)

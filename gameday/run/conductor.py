"""The conductor: one run from the first process to the last, with load and chaos on one clock.

It promises that the history tells the whole run in the order that the record format asks for; that every process it
starts ends with it, whichever way it ends; that what it broke is healed and what it created is removed; and that a
run which cannot go on says why in one message, keeps what was recorded, and leaves it judgeable.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from gameday.chaos.base import PlannedStrike
from gameday.chaos.fault_targets import FaultTargets
from gameday.chaos.timeline import Runner, StrikeResult
from gameday.chaos.timeline import plan as plan_timeline
from gameday.consumers.effects import EffectStore
from gameday.consumers.fleet import Fleet
from gameday.consumers.handlers import HANDLERS
from gameday.consumers.lease_stores import make_leases
from gameday.consumers.leases import LeaseStore
from gameday.consumers.stores import make_store
from gameday.history import events
from gameday.history.clock import NS_PER_S
from gameday.history.errors import (
    GamedayError,
    HistoryError,
    Interrupted,
    ProcessError,
    RunError,
    TargetError,
    UsageError,
)
from gameday.history.manifest import FILE as MANIFEST
from gameday.history.writer import DIRECTORY, Writer
from gameday.processes.child import Child, Report, ending, python
from gameday.run.backlog import Backlog
from gameday.run.context import RunContext, new_id, new_seed
from gameday.run.queues import Queues
from gameday.run.replay import Replay
from gameday.run.resharding import Resharder
from gameday.run.streams import Streams
from gameday.scenario.forecast import forecast
from gameday.scenario.model import Scenario, needs_of
from gameday.targets.start import start as start_target
from gameday.targets.target import Kind, Target
from gameday.transports.base import Addresses, CallFailed, Depth, Replayer, Topology
from gameday.transports.carriers.boto import BotoCarrier, run_all_despite_failures, run_plan

T = TypeVar("T")

RUNS = Path("runs")
LOCUSTFILE = Path(__file__).resolve().parent.parent / "loadgen" / "locustfile.py"
_START_S = 60.0
# Between telling the load when to begin and that moment: time for the command to arrive everywhere.
_LEAD_S = 0.5
# How long children may take to end in good order when the run ends badly.
_HASTE_S = 5.0
_LOAD_SPARE_S = 60.0
_EFFECTS_A_WRITE = 1000
# What AWS's SDKs read, by a path that may begin at the current directory.
_AWS_FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CA_BUNDLE", "AWS_WEB_IDENTITY_TOKEN_FILE")


class View(Protocol):
    """Who watches: see gameday/report/live.py."""

    def note(self, text: str) -> None: ...
    def phase(self, text: str) -> None: ...
    def started(self, start_ns: int) -> None: ...
    def snapshot(self, report: Report) -> None: ...
    def end(self) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """What the command line asks for; None leaves it to the scenario or to chance."""

    scenario: Scenario
    target: Kind = "embedded"
    url: str | None = None
    seed: int | None = None
    out: Path | None = None
    metrics_port: int | None = None


async def conduct(request: RunRequest, view: View) -> Path:
    """Do the run; gives its directory, which is then ready to be judged.

    The first SIGINT or SIGTERM ends it in good order, the second at once. Errors: GamedayError; Interrupted after a
    signal.
    """
    run_id = new_id(request.scenario.name)
    run = _make_directory(request.out or RUNS / run_id)
    seed = request.scenario.seed if request.seed is None else request.seed
    context = RunContext(scenario=request.scenario, id=run_id, directory=run, seed=new_seed() if seed is None else seed)
    conductor = _Conductor(request=request, context=context, view=view)
    work = asyncio.create_task(conductor.work(), name="the run")
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(conductor.note_stray)
    interrupted = False

    def interrupt(number: signal.Signals) -> None:
        nonlocal interrupted
        if interrupted:
            conductor.kill()
            view.end()
            print(
                f"gameday: interrupted twice, so everything was killed{conductor.kept()}", file=sys.stderr, flush=True
            )
            os._exit(Interrupted.exit_code)
        interrupted = True
        conductor.ending = f"interrupted by {number.name}"
        view.phase(f"{number.name}: healing, stopping, tearing down (once more: kill everything at once)")
        work.cancel()

    # Whoever started this under nohup wants it to outlive the terminal.
    heard = [
        s
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if s != signal.SIGHUP or signal.getsignal(s) != signal.SIG_IGN
    ]
    for number in heard:
        loop.add_signal_handler(number, interrupt, number)
    try:
        await work
    except (asyncio.CancelledError, GamedayError, OSError) as error:
        if interrupted:
            raise Interrupted(f"interrupted{conductor.kept()}") from None
        if isinstance(error, GamedayError):
            raise type(error)(f"{error}{conductor.kept()}") from None
        if isinstance(error, OSError):
            # A disk that is full, or a directory that went away, where no history was being written.
            raise RunError(f"{error.filename or run}: {error.strerror or error}{conductor.kept()}") from error
        raise
    finally:
        for number in heard:
            loop.remove_signal_handler(number)
    return run


def _make_directory(run: Path) -> Path:
    """Errors: UsageError when a run, or anything else, is there already."""
    try:
        if run.exists() and (not run.is_dir() or any(run.iterdir())):
            what = "holds a run already" if (run / MANIFEST).exists() else "is there already and is not empty"
            raise UsageError(f"{run} {what}; name another directory with --out")
        run.mkdir(parents=True, exist_ok=True)
        return run.resolve()
    except OSError as error:
        raise RunError(f"cannot make the run directory {run}: {error.strerror}") from error


Guard = Callable[[Coroutine[Any, Any, None], str], None]


class _Conductor:
    """`ending` is why the run ends badly, once it does."""

    def __init__(self, *, request: RunRequest, context: RunContext, view: View) -> None:
        self._request = request
        self._context = context
        self._scenario = context.scenario
        self._view = view
        # What is started and created is put away by this stack, last things first, however the run ends.
        self._stack = AsyncExitStack()
        self._children: list[Child] = []
        self._fleets: list[Fleet] = []
        self._load_failure: str | None = None
        self._effects_read: set[str] = set()
        self.ending: str | None = None

    # The way through

    async def work(self) -> None:
        context = self._context
        async with self._stack:
            metrics_port = self._metrics_port()
            target = await self._start_target()
            target.refuse_gaps(context.transport, needs_of(self._scenario))
            manifest = context.manifest(target)
            target.refuse_promises(manifest.subscriptions)
            manifest.save(context.directory)
            (context.directory / DIRECTORY).mkdir()
            writer = Writer(run=context.directory, name="conductor", clock=context.clock)
            self._stack.callback(_close, writer)
            try:
                await self._guarded(target, writer, metrics_port)
            except BaseException as error:
                self.ending = self.ending or str(error) or type(error).__name__
                # A full disk takes no last word either; what is there stays judgeable without it.
                with suppress(HistoryError):
                    writer.write(events.mark("aborted", reason=self.ending))
                raise

    async def _guarded(self, target: Target, writer: Writer, metrics_port: int) -> None:
        """Play the run while somebody looks out for what must not die; the first death ends it."""
        try:
            async with asyncio.TaskGroup() as group:
                guards = [group.create_task(_fail_with(target.died()), name="the target's guard")]

                def guard(watching: Coroutine[Any, Any, None], name: str) -> None:
                    guards.append(group.create_task(watching, name=name))

                await self._play(target, writer, metrics_port, guard)
                for task in guards:
                    task.cancel()
        except BaseExceptionGroup as errors:
            raise _foremost(errors) from None

    async def _play(self, target: Target, writer: Writer, metrics_port: int, guard: Guard) -> None:
        scenario, context, view = self._scenario, self._context, self._view
        topology = context.topology(target)
        for note in forecast(scenario, seed=context.seed, effective_s=target.effective_s):
            view.note(f"note: {note}")
        carrier = BotoCarrier(target.endpoint, read_timeout_s=10)
        addresses = await self._provision(target, topology, carrier)
        store = await self._make_store(target)
        leases = await self._make_leases(target)
        # Put away after the consumers, which are started later, and before the store.
        self._stack.push_async_callback(self._rescue_effects, store, writer)
        view.phase("starting consumers and load")
        # Beside each other: most of their time goes into imports. If one fails, the others are ended and waited for.
        async with asyncio.TaskGroup() as starting:
            starting.create_task(self._start_observer(metrics_port, guard))
            starting.create_task(self._start_fleets(target, addresses, writer, guard))
            loading = starting.create_task(self._start_load(target, addresses, topology, writer))
        load = loading.result()

        runner = Runner(self._strikes(), targets=self._targets(load, writer, addresses, carrier))
        backlog = self._backlog(addresses, carrier, writer, leases)
        start_ns = context.clock.now_ns() + round(_LEAD_S * NS_PER_S)
        writer.write(events.mark("load-started", start=start_ns, schedule=scenario.shape.outline()))
        await load.command("start", at=start_ns)
        view.started(start_ns)
        async with asyncio.TaskGroup() as playing:
            depths = playing.create_task(backlog.watch(), name="depths")
            chaos = playing.create_task(runner.run(start_ns=start_ns), name="chaos")
            done = await self._load_done(load)
            writer.write(events.mark("load-stopped", scheduled=done["scheduled"]))
            settled_ns = self._settled_ns(topology)
            view.phase(f"load done ({_counted(done)}); healing what is still broken")
            runner.heal_all()
            self._tell_strikes(await chaos)
            depths.cancel()
        drained = await self._drain(backlog, settled_ns)
        if scenario.topology.redrive:
            await self._redrive(backlog, drained=drained)
            await self._drain(backlog, self._settled_ns(topology))
        if isinstance(context.transport, Replayer) and topology.archive:
            replay = Replay(
                transport=context.transport,
                addresses=addresses,
                name=f"gameday-{context.id}",
                since_ns=start_ns,
                carry=carrier,
                writer=writer,
            )
            await self._replay(replay)
            await self._drain(backlog, self._settled_ns(topology))
        await self._finish(backlog, writer)
        await self._read_effects(store, writer)

    def _settled_ns(self, topology: Topology) -> int:
        """From when on what is sent now counts as lost where it is not."""
        return self._context.clock.now_ns() + round(topology.settle_s * NS_PER_S)

    async def _replay(self, replay: Replay) -> None:
        view = self._view
        view.phase("replaying")
        patience_s = self._scenario.drain_timeout_s
        why = await replay.run(patience_s=patience_s, tell=lambda state: view.phase(f"replaying: {state}"))
        if why is not None:
            view.note(f"the replay did not run to its end ({why}); claims about it are unknown")

    async def _redrive(self, backlog: Backlog, *, drained: bool) -> None:
        """Errors: RunError when there is nothing to move, which would show nothing, or when messages may still die."""
        if not drained:
            raise RunError(
                "the queues are not empty, so messages may still die while dead letters are moved back; a longer "
                "`drain_timeout` or faster consumers would help"
            )
        self._view.phase("moving dead letters back")
        moved = await backlog.redrive()
        if not moved:
            raise RunError(
                "there is no dead letter to move back, so a redrive shows nothing; raise load.poison, or take "
                "topology.redrive out"
            )
        self._view.note(f"{moved} dead letters moved back to their queues")

    async def _drain(self, backlog: Backlog, settled_ns: int) -> bool:
        """Let the consumers empty the queues, which count as empty from `settled_ns` on, and say if they could not."""
        view, scenario = self._view, self._scenario
        view.phase("draining")
        depths = await backlog.drain(
            settled_ns=settled_ns,
            patience_s=scenario.drain_timeout_s,
            tell=lambda seen: view.phase(f"draining: {_depths(seen)}"),
        )
        drained = not any(depth.total for depth in depths.values())
        if not drained:
            view.note(
                f"not drained: {_depths(depths)}, and no fewer for {scenario.drain_timeout_s:g} s. Claims that need "
                "everything drained are unknown; a longer `drain_timeout` or faster consumers would settle them."
            )
        return drained

    async def _finish(self, backlog: Backlog, writer: Writer) -> None:
        """Stop the consumers, bury the dead, look once more: in this request.

        The marks come after the last consumer has ended, so that no `received` can follow them.
        """
        self._view.phase("stopping consumers")
        await self._stop_fleets(self._scenario.consumers.drain_timeout + _HASTE_S)
        if dead := await backlog.drain_dead_letters():
            self._view.note(f"{dead} dead letters")
        for name, depth in (await backlog.look()).items():
            writer.write(events.mark("drained", subscription=name, empty=depth.total == 0, **asdict(depth)))

    async def _read_effects(self, store: EffectStore, writer: Writer) -> None:
        if not HANDLERS[self._scenario.consumers.handler].has_effects:
            return
        self._view.phase("reading the effects back")
        for name in self._scenario.subscriptions:
            if name in self._effects_read:
                continue
            applied = await store.read_back(name)
            records = [events.effects(id=id, subscription=name, applied=times) for id, times in sorted(applied.items())]
            for first in range(0, len(records), _EFFECTS_A_WRITE):
                writer.write(*records[first : first + _EFFECTS_A_WRITE])
            writer.write(events.mark("effects-read", subscription=name))
            self._effects_read.add(name)

    async def _rescue_effects(self, store: EffectStore, writer: Writer) -> None:
        """After a bad ending: what the effect claims rest on, where it lies on this machine and costs but a moment."""
        if self.ending is None or self._scenario.consumers.store != "sqlite":
            return
        with suppress(CallFailed, HistoryError, TimeoutError):
            async with asyncio.timeout(_HASTE_S):
                await self._read_effects(store, writer)

    # What is started and created, and how it is put away

    def _metrics_port(self) -> int:
        """Errors: RunError when the port that was asked for is taken."""
        port = self._scenario.metrics_port if self._request.metrics_port is None else self._request.metrics_port
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError as error:
                raise RunError(
                    f"the metrics port 127.0.0.1:{port} cannot be had: {error.strerror}. Free it, or name another with "
                    "--metrics-port (0 takes any free one)."
                ) from error
        return port

    async def _start_target(self) -> Target:
        kind = self._request.target
        self._view.phase(f"starting target {kind}")
        target = await start_target(
            kind,
            services=self._context.services,
            url=self._request.url,
            environ=os.environ,
            run=self._context.directory,
        )
        self._stack.push_async_callback(target.stop)
        if target.process is not None:
            self._children.append(target.process)
        self._view.note(f"target {kind}: {target.what}. It cannot show: {'; '.join(target.cannot_show)}.")
        self._view.note(f"run {self._context.id}, recorded in {shown(self._context.directory)}")
        return target

    async def _provision(self, target: Target, topology: Topology, carrier: BotoCarrier) -> Addresses:
        transport, context = self._context.transport, self._context
        what = "the stream" if transport.kind == "stream" else "the queues"

        async def remove(addresses: Addresses) -> None:
            if target.ends_with_the_run:
                return
            self._view.phase(f"removing {what}")
            try:
                await asyncio.to_thread(run_all_despite_failures, transport.tear_down(addresses), carrier)
            except CallFailed as error:
                self._view.note(f"could not remove all that the run created; remove it by hand: {error}")

        self._view.phase(f"creating {what}")
        plan = transport.provision(topology, run=context.id, tags=context.tags)
        try:
            # To its end even when interrupted: what was half created could not be removed by its address.
            return await _to_the_end(
                asyncio.to_thread(run_plan, plan, carrier),
                lambda addresses: self._stack.push_async_callback(remove, addresses),
            )
        except CallFailed as error:
            raise TargetError(f"cannot create {what}: {error}") from error

    async def _make_store(self, target: Target) -> EffectStore:
        store = make_store(self._context.store, target.endpoint)
        await self._create(store, target, f"effect store ({self._context.store['kind']})")
        return store

    async def _make_leases(self, target: Target) -> LeaseStore | None:
        """Who reads which shard, where there are shards."""
        if (settings := self._context.leases) is None:
            return None
        leases = make_leases(settings, target.endpoint)
        await self._create(leases, target, f"leases ({settings['kind']})")
        return leases

    async def _create(self, store: EffectStore | LeaseStore, target: Target, what: str) -> None:
        async def remove() -> None:
            try:
                if not target.ends_with_the_run:
                    await store.remove()
            except CallFailed as error:
                self._view.note(f"could not remove the {what}: {error}")
            finally:
                await store.close()

        self._stack.push_async_callback(remove)
        try:
            await store.create(tags=self._context.tags)
            await store.open()
        except CallFailed as error:
            raise TargetError(f"cannot create the {what}: {error}") from error

    def _backlog(
        self, addresses: Addresses, carrier: BotoCarrier, writer: Writer, leases: LeaseStore | None
    ) -> Backlog:
        sources = {name: self._context.transport.subscription(addresses, name) for name in self._scenario.subscriptions}
        if leases is None:
            queues = {name: source for name, source in sources.items() if source.kind == "queue"}
            return Queues(sources=queues, carrier=carrier, writer=writer)
        streams = {name: source for name, source in sources.items() if source.kind == "stream"}
        return Streams(sources=streams, carrier=carrier, writer=writer, leases=leases)

    async def _start_observer(self, port: int, guard: Guard) -> None:
        """Nothing depends on it: an observer that does not start or dies is a note and changes no verdict."""
        observer = await self._start(
            "observer", "-m", "gameday.watch.observer", "--run", self._context.directory, "--port", port
        )
        observer.on_report = self._view.snapshot
        ready = await observer.report("ready", timeout_s=_START_S)
        if ready is None:
            self._view.note(f"the observer did not start, so there is nothing to watch: {observer.last_words()}")
            return
        self._view.note(f"metrics at http://127.0.0.1:{ready['port']}/metrics")

        async def watch() -> None:
            code = await observer.wait()
            self._view.note(
                f"the observer ended ({ending(code)}), so there is nothing to watch any more; the run and its "
                f"verdict do not need it. Its last words: {observer.last_words()}"
            )

        guard(watch(), "the observer's guard")

    async def _start_fleets(self, target: Target, addresses: Addresses, writer: Writer, guard: Guard) -> None:
        spec = self._scenario.consumers
        self._fleets = [
            Fleet(
                config=self._context.consumers(name, endpoint=target.endpoint, addresses=addresses),
                size=spec.processes,
                writer=writer,
                run=self._context.directory,
                restart_delay_s=spec.restart_delay,
            )
            for name in self._scenario.subscriptions
        ]
        self._stack.push_async_callback(self._stop_fleets, _HASTE_S)
        await asyncio.gather(*(fleet.start(_START_S) for fleet in self._fleets))
        for fleet in self._fleets:
            guard(fleet.watch(), f"the guard of {fleet.config.subscription}'s consumers")

    async def _stop_fleets(self, timeout_s: float) -> None:
        await asyncio.gather(*(fleet.stop(timeout_s) for fleet in self._fleets))

    async def _start_load(self, target: Target, addresses: Addresses, topology: Topology, writer: Writer) -> Child:
        config = self._context.load(endpoint=target.endpoint, addresses=addresses, topology=topology)
        path = self._context.directory / "load.json"
        config.save(path)
        for name in config.writers:
            writer.announce(name)
        argv = ["-m", "locust", "-f", LOCUSTFILE, "--headless", "--only-summary"]
        if config.processes > 1:
            argv += ["--processes", config.processes]
        # Locust looks into the current directory for modules, and for options of its own (locust.conf, pyproject.toml):
        # so not the user's.
        env = {**_aws_files(os.environ), "GAMEDAY_LOAD": str(path)}
        load = await self._start("load", *argv, env=env, cwd=path.parent / "logs")
        load.on_report = self._hear_load
        if await load.report("ready", timeout_s=_START_S) is None:
            raise ProcessError(f"the load (Locust) did not start: {self._load_failure or load.last_words()}")
        return load

    async def _start(
        self, name: str, *arguments: object, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Child:
        child = await Child.start(name=name, argv=python(*arguments), run=self._context.directory, env=env, cwd=cwd)
        self._children.append(child)
        self._stack.push_async_callback(child.end, timeout_s=_HASTE_S)
        return child

    async def _load_done(self, load: Child) -> Report:
        """What the load counted, once it has ended in good request. Errors: ProcessError."""
        spec = self._scenario.load
        limit_s = spec.duration + spec.give_up + _LOAD_SPARE_S
        done = await load.report("done", timeout_s=limit_s)
        try:
            # Done is told before the end, and an end that is not in good order says that a record may be missing.
            code = await asyncio.wait_for(load.wait(), _HASTE_S if done is None else _LOAD_SPARE_S)
        except TimeoutError:
            raise ProcessError(f"the load (Locust) had not ended after {limit_s:g} s: {load.last_words()}") from None
        if done is None or code != 0:
            raise ProcessError(f"the load (Locust) died ({ending(code)}): {self._load_failure or load.last_words()}")
        return done

    def _hear_load(self, report: Report) -> None:
        if report.get("report") == "failed":
            self._load_failure = str(report.get("why"))

    def _strikes(self) -> list[PlannedStrike]:
        consumers = dict.fromkeys(self._scenario.subscriptions, self._scenario.consumers.processes)
        return plan_timeline(
            self._scenario.chaos, duration_s=self._scenario.load.duration, consumers=consumers, seed=self._context.seed
        )

    def _targets(self, load: Child, writer: Writer, addresses: Addresses, carrier: BotoCarrier) -> FaultTargets:
        source = self._context.transport.subscription(addresses, self._scenario.subscriptions[0])
        hidden_s = self._scenario.topology.visibility_timeout
        return FaultTargets(
            fleets={fleet.config.subscription: fleet for fleet in self._fleets},
            visibility_timeout_s=dict.fromkeys(self._scenario.subscriptions, hidden_s),
            load=load,
            writer=writer,
            seed=self._context.seed,
            stream=Resharder(source, carrier) if source.kind == "stream" else None,
        )

    def _tell_strikes(self, results: list[StrikeResult]) -> None:
        for result in results:
            if result.error is not None:
                self._view.note(f"{result.planned.instance} failed: {result.error}")

    # Bad endings

    def kept(self) -> str:
        """What is left of a run that ended badly; a directory in which nothing was recorded is removed."""
        run = self._context.directory
        if (run / DIRECTORY / "conductor.jsonl").exists():
            return f"\nWhat was recorded is kept: gameday verify {shown(run)}"
        for file in (run / MANIFEST, *(run / "logs").glob("*.log")):
            file.unlink(missing_ok=True)
        for directory in (run / DIRECTORY, run / "logs", run, *([RUNS] if self._request.out is None else [])):
            # One that holds something stays.
            with suppress(OSError):
                directory.rmdir()
        return ""

    def kill(self) -> None:
        """Kill every process of the run, now."""
        consumers = [member.pid for fleet in self._fleets for member in fleet.members if member.alive]
        for pid in [*consumers, *(child.pid for child in self._children if child.alive)]:
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def note_stray(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What asyncio would print as a traceback goes into a log; what matters has been raised elsewhere."""
        with suppress(OSError), (self._context.directory / "logs" / "conductor.log").open("a") as log:
            print(context.get("message"), repr(context.get("exception")), file=log)


async def _fail_with(death: Awaitable[str]) -> None:
    raise TargetError(await death)


async def _to_the_end(work: Coroutine[Any, Any, T], keep: Callable[[T], object]) -> T:
    """Finish the work even when cancelled meanwhile, hand the result to `keep`, and only then be cancelled."""
    task = asyncio.ensure_future(work)
    try:
        result = await asyncio.shield(task)
    except asyncio.CancelledError:
        keep(await task)
        raise
    keep(result)
    return result


def _foremost(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Of several errors the one that explains the others: a target that died makes everybody else fail too."""
    flat: list[BaseException] = []
    for error in errors.exceptions:
        flat.append(_foremost(error) if isinstance(error, BaseExceptionGroup) else error)
    order = (TargetError, HistoryError, GamedayError)
    return min(flat, key=lambda error: next((n for n, kind in enumerate(order) if isinstance(error, kind)), len(order)))


def _close(writer: Writer) -> None:
    """The disk may be full."""
    with suppress(HistoryError):
        writer.close()


def _aws_files(environ: Mapping[str, str]) -> dict[str, str]:
    """The files of AWS's SDKs that the environment names, for a process that stands in another directory."""
    return {name: str(Path(file).expanduser().absolute()) for name in _AWS_FILES if (file := environ.get(name))}


def _counted(done: Report) -> str:
    keys = ("scheduled", "acked", "failed", "unknown", "missed", "late")
    return ", ".join(f"{done[key]} {key}" for key in keys if done.get(key))


def _depths(depths: Mapping[str, Depth]) -> str:
    return "; ".join(
        f"{name} has {depth.visible} visible, {depth.hidden} hidden, {depth.delayed} delayed"
        for name, depth in depths.items()
    )


def shown(path: Path) -> str:
    """As short as it can be typed."""
    return shlex.quote(os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path))

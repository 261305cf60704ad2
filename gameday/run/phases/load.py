"""Load and chaos, on one clock: from the first message until the load has ended and every fault is healed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gameday.chaos.fault_targets import FaultTargets
from gameday.chaos.timeline import Runner, StrikeResult, plan
from gameday.history import events
from gameday.history.clock import NS_PER_S
from gameday.history.errors import ProcessError, TargetError
from gameday.processes.child import Report, ending
from gameday.processes.undo import Undo
from gameday.run.brakes import Brakes, alarms
from gameday.run.executions import Executions
from gameday.run.experiments import Experiments
from gameday.run.operator import Operator
from gameday.run.policies import Policies
from gameday.run.resharding import Resharder
from gameday.run.state import HASTE_S, Run
from gameday.transports.base import CallFailed

# Between telling the load when to begin and that moment: time for the command to arrive everywhere.
_LEAD_S = 0.5
_LOAD_SPARE_S = 60.0


async def load_with_chaos(run: Run) -> None:
    """Errors: ProcessError; TargetError where what FIS is asked for cannot be made."""
    chaos = _chaos(run, await _experiments(run))
    brakes = Brakes(run, chaos)
    await _ask_alarms(run)
    run.operator = Operator(run, chaos) if run.request.operator else None
    run.start_ns = run.context.clock.now_ns() + round(_LEAD_S * NS_PER_S)
    run.writer.write(events.mark("load-started", start=run.start_ns, schedule=run.scenario.shape.outline()))
    await run.load.command("start", at=run.start_ns)
    run.view.started(run.start_ns)
    async with _keys(run), asyncio.TaskGroup() as playing:
        depths = playing.create_task(run.backlog.watch(), name="depths")
        striking = playing.create_task(chaos.run(start_ns=run.start_ns), name="chaos")
        braking = playing.create_task(brakes.watch(), name="brakes")
        done = await _load_done(run)
        run.acked = int(done.get("acked") or 0)
        run.writer.write(events.mark("load-stopped", scheduled=done["scheduled"]))
        run.note_sent()
        run.operator = None
        run.view.phase(f"load done ({_counted(done)}); healing what is still broken")
        braking.cancel()
        chaos.heal_all()
        _tell_failures(run, await striking)
        depths.cancel()


@asynccontextmanager
async def _keys(run: Run) -> AsyncIterator[None]:
    """An operator at the terminal: each fault of the scenario has a key that begins it and ends it."""
    if run.operator is None:
        yield
        return
    numbered = {str(number): entry.fault for number, entry in enumerate(run.scenario.chaos[:9], start=1)}

    def pressed(key: str) -> None:
        if key in numbered and run.operator is not None:
            run.operator.take({"do": "switch", "entry": int(key) - 1})

    with run.view.keys(pressed) as listening:
        if listening and numbered:
            told = ", ".join(f"{key} {fault}" for key, fault in numbered.items())
            run.note(f"operator: keys begin and end faults: {told}")
        yield


async def _experiments(run: Run) -> Experiments | None:
    """Errors: TargetError."""
    asked = run.scenario.experiments
    if not asked:
        return None
    found = Experiments(
        run.carrier,
        run.experiment_kinds,
        run=run.context.id,
        tags=run.context.tags,
        undo=Undo(run.context.directory),
    )

    async def remove() -> None:
        for left in await found.remove():
            run.view.note(f"could not remove all that the run created; remove it by hand: {left}")

    run.stack.push_async_callback(remove)
    try:
        await found.prepare(asked)
    except CallFailed as error:
        raise TargetError(f"FIS refuses the scenario's experiment: {error}") from error
    return found


def _chaos(run: Run, experiments: Experiments | None) -> Runner:
    scenario, subscriptions = run.scenario, run.scenario.subscriptions
    strikes = plan(
        scenario.chaos,
        duration_s=scenario.load.duration,
        consumers=dict.fromkeys(subscriptions, scenario.consumers.count),
        seed=run.context.seed,
    )
    # All subscriptions read one stream, where they read any.
    source = run.sources[subscriptions[0]]
    targets = FaultTargets(
        fleets={fleet.subscription: fleet for fleet in run.fleets},
        visibility_timeout_s={name: run.context.hidden_s(name) for name in subscriptions},
        load=run.load_port,
        producer=run.load if run.hosts is None else None,
        writer=run.writer,
        seed=run.context.seed,
        stream=Resharder(source, run.carrier) if source.kind == "stream" else None,
        queues=_policies(run) if source.kind == "queue" else None,
        experiments=experiments,
        functions=run.functions,
        executions=Executions.of(run),
    )
    return Runner(
        strikes,
        targets=targets,
        instruments=run.instruments,
        each_s=scenario.brakes.each,
        steady=scenario.steady is None,
        by_hand=run.request.operator,
    )


async def _ask_alarms(run: Run) -> None:
    """Whether those that would end chaos can be asked for, before anything is broken. Errors: TargetError."""
    if names := list(run.scenario.brakes.alarms):
        try:
            await alarms(run, names)
        except CallFailed as error:
            raise TargetError(f"brakes.stop_when: CloudWatch does not tell of its alarms: {error}") from error


def _policies(run: Run) -> Policies:
    return Policies(
        run.addresses.queues,
        run.carrier,
        run=run.context.id,
        undo=Undo(run.context.directory),
        settle_s=run.target.policy_s,
    )


async def _load_done(run: Run) -> Report:
    """What the load counted, once it has ended in good order. Errors: ProcessError."""
    spec, load = run.scenario.load, run.load
    hosts = run.request.hosts
    limit_s = spec.duration + spec.give_up + _LOAD_SPARE_S + (hosts.patience_s if hosts else 0)
    done = await load.report("done", timeout_s=limit_s)
    if hosts is not None and done is not None and run.load_failure is None:
        # It goes on, for the hosts have joined it.
        return done
    try:
        # Done is told before the end, and an end that is not in good order says that a record may be missing.
        code = await asyncio.wait_for(load.wait(), HASTE_S if done is None else _LOAD_SPARE_S)
    except TimeoutError:
        raise ProcessError(f"the load (Locust) had not ended after {limit_s:g} s: {load.last_words()}") from None
    if done is None or code != 0:
        raise ProcessError(f"the load (Locust) died ({ending(code)}): {run.load_failure or load.last_words()}")
    return done


def _counted(done: Report) -> str:
    keys = ("scheduled", "acked", "failed", "unknown", "missed", "late")
    return ", ".join(f"{done[key]} {key}" for key in keys if done.get(key))


def _tell_failures(run: Run, results: list[StrikeResult]) -> None:
    for result in results:
        if result.error is not None:
            run.note(f"{result.planned.instance} failed: {result.error}")

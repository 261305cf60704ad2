"""Create what the scenario is about: the pipeline, the effect store, and the leases where there are shards.

It promises that whatever was created is removed when the run ends, unless its target ends with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from gameday.consumers.effects import EffectStore
from gameday.consumers.lease_stores import make_leases
from gameday.consumers.leases import LeaseStore
from gameday.consumers.stores import make_store
from gameday.history.errors import TargetError
from gameday.run.backlog import Backlog
from gameday.run.phases.read_effects import rescue_effects
from gameday.run.queues import Queues
from gameday.run.state import Run
from gameday.run.streams import Streams
from gameday.scenario.consumption import CONSUMPTION
from gameday.scenario.forecast import forecast
from gameday.scenario.rates import warning
from gameday.transports.aws_errors import with_advice
from gameday.transports.base import Addresses, CallFailed
from gameday.transports.carriers.boto import BotoCarrier, run_all_despite_failures, run_plan
from gameday.verify.buckets import cores

T = TypeVar("T")


async def provision(run: Run) -> None:
    """Errors: TargetError."""
    target = run.target
    for note in forecast(run.scenario, seed=run.context.seed, effective_s=target.effective_s, policy_s=target.policy_s):
        run.view.note(f"note: {note}")
    # Which machines there are, and how large, nobody knows here where there are several.
    if (told := warning(run.scenario, target.product, cores=None if run.request.hosts else cores())) is not None:
        run.view.note(f"note: {told}")
    run.carrier = BotoCarrier(run.target.endpoint, read_timeout_s=10)
    _will_create(run)
    run.addresses = await _create_pipeline(run)
    transport = run.context.transport
    run.sources = {
        name: transport.subscription(run.addresses, name, run.context.identification)
        for name in run.scenario.subscriptions
    }
    if (settings := run.context.store) is not None:
        run.store = make_store(settings, run.target.endpoint)
        await _create(run, run.store, f"effect store ({settings['kind']})")
    run.leases = None
    if (settings := run.context.leases) is not None:
        run.leases = make_leases(settings, run.target.endpoint)
        await _create(run, run.leases, f"leases ({settings['kind']})")
    run.backlog = _backlog(run)
    # Called after the consumers, which are started later, are put away, and before the store is.
    run.stack.push_async_callback(rescue_effects, run)


def _will_create(run: Run) -> None:
    """Errors: HistoryError."""
    if run.target.ends_with_the_run:
        return
    pending = run.undo.will("resources")

    def over() -> None:
        if run.removed:
            pending.done()

    # Called when everything has been removed, or not: whatever is created is put away before.
    run.stack.callback(over)


async def _create_pipeline(run: Run) -> Addresses:
    if run.found is not None:
        return run.found
    transport, context = run.context.transport, run.context
    what = CONSUMPTION[transport.kind].built

    async def remove(addresses: Addresses) -> None:
        if run.target.ends_with_the_run:
            return
        run.view.phase(f"removing {what}")
        try:
            await asyncio.to_thread(run_all_despite_failures, transport.tear_down(addresses), run.carrier)
        except CallFailed as error:
            run.removed = False
            run.view.note(f"could not remove all that the run created: {error}")

    run.view.phase(f"creating {what}")
    plan = transport.provision(run.topology, run=context.id, tags=context.tags)
    try:
        # To its end even when interrupted: what was half created could not be removed by its address.
        return await _to_the_end(
            asyncio.to_thread(run_plan, plan, run.carrier),
            lambda addresses: run.stack.push_async_callback(remove, addresses),
        )
    except CallFailed as error:
        # Where nobody knows whether something was made, somebody has to look.
        run.removed = run.removed and error.definite
        raise TargetError(f"cannot create {what}: {with_advice(error)}") from error


async def _create(run: Run, store: EffectStore | LeaseStore, what: str) -> None:
    async def remove() -> None:
        try:
            if not run.target.ends_with_the_run:
                await store.remove()
        except CallFailed as error:
            run.removed = False
            run.view.note(f"could not remove the {what}: {error}")
        finally:
            await store.close()

    run.stack.push_async_callback(remove)
    try:
        await store.create(tags=run.context.tags)
        await store.open()
    except CallFailed as error:
        raise TargetError(f"cannot create the {what}: {with_advice(error)}") from error


def _backlog(run: Run) -> Backlog:
    if run.context.transport.kind == "queue":
        queues = {name: source for name, source in run.sources.items() if source.kind == "queue"}
        works_off_the_dead = run.wires.read_dead_letters if run.scenario.consumers.foreign else None
        return Queues(
            sources=queues,
            carrier=run.carrier,
            writer=run.writer,
            works_off_the_dead=works_off_the_dead,
            exact=run.target.counts_settle_s == 0,
            leaves_at=run.foreign_most if run.addresses.attached else None,
        )
    streams = {name: source for name, source in run.sources.items() if source.kind == "stream"}
    return Streams(
        sources=streams,
        carrier=run.carrier,
        writer=run.writer,
        leases=run.leases or run.wires,
        ours_alone=run.addresses.attached,
    )


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

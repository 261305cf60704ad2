"""What comes before the first phase: a target that can do what is asked, and the beginning of the record."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from gameday.history import events
from gameday.history.errors import HistoryError, RunError, TargetError, UsageError
from gameday.history.writer import DIRECTORY, Writer
from gameday.processes.exposition import resolve
from gameday.run.directory import shown
from gameday.run.experiments import look_up
from gameday.run.leaving import where
from gameday.run.state import Run
from gameday.scenario.hosts import refuse_unreachable
from gameday.scenario.model import needs_of, topology_of
from gameday.scenario.standing import CannotAttach, as_found, differences, warnings
from gameday.targets.start import start as start_target
from gameday.targets.target import Target
from gameday.transports.base import CallFailed
from gameday.transports.carriers.boto import BotoCarrier, run_plan
from gameday.transports.carriers.calls import count_calls

_CLOCKS_DIFFER_S = 60.0


async def open_run(run: Run) -> None:
    """Errors: TargetError, TargetLacks and UsageError for a target that cannot be had or lacks something; RunError."""
    context = run.context
    run.metrics_port = _metrics_port(run)
    run.target = await _start_target(run)
    run.pending.now(target=where(run.target, run.request.account))
    if run.request.hosts is not None:
        refuse_unreachable(run.request.hosts, run.target.endpoint, run.target.what)
    run.target.refuse_gaps(context.transport, needs_of(run.scenario))
    run.experiment_kinds = await _experiment_kinds(run)
    notes = await _look(run)
    context = run.context
    manifest = context.manifest(run.target)
    run.target.refuse_promises(manifest.subscriptions)
    run.topology = context.topology(run.target)
    run.target.refuse_haste(run.topology.settle_s)
    manifest.save(context.directory)
    (context.directory / DIRECTORY).mkdir()
    if context.scenario.effects:
        context.effects.mkdir()
    run.writer = Writer(run=context.directory, name="conductor", clock=context.clock)
    run.stack.callback(_close, run.writer)
    for note in notes:
        run.note(f"note: {note}")
    attach = run.scenario.topology.attach
    if attach is not None and attach.shared:
        # Whatever comes of it: nothing that is absent there is proven to be lost.
        run.writer.write(*(events.mark("foreign", subscription=name, count=0) for name in run.scenario.subscriptions))


async def _look(run: Run) -> list[str]:
    """Read what is there already, which from here on is what holds; gives what people should know of it.

    Errors: TargetError where it is not there or cannot be used.
    """
    scenario, target = run.scenario, run.target
    if scenario.topology.attach is None:
        return []
    if target.ends_with_the_run:
        raise UsageError(
            f"topology.attach names what is there already, and {target.what} begins empty with the run; use "
            "--target localstack (an endpoint that runs) or aws"
        )
    run.view.phase("looking at what is there already")
    carrier = BotoCarrier(target.endpoint, read_timeout_s=10)
    plan = run.context.transport.look(topology_of(scenario, settle_s=target.settle_s))
    try:
        found = await asyncio.to_thread(run_plan, plan, carrier)
        known = as_found(scenario, found)
    except CallFailed as error:
        raise TargetError(f"cannot attach to what topology.attach names: {error}") from error
    except CannotAttach as error:
        raise TargetError(f"cannot attach to what topology.attach names: {error}") from None
    # Our clock and theirs may differ: what was written a little earlier is looked at, and bears no mark of the run.
    since_s = time.time() - _CLOCKS_DIFFER_S
    run.found = replace(found.addresses, extra={**found.addresses.extra, "since_s": f"{since_s:.3f}"})
    run.context = replace(run.context, scenario=known)
    return [*differences(scenario, found), *warnings(known)]


async def _experiment_kinds(run: Run) -> Mapping[str, Mapping[str, str]]:
    """Errors: TargetLacks, TargetError, UsageError."""
    if not (asked := run.scenario.experiments):
        return {}
    carrier = BotoCarrier(run.target.endpoint, read_timeout_s=10)
    return await asyncio.to_thread(look_up, asked, carrier, at=run.target.what)


def _metrics_port(run: Run) -> int:
    """Errors: RunError when the address or the port that was asked for cannot be had."""
    port = run.scenario.metrics_port if run.request.metrics_port is None else run.request.metrics_port
    host = run.request.metrics_host
    try:
        family, address = resolve(host, port)
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((address, port))
    except OSError as error:
        do = (
            "Free it, or name another with --metrics-port (0 takes any free one)."
            if error.errno in (errno.EADDRINUSE, errno.EACCES)
            else "Name an address of this machine with --metrics-host (0.0.0.0 is all of them)."
        )
        raise RunError(f"the metrics port {host}:{port} cannot be had: {error.strerror}. {do}") from error
    return port


async def _start_target(run: Run) -> Target:
    kind, context, view = run.request.target, run.context, run.view
    view.phase(f"starting target {kind}")
    target = await start_target(
        kind,
        services=context.services,
        url=run.request.url,
        environ=os.environ,
        run=context.directory,
        account=run.request.account,
        dedup_window_s=run.scenario.topology.dedup_window,
    )
    target = replace(target, endpoint=replace(target.endpoint, carrier=run.scenario.carrier))
    run.stack.push_async_callback(target.stop)
    if target.process is not None:
        run.adopt(target.process)
    view.note(f"target {kind}: {target.what}. It cannot show: {'; '.join(target.cannot_show)}.")
    view.note(f"run {context.id}, recorded in {shown(context.directory)}")
    return target


def _close(writer: Writer) -> None:
    """The disk may be full."""
    with suppress(HistoryError):
        writer.write(events.mark("calls", calls=count_calls().used()))
        writer.close()

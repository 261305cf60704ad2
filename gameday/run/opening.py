"""What comes before the first phase: a target that can do what is asked, and the beginning of the record."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress

from gameday.history.errors import HistoryError, RunError
from gameday.history.writer import DIRECTORY, Writer
from gameday.processes.exposition import resolve
from gameday.run.directory import shown
from gameday.run.state import Run
from gameday.scenario.hosts import refuse_unreachable
from gameday.scenario.model import needs_of
from gameday.targets.start import start as start_target
from gameday.targets.target import Target


async def open_run(run: Run) -> None:
    """Errors: TargetError, TargetLacks and UsageError for a target that cannot be had or lacks something; RunError."""
    context = run.context
    run.metrics_port = _metrics_port(run)
    run.target = await _start_target(run)
    if run.request.hosts is not None:
        refuse_unreachable(run.request.hosts, run.target.endpoint, run.target.what)
    run.target.refuse_gaps(context.transport, needs_of(run.scenario))
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
    )
    run.stack.push_async_callback(target.stop)
    if target.process is not None:
        run.adopt(target.process)
    view.note(f"target {kind}: {target.what}. It cannot show: {'; '.join(target.cannot_show)}.")
    view.note(f"run {context.id}, recorded in {shown(context.directory)}")
    return target


def _close(writer: Writer) -> None:
    """The disk may be full."""
    with suppress(HistoryError):
        writer.close()

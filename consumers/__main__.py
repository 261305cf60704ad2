"""One consumer process: `python -m gameday.consumers --config FILE --name NAME [--endpoint URL] [--arm DISTURBANCE]…`.

It opens its store, its client and its history file, takes commands on standard input and works until SIGTERM or the
end of its input; then it drains and exits 0. A drain that took too long leaves its messages to expire and exits 1; a
process that could not do its work exits with the code of its error and says why on standard error. `--arm` gives the
disturbances that stand already, as JSON, so that they are in place before the first receive.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from gameday.consumers.config import ConsumerConfig, HandlerProgram
from gameday.consumers.direct import DirectWorker
from gameday.consumers.disk import DiskWriter
from gameday.consumers.disturbed_store import DisturbedStore
from gameday.consumers.guards import GUARDS
from gameday.consumers.handlers import HANDLERS
from gameday.consumers.lease_stores import make_leases
from gameday.consumers.leases import LeaseStore
from gameday.consumers.mapping import MappingWorker
from gameday.consumers.meters import Counted, Meters
from gameday.consumers.objects import Objects
from gameday.consumers.own_handler import OwnHandler
from gameday.consumers.schemas import conformity
from gameday.consumers.serving import carry_out, run_until_drained
from gameday.consumers.stores import make_store
from gameday.consumers.stream import StreamWorker
from gameday.consumers.stream_mapping import StreamMapping
from gameday.consumers.work import BaseWorker, Tools, say
from gameday.consumers.worker import Worker
from gameday.history import events
from gameday.history.errors import GamedayError, HistoryError, ProcessError, UsageError
from gameday.history.writer import Writer
from gameday.processes import control
from gameday.processes.discovery import Exposed
from gameday.processes.disturbances import Disturbance, Disturbances
from gameday.processes.handler_process import HandlerPool
from gameday.transports import words
from gameday.transports.base import CallFailed
from gameday.transports.carriers.calls import count_calls
from gameday.transports.carriers.fast_aio import aio_carrier
from gameday.transports.lambda_events import EVENTS, Origin
from gameday.transports.objects import SERVICE
from gameday.transports.registry import TRANSPORTS

if TYPE_CHECKING:
    from gameday.transports.carriers.aio import AioCarrier

# How much longer than its longest poll a call may take before it counts as lost.
_READ_MARGIN_S = 10.0
_TELL_CALLS_S = 2.0
# So many shards are read at once; of more, some wait for a connection.
_SHARDS = 32


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m consumers", description="One consumer process of a run.")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--endpoint", help="where it finds AWS, in place of the configuration's")
    parser.add_argument("--arm", type=orjson.loads, action="append", default=[])
    arguments = parser.parse_args(argv)
    control.continue_when_orphaned()
    try:
        config = ConsumerConfig.load(arguments.config)
        if arguments.endpoint:
            config = replace(config, endpoint=replace(config.endpoint, urls={"*": arguments.endpoint}))
        return asyncio.run(_serve(config, arguments.name, [Disturbance(**armed) for armed in arguments.arm]))
    except GamedayError as error:
        print(f"consumer {arguments.name}: {error}", file=sys.stderr, flush=True)
        return error.exit_code


async def _serve(config: ConsumerConfig, name: str, armed: Sequence[Disturbance]) -> int:
    disturbances = Disturbances()
    for disturbance in armed:
        disturbances.arm(disturbance)
    store = None
    if config.program is None:
        on_disk = config.store["kind"] == "sqlite"
        store = DisturbedStore(make_store(config.store, config.endpoint), disturbances, name=name, on_disk=on_disk)
    leases = make_leases(config.leases, config.endpoint) if config.leases else None
    carrier = aio_carrier(
        config.endpoint,
        read_timeout_s=config.wait_s + _READ_MARGIN_S,
        # Each poller has one receive or one settling call open at a time, each shard one read, and handlers may make
        # their own.
        connections=(config.pollers if leases is None else _SHARDS) + config.concurrency,
    )
    writer = DiskWriter(run=config.run_dir, name=name, clock=config.clock, disturbances=disturbances)
    meters, exposed = _metered(config, name)
    stored = _object_carrier(config)
    own = None if config.program is None else _own_handler(config, name, config.program)
    try:
        tools = Tools(
            writer=writer,
            carry=carrier,
            store=store,
            handler=own or HANDLERS[config.handler],
            guard=GUARDS[config.guard],
            disturbances=disturbances,
            meters=meters,
            objects=None if stored is None else Objects(carry=stored, writer=writer, expire_s=config.objects_expire_s),
            conforms=None if config.schema is None else conformity(config.schema),
            keeps_foreign=lambda receipts: control.report("foreign", receipts=receipts),
        )
        worker, service = _make_worker(config, name, tools, leases)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.stop)
        obeying = asyncio.create_task(_obey(worker))
        try:
            if store is not None:
                await store.open()
            if own is not None:
                await own.pool.open()
            if leases is not None:
                await leases.open()
            await carrier.open(service)
            if stored is not None:
                await stored.open(SERVICE)
        except CallFailed as error:
            raise ProcessError(f"cannot begin its work: {error}") from error
        control.report("ready")
        telling = asyncio.create_task(_tell_calls(config, writer))
        drained = await run_until_drained(worker, config.drain_timeout_s)
        telling.cancel()
        obeying.cancel()
    finally:
        if own is not None:
            await own.pool.close()
        if store is not None:
            await store.close()
        if leases is not None:
            await leases.close()
        await carrier.close()
        if stored is not None:
            await stored.close()
        if exposed is not None:
            exposed.withdraw()
    if exposed is not None:
        writer.write(events.mark("calls", calls=count_calls().used()))
    writer.close()
    return 0 if drained else 1


def _object_carrier(config: ConsumerConfig) -> AioCarrier | None:
    """Who carries what is asked of S3, where references are fetched."""
    if config.removal is None:
        return None
    # Here and not above: it takes longer to import than all else that most runs need.
    from gameday.transports.carriers.aio import AioCarrier

    return AioCarrier(
        config.endpoint, read_timeout_s=_READ_MARGIN_S, connections=config.concurrency + config.batch * config.pollers
    )


def _own_handler(config: ConsumerConfig, name: str, program: HandlerProgram) -> OwnHandler:
    """Errors: UsageError for a word that stands for nothing in this run."""
    transport, effects = TRANSPORTS[config.transport], config.run_dir / "effects"
    effects.mkdir(exist_ok=True)
    told = words.words(
        run=config.run,
        effects=effects,
        transport=transport,
        addresses=config.addresses,
        endpoint=config.endpoint,
        subscription=config.subscription,
        consumer=name,
    )
    try:
        argv = [words.replace(word, told) for word in program.argv]
        env = {variable: words.replace(value, told) for variable, value in program.env.items()}
    except words.UnknownWord as error:
        raise UsageError(f"consumers.handler: {error}") from error
    pool = HandlerPool(
        argv,
        name=name,
        cwd=program.cwd,
        env={**words.environment(told, config.endpoint, inherited=os.environ), **env},
        size=config.concurrency,
        say=say,
    )
    return OwnHandler(
        pool,
        subscription=config.subscription,
        event=None if program.event is None else EVENTS[program.event],
        origin=Origin.of(transport, config.addresses, config.subscription, config.endpoint.region),
        timeout_s=program.timeout_s,
    )


def _metered(config: ConsumerConfig, name: str) -> tuple[Meters, Exposed | None]:
    if config.metrics_host is None:
        return Meters(), None
    meters, calls = Counted(), count_calls()
    exposed = Exposed(
        config.run_dir,
        lambda: (*meters.collect(), *calls.collect()),
        process=name,
        role="consumer",
        host=config.metrics_host,
        labels={"subscription": config.subscription},
    )
    return meters, exposed


def _make_worker(config: ConsumerConfig, name: str, tools: Tools, leases: LeaseStore | None) -> tuple[BaseWorker, str]:
    """The worker for what the subscription is consumed from, and the service that it will call."""
    source = TRANSPORTS[config.transport].subscription(config.addresses, config.subscription, config.identification)
    if source.kind == "queue" and config.mapping is not None:
        kind = DirectWorker if config.mapping.direct else MappingWorker
        invoking = kind(config=config, name=name, tools=tools, source=source, mapping=config.mapping)
        return invoking, source.depth().service
    if source.kind == "queue":
        return Worker(config=config, name=name, tools=tools, source=source), source.depth().service
    if leases is None:
        raise UsageError(f"who reads a stream ({config.transport}) needs `leases`")
    given: dict[str, Any] = {"config": config, "name": name, "tools": tools, "source": source, "leases": leases}
    mapping = config.mapping
    worker = StreamWorker(**given) if mapping is None else StreamMapping(**given, mapping=mapping)
    return worker, source.shards().service


async def _tell_calls(config: ConsumerConfig, writer: Writer) -> None:
    """Note now and then what was called until then: one that is killed says nothing at its end.

    Errors: none; a history that cannot be written ends the worker.
    """
    while config.metrics_host is not None:
        await asyncio.sleep(_TELL_CALLS_S)
        with contextlib.suppress(HistoryError):
            writer.write(events.mark("calls", calls=count_calls().used()))


async def _obey(worker: BaseWorker) -> None:
    """Take commands until the input ends, which is a command to drain."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async for line in lines:
        try:
            carry_out(orjson.loads(line), worker)
        except (ValueError, TypeError, KeyError) as error:
            print(f"cannot obey {line.decode().strip()}: {error}", file=sys.stderr, flush=True)
    worker.stop()


if __name__ == "__main__":
    sys.exit(main())

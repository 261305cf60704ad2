"""A wire, of one subscription or of the load: `python -m gameday.wire --config FILE`.

It opens its history file, reports `ready` and takes commands on standard input until that ends, or SIGTERM:

    {"do": "listen", "consumer": NAME, "port": 0}     a port for a consumer, answered by
                                                      {"report": "listening", "consumer": NAME, "port": n}
    {"do": "born", "consumer": NAME, "pid": n}        it is this process (group), which ends with the run unless `lasts`
    {"do": "forget", "consumer": NAME}                it is gone: what it has open breaks off
    {"do": "positions"}                               how far each shard is read, answered by
                                                      {"report": "positions", "positions": […]}
    {"do": "arm" | "disarm" | "tell-when-holding", "consumer": NAME, …}    as a consumer of ours obeys them

It reports `reads-dead-letters` when a consumer works these off by itself, and `polls` when a consumer asks for messages
for the first time; a report about a consumer names it. When nothing can be recorded any more, it ends with an error.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from gameday.history import events
from gameday.history.errors import GamedayError
from gameday.history.writer import Writer
from gameday.processes import control
from gameday.processes.disturbances import Disturbance
from gameday.wire.config import WireConfig
from gameday.wire.proxy import Proxy


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m gameday.wire", description="A wire: a proxy before AWS.")
    parser.add_argument("--config", type=Path, required=True)
    arguments = parser.parse_args(argv)
    control.continue_when_orphaned()
    try:
        return asyncio.run(_serve(WireConfig.load(arguments.config)))
    except GamedayError as error:
        print(f"wire: {error}", file=sys.stderr, flush=True)
        return error.exit_code


async def _serve(config: WireConfig) -> int:
    records_in = config.records_in
    writer = None if records_in is None else Writer(run=records_in, name=config.name, clock=config.clock)
    proxy = Proxy(config=config, writer=writer, clock=config.clock)
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    await proxy.start()
    try:
        obeying = asyncio.create_task(_obey(proxy, over))
        control.report("ready")
        ends = [asyncio.create_task(over.wait()), asyncio.create_task(proxy.failed())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in (obeying, *ends):
            task.cancel()
    finally:
        # Of a run that ends in good order none is left; of one whose conductor was killed they all are.
        proxy.kill_clients()
        await proxy.close()
    if proxy.failure is not None:
        raise proxy.failure
    if writer is not None:
        writer.write(events.mark("calls", calls=proxy.calls.used()))
        writer.close()
    return 0


async def _obey(proxy: Proxy, over: asyncio.Event) -> None:
    """Take commands until the input ends, which is a command to end."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async for line in lines:
        try:
            await _carry_out(orjson.loads(line), proxy)
        except (ValueError, TypeError, KeyError, OSError) as error:
            print(f"cannot obey {line.decode().strip()}: {error}", file=sys.stderr, flush=True)
    over.set()


async def _carry_out(command: dict[str, Any], proxy: Proxy) -> None:
    """Errors: ValueError, TypeError or KeyError for what is no command; OSError for a port that is taken."""
    if command["do"] == "positions":
        control.report("positions", positions=[asdict(each) for each in proxy.stream.positions] if proxy.stream else [])
        return
    name = command["consumer"]
    if command["do"] == "listen":
        try:
            client = await proxy.listen(name, port=command.get("port", 0))
        except OSError as error:
            control.report("refused", consumer=name, why=str(error))
            raise
        control.report("listening", consumer=name, port=client.port)
        return
    if command["do"] == "disarm":
        # Of one that died and was forgotten it is no longer known here what its faults did.
        instance = command["instance"]
        control.report("disarmed", consumer=name, instance=instance, fired=proxy.disarm(name, instance))
        return
    found = proxy.client(name)
    if found is None:
        return
    match command["do"]:
        case "born":
            found.pid, found.lasts = command["pid"], command.get("lasts", False)
        case "forget":
            await proxy.forget(found.port)
        case "arm":
            disturbance = Disturbance(**command["disturbance"])
            found.disturbances.arm(disturbance)
            control.report("armed", consumer=name, instance=disturbance.instance)
        case "tell-when-holding":
            found.tell_when_holding()
        case unknown:
            raise ValueError(f"no command is called {unknown!r}")


if __name__ == "__main__":
    sys.exit(main())

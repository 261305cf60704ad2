"""`python -m gameday.emulator --port 0`: the broker as a process on 127.0.0.1.

It reports {"report": "ready", "url": …} on standard output and ends on SIGTERM, SIGINT and at the end of its input.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from gameday.emulator.broker import DEDUP_WINDOW_S
from gameday.emulator.capacity import Capacity
from gameday.emulator.defects import DEFECTS, defect
from gameday.emulator.environments import Host
from gameday.emulator.kinesis import ITERATOR_LIFE_S
from gameday.emulator.server import Connection, Server
from gameday.emulator.services import World
from gameday.history.clock import Clock
from gameday.processes.control import continue_when_orphaned, report, when_input_ends

HOST = "127.0.0.1"


async def serve(*, port: int, world: World, functions: Path | None) -> None:
    """Until told to end. `functions`: where their code is unpacked. Errors: OSError when the port is not free."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    host = Host(url=lambda: world.sqs.url, directory=functions)
    world.deploy = host.deploy
    server = Server(world=world, clock=Clock.start())
    listening = await loop.create_server(lambda: Connection(server), HOST, port)
    world.sqs.url = f"http://{HOST}:{listening.sockets[0].getsockname()[1]}"
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    when_input_ends(lambda: _end(loop, over))
    report("ready", url=world.sqs.url)
    await over.wait()
    listening.close()
    await host.close()


def _end(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: it has ended by a signal meanwhile
        loop.call_soon_threadsafe(over.set)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m gameday.emulator", description="AWS's messaging in memory.")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one")
    parser.add_argument("--dedup-window-s", type=float, default=DEDUP_WINDOW_S, help="how long FIFO remembers an id")
    parser.add_argument(
        "--iterator-life-s", type=float, default=ITERATOR_LIFE_S, help="how long a shard iterator lives"
    )
    parser.add_argument("--defect", metavar="NAME[:PARAM]", help=f"break one promise: {', '.join(DEFECTS)}")
    parser.add_argument("--sends-per-s", type=float, help="refuse what is sent to queues beyond so many messages")
    parser.add_argument("--receives-per-s", type=float, help="give no more messages from queues than so many")
    parser.add_argument("--functions", metavar="DIR", type=Path, help="unpack the code of functions there")
    arguments = parser.parse_args()
    try:
        planted = defect(arguments.defect) if arguments.defect else None
        capacity = Capacity.of(sends_per_s=arguments.sends_per_s, receives_per_s=arguments.receives_per_s)
    except ValueError as error:
        parser.error(str(error))
    world = World(
        defect=planted,
        capacity=capacity,
        dedup_window_s=arguments.dedup_window_s,
        iterator_life_s=arguments.iterator_life_s,
    )
    continue_when_orphaned()
    try:
        asyncio.run(serve(port=arguments.port, world=world, functions=arguments.functions))
    except OSError as error:
        print(f"cannot serve on {HOST}:{arguments.port}: {os.strerror(error.errno or 0)}", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())

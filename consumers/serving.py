"""A worker in its process, wherever that is: what it is commanded, and how it drains."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from gameday.consumers.work import BaseWorker
from gameday.processes import control
from gameday.processes.disturbances import Disturbance


async def run_until_drained(worker: BaseWorker, drain_timeout_s: float) -> bool:
    """Whether the drain came to its end in time. Errors: those of the worker."""
    work = asyncio.create_task(worker.run())
    stopped = asyncio.create_task(worker.stopped())
    await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    done, _ = await asyncio.wait({work}, timeout=drain_timeout_s)
    if done:
        work.result()
        return True
    print(f"the drain took more than {drain_timeout_s} s; what is in hand is left to expire", file=sys.stderr)
    work.cancel()
    await asyncio.wait({work})
    return False


def carry_out(command: Mapping[str, Any], worker: BaseWorker) -> None:
    """Errors: ValueError, TypeError or KeyError for what is no command."""
    disturbances = worker.tools.disturbances
    match command["do"]:
        case "arm":
            disturbance = Disturbance(**command["disturbance"])
            disturbances.arm(disturbance)
            control.report("armed", instance=disturbance.instance)
        case "disarm":
            instance = command["instance"]
            control.report("disarmed", instance=instance, fired=disturbances.disarm(instance))
        case "tell-when-holding":
            worker.tell_when_holding(lambda messages: control.report("holding", messages=messages))
        case unknown:
            raise ValueError(f"no command is called {unknown!r}")

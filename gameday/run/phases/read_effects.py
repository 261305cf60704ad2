"""Read back how often each effect stands in the store: what the claims about effects rest on.

It promises that no subscription is read twice, and that after a bad ending they are still read where that costs but a
moment: from a file on this machine.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from gameday.consumers.handlers import facts_of
from gameday.history import events
from gameday.history.errors import HistoryError
from gameday.run.state import HASTE_S, Run
from gameday.transports.base import CallFailed

_EFFECTS_A_WRITE = 1000


async def read_effects(run: Run) -> None:
    """Errors: CallFailed, HistoryError."""
    facts = facts_of(run.scenario.consumers.handler)
    if run.store is None or facts is None or not facts.has_effects:
        return
    run.view.phase("reading the effects back")
    for name in run.scenario.subscriptions:
        if name in run.effects_read:
            continue
        applied = await run.store.read_back(name)
        records = [events.effects(id=id, subscription=name, applied=times) for id, times in sorted(applied.items())]
        for first in range(0, len(records), _EFFECTS_A_WRITE):
            run.writer.write(*records[first : first + _EFFECTS_A_WRITE])
        run.writer.write(events.mark("effects-read", subscription=name))
        run.effects_read.add(name)


async def rescue_effects(run: Run) -> None:
    """After a bad ending: what is not read yet, if it lies on this machine."""
    if run.ending is None or run.scenario.consumers.store != "sqlite":
        return
    with suppress(CallFailed, HistoryError, TimeoutError):
        async with asyncio.timeout(HASTE_S):
            await read_effects(run)

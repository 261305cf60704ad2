"""Read back how often each effect stands: in our own store, or where the scenario says that others keep theirs.

It promises that no subscription is read twice, and that after a bad ending our own store is still read where that costs
but a moment: from a file on this machine. Where effects of others cannot be read, the history says why, and all else is
judged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from gameday.consumers.handlers import facts_of
from gameday.consumers.read_back.base import ReadFailed
from gameday.history import events
from gameday.history.errors import HistoryError
from gameday.history.events import Record
from gameday.run.elsewhere import Elsewhere, messages_of, settled, told
from gameday.run.state import HASTE_S, Run
from gameday.transports.base import CallFailed, TaskOf


async def read_effects(run: Run) -> None:
    """Errors: CallFailed, HistoryError."""
    await _read_ours(run)
    for name, found in run.elsewhere.items():
        run.view.phase(f"reading the effects of {name} back")
        try:
            records = await _read_elsewhere(run, found)
        except ReadFailed as error:
            run.note(f"{name}: its effects could not be read back, so claims about them are unknown: {error}")
            run.writer.write(events.mark("effects-unread", subscription=name, reason=str(error)))
        else:
            _record(run, name, records)


async def _read_ours(run: Run) -> None:
    consumers = run.scenario.consumers
    facts = facts_of(consumers.handler)
    if run.store is None or consumers.foreign or facts is None or not facts.has_effects:
        return
    elsewhere = {entry.subscription for entry in run.scenario.effects}
    for name in run.scenario.subscriptions:
        if name in run.effects_read or name in elsewhere:
            continue
        run.view.phase("reading the effects back")
        applied = await run.store.read_back(name)
        if run.scenario.topology.workflow is not None:
            _record_steps(run, name, applied)
            continue
        _record(run, name, [events.effects(id=id, subscription=name, applied=n) for id, n in sorted(applied.items())])


async def _read_elsewhere(run: Run, found: Elsewhere) -> Sequence[Record]:
    """Errors: ReadFailed."""
    entry = found.entry
    counts = await settled(found.reader, settle_s=entry.settle_s, timeout_s=entry.timeout_s)
    known = await asyncio.to_thread(messages_of, run.context.directory)
    read = told(counts, subscription=entry.subscription, standing=found.standing, known=known)
    if read.strangers:
        run.note(
            f"{entry.subscription}: effects under {len(read.strangers)} names, such as {read.strangers[0]}, are of no "
            "message of this run and count for nothing"
        )
    if counts.passed_over:
        run.note(f"{entry.subscription}: {counts.passed_over} of what stands there say nothing of any message")
    return read.records


def _record_steps(run: Run, name: str, applied: Mapping[str, int]) -> None:
    """What stands in the store of a step is of tasks."""
    records = []
    for key, count in sorted(applied.items()):
        id, task = TaskOf.of_key(key)
        records.append(events.steps(id=id, subscription=name, execution=task.execution, item=task.item, applied=count))
    run.writer.write_many(records)
    run.writer.write(events.mark("steps-read", subscription=name))
    run.effects_read.add(name)


def _record(run: Run, name: str, records: Sequence[Record]) -> None:
    run.writer.write_many(records)
    run.writer.write(events.mark("effects-read", subscription=name))
    run.effects_read.add(name)


async def rescue_effects(run: Run) -> None:
    """After a bad ending: what is not read yet, if it lies on this machine and is ours."""
    if run.ending is None or run.scenario.consumers.store != "sqlite":
        return
    with suppress(CallFailed, HistoryError, TimeoutError):
        async with asyncio.timeout(HASTE_S):
            await _read_ours(run)

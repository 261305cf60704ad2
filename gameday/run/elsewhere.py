"""Effects that stand elsewhere, while a run goes on: what stood there before the load, and what this run has added.

It promises that no effect is taken for this run's that may be another's, and that nothing is read too early: what
stands there counts once it has stayed the same for a while. Where either cannot be told, nothing is told, with the
reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gameday.consumers.read_back.base import Counts, EffectReader, ReadFailed
from gameday.history import events
from gameday.history.events import Record
from gameday.history.reader import parse
from gameday.history.writer import DIRECTORY
from gameday.scenario.effects import EffectsEntry

_NAMED_MOST = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Elsewhere:
    """The effects of one subscription. `standing`: the names under which there were some before the load."""

    entry: EffectsEntry
    reader: EffectReader
    standing: Collection[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """The messages of a run. `by_key`: their ids by the key that they were sent with, which is the id where there is
    none; several may share one."""

    ids: Collection[str]
    by_key: Mapping[str, Sequence[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """`strangers`: names that came to stand there since the load began and are no message's of this run."""

    records: list[Record]
    strangers: list[str]


async def before(reader: EffectReader, entry: EffectsEntry) -> Elsewhere:
    """Look what stands there now. Errors: ReadFailed."""
    try:
        async with asyncio.timeout(entry.timeout_s):
            counts = await reader.before()
    except TimeoutError:
        raise ReadFailed(f"reading took longer than {entry.timeout_s:g} s; raise `timeout`") from None
    return Elsewhere(entry=entry, reader=reader, standing=frozenset(_positive(counts)))


async def at_rest(reader: EffectReader, *, enough: int, quiet_s: float, look_again_s: float = 1.0) -> None:
    """Until so many effects stand there, or nothing has changed for `quiet_s`. Errors: ReadFailed."""
    loop = asyncio.get_running_loop()
    last, since = await reader.read(), loop.time()
    while len(_positive(last)) < enough and loop.time() < since + quiet_s:
        await asyncio.sleep(look_again_s)
        again = await reader.read()
        if again != last:
            last, since = again, loop.time()


async def settled(reader: EffectReader, *, settle_s: float, timeout_s: float) -> Counts:
    """What stands there, once two readings so far apart agree. Errors: ReadFailed."""
    changed: str | None = None
    try:
        async with asyncio.timeout(timeout_s):
            last = await reader.read()
            while True:
                await asyncio.sleep(settle_s)
                again = await reader.read()
                if again == last:
                    return again
                changed = f"{_total(last)} effects, then {_total(again)}"
                last = again
    except TimeoutError:
        if changed is None:
            raise ReadFailed(f"reading it twice took longer than {timeout_s:g} s; raise `timeout`") from None
        raise ReadFailed(
            f"what stands there did not stay the same for {settle_s:g} s within {timeout_s:g} s (at last {changed}): "
            "somebody still writes; raise `timeout`"
        ) from None


def told(counts: Counts, *, subscription: str, standing: Collection[str], known: Known) -> Told:
    """What the history is told of a reading. Errors: ReadFailed where nobody could tell whose effects they are."""
    ours = known.ids if counts.of == "id" else known.by_key.keys()
    if older := sorted(name for name in standing if name in ours):
        raise ReadFailed(
            f"effects of {len(older)} messages of this run ({_some(older)}) stood there before the load, so nobody can "
            "tell which are its own; empty it before a run, or keep those of each run apart, by the word {run}"
        )
    added = sorted(name for name in _positive(counts) if name not in standing)
    strangers = [name for name in added if name not in ours]
    if added and len(strangers) == len(added) and known.ids:
        raise ReadFailed(
            f"none of the {len(added)} effects there is of a message of this run: they are known as {_some(added)}, "
            f"messages as {_some(sorted(ours))}. What tells which message an effect is of must be the same in both"
        )
    records = []
    for name in added:
        times = counts.applied[name]
        sharing = [name] if counts.of == "id" else known.by_key.get(name, ())
        if len(sharing) > 1:
            # Nobody knows whose effects these are, and the judge says so.
            records.append(events.effects(key=name, subscription=subscription, applied=times))
        elif name in ours:
            records.append(events.effects(id=sharing[0], subscription=subscription, applied=times))
    return Told(records=records, strangers=strangers)


def messages_of(run: Path) -> Known:
    """The messages that a run has intended to send, from its history."""
    keys: dict[str, str] = {}
    for path in (run / DIRECTORY).glob("*.jsonl"):
        with path.open("rb") as lines:
            for line in lines:
                # Most lines of a history are others.
                if b'"intended"' not in line:
                    continue
                record = parse(line.rstrip(b"\n"))
                if isinstance(record, str) or record["event"] != "intended":
                    continue
                id = str(record["id"])
                # Attempts after the first may leave it out.
                if record.get("key") is not None:
                    keys[id] = str(record["key"])
                else:
                    keys.setdefault(id, id)
    by_key: dict[str, list[str]] = {}
    for id, key in keys.items():
        by_key.setdefault(key, []).append(id)
    return Known(ids=keys.keys(), by_key=by_key)


def _total(counts: Counts) -> int:
    return sum(counts.applied.values())


def _positive(counts: Counts) -> list[str]:
    return [name for name, times in counts.applied.items() if times > 0]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED_MOST} more" if len(names) > _NAMED_MOST else ""
    return ", ".join(names[:_NAMED_MOST]) + more

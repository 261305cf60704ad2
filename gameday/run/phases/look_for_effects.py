"""Look what stands where effects will be read back, before the load: what stands there then is none of this run's.

It promises that a place which cannot be read ends the run here, and not after the load.
"""

from __future__ import annotations

from gameday.consumers.read_back.base import EffectReader, Place, ReadFailed
from gameday.history.errors import RunError
from gameday.run.elsewhere import before
from gameday.run.state import Run
from gameday.scenario.effects import EffectsEntry
from gameday.transports.words import UnknownWord, words


async def look_for_effects(run: Run) -> None:
    """Errors: RunError."""
    if not run.scenario.effects:
        return
    run.view.phase("looking where effects will be read back")
    for entry in run.scenario.effects:
        try:
            found = await before(_reader(run, entry), entry)
        except ReadFailed as error:
            raise RunError(
                f"the effects of {entry.subscription} cannot be read back ({entry.kind}): {error}. This was tried "
                "before the load, and nothing was sent"
            ) from error
        if found.standing:
            run.note(
                f"{entry.subscription}: effects under {len(found.standing)} names, such as {min(found.standing)}, "
                "stood there before the load; if one of these is the id or key of a message of this run, claims about "
                "effects are unknown"
            )
        run.elsewhere[entry.subscription] = found


def _reader(run: Run, entry: EffectsEntry) -> EffectReader:
    """It is closed with the run. Errors: ReadFailed."""
    addresses, context = run.addresses, run.context
    known = words(
        run=context.id,
        effects=context.effects,
        transport=context.transport,
        addresses=addresses,
        endpoint=run.target.endpoint,
        subscription=entry.subscription,
    )
    log = context.directory / "logs" / f"effects-{entry.subscription}.log"
    log.parent.mkdir(exist_ok=True)
    place = Place(
        words=known,
        endpoint=run.target.endpoint,
        directory=run.scenario.source.directory,
        log=log,
        own=[url.rpartition("/")[2] for url in (*addresses.queues.values(), *addresses.dead_letter_queues.values())],
    )
    try:
        reader = entry.settings.told(known).reader(place)
    except UnknownWord as error:
        raise ReadFailed(str(error)) from error
    run.readers.append(reader)
    run.stack.push_async_callback(reader.close)
    return reader

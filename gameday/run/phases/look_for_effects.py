"""Look what stands where effects will be read back, before the load: what stands there then is none of this run's.

It promises that a place which cannot be read ends the run here, and not after the load.
"""

from __future__ import annotations

from gameday.consumers.read_back.base import ReadFailed
from gameday.history.errors import RunError
from gameday.run.elsewhere import before
from gameday.run.state import Run


async def look_for_effects(run: Run) -> None:
    """Errors: RunError."""
    if not run.scenario.effects:
        return
    run.view.phase("looking where effects will be read back")
    for entry in run.scenario.effects:
        try:
            found = await before(run, entry)
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

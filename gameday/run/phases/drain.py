"""Let the consumers empty what was sent, until it is seen to be empty twice or nothing moves any more."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from gameday.consumers.read_back.base import ReadFailed
from gameday.run.elsewhere import at_rest
from gameday.run.state import Run
from gameday.transports.base import Depth


async def drain(run: Run) -> None:
    """Subscriptions count as empty from `settled_ns` on; says so if they could not be emptied. Errors: TargetError."""
    patience_s = run.scenario.drain_timeout_s
    run.view.phase("draining")
    depths = await run.backlog.drain(
        settled_ns=run.settled_ns,
        empty_for_s=run.target.counts_settle_s,
        patience_s=patience_s,
        tell=lambda seen: run.view.phase(f"draining: {_in_words(seen)}"),
    )
    run.drained = not any(depth.total for depth in depths.values())
    if run.drained and run.scenario.consumers.foreign and run.context.transport.kind == "stream":
        await _let_it_be_worked_off(run)
    attach = run.scenario.topology.attach
    if not run.drained and attach is not None and attach.shared:
        run.note(f"what is left may be others': {_in_words(depths)}")
    elif not run.drained:
        run.note(
            f"not drained: {_in_words(depths)}, and no fewer for {patience_s:g} s. Claims that need "
            "everything drained are unknown; a longer `drain_timeout` or faster consumers would settle them."
        )


async def _let_it_be_worked_off(run: Run) -> None:
    """A reader that asks for more before it is done with what it has is further than its work: nobody sees how far that
    is but by its effects. Where all are there, or none is added any more, it is done."""
    run.view.phase("waiting for the effects of what was read")
    for found in run.elsewhere.values():
        with suppress(ReadFailed):  # told when they are read for good
            await at_rest(found.reader, enough=run.acked, quiet_s=run.scenario.consumers.drain_timeout)


def _in_words(depths: Mapping[str, Depth]) -> str:
    return "; ".join(
        f"{name} has {depth.visible} visible, {depth.hidden} hidden, {depth.delayed} delayed"
        for name, depth in depths.items()
    )

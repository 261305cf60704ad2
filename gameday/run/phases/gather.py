"""The end of the hosts' part, where a run has hosts: what they have recorded comes here, and they leave.

It promises that this comes before anything reads what the load has recorded.
"""

from __future__ import annotations

import asyncio

from gameday.history.errors import ProcessError
from gameday.processes.child import ending
from gameday.run.state import START_S, Run


async def gather(run: Run) -> None:
    """Errors: ProcessError when the load did not end in good order."""
    if run.hosts is None:
        return
    run.view.phase("bringing the histories of the hosts together")
    await run.hosts.gather()
    await run.load.command("end")
    try:
        code = await asyncio.wait_for(run.load.wait(), START_S)
    except TimeoutError:
        raise ProcessError(f"the load (Locust) had not ended after {START_S:g} s: {run.load.last_words()}") from None
    if code != 0:
        # A record may be missing.
        raise ProcessError(f"the load (Locust) died ({ending(code)}): {run.load_failure or run.load.last_words()}")

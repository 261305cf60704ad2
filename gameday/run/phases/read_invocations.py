"""Read back what functions that the target invokes have recorded of themselves: from here on the history is whole."""

from __future__ import annotations

from gameday.run.state import Run


async def read_invocations(run: Run) -> None:
    """Errors: TargetError, RunError."""
    if run.functions is not None:
        await run.functions.read_back()

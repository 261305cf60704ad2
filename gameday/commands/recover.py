"""`gameday recover`: what a killed run has left is undone, from what it wrote down before it did it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gameday.commands.common import ConfigOption, ProfileOption
from gameday.history.errors import Interrupted

if TYPE_CHECKING:
    from gameday.targets.account import Account


def recover(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN]", help="The run's directory. [default: the newest in runs/ that has left something]"
        ),
    ] = None,
    profile: ProfileOption = None,
    config: ConfigOption = None,
    gone: Annotated[
        bool,
        typer.Option(
            "--gone", help="The machine or container that the run was conducted in is no more, nor what ran there."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be undone.")] = False,
) -> None:
    """Undo what a killed run has left: processes, queue policies, and what it created.

    A run writes down what it is about to do before it does it, in undo.jsonl of its directory. What is in an account is
    removed where the run was, with the credentials of that account, if gameday.toml allows it. A run that goes on is
    left alone.

    Exit codes: 0 nothing is left, 2 bad usage, 4 the run goes on, or something could not be undone.

    \b
    Examples:
      gameday recover
      gameday recover runs/quick-20260101-120000-1a2b --dry-run
      gameday recover runs/quick-20260101-120000-1a2b --profile staging
    """
    from gameday.run.recovery import RecoverRequest, unfinished
    from gameday.run.recovery import recover as recovered

    def admitted(region: str, services: Collection[str]) -> Account:
        from gameday.run.admission import Asked, admit_sweep

        return admit_sweep(Asked(region=region, profile=profile, config=config), also=services)

    def say(text: str) -> None:
        print(text, flush=True)

    try:
        raise typer.Exit(recovered(run or unfinished(), RecoverRequest(dry=dry_run, gone=gone), admitted, say))
    except KeyboardInterrupt:
        raise Interrupted("interrupted; call it again for the rest") from None

"""`gameday sweep`: what killed runs have left at an endpoint is removed."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from gameday.commands.common import TargetName
from gameday.history.errors import Interrupted, TargetError, UsageError


def sweep(
    target: Annotated[
        TargetName, typer.Option(help="Where AWS is. `localstack` is any AWS-compatible endpoint.")
    ] = TargetName.localstack,
    endpoint_url: Annotated[str | None, typer.Option(help="The endpoint; without it as for `gameday run`.")] = None,
    run: Annotated[str | None, typer.Option(metavar="ID", help="Only what this run left, however young it is.")] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Leave alone what began a shorter time ago, for it may be going on: more than your longest run takes. "
            "[default: 1h; 0s with --run]",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
) -> None:
    """Remove what killed runs have left at an endpoint: queues, topics, buses, archives, streams, tables.

    What a run creates carries its id: as the tag `gameday:run`, and in its name. What a killed `gameday conformance`
    left is named gameday-probe-… and removed too. Nothing else is touched.

    Exit codes: 0 done or nothing there, 2 bad usage, 4 no target, or something could not be listed or removed.

    \b
    Examples:
      gameday sweep --endpoint-url http://127.0.0.1:4566 --dry-run
      gameday sweep --endpoint-url http://127.0.0.1:4566 --older-than 3h
      gameday sweep --run quick-20260101-120000-1a2b
    """
    from gameday.scenario.units import duration_s
    from gameday.targets.start import NO_AWS
    from gameday.targets.sweep import SweepRequest
    from gameday.targets.sweep import sweep as swept

    if target in (TargetName.embedded, TargetName.memory):
        raise UsageError(
            f"the target {target.value} ends with its run and leaves nothing; name the endpoint to sweep with "
            "--endpoint-url"
        )
    if target is TargetName.aws:
        raise TargetError(NO_AWS)
    try:
        older_than_s = None if older_than is None else duration_s(older_than)
    except ValueError as error:
        raise UsageError(f"--older-than {error}") from error
    request = SweepRequest(url=endpoint_url, run=run, older_than_s=older_than_s, dry=dry_run)
    try:
        raise typer.Exit(swept(request, os.environ, lambda text: print(text, flush=True)))
    except KeyboardInterrupt:
        raise Interrupted("interrupted; sweep again for the rest") from None

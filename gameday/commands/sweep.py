"""`gameday sweep`: what killed runs have left at an endpoint is removed."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from gameday.commands.common import ConfigOption, ProfileOption, RegionOption, TargetName, only_for_aws
from gameday.history.errors import Interrupted, UsageError


def sweep(
    target: Annotated[
        TargetName, typer.Option(help="Where AWS is. `localstack` is any AWS-compatible endpoint.")
    ] = TargetName.localstack,
    endpoint_url: Annotated[str | None, typer.Option(help="The endpoint; without it as for `gameday run`.")] = None,
    region: RegionOption = None,
    profile: ProfileOption = None,
    config: ConfigOption = None,
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
      gameday sweep --target aws --profile staging --region eu-west-1 --dry-run
    """
    from gameday.scenario.units import duration_s
    from gameday.targets.start import given
    from gameday.targets.sweep import SweepRequest
    from gameday.targets.sweep import sweep as swept
    from gameday.transports.services import SERVICES

    if target in (TargetName.embedded, TargetName.memory):
        raise UsageError(
            f"the target {target.value} ends with its run and leaves nothing; name the endpoint to sweep with "
            "--endpoint-url"
        )
    only_for_aws(target, region=region, profile=profile, config=config)
    if target is TargetName.aws and endpoint_url is not None:
        raise UsageError("--endpoint-url goes with --target localstack; of aws, AWS_ENDPOINT_URL says where it is")
    try:
        older_than_s = None if older_than is None else duration_s(older_than)
    except ValueError as error:
        raise UsageError(f"--older-than {error}") from error
    if target is TargetName.aws:
        from gameday.run.admission import Asked, admit_sweep

        at = admit_sweep(Asked(region=region, profile=profile, config=config)).target(list(SERVICES))
        print(f"looking at {at.what}", flush=True)
    else:
        at = given(list(SERVICES), endpoint_url, os.environ)
    request = SweepRequest(run=run, older_than_s=older_than_s, dry=dry_run)
    try:
        raise typer.Exit(swept(request, at, lambda text: print(text, flush=True)))
    except KeyboardInterrupt:
        raise Interrupted("interrupted; sweep again for the rest") from None

"""`gameday policy`: the least that a run must be allowed on AWS."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated

import typer

from gameday.commands.common import ScenarioArgument, SetOption, TerraformOption


class RoleName(StrEnum):
    conductor = "conductor"
    load = "load"
    consumers = "consumers"
    sweep = "sweep"


def policy(
    scenario: ScenarioArgument = "quick",
    account: Annotated[
        str, typer.Option(help="The account's twelve digits, for the ARNs.", metavar="DIGITS")
    ] = "ACCOUNT",
    region: Annotated[str, typer.Option(help="The region, for the ARNs.")] = "REGION",
    role: Annotated[
        RoleName | None,
        typer.Option(
            help="The document of one role alone, as `aws iam create-policy --policy-document` takes it. `sweep` is "
            "that of `gameday sweep` and `gameday recover`, and the same for every scenario."
        ),
    ] = None,
    overrides: SetOption = None,
    terraform_outputs: TerraformOption = None,
) -> None:
    """Print the least IAM policies for a run: of the conductor, the load and the consumers.

    They allow the calls that the scenario makes, on what has the scenario's name in it, and creating only with the tag
    `gameday:run`; they deny touching what has such a name and not the tag. Where all three run with the same
    credentials, as `gameday run` does on one machine, these need all three.

    Exit codes: 0, 2 where the scenario is wrong, or 5 where it asks for what no run does on AWS.

    \b
    Examples:
      gameday policy quick --account 123456789012 --region eu-west-1
      gameday policy my.yaml --account 123456789012 --region eu-west-1 --role load > load.json
      gameday policy my.yaml --account 123456789012 --region eu-west-1 --terraform-outputs outputs.json > policies.json
      gameday policy --account 123456789012 --region eu-west-1 --role sweep > sweep.json
    """
    from gameday.scenario import reading as scenarios
    from gameday.scenario.model import needs_of
    from gameday.scenario.policy import Where, not_covered, policies, sweep_policy
    from gameday.targets.products import AWS, refuse_gaps
    from gameday.transports.registry import TRANSPORTS

    where = Where(account=account, region=region)
    if role is RoleName.sweep:
        print(json.dumps(sweep_policy(where), indent=2))
        return
    read = scenarios.load(scenarios.find(scenario), overrides or (), outputs=terraform_outputs)
    # What a run would call and cost, and the rights that it needs, are those on AWS.
    refuse_gaps(AWS, TRANSPORTS[read.transport], needs_of(read), what="AWS")
    documents = {str(each): document for each, document in policies(read, where).items()}
    print(json.dumps(documents if role is None else documents[role.value], indent=2))
    for each in not_covered(read):
        print(f"note: {each}", file=sys.stderr)

"""`gameday plan`: what a run would take and cost, and nothing is created."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from gameday.commands.common import ScenarioArgument, SetOption, TargetOption, TerraformOption, chosen_target


class PlanFormat(StrEnum):
    text = "text"
    json = "json"


def plan(
    scenario: ScenarioArgument = "quick",
    target: TargetOption = None,
    region: Annotated[str | None, typer.Option(help="Whose prices count. [default: us-east-1]")] = None,
    overrides: SetOption = None,
    terraform_outputs: TerraformOption = None,
    seed: Annotated[
        int | None, typer.Option(help="The seed of the run that is meant: it moves strikes that have `jitter`.")
    ] = None,
    format: Annotated[PlanFormat, typer.Option(help="How it is printed.")] = PlanFormat.text,
) -> None:
    """Tell what a run would create, call, break and cost. Nothing is created, and nobody is asked.

    Counts have two ends: at the low one batches are full and polls that find nothing wait as long as they may; at the
    high one each message travels alone. Calls and costs are those of a run on AWS, whatever the target. Retries and
    what the faults make come again are not counted.

    Exit codes: 0, 2 where the scenario is wrong, or 5 where it asks for what no run does on AWS.

    \b
    Examples:
      gameday plan
      gameday plan standard-at-least-once --target aws --region eu-west-1
      gameday plan my.yaml --set load.rate=500/s --format json
      gameday plan my.yaml --target aws --region eu-west-1 --terraform-outputs outputs.json
    """
    from gameday.report.plan import Plan
    from gameday.scenario import reading as scenarios
    from gameday.scenario.estimate import estimate
    from gameday.scenario.model import needs_of
    from gameday.scenario.rates import warning
    from gameday.targets.prices import REGION
    from gameday.targets.products import AWS, product_of, refuse_gaps
    from gameday.transports.registry import TRANSPORTS
    from gameday.verify.buckets import cores

    read = scenarios.load(scenarios.find(scenario), overrides or (), outputs=terraform_outputs)
    # What a run would call and cost, and the rights that it needs, are those on AWS.
    refuse_gaps(AWS, TRANSPORTS[read.transport], needs_of(read), what="AWS")
    kind = chosen_target(target, None)
    chosen = (read.seed if seed is None else seed) or 0
    priced_for = region or REGION
    planned = estimate(read, region=priced_for, seed=chosen)
    where = f"the target {kind}" + (f" in {region}" if region else "")
    there = product_of(kind)
    told = Plan(
        scenario=read,
        planned=planned,
        where=where,
        priced_for=priced_for,
        seed=chosen,
        effective_s=there.effective_s,
        policy_s=there.policy_s,
        warning=warning(read, there, cores=cores()),
    )
    if format is PlanFormat.json:
        print(json.dumps(told.to_json(), indent=2))
    else:
        for line in told.lines():
            print(line)

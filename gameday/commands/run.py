"""`gameday run`: a whole run, and its verdict."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from gameday.commands.common import (
    Carrier,
    ConfigOption,
    Format,
    ProfileOption,
    RegionOption,
    ScenarioArgument,
    SetOption,
    SummaryOption,
    TargetName,
    TargetOption,
    TerraformOption,
    can_be_appended_to,
    chosen_target,
    interrupt_on_signals,
    only_for_aws,
    show_verdict,
)
from gameday.commands.dashboards import TokenFileOption, grafana_of
from gameday.history.errors import HistoryError, Interrupted, UsageError

if TYPE_CHECKING:
    from gameday.run.admission import Asked
    from gameday.run.replays import Replay
    from gameday.scenario.estimate import Estimate
    from gameday.scenario.model import Scenario
    from gameday.targets.account import Account
    from gameday.verify.judge import Verdict
    from gameday.verify.load import Loaded


def run(
    scenario: ScenarioArgument = "quick",
    target: TargetOption = None,
    endpoint_url: Annotated[
        str | None,
        typer.Option(
            help="The endpoint of `--target localstack`, which it implies. Else AWS_ENDPOINT_URL_SQS and the like, "
            "AWS_ENDPOINT_URL, http://127.0.0.1:4566."
        ),
    ] = None,
    region: RegionOption = None,
    profile: ProfileOption = None,
    config: ConfigOption = None,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Of `--target aws`: begin the first run in an account without asking a person."),
    ] = False,
    overrides: SetOption = None,
    terraform_outputs: TerraformOption = None,
    carrier: Annotated[
        Carrier | None,
        typer.Option(
            help="Who carries what is sent, received and written to DynamoDB: `fast`, gameday's own carrier where it "
            "speaks the service's protocol, or `sdk`, boto3 and aiobotocore everywhere. [default: the scenario's, fast]"
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Repeat schedule, payloads, groups and chaos choices of the run with this seed.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run directory; must not hold a run yet. [default: runs/NAME-TIME]")
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port of /metrics and of /sd, where Prometheus finds each process of the run. [default: any free one]",
        ),
    ] = None,
    metrics_host: Annotated[
        str | None,
        typer.Option(
            help="Address that metrics are served at. For a Prometheus on another machine: an address of this one that "
            "it can reach, or 0.0.0.0 for all; anybody who can reach it can read them. [default: 127.0.0.1]"
        ),
    ] = None,
    operator: Annotated[
        bool,
        typer.Option(
            "--operator",
            help="Let keys of this terminal, and buttons of the live page, begin and end the scenario's faults: for "
            "who runs a game day.",
        ),
    ] = False,
    hosts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Load and consumers on the hosts that this file names, where `gameday host` runs: docs/hosts.md.",
        ),
    ] = None,
    grafana: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Write faults, phases and the verdict to this Grafana, as annotations."),
    ] = None,
    token_file: TokenFileOption = None,
    replay: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Repeat what `gameday sweep-crashes` or `hunt` found, with its scenario, overrides, seed and target.",
        ),
    ] = None,
    format: Annotated[
        Format, typer.Option(help="How the verdict is printed; but for text, progress goes to standard error.")
    ] = Format.text,
    summary: SummaryOption = None,
) -> None:
    """Run a scenario: build, push load, break things, drain, and judge which claims held.

    \b
    Examples:
      gameday run
      gameday run broken-no-guard --seed 7 --target memory
      gameday run standard-at-least-once --set load.rate=50/s --set 'chaos=[]' --out runs/calm
      gameday run my.yaml --endpoint-url http://127.0.0.1:4566
      gameday run standard-at-least-once --metrics-port 9464 --metrics-host 0.0.0.0
      gameday run quick --summary "$GITHUB_STEP_SUMMARY"
      gameday run --replay sweep/exactly-once-effect.json
      gameday run standard-at-least-once --target aws --profile staging --region eu-west-1
      gameday run standard-at-least-once --set consumers.store=dynamodb --target aws --hosts hosts.yaml
      gameday run standard-at-least-once --target aws --region eu-west-1 --terraform-outputs outputs.json
    """
    from gameday.processes.exposition import LOOPBACK
    from gameday.report.live import watching
    from gameday.run.conductor import conduct
    from gameday.run.context import RunRequest
    from gameday.run.directory import shown
    from gameday.scenario import reading as scenarios
    from gameday.verify.judge import judging

    annotating = None
    if grafana is not None:
        from gameday.run.annotating import Annotating

        address, token = grafana_of(grafana, token_file)
        annotating = Annotating(address=address, token=token)
    can_be_appended_to(summary)
    only_for_aws(target, region=region, profile=profile, config=config, yes=yes)
    if terraform_outputs is not None and chosen_target(target, endpoint_url) in ("embedded", "memory"):
        raise UsageError(
            "--terraform-outputs: what Terraform has made is not on a target that the run itself starts; use --target "
            "aws, or the --endpoint-url that it was made at"
        )
    repeated = None
    if replay is not None:
        repeated = _repeated(replay, scenario, target, endpoint_url)
        scenario, target = repeated.scenario, TargetName(repeated.target)
        overrides = [*repeated.overrides, *(overrides or ())]
        seed = repeated.seed if seed is None else seed
    chosen = [] if carrier is None else [f"carrier={carrier.value}"]
    read = scenarios.load(scenarios.find(scenario), [*(overrides or ()), *chosen], outputs=terraform_outputs)
    on_hosts = None
    if hosts is not None:
        from gameday.scenario.hosts import read as read_hosts

        on_hosts = read_hosts(hosts, read)
    account = None
    if target is TargetName.aws:
        from gameday.run.admission import Asked
        from gameday.run.context import new_seed
        from gameday.transports.carriers.calls import count_calls

        # The plan that a person agrees to is the one that is carried out.
        # They are the first calls of the run.
        count_calls(anew=True)
        seed = next((given for given in (seed, read.seed) if given is not None), None) or new_seed()
        account = _admitted(read, Asked(region=region, profile=profile, config=config, yes=yes), seed=seed)
    request = RunRequest(
        scenario=read,
        account=account,
        target=chosen_target(target, endpoint_url),
        url=endpoint_url,
        annotating=annotating,
        seed=seed,
        out=out,
        metrics_port=metrics_port,
        metrics_host=metrics_host or LOOPBACK,
        operator=operator,
        hosts=on_hosts,
    )
    console = Console(stderr=format is not Format.text, highlight=False)
    began_s = time.monotonic()
    with watching(console, request.scenario) as view:
        directory = asyncio.run(conduct(request, view))
        interrupt_on_signals()
        view.phase("judging")
        try:
            with judging(directory, progress=lambda text: view.phase(f"judging: {text}")) as (judged, verdict):
                verdict.save(directory)
                bill = [] if account is None else _bill(directory, read, account, time.monotonic() - began_s)
                view.phase("drawing the report")
                report = _report(directory, judged, verdict)
            if annotating is not None:
                view.phase("telling Grafana")
                annotating.verdict(verdict.document, view.note)
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted while judging\nEverything is recorded: gameday verify {shown(directory)}"
            ) from None
    for line in bill:
        print(line, file=sys.stdout if format is Format.text else sys.stderr)
    measured = _measured(directory)
    recorded = f"{measured}recorded in {shown(directory)}; judge again with: gameday verify {shown(directory)}"
    if repeated is not None:
        recorded = f"{_replayed(repeated, verdict)}\n{recorded}"
    if isinstance(report, Path):
        recorded = f"report: {shown(report)}\n{recorded}"
    else:
        # The verdict stands whatever becomes of its picture.
        print(f"gameday: no report: {report}. Once more: gameday report {shown(directory)}", file=sys.stderr)
    show_verdict(verdict, format, recorded, summary=summary)


def _repeated(path: Path, scenario: str, target: TargetName | None, endpoint_url: str | None) -> Replay:
    """Errors: UsageError for what the replay says itself."""
    from gameday.run.replays import Replay

    if scenario != "quick" or target is not None or endpoint_url is not None:
        raise UsageError(f"--replay {path} says which scenario it is, and on which target; leave them out")
    return Replay.load(path)


def _replayed(repeated: Replay, verdict: Verdict) -> str:
    """Whether it came again."""
    claims = {claim["key"]: claim["verdict"] for claim in verdict.document["claims"]}
    return f"replay of {repeated.claim} ({repeated.schedule}): {claims.get(repeated.claim, 'not claimed')}"


def _measured(directory: Path) -> str:
    """What CloudWatch had, in a line; nothing where it was not asked."""
    from gameday.targets.cloudwatch import load

    try:
        reading = load(directory)
    except HistoryError as error:
        return f"{error}\n"
    return "" if reading is None else f"{reading.line()}\n"


def _admitted(scenario: Scenario, asked: Asked, *, seed: int) -> Account:
    """The account that the run may begin in. Errors: NotAllowed, TargetError, UsageError."""
    from gameday.report.plan import Plan
    from gameday.run.admission import admit
    from gameday.targets.products import AWS

    def show(planned: Estimate, account: Account) -> None:
        plan = Plan(
            scenario=scenario,
            planned=planned,
            where=account.described,
            priced_for=account.region,
            seed=seed,
            effective_s=AWS.effective_s,
            policy_s=AWS.policy_s,
        )
        for line in plan.lines():
            print(line, file=sys.stderr)

    def agreed() -> bool:
        try:
            return sys.stdin.isatty() and typer.confirm("Begin?", default=False, err=True)
        except typer.Abort:
            raise Interrupted("interrupted; nothing was created") from None

    return admit(scenario, asked, seed=seed, show=show, agreed=agreed)


def _bill(directory: Path, scenario: Scenario, account: Account, lasted_s: float) -> list[str]:
    """What the run used, kept in its directory, beside what is planned at the pace that was measured; for people."""
    from gameday.history import manifest
    from gameday.report.used import pace_of, read_calls, used
    from gameday.run.context import services_of
    from gameday.scenario.calm.pace import Pace
    from gameday.scenario.estimate import estimate

    rows, killed = read_calls(directory)
    found = used(scenario, rows, killed, region=account.region, lasted_s=lasted_s)
    product = account.target(services_of(scenario)).product
    planned = estimate(
        scenario,
        region=account.region,
        seed=manifest.load(directory).seed,
        product=product,
        pace=pace_of(rows, Pace.of(product)),
    )
    found.save(directory, planned)
    return list(found.lines(planned))


def _report(directory: Path, judged: Loaded, verdict: Verdict) -> Path | str:
    """Where the report was written, or in a line why there is none."""
    try:
        from gameday.report.html.page import save

        return save(directory, judged, verdict)
    except Exception as error:
        told = " ".join(str(error).split()).rstrip(".")
        return told if isinstance(error, HistoryError) else f"{type(error).__name__}: {told}"

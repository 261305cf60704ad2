"""`gameday find-rate`: the highest rate at which every claim of a scenario holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from gameday.commands.common import (
    JsonOption,
    ScenarioArgument,
    SetOption,
    TargetName,
    TargetOption,
    chosen_target,
    interrupt_on_signals,
    value_of,
)
from gameday.history.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from gameday.find_rate.measure import Measured
    from gameday.find_rate.search import Asked, Try
    from gameday.scenario.model import Scenario


def find_rate(
    scenario: ScenarioArgument = "quick",
    from_: Annotated[str, typer.Option("--from", metavar="RATE", help="The lowest rate, tried first.")] = "50/s",
    to: Annotated[str, typer.Option("--to", metavar="RATE", help="The highest rate.")] = "5000/s",
    within: Annotated[
        str,
        typer.Option(metavar="SHARE", help="How near the rate that holds must come to one that does not."),
    ] = "5%",
    runs_max: Annotated[int, typer.Option(metavar="N", min=1, help="Stop after so many runs.")] = 25,
    time_max: Annotated[
        str, typer.Option(metavar="DURATION", help="Begin no run that would not end within this time.")
    ] = "30min",
    target: TargetOption = None,
    endpoint_url: Annotated[
        str | None, typer.Option(help="The endpoint of `--target localstack`, which it implies.")
    ] = None,
    overrides: SetOption = None,
    seed: Annotated[int | None, typer.Option(help="The seed of every run.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="A directory for the runs, each in one of its own: 01, 02, … [default: runs/NAME-TIME each]"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Find the highest rate at which every claim of a scenario holds, by short runs that are each judged.

    The rate doubles from --from on until a run does not hold; then the middle of the two is tried until they are as
    near as --within says. Every run is the scenario with a constant rate in place of its `load.shape`: duration,
    faults, consumers and claims stay as they are, so shorten it with `--set load.duration=10s` if it is long. Claim
    `lag`, else a backlog may grow and every claim still hold. A run that did not hold, and may be so by noise (a claim
    with a clock alone, and no backlog that grew; or an unknown one), is done once more, and the second counts.

    It ends with the curve, which claim gave way first, and where it was stuck, as far as the runs' records tell: the
    load itself (late, or refused), the broker, or the consumers. What is unknown because the load itself was late says
    nothing of the broker. Each run is kept; `gameday report RUN` draws it. It does not run on `--target aws`.

    Exit codes: 0 a rate was found, or all hold up to --to; 1 a claim is violated at --from already; 2 bad usage; 3 a
    claim is unknown at --from, or it was stopped by --runs-max or --time-max; 4 a run could not be done; 5 the target
    cannot do it; 130 interrupted.

    \b
    Examples:
      gameday find-rate standard-at-least-once --target memory --set 'chaos=[]' --set load.duration=10s
      gameday find-rate my.yaml --from 100/s --to 2000/s --within 3% --runs-max 15 --json > rate.json
    """
    from gameday.find_rate.search import Asked, Try, next_step
    from gameday.report.rate_curve import Curve, begun_line, show, step_line
    from gameday.scenario import reading as scenarios

    if target is TargetName.aws:
        raise UsageError("find-rate does not run on --target aws: each rate would be a run of its own to agree to")
    asked = Asked(
        from_per_s=value_of("--from", from_, "rate_per_s"),
        to_per_s=value_of("--to", to, "rate_per_s"),
        within=value_of("--within", within, "share"),
        runs_max=runs_max,
        time_max_s=value_of("--time-max", time_max, "duration_s"),
    )
    _check(asked, overrides or [])
    read = scenarios.load(scenarios.find(scenario), overrides or ())
    # What is wrong with a rate is told before the first run.
    scenarios.at_constant_rate(read, asked.to_per_s, told_by="--to")
    scenarios.at_constant_rate(read, asked.from_per_s, told_by="--from")
    kind = chosen_target(target, endpoint_url)
    console = Console(stderr=json, highlight=False, markup=False, emoji=False)
    if not any(claim.claim == "lag" for claim in read.claims):
        console.print(f"note: {read.name} claims no lag: a backlog may grow and every claim still hold", soft_wrap=True)
    steps: list[Measured] = []

    def end(ended: Any) -> Curve:
        curve = Curve(scenario=read.name, target=kind, asked=asked, steps=steps, ended=ended)
        show(curve, as_json=json)
        return curve

    try:
        while isinstance(step := next_step(asked, steps), Try):
            number = len(steps) + 1
            console.print(begun_line(number, step.rate_per_s, again=step.again), soft_wrap=True)
            request = {
                "target": kind,
                "url": endpoint_url,
                "seed": seed,
                "out": None if out is None else out / f"{number:02d}",
            }
            # Each says the same, with other numbers.
            steps.append(_run(read, step, request, console, aloud=number == 1))
            console.print(step_line(number, steps[-1]), soft_wrap=True)
    except BaseException:
        if steps:
            end(None)
        raise
    raise typer.Exit(end(step).exit_code)


def _check(asked: Asked, overrides: list[str]) -> None:
    """Errors: UsageError."""
    if not 0 < asked.from_per_s < asked.to_per_s:
        raise UsageError(
            f"--from {asked.from_per_s:g}/s --to {asked.to_per_s:g}/s: --from is more than 0 and less than --to"
        )
    if not 0.005 <= asked.within <= 1:
        raise UsageError(f"--within {asked.within:g}: a share from 0.5% to 100% belongs there")
    for given in overrides:
        key = given.partition("=")[0].strip()
        if key in ("load.rate", "load.shape"):
            raise UsageError(f"--set {given}: {key} is what find-rate sets; use --from and --to")


def _run(read: Scenario, step: Try, asked_for: dict[str, Any], console: Console, *, aloud: bool) -> Measured:
    """One step: a run, and its verdict. `aloud`: with all that the run has to say. Errors: GamedayError."""
    from gameday.find_rate.measure import measure
    from gameday.run.conductor import conduct
    from gameday.run.context import RunRequest
    from gameday.run.directory import shown
    from gameday.scenario.reading import at_constant_rate
    from gameday.verify.judge import judge

    began_s = time.monotonic()
    told_by = f"step at {step.rate_per_s:g}/s"
    request = RunRequest(scenario=at_constant_rate(read, step.rate_per_s, told_by=told_by), **asked_for)
    with _status(console, told_by, aloud=aloud) as view:
        directory = asyncio.run(conduct(request, view))
        interrupt_on_signals()
        view.phase("judging")
        try:
            verdict = judge(directory, progress=lambda text: view.phase(f"judging: {text}"))
            verdict.save(directory)
            return measure(
                directory,
                verdict.document,
                rate_per_s=step.rate_per_s,
                again=step.again,
                took_s=time.monotonic() - began_s,
                shown=shown(directory),
            )
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted while judging\nEverything is recorded: gameday verify {shown(directory)}"
            ) from None


class _View:
    """What the conductor tells while a step runs: a line that changes, on a terminal, and nothing elsewhere. `note`
    hears what stays."""

    def __init__(self, update: Callable[[str], None], note: Callable[[str], None]) -> None:
        self._update = update
        self.note = note

    def phase(self, text: str) -> None:
        self._update(text)

    def started(self, start_ns: int) -> None:
        self.phase("load and chaos")

    def snapshot(self, report: Any) -> None:
        if report.get("report") == "snapshot":
            lag = "".join(f", {name} backlog {sub['backlog']}" for name, sub in report["subscriptions"].items())
            self._update(f"{report['acked_per_s']:.0f}/s, {report['acked']} sent{lag}")

    def keys(self, pressed: Callable[[str], None]) -> AbstractContextManager[bool]:
        return nullcontext(False)

    def end(self) -> None:
        """It has nothing to give back."""


@contextmanager
def _status(console: Console, told_by: str, *, aloud: bool) -> Iterator[_View]:
    def note(text: str) -> None:
        if aloud:
            console.print(text, soft_wrap=True)

    with console.status(told_by) as status:
        yield _View(lambda text: status.update(f"{told_by}: {text}"), note)

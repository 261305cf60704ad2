"""`gameday sweep-crashes`: which crash of a consumer breaks a claim."""

from __future__ import annotations

import asyncio
import json as json_
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from gameday.commands.common import ScenarioArgument, SetOption, TargetName
from gameday.history.errors import HistoryError, Interrupted, UsageError

if TYPE_CHECKING:
    from gameday.crash_sweep.schedules import Outcome, Schedule
    from gameday.run.many import Done
    from gameday.scenario.model import Scenario

_FILE = "sweep.json"
# A load that is over sooner leaves no time for a consumer that died to come back while it lasts.
_LOAD_S = 4.0


def sweep_crashes(
    scenario: ScenarioArgument = "quick",
    budget: Annotated[str, typer.Option(metavar="DURATION", help="Begin no run after this time.")] = "10min",
    messages: Annotated[int, typer.Option(metavar="N", min=1, help="How many messages each run sends.")] = 24,
    every: Annotated[int, typer.Option(metavar="K", min=1, help="Crash at every K-th message.")] = 6,
    pairs: Annotated[
        bool, typer.Option("--pairs/--no-pairs", help="Try two crashes where one alone has not broken every claim.")
    ] = True,
    jobs: Annotated[int, typer.Option(metavar="N", min=1, help="Runs side by side.")] = 2,
    target: Annotated[TargetName, typer.Option(help="Where AWS is; not `aws`.")] = TargetName.memory,
    overrides: SetOption = None,
    seed: Annotated[int, typer.Option(help="The seed of every run.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A directory for the runs. One that holds a sweep already is gone on with. "
            "[default: runs/sweep-NAME-TIME]"
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object; progress goes to standard error.")
    ] = False,
) -> None:
    """Crash a consumer at every point of its work in turn, and show the smallest crash that breaks a claim.

    Each run is the scenario with a small load (--messages), one consumer process, and in place of its faults one crash:
    at a point (after-receive, before-effect, after-effect, before-delete, after-delete; of a program of your own those
    that are seen on the wire) of every K-th message. The first run has no crash, and must hold. Where single crashes
    leave a claim unbroken, pairs of points follow. What broke a claim is made smaller, tried twice more, and written as
    a file that `gameday run --replay FILE` repeats.

    What the scenario says of claims, consumers, topology and effects stays. A long visibility timeout makes each run
    long: shorten it with `--set topology.visibility_timeout=2s` if your consumers allow it.

    Exit codes: 0 every crash was tried and no claim broken; 1 a claim was broken; 2 bad usage; 3 not all was tried, or
    something showed nothing; 4 a run could not be done; 5 the target cannot do it; 130 interrupted.

    \b
    Examples:
      gameday sweep-crashes --set topology.visibility_timeout=2s
      gameday sweep-crashes my.yaml --budget 5min --every 3 --out sweep
      gameday run --replay sweep/exactly-once-effect.json
    """
    from gameday.crash_sweep.schedules import Asked, next_schedules
    from gameday.report.crash_table import Swept, show
    from gameday.run.context import new_id
    from gameday.run.directory import RUNS
    from gameday.scenario import reading as scenarios
    from gameday.scenario import units

    if target is TargetName.aws:
        raise UsageError("sweep-crashes does not run on --target aws: each crash would be a run of its own to agree to")
    try:
        budget_s = units.duration_s(budget)
    except ValueError as error:
        raise UsageError(f"--budget {error}") from error
    path = scenarios.find(scenario)
    read = scenarios.load(path, overrides or ())
    small = _Small(path=str(path), read=read, given=overrides or [], messages=messages, seed=seed)
    asked = Asked(points=small.points(), messages=messages, every=every, pairs=pairs)
    directory = (out or RUNS / f"sweep-{new_id(read.name)}").resolve()
    console = Console(stderr=json, highlight=False, markup=False, emoji=False)
    outcomes = _resumed(directory, small)
    if outcomes:
        console.print(f"goes on in {directory}, where {len(outcomes)} runs are", soft_wrap=True)
    replays: dict[str, str] = {}
    deadline = time.monotonic() + budget_s

    def swept(ended: Any, left: int = 0) -> Swept:
        return Swept(
            scenario=read.name,
            target=target.value,
            asked=asked,
            outcomes=outcomes,
            ended=ended,
            replays=replays,
            left=left,
        )

    arguments = ["--target", target.value, "--seed", str(seed)]
    try:
        while schedules := next_schedules(asked, outcomes):
            left = asyncio.run(_try(schedules, outcomes, small, arguments, directory, jobs, deadline, console))
            if left:
                ended, remaining = "budget", left
                break
        else:
            ended, remaining = ("all" if outcomes[0].held else "calm"), 0
    except (KeyboardInterrupt, asyncio.CancelledError):
        show(swept(None), as_json=json)
        raise Interrupted(f"interrupted; what was tried is kept in {directory}") from None
    replays |= _replays(outcomes, small, directory, seed=seed, target=target.value)
    came = swept(ended, remaining)
    show(came, as_json=json)
    raise typer.Exit(came.exit_code)


class _Small:
    """The scenario as a sweep runs it."""

    def __init__(self, *, path: str, read: Scenario, given: Sequence[str], messages: int, seed: int) -> None:
        self.path = path
        # What is not the same is another sweep.
        self.identity = {"scenario": path, "overrides": list(given), "messages": messages, "seed": seed}
        self.given = list(given)
        self._messages = messages
        self._load = self._small_load(read)
        self._again_s = read.topology.visibility_timeout

    def points(self) -> list[str]:
        """Those that a crash can have here. Errors: UsageError where there is none, with what is against the first."""
        from gameday.chaos.faults.crash_at import POINTS
        from gameday.crash_sweep.schedules import Crash
        from gameday.scenario import reading as scenarios

        found: list[str] = []
        against = None
        for point in POINTS:
            try:
                scenarios.load(Path(self.path), self.overrides((Crash(point=point, nth=1),)))
            except UsageError as error:
                against = against or error
            else:
                found.append(point)
        if not found and against is not None:
            raise against
        return found

    def overrides(self, schedule: Schedule) -> list[str]:
        """As `--set` takes them."""
        from gameday.crash_sweep.schedules import chaos

        # A second crash waits until what the first one left comes again.
        lasts_s = _LOAD_S if len(schedule) < 2 else self._again_s + _LOAD_S
        load = {**self._load, "rate": f"{self._messages / lasts_s:.9f}/s", "duration": f"{lasts_s:g}s"}
        made = {"load": load, "consumers.processes": 1, "chaos": chaos(schedule), "steady": None, "brakes": None}
        return [*self.given, *(f"{key}={json_.dumps(value)}" for key, value in made.items())]

    @staticmethod
    def _small_load(read: Scenario) -> dict[str, Any]:
        """Errors: UsageError for tenants, who have rates of their own."""
        from gameday.scenario.model import LoadSpec
        from gameday.scenario.problems import keys

        if read.load.tenants is not None:
            raise UsageError("sweep-crashes sends messages one by one, and load.tenants has rates of its own")
        load = read.source.data["load"]
        return {key: value for key, value in load.items() if key in keys(LoadSpec)} | {"shape": "constant"}


async def _try(
    schedules: Sequence[Schedule],
    outcomes: list[Outcome],
    small: _Small,
    arguments: Sequence[str],
    directory: Path,
    jobs: int,
    deadline: float,
    console: Console,
) -> int:
    """Run them side by side, as long as there is time; how many were not begun. Errors: RunError, HistoryError."""
    from gameday.report.crash_table import ended_line
    from gameday.run.many import Task, play

    begun: dict[Path, Schedule] = {}

    def tasks() -> Iterator[Task]:
        for schedule in schedules:
            if time.monotonic() >= deadline:
                return
            place = _next_place(directory)
            begun[place] = schedule
            sets = [word for override in small.overrides(schedule) for word in ("--set", override)]
            yield Task(arguments=[small.path, *sets, *arguments], directory=place)

    with console.status("the first run") as status:
        async for done in play(tasks(), at_once=jobs):
            outcomes.append(_outcome(done, begun[done.task.directory]))
            _save(directory, small, outcomes)
            console.print(ended_line(len(outcomes), outcomes[-1]), soft_wrap=True)
            status.update(f"{len(schedules) - len(begun)} of {len(schedules)} schedules of this stage wait")
    return len(schedules) - len(begun)


def _next_place(directory: Path) -> Path:
    """A directory of its own, which is there from now on. Errors: RunError."""
    from gameday.run.directory import make_directory

    numbers = [int(path.name) for path in directory.glob("[0-9]*") if path.name.isdigit()]
    place = directory / f"{max(numbers, default=0) + 1:03d}"
    make_directory(place)
    return place


def _outcome(done: Done, schedule: Schedule) -> Outcome:
    from gameday.crash_sweep.schedules import Outcome

    claims, verdict = {}, done.verdict
    if verdict is not None:
        claims = {claim["key"]: claim["verdict"] for claim in verdict["claims"]}
    return Outcome(
        schedule=schedule,
        claims=claims,
        why={} if verdict is None else {key: why for key in claims if (why := _why(verdict, key))},
        directory=str(done.task.directory),
        failed=None if verdict is not None else done.said or f"exit code {done.code}",
    )


def _why(verdict: dict[str, Any], key: str) -> str:
    """What broke a claim, and its cause, in a line; nothing for one that was not."""
    (claim,) = [claim for claim in verdict["claims"] if claim["key"] == key]
    if claim["verdict"] != "violated":
        return ""
    parts = [f"{count} {anomaly}" for anomaly, count in claim["anomalies"].items() if count]
    examples = [each for anomaly in claim["anomalies"] for each in verdict["anomalies"][anomaly]["examples"]]
    causes = list(dict.fromkeys(each["why"]["cause"] for each in examples if "why" in each))
    cause = f"; cause: {', '.join(causes)}" if causes else ""
    return (", ".join(parts) or "; ".join(claim["why"])) + cause


def _save(directory: Path, small: _Small, outcomes: Sequence[Outcome]) -> None:
    """So that it can be gone on with. Errors: HistoryError."""
    document = {"schema": 1, "sweep": small.identity, "runs": [outcome.to_json() for outcome in outcomes]}
    path = directory / _FILE
    draft = path.with_suffix(".json.new")
    try:
        draft.write_text(json_.dumps(document, indent=2), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise HistoryError(f"cannot write {path}: {error.strerror}") from error


def _resumed(directory: Path, small: _Small) -> list[Outcome]:
    """What was tried there before. Errors: UsageError where that was another sweep."""
    from gameday.crash_sweep.schedules import Outcome

    path = directory / _FILE
    if not path.exists():
        return []
    try:
        document = json_.loads(path.read_bytes())
        found, runs = document["sweep"], [Outcome.from_json(run) for run in document["runs"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is no sweep that can be gone on with: {error}") from error
    if found != small.identity:
        raise UsageError(f"{path} is of another sweep ({found['scenario']}); name another directory with --out")
    return runs


def _replays(outcomes: Sequence[Outcome], small: _Small, directory: Path, *, seed: int, target: str) -> dict[str, str]:
    """By claim that was broken, the file that repeats it. Errors: HistoryError."""
    from gameday.crash_sweep.schedules import in_words, smallest
    from gameday.run.directory import shown
    from gameday.run.replays import Replay

    found = {}
    for claim, outcome in smallest(outcomes).items():
        path = directory / f"{claim.replace(' ', '-')}.json"
        Replay(
            scenario=small.path,
            overrides=small.overrides(outcome.schedule),
            seed=seed,
            target=target,
            claim=claim,
            schedule=in_words(outcome.schedule),
            why=outcome.why.get(claim, ""),
        ).save(path)
        found[claim] = shown(path)
    return found

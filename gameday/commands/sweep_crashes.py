"""`gameday sweep-crashes`: which crash of a consumer breaks a claim."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from gameday.commands.common import JsonOption, ScenarioArgument, SetOption, TargetName, value_of
from gameday.commands.searching import BudgetOption, JobsOption, Kept, MessagesOption, SearchTargetOption, Small
from gameday.history.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from gameday.report.crash_table import Ended
    from gameday.run.many import Task
    from gameday.search.crashes import Crash, Schedule

# A load that is over sooner leaves no time for a consumer that died to come back while it lasts.
_LOAD_S = 4.0


def sweep_crashes(
    scenario: ScenarioArgument = "quick",
    budget: BudgetOption = "10min",
    messages: MessagesOption = 24,
    every: Annotated[int, typer.Option(metavar="K", min=1, help="Crash at every K-th message.")] = 6,
    pairs: Annotated[
        bool, typer.Option("--pairs/--no-pairs", help="Try two crashes where one alone has not broken every claim.")
    ] = True,
    jobs: JobsOption = 2,
    target: SearchTargetOption = TargetName.memory,
    overrides: SetOption = None,
    seed: Annotated[int, typer.Option(help="The seed of every run.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A directory for the runs. One that holds a sweep already is gone on with. "
            "[default: runs/sweep-NAME-TIME]"
        ),
    ] = None,
    json: JsonOption = False,
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
    from gameday.report.crash_table import Swept, show
    from gameday.run.context import new_id
    from gameday.run.directory import RUNS
    from gameday.scenario import reading as scenarios
    from gameday.search.crashes import Asked, Crash, in_words, next_schedules

    if target is TargetName.aws:
        raise UsageError("sweep-crashes does not run on --target aws: each crash would be a run of its own to agree to")
    budget_s = value_of("--budget", budget, "duration_s")
    path = scenarios.find(scenario)
    swept = _Swept(path=path, read=scenarios.load(path, overrides or ()), given=overrides or [], messages=messages)
    asked = Asked(points=swept.points(), messages=messages, every=every, pairs=pairs)
    kept = Kept(
        directory=(out or RUNS / f"sweep-{new_id(swept.read.name)}").resolve(),
        file="sweep.json",
        # What is not the same is another sweep.
        identity={"scenario": swept.path, "overrides": swept.given, "messages": messages, "seed": seed},
        step=Crash.from_json,
    )
    console = Console(stderr=json, highlight=False, markup=False, emoji=False)
    kept.resume(console)
    replays: dict[str, str] = {}
    deadline = time.monotonic() + budget_s

    def told(ended: Ended | None, left: int = 0) -> Swept:
        return Swept(
            scenario=swept.read.name,
            target=target.value,
            asked=asked,
            outcomes=kept.outcomes,
            ended=ended,
            replays=replays,
            left=left,
        )

    arguments = [swept.path, "--target", target.value, "--seed", str(seed)]
    ended: Ended = "all"
    left = 0
    try:
        while not left and (schedules := next_schedules(asked, kept.outcomes)):
            left = asyncio.run(_try(schedules, kept, swept, arguments, jobs, deadline, console))
    except (KeyboardInterrupt, asyncio.CancelledError):
        show(told(None), as_json=json)
        raise Interrupted(f"interrupted; what was tried is kept in {kept.directory}") from None
    if left:
        ended = "budget"
    elif not kept.outcomes[0].held:
        ended = "calm"
    replays |= kept.replays(swept.with_crashes, in_words, scenario=swept.path, seed=seed, target=target.value)
    came = told(ended, left)
    show(came, as_json=json)
    raise typer.Exit(came.exit_code)


class _Swept(Small):
    """The scenario as a sweep runs it: with one consumer process."""

    def points(self) -> list[str]:
        """Those that a crash can have here. Errors: UsageError where there is none, with what is against the first."""
        from gameday.chaos.faults.crash_at import POINTS
        from gameday.scenario import reading as scenarios
        from gameday.search.crashes import Crash

        found: list[str] = []
        against = None
        for point in POINTS:
            try:
                scenarios.load(Path(self.path), self.with_crashes((Crash(point=point, nth=1),)))
            except UsageError as error:
                against = against or error
            else:
                found.append(point)
        if not found and against is not None:
            raise against
        return found

    def with_crashes(self, schedule: Schedule) -> list[str]:
        """As `--set` takes them."""
        from gameday.search.crashes import chaos

        # A second crash waits until what the first one left comes again.
        lasts_s = _LOAD_S if len(schedule) < 2 else self.read.topology.visibility_timeout + _LOAD_S
        return self.overrides(chaos(schedule), lasts_s=lasts_s, consumers__processes=1)


async def _try(
    schedules: Sequence[Schedule],
    kept: Kept[Crash],
    swept: _Swept,
    arguments: Sequence[str],
    jobs: int,
    deadline: float,
    console: Console,
) -> int:
    """Run them side by side, as long as there is time; how many were not begun. Errors: RunError, HistoryError."""
    from gameday.report.crash_table import ended_line
    from gameday.run.many import play

    waiting = deque(schedules)

    def tasks() -> Iterator[Task]:
        while waiting and time.monotonic() < deadline:
            schedule = waiting.popleft()
            yield kept.task(schedule, arguments, swept.with_crashes(schedule))

    with console.status("the first run") as status:
        async for done in play(tasks(), at_once=jobs):
            outcome = kept.add(done)
            console.print(ended_line(len(kept.outcomes), outcome), soft_wrap=True)
            status.update(f"{len(waiting)} of {len(schedules)} schedules of this stage wait")
    return len(waiting)

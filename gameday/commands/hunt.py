"""`gameday hunt`: the smallest faults that break a claim, found by trying."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from gameday.commands.common import JsonOption, ScenarioArgument, SetOption, TargetName, value_of
from gameday.commands.searching import BudgetOption, JobsOption, Kept, MessagesOption, SearchTargetOption, Small
from gameday.history.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from gameday.run.many import Task
    from gameday.search.hunt import Asked, Entry, Schedule
    from gameday.search.outcomes import Outcome

# The load lasts so much longer than a message is hidden, so that what comes again meets other faults.
_LOAD_S = 4.0
_LONGEST_S = 12.0
# How often what was found on a clock that jumps is tried on real processes.
_REAL_TRIES = 2
# How many runs a process plays on such a clock before what they came to decides what is tried next: first few, then
# more, for judging many at once takes a part of the time.
_FEWEST_AT_ONCE, _MOST_AT_ONCE = 8, 120


def hunt(
    scenario: ScenarioArgument = "quick",
    budget: BudgetOption = "10min",
    messages: MessagesOption = 60,
    faults: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="NAME",
            help="Draw from these faults alone; give it several times. "
            "[default: those of the scenario, where it has some, else all]",
        ),
    ] = None,
    jobs: JobsOption = 2,
    target: SearchTargetOption = TargetName.memory,
    overrides: SetOption = None,
    virtual: Annotated[
        bool,
        typer.Option(
            "--virtual",
            help="Try on a clock that jumps, hundreds of runs a minute, and only what is found on real processes. "
            "For gameday's own consumers, and the faults that can be simulated.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="What is drawn, and the seed of every run.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A directory for the runs. One that holds a hunt already is gone on with. "
            "[default: runs/hunt-NAME-TIME]"
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Look for faults that break a claim, and show the smallest that do.

    Each run is the scenario with a small load (--messages) and, in place of its faults, some that are drawn at random.
    The first run has none, and must hold. Faults that brought messages to a dangerous place where no run had been
    before are varied further. What broke a claim is made smaller until nothing can be left out, tried twice more, and
    written as a file that `gameday run --replay FILE` repeats. It ends when every claim is broken, or with the budget,
    and says then which dangerous places were reached and which never.

    What the scenario says of consumers, topology and effects stays. A long visibility timeout makes each run long:
    shorten it with `--set topology.visibility_timeout=2s` if your consumers allow it.

    Exit codes: 0 no claim was broken; 1 a claim was broken, with --virtual on real processes, too; 2 bad usage; 3
    nothing was shown, or real processes did not show it; 5 the target cannot do it; 130 interrupted.

    \b
    Examples:
      gameday hunt my.yaml --set topology.visibility_timeout=2s
      gameday hunt my.yaml --budget 1h --fault kill-consumer --fault lose-delete --out hunt
      gameday hunt my.yaml --virtual --budget 2min
      gameday run --replay hunt/exactly-once-effect.json
    """
    from gameday.chaos.registry import FAULTS
    from gameday.report.hunted import Hunted, show
    from gameday.run.context import new_id
    from gameday.run.directory import RUNS
    from gameday.scenario import drawing
    from gameday.scenario import reading as scenarios
    from gameday.scenario.problems import no_such
    from gameday.search.hunt import Asked, Entry, in_words, next_schedule
    from gameday.search.outcomes import smallest
    from gameday.simulation.scope import unsimulated, unsimulated_fault

    if target is TargetName.aws:
        raise UsageError("hunt does not run on --target aws: each run would be one of its own to agree to")
    budget_s = value_of("--budget", budget, "duration_s")
    for name in faults or ():
        if name not in FAULTS:
            raise UsageError(f"--fault: {no_such('fault', name, FAULTS)}")
    path = scenarios.find(scenario)
    read = scenarios.load(path, overrides or ())
    small = Small(path=path, read=read, given=overrides or [], messages=messages)
    lasts_s = min(_LOAD_S + read.topology.visibility_timeout, _LONGEST_S)

    def with_faults(schedule: Schedule) -> list[str]:
        return small.overrides([entry.to_json() for entry in schedule], lasts_s=lasts_s)

    own = list(dict.fromkeys(fault.fault for fault in read.chaos))
    if virtual and (lacks := list(unsimulated(scenarios.load(path, with_faults(()))))):
        raise UsageError("\n".join(f"--virtual: {path}: {lack}" for lack in lacks))
    drawer = drawing.Drawer(
        path,
        with_faults(()),
        seed=seed,
        names=faults or own or None,
        allows=lambda fault: not virtual or unsimulated_fault(fault) is None,
    )
    asked = Asked(
        draw=drawer.draw,
        fits=lambda schedule: drawer.fits([entry.to_json() for entry in schedule]),
        needed={name: drawing.needed(name) for name in drawer.names},
        seed=seed,
    )
    kept = Kept(
        directory=(out or RUNS / f"hunt-{new_id(read.name)}").resolve(),
        file="hunt.json",
        # What is not the same is another hunt.
        identity={
            "scenario": small.path,
            "overrides": small.given,
            "messages": messages,
            "seed": seed,
            "faults": drawer.names,
            **({"virtual": True} if virtual else {}),
        },
        step=Entry.from_json,
    )
    console = Console(stderr=json, highlight=False, markup=False, emoji=False)
    kept.resume(console)
    console.print(f"draws from {len(drawer.names)} faults: {', '.join(drawer.names)}", soft_wrap=True)
    arguments = [small.path, "--target", target.value, "--seed", str(seed)]
    replays: dict[str, str] = {}
    real: list[Outcome[Entry]] = []
    deadline = time.monotonic() + budget_s

    def tasks() -> Iterator[Task]:
        """As many as are asked for, until nothing is to be tried before one of them has ended."""
        while time.monotonic() < deadline:
            schedule = next_schedule(asked, kept.outcomes, list(kept.under_way.values()))
            if schedule is None:
                return
            yield kept.task(schedule, arguments, with_faults(schedule))

    def told(*, broke_off: bool) -> Hunted:
        return Hunted(
            scenario=read.name,
            target=target.value,
            faults=drawer.names,
            outcomes=kept.outcomes,
            replays=replays,
            broke_off=broke_off,
            real=real if virtual else None,
        )

    def tasks_again() -> Iterator[Task]:
        """What was found on a clock that jumps."""
        for schedule in dict.fromkeys(outcome.schedule for outcome in smallest(kept.outcomes).values()):
            for _ in range(_REAL_TRIES):
                yield kept.task(schedule, arguments, with_faults(schedule))

    try:
        if virtual:
            _hunt_virtually(asked, kept, with_faults, path=path, jobs=jobs, deadline=deadline, console=console)
        else:
            asyncio.run(_hunt(tasks, kept, jobs, console))
        replays |= kept.replays(with_faults, in_words, scenario=small.path, seed=seed, target=target.value)
        if virtual:
            asyncio.run(_try_again(tasks_again(), kept, real, jobs, console))
    except (KeyboardInterrupt, asyncio.CancelledError):
        show(told(broke_off=True), as_json=json)
        raise Interrupted(f"interrupted; what was tried is kept in {kept.directory}") from None
    came = told(broke_off=False)
    show(came, as_json=json)
    raise typer.Exit(came.exit_code)


async def _hunt(tasks: Callable[[], Iterator[Task]], kept: Kept[Entry], jobs: int, console: Console) -> None:
    """Run tasks side by side until there are none. Errors: RunError, HistoryError."""
    from gameday.report.hunted import ended_line
    from gameday.run.many import play
    from gameday.search.outcomes import places_reached

    with console.status("the first run, without any fault") as status:
        before = -1
        while len(kept.outcomes) > before:
            before = len(kept.outcomes)
            async for done in play(tasks(), at_once=jobs):
                outcome = kept.add(done)
                console.print(ended_line(kept.outcomes), soft_wrap=True)
                places = places_reached(kept.outcomes)
                status.update(
                    f"{len(kept.outcomes)} runs; {len(places)} of {len(outcome.places)} dangerous places reached"
                )


def _hunt_virtually(
    asked: Asked,
    kept: Kept[Entry],
    overrides: Callable[[Schedule], Sequence[str]],
    *,
    path: Path,
    jobs: int,
    deadline: float,
    console: Console,
) -> None:
    """Try schedules on a clock that jumps until there are none. Errors: HistoryError, UsageError."""
    from gameday.commands.searching import outcome_of
    from gameday.report.hunted import tried_line
    from gameday.search.hunt import next_schedules
    from gameday.simulation.batch import Batch, Order, play_batch
    from gameday.verify.workers import in_processes

    began, before, a_second = time.monotonic(), len(kept.outcomes), float(_FEWEST_AT_ONCE)
    with console.status("the first run, without any fault") as status:
        while time.monotonic() < deadline:
            at_once = min(max(len(kept.outcomes) // 4, _FEWEST_AT_ONCE), _MOST_AT_ONCE)
            # No more than there is time for.
            at_once = min(at_once, max(round((deadline - time.monotonic()) * a_second / jobs), 1))
            schedules = list(islice(next_schedules(asked, kept.outcomes), at_once * jobs))
            if not schedules:
                return
            # What is tried again is another run of the same.
            times = Counter(outcome.schedule for outcome in kept.outcomes)
            orders = []
            for number, schedule in enumerate(schedules):
                orders.append(Order(number=number, overrides=overrides(schedule), seed=asked.seed + times[schedule]))
                times[schedule] += 1
            batches = [Batch(path=path, orders=orders[first::jobs]) for first in range(min(jobs, len(orders)))]
            judged = [each for found in in_processes(play_batch, batches, jobs=jobs) for each in found]
            judged.sort(key=lambda each: each.number)
            kept.add_all(
                [
                    outcome_of(each.verdict, schedule, directory="", failed=each.failed)
                    for each, schedule in zip(judged, schedules, strict=True)
                ]
            )
            a_second = (len(kept.outcomes) - before) / (time.monotonic() - began)
            line = tried_line(kept.outcomes, new=len(schedules), a_minute=a_second * 60)
            console.print(line, soft_wrap=True)
            status.update(line)


async def _try_again(
    tasks: Iterable[Task], kept: Kept[Entry], real: list[Outcome[Entry]], jobs: int, console: Console
) -> None:
    """Run tasks on real processes; what they came to goes into `real`. Errors: RunError, HistoryError."""
    from gameday.report.hunted import again_line
    from gameday.run.many import play

    with console.status("what was found, on real processes"):
        async for done in play(tasks, at_once=jobs):
            real.append(kept.came(done))
            console.print(again_line(real[-1]), soft_wrap=True)

"""`gameday validate`: a scenario read and not run."""

from __future__ import annotations

from typing import Annotated

import typer

from gameday.commands.common import ScenarioArgument, SetOption


def validate(
    scenario: ScenarioArgument,
    overrides: SetOption = None,
    seed: Annotated[
        int | None, typer.Option(help="The seed of the run that is meant: it moves strikes that have `jitter`.")
    ] = None,
) -> None:
    """Read a scenario without running it: what is wrong with it, and what a run of it could not show.

    A note names a claim that is bound to come out unknown, or may well do so, and what to do. `gameday run` prints the
    same notes before it begins, and runs. Exit codes: 0 it can be run, notes or not; 2 it is wrong.

    \b
    Examples:
      gameday validate my.yaml
      gameday validate quick --set load.duration=10s
    """
    from gameday.scenario import reading as scenarios
    from gameday.scenario.forecast import forecast

    read = scenarios.load(scenarios.find(scenario), overrides or ())
    chosen = read.seed if seed is None else seed
    notes = forecast(read, seed=0 if chosen is None else chosen)
    for note in notes:
        print(f"note: {note}")
    print(f"valid, with {len(notes)} {'note' if len(notes) == 1 else 'notes'}" if notes else "valid")

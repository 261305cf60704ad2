"""The conductor: one run from the first process to the last, with load and chaos on one clock.

It promises that the history tells the whole run in the order that the record format asks for; that every process it
starts ends with it, whichever way it ends; that what it broke is healed and what it created is removed; and that a
run which cannot go on says why in one message, keeps what was recorded, and leaves it judgeable.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from getpass import getuser
from pathlib import Path

from gameday.run.context import RunContext, RunRequest, new_id, new_seed
from gameday.run.directory import RUNS, free_directory, make_directory
from gameday.run.endings import interruptible, recorded, watched
from gameday.run.leaving import begin, end
from gameday.run.making import make_messages
from gameday.run.opening import open_run
from gameday.run.phases.await_executions import await_executions
from gameday.run.phases.cloudwatch import name_metrics, read_metrics
from gameday.run.phases.drain import drain
from gameday.run.phases.gather import gather
from gameday.run.phases.load import load_with_chaos
from gameday.run.phases.look_for_effects import look_for_effects
from gameday.run.phases.objects import provide_bucket, read_objects
from gameday.run.phases.provision import provision
from gameday.run.phases.read_effects import read_effects
from gameday.run.phases.read_invocations import read_invocations
from gameday.run.phases.redrive import redrive
from gameday.run.phases.redrive_executions import redrive_executions
from gameday.run.phases.replay import replay
from gameday.run.phases.start import start
from gameday.run.phases.stop import stop
from gameday.run.state import Run, View
from gameday.transports.carriers.calls import count_calls

# In this order. Each does its part with what those before it have left in the run, or nothing where the scenario does
# not ask for it.
PHASES: Sequence[Callable[[Run], Awaitable[None]]] = (
    provision,
    provide_bucket,
    name_metrics,
    start,
    look_for_effects,
    load_with_chaos,
    await_executions,
    redrive_executions,
    drain,
    redrive,
    replay,
    stop,
    gather,
    read_invocations,
    read_effects,
    read_objects,
    read_metrics,
)


async def conduct(request: RunRequest, view: View) -> Path:
    """Do the run; gives its directory, which is then ready to be judged.

    The first SIGINT or SIGTERM ends it in good order, the second at once. Errors: GamedayError; Interrupted after a
    signal.
    """
    # Who may begin in an account was asked before, and that belongs to the run.
    count_calls(anew=request.account is None)
    run_id = new_id(request.scenario.name)
    directory = free_directory(request.out or RUNS / run_id)
    seed = request.scenario.seed if request.seed is None else request.seed
    context = RunContext(
        scenario=request.scenario,
        id=run_id,
        directory=directory,
        seed=new_seed() if seed is None else seed,
        metrics_host=request.metrics_host,
        owner=request.account.owner if request.account is not None else _user(),
    )
    run = Run(request=request, context=context, view=view)
    await interruptible(run, _play(run))
    return directory


def _user() -> str:
    """Who runs it; nobody where the system knows no name for that number, as in many containers."""
    try:
        return getuser()
    except (KeyError, OSError):
        return ""


async def _play(run: Run) -> None:
    async with run.stack:
        # Only here, where an interruption is heard already and leaves nothing behind.
        make_directory(run.context.directory)
        run.pending = begin(run.undo, id=run.context.id, directory=run.context.directory)
        run.stack.callback(partial(end, run.undo, run.pending))
        await make_messages(run)
        await open_run(run)
        with recorded(run):
            async with watched(run):
                for phase in PHASES:
                    await phase(run)

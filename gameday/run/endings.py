"""How a run ends before its end: signals, the death of what must not die, and what is said and kept then.

It promises that a run which cannot go on says why in one message, that the history says so too where it still can, and
that what was recorded is kept and named.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from gameday.history import events
from gameday.history.errors import GamedayError, HistoryError, Interrupted, RunError, TargetError
from gameday.run.directory import is_recorded, remove_unrecorded, shown
from gameday.run.leaving import left_open
from gameday.run.state import Run


async def interruptible(run: Run, work: Coroutine[Any, Any, None]) -> None:
    """The first SIGINT or SIGTERM ends the work in good order, the second at once.

    Errors: GamedayError, with what is kept of the run; Interrupted after a signal.
    """
    task = asyncio.create_task(work, name="the run")
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: _log_stray(run, context))
    interrupted = False

    def interrupt(number: signal.Signals) -> None:
        nonlocal interrupted
        if interrupted:
            run.kill()
            run.view.end()
            print(f"gameday: interrupted twice, so everything was killed{_kept(run)}", file=sys.stderr, flush=True)
            os._exit(Interrupted.exit_code)
        interrupted = True
        run.ending = f"interrupted by {number.name}"
        run.view.phase(f"{number.name}: healing, stopping, tearing down (once more: kill everything at once)")
        task.cancel()

    with _heard(interrupt):
        try:
            await task
        except (asyncio.CancelledError, GamedayError, OSError) as error:
            if interrupted:
                raise Interrupted(f"interrupted{_kept(run)}") from None
            if isinstance(error, GamedayError):
                raise type(error)(f"{error}{_kept(run)}") from None
            if isinstance(error, OSError):
                # A disk that is full, or a directory that went away, where no history was being written.
                what = error.filename or run.context.directory
                raise RunError(f"{what}: {error.strerror or error}{_kept(run)}") from error
            raise


@contextmanager
def _heard(interrupt: Callable[[signal.Signals], None]) -> Iterator[None]:
    # Whoever started this under nohup wants it to outlive the terminal.
    numbers = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
    ]
    loop = asyncio.get_running_loop()
    for number in numbers:
        loop.add_signal_handler(number, interrupt, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@contextmanager
def recorded(run: Run) -> Iterator[None]:
    """Whatever ends the run before its end is told in the history."""
    try:
        yield
    except BaseException as error:
        run.ending = run.ending or str(error) or type(error).__name__
        # A full disk takes no last word either; what is there stays judgeable without it.
        with suppress(HistoryError):
            run.writer.write(events.mark("aborted", reason=run.ending))
        raise


@asynccontextmanager
async def watched(run: Run) -> AsyncIterator[None]:
    """Somebody looks out for what must not die before the run ends: the first death ends it, and is the error."""
    try:
        async with asyncio.TaskGroup() as group:
            watchers: list[asyncio.Task[None]] = []

            def watch_over(watching: Coroutine[Any, Any, None], name: str) -> None:
                watchers.append(group.create_task(watching, name=name))

            run.watch_over = watch_over
            watch_over(_fail_with(run.target.died()), "the watch over the target")
            yield
            for watcher in watchers:
                watcher.cancel()
    except BaseExceptionGroup as errors:
        raise _foremost(errors) from None


async def _fail_with(death: Awaitable[str]) -> None:
    raise TargetError(await death)


def _foremost(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Of several errors the one that explains the others: a target that died makes everybody else fail too."""
    flat: list[BaseException] = []
    for error in errors.exceptions:
        flat.append(_foremost(error) if isinstance(error, BaseExceptionGroup) else error)
    order = (TargetError, HistoryError, GamedayError)
    return min(flat, key=lambda error: next((n for n, kind in enumerate(order) if isinstance(error, kind)), len(order)))


def _kept(run: Run) -> str:
    """What is left of a run that ended badly; a directory in which nothing was recorded is removed."""
    directory = run.context.directory
    left = left_open(run.undo)
    if is_recorded(directory):
        told = f"\nWhat was recorded is kept: gameday verify {shown(directory)}"
    else:
        told = ""
        if not left:
            remove_unrecorded(directory, with_runs=run.request.out is None)
    return f"{told}\nNot everything could be put away: gameday recover {shown(directory)}" if left else told


def _log_stray(run: Run, context: dict[str, Any]) -> None:
    """What asyncio would print as a traceback goes into a log; what matters has been raised elsewhere."""
    with suppress(OSError), (run.context.directory / "logs" / "conductor.log").open("a") as log:
        print(context.get("message"), repr(context.get("exception")), file=log)

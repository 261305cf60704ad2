"""The directory of a run: made for it alone, and removed again if nothing came to be recorded in it."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from pathlib import Path

from gameday.history.errors import RunError, UsageError
from gameday.history.manifest import FILE as MANIFEST
from gameday.history.writer import DIRECTORY
from gameday.processes.undo import FILE as UNDO

RUNS = Path("runs")
# What a function of the user's has made.
MADE = "messages.jsonl"


def free_directory(run: Path) -> Path:
    """Where the run will be, not made yet. Errors: UsageError when a run, or anything else, is there already."""
    try:
        if run.exists() and (not run.is_dir() or any(run.iterdir())):
            what = "holds a run already" if (run / MANIFEST).exists() else "is there already and is not empty"
            raise UsageError(f"{run} {what}; name another directory with --out")
        return run.resolve()
    except OSError as error:
        raise RunError(f"cannot look at {run}: {error.strerror}") from error


def make_directory(run: Path) -> None:
    """Errors: RunError."""
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make the run directory {run}: {error.strerror}") from error


def is_recorded(run: Path) -> bool:
    """Whether there is something to judge."""
    return (run / DIRECTORY / "conductor.jsonl").exists()


def remove_unrecorded(run: Path, *, with_runs: bool) -> None:
    """Remove what a run left in which nothing was recorded, and with `with_runs` the directory of all runs if empty."""
    for file in (run / MANIFEST, run / MADE, run / UNDO, *(run / "logs").glob("*.log")):
        # It may never have been made.
        with suppress(OSError):
            file.unlink()
    for directory in (run / DIRECTORY, run / "logs", run / "effects", run, *([RUNS] if with_runs else [])):
        # One that holds something stays.
        with suppress(OSError):
            directory.rmdir()


def shown(path: Path) -> str:
    """As short as it can be typed."""
    return shlex.quote(os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path))

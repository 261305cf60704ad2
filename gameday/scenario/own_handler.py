"""A handler that the scenario's author wrote: from what is written to a program that can be started, and what it leaves
without a meaning.

It promises that a program which cannot be started is known before anything runs: a file, an interpreter or a directory
that is not there is an error that names its key.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from gameday.consumers.config import HandlerProgram
from gameday.history.manifest import Kind
from gameday.processes.handler_process import PYTHON_SHIM
from gameday.scenario.model import HandlerModel
from gameday.transports.lambda_events import EVENTS

# A stream hides nothing, so it has no time that an answer would have to come in.
STREAM_TIMEOUT_S = 60.0
_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


class NoProgram(ValueError):
    """It cannot be started. `key` is what is wrong of the handler's keys."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def program_of(handler: HandlerModel, *, base: Path, visibility_timeout_s: float | None) -> HandlerProgram:
    """`base`: the scenario's directory; `visibility_timeout_s`: None on a stream. Errors: NoProgram."""
    cwd = (base / handler.cwd).absolute()
    if not cwd.is_dir():
        raise NoProgram("cwd", f"there is no directory {cwd}; it counts from the scenario's own directory")
    if handler.command is not None:
        if not handler.command:
            raise NoProgram("command", "it is empty; write it like [node, handle.js]")
        argv = [_program(handler.command[0], "command", cwd), *handler.command[1:]]
    elif handler.python is not None:
        if not _FUNCTION.fullmatch(handler.python):
            raise NoProgram("python", f"{handler.python!r} names no function; write it like orders.app:handle")
        argv = [_program(handler.interpreter or "python3", "interpreter", cwd), str(PYTHON_SHIM), handler.python]
    else:
        raise NoProgram("python", "either `python` (a function) or `command` (a program) says who handles")
    timeout_s = handler.timeout or visibility_timeout_s or STREAM_TIMEOUT_S
    return HandlerProgram(argv=argv, cwd=cwd, env=handler.env, event=handler.event, timeout_s=timeout_s)


def _program(word: str, key: str, cwd: Path) -> str:
    """The path of a program: with a slash it counts from the directory that it runs in, else it is on PATH."""
    if "/" in word:
        # Not resolved: an interpreter knows by its own path which environment it is of.
        path = cwd / word
        if not path.is_file() or not os.access(path, os.X_OK):
            what = "cannot be run" if path.exists() else "is not there"
            raise NoProgram(key, f"{path} {what}; with a slash it counts from the handler's cwd")
        return str(path)
    found = shutil.which(word, path=_path_without_ours() if key == "interpreter" else None)
    if found is None:
        besides = " (gameday's own environment aside)" if key == "interpreter" else ""
        raise NoProgram(key, f"no program {word} is on PATH{besides}; name it by its path")
    return found


def _path_without_ours() -> str:
    """That our environment happens to be active makes its interpreter, with our libraries, nobody's default."""
    places = os.environ.get("PATH", os.defpath).split(os.pathsep)
    if sys.prefix == sys.base_prefix:
        return os.pathsep.join(places)
    ours = (Path(sys.prefix) / "bin").resolve()
    return os.pathsep.join(place for place in places if Path(place).resolve() != ours)


def no_meaning(handler: HandlerModel, kind: Kind) -> Mapping[str, str]:
    """The keys of consumers that mean nothing with it, each with why."""
    keys = {
        "guard": "a handler of your own has its own guard, if any",
        "guard_expiry": "a handler of your own has its own guard, if any",
        "processing_time": "a handler of your own takes the time that it takes",
    }
    if kind == "queue":
        # On a stream the leases are there too.
        keys["store"] = "a handler of your own keeps its effects itself"
    if handler.event is not None and EVENTS[handler.event].is_batch:
        keys["after_failure"] = "its answer says what failed in a batch, and the rest of the batch is done"
    return keys

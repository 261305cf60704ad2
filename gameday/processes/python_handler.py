"""A Python function as a handler process: `PYTHON python_handler.py MODULE:FUNCTION`.

It is started by its path, in the interpreter and the working directory of whoever wrote the function, and speaks the
line protocol of docs/handlers.md for it. It needs nothing but Python 3.8 and its standard library, and imports nothing
of ours.

It promises that the function, and whatever that starts, finds no protocol on its standard input and output: input is
empty, and what is printed goes to standard error. A plain message is handed over as FUNCTION(message); an event as
Lambda does it, FUNCTION(event, context). What it returns is the result, what it raises the failure.
"""

from __future__ import annotations

import sys

# Where this file is, modules of ours would be found by the names of others' modules.
sys.path[:] = [path for path in sys.path if path != __file__.rpartition("/")[0]]

import asyncio  # noqa: E402  # not before the line above
import importlib  # noqa: E402
import inspect  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import time  # noqa: E402
import traceback  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402


class Context:
    """What a function of Lambda's gets beside its event (docs.aws.amazon.com/lambda/latest/dg/python-context.html)."""

    function_version = "$LATEST"
    memory_limit_in_mb = "128"
    identity = None
    client_context = None

    def __init__(self, name: str, request: object, timeout_s: float) -> None:
        region = os.environ.get("AWS_REGION", "us-east-1")
        self.function_name = name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME", name)
        partition = {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(region.rpartition("-")[0].rpartition("-")[0], "aws")
        self.invoked_function_arn = f"arn:{partition}:lambda:{region}:000000000000:function:{name}"
        self.aws_request_id = f"{os.environ.get('GAMEDAY_CONSUMER', 'handler')}-{os.getpid()}-{request}"
        self.log_group_name = f"/aws/lambda/{name}"
        self.log_stream_name = str(os.getpid())
        self._until = time.monotonic() + timeout_s

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._until - time.monotonic()) * 1000))


def load(named: str) -> Callable[..., Any]:
    """The function MODULE:FUNCTION, with the working directory first among the places where modules are found."""
    sys.path.insert(0, str(Path.cwd()))
    module, _, path = named.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    if not callable(found):
        raise TypeError(f"{named} is {type(found).__name__}, and nothing that could be called")
    return found  # type: ignore[no-any-return]  # Any, but callable


def answer(function: Callable[..., Any], request: dict[str, Any], name: str, loop: asyncio.AbstractEventLoop) -> str:
    """The answer as a line: a result that JSON cannot say is a failure, as with Lambda."""
    told = {"request": request["request"]}
    try:
        if "event" in request:
            result = function(request["event"], Context(name, request["request"], request["timeout_s"]))
        else:
            result = function(request["message"])
        if inspect.isawaitable(result):
            result = loop.run_until_complete(_awaited(result))
        return json.dumps({**told, "outcome": "ok", "result": result}, allow_nan=False)
    except Exception as error:
        traceback.print_exc()
        return json.dumps({**told, "outcome": "failed", "error": f"{type(error).__name__}: {error}"})


async def _awaited(result: Any) -> Any:
    return await result


def main() -> None:
    named = sys.argv[1]
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    # The descriptor itself, for what is printed by a library in C or by a process that the function starts.
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a file, as we were started
    sys.argv[:] = [named]
    function = load(named)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    def say(line: str) -> None:
        answers.write(f"{line}\n")
        answers.flush()

    say('{"ready": true}')
    for line in requests:
        say(answer(function, json.loads(line), named.partition(":")[2], loop))


if __name__ == "__main__":
    main()

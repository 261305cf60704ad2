"""The user's own messages before a run: made by their function, or drawn from their template, and looked at.

It promises that whatever is wrong with a message is said before anything is built; that a function runs in the Python
that the user names, one process for the whole load, and ends with this; and that what it made stands in the run
directory, where every process of the load reads the same.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from gameday.history.clock import NS_PER_S
from gameday.history.errors import ProcessError, UsageError
from gameday.history.identity import text_at
from gameday.loadgen.checks import Checks
from gameday.loadgen.config import LoadConfig
from gameday.loadgen.messages import INTERPRETER, Ask, Made, OwnMessages, attribute_of, written
from gameday.loadgen.schedule import Message
from gameday.loadgen.sender import ask_for
from gameday.processes.child import reap
from gameday.processes.undo import marked
from gameday.run.state import START_S, Run
from gameday.scenario.model import MessageSpec
from gameday.scenario.sending import imagined

SHIM = Path(__file__).resolve().parents[1] / "loadgen" / "message_shim.py"
# How long a function may take for one message, and its process to end.
_ANSWER_S = 60.0
_END_S = 5.0
# Of messages that are looked at: so many at a time.
_BREATH = 1000
# More than any service takes as a body, in JSON.
_LINE_BYTES = 64 * 1024**2
_TAIL_BYTES = 2_000


async def make_messages(run: Run) -> None:
    """Errors: UsageError for a message that cannot be sent, ProcessError for a function that makes none."""
    message = run.scenario.load.message
    if message is None:
        return
    own = run.context.own_messages
    config = replace(imagined(run.scenario, run.scenario.shape, seed=run.context.seed, run=run.context.id), own=own)
    if message.python is not None:
        run.view.phase("making the messages")
        await _by_function(run.context.directory, message, config, Path(own.path if own else ""))
    elif message.template is not None and (message.own.id_pointer or message.dedup_id):
        run.view.phase("looking at the messages")
        await _look_at_all(config)


async def _look_at_all(config: LoadConfig) -> None:
    """With this seed: what is drawn anew for each message may come twice. Errors: UsageError."""
    source = config.source()
    assert source is not None
    checks = Checks(config=config, where=source.where)
    for planned in config.schedule(source).messages(0):
        ask = ask_for(planned)
        _refuse(checks.wrong(source.make(ask), ask), source.where(ask.number))
        if not planned.number % _BREATH:
            # For a signal to be heard.
            await asyncio.sleep(0)


def _refuse(wrong: Iterable[str], where: str) -> None:
    """Errors: UsageError for the first thing that is wrong."""
    for why in wrong:
        raise UsageError(f"load.message: {where}: {why}")


async def _by_function(directory: Path, message: MessageSpec, config: LoadConfig, path: Path) -> None:
    schedule, own = config.schedule(), config.own
    assert own is not None
    checks = Checks(config=config, where=lambda number: f"message {number}")
    log = directory / "logs" / "messages.log"
    log.parent.mkdir(exist_ok=True)
    async with _started(message, log, marked(directory)) as process:
        assert process.stdin is not None and process.stdout is not None
        ready = await _answer(process.stdout, message, log, "to start", START_S)
        if not ready.get("ready"):
            raise ProcessError(f"load.message: {message.python} cannot be called: {ready.get('error')}{_tail(log)}")
        asking = asyncio.create_task(_ask_all(process.stdin, schedule.messages(0), config))
        try:
            with path.open("wb") as file:
                for planned in schedule.messages(0):
                    what = f"message {planned.number}"
                    answer = await _answer(process.stdout, message, log, f"with {what}", _ANSWER_S)
                    if "error" in answer:
                        raise ProcessError(
                            f"load.message: {message.python} failed on {what}: {answer['error']}{_tail(log)}"
                        )
                    try:
                        group, id, ask, made = _read(answer, own, planned)
                    except ValueError as error:
                        raise UsageError(f"load.message: {what}, from {message.python}: {error}") from None
                    _refuse(checks.wrong(made, ask), f"{what}, from {message.python}")
                    file.write(written(made, group=group, id=id))
        finally:
            asking.cancel()


async def _ask_all(stdin: asyncio.StreamWriter, messages: Iterable[Message], config: LoadConfig) -> None:
    """Ahead of the answers, as far as the pipe takes it; of a process that is gone the answers tell."""
    total = config.schedule().total
    with suppress(ConnectionError):
        for planned in messages:
            ask = {
                "n": planned.number,
                "group": planned.group,
                "seq": planned.seq,
                "seed": config.seed,
                "run": config.run,
                "at_s": planned.due / NS_PER_S,
                "total": total,
            }
            stdin.write(orjson.dumps(ask) + b"\n")
            await stdin.drain()
        stdin.close()


def _read(answer: Mapping[str, Any], own: OwnMessages, planned: Message) -> tuple[str | None, str | None, Ask, Made]:
    """The group and the id that it names, and the message. Errors: ValueError."""
    body = answer.get("body")
    if not isinstance(body, str):
        raise ValueError("it has no body")
    document: Any = None
    if own.pointers:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"it is not JSON ({error}), and a pointer leads into it") from None

    def told(key: str, pointer: str | None) -> str | None:
        returned = None if answer.get(key) is None else text_at(answer, f"/{key}")
        found = None if pointer is None else text_at(document, pointer)
        if None not in (returned, found) and returned != found:
            raise ValueError(f"its {key} was returned as {returned!r}, and at {pointer} stands {found!r}")
        return returned or found

    group, id = told("group", own.group), told("id", own.id_pointer)
    ask = ask_for(planned._replace(group=group or planned.group, id=id or f"m{planned.number}"))
    returned = answer.get("attributes") or {}
    if not isinstance(returned, dict):
        raise ValueError("its attributes are no dict")
    attributes = own.beside(document, ask.id) | {name: attribute_of(value) for name, value in returned.items()}
    made = Made(body=body, dedup_id=told("dedup_id", own.dedup_id), key=told("key", own.key), attributes=attributes)
    return group, id, ask, made


@asynccontextmanager
async def _started(
    message: MessageSpec, log: Path, mark: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Their process, which is gone afterwards, with whatever it started. Errors: ProcessError."""
    interpreter = message.interpreter or INTERPRETER
    env = {name: value for name, value in os.environ.items() if not name.startswith("GRAFANA_TOKEN")}
    try:
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *(interpreter, str(SHIM), str(message.python)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                cwd=message.cwd,
                env={**env, **mark},
                start_new_session=True,
                limit=_LINE_BYTES,
            )
    except OSError as error:
        raise ProcessError(f"load.message: cannot start {interpreter}: {error.strerror}") from error
    try:
        yield process
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _END_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await reap(process)


async def _answer(
    stdout: asyncio.StreamReader, message: MessageSpec, log: Path, what: str, within_s: float
) -> Mapping[str, Any]:
    """Errors: ProcessError."""
    try:
        async with asyncio.timeout(within_s):
            line = await stdout.readline()
        answer = orjson.loads(line) if line else None
    except TimeoutError:
        raise ProcessError(
            f"load.message: {message.python} took longer than {within_s:g} s {what}{_tail(log)}"
        ) from None
    except (orjson.JSONDecodeError, ValueError) as error:
        raise ProcessError(f"load.message: {message.python} answered {what} what cannot be read: {error}") from None
    if not isinstance(answer, dict):
        raise ProcessError(
            f"load.message: the process of {message.python} ended when it should come {what}{_tail(log)}"
        )
    return answer


def _tail(log: Path) -> str:
    """What their code said last, on lines of its own."""
    with suppress(OSError):
        if text := log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip():
            return f"\n{text}"
    return ""

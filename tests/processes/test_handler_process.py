"""The line protocol against programs that keep it, and against those that break it in every way there is."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gameday.history.errors import ProcessError
from gameday.processes import handler_process
from gameday.processes.handler_process import EffectUnknown, HandlerPool, Unanswered

DEADLINE_S = 20.0
READY = "echo '{\"ready\": true}'"
# Answers each request by its number with its own process id.
OK = (
    """while read -r line; do n=$((n+1)); echo "{\\"request\\": $n, \\"outcome\\": \\"ok\\", \\"result\\": $$}"; done"""
)
GOOD = f"{READY}; {OK}"


def say(text: str) -> str:
    """A shell command that prints this line."""
    return f"echo {shlex.quote(text)}"


FIRST_OK = say('{"request": 1, "outcome": "ok"}')


class Bench:
    """A pool of shells that carry out a script, and what it logs."""

    def __init__(self, script: str, cwd: Path, size: int = 1) -> None:
        self.log: list[str] = []
        self.pool = HandlerPool(
            ["/bin/sh", "-c", script],
            name="orders-1.1",
            cwd=cwd,
            env={"PATH": os.environ["PATH"]},
            size=size,
            say=self.log.append,
        )

    async def ask(self, timeout_s: float = DEADLINE_S) -> Any:
        return await self.pool.ask({"message": {"body": "b"}}, timeout_s=timeout_s)


@pytest.fixture
def told(tmp_path: Path) -> Callable[..., Bench]:
    """Carries out a scene on a bench, which is put away after it."""

    def carry_out(script: str, scene: Callable[[Bench], Awaitable[None]], size: int = 1) -> Bench:
        bench = Bench(script, tmp_path, size)

        async def whole() -> None:
            async with asyncio.timeout(DEADLINE_S):
                try:
                    await bench.pool.open()
                    await scene(bench)
                finally:
                    await bench.pool.close()

        asyncio.run(whole())
        return bench

    return carry_out


Told = Callable[..., Bench]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # another process's doing has no event
        await asyncio.sleep(0.01)


async def nothing(bench: Bench) -> None: ...


def test_one_process_answers_one_request_after_another(told: Told) -> None:
    async def scene(bench: Bench) -> None:
        assert await bench.ask() == await bench.ask() == await bench.ask()

    assert told(GOOD, scene).log == []


def test_it_is_told_the_request_and_how_long_it_has(told: Told, tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.ask(timeout_s=7.5)

    told(f'{READY}; read -r line; echo "$line" > asked; {FIRST_OK}', scene)
    assert (tmp_path / "asked").read_text() == '{"request":1,"timeout_s":7.5,"message":{"body":"b"}}\n'


def test_a_result_may_be_left_out(told: Told) -> None:
    async def scene(bench: Bench) -> None:
        assert await bench.ask() is None

    told(f"{READY}; read -r line; {FIRST_OK}", scene)


def test_as_many_requests_are_open_as_there_are_processes(told: Told) -> None:
    """Each waits until the other has been asked too."""
    script = f"{READY}; read -r line; touch asked-$$; until [ $(ls asked-* | wc -l) = 2 ]; do sleep 0.01; done; " + (
        'echo "{\\"request\\": 1, \\"outcome\\": \\"ok\\", \\"result\\": $$}"'
    )

    async def scene(bench: Bench) -> None:
        one, other = await asyncio.gather(bench.ask(), bench.ask())
        assert one != other

    told(script, scene, size=2)


def test_a_failure_is_told_and_the_process_goes_on(told: Told) -> None:
    async def scene(bench: Bench) -> None:
        with pytest.raises(EffectUnknown, match="out of stock") as failure:
            await bench.ask()
        assert not isinstance(failure.value, Unanswered)
        assert await bench.ask() == 2

    answers = [
        '{"request": 1, "outcome": "failed", "error": "out of stock"}',
        '{"request": 2, "outcome": "ok", "result": 2}',
    ]
    told(f"{READY}; " + "; ".join(f"read -r line; {say(answer)}" for answer in answers), scene)


def test_what_is_printed_is_no_answer_and_goes_to_the_log(told: Told) -> None:
    async def scene(bench: Bench) -> None:
        assert await bench.ask() == 5

    bench = told(
        f"echo starting; {READY}; read -r line; echo; echo '[1, 2]'; echo working; "
        + say('{"request": 1, "outcome": "ok", "result": 5}'),
        scene,
    )
    assert bench.log == [
        "orders-1.1's handler 1 printed: starting",
        "orders-1.1's handler 1 printed: ",
        "orders-1.1's handler 1 printed: [1, 2]",
        "orders-1.1's handler 1 printed: working",
    ]


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("exit 7", r"it ended \(exit code 7\)"),
        ("kill -9 $$", r"it ended \(signal 9\)"),
        (say('{"request": 1, "outcome":'), "which is no JSON; it was killed"),
        (say('{"request": 2, "outcome": "ok"}'), "does not answer request 1; it was killed"),
        (say('{"request": true, "outcome": "ok"}'), "does not answer request 1"),
        (say('{"outcome": "ok"}'), "does not answer request 1"),
        (say('{"level": "info", "message": "a log of JSON"}'), "does not answer request 1"),
        (say('{"request": 1}'), 'no outcome "ok" or "failed"'),
        (say('{"request": 1, "outcome": "done"}'), 'no outcome "ok" or "failed"'),
        ("head -c 70000 /dev/zero | tr '\\0' '{'; echo", "a line of more than 65536 bytes"),
    ],
)
def test_who_gives_no_answer_has_failed_and_another_process_takes_its_place(
    told: Told, does: str, why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(handler_process, "_LINE_BYTES_MAX", 65536)

    async def scene(bench: Bench) -> None:
        with pytest.raises(Unanswered, match=why):
            await bench.ask()
        assert await bench.ask() > 0

    # Once only: its successor keeps the protocol.
    told(f"{READY}; [ -e broken ] || {{ touch broken; read -r line; {does}; sleep 60; }}; {OK}", scene)


def test_who_never_answers_is_killed_with_what_it_has_started(told: Told, tmp_path: Path) -> None:
    def pids() -> list[int]:
        return [int(word) for word in (tmp_path / "pids").read_text().split()]

    async def scene(bench: Bench) -> None:
        with pytest.raises(Unanswered, match=r"did not answer within 0\.3 s, and was killed"):
            await bench.ask(timeout_s=0.3)
        await until(lambda: not any(map(alive, pids())))

    told(f"{READY}; read -r line; sleep 60 & echo $$ $! > pids; wait", scene)
    assert len(pids()) == 2


def test_who_does_not_read_is_killed_too(told: Told) -> None:
    async def scene(bench: Bench) -> None:
        with pytest.raises(Unanswered, match="did not answer"):
            await bench.pool.ask({"message": {"body": "x" * 1_000_000}}, timeout_s=0.3)

    told(f"{READY}; sleep 60", scene)


def test_an_answer_that_nobody_asked_for_ends_the_process(told: Told) -> None:
    """It is out of step: what it says next may be about anything."""

    async def scene(bench: Bench) -> None:
        first = await bench.ask()
        await until(lambda: not alive(first))
        assert await bench.ask() != first

    twice = 'echo "{\\"request\\": $n, \\"outcome\\": \\"ok\\", \\"result\\": $$}"'
    told(f"{READY}; n=1; while read -r line; do {twice}; {twice}; done", scene)


def test_who_waits_no_longer_kills_it(told: Told, tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        asking = asyncio.create_task(bench.ask())
        await until((tmp_path / "asked").exists)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        pid = int((tmp_path / "asked").read_text())
        await until(lambda: not alive(pid))

    told(f"{READY}; read -r line; echo $$ > tmp; mv tmp asked; sleep 60", scene)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo hello; exit 3", r"did not become ready: it ended \(exit code 3\)"),
        (say('{"hello": 1}'), r"\{\"hello\": 1\}, which is not \{\"ready\": true\}"),
        (say('{"ready": false}'), "which is not"),
    ],
)
def test_who_does_not_become_ready_cannot_be_started(told: Told, script: str, why: str) -> None:
    with pytest.raises(ProcessError, match=why):
        told(script, nothing)


def test_who_never_becomes_ready_is_not_waited_for(tmp_path: Path) -> None:
    async def scene() -> None:
        with pytest.raises(ProcessError, match=r"within 0\.2 s"):
            await handler_process.HandlerProcess.start(
                ["/bin/sh", "-c", "sleep 60"], name="h", cwd=tmp_path, env={}, say=print, limit_s=0.2
            )

    asyncio.run(scene())


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    pool = HandlerPool(["./nowhere"], name="h", cwd=tmp_path, env={}, size=2, say=print)
    with pytest.raises(ProcessError, match=r"cannot start the handler \./nowhere: No such file"):
        asyncio.run(pool.open())


@contextmanager
def quick_to_lose_patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(handler_process, "_END_S", 0.2)
    monkeypatch.setattr(handler_process, "_TERM_S", 0.2)
    yield


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (f"{READY}; cat > /dev/null; echo input ended > said", "input ended"),
        (f"trap 'echo told > said; exit' TERM; {READY}; while :; do sleep 0.05; done", "told"),
        (f"trap '' TERM; {READY}; while :; do sleep 0.05; done", None),
    ],
    ids=["by its input", "by SIGTERM", "by force"],
)
def test_it_ends(told: Told, script: str, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    with quick_to_lose_patience(monkeypatch):
        told(script, nothing)
    assert time.monotonic() - began < DEADLINE_S
    assert (tmp_path / "said").exists() == (said is not None)
    if said is not None:
        assert (tmp_path / "said").read_text().strip() == said


def test_one_that_is_stopped_is_woken_to_end(told: Told, tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        os.kill(await bench.ask(), signal.SIGSTOP)

    told(f"{READY}; {OK}; echo ended > said", scene)
    assert (tmp_path / "said").exists()

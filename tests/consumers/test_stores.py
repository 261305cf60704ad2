"""The stores: each step atomic and exact under many processes at once and under SIGKILL, on SQLite and on DynamoDB."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gameday.consumers.effects import Key
from gameday.consumers.sqlite import SqliteStore
from gameday.consumers.stores import STORES, make_store
from gameday.transports.base import CallFailed
from gameday.transports.endpoint import Endpoint
from tests.consumers.scripted import DEADLINE_S, opened
from tests.transports.asked import served


@pytest.fixture(scope="session")
def memory() -> Iterator[Endpoint]:
    """The in-memory broker."""
    with served() as url:
        yield Endpoint(urls={"*": url}, access_key="test", secret_key="test")


@pytest.fixture(params=["sqlite", *(pytest.param(name, marks=pytest.mark.live) for name in ("emulator", "memory"))])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[dict[str, str], Endpoint]:
    if request.param == "sqlite":
        return {"kind": "sqlite", "path": str(tmp_path / "effects.sqlite")}, Endpoint()
    return {"kind": "dynamodb", "table": f"effects-{tmp_path.name}"}, request.getfixturevalue(request.param)


def test_every_registered_store_is_tried_here() -> None:
    assert set(STORES) == {"sqlite", "dynamodb"}


def test_steps(settings: tuple[dict[str, str], Endpoint]) -> None:
    async def scene() -> None:
        async with opened(make_store(*settings)) as store:
            a, b = Key("orders", "a"), Key("orders", "b#1")
            assert not await store.seen(a)
            assert await store.claim(a)
            assert await store.seen(a)
            assert not await store.claim(a)
            assert not await store.claim_and_apply(a)
            assert await store.read_back("orders") == {}
            await store.apply(a)
            await store.apply(a)
            assert await store.claim_and_apply(b)
            assert not await store.claim_and_apply(b)
            await store.apply(Key("audit", "a"))
            assert await store.read_back("orders") == {"a": 2, "b#1": 1}
            assert await store.read_back("audit") == {"a": 1}

    asyncio.run(scene())


def test_a_mark_in_progress_keeps_others_away_until_it_expires(settings: tuple[dict[str, str], Endpoint]) -> None:
    async def scene() -> None:
        async with opened(make_store(*settings)) as store:
            a, b = Key("orders", "a"), Key("orders", "b")
            # Moments of a run, in nanoseconds: more digits than a float holds.
            now = 1_795_580_181_298_636_757
            assert await store.begin(a, now_ns=now, expires_ns=now + 100) == "begun"
            assert await store.begin(a, now_ns=now + 99, expires_ns=now + 300) == "in-progress"
            assert await store.begin(b, now_ns=now, expires_ns=now + 1) == "begun", "a mark is one message's"
            assert await store.begin(a, now_ns=now + 100, expires_ns=now + 200) == "begun", "it has expired"
            assert await store.begin(a, now_ns=now + 199, expires_ns=now + 300) == "in-progress"
            await store.finish(a)
            assert await store.begin(a, now_ns=now + 1000, expires_ns=now + 1100) == "done"
            await store.forget(a)
            await store.forget(a)
            assert await store.begin(a, now_ns=now, expires_ns=now + 100) == "begun"
            assert await store.read_back("orders") == {}

    asyncio.run(scene())


def test_many_steps_at_once_lose_nothing(settings: tuple[dict[str, str], Endpoint]) -> None:
    async def scene() -> None:
        async with opened(make_store(*settings)) as store:
            one = Key("orders", "one")
            await asyncio.gather(*(store.apply(one) for _ in range(20)))
            won = await asyncio.gather(*(store.claim_and_apply(Key("orders", f"m{n % 5}")) for n in range(20)))
            assert sum(won) == 5
            begun = await asyncio.gather(
                *(store.begin(Key("orders", f"p{n % 5}"), now_ns=0, expires_ns=9) for n in range(20))
            )
            assert sorted(begun) == ["begun"] * 5 + ["in-progress"] * 15
            assert await store.read_back("orders") == {"one": 20, **{f"m{n}": 1 for n in range(5)}}

    asyncio.run(scene())


def test_a_sqlite_store_that_was_never_created_says_where(tmp_path: Path) -> None:
    with pytest.raises(CallFailed, match=r"nowhere\.sqlite"):
        asyncio.run(SqliteStore(tmp_path / "nowhere.sqlite").open())


def test_a_failing_write_changes_nothing_and_every_step_of_it_hears(tmp_path: Path) -> None:
    async def scene() -> None:
        path = tmp_path / "effects.sqlite"
        store = SqliteStore(path)
        await store.create(tags={})
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TRIGGER no BEFORE INSERT ON effects BEGIN SELECT RAISE(FAIL, 'no more'); END")
        await store.open()
        answers = await asyncio.gather(
            *(store.claim_and_apply(Key("orders", id)) for id in "ab"), return_exceptions=True
        )
        assert all(isinstance(answer, CallFailed) and answer.definite for answer in answers)
        assert not await store.seen(Key("orders", "a")), "the mark went with the effect"
        await store.close()

    asyncio.run(scene())


WRITE_UNTIL_KILLED = """
import asyncio, sys
from pathlib import Path
from gameday.consumers.effects import Key
from gameday.consumers.sqlite import SqliteStore

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.open()
    n = 0
    while True:
        keys = [Key("orders", f"{sys.argv[2]}-{n + i}") for i in range(4)]
        await asyncio.gather(*(store.claim_and_apply(key) for key in keys))
        n += 4
        print(n, flush=True)

asyncio.run(main())
"""


@pytest.mark.live
def test_sqlite_keeps_what_it_answered_when_its_processes_are_killed(tmp_path: Path) -> None:
    path = tmp_path / "effects.sqlite"
    asyncio.run(SqliteStore(path).create(tags={}))
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITE_UNTIL_KILLED, str(path), who], stdout=subprocess.PIPE)
        for who in ("p", "q")
    ]
    answered: dict[str, int] = {}
    try:
        for who, process in zip("pq", processes, strict=True):
            assert process.stdout is not None
            for _ in range(25):
                answered[who] = int(process.stdout.readline())
    finally:
        for process in processes:
            process.kill()
            process.wait(DEADLINE_S)
    for who, process in zip("pq", processes, strict=True):
        assert process.stdout is not None
        if rest := process.stdout.read().split():
            # A last line may be torn by the kill; the one before it is whole.
            answered[who] = max([answered[who], *(int(line) for line in rest[:-1])])
        process.stdout.close()
    applied = asyncio.run(SqliteStore(path).read_back("orders"))
    for who, n in answered.items():
        assert all(applied[f"{who}-{i}"] == 1 for i in range(n))
    assert set(applied.values()) == {1}
    with closing(sqlite3.connect(path)) as connection:
        marks = {id for (id,) in connection.execute("SELECT id FROM guards")}
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert marks == set(applied), "mark and effect together or neither"

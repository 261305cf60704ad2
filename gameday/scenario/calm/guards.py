"""What a guard asks of the effect store for one message, found by letting the guard itself work on nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Mapping
from typing import Any, NamedTuple

from gameday.consumers.effects import Begun, Key
from gameday.consumers.guards import GUARDS, Job
from gameday.processes.handler_process import HandlerFailed


class Step(NamedTuple):
    """A step of the store in DynamoDB: its call, and the units that it writes and reads, of items below 1 KB. In a
    transaction each item counts twice (docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html).
    """

    operation: str
    writes: int
    reads: int


STEPS: Mapping[str, Step] = {
    "seen": Step("GetItem", 0, 1),
    "claim": Step("PutItem", 1, 0),
    "begin": Step("PutItem", 1, 0),
    "finish": Step("PutItem", 1, 0),
    "forget": Step("DeleteItem", 1, 0),
    "apply": Step("UpdateItem", 1, 0),
    "claim_and_apply": Step("TransactWriteItems", 4, 0),
}


def steps_of(guard: str, *, fails: bool = False) -> list[Step]:
    """The steps around a message that comes for the first time, and whose work is done or `fails`."""
    store = _Noting()

    async def work() -> None:
        if fails:
            raise HandlerFailed("it is poison")

    job = Job(
        store=store,  # type: ignore[arg-type]  # no guard creates, opens or reads back
        key=Key("orders", "id"),
        work=work,
        step=lambda point: None,
        now=lambda: 0,
        expiry_s=1.0,
    )
    try:
        _at_once(GUARDS[guard].stand_around(job))
    except HandlerFailed:
        assert fails
    return [STEPS[name] for name in store.asked]


def _at_once(work: Awaitable[Any]) -> None:
    """Nothing here waits for anything."""
    assert isinstance(work, Coroutine)
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("a guard waited for something else than its store and its work")


class _Noting:
    """A store in which nothing stands yet."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def seen(self, key: Key) -> bool:
        self.asked.append("seen")
        return False

    async def claim(self, key: Key) -> bool:
        self.asked.append("claim")
        return True

    async def begin(self, key: Key, *, now_ns: int, expires_ns: int) -> Begun:
        self.asked.append("begin")
        return "begun"

    async def finish(self, key: Key) -> None:
        self.asked.append("finish")

    async def forget(self, key: Key) -> None:
        self.asked.append("forget")

    async def apply(self, key: Key) -> None:
        self.asked.append("apply")

    async def claim_and_apply(self, key: Key) -> bool:
        self.asked.append("claim_and_apply")
        return True

"""Bodies that stand in objects, from the consumer's side: fetched, compared, removed, and what is told of each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gameday.consumers.objects import Objects
from gameday.consumers.schemas import conformity
from gameday.history import claim_check, envelope
from gameday.history.claim_check import Reference
from gameday.history.clock import NS_PER_S, Clock
from gameday.history.events import Record
from gameday.history.writer import DIRECTORY, Writer
from gameday.transports.base import Answer, Call, CallFailed
from tests.consumers.scripted import Bench, message, read_history

REFERENCE = Reference(bucket="bodies", object="r/a")
Make = Callable[..., Bench]
GONE = CallFailed("NoSuchKey", "there is no such object", definite=True)
BUSY = CallFailed("SlowDown", "too often", definite=True)


class Stream:
    """A body as aiobotocore gives it."""

    def __init__(self, body: bytes | Exception) -> None:
        self._body = body

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def read(self) -> bytes:
        if isinstance(self._body, Exception):
            raise self._body
        return self._body


def asked(
    run: Path, answers: Callable[[Call], Answer], what: Callable[[Objects], Any], *, expire_s: float | None = None
) -> tuple[Any, list[Record], list[str]]:
    """What came of it, what was told, and the calls that were made."""
    (run / DIRECTORY).mkdir()
    writer = Writer(run=run, name="c", clock=Clock.start())
    made: list[str] = []

    async def carry(call: Call) -> Answer:
        made.append(call.operation)
        return answers(call)

    objects = Objects(carry=carry, writer=writer, expire_s=expire_s)

    async def work() -> Any:
        return await what(objects)

    try:
        came: Any = asyncio.run(work())
    except CallFailed as failed:
        came = failed
    return came, read_history(run, "c"), made


def body(age_s: float = 0.0, content: bytes | Exception = b"body") -> Callable[[Call], Answer]:
    stored_ns = Clock.start().now_ns() - int(age_s * NS_PER_S)
    return lambda call: {"Body": Stream(content), "Metadata": {claim_check.STORED_NS: str(stored_ns)}}


def failing(failure: CallFailed) -> Callable[[Call], Answer]:
    def answers(call: Call) -> Answer:
        raise failure

    return answers


def test_what_is_there_is_fetched_and_nothing_else_is_touched(tmp_path: Path) -> None:
    assert asked(tmp_path, body(), lambda objects: objects.fetch(REFERENCE)) == (b"body", [], ["GetObject"])


def test_what_is_not_there_is_gone_and_what_nobody_knows_is_an_error(tmp_path: Path) -> None:
    fetch: Callable[[Objects], Any] = lambda objects: objects.fetch(REFERENCE)  # noqa: E731  # asked three times
    for n, (answers, expected) in enumerate(
        [(failing(GONE), None), (failing(BUSY), BUSY), (body(content=OSError("reset")), CallFailed)]
    ):
        run = tmp_path / str(n)
        run.mkdir()
        came, _, _ = asked(run, answers, fetch)
        assert came is expected or (isinstance(expected, type) and isinstance(came, expected) and not came.definite)


@pytest.mark.parametrize(("age_s", "gone"), [(1.0, False), (3.0, True)])
def test_an_expiry_that_is_played_removes_what_is_older(tmp_path: Path, age_s: float, gone: bool) -> None:
    came, told, made = asked(tmp_path, body(age_s), lambda objects: objects.fetch(REFERENCE), expire_s=2.0)
    assert came == (None if gone else b"body")
    assert [record["event"] for record in told] == (["removing", "removed"] if gone else [])
    assert made == ["GetObject", *(["DeleteObject"] if gone else [])]


@pytest.mark.parametrize(("failure", "outcome"), [(None, "ok"), (BUSY, "failed")])
def test_a_removal_is_told_before_and_after(tmp_path: Path, failure: CallFailed | None, outcome: str) -> None:
    answers = failing(failure) if failure else lambda call: {}
    _, told, _ = asked(
        tmp_path, answers, lambda objects: objects.remove(REFERENCE, id="a", subscription="orders", consumer="c")
    )
    assert [(record["event"], record["id"], record.get("outcome")) for record in told] == [
        ("removing", "a", None),
        ("removed", "a", outcome),
    ]


def test_conformity_asks_for_the_payload_and_the_conventions() -> None:
    asks = conformity({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})

    def event(payload: Any) -> bytes:
        content = envelope.Content(payload=payload, schema="order@1")
        return envelope.pack_event(id="a", run="r", group=None, timestamp_ns=1, content=content)

    assert asks(event({"n": 1}).decode()) == "ok"
    assert asks(event({"n": 1, "more": True}).decode()) == "ok"
    assert asks(event({"n": "1"}).decode()) == "bad"
    assert asks(event({"n": 1}).replace(b'"correlationId":"a"', b'"correlationId":""').decode()) == "bad"
    assert asks("no event") == "bad"
    # An order of ours has no payload of a schema.
    assert asks(envelope.pack(id="a", run="r", group=None, timestamp_ns=1, payload_bytes=0).decode()) == "bad"


def test_what_is_no_schema_is_told() -> None:
    with pytest.raises(ValueError, match="Unknown type"):
        conformity({"type": "wrong"})


# -- a worker with references in its queue


class Bucket:
    """Carries what is asked of S3; `objects` by their names."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = {f"r/{id}": stored for id, stored in objects.items()}

    async def __call__(self, call: Call) -> Answer:
        await asyncio.sleep(0)
        key = call.params["Key"]
        if call.operation == "DeleteObject":
            self.objects.pop(key, None)
            return {}
        if key not in self.objects:
            raise GONE
        return {"Body": Stream(self.objects[key]), "Metadata": {}}


def stored(id: str, **changed: Any) -> bytes:
    content = envelope.Content(payload={"n": 1})
    return envelope.pack_event(**{"id": id, "run": "r", "group": None, "timestamp_ns": 1, **changed}, content=content)


def reference_message(id: str, *, of: bytes) -> dict[str, Any]:
    reference = Reference(bucket="bodies", object=f"r/{id}", checksum=claim_check.checksum(of))
    content = envelope.Content(reference=reference)
    body = envelope.pack_event(id=id, run="r", group=None, timestamp_ns=1, content=content)
    return {**message(id), "Body": body.decode()}


def at_work(made: Bench, bucket: Bucket) -> list[str]:
    """What the worker told."""
    made.worker.tools = replace(
        made.worker.tools,
        objects=Objects(carry=bucket, writer=made.worker.tools.writer),
        conforms=conformity({"type": "object", "required": ["n"]}),
    )
    asyncio.run(made.work())
    return made.brief()


@pytest.mark.parametrize(
    ("removal", "order"),
    [
        ("keep", ["settling a delete", "settled a delete ok"]),
        ("after-settle", ["settling a delete", "settled a delete ok", "removing a", "removed a ok"]),
        ("before-settle", ["removing a", "removed a ok", "settling a delete", "settled a delete ok"]),
    ],
)
def test_an_object_is_removed_when_it_is_told_to(bench: Make, removal: str, order: list[str]) -> None:
    whole = stored("a")
    bucket = Bucket(a=whole)
    made = bench([reference_message("a", of=whole)], transport="sqs", removal=removal)
    assert at_work(made, bucket) == ["received a", "fetched a ok", "effect a applied", *order]
    assert bool(bucket.objects) == (removal == "keep")
    (fetched,) = [record for record in made.records() if record["event"] == "fetched"]
    assert (fetched["intact"], fetched["schema"], fetched["batch"]) == (True, "ok", "orders-1.1-1")
    # What was received is a reference, of which no schema is asked.
    assert "schema" not in made.records()[0]


@pytest.mark.parametrize(
    ("object", "told"),
    [
        (None, "fetched a gone"),
        (stored("b"), "fetched a ok"),
        (stored("a").replace(b'"n":1', b'"n":2'), "fetched a ok"),
    ],
    ids=["gone", "another message's", "changed"],
)
def test_a_body_that_is_not_there_or_another_fails_the_message(bench: Make, object: bytes | None, told: str) -> None:
    bucket = Bucket() if object is None else Bucket(a=object)
    made = bench([reference_message("a", of=stored("a"))], transport="sqs", removal="after-settle")
    assert at_work(made, bucket)[:4] == ["received a", told, "effect a failed", "settling a release"]
    assert not [record for record in made.records() if record.get("intact") is True and record["event"] == "fetched"]


def test_poison_that_stands_in_an_object_is_poison(bench: Make) -> None:
    whole = stored("a", poison=True)
    made = bench([reference_message("a", of=whole)], transport="sqs", removal="after-settle")
    assert "effect a failed" in at_work(made, Bucket(a=whole))

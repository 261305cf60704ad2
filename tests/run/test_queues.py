"""When a queue counts as drained, and how dead letters are read: decided on scripted answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from gameday.history import envelope
from gameday.history.clock import NS_PER_S, Clock
from gameday.history.errors import TargetError
from gameday.history.identity import Identification
from gameday.history.writer import DIRECTORY, Writer
from gameday.run import backlog
from gameday.run.backlog import Backlog
from gameday.run.queues import Queues
from gameday.transports.base import Addresses, Call, CallFailed
from gameday.transports.carriers.boto import BotoCarrier
from gameday.transports.registry import TRANSPORTS
from tests import sources

ADDRESSES = Addresses(send_to="q", queues={"orders": "q"}, dead_letter_queues={"orders": "dlq"})


class Broker:
    """Answers depths from a script, whose last line repeats, and holds dead letters."""

    def __init__(self, depths: list[tuple[int, int, int]], dead: list[dict[str, Any]] | None = None) -> None:
        self.depths = depths
        self.dead = dead or []
        self.received = 0
        self.looks = 0

    def __call__(self, call: Call) -> Mapping[str, Any]:
        if call.operation == "ReceiveMessage":
            self.received += 1
            # Every other short poll comes back empty although there is something.
            return {"Messages": self.dead[:10] if self.received % 2 else []}
        if call.operation == "DeleteMessageBatch":
            gone = {entry["ReceiptHandle"] for entry in call.params["Entries"]}
            self.dead = [message for message in self.dead if message["ReceiptHandle"] not in gone]
            return {"Successful": call.params["Entries"]}
        if call.params["QueueUrl"] == "dlq":
            return depths_answer(len(self.dead), 0, 0)
        look = self.depths[min(self.looks, len(self.depths) - 1)]
        self.looks += 1
        return depths_answer(*look)


def depths_answer(visible: int, hidden: int, delayed: int) -> Mapping[str, Any]:
    return {
        "Attributes": {
            "ApproximateNumberOfMessages": str(visible),
            "ApproximateNumberOfMessagesNotVisible": str(hidden),
            "ApproximateNumberOfMessagesDelayed": str(delayed),
        }
    }


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backlog, "look_again_s", 0.001)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    (tmp_path / DIRECTORY).mkdir()
    made = Writer(run=tmp_path, name="conductor", clock=Clock.start())
    yield made
    made.close()


def queues(broker: object, writer: Writer) -> Queues:
    return Queues(
        sources={"orders": sources.queue(TRANSPORTS["sqs"], ADDRESSES, "orders")},
        carrier=cast(BotoCarrier, broker),
        writer=writer,
    )


def drain(broker: Broker, writer: Writer, *, settled_in_s: float = 0, patience_s: float = 5) -> int:
    settled_ns = writer.clock.now_ns() + round(settled_in_s * NS_PER_S)
    depths = asyncio.run(
        queues(broker, writer).drain(settled_ns=settled_ns, patience_s=patience_s, tell=lambda depths: None)
    )
    return depths["orders"].total


def test_empty_once_is_not_drained(writer: Writer) -> None:
    broker = Broker([(3, 0, 0), (0, 0, 0), (0, 1, 0), (0, 0, 0), (0, 0, 0)])
    assert drain(broker, writer) == 0
    assert broker.looks == 5


def test_where_counts_settle_late_it_has_to_be_told_empty_for_so_long(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS's counts may miss for a minute what is there: a look that finds something begins the time anew."""
    ticks = count(0, NS_PER_S)
    monkeypatch.setattr(Clock, "now_ns", lambda self: next(ticks))
    broker = Broker([(0, 0, 0), (0, 0, 0), (0, 1, 0), (0, 0, 0)])
    depths = asyncio.run(
        queues(broker, writer).drain(settled_ns=0, patience_s=500, empty_for_s=60, tell=lambda depths: None)
    )
    assert depths["orders"].total == 0
    looks = [at for at, mark in enumerate(depth_marks(writer)) if not mark["hidden"]]
    marks = depth_marks(writer)
    assert marks[2]["hidden"] == 1 and looks[-1] == len(marks) - 1
    # From the first of them that found nothing any more to the last.
    assert (marks[-1]["at"] - marks[3]["at"]) / NS_PER_S >= 60 - 2
    assert len(marks) > 10


def depth_marks(writer: Writer) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in writer.path.read_bytes().splitlines()]
    return [record for record in records if record.get("name") == "depth"]


def test_a_look_counts_the_dead_letters_too(writer: Writer) -> None:
    dead = [{"ReceiptHandle": str(n)} for n in range(3)]
    asyncio.run(queues(Broker([(2, 1, 0)], dead), writer).look())
    (mark,) = depth_marks(writer)
    assert (mark["visible"], mark["hidden"], mark["dead_letters"]) == (2, 1, 3)


def test_a_dead_letter_queue_that_nobody_may_look_at_ends_nothing(writer: Writer) -> None:
    class Denied(Broker):
        def __call__(self, call: Call) -> Mapping[str, Any]:
            if call.params["QueueUrl"] == "dlq":
                raise CallFailed("AccessDenied", "not yours", definite=True)
            return super().__call__(call)

    assert drain(Denied([(2, 0, 0), (0, 0, 0)]), writer) == 0
    marks = depth_marks(writer)
    assert len(marks) > 1 and not any("dead_letters" in mark for mark in marks)


@pytest.mark.parametrize("left", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_whatever_is_left_is_not_drained(writer: Writer, left: tuple[int, int, int]) -> None:
    assert drain(Broker([(5, 0, 0), left]), writer, patience_s=0.02) == 1


def test_patience_begins_anew_with_every_message_less(writer: Writer) -> None:
    # Far longer than the patience in all, but never as long without a message less.
    assert drain(Broker([(n, 0, 0) for n in range(200, -1, -1)]), writer, patience_s=0.15) == 0


def test_empty_before_it_had_to_settle_is_not_drained(writer: Writer) -> None:
    broker = Broker([(0, 0, 0)])
    settled_ns = writer.clock.now_ns() + NS_PER_S // 5
    assert drain(broker, writer, settled_in_s=0.2, patience_s=0.001) == 0
    assert writer.clock.now_ns() > settled_ns


def dead_letters(count: int) -> list[dict[str, Any]]:
    return [
        {
            "MessageId": f"m{n}",
            "ReceiptHandle": f"r{n}",
            "Body": envelope.pack(id=f"g-{n}", run="r", group="g", timestamp_ns=0, payload_bytes=10).decode(),
            "Attributes": {"ApproximateReceiveCount": "4"},
        }
        for n in range(count)
    ]


def recorded(writer: Writer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in writer.path.read_bytes().splitlines()]


def test_every_dead_letter_is_recorded_without_the_read_that_found_it(writer: Writer) -> None:
    broker = Broker([(0, 0, 0)], dead_letters(25))
    assert asyncio.run(queues(broker, writer).drain_dead_letters()) == 25
    assert broker.dead == []
    records = recorded(writer)
    assert sorted(record["id"] for record in records) == sorted(f"g-{n}" for n in range(25))
    assert {(record["event"], record["subscription"], record["receives"]) for record in records} == {
        ("dead", "orders", 3)
    }


@pytest.mark.parametrize(
    ("identification", "known"),
    [
        (Identification(by="pointer", id="/no"), {"id": "7"}),
        (Identification(by="attribute"), {"id": "m7"}),
        (Identification(by="broker"), {"broker_id": "b7"}),
        (Identification(by="pointer", id="/id"), None),
    ],
)
def test_dead_letters_of_the_users_own_are_known_as_their_receives_are(
    writer: Writer, identification: Identification, known: dict[str, str] | None
) -> None:
    attributes = {"gameday-id": {"DataType": "String", "StringValue": "m7"}}
    dead = {"MessageId": "b7", "ReceiptHandle": "r7", "Body": '{"no": 7}', "MessageAttributes": attributes}
    broker = Broker([(0, 0, 0)], [dead])
    source = TRANSPORTS["sqs"].subscription(ADDRESSES, "orders", identification)
    assert source.kind == "queue"
    made = Queues(sources={"orders": source}, carrier=cast(BotoCarrier, broker), writer=writer)
    assert asyncio.run(made.drain_dead_letters()) == (0 if known is None else 1)
    assert broker.dead == [], "what is nobody's goes, too"
    told = [{key: record[key] for key in ("id", "broker_id") if key in record} for record in recorded(writer)]
    assert told == ([] if known is None else [known])


def test_dead_letters_that_come_again_after_every_delete_end_the_reading(writer: Writer) -> None:
    class Undeleting(Broker):
        def __call__(self, call: Call) -> Mapping[str, Any]:
            if call.operation == "DeleteMessageBatch":
                return {"Successful": call.params["Entries"]}
            return super().__call__(call)

    with pytest.raises(TargetError, match="again and again"):
        asyncio.run(queues(Undeleting([], dead_letters(2)), writer).drain_dead_letters())


def test_dead_letters_that_cannot_be_deleted_end_the_reading(writer: Writer) -> None:
    class Stubborn(Broker):
        def __call__(self, call: Call) -> Mapping[str, Any]:
            if call.operation != "DeleteMessageBatch":
                return super().__call__(call)
            return {"Failed": [{"Id": e["Id"], "Code": "No", "SenderFault": True} for e in call.params["Entries"]]}

    with pytest.raises(TargetError, match="orders: dead letters cannot be deleted: No"):
        asyncio.run(queues(Stubborn([(0, 0, 0)], dead_letters(3)), writer).drain_dead_letters())


class Hiding(Broker):
    """Hides what it hands out, until it is given back or deleted."""

    def __init__(self, dead: list[dict[str, Any]]) -> None:
        super().__init__([(0, 0, 0)], dead)
        self.hidden: list[dict[str, Any]] = []

    def __call__(self, call: Call) -> Mapping[str, Any]:
        handles = {entry["ReceiptHandle"] for entry in call.params.get("Entries", ())}
        match call.operation:
            case "ReceiveMessage":
                handed, self.dead = self.dead[:10], self.dead[10:]
                self.hidden += handed
                return {"Messages": handed}
            case "ChangeMessageVisibilityBatch":
                if not call.params["Entries"][0]["VisibilityTimeout"]:
                    self.dead += [each for each in self.hidden if each["ReceiptHandle"] in handles]
                    self.hidden = [each for each in self.hidden if each["ReceiptHandle"] not in handles]
                return {"Successful": call.params["Entries"]}
            case "DeleteMessageBatch":
                self.hidden = [each for each in self.hidden if each["ReceiptHandle"] not in handles]
                return {"Successful": call.params["Entries"]}
            case _ if call.params["QueueUrl"] == "dlq":
                return depths_answer(len(self.dead), len(self.hidden), 0)
        return super().__call__(call)


def attached(broker: object, writer: Writer, *, leaves_at: int) -> Queues:
    source = TRANSPORTS["sqs"].subscription(ADDRESSES, "orders", Identification(run="r"))
    assert source.kind == "queue"
    return Queues(sources={"orders": source}, carrier=cast(BotoCarrier, broker), writer=writer, leaves_at=leaves_at)


def others(count: int) -> list[dict[str, Any]]:
    return [{"MessageId": f"o{n}", "ReceiptHandle": f"h{n}", "Body": "hello"} for n in range(count)]


def test_dead_letters_of_others_stay_where_they_are(writer: Writer) -> None:
    broker = Hiding([*others(3), *dead_letters(12)])
    assert asyncio.run(attached(broker, writer, leaves_at=100).drain_dead_letters()) == 12
    assert broker.dead == others(3), "given back, and none deleted"
    records = recorded(writer)
    assert sum(record["count"] for record in records if record.get("name") == "foreign") == 3
    assert len([record for record in records if record["event"] == "dead"]) == 12


def test_of_too_many_dead_letters_of_others_the_rest_is_left_unread(writer: Writer) -> None:
    broker = Hiding(others(40))
    assert asyncio.run(attached(broker, writer, leaves_at=5).drain_dead_letters()) == 0
    assert sorted(each["MessageId"] for each in broker.dead) == sorted(each["MessageId"] for each in others(40))


def test_dead_letters_of_others_are_moved_nowhere(writer: Writer) -> None:
    broker = Hiding([*others(1), *dead_letters(2)])
    with pytest.raises(TargetError, match="1 of its dead letters are none of this run's"):
        asyncio.run(attached(broker, writer, leaves_at=100).redrive())
    assert len(broker.dead) == 3, "all were let go"


def test_what_consumers_have_kept_is_given_back(writer: Writer) -> None:
    broker = Hiding([])
    broker.hidden = others(23)
    given = asyncio.run(attached(broker, writer, leaves_at=100).give_back("orders", [f"h{n}" for n in range(23)]))
    assert given == 23 and broker.hidden == []


class Mover:
    """A dead-letter queue that hides what it hands out, and moves what it holds when told to, in the end or never."""

    def __init__(self, dead: list[dict[str, Any]], *, ends: str = "COMPLETED", locked: bool = False) -> None:
        self.visible, self.hidden = dead, list[dict[str, Any]]()
        self.ends, self.locked = ends, locked
        self.asked = 0
        self.moved: list[str] = []

    def __call__(self, call: Call) -> Mapping[str, Any]:
        match call.operation:
            case "ReceiveMessage":
                handed = [] if self.locked and self.hidden else self.visible[:10]
                self.visible, self.hidden = self.visible[len(handed) :], self.hidden + handed
                return {"Messages": handed}
            case "ChangeMessageVisibilityBatch":
                self.visible, self.hidden = self.visible + self.hidden, []
                return {"Successful": call.params["Entries"]}
            case "StartMessageMoveTask":
                assert call.params == {"SourceArn": "arn:dlq"}
                self.moved = [message["MessageId"] for message in self.visible]
                return {"TaskHandle": "t"}
            case "ListMessageMoveTasks":
                self.asked += 1
                return {
                    "Results": [{"Status": self.ends if self.asked > 2 else "RUNNING", "FailureReason": "a reason"}]
                }
            case _ if call.params["AttributeNames"] == ["QueueArn"]:
                return {"Attributes": {"QueueArn": "arn:dlq"}}
        return depths_answer(len(self.visible), len(self.hidden), 0)


def test_dead_letters_are_recorded_let_go_and_then_moved_back(writer: Writer) -> None:
    broker = Mover(dead_letters(25))
    assert asyncio.run(queues(broker, writer).redrive()) == 25
    assert len(broker.moved) == 25
    events = [(record["event"], record["id"]) for record in recorded(writer)]
    ids = [f"g-{n}" for n in range(25)]
    assert events == [*(("dead", id) for id in ids), *(("redriven", id) for id in ids)]


def test_no_dead_letter_no_move(writer: Writer) -> None:
    broker = Mover([])
    assert asyncio.run(queues(broker, writer).redrive()) == 0
    assert not broker.moved
    assert recorded(writer) == []


def test_a_move_that_fails_is_told(writer: Writer) -> None:
    with pytest.raises(TargetError, match="not moved back: FAILED: a reason"):
        asyncio.run(queues(Mover(dead_letters(3), ends="FAILED"), writer).redrive())


def test_dead_letters_that_cannot_be_seen_are_not_moved(writer: Writer) -> None:
    broker = Mover(dead_letters(25), locked=True)
    with pytest.raises(TargetError, match="15 dead letters stand behind others of their group"):
        asyncio.run(queues(broker, writer).redrive())
    assert not broker.moved


def test_a_broker_that_is_silent_for_long_is_gone(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(call: Call) -> Mapping[str, Any]:
        raise CallFailed("EndpointConnectionError", "nobody there", definite=True)

    monkeypatch.setattr(backlog, "_SILENCE_S", 0.01)
    with pytest.raises(TargetError, match="the target no longer answers GetQueueAttributes: EndpointConnectionError"):
        asyncio.run(queues(silent, writer).look())

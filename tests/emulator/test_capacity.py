"""A capacity that is planted: as much passes in a second as it says, nothing is lost, and who waits is told in time."""

from __future__ import annotations

import itertools
import time

import boto3
import pytest
from botocore.config import Config

from gameday.emulator.broker import Broker, LongPoll
from gameday.emulator.capacity import Bucket, Capacity
from gameday.emulator.wire import Refused
from gameday.history.clock import NS_PER_S
from tests.emulator.inside import Inside
from tests.emulator.test_process import CREDENTIALS, ready, start

MS = NS_PER_S // 1000


def passed(bucket: Bucket, *, every_ns: int, seconds: int, at_once: int) -> int:
    """How many pass, where somebody asks for so many every so often, and takes what there is."""
    count = 0
    for now in range(0, seconds * NS_PER_S, every_ns):
        taken = min(at_once, bucket.available(now))
        bucket.take(taken)
        count += taken
    return count


@pytest.mark.parametrize("per_s", [7, 200, 2000])
@pytest.mark.parametrize("every_ms, at_once", [(1, 10), (1, 1000), (20, 1000)])
def test_as_much_passes_as_it_says(per_s: float, every_ms: int, at_once: int) -> None:
    count = passed(Bucket(per_s), every_ns=every_ms * MS, seconds=10, at_once=at_once)
    assert count == pytest.approx(per_s * 10, rel=0.006, abs=1)


def test_less_is_asked_for_than_may_pass() -> None:
    assert passed(Bucket(200), every_ns=10 * MS, seconds=10, at_once=1) == 1000


def test_what_was_not_used_is_not_kept() -> None:
    bucket = Bucket(200)
    assert bucket.available(0) == bucket.available(60 * NS_PER_S) == 11


def test_what_is_owed_is_paid_first() -> None:
    bucket = Bucket(100)
    bucket.available(NS_PER_S)
    bucket.take(16)  # of 6
    assert bucket.next_ns() == NS_PER_S + 110 * MS
    assert [bucket.available(NS_PER_S + ms * MS) for ms in (0, 109, 110, 120)] == [0, 0, 1, 2]
    assert bucket.next_ns() is None


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
def test_a_capacity_that_is_none(wrong: float) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        Capacity.of(sends_per_s=wrong)


@pytest.mark.parametrize("name", ["q", "q.fifo"])
def test_receives_are_held_to_it_and_nothing_is_lost(name: str) -> None:
    here = Inside(capacity=Capacity.of(receives_per_s=100))
    queue = here.queue(name)
    for n in range(30):
        here.send(queue, f"{n % 3}-{n}")
    got = []
    for _ in range(10):
        got.append(sorted(here.take(queue)))
        here.later(0.02)
    assert [len(each) for each in got[:3]] == [6, 2, 2]
    here.later(10)
    assert len(set(itertools.chain(*got))) == sum(map(len, got))
    assert len(here.bodies(queue)) == 6


def test_sends_beyond_it_are_refused() -> None:
    broker = Broker(url="", capacity=Capacity.of(sends_per_s=100))
    url = broker.call(0, "CreateQueue", {"QueueName": "q"})["QueueUrl"]
    entries = [{"Id": str(n), "MessageBody": "x"} for n in range(10)]

    def send(now: int) -> str:
        try:
            broker.call(now, "SendMessageBatch", {"QueueUrl": url, "Entries": entries})
        except Refused as refused:
            return refused.code
        return "ok"

    accepted = sum(send(now) == "ok" for now in range(0, 10 * NS_PER_S, 3 * MS))
    assert send(10 * NS_PER_S - MS) == "RequestThrottled"
    assert accepted * 10 == pytest.approx(1000, rel=0.02)


def test_a_poll_is_told_when_there_may_be_something() -> None:
    broker = Broker(url="", capacity=Capacity.of(receives_per_s=10))
    url = broker.call(0, "CreateQueue", {"QueueName": "q"})["QueueUrl"]
    for _ in range(2):
        broker.call(0, "SendMessage", {"QueueUrl": url, "MessageBody": "x"})
    broker.call(0, "ReceiveMessage", {"QueueUrl": url})
    poll = broker.call(0, "ReceiveMessage", {"QueueUrl": url, "WaitTimeSeconds": 5})
    assert isinstance(poll, LongPoll)
    assert poll.queue.next_change_ns() == 50 * MS
    assert poll.ask(49 * MS) is None
    assert poll.ask(50 * MS)


@pytest.mark.live
def test_the_process_holds_long_polls_to_it() -> None:
    process = start("--receives-per-s", "100")
    try:
        sqs = boto3.client("sqs", endpoint_url=ready(process), config=Config(read_timeout=30), **CREDENTIALS)
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        for first in range(0, 60, 10):
            entries = [{"Id": str(n), "MessageBody": str(n)} for n in range(first, first + 10)]
            sqs.send_message_batch(QueueUrl=url, Entries=entries)
        began, got = time.monotonic(), 0
        while got < 60:
            answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=5)
            assert answer.get("Messages"), "a poll waited in vain"
            got += len(answer["Messages"])
        assert time.monotonic() - began >= 0.5
    finally:
        process.kill()
        process.wait()


def test_the_process_refuses_a_capacity_that_is_none() -> None:
    process = start("--sends-per-s", "0")
    _, errors = process.communicate(timeout=15)
    assert process.returncode == 2
    assert b"more than 0" in errors

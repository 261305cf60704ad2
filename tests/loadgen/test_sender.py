"""The sender: what stands in the history before and after each call, whatever the call does."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from history.clock import NS_PER_S, Clock
from history.control import Disturbance
from history.writer import DIRECTORY, Writer
from loadgen.config import LoadConfig
from loadgen.lanes import Feed, Lane
from loadgen.lost_replies import KIND, LostReplies
from loadgen.sender import Sample, Sender
from transports.base import Addresses, Answer, Call, CallFailed, SubscriptionSpec, Topology
from transports.endpoint import Endpoint

Broker = Callable[[Call], Answer]


def accept(call: Call) -> Answer:
    return {"Successful": [{"Id": e["Id"], "MessageId": "b", "SequenceNumber": "7"} for e in call.params["Entries"]]}


@pytest.fixture
def config(tmp_path: Path) -> LoadConfig:
    (tmp_path / DIRECTORY).mkdir()
    return LoadConfig(
        run_dir=str(tmp_path),
        run="r1",
        clock=str(Clock.start()),
        endpoint=Endpoint(),
        transport="memory-fifo",
        addresses=Addresses(send_to="queue", queues={"orders": "queue"}),
        topology=Topology(subscriptions=[SubscriptionSpec(name="orders")]),
        rate_per_s=2000,
        duration_s=0.02,
        groups=8,
        users=1,
        batch=5,
        poison_share=0.1,
    )


def wait(seconds: float) -> bool:
    """Nobody stops this lane."""
    time.sleep(seconds)
    return False


def send(
    config: LoadConfig, broker: Broker, lost_replies: LostReplies | None = None
) -> tuple[list[dict[str, Any]], Lane, list[Sample]]:
    """Run one lane to its end, everything being due already; its records, its lane, its samples."""
    clock = Clock.parse(config.clock)
    writer = Writer(run=Path(config.run_dir), name="load", clock=clock)
    lane = Lane(batch=config.batch, ordered=True, give_up_ns=round(config.give_up_s * 1e9))
    samples: list[Sample] = []
    sender = Sender(
        config=config,
        number=0,
        lane=lane,
        writer=writer,
        clock=clock,
        carry=broker,
        lost_replies=lost_replies or LostReplies(),
        count=samples.append,
    )
    messages = config.schedule().messages(clock.now_ns() - NS_PER_S)
    sender.run(Feed(messages, {0: lane}), wait=wait)
    writer.close()
    return [orjson.loads(line) for line in writer.path.read_bytes().splitlines()], lane, samples


def test_intent_before_the_call_and_outcome_after_it(config: LoadConfig) -> None:
    path = Path(config.run_dir) / DIRECTORY / "load.jsonl"
    seen_before: list[int] = []

    def broker(call: Call) -> Answer:
        lines = path.read_bytes().splitlines()
        last = [orjson.loads(line) for line in lines[-len(call.params["Entries"]) :]]
        assert [record["event"] for record in last] == ["intended"] * len(call.params["Entries"])
        dedup = [entry["MessageDeduplicationId"] for entry in call.params["Entries"]]
        assert [f"r1-{record['id']}" for record in last] == dedup
        groups = [entry["MessageGroupId"] for entry in call.params["Entries"]]
        assert len(set(groups)) == len(groups) <= 5
        seen_before.append(len(lines))
        return accept(call)

    records, lane, samples = send(config, broker)
    intended = [r for r in records if r["event"] == "intended"]
    sent = [r for r in records if r["event"] == "sent"]
    assert len(intended) == len(sent) == lane.tally.acked == 40
    assert len(samples) == len(seen_before)
    assert {"producer", "group", "seq", "due", "expect", "bytes", "poison"} <= intended[0].keys()
    assert intended[0]["expect"] == ["orders"]
    assert all(r["bytes"] >= 512 for r in intended)
    assert all(r["outcome"] == "ok" and r["broker_seq"] == "7" and r["started"] <= r["at"] for r in sent)
    assert len({(r["call"], r["entry"]) for r in sent}) == 40
    assert records[-1]["name"] == "closed"


def test_entries_of_one_batch_are_accounted_one_by_one(config: LoadConfig) -> None:
    seen: defaultdict[str, int] = defaultdict(int)
    bodies: defaultdict[str, set[str]] = defaultdict(set)

    def broker(call: Call) -> Answer:
        answer: dict[str, list[Any]] = {"Successful": [], "Failed": []}
        for entry in call.params["Entries"]:
            id = entry["MessageDeduplicationId"]
            bodies[id].add(entry["MessageBody"])
            seen[id] += 1
            if seen[id] == 1 and entry["Id"] in ("1", "2"):
                blame = entry["Id"] == "1"
                answer["Failed"].append({"Id": entry["Id"], "Code": "Oops", "Message": "no", "SenderFault": blame})
            elif seen[id] > 1 or entry["Id"] != "3":
                answer["Successful"].append({"Id": entry["Id"], "MessageId": "b"})
        return answer

    records, lane, _ = send(config, broker)
    sent = [r for r in records if r["event"] == "sent"]
    by_place = {r["entry"]: (r["outcome"], r.get("error")) for r in sent if r["call"] == "user-0-call-1"}
    assert by_place[0] == ("ok", None)
    assert by_place[1] == ("failed", "Oops: no")
    assert by_place[2] == ("unknown", "Oops: no")
    assert by_place[3] == ("unknown", "entry missing from the answer")
    assert lane.tally.acked == 40
    assert all(len(different) == 1 for different in bodies.values()), "a retry is the same message"
    retries = [r for r in records if r["event"] == "intended" and r["attempt"] > 1]
    assert retries
    assert all(r.keys() == {"event", "at", "by", "id", "attempt", "producer"} for r in retries)


@pytest.mark.parametrize(("definite", "outcome"), [(True, "failed"), (False, "unknown")])
def test_a_failed_call_is_the_outcome_of_all_its_entries(config: LoadConfig, definite: bool, outcome: str) -> None:
    def broker(call: Call) -> Answer:
        raise CallFailed("Broken", "always", definite=definite)

    records, lane, samples = send(replace(config, give_up_s=0.2), broker)
    sent = [r for r in records if r["event"] == "sent"]
    assert sent
    assert {(r["outcome"], r["error"]) for r in sent} == {(outcome, "Broken: always")}
    assert getattr(lane.tally, outcome) == lane.tally.intended > 0
    attempts: defaultdict[str, list[int]] = defaultdict(list)
    for record in sent:
        attempts[record["id"]].append(record["attempt"])
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in attempts.values())
    assert {o.outcome for sample in samples for o in sample.outcomes} == {outcome}


def test_a_lost_reply_is_a_call_that_arrived(config: LoadConfig) -> None:
    arrived: set[str] = set()

    def broker(call: Call) -> Answer:
        arrived.update(entry["MessageDeduplicationId"] for entry in call.params["Entries"])
        return accept(call)

    lost_replies = LostReplies()
    lost_replies.arm(Disturbance(kind=KIND, instance="lost-1", share=0.2, seed=15))
    records, lane, _ = send(config, broker, lost_replies)
    unknown = [r for r in records if r["event"] == "sent" and r["outcome"] == "unknown"]
    fired = lost_replies.disarm("lost-1")
    assert fired == len({r["call"] for r in unknown}) > 0
    assert all("ReadTimeoutError" in r["error"] and f"r1-{r['id']}" in arrived for r in unknown)
    assert lane.tally.acked == 40


def test_lost_replies_count_what_fired() -> None:
    lost_replies = LostReplies()
    lost_replies.arm(Disturbance(kind=KIND, instance="third", nth=3))
    struck = []
    for n in range(1, 7):
        try:
            lost_replies.strike(f"call-{n}")
        except CallFailed as failure:
            assert failure.outcome == "unknown"
            struck.append(n)
    assert struck == [3]
    assert lost_replies.disarm("third") == 1
    assert lost_replies.disarm("never armed") == 0
    lost_replies.strike("call-8")

"""The sender: what stands in the history before and after each call, whatever the call does."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from gameday.history import envelope, trace
from gameday.history.clock import NS_PER_S, Clock
from gameday.history.writer import DIRECTORY, Writer
from gameday.loadgen.config import LoadConfig
from gameday.loadgen.lanes import Feed, Lane
from gameday.loadgen.messages import OwnMessages
from gameday.loadgen.sender import Sample, Sender
from gameday.loadgen.tenants import TenantClass
from gameday.transports.base import Addresses, Answer, Call, CallFailed, SubscriptionSpec, Topology
from gameday.transports.endpoint import Endpoint

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
        transport="sqs-fifo",
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


def send(config: LoadConfig, broker: Broker) -> tuple[list[dict[str, Any]], Lane, list[Sample]]:
    """Run one lane to its end, everything being due already; its records, its lane, its samples."""
    clock = Clock.parse(config.clock)
    writer = Writer(run=Path(config.run_dir), name="load", clock=clock)
    lane = config.lane()
    source = config.source()
    samples: list[Sample] = []
    sender = Sender(
        config=config,
        number=0,
        lane=lane,
        writer=writer,
        clock=clock,
        carry=broker,
        count=samples.append,
        source=source,
    )
    messages = config.schedule(source).messages(clock.now_ns() - NS_PER_S)
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


def test_a_lost_reply_leaves_its_messages_unknown_and_they_are_sent_again(config: LoadConfig) -> None:
    arrived: list[str] = []
    calls: list[Call] = []

    def broker(call: Call) -> Answer:
        calls.append(call)
        arrived.extend(entry["MessageDeduplicationId"].removeprefix("r1-") for entry in call.params["Entries"])
        if len(calls) % 3 == 1:
            raise CallFailed("ConnectionClosedError", "the connection broke", definite=False)
        return accept(call)

    records, lane, _ = send(config, broker)
    unknown = [r for r in records if r["event"] == "sent" and r["outcome"] == "unknown"]
    assert unknown and all("ConnectionClosedError" in r["error"] for r in unknown)
    assert all(arrived.count(r["id"]) > 1 for r in unknown)
    assert lane.tally.acked == 40


def throttled(call: Call, stored: Callable[[dict[str, Any]], bool]) -> Answer:
    """Of a call to SQS, entry by entry, whether it is stored."""
    entries = call.params["Entries"]
    refused = {"Code": "RequestThrottled", "Message": "The entry was refused.", "SenderFault": True}
    went = {entry["Id"]: stored(entry) for entry in entries}
    return {
        "Successful": [{"Id": id, "MessageId": "b"} for id, ok in went.items() if ok],
        "Failed": [{"Id": id, **refused} for id, ok in went.items() if not ok],
    }


def test_a_throttled_entry_is_sent_again_and_the_rest_of_its_call_is_not(config: LoadConfig) -> None:
    stored: list[str] = []
    asked: list[str] = []

    def store(entry: dict[str, Any]) -> bool:
        id = entry["MessageDeduplicationId"].removeprefix("r1-")
        asked.append(id)
        ok = len(asked) % 3 != 0
        if ok:
            stored.append(id)
        return ok

    records, lane, samples = send(config, lambda call: throttled(call, store))
    sent = [r for r in records if r["event"] == "sent"]
    refused = [r for r in sent if r["outcome"] == "failed"]
    assert len(refused) == len(asked) - len(stored) > 0
    assert all("RequestThrottled" in r["error"] for r in refused)
    assert stored == [r["id"] for r in sent if r["outcome"] == "ok"], "each is stored once, and only what is said to be"
    assert lane.tally.acked == len(stored) == len(set(stored)) == 40
    calls: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in sent:
        calls[record["call"]].append(record)
    assert all([r["entry"] for r in entries] == list(range(len(entries))) for entries in calls.values())
    assert [len(sample.outcomes) for sample in samples] == [len(entries) for entries in calls.values()]
    assert {"ok", "failed"} in [{r["outcome"] for r in entries} for entries in calls.values()]


def test_of_a_call_of_which_nothing_was_stored_nothing_is_accepted(config: LoadConfig) -> None:
    records, lane, _ = send(replace(config, give_up_s=0.2), lambda call: throttled(call, lambda entry: False))
    assert {r["outcome"] for r in records if r["event"] == "sent"} == {"failed"}
    assert lane.tally.failed == lane.tally.intended > 0


@pytest.mark.parametrize(("retry", "kept"), [("ordered", True), ("unordered", False)])
def test_only_an_ordered_retry_keeps_the_order_of_a_key(config: LoadConfig, retry: str, kept: bool) -> None:
    """AWS promises no order among the records of one call, so an ordered producer never puts two of a key in one."""
    stored: defaultdict[str, list[int]] = defaultdict(list)
    keys: list[list[str]] = []
    seq: dict[str, int] = {}

    dice = random.Random(15)

    def put(record: dict[str, Any]) -> dict[str, Any]:
        if dice.random() < 0.3:
            return {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "The entry was refused."}
        id = orjson.loads(record["Data"])["detail"]["metadata"]["id"]
        stored[record["PartitionKey"]].append(seq[id])
        return {"SequenceNumber": "7", "ShardId": "shardId-0"}

    def broker(call: Call) -> Answer:
        keys.append([record["PartitionKey"] for record in call.params["Records"]])
        return {"Records": [put(record) for record in call.params["Records"]]}

    config = replace(config, transport="kinesis", retry=retry, batch=500)
    seq = {m.id: m.seq for m in config.schedule().messages(0)}
    _, lane, _ = send(config, broker)
    assert lane.tally.acked == sum(map(len, stored.values())) == 40
    assert all(len(set(each)) == len(each) for each in keys) is kept
    assert all(each == sorted(each) for each in stored.values()) is kept


def test_a_message_that_can_never_pass_is_sent_once_and_its_group_goes_on(config: LoadConfig) -> None:
    def broker(call: Call) -> Answer:
        if any(entry["MessageBody"].count('"poison":true') for entry in call.params["Entries"]):
            raise CallFailed("InvalidParameterValue", "Reason: Message must be shorter", definite=True)
        return accept(call)

    records, lane, _ = send(replace(config, batch=1, give_up_s=60), broker)
    poison = {r["id"] for r in records if r["event"] == "intended" and r["poison"]}
    sent = [r for r in records if r["event"] == "sent"]
    assert len(sent) == lane.tally.intended == 40, "one attempt each, and all of them"
    assert {r["id"] for r in sent if r["outcome"] == "failed"} == poison
    assert (lane.tally.acked, lane.tally.failed) == (40 - len(poison), len(poison))


def test_an_entry_that_can_never_pass_is_given_up_alone(config: LoadConfig) -> None:
    def broker(call: Call) -> Answer:
        first, *others = call.params["Entries"]
        failed = {"Id": first["Id"], "SenderFault": True, "Code": "InvalidMessageContents", "Message": "a character"}
        return {**accept(replace(call, params={"Entries": others})), "Failed": [failed]}

    records, lane, samples = send(replace(config, give_up_s=60), broker)
    assert len([r for r in records if r["event"] == "sent"]) == lane.tally.intended == 40
    assert lane.tally.failed == len(samples)


def test_without_retries_what_failed_is_not_sent_again(config: LoadConfig) -> None:
    def broker(call: Call) -> Answer:
        raise CallFailed("ThrottlingException", "Rate exceeded", definite=True)

    records, lane, _ = send(replace(config, retry="none"), broker)
    assert {r["attempt"] for r in records if r["event"] == "sent"} == {1}
    assert lane.tally.failed == lane.tally.intended == 40


@pytest.mark.parametrize("dedup", ["id", "content"])
def test_a_reused_deduplication_id_is_an_earlier_messages_of_the_group_in_every_attempt(
    config: LoadConfig, dedup: str
) -> None:
    """By content it is the earlier message's body that is sent once more."""
    entries: dict[str, list[tuple[str | None, str]]] = defaultdict(list)
    told: list[str] = []

    def broker(call: Call) -> Answer:
        lines = (Path(config.run_dir) / DIRECTORY / "load.jsonl").read_bytes().splitlines()
        ids = [orjson.loads(line)["id"] for line in lines[-len(call.params["Entries"]) :]]
        for id, entry in zip(ids, call.params["Entries"], strict=True):
            entries[id].append((entry.get("MessageDeduplicationId"), entry["MessageBody"]))
        told.append(call.operation)
        if len(told) % 3 == 0:
            raise CallFailed("ReadTimeoutError", "no answer", definite=False)
        return accept(call)

    topology = replace(config.topology, dedup=dedup)
    send(replace(config, topology=topology, dedup_reuse=0.3), broker)
    assert len(entries) == 40 and any(len(each) > 1 for each in entries.values())
    named: dict[tuple[str | None, str], list[str]] = defaultdict(list)
    for id, attempts in entries.items():
        assert len(set(attempts)) == 1, "another name in another attempt"
        key, body = attempts[0]
        assert (key is None) == (dedup == "content")
        named[key, body if key is None else ""].append(id)
    shared = [ids for ids in named.values() if len(ids) > 1]
    assert shared and len(named) < 40
    for ids in shared:
        groups, seqs = {id.split("-")[0] for id in ids}, [int(id.split("-")[1]) for id in ids]
        assert len(groups) == 1 and seqs == sorted(seqs)


def test_a_delay_of_its_own_goes_with_each_message(config: LoadConfig) -> None:
    seen: set[int] = set()

    def broker(call: Call) -> Answer:
        seen.update(entry["DelaySeconds"] for entry in call.params["Entries"])
        return accept(call)

    send(replace(config, transport="sqs", delay_s=7), broker)
    assert seen == {7}


def test_every_attempt_of_a_message_brings_the_same_trace(config: LoadConfig) -> None:
    seen: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)

    def broker(call: Call) -> Answer:
        for entry in call.params["Entries"]:
            brought = entry["MessageAttributes"]["traceparent"]["StringValue"]
            header = entry["MessageSystemAttributes"]["AWSTraceHeader"]["StringValue"]
            seen[entry["MessageDeduplicationId"].removeprefix("r1-")].append((brought, header))
        if len(seen) < 6:
            raise CallFailed("ServiceUnavailable", "try again", definite=False)
        return accept(call)

    send(replace(config, aws_trace_header=True), broker)
    assert max(map(len, seen.values())) > 1, "nothing was sent again"
    for id, brought in seen.items():
        parent = trace.traceparent("r1", id)
        assert set(brought) == {(parent, trace.aws_header(parent))}


def test_a_record_of_a_stream_brings_its_trace_in_its_body_and_x_rays_header_is_asked_for(config: LoadConfig) -> None:
    bodies: list[Any] = []

    def stream(call: Call) -> Answer:
        bodies.extend(orjson.loads(record["Data"]) for record in call.params["Records"])
        return {"Records": [{"SequenceNumber": "1", "ShardId": "s"} for _ in call.params["Records"]]}

    send(replace(config, transport="kinesis"), stream)
    told = {body["detail"]["metadata"]["id"]: body["detail"]["metadata"]["traceparent"] for body in bodies}
    assert told == {id: trace.traceparent("r1", id) for id in told} != {}

    def queue(call: Call) -> Answer:
        assert not any("MessageSystemAttributes" in entry for entry in call.params["Entries"])
        return accept(call)

    (Path(config.run_dir) / DIRECTORY / "load.jsonl").unlink()
    send(config, queue)


def own_orders(config: LoadConfig, **more: Any) -> LoadConfig:
    """The same load of somebody else's orders."""
    path = Path(config.run_dir) / "orders.jsonl"
    path.write_text("".join(f'{{"id": "o-{n}", "who": "c{n % 3}", "no": {n}}}\n' for n in range(40)))
    return replace(config, poison_share=0.0, own=OwnMessages(kind="file", path=str(path), **more))


def test_messages_of_the_users_own_go_out_as_they_are(config: LoadConfig) -> None:
    own = own_orders(config, id="/id", group="/who", dedup_id="/id", key="/no", attributes={"a": "b", "no": "/no"})
    entries: list[dict[str, Any]] = []

    def broker(call: Call) -> Answer:
        entries.extend(call.params["Entries"])
        return accept(call)

    records, lane, _ = send(own, broker)
    assert lane.tally.acked == 40
    intended = {r["id"]: r for r in records if r["event"] == "intended"}
    assert intended.keys() == {f"o-{n}" for n in range(40)}
    for entry in entries:
        body = orjson.loads(entry["MessageBody"])
        record = intended[body["id"]]
        assert (record["group"], record["key"]) == (body["who"], str(body["no"]))
        assert record["bytes"] == len(entry["MessageBody"])
        assert (entry["MessageGroupId"], entry["MessageDeduplicationId"]) == (body["who"], body["id"])
        assert entry["MessageAttributes"] == {
            "a": {"DataType": "String", "StringValue": "b"},
            "no": {"DataType": "Number", "StringValue": str(body["no"])},
            "traceparent": {"DataType": "String", "StringValue": trace.traceparent("r1", body["id"])},
        }
    for who in ("c0", "c1", "c2"):
        members = [r for r in intended.values() if r["group"] == who]
        assert [r["seq"] for r in members] == list(range(1, len(members) + 1))


@pytest.mark.parametrize("id", [None, "attribute"])
def test_a_message_without_an_id_of_its_own_is_called_by_its_number_and_may_carry_that(
    config: LoadConfig, id: str | None
) -> None:
    entries: list[dict[str, Any]] = []

    def broker(call: Call) -> Answer:
        entries.extend(call.params["Entries"])
        return accept(call)

    records, *_ = send(own_orders(config, id=id), broker)
    intended = [r for r in records if r["event"] == "intended"]
    assert {r["id"] for r in intended} == {f"m{n}" for n in range(1, 41)}
    assert all("key" not in r for r in intended)
    for record, entry in zip(intended, entries, strict=True):
        assert entry["MessageDeduplicationId"] == f"r1-{record['id'].removeprefix('m')}"
        told = entry["MessageAttributes"].get("gameday-id", {}).get("StringValue")
        assert told == (record["id"] if id else None)


def test_a_retry_of_a_message_of_the_users_own_is_the_same(config: LoadConfig) -> None:
    template = {"id": "o-{n}", "u": "{uuid}", "t": "{time}"}
    own = replace(config, poison_share=0.0, own=OwnMessages(kind="template", template=template, id="/id"))
    tries: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)

    def broker(call: Call) -> Answer:
        for entry in call.params["Entries"]:
            tries[orjson.loads(entry["MessageBody"])["id"]].append({**entry, "Id": ""})
        if any(len(tries[orjson.loads(e["MessageBody"])["id"]]) == 1 for e in call.params["Entries"]):
            raise CallFailed("ReadTimeoutError", "lost", definite=False)
        return accept(call)

    _, lane, _ = send(own, broker)
    assert lane.tally.acked == 40
    assert all(len(same) > 1 and all(each == same[0] for each in same) for same in tries.values())


@pytest.mark.parametrize("told", [True, False])
def test_a_message_of_a_tenant_says_whose_it_is(config: LoadConfig, told: bool) -> None:
    classes = [
        TenantClass(name="quiet", count=2, rate_per_s=500),
        TenantClass(name="noisy", count=1, rate_per_s=1000, from_s=0.01),
    ]
    config = replace(config, transport="sqs", tenants=classes, groups=3, tell_tenants=told)
    groups: dict[str, str | None] = {}

    def broker(call: Call) -> Answer:
        for entry in call.params["Entries"]:
            order = envelope.unpack(entry["MessageBody"])
            assert order is not None
            groups[order.id] = entry.get("MessageGroupId")
        return accept(call)

    records, _, _ = send(config, broker)
    intended = {r["id"]: r for r in records if r["event"] == "intended"}
    assert len(intended) == config.schedule().total == 30
    assert {r["tenant_class"] for r in intended.values()} == {"quiet", "noisy"}
    for id, record in intended.items():
        assert record["tenant"] == record["group"]
        assert record["tenant"].startswith(record["tenant_class"])
        assert groups[id] == (record["tenant"] if told else None)

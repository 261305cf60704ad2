"""What a run would take, known beforehand: the calls that really build it, and counts that a real run stays within."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from gameday.scenario import document, reading
from gameday.scenario.estimate import Estimate, estimate
from gameday.scenario.imagined import Imagined
from gameday.scenario.model import Scenario, topology_of
from gameday.scenario.quotas import quotas
from gameday.targets.prices import Range, chunks
from gameday.transports.base import Answer, Call
from gameday.transports.carriers.boto import run_plan
from gameday.transports.registry import TRANSPORTS
from tests.conformance.in_memory import conditions
from tests.scenario.on_aws import ON_AWS
from tests.series import series

REGION = "us-east-1"
# One of each pipeline, and the others.
FEW = ["quick", "eventbridge-replay", "kinesis", "redrive", "sns-filters", "sns-fifo"]
SCENARIOS = [*FEW, *series(*(name for name in ON_AWS if name not in FEW))]


def of(name: str, *overrides: str) -> tuple[Scenario, Estimate]:
    read = reading.load(reading.find(name), overrides)
    return read, estimate(read, region=REGION)


def written(text: str) -> tuple[Scenario, Estimate]:
    read = reading.resolve(document.parse(text, name="made.yaml"))
    return read, estimate(read, region=REGION)


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_is_imagined_is_what_is_asked_of_a_broker(name: str) -> None:
    """Of every scenario: the same calls, in the same order, with the same parameters but for addresses."""
    scenario = reading.load(reading.find(name), ())
    transport, topology = TRANSPORTS[scenario.transport], topology_of(scenario, settle_s=0.0)
    asked: list[Call] = []
    at = conditions()

    def carry(call: Call) -> Answer:
        asked.append(call)
        return at.carry(call)

    imagined = Imagined(topology)
    for carrier in (carry, imagined):
        addresses = run_plan(transport.provision(topology, run="r", tags={}), carrier, pause=lambda _: None)
        run_plan(transport.tear_down(addresses), carrier)
    # How often a stream is asked whether it is there is up to the service.
    once = [call for n, call in enumerate(asked) if not (n and call == asked[n - 1])]
    assert [(call.service, call.operation) for call in once] == [
        (call.service, call.operation) for call in imagined.calls
    ]


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_has_a_cost_and_no_range_is_upside_down(name: str) -> None:
    scenario, planned = of(name)
    assert planned.messages == scenario.shape.total
    assert 0 < planned.cost.low <= planned.cost.high
    assert [key for key, count in planned.calls.items() if not count.low <= count.likely <= count.high] == []
    assert [line for line in planned.costs if not line.count.low <= line.count.likely <= line.count.high] == []
    for operation, empty in planned.empty.items():
        assert empty.likely <= planned.calls[operation].likely
    assert planned.peak_per_s >= planned.messages / planned.load_s * 0.99
    assert all(quotas(scenario, planned))


def calls_of_history(run: Path) -> Iterator[dict[str, object]]:
    for path in run.glob("history/*.jsonl"):
        for line in path.read_bytes().splitlines():
            yield json.loads(line)


SQS = """
name: made
transport: sqs
load: {rate: 100/s, duration: 100s, payload: 512B, batch: 10}
consumers: {processes: 2, batch: 10, wait: 1s}
claims: [no-loss]
"""


def dollars(planned: Estimate) -> dict[str, Range]:
    return {line.item: line.dollars for line in planned.costs}


def test_a_queue_by_hand() -> None:
    """10,000 messages: 1,000 to 10,000 calls each for sending, receiving and deleting, and what is asked besides."""
    _, planned = written(SQS)
    for operation in ("SendMessageBatch", "DeleteMessageBatch"):
        told = planned.calls["sqs", operation]
        assert (told.low, told.high) == (1000, 10_000) and told.low < told.likely <= told.high
    receives, empty = planned.calls["sqs", "ReceiveMessage"], planned.empty["sqs", "ReceiveMessage"]
    # A minute until what was sent is there, and a minute of looks that find nothing.
    assert planned.lasts_s.low == 100 + 60 + 60
    # Two pollers that wait a second each: half of the time once all is done, and at most all the time, and two seconds
    # before the first message and after the last look; and three looks for dead letters, or twice as many.
    assert empty.low == 2 * 60 + 3 and empty.high == 2 * math.ceil(planned.lasts_s.high + 2) + 6
    assert (receives.low, receives.high) == (1000 + empty.low, 10_000 + empty.high)
    requests = sum(count.high for (service, _), count in planned.calls.items() if service == "sqs")
    assert dollars(planned)["sqs-standard"].high == pytest.approx(requests * 0.40 / 1e6)


# What is likely, worked by hand. The prices are those of AWS's own pages, named in gameday/targets/prices.py, for
# us-east-1; one message in a second travels alone, however long a call takes.
SLOW = SQS.replace("rate: 100/s, duration: 100s", "rate: 1/s, duration: 1000s")


def likely(planned: Estimate, item: str) -> float:
    (line,) = [line for line in planned.costs if line.item == item]
    return line.dollars.likely


def test_a_thousand_messages_of_100_kb_cost_seven_thousand_requests_and_what_is_asked_besides() -> None:
    """100 KiB are two requests of 64 KiB: 2,000 to send them, 2,000 to receive them, and 1,000 to delete them, each by
    itself. Two pollers wait for a message most of the time. The conductor looks at the queue and its dead letters, two
    calls that take 15 ms each: once in 1.03 s for 1,000.9 s (it begins half a second early, and ends when the load has
    said so), which is 972 times; then every 0.53 s, 114 times until a minute is over and 114 more times until a second
    one is. Once more when all has stopped. For each queue: CreateQueue, its ARN, DeleteQueue."""
    _, planned = written(SLOW.replace("payload: 512B", "payload: 100KiB"))
    calls = planned.calls
    assert calls["sqs", "SendMessageBatch"].likely == 1000
    assert calls["sqs", "DeleteMessageBatch"].likely == 1000
    empty = planned.empty["sqs", "ReceiveMessage"].likely
    assert calls["sqs", "ReceiveMessage"].likely == 1000 + empty
    looks = 972 + (1 + 114 + 114) + 1
    # Three looks into the dead letters find nothing, and ask each time whether there are any.
    assert calls["sqs", "GetQueueAttributes"].likely == 2 * looks + 3 + 2
    requests = 2000 + 2000 + 1000 + empty + (2 * looks + 3 + 2) + 2 + 2
    assert likely(planned, "sqs-standard") == pytest.approx(requests * 0.40 / 1e6)
    # It is the body with its attributes that counts.
    assert chunks(64 * 1024) == 1 and chunks(64 * 1024 + 1) == 2 and chunks(0) == 1


def test_two_shards_for_an_hour() -> None:
    """Two shards for the hour begun are 2 × $0.015; ten minutes later they are four shard hours. 3,000 records of 60 KB
    are three units of 25 KiB each, $0.014 for a million of them."""
    text = SLOW.replace("transport: sqs", "transport: kinesis\ntopology: {shards: 2}").replace("512B", "60000B")
    text = text.replace(", wait: 1s", "")
    _, planned = written(text.replace("duration: 1000s", "duration: 3000s"))
    assert likely(planned, "kinesis-shard-hour") == pytest.approx(2 * 0.015)
    assert dollars(planned)["kinesis-put-unit"] == Range.exactly(3000 * 3 * 0.014 / 1e6)
    _, planned = written(text.replace("duration: 1000s", "duration: 3700s"))
    assert likely(planned, "kinesis-shard-hour") == pytest.approx(4 * 0.015)


def test_a_stream_by_hand() -> None:
    """A record a second, alone. Two readers read five times a second, one a shard, and find each record at their next
    read; the conductor looks at both shards as often as at a queue, which takes five calls of 15 ms."""
    text = SLOW.replace("transport: sqs", "transport: kinesis\ntopology: {shards: 2}").replace(", wait: 1s", "")
    _, planned = written(text)
    assert planned.calls["kinesis", "PutRecords"].likely == 1000
    looks = planned.calls["kinesis", "GetShardIterator"].likely - (2 + 1)
    assert looks == pytest.approx(2 * (1001 / 1.075 + 60 / 0.575 + 2), rel=0.01)
    # For 1,061 s, and for about a second before and after.
    assert planned.calls["kinesis", "GetRecords"].likely - looks == pytest.approx(2 * 5 * 1062, rel=0.01)
    assert planned.calls["kinesis", "ListShards"].likely == pytest.approx(looks / 2 + 2 * 1062 / 1.015, rel=0.01)


def test_a_large_event_is_billed_as_four_and_again_where_it_is_replayed() -> None:
    """An event counts for each 64 KB of it (aws.amazon.com/eventbridge/pricing), $1.00 for a million: 1,000 events of
    200 KiB are 4,000, and 8,000 if they are replayed; archiving costs $0.10 for each GB."""
    text = SLOW.replace("transport: sqs", "transport: eventbridge").replace("512B, batch: 10", "200KiB, batch: 1")
    once = written(text)[1]
    twice = written(text.replace("eventbridge", "eventbridge\ntopology: {replay: true}"))[1]
    assert likely(once, "events") == pytest.approx(1000 * 4 * 1.00 / 1e6)
    assert likely(twice, "events") == pytest.approx(1000 * 8 * 1.00 / 1e6)
    assert likely(twice, "events-archive") == pytest.approx(1000 * 200 * 1024 * 0.10 / 1024**3, rel=0.01)


def test_a_topic_by_hand() -> None:
    """A Standard topic: 1,000 publishes of 100 KiB are 2,000 requests, $0.50 for a million. A FIFO topic: a publish and
    a delivery for each, $0.30 and 2 × $0.01 for a million, and both by the GB."""
    two = "topology: {subscriptions: [{name: one}, {name: two}]}"
    text = SLOW.replace("512B, batch: 10", "100KiB, batch: 2")
    standard = written(text.replace("transport: sqs", f"transport: sns\n{two}"))[1]
    assert likely(standard, "sns-publish") == pytest.approx(2000 * 0.50 / 1e6)
    fifo = written(text.replace("transport: sqs", f"transport: sns-fifo\n{two}"))[1]
    assert likely(fifo, "sns-fifo-publish") == pytest.approx(1000 * 0.30 / 1e6)
    assert likely(fifo, "sns-fifo-delivery") == pytest.approx(2 * 1000 * 0.01 / 1e6)
    assert likely(fifo, "sns-fifo-payload") == pytest.approx(1000 * 102_400 * 0.017 / 1024**3, rel=0.01)


@pytest.mark.parametrize(
    ("guard", "calls", "writes", "reads"),
    [
        # Two items in one transaction count four times.
        ("transaction", {"TransactWriteItems": 1000}, 4000, 0),
        ("none", {"UpdateItem": 1000}, 1000, 0),
        ("check-then-act", {"GetItem": 1000, "UpdateItem": 1000, "PutItem": 1000}, 2000, 1000),
        ("in-progress", {"PutItem": 2000, "UpdateItem": 1000}, 3000, 0),
    ],
)
def test_effects_in_a_table_by_hand(guard: str, calls: dict[str, int], writes: int, reads: int) -> None:
    """$0.625 for a million units that are written, $0.125 for those that are read. At the end all is read once: a mark
    and an effect of 60 bytes each for a message, but for `none` no marks, 4 KB for a unit."""
    expiry = ", guard_expiry: 5s" if guard == "in-progress" else ""
    _, planned = written(SLOW.replace("wait: 1s", f"wait: 1s, store: dynamodb, guard: {guard}{expiry}"))
    for operation, count in calls.items():
        assert planned.calls["dynamodb", operation] == Range.exactly(count)
    assert likely(planned, "dynamodb-write") == pytest.approx(writes * 0.625 / 1e6)
    read_back = math.ceil(1000 * 60 * (1 if guard == "none" else 2) / 4096)
    assert likely(planned, "dynamodb-read") == pytest.approx((reads + read_back) * 0.125 / 1e6)


def test_what_comes_again_by_itself_is_in_the_high_end() -> None:
    """Poison without a dead-letter queue comes for as long as the run lasts; what outlives its hold, until it dies."""
    once = written(SQS)[1].calls["sqs", "ReceiveMessage"].high
    poison = SQS.replace("payload: 512B", "payload: 512B, poison: 10%")
    endless = written(poison.replace("transport: sqs", "transport: sqs\ntopology: {max_receives: null}"))[1]
    assert endless.calls["sqs", "ReceiveMessage"].high > once + 1000 * 100
    slow = written(SQS.replace("wait: 1s", "wait: 1s, processing_time: 6s"))[1]
    assert slow.calls["sqs", "ReceiveMessage"].high > 5 * 10_000


def test_a_short_burst_is_the_peak_and_a_long_line_the_size(tmp_path: Path) -> None:
    burst = "rate: 1/s, duration: 30m, shape: spike, peak: 5000/s, at: 100.2s, lasting: 500ms"
    assert written(SQS.replace("rate: 100/s, duration: 100s", burst))[1].peak_per_s == 5000
    lines = [f'{{"n": {n}, "filler": "{"x" * (10 if n < 900 else 200_000)}"}}' for n in range(1000)]
    (tmp_path / "bodies.jsonl").write_text("\n".join(lines))
    path = tmp_path / "own.yaml"
    own = SQS.replace("payload: 512B, batch: 10", "message: {file: bodies.jsonl, id: /n}, batch: 1")
    path.write_text(own.replace("duration: 100s", "duration: 10s"))
    assert estimate(reading.load(path, ()), region=REGION).bytes > 200_000


def test_what_effects_are_read_from_is_something_that_is_there() -> None:
    text = SQS + "effects: {queue: {name: results-prod}}\n"
    own = text.replace("processes: 2, batch: 10, wait: 1s", "command: [cat]").replace(
        "[no-loss]", "[at-least-once-effect]"
    )
    assert written(own)[1].existing == ["results-prod"]


def test_a_region_whose_prices_nobody_knows_here_may_be_dearer() -> None:
    read, here = written(SQS)
    there = estimate(read, region="ap-south-1")
    assert there.cost.low == here.cost.low
    assert there.cost.likely == pytest.approx(1.4 * here.cost.likely)
    assert there.cost.high == pytest.approx(1.8 * here.cost.high)


def test_what_passes_a_quota_is_told() -> None:
    fifo = SQS.replace("transport: sqs", "transport: sqs-fifo").replace("rate: 100/s", "rate: 400/s")
    assert "of 300 (calls a second of each kind without high throughput); ask for more" in quotas(*written(fifo))[0]
    assert "ask for more" not in quotas(*written(SQS))[0]

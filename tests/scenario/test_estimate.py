"""What a run would take, known beforehand: the calls that really build it, and counts that a real run stays within."""

from __future__ import annotations

import json
import math
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gameday.scenario import document, reading
from gameday.scenario.estimate import Estimate, estimate
from gameday.scenario.imagined import Imagined
from gameday.scenario.model import Scenario, topology_of
from gameday.scenario.quotas import quotas
from gameday.targets.prices import PRICES, Range, chunks
from gameday.transports.base import Answer, Call
from gameday.transports.carriers.boto import run_plan
from gameday.transports.registry import TRANSPORTS
from tests.commanded import COMMAND
from tests.conformance.in_memory import conditions
from tests.series import in_series, series

REGION = "us-east-1"
# One of each pipeline, and the others.
FEW = ["quick", "eventbridge-replay", "kinesis", "redrive", "sns-filters", "sns-fifo"]
SCENARIOS = [*FEW, *series(*(name for name in reading.names() if name not in FEW))]


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
    assert [key for key, count in planned.calls.items() if count.low > count.high] == []
    assert planned.peak_per_s >= planned.messages / planned.load_s * 0.99
    assert all(quotas(scenario, planned))


def calls_of_history(run: Path) -> Iterator[dict[str, object]]:
    for path in run.glob("history/*.jsonl"):
        for line in path.read_bytes().splitlines():
            yield json.loads(line)


@in_series
@pytest.mark.live
def test_a_real_run_stays_within_it(tmp_path: Path) -> None:
    scenario = "quick"
    overrides = ("load.duration=3s", "chaos=[]", "claims=[no-loss]")
    _, planned = of(scenario, *overrides)
    settings = [part for each in overrides for part in ("--set", each)]
    ran = subprocess.run(
        [*COMMAND, "run", scenario, "--target", "memory", "--out", str(tmp_path / "run"), *settings],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    records = list(calls_of_history(tmp_path / "run"))
    sent = {record["call"] for record in records if record["event"] == "sent"}
    received = {record["batch"] for record in records if record["event"] == "received"}
    deleted = Counter(record["event"] for record in records)["settled"]
    for operation, count in (("SendMessageBatch", len(sent)), ("ReceiveMessage", len(received))):
        told = planned.calls["sqs", operation]
        assert told.low <= count <= told.high, operation
    assert deleted == planned.messages <= planned.calls["sqs", "DeleteMessageBatch"].high


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
    assert planned.calls["sqs", "SendMessageBatch"] == Range(low=1000, high=10_000)
    assert planned.calls["sqs", "DeleteMessageBatch"] == Range(low=1000, high=10_000)
    receives = planned.calls["sqs", "ReceiveMessage"]
    # A minute until what was sent is there, and a minute of looks that find nothing.
    assert planned.lasts_s.low == 100 + 60 + 60 + 1
    # Two pollers that wait a second each: half of the time once all is done, and at most all the time; and one or two
    # looks for dead letters.
    assert receives == Range(low=1000 + 2 * 60 + 1, high=10_000 + 2 * math.ceil(planned.lasts_s.high) + 2)
    requests = sum(count.high for (service, _), count in planned.calls.items() if service == "sqs")
    assert dollars(planned)["sqs-standard"].high == pytest.approx(requests * 0.40 / 1e6)


def test_a_large_message_counts_for_each_64_kib_of_it() -> None:
    _, small = written(SQS)
    _, large = written(SQS.replace("512B", "200KiB").replace("batch: 10}", "batch: 1}", 1))
    assert chunks(200 * 1024) == 4 and chunks(64 * 1024) == 1 and chunks(64 * 1024 + 1) == 2 and chunks(0) == 1
    # Sent and received in four requests each; deleted in one, as the small one.
    more = dollars(large)["sqs-standard"].high - dollars(small)["sqs-standard"].high
    assert more == pytest.approx(10_000 * 6 * 0.40 / 1e6)


def test_a_stream_by_hand() -> None:
    """Three shards for the hour begun; a record of 60 KB is three units of 25 KiB."""
    text = SQS.replace("transport: sqs", "transport: kinesis\ntopology: {shards: 3}").replace("512B", "60000B")
    _, planned = written(text.replace("processes: 2, batch: 10, wait: 1s", "processes: 2"))
    assert dollars(planned)["kinesis-shard-hour"].low == pytest.approx(3 * 0.015)
    assert dollars(planned)["kinesis-put-unit"] == Range.exactly(30_000 * PRICES["kinesis-put-unit"].dollars)


def test_an_event_counts_however_many_are_in_a_call_and_again_where_it_is_replayed() -> None:
    once = written(SQS.replace("transport: sqs", "transport: eventbridge"))[1]
    twice = written(SQS.replace("transport: sqs", "transport: eventbridge\ntopology: {replay: true}"))[1]
    assert dollars(once)["events"] == Range.exactly(10_000 * 1.00 / 1e6)
    assert dollars(twice)["events"] == Range.exactly(20_000 * 1.00 / 1e6)


def test_effects_in_a_table_count_as_units_and_a_transaction_double() -> None:
    _, planned = written(SQS.replace("wait: 1s", "wait: 1s, store: dynamodb"))
    assert dollars(planned)["dynamodb-write"] == Range(low=10_000 * 0.625 / 1e6, high=40_000 * 0.625 / 1e6)


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
    assert there.cost.high == pytest.approx(1.8 * here.cost.high)


def test_what_passes_a_quota_is_told() -> None:
    fifo = SQS.replace("transport: sqs", "transport: sqs-fifo").replace("rate: 100/s", "rate: 400/s")
    assert "of 300 (calls a second of each kind without high throughput); ask for more" in quotas(*written(fifo))[0]
    assert "ask for more" not in quotas(*written(SQS))[0]


def test_what_is_there_already_is_used_and_broken_by_name() -> None:
    text = (
        SQS + "topology: {subscriptions: [{name: orders, existing: shop}]}\nchaos: [{at: 1s, fault: kill-consumer}]\n"
    )
    _, planned = written(text)
    assert (planned.existing, planned.breaks) == (["shop"], ["shop"])
    assert planned.resources == []

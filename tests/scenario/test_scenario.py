"""Scenarios: strict, with the line of whatever is wrong, and complete once read."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from gameday.history.errors import TargetLacks, UsageError
from gameday.history.manifest import Claim
from gameday.scenario import document, model
from gameday.scenario import reading as scenario
from gameday.scenario.model import Scenario
from gameday.targets.products import MEMORY, MINISTACK
from gameday.transports.registry import TRANSPORTS

GOOD = """\
name: good
transport: sqs-fifo
topology: {visibility_timeout: 5s, max_receives: 5, subscriptions: [{name: orders}]}
load: {shape: constant, rate: 150/s, duration: 30s, groups: 40, payload: 512B, batch: 10}
consumers: {processes: 3, concurrency: 4, handler: reference, processing_time: 15ms, guard: transaction}
chaos:
  - {at: 6s, fault: kill-consumer, signal: KILL, pick: 1}
  - {at: 12s, fault: stretch-processing, to: 1.5x visibility_timeout, share: 10%, for: 5s}
claims: [no-loss, at-least-once-effect, {claim: lag, p99: 3s}, {claim: recovery, within: 15s}]
"""


RESHARDED = """\
name: resharded
transport: kinesis
topology: {shards: 4, subscriptions: [{name: orders}]}
load: {rate: 150/s, duration: 30s, groups: 40, batch: 500}
consumers: {processes: 3, batch: 1000, checkpoint: before, children: early, lease: 1s}
chaos:
  - {at: 6s, fault: reshard, action: merge}
  - {at: 12s, fault: stretch-processing, to: 3s, share: 10%, for: 5s}
claims: [no-loss, ordered-per-partition]
"""


def read(text: str = GOOD, *overrides: str) -> Scenario:
    return scenario.resolve(document.override(document.parse(text, name="s.yaml"), overrides))


def complaints(text: str = GOOD, *overrides: str) -> list[str]:
    with pytest.raises(UsageError) as error:
        read(text, *overrides)
    return str(error.value).splitlines()


def test_the_example_of_the_plan_is_understood() -> None:
    got = read()
    assert got.subscriptions == ["orders"]
    assert got.topology.visibility_timeout == 5.0
    assert (got.load.rate, got.load.duration, got.load.payload) == (150.0, 30.0, 512)
    assert got.shape.total == 4500
    assert got.consumers.processing_time == pytest.approx(0.015)
    kill, stretch = got.chaos
    assert (kill.fault, kill.at) == ("kill-consumer", 6.0)
    assert stretch.params["share"] == pytest.approx(0.1)
    assert got.claims[2] == Claim(claim="lag", bounds={"p99_s": 3.0})
    assert got.claims[3] == Claim(claim="recovery", bounds={"within_s": 15.0})


def test_a_filter_says_a_number_as_json_does() -> None:
    text = """\
name: numbers
transport: sns
topology: {subscriptions: [{name: a, filter: {total: [{numeric: ["=", 3.018e2]}], currency: [NO, 1e3]}}]}
load: {rate: 10/s, duration: 10s}
claims: [filter-correct]
"""
    assert read(text).topology.subscriptions[0].filter == {
        "total": [{"numeric": ["=", 301.8]}],
        "currency": ["NO", 1000.0],
    }


def test_an_alias_is_the_claim_it_stands_for() -> None:
    assert read(GOOD, "claims=[at-least-once]").claims == [Claim(claim="no-loss")]


IN_PROGRESS = GOOD.replace(
    "guard: transaction",
    "guard: in-progress, guard_expiry: 10s, after_failure: fail-batch, on_term: abandon, retry_delay: 1s, "
    "retry_delay_max: 8s",
)


def test_the_default_of_a_batch_is_no_more_than_a_call_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TRANSPORTS["sqs-fifo"], "batch_max", 1)
    load = "load={rate: 20/s, duration: 40s}"
    assert read(GOOD, load).load.rate == 20
    (told,) = complaints(GOOD, load, "load.batch=2")
    assert "load.batch: 2 is more than the 1 messages that one send call of sqs-fifo takes" in told


@pytest.mark.parametrize("text", [GOOD, RESHARDED, IN_PROGRESS])
def test_what_is_resolved_is_a_scenario_again(text: str) -> None:
    first = read(text)
    again = read(yaml.safe_dump(dict(first.document)))
    assert again.document == first.document
    assert (again.chaos, again.claims, again.shape) == (first.chaos, first.claims, first.shape)


@pytest.mark.parametrize("name", scenario.names())
def test_every_shipped_scenario_is_good_and_says_what_to_expect(name: str) -> None:
    path = scenario.find(name)
    got = scenario.load(path)
    assert got.name == name
    assert got.expect is not None
    assert path.read_text().startswith("# "), "a scenario opens with what it shows"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        # Unknown keys, with what was probably meant.
        ("lod=1", "lod: there is no such key; did you mean `load`?"),
        ("load.raet=1/s", "load.raet: there is no such key; did you mean `rate`?"),
        ("load.peak=9/s", "load.peak: there is no such key"),
        (
            "topology.subscriptions.0.nmae=x",
            "topology.subscriptions.0.nmae: there is no such key; did you mean `name`?",
        ),
        ("chaos.0.singal=TERM", "chaos.0.singal: there is no such key; did you mean `signal`?"),
        ("claims.2.p9=3s", "claims.2.p9: there is no such key; did you mean `p99`?"),
        # Units.
        ("load.rate=150", "load.rate: 150 has no unit; a rate is written like 150/s"),
        ("load.duration=30", "load.duration: 30 has no unit"),
        ("load.payload=512", "load.payload: 512 has no unit"),
        ("topology.visibility_timeout=5", "topology.visibility_timeout: 5 has no unit"),
        ("chaos.0.at=6", "chaos.0.at: 6 has no unit"),
        ("chaos.1.to=8", "chaos.1.to: 8 has no unit"),
        ("chaos.1.to=1.5", "or as a multiple like 1.5x visibility_timeout"),
        ("chaos.1.to=1.5x", "or as a multiple like 1.5x visibility_timeout"),
        ("load.payload=1KB", "load.payload: '1KB' is 1000 bytes to some and 1024 to others; write 1KiB"),
        ("claims.2.p99=3", "claims.2.p99: 3 has no unit"),
        # Values.
        ("load.batch=11", "load.batch: 11 is more than the 10 messages that one send call of"),
        ("load.users=true", "load.users: True: input should be a valid integer"),
        ("topology.redrive=yes", "topology.redrive: 'yes' is neither true nor false"),
        ("load.shape=constnat", "load.shape: no shape is called 'constnat'; did you mean constant?"),
        (
            "load.payload=2MiB",
            "load.payload: a message would have 2097224 bytes with the attribute traceparent, and sqs-fifo",
        ),
        ("load.retry=nine", "load.retry: 'nine': input should be 'ordered', 'unordered' or 'none'"),
        ("load.dedup=body", "load.dedup: 'body': input should be 'id' or 'content'"),
        ("load.dedup_reuse=5", "load.dedup_reuse: 5 is not a share"),
        ("load.delay=2s", "load.delay: a message of sqs-fifo brings no delay of its own"),
        ("topology.delay=2", "topology.delay: 2 has no unit"),
        ("topology.delay=16m", "topology.delay: '16m': input should be less than or equal to 900"),
        ("topology.delay=1500ms", "topology.delay: 1.5s: SQS takes whole seconds"),
        ("topology.max_message=1MiB", "sqs-fifo has no topic whose size could be set; remove `max_message`"),
        (
            "load.payload=200KiB",
            "load.payload: 10 messages of 204872 bytes with the attribute traceparent exceed the 1048576 bytes that",
        ),
        ("load.users=50", "load.users: 50 users for 40 groups"),
        ("load.processes=5", "load.processes: 5 processes for 4 users"),
        ("consumers.processes=0", "consumers.processes: 0: input should be greater than or equal to 1"),
        ("consumers.handler=refrence", "consumers.handler: no handler is called 'refrence'; did you mean reference?"),
        ("consumers.guard=transactoin", "consumers.guard: no guard is called 'transactoin'; did you mean transaction?"),
        ("consumers.guard=in-progress", "consumers.guard: in-progress needs consumers.guard_expiry"),
        ("consumers.guard_expiry=5s", "consumers.guard_expiry: the marks of transaction do not expire"),
        ("consumers.retry_delay=1500ms", "consumers.retry_delay: 1.5s: SQS hides for whole seconds"),
        ("consumers.retry_delay=13h", "consumers.retry_delay: 46800s: SQS hides for whole seconds, at most 12h"),
        ("consumers.retry_delay_max=8s", "consumers.retry_delay_max: there is no consumers.retry_delay"),
        ("consumers.after_failure=skip", "consumers.after_failure: 'skip': input should be 'stop', 'continue' or"),
        ("consumers.on_term=wait", "consumers.on_term: 'wait': input should be 'release', 'finish' or 'abandon'"),
        ("consumers.wait=1500ms", "consumers.wait: 1.5s: SQS takes whole seconds, 0s to 20s"),
        ("consumers.heartbeat=5s", "consumers.heartbeat: every 5s is too late for a visibility timeout of 5s"),
        ("topology.visibility_timeout=1500ms", "topology.visibility_timeout: 1.5s: SQS takes whole seconds"),
        ("topology.visibility_timeout=13h", "topology.visibility_timeout: 46800s: SQS takes whole seconds, 1s to 12h"),
        ("name=no spaces", "name: 'no spaces': string should match pattern"),
        ("transport=sqs-fio", "transport: no transport is called 'sqs-fio'; did you mean sqs-fifo?"),
        # Chaos.
        ("chaos.0.fault=kill-consumr", "chaos.0.fault: no fault is called 'kill-consumr'; did you mean kill-consumer?"),
        ("chaos.0=kill-consumer", "chaos.0: 'kill-consumer' is no fault; write it like {at: 6s, fault: kill-consumer}"),
        ("chaos.0.pick=4", "picks 4 consumers, but there are 3"),
        ("chaos.0.at=31s", "chaos.0.at: kill-consumer strikes at 31 s, but the load ends at 30 s"),
        (
            "chaos.0.subscription=billing",
            "chaos.0.subscription: kill-consumer strikes consumers of 'billing', which has none",
        ),
        (
            "chaos.0={at: 6s, fault: impair-queue, subscription: billing}",
            "chaos.0.subscription: impair-queue strikes 'billing', and there is only orders",
        ),
        ("chaos.0={at: 6s, fault: impair-queue, actions: [Send]}", "chaos.0.actions.0: 'Send': input should be"),
        ("chaos.0={at: 6s, fault: impair-queue, actions: []}", "chaos.0.actions: "),
        ("chaos.0={at: 6s, fault: fis}", "either `template` (one that is there) or `action`"),
        ("chaos.1.to=1.5x patience", "chaos.1.to: '1.5x patience': nothing here is called 'patience'"),
        ("chaos.1.share=300%", "chaos.1.share: '300%' is not a share"),
        # Claims.
        ("claims=[]", "claims: nothing is claimed, so there is nothing to judge"),
        ("claims.0=no-los", "claims.0: no claim is called 'no-los'; did you mean no-loss?"),
        ("claims.0=lag", "claims.0: lag claims nothing without a bound; write it like {claim: lag, p99: 3s}"),
        (
            "claims.0={claim: ordered-per-group, strict: 3}",
            "strict of ordered-per-group is 3; true or false belongs there",
        ),
        ("claims.0=at-least-once-effect", "claims.1: at-least-once-effect is claimed twice"),
        ("claims.0=ordered-per-partition", "sqs-fifo never promises ordered-per-partition: it has no partitions"),
        ("claims.0=filter-correct", "sqs-fifo never promises filter-correct: no subscription has a filter"),
        ("expect={verdict: holds, claims: {no-phantom: holds}}", "it is not among the claims"),
        (
            "expect={verdict: holds, anomalies: [redelivry]}",
            "no anomaly is called 'redelivry'; did you mean redelivery?",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_key(override: str, said: str) -> None:
    told = complaints(GOOD, override)
    assert any(said in line for line in told), told
    assert all(line.startswith(("s.yaml:", "--set ")) for line in told)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ("transport=sqs", "claims=[ordered-per-group]"),
            "sqs never promises ordered-per-group: it keeps no order by group.",
        ),
        (("transport=sqs", "claims=[exactly-once-delivery]"), "sqs never promises exactly-once-delivery"),
        (
            (
                "transport=sns-fifo",
                "topology.subscriptions=[{name: a}, {name: b, queue: standard}]",
                "claims=[exactly-once-delivery]",
            ),
            "it speaks of every subscription, and b never promises it",
        ),
        (("topology.max_receives=null", "claims=[dead-letter]"), "there is no dead-letter queue"),
        (
            ("transport=eventbridge", "claims=[replay-complete]"),
            "replay-complete can show nothing: nothing is replayed",
        ),
        (("topology.replay=true",), "sqs-fifo keeps no archive, so there is nothing to replay"),
        (
            ("consumers.handler=no-op", "chaos=[]"),
            "at-least-once-effect can show nothing: the handler no-op has no effects",
        ),
        (("consumers.handler=no-op", "claims=[no-loss]"), "stretch-processing has nothing to strike"),
        (
            ("transport=sns", "chaos=[{at: 6s, fault: impair-queue}]", "claims=[no-loss]"),
            "impair-queue is refused on sns: what a topic or a bus sends to a queue that refuses it is not sent again",
        ),
        (
            (
                "consumers=null",
                "consumers={attach: none}",
                "topology={attach: {queue: 'https://sqs.eu-west-1.amazonaws.com/123456789012/shop.fifo'}}",
                "chaos=[{at: 6s, fault: impair-queue, actions: [ReceiveMessage]}]",
            ),
            "impair-queue is seen to strike before consumers alone, and with `attach: none` nobody sees one",
        ),
        (("topology.subscriptions=[{name: a}, {name: b}]",), "exactly one subscription"),
        (("consumers.retry_delay=8s", "consumers.retry_delay_max=8s"), "consumers.retry_delay grows up to it"),
        (
            ("name=a-name-of-27-characters-xxx", "topology.subscriptions.0.name=fifteen-letters"),
            "topology.subscriptions.0.name: with the name of the scenario it has more than 41 characters",
        ),
        (("topology.subscriptions=[{name: a}, {name: a}]",), "two subscriptions have the same name"),
    ],
)
def test_what_does_not_go_together(overrides: tuple[str, ...], said: str) -> None:
    assert any(said in line for line in complaints(GOOD, *overrides))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("load.batch=501", "load.batch: 501 is more than the 500 messages that one send call of kinesis takes"),
        (
            "load.payload=30KiB",
            "load.payload: 500 messages of 30723 bytes with its partition key exceed the 10485760 bytes",
        ),
        ("load.dedup=content", "load.dedup: kinesis deduplicates nothing; remove it"),
        ("topology.dedup_window=5s", "topology.dedup_window: kinesis deduplicates nothing; remove it"),
        ("topology.delay=2s", "topology.delay: kinesis makes nothing of it: a record of a stream can be read at once"),
        ("chaos.1.to=1.5x visibility_timeout", "chaos.1: kinesis has no visibility timeout to be multiplied"),
        ("chaos.0.action=double", "chaos.0.action: 'double': input should be 'split' or 'merge'"),
    ],
)
def test_what_a_streams_load_and_chaos_cannot_be(override: str, said: str) -> None:
    (line,) = complaints(RESHARDED, override)
    assert said in line


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("topology.shards=3", "topology.shards: sqs-fifo makes nothing of it: a queue has no shards"),
        ("chaos.0={at: 6s, fault: reshard}", "chaos.0.fault: reshard has nothing to strike: sqs-fifo has no shards"),
    ],
)
def test_a_queue_has_no_shards(override: str, said: str) -> None:
    (line,) = complaints(GOOD, override)
    assert said in line


def test_a_clock_is_struck_where_somebody_reckons_with_it() -> None:
    step = "chaos.0={at: 6s, fault: clock-step, by: 10s}"
    (line,) = complaints(GOOD, step)
    assert "chaos.0.fault: clock-step has nothing to strike: these consumers reckon with no clock" in line
    for reckons in (["consumers.heartbeat=2s"], ["consumers.guard=in-progress", "consumers.guard_expiry=5s"]):
        assert read(GOOD, step, *reckons).chaos[0].fault == "clock-step"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["transport=sqs", "load.hot={at: 1s, for: 2s}"], "load.hot: sqs keeps no order within a group"),
        (["load.hot={at: 1s, for: 1h}"], "load.hot: it lasts until 3601 s, and the load ends at"),
        (["load.hot={at: 1s}"], "load.hot.for: is missing"),
        (["load.hot={at: 1s, for: 1s, share: 0%}"], "load.hot.share"),
        (
            ["load.message={template: {n: '{n}'}, group: /n}", "load.hot={at: 1s, for: 2s}"],
            "load.hot: which group a message is of is told by load.message.group",
        ),
    ],
)
def test_a_hot_group_is_refused_where_there_can_be_none(overrides: list[str], said: str) -> None:
    assert [line for line in complaints(GOOD, *overrides) if said in line]


def test_where_there_is_no_order_no_retry_breaks_it() -> None:
    (line,) = complaints(GOOD, "transport=sqs", "load.retry=unordered")
    assert "load.retry: sqs keeps no order that a retry could break" in line
    assert read(GOOD, "load.retry=unordered").load.retry == "unordered"


def test_where_there_is_no_order_a_call_takes_several_of_a_group_anyhow() -> None:
    for overrides in (("transport=sqs",), ("load.retry=unordered",)):
        (line,) = complaints(GOOD, *overrides, "load.in_call=many")
        assert "load.in_call: a call takes several messages of a group anyhow" in line
    assert read(GOOD, "load.in_call=many").load.in_call == "many"


def test_where_there_is_no_order_nothing_waits_for_what_failed() -> None:
    (line,) = complaints(GOOD, "transport=sqs", "consumers.after_failure=stop")
    assert "consumers.after_failure: sqs keeps no order, so nothing waits for a message that failed" in line
    assert read(GOOD).document["consumers"]["after_failure"] == "stop"
    assert read(GOOD, "transport=sqs", "claims=[no-loss]").document["consumers"]["after_failure"] == "continue"
    for transport in ("sqs", "sqs-fifo"):
        given = ("claims=[no-loss]", f"transport={transport}", "consumers.after_failure=fail-batch")
        assert read(GOOD, *given).after_failure == "fail-batch"


def test_recovery_from_nothing_is_refused_with_the_line_of_the_claim() -> None:
    assert complaints(GOOD, "chaos=[]") == [
        "s.yaml:9: claims.3: recovery can show nothing: there is no fault to recover from. "
        "Remove the claim, or add one to `chaos`"
    ]
    assert read(GOOD, "chaos=[]", "claims=[no-loss]").chaos == []


def test_a_promise_that_fifo_would_keep_says_so() -> None:
    (told,) = complaints(GOOD, "transport=sqs", "claims=[ordered-per-group]")
    assert told.endswith("Remove the claim, or use the transport sqs-fifo")


def test_everything_that_is_wrong_is_told_at_once_each_with_its_line() -> None:
    text = GOOD.replace("rate: 150/s", "rate: 150").replace("guard:", "gaurd:").replace("at: 6s", "at: 6")
    assert [line.partition(": ")[0] for line in complaints(text)] == ["s.yaml:4", "s.yaml:5", "s.yaml:7"]


def test_what_is_missing_says_how_it_is_written() -> None:
    text = GOOD.replace("rate: 150/s, ", "").replace("name: good\n", "")
    assert complaints(text) == [
        "s.yaml:1: name: is missing",
        "s.yaml:3: load.rate: is missing; write it like `rate: 150/s`",
    ]


def test_the_drain_waits_long_enough_for_a_message_to_die() -> None:
    assert read().drain_timeout_s > 5 * 5
    assert read(GOOD, "drain_timeout=3s").drain_timeout_s == 3.0
    assert read(GOOD, "consumers.retry_delay=1m").drain_timeout_s > 5 * 60
    assert read(GOOD, "consumers.retry_delay=1s", "consumers.retry_delay_max=1m").drain_timeout_s > 5 * 60
    assert read(GOOD, "consumers.guard=in-progress", "consumers.guard_expiry=5m").drain_timeout_s > 5 * 60


def test_a_scenario_is_found_by_name_or_path() -> None:
    assert scenario.find("quick") == scenario.SCENARIOS / "quick.yaml"
    with pytest.raises(UsageError, match=r"no scenario is called 'quik'; did you mean quick\?"):
        scenario.find("quik")
    with pytest.raises(UsageError, match="there is no scenario file"):
        scenario.find("./quick-of-mine.yaml")


# What a scenario with a program of the user's has in place of our own consumer's keys.
PROGRAM = ("consumers=null", "consumers={command: [sh]}", "topology.max_receives=null")


@pytest.mark.parametrize(
    ("chaos", "said"),
    [
        ("{at: 6s, fault: throttle, rate: 5}", "chaos.0.rate: 5 has no unit; a rate is written like 150/s or 20/min"),
        ("{at: 6s, fault: throttle, rate: 5/s, share: 10%}", "either `rate` (what passes) or `share` or `nth`"),
        ("{at: 6s, fault: reset, nth: 2, share: 10%}", "either `nth` (the n-th) or `share`"),
        ("{at: 6s, fault: deny, operation: recieve}", "'recieve' is no operation: write it as AWS does"),
        ("{at: 6s, fault: deny, operation: [delete, recieve]}", "'recieve' is no operation"),
        ("{at: 6s, fault: late-delete, operation: delete}", "chaos.0.operation: there is no such key"),
        ("{at: 6s, fault: expire-iterator}", "expire-iterator has nothing to strike: sqs-fifo has no shard iterators"),
        (
            "{at: 6s, fault: duplicate-delivery}",
            "duplicate-delivery is no fault that AWS allows on orders: a FIFO queue gives a message that",
        ),
        ("{at: 6s, fault: late-delete}", "late-delete is no fault that AWS allows on orders"),
    ],
)
def test_what_a_fault_on_the_wire_cannot_be(chaos: str, said: str) -> None:
    assert any(said in line for line in complaints(GOOD, *PROGRAM[:-1], f"chaos=[{chaos}]", "claims=[no-loss]"))


def test_what_at_least_once_allows_is_allowed_on_standard_queues() -> None:
    chaos = "chaos=[{at: 6s, fault: duplicate-delivery}, {at: 6s, fault: late-delete, for: 9s}]"
    assert len(read(GOOD, *PROGRAM, "transport=sqs", chaos, "claims=[no-loss]").chaos) == 2
    mixed = "topology.subscriptions=[{name: a}, {name: b, queue: standard}]"
    told = complaints(GOOD, *PROGRAM, "transport=sns-fifo", mixed, chaos, "claims=[no-loss]")
    assert len(told) == 2 and all("on a: " in line for line in told)
    on_b = "chaos=[{at: 6s, fault: duplicate-delivery, subscription: b}]"
    assert read(GOOD, *PROGRAM, "transport=sns-fifo", mixed, on_b, "claims=[no-loss]").chaos


@pytest.mark.parametrize("value", [None, 1, "text", [1], {"a": 1}])
@pytest.mark.parametrize(
    "key",
    [
        "name",
        "transport",
        "topology",
        "load",
        "consumers",
        "chaos",
        "claims",
        "expect",
        "seed",
        "load.shape",
        "chaos.0.fault",
        "claims.0",
    ],
)
def test_nothing_of_the_wrong_kind_gets_through_as_a_traceback(key: str, value: Any) -> None:
    try:
        read(GOOD, f"{key}={yaml.safe_dump(value, default_flow_style=True).removesuffix('...' + chr(10))}")
    except UsageError as error:
        assert str(error)


def test_a_stream_has_words_of_its_own() -> None:
    got = read(RESHARDED)
    assert (got.consumers.checkpoint, got.consumers.children, got.consumers.lease) == ("before", "early", 1.0)
    assert got.topology.shards == 4
    assert read(yaml.safe_dump(dict(got.document))).document == got.document


@pytest.mark.parametrize(("text", "batch"), [(GOOD, 10), (RESHARDED.replace("batch: 1000, ", ""), 100)])
def test_a_shard_is_read_by_larger_batches_than_a_queue(text: str, batch: int) -> None:
    got = read(text)
    assert got.receive_batch == got.document["consumers"]["batch"] == batch
    assert read(text, "consumers.batch=7").receive_batch == 7


@pytest.mark.parametrize(
    ("override", "line", "said"),
    [
        ("topology.visibility_timeout=5s", "topology.visibility_timeout", "hides nothing"),
        ("topology.max_receives=3", "topology.max_receives", "no dead-letter queue"),
        ("claims=[ordered-per-group]", "claims.0", "kinesis never promises ordered-per-group"),
        ("claims=[dead-letter]", "claims.0", "a stream has none"),
        ("topology.redrive=true", "topology.redrive", "no dead-letter queue"),
        ("consumers.heartbeat=1s", "consumers.heartbeat", "hidden from nobody"),
        ("consumers.pollers=2", "consumers.pollers", "one reader"),
        ("consumers.wait=1s", "consumers.wait", "does not wait"),
        ("consumers.batch=1001", "consumers.batch", "1000"),
        ("consumers.handler=delete-first", "consumers.handler", "checkpoint: before"),
        ("consumers.retry_delay=1s", "consumers.retry_delay", "in its place"),
        ("consumers.after_failure=fail-batch", "consumers.after_failure", "does not come again"),
        ("load.poison=1%", "load.poison", "would block its shard"),
        ("chaos=[{at: 6s, fault: lose-delete}]", "chaos.0.fault", "kinesis has no deletes"),
    ],
)
def test_what_makes_no_sense_on_a_stream(override: str, line: str, said: str) -> None:
    (complaint,) = complaints(RESHARDED, override)
    assert f": {line}: " in complaint
    assert said in complaint


@pytest.mark.parametrize(
    ("transport", "override", "line", "said"),
    [
        ("sqs", "topology={max_receives: null, redrive: true}", "topology.redrive", "no dead-letter queue"),
        (
            "sns",
            "topology.subscriptions=[{name: a, filter_on: body}]",
            "topology.subscriptions.0.filter_on",
            "no filter",
        ),
        (
            "sns",
            "topology.subscriptions=[{name: a, deployed: {}}]",
            "topology.subscriptions.0.deployed",
            "no difference",
        ),
        (
            "sns",
            "topology.subscriptions=[{name: a}, {name: b, deployed: {missing: true, filter: {currency: [EUR]}}}]",
            "topology.subscriptions.1.deployed",
            "missing has no filter",
        ),
    ],
)
def test_what_would_do_nothing_is_refused(transport: str, override: str, line: str, said: str) -> None:
    (complaint,) = complaints(GOOD, f"transport={transport}", override, "claims=[no-loss]")
    assert f": {line}: " in complaint
    assert said in complaint


@pytest.mark.parametrize("key", ["checkpoint: before", "children: early", "lease: 1s", "batch: 11"])
def test_what_makes_no_sense_on_a_queue(key: str) -> None:
    name, _, value = key.partition(": ")
    (complaint,) = complaints(GOOD, f"consumers.{name}={value}")
    assert f": consumers.{name}: " in complaint


def test_a_promise_that_is_there_already_is_refused() -> None:
    promising = "topology.subscriptions=[{name: a, promises: at-least-once}]"
    (line,) = complaints(GOOD, promising)
    assert "topology.subscriptions.0.promises: at-least-once is already promised by sqs-fifo there; remove it" in line
    filtered = promising.replace("promises", "filter: {currency: [EUR]}, promises")
    (line,) = complaints(GOOD, "transport=sns", filtered)
    assert "already promised by sns" in line
    (promise,) = model.promises_of(read(GOOD, "transport=sns-fifo", filtered), settle_s=0).values()
    assert (promise.promises, promise.promised_by) == ("at-least-once", "user")


TOPIC = """
name: topic
transport: sns
load: {rate: 10/s, duration: 5s, payload: 20KiB, batch: 10}
claims: [no-loss]
"""


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ("load.payload=300KiB", "load.batch=1"),
            "a message would have 307425 bytes with its attributes, and sns takes",
        ),
        (("load.payload=300KiB",), "takes 262144; lower load.payload, or raise topology.max_message, at most 1MiB"),
        (
            ("load.payload=26KiB",),
            "10 messages of 26849 bytes with its attributes exceed the 262144 bytes that one send",
        ),
        (("load.payload=256KiB", "load.batch=1"), "a message would have 262369 bytes with its attributes"),
        (("load.payload=1023KiB", "load.batch=1", "topology.max_message=1MiB"), "so that it would be lost; lower"),
        (("load.dedup=content",), "load.dedup: sns deduplicates nothing; remove it, or use sns-fifo"),
        (("load.dedup_reuse=1%",), "load.dedup_reuse: sns deduplicates nothing"),
        (("load.delay=1s",), "load.delay: a message of sns brings no delay of its own"),
        (("load.aws_trace_header=true",), "load.aws_trace_header: a call to sns brings no header of X-Ray's"),
        (("load.retry=none", "load.give_up=1s"), "load.give_up: nothing is sent again where load.retry is none"),
        (("topology.max_message=2MiB",), "topology.max_message: '2MiB': input should be less than or equal to 1048576"),
        (
            ("transport=eventbridge", "load.payload=1025KiB", "load.batch=1"),
            "with its time, and eventbridge takes 1048576",
        ),
        (("transport=kinesis", "load.payload=1MiB", "load.batch=1"), "1048578 bytes with its partition key"),
    ],
)
def test_what_a_service_would_refuse_is_refused_before_the_run(overrides: tuple[str, ...], said: str) -> None:
    (line,) = complaints(TOPIC, *overrides)
    assert said in line


def test_a_topic_that_is_raised_takes_more_and_needs_a_target_that_can() -> None:
    got = read(TOPIC, "load.payload=700KiB", "load.batch=1", "topology.max_message=1MiB")
    topology = model.topology_of(got, settle_s=0)
    assert topology.max_message_bytes == 1024 * 1024
    assert "max_message" in MINISTACK.gaps_of(TRANSPORTS["sns"])
    assert "max_message" not in MEMORY.gaps_of(TRANSPORTS["sns"])


@pytest.mark.parametrize(
    "keys",
    [
        ("load.retry=none",),
        ("transport=sns-fifo", "load.dedup=content", "load.dedup_reuse=5%"),
        ("transport=sqs", "load.delay=3s", "topology.delay=2s"),
        ("topology.max_message=512KiB",),
    ],
)
def test_what_the_newer_keys_say_is_written_back(keys: tuple[str, ...]) -> None:
    first = read(TOPIC, *keys)
    assert read(yaml.safe_dump(dict(first.document))).document == first.document


def test_an_empty_queue_is_waited_for_longer_by_the_delay() -> None:
    assert read(TOPIC, "topology.delay=9s").drain_timeout_s == read(TOPIC).drain_timeout_s + 9


@pytest.mark.parametrize("transport", ["scheduler", "pipes"])
def test_what_no_target_can_show_is_refused(transport: str) -> None:
    text = GOOD.replace("transport: sqs-fifo", f"transport: {transport}")
    with pytest.raises(TargetLacks, match=f"no run goes through EventBridge {transport.capitalize()}") as refused:
        scenario.resolve(document.parse(text, name="s"))
    assert refused.value.exit_code == 5

"""A scenario that attaches: what goes together, what holds once it was looked at, and what is said before the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gameday.history.errors import UsageError
from gameday.scenario import reading
from gameday.scenario.estimate import estimate
from gameday.scenario.forecast import forecast
from gameday.scenario.model import Scenario, promises_of
from gameday.scenario.standing import CannotAttach, as_found, differences, warnings
from gameday.transports.base import Addresses, Deployed, Found, Standing

SQS = "arn:aws:sqs:eu-west-1:123456789012:"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:orders"
QUEUE = f"attach: {{queue: '{SQS}orders'}}"
SHARED = f"attach: {{queue: '{SQS}orders', shared: true}}"
HOLDS = Standing(visibility_timeout_s=30, max_receives=3, dead_letter=True, wait_s=20, retention_s=86_400)


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def one(topology: str = QUEUE, *, transport: str = "sqs", more: str = "", claims: str = "[no-loss]") -> Scenario:
        path = tmp_path / "one.yaml"
        path.write_text(
            f"name: one\ntransport: {transport}\ntopology: {{{topology}}}\nload: {{rate: 10/s, duration: 10s}}\n"
            f"claims: {claims}\n{more}"
        )
        return reading.load(path)

    return one


def found(*differs: str, **standing: Standing) -> Found:
    return Found(addresses=Addresses(send_to="q", attached=True), standing=standing, differs=differs)


def test_names_of_everything_that_is_there_are_told(read: Any) -> None:
    assert read(f"attach: {{queue: '{SQS}orders', dead_letter_queue: '{SQS}dead'}}").attached == ["orders", "dead"]
    topic = f"attach: {{topic: '{TOPIC}', subscriptions: {{orders: {{queue: '{SQS}shop'}}}}}}"
    assert read(topic, transport="sns").attached == ["orders", "shop"]
    assert read("attach: {stream: clicks}", transport="kinesis").attached == ["clicks"]
    broken = read(more="chaos: [{at: 1s, fault: kill-consumer}]\n")
    planned = estimate(broken, region="eu-west-1")
    assert (planned.existing, planned.breaks, planned.resources) == (["orders"], ["orders"], [])


@pytest.mark.parametrize(
    ("topology", "transport", "said"),
    [
        ("attach: {queue: orders}", "sqs", "'orders' is neither the URL nor the ARN of a queue"),
        ("attach: {topic: orders, subscriptions: {}}", "sns", "'orders' is no ARN of a topic"),
        ("attach: {}", "sqs", "nothing is named that is there already; exactly one of queue, topic, bus, stream is"),
        (f"attach: {{queue: '{SQS}a', stream: b}}", "sqs", "queue and stream are named that is there already"),
        ("attach: {stream: clicks}", "sqs", "sqs sends to a queue; name one, by `queue`"),
        (f"attach: {{topic: '{TOPIC}'}}", "sns", "`subscriptions` says which queue each subscription ends in"),
        (
            f"attach: {{topic: '{TOPIC}', subscriptions: {{audit: {{queue: '{SQS}a'}}}}}}",
            "sns",
            "audit is missing topology.subscriptions; each is named in both",
        ),
        (
            f"attach: {{bus: b, subscriptions: {{orders: {{queue: '{SQS}a'}}}}}}",
            "eventbridge",
            "`rule` is needed behind a bus",
        ),
        (f"attach: {{queue: '{SQS}a.fifo'}}", "sqs", "is a FIFO queue by its name; use the transport sqs-fifo"),
        (f"{QUEUE}, dedup_window: 5s", "sqs", "the run makes nothing where topology.attach says what is there"),
        (f"{QUEUE}, encryption: sqs", "sqs", "the run makes nothing where topology.attach says what is there"),
        (f"{SHARED}, redrive: true", "sqs", "it would move the dead letters of others back, too"),
        (
            "subscriptions: [{name: orders, existing: shop}]",
            "sqs",
            "`existing` is gone: a queue that is there already is named by its URL or ARN",
        ),
        ("encryption: sqs", "kinesis", "kinesis has no queue that SQS could encrypt"),
        ("encryption: {kms: k, reuse: 5min}", "kinesis", "only a queue says how long it uses a data key"),
        ("encryption: {kms: alias/aws/sqs}", "sns", "alias/aws/sqs is managed by AWS for one service alone"),
        ("encryption: {kms: k, reuse: 30s}", "sqs", "greater than or equal to 60"),
    ],
)
def test_what_does_not_go_together_is_refused(read: Any, topology: str, transport: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        read(topology, transport=transport, claims="[all-accepted]")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("topology", "transport", "id", "allowed"),
    [
        (QUEUE, "sqs", "id: /n", True),
        (SHARED, "sqs", "id: attribute", True),
        (SHARED, "sqs", "id: /n", False),
        ("attach: {stream: clicks}", "kinesis", "id: /n", False),
    ],
)
def test_messages_have_to_be_told_from_those_of_others(
    read: Any, tmp_path: Path, topology: str, transport: str, id: str, allowed: bool
) -> None:
    (tmp_path / "bodies.jsonl").write_text("".join(f'{{"n": "{n}"}}\n' for n in range(200)))
    more = f"  message: {{file: bodies.jsonl, repeat: false, {id}}}\n"
    text = f"name: one\ntransport: {transport}\ntopology: {{{topology}}}\nclaims: [no-loss]\n"
    (tmp_path / "own.yaml").write_text(f"{text}load:\n  rate: 10/s\n  duration: 10s\n{more}")
    if allowed:
        assert reading.load(tmp_path / "own.yaml")
    else:
        with pytest.raises(UsageError, match="nothing would tell the run's messages from theirs; write id: attribute"):
            reading.load(tmp_path / "own.yaml")


def test_what_stands_there_is_what_counts(read: Any) -> None:
    scenario = read(f"{QUEUE}, visibility_timeout: 5s, max_receives: 3")
    there = found(orders=HOLDS)
    known = as_found(scenario, there)
    (promised,) = promises_of(known, settle_s=0).values()
    assert (promised.visibility_timeout_s, promised.max_receives, promised.dead_letter) == (30, 3, True)
    assert known.topology.visibility_timeout == 30
    assert known.drain_timeout_s == 4 * 30 + 30, "as long as a message may take to die there"
    # Only what was written can be contradicted.
    assert list(differences(scenario, there)) == [
        "orders: topology.visibility_timeout is 5s, and where it attaches 30s; 30s counts"
    ]
    assert list(differences(read(), there)) == []
    assert list(differences(read(), found("said", orders=HOLDS))) == ["said"]
    assert as_found(read(more="drain_timeout: 7s\n"), there).drain_timeout_s == 7


def test_what_is_deployed_is_what_comes(read: Any) -> None:
    topic = f"attach: {{topic: '{TOPIC}', subscriptions: {{orders: {{queue: '{SQS}shop'}}}}}}"
    scenario = read(
        f"{topic}, subscriptions: [{{name: orders, filter: {{currency: [EUR]}}}}]",
        transport="sns",
        claims="[no-phantom]",
    )
    holds = replace(HOLDS, deployed=Deployed(missing=True))
    notes = forecast(as_found(scenario, found(orders=holds)))
    assert any("nothing reaches orders as it is deployed" in note.text for note in notes)
    assert not forecast(as_found(scenario, found(orders=HOLDS)))


@pytest.mark.parametrize(
    ("holds", "more", "said"),
    [
        ({}, "", None),
        ({}, "consumers: {processing_time: 6s}\n", "30s is less than 6 times the 6s that the work of a message takes"),
        ({}, "consumers: {processing_time: 5s}\n", None),
        ({"dead_letter": False, "max_receives": None}, "", "it has no dead-letter queue"),
        ({"wait_s": 0}, "consumers: {command: [cat]}\n", "(short polling)"),
        ({"wait_s": 0}, "", None),
        ({}, "consumers: {wait: 0s}\n", "(short polling)"),
        ({"retention_s": 60}, "", "a message is kept for 60s, and load and drain may take"),
        ({"keys": ["alias/own"]}, "", "it is encrypted with alias/own"),
        # Whoever may use the service may use these.
        ({"keys": ["alias/aws/sns"]}, "", None),
    ],
)
def test_what_is_not_as_it_should_be_is_told(read: Any, holds: Mapping[str, Any], more: str, said: str | None) -> None:
    told = list(warnings(as_found(read(more=more, claims="[all-accepted]"), found(orders=replace(HOLDS, **holds)))))
    assert [said in text for text in told] == ([] if said is None else [True])


@pytest.mark.parametrize(
    ("topology", "holds", "more", "said"),
    [
        (SHARED, {"max_receives": 1}, "", "would die of it"),
        (QUEUE, {"visibility_timeout_s": 4.0}, "consumers: {heartbeat: 4s}\n", "consumers.heartbeat, every 4s, is too"),
        (QUEUE, {}, "chaos: [{at: 1s, for: 1s, fault: deny, reason: kms}]\n", "is encrypted with a key of KMS"),
    ],
)
def test_what_could_only_harm_or_prove_nothing_is_refused(
    read: Any, topology: str, holds: Mapping[str, Any], more: str, said: str
) -> None:
    scenario = read(topology, more=more)
    assert as_found(scenario, found(orders=replace(HOLDS, keys=["k"])))
    with pytest.raises(CannotAttach) as error:
        as_found(scenario, found(orders=replace(HOLDS, **holds)))
    assert said in str(error.value)


def test_that_nothing_is_proven_drained_is_said_before(read: Any) -> None:
    claims = "[no-loss, no-phantom, all-accepted, {claim: lag, max: 5s}, exactly-once-effect]"
    (note,) = forecast(read(SHARED, claims=claims))
    assert (note.key, list(note.claims)) == ("topology.attach.shared", ["no-loss", "exactly-once-effect"])
    assert forecast(read(QUEUE, claims=claims)) == []


def test_a_key_is_asked_for_and_paid_for(read: Any) -> None:
    planned = estimate(read("encryption: {kms: alias/own, reuse: 1min}"), region="us-east-1")
    asked = planned.calls["kms", "GenerateDataKey, Decrypt"]
    # By hand: two requests of one sender and one of one receiver, in each minute of 131 s or more (load, a drain of
    # 60 s of settling, and 60 s of looks).
    assert asked.low == 3 * 3
    assert asked.high > asked.low
    (line,) = [cost for cost in planned.costs if cost.item == "kms-request"]
    assert line.dollars.low == pytest.approx(9 * 0.03 / 10_000)
    assert ("kms", "GenerateDataKey, Decrypt") not in estimate(read("encryption: sqs"), region="us-east-1").calls


def test_a_key_that_nobody_has_cannot_be_denied(read: Any) -> None:
    chaos = "chaos: [{at: 1s, for: 1s, fault: deny, reason: kms}]\n"
    with pytest.raises(UsageError, match="nothing is encrypted with a key of KMS"):
        read("encryption: sqs", more=chaos)
    scenario = read("encryption: {kms: k}", more=chaos)
    assert set(scenario.chaos[0].operations) >= {"ReceiveMessage", "SendMessageBatch"}
    with pytest.raises(UsageError, match="DeleteMessage needs no key of KMS"):
        read("encryption: {kms: k}", more=chaos.replace("reason", "operation: delete, reason"))

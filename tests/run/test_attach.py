"""What runs and stands there already: the run sees it, strikes it where it may, and leaves it as it was."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from gameday.transports.queue import sending_policy
from tests.commanded import Gameday, wait_until
from tests.series import in_series, in_soak
from tests.transports.asked import served
from tests.wire.wired import sdk

pytestmark = pytest.mark.live

Start = Callable[..., Gameday]

WORKER = """
import json, os, sys, time, boto3
sqs = boto3.client("sqs", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
while True:
    try:
        queue = sqs.get_queue_url(QueueName="prod")["QueueUrl"]
        messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
        for message in messages:
            id = json.loads(message["Body"])["detail"]["metadata"]["id"]
            with open(os.environ["EFFECTS"], "a") as effects:
                effects.write(json.dumps({"id": id, "applied": 1}) + "\\n")
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    except Exception as error:
        print(error, file=sys.stderr)
        time.sleep(0.1)
"""
# Puts another in the place of one that was killed, as whatever watches over a worker does.
WATCHED = """
import subprocess, sys
while True:
    worker = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
    open(sys.argv[2], "w").write(str(worker.pid))
    try:
        worker.wait()
    except BaseException:
        worker.kill()
        raise
"""
SCENARIO = """
name: attached
transport: sqs
topology: {attach: {queue: "URL/000000000000/prod"}, visibility_timeout: 2s, max_receives: null}
load: {rate: 40/s, duration: 6s}
consumers: {attach: %s}
%s
effects: {command: [cat, effects.jsonl]}
claims: [all-accepted, at-least-once-effect]
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "effects.jsonl").touch()
    with served() as url:
        sdk("sqs", url).create_queue(QueueName="prod", Attributes={"VisibilityTimeout": "2"})
        yield url


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def working(broker: str, tmp_path: Path) -> Iterator[int]:
    """A worker under a watch; the port that it takes for AWS."""
    port = free_port()
    env = {**os.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "EFFECTS": str(tmp_path / "effects.jsonl")}
    argv = [sys.executable, "-c", WATCHED, WORKER, str(tmp_path / "pid")]
    with (tmp_path / "worker.log").open("wb") as log, subprocess.Popen(argv, env=env, stderr=log) as watch:
        wait_until((tmp_path / "pid").exists, "a worker")
        yield port
        watch.terminate()
        watch.wait(10)
        os.kill(pid_of(tmp_path), 9)


def pid_of(tmp_path: Path) -> int:
    return int((tmp_path / "pid").read_text())


@in_series
def test_one_that_runs_already_is_seen_struck_and_left_alone(
    gameday: Start, broker: str, working: int, tmp_path: Path
) -> None:
    before = pid_of(tmp_path)
    scenario = tmp_path / "attached.yaml"
    chaos = "chaos: [{at: 1s, fault: kill-consumer}, {at: 4s, fault: latency, by: 100ms, for: 2s}]"
    scenario.write_text(SCENARIO.replace("URL", broker) % (f"{{pid_file: pid, port: {working}}}", chaos))
    code, out, err = gameday(str(scenario), "--endpoint-url", broker).end()
    assert code in (0, 3), out + err
    assert pid_of(tmp_path) != before, "it was killed"
    os.kill(pid_of(tmp_path), 0)
    assert sdk("sqs", broker).get_queue_url(QueueName="prod"), "the queue is still there"
    assert "holds" in out


@in_soak
@in_series
def test_one_that_nobody_sees_is_judged_by_its_effects(gameday: Start, broker: str, tmp_path: Path) -> None:
    env = {**os.environ, "AWS_ENDPOINT_URL": broker, "EFFECTS": str(tmp_path / "effects.jsonl")}
    scenario = tmp_path / "unseen.yaml"
    scenario.write_text(SCENARIO.replace("URL", broker) % ("none", ""))
    with subprocess.Popen([sys.executable, "-c", WORKER], env=env) as worker:
        try:
            run = gameday(str(scenario), "--endpoint-url", broker)
            code, out, err = run.end()
        finally:
            worker.kill()
    assert code == 0, out + err
    verdict = orjson.loads((run.run / "verdict.json").read_bytes())
    assert {claim["key"]: claim["verdict"] for claim in verdict["claims"]} == {
        "all-accepted": "holds",
        "at-least-once-effect": "holds",
    }


# What the run consumes itself.

ATTACHED = """
name: attached
transport: %s
topology: {attach: %s%s}
load: {rate: 30/s, duration: 2s}
consumers: {processes: 2}
drain_timeout: 3s
%s
claims: [%s]
"""


def allow(account: Account, arn: str, sender: str) -> None:
    account.sqs.set_queue_attributes(
        QueueUrl=account.urls[arn], Attributes={"Policy": sending_policy(f"{sender}.amazonaws.com", arn)}
    )


class Account:
    """Queues that were there before the run, in the broker at that URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.sqs, self.sns, self.events, self.kinesis = (sdk(n, url) for n in ("sqs", "sns", "events", "kinesis"))
        self.urls: dict[str, str] = {}

    def queue(self, name: str, **attributes: str) -> str:
        url = self.sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "3", **attributes})["QueueUrl"]
        told = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        self.urls[told["QueueArn"]] = url
        return str(told["QueueArn"])

    def bodies(self, arn: str) -> Counter[tuple[str, str]]:
        """Of all that is in a queue: the body, and how often it was received before this."""
        found: Counter[tuple[str, str]] = Counter()
        while messages := self.sqs.receive_message(
            QueueUrl=self.urls[arn], MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
        ).get("Messages"):
            for message in messages:
                received = int(message["Attributes"]["ApproximateReceiveCount"]) - 1
                found[message["Body"], str(received)] += 1
        return found

    def run(self, gameday: Start, directory: Path, text: str) -> tuple[int, str, dict[str, Any]]:
        """Exit code, what was said, and the verdict ({} where there is none)."""
        (directory / "attached.yaml").write_text(text)
        run = gameday(str(directory / "attached.yaml"), "--endpoint-url", self.url)
        code, out, err = run.end()
        verdict = run.run / "verdict.json"
        return code, out + err, orjson.loads(verdict.read_bytes()) if verdict.exists() else {}


@pytest.fixture
def account() -> Iterator[Account]:
    with served() as url:
        yield Account(url)


def ruled(verdict: Mapping[str, Any]) -> dict[str, str]:
    return {claim["key"]: claim["verdict"] for claim in verdict["claims"]}


def test_a_queue_that_others_use_is_left_as_it_was(gameday: Start, account: Account, tmp_path: Path) -> None:
    """Their messages survive it though a consumer is killed that has them, received once; no verdict rests on them."""
    dead = account.queue("shop-dead")
    policy = {"deadLetterTargetArn": dead, "maxReceiveCount": 4}
    shop = account.queue("shop", RedrivePolicy=orjson.dumps(policy).decode())
    for n in range(5):
        account.sqs.send_message(QueueUrl=account.urls[shop], MessageBody=f"theirs {n}")
    account.sqs.send_message(QueueUrl=account.urls[dead], MessageBody="their dead one")
    code, said, verdict = account.run(
        gameday,
        tmp_path,
        ATTACHED
        % (
            "sqs",
            f"{{queue: '{shop}', shared: true}}",
            ", visibility_timeout: 30s",
            "chaos: [{at: 1s, fault: kill-consumer}]",
            "all-accepted, no-phantom, no-loss, exactly-once-effect, {claim: lag, max: 20s, during: all}",
        ),
    )
    assert code == 3, said
    assert "topology.visibility_timeout is 30s, and where it attaches 3s; 3s counts" in said
    assert "topology.attach.shared (no-loss, exactly-once-effect): others use it, too" in said
    assert "5 messages of others were met, left alone, and given back" in said
    assert ruled(verdict) == {
        "all-accepted": "holds",
        "no-phantom": "holds",
        "no-loss": "unknown",
        "exactly-once-effect": "unknown",
        "lag during all": "holds",
    }
    assert verdict["anomalies"]["phantom"]["count"] == 0
    assert verdict["subscriptions"]["orders"]["visibility_timeout_s"] == 3
    assert verdict["subscriptions"]["orders"]["max_receives"] == 4
    # Dead letters are met, too.
    assert verdict["totals"]["subscriptions"]["orders"]["foreign"] == 6
    assert account.bodies(shop) == Counter({(f"theirs {n}", "1"): 1 for n in range(5)})
    assert [body for body, _ in account.bodies(dead)] == ["their dead one"]


@in_series
def test_too_many_messages_of_others_end_the_run_and_are_given_back(
    gameday: Start, account: Account, tmp_path: Path
) -> None:
    shop = account.queue("shop")
    for n in range(30):
        account.sqs.send_message(QueueUrl=account.urls[shop], MessageBody=f"theirs {n}")
    code, said, _ = account.run(
        gameday,
        tmp_path,
        ATTACHED % ("sqs", f"{{queue: '{shop}', shared: true, foreign_max: 9}}", "", "", "no-phantom"),
    )
    assert code == 4, said
    assert "messages of others, and topology.attach.foreign_max is 9" in said
    theirs = [(body, received) for body, received in account.bodies(shop) if body.startswith("theirs")]
    assert len(theirs) == 30 and {received for _, received in theirs} <= {"0", "1"}


@in_series
@in_soak
def test_a_topic_and_its_queues(gameday: Start, account: Account, tmp_path: Path) -> None:
    """What is meant is the scenario's, what is deployed stands there: the wrong filter is found."""
    euro, every = account.queue("euro"), account.queue("every")
    topic = account.sns.create_topic(Name="orders")["TopicArn"]
    wide = orjson.dumps({"currency": ["EUR", "USD"]}).decode()
    for arn, attributes in ((euro, {"FilterPolicy": wide}), (every, {"RawMessageDelivery": "true"})):
        allow(account, arn, "sns")
        account.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=attributes)
    attach = f"{{topic: '{topic}', subscriptions: {{euro: {{queue: '{euro}'}}, every: {{queue: '{every}'}}}}}}"
    meant = ", subscriptions: [{name: euro, filter: {currency: [EUR]}}, {name: every}]"
    claims = "all-accepted, no-loss, no-phantom, filter-correct"
    code, said, verdict = account.run(gameday, tmp_path, ATTACHED % ("sns", attach, meant, "", claims))
    assert code == 1, said
    assert 'the filter policy that stands there is {"currency":["EUR","USD"]}' in said
    assert "every: messages come to it raw" in said
    assert ruled(verdict) == {
        "all-accepted": "holds",
        "no-loss": "holds",
        "no-phantom": "holds",
        "filter-correct": "violated",
    }
    assert account.sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsConfirmed"] == "2"
    assert account.sqs.list_queues()["QueueUrls"] == sorted(account.urls.values()), "none was made, none is gone"


@in_series
@in_soak
def test_a_bus_with_its_rule(gameday: Start, account: Account, tmp_path: Path) -> None:
    orders = account.queue("orders")
    allow(account, orders, "events")
    account.events.create_event_bus(Name="staging")
    account.events.put_rule(Name="to-orders", EventBusName="staging", EventPattern='{"source": [{"prefix": ""}]}')
    account.events.put_targets(Rule="to-orders", EventBusName="staging", Targets=[{"Id": "q", "Arn": orders}])
    attach = f"{{bus: staging, subscriptions: {{orders: {{queue: '{orders}', rule: to-orders}}}}}}"
    claims = "all-accepted, no-loss, no-phantom"
    code, said, verdict = account.run(gameday, tmp_path, ATTACHED % ("eventbridge", attach, "", "", claims))
    assert code == 0, said
    assert set(ruled(verdict).values()) == {"holds"}
    assert [rule["Name"] for rule in account.events.list_rules(EventBusName="staging")["Rules"]] == ["to-orders"]


@in_series
@in_soak
def test_a_stream_that_others_write_to(gameday: Start, account: Account, tmp_path: Path) -> None:
    """Reading takes nothing from anybody, so what is the run's is judged whole."""
    account.kinesis.create_stream(StreamName="clicks", ShardCount=2)
    for n in range(20):
        account.kinesis.put_record(StreamName="clicks", Data=f"theirs {n}".encode(), PartitionKey=str(n))
    claims = "all-accepted, no-loss, no-phantom, ordered-per-partition, exactly-once-effect"
    chaos = "chaos: [{at: 1s, fault: kill-consumer}]"
    text = ATTACHED % ("kinesis", "{stream: clicks, shared: true}", "", chaos, claims)
    code, said, verdict = account.run(gameday, tmp_path, text.replace("drain_timeout: 3s\n", ""))
    assert code == 0, said
    assert set(ruled(verdict).values()) == {"holds"}
    assert verdict["totals"]["subscriptions"]["orders"]["foreign"] >= 20
    assert account.kinesis.list_streams()["StreamNames"] == ["clicks"]


@in_series
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--target memory", "topology.attach names what is there already, and the broker in memory begins empty"),
        ("", "shop holds 1 messages, which are none of this run's; empty it, or say `shared: true`"),
    ],
)
def test_what_cannot_be_attached_to(gameday: Start, account: Account, tmp_path: Path, more: str, said: str) -> None:
    shop = account.queue("shop")
    account.sqs.send_message(QueueUrl=account.urls[shop], MessageBody="theirs")
    (tmp_path / "attached.yaml").write_text(ATTACHED % ("sqs", f"{{queue: '{shop}'}}", "", "", "no-loss"))
    options = more.split() or ["--endpoint-url", account.url]
    code, _, err = gameday(str(tmp_path / "attached.yaml"), *options).end()
    assert code in (2, 4)
    assert said in err and "Traceback" not in err
    assert account.bodies(shop) == Counter({("theirs", "0"): 1})

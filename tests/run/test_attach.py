"""Consumers that run already: the run sees them at work, strikes them, and leaves them and their queue as they were."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from tests.commanded import Gameday, wait_until
from tests.series import in_series
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
topology: {visibility_timeout: 2s, max_receives: null, subscriptions: [{name: orders, existing: prod}]}
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
    scenario.write_text(SCENARIO % (f"{{pid_file: pid, port: {working}}}", chaos))
    code, out, err = gameday(str(scenario), "--endpoint-url", broker).end()
    assert code in (0, 3), out + err
    assert pid_of(tmp_path) != before, "it was killed"
    os.kill(pid_of(tmp_path), 0)
    assert sdk("sqs", broker).get_queue_url(QueueName="prod"), "the queue is still there"
    assert "holds" in out


@in_series
def test_one_that_nobody_sees_is_judged_by_its_effects(gameday: Start, broker: str, tmp_path: Path) -> None:
    env = {**os.environ, "AWS_ENDPOINT_URL": broker, "EFFECTS": str(tmp_path / "effects.jsonl")}
    scenario = tmp_path / "unseen.yaml"
    scenario.write_text(SCENARIO % ("none", ""))
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


def test_a_queue_that_is_not_as_the_scenario_says_is_refused(gameday: Start, broker: str, tmp_path: Path) -> None:
    scenario = tmp_path / "other.yaml"
    scenario.write_text((SCENARIO % ("none", "")).replace("visibility_timeout: 2s", "visibility_timeout: 30s"))
    code, _, err = gameday(str(scenario), "--endpoint-url", broker).end()
    assert code == 4
    assert "its visibility timeout is 2s, in the scenario 30s; write 2s into topology.visibility_timeout" in err
    assert sdk("sqs", broker).get_queue_url(QueueName="prod")

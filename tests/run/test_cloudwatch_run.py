"""CloudWatch in whole runs: what it has comes into the report, at the end or when it is asked for once more; a run that
cannot read it has the verdict that it would have had."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest

from gameday.targets import cloudwatch
from tests.commanded import COMMAND, Gameday, wait_until
from tests.series import in_series, in_soak

pytestmark = [pytest.mark.live, in_series]

SCENARIO = """\
name: measured
transport: sqs
topology: {max_receives: null}
load: {rate: 20/s, duration: 1500ms, users: 2}
consumers: {processes: 1}
claims: [no-loss]
cloudwatch: true
"""


@pytest.fixture
def ministack() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "ministack"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def answers() -> bool:
        assert process.poll() is None, "the emulator died"
        try:
            urllib.request.urlopen(f"{url}/_ministack/health", timeout=5).close()
        except OSError:
            return False
        return True

    try:
        wait_until(answers, "the emulator answers")
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "measured.yaml"
    path.write_text(SCENARIO)
    return str(path)


@in_soak
def test_what_comes_late_is_asked_for_once_more(gameday: Callable[..., Gameday], scenario: str, ministack: str) -> None:
    run = gameday(scenario, "--endpoint-url", ministack)
    ended, out, err = run.end()
    assert ended == 0, (out, err)
    # It keeps no metrics of queues, as AWS has none in the first minutes.
    assert "CloudWatch: 0 of 6 metrics have numbers for this run" in out and "is not there yet" in out
    told = cloudwatch.load(run.run)
    assert told is not None and told.failed is None and told.end_s is not None
    (queue,) = {metric.resource for metric in told.metrics}
    client = boto3.client(
        "cloudwatch", endpoint_url=ministack, region_name=told.region, aws_access_key_id="x", aws_secret_access_key="x"
    )
    data = [
        {
            "MetricName": name,
            "Dimensions": [{"Name": "QueueName", "Value": queue}],
            "Timestamp": datetime.fromtimestamp(told.end_s - told.end_s % 60, tz=UTC),
            "Value": value,
        }
        for name, value in (("NumberOfMessagesSent", 30.0), ("ApproximateAgeOfOldestMessage", 7.0))
    ]
    client.put_metric_data(Namespace="AWS/SQS", MetricData=data)
    asked = subprocess.run(
        [*COMMAND, "report", str(run.run), "--cloudwatch"], capture_output=True, text=True, timeout=60, check=False
    )
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.startswith("CloudWatch: 2 of 6 metrics have numbers for this run\n")
    read = cloudwatch.load(run.run)
    assert read is not None and read.late == []
    assert [metric.value for metric in read.metrics if metric.points] == [7.0, 30.0]
    page = (run.run / "report.html").read_text()
    assert "What CloudWatch counted" in page and queue in page


def test_where_there_is_none_the_verdict_is_what_it_is(gameday: Callable[..., Gameday], scenario: str) -> None:
    run = gameday(scenario, "--target", "memory")
    ended, out, err = run.end()
    assert ended == 0, (out, err)
    assert json.loads((run.run / "verdict.json").read_bytes())["verdict"] == "holds"
    assert "CloudWatch could not be read" in out
    assert "could not be read" in (run.run / "report.html").read_text()


def test_a_run_that_does_not_ask_has_no_such_file(gameday: Callable[..., Gameday], scenario: str) -> None:
    run = gameday(scenario, "--target", "memory", "--set", "cloudwatch=null")
    ended, out, err = run.end()
    assert ended == 0, (out, err)
    assert "CloudWatch" not in out and not (run.run / cloudwatch.FILE).exists()

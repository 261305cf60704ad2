"""Locust itself, as a process, against the broker in memory and MiniStack: what it records is what the queue holds."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from history.child import Child
from history.clock import Clock
from history.writer import DIRECTORY
from loadgen.config import LoadConfig
from transports.base import Call, CallFailed, SubscriptionSpec, Topology
from transports.carrier import BotoCarrier, run_plan
from transports.endpoint import Endpoint
from transports.registry import TRANSPORTS

pytestmark = pytest.mark.live

LOCUSTFILE = Path(__file__).parents[2] / "loadgen" / "locustfile.py"
LOCUST = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"]
TOPOLOGY = Topology(subscriptions=[SubscriptionSpec(name="orders")])
LIMIT_S = 60.0


@contextmanager
def process(argv: list[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait()
        for pipe in (started.stdin, started.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture(scope="module")
def memory() -> Iterator[Endpoint]:
    with process([sys.executable, "-m", "transports.memory"]) as broker:
        assert broker.stdout is not None
        yield endpoint(orjson.loads(broker.stdout.readline())["url"])


@pytest.fixture(scope="module")
def ministack() -> Iterator[Endpoint]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = ["sh", "-c", 'exec "$0" -m ministack > /dev/null', sys.executable]
    with process(argv, GATEWAY_PORT=str(port), BIND_HOST="127.0.0.1") as emulator:
        url = f"http://127.0.0.1:{port}"
        carry = BotoCarrier(endpoint(url))
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                carry(Call("sqs", "ListQueues", {}))
                break
            except CallFailed:
                assert emulator.poll() is None and time.monotonic() < deadline, "MiniStack did not start"
                time.sleep(0.1)
        yield endpoint(url)


def endpoint(url: str) -> Endpoint:
    return Endpoint(urls={"*": url}, access_key="test", secret_key="test")


def prepare(run: Path, endpoint: Endpoint, *, transport: str, **changes: Any) -> LoadConfig:
    """A queue, a run directory and `load.json` in it."""
    (run / DIRECTORY).mkdir()
    config = LoadConfig(
        **{
            "run_dir": str(run),
            "run": run.name,
            "clock": str(Clock.start()),
            "endpoint": endpoint,
            "transport": transport,
            "addresses": run_plan(
                TRANSPORTS[transport].provision(TOPOLOGY, run=f"{run.name}-{transport}", tags={}), BotoCarrier(endpoint)
            ),
            "topology": TOPOLOGY,
            "rate_per_s": 200.0,
            "duration_s": 1.5,
            "groups": 12,
            "users": 3,
            "poison_share": 0.1,
            **changes,
        }
    )
    config.save(run / "load.json")
    return config


def records(run: Path) -> dict[str, list[dict[str, Any]]]:
    """By history file, each of which must end in good order."""
    found = {p.stem: [orjson.loads(line) for line in p.open("rb")] for p in sorted((run / DIRECTORY).glob("*.jsonl"))}
    for name, lines in found.items():
        assert lines[-1]["event"] == "mark" and lines[-1]["name"] == "closed", f"{name} was not closed"
    return found


def depth(config: LoadConfig) -> int:
    source = TRANSPORTS[config.transport].source(config.addresses, "orders")
    return source.depth_of(BotoCarrier(config.endpoint)(source.depth())).total


def check_order(lines: list[dict[str, Any]]) -> None:
    """At most one of a group on its way, and none begun before the one before it was answered ok."""
    groups: dict[str, str] = {}
    on_its_way: dict[str, str] = {}
    acked: defaultdict[str, int] = defaultdict(int)
    for line in lines:
        if line["event"] == "intended":
            group = groups.setdefault(line["id"], str(line.get("group")))
            assert group not in on_its_way, f"{line['id']} went out before {on_its_way[group]} was answered"
            on_its_way[group] = line["id"]
            if line["attempt"] == 1:
                assert line["seq"] == acked[group] + 1
        elif line["event"] == "sent":
            group = groups[line["id"]]
            assert on_its_way.pop(group) == line["id"]
            acked[group] += line["outcome"] == "ok"


async def conducted(run: Path, config: LoadConfig, *middle: Any) -> tuple[dict[str, Any], list[dict[str, Any]], int]:
    """Start the load as the conductor does; `middle` are coroutine functions to call with the child while it sends."""
    heard: list[dict[str, Any]] = []
    argv = [*LOCUST, *(["--processes", str(config.processes)] if config.processes > 1 else [])]
    child = await Child.start(name="load", argv=argv, run=run, env={"GAMEDAY_LOAD": str(run / "load.json")})
    child.on_report = heard.append
    try:
        assert await child.report("ready", timeout_s=LIMIT_S) is not None, child.last_words()
        await child.command("start", at=Clock.parse(config.clock).now_ns() + 100_000_000)
        for step in middle:
            await step(child)
        done = await child.report("done", timeout_s=LIMIT_S)
        assert done is not None, child.last_words()
        return done, heard, await child.wait()
    finally:
        await child.end(timeout_s=5)


def alone(run: Path | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As a person starts it, without a conductor."""
    environment = {**os.environ, "GAMEDAY_LOAD": "" if run is None else str(run / "load.json")}
    return subprocess.run(
        [*LOCUST, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


async def until_something_was_sent(run: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not any(b'"sent"' in p.read_bytes() for p in (run / DIRECTORY).glob("*.jsonl")):
        assert time.monotonic() < deadline, "nothing was sent"
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("transport", ["sqs-fifo", "sqs"])
def test_what_is_recorded_is_what_the_queue_holds(tmp_path: Path, ministack: Endpoint, transport: str) -> None:
    config = prepare(tmp_path, ministack, transport=transport)
    done, _, code = asyncio.run(conducted(tmp_path, config))
    assert code == 0
    assert (done["scheduled"], done["intended"], done["acked"], done["missed"]) == (300, 300, 300, 0)
    lines = records(tmp_path)["load"]
    assert Counter(line["event"] for line in lines) == {"intended": 300, "sent": 300, "mark": 1}
    planned = {m.id: m for m in config.schedule().messages(0)}
    for line in lines:
        if line["event"] == "intended":
            message = planned.pop(line["id"])
            assert (line["group"], line["seq"], line["poison"]) == (message.group, message.seq, message.poison)
            assert line["producer"] == f"user-{message.lane}"
    assert not planned
    assert depth(config) == 300
    if transport == "sqs-fifo":
        check_order(lines)


def test_two_processes_share_the_lanes_and_the_master_sums_up(tmp_path: Path, memory: Endpoint) -> None:
    config = prepare(tmp_path, memory, transport="memory-fifo", processes=2)
    armed = {"kind": "lose-send-reply", "instance": "lost-1", "share": 0.2}

    async def lose_replies(child: Child) -> None:
        await child.command("arm", disturbance=armed)
        assert await child.report("armed", timeout_s=LIMIT_S, instance="lost-1") is not None

    done, heard, code = asyncio.run(conducted(tmp_path, config, lose_replies))
    assert code == 0
    assert (done["scheduled"], done["acked"], done["missed"]) == (300, 300, 0)
    found = records(tmp_path)
    assert sorted(found) == config.writers
    for lines in found.values():
        check_order(lines)
    sent = [line for lines in found.values() for line in lines if line["event"] == "sent"]
    lost = {line["call"] for line in sent if line["outcome"] == "unknown"}
    # What was never disarmed is reported at the end.
    assert [r["fired"] for r in heard if r["report"] == "disarmed"] == [len(lost)]
    assert lost
    # Deduplication made one of each message that went out again.
    assert depth(config) == 300
    assert not set.intersection(*({line["producer"] for line in lines if "seq" in line} for lines in found.values()))


@pytest.mark.parametrize("how", ["stop", "end of input", "SIGTERM", "SIGINT"])
def test_ended_early_it_closes_its_history(tmp_path: Path, memory: Endpoint, how: str) -> None:
    config = prepare(tmp_path, memory, transport="memory-fifo", duration_s=60.0)

    async def end(child: Child) -> None:
        await until_something_was_sent(tmp_path)
        if how == "stop":
            await child.command("stop")
        elif how == "end of input":
            stdin = child._process.stdin
            assert stdin is not None
            stdin.close()
        else:
            child.signal(signal.Signals[how])

    done, _, code = asyncio.run(conducted(tmp_path, config, end))
    assert code == 0
    assert done["scheduled"] == 12_000
    assert 0 < done["intended"] == done["acked"] == 12_000 - done["missed"]
    lines = records(tmp_path)["load"]
    assert sum(line["event"] == "intended" for line in lines) == done["intended"] == depth(config)


def test_an_unreachable_broker_ends_the_load_in_order(tmp_path: Path, memory: Endpoint) -> None:
    config = prepare(tmp_path, memory, transport="memory-fifo", duration_s=0.2, give_up_s=0.3)
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    replace(config, endpoint=endpoint(url)).save(tmp_path / "load.json")
    done, _, code = asyncio.run(conducted(tmp_path, config))
    assert code == 0
    assert done["acked"] == 0 < done["failed"] == done["intended"]
    assert {line["outcome"] for line in records(tmp_path)["load"] if line["event"] == "sent"} == {"failed"}


def test_alone_it_starts_by_itself_and_shows_locusts_statistics(tmp_path: Path, memory: Endpoint) -> None:
    config = prepare(tmp_path, memory, transport="memory-fifo")
    ran = alone(tmp_path, "--processes", "2")
    assert ran.returncode == 0, ran.stderr
    assert "300 scheduled, 300 intended, 300 acked" in ran.stderr
    assert "SendMessageBatch" in ran.stderr and "due to accepted" in ran.stderr
    assert depth(config) == 300
    assert sorted(records(tmp_path)) == ["load-0", "load-1"]


def test_a_second_load_never_writes_into_the_history_of_the_first(tmp_path: Path, memory: Endpoint) -> None:
    config = prepare(tmp_path, memory, transport="memory-fifo")
    history = tmp_path / DIRECTORY / "load.jsonl"
    history.write_text("evidence\n")
    ran = alone(tmp_path)
    assert ran.returncode == 4
    assert "load.jsonl holds a load already" in ran.stderr
    assert history.read_text() == "evidence\n"
    assert depth(config) == 0


def test_without_a_configuration_it_says_in_one_line_what_is_needed() -> None:
    ran = alone(None)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    [line] = [line for line in ran.stderr.splitlines() if "GAMEDAY_LOAD" in line]
    assert "gameday run" in line

"""Whole runs on the broker of our own, and every way in which one can end badly: what it says, its exit code, and that
nothing outlives it while what was recorded can be judged."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gameday.targets.endpoints import endpoint_of
from gameday.transports.base import Call
from gameday.transports.carriers.boto import BotoCarrier
from tests.commanded import Gameday, verify, wait_until
from tests.series import in_series, series

pytestmark = pytest.mark.live

CALM = """\
name: calm
transport: sqs-fifo
topology: {visibility_timeout: 2s, max_receives: 5}
load: {rate: 30/s, duration: 3s, groups: 8, users: 2}
consumers: {processes: 1, processing_time: 2ms}
claims: [no-loss, no-phantom, exactly-once-delivery, ordered-per-group, exactly-once-effect, ordered-effects]
"""
Start = Callable[..., Gameday]
MEMORY = ("--target", "memory")
# Where one of them is paused or killed and the other goes on.
TWO = ("--set", "consumers.processes=2")


@pytest.fixture
def calm(tmp_path: Path) -> str:
    path = tmp_path / "calm.yaml"
    path.write_text(CALM)
    return str(path)


def test_a_run_holds_and_leaves_nothing_behind_and_nobody_minds_that_the_observer_dies(
    gameday: Start, calm: str
) -> None:
    kill = "chaos=[{at: 500ms, fault: kill-consumer}]"
    run = gameday(calm, *MEMORY, *TWO, "--set", kill, "--set", "load.duration=4s", "--seed", "7")
    run.wait_for_traffic()
    run.child("gameday.watch.observer").kill()
    code, out, err = run.end()
    assert code == 0, (out, err)
    assert "the observer ended" in out
    assert out.splitlines()[-1] == f"recorded in {run.run}; judge again with: gameday verify {run.run}"
    run.assert_nothing_left()

    manifest = json.loads((run.run / "manifest.json").read_bytes())
    assert (manifest["seed"], manifest["target"]) == (7, "memory")
    assert manifest["subscriptions"]["orders"]["ordered_by"] == "group"
    verdict = json.loads((run.run / "verdict.json").read_bytes())
    assert (verdict["verdict"], verdict["aborted"]) == ("holds", None)
    # Everything that our processes write is known to the record format.
    assert verdict["ignored"] == []

    records = [json.loads(line) for path in run.run.glob("history/*.jsonl") for line in path.read_bytes().splitlines()]
    marks = run.marks()
    names = [mark["name"] for mark in marks if mark["name"] not in ("writer", "depth", "note")]
    assert [n for n in names if not n.startswith("consumer-")] == [
        "load-started",
        "load-stopped",
        "drained",
        "effects-read",
        "calls",
        "closed",
    ]
    drained = next(mark for mark in marks if mark["name"] == "drained")
    assert drained["empty"] is True
    assert drained["at"] > max(record["at"] for record in records if record["event"] in ("received", "effect"))
    assert next(mark for mark in marks if mark["name"] == "load-stopped")["scheduled"] == 120
    listed = {mark["file"] for mark in marks if mark["name"] == "writer"}
    assert listed | {"conductor.jsonl"} == {path.name for path in run.run.glob("history/*.jsonl")}
    assert "orders-1.2.jsonl" in listed or "orders-2.2.jsonl" in listed


@pytest.mark.parametrize("number", [signal.SIGINT, *series(signal.SIGTERM)])
def test_interrupted_in_the_middle(gameday: Start, calm: str, number: signal.Signals) -> None:
    pause = "chaos=[{at: 200ms, fault: pause-consumer, for: 20s, while_holding: false}]"
    run = gameday(calm, *MEMORY, *TWO, "--set", pause, "--set", "load.duration=30s")
    run.wait_for_traffic()
    wait_until(lambda: b'"pause-consumer"' in (run.run / "history" / "conductor.jsonl").read_bytes(), "the pause")
    run.send(number)
    code, _, err = run.end()
    assert code == 130
    assert err.splitlines()[0] == "gameday: interrupted"
    assert err.splitlines()[1].startswith("What was recorded is kept: gameday verify ")
    run.assert_nothing_left()
    names = [mark["name"] for mark in run.marks()]
    code, document = verify(run.run)
    assert code == 3
    assert any("the run was ended before it was done" in note["text"] for note in document["notes"])
    # Read back once the last consumer had ended, so they are all there are.
    told = [name for name in names if name in ("aborted", "effects-read", "closed")]
    assert told == ["aborted", "effects-read", "closed"]
    records = [json.loads(line) for path in run.run.glob("history/*.jsonl") for line in path.read_bytes().splitlines()]
    applied = {record["id"] for record in records if record["event"] == "effect" and record["outcome"] == "applied"}
    assert {record["id"] for record in records if record["event"] == "effects"} == applied != set()
    read_at = next(mark["at"] for mark in run.marks() if mark["name"] == "effects-read")
    assert read_at > max(record["at"] for record in records if record["event"] in ("received", "effect"))


def test_interrupted_before_there_is_anything(gameday: Start, calm: str) -> None:
    run = gameday(calm, *MEMORY)
    wait_until(run.run.exists, "the run directory")
    run.send(signal.SIGINT)
    code, _, err = run.end()
    assert code == 130
    assert err.startswith("gameday: interrupted")
    run.assert_nothing_left()


@in_series
def test_a_second_interrupt_kills(gameday: Start, calm: str) -> None:
    # Messages that take very long keep the consumers busy, so that ending in good order takes its time.
    run = gameday(calm, *MEMORY, "--set", "consumers.processing_time=60s")
    run.wait_for_traffic()
    run.send(signal.SIGINT)
    run.wait_for_mark("aborted")
    run.send(signal.SIGINT)
    assert run.end()[0] == 130
    run.assert_nothing_left()


@in_series
def test_the_broker_dies(gameday: Start, calm: str) -> None:
    run = gameday(calm, *MEMORY, "--set", "load.duration=30s")
    run.wait_for_traffic()
    run.child("gameday.emulator").kill()
    code, _, err = run.end()
    assert code == 4
    assert err.startswith("gameday: the broker in memory died (signal 9)")
    assert "Traceback" not in err
    run.assert_nothing_left()
    assert next(mark for mark in run.marks() if mark["name"] == "aborted")["reason"].startswith(
        "the broker in memory died"
    )
    assert verify(run.run)[0] == 3


@pytest.fixture
def endpoint() -> Iterator[str]:
    """A broker that somebody else runs."""
    with subprocess.Popen(
        [sys.executable, "-m", "gameday.emulator"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.terminate()


def queues(endpoint: str) -> list[str]:
    answer = BotoCarrier(endpoint_of(["sqs"], endpoint, {}))(Call("sqs", "ListQueues", {}))
    return list(answer.get("QueueUrls", ()))


SHORT = ("--set", "load.duration=1s", "--seed", "3")


@in_series
def test_an_endpoint_of_somebody_elses_is_left_as_it_was_and_json_is_all_there_is_on_standard_output(
    gameday: Start, calm: str, endpoint: str
) -> None:
    run = gameday(calm, "--endpoint-url", endpoint, *SHORT, "--format", "json")
    # They are there until the run ends; traffic there may be so short that a busy machine sees its end alone.
    wait_until(lambda: len(queues(endpoint)) == 2, "both queues")
    code, out, err = run.end()
    assert code in (0, 3), err
    assert json.loads(out) == json.loads((run.run / "verdict.json").read_bytes())
    assert "load and chaos" in err
    assert err.splitlines()[-1] == f"recorded in {run.run}; judge again with: gameday verify {run.run}"
    assert json.loads((run.run / "manifest.json").read_bytes())["target"] == "localstack"
    assert queues(endpoint) == []


@in_series
def test_one_seed_makes_one_schedule_on_any_target(gameday: Start, calm: str) -> None:
    def planned(run: Gameday) -> list[tuple[object, ...]]:
        code, _, err = run.end()
        assert code in (0, 3), err
        lines = (run.run / "history" / "load.jsonl").read_bytes().splitlines()
        sent = [record for record in map(json.loads, lines) if record["event"] == "intended"]
        first_due = min(record["due"] for record in sent)
        return sorted((r["id"], r["group"], r["seq"], r["due"] - first_due, r["bytes"]) for r in sent)

    assert planned(gameday(calm, *MEMORY, *SHORT)) == planned(gameday(calm, *SHORT))


@in_series
def test_an_endpoint_of_somebody_elses_is_left_as_it_was_when_interrupted(
    gameday: Start, calm: str, endpoint: str
) -> None:
    run = gameday(calm, "--endpoint-url", endpoint)
    wait_until(lambda: len(queues(endpoint)) > 0, "the first queue")
    run.send(signal.SIGINT)
    assert run.end()[0] == 130
    run.assert_nothing_left()
    assert queues(endpoint) == []


@in_series
def test_the_load_dies(gameday: Start, calm: str) -> None:
    run = gameday(calm, *MEMORY, "--set", "load.duration=30s")
    run.wait_for_traffic()
    run.child("locust").kill()
    code, _, err = run.end()
    assert code == 4
    assert err.startswith("gameday: the load (Locust) died (signal 9)")
    run.assert_nothing_left()
    assert verify(run.run)[0] == 3


def test_the_conductor_is_killed(gameday: Start, calm: str) -> None:
    pause = "chaos=[{at: 100ms, fault: pause-consumer, for: 20s}]"
    run = gameday(calm, *MEMORY, *TWO, "--set", "load.duration=30s", "--set", pause)
    run.wait_for_traffic()
    wait_until(lambda: b'"pause-consumer"' in (run.run / "history" / "conductor.jsonl").read_bytes(), "the pause")
    run.send(signal.SIGKILL)
    assert run.end()[0] == -signal.SIGKILL
    run.assert_nothing_left()
    code, verdict = verify(run.run)
    assert code == 3
    assert verdict["damaged"] == []


def test_a_consumer_that_cannot_start(gameday: Start, calm: str) -> None:
    consumer = "import sys; sys.exit('this consumer has no licence')"
    command = (
        "import gameday.consumers.starters, sys; from gameday.cli import main\n"
        f"gameday.consumers.starters.python = lambda *_: [sys.executable, '-c', {consumer!r}]\n"
        "main()"
    )
    run = gameday(calm, *MEMORY, command=[sys.executable, "-c", command])
    code, _, err = run.end()
    assert code == 4
    assert "this consumer has no licence" in err
    assert "Traceback" not in err


@in_series
def test_a_disk_that_is_full(gameday: Start, calm: str) -> None:
    def a_small_disk() -> None:
        # No file of the run may grow beyond this; the effect store, the broker and the logs stay below it.
        resource.setrlimit(resource.RLIMIT_FSIZE, (80_000, 80_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    run = gameday(calm, *MEMORY, "--set", "load.duration=30s", "--set", "load.rate=200/s", preexec=a_small_disk)
    run.wait_for_traffic()
    run.remember_family()
    code, _, err = run.end()
    assert code == 4
    assert "cannot write to" in err
    assert "File too large" in err
    run.assert_nothing_left()
    assert verify(run.run)[1]["damaged"] == []


@in_series
def test_a_rate_above_what_was_seen_is_told_before_the_load(gameday: Start, calm: str) -> None:
    run = gameday(calm, *MEMORY, "--set", "load.rate=30000/s", "--set", "load.duration=100ms", "--set", "load.users=4")
    _, out, err = run.end()
    before, load, _ = out.partition("load and chaos")
    assert load, err
    assert "note: --set load.rate=30000/s: load.rate asks for up to 30,000 messages a second" in before

"""Whole runs over EventBridge: rules and a replay on MiniStack, what goes wrong with either on a broker that errs, and
what is left behind."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gameday.targets.products import MEMORY, MINISTACK, recognise
from gameday.targets.start import start as start_target
from gameday.transports.base import Call, SubscriptionSpec, Topology
from gameday.transports.carriers.boto import BotoCarrier, run_plan
from gameday.transports.registry import TRANSPORTS
from tests.commanded import Gameday
from tests.series import in_series, in_soak

pytestmark = pytest.mark.live

REPLAY = """\
name: replay
transport: eventbridge
topology:
  visibility_timeout: 2s
  replay: true
  subscriptions:
    - {name: all}
    - {name: euro, queue: fifo, pattern: {detail: {currency: [EUR]}}}
load: {rate: 40/s, duration: 2s, groups: 8, users: 3}
consumers: {processes: 1, processing_time: 1ms, guard: none}
claims: [no-loss, no-phantom, at-least-once-effect, exactly-once-effect, fanout-complete, filter-correct,
         replay-complete]
"""
WRONG = """\
name: wrong
transport: eventbridge
topology:
  visibility_timeout: 2s
  replay: true
  subscriptions:
    - {name: all}
    - {name: forgotten, deployed: {missing: true}}
    - {name: euro, pattern: {detail: {currency: [EUR]}}, deployed: {pattern: {detail: {currency: [USD]}}}}
load: {rate: 40/s, duration: 2s, groups: 8, users: 2}
consumers: {processes: 1}
claims: [no-phantom, fanout-complete, filter-correct, replay-complete]
"""
Start = Callable[..., Gameday]


def verdict(start: Start, tmp_path: Path, scenario: str, code: int, *arguments: str) -> Any:
    path = tmp_path / "scenario.yaml"
    path.write_text(scenario)
    run = start(str(path), "--seed", "7", *arguments)
    ended, out, err = run.end()
    assert ended == code, (out, err)
    return json.loads((run.run / "verdict.json").read_bytes())


@in_series
def test_a_replay_is_complete_and_hurts_whoever_has_no_guard(gameday: Start, tmp_path: Path) -> None:
    found = verdict(gameday, tmp_path, REPLAY, 1)
    claims = {claim["claim"]: claim for claim in found["claims"]}
    assert {name for name, claim in claims.items() if claim["verdict"] != "holds"} == {"exactly-once-effect"}
    # All of them on one subscription, about a third on the other, and each had its effect twice.
    checked = claims["replay-complete"]["checked"]
    assert 80 < checked < 2 * 80
    assert {name: a["count"] for name, a in found["anomalies"].items() if a["count"]} == {"effect-duplicate": checked}


@pytest.fixture
def forgetful() -> Iterator[str]:
    """A broker whose replays leave events out; its URL."""
    argv = [sys.executable, "-m", "gameday.emulator", "--port", "0", "--defect", "replay-misses"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as broker:
        assert broker.stdout is not None
        yield json.loads(broker.stdout.readline())["url"]
        broker.terminate()


@in_soak
@in_series
def test_what_is_deployed_wrong_and_what_a_replay_leaves_out_is_found(
    gameday: Start, tmp_path: Path, forgetful: str
) -> None:
    assert recognise(forgetful) is MEMORY
    found = verdict(gameday, tmp_path, WRONG, 1, "--target", "localstack", "--endpoint-url", forgetful)
    assert {claim["claim"]: claim["verdict"] for claim in found["claims"]} == {
        "no-phantom": "unknown",
        "fanout-complete": "violated",
        "filter-correct": "violated",
        "replay-complete": "violated",
    }
    assert {example["subscription"] for example in found["anomalies"]["misrouted"]["examples"]} == {"euro"}
    lost = found["anomalies"]["lost"]["count"]
    assert found["anomalies"]["fanout-missing"]["count"] == lost > 80
    # A rule that missed an event misses it in the replay too; and from the rest, the replay left some out.
    assert found["anomalies"]["replay-missing"]["count"] > lost


def test_a_target_that_cannot_do_it_is_refused_before_anything_is_recorded(gameday: Start, tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(WRONG)
    run = gameday(str(path), "--set", "topology.redrive=true")
    code, _, err = run.end()
    assert code == 5
    assert "cannot do what the scenario asks for (redrive: MiniStack does not move dead letters back" in err
    assert not run.run.exists()


def test_nothing_is_left_of_what_was_built(tmp_path: Path) -> None:
    async def build_and_remove() -> dict[str, list[Any]]:
        there = await start_target("embedded", services=["events", "sqs"], url=None, environ={}, run=tmp_path)
        try:
            assert there.product is recognise(there.endpoint.url("events")) is MINISTACK
            carry, transport = BotoCarrier(there.endpoint), TRANSPORTS["eventbridge"]
            specs = [SubscriptionSpec(name="a"), SubscriptionSpec(name="b", queue="fifo")]
            plan = transport.provision(Topology(subscriptions=specs, archive=True), run="r", tags={"gameday:run": "r"})
            addresses = await asyncio.to_thread(run_plan, plan, carry)
            bus = {"EventBusName": addresses.send_to}
            assert len((await asyncio.to_thread(carry, Call("events", "ListRules", bus)))["Rules"]) == 2
            await asyncio.to_thread(run_plan, transport.tear_down(addresses), carry)
            left = {
                "EventBuses": Call("events", "ListEventBuses", {"NamePrefix": "gameday"}),
                "Archives": Call("events", "ListArchives", {}),
                "QueueUrls": Call("sqs", "ListQueues", {}),
            }
            return {name: (await asyncio.to_thread(carry, call)).get(name, []) for name, call in left.items()}
        finally:
            await there.stop()

    assert asyncio.run(build_and_remove()) == {"EventBuses": [], "Archives": [], "QueueUrls": []}

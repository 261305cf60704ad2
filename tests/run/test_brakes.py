"""What is measured while a run goes on, and what ends chaos: numbers on fakes, and whole runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gameday.chaos.conditions import Condition
from gameday.history.clock import Clock
from gameday.history.errors import TargetError
from gameday.history.manifest import Claim
from gameday.run.brakes import Brakes, alarms
from gameday.run.instruments import Instruments, against, measured
from gameday.scenario import document
from gameday.scenario import reading as scenario
from gameday.transports.base import Call
from tests.chaos.chaos_fakes import until
from tests.commanded import Gameday
from tests.series import in_series, in_soak


def snapshot(**changed: Any) -> dict[str, Any]:
    def sub(**own: Any) -> dict[str, Any]:
        return {
            "received": 40,
            "received_per_s": 9.0,
            "backlog": 3,
            "oldest_s": 0.5,
            "iterator_age_s": None,
            "dead_letters": 0,
            "latency_s": {"p50": 0.01, "p99": 0.2, "max": 0.4},
            "points": {"after-receive": 40, "after-effect": 38, "after-delete": 37},
            **own,
        }

    subs = {"orders": sub(), "bills": sub(backlog=7, oldest_s=2.0, dead_letters=4, latency_s=None)}
    return {
        "attempts": 50,
        "sent": {"ok": 45, "failed": 3, "unknown": 2},
        "acked_per_s": 12.0,
        "subscriptions": subs,
        "counts": {"redelivery": 5, "send-duplicate": 2},
        **changed,
    }


@pytest.mark.parametrize(
    ("asked", "subscription", "value"),
    [
        ("backlog", None, 10.0),
        ("backlog", "orders", 3.0),
        ("oldest", None, 2.0),
        ("lag", None, 0.2),
        ("lag", "bills", None),
        ("rate", None, 12.0),
        ("rate", "orders", 9.0),
        ("dead_letters", None, 4.0),
        ("iterator_age", None, None),
        ("errors", None, 0.1),
        ("point", None, 74.0),
    ],
)
def test_a_number_is_of_all_together_of_the_worst_or_of_one(asked: Any, subscription: str | None, value: float) -> None:
    point: Any = "after-delete" if asked == "point" else None
    condition = Condition(measure=asked, bound=1.0, subscription=subscription, point=point)
    assert measured(condition, snapshot()) == value


def test_nothing_was_tried_so_there_is_no_share_of_errors() -> None:
    assert measured(Condition(measure="errors", bound=0.5), snapshot(attempts=0)) is None


def test_whoever_waits_for_a_number_is_told_and_knows_how_near_it_came() -> None:
    async def played() -> None:
        instruments = Instruments()
        backlog = Condition(measure="backlog", bound=10.0)
        low = Condition(measure="rate", above=False, bound=5.0)
        waiting = [asyncio.create_task(instruments.met(condition)) for condition in (backlog, low)]
        await asyncio.sleep(0)
        assert instruments.extreme(backlog) is None
        for rate in (30.0, 12.0, 20.0):
            instruments.observe(snapshot(acked_per_s=rate))
            await asyncio.sleep(0)
        assert not any(each.done() for each in waiting)
        assert (instruments.extreme(backlog), instruments.extreme(low)) == (10.0, 12.0)
        subs = snapshot()["subscriptions"]
        instruments.observe(snapshot(acked_per_s=4.0, subscriptions={"orders": subs["orders"] | {"backlog": 11}}))
        assert await asyncio.gather(*waiting) == [11.0, 4.0]

    asyncio.run(played())


@pytest.mark.parametrize(
    ("claim", "why"),
    [
        (Claim(claim="exactly-once-effect"), "3 effect-duplicate"),
        (Claim(claim="lag", bounds={"p99_s": 0.1}), "p99 on orders is 0.2 s, and not 0.1 s"),
        (Claim(claim="lag", bounds={"p50_s": 0.1, "max_s": 0.5}), None),
        # The verdict alone tells.
        (Claim(claim="dead-letter"), None),
        (Claim(claim="no-loss"), None),
    ],
)
def test_what_is_counted_speaks_against_a_claim_or_not(claim: Claim, why: str | None) -> None:
    told = snapshot()
    told["counts"]["effect-duplicate"] = 3
    assert against(claim, told) == why


class FakeChaos:
    def __init__(self) -> None:
        self.ended, self.began, self.why = False, False, ""

    def heal_all(self, why: str) -> None:
        self.ended, self.why = True, why

    def may_begin(self) -> None:
        self.began = True


def fake_run(*overrides: str) -> Any:
    text = """\
name: base
transport: sqs-fifo
topology: {visibility_timeout: 5s}
load: {rate: 20/s, duration: 40s, groups: 10}
chaos: [{at: 10s, fault: kill-consumer}]
claims: [no-loss, exactly-once-delivery, {claim: lag, p99: 2s}]
"""
    written: list[Any] = []
    clock = Clock.start()
    return SimpleNamespace(
        scenario=scenario.resolve(document.override(document.parse(text, name="s.yaml"), overrides)),
        instruments=Instruments(),
        writer=SimpleNamespace(write=written.append),
        written=written,
        note=lambda text: None,
        context=SimpleNamespace(clock=clock),
        start_ns=clock.now_ns() - 40 * 10**9,
    )


def braked(run: Any, *told: dict[str, Any]) -> FakeChaos:
    async def play() -> FakeChaos:
        chaos = FakeChaos()
        for each in told[:1]:
            run.instruments.observe(each)
        watching = asyncio.create_task(Brakes(run, chaos).watch())  # type: ignore[arg-type]
        async with asyncio.timeout(10):
            for each in told[1:]:
                await asyncio.sleep(0)
                run.instruments.observe(each)
            await until(lambda: chaos.ended or chaos.began or watching.done())
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        return chaos

    return asyncio.run(play())


@pytest.mark.parametrize(
    ("stop_when", "why"),
    [
        ('{backlog: ">9"}', "backlog > 9: it is 10"),
        ("{anomaly: redelivery}", "5 redelivery"),
        ("{claim: exactly-once-delivery}", "exactly-once-delivery: 2 send-duplicate"),
        ('{errors: ">5%"}', "errors > 5%: it is 10%"),
    ],
)
def test_what_is_measured_ends_chaos_and_the_history_says_so(stop_when: str, why: str) -> None:
    run = fake_run(f'brakes.stop_when=[{{backlog: ">1000"}}, {stop_when}]')
    chaos = braked(run, snapshot(), snapshot(), snapshot())
    assert (chaos.ended, chaos.why) == (True, f"chaos was ended ({why})")
    (mark,) = run.written
    assert (mark["name"], mark["reason"]) == ("chaos-ended", why)


def test_where_nobody_measures_any_more_chaos_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gameday.run.brakes._SILENT_S", 0.02)
    assert "nobody has measured the run" in braked(fake_run('brakes.stop_when=[{backlog: ">1000"}]')).why


def test_all_of_chaos_has_its_time() -> None:
    assert braked(fake_run("brakes.within=20s")).why == "chaos was ended (its time, 20 s, is over)"


def test_chaos_may_begin_where_the_steady_state_holds() -> None:
    run = fake_run("steady={for: 5s, claims: [lag]}")
    chaos = braked(run, snapshot())
    assert chaos.began and not chaos.ended
    assert [(mark["name"], mark["outcome"]) for mark in run.written] == [("steady", "ok")]


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ([], "nobody has measured anything"),
        ([snapshot()], "exactly-once-delivery: 2 send-duplicate"),
        ([snapshot(subscriptions={"orders": snapshot()["subscriptions"]["orders"] | {"received": 0}}, counts={})],
         "nothing was received on orders"),
    ],
    ids=["unmeasured", "broken", "nothing"],
)  # fmt: skip
def test_no_fault_strikes_where_it_does_not(told: list[dict[str, Any]], why: str) -> None:
    run = fake_run("steady.for=5s")
    chaos = braked(run, *told)
    assert not chaos.began
    assert chaos.why == f"chaos was ended (the steady state did not hold: {why})"
    assert [mark["name"] for mark in run.written] == ["steady", "chaos-ended"]


def test_an_alarm_that_is_not_there_is_told_before_anything_is_broken() -> None:
    def carry(call: Call) -> dict[str, Any]:
        assert (call.service, call.operation) == ("cloudwatch", "DescribeAlarms")
        return {"MetricAlarms": [{"AlarmName": "late", "StateValue": "ALARM"}]}

    run: Any = SimpleNamespace(carrier=carry)
    assert asyncio.run(alarms(run, ["late"])) == {"late": "ALARM"}
    with pytest.raises(TargetError, match="no alarm deaf here"):
        asyncio.run(alarms(run, ["late", "deaf"]))


def test_an_alarm_ends_chaos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gameday.run.brakes.ALARMS_EVERY_S", 0.0)
    run = fake_run("brakes.stop_when=[{alarm: late}]")
    states = iter(["OK", "INSUFFICIENT_DATA", "ALARM"])
    run.carrier = lambda call: {"CompositeAlarms": [{"AlarmName": "late", "StateValue": next(states)}]}
    assert braked(run).why == "chaos was ended (CloudWatch is in ALARM: late)"


# Whole runs.

RUN = """\
name: braked
transport: sqs-fifo
topology: {visibility_timeout: 2s, max_receives: 8}
load: {rate: 60/s, duration: 6s, groups: 8, users: 2}
consumers: {processes: 2, processing_time: 2ms, guard: GUARD}
"""


def judged(
    gameday: Callable[..., Gameday], tmp_path: Path, more: str, *, guard: str = "transaction"
) -> tuple[int, dict[str, Any], list[Any], str]:
    path = tmp_path / "braked.yaml"
    path.write_text(RUN.replace("GUARD", guard) + more)
    run = gameday(str(path), "--target", "memory")
    code, out, err = run.end()
    run.assert_nothing_left()
    return code, json.loads((run.run / "verdict.json").read_bytes()), run.marks(), out + err


@in_series
@pytest.mark.live
def test_faults_strike_when_their_triggers_come(gameday: Callable[..., Gameday], tmp_path: Path) -> None:
    chaos = """\
steady: {for: 1s}
chaos:
  - {when: {point: after-effect, nth: 100}, fault: kill-consumer}
  - {when: {fault: kill-consumer-1, phase: stop, after: 100ms}, fault: lose-delete, share: 50%, for: 500ms}
  - {when: {call: ReceiveMessage, nth: 60}, fault: kill-consumer}
claims: [no-loss, exactly-once-effect]
"""
    code, verdict, marks, told = judged(gameday, tmp_path, chaos)
    assert (code, verdict["chaos_ended"]) == (0, None), told
    assert [mark["outcome"] for mark in marks if mark["name"] == "steady"] == ["ok"]


@in_soak
@in_series
@pytest.mark.live
def test_what_speaks_against_a_claim_ends_chaos_and_what_did_not_strike_is_told(
    gameday: Callable[..., Gameday], tmp_path: Path
) -> None:
    chaos = """\
brakes: {stop_when: [{claim: exactly-once-effect}]}
chaos:
  - {at: 1s, fault: lose-delete, share: 50%}
  - {at: 5800ms, fault: kill-consumer}
claims: [no-loss, exactly-once-effect]
"""
    code, verdict, marks, told = judged(gameday, tmp_path, chaos, guard="none")
    assert code == 1, told
    assert [mark["name"] for mark in marks if mark["name"] == "chaos-ended"] == ["chaos-ended"]
    assert verdict["chaos_ended"].startswith("exactly-once-effect: ")
    assert "chaos ends before its end" in told and "kill-consumer-1 failed: chaos was ended (" in told
    claims = {claim["claim"]: claim["verdict"] for claim in verdict["claims"]}
    # What was not broken was not shown to hold: a fault that was asked for never struck.
    assert claims == {"no-loss": "unknown", "exactly-once-effect": "violated"}


@in_series
@pytest.mark.live
@in_soak
def test_nothing_is_broken_where_the_run_is_not_well_before(gameday: Callable[..., Gameday], tmp_path: Path) -> None:
    chaos = """\
steady: {for: 2s, claims: [lag]}
chaos: [{at: 3s, fault: kill-consumer}]
claims: [no-loss, {claim: lag, max: 1ms}]
"""
    code, verdict, marks, told = judged(gameday, tmp_path, chaos)
    assert code != 0, told
    assert verdict["chaos_ended"].startswith("the steady state did not hold: lag: max on orders is ")
    assert [mark["outcome"] for mark in marks if mark["name"] == "steady"] == ["failed"]
    assert not [mark for mark in marks if mark["name"] == "consumer-exited" and mark["code"]]
    assert next(claim for claim in verdict["claims"] if claim["claim"] == "no-loss")["verdict"] == "unknown"

"""What is measured while a run goes on, and what ends chaos: numbers on fakes, and whole runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from gameday.chaos.conditions import Condition, Measure
from gameday.chaos.timeline import Runner, StrikeResult, plan
from gameday.history.claim_texts import CLAIM_TEXTS
from gameday.history.clock import Clock
from gameday.history.errors import TargetError
from gameday.history.manifest import Claim
from gameday.run.brakes import Brakes, alarms
from gameday.run.instruments import Instruments, against, measured
from gameday.scenario import document
from gameday.scenario import reading as scenario
from gameday.scenario.brakes import can_be_told_live
from gameday.scenario.reading import SCENARIOS
from gameday.transports.base import Call, CallFailed
from gameday.watch.live import COUNTS
from tests.chaos.chaos_fakes import World, until
from tests.commanded import Gameday
from tests.series import in_series, in_soak
from tests.watch.story import FIFO, Story, manifest
from tests.watch.test_live import lived


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


def later(tenths: float, story: Story) -> Story:
    """It goes on until then, and nothing more happens."""
    return story.mark("note", tenths, text="later")


def behind(behind_ms: int) -> Story:
    return Story().mark("iterator-age", 1, subscription="orders", partition="0", behind_ms=behind_ms)


def lagging(tenths: float) -> Story:
    return Story().acked("a").received("a", tenths)


STREAM = ["transport=kinesis", "topology={}"]
# Each number, as a scenario asks for it: what was counted before it has come, and what then.
NUMBERS: Mapping[Measure, tuple[str, Story, Story, str]] = {
    "backlog": ('backlog: ">1"', Story().acked("a"), Story().acked("a", "b"), "backlog > 1: it is 2"),
    "oldest": ('oldest: ">5s"', later(40, Story().acked("a")), later(60, Story().acked("a")), "oldest > 5s: it is 6s"),
    "lag": ('lag: ">2s"', lagging(10), lagging(40), "lag > 2s: it is 4s"),
    "rate": (
        'rate: "<0.5/s"',
        later(15, Story().acked("a", "b", "c")),
        later(100, Story().acked("a", "b", "c")),
        "rate < 0.5/s: it is 0/s",
    ),
    "dead_letters": (
        'dead_letters: ">0"',
        Story().acked("a"),
        Story().acked("a").tell("conductor", "dead", 2, id="a", subscription="orders"),
        "dead_letters > 0: it is 1",
    ),
    "iterator_age": ('iterator_age: ">5s"', behind(4_000), behind(6_000), "iterator_age > 5s: it is 6s"),
    "errors": (
        'errors: ">40%"',
        Story().acked("a"),
        Story().acked("a").intended("b").sent("b", outcome="failed"),
        "errors > 40%: it is 50%",
    ),
    "point": (
        "point: after-effect, nth: 2",
        Story().acked("a", "b").effect("a", 1),
        Story().acked("a", "b").effect("a", 1).effect("b", 2, "skipped"),
        "2 messages after-effect: it is 2",
    ),
}


def counted(story: Story, *, stream: bool = False) -> dict[str, Any]:
    """What the observer tells of it."""
    promise = replace(FIFO, kind="stream", ordered_by="partition", dead_letter=False) if stream else FIFO
    return lived(story.files, manifest(orders=promise)).snapshot()


def numbered(measure: Measure, *asks: str) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """A run whose scenario `asks` for that number, and what the observer tells of it before and then."""
    _, before, then, _ = NUMBERS[measure]
    stream = measure == "iterator_age"
    run = fake_run(*([*STREAM, "claims=[no-loss]"] if stream else []), *asks)
    return run, counted(before, stream=stream), counted(then, stream=stream)


def test_each_number_has_its_case() -> None:
    assert {*NUMBERS} == {*get_args(Measure)}


@pytest.mark.parametrize("measure", NUMBERS)
def test_a_number_beyond_its_bound_ends_chaos_and_the_history_says_so(measure: Measure) -> None:
    written, *_, why = NUMBERS[measure]
    run, before, then = numbered(measure, f"brakes.stop_when=[{{{written}}}]")
    chaos = braked(run, before, before, before, then)
    assert (chaos.ended, chaos.why) == (True, f"chaos was ended ({why})")
    (mark,) = run.written
    assert (mark["name"], mark["reason"]) == ("chaos-ended", why)


@pytest.mark.parametrize("measure", NUMBERS)
def test_a_strike_begins_when_its_number_is_beyond_its_bound(measure: Measure, tmp_path: Path) -> None:
    run, before, then = numbered(measure, f"chaos=[{{when: {{{NUMBERS[measure][0]}}}, fault: kill-consumer}}]")
    world = World(tmp_path)
    (strike,) = plan(run.scenario.chaos, duration_s=40.0, consumers={"orders": 3}, seed=7)
    assert strike.trigger is not None and strike.trigger.condition is not None
    condition = strike.trigger.condition

    async def played() -> StrikeResult:
        run.instruments.observe(before)
        chaos = Runner([strike], targets=world.targets, instruments=run.instruments)
        running = asyncio.create_task(chaos.run(start_ns=world.writer.clock.now_ns()))
        await until(lambda: run.instruments.extreme(condition) is not None)
        for _ in range(3):
            run.instruments.observe(before)
            await asyncio.sleep(0)
        assert world.faults == []
        run.instruments.observe(then)
        (result,) = await asyncio.wait_for(running, 10)
        return result

    result = asyncio.run(played())
    world.writer.close()
    assert (result.fired, result.error) == (1, None)
    assert [record["phase"] for record in world.faults] == ["start", "stop"]


@pytest.mark.parametrize("anomaly", COUNTS)
def test_each_anomaly_that_is_counted_ends_chaos(anomaly: str) -> None:
    run = fake_run(f"brakes.stop_when=[{{anomaly: {anomaly}}}]")
    none, one = (snapshot(counts={**dict.fromkeys(COUNTS, 0), anomaly: count}) for count in (0, 1))
    assert braked(run, none, none, none, one).why == f"chaos was ended (1 {anomaly})"


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A claim that is lost already by what was counted, in a scenario that may claim it."""

    told: Story
    why: str
    claim: str = ""
    changes: Sequence[str] = ()


OVERTAKEN = Story().acked("a", "b").received("b", 1, broker_seq="2", partition="0")
OVERTAKEN = OVERTAKEN.received("a", 2, broker_seq="1", partition="0")
LOST = {
    "exactly-once-effect": Lost(told=Story().acked("a").effect("a", 1).effect("a", 2), why="1 effect-duplicate"),
    "exactly-once-delivery": Lost(
        told=Story().acked("a").received("a", 1).received("a", 2, copy="another"), why="1 send-duplicate"
    ),
    "ordered-per-group": Lost(told=OVERTAKEN, why="1 nonmonotonic-delivery"),
    "esm-ordered": Lost(
        told=OVERTAKEN,
        why="1 nonmonotonic-delivery",
        changes=[f"consumers={{lambda: {{function: {{path: {SCENARIOS}/functions/orders.py}}, timeout: 2s}}}}"],
    ),
    "ordered-per-partition": Lost(told=OVERTAKEN, why="1 nonmonotonic-delivery", changes=STREAM),
    "dead-letter": Lost(
        told=Story().acked("a").received("a", 1, receives=4),
        why="1 over-received",
        claim="{claim: dead-letter, strict: true}",
        changes=["topology.max_receives=3"],
    ),
    "filter-correct": Lost(
        told=Story().acked("a").received("a", 1, subscription="audit"),
        why="1 misrouted",
        changes=["transport=sns", "topology.subscriptions=[{name: orders, filter: {currency: [EUR]}}]"],
    ),
    "lag": Lost(told=lagging(40), why="p99 on orders is 4 s, and not 2 s", claim="{claim: lag, p99: 2s}"),
}


def test_each_claim_that_can_be_lost_while_a_run_goes_on_has_its_case() -> None:
    assert {*LOST} == {name for name in CLAIM_TEXTS if can_be_told_live(Claim(claim=name))}


@pytest.mark.parametrize("claim", LOST)
def test_a_claim_that_is_lost_already_ends_chaos(claim: str) -> None:
    lost = LOST[claim]
    run = fake_run(*lost.changes, f"claims=[no-loss, {lost.claim or claim}]", f"brakes.stop_when=[{{claim: {claim}}}]")
    stream = lost.changes == STREAM
    well, ill = (counted(story, stream=stream) for story in (Story().acked("a"), lost.told))
    assert braked(run, well, well, well, ill).why == f"chaos was ended ({claim}: {lost.why})"


def test_what_is_at_work_when_chaos_ends_heals_then_and_nothing_more_strikes(tmp_path: Path) -> None:
    run = fake_run(
        "chaos=[{at: 0s, fault: lose-delete, share: 50%}, {at: 39s, fault: kill-consumer}]",
        "brakes.stop_when=[{anomaly: effect-duplicate}]",
    )
    world = World(tmp_path)
    run.writer = world.writer

    async def played() -> list[StrikeResult]:
        strikes = plan(run.scenario.chaos, duration_s=40.0, consumers={"orders": 3}, seed=7)
        chaos = Runner(strikes, targets=world.targets)
        striking = asyncio.create_task(chaos.run(start_ns=world.writer.clock.now_ns()))
        await until(lambda: bool(world.fleet.armed))
        watching = asyncio.create_task(Brakes(run, chaos).watch())
        # Whoever watches is there after some turns of the loop.
        for _ in range(4):
            await asyncio.sleep(0)
            run.instruments.observe(snapshot(counts={"effect-duplicate": 1}))
        results = await asyncio.wait_for(striking, 10)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        return results

    lost, killed = asyncio.run(played())
    world.writer.close()
    assert lost.error is None
    assert killed.error == "chaos was ended (1 effect-duplicate) before its moment, 39 s"
    assert not world.fleet.armed
    told = [(record["event"], record.get("instance") or record.get("name")) for record in world.records]
    assert told[:3] == [("fault", "lose-delete-1"), ("mark", "chaos-ended"), ("fault", "lose-delete-1")]


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


def refuses(call: Call) -> dict[str, Any]:
    raise CallFailed("AccessDenied", "not any more", definite=True)


@pytest.mark.parametrize(
    ("carrier", "why"),
    [
        (refuses, "AccessDenied: not any more"),
        (lambda call: {}, "brakes.stop_when: CloudWatch has no alarm late here"),
    ],
)
def test_where_cloudwatch_tells_of_an_alarm_no_more_chaos_ends(
    carrier: Any, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameday.run.brakes.ALARMS_EVERY_S", 0.0)
    run = fake_run("brakes.stop_when=[{alarm: late}]")
    run.carrier = carrier
    assert braked(run).why == f"chaos was ended (nobody tells of the alarms any more: {why})"


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
  - {when: {fault: kill-consumer-1, phase: stop, after: 100ms}, fault: lose-delete, share: 50%, for: 2s}
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

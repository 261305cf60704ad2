"""Every fault against fakes: recorded before it breaks, healed on every exit, and honest about how often it struck."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gameday.chaos.function_fault import FunctionFault, ServiceFault
from gameday.chaos.registry import FAULTS
from gameday.history.errors import HistoryError
from gameday.processes.disturbances import Disturbance
from gameday.transports.base import CallFailed, Resharding
from tests.chaos.chaos_fakes import FakeConsumer, World, until

# What a scenario must write of a fault; of one that must say how long it lasts, longer than any test waits.
REQUIRED: dict[str, dict[str, Any]] = {
    "pause-consumer": {"for": 50.0},
    "freeze-producer": {"for": 50.0},
    "stretch-processing": {"to": {"times_visibility_timeout": 1.5}},
    "crash-at": {"point": "before-effect", "share": 0.01},
    "cold-start": {"takes": 1.0},
    "slow-store": {"takes": 1.0},
    "clock-step": {"by": 10.0},
    "impair-queue": {"actions": ["ReceiveMessage"]},
    "late-callback": {"by": 3.0},
    "fis": {"template": "EXT1there", "seen_as": ["ThrottlingException"]},
}


def entry(name: str, **fields: Any) -> dict[str, Any]:
    return {"fault": name, "at": 0.0, **REQUIRED.get(name, {}), **fields}


LASTING = [name for name, fault in FAULTS.items() if fault.model_validate(entry(name)).length_s != 0]
ARMED = [
    name
    for name, fault in FAULTS.items()
    if issubclass(fault, FunctionFault) or "strike.disturbed(" in inspect.getsource(fault.inject)
]
LOAD = [name for name, fault in FAULTS.items() if "strike.load_disturbed(" in inspect.getsource(fault.inject)]
# Those of the service itself, and of whoever sends, strike whoever is there.
# Who is gone is not back because nobody is kept away any more.
OVER_WHEN_REPLACED = ("scale",)
SERVICE = ("reshard", "impair-queue", "fis", "stop-execution", "freeze-producer")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_describes_itself(name: str) -> None:
    fault = FAULTS[name]
    assert fault.__doc__ and "\n" not in fault.__doc__ and fault.__doc__.endswith(".")
    assert re.fullmatch(r"#[0-9a-f]{6}", fault.colour)
    assert fault.model_validate(entry(name)).fault == name
    assert len({other.colour for other in FAULTS.values()}) == len(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_it_is_recorded_before_it_breaks_and_after_it_heals(world: World, name: str) -> None:
    (result,) = asyncio.run(world.strike(entry(name), heal=name in LASTING))
    assert result.error is None
    assert result.fired > 0
    start, stop = world.faults
    assert (start["fault"], start["phase"], stop["phase"]) == (name, "start", "stop")
    assert start["instance"] == stop["instance"] == f"{name}-1"
    assert stop["params"]["fired"] == result.fired
    assert start["label"]
    assert "fired" not in start["params"]
    members = [f"orders-{n}.1" for n in (1, 2, 3)]
    assert start["targets"] and set(start["targets"]) <= {*members, "load", "stream", "executions"}
    # Nothing is done to anybody outside of the two records.
    assert world.did and all(phases == ["start"] for _, _, phases in world.did)


def _is_whole(world: World) -> bool:
    signals = [what for _, what, _ in world.did]
    harmed = world.fleet.armed or world.fleet.vacant or world.queues.denied or world.experiments.running
    return not harmed and signals.count("SIGSTOP") <= signals.count("SIGCONT")


@pytest.mark.parametrize("name", LASTING)
def test_it_heals_when_the_run_is_cancelled(world: World, name: str) -> None:
    async def interrupted() -> None:
        running = asyncio.create_task(world.runner(entry(name)).run(start_ns=0))
        await until(lambda: world.breaks > 0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(interrupted())
    assert _is_whole(world)
    if name in OVER_WHEN_REPLACED:
        assert [record["phase"] for record in world.faults] == ["start"]
        return
    assert [record["phase"] for record in world.faults] == ["start", "stop"]
    assert world.faults[-1]["params"]["fired"] > 0


def test_a_kill_that_is_cancelled_does_not_claim_that_its_harm_is_over(world: World) -> None:
    async def interrupted() -> None:
        world.fleet.members[0].deaf = world.fleet.members[1].deaf = world.fleet.members[2].deaf = True
        running = asyncio.create_task(world.runner(entry("kill-consumer")).run(start_ns=0))
        await until(lambda: len(world.did) > 0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(interrupted())
    assert [record["phase"] for record in world.faults] == ["start"]


@pytest.mark.parametrize("name", LASTING)
def test_it_heals_when_something_else_fails(world: World, name: str) -> None:
    """The history's disk is full when another strike begins: one error comes out, and nothing stays broken."""

    async def failing() -> None:
        runner = world.runner(entry(name), {"fault": "kill-consumer", "at": 0.2})
        written = world.writer.write

        def write(*records: Any) -> int:
            if records[0]["fault"] == "kill-consumer":
                raise HistoryError("no space left")
            return written(*records)

        world.writer.write = write  # type: ignore[method-assign]  # a full disk that needs no disk
        with pytest.raises(HistoryError, match="no space left"):
            await runner.run(start_ns=world.writer.clock.now_ns())

    asyncio.run(failing())
    assert _is_whole(world)
    assert world.did[-1][1] in ("SIGCONT", "disarm", "fill")


@pytest.mark.parametrize("name", ARMED)
def test_an_order_is_taken_back_when_giving_it_fails(world: World, name: str) -> None:
    world.fleet.broken = OSError("the pipe broke")
    with pytest.raises(OSError, match="the pipe broke"):
        asyncio.run(world.strike(entry(name)))
    assert _is_whole(world)


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in (*LOAD, *SERVICE)])
def test_without_a_live_consumer_it_is_no_success(world: World, name: str) -> None:
    for member in world.fleet.members:
        member.alive = False
    (result,) = asyncio.run(world.strike(entry(name)))
    assert result.fired == 0
    assert result.error and "not one of" in result.error
    assert [(record["phase"], record["targets"]) for record in world.faults] == [("start", []), ("stop", [])]
    assert world.faults[-1]["params"]["fired"] == 0
    assert world.faults[-1]["params"]["error"] == result.error
    assert not [what for _, what, _ in world.did if what.startswith("SIG") or what == "arm"]


@pytest.mark.parametrize("name", LOAD)
def test_a_load_that_does_not_answer_is_no_success(world: World, name: str) -> None:
    world.load.answers = False
    (result,) = asyncio.run(world.strike(entry(name)))
    assert result.error == "the wire before the load did not confirm the disturbance"
    assert world.faults[-1]["params"]["fired"] == 0
    assert world.did[-1][1] == "disarm"


def test_a_load_that_struck_but_does_not_say_how_often_is_proven(world: World) -> None:
    world.load.silent_end = True
    (result,) = asyncio.run(world.strike(entry("throttle-sends"), heal=True))
    assert (result.fired, result.error) == (1, "the wire before the load did not say how often it struck")
    assert [record["phase"] for record in world.faults] == ["start"]
    assert not [record for record in world.records if record.get("name") == "fault-unproven"]


@pytest.mark.parametrize("name", ARMED)
def test_a_disturbance_that_never_struck_says_so(world: World, name: str) -> None:
    world.fleet.fires = 0
    (result,) = asyncio.run(world.strike(entry(name, **{"for": 0.05})))
    assert (result.fired, result.error) == (0, "was in place, but never struck")
    assert world.faults[-1]["params"]["fired"] == 0


def test_one_that_failed_ends_no_other(world: World) -> None:
    world.load.answers = False
    lost, killed = asyncio.run(world.strike(entry("lose-send-reply"), entry("kill-consumer")))
    assert lost.error and not lost.fired
    assert killed.fired == 1 and not killed.error


def test_what_the_load_did_not_live_to_see_is_no_success(world: World) -> None:
    async def early_end() -> Any:
        runner = world.runner(entry("kill-consumer", at=50.0))
        running = asyncio.create_task(runner.run(start_ns=world.writer.clock.now_ns()))
        runner.heal_all()
        return await running

    (result,) = asyncio.run(early_end())
    assert result.error == "the load ended before its moment, 50 s"
    assert world.faults[-1]["params"]["fired"] == 0
    assert not world.did


def test_strikes_overlap(world: World) -> None:
    entries = [entry(name) for name in ARMED]
    asyncio.run(world.strike(*entries, heal=True))
    phases = [record["phase"] for record in world.faults]
    assert phases == ["start"] * len(ARMED) + ["stop"] * len(ARMED)


# Each fault's own


def test_kill_strikes_as_many_as_it_picks_with_the_signal_it_names(world: World) -> None:
    (result,) = asyncio.run(world.strike(entry("kill-consumer", pick=2, signal="TERM")))
    killed = [who for who, what, _ in world.did if what == "SIGTERM"]
    assert len(killed) == len(set(killed)) == result.fired == 2
    assert sorted(world.faults[0]["targets"]) == sorted(killed)
    assert world.faults[-1]["params"]["held"] == 2


def test_kill_waits_for_a_message_in_hand_but_not_for_ever(world: World) -> None:
    for member in world.fleet.members:
        member.holds = False
    (result,) = asyncio.run(world.strike(entry("kill-consumer")))
    assert result.fired == 1
    assert world.faults[-1]["params"]["held"] == 0


def test_kill_without_a_replacement_is_not_over(world: World) -> None:
    for member in world.fleet.members:
        member.replaces = False
    (result,) = asyncio.run(world.strike(entry("kill-consumer")))
    assert result.fired == 1
    assert result.error and "nobody polls in the place of" in result.error
    assert [record["phase"] for record in world.faults] == ["start"]


def test_kill_counts_deaths_not_signals(world: World) -> None:
    for member in world.fleet.members:
        member.deaf = True
    (result,) = asyncio.run(world.strike(entry("kill-consumer")))
    assert result.fired == 0
    assert result.error


def test_pause_ends_after_its_time(world: World) -> None:
    (result,) = asyncio.run(world.strike(entry("pause-consumer", **{"for": 0.05})))
    assert result.fired == 1
    assert [what for _, what, _ in world.did] == ["SIGSTOP", "SIGCONT"]


@pytest.mark.parametrize(("fault", "signal"), [("pause-consumer", "SIGSTOP"), ("kill-consumer", "SIGKILL")])
def test_who_dies_of_something_else_before_it_holds_leaves_it_to_its_successor(
    world: World, fault: str, signal: str
) -> None:
    (member,) = world.fleet.members[:] = world.fleet.members[:1]
    member.dies_when_asked = True
    (result,) = asyncio.run(world.strike(entry(fault, **({"for": 0.05} if fault == "pause-consumer" else {}))))
    assert result.fired == 1
    assert ("orders-1.2", signal) in [(who, what) for who, what, _ in world.did]
    assert world.faults[0]["targets"] == ["orders-1.2"]
    assert world.faults[-1]["params"]["held"] == 1


def test_who_is_killed_as_it_is_stopped_leaves_it_to_its_successor(world: World) -> None:
    (member,) = world.fleet.members[:] = world.fleet.members[:1]
    member.dies_when_stopped = True
    (result,) = asyncio.run(world.strike(entry("pause-consumer", **{"for": 0.05})))
    assert (result.fired, result.error) == (1, None)
    assert [(who, what) for who, what, _ in world.did if what.startswith("SIG")] == [
        ("orders-1.1", "SIGSTOP"),
        ("orders-1.2", "SIGSTOP"),
        ("orders-1.2", "SIGCONT"),
    ]
    start, stop = world.faults
    assert (start["targets"], stop["targets"]) == (["orders-1.1"], ["orders-1.1", "orders-1.2"])
    assert stop["params"]["fired"] == stop["params"]["held"] == 1


@pytest.mark.parametrize("name", ARMED)
def test_who_came_into_its_place_and_was_struck_is_named_at_the_end(world: World, name: str) -> None:
    """The harm that it did would else be nobody's."""
    (member,) = world.fleet.members[:] = world.fleet.members[:1]
    arm = world.fleet.arm

    async def arm_and_die(disturbance: Disturbance, slots: Sequence[str]) -> None:
        await arm(disturbance, slots)
        member.die()

    world.fleet.arm = arm_and_die  # type: ignore[method-assign]
    asyncio.run(world.strike(entry(name, **{"for": 0.05})))
    start, stop = world.faults[0], world.faults[-1]
    assert (start["targets"], stop["targets"]) == (["orders-1.1"], ["orders-1.1", "orders-1.2"])


def test_pause_counts_each_that_stopped(world: World) -> None:
    (result,) = asyncio.run(world.strike(entry("pause-consumer", pick=3, **{"for": 0.05})))
    assert result.fired == 3


def test_pause_does_not_wake_what_another_strike_stopped(world: World) -> None:
    world.fleet.members[1:] = []
    first, second = asyncio.run(
        world.strike(entry("pause-consumer", **{"for": 0.2}), entry("pause-consumer", **{"for": 0.01, "at": 0.05}))
    )
    assert first.fired == 1 and second.fired == 0
    assert second.error and "stopped already" in second.error
    assert [what for _, what, _ in world.did] == ["SIGSTOP", "SIGCONT"]


def test_pause_that_did_not_stop_anybody_is_no_success(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeConsumer, "stopped", False)
    (result,) = asyncio.run(world.strike(entry("pause-consumer")))
    assert result.fired == 0 and result.error
    assert _is_whole(world)


def test_a_frozen_producer_goes_on_after_its_time(world: World) -> None:
    (result,) = asyncio.run(world.strike(entry("freeze-producer", **{"for": 0.05})))
    assert (result.fired, result.error) == (1, None)
    assert [(who, what) for who, what, _ in world.did] == [("load", "SIGSTOP"), ("load", "SIGCONT")]


def test_a_producer_that_did_not_stop_is_no_success(world: World) -> None:
    world.producer.deaf = True
    (result,) = asyncio.run(world.strike(entry("freeze-producer")))
    assert (result.fired, result.error) == (0, "the load did not stop")
    assert _is_whole(world)


def test_a_producer_that_another_strike_has_stopped_is_left_to_it(world: World) -> None:
    first, second = asyncio.run(
        world.strike(entry("freeze-producer", **{"for": 0.2}), entry("freeze-producer", **{"for": 0.01, "at": 0.05}))
    )
    assert (first.fired, second.fired) == (1, 0)
    assert second.error == "the load has ended, or is stopped already"
    assert [what for _, what, _ in world.did] == ["SIGSTOP", "SIGCONT"]


def test_a_load_on_other_hosts_is_not_frozen(world: World) -> None:
    world.targets = replace(world.targets, producer=None)
    (result,) = asyncio.run(world.strike(entry("freeze-producer")))
    assert (result.fired, result.error) == (0, "the load is on other hosts")


def test_stretch_turns_a_multiple_into_seconds(world: World) -> None:
    asyncio.run(world.strike(entry("stretch-processing", share=0.1), entry("stretch-processing", to=9.0), heal=True))
    (multiple, slots), (absolute, _) = world.fleet.ever_armed
    assert (multiple.kind, multiple.seconds, multiple.share) == ("stretch-processing", 6.0, 0.1)
    assert absolute.seconds == 9.0
    assert slots == ["orders-1", "orders-2", "orders-3"]


def test_crash_at_the_nth_is_over_when_it_has_crashed(world: World) -> None:
    async def crashing() -> Any:
        crash = {"fault": "crash-at", "at": 0.0, "point": "after-effect", "nth": 2, "pick": 2}
        running = asyncio.create_task(world.runner(crash).run(start_ns=0))
        await until(lambda: len(world.fleet.armed) > 0)
        ((disturbance, slots),) = world.fleet.armed.values()
        for member in world.fleet.members:
            if member.slot in slots:
                assert not running.done()
                member.reports.append({"report": "fired", "instance": disturbance.instance})
                member.die()
        return disturbance, await running

    disturbance, (result,) = asyncio.run(crashing())
    assert (disturbance.kind, disturbance.point, disturbance.nth) == ("crash-at", "after-effect", 2)
    assert result.fired == 3, "as often as the fleet says"
    replaced = [what for _, what, _ in world.did][-2:]
    assert replaced == ["replaced", "replaced"], "its harm ends when both replacements poll"


def test_reshard_names_the_shards_that_came_and_went(world: World) -> None:
    (result,) = asyncio.run(world.strike(entry("reshard", action="merge")))
    assert (result.fired, result.error) == (1, None)
    assert [what for _, what, _ in world.did] == ["merge"]
    start, stop = world.faults
    assert start["params"] == {"action": "merge"}
    assert (stop["params"]["parents"], stop["params"]["children"]) == (["shard-1"], ["shard-2", "shard-3"])


def test_a_reshard_that_brought_no_shard_is_no_success(world: World) -> None:
    world.stream.result = Resharding(parents=["shard-1"], children=[])
    (result,) = asyncio.run(world.strike(entry("reshard")))
    assert (result.fired, result.error) == (0, "was in place, but never struck")
    assert world.faults[-1]["params"]["fired"] == 0


def test_a_reshard_that_is_refused_is_no_success(world: World) -> None:
    world.stream.refuses = CallFailed("LimitExceededException", "too many shards", definite=True)
    (result,) = asyncio.run(world.strike(entry("reshard")))
    assert result.error and "too many shards" in result.error
    assert [(record["phase"], record["params"].get("fired")) for record in world.faults] == [
        ("start", None),
        ("stop", 0),
    ]


def test_a_reshard_of_which_nobody_knows_does_not_claim_to_be_over(world: World) -> None:
    world.stream.refuses = CallFailed("ReadTimeoutError", "no answer", definite=False)
    (result,) = asyncio.run(world.strike(entry("reshard")))
    assert result.error and "nobody knows" in result.error
    assert [record["phase"] for record in world.faults] == ["start"]
    assert {"event": "mark", "name": "fault-unproven", "instance": "reshard-1"}.items() <= world.records[-1].items()


@pytest.mark.parametrize("name", LOAD)
def test_where_no_wire_stands_before_the_load_nothing_is_struck(world: World, name: str) -> None:
    world.targets = replace(world.targets, load=None)
    (result,) = asyncio.run(world.strike(entry(name)))
    assert (result.fired, result.error) == (0, "no wire stands before the load")
    assert not world.did


def test_where_there_is_no_stream_nothing_is_resharded(world: World) -> None:
    world.targets = replace(world.targets, stream=None)
    (result,) = asyncio.run(world.strike(entry("reshard")))
    assert result.error == "there is no stream to reshard"
    assert not world.did


def test_an_impaired_queue_is_watched_before_it_is_denied_and_until_it_is_not(world: World) -> None:
    (result,) = asyncio.run(world.strike(entry("impair-queue", **{"for": 0.05})))
    assert (result.fired, result.error) == (world.fleet.fires, None)
    did = [(who, what) for who, what, _ in world.did]
    assert did == [
        ("impair-queue-1", "arm"),
        *((name, "deny") for name in world.queues.subscriptions),
        *((name, "allow") for name in world.queues.subscriptions),
        ("queues", "settle"),
        ("impair-queue-1", "disarm"),
    ]
    ((watch, slots),) = world.fleet.ever_armed
    assert (watch.kind, watch.operations, watch.on_wire) == ("refused-there", ["ReceiveMessage", "GetRecords"], True)
    assert slots == ["orders-1", "orders-2", "orders-3"]


def test_an_impaired_queue_may_be_one_of_several_and_sends_are_watched_at_the_load(world: World) -> None:
    impair = entry("impair-queue", subscription="billing", actions=["SendMessage"], **{"for": 0.05})
    (result,) = asyncio.run(world.strike(impair))
    assert world.queues.ever_denied == [("billing", ["SendMessage"])]
    assert not world.fleet.ever_armed
    assert (result.fired, world.faults[0]["targets"], world.faults[-1]["params"]["fired"]) == (5, ["load"], 5)


def test_an_impaired_queue_that_refused_nobody_is_no_success(world: World) -> None:
    world.fleet.fires = 0
    (result,) = asyncio.run(world.strike(entry("impair-queue", **{"for": 0.05})))
    assert (result.fired, result.error) == (0, "was in place, but never struck")


def test_a_queue_whose_policy_cannot_be_changed_is_no_success(world: World) -> None:
    world.queues.refuses = CallFailed("AccessDenied", "no", definite=True)
    (result,) = asyncio.run(world.strike(entry("impair-queue")))
    assert result.error == "the queue's policy cannot be changed: AccessDenied: no"
    assert _is_whole(world)
    # What became of a change that failed nobody knows, so it is undone.
    assert ("orders", "allow") in [(who, what) for who, what, _ in world.did]
    assert world.faults[-1]["params"]["fired"] == 0


@pytest.mark.parametrize("fires", [0, 3])
def test_a_queue_that_goes_on_denying_does_not_claim_to_be_over(world: World, fires: int) -> None:
    world.queues.stays, world.fleet.fires = "it may still deny", fires
    (result,) = asyncio.run(world.strike(entry("impair-queue", **{"for": 0.05})))
    assert (result.fired, result.error) == (fires, "it may still deny; it may still deny")
    assert [record["phase"] for record in world.faults] == ["start"]
    unproven = [record for record in world.records if record.get("name") == "fault-unproven"]
    assert len(unproven) == (0 if fires else 1)


@pytest.mark.parametrize("pick, stopped", [(1, 1), (3, 3), (0.5, 5), (0.01, 1), (20, 10)])
def test_so_many_executions_are_stopped(world: World, pick: float, stopped: int) -> None:
    (result,) = asyncio.run(world.strike(entry("stop-execution", pick=pick)))
    assert (result.fired, len(set(world.executions.stopped))) == (stopped, stopped)
    assert world.faults[0]["label"] == f"stops {stopped} of 10 executions that run"


@pytest.mark.parametrize(
    "spoils, why",
    [
        ({"left": []}, "no execution to stop: none runs"),
        (
            {"refuses": CallFailed("AccessDenied", "no", definite=True)},
            "the executions cannot be read: AccessDenied: no",
        ),
        ({"answers": "failed"}, "was in place, but never struck"),
    ],
)
def test_where_no_execution_is_stopped_it_is_no_success(world: World, spoils: dict[str, Any], why: str) -> None:
    vars(world.executions).update(spoils)
    (result,) = asyncio.run(world.strike(entry("stop-execution")))
    assert (result.fired, result.error) == (0, why)
    assert world.faults[-1]["params"]["fired"] == 0


def test_a_stop_of_which_nobody_knows_does_not_claim_to_be_over(world: World) -> None:
    world.executions.answers = "unknown"
    (result,) = asyncio.run(world.strike(entry("stop-execution")))
    assert (result.fired, result.error) == (0, "nobody knows whether an execution was stopped")
    assert [record["phase"] for record in world.faults] == ["start"]
    assert {"name": "fault-unproven"}.items() <= world.records[-1].items()


OF_SERVICE = [name for name, fault in FAULTS.items() if issubclass(fault, ServiceFault)]


class FakeFunctions:
    """What the target was told; `fails` is refused."""

    names = ("gameday-f",)

    def __init__(self, fails: str = "") -> None:
        self.did: list[str] = []
        self.fails = fails

    async def throttle(self) -> None:
        self._do("throttle")

    async def unthrottle(self) -> None:
        self._do("unthrottle")

    async def enable(self, on: bool) -> None:
        self._do(f"enable {on}")

    def _do(self, what: str) -> None:
        self.did.append(what)
        if what == self.fails:
            raise CallFailed("TooBad", "no", definite=True)


DOES = {"throttle-function": ["throttle", "unthrottle"], "disable-mapping": ["enable False", "enable True"]}


@pytest.mark.parametrize("name", OF_SERVICE)
def test_a_target_that_invokes_is_told_and_told_back(world: World, name: str) -> None:
    functions = FakeFunctions()
    world.targets = replace(world.targets, functions=functions)
    (result,) = asyncio.run(world.strike(entry(name, **{"for": 0.05})))
    assert (functions.did, result.fired, result.error) == (DOES[name], 1, None)
    assert [record["phase"] for record in world.faults] == ["start", "stop"]


@pytest.mark.parametrize("name", OF_SERVICE)
def test_a_target_that_refuses_is_told_back_all_the_same(world: World, name: str) -> None:
    """For part of it may stand."""
    functions = FakeFunctions(fails=DOES[name][0])
    world.targets = replace(world.targets, functions=functions)
    (result,) = asyncio.run(world.strike(entry(name, **{"for": 0.05})))
    assert (functions.did, result.fired) == (DOES[name], 0)
    assert result.error and "could not be put in place" in result.error


@pytest.mark.parametrize("name", OF_SERVICE)
def test_a_target_that_cannot_be_told_back_leaves_it_open(world: World, name: str) -> None:
    functions = FakeFunctions(fails=DOES[name][1])
    world.targets = replace(world.targets, functions=functions)
    (result,) = asyncio.run(world.strike(entry(name, **{"for": 0.05})))
    assert result.error and "could not be put back" in result.error
    assert [record["phase"] for record in world.faults] == ["start"]


def test_somebody_asks_for_every_disturbance_that_a_fault_arms() -> None:
    """Its kind is a word in two files; one that is misspelt would strike nothing. On the wire tests/wire asks it."""

    def named(method: str, *places: str) -> set[str]:
        found = set()
        for path in (path for place in places for path in (ROOT / place).glob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method:
                    if any(keyword.arg == "on_wire" for keyword in node.keywords):
                        continue
                    (kind, *_) = node.args
                    assert isinstance(kind, ast.Constant), f"{path}:{node.lineno} names no kind"
                    found.add(kind.value)
        return found

    armed = named("disturbance", "chaos/faults")
    assert armed and armed == named("struck", "consumers")

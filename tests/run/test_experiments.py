"""Experiments of AWS's fault injection, against a FIS that holds each request to botocore's model: looked up before the
run, on record before they begin, and over whichever way the strike ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gameday.chaos.registry import FAULTS
from gameday.chaos.timeline import Runner, StrikeResult
from gameday.emulator.services import SERVICES, World
from gameday.history.errors import TargetError, TargetLacks, UsageError
from gameday.processes.undo import Undo
from gameday.run.experiments import Experiments, look_up
from gameday.transports.base import Answer, Call, CallFailed
from gameday.transports.carriers.boto import BotoCarrier
from gameday.transports.endpoint import Endpoint
from gameday.transports.experiments import Experiment
from tests.chaos.chaos_fakes import World as Targets
from tests.chaos.chaos_fakes import until
from tests.run.fake_fis import THROTTLE, FakeFis

RUN = "kinesis-20260101-120000-1a2b"
TAGS = {"gameday:run": RUN, "gameday:owner": "someone"}
ROLE = "arn:aws:iam::123456789012:role/fis"
ALARM = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:age"
MADE: dict[str, Any] = {
    "fault": "fis", "at": 0.0, "action": THROTTLE, "role": ROLE, "stop_alarm": ALARM, "for": 60.0,
    "parameters": {"percentage": "50"},
}  # fmt: skip
THERE: dict[str, Any] = {"fault": "fis", "at": 0.0, "template": "EXT1there", "seen_as": []}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeFis]:
    fake = FakeFis()
    yield fake
    fake.end()


@pytest.fixture
def fis(server: FakeFis) -> Iterator[FakeFis]:
    server.reset()
    server.there_is("EXT1there", stopConditions=[{"source": "aws:cloudwatch:alarm", "value": ALARM}])
    yield server
    assert server.wrong == []


@cache
def carrier(fis: FakeFis) -> BotoCarrier:
    endpoint = Endpoint(urls={"fis": fis.url}, region="eu-west-1", access_key="test", secret_key="test")
    return BotoCarrier(endpoint, read_timeout_s=5)


def asked(entry: dict[str, Any]) -> Experiment:
    experiment = FAULTS["fis"].model_validate(entry).experiment
    assert experiment is not None
    return experiment


def control(fis: FakeFis, run: Path, **settings: Any) -> Experiments:
    carry = carrier(fis)
    kinds = look_up([asked(MADE)], carry, at="there")
    quick = {"look_every_s": 0.01, "stop_s": 5.0, **settings}
    return Experiments(carry, kinds, run=RUN, tags=TAGS, undo=Undo(run), **quick)


class Struck:
    """A strike on fakes for everything but FIS."""

    def __init__(self, run: Path, fis: FakeFis, entry: dict[str, Any], **settings: Any) -> None:
        self.undo = Undo(run)
        self.entry = entry
        self.targets = Targets(run)
        self.experiments = control(fis, run, **settings)
        self.targets.targets = replace(self.targets.targets, experiments=self.experiments)

    async def strike(
        self, meanwhile: Callable[[Runner], None] | None = None, when: Callable[[], bool] = bool
    ) -> StrikeResult:
        await self.experiments.prepare([asked(self.entry)])
        runner = self.targets.runner(self.entry, duration_s=600.0)
        running = asyncio.create_task(runner.run(start_ns=self.targets.writer.clock.now_ns()))
        if meanwhile is not None:
            await until(lambda: running.done() or when())
            meanwhile(runner)
        (result,) = await running
        assert await self.experiments.remove() == []
        return result

    @property
    def stop(self) -> dict[str, Any]:
        start, stop = self.targets.faults
        assert (start["phase"], stop["phase"]) == ("start", "stop")
        found: dict[str, Any] = stop["params"]
        return found


def runs(fis: FakeFis) -> Callable[[], bool]:
    return lambda: any(played.status == "running" for played in fis.experiments.values())


# Before the run.


def test_what_is_there_is_taken(fis: FakeFis) -> None:
    kinds = look_up([asked(MADE), asked(THERE)], carrier(fis), at="there")
    assert kinds[THROTTLE] == {"KinesisStreams": "aws:kinesis:stream"}
    assert fis.operations() == ["ListActions", "ListActions", "GetExperimentTemplate"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"action": "aws:kinesis:provisioned-throughput-exception"}, f"nearest: {THROTTLE}"),
        ({"targets": {"Shards": ["arn:aws:kinesis:eu-west-1:123456789012:stream/s"]}}, "it has KinesisStreams"),
    ],
)
def test_what_fis_does_not_have_is_refused(fis: FakeFis, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        look_up([asked({**MADE, **changes})], carrier(fis), at="there")


def test_a_template_that_is_not_there_and_one_that_nothing_stops(fis: FakeFis) -> None:
    with pytest.raises(UsageError, match="no experiment template EXT2"):
        look_up([asked({**THERE, "template": "EXT2"})], carrier(fis), at="there")
    fis.there_is("EXT3", stopConditions=[{"source": "none"}])
    with pytest.raises(UsageError, match="no alarm stops the experiments of template EXT3"):
        look_up([asked({**THERE, "template": "EXT3"})], carrier(fis), at="there")
    look_up([asked({**THERE, "template": "EXT3", "stop_alarm": "none"})], carrier(fis), at="there")


def test_an_endpoint_without_fis_is_refused_before_the_run() -> None:
    sqs = SERVICES["sqs"].make(World())

    def carry(call: Call) -> Answer:
        try:
            sqs.call(0, call.operation, call.params)
        except Exception as error:
            raise CallFailed("UnknownOperationException", str(error), definite=True) from error
        raise AssertionError("the broker has learnt FIS")

    with pytest.raises(TargetLacks, match="has no FIS") as lacks:
        look_up([asked(MADE)], carry, at="the broker in memory")
    assert lacks.value.exit_code == 5


def test_who_may_not_ask_is_not_told_that_there_is_none(fis: FakeFis) -> None:
    fis.refuses["ListActions"] = (403, "AccessDeniedException")
    with pytest.raises(TargetError) as error:
        look_up([asked(MADE)], carrier(fis), at="there")
    assert not isinstance(error.value, TargetLacks)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({**MADE, "template": "EXT1"}, "either `template`"),
        ({"fault": "fis", "at": 0.0}, "either `template`"),
        ({**MADE, "role": None}, "`action` without `role`"),
        ({key: value for key, value in MADE.items() if key != "stop_alarm"}, "`action` without `stop_alarm`"),
        ({**MADE, "for": 30.0}, "FIS takes no less"),
        ({**MADE, "parameters": {"duration": "PT1M"}}, "`duration` is said by `for`"),
        ({**THERE, "role": ROLE}, "`role` belongs to `action`"),
        ({**MADE, "role": "fis"}, "pattern"),
        ({**MADE, "stop_alarm": "age"}, "stop_alarm"),
        ({**THERE, "template": "mine"}, "pattern"),
    ],
)
def test_an_entry_that_cannot_be_meant(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        FAULTS["fis"].model_validate(entry)


# While it runs.


def test_an_action_gets_a_template_of_its_own_which_is_removed(fis: FakeFis, tmp_path: Path) -> None:
    fis.holds = False
    struck = Struck(tmp_path, fis, MADE)
    result = asyncio.run(struck.strike())
    (made,) = [params for name, params in fis.asked if name == "CreateExperimentTemplate"]
    assert made["actions"] == {
        "fault": {
            "actionId": THROTTLE,
            "parameters": {"percentage": "50", "duration": "PT60S"},
            "targets": {"KinesisStreams": "KinesisStreams"},
        }
    }
    assert made["targets"] == {
        "KinesisStreams": {
            "resourceType": "aws:kinesis:stream",
            "selectionMode": "ALL",
            "resourceTags": {"gameday:run": RUN},
        }
    }
    assert made["stopConditions"] == [{"source": "aws:cloudwatch:alarm", "value": ALARM}]
    assert made["roleArn"] == ROLE and made["tags"]["gameday:run"] == RUN
    (played,) = fis.experiments.values()
    assert played.became == ["pending", "initiating", "running", "completed"]
    assert played.tags["gameday:run"] == RUN
    assert [*fis.templates] == ["EXT1there"]
    # Whoever was refused meanwhile is its proof: three calls of a consumer and five of the load, in these fakes.
    assert (result.fired, result.error) == (8, None)
    assert (struck.stop["experiment"], struck.stop["state"], struck.stop["fired"]) == (played.id, "completed", 8)
    assert struck.targets.faults[0]["label"] == f"FIS {THROTTLE}"
    ((watch, _),) = struck.targets.fleet.ever_armed
    assert watch.codes == ["ProvisionedThroughputExceededException"]
    assert struck.undo.open() == []


def test_arns_that_the_scenario_names_are_struck_and_no_tag(fis: FakeFis, tmp_path: Path) -> None:
    stream = "arn:aws:kinesis:eu-west-1:123456789012:stream/shop"
    experiments = control(fis, tmp_path)
    asyncio.run(experiments.prepare([asked({**MADE, "targets": {"KinesisStreams": [stream]}, "stop_alarm": "none"})]))
    (made,) = [params for name, params in fis.asked if name == "CreateExperimentTemplate"]
    assert made["targets"]["KinesisStreams"]["resourceArns"] == [stream]
    assert "resourceTags" not in made["targets"]["KinesisStreams"]
    assert made["stopConditions"] == [{"source": "none"}]
    fault = FAULTS["fis"].model_validate({**MADE, "targets": {"KinesisStreams": [stream]}})
    assert fault.existing == [stream]


def test_it_is_stopped_when_the_load_ends(fis: FakeFis, tmp_path: Path) -> None:
    struck = Struck(tmp_path, fis, THERE)
    result = asyncio.run(struck.strike(Runner.heal_all, runs(fis)))
    (played,) = fis.experiments.values()
    assert played.became[-2:] == ["stopping", "stopped"]
    # Nobody sees what it does, so FIS's word is all there is: it ran.
    assert (result.fired, struck.stop["state"]) == (1, "stopped")
    assert not struck.targets.fleet.ever_armed
    assert struck.undo.open() == []


def test_of_a_template_for_says_when_it_is_stopped(fis: FakeFis, tmp_path: Path) -> None:
    struck = Struck(tmp_path, fis, {**THERE, "for": 0.05})
    assert asyncio.run(struck.strike()).fired == 1
    assert struck.stop["state"] == "stopped"


def test_an_alarm_that_stops_it_is_told(fis: FakeFis, tmp_path: Path) -> None:
    struck = Struck(tmp_path, fis, THERE)
    result = asyncio.run(struck.strike(lambda _: fis.trip("the alarm age went off"), runs(fis)))
    assert result.fired == 1
    assert (struck.stop["state"], struck.stop["reason"]) == ("stopped", "the alarm age went off")


def test_one_that_fails_has_struck_nothing_whatever_was_refused_meanwhile(fis: FakeFis, tmp_path: Path) -> None:
    fis.fails = "the role may not be taken on"
    struck = Struck(tmp_path, fis, MADE)
    result = asyncio.run(struck.strike())
    assert result.fired == 0
    assert result.error and "came to nothing: failed the role may not be taken on" in result.error
    assert (struck.stop["fired"], struck.stop["state"]) == (0, "failed")
    assert struck.undo.open() == []


def test_one_that_is_stopped_before_it_ran_has_struck_nothing(fis: FakeFis, tmp_path: Path) -> None:
    fis.stalls = True
    struck = Struck(tmp_path, fis, THERE)
    result = asyncio.run(struck.strike(Runner.heal_all, lambda: bool(fis.experiments)))
    (played,) = fis.experiments.values()
    assert played.became == ["pending", "stopping", "stopped"]
    assert result.fired == 0 and result.error and "came to nothing: stopped" in result.error
    assert struck.stop["fired"] == 0


def test_nobody_refused_is_no_success(fis: FakeFis, tmp_path: Path) -> None:
    fis.holds = False
    struck = Struck(tmp_path, fis, MADE)
    struck.targets.fleet.fires = 0
    struck.targets.load.fires = 0
    result = asyncio.run(struck.strike())
    assert (result.fired, result.error) == (0, "was in place, but never struck")


def test_an_interruption_stops_it(fis: FakeFis, tmp_path: Path) -> None:
    struck = Struck(tmp_path, fis, THERE)

    async def interrupted() -> None:
        running = asyncio.create_task(struck.strike())
        await until(runs(fis))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(interrupted())
    assert [played.status for played in fis.experiments.values()] == ["stopped"]
    assert struck.stop["state"] == "stopped"
    assert struck.undo.open() == []


def test_an_interruption_while_it_is_being_started_stops_it(fis: FakeFis, tmp_path: Path) -> None:
    struck = Struck(tmp_path, fis, THERE)
    fis.slowly = threading.Event()

    async def interrupted() -> None:
        running = asyncio.create_task(struck.strike())
        await until(lambda: bool(fis.experiments))
        running.cancel()
        await asyncio.sleep(0)
        assert fis.slowly is not None
        fis.slowly.set()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(interrupted())
    assert [played.status for played in fis.experiments.values()] == ["stopped"]
    assert struck.undo.open() == []


def test_where_nobody_watches_nothing_is_started(fis: FakeFis, tmp_path: Path) -> None:
    struck = Struck(tmp_path, fis, MADE)
    struck.targets.targets = replace(struck.targets.targets, load=None)
    result = asyncio.run(struck.strike())
    assert result.fired == 0 and result.error and "no wire stands before the load" in result.error
    assert "StartExperiment" not in fis.operations()


def test_one_of_which_nobody_knows_whether_it_began_does_not_claim_to_be_over(fis: FakeFis, tmp_path: Path) -> None:
    fis.refuses["StartExperiment"] = (500, "InternalServerError")
    struck = Struck(tmp_path, fis, THERE)
    result = asyncio.run(struck.strike())
    assert result.error and "nobody knows whether FIS started the experiment" in result.error
    assert [record["phase"] for record in struck.targets.faults] == ["start"]
    assert [record for record in struck.targets.records if record.get("name") == "fault-unproven"]
    assert len(struck.undo.open()) == 1


@pytest.mark.parametrize("operation", ["CreateExperimentTemplate", "StartExperiment"])
def test_a_lost_answer_makes_nothing_twice(fis: FakeFis, tmp_path: Path, operation: str) -> None:
    fis.loses, fis.holds = {operation: 1}, False
    struck = Struck(tmp_path, fis, MADE)
    assert asyncio.run(struck.strike()).fired == 8
    assert fis.operations().count(operation) == 2
    assert len(fis.experiments) == 1 and [*fis.templates] == ["EXT1there"]


def test_one_that_fis_refuses_is_no_success(fis: FakeFis, tmp_path: Path) -> None:
    fis.refuses["StartExperiment"] = (402, "ServiceQuotaExceededException")
    struck = Struck(tmp_path, fis, THERE)
    result = asyncio.run(struck.strike())
    assert result.error and "the experiment did not start: ServiceQuotaExceededException" in result.error
    assert struck.stop["fired"] == 0
    assert struck.undo.open() == []


def test_one_that_nobody_can_stop_does_not_claim_to_be_over(fis: FakeFis, tmp_path: Path) -> None:
    fis.refuses["StopExperiment"] = (403, "AccessDeniedException")
    struck = Struck(tmp_path, fis, THERE, stop_s=0.1)
    result = asyncio.run(struck.strike(Runner.heal_all, runs(fis)))
    assert result.error == "the experiment EXP1 may go on: FIS says running"
    assert [record["phase"] for record in struck.targets.faults] == ["start"]
    # Whoever comes after the run stops it.
    (record,) = struck.undo.open()
    assert record.what["calls"] == [{"service": "fis", "operation": "StopExperiment", "params": {"id": "EXP1"}}]


def test_a_template_that_fis_refuses_ends_the_run_before_its_load(fis: FakeFis, tmp_path: Path) -> None:
    fis.refuses["CreateExperimentTemplate"] = (400, "ValidationException")
    experiments = control(fis, tmp_path)
    with pytest.raises(CallFailed, match="planted"):
        asyncio.run(experiments.prepare([asked(MADE)]))
    assert Undo(tmp_path).open() == []

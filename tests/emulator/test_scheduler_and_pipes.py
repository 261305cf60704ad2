"""EventBridge Scheduler and Pipes of the in-memory broker, as far as it has them, held to botocore's models."""

from __future__ import annotations

from typing import Any

import pytest

from gameday.emulator.wire import Refused
from tests.emulator.inside import Inside, arn_of
from tests.emulator.test_defects import at, piped


def test_a_schedule_is_told_until_it_is_deleted() -> None:
    inside = Inside()
    inside.scheduler("CreateSchedule", Name="one", **at(inside, 5, inside.queue()))
    assert inside.scheduler("GetSchedule", Name="one")["ScheduleExpression"].startswith("at(")
    assert [each["Name"] for each in inside.scheduler("ListSchedules", NamePrefix="o")["Schedules"]] == ["one"]
    assert inside.scheduler("ListSchedules", NamePrefix="x")["Schedules"] == []
    inside.scheduler("DeleteSchedule", Name="one")
    with pytest.raises(Refused, match="does not exist"):
        inside.scheduler("GetSchedule", Name="one")


@pytest.mark.parametrize(
    "changed",
    [
        {"ScheduleExpression": "rate(1 minute)"},
        {"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 1}},
        {"ScheduleExpressionTimezone": "Europe/Berlin"},
        {"Target": {"Arn": "arn:aws:sqs:us-east-1:000000000000:none", "RoleArn": "arn:aws:iam::0:role/r"}},
    ],
)
def test_what_is_not_modelled_is_refused(changed: dict[str, Any]) -> None:
    inside = Inside()
    with pytest.raises(Refused):
        inside.scheduler("CreateSchedule", Name="one", **{**at(inside, 5, inside.queue()), **changed})


def test_a_name_is_taken_once() -> None:
    inside = Inside()
    inside.scheduler("CreateSchedule", Name="one", **at(inside, 5, inside.queue()))
    with pytest.raises(Refused, match="already exists"):
        inside.scheduler("CreateSchedule", Name="one", **at(inside, 5, inside.queue()))


def test_a_pipe_takes_what_comes_by_itself_too() -> None:
    inside = Inside()
    source, target = piped(inside)
    inside.send(source, "a1", DelaySeconds=5)
    inside.scheduler("CreateSchedule", Name="one", **at(inside, 5, source))
    assert inside.bodies(target) == []
    inside.later(6)
    assert inside.bodies(source) == []
    assert sorted(inside.bodies(target)) == ['"a1"', "a1"]


def test_a_pipe_moves_what_was_there_before_it_and_what_came_while_it_was_stopped() -> None:
    inside = Inside()
    inside.send(inside.queue("source"), "a1")
    source, target = piped(inside)
    assert inside.bodies(target) == ["a1"]
    assert inside.pipes("StopPipe", Name="p")["CurrentState"] == "STOPPED"
    inside.send(source, "a2")
    assert inside.bodies(target) == []
    inside.pipes("StartPipe", Name="p")
    assert inside.bodies(target) == ["a2"]
    assert [each["Name"] for each in inside.pipes("ListPipes")["Pipes"]] == ["p"]


def test_a_pipe_that_is_deleted_moves_nothing() -> None:
    inside = Inside()
    source, target = piped(inside)
    inside.pipes("DeletePipe", Name="p")
    inside.send(source, "a1")
    assert (inside.bodies(target), inside.bodies(source)) == ([], ["a1"])


@pytest.mark.parametrize("asked", [{"Enrichment": "arn:aws:lambda:us-east-1:000000000000:function:f"}, {"Target": "x"}])
def test_other_pipes_are_refused(asked: dict[str, Any]) -> None:
    inside = Inside()
    ends = {"Source": arn_of(inside.queue("source")), "Target": arn_of(inside.queue("target"))}
    with pytest.raises(Refused):
        inside.pipes("CreatePipe", Name="p", RoleArn="arn:aws:iam::0:role/r", **{**ends, **asked})

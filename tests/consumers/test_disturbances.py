"""What strikes and how often, without a process that dies of it."""

from __future__ import annotations

import os
import signal

import pytest

from gameday.consumers.disturbances import POINTS, Disturbances
from gameday.processes import control
from gameday.processes.control import Disturbance


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was reported, and the kill that followed, in order."""
    told: list[str] = []
    monkeypatch.setattr(control, "report", lambda kind, **fields: told.append(f"{kind} {fields['instance']}"))
    monkeypatch.setattr(os, "kill", lambda pid, number: told.append(f"{signal.Signals(number).name} {pid}"))
    return told


def crash(point: str, **fields: object) -> Disturbance:
    return Disturbance(kind="crash-at", instance=f"crash-{point}", point=point, **fields)


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_is_reported_right_before_the_kill(point: str, told: list[str]) -> None:
    disturbances = Disturbances()
    disturbances.arm(crash(point))
    for other in POINTS:
        if other != point:
            disturbances.crash(other, "a:1")
    assert told == []
    disturbances.crash(point, "a:1")
    assert told == [f"fired crash-{point}", f"SIGKILL {os.getpid()}"]


def test_nth_strikes_once(told: list[str]) -> None:
    disturbances = Disturbances()
    disturbances.arm(Disturbance(kind="lose-delete", instance="i", nth=2))
    assert [disturbances.loses_delete(f"{n}:1") for n in range(4)] == [False, True, False, False]
    assert disturbances.disarm("i") == 1
    assert not disturbances.loses_delete("5:1")


def test_a_handler_is_failed_where_that_is_armed(told: list[str]) -> None:
    disturbances = Disturbances()
    assert not disturbances.fails_handler("a:1:1")
    disturbances.arm(Disturbance(kind="fail-handler", instance="i", share=0.5))
    assert {disturbances.fails_handler(f"a:1:{tries}") for tries in range(30)} == {True, False}, "each time anew"
    disturbances.disarm("i")
    assert not any(disturbances.fails_handler(f"a:1:{tries}") for tries in range(30))


def test_a_share_is_a_share_and_only_its_first_strike_is_reported(told: list[str]) -> None:
    disturbances = Disturbances()
    disturbances.arm(Disturbance(kind="stretch-processing", instance="i", share=0.25, seconds=9.0))
    struck = [disturbances.stretched(f"{n}:1") for n in range(2000)]
    fired = disturbances.disarm("i")
    assert struck.count(9.0) == fired
    assert 400 < fired < 600
    assert told == ["fired i"]


def test_a_redelivery_rolls_again() -> None:
    disturbances = Disturbances()
    disturbances.arm(Disturbance(kind="lose-delete", instance="i", share=0.5))
    rolls = {disturbances.loses_delete(f"a:{receives}") for receives in range(30)}
    assert rolls == {True, False}


def test_what_is_not_armed_fired_never() -> None:
    disturbances = Disturbances()
    assert disturbances.disarm("nobody") == 0
    assert disturbances.stretched("a:1") is None


@pytest.mark.parametrize(
    "wrong",
    [
        Disturbance(kind="lose-send-reply", instance="i"),
        Disturbance(kind="crash-at", instance="i", point="lunch"),
        Disturbance(kind="stretch-processing", instance="i"),
    ],
)
def test_what_no_consumer_can_do_is_refused(wrong: Disturbance) -> None:
    with pytest.raises(ValueError, match=r"consumer|seconds"):
        Disturbances().arm(wrong)

"""What strikes and how often, in whichever process it is armed."""

from __future__ import annotations

import pytest

from gameday.processes import control
from gameday.processes.disturbances import Disturbance, Disturbances


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(control, "report", lambda kind, **fields: told.append(f"{kind} {fields['instance']}"))
    return told


def test_nth_strikes_once(reported: list[str]) -> None:
    disturbances = Disturbances()
    disturbances.arm(Disturbance(kind="lose-delete", instance="i", nth=2))
    assert [disturbances.struck("lose-delete", f"{n}") is not None for n in range(4)] == [False, True, False, False]
    assert disturbances.disarm("i") == 1
    assert disturbances.struck("lose-delete", "5") is None
    assert reported == ["fired i"]


def test_nth_counts_what_came_to_its_own_place() -> None:
    disturbances = Disturbances(lambda instance: None)
    disturbances.arm(Disturbance(kind="crash-at", instance="i", point="here", nth=2))
    asked = [("lose-delete", None), ("crash-at", "there"), ("crash-at", "here"), ("crash-at", None)]
    assert [disturbances.struck(kind, "a", point=point) for kind, point in asked] == [None] * 4
    assert disturbances.struck("crash-at", "b", point="here")


def test_a_share_is_a_share_and_only_its_first_strike_is_reported(reported: list[str]) -> None:
    disturbances = Disturbances()
    disturbances.arm(Disturbance(kind="stretch-processing", instance="i", share=0.25, seconds=9.0))
    struck = [disturbances.struck("stretch-processing", f"{n}:1") for n in range(2000)]
    fired = disturbances.disarm("i")
    assert [each.seconds for each in struck if each] == [9.0] * fired
    assert 400 < fired < 600
    assert reported == ["fired i"]


def test_all_processes_agree_and_each_instance_chooses_anew() -> None:
    def chosen(instance: str) -> list[bool]:
        disturbances = Disturbances(lambda instance: None)
        disturbances.arm(Disturbance(kind="lose-delete", instance=instance, share=0.5, seed=3))
        return [disturbances.struck("lose-delete", f"a:{receives}") is not None for receives in range(30)]

    assert chosen("i") == chosen("i") != chosen("j")
    assert set(chosen("i")) == {True, False}, "a redelivery rolls again"


def test_what_is_armed_twice_counts_on() -> None:
    disturbances = Disturbances(lambda instance: None)
    for _ in range(2):
        disturbances.arm(Disturbance(kind="lose-delete", instance="i"))
        assert disturbances.struck("lose-delete", "a")
    assert disturbances.fired == {"i": 2}
    assert disturbances.disarm("i") == disturbances.disarm("i") == 2, "also when the first answer was lost"


def test_what_is_not_armed_fired_never() -> None:
    disturbances = Disturbances()
    assert disturbances.disarm("nobody") == 0
    assert disturbances.struck("stretch-processing", "a:1") is None

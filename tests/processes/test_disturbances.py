"""What strikes and how often, in whichever process it is armed."""

from __future__ import annotations

import pytest

from gameday.processes import control
from gameday.processes.disturbances import Buckets, Disturbance, Disturbances


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(control, "report", lambda kind, **fields: told.append(f"{kind} {fields['instance']}"))
    return told


def test_nth_strikes_once(reported: list[str]) -> None:
    disturbances = Disturbances()
    disturbances.arm(Disturbance(kind="fail-handler", instance="i", nth=2))
    assert [disturbances.struck("fail-handler", f"{n}") is not None for n in range(4)] == [False, True, False, False]
    assert disturbances.disarm("i") == 1
    assert disturbances.struck("fail-handler", "5") is None
    assert reported == ["fired i"]


def test_who_waits_for_its_end_is_told_once() -> None:
    disturbances, told = Disturbances(lambda instance: None), list[str]()
    for instance in ("i", "j"):
        disturbances.arm(Disturbance(kind="hold-in-flight", instance=instance))
    disturbances.when_over("i", lambda: told.append("i"))
    disturbances.when_over("j", lambda: told.append("j"))
    disturbances.disarm("i")
    disturbances.disarm("i")
    assert told == ["i"]


def test_nth_counts_what_came_to_its_own_place() -> None:
    disturbances = Disturbances(lambda instance: None)
    disturbances.arm(Disturbance(kind="crash-at", instance="i", point="here", nth=2))
    asked = [("fail-handler", None), ("crash-at", "there"), ("crash-at", "here"), ("crash-at", None)]
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
        disturbances.arm(Disturbance(kind="fail-handler", instance=instance, share=0.5, seed=3))
        return [disturbances.struck("fail-handler", f"a:{receives}") is not None for receives in range(30)]

    assert chosen("i") == chosen("i") != chosen("j")
    assert set(chosen("i")) == {True, False}, "a redelivery rolls again"


def test_what_is_armed_twice_counts_on() -> None:
    disturbances = Disturbances(lambda instance: None)
    for _ in range(2):
        disturbances.arm(Disturbance(kind="fail-handler", instance="i"))
        assert disturbances.struck("fail-handler", "a")
    assert disturbances.fired == {"i": 2}
    assert disturbances.disarm("i") == disturbances.disarm("i") == 2, "also when the first answer was lost"


def test_what_is_not_armed_fired_never() -> None:
    disturbances = Disturbances()
    assert disturbances.disarm("nobody") == 0
    assert disturbances.struck("stretch-processing", "a:1") is None


def test_a_rate_lets_so_many_pass_and_no_more() -> None:
    now_s = [0.0]
    buckets = Buckets(lambda: now_s[0])

    def passing(at_s: float, name: str = "a") -> int:
        now_s[0] = at_s
        return sum(buckets.take(name, 5.0) for _ in range(20))

    assert passing(0.0) == 5, "it begins full"
    assert passing(0.0, "b") == 5, "each has its own"
    assert passing(0.5) == 2 and passing(1.0) == 3, "what is left over is kept"
    assert passing(60.0) == 5, "and no more than one second's"
    assert [buckets.take("slow", 0.1) for _ in range(3)] == [True, False, False], "one at least"


def test_those_who_share_their_buckets_share_the_limit() -> None:
    buckets = Buckets(lambda: 0.0)
    two = [Disturbances(lambda instance: None, buckets) for _ in range(2)]
    for each in two:
        each.arm(Disturbance(kind="throttle", instance="i", rate_per_s=3.0))
    asked = [each.struck("throttle", "a", operation="Get") is not None for each in two * 3]
    assert asked == [False] * 3 + [True] * 3
    assert two[0].struck("throttle", "a", operation="Put") is None, "each operation has its own"
    assert sum(each.disarm("i") for each in two) == 3


def test_what_takes_longer_is_spread_as_it_says() -> None:
    even = Disturbance(kind="latency", instance="i", seconds=1.0, more_s=2.0)
    tailed = Disturbance(kind="latency", instance="i", seconds=1.0, more_s=2.0, spread="exponential")
    evenly = [even.takes_s(f"{n}") for n in range(4000)]
    with_a_tail = [tailed.takes_s(f"{n}") for n in range(4000)]
    assert min(evenly) > 1.0 and max(evenly) <= 3.0 and 1.9 < sum(evenly) / 4000 < 2.1
    assert min(with_a_tail) >= 1.0 and max(with_a_tail) > 10.0 and 2.8 < sum(with_a_tail) / 4000 < 3.2


def test_what_strikes_later_counts_when_it_does(reported: list[str]) -> None:
    disturbances = Disturbances()
    disturbances.arm(Disturbance(kind="late-delete", instance="i", nth=1))
    chosen = disturbances.chosen("late-delete", "a")
    assert chosen is not None and disturbances.chosen("late-delete", "b") is None
    assert disturbances.fired == {"i": 0} and not reported
    disturbances.count(chosen)
    assert disturbances.disarm("i") == 1 and reported == ["fired i"]

"""The plan: repeatable, inside its bounds, in order, and clear about what cannot be carried out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gameday.chaos.base import Fault, TimelineError, units
from gameday.chaos.registry import FAULTS
from gameday.chaos.timeline import plan


def fault(name: str, **fields: Any) -> Fault:
    return FAULTS[name].model_validate({"fault": name, **fields})


@st.composite
def timelines(draw: st.DrawFn) -> tuple[list[Fault], float, int]:
    """Entries that can be carried out, the load's duration and the number of consumers."""
    duration_s = draw(st.floats(20, 100))
    consumers = draw(st.integers(1, 6))
    pick = st.one_of(st.integers(1, consumers), st.floats(0.01, 1.0))
    entries: list[Fault] = []
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.floats(0, 9))
        if draw(st.booleans()):
            entries.append(fault("pause-consumer", **{"at": at, "for": draw(st.floats(0.1, 10)), "pick": draw(pick)}))
        else:
            every = draw(st.floats(1, 10))
            jitter = draw(st.floats(0, 0.9)) * every
            until = draw(st.none() | st.floats(19, duration_s))
            entries.append(fault("kill-consumer", at=at, every=every, jitter=jitter, until=until, pick=draw(pick)))
    return entries, duration_s, consumers


@given(timelines(), st.integers())
def test_a_plan_is_repeatable_in_order_and_within_its_bounds(
    timeline: tuple[list[Fault], float, int], seed: int
) -> None:
    entries, duration_s, consumers = timeline
    strikes = plan(entries, duration_s=duration_s, consumers={"orders": consumers}, seed=seed)

    assert strikes == plan(entries, duration_s=duration_s, consumers={"orders": consumers}, seed=seed)
    assert [strike.at_s for strike in strikes] == sorted(strike.at_s for strike in strikes)
    assert len({strike.instance for strike in strikes}) == len(strikes)
    assert {strike.entry for strike in strikes} == set(range(len(entries)))
    for number, entry in enumerate(entries):
        moments = [strike.at_s for strike in strikes if strike.entry == number]
        assert entry.at is not None
        if entry.every is None:
            assert moments == [entry.at]
        end_s = entry.until or duration_s
        for turn, moment in enumerate(moments):
            turn_s = entry.at + turn * (entry.every or 0)
            assert turn_s <= moment <= turn_s + (entry.jitter or 0)
            assert moment < end_s
            assert moment + (entry.length_s or 0) <= end_s * (1 + 1e-12)
        if entry.every is not None:
            # None is left out but those that could have overrun.
            assert entry.at + len(moments) * entry.every + (entry.jitter or 0) >= end_s * (1 - 1e-12)
    for strike in strikes:
        pick: int | float = strike.fault.pick  # type: ignore[attr-defined]  # both faults above strike consumers
        assert len(strike.places) == len(set(strike.places))
        assert len(strike.places) == (pick if isinstance(pick, int) else max(1, round(pick * consumers)))
        assert all(subscription == "orders" and 0 <= index < consumers for subscription, index in strike.places)


def test_the_seed_decides_moments_and_consumers() -> None:
    entry = fault("kill-consumer", every=5.0, jitter=4.0)
    plans = [plan([entry], duration_s=60, consumers={"orders": 9}, seed=seed) for seed in (1, 2)]
    assert len(plans[0]) == len(plans[1]), "how many strikes there are is no matter of luck"
    assert [strike.at_s for strike in plans[0]] != [strike.at_s for strike in plans[1]]
    assert [strike.places for strike in plans[0]] != [strike.places for strike in plans[1]]


def test_another_entry_moves_no_strike() -> None:
    entry, other = fault("kill-consumer", every=5.0, jitter=4.0), fault("pause-consumer", **{"at": 3.0, "for": 1.0})
    alone = plan([entry], duration_s=60, consumers={"orders": 9}, seed=1)
    together = plan([entry, other], duration_s=60, consumers={"orders": 9}, seed=1)
    assert alone == [strike for strike in together if strike.entry == 0]


def test_every_strikes_first_after_its_own_length_and_stops_at_until() -> None:
    entry = fault("kill-consumer", every=10.0, until=35.0)
    assert [strike.at_s for strike in plan([entry], duration_s=60, consumers={"orders": 1}, seed=1)] == [10, 20, 30]


def test_a_subscription_narrows_who_is_struck() -> None:
    entry = fault("kill-consumer", at=1.0, pick=1.0, subscription="billing")
    (strike,) = plan([entry], duration_s=60, consumers={"orders": 2, "billing": 2}, seed=1)
    assert strike.places == (("billing", 0), ("billing", 1))


@pytest.mark.parametrize(
    ("name", "fields", "key", "says"),
    [
        ("kill-consumer", {"at": 30.0}, "at", "strikes at 30 s, but the load ends at 30 s"),
        ("pause-consumer", {"at": 28.0, "for": 3.0}, "at", "may last until 31 s, but the load ends at 30 s"),
        ("kill-consumer", {"every": 31.0}, "every", "strikes at 31 s, but the load ends at 30 s"),
        ("kill-consumer", {"every": 5.0, "until": 31.0}, "until", "goes on until 31 s, but the load ends at 30 s"),
        ("kill-consumer", {"every": 9.0, "jitter": 3.0, "until": 10.0}, "every", "`until` is 10 s"),
        ("kill-consumer", {"every": 0.001}, "every", "more than 10000 times"),
        ("kill-consumer", {"at": 1.0, "pick": 4}, "pick", "picks 4 consumers, but there are 3"),
        (
            "kill-consumer",
            {"at": 1.0, "subscription": "bills"},
            "subscription",
            "which has none; consumers: orders",
        ),
    ],
)
def test_what_cannot_be_carried_out_is_said(name: str, fields: dict[str, Any], key: str, says: str) -> None:
    entries = [fault("lose-delete", at=1.0), fault(name, **fields)]
    with pytest.raises(TimelineError) as caught:
        plan(entries, duration_s=30, consumers={"orders": 3}, seed=1)
    assert says in str(caught.value)
    assert (caught.value.entry, caught.value.key, caught.value.exit_code) == (1, key, 2)


def test_a_fault_of_consumers_needs_some() -> None:
    with pytest.raises(TimelineError, match="there are none"):
        plan([fault("kill-consumer", at=1.0)], duration_s=30, consumers={}, seed=1)
    assert plan([fault("lose-send-reply", at=1.0)], duration_s=30, consumers={}, seed=1)[0].places == ()


@pytest.mark.parametrize(
    ("name", "fields", "says"),
    [
        ("kill-consumer", {}, "neither `at`, `every` nor `when`"),
        ("kill-consumer", {"at": 1.0, "jitter": 1.0}, "`jitter` belongs to `every`"),
        ("kill-consumer", {"at": 1.0, "until": 9.0}, "`until` belongs to `every`"),
        ("lose-delete", {"every": 10.0}, "`every` without `for`"),
        ("lose-delete", {"every": 10.0, "for": 8.0, "jitter": 2.0}, "shorter than `every`"),
        ("pause-consumer", {"at": 1.0}, "for\n  Field required"),
        ("crash-at", {"at": 1.0, "point": "before-effect"}, "either `nth`"),
        ("crash-at", {"at": 1.0, "point": "before-effect", "nth": 1, "share": 0.1}, "either `nth`"),
        ("crash-at", {"at": 1.0, "point": "at-lunch", "nth": 1}, "point"),
        ("kill-consumer", {"at": 1.0, "signal": "HUP"}, "'KILL' or 'TERM'"),
        ("kill-consumer", {"at": -1.0}, "greater than or equal to 0"),
        ("kill-consumer", {"at": float("nan")}, "at"),
        ("kill-consumer", {"at": "6s"}, "valid number"),
        ("kill-consumer", {"at": 1.0, "pick": 0}, "pick"),
        ("kill-consumer", {"at": 1.0, "pick": 1.5}, "pick"),
        ("kill-consumer", {"at": 1.0, "share": 0.5}, "Extra inputs"),
        ("stretch-processing", {"at": 1.0, "to": {"times_visibility_timeout": 0.0}}, "to"),
        ("stretch-processing", {"at": 1.0, "to": {"times": 2.0}}, "to"),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(name: str, fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        fault(name, **fields)
    assert says in str(caught.value)


def test_one_is_a_consumer_and_one_point_zero_is_all_of_them() -> None:
    for pick, hit in ((1, 1), (1.0, 4), (0.5, 2), (0.01, 1)):
        (strike,) = plan([fault("kill-consumer", at=1.0, pick=pick)], duration_s=9, consumers={"orders": 4}, seed=1)
        assert len(strike.places) == hit


def test_units_tell_what_each_number_of_an_entry_means() -> None:
    when = {"at": "duration", "every": "duration", "jitter": "duration", "until": "duration", "when": "trigger"}
    assert units(FAULTS["stretch-processing"]) == when | {
        "for": "duration",
        "pick": "count-or-share",
        "to": "duration-or-multiple",
        "share": "share",
    }
    assert units(FAULTS["crash-at"])["nth"] == "count"

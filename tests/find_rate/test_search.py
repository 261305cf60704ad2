"""Which rates are tried: against a capacity that is known, with noise and without, and where it must stop."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.find_rate.search import Asked, Ended, Try, next_step
from gameday.verify.bounds import Ruling


@dataclass(frozen=True, kw_only=True)
class Tried:
    rate_per_s: float
    verdict: Ruling
    clear: bool = True
    took_s: float = 10.0


def asked(
    from_per_s: float = 50, to_per_s: float = 5000, within: float = 0.05, runs_max: int = 40, time_max_s: float = 1e9
) -> Asked:
    return Asked(from_per_s=from_per_s, to_per_s=to_per_s, within=within, runs_max=runs_max, time_max_s=time_max_s)


Run = Callable[[float], Tried]


def broker(capacity: float, *, noise: float = 0.0, seed: int = 0) -> Run:
    """One that does so much, and by bad luck now and then less. What luck decided is not clear."""
    dice = random.Random(seed)

    def run(rate: float) -> Tried:
        if rate > capacity:
            return Tried(rate_per_s=rate, verdict="violated", clear=rate > capacity * 1.1)
        if dice.random() < noise:
            return Tried(rate_per_s=rate, verdict=dice.choice(["violated", "unknown"]), clear=False)
        return Tried(rate_per_s=rate, verdict="holds")

    return run


def search(asked: Asked, run: Run) -> tuple[Ended, Sequence[Tried]]:
    tried: list[Tried] = []
    while isinstance(step := next_step(asked, tried), Try):
        assert step.again == (bool(tried) and step.rate_per_s == tried[-1].rate_per_s)
        tried.append(run(step.rate_per_s))
        assert len(tried) <= asked.runs_max
    return step, tried


@given(capacity=st.floats(50, 4999), within=st.sampled_from([0.01, 0.03, 0.05, 0.2]))
def test_a_capacity_is_found(capacity: float, within: float) -> None:
    ended, tried = search(asked(within=within), broker(capacity))
    assert ended.why == "found"
    assert ended.holds_per_s is not None and ended.fails_per_s is not None
    assert ended.holds_per_s <= capacity < ended.fails_per_s <= ended.holds_per_s * (1 + within)
    assert len(tried) <= 25


def test_in_spite_of_noise() -> None:
    """One step of twelve fails by bad luck: twice running it does so at one search in twelve or so."""
    far = 0
    for seed in range(200):
        capacity = random.Random(seed).uniform(60, 4900)
        ended, _ = search(asked(), broker(capacity, noise=1 / 12, seed=seed))
        if ended.why == "from fails":
            far += 1
            continue
        assert ended.holds_per_s is not None
        assert ended.holds_per_s <= capacity, "what holds is no luck"
        far += ended.holds_per_s < capacity / 1.05
    assert far <= 20


def test_it_grows_and_then_halves() -> None:
    _, tried = search(asked(within=0.1), broker(333))
    assert [step.rate_per_s for step in tried] == [50, 100, 200, 400, 282.8, 336.3, 336.3, 308.4]


def test_a_step_that_is_not_clear_is_done_once_more_and_the_second_time_counts() -> None:
    luck = iter([False, True, False, False])

    def run(rate: float) -> Tried:
        holds = next(luck)
        return Tried(rate_per_s=rate, verdict="holds" if holds else "unknown", clear=False)

    ended, tried = search(asked(to_per_s=60, within=0.5), run)
    assert [step.rate_per_s for step in tried] == [50, 50, 60, 60]
    assert (ended.why, ended.holds_per_s, ended.fails_per_s) == ("found", 50, 60)


def test_what_is_clear_is_not_done_again() -> None:
    ended, tried = search(asked(), lambda rate: Tried(rate_per_s=rate, verdict="violated"))
    assert len(tried) == 1
    assert (ended.why, ended.holds_per_s, ended.fails_per_s) == ("from fails", None, 50)


def test_all_hold() -> None:
    ended, tried = search(asked(to_per_s=300), broker(1e9))
    assert [step.rate_per_s for step in tried] == [50, 100, 200, 300]
    assert (ended.why, ended.holds_per_s, ended.fails_per_s) == ("to holds", 300, None)


@pytest.mark.parametrize("most", [1, 2, 5, 7])
def test_it_stops_after_so_many_runs(most: int) -> None:
    ended, tried = search(asked(runs_max=most), broker(1234))
    assert len(tried) == most
    assert ended.why == "runs"


def test_it_begins_no_run_that_would_not_end_in_time() -> None:
    # Each takes 10 s: the fourth would end at 40 s.
    ended, tried = search(asked(time_max_s=39), broker(1234))
    assert len(tried) == 3
    assert (ended.why, ended.holds_per_s, ended.fails_per_s) == ("time", 200, None)


def test_the_first_run_is_always_begun() -> None:
    _, tried = search(asked(time_max_s=0), broker(1234))
    assert len(tried) == 1


def test_what_was_found_with_the_last_run_is_found() -> None:
    whole, tried = search(asked(), broker(1234))
    assert search(asked(runs_max=len(tried)), broker(1234))[0] == whole


def test_rates_too_near_to_be_written_apart_end_it() -> None:
    ended, _ = search(asked(from_per_s=1, to_per_s=1.001, within=0.0001), broker(1.0005))
    assert (ended.why, ended.holds_per_s, ended.fails_per_s) == ("found", 1, 1.001)

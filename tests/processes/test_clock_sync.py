"""Measuring a clock: whatever the true offset, the drift and the delays are, what is told contains the truth."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from hypothesis import assume, given
from hypothesis import strategies as st

from gameday.history.clock import DRIFT_PPM
from gameday.processes.clock_sync import (
    HostClock,
    Measured,
    RoundTrip,
    clock_of,
    measured,
    unknown,
    worst_between,
)

MS, SECOND, MINUTE = 10**6, 10**9, 60 * 10**9
EPOCH = 1_700_000_000 * SECOND
OFFSETS = st.integers(-2 * SECOND, 2 * SECOND)
RATES = st.integers(-DRIFT_PPM, DRIFT_PPM)
DELAYS = st.integers(0, 50 * MS)


class Other:
    """Another clock, as seen by the one that asks: it is ahead by an offset that drifts, at a rate that may change."""

    def __init__(self, offset_ns: int, rates_ppm: Sequence[int], *, turn_ns: int = MINUTE) -> None:
        self._offset_ns, self._rates, self._turn_ns = offset_ns, rates_ppm, turn_ns

    def ahead_ns(self, at_ns: int) -> Fraction:
        ahead = Fraction(self._offset_ns)
        for n, rate in enumerate(self._rates):
            begin = n * self._turn_ns
            until = at_ns if n == len(self._rates) - 1 else min(at_ns, begin + self._turn_ns)
            ahead += Fraction(max(0, until - begin) * rate, 1_000_000)
        return ahead

    def shows(self, at_ns: int) -> int:
        # A clock shows whole nanoseconds that have passed.
        return (at_ns + self.ahead_ns(at_ns)).__floor__()


def ask(other: Other, begin_ns: int, ways: Sequence[tuple[int, int, int]]) -> list[RoundTrip]:
    """Round trips with (pause before, delay there, delay back), one after another."""
    trips, now = [], begin_ns
    for pause, there, back in ways:
        sent = now + pause
        now = sent + there + back
        trips.append(RoundTrip(sent_ns=sent, there_ns=other.shows(sent + there), received_ns=now))
    return trips


WAYS = st.lists(st.tuples(st.integers(0, 200 * MS), DELAYS, DELAYS), min_size=1, max_size=12)


def contains(found: Measured, ahead_ns: Fraction) -> bool:
    # What was read lags by less than the nanosecond that a clock does not show.
    return found.low_ns - 1 <= ahead_ns <= found.high_ns + 1


@given(offset=OFFSETS, rate=RATES, ways=WAYS)
def test_the_truth_is_where_a_measurement_says(offset: int, rate: int, ways: list[tuple[int, int, int]]) -> None:
    other = Other(offset, [rate])
    found = measured(ask(other, 0, ways))
    assert found is not None
    assert contains(found, other.ahead_ns(found.at_ns))
    assert abs(found.offset_ns - other.ahead_ns(found.at_ns)) <= found.bound_ns + 1


@given(offset=OFFSETS, rates=st.lists(RATES, min_size=3, max_size=3), first=WAYS, second=WAYS, at=st.integers(0, 100))
def test_between_two_measurements_the_worst_is_told(
    offset: int, rates: list[int], first: list[tuple[int, int, int]], second: list[tuple[int, int, int]], at: int
) -> None:
    other = Other(offset, rates, turn_ns=20 * SECOND)
    before, after = measured(ask(other, 0, first)), measured(ask(other, MINUTE, second))
    assert before is not None and after is not None
    worst = worst_between(before, after)
    assert worst is not None
    moment = before.at_ns + (after.at_ns - before.at_ns) * at // 100
    assert abs(other.ahead_ns(moment)) <= worst + 1


@given(
    offset=OFFSETS, rates=st.lists(RATES, min_size=4, max_size=4), ways=st.lists(WAYS, min_size=3, max_size=3),
    late=st.integers(0, SECOND), at=st.integers(0, 300),
)  # fmt: skip
def test_marks_tell_how_far_a_hosts_times_were_off(
    offset: int, rates: list[int], ways: list[list[tuple[int, int, int]]], late: int, at: int
) -> None:
    # The host's CLOCK_MONOTONIC is what asks; the conductor's clock is the other one.
    conductor = Other(EPOCH + offset, rates, turn_ns=MINUTE)
    first = measured(ask(conductor, 0, ways[0]))
    assert first is not None
    known = HostClock(host="h1", found=first, taken_off_ns=0)
    ahead = known.clock.epoch_ns - known.clock.monotonic_ns

    def off_ns(monotonic_ns: int) -> Fraction:
        """How far what this host writes then is from what the conductor's clock shows."""
        return abs(conductor.ahead_ns(monotonic_ns) - ahead)

    marks = [(first.at_ns + late, known.begun(first.at_ns + late + ahead))]
    for n in (1, 2):
        trips = [
            RoundTrip(sent_ns=t.sent_ns + ahead, there_ns=t.there_ns, received_ns=t.received_ns + ahead)
            for t in ask(conductor, n * MINUTE, ways[n])
        ]
        again = measured(trips)
        assert again is not None
        now = again.at_ns + late
        marks.append((now - ahead, known.again(again, now_ns=now)))
    begin = first.at_ns
    for until, mark in marks:
        error = mark["error_ns"]
        assert isinstance(error, int)
        moment = begin + (until - begin) * at // 300
        assert off_ns(moment) <= error + 1
        begin = until


def test_the_bound_is_half_the_best_round_trip() -> None:
    # Ways there and back of 1 ms and 3 ms; slower ones between add nothing.
    other = Other(250 * MS, [0])
    found = measured(ask(other, 0, [(0, 20 * MS, 1 * MS), (0, 1 * MS, 3 * MS), (0, 9 * MS, 30 * MS), (0, 40 * MS, 0)]))
    assert found is not None
    # 4 ms and what may drift in 4 ms, and in the 79 ms until the end of the last one.
    assert found.bound_ns == 2 * MS + 4_000 + 79_000
    assert found.offset_ns == 250 * MS - 1 * MS


def test_unequal_ways_are_no_certainty() -> None:
    # All the time is spent on the way back: the middle is wrong by half the round trip, which the bound tells.
    found = measured([RoundTrip(sent_ns=0, there_ns=0, received_ns=10 * MS)])
    assert found is not None and (found.low_ns, found.high_ns) == (-10 * MS - 10_000, 10_000)
    assert found.offset_ns == -5 * MS and found.bound_ns == 5 * MS + 10_000


def test_round_trips_that_contradict_each_other_measure_nothing() -> None:
    # The other clock was stepped by a second between two.
    trips = [
        RoundTrip(sent_ns=n * SECOND, there_ns=n * SECOND + (n > 3) * SECOND, received_ns=n * SECOND + MS)
        for n in range(8)
    ]
    assert measured(trips[:4]) is not None
    assert measured([*trips[4:5] * 4, *trips[:4]]) is not None  # the best quarter is of one opinion
    assert measured(trips[3:5] * 4) is None
    assert measured([]) is None


def test_a_clock_that_was_slewed_too_fast_is_unknown() -> None:
    before = Measured(at_ns=0, low_ns=-MS, high_ns=MS)
    minute_later = Measured(at_ns=MINUTE, low_ns=60 * MS, high_ns=62 * MS)
    # 60 ms in a minute is what clocks may drift apart; where it was between, nobody knows better than twice that.
    assert worst_between(before, minute_later) == 122 * MS
    too_far = Measured(at_ns=MINUTE, low_ns=62 * MS + 1_000_000, high_ns=64 * MS)
    assert worst_between(before, too_far) is None
    known = HostClock(host="h1", found=before, taken_off_ns=5)
    assert known.begun(0) == {
        "event": "mark", "name": "clock", "host": "h1", "error_ns": MS, "offset_ns": 5, "method": "round-trips",
    }  # fmt: skip
    mark = known.again(too_far, now_ns=MINUTE)
    assert "error_ns" not in mark and mark["host"] == "h1"
    # Likewise a measurement that contradicts itself.
    assert known.again(None, now_ns=2 * MINUTE) == unknown("h1")
    assert unknown("h2") == {"event": "mark", "name": "clock", "host": "h2"}


def test_a_long_gap_is_worse_than_what_is_known_of_its_ends() -> None:
    # Exact at both ends, a minute apart: 60 ms out, and then a step back.
    exact = Measured(at_ns=0, low_ns=0, high_ns=0)
    assert worst_between(exact, Measured(at_ns=MINUTE, low_ns=0, high_ns=0)) == 60 * MS


@given(
    offset=st.integers(-20 * MS, 20 * MS), rate=RATES, step=st.integers(-60 * MS, 60 * MS), first=WAYS, second=WAYS,
    stepped=st.integers(0, 100), at=st.integers(0, 100),
)  # fmt: skip
def test_a_step_that_no_measurement_tells_is_covered(
    offset: int, rate: int, step: int, first: list[tuple[int, int, int]], second: list[tuple[int, int, int]],
    stepped: int, at: int,
) -> None:  # fmt: skip
    earlier, later = Other(offset, [rate]), Other(offset + step, [rate])
    before, after = measured(ask(earlier, 0, first)), measured(ask(later, MINUTE, second))
    assert before is not None and after is not None
    worst = worst_between(before, after)
    # One that is told leaves nothing known.
    assume(worst is not None)
    assert worst is not None
    moment = before.at_ns + (after.at_ns - before.at_ns) * at // 100
    assert abs((earlier if at < stepped else later).ahead_ns(moment)) <= worst + 1


def test_a_clock_of_another_host_shows_the_conductors_time() -> None:
    # The host was up for 7 s when the conductor's clock showed EPOCH.
    clock = clock_of(Measured(at_ns=7 * SECOND, low_ns=EPOCH - 7 * SECOND - 10, high_ns=EPOCH - 7 * SECOND + 10))
    assert (clock.epoch_ns, clock.monotonic_ns) == (EPOCH, 7 * SECOND)

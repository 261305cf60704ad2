"""How far a host's clock is from the conductor's: found by asking the time, kept while both clocks drift.

Whoever asks reads its own clock, asks, is answered with what the other clock shows, and reads its own again. The
answer was read somewhere between, so each round trip proves an interval in which the difference of the two clocks lies,
however unequal the two ways are; several that hold at once are intersected (Cristian's and Marzullo's ideas). It
promises that the difference is in the interval that it tells while neither clock runs wrong faster than
gameday/history/clock.py allows. Where measurements contradict that, it tells that nobody knows.

A host's `Clock` is made from its first measurement and never corrected, so that `at` never decreases and never jumps:
what later measurements find to be off is added to the error that the host's `clock` marks tell.

Pure: it asks nobody and reads no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gameday.history import events
from gameday.history.clock import Clock, drift_ns
from gameday.history.events import Record


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundTrip:
    """`sent_ns` and `received_ns` by the clock of who asks, `there_ns` by the clock of who answers."""

    sent_ns: int
    there_ns: int
    received_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """When the clock of who asked showed `at_ns`, the other one was from `low_ns` to `high_ns` ahead of it."""

    at_ns: int
    low_ns: int
    high_ns: int

    @property
    def offset_ns(self) -> int:
        """The middle: how far the other clock is ahead, as well as it is known."""
        return (self.low_ns + self.high_ns) // 2

    @property
    def bound_ns(self) -> int:
        """How far `offset_ns` may be from the truth."""
        return self.high_ns - self.offset_ns

    @property
    def worst_ns(self) -> int:
        """How far the two clocks may be apart, if nothing is taken off."""
        return max(abs(self.low_ns), abs(self.high_ns))

    def at(self, at_ns: int) -> Measured:
        """What it says of another moment, after or before it: less, for the clocks drift."""
        drift = drift_ns(abs(at_ns - self.at_ns))
        return Measured(at_ns=at_ns, low_ns=self.low_ns - drift, high_ns=self.high_ns + drift)

    def agreed(self, other: Measured) -> Measured | None:
        """What both say of the later of their moments; None where they contradict each other."""
        at_ns = max(self.at_ns, other.at_ns)
        one, two = self.at(at_ns), other.at(at_ns)
        low, high = max(one.low_ns, two.low_ns), min(one.high_ns, two.high_ns)
        return Measured(at_ns=at_ns, low_ns=low, high_ns=high) if low <= high else None


def measured(trips: Sequence[RoundTrip]) -> Measured | None:
    """What the best quarter of some round trips proves of the moment when the last one ended.

    The slow ones prove little, and are more likely to have met what a clock is not made for (a suspended machine). None
    where there are none, or where they contradict each other: then a clock runs wrong faster than clocks may.
    """
    best = sorted(trips, key=lambda trip: trip.received_ns - trip.sent_ns)[: max(1, len(trips) // 4)]
    found: Measured | None = None
    for trip in sorted(best, key=lambda trip: trip.received_ns):
        # The other clock was read at some moment of the round trip, and the offset is wanted of its end.
        drift = drift_ns(trip.received_ns - trip.sent_ns)
        one = Measured(
            at_ns=trip.received_ns,
            low_ns=trip.there_ns - trip.received_ns - drift,
            high_ns=trip.there_ns - trip.sent_ns + drift,
        )
        found = one if found is None else found.agreed(one)
        if found is None:
            return None
    return found and found.at(max(trip.received_ns for trip in trips))


def clock_of(found: Measured) -> Clock:
    """The `Clock` of the host that asked the conductor, having read its own CLOCK_MONOTONIC while it did."""
    return Clock(epoch_ns=found.at_ns + found.offset_ns, monotonic_ns=found.at_ns)


def worst_between(before: Measured, after: Measured) -> int | None:
    """How far the two clocks were apart at most, at any moment between two measurements, in nanoseconds; even if one of
    them was stepped between by so little that neither measurement tells (a machine that was suspended).

    None where the second is not what can have become of the first: then nothing bounds what was between.
    """
    if before.agreed(after) is None:
        return None
    # Up to a step it drifts away from what was before, after it towards what is then.
    return max(before.worst_ns, after.worst_ns) + drift_ns(after.at_ns - before.at_ns)


class HostClock:
    """What is known of one host's clock while a run lasts, as its `clock` marks.

    `found` is the measurement that its `Clock` is made from, for which it read CLOCK_MONOTONIC. `taken_off_ns` says how
    far its own wall clock is ahead of that `Clock`, for people.
    """

    def __init__(self, *, host: str, found: Measured, taken_off_ns: int) -> None:
        self.host = host
        self.clock = clock_of(found)
        self._taken_off_ns = taken_off_ns
        # The same measurement as the new `Clock` shows it: at another time, and with the offset taken off.
        offset = found.offset_ns
        self._last = Measured(at_ns=found.at_ns + offset, low_ns=found.low_ns - offset, high_ns=found.high_ns - offset)

    def begun(self, now_ns: int) -> Record:
        """The first mark, written when the host's `Clock` shows `now_ns`."""
        self._last = self._last.at(max(now_ns, self._last.at_ns))
        return self._mark(self._last.worst_ns)

    def again(self, found: Measured | None, *, now_ns: int) -> Record:
        """The mark after another measurement, for which the host read its `Clock`; written when that shows `now_ns`.

        None is a measurement that contradicts itself: then nobody knows. Where nobody could be asked there is no
        measurement and no mark: the next one covers the time between.
        """
        if found is None:
            return unknown(self.host)
        before, self._last = self._last, found.at(max(now_ns, found.at_ns))
        return self._mark(worst_between(before, self._last))

    def _mark(self, error_ns: int | None) -> Record:
        return events.mark(
            "clock", host=self.host, error_ns=error_ns, offset_ns=self._taken_off_ns, method="round-trips"
        )


def unknown(host: str) -> Record:
    """The mark of a host whose clock could not be measured."""
    return events.mark("clock", host=host)

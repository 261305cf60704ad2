"""Asking for the time: what counts, and that it ends."""

from __future__ import annotations

import asyncio

import pytest

from gameday.processes import round_trips
from gameday.processes.clock_sync import RoundTrip
from gameday.processes.round_trips import RoundTrips


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_TRIPS", 3), ("_APART_S", 0.0), ("_WAIT_S", 0.01), ("_WITHIN_S", 0.1)):
        monkeypatch.setattr(round_trips, name, value)


class Clocks:
    """Answered at once, or not at all. Each look at the clock is a nanosecond later."""

    def __init__(self, *, answers: bool = True) -> None:
        self.now = 0
        self.answers = answers
        self.sent: list[int] = []
        self.trips = RoundTrips(self.send, now_ns=self.look)

    def look(self) -> int:
        self.now += 1
        return self.now

    async def send(self) -> None:
        self.sent.append(self.trips.sending())
        if self.answers:
            self.trips.came_back(sent_ns=self.sent[-1], there_ns=self.sent[-1] + 1000)


def test_each_is_timed_by_the_clock_of_who_asks() -> None:
    assert asyncio.run(Clocks().trips.made()) == [
        RoundTrip(sent_ns=sent, there_ns=sent + 1000, received_ns=sent + 1) for sent in (1, 3, 5)
    ]


def test_where_nothing_comes_back_it_ends_without_any() -> None:
    clocks = Clocks(answers=False)
    assert asyncio.run(clocks.trips.made()) == []
    assert len(clocks.sent) > 1


def test_an_answer_to_an_earlier_measurement_counts_for_no_later_one() -> None:
    async def asked_twice() -> list[RoundTrip]:
        clocks = Clocks(answers=False)
        await clocks.trips.made()
        late = clocks.sent[0]
        clocks.answers = True
        measuring = asyncio.ensure_future(clocks.trips.made())
        await asyncio.sleep(0)
        clocks.trips.came_back(sent_ns=late, there_ns=0)
        return await measuring

    trips = asyncio.run(asked_twice())
    assert len(trips) == 3 and all(trip.there_ns > 0 for trip in trips)


def test_by_another_clock_those_on_their_way_are_forgotten() -> None:
    clocks = Clocks(answers=False)
    sent = clocks.trips.sending()
    clocks.trips.by(lambda: 10**18)
    clocks.trips.came_back(sent_ns=sent, there_ns=0)
    clocks.answers = True
    assert [trip.sent_ns for trip in asyncio.run(clocks.trips.made())] == [10**18] * 3

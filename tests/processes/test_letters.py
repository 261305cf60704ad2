"""Letters between two ends, of which any may be lost, doubled or late."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from gameday.processes.letters import Letters


@given(st.integers(0, 2**32), st.floats(0, 0.8))
def test_each_thing_is_heard_once_and_in_order(seed: int, lost: float) -> None:
    draw = random.Random(seed)
    ends = (Letters(), Letters())
    heard: tuple[list[int], list[int]] = ([], [])
    said = [0, 0]
    # What is on its way to each end.
    ways: tuple[list[dict[str, object]], list[dict[str, object]]] = ([], [])
    while len(heard[0]) < 15 or len(heard[1]) < 15 or not all(end.all_heard for end in ends):
        me = draw.randrange(2)
        if said[me] < 15:
            said[me] += 1
            ends[me].say({"n": said[me]})
        ways[1 - me].extend([ends[me].letter()] * draw.choice((1, 1, 2)))
        if draw.random() < lost:
            ways[1 - me].clear()
        while ways[me] and draw.random() < 0.7:
            letter = ways[me].pop(draw.randrange(len(ways[me])))
            heard[me].extend(each["n"] for each in ends[me].hear(letter))
    assert heard == (list(range(1, 16)), list(range(1, 16)))


def test_what_is_heard_is_not_said_again() -> None:
    here, there = Letters(), Letters()
    here.say({"n": 1})
    there.hear(here.letter())
    assert not here.all_heard
    here.hear(there.letter())
    assert here.all_heard
    assert here.letter()["says"] == []


def test_a_long_silence_makes_no_letter_too_long() -> None:
    here, there = Letters(), Letters()
    for n in range(1000):
        here.say({"n": n})
    rounds = 0
    while not here.all_heard:
        assert len(here.letter()["says"]) < 1000
        there.hear(here.letter())
        here.hear(there.letter())
        rounds += 1
    assert rounds == 5

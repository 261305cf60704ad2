"""What is not done yet: the oldest message, and what each consumer has in hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.history.clock import NS_PER_S
from gameday.watch.unsettled import Hands, Unsettled


class TestUnsettled:
    def test_the_oldest_is_the_first_accepted_that_is_not_over(self) -> None:
        unsettled = Unsettled(None, fifo=False)
        assert unsettled.oldest_s(9 * NS_PER_S) == 0
        for second, id in enumerate("abc"):
            unsettled.accepted(id, second * NS_PER_S)
        unsettled.over("b")
        assert unsettled.oldest_s(9 * NS_PER_S) == 9
        unsettled.over("a")
        unsettled.over("a")
        assert unsettled.oldest_s(9 * NS_PER_S) == 7
        assert unsettled.cloudwatch_oldest_s(9 * NS_PER_S) == 7

    @pytest.mark.parametrize("fifo", [False, True])
    def test_poison_is_left_out_sooner_by_cloudwatch_but_for_a_fifo_queue(self, fifo: bool) -> None:
        unsettled = Unsettled(5, fifo=fifo)
        unsettled.accepted("poison", 0)
        unsettled.accepted("good", NS_PER_S)
        ages = []
        for receives in (1, 2, 3, 4, 5):
            unsettled.received("poison", receives)
            now = 10 * NS_PER_S
            ages.append((unsettled.oldest_s(now), unsettled.cloudwatch_oldest_s(now)))
        third = 10 if fifo else 9
        assert ages == [(10, 10), (10, 10), (10, third), (10, third), (9, 9)]

    def test_a_clock_that_is_behind_gives_no_negative_age(self) -> None:
        unsettled = Unsettled(None, fifo=False)
        unsettled.accepted("a", NS_PER_S)
        assert unsettled.oldest_s(0) == 0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("received", "let_go", "batch", "ended")), st.sampled_from("xy"), st.sampled_from("mn"),
        st.sampled_from("12"),
    ),
    max_size=30,
)  # fmt: skip


@given(steps=STEPS)
def test_hands_are_those_of_a_plain_list(steps: list[tuple[str, str, str, str]]) -> None:
    hands, held = Hands(), {}
    for what, consumer, id, batch in steps:
        match what:
            case "received":
                hands.received("orders", id, consumer, batch)
                held[id] = (consumer, batch)
            case "let_go":
                hands.let_go("orders", id, consumer=consumer)
                if held.get(id, ("", ""))[0] == consumer:
                    del held[id]
            case "batch":
                hands.let_batch_go(consumer, batch)
                held = {id: place for id, place in held.items() if place != (consumer, batch)}
            case "ended":
                hands.ended(consumer)
                held = {id: place for id, place in held.items() if place[0] != consumer}
        counts = {key: n for key, n in hands.counts() if n}
        assert counts == {
            ("orders", consumer): n for consumer in "xy" if (n := sum(place[0] == consumer for place in held.values()))
        }


def test_a_consumer_that_runs_is_there_with_nothing_in_hand() -> None:
    hands = Hands()
    hands.began("orders", "orders-1.1")
    assert dict(hands.counts()) == {("orders", "orders-1.1"): 0}
    hands.ended("orders-1.1")
    assert dict(hands.counts()) == {}

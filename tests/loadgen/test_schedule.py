"""The schedule: the same seed is the same run, and `seq` is the real order of one producer."""

from __future__ import annotations

import itertools
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from gameday.loadgen.schedule import Hot, Message, Schedule
from gameday.loadgen.shapes import SHAPES

START_NS = 1_000_000_000_000


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    name = draw(st.sampled_from(sorted(SHAPES)))
    return Schedule(
        shape=SHAPES[name](rate=draw(st.floats(1, 50)), duration=draw(st.floats(1, 10))),
        seed=draw(st.integers(0, 2**32)),
        groups=draw(st.integers(1, 30)),
        lanes=draw(st.integers(1, 12)),
        poison_share=draw(st.sampled_from([0.0, 0.1, 1.0])),
        hot=draw(st.sampled_from([None, Hot(at_s=0.5, for_s=2.0, share=0.7), Hot(at_s=0.0, for_s=99.0, share=1.0)])),
    )


@given(schedules())
def test_a_schedule_is_exact_ordered_and_repeatable(schedule: Schedule) -> None:
    messages = list(schedule.messages(START_NS))
    assert len(messages) == schedule.total
    assert messages == list(schedule.messages(START_NS))
    assert [m.number for m in messages] == list(range(1, len(messages) + 1))
    assert all(a.due <= b.due for a, b in itertools.pairwise(messages))
    assert all(START_NS <= m.due <= START_NS + round(schedule.shape.duration * 1e9) for m in messages)
    assert len({m.id for m in messages}) == len(messages)


@given(schedules())
def test_a_group_belongs_to_one_lane_and_counts_from_one(schedule: Schedule) -> None:
    groups: defaultdict[str, list[Message]] = defaultdict(list)
    for message in schedule.messages(START_NS):
        groups[message.group].append(message)
    assert len(groups) <= schedule.groups
    for members in groups.values():
        assert [m.seq for m in members] == list(range(1, len(members) + 1))
        assert len({m.lane for m in members}) == 1
        assert 0 <= members[0].lane < schedule.lanes


def test_while_a_group_is_hot_its_share_is_of_it_and_nothing_else_changes() -> None:
    def plan(hot: Hot | None) -> list[Message]:
        shape = SHAPES["constant"](rate=200, duration=10)
        return list(Schedule(shape=shape, seed=1, groups=10, lanes=3, hot=hot).messages(START_NS))

    def share(messages: list[Message], from_s: float, until_s: float) -> float:
        during = [m for m in messages if from_s * 1e9 <= m.due - START_NS < until_s * 1e9]
        return sum(m.group == "g0" for m in during) / len(during)

    hot = plan(Hot(at_s=2.0, for_s=5.0, share=0.8))
    # A tenth of the rest falls to it by itself.
    assert 0.76 < share(hot, 2, 7) < 0.88
    assert share(hot, 0, 2) < 0.16 and share(hot, 7, 10) < 0.16
    cold = plan(None)
    assert [m.due for m in hot] == [m.due for m in cold]
    assert [m for m in hot if m.due < START_NS + 2e9] == [m for m in cold if m.due < START_NS + 2e9]


def test_another_seed_is_another_run_and_poison_changes_nothing_else() -> None:
    def plan(seed: int, poison_share: float = 0.0) -> list[Message]:
        shape = SHAPES["constant"](rate=100, duration=10)
        return list(Schedule(shape=shape, seed=seed, groups=7, lanes=3, poison_share=poison_share).messages(START_NS))

    assert [m.group for m in plan(1)] != [m.group for m in plan(2)]
    poisoned = plan(1, 0.1)
    assert [m._replace(poison=False) for m in poisoned] == plan(1)
    assert 50 < sum(m.poison for m in poisoned) < 150

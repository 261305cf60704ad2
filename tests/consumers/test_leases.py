"""Decisions about leases: no clock, no process, no store."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.consumers.leases import Lease, Watch, plan


def lease(shard: str, owner: str | None = None, *, parents: tuple[str, ...] = (), done: bool = False) -> Lease:
    return Lease(subscription="orders", shard=shard, owner=owner, parents=parents, done=done)


def planned(
    leases: list[Lease],
    *,
    held: Collection[str] = (),
    dead: Collection[str] = (),
    early: bool = False,
    may_steal: bool = True,
) -> list[str]:
    taken = plan(leases, me="me", held=held, expired=lambda x: x.owner in dead, early=early, may_steal=may_steal)
    return [each.shard for each in taken]


def test_who_is_alone_takes_all_that_is_free() -> None:
    assert planned([lease("a"), lease("b")]) == ["a", "b"]


def test_who_is_not_alone_takes_a_fair_share() -> None:
    assert planned([lease("a", "x"), lease("b"), lease("c"), lease("d")]) == ["b", "c"]
    assert planned([lease("a", "x"), lease("b"), lease("c", "me"), lease("d", "me")], held=["c", "d"]) == []


def test_what_the_dead_held_is_free_and_they_have_no_share() -> None:
    assert planned([lease("a", "x"), lease("b", "x"), lease("c", "me")], held=["c"], dead=["x"]) == ["a", "b"]


@pytest.mark.parametrize(("done", "early", "taken"), [(False, False, []), (True, False, ["c"]), (False, True, ["c"])])
def test_children_wait_for_their_parents(done: bool, early: bool, taken: list[str]) -> None:
    leases = [lease("p", "x", done=done), lease("q", "x", done=True), lease("c", parents=("p", "q"))]
    assert planned(leases, early=early) == taken


def test_a_parent_that_the_stream_no_longer_keeps_is_nothing_to_wait_for() -> None:
    assert planned([lease("c", parents=("gone",))]) == ["c"]


def test_what_is_done_is_nobodys() -> None:
    assert planned([lease("a", done=True), lease("b", "x", done=True)], dead=["x"]) == []


def test_the_poor_take_one_from_the_rich() -> None:
    rich = [lease("a", "x"), lease("b", "x"), lease("c", "y")]
    assert planned(rich) == ["a"]
    assert planned(rich, may_steal=False) == []
    assert planned([*rich, lease("d", "me")], held=["d"]) == [], "x would be no better off than we were"
    assert planned([*rich, lease("d")]) == ["d"], "what is free comes first"


def test_what_i_own_and_do_not_read_is_free_only_once_it_expired() -> None:
    """A take whose answer was lost, or a shard that I gave up when a checkpoint got no answer."""
    mine = [lease("a", "me")]
    assert planned(mine) == []
    assert planned(mine, dead=["me"]) == ["a"]


owners = st.sampled_from([None, "me", "x", "y", "z"])


@given(st.lists(owners, max_size=12), st.sets(st.sampled_from(["x", "y", "z"])))
def test_nobody_is_left_out_and_nothing_is_left_lying(found: list[str | None], dead: set[str]) -> None:
    leases = [lease(str(n), owner) for n, owner in enumerate(found)]
    held = [x.shard for x in leases if x.owner == "me"]
    free = [x.shard for x in leases if x.owner is None or x.owner in dead]
    taken = planned(leases, held=held, dead=dead)
    living = {x.owner for x in leases if x.owner is not None and x.owner not in dead} | {"me"}
    assert not set(taken) & set(held)
    if free:
        assert set(taken) <= set(free)
        # If everybody who lives takes this much, nothing is left lying.
        fair = -(-len(leases) // len(living))
        assert len(held) + len(taken) == max(len(held), min(fair, len(held) + len(free)))
    else:
        assert len(taken) <= 1


def test_a_lease_expires_by_standing_still() -> None:
    watch = Watch(2.0)
    held = lease("a", "x")
    watch.see([held], 10.0)
    assert not watch.expired(held, 11.9)
    assert watch.expired(held, 12.0)
    watch.see([replace(held, beat=1)], 12.5)
    assert not watch.expired(held, 14.4), "it was renewed"
    watch.see([replace(held, beat=1)], 14.4)
    assert watch.expired(held, 14.5), "looking at it does not renew it"
    watch.see([replace(held, beat=1, token=1)], 15.0)
    assert not watch.expired(held, 16.9), "it changed hands"
    assert watch.expired(replace(held, owner=None), 15.0)

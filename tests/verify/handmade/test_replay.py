"""A replay of an archive: what must come again, what it does not disturb, and when nobody can say.

a was sent at 1 to `all` and `some`, b at 2 to `all` alone; each was received once. A replay begins at 10, ends at 12
and covers what there was from 0 to 9.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.verify.handmade.builder import NS, History, check, ns, queue, verdict_of

EXPECTED = (("a", "all"), ("a", "some"), ("b", "all"))


def sent(*claims: str, settle_s: float = 0, **sub: object) -> History:
    spec = queue(settle_s=settle_s, **sub)
    h = History({"all": spec, "some": spec}, ["replay-complete", *claims])
    h.send("a", at=1)
    h.send("b", at=2, expect=["all"])
    for n, (id, sub_name) in enumerate(EXPECTED):
        h.handle(id, at=3 + n, sub=sub_name)
    return h


def replay(h: History, *, since: float = 0, until: float = 9, outcome: str | None = "ok", name: str = "again") -> None:
    h.mark("replay-started", at=10, replay=name, since=ns(since), until=ns(until))
    if outcome is not None:
        h.mark("replay-ended", at=12, replay=name, outcome=outcome)


def again(h: History, *but: tuple[str, str], effect: str = "skipped", name: str = "again") -> None:
    """All that is expected comes again, from the replay, but for some."""
    for n, (id, sub) in enumerate(EXPECTED):
        if (id, sub) not in but:
            h.handle(id, at=13 + n, sub=sub, broker_id=f"{name}-{id}-{sub}", replay=name, effect=effect)


def test_a_replay_is_complete_and_its_copies_are_nobodys_duplicates(tmp_path: Path) -> None:
    # checked: a on both, b on one. What was applied once is skipped the second time.
    h = sent("exactly-once-effect", "no-loss")
    replay(h)
    again(h)
    h.drained(at=20)
    check(
        verdict_of(h, tmp_path),
        {"replay-complete": ("holds", 3), "exactly-once-effect": ("holds", 3), "no-loss": ("holds", 3)},
    )


def test_a_replay_that_left_some_out(tmp_path: Path) -> None:
    h = sent("no-loss")
    replay(h)
    again(h, ("a", "some"), ("b", "all"))
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"replay-complete": ("violated", 3), "no-loss": ("holds", 3)}, {"replay-missing": 2})


def test_a_replay_makes_good_no_loss(tmp_path: Path) -> None:
    # c came to nobody until everything was sent again. To `some` it never came at all: the replay left it out, too.
    h = sent("no-loss", "fanout-complete", "exactly-once-effect")
    h.send("c", at=2.2)
    replay(h)
    again(h)
    h.handle("c", at=16, sub="all", broker_id="again-c-all", replay="again")
    h.drained(at=20)
    check(
        verdict_of(h, tmp_path),
        {
            "replay-complete": ("violated", 5),
            "no-loss": ("violated", 5),
            "fanout-complete": ("violated", 5),
            "exactly-once-effect": ("violated", 5),
        },
        {"lost": 2, "fanout-missing": 1, "replay-missing": 1, "effect-missing": 1},
    )


def test_what_a_replay_brought_before_anybody_looked_may_yet_come_by_itself(tmp_path: Path) -> None:
    h = sent("no-loss")
    h.send("c", at=2.2, expect=["all"])
    replay(h)
    again(h)
    h.handle("c", at=16, sub="all", broker_id="again-c-all", replay="again")
    check(verdict_of(h, tmp_path), {"replay-complete": "unknown", "no-loss": ("unknown", 4)}, {"unseen": 1})


def test_what_came_again_without_the_replays_name_is_not_of_the_replay(tmp_path: Path) -> None:
    h = sent()
    replay(h)
    again(h, name="another")
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"replay-complete": ("violated", 3)}, {"replay-missing": 3})


def test_each_replay_is_judged_by_itself(tmp_path: Path) -> None:
    h = sent()
    replay(h)
    replay(h, name="third time")
    again(h)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"replay-complete": ("violated", 6)}, {"replay-missing": 3})


def test_without_a_guard_a_replay_applies_everything_twice(tmp_path: Path) -> None:
    h = sent("exactly-once-effect")
    replay(h)
    again(h, effect="applied")
    h.drained(at=20)
    check(
        verdict_of(h, tmp_path),
        {"replay-complete": ("holds", 3), "exactly-once-effect": ("violated", 3)},
        {"effect-duplicate": 3},
    )


@pytest.mark.parametrize(
    ("since", "until", "covered"),
    [(1, 2.01, 3), (1 + NS, 9, 1), (0, 2.01 - NS, 2)],
    ids=["just", "a was due before it", "b was answered after it"],
)
def test_only_what_lies_within_its_time_is_asked_of_a_replay(
    tmp_path: Path, since: float, until: float, covered: int
) -> None:
    # Both ends belong to it; of a message its whole way out must, from when it was due to the answer. What comes
    # nevertheless is no harm, and here nothing does.
    h = sent()
    replay(h, since=since, until=until)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"replay-complete": ("violated", covered)}, {"replay-missing": covered})


def test_a_dead_letter_excuses(tmp_path: Path) -> None:
    # It may have died of the replayed copy, received by somebody who was killed before writing it down.
    h = sent("dead-letter", dead_letter=True, max_receives=1)
    replay(h)
    again(h, ("b", "all"))
    h.dead("b", at=19, sub="all")
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"replay-complete": ("holds", 3)}, {"collateral-dead": 1})


def test_who_was_never_acked_or_never_expected_need_not_come_again(tmp_path: Path) -> None:
    h = sent()
    h.send("u", at=2.5, outcome="unknown")
    h.send("f", at=2.6, outcome="failed")
    replay(h)
    again(h)
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"replay-complete": ("holds", 3)}, {"given-up": 1})


@pytest.mark.parametrize("outcome", ["failed", "unknown", None])
def test_a_replay_that_did_not_run_to_its_end_shows_nothing(tmp_path: Path, outcome: str | None) -> None:
    h = sent()
    replay(h, outcome=outcome)
    again(h, ("b", "all"))
    h.drained(at=20)
    document = verdict_of(h, tmp_path)
    check(document, {"replay-complete": ("unknown", 0)})
    assert "no replay ran to its end" in document["claims"][0]["why"]


def test_no_replay_at_all(tmp_path: Path) -> None:
    h = sent("no-loss")
    h.drained(at=20)
    check(verdict_of(h, tmp_path), {"replay-complete": ("unknown", 0), "no-loss": ("holds", 3)})


def test_an_empty_history(tmp_path: Path) -> None:
    h = History({"all": queue()}, ["replay-complete"])
    check(verdict_of(h, tmp_path), {"replay-complete": ("unknown", 0)}, {"vacuous": 2})


@pytest.mark.parametrize(
    ("drained_at", "settle_s", "verdict"), [(11, 0, "unknown"), (13, 2, "unknown"), (14, 2, "violated")]
)
def test_a_queue_is_drained_only_once_the_replay_has_settled(
    tmp_path: Path, drained_at: float, settle_s: float, verdict: str
) -> None:
    # What the replay sent last, at 12, may still be on its way for settle_s.
    h = sent("no-loss", settle_s=settle_s)
    replay(h)
    h.drained(at=drained_at)
    missing = 3 if verdict == "violated" else 0
    check(verdict_of(h, tmp_path), {"replay-complete": verdict}, {"replay-missing": missing})


@pytest.mark.parametrize(
    ("event", "fields", "why"),
    [
        ("received", {"id": "a", "subscription": "all", "replay": 7}, "`replay` of received is 7"),
        ("mark", {"name": "replay-started", "replay": "x", "since": 1}, "mark without `until`"),
        ("mark", {"name": "replay-started", "replay": "x", "since": "1", "until": 2}, "`since` of mark is '1'"),
        ("mark", {"name": "replay-ended", "replay": "x"}, "mark without `outcome`"),
    ],
)
def test_a_record_of_a_replay_that_says_nothing_is_damage(
    tmp_path: Path, event: str, fields: dict[str, object], why: str
) -> None:
    h = sent()
    replay(h)
    again(h)
    h.drained(at=20)
    h.kill("main")
    h.append("main", json.dumps({"event": event, "at": ns(21), **fields}).encode() + b"\n")
    document = verdict_of(h, tmp_path)
    assert (document["verdict"], [damage["why"] for damage in document["damaged"]]) == ("unknown", [why])

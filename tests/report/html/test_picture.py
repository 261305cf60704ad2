"""The picture of one message: who held it when, how long it was hidden, what hit it, and the other message."""

from __future__ import annotations

from typing import Any

from gameday.report.html.picture import Scale, draw, picture

S = 10**9


def event(at_s: float, name: str, **fields: Any) -> dict[str, Any]:
    return {"event": name, "at": round(at_s * S), **fields}


EXAMPLE: dict[str, Any] = {
    "id": "a",
    "subscription": "orders",
    "other": {"id": "b", "subscription": "orders"},
    "cause": "killed",
    "timeline": [
        event(1.0, "intended", producer="user-1"),
        event(1.01, "sent", outcome="ok"),
        event(1.1, "received", consumer="c1", batch="1", hidden_s=2.0, side="other"),
        event(1.2, "fault", fault="kill-consumer", label="SIGKILL to c1", targets=["c1"], phase="start"),
        event(1.3, "received", consumer="c2", batch="9", id="b", hidden_s=2.0),
        event(2.0, "fault", fault="kill-consumer", label="SIGKILL to c1", targets=["c1"], phase="stop"),
        event(2.5, "received", consumer="c2", batch="2", hidden_s=2.0, side="counted"),
        event(2.6, "effect", consumer="c2", batch="2", outcome="applied"),
        event(2.7, "settled", consumer="c2", batch="2", action="delete", outcome="ok"),
        event(9.0, "effects", applied=1),
    ],
}


def test_who_held_it_when_and_how_long_it_was_hidden() -> None:
    own, other = picture(EXAMPLE).stories
    assert (own.id, [lane.name for lane in own.lanes]) == ("a", ["user-1", "c1", "c2"])
    (killed,), (second,) = own.lanes[1].holds, own.lanes[2].holds
    # Nothing was heard of the first after its receive, and it stays hidden for its whole timeout.
    assert (killed.at, killed.until, killed.hidden_until) == (1.1 * S, 1.1 * S, 3.1 * S)
    # The second ends with its delete.
    assert (second.at, second.until, second.hidden_until) == (2.5 * S, 2.7 * S, 2.7 * S)
    assert (killed.flag, second.flag) == ("other", "counted")
    assert (other.id, [lane.name for lane in other.lanes]) == ("b", ["c2"])


def test_what_hit_it_has_its_start_and_its_stop() -> None:
    (hit,) = picture(EXAMPLE).hits
    assert (hit.fault, hit.targets, hit.start, hit.stop) == ("kill-consumer", ("c1",), 1.2 * S, 2.0 * S)


def test_an_extension_moves_the_end_of_the_hiding() -> None:
    example = {
        "id": "a",
        "timeline": [
            event(1.0, "received", consumer="c1", batch="1", hidden_s=2.0),
            event(2.0, "settled", consumer="c1", batch="1", action="extend", outcome="ok", hidden_s=5.0),
        ],
    }
    (hold,) = picture(example).stories[0].lanes[0].holds
    assert hold.hidden_until == 7.0 * S


def test_time_is_stretched_but_never_turned_round() -> None:
    scale = Scale([0, 1, 10**6, 10**9, 3 * 10**9])
    places = [scale.x(at) for at in scale.moments]
    assert places == sorted(places) and len(set(places)) == 5
    assert places[3] - places[2] > places[2] - places[1]


def test_the_drawing_has_both_messages_the_fault_and_the_numbers_of_the_two_sides() -> None:
    drawn = str(draw(picture(EXAMPLE), "effect-duplicate: message a", {"kill-consumer": "#c4162a"}, {}))
    assert "this message: a" in drawn and "the other message: b" in drawn
    assert "#c4162a" in drawn and "SIGKILL to c1" in drawn
    assert ">1<" in drawn and ">2<" in drawn
    assert "hidden 2 s" in drawn


def test_a_message_without_a_record_is_told_as_such() -> None:
    example = {"id": "a", "other": {"id": "b", "subscription": "s"}, "timeline": [event(1, "intended", producer="p")]}
    assert "no record of it" in str(draw(picture(example), "t", {}, {}))


def test_nothing_at_all_draws_nothing() -> None:
    assert str(draw(picture({"id": "a", "timeline": []}), "t", {}, {})) == ""

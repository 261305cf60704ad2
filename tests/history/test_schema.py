"""The one table of fields, held to the constructors that write them and to the columns that the judge reads."""

from __future__ import annotations

import inspect

import pytest

from gameday.history import events
from gameday.history.schema import ALL_MARKS, EVENTS, FIELDS
from gameday.verify.load import COLUMNS


@pytest.mark.parametrize("event", EVENTS)
def test_a_constructor_takes_what_the_format_has(event: str) -> None:
    taken = set(inspect.signature(getattr(events, event)).parameters)
    known = set(EVENTS[event].fields)
    intents = {"settled": "settling", "stored": "storing", "removed": "removing", "answered": "answering"}
    intents["steered"] = "steering"
    if event in intents:
        # It repeats its intent.
        assert taken == {"intent"} | known - set(EVENTS[intents[event]].fields)
    else:
        assert taken == known


def test_a_constructor_leaves_out_what_is_not_there() -> None:
    record = events.dead(id="a", subscription="orders")
    assert record == {"event": "dead", "id": "a", "subscription": "orders"}


def test_a_record_may_leave_its_message_to_the_answer_of_its_send() -> None:
    record = events.settling(
        id=None, subscription="orders", consumer="orders-1.1", batch="b", action="delete", broker_id="x", call="c"
    )
    assert "id" not in record
    answer = events.settled(record, started=1, outcome="ok")
    assert answer == {**record, "event": "settled", "started": 1, "outcome": "ok"}
    effects = events.effects(key="k", subscription="orders", applied=1)
    assert effects == {"event": "effects", "key": "k", "subscription": "orders", "applied": 1}


def test_every_field_of_every_event_and_mark_is_known() -> None:
    for kind in [*EVENTS.values(), *ALL_MARKS.values()]:
        assert {*kind.fields} <= FIELDS.keys()
        assert {*(kind.needed or ()), *kind.words, *kind.shapes} <= {*kind.fields}


def test_what_is_written_can_be_read_by_a_check_or_says_who_reads_it() -> None:
    columns = {field.name for field in COLUMNS.values()}
    for name, field in FIELDS.items():
        assert (name in columns) != bool(field.not_judged)
    # What a check could not read when this was no table.
    assert "upstream_id" in columns

"""Messages of the user's own: the same one whoever asks for it, in the same lane, under the same name."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gameday.history.errors import UsageError
from gameday.history.identity import ATTRIBUTE, Identification
from gameday.loadgen.messages import Ask, Made, OwnMessages, written
from gameday.loadgen.schedule import Message, Schedule
from gameday.loadgen.sender import ask_for
from gameday.loadgen.shapes import SHAPES
from gameday.transports.base import Attribute

START_NS = 1_700_000_000 * 10**9


def lines(tmp_path: Path, *bodies: str | bytes) -> str:
    path = tmp_path / "orders.jsonl"
    path.write_bytes(b"\n".join(body.encode() if isinstance(body, str) else body for body in bodies))
    return str(path)


def order(id: object, customer: object = "c", **more: Any) -> str:
    return orjson.dumps({"order": {"id": id, "customer": customer}, **more}).decode()


def ask(number: int, id: str = "m1") -> Ask:
    return Ask(number, "g", 1, id, START_NS)


def schedule(own: OwnMessages, *, rate: float = 50, lanes: int = 3, seed: int = 1, groups: int = 5) -> Schedule:
    shape = SHAPES["constant"](rate=rate, duration=2)
    return Schedule(shape=shape, seed=seed, groups=groups, lanes=lanes, source=own.open(seed=seed, run="r"))


class TestAFile:
    def test_each_line_is_a_body_to_the_byte_and_blank_ones_are_none(self, tmp_path: Path) -> None:
        path = lines(tmp_path, '{"a":  1}', "", "  ", "two\r", "é three ", "")
        source = OwnMessages(kind="file", path=path).open(seed=1, run="r")
        assert [source.make(ask(n)).body for n in (1, 2, 3, 4)] == ['{"a":  1}', "two", "é three ", '{"a":  1}']
        assert [source.where(n) for n in (1, 2, 3, 4)] == [f"{path}:{n}" for n in (1, 4, 5, 1)]

    def test_what_its_author_says_of_it_is_found(self, tmp_path: Path) -> None:
        own = OwnMessages(
            kind="file",
            path=lines(tmp_path, order("o-1", 12, n=3, tags=["a", "b"], half=0.5)),
            group="/order/customer",
            dedup_id="/order/id",
            key="/n",
            id="attribute",
            attributes={"tenant": "acme", "n": "/n", "tags": "/tags", "who": "/order/id", "half": "/half"},
        )
        source = own.open(seed=1, run="r")
        assert source.group(1) == "12"
        assert source.id(ask(1)) is None
        assert source.make(ask(1, id="m7"))[1:] == (
            "o-1",
            "3",
            {
                "tenant": Attribute("String", "acme"),
                "n": Attribute("Number", "3"),
                "tags": Attribute("String.Array", '["a","b"]'),
                "who": Attribute("String", "o-1"),
                "half": Attribute("Number", "0.5"),
                ATTRIBUTE: Attribute("String", "m7"),
            },
        )

    @pytest.mark.parametrize(
        ("body", "why"),
        [("hello", "it is not JSON"), ("{}", "it has nothing at /order/id"), (b"\xff\xfe", "it is not UTF-8")],
    )
    def test_what_is_wrong_with_a_line_names_the_line(self, tmp_path: Path, body: str | bytes, why: str) -> None:
        path = lines(tmp_path, order("o-1"), "", body)
        source = OwnMessages(kind="file", path=path, id="/order/id").open(seed=1, run="r")
        assert source.id(ask(1)) == "o-1"
        with pytest.raises(UsageError, match=why) as error:
            source.id(ask(2))
        assert str(error.value).startswith(f"{path}:3: ")

    def test_a_file_that_is_not_there_or_holds_nothing_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="cannot read the messages in nowhere"):
            OwnMessages(kind="file", path="nowhere").open(seed=1, run="r")
        for empty in ("", "\n \n"):
            path = lines(tmp_path, empty)
            with pytest.raises(UsageError, match="no line that is not blank"):
                OwnMessages(kind="file", path=path).open(seed=1, run="r")


class TestATemplate:
    def test_a_group_that_is_made_of_itself_is_refused(self) -> None:
        for placeholder in ("{group}", "x-{seq}"):
            own = OwnMessages(kind="template", template={"g": placeholder}, group="/g")
            with pytest.raises(UsageError, match="the group is read from /g, where"):
                own.open(seed=1, run="r")

    def test_what_is_not_there_is_an_error(self) -> None:
        with pytest.raises(UsageError, match="the template: it has nothing at /id"):
            OwnMessages(kind="template", template={"a": "{n}"}, id="/id").open(seed=1, run="r")
        source = OwnMessages(kind="template", template={"id": {"a": "{n}"}}, id="/id").open(seed=1, run="r")
        with pytest.raises(UsageError, match=r"message 3: at /id it has \{.*a text or a number belongs there"):
            source.id(ask(3))


def test_what_was_made_before_is_read_as_it_was_written(tmp_path: Path) -> None:
    first = Made(body="é\n1", dedup_id="d", key="k", attributes={"n": Attribute("Number", "1")})
    second = Made(body="2", dedup_id=None, key=None, attributes={})
    path = tmp_path / "messages.jsonl"
    path.write_bytes(written(first, group="c1", id="o-1") + written(second, group=None, id=None))
    source = OwnMessages(kind="made", path=str(path)).open(seed=1, run="r")
    assert [source.group(1), source.id(ask(1)), source.make(ask(1))] == ["c1", "o-1", first]
    assert [source.group(2), source.id(ask(2)), source.make(ask(2))] == [None, None, second]
    with pytest.raises(UsageError, match="holds 2 messages, and number 3 is due"):
        source.group(3)


def sources(tmp_path: Path) -> st.SearchStrategy[OwnMessages]:
    customers = st.lists(st.integers(1, 6), min_size=1, max_size=150)

    def of_file(found: list[int]) -> OwnMessages:
        path = lines(tmp_path, *(order(f"o-{n}", f"c {each}") for n, each in enumerate(found)))
        return OwnMessages(kind="file", path=path)

    template = {"order": {"id": "o-{n}-{group}-{seq}", "customer": "c{int:1:6}"}, "x": "{uuid}"}
    return (customers.map(of_file) | st.just(OwnMessages(kind="template", template=template))).flatmap(
        lambda own: st.sampled_from(
            [
                own,
                replace(own, id="attribute", key="/order/customer"),
                replace(own, group="/order/customer"),
                replace(own, group="/order/customer", id="/order/id", dedup_id="/order/id"),
            ]
        )
    )


@given(data=st.data(), lanes=st.integers(1, 7), seed=st.integers(0, 2**32))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_groups_numbers_and_ids_are_the_same_for_every_process(
    data: st.DataObject, lanes: int, seed: int, tmp_path: Path
) -> None:
    own = data.draw(sources(tmp_path))
    first, second = (schedule(own, lanes=lanes, seed=seed) for _ in range(2))
    messages = list(first.messages(START_NS))
    assert messages == list(second.messages(START_NS))
    assert len(messages) == first.total
    groups: defaultdict[str, list[Message]] = defaultdict(list)
    for message in messages:
        groups[message.group].append(message)
    for members in groups.values():
        assert [m.seq for m in members] == list(range(1, len(members) + 1))
        assert len({m.lane for m in members}) == 1
        assert 0 <= members[0].lane < lanes
    assert first.source is not None and second.source is not None
    tells = Identification(by="pointer" if own.id_pointer else "broker", id=own.id_pointer, group=own.group)
    for message in messages:
        made = first.source.make(ask_for(message))
        assert made == second.source.make(ask_for(message))
        # What a receiver reads from it is what the schedule called it.
        told = tells.identify(made.body, {})
        assert told.group == (message.group if own.group else None)
        assert told.id == (message.id if own.id_pointer else None)


def test_groups_of_the_messages_own_are_dealt_to_all_users_alike(tmp_path: Path) -> None:
    own = OwnMessages(kind="file", path=lines(tmp_path, *(order(n, f"c{n % 4}") for n in range(8))))
    messages = list(schedule(replace(own, group="/order/customer"), lanes=2).messages(START_NS))
    assert {m.group: m.lane for m in messages} == {"c0": 0, "c1": 1, "c2": 0, "c3": 1}
    assert [m.id for m in messages[:3]] == ["m1", "m2", "m3"]


def test_without_a_group_of_its_own_a_message_gets_the_one_that_an_order_of_ours_would(tmp_path: Path) -> None:
    own = OwnMessages(kind="file", path=lines(tmp_path, "hello"))
    plain = replace(schedule(own), source=None)
    ours, theirs = plain.messages(START_NS), schedule(own).messages(START_NS)
    assert [m[2:] for m in ours] == [m[2:] for m in theirs]

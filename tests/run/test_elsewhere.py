"""Effects that stand elsewhere: whose they are, when they count, and that a wrong verdict comes of none of it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gameday.consumers.read_back.base import Counts, EffectReader, ReadFailed
from gameday.history import events
from gameday.history.errors import RunError
from gameday.history.manifest import load as load_manifest
from gameday.history.writer import Writer
from gameday.run.context import RunContext, RunRequest
from gameday.run.elsewhere import Known, messages_of, settled, told
from gameday.run.phases.look_for_effects import look_for_effects
from gameday.run.phases.read_effects import read_effects
from gameday.run.state import Run
from gameday.scenario import document
from gameday.scenario import reading as scenario
from gameday.targets.products import MEMORY
from gameday.targets.target import Target
from gameday.transports.base import Addresses
from gameday.transports.endpoint import Endpoint
from tests.commanded import Gameday, verify
from tests.series import in_series, in_soak

DEADLINE_S = 30.0
OURS = Known(ids={"m1", "m2", "m3"}, by_key={id: [id] for id in ("m1", "m2", "m3")})


def counts(of: str = "key", **applied: int) -> Counts:
    return Counts(of="id" if of == "id" else "key", applied=applied)


def lines(given: Counts, *, standing: Sequence[str] = (), known: Known = OURS) -> list[tuple[str, str, Any]]:
    found = told(given, subscription="orders", standing=standing, known=known)
    assert all(record["subscription"] == "orders" for record in found.records)
    return [
        ("key", str(r["key"]), r["applied"]) if "key" in r else ("id", str(r["id"]), r["applied"])
        for r in found.records
    ]


# Whose they are


def test_a_key_is_an_id_where_the_message_has_no_key_of_its_own() -> None:
    assert lines(counts(m1=1, m2=2, m3=0)) == [("id", "m1", 1), ("id", "m2", 2)]
    assert lines(counts("id", m1=1)) == [("id", "m1", 1)]
    keyed = Known(ids={"m1", "m2"}, by_key={"o-1": ["m1"], "m2": ["m2"]})
    assert lines(counts(**{"o-1": 3, "m2": 1}), known=keyed) == [("id", "m2", 1), ("id", "m1", 3)]
    # m1 has a key, so what stands under its id is somebody else's; unless ids were read.
    assert lines(counts(m1=1, m2=1), known=keyed) == [("id", "m2", 1)]
    assert lines(counts("id", m1=1), known=keyed) == [("id", "m1", 1)]


def test_effects_under_a_key_that_several_messages_share_are_left_to_the_judge() -> None:
    shared = Known(ids={"m1", "m2", "m3"}, by_key={"o-1": ["m1", "m2"], "m3": ["m3"]})
    assert lines(counts(**{"o-1": 2, "m3": 1}), known=shared) == [("id", "m3", 1), ("key", "o-1", 2)]


def test_what_is_of_no_message_counts_for_nothing_and_is_told() -> None:
    found = told(counts(m1=1, other=5, another=0), subscription="orders", standing=(), known=OURS)
    assert [record["id"] for record in found.records] == ["m1"] and found.strangers == ["other"]


def test_what_stood_there_before_and_is_not_ours_is_no_stranger() -> None:
    found = told(counts(m1=1, old=5), subscription="orders", standing=["old"], known=OURS)
    assert [record["id"] for record in found.records] == ["m1"] and found.strangers == []


def test_what_stood_there_under_a_name_of_ours_leaves_nobody_any_the_wiser() -> None:
    with pytest.raises(ReadFailed, match=r"effects of 1 messages of this run \(m2\) stood there before the load"):
        told(counts(m1=1, m2=1), subscription="orders", standing=["m2", "old"], known=OURS)


def test_effects_of_which_none_is_ours_are_read_under_the_wrong_name() -> None:
    with pytest.raises(
        ReadFailed, match="none of the 2 effects there is of a message of this run: they are known as or"
    ):
        told(counts(**{"order-m1": 1, "order-m2": 1}), subscription="orders", standing=(), known=OURS)
    assert lines(counts()) == [], "nothing is there, and so nothing was applied"


def test_the_messages_of_a_run_are_those_that_it_intended(tmp_path: Path) -> None:
    history = tmp_path / "history"
    history.mkdir()
    first = [
        {"event": "intended", "at": 1_700_000_000_000_000_000, "id": "m1", "attempt": 1, "expect": [], "key": "o-1"},
        {"event": "sent", "at": 1_700_000_000_000_000_001, "id": "m1", "outcome": "ok", "error": '"intended"'},
        {"event": "intended", "at": 1_700_000_000_000_000_002, "id": "m1", "attempt": 2},
    ]
    other = {"event": "intended", "at": 1_700_000_000_000_000_003, "id": "m2", "attempt": 1, "expect": []}
    (history / "load-1.jsonl").write_text("".join(json.dumps(record) + "\n" for record in first))
    (history / "load-2.jsonl").write_text(json.dumps(other) + '\n{"event": "intended", "id": "torn')
    found = messages_of(tmp_path)
    assert (set(found.ids), found.by_key) == ({"m1", "m2"}, {"o-1": ["m1"], "m2": ["m2"]})


# When they count


class Scripted(EffectReader):
    """Answers with one reading after another, the last for ever; one that is None does not come to its end."""

    def __init__(self, *readings: Counts | None) -> None:
        self.readings = list(readings)
        self.asked = 0

    async def read(self) -> Counts:
        self.asked += 1
        reading = self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]
        if reading is None:
            await asyncio.Event().wait()
        assert reading is not None
        return reading


def read(reader: EffectReader, *, timeout_s: float = DEADLINE_S) -> Counts:
    return asyncio.run(settled(reader, settle_s=0.0, timeout_s=timeout_s))


def test_what_still_comes_in_is_waited_for() -> None:
    reader = Scripted(counts(), counts(m1=1), counts(m1=1, m2=1), counts(m1=1, m2=1))
    assert read(reader) == counts(m1=1, m2=1)
    assert reader.asked == 4


def test_what_never_settles_is_nothing_that_counts() -> None:
    class Growing(EffectReader):
        n = 0

        async def read(self) -> Counts:
            await asyncio.sleep(0)
            self.n += 1
            return counts(m1=self.n)

    with pytest.raises(
        ReadFailed, match=r"did not stay the same for 0 s within 0.1 s \(at last \d+ effects, then \d+\)"
    ):
        read(Growing(), timeout_s=0.1)


def test_a_reading_without_end_is_given_up() -> None:
    for readings in ([None], [counts(m1=1), None]):
        with pytest.raises(ReadFailed, match=r"reading it twice took longer than 0.1 s; raise `timeout`"):
            read(Scripted(*readings), timeout_s=0.1)


# The phases of a run


SCENARIO = """\
name: calm
transport: sqs
topology: {subscriptions: [{name: orders}]}
load: {rate: 10/s, duration: 5s}
effects: {settle: 0s}
claims: [exactly-once-effect]
"""


class Silent:
    """Nobody watches."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def phase(self, text: str) -> None: ...


@pytest.fixture
def begun(tmp_path: Path) -> Callable[[str], Run]:
    """A run that has what the two phases need of those before them, and has sent m1 and m2."""

    def begin(place: str) -> Run:
        told = document.parse(SCENARIO.replace("{settle", f"{{{place}, settle"), name=str(tmp_path / "s.yaml"))
        read = scenario.resolve(told)
        directory = tmp_path / "run"
        for name in ("history", "logs", "effects"):
            (directory / name).mkdir(parents=True)
        context = RunContext(scenario=read, id="r", directory=directory, seed=7)
        view: Any = Silent()
        run = Run(request=RunRequest(scenario=read), context=context, view=view)
        endpoint = Endpoint(urls={"*": "http://127.0.0.1:9"}, access_key="test", secret_key="test")
        run.target = Target(kind="memory", what="a broker", endpoint=endpoint, product=MEMORY, services=[])
        context.manifest(run.target).save(directory)
        run.addresses = Addresses(send_to="http://127.0.0.1:9/0/q", queues={"orders": "http://127.0.0.1:9/0/q"})
        run.writer = Writer(run=directory, name="conductor", clock=context.clock)
        for id in ("m1", "m2"):
            run.writer.write(events.intended(id=id, attempt=1, producer="p", expect=["orders"]))
        return run

    return begin


def phases(run: Run, *, between: Callable[[], None]) -> list[Mapping[str, Any]]:
    """What the history is told of effects."""

    async def scene() -> None:
        async with run.stack:
            await look_for_effects(run)
            between()
            await read_effects(run)

    asyncio.run(asyncio.wait_for(scene(), DEADLINE_S))
    run.writer.close()
    lines = (run.context.directory / "history" / "conductor.jsonl").read_bytes().splitlines()
    found = [json.loads(line) for line in lines]
    return [
        {name: value for name, value in record.items() if name not in ("at", "by", "event")}
        for record in found
        if record["event"] == "effects" or str(record.get("name")).startswith("effects-")
    ]


def ledger(path: Path, *ids: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS ledger (id)")
        connection.executemany("INSERT INTO ledger VALUES (?)", [(id,) for id in ids])


SQL = "sql: {dsn: 'sqlite:///{effects}/ledger.db', query: SELECT id FROM ledger}"


def test_effects_are_read_back_from_where_the_scenario_says(begun: Callable[[str], Run]) -> None:
    run = begun(SQL)
    database = run.context.effects / "ledger.db"
    ledger(database, "old", "old")
    found = phases(run, between=lambda: ledger(database, "m1", "m2", "m2", "other"))
    assert found == [
        {"id": "m1", "subscription": "orders", "applied": 1},
        {"id": "m2", "subscription": "orders", "applied": 2},
        {"name": "effects-read", "subscription": "orders"},
    ]
    view: Any = run.view
    assert view.notes == [
        "orders: effects under 1 names, such as old, stood there before the load; if one of these is the id or key of "
        "a message of this run, claims about effects are unknown",
        "orders: effects under 1 names, such as other, are of no message of this run and count for nothing",
    ]
    assert load_manifest(run.context.directory).subscriptions["orders"].effects_from == "read-back"


def test_the_target_must_have_what_is_read(begun: Callable[[str], Run]) -> None:
    assert begun("dynamodb: {table: t, key: k}").context.services == ["sqs", "dynamodb"]


def test_what_cannot_be_read_after_the_load_is_told_and_ends_nothing(begun: Callable[[str], Run]) -> None:
    run = begun(SQL)
    (found,) = phases(run, between=lambda: None)
    assert (found["name"], found["subscription"]) == ("effects-unread", "orders")
    assert str(found["reason"]).startswith("there is no SQLite file")
    _, document = verify(run.context.directory)
    (claim,) = document["claims"]
    assert claim["verdict"] == "unknown"
    assert any("orders: its effects were not read back: there is no SQLite file" in why for why in claim["why"])


def test_effects_of_an_earlier_run_under_the_same_ids_are_told_apart_by_nobody(begun: Callable[[str], Run]) -> None:
    run = begun(SQL)
    ledger(run.context.effects / "ledger.db", "m2")
    found = phases(run, between=lambda: ledger(run.context.effects / "ledger.db", "m1"))
    assert [each.get("name") for each in found] == ["effects-unread"]
    assert "(m2) stood there before the load" in found[0]["reason"]


def test_a_place_that_cannot_be_read_ends_the_run_before_the_load(begun: Callable[[str], Run]) -> None:
    run = begun("command: [./count-nothing]")
    with pytest.raises(
        RunError, match=r"effects of orders cannot be read back \(command\): `./count-nothing` cannot be"
    ):
        asyncio.run(look_for_effects(run))


def test_a_program_is_given_the_words_of_the_run(begun: Callable[[str], Run]) -> None:
    program = "import os, sys; assert sys.argv[1:] == [os.environ['GAMEDAY_QUEUE_URL'], os.environ['GAMEDAY_EFFECTS']]"
    run = begun(f"command: [{sys.executable}, -c, {json.dumps(program)}, '{{queue_url}}', '{{effects}}']")
    assert phases(run, between=lambda: None) == [{"name": "effects-read", "subscription": "orders"}]


COUNTED = """\
name: counted
transport: sqs
topology: {visibility_timeout: 2s, max_receives: 5}
load: {rate: 30/s, duration: 4s, groups: 8, users: 2}
consumers: {processes: 2, processing_time: 2ms}
effects: {command: [python3, count.py, "{effects}.sqlite"]}
chaos: [{at: 1s, fault: lose-delete, share: 20%, for: 2s}]
claims: [no-loss, at-least-once-effect, exactly-once-effect]
"""
COUNT = """\
import json, sqlite3, sys
for id, applied in sqlite3.connect(sys.argv[1]).execute("SELECT id, applied FROM effects"):
    print(json.dumps({"id": id, "applied": applied}))
"""


@in_series
@pytest.mark.live
@pytest.mark.parametrize(("guard", "once"), [("none", "violated"), pytest.param("transaction", "holds", marks=in_soak)])
def test_a_whole_run_is_judged_by_what_a_program_counts(
    gameday: Callable[..., Gameday], tmp_path: Path, guard: str, once: str
) -> None:
    (tmp_path / "counted.yaml").write_text(COUNTED)
    (tmp_path / "count.py").write_text(COUNT)
    run = gameday(str(tmp_path / "counted.yaml"), "--target", "memory", "--set", f"consumers.guard={guard}")
    code, _, err = run.end()
    assert code == (0 if once == "holds" else 1), err
    verdict = json.loads((run.run / "verdict.json").read_bytes())
    assert {claim["key"]: claim["verdict"] for claim in verdict["claims"]} == {
        "no-loss": "holds",
        "at-least-once-effect": "holds",
        "exactly-once-effect": once,
    }
    assert verdict["ignored"] == []
    names = [mark["name"] for mark in run.marks()]
    assert names.index("effects-read") > names.index("drained")

"""Readers of effects: each counts what stands where it looks, and says what it cannot count rather than guess."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import ValidationError

from gameday.consumers.read_back.base import Counts, NotThere, Place, ReadFailed, Settings, how_often
from gameday.consumers.read_back.registry import READERS
from gameday.transports.base import Call
from gameday.transports.carriers.boto import BotoCarrier
from gameday.transports.endpoint import Endpoint
from tests.commanded import wait_until
from tests.consumers.scripted import DEADLINE_S, body
from tests.needed import lacking
from tests.series import in_series
from tests.transports.asked import served


@pytest.fixture(scope="module")
def memory() -> Iterator[Endpoint]:
    """The in-memory broker."""
    with served() as url:
        yield Endpoint(urls={"*": url}, access_key="test", secret_key="test")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(words={"run": "r"}, endpoint=Endpoint(), directory=tmp_path, log=tmp_path / "effects.log")


def settings(kind: str, /, **written: Any) -> Settings:
    return READERS[kind].model_validate(written)


def asked(made: Settings, place: Place, *, before: bool = False) -> Counts:
    async def scene() -> Counts:
        reader = made.reader(place)
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await (reader.before() if before else reader.read())
        finally:
            await reader.close()

    return asyncio.run(scene())


def refused(made: Settings, place: Place, *, before: bool = False) -> str:
    with pytest.raises(ReadFailed) as error:
        asked(made, place, before=before)
    return str(error.value)


# SQLite


def database(place: Place, script: str) -> None:
    with closing(sqlite3.connect(place.directory / "orders.db")) as connection, connection:
        connection.executescript(script)


def sqlite(query: str) -> Settings:
    return settings("sql", dsn="sqlite:///orders.db", query=query)


def test_rows_of_a_query_are_keys_and_how_often(place: Place) -> None:
    database(
        place,
        "CREATE TABLE applied (order_id, times); INSERT INTO applied VALUES ('a', 2), ('b', 1), (7, 1.0), ('none', 0);",
    )
    expected = Counts(applied={"a": 2, "b": 1, "7": 1, "none": 0})
    assert asked(sqlite("SELECT order_id, times FROM applied"), place) == expected


def test_rows_of_one_key_are_added_up_and_one_without_a_number_is_one(place: Place) -> None:
    database(place, "CREATE TABLE ledger (order_id); INSERT INTO ledger VALUES ('a'), ('b'), ('a');")
    assert asked(sqlite("SELECT order_id FROM ledger"), place).applied == {"a": 2, "b": 1}
    twice = sqlite("SELECT order_id, 1 FROM ledger UNION ALL SELECT order_id, 1 FROM ledger")
    assert asked(twice, place).applied == {"a": 4, "b": 2}


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("SELECT NULL, 1", "row 1 of the query: the key is NULL; add WHERE NULL IS NOT NULL"),
        ("SELECT 'a' AS id, NULL AS n", r"row 1 of the query: how often is NULL; write coalesce\(n, 0\)"),
        ("SELECT 'a', 1 UNION ALL SELECT 'b', 1.5", "row 2 of the query: how often is 1.5, and no whole number"),
        ("SELECT 'a', -1", "how often is -1"),
        ("SELECT 'a', '1'", "how often is '1'"),
        ("SELECT 1.5, 1", "an id or a key is a text or a whole number, and not 1.5"),
        ("SELECT x'00', 1", r"and not b'\\x00'"),
        ("SELECT '', 1", "and not ''"),
        ("SELECT 'a', 1, 2", r"3 columns \('a', 1, 2\)"),
        ("DELETE FROM applied", "readonly|gives no rows"),
        ("SELEKT", "syntax error; the query was 'SELEKT'"),
    ],
)
def test_a_row_that_says_nothing_is_an_error(place: Place, query: str, why: str) -> None:
    database(place, "CREATE TABLE applied (order_id, times); INSERT INTO applied VALUES ('a', 2);")
    with pytest.raises(ReadFailed, match=why):
        asked(sqlite(query), place)
    assert asked(sqlite("SELECT order_id, times FROM applied"), place).applied == {"a": 2}, "nothing was written"


def test_what_is_not_there_yet_is_empty_before_the_load_and_an_error_after_it(place: Place) -> None:
    query = sqlite("SELECT order_id FROM ledger")
    for why in (r"there is no SQLite file .*orders\.db", "no such table: ledger"):
        assert asked(query, place, before=True) == Counts()
        with pytest.raises(NotThere, match=why):
            asked(query, place)
        database(place, "CREATE TABLE IF NOT EXISTS other (x);")


def test_a_query_that_takes_too_long_ends_when_its_time_is_over(place: Place) -> None:
    database(place, "CREATE TABLE other (x);")
    endless = sqlite("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")

    async def scene() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await endless.reader(place).read()

    # Returns only when the thread has ended, too.
    asyncio.run(asyncio.wait_for(scene(), DEADLINE_S))


@pytest.mark.parametrize(
    ("dsn", "why"),
    [
        ("mysql://localhost/orders", "no database is called so; write sqlite:///PATH"),
        ("sqlite://orders.db", "no database is called so"),
        ("postgresql://me:secret@localhost/orders", "no place for a password.*PGPASSWORD"),
        ("postgresql://localhost/orders?user=me&password=secret", "no place for a password"),
    ],
)
def test_a_dsn_that_cannot_be_read_or_tells_a_secret_is_refused(dsn: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        settings("sql", dsn=dsn, query="SELECT 1")


@pytest.mark.parametrize("dsn", ["postgresql://me@localhost:5432/orders", "sqlite:///{effects}/orders.db"])
def test_a_dsn_may_name_a_user_and_hold_words(dsn: str) -> None:
    assert dict(settings("sql", dsn=dsn, query="SELECT 1"))["dsn"] == dsn


# PostgreSQL


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """A server of Debian's, with a database of its own; its DSN."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        lacking("PostgreSQL is not installed; Debian and Ubuntu have it: apt-get install postgresql")
    # It does not run as root.
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as directory, socket.socket() as free:
        if user is not None:
            shutil.chown(directory, user)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        data = f"{directory}/data"
        # In a directory that the user may look into.
        told: dict[str, Any] = {"user": user, "cwd": directory, "stdout": subprocess.DEVNULL}
        subprocess.run([found[-1] / "initdb", "-D", data, "-A", "trust", "-U", "me", "--no-sync"], check=True, **told)
        free.close()
        options = (f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={directory}", "fsync=off")
        argv = [found[-1] / "postgres", "-D", data, *(word for option in options for word in ("-c", option))]
        server = subprocess.Popen(argv, stderr=subprocess.DEVNULL, **told)
        try:
            wait_until(lambda: answers(port) or server.poll() is not None, "PostgreSQL")
            yield f"postgresql://me@127.0.0.1:{port}/postgres"
        finally:
            # Fast shutdown: whoever is connected is sent away.
            server.send_signal(signal.SIGINT)
            server.wait(DEADLINE_S)


def answers(port: int) -> bool:
    try:
        psycopg.connect(f"postgresql://me@127.0.0.1:{port}/postgres").close()
    except psycopg.OperationalError:
        return False
    return True


@in_series
@pytest.mark.live
def test_postgresql_is_read_and_not_written(place: Place, postgresql: str) -> None:
    def query(text: str, dsn: str = postgresql) -> Settings:
        return settings("sql", dsn=dsn, query=text)

    ledger = query("SELECT order_id, sum(times) FROM ledger GROUP BY order_id")
    assert asked(ledger, place, before=True) == Counts()
    assert 'relation "ledger" does not exist' in refused(ledger, place)
    absent = query("SELECT 1", f"{postgresql}-of-yesterday")
    assert 'database "postgres-of-yesterday" does not exist' in refused(absent, place, before=True)
    with psycopg.connect(postgresql) as connection:
        connection.execute("CREATE TABLE ledger (order_id text, number int, id uuid, times numeric)")
        uuid = "c0ffee00-0000-4000-8000-000000000000"
        for order, number, times in (("a", 1, 2), ("b", 2, 1), ("a", 1, 1), (None, None, 1)):
            connection.execute("INSERT INTO ledger VALUES (%s, %s, %s, %s)", (order, number, uuid, times))
    known = "WHERE order_id IS NOT NULL"
    # A sum is a DECIMAL.
    assert asked(query(f"SELECT order_id, sum(times) FROM ledger {known} GROUP BY 1"), place).applied == {
        "a": 3,
        "b": 1,
    }
    assert asked(query(f"SELECT number FROM ledger {known}"), place).applied == {"1": 2, "2": 1}
    assert asked(query(f"SELECT number::numeric FROM ledger {known}"), place).applied == {"1": 2, "2": 1}
    assert asked(query("SELECT id FROM ledger"), place).applied == {uuid: 4}
    assert "row 1 of the query: the key is NULL; add WHERE order_id IS NOT NULL" in refused(
        query("SELECT order_id FROM ledger WHERE order_id IS NULL"), place
    )
    assert "how often is Decimal('0.5')" in refused(query("SELECT 'a', 0.5"), place)
    assert "read-only transaction" in refused(query("DELETE FROM ledger RETURNING order_id"), place)
    assert "gives no rows" in refused(query("SET application_name = 'x'"), place)
    assert "syntax error" in refused(query("SELEKT"), place)
    assert asked(query("SELECT id FROM ledger"), place).applied == {uuid: 4}


# A program


def program(place: Place, source: str, *arguments: str) -> Settings:
    path = place.directory / "count.py"
    path.write_text(source)
    return settings("command", argv=[sys.executable, "count.py", *arguments])


def printing(place: Place, *lines: str) -> Settings:
    return program(place, "\n".join(f"print({line!r})" for line in lines))


def test_lines_of_a_program_are_ids_or_keys(place: Place) -> None:
    lines = ('{"id": "a", "applied": 1}', "", '{"applied": 2, "id": "b"}', '{"id": "a", "applied": 1}')
    assert asked(printing(place, *lines), place) == Counts(of="id", applied={"a": 2, "b": 2})
    keys = printing(place, '{"key": 4711, "applied": 1}', '{"key": "x", "applied": 0}')
    assert asked(keys, place) == Counts(of="key", applied={"4711": 1, "x": 0})
    assert asked(printing(place), place) == Counts()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("applied a", r"line 2 of `.*count\.py` is not JSON .*'applied a'"),
        ('{"id": "b"}', r"line 2 of .* is not like \{\"id\": \"g03-7\", \"applied\": 1\}: '\{\"id\": \"b\"\}'"),
        ('{"id": "b", "aplied": 1}', "line 2 of .* is not like"),
        ('{"id": "b", "key": "b", "applied": 1}', "line 2 of .* is not like"),
        ('["b", 1]', "line 2 of .* is not like"),
        ('{"id": "b", "applied": 1.5}', "line 2 of .*: how often is 1.5"),
        ('{"id": "b", "applied": true}', "line 2 of .*: how often is True"),
        ('{"id": null, "applied": 1}', "line 2 of .* and not None"),
        ('{"key": "b", "applied": 1}', "line 2 of .* has a key where those before it have the other"),
    ],
)
def test_a_bad_line_is_an_error_that_names_it(place: Place, line: str, why: str) -> None:
    with pytest.raises(ReadFailed, match=why):
        asked(printing(place, '{"id": "a", "applied": 1}', line), place)


def test_a_program_that_fails_is_an_error_with_its_last_words_and_nothing_of_it_counts(place: Place) -> None:
    source = 'import sys; print(\'{"id": "a", "applied": 1}\'); sys.exit(\'no such table\')'
    for _ in range(2):
        assert refused(program(place, source), place).endswith("; its last words, from logs/effects.log: no such table")
    gone = settings("command", argv=["./count"])
    assert refused(gone, place) == "`./count` cannot be started: No such file or directory"


def test_a_program_is_told_of_the_run_and_stands_beside_the_scenario(place: Place) -> None:
    source = """\
import json, os, sys
told = [sys.argv[1], os.environ["GAMEDAY_RUN"], os.environ["AWS_REGION"], os.path.basename(__file__), os.getcwd()]
print(json.dumps({"key": "|".join(told), "applied": 1}))
"""
    made = program(place, source, "--run={run}").told(place.words)
    assert asked(made, place).applied == {f"--run=r|r|us-east-1|count.py|{place.directory}": 1}


@pytest.mark.parametrize("how", ["cancelled", "killed"])
def test_a_program_that_takes_too_long_is_ended_with_all_that_it_started(place: Place, how: str) -> None:
    source = """\
import os, subprocess, sys
child = subprocess.Popen(["sleep", "600"])
open("pids", "w").write(f"{os.getpid()} {child.pid}\\n")
child.wait()
"""
    pids = place.directory / "pids"

    async def scene() -> None:
        reader = program(place, source).reader(place)
        reading = asyncio.create_task(reader.read())
        await asyncio.to_thread(wait_until, lambda: pids.exists() and pids.read_text().endswith("\n"), "the program")
        if how == "cancelled":
            reading.cancel()
            await asyncio.wait([reading])
            assert reading.cancelled()
        else:
            reader.kill()
            with pytest.raises(ReadFailed, match="ended with exit code -9"):
                await reading

    asyncio.run(scene())
    for pid in map(int, pids.read_text().split()):
        wait_until(lambda pid=pid: not alive(pid), f"the end of {pid}")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # One that nobody has waited for is dead all the same.
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


# AWS


def at(place: Place, endpoint: Endpoint, **more: Any) -> Place:
    return Place(words=place.words, endpoint=endpoint, directory=place.directory, log=place.log, **more)


@cache
def carrier(url: str) -> BotoCarrier:
    return BotoCarrier(Endpoint(urls={"*": url}, access_key="test", secret_key="test"))


def call(endpoint: Endpoint, service: str, operation: str, **params: Any) -> Mapping[str, Any]:
    return carrier(endpoint.urls["*"])(Call(service, operation, params))


def table(endpoint: Endpoint, name: str, items: list[dict[str, Any]]) -> None:
    call(
        endpoint,
        "dynamodb",
        "CreateTable",
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for number, item in enumerate(items):
        call(endpoint, "dynamodb", "PutItem", TableName=name, Item={"pk": {"S": str(number)}, **item})


@pytest.mark.live
def test_items_of_a_table_are_effects_or_say_how_many(place: Place, memory: Endpoint) -> None:
    text, number = {"S": "a"}, {"N": "7"}
    items = [
        {"orderId": text, "n": {"N": "2"}},
        {"orderId": number, "n": {"N": "1.0"}},
        {"other": text},
        {"orderId": text, "n": {"N": "1"}},
    ]
    table(memory, "orders-r", items)
    there = at(place, memory)
    each = settings("dynamodb", table="orders-{run}", key="orderId").told(place.words)
    assert asked(each, there) == Counts(applied={"a": 2, "7": 1}, passed_over=1)
    counted = settings("dynamodb", table="orders-r", key="orderId", times="n")
    assert asked(counted, there) == Counts(applied={"a": 3, "7": 1}, passed_over=1)
    assert "`other` of 'a': how often is {}" in refused(
        settings("dynamodb", table="orders-r", key="orderId", times="other"), there
    )
    absent = settings("dynamodb", table="nowhere", key="orderId")
    assert asked(absent, there, before=True) == Counts()
    assert refused(absent, there) == "there is no DynamoDB table nowhere"


@pytest.mark.live
def test_a_table_is_read_to_its_last_page(place: Place, memory: Endpoint) -> None:
    # An answer holds a megabyte.
    table(memory, "large", [{"orderId": {"S": f"m{n}"}, "note": {"S": "x" * 300_000}} for n in range(10)])
    counts = asked(settings("dynamodb", table="large", key="orderId"), at(place, memory))
    assert counts.applied == {f"m{n}": 1 for n in range(10)}


def queue(endpoint: Endpoint, name: str, *bodies: str) -> str:
    url: str = call(endpoint, "sqs", "CreateQueue", QueueName=name)["QueueUrl"]
    for text in bodies:
        call(endpoint, "sqs", "SendMessage", QueueUrl=url, MessageBody=text)
    return url


@pytest.mark.live
def test_messages_that_were_sent_on_are_counted_by_the_broker_s_id(place: Place, memory: Endpoint) -> None:
    """Each that was sent is one effect, however often it is delivered; and all of them, in several readings too."""
    made = settings("queue", name="done", key="/order/id")
    there = at(place, memory)

    async def scene() -> None:
        reader = made.reader(there)
        assert await reader.before() == Counts(), "it does not exist yet"
        with pytest.raises(NotThere, match="there is no queue done"):
            await reader.read()
        url = queue(memory, "done", *(json.dumps({"order": {"id": f"m{n % 20}"}}) for n in range(25)))
        expected = {f"m{n}": 2 if n < 5 else 1 for n in range(20)}
        assert (await reader.read()).applied == expected
        call(memory, "sqs", "SendMessage", QueueUrl=url, MessageBody='{"order": {"id": 20}}')
        assert (await reader.read()).applied == {**expected, "20": 1}
        assert (await reader.read()).applied == {**expected, "20": 1}
        await reader.close()

    asyncio.run(asyncio.wait_for(scene(), DEADLINE_S))


class Twice:
    """A Standard queue that hands out a message again after it was deleted, and lacks the receipt of another."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = [
            {"Messages": [self._message("b1", "m1", "r1"), self._message("b2", "m2", "r2")]},
            {"Messages": [self._message("b1", "m1", "r3")]},
            {},
        ]

    @staticmethod
    def _message(broker_id: str, id: str, receipt: str) -> dict[str, Any]:
        return {"MessageId": broker_id, "ReceiptHandle": receipt, "Body": body(id), "Attributes": {}}

    async def __call__(self, call: Call) -> dict[str, Any]:
        if call.operation == "ReceiveMessage":
            return self.answers.pop(0)
        if call.operation == "GetQueueAttributes":
            names = ("", "NotVisible", "Delayed")
            return {"Attributes": {f"ApproximateNumberOfMessages{name}": "0" for name in names}}
        return {"Successful": [{"Id": "0"}, {"Id": "1"}], "Failed": []}


def test_what_a_standard_queue_delivers_twice_is_one_effect(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gameday.transports.carriers.aio.AioCarrier", lambda *_, **__: Twice())
    reader = settings("queue", url="http://127.0.0.1/0/done").reader(place)
    assert asyncio.run(reader.read()).applied == {"m1": 1, "m2": 1}


@pytest.mark.live
def test_a_queue_must_be_empty_and_the_run_s_alone(place: Place, memory: Endpoint) -> None:
    there = at(place, memory, own=("gameday-r-orders",))
    url = queue(memory, "full", body("m1"))
    full = settings("queue", url=url)
    assert refused(full, there, before=True).startswith(f"1 messages stand in {url} already")
    own = settings("queue", url=queue(memory, "gameday-r-orders"))
    assert refused(own, there, before=True).endswith("is a queue of the run's own, and no place for effects")
    foreign = settings("queue", url=queue(memory, "foreign", '{"order": 1}'))
    assert "has no id of gameday's" in refused(foreign, there)
    for key, why in (("/orders", "has nothing at /orders"), ("/order/id", "has nothing at /order/id")):
        name = key.replace("/", "-")
        pointed = settings("queue", url=queue(memory, f"pointed{name}", '{"order": 1}'), key=key)
        assert why in refused(pointed, there)


@in_series
@pytest.mark.live
def test_objects_are_effects_by_their_name_or_by_what_stands_in_them(place: Place, emulator: Endpoint) -> None:
    there = at(place, emulator)
    by_name = settings("s3", bucket="done", prefix="orders/", suffix=".json", key="name")
    assert asked(by_name, there, before=True) == Counts(), "it does not exist yet"
    assert refused(by_name, there) == "there is no bucket done"
    call(emulator, "s3", "CreateBucket", Bucket="done")
    names = ["orders/a.json", "orders/b/1.json", "orders/b/2.json", "orders/index.html", "orders/.json", "other/c.json"]
    for number, name in enumerate(names):
        call(emulator, "s3", "PutObject", Bucket="done", Key=name, Body=json.dumps({"id": number}).encode())
    assert asked(by_name, there) == Counts(applied={"a": 1, "b": 2}, passed_over=2)
    by_content = settings("s3", bucket="done", prefix="orders/", key="/id")
    assert asked(by_content, there).applied == {"0": 1, "1": 1, "2": 1, "3": 1, "4": 1}
    call(emulator, "s3", "PutObject", Bucket="done", Key="orders/z.json", Body=b"{}")
    assert refused(by_content, there) == "the object done/orders/z.json has nothing at /id"


@in_series
@pytest.mark.live
def test_a_bucket_is_read_to_its_last_page(place: Place, emulator: Endpoint) -> None:
    call(emulator, "s3", "CreateBucket", Bucket="many")
    # A page has a thousand.
    for number in range(1005):
        call(emulator, "s3", "PutObject", Bucket="many", Key=f"{number}", Body=b"")
    counts = asked(settings("s3", bucket="many", key="name"), at(place, emulator))
    assert counts.applied == {f"{number}": 1 for number in range(1005)}


@pytest.mark.parametrize(
    ("name", "written", "why"),
    [
        ("queue", {}, "write either its url or its name"),
        ("queue", {"url": "u", "name": "n"}, "write either its url or its name"),
        ("queue", {"url": "u", "key": "orderId"}, "'orderId' is no JSON pointer; write it like /orderId"),
        ("s3", {"bucket": "b", "key": "orderId"}, "no JSON pointer.*; or `name`, if the object's name tells it"),
        ("command", {"argv": []}, "at least 1 item"),
        ("dynamodb", {"table": "t"}, "key\n  Field required"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, written: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        settings(name, **written)


def test_a_pointer_may_go_deep_and_name_what_has_slashes(place: Place) -> None:
    from gameday.consumers.read_back.base import at

    text = '{"a/b": {"~": [{"id": 3}]}}'
    assert at("/a~1b/~0/0/id", text, "it") == "3"
    for pointer, why in (("/a~1b/~0/1", "it has nothing at"), ("/a~1b", r"it, /a~1b: an id or a key is .* not \{")):
        with pytest.raises(ReadFailed, match=why):
            at(pointer, text, "it")
    with pytest.raises(ReadFailed, match="it is not JSON"):
        at("/a", "<a/>", "it")


@pytest.mark.parametrize("value", [True, None, "1", -1, 0.5, float("nan"), float("inf"), [], {}])
def test_how_often_is_a_whole_number_that_somebody_wrote(value: object) -> None:
    with pytest.raises(ReadFailed, match="and no whole number from 0"):
        how_often(value, "here")

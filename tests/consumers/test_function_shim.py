"""The shim that is deployed with a function: what it records, and that an invocation fails which it cannot record."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from gameday.run.functions import _SHIM
from tests.consumers.scripted import body

USERS = """
def handler(event, context):
    if event["Records"][0]["messageId"] == "bad":
        raise ValueError("no such order")
    return {"batchItemFailures": [], "gameday": {"applied": ["m"]}, "more": "x" * 5000}
"""


class Table(ThreadingHTTPServer):
    """As much of DynamoDB as the shim asks: it keeps items, or refuses those from the n-th on."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Put)
        self.items: dict[str, Any] = {}
        self.refuses_from: int | None = None


class _Put(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        table = self.server
        assert isinstance(table, Table)
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        refused = table.refuses_from is not None and len(table.items) >= table.refuses_from
        if not refused:
            table.items[asked["Item"]["record"]["S"]] = json.loads(asked["Item"]["told"]["S"])
        self.send_response(400 if refused else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def table() -> Iterator[Table]:
    with Table() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def shim(table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """As in an environment of its own."""
    (tmp_path / "users_function.py").write_text(USERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{table.server_port}",
        "GAMEDAY_TABLE": "t",
        "GAMEDAY_HANDLER": "users_function.handler",
        "GAMEDAY_CLOCK": "1700000000000000000:0",
        "GAMEDAY_SUBSCRIPTION": "orders",
    }.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("gameday_shim", _SHIM)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def event(identifier: str = "m", text: str | None = None) -> dict[str, Any]:
    attributes = {"ApproximateReceiveCount": "2", "SentTimestamp": "1700000000000", "MessageGroupId": "g"}
    return {
        "Records": [{"messageId": identifier, "body": body("a") if text is None else text, "attributes": attributes}]
    }


CONTEXT = SimpleNamespace(aws_request_id="r1")


def test_what_is_recorded_before_and_after(shim: ModuleType, table: Table) -> None:
    answer = shim.handler(event(), CONTEXT)
    assert answer["more"] == "x" * 5000, "the answer is the function's own"
    first, second = (table.items[name] for name in sorted(table.items))
    assert first["records"] == [
        {"identifier": "m", "id": "a", "receives": "2", "sent_ms": "1700000000000", "group": "g", "sequence": None}
    ]
    assert (first["answered"], first["request"], first["subscription"]) == (False, "r1", "orders")
    assert second["answer"] == {"batchItemFailures": [], "gameday": {"applied": ["m"]}}
    assert (second["answered"], second["began"]) == (True, first["at"]) and second["at"] >= first["at"]
    assert first["batch"] == second["batch"]
    assert [name.rpartition(":")[2] for name in sorted(table.items)] == ["00000001", "00000002"]


def test_a_function_that_fails(shim: ModuleType, table: Table) -> None:
    with pytest.raises(ValueError, match="no such order"):
        shim.handler(event("bad"), CONTEXT)
    assert table.items[max(table.items)]["error"] == "ValueError: no such order"


@pytest.mark.parametrize("refuses_from", [0, 1])
def test_an_invocation_that_cannot_be_recorded_fails(shim: ModuleType, table: Table, refuses_from: int) -> None:
    table.refuses_from = refuses_from
    with pytest.raises(RuntimeError, match="cannot be recorded"):
        shim.handler(event(), CONTEXT)
    assert len(table.items) == refuses_from


@pytest.mark.parametrize(
    "text, id",
    [("no order", None), ("[1]", None), ("{}", None), (json.dumps({"Message": body("a")}), "a")],
)
def test_which_message_it_is(shim: ModuleType, table: Table, text: str, id: str | None) -> None:
    shim.handler(event(text=text), CONTEXT)
    assert table.items[min(table.items)]["records"][0]["id"] == id


def test_an_environment_that_is_only_made_ready_records_nothing(shim: ModuleType, table: Table) -> None:
    assert shim.handler({"gameday": "warm"}, CONTEXT) is None
    assert table.items == {}

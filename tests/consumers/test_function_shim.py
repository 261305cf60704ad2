"""The shim that is deployed with a function: what it records, and that an invocation fails which it cannot record."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from gameday.run.functions import _NODE_SHIM, _SHIM
from tests.consumers.scripted import body
from tests.needed import installed

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


# Of Node's


NODE_USERS = {
    "users.js": """
exports.handler = async (event) => {
  if (event.Records[0].messageId === 'bad') throw new TypeError('no such order')
  return { batchItemFailures: [], gameday: { applied: ['m'] }, more: 'x'.repeat(5000) }
}
exports.called = (event, context, callback) => { callback(null, 'y'.repeat(5000)) }
exports.nothing = async () => {}
""",
    "modern.mjs": "export const handler = () => ({ batchItemFailures: [] })",
}
# Calls the shim with each event of its input, and says what came of each.
CALLER = """
import { handler } from './gameday_shim.mjs'
const said = []
for (const event of JSON.parse(process.argv[2])) {
  try {
    const result = await handler(event, { awsRequestId: 'r1' })
    said.push({ result: result === undefined ? 'undefined' : result })
  } catch (error) { said.push({ error: `${error.name}: ${error.message}` }) }
}
console.log(JSON.stringify(said))
process.exit(0)
"""


@pytest.fixture
def node(table: Table, tmp_path: Path) -> Callable[..., list[Any]]:
    """What the shim answers to each event, in an environment of its own."""
    program = installed("node", package="nodejs")
    for name, code in {**NODE_USERS, "caller.mjs": CALLER}.items():
        (tmp_path / name).write_text(code)
    (tmp_path / "gameday_shim.mjs").write_bytes(_NODE_SHIM.read_bytes())

    def ask(*events: dict[str, Any], handler: str = "users.handler") -> list[Any]:
        env = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{table.server_port}",
            "GAMEDAY_TABLE": "t",
            "GAMEDAY_HANDLER": handler,
            "GAMEDAY_CLOCK": f"{1_700_000_000 * 10**9}:{time.monotonic_ns()}",
            "GAMEDAY_SUBSCRIPTION": "orders",
        }
        argv = [program, "caller.mjs", json.dumps(events)]
        done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=True)
        said: list[Any] = json.loads(done.stdout)
        return said

    return ask


def test_of_node_s_what_is_recorded_before_and_after(node: Callable[..., list[Any]], table: Table) -> None:
    (answer,) = node(event())
    assert answer["result"]["more"] == "x" * 5000, "the answer is the function's own"
    first, second = (table.items[name] for name in sorted(table.items))
    assert first["records"] == [
        {"identifier": "m", "id": "a", "receives": "2", "sent_ms": "1700000000000", "group": "g", "sequence": None}
    ]
    assert (first["answered"], first["request"], first["subscription"]) == (False, "r1", "orders")
    assert second["answer"] == {"batchItemFailures": [], "gameday": {"applied": ["m"]}}
    assert (second["answered"], second["began"]) == (True, first["at"]) and second["at"] > first["at"]
    # It reads the clock that this process reads.
    assert 0 < first["at"] - 1_700_000_000 * 10**9 < 60 * 10**9
    assert first["batch"] == second["batch"]
    assert [name.rpartition(":")[2] for name in sorted(table.items)] == ["00000001", "00000002"]


def test_of_node_s_a_function_that_fails_and_one_that_says_nothing(
    node: Callable[..., list[Any]], table: Table
) -> None:
    failed, done = node(event("bad"), event())
    assert failed == {"error": "TypeError: no such order"} and "result" in done
    told = [table.items[name] for name in sorted(table.items)]
    assert [entry.get("error") for entry in told] == [None, "TypeError: no such order", None, None]
    table.items.clear()
    assert node(event(), handler="users.nothing") == [{"result": "undefined"}]
    assert table.items[max(table.items)]["answer"] is None
    table.items.clear()
    assert node(event(), handler="users.called") == [{"result": "y" * 5000}]
    assert len(table.items[max(table.items)]["answer"]) == 1000
    table.items.clear()
    assert node(event(), handler="modern.handler") == [{"result": {"batchItemFailures": []}}]


@pytest.mark.parametrize("refuses_from", [0, 1])
def test_of_node_s_an_invocation_that_cannot_be_recorded_fails(
    node: Callable[..., list[Any]], table: Table, refuses_from: int
) -> None:
    table.refuses_from = refuses_from
    (answer,) = node(event())
    assert "cannot be recorded" in answer["error"]
    assert len(table.items) == refuses_from


def test_of_node_s_which_message_it_is(node: Callable[..., list[Any]], table: Table) -> None:
    texts = ["no order", "[1]", "{}", json.dumps({"Message": body("a")})]
    node({"gameday": "warm"}, *(event(text=text) for text in texts))
    begun = [table.items[name] for name in sorted(table.items) if not table.items[name]["answered"]]
    assert [entry["records"][0]["id"] for entry in begun] == [None, None, None, "a"]

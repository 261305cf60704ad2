"""Faults in SQS's older protocol: forms in, XML out, as SDKs of some years ago speak it. No SDK of today does, so the
calls are made by hand, and what is behind the wire is a service that answers what it is told."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pytest

from gameday.transports.endpoint import Endpoint
from gameday.wire.spoken import Params, Query
from tests.wire.wired import Wired, until, wired

MESSAGES = "".join(
    f"<Message><MessageId>id-{name}</MessageId><ReceiptHandle>r-{name}</ReceiptHandle><Body>{name}</Body>"
    "<Attribute><Name>ApproximateReceiveCount</Name><Value>1</Value></Attribute></Message>"
    for name in "ab"
)
RECEIVED = f"<ReceiveMessageResponse><ReceiveMessageResult>{MESSAGES}</ReceiveMessageResult></ReceiveMessageResponse>"


class Service:
    """What is asked stands in `asked`; `answers` are given by action."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.answers = {"ReceiveMessage": RECEIVED}

    @contextmanager
    def serve(self) -> Iterator[str]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                service.asked.append(form)
                body = service.answers[form["Action"]].encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(10)
            server.server_close()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def wire(service: Service, tmp_path: Path) -> Iterator[Wired]:
    with service.serve() as url, wired(Endpoint(urls={"*": url}), tmp_path, queue=f"{url}/000000000000/q") as wire:
        yield wire


def call(wire: Wired, action: str, *, port: int | None = None, **fields: str) -> tuple[int, Params]:
    """Status and answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port or wire.client.port, timeout=10)
    body = urlencode({"Action": action, "Version": "2012-11-05", **fields})
    connection.request("POST", "/000000000000/q", body, {"Content-Type": "application/x-www-form-urlencoded"})
    answer = connection.getresponse()
    told = answer.read()
    if answer.status != 200:
        return answer.status, {"code": Query().code_of(told, {})}
    return answer.status, Query().read_answer(told)


def deletion(*names: str) -> dict[str, str]:
    fields = {}
    for number, name in enumerate(names, start=1):
        fields[f"DeleteMessageBatchRequestEntry.{number}.Id"] = name
        fields[f"DeleteMessageBatchRequestEntry.{number}.ReceiptHandle"] = f"r-{name}"
    return fields


def deleted(*names: str) -> str:
    entries = "".join(
        f"<DeleteMessageBatchResultEntry><Id>{name}</Id></DeleteMessageBatchResultEntry>" for name in names
    )
    return (
        f"<DeleteMessageBatchResponse><DeleteMessageBatchResult>{entries}</DeleteMessageBatchResult>"
        "</DeleteMessageBatchResponse>"
    )


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [("throttle", "RequestThrottled", 403), ("deny", "AccessDenied", 403), ("api-error", "InternalFailure", 500)],
)
def test_a_refusal_has_the_older_code(wire: Wired, service: Service, kind: str, code: str, status: int) -> None:
    wire.arm(kind)
    assert call(wire, "ReceiveMessage") == (status, {"code": code})
    assert service.asked == []


def test_entries_are_refused(wire: Wired, service: Service) -> None:
    call(wire, "ReceiveMessage")
    wire.arm("partial-batch", nth=1)
    service.answers["DeleteMessageBatch"] = deleted("b")
    status, answer = call(wire, "DeleteMessageBatch", **deletion("a", "b"))
    assert status == 200 and [entry["Id"] for entry in answer["Successful"]] == ["b"]
    assert [(entry["Id"], entry["Code"]) for entry in answer["Failed"]] == [("a", "InternalError")]
    asked = service.asked[-1]
    assert asked["DeleteMessageBatchRequestEntry.1.Id"] == "b" and "DeleteMessageBatchRequestEntry.2.Id" not in asked
    assert {record["broker_id"]: record["outcome"] for record in wire.recorded("settled")} == {
        "id-a": "failed",
        "id-b": "ok",
    }


def test_entries_that_are_sent_are_refused(wire: Wired, service: Service) -> None:
    wire.arm("partial-batch", nth=1)
    result = "<SendMessageBatchResultEntry><Id>b</Id><MessageId>1</MessageId></SendMessageBatchResultEntry>"
    service.answers["SendMessageBatch"] = (
        f"<SendMessageBatchResponse><SendMessageBatchResult>{result}</SendMessageBatchResult></SendMessageBatchResponse>"
    )
    fields = {
        f"SendMessageBatchRequestEntry.{number}.{key}": name
        for number, name in enumerate("ab", start=1)
        for key in ("Id", "MessageBody")
    }
    status, answer = call(wire, "SendMessageBatch", **fields)
    assert status == 200 and [entry["Id"] for entry in answer["Failed"]] == ["a"]
    assert [(entry["Id"], entry["MessageId"]) for entry in answer["Successful"]] == [("b", "1")]
    asked = service.asked[-1]
    assert asked["SendMessageBatchRequestEntry.1.MessageBody"] == "b"
    assert "SendMessageBatchRequestEntry.2.Id" not in asked


def test_all_entries_are_refused(wire: Wired, service: Service) -> None:
    wire.arm("partial-batch")
    status, answer = call(wire, "DeleteMessageBatch", **deletion("a", "b"))
    assert status == 200 and [entry["Id"] for entry in answer["Failed"]] == ["a", "b"]
    assert service.asked == []


def test_a_message_is_delivered_twice(wire: Wired, service: Service) -> None:
    other = wire.do(wire.proxy.listen("orders-2.1"))
    wire.arm("duplicate-delivery", nth=2)
    call(wire, "ReceiveMessage")
    _, answer = call(wire, "ReceiveMessage", port=other.port)
    (message,) = answer["Messages"]
    assert message["MessageId"] == "id-b" and message["ReceiptHandle"] == "r-b.1" and len(service.asked) == 1
    service.answers["DeleteMessage"] = "<DeleteMessageResponse/>"
    assert call(wire, "DeleteMessage", port=other.port, ReceiptHandle="r-b.1")[0] == 200
    assert service.asked[-1]["ReceiptHandle"] == "r-b", "as the service knows it"
    assert wire.recorded("settled")[0]["outcome"] == "ok"


def test_a_delete_comes_late(wire: Wired, service: Service) -> None:
    call(wire, "ReceiveMessage", VisibilityTimeout="30")
    wire.arm("late-delete")
    service.answers["DeleteMessageBatch"] = deleted("a", "b")
    _, answer = call(wire, "DeleteMessageBatch", **deletion("a", "b"))
    assert [entry["Id"] for entry in answer["Successful"]] == ["a", "b"] and len(service.asked) == 1
    wire.disarm("late-delete")
    until(lambda: not wire.proxy.working, "the delete is carried out")
    assert [form["Action"] for form in service.asked] == ["ReceiveMessage", "DeleteMessageBatch"]
    assert {record["outcome"] for record in wire.recorded("settled")} == {"ok"}

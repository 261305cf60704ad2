"""`gameday verify --otlp` against a server that reads OTLP by its own definition: what arrives, and what it says."""

from __future__ import annotations

import gzip
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gameday.cli import main
from gameday.history.errors import UsageError
from gameday.history.trace import span_id, trace_id
from gameday.report.traces import otlp
from tests.report.traces.test_spans import RUN, doubled
from tests.verify.handmade.builder import History, fifo


class Collector(HTTPServer):
    """Keeps the requests that it was sent; answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.status = 200
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.requests: list[ExportTraceServiceRequest] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Asked(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.paths.append(self.path)
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def verify(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["gameday", "verify", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_the_traces_arrive_as_otlp_has_them(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = doubled().write(tmp_path / "run")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret")
    assert verify(str(run), "--otlp", collector.url, monkeypatch=monkeypatch) == 1
    said = f"traces of 1 messages that broke a claim, 5 spans: sent to {collector.url}/v1/traces"
    assert said in capsys.readouterr().err
    assert collector.paths == ["/v1/traces"]
    assert collector.headers[0]["authorization"] == "Bearer secret"
    services = {}
    for resource in collector.requests[0].resource_spans:
        named = {each.key: each.value.string_value for each in resource.resource.attributes}
        services[named["service.name"]] = [span for scope in resource.scope_spans for span in scope.spans]
    assert {name: [span.name for span in spans] for name, spans in services.items()} == {
        "producer": ["create sqs-fifo", "send sqs-fifo", "send sqs-fifo"],
        "orders": ["process orders"] * 2,
    }
    root = services["producer"][0]
    assert (root.trace_id.hex(), root.span_id.hex()) == (trace_id(RUN, "a"), span_id(RUN, "a"))
    assert root.status.message == "exactly-once-effect: effect-duplicate at orders"
    first, second = services["orders"]
    assert second.parent_span_id == root.span_id
    assert second.links[0].span_id == first.span_id


@pytest.mark.parametrize(
    ("status", "says"), [(400, "did not take the traces (0 of 5 spans arrived)"), (401, "401")], ids=["bad", "denied"]
)
def test_a_collector_that_refuses_changes_no_verdict(
    collector: Collector,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
    says: str,
) -> None:
    collector.status = status
    run = doubled().write(tmp_path / "run")
    assert verify(str(run), "--otlp", collector.url, monkeypatch=monkeypatch) == 1
    out, err = capsys.readouterr()
    assert "verdict: violated" in out and says in err and "Traceback" not in err


def test_neither_does_one_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    run = doubled().write(tmp_path / "run")
    assert verify(str(run), "--otlp", f"http://127.0.0.1:{port}", monkeypatch=monkeypatch) == 1
    err = capsys.readouterr().err
    assert f"http://127.0.0.1:{port}/v1/traces did not take the traces" in err and "refused" in err
    assert "Traceback" not in err
    assert (run / "verdict.json").exists()


def test_a_run_that_broke_nothing_sends_nothing(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    h = History({"orders": fifo()}, ["no-loss"])
    h.send("a", at=1)
    h.handle("a", at=2)
    h.drained(at=30)
    assert verify(str(h.write(tmp_path / "run")), "--otlp", collector.url, monkeypatch=monkeypatch) == 0
    assert "no single message broke a claim" in capsys.readouterr().err
    assert collector.requests == []


def test_an_address_of_its_own_path_is_taken_as_it_is() -> None:
    assert otlp.endpoint("http://collector:4318") == "http://collector:4318/v1/traces"
    assert otlp.endpoint("https://host/otlp/v1/traces") == "https://host/otlp/v1/traces"
    assert otlp.endpoint("http://h:4318?key=1") == "http://h:4318/v1/traces?key=1"
    for wrong in ("localhost:4318", "http://[::1", "http://", "http://h:port"):
        with pytest.raises(UsageError, match="as http://localhost:4318"):
            otlp.endpoint(wrong)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'gameday\[otel\]'"):
        otlp.endpoint("http://collector:4318")


def test_nothing_secret_of_the_address_is_printed(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = collector.url.replace("//", "//user:hush@") + "?api-key=hush"
    assert verify(str(doubled().write(tmp_path / "run")), "--otlp", url, monkeypatch=monkeypatch) == 1
    out, err = capsys.readouterr()
    assert f"sent to {collector.url}/v1/traces\n" in err
    assert "hush" not in out + err


def test_what_the_exporter_does_not_like_costs_no_verdict(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER", "nosuch")
    run = doubled().write(tmp_path / "run")
    assert verify(str(run), "--otlp", collector.url, monkeypatch=monkeypatch) == 1
    out, err = capsys.readouterr()
    assert "verdict: violated" in out and "OpenTelemetry's exporter failed (RuntimeError)" in err
    assert (run / "verdict.json").exists()

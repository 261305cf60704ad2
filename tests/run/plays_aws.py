"""A server that plays AWS: STS and IAM of its own, and the broker in memory for the rest.

It takes what a test plants: who calls, what STS says instead, operations that are denied or whose answer is lost, and
credentials that expire.
"""

from __future__ import annotations

import http.client
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

ACCOUNT = "123456789012"
REGION = "eu-west-1"
_SCOPE = re.compile(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/aws4_request")
_IDENTITY = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:sts::{account}:assumed-role/tester/someone</Arn><UserId>A:someone</UserId><Account>{account}</Account>
</GetCallerIdentityResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetCallerIdentityResponse>"""
_ALIASES = """<ListAccountAliasesResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ListAccountAliasesResult>
<IsTruncated>false</IsTruncated><AccountAliases><member>{alias}</member></AccountAliases></ListAccountAliasesResult>
<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></ListAccountAliasesResponse>"""
_ERROR = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>{code}</Code>
<Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"""


@dataclass(kw_only=True)
class Playing:
    """`account`: whose STS says that the caller is. `refused`: the code and message with which STS answers instead.
    `refusing`: operations that are refused now, each with the code.

    `denied`: operations that are refused from the n-th on; `lost`: those that are carried out and not answered from the
    n-th on. `expires_after`: so many calls, then no credentials are good any more. `done` hears of each operation that
    was carried out, with how many of it there were, before its answer is passed on. `far_s`: how much
    longer each call takes than the broker does, as if that stood elsewhere.

    `asked` counts the calls by service and operation, `empty` those of them that were receives and found nothing;
    `regions` are those that they were signed for, and `calls` has what was asked with each.
    """

    url: str = ""
    account: str = ACCOUNT
    alias: str = "staging"
    refused: tuple[str, str] | None = None
    denied: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    expires_after: int | None = None
    done: Callable[[str, int], None] = lambda operation, count: None
    far_s: float = 0.0
    refusing: dict[str, str] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    empty: Counter[str] = field(default_factory=Counter)
    regions: set[str] = field(default_factory=set)
    calls: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    @property
    def changes(self) -> list[str]:
        """The operations that create or remove something."""
        return [name for name in self.asked if re.match(r"\w+ (Create|Delete|Put|Subscribe|Set|Send)", name)]


def environment(aws: Playing, home: Path, **changes: str) -> dict[str, str]:
    """Of a process that calls it, with nothing of the AWS set-up of whoever runs the tests; "" takes a variable out."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    own = {
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": "secret",
        **changes,
    }
    return {**kept, **{name: value for name, value in own.items() if value}}


def allow(directory: Path) -> None:
    """The allow-list of who may run there in the account that is played."""
    (directory / "gameday.toml").write_text(
        f'[[allow]]\naccount = "{ACCOUNT}"\nregions = ["{REGION}"]\nmax_messages = 100000\nmax_rate = "1000/s"\n'
        'max_duration = "1h"\nmax_cost = 10.0\n'
    )


@contextmanager
def playing(memory: str) -> Iterator[Playing]:
    """Until the end of the block, before the broker in memory at that URL."""
    state = Playing()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # An answer's head and body leave apart: the second must not wait until the first is acknowledged.
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._forward(b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            scope = _SCOPE.search(self.headers.get("Authorization") or "")
            service = scope[2] if scope else ""
            if scope:
                state.regions.add(scope[1])
            operation, asked = self._operation(body)
            state.calls.append((service, operation, asked))
            state.asked[f"{service} {operation}"] += 1
            if state.expires_after is not None and state.asked.total() > state.expires_after:
                self._expired(service)
            elif service == "sts":
                if state.refused is None:
                    self._answer(200, _IDENTITY.format(account=state.account))
                else:
                    code, message = state.refused
                    self._answer(403, _ERROR.format(code=code, message=message))
            elif service == "iam":
                self._answer(200, _ALIASES.format(alias=state.alias))
            elif state.asked[f"{service} {operation}"] >= state.denied.get(operation, 1 << 30):
                told = {"__type": "AccessDeniedException", "message": f"not authorized to perform: {operation}"}
                self._answer(400, orjson.dumps(told).decode(), "application/x-amz-json-1.0")
            elif code := state.refusing.get(operation):
                told = {"__type": code, "message": "planted"}
                self._answer(400, orjson.dumps(told).decode(), "application/x-amz-json-1.1")
            else:
                data = self._forward(body, operation, state.asked[f"{service} {operation}"])
                if operation == "ReceiveMessage" and b'"ReceiptHandle"' not in data:
                    state.empty[f"{service} {operation}"] += 1

        def _expired(self, service: str) -> None:
            message = "The security token included in the request is expired"
            if service in ("sts", "iam", "sns"):
                self._answer(403, _ERROR.format(code="ExpiredToken", message=message))
            else:
                told = {"__type": "ExpiredTokenException", "message": message}
                self._answer(400, orjson.dumps(told).decode(), "application/x-amz-json-1.0")

        def _operation(self, body: bytes) -> tuple[str, dict[str, Any]]:
            """Its name and parameters, in JSON or in the query protocol."""
            if target := self.headers.get("X-Amz-Target"):
                return target.rpartition(".")[2], orjson.loads(body or b"{}")
            asked = {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
            return asked.get("Action", ""), asked

        def _answer(self, status: int, text: str, kind: str = "text/xml") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def _forward(self, body: bytes, operation: str = "", count: int = 0) -> bytes:
            if state.far_s:
                time.sleep(state.far_s)
            connection = http.client.HTTPConnection(urlsplit(memory).netloc, timeout=30)
            try:
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                data = answer.read()
            finally:
                connection.close()
            state.done(operation, count)
            if count >= state.lost.get(operation, 1 << 30):
                self.close_connection = True
                return data
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            # Queues are told by the broker's own address, and are asked for at this one.
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            return data

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

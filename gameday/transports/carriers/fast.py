"""A carrier for sending fast: AWS's JSON protocol over one kept-alive connection a user, without botocore's layers.

It promises what boto3 with its retries off promises: one call is one request on the wire at most; the same answers
(the parsed JSON document) and the same errors. Definite: it could not connect, the service refused (4xx, a throttle).
Indefinite: anything after the request may have left: a timeout, a broken connection, a 5xx, an answer nobody can read.
Signatures are AWS's version 4, so it works against AWS as it does against an emulator.
(docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html,
docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html)

Sockets are the standard library's: under Locust they are gevent's, in a test they are plain.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import boto3
import orjson
from botocore.credentials import Credentials
from botocore.httpsession import get_cert_path
from geventhttpclient.response import HTTPParseError, HTTPResponse
from urllib3.util.wait import wait_for_read

from gameday.transports.aws_errors import is_definite
from gameday.transports.base import Answer, Call, CallFailed
from gameday.transports.carriers import calls
from gameday.transports.carriers.boto import BotoCarrier
from gameday.transports.endpoint import Endpoint

CONNECT_TIMEOUT_S = 5.0
_ALGORITHM = "AWS4-HMAC-SHA256"
_RECEIVE_BYTES = 65536


@dataclass(frozen=True, slots=True)
class JsonService:
    """How a service spells an operation (`TARGET.Operation`) and its content type."""

    target: str
    content_type: str


JSON_SERVICES: Mapping[str, JsonService] = {
    "sqs": JsonService("AmazonSQS", "application/x-amz-json-1.0"),
    "kinesis": JsonService("Kinesis_20131202", "application/x-amz-json-1.1"),
    "events": JsonService("AWSEvents", "application/x-amz-json-1.1"),
}


class FrozenCredentials(Protocol):
    @property
    def access_key(self) -> str: ...
    @property
    def secret_key(self) -> str: ...
    @property
    def token(self) -> str | None: ...


class Signer:
    """Signature version 4 of a POST, for one host and service; the derived key is kept for its day."""

    def __init__(self, *, region: str, service: str, host: str, path: str) -> None:
        self._region = region
        self._service = service
        self._host = host
        self._path = path
        self._key: tuple[str, str, bytes] = ("", "", b"")

    def headers(
        self, *, credentials: FrozenCredentials, content_type: str, target: str, body: bytes, at: float
    ) -> dict[str, str]:
        """All headers of the request but its length; `at` is the epoch in seconds."""
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
        day = moment[:8]
        # In the order of their names, as the signature wants them.
        headers = {"content-type": content_type, "host": self._host, "x-amz-date": moment}
        if credentials.token:
            headers["x-amz-security-token"] = credentials.token
        headers["x-amz-target"] = target
        names = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        canonical = f"POST\n{self._path}\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
        scope = f"{day}/{self._region}/{self._service}/aws4_request"
        to_sign = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = self._signing_key(credentials.secret_key, day)
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        headers["authorization"] = (
            f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return headers

    def _signing_key(self, secret: str, day: str) -> bytes:
        if self._key[:2] != (secret, day):
            key = b"AWS4" + secret.encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key = (secret, day, key)
        return self._key[2]


class Connection:
    """One user's connection to one service: one call at a time. Errors of a call: CallFailed."""

    def __init__(
        self,
        *,
        service: str,
        url: str,
        region: str,
        credentials: Callable[[], FrozenCredentials],
        read_timeout_s: float,
    ) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None, f"{url} names no host"
        secure = parts.scheme == "https"
        self._address = (parts.hostname, parts.port or (443 if secure else 80))
        self._path = parts.path or "/"
        self._tls = ssl.create_default_context(cafile=_certificates()) if secure else None
        self._credentials = credentials
        self._read_timeout_s = read_timeout_s
        self._service = JSON_SERVICES[service]
        self._signer = Signer(region=region, service=service, host=parts.netloc.rpartition("@")[2], path=self._path)
        self._socket: socket.socket | None = None

    def __call__(self, call: Call) -> Answer:
        body = orjson.dumps(call.params, default=_base64)
        headers = self._signer.headers(
            credentials=self._credentials(),
            content_type=self._service.content_type,
            target=f"{self._service.target}.{call.operation}",
            body=body,
            at=time.time(),
        )
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = f"POST {self._path} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body
        return _read_answer(self._exchange(self.connect(), request))

    def connect(self) -> socket.socket:
        """The kept connection, or a new one where the service has closed it. Errors: CallFailed, definite."""
        if self._socket is not None:
            # An idle connection with something to read has been closed by the other side.
            if not wait_for_read(self._socket, timeout=0.0):
                return self._socket
            self.close()
        connection: socket.socket | None = None
        try:
            connection = socket.create_connection(self._address, timeout=CONNECT_TIMEOUT_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_hostname=self._address[0])
            connection.settimeout(self._read_timeout_s)
        except OSError as error:
            if connection is not None:
                connection.close()
            kind = "ConnectTimeoutError" if isinstance(error, TimeoutError) else "EndpointConnectionError"
            where = f"{self._address[0]}:{self._address[1]}"
            raise CallFailed(kind, f"cannot connect to {where}: {error}", definite=True) from error
        self._socket = connection
        return connection

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, connection: socket.socket, request: bytes) -> HTTPResponse:
        response = HTTPResponse("POST")
        whole = False
        try:
            connection.sendall(request)
            while not response.message_complete or response.get_code() < 200:
                data = connection.recv(_RECEIVE_BYTES)
                if not data:
                    raise ConnectionResetError("the connection was closed before the answer")
                response.feed(data)
            whole = not response.should_close()
        except TimeoutError as error:
            raise CallFailed(
                "ReadTimeoutError", f"no answer within {self._read_timeout_s} s", definite=False
            ) from error
        except (OSError, HTTPParseError) as error:
            raise CallFailed("ConnectionClosedError", str(error), definite=False) from error
        finally:
            if not whole:
                self.close()
        return response


def _base64(blob: object) -> str:
    """A blob as both versions of the protocol write it (smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html)."""
    if not isinstance(blob, bytes):
        raise TypeError(f"{type(blob).__name__} is nothing that AWS's JSON protocol sends")
    return base64.b64encode(blob).decode()


def _read_answer(response: HTTPResponse) -> Answer:
    status = response.get_code()
    # Only the subclass that reads the socket itself has a public way to the body.
    body = bytes(response._body_buffer)
    try:
        document: Any = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError:
        document = None
    if status == 200 and isinstance(document, dict):
        return document
    if status == 200:
        raise CallFailed("BadAnswer", f"no JSON object: {body[:200]!r}", definite=False)
    told = document if isinstance(document, dict) else {}
    # Services that once spoke the query protocol name the old error code in this header, and boto3 shows that one.
    code = str(response.get("x-amzn-query-error") or "").partition(";")[0]
    code = code or str(told.get("__type", "")).rpartition("#")[2] or f"HTTP{status}"
    message = str(told.get("message") or told.get("Message") or body[:200].decode(errors="replace"))
    raise CallFailed(code, message, definite=is_definite(status, code))


class FastCarrier:
    """One connection for each user and service. `services` must all be in JSON_SERVICES."""

    def __init__(self, endpoint: Endpoint, *, services: tuple[str, ...], read_timeout_s: float) -> None:
        boto = BotoCarrier(endpoint)
        # boto3 knows where AWS is, and which environment variables and profiles say otherwise.
        self._urls = {service: str(boto.client(service).meta.endpoint_url) for service in services}
        self._region = endpoint.region
        self._read_timeout_s = read_timeout_s
        if endpoint.access_key is not None:
            self._source: Any = Credentials(endpoint.access_key, endpoint.secret_key)
        else:
            self._source = boto3.session.Session().get_credentials()

    def for_one_user(self) -> Callable[[Call], Answer]:
        connections = {
            service: Connection(
                service=service,
                url=url,
                region=self._region,
                credentials=self._credentials,
                read_timeout_s=self._read_timeout_s,
            )
            for service, url in self._urls.items()
        }
        for connection in connections.values():
            try:
                connection.connect()
            except CallFailed:
                # Warming up is a courtesy: the first call meets the same failure and records it.
                continue

        def carry(call: Call) -> Answer:
            began = calls.began()
            try:
                answer = connections[call.service](call)
            except CallFailed as failed:
                calls.ended(call, began, failed)
                raise
            calls.ended(call, began, answer=answer)
            return answer

        return carry

    def _credentials(self) -> FrozenCredentials:
        if self._source is None:
            raise CallFailed("NoCredentialsError", "no AWS credentials were found", definite=True)
        frozen: FrozenCredentials = self._source.get_frozen_credentials()
        return frozen


def _certificates() -> str | None:
    given = os.environ.get("AWS_CA_BUNDLE")
    found: str | None = given or get_cert_path(True)
    return found

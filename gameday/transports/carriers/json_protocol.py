"""AWS's JSON protocol, for the carriers that speak it without an SDK: a request, signed, and what an answer says.

It promises the same answers and the same errors as botocore with its retries off, for the operations that stand in
SERVICES and no others. Definite: the service refused (4xx, a throttle). Indefinite: a 5xx, an answer nobody can read.
In one thing it is stricter: a 200 without a JSON object, or with half a head, is nothing that a service said, and
botocore takes it for an empty answer. Members that botocore's models do not know stay in an answer.
Signatures are AWS's version 4, so it works against AWS as it does against an emulator.
(docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html,
docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html)
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import ssl
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httptools
import orjson
from botocore.httpsession import create_urllib3_context, get_cert_path

from gameday.transports.aws_errors import is_definite
from gameday.transports.base import Answer, Call, CallFailed

CONNECT_TIMEOUT_S = 5.0
# Within a text, as the body of a message is, quotation marks have a backslash before them.
_NULL_MEMBER = re.compile(rb'[^\\]"\s*:\s*null')
_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, kw_only=True, slots=True)
class JsonService:
    """How a service spells an operation (`TARGET.Operation`), its content type, and which operations are spoken here.

    `decodes`: of an operation, what makes of its answer what botocore makes of it, where JSON has no such type.
    `query_mode`: it spoke AWS's query protocol once and tells errors by the codes of that, where it is asked to
    (smithy.io/2.0/aws/protocols/aws-query-protocol.html, awsQueryCompatible).
    """

    target: str
    content_type: str
    operations: Collection[str]
    decodes: Mapping[str, Callable[[dict[str, Any]], None]] = field(default_factory=dict)
    query_mode: bool = False


def _decode_messages(answer: dict[str, Any]) -> None:
    for message in answer.get("Messages") or ():
        for attribute in (message.get("MessageAttributes") or {}).values():
            if "BinaryValue" in attribute:
                attribute["BinaryValue"] = base64.b64decode(attribute["BinaryValue"])


def _decode_records(answer: dict[str, Any]) -> None:
    for record in answer.get("Records") or ():
        record["Data"] = base64.b64decode(record["Data"])
        if "ApproximateArrivalTimestamp" in record:
            record["ApproximateArrivalTimestamp"] = datetime.fromtimestamp(record["ApproximateArrivalTimestamp"], UTC)


def _decode_items(answer: dict[str, Any]) -> None:
    for item in (*(answer.get("Items") or ()), *map(answer.get, ("Item", "Attributes", "LastEvaluatedKey"))):
        for attribute in (item or {}).values():
            _decode_attribute(attribute)


def _decode_attribute(attribute: dict[str, Any]) -> None:
    """In DynamoDB's own notation, in which its key is its type
    (amazondynamodb/latest/APIReference/API_AttributeValue.html)."""
    for kind, value in attribute.items():
        match kind:
            case "B":
                attribute[kind] = base64.b64decode(value)
            case "BS":
                attribute[kind] = [base64.b64decode(each) for each in value]
            case "M" | "L":
                for each in value.values() if kind == "M" else value:
                    _decode_attribute(each)


SERVICES: Mapping[str, JsonService] = {
    "sqs": JsonService(
        target="AmazonSQS",
        content_type="application/x-amz-json-1.0",
        operations=frozenset(
            {
                "SendMessageBatch",
                "ReceiveMessage",
                "DeleteMessageBatch",
                "ChangeMessageVisibilityBatch",
                "GetQueueAttributes",
            }
        ),
        decodes={"ReceiveMessage": _decode_messages},
        query_mode=True,
    ),
    "kinesis": JsonService(
        target="Kinesis_20131202",
        content_type="application/x-amz-json-1.1",
        operations=frozenset({"PutRecords", "GetRecords", "GetShardIterator", "ListShards"}),
        decodes={"GetRecords": _decode_records},
    ),
    "events": JsonService(
        target="AWSEvents", content_type="application/x-amz-json-1.1", operations=frozenset({"PutEvents"})
    ),
    "dynamodb": JsonService(
        target="DynamoDB_20120810",
        content_type="application/x-amz-json-1.0",
        operations=frozenset({"GetItem", "PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "Query", "Scan"}),
        decodes=dict.fromkeys(("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan"), _decode_items),
    ),
}


def speaks(call: Call) -> bool:
    """Whether a call can be made this way."""
    service = SERVICES.get(call.service)
    return service is not None and call.operation in service.operations


def goes_through_proxy(url: str) -> bool:
    """Whether the environment names a proxy on the way to this URL, which the SDK knows how to go through."""
    parts = urlsplit(url)
    return parts.scheme in getproxies() and not proxy_bypass(parts.netloc.rpartition("@")[2])


class FrozenCredentials(Protocol):
    @property
    def access_key(self) -> str: ...
    @property
    def secret_key(self) -> str: ...
    @property
    def token(self) -> str | None: ...


def no_credentials() -> CallFailed:
    return CallFailed("NoCredentialsError", "no AWS credentials were found", definite=True)


def tls_context(session: Any) -> ssl.SSLContext:
    """TLS as botocore has it, and who is trusted, as environment or profile tell a session of botocore's.

    Errors: CallFailed where the file of those is none.
    """
    told = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    context: ssl.SSLContext = create_urllib3_context()
    # urllib3 looks at the name by itself.
    context.check_hostname = True
    try:
        context.load_verify_locations(told or get_cert_path(True))
    except OSError as error:
        raise CallFailed("SSLError", f"the file of trusted certificates {told}: {error}", definite=True) from error
    return context


class Signer:
    """Signature version 4 of a POST, for one host and service; the derived key is kept for its day."""

    def __init__(self, *, region: str, service: str, host: str, path: str) -> None:
        self._region = region
        self._service = service
        self._query_mode = SERVICES[service].query_mode
        self._host = host
        self._path = path
        self._key: tuple[str, str, bytes] = ("", "", b"")
        self._moment: tuple[int, str] = (0, "")

    def headers(
        self, *, credentials: FrozenCredentials, content_type: str, target: str, body: bytes, at: float
    ) -> dict[str, str]:
        """All headers of the request but its length; `at` is the epoch in seconds."""
        second = int(at)
        if self._moment[0] != second:
            self._moment = (second, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second)))
        moment = self._moment[1]
        day = moment[:8]
        # In the order of their names, as the signature wants them.
        headers = {"content-type": content_type, "host": self._host, "x-amz-date": moment}
        if credentials.token:
            headers["x-amz-security-token"] = credentials.token
        headers["x-amz-target"] = target
        if self._query_mode:
            headers["x-amzn-query-mode"] = "true"
        names = ";".join(headers)
        lines = "".join([f"{name}:{value}\n" for name, value in headers.items()])
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


class Place:
    """A service at its URL: where to connect to, the bytes of a request, and what its answer says."""

    def __init__(self, *, service: str, url: str, region: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None, f"{url} names no host"
        self.secure = parts.scheme == "https"
        self.host, self.port = parts.hostname, parts.port or (443 if self.secure else 80)
        self._path = parts.path or "/"
        self._service = SERVICES[service]
        host = parts.netloc.rpartition("@")[2]
        self._signer = Signer(region=region, service=service, host=host, path=self._path)

    def request(self, call: Call, credentials: FrozenCredentials) -> bytes:
        body = orjson.dumps(call.params, default=_as_json, option=orjson.OPT_PASSTHROUGH_DATETIME)
        headers = self._signer.headers(
            credentials=credentials,
            content_type=self._service.content_type,
            target=f"{self._service.target}.{call.operation}",
            body=body,
            at=time.time(),
        )
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        return f"POST {self._path} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body

    def answer(self, call: Call, response: Response) -> Answer:
        """Errors: CallFailed."""
        document = _answered(response)
        if decode := self._service.decodes.get(call.operation):
            decode(document)
        return document

    def unreachable(self, error: OSError) -> CallFailed:
        """What a connection that could not be made proves: nothing was sent."""
        kind = "EndpointConnectionError"
        if isinstance(error, TimeoutError):
            kind = "ConnectTimeoutError"
        elif isinstance(error, ssl.SSLError):
            kind = "SSLError"
        return CallFailed(kind, f"cannot connect to {self.host}:{self.port}: {error}", definite=True)


def not_answered(seconds: float) -> CallFailed:
    return CallFailed("ReadTimeoutError", f"no answer within {seconds} s", definite=False)


def broken_off(error: Exception | str) -> CallFailed:
    """The connection broke, or said what nobody can read, after the request may have left."""
    return CallFailed("ConnectionClosedError", str(error), definite=False)


class Response:
    """One answer, fed with what a connection brings. `whole`: it is all there; then `keep` tells whether the connection
    may be used again."""

    __slots__ = ("_endless", "_parser", "body", "error_code", "keep", "status", "whole")

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._begin()

    def _begin(self) -> None:
        self.status, self.body, self.error_code, self.keep, self.whole = 0, b"", "", False, False
        # Of an answer that does not say how long it is, and so lasts as long as its connection.
        self._endless = True

    def ended(self) -> None:
        """The other side has closed the connection in good order, which is the end of some answers.

        Errors: CallFailed, for where it is none.
        """
        if not self.status or not self._endless:
            raise broken_off("the connection was closed before the answer")
        self.keep, self.whole = False, True

    def feed(self, data: bytes) -> None:
        """Errors: CallFailed, for what is no HTTP."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.whole:
                # More came than the answer: it stands, but whose would the rest be?
                self.keep = False
                return
            raise broken_off(f"no HTTP: {error}") from error

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self.whole:
            raise ValueError("there is a second one behind it")

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in (b"content-length", b"transfer-encoding"):
            self._endless = False
        # Services that once spoke the query protocol name the old error code here, and botocore shows that one.
        elif name == b"x-amzn-query-error":
            self.error_code = value.decode(errors="replace").partition(";")[0]

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        self.body = self.body + data if self.body else data

    def on_message_complete(self) -> None:
        if self.status < 200:
            # "100 Continue": the answer is still to come.
            self._begin()
            return
        self.keep, self.whole = self._parser.should_keep_alive(), True


def _answered(response: Response) -> dict[str, Any]:
    status, body = response.status, response.body
    try:
        document: Any = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError:
        document = None
    if status < 300:
        if not isinstance(document, dict):
            raise CallFailed("BadAnswer", f"no JSON object: {body[:200]!r}", definite=False)
        return _without_nulls(document) if b"null" in body and _NULL_MEMBER.search(body) else document
    told = document if isinstance(document, dict) else {}
    named = str(told.get("__type", "")).partition(":")[0].rpartition("#")[2]
    code = response.error_code or named or str(status)
    message = str(told.get("message") or told.get("Message") or body[:200].decode(errors="replace"))
    raise CallFailed(code, message, definite=is_definite(status, code))


def _without_nulls(value: Any) -> Any:
    """To botocore a member that is null is not there."""
    if isinstance(value, dict):
        return {key: _without_nulls(member) for key, member in value.items() if member is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _as_json(value: object) -> object:
    """What JSON has no type for, as both versions of the protocol write it
    (smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html)."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{type(value).__name__} is nothing that AWS's JSON protocol sends")

"""Every operation of the services that the wire reads, as botocore writes it: with the wire and without it the same.

Calls and answers are made from botocore's own models. Each call goes to a service that records it, once past the wire
and once through it; what must come the same is everything but what `as_it_goes_on` and `as_it_comes_back` name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest
from botocore.config import Config
from botocore.eventstream import EventStream
from botocore.exceptions import ClientError
from botocore.model import OperationModel

from gameday.transports.endpoint import Endpoint
from tests.series import series
from tests.wire import shapes
from tests.wire.sink import Got, Sink, answer, sink
from tests.wire.wired import Wired, wired

# What botocore can be told to speak, and SQS's older protocol, which other SDKs still do.
SPOKEN = [
    ("sqs", "json"),
    ("sqs", "query"),
    ("sns", "query"),
    ("events", "json"),
    ("kinesis", "json"),
    ("kinesis", "smithy-rpc-v2-cbor"),
    ("dynamodb", "json"),
]
# Of two equal calls these differ, too.
_NEW_EVERY_TIME = ("authorization", "x-amz-date", "amz-sdk-invocation-id", "amz-sdk-request")
# Parameters that lead a call elsewhere, or that botocore takes with a library alone that is not here.
_LEFT_OUT = {("events", "PutEvents"): ("EndpointId",)}


@pytest.fixture(scope="module")
def service() -> Iterator[Sink]:
    with sink() as served:
        yield served


@pytest.fixture(scope="module")
def wire(service: Sink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wired]:
    target = Endpoint(urls={"*": service.url}, access_key="test", secret_key="test")
    path: Path = tmp_path_factory.mktemp("wire")
    with wired(target, path, queue=f"{service.url}/000000000000/orders") as wire:
        yield wire


# What the wire changes on purpose


def as_it_goes_on(service: str, operation: str, sent: Seen, *, target: str) -> Seen:
    """A request as the target must get it."""
    headers = {**sent.headers, "host": target.removeprefix("http://")}
    body = sent.body
    if service == "sqs":
        # Its answers are read, so they should not come compressed (which botocore does not ask for, others do).
        headers["accept-encoding"] = "identity"
    if (service, operation) == ("sqs", "ReceiveMessage"):
        # All system attributes are asked for, since what is recorded stands in them.
        asked = "MessageSystemAttributeNames" if "MessageSystemAttributeNames" in body else "AttributeNames"
        body = body if "All" in body.get("AttributeNames", ()) else {**body, asked: ["All"]}
    return Seen(method=sent.method, target=sent.target, headers=headers, body=body)


def as_it_comes_back(operation: str, answered: Any, *, full: bool, origin: str, target: str) -> Any:
    """An answer as the consumer must get it."""
    if operation == "ReceiveMessage" and not full:
        # It did not ask for attributes.
        for message in answered["Messages"]:
            message.pop("Attributes", None)
    # Queue URLs lead to the wire.
    return _moved(answered, target, origin) if operation in _TELL_URLS else answered


def without_the_wires_headers(operation: str, answered: Any, *, full: bool) -> Any:
    """It says when and by whom it was answered where the service has not, and nothing of a body that it has changed."""
    changed = operation in _TELL_URLS or (operation == "ReceiveMessage" and not full)
    for name in ("date", "server", *(("content-length", "x-amz-crc32") if changed else ())):
        answered["ResponseMetadata"]["HTTPHeaders"].pop(name, None)
    return answered


_TELL_URLS = ("CreateQueue", "GetQueueUrl", "ListQueues", "ListDeadLetterSourceQueues")


def _moved(told: Any, target: str, origin: str) -> Any:
    if isinstance(told, dict):
        return {name: _moved(each, target, origin) for name, each in told.items()}
    if isinstance(told, list):
        return [_moved(each, target, origin) for each in told]
    return told.replace(target, origin) if isinstance(told, str) else told


# The comparison


def client(service: str, protocol: str, url: str) -> Any:
    config = Config(
        retries={"total_max_attempts": 1}, inject_host_prefix=False, parameter_validation=True, read_timeout=10
    )
    session = shapes.session(protocol)
    return session.create_client(service, region_name="us-east-1", endpoint_url=url, config=config)


def parameters(operation: OperationModel, *, full: bool, queue: str) -> dict[str, Any]:
    shape = operation.input_shape
    given = {} if shape is None else shapes.value(shape, full=full)
    for name in _LEFT_OUT.get((operation.service_model.service_name, operation.name), ()):
        given.pop(name, None)
    if "QueueUrl" in given:
        given["QueueUrl"] = queue
    return given


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A request as it is compared: headers by name in lower case, without those that are between neighbours; the
    parameters of a receive in place of its body."""

    method: str
    target: str
    headers: dict[str, str]
    body: Any


def seen(got: Got, service: str, operation: str) -> Seen:
    headers = {name.lower(): value for name, value in got.headers}
    assert len(headers) == len(got.headers), "no header twice"
    for name in _NEW_EVERY_TIME:
        if name in headers:
            headers[name] = "…"
    for name in ("connection", "expect"):
        headers.pop(name, None)
    body: Any = got.body
    if (service, operation) == ("sqs", "ReceiveMessage"):
        body = _read(got)
        assert headers.pop("content-length") == str(len(got.body))
    return Seen(method=got.method, target=got.target, headers=headers, body=body)


def _read(got: Got) -> dict[str, Any]:
    """Parameters; those of a form that are lists by their element's name with an s."""
    if not (got.header("Content-Type") or "").startswith("application/x-www-form-urlencoded"):
        return dict(orjson.loads(got.body))
    found: dict[str, Any] = {}
    for name, value in parse_qsl(got.body.decode(), keep_blank_values=True, strict_parsing=True):
        element, dot, _ = name.partition(".")
        if dot:
            found.setdefault(f"{element}s", []).append(value)
        else:
            found[name] = value
    return found


def call(to: Any, operation: OperationModel, given: dict[str, Any]) -> Any:
    """What botocore makes of the answer, an error included."""
    try:
        answered = to._make_api_call(operation.name, given)
        answered = {name: list(each) if isinstance(each, EventStream) else each for name, each in answered.items()}
    except ClientError as error:
        answered = {**error.response, "raised": type(error).__name__}
    return answered


def both(
    service: Sink, direct: Any, through: Any, operation: OperationModel, given: dict[str, Any], *, full: bool
) -> list[Any]:
    """The answers without and with the wire, and the requests."""
    service.got.clear()
    answers = [
        without_the_wires_headers(operation.name, call(to, operation, given), full=full) for to in (direct, through)
    ]
    name = operation.service_model.service_name
    assert len(service.got) == 2 and not service.broken, operation.name
    return [*answers, *(seen(got, name, operation.name) for got in service.got)]


@pytest.mark.parametrize("full", [True, *series(False)], ids=["all-members", "required-only"])
@pytest.mark.parametrize(("name", "protocol"), SPOKEN)
def test_every_operation(name: str, protocol: str, full: bool, service: Sink, wire: Wired) -> None:
    direct, through = client(name, protocol, service.url), client(name, protocol, wire.client.origin)
    model = direct.meta.service_model
    url = f"{service.url}/000000000000/told"
    known = {"QueueUrl": url, "QueueUrls": [url, f"{url}-too"], "queueUrls": [url]}
    for operation_name in model.operation_names:
        operation = model.operation_model(operation_name)
        body, headers = shapes.answer_to(operation, protocol, known=known)
        service.always(answer(body, headers=headers))
        given = parameters(operation, full=full, queue=wire.queue)
        straight, passed, sent, arrived = both(service, direct, through, operation, given, full=full)
        assert arrived == as_it_goes_on(name, operation_name, sent, target=service.url), operation_name
        assert "authorization" in arrived.headers and "x-amz-date" in arrived.headers
        assert passed == as_it_comes_back(
            operation_name, straight, full=full, origin=wire.client.origin, target=service.url
        ), operation_name
        if operation.output_shape is not None and operation.output_shape.members:
            assert len(passed) > 1, f"{operation_name} was answered with nothing"


@pytest.mark.parametrize(("name", "protocol"), [("sqs", "json"), ("sqs", "query"), *series(*SPOKEN[2:])])
def test_every_error(name: str, protocol: str, service: Sink, wire: Wired) -> None:
    direct, through = client(name, protocol, service.url), client(name, protocol, wire.client.origin)
    model = direct.meta.service_model
    version = model.metadata.get("jsonVersion", "")
    codes = set()
    for operation_name in model.operation_names:
        operation = model.operation_model(operation_name)
        given = parameters(operation, full=False, queue=wire.queue)
        for error in operation.error_shapes:
            status, body, headers = shapes.refusal_of(error, protocol, version=version)
            service.always(answer(body, status=status, headers=headers))
            straight, passed, _, _ = both(service, direct, through, operation, given, full=True)
            assert passed == straight, (operation_name, error.name)
            codes.add(passed["Error"]["Code"])
    assert len(codes) >= len({error.name for error in model.error_shapes}) // 2

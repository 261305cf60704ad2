"""botocore's service models as a source of calls: parameters and answers of any shape, in any protocol.

What is made is the same every time. Members that say nothing of themselves to a proxy (a name, a number) are made to be
awkward for one: quotes, angle brackets, line ends, characters of two and four bytes.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

import botocore.session
import cbor2
import orjson
from botocore.loaders import Loader
from botocore.model import OperationModel, Shape

_DEPTH = 6
_TEXT = 'é "q" <a&b> \\n 𝄞 +%2F/ =;'
_TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

# SQS's model no longer says how its older protocol calls what stands in a list or a map
# (docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference, as of 2022): those where it is not the shape's name.
_ELEMENTS = {
    "AWSAccountIdList": "AWSAccountId",
    "ActionNameList": "ActionName",
    "AttributeNameList": "AttributeName",
    "MessageSystemAttributeList": "MessageSystemAttributeName",
    "QueueUrlList": "QueueUrl",
}
_MAPS = {
    "QueueAttributeMap": ("Attribute", "Name", "Value"),
    "MessageSystemAttributeMap": ("Attribute", "Name", "Value"),
    "MessageBodyAttributeMap": ("MessageAttribute", "Name", "Value"),
    "MessageBodySystemAttributeMap": ("MessageSystemAttribute", "Name", "Value"),
    "TagMap": ("Tag", "Key", "Value"),
}


class _Speaking(Loader):  # type: ignore[misc]  # botocore ships no types
    """botocore's own models, of a service that speaks this protocol alone."""

    def __init__(self, protocol: str) -> None:
        super().__init__()
        self._protocol = protocol

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        model = super().load_service_model(service_name, type_name, api_version)
        if type_name != "service-2":
            return model
        metadata = {**model["metadata"], "protocol": self._protocol, "protocols": [self._protocol]}
        if service_name != "sqs" or self._protocol != "query":
            return {**model, "metadata": metadata}
        metadata.pop("awsQueryCompatible")
        shapes = {name: _named(name, shape) for name, shape in model["shapes"].items()}
        operations = {
            name: operation
            if "output" not in operation
            else {**operation, "output": {**operation["output"], "resultWrapper": f"{name}Result"}}
            for name, operation in model["operations"].items()
        }
        return {**model, "metadata": metadata, "shapes": shapes, "operations": operations}


def _named(name: str, shape: Mapping[str, Any]) -> dict[str, Any]:
    if shape["type"] == "list" and shape.get("flattened"):
        element = _ELEMENTS.get(name, shape["member"]["shape"])
        return {**shape, "member": {**shape["member"], "locationName": element}}
    if name in _MAPS:
        _, key, value = _MAPS[name]
        named = {"key": {**shape["key"], "locationName": key}, "value": {**shape["value"], "locationName": value}}
        return {**shape, **named}
    if shape["type"] == "structure":
        members = {
            member: {**given, "locationName": _MAPS[given["shape"]][0]} if given["shape"] in _MAPS else given
            for member, given in shape["members"].items()
        }
        return {**shape, "members": members}
    return dict(shape)


def session(protocol: str) -> Any:
    made = botocore.session.Session()
    made.register_component("data_loader", _Speaking(protocol))
    made.set_credentials("test", "test")
    return made


def value(shape: Shape, *, full: bool, depth: int = 0) -> Any:
    """One of this shape as a caller of botocore gives it; with `full` every member, else those that must be there.

    A shape that holds itself ends at some depth; of a union the first member is taken that is no such.
    """
    kind = shape.type_name
    if kind == "structure":
        return _structure(shape, full=full, depth=depth)
    if kind == "list":
        count = 0 if depth > _DEPTH else max(int(shape.metadata.get("min", 0)), 2 if full else 1)
        return [value(shape.member, full=full, depth=depth + 1) for _ in range(count)]
    if kind == "map":
        key = value(shape.key, full=full)
        return {} if depth > _DEPTH else {key: value(shape.value, full=full, depth=depth + 1)}
    if kind == "string":
        if shape.enum:
            return shape.enum[0]
        return _TEXT.ljust(int(shape.metadata.get("min", 0)), "x")
    if kind == "blob":
        return b"\x00\xff<blob>\r\n".ljust(int(shape.metadata.get("min", 0)), b"x")
    if kind in ("integer", "long"):
        return max(int(shape.metadata.get("min", 0)), 7)
    return {"boolean": True, "timestamp": _TIME, "double": 1.5, "float": 1.5}[kind]


def _structure(shape: Any, *, full: bool, depth: int) -> dict[str, Any]:
    members: Mapping[str, Shape] = shape.members
    if getattr(shape, "is_tagged_union", False):
        name = next(iter(members))
        return {name: value(members[name], full=full, depth=depth + 1)}
    # A token that botocore would make up would be another one every time.
    required = set(shape.required_members) | {
        name for name, member in members.items() if member.metadata.get("idempotencyToken")
    }
    names = [name for name in members if name in required or (full and depth <= _DEPTH)]
    if shape.name == "AttributeValue" and depth > 3:
        names = ["S"]
    return {name: value(members[name], full=full, depth=depth + 1) for name in names}


# Answers: the same values as a service writes them


def answer_to(operation: OperationModel, protocol: str, *, known: Mapping[str, Any]) -> tuple[bytes, dict[str, str]]:
    """The body of an answer to it with all that may be in one, and its headers. `known`: members that have this value
    wherever there are such."""
    shape = operation.output_shape
    if operation.has_event_stream_output:
        return _events(shape, cbor=protocol != "json"), {"Content-Type": "application/vnd.amazon.eventstream"}
    given = {} if shape is None else value(shape, full=True)
    given |= {name: each for name, each in known.items() if shape is not None and name in shape.members}
    if protocol == "query":
        return _xml_answer(operation, given), {"Content-Type": "text/xml"}
    if protocol == "smithy-rpc-v2-cbor":
        body = b"" if shape is None else cbor2.dumps(_plain(shape, given, cbor=True), datetime_as_timestamp=True)
        return body, {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
    version = operation.service_model.metadata["jsonVersion"]
    body = b"" if shape is None else orjson.dumps(_plain(shape, given))
    return body, {
        "Content-Type": f"application/x-amz-json-{version}",
        "x-amz-crc32": str(binascii.crc32(body)),
        "x-amzn-RequestId": "0123",
    }


def refusal_of(error: Shape, protocol: str, *, version: str) -> tuple[int, bytes, dict[str, str]]:
    """A service's word that something is wrong, in each of the protocols."""
    told = error.metadata.get("error") or {}
    code, status = told.get("code") or error.name, int(told.get("httpStatusCode") or 400)
    message = f"because of {_TEXT}"
    if protocol == "query":
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
            "<RequestId>0123</RequestId></ErrorResponse>"
        )
        return status, text.encode(), {"Content-Type": "text/xml"}
    document = {**_plain(error, value(error, full=True)), "__type": f"com.amazonaws#{error.name}", "message": message}
    if protocol == "smithy-rpc-v2-cbor":
        headers = {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
        return status, cbor2.dumps(document), headers
    headers = {"Content-Type": f"application/x-amz-json-{version}"}
    if version == "1.0":
        headers["x-amzn-query-error"] = f"AWS.Old.{error.name};Sender"
    return status, orjson.dumps(document), headers


def _plain(shape: Any, given: Any, *, cbor: bool = False) -> Any:
    """As JSON has it, or CBOR."""
    match shape.type_name:
        case "structure":
            return {name: _plain(shape.members[name], each, cbor=cbor) for name, each in given.items()}
        case "list":
            return [_plain(shape.member, each, cbor=cbor) for each in given]
        case "map":
            return {key: _plain(shape.value, each, cbor=cbor) for key, each in given.items()}
        case "blob":
            return given if cbor else base64.b64encode(given).decode()
        case "timestamp":
            return given if cbor else given.timestamp()
        case _:
            return given


def _xml_answer(operation: OperationModel, given: Mapping[str, Any]) -> bytes:
    shape = operation.output_shape
    inner = ""
    if shape is not None:
        inner = _xml(shape, given)
        wrapper = shape.serialization.get("resultWrapper")
        inner = f"<{wrapper}>{inner}</{wrapper}>" if wrapper else inner
    name = f"{operation.name}Response"
    text = f"<{name}>{inner}<ResponseMetadata><RequestId>0123</RequestId></ResponseMetadata></{name}>"
    return f'<?xml version="1.0"?>\n{text}'.encode()


def _xml(shape: Any, given: Any) -> str:
    match shape.type_name:
        case "structure":
            return "".join(_element(shape.members[name], name, each) for name, each in given.items())
        case "list":
            return "".join(f"<member>{_xml(shape.member, each)}</member>" for each in given)
        case "map":
            return "".join(f"<entry>{_pair(shape, key, each)}</entry>" for key, each in given.items())
        case "blob":
            return base64.b64encode(given).decode()
        case "timestamp":
            return f"{given:%Y-%m-%dT%H:%M:%SZ}"
        case "boolean":
            return str(given).lower()
        case _:
            return escape(str(given))


def _element(shape: Any, name: str, given: Any) -> str:
    name = shape.serialization.get("name", name)
    if not shape.serialization.get("flattened"):
        return f"<{name}>{_xml(shape, given)}</{name}>"
    if shape.type_name == "list":
        name = shape.member.serialization.get("name", name)
        return "".join(f"<{name}>{_xml(shape.member, each)}</{name}>" for each in given)
    return "".join(f"<{name}>{_pair(shape, key, each)}</{name}>" for key, each in given.items())


def _pair(shape: Any, key: str, each: Any) -> str:
    first, second = shape.key.serialization.get("name", "key"), shape.value.serialization.get("name", "value")
    return f"<{first}>{escape(key)}</{first}><{second}>{_xml(shape.value, each)}</{second}>"


def _events(shape: Any, *, cbor: bool) -> bytes:
    """A stream of one event of each kind, after the one that opens it."""
    stream = shape.members[shape.event_stream_name]
    kinds = {
        name: _plain(member, value(member, full=True), cbor=cbor)
        for name, member in stream.members.items()
        if member.serialization.get("event")
    }
    return b"".join(_event(name, payload, cbor=cbor) for name, payload in {"initial-response": {}, **kinds}.items())


def _event(kind: str, payload: Mapping[str, Any], *, cbor: bool) -> bytes:
    """docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html has the format."""
    body = cbor2.dumps(payload, datetime_as_timestamp=True) if cbor else orjson.dumps(payload)
    content_type = "application/cbor" if cbor else "application/json"
    fields = {":message-type": "event", ":event-type": kind, ":content-type": content_type}
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(text)) + text.encode()
        for name, text in fields.items()
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack(">I", binascii.crc32(prelude)) + headers + body
    return message + struct.pack(">I", binascii.crc32(message))

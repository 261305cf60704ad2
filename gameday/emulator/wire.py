"""What services are asked and answer, as data, and how AWS's protocols write it.

A service gets an operation's parameters and gives an answer or a `Refused`; it never sees a protocol. `Json` is AWS
JSON 1.0 and 1.1 (the operation stands in the header X-Amz-Target), `Query` the older one of SNS (a form in, XML out),
`Rest` that of services whose operations are paths. All are written down in smithy.io/2.0/aws/protocols.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

import orjson

Params = Mapping[str, Any]
Answer = dict[str, Any]
T = TypeVar("T")


class Refused(Exception):
    """An answer that is an error: its code, its message and what more members it has. Nothing was changed."""

    def __init__(self, code: str, message: str, *, status: int = 400, more: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.more = more or {}


def known(operations: Mapping[str, T], operation: str, *, refusal: str = "UnknownOperationException") -> T:
    """What carries an operation out. Errors: Refused, with the code by which the service's protocol refuses."""
    try:
        return operations[operation]
    except KeyError:
        raise Refused(refusal, f"The operation {operation} is not known here.") from None


class Written(NamedTuple):
    """An answer as it goes over HTTP; `headers` are whole lines. `length`: what a body would have that is left out;
    `status`: of an answer that is no refusal."""

    content_type: bytes
    body: bytes
    headers: bytes = b""
    length: int | None = None
    status: int = 200


class Wire(Protocol):
    """How one service is spoken to."""

    def read(self, body: bytes) -> Params:
        """The parameters. Errors: Refused."""

    def write(self, operation: str, answer: Answer, *, request_id: int) -> Written: ...

    def refuse(self, refused: Refused, *, request_id: int) -> Written: ...


@dataclass(frozen=True, kw_only=True)
class Json:
    """`target` stands before the operation's name. `query_codes`: what a service was used to call its errors."""

    target: str
    version: str
    namespace: str
    query_codes: Mapping[str, str] | None = None
    content_type: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "content_type", f"application/x-amz-json-{self.version}".encode())

    def read(self, body: bytes) -> Params:
        return _json(body)

    def write(self, operation: str, answer: Answer, *, request_id: int) -> Written:
        return Written(self.content_type, orjson.dumps(answer))

    def refuse(self, refused: Refused, *, request_id: int) -> Written:
        headers = b""
        if self.query_codes is not None:
            # The SDKs still show the code of old, from this header.
            code = self.query_codes.get(refused.code, refused.code)
            headers = b"x-amzn-query-error: %b;Sender\r\n" % code.encode()
        document = {"__type": f"{self.namespace}#{refused.code}", "message": refused.message, **refused.more}
        return Written(self.content_type, orjson.dumps(document), headers)


@dataclass(frozen=True, kw_only=True)
class Rest:
    """REST with JSON: method and path say which operation it is. `routes`: by operation, the method and a pattern of
    the path, whose groups are parameters. `payloads`: operations whose body is a Payload, asked and answered, with the
    headers of either that are members."""

    routes: Mapping[str, tuple[str, str]]
    payloads: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def route(self, method: str, path: str) -> tuple[str, Params] | None:
        """The operation, and the parameters that stand in the path."""
        bare, _, query = path.partition("?")
        for operation, (expected, pattern) in self.routes.items():
            if method == expected and (matched := re.fullmatch(pattern, bare)):
                return operation, {**dict(parse_qsl(query)), **{k: unquote(v) for k, v in matched.groupdict().items()}}
        return None

    def read(self, body: bytes) -> Params:
        return _json(body)

    def asked(self, operation: str, headers: Mapping[str, str], body: bytes) -> Params:
        """What stands outside of the path. Errors: Refused."""
        if operation not in self.payloads:
            return self.read(body)
        told = {member: headers[name] for member, name in self.payloads[operation].items() if name in headers}
        return {**told, "Payload": body}

    def write(self, operation: str, answer: Answer, *, request_id: int) -> Written:
        if operation in self.payloads:
            told = {name: answer[member] for member, name in self.payloads[operation].items() if member in answer}
            lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
            return Written(b"application/json", answer["Payload"], lines.encode())
        return Written(b"application/json", orjson.dumps(answer))

    def refuse(self, refused: Refused, *, request_id: int) -> Written:
        document = {"message": refused.message, **refused.more}
        header = b"x-amzn-errortype: %b\r\n" % refused.code.encode()
        return Written(b"application/json", orjson.dumps(document), header)


def _json(body: bytes) -> Params:
    try:
        params = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError as error:
        raise Refused("SerializationException", f"The body is not JSON: {error}") from None
    if not isinstance(params, dict):
        raise Refused("SerializationException", "The body is not a JSON object.")
    return params


@dataclass(frozen=True, kw_only=True)
class Query:
    """A form in, XML out. The form names its service by `version` alone."""

    version: str
    namespace: str

    def read(self, body: bytes) -> Params:
        return unfold(form(body))

    def write(self, operation: str, answer: Answer, *, request_id: int) -> Written:
        result = f"<{operation}Result>{_inner(answer)}</{operation}Result>"
        told = f"<ResponseMetadata><RequestId>{request_id:08}</RequestId></ResponseMetadata>"
        return self._xml(f"{operation}Response", result + told)

    def refuse(self, refused: Refused, *, request_id: int) -> Written:
        error = {"Type": "Sender", "Code": refused.code, "Message": refused.message, **refused.more}
        return self._xml("ErrorResponse", f"<Error>{_inner(error)}</Error><RequestId>{request_id:08}</RequestId>")

    def _xml(self, root: str, inner: str) -> Written:
        return Written(b"text/xml", f'<{root} xmlns="{self.namespace}">{inner}</{root}>'.encode())


def form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def unfold(fields: Mapping[str, str]) -> dict[str, Any]:
    """The structure behind a form's dotted names: `A.member.1.B` is a list's, `A.entry.1.key` a map's."""
    root: dict[str, Any] = {}
    for name, value in fields.items():
        *path, last = name.split(".")
        node = root
        for step in path:
            child = node.setdefault(step, {})
            if not isinstance(child, dict):
                raise Refused("MalformedInput", f"The parameter {name} stands beside a value that it would be part of.")
            node = child
        node[last] = value
    return {name: _structure(value) for name, value in root.items()}


def _structure(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node.keys() == {"member"}:
        return [_structure(value) for value in _numbered(node["member"])]
    if node.keys() == {"entry"}:
        entries = [_structure(value) for value in _numbered(node["entry"])]
        # Attributes are pairs of key and value, message attributes pairs of Name and Value.
        return {e.get("key", e.get("Name")): e.get("value", e.get("Value")) for e in entries}
    return {name: _structure(value) for name, value in node.items()}


def _numbered(node: Any) -> list[Any]:
    if not isinstance(node, dict) or not all(map(str.isdecimal, node)):
        raise Refused("MalformedInput", "The members of a list and the entries of a map are numbered.")
    return [node[number] for number in sorted(node, key=int)]


def _inner(structure: Mapping[str, Any]) -> str:
    return "".join(f"<{name}>{_xml(name, value)}</{name}>" for name, value in structure.items())


def _xml(name: str, value: Any) -> str:
    if isinstance(value, dict):
        # The only maps in SNS's answers are called so; everything else is a structure.
        if name == "Attributes":
            return "".join(f"<entry>{_inner({'key': k, 'value': v})}</entry>" for k, v in value.items())
        return _inner(value)
    if isinstance(value, list):
        return "".join(f"<member>{_xml('', each)}</member>" for each in value)
    if isinstance(value, bool):
        return str(value).lower()
    return escape(str(value))

"""What a request asks and how its protocol is written: AWS JSON, the older query protocol with its XML, and CBOR.

It promises the same parameters and the same answer, as plain JSON-like values, whichever of them an SDK speaks; and to
know nothing of a request that it cannot read, which is then passed on as it is.

Sources: smithy.io/2.0/aws/protocols (awsJson1_0, awsQuery, rpcv2Cbor) and
docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-xml.html.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode
from xml.etree import ElementTree
from xml.sax.saxutils import escape, unescape

import cbor2
import orjson
from cbor2 import CBORTag

Params = dict[str, Any]


class Unreadable(ValueError):
    """Not what the protocol asks for; whoever sent it will be told by the service."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the wire's own: what a service would have said."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Dialect(Protocol):
    """How requests and answers are written. Errors of all that read: Unreadable."""

    def read(self, body: bytes) -> Params: ...
    def write(self, params: Params, body: bytes) -> bytes:
        """`body` again with these parameters, which began as those that were read from it."""
        ...

    def read_answer(self, body: bytes) -> Params: ...
    def write_answer(self, answer: Params, body: bytes) -> bytes:
        """`body` again where `answer`, which began as what was read from it, has fewer attributes now."""
        ...

    def only(self, body: bytes, place: int, receipt: str) -> bytes:
        """The answer to a receive with the message in that place alone, to be settled by this receipt."""
        ...

    def with_entries(
        self, body: bytes, operation: str, *, done: Sequence[Params] = (), failed: Sequence[Params] = ()
    ) -> bytes:
        """The answer to a batch with these entries in it besides; an empty `body` is that of one of which nothing was
        asked."""
        ...

    def nothing(self, operation: str) -> Reply:
        """A good answer of an operation that answers nothing."""
        ...

    def refusal(self, code: str, message: str, *, status: int, old_code: str | None = None) -> Reply:
        """`old_code`: what a service's older protocol calls it, where that is another name."""
        ...

    def code_of(self, body: bytes, headers: Mapping[str, str]) -> str:
        """The error code of an answer that is an error; empty where it tells none."""
        ...


@dataclass(frozen=True, slots=True)
class Json:
    """`error_header`: with an error the service tells the code of its older protocol beside, as SQS does."""

    content_type: str = "application/x-amz-json-1.0"
    error_header: bool = False

    def read(self, body: bytes) -> Params:
        return _document(body)

    def write(self, params: Params, body: bytes) -> bytes:
        return orjson.dumps(params)

    def read_answer(self, body: bytes) -> Params:
        return _document(body)

    def write_answer(self, answer: Params, body: bytes) -> bytes:
        return orjson.dumps(answer)

    def only(self, body: bytes, place: int, receipt: str) -> bytes:
        return orjson.dumps(_only(_document(body), place, receipt))

    def with_entries(
        self, body: bytes, operation: str, *, done: Sequence[Params] = (), failed: Sequence[Params] = ()
    ) -> bytes:
        return orjson.dumps(_with_entries(_document(body or b"{}"), done, failed))

    def nothing(self, operation: str) -> Reply:
        return Reply(200, b"{}", {"Content-Type": self.content_type})

    def refusal(self, code: str, message: str, *, status: int, old_code: str | None = None) -> Reply:
        headers = {"Content-Type": self.content_type, "x-amzn-ErrorType": code}
        if self.error_header:
            # The SDKs show the code in it, if there is one.
            headers["x-amzn-query-error"] = f"{old_code or code};{_at_fault(status)}"
        return Reply(status, orjson.dumps({"__type": code, "message": message}), headers)

    def code_of(self, body: bytes, headers: Mapping[str, str]) -> str:
        return _code_of(headers, _document_or_none(body))


@dataclass(frozen=True, slots=True)
class Cbor:
    """As JSON, but for bytes and times, which are what they are."""

    content_type: str = "application/x-amz-cbor-1.1"

    def read(self, body: bytes) -> Params:
        return _cbor(body)

    def write(self, params: Params, body: bytes) -> bytes:
        return cbor2.dumps(params, datetime_as_timestamp=True)

    def read_answer(self, body: bytes) -> Params:
        return _cbor(body)

    def write_answer(self, answer: Params, body: bytes) -> bytes:
        return cbor2.dumps(answer, datetime_as_timestamp=True)

    def only(self, body: bytes, place: int, receipt: str) -> bytes:
        return cbor2.dumps(_only(_cbor(body), place, receipt))

    def with_entries(
        self, body: bytes, operation: str, *, done: Sequence[Params] = (), failed: Sequence[Params] = ()
    ) -> bytes:
        return cbor2.dumps(_with_entries(_cbor(body or cbor2.dumps({})), done, failed))

    def nothing(self, operation: str) -> Reply:
        return Reply(200, cbor2.dumps({}), self._headers())

    def refusal(self, code: str, message: str, *, status: int, old_code: str | None = None) -> Reply:
        headers = {**self._headers(), "x-amzn-ErrorType": code}
        return Reply(status, cbor2.dumps({"__type": code, "message": message}), headers)

    def code_of(self, body: bytes, headers: Mapping[str, str]) -> str:
        try:
            document: Params | None = _cbor(body)
        except Unreadable:
            document = None
        return _code_of(headers, document)

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": self.content_type}
        if self.content_type == "application/cbor":
            headers["smithy-protocol"] = "rpc-v2-cbor"
        return headers


# Lists are called by their element in a form: AttributeName.1, SendMessageBatchRequestEntry.1.Id.
_LISTS = {
    "AttributeName": "AttributeNames",
    "MessageAttributeName": "MessageAttributeNames",
    "MessageSystemAttributeName": "MessageSystemAttributeNames",
    "SendMessageBatchRequestEntry": "Entries",
    "DeleteMessageBatchRequestEntry": "Entries",
    "ChangeMessageVisibilityBatchRequestEntry": "Entries",
    "PublishBatchRequestEntries": "PublishBatchRequestEntries",
}
_NUMBER = re.compile(r"[0-9]{1,9}")
_OUTCOMES = {"Successful": "BatchResultEntry", "Failed": "BatchResultErrorEntry"}
_MESSAGE_ATTRIBUTE = re.compile(
    rb"<MessageAttribute>\s*<Name>([^<]*)</Name>\s*<Value>.*?</Value>\s*</MessageAttribute>", re.DOTALL
)
_QUOTES = {"&quot;": '"', "&apos;": "'"}
_DIGEST = re.compile(rb"<MD5OfMessageAttributes>[^<]*</MD5OfMessageAttributes>")
_MESSAGE = re.compile(rb"<Message>.*?</Message>", re.DOTALL)
_ATTRIBUTE = re.compile(rb"<Attribute>\s*<Name>([^<]*)</Name>\s*<Value>[^<]*</Value>\s*</Attribute>")


@dataclass(frozen=True, slots=True)
class Query:
    """A form in, XML out: SQS's older protocol, and SNS's, where the elements of a list are `members`."""

    members: bool = False

    def read(self, body: bytes) -> Params:
        try:
            fields = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body))
        except ValueError as error:
            raise Unreadable(str(error)) from error
        found: Params = {}
        lists: dict[str, dict[int, Any]] = {}
        for name, value in fields:
            head, *path = name.split(".")
            if head in _LISTS and path and path[0] in ("member", "entry"):
                path = path[1:]
            if head not in _LISTS or not path or not _NUMBER.fullmatch(path[0]):
                found[name] = value
                continue
            at = lists.setdefault(_LISTS[head], {})
            number = int(path[0])
            entry = at.setdefault(number, {} if len(path) > 1 else value)
            if isinstance(entry, dict) != (len(path) > 1):
                raise Unreadable(f"{name} is a value and has members")
            if isinstance(entry, dict):
                entry[".".join(path[1:])] = value
        return found | {name: [at[number] for number in sorted(at)] for name, at in lists.items()}

    def write(self, params: Params, body: bytes) -> bytes:
        """Only parameters that are plain values or lists of those that `read` knows."""
        fields: list[tuple[str, str]] = []
        action = str(params.get("Action", ""))
        for name, value in params.items():
            if not isinstance(value, list):
                fields.append((name, str(value)))
                continue
            element = _element(name, action) + (".member" if self.members else "")
            for number, entry in enumerate(value, start=1):
                if isinstance(entry, dict):
                    fields += [(f"{element}.{number}.{key}", str(each)) for key, each in entry.items()]
                else:
                    fields.append((f"{element}.{number}", str(entry)))
        return urlencode(fields).encode()

    def read_answer(self, body: bytes) -> Params:
        root = _xml(body)
        answer: Params = {}
        messages = [_message(each) for each in root.iter() if _name(each) == "Message" and len(each)]
        if messages:
            answer["Messages"] = messages
        for element in root.iter():
            for name, ending in _OUTCOMES.items():
                if _name(element).endswith(ending):
                    entry = {_name(part): part.text or "" for part in element}
                    answer.setdefault(name, []).append(_with_flags(entry))
        for each in root.iter():
            if _name(each) in ("QueueUrl", "MessageId", "SequenceNumber") and each.text and not len(each):
                answer.setdefault(_name(each), each.text)
        return answer

    def write_answer(self, answer: Params, body: bytes) -> bytes:
        """Attributes that `answer` has no more are cut out, message by message."""
        first, *messages = re.split(rb"(?=<Message>)", body)
        told = answer.get("Messages") or ()
        if len(told) != len(messages):
            raise Unreadable("its messages stand in it in another way than SQS writes them")
        return b"".join([first, *(_cut(each, message) for each, message in zip(told, messages, strict=True))])

    def only(self, body: bytes, place: int, receipt: str) -> bytes:
        messages = list(_MESSAGE.finditer(body))
        if place >= len(messages):
            raise Unreadable("there is no such message in it")
        handle = f"<ReceiptHandle>{escape(receipt)}</ReceiptHandle>".encode()
        message = re.sub(rb"<ReceiptHandle>[^<]*</ReceiptHandle>", lambda _: handle, messages[place][0])
        return body[: messages[0].start()] + message + body[messages[-1].end() :]

    def with_entries(
        self, body: bytes, operation: str, *, done: Sequence[Params] = (), failed: Sequence[Params] = ()
    ) -> bytes:
        body = body or self.nothing(operation).body
        if self.members:
            for name, entries in (("Successful", done), ("Failed", failed)):
                if entries:
                    body = _with_members(body, operation, name, entries)
            return body
        succeeded = f"{operation}ResultEntry"
        more = "".join(
            [f"<{succeeded}>{_parts(entry)}</{succeeded}>" for entry in done]
            + [f"<BatchResultErrorEntry>{_parts(entry)}</BatchResultErrorEntry>" for entry in failed]
        ).encode()
        return re.sub(rb"(?=</%bResult>)" % operation.encode(), lambda _: more, body, count=1)

    def nothing(self, operation: str) -> Reply:
        text = (
            f"<{operation}Response><{operation}Result></{operation}Result>"
            f"<ResponseMetadata><RequestId>gameday-wire</RequestId></ResponseMetadata></{operation}Response>"
        )
        return Reply(200, text.encode(), {"Content-Type": "text/xml"})

    def refusal(self, code: str, message: str, *, status: int, old_code: str | None = None) -> Reply:
        text = (
            f"<ErrorResponse><Error><Type>{_at_fault(status)}</Type><Code>{escape(old_code or code)}</Code>"
            f"<Message>{escape(message)}</Message></Error><RequestId>gameday-wire</RequestId></ErrorResponse>"
        )
        return Reply(status, text.encode(), {"Content-Type": "text/xml"})

    def code_of(self, body: bytes, headers: Mapping[str, str]) -> str:
        found = re.search(rb"<Code>([^<]*)</Code>", body)
        return unescape(found[1].decode(errors="replace")) if found else ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks, as far as its head and form tell. `dialect` is None for what nobody here reads."""

    service: str | None
    operation: str | None
    dialect: Dialect | None


_TARGETS = {
    "AmazonSQS": "sqs",
    "Kinesis_20131202": "kinesis",
    "AWSEvents": "events",
    "DynamoDB_20120810": "dynamodb",
    "DynamoDBStreams_20120810": "dynamodbstreams",
    "AWSStepFunctions": "stepfunctions",
}
# Of a form, which is not taken apart before it is known whose it is.
_ACTION = re.compile(rb"(?:^|&)Action=(\w+)")
_VERSION = re.compile(rb"(?:^|&)Version=([\w-]+)")
_VERSIONS = {"2012-11-05": "sqs", "2010-03-31": "sns"}
# The name that a signature's scope has for a service, where boto3 has another.
_SCOPES = {"states": "stepfunctions"}
_SCOPE = re.compile(r"Credential=[^/,\s]+/\d{8}/[^/,\s]+/([^/,\s]+)/aws4_request")
_RPC = re.compile(r"/service/([^/]+)/operation/([^/?]+)")
FORM = "application/x-www-form-urlencoded"


def asked(path: str, headers: Mapping[str, str], form: bytes | None = None) -> Asked:
    """`headers` by name in any case; `form`: the body, where it is a form."""
    content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    target, _, operation = headers.get("X-Amz-Target", "").rpartition(".")
    if target:
        service = _TARGETS.get(target) or _signed_for(headers)
        dialect: Dialect = (
            Cbor(content_type) if "cbor" in content_type else Json(content_type, error_header=service == "sqs")
        )
        return Asked(service, operation, dialect)
    if (rpc := _RPC.search(path)) and "cbor" in headers.get("smithy-protocol", ""):
        return Asked(_TARGETS.get(rpc[1]) or _signed_for(headers), rpc[2], Cbor("application/cbor"))
    if form is not None:
        action, version = _ACTION.search(form), _VERSION.search(form)
        if action and version and (service := _VERSIONS.get(version[1].decode(errors="replace"))):
            return Asked(service, action[1].decode(errors="replace"), Query(members=service == "sns"))
    return Asked(_signed_for(headers), None, None)


def _signed_for(headers: Mapping[str, str]) -> str | None:
    scope = _SCOPE.search(headers.get("Authorization", ""))
    name = scope[1].lower() if scope else None
    return _SCOPES.get(name or "", name)


def _element(name: str, action: str) -> str:
    if name == "Entries":
        return f"{action}RequestEntry"
    return next((element for element, called in _LISTS.items() if called == name), name)


def _document(body: bytes) -> Params:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unreadable(str(error)) from error
    if not isinstance(document, dict):
        raise Unreadable("not a JSON object")
    return document


def _document_or_none(body: bytes) -> Params | None:
    try:
        return _document(body)
    except Unreadable:
        return None


def _cbor(body: bytes) -> Params:
    try:
        # A time stays a tagged number: Kinesis's are in milliseconds, which the tag does not mean.
        document = cbor2.loads(body, semantic_decoders={1: lambda value, _: CBORTag(1, value)})
    except Exception as error:  # a tag may make anything of what follows it: a date, a fraction, an address
        raise Unreadable(str(error)) from error
    if not isinstance(document, dict):
        raise Unreadable("not a map")
    return document


def _code_of(headers: Mapping[str, str], document: Params | None) -> str:
    named = headers.get("x-amzn-ErrorType") or str((document or {}).get("__type", ""))
    return named.partition(":")[0].rpartition("#")[2]


def _xml(body: bytes) -> ElementTree.Element:
    try:
        # Of the service that the run itself uses; entities that blow up are expat's to refuse.
        return ElementTree.fromstring(body)
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the latter two for its encoding
        raise Unreadable(str(error)) from error


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _cut(told: Params, message: bytes) -> bytes:
    """A message's XML without the attributes that `told` has no more."""
    for pattern, member in ((_ATTRIBUTE, "Attributes"), (_MESSAGE_ATTRIBUTE, "MessageAttributes")):
        message = b"".join(_kept(pattern, message, told.get(member) or ()))
    digest = told.get("MD5OfMessageAttributes")
    said = b"" if digest is None else escape(str(digest)).encode()
    wanted = b"<MD5OfMessageAttributes>%b</MD5OfMessageAttributes>" % said if said else b""
    return _DIGEST.sub(lambda _: wanted, message)


def _kept(pattern: re.Pattern[bytes], message: bytes, names: Collection[str]) -> Iterator[bytes]:
    at = 0
    for found in pattern.finditer(message):
        yield message[at : found.start()]
        if unescape(found[1].decode(), _QUOTES) in names:
            yield found[0]
        at = found.end()
    yield message[at:]


def _message(element: ElementTree.Element) -> Params:
    message: Params = {}
    for part in element:
        if _name(part) == "Attribute":
            pair = {_name(each): each.text or "" for each in part}
            message.setdefault("Attributes", {})[pair.get("Name", "")] = pair.get("Value", "")
        elif _name(part) == "MessageAttribute":
            named = {_name(each): each for each in part}
            if "Name" in named and "Value" in named:
                values = {_name(each): each.text or "" for each in named["Value"]}
                message.setdefault("MessageAttributes", {})[named["Name"].text or ""] = values
        elif not len(part):
            message[_name(part)] = part.text or ""
    return message


def _with_members(body: bytes, operation: str, name: str, entries: Sequence[Params]) -> bytes:
    """A list of SNS's, which may be there, be there empty, or not be there at all."""
    more = "".join(f"<member>{_parts(entry)}</member>" for entry in entries).encode()
    opens, closes, empty = (pattern % name.encode() for pattern in (b"<%b>", b"</%b>", b"<%b/>"))
    if closes in body:
        return body.replace(closes, more + closes, 1)
    whole = opens + more + closes
    if empty in body:
        return body.replace(empty, whole, 1)
    end = b"</%bResult>" % operation.encode()
    return body.replace(end, whole + end, 1)


def _parts(entry: Params) -> str:
    told = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in entry.items()}
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in told.items())


def _only(answer: Params, place: int, receipt: str) -> Params:
    messages = answer.get("Messages") or []
    if place >= len(messages):
        raise Unreadable("there is no such message in it")
    return {"Messages": [{**messages[place], "ReceiptHandle": receipt}]}


def _with_entries(answer: Params, done: Sequence[Params], failed: Sequence[Params]) -> Params:
    for name, entries in (("Successful", done), ("Failed", failed)):
        if entries:
            answer[name] = [*(answer.get(name) or ()), *entries]
    return answer


def _at_fault(status: int) -> str:
    return "Sender" if status < 500 else "Receiver"


def _with_flags(entry: Params) -> Params:
    if "SenderFault" in entry:
        entry["SenderFault"] = str(entry["SenderFault"]).lower() == "true"
    return entry

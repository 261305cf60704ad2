"""How S3 is spoken: method, path and query say which operation it is, headers and XML bring what belongs to it.

Buckets are named in the path (`/BUCKET/KEY`), never in the host. Written down in the API reference of each operation
(docs.aws.amazon.com/AmazonS3/latest/API) and in smithy.io/2.0/aws/protocols/aws-restxml-protocol.html.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, quote, unquote
from xml.sax.saxutils import escape

from gameday.emulator.wire import Answer, Params, Refused, Written

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
# By what a query may hold: the operation of each method on a bucket.
_OF_BUCKETS: Mapping[str, Mapping[str, str]] = {
    "lifecycle": {
        "PUT": "PutBucketLifecycleConfiguration",
        "GET": "GetBucketLifecycleConfiguration",
        "DELETE": "DeleteBucketLifecycle",
    },
    "tagging": {"PUT": "PutBucketTagging", "GET": "GetBucketTagging"},
    "delete": {"POST": "DeleteObjects"},
    "list-type": {"GET": "ListObjectsV2"},
}
_BUCKET = {"PUT": "CreateBucket", "HEAD": "HeadBucket", "DELETE": "DeleteBucket"}
_OBJECT = {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
_PLAIN = frozenset({"x-id", "response-content-type"})
_FROM_QUERY = {
    "prefix": "Prefix",
    "delimiter": "Delimiter",
    "max-keys": "MaxKeys",
    "continuation-token": "ContinuationToken",
    "start-after": "StartAfter",
    "encoding-type": "EncodingType",
}
_FROM_HEADERS = {
    "if-match": "IfMatch",
    "if-none-match": "IfNoneMatch",
    "content-md5": "ContentMD5",
    "content-type": "ContentType",
    "range": "Range",
    "x-amz-checksum-mode": "ChecksumMode",
    "x-amz-checksum-crc32": "ChecksumCRC32",
    "x-amz-checksum-sha1": "ChecksumSHA1",
    "x-amz-checksum-sha256": "ChecksumSHA256",
}
_IN_HEADERS = {
    "ETag": "ETag",
    "Location": "Location",
    "ContentRange": "Content-Range",
    "LastModified": "Last-Modified",
    "BucketRegion": "x-amz-bucket-region",
    "ChecksumCRC32": "x-amz-checksum-crc32",
    "ChecksumSHA1": "x-amz-checksum-sha1",
    "ChecksumSHA256": "x-amz-checksum-sha256",
}
# The element around an answer that is XML.
_ROOTS = {
    "ListBuckets": "ListAllMyBucketsResult",
    "ListObjectsV2": "ListBucketResult",
    "DeleteObjects": "DeleteResult",
    "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
    "GetBucketTagging": "Tagging",
}
# Lists: what their members are called, and whether an element stands around them.
_WRAPPED = {"Buckets": "Bucket", "TagSet": "Tag"}
_FLAT = {"Rules": "Rule", "Objects": "Object"}
_LISTS = {member: name for name, member in _FLAT.items()}


def asked(method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[str, Params]:
    """The operation and its parameters. Errors: Refused."""
    bare, _, query_text = path.partition("?")
    bucket, _, key = bare.removeprefix("/").partition("/")
    query = dict(parse_qsl(query_text, keep_blank_values=True))
    params: dict[str, Any] = {_FROM_QUERY[name]: value for name, value in query.items() if name in _FROM_QUERY}
    params |= {_FROM_HEADERS[name]: value for name, value in headers.items() if name in _FROM_HEADERS}
    if not bucket:
        return ("ListBuckets" if method == "GET" else method), params
    params["Bucket"] = unquote(bucket)
    if not key:
        known_by = next((name for name in _OF_BUCKETS if name in query), None)
        operation = (_BUCKET if known_by is None else _OF_BUCKETS[known_by]).get(method)
        if operation is None or (known_by is None and not query.keys() <= _PLAIN):
            raise Refused("NotImplemented", f"{method} {path} is not known here.", status=501)
        return operation, {**params, **_read(operation, body)}
    operation = _OBJECT.get(method)
    if operation is None or not query.keys() <= _PLAIN or "x-amz-copy-source" in headers:
        raise Refused("NotImplemented", f"{method} {path} is not known here.", status=501)
    params["Key"] = unquote(key)
    if operation == "PutObject":
        prefix = "x-amz-meta-"
        metadata = {name.removeprefix(prefix): value for name, value in headers.items() if name.startswith(prefix)}
        chunked = "aws-chunked" in headers.get("content-encoding", "") or "x-amz-decoded-content-length" in headers
        params |= {"Body": b"".join(_chunks(body)) if chunked else body, "Metadata": metadata}
    return operation, params


class S3Wire:
    """Answers as S3 writes them: an object's bytes with headers, lists as XML, a refusal to a HEAD by its status."""

    def __init__(self, method: str, params: Params) -> None:
        self._head = method == "HEAD"
        self._url_encoded = params.get("EncodingType") == "url"

    def read(self, body: bytes) -> Params:
        return {}

    def write(self, operation: str, answer: Answer, *, request_id: int) -> Written:
        root = _ROOTS.get(operation)
        if root is not None:
            if self._url_encoded:
                answer = _url_encoded(answer)
            xml = f'<?xml version="1.0" encoding="UTF-8"?><{root} xmlns="{_NAMESPACE}">{_inner(answer)}</{root}>'
            return Written(b"application/xml", xml.encode())
        told = {_IN_HEADERS[name]: value for name, value in answer.items() if name in _IN_HEADERS}
        told |= {f"x-amz-meta-{name}": value for name, value in (answer.get("Metadata") or {}).items()}
        headers = "".join(f"{name}: {_plain(value)}\r\n" for name, value in told.items()).encode()
        content_type = str(answer.get("ContentType") or "application/xml").encode()
        length = answer.get("ContentLength") if self._head else None
        status = 206 if "ContentRange" in answer else 200
        return Written(content_type, answer.get("Body") or b"", headers, length=length, status=status)

    def refuse(self, refused: Refused, *, request_id: int) -> Written:
        if self._head:
            return Written(b"application/xml", b"")
        told = _inner({"Code": refused.code, "Message": refused.message, "RequestId": f"{request_id:08}"})
        return Written(b"application/xml", f'<?xml version="1.0" encoding="UTF-8"?><Error>{told}</Error>'.encode())


def _read(operation: str, body: bytes) -> Params:
    """What stands in the XML of a request."""
    member = {
        "PutBucketLifecycleConfiguration": "LifecycleConfiguration",
        "PutBucketTagging": "Tagging",
        "DeleteObjects": "Delete",
    }.get(operation)
    if member is None:
        return {}
    try:
        return {member: _structure(ElementTree.fromstring(body))}  # from this machine alone
    except ElementTree.ParseError as error:
        raise Refused("MalformedXML", f"The XML you provided was not well-formed: {error}") from None


def _structure(element: ElementTree.Element) -> Any:
    children = list(element)
    if not children:
        return element.text or ""
    name = element.tag.rpartition("}")[2]
    if name in _WRAPPED:
        return [_structure(child) for child in children]
    made: dict[str, Any] = {}
    for child in children:
        tag = child.tag.rpartition("}")[2]
        if tag in _LISTS:
            made.setdefault(_LISTS[tag], []).append(_structure(child))
        else:
            made[tag] = _structure(child)
    return made


def _inner(structure: Mapping[str, Any]) -> str:
    return "".join(_element(name, value) for name, value in structure.items())


def _element(name: str, value: Any) -> str:
    if isinstance(value, list):
        if name in _WRAPPED:
            return f"<{name}>{''.join(_element(_WRAPPED[name], each) for each in value)}</{name}>"
        return "".join(_element(_FLAT.get(name, name), each) for each in value)
    if isinstance(value, Mapping):
        return f"<{name}>{_inner(value)}</{name}>"
    if isinstance(value, bool):
        return f"<{name}>{str(value).lower()}</{name}>"
    text = f"{value:%Y-%m-%dT%H:%M:%S.000Z}" if isinstance(value, datetime) else str(value)
    return f"<{name}>{escape(text)}</{name}>"


def _url_encoded(answer: Answer) -> Answer:
    def encoded(each: Any) -> Any:
        return {**each, "Key": quote(each["Key"], safe="/")} if "Key" in each else each

    contents = [encoded(each) for each in answer.get("Contents") or ()]
    return {**answer, "EncodingType": "url", "Prefix": quote(str(answer["Prefix"]), safe="/"), "Contents": contents}


def _plain(value: Any) -> str:
    return format_datetime(value, usegmt=True) if isinstance(value, datetime) else str(value)


def _chunks(body: bytes) -> Iterator[bytes]:
    """The bytes behind `aws-chunked` (AmazonS3/latest/API/sigv4-streaming.html)."""
    while body:
        head, _, rest = body.partition(b"\r\n")
        size = int(head.partition(b";")[0], 16)
        if not size:
            return
        yield rest[:size]
        body = rest[size + 2 :]

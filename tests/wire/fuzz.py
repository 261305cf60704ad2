"""Requests that are no requests, and answers that are no answers: what breaks a proxy, from a seed.

A `Case` is what is sent on one connection and what may come of it. Whatever stands in it as a request of its own says
/smuggled where it must never arrive as one.
"""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

import cbor2
import orjson

MIB = 2**20
# Who sends this waits for leave to send the rest.
EXPECT = b"Expect: 100-continue\r\n"
_SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
_TARGETS = [b"AmazonSQS." + name for name in (b"ReceiveMessage", b"DeleteMessageBatch", b"GetQueueUrl", b"SendMessage")]
_ODD = [bytes([each]) for each in b"\x00\x0b\x7f\xff\xe9\r\n \t:#?"] + [b"\xc3\xa9", b"%00", b"%zz", b"//", b"\r\n"]
_FIELDS = (
    b"Action=ReceiveMessage",
    b"Version=2012-11-05",
    b"AttributeName.1=a",
    b"AttributeName.1.2=a",
    b"AttributeName.99999999999999999999=x",
    b"%zz=%",
    b"a",
    b"",
    b"Entries.1=\xff",
    b"QueueUrl=http://[",
    b"DeleteMessageBatchRequestEntry.1.Id=%00",
)

Ending = Literal["answer", "drop", "reset"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is sent, part by part, and how the connection ends: when an answer has come, or at once.

    The target may see `requests` of it at most; if `crcs` is there they have these bodies. `answered`: all of them come
    to an answer, which the service gives.
    """

    number: int
    kind: str
    parts: tuple[bytes, ...]
    requests: int
    ends: Ending = "answer"
    crcs: frozenset[int] | None = None
    answered: bool = False


class Fuzzer:
    """Cases without end, the same from the same seed. `queue` is the path of the subscription's queue."""

    def __init__(self, seed: int, *, queue: str, host: str) -> None:
        self._random = random.Random(seed)
        self._queue = queue
        self._host = host.encode()
        self._number = 0

    def cases(self) -> Iterator[Case]:
        kinds: list[Callable[[], Case]] = [
            *[self._mutated, self._bad_head, self._bad_end, self._bad_chunks, self._bad_answer] * 6,
            *[self._good, self._cut, self._typed, self._odd_body, self._pipelined, self._not_http] * 3,
            self._expecting,
            self._slow,
        ]
        while True:
            self._number += 1
            # Now and then a large one, which takes as long as hundreds of others.
            yield self._large() if self._number % 250 == 1 else self._random.choice(kinds)()

    # What is sent

    def _head(self, *, method: bytes = b"POST", version: bytes = b"1.1", query: bytes = b"") -> bytes:
        start = b"%b /case/%d%b HTTP/%b\r\n" % (method, self._number, query, version)
        return start + b"Host: %b\r\nX-Case: %d\r\n" % (self._host, self._number)

    def _case(self, kind: str, *parts: bytes, requests: int = 0, **more: object) -> Case:
        return Case(number=self._number, kind=kind, parts=parts, requests=requests, **more)  # type: ignore[arg-type]

    def _whole(self, body: bytes, *, headers: bytes = b"", **head: bytes) -> bytes:
        return self._head(**head) + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body

    def _json(self) -> bytes:
        target = self._random.choice(_TARGETS)
        return b"Content-Type: application/x-amz-json-1.0\r\nX-Amz-Target: %b\r\n" % target

    def _cbor(self) -> bytes:
        return b"Content-Type: application/x-amz-cbor-1.1\r\nX-Amz-Target: Kinesis_20131202.PutRecords\r\n"

    def _form(self) -> bytes:
        return b"Content-Type: application/x-www-form-urlencoded\r\n"

    def _good(self) -> Case:
        """Of an unusual kind, but right: it must come through as it is."""
        body = self._random.randbytes(self._random.choice((0, 1, 5, 3000, 70_000)))
        headers = self._random.choice(
            (
                b"",
                b"Expect: the-unexpected\r\n",
                b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
                b"TE: trailers\r\nX-A: 1\r\nX-A: 2\r\nX-Empty:\r\n",
                b"X-Wide: \xc3\xa9\xf0\x9d\x84\x9e\r\n",
                b"Cookie: a=b; c=d\r\nReferer: http://elsewhere/\r\n",
                b"Content-Encoding: gzip\r\n" + self._json(),
                b"X-Long: " + b"y" * 30_000 + b"\r\n",
                self._form(),
            )
        )
        method = self._random.choice((b"POST", b"PUT", b"PATCH", b"DELETE", b"GET", b"PROPFIND"))
        version = self._random.choice((b"1.1", b"1.1", b"1.0"))
        whole = self._whole(body, headers=headers, method=method, version=version)
        return self._case("good", whole, requests=1, crcs=frozenset({zlib.crc32(body)}), answered=True)

    def _mutated(self) -> Case:
        """Whether it is right after this nobody knows."""
        whole = bytearray(self._whole(b'{"QueueUrl":"x"}', headers=self._json()))
        for _ in range(self._random.randint(1, 4)):
            at = self._random.randrange(len(whole))
            match self._random.randrange(4):
                case 0:
                    whole[at] = self._random.randrange(256)
                case 1:
                    del whole[at : at + self._random.randint(1, 10)]
                case 2:
                    whole[at:at] = self._random.choice(_ODD)
                case _:
                    whole[at:at] = whole[at : at + 30]
        return self._case("mutated", bytes(whole), requests=1, ends=self._random.choice(("answer", "drop", "reset")))

    def _bad_head(self) -> Case:
        host = b"Host: %b\r\n" % self._host
        head = self._random.choice(
            (
                b"GET /smuggled\r\n\r\n",
                b"GET /smuggled HTTP/9.9\r\n%b\r\n" % host,
                b"G\xc3\xa9T /smuggled HTTP/1.1\r\n%b\r\n" % host,
                b"GET /smuggled\xff\xfe HTTP/1.1\r\n%b\r\n" % host,
                b"GET /smuggled HTTP/1.1\r\n\r\n",
                b"GET /smuggled HTTP/1.1\r\n%b%b\r\n" % (host, host),
                b"GET /smuggled HTTP/1.1\r\nHost: evil.example\r\n\r\n",
                b"GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1@evil.example\r\n\r\n",
                b"GET /smuggled HTTP/1.1\r\nHost: localhost.evil.example:80\r\n\r\n",
                b"GET /smuggled HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n",
                b"GET /smuggled HTTP/1.1\r\nHost:\r\n\r\n",
                b"GET http://evil.example/smuggled HTTP/1.1\r\n%b\r\n" % host,
                b"GET http://127.0.0.1:1/smuggled HTTP/1.1\r\n%b\r\n" % host,
                b"GET smuggled HTTP/1.1\r\n%b\r\n" % host,
                b"CONNECT evil.example:443 HTTP/1.1\r\n%b\r\n" % host,
                b"OPTIONS * HTTP/1.1\r\n%b\r\n" % host,
                b"GET /smuggled HTTP/1.1\r\n%bUpgrade: websocket\r\nConnection: upgrade\r\n\r\n" % host,
                b"GET /smuggled HTTP/1.1\r\n%bX : y\r\n\r\n" % host,
                b"GET /smuggled HTTP/1.1\r\n%bno colon\r\n\r\n" % host,
                b"GET /smuggled HTTP/1.1\r\n%b: y\r\n\r\n" % host,
                b"GET /smuggled HTTP/1.1\r\n%bX: a\x00b\r\n\r\n" % host,
                b"GET /smuggled HTTP/1.1\r\n%bX: a\r\n b\r\n\r\n" % host,
                b"GET /smuggled HTTP/1.1\r\n%bX: \xff\xfe\r\n\r\n" % host,
                b"GET /smuggled HTTP/1.1\r\n%bX\xc3\xa9: y\r\n\r\n" % host,
                b"GET /smuggled HTTP/1.1\r\n%bX: %b\r\n\r\n" % (host, b"y" * 200_000),
                b"GET /smuggled HTTP/1.1\r\n%b%b\r\n" % (host, b"X: y\r\n" * 2000),
                b"GET /%b HTTP/1.1\r\n%b\r\n" % (b"smuggled" * 20_000, host),
                b"GET /smuggled HTTP/1.1\n%b\n" % host.replace(b"\r\n", b"\n"),
            )
        )
        return self._case("bad head", head)

    def _not_http(self) -> Case:
        first = self._random.choice(
            (
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + self._random.randbytes(500),
                self._random.randbytes(self._random.randint(1, 5000)),
                b"\r\n" * 1000,
                b"SSH-2.0-OpenSSH_9.2\r\n",
                b"*1\r\n$4\r\nPING\r\n",
                b"",
            )
        )
        return self._case("not HTTP", first, ends=self._random.choice(("drop", "reset")))

    def _bad_end(self) -> Case:
        """Where the body ends can be read in two ways, or in none: what stands behind must not become a request."""
        length = len(_SMUGGLED)
        headers = self._random.choice(
            (
                b"Content-Length: -5\r\n",
                b"Content-Length: +5\r\n",
                b"Content-Length: 0x5\r\n",
                b"Content-Length: 5, 5\r\n",
                b"Content-Length: 5 5\r\n",
                b"Content-Length:\r\n",
                b"Content-Length: \xd9\xa5\r\n",
                b"Content-Length: 99999999999999999999999999\r\n",
                b"Content-Length: 0\r\nContent-Length: %d\r\n" % length,
                b"Content-Length: %d\r\nContent-Length: 0\r\n" % length,
                b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % length,
                b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n" % length,
                b"Content-Length: %d\r\nTransfer-Encoding: identity\r\n" % length,
                b"Content-Length: %d\r\nTransfer-Encoding: xchunked\r\n" % length,
                b"Content-Length: %d\r\nTransfer-Encoding: \x0bchunked\r\n" % length,
                b"Content-Length: %d\r\nTransfer-Encoding : chunked\r\n" % length,
                b"Content-Length: %d\r\n Transfer-Encoding: chunked\r\n" % length,
                b"Content-Length: %d\r\nX: y\nTransfer-Encoding: chunked\r\n" % length,
                b"Content-Length: %d\r\nTransfer-Encoding:\r\n chunked\r\n" % length,
                b"Transfer-Encoding: chunked, identity\r\n",
                b"Transfer-Encoding: identity, chunked\r\n",
                b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                b"Transfer-Encoding: gzip\r\n",
            )
        )
        headers += self._random.choice((b"", self._json(), self._form()))
        version = self._random.choice((b"1.1", b"1.1", b"1.0"))
        body = self._random.choice((b"0\r\n\r\n", b"")) + _SMUGGLED
        # None of these may be taken but for those whose one reading is plain: then the rest is no request of ours.
        return self._case("bad end", self._head(version=version) + headers + b"\r\n" + body)

    def _bad_chunks(self) -> Case:
        good = b"5\r\nhello\r\n"
        bad = self._random.choice(
            (
                b"z\r\nhello\r\n0\r\n\r\n",
                b"-5\r\nhello\r\n0\r\n\r\n",
                b"0x5\r\nhello\r\n0\r\n\r\n",
                b"5\r\nhelloX\r\n0\r\n\r\n",
                b"5\r\nhell\r\n0\r\n\r\n",
                b"5 5\r\nhello\r\n0\r\n\r\n",
                b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
                b"\r\n5\r\nhello\r\n0\r\n\r\n",
                b"5\rhello\r\n0\r\n\r\n",
                b"5\nhello\n0\n\n",
                b"0\r\nX : y\r\n\r\n",
                b"0\r\nno colon\r\n\r\n",
            )
        )
        headers = b"Transfer-Encoding: chunked\r\n" + self._random.choice((b"", self._json(), self._form()))
        body = good * self._random.randint(0, 3) + bad
        if self._random.random() < 0.5:
            return self._case("bad chunks", self._head() + headers + b"\r\n" + body)
        # The head is taken before the body turns out to be bad.
        return self._case("bad chunks", self._head() + headers + EXPECT + b"\r\n", body)

    def _cut(self) -> Case:
        """It ends in its middle."""
        body = self._random.randbytes(self._random.choice((10, 5000, 300_000)))
        headers = self._random.choice((b"", self._json(), self._cbor(), self._form()))
        if self._random.random() < 0.5:
            whole = self._whole(body, headers=headers)
        else:
            chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            whole = self._head() + headers + b"Transfer-Encoding: chunked\r\n\r\n" + chunked
        cut = self._random.randint(1, len(whole) - 1)
        return self._case("cut", whole[:cut], ends=self._random.choice(("drop", "reset")))

    def _typed(self) -> Case:
        """Right JSON of wrong types, about our queue."""

        def anything(depth: int) -> object:
            leaves: list[object] = [None, True, -1, 2**63, 1.5, "", "x", "http://[", "é𝄞", [], {}]
            if depth > 2 or self._random.random() < 0.5:
                return self._random.choice(leaves)
            if self._random.random() < 0.5:
                return [anything(depth + 1) for _ in range(3)]
            return {str(self._random.choice(("Id", "ReceiptHandle", "x"))): anything(depth + 1) for _ in range(3)}

        names = ("AttributeNames", "MessageSystemAttributeNames", "VisibilityTimeout", "Entries", "ReceiptHandle", "Id")
        params = {name: anything(0) for name in names if self._random.random() < 0.6}
        params["QueueUrl"] = self._random.choice((f"http://x{self._queue}", f"http://x{self._queue}", anything(0)))
        operations = ("ReceiveMessage", "DeleteMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch")
        target = f"X-Amz-Target: AmazonSQS.{self._random.choice(operations)}\r\n".encode()
        answer = self._random.choice((b"", b"X-Answer: wrong types\r\n"))
        headers = b"Content-Type: application/x-amz-json-1.0\r\n" + target + answer
        return self._case("wrong types", self._whole(orjson.dumps(params), headers=headers), requests=1, answered=True)

    def _odd_body(self) -> Case:
        """A body that is not what its head says: the service will say so."""
        fields = b"&".join(self._random.choice(_FIELDS) for _ in range(self._random.randint(1, 8)))
        if self._random.random() < 0.2:
            # In the path, where the oldest clients have it.
            query = b"?" + fields.replace(b"\xff", b"%ff")
            return self._case("odd path", self._head(method=b"GET", query=query) + b"\r\n", requests=1, answered=True)
        deep = self._random.choice((100, 100_000))
        headers, body = self._random.choice(
            (
                (self._json(), b'{"QueueUrl": "http://x' + self._random.randbytes(8)),
                (self._json(), b"[" * deep),
                (self._json(), b'{"a":' * deep),
                (self._json(), b'"\\ud800"'),
                (self._cbor(), self._random.randbytes(300)),
                (self._cbor(), b"\x81" * deep),
                (self._cbor(), b"\xbb\x7f" + b"\xff" * 7),
                (self._cbor(), b"\x9b" + b"\xff" * 8),
                (self._cbor(), cbor2.dumps({1: 2, "a": 1.5})[:-3]),
                (self._form(), fields),
            )
        )
        return self._case("odd body", self._whole(body, headers=headers), requests=1, answered=True)

    def _pipelined(self) -> Case:
        count = self._random.randint(2, 40)
        bodies = [b"body %d of %d" % (n, self._number) for n in range(count)]
        whole = b"".join(self._whole(body) for body in bodies)
        crcs = frozenset(map(zlib.crc32, bodies))
        return self._case("pipelined", whole, requests=count, crcs=crcs, answered=True)

    def _expecting(self) -> Case:
        body = b"x" * self._random.choice((1, 100_000))
        head = self._head() + EXPECT + b"Content-Length: %d\r\n\r\n" % len(body)
        return self._case("expecting", head, body, requests=1, crcs=frozenset({zlib.crc32(body)}), answered=True)

    def _slow(self) -> Case:
        whole = self._whole(b"{}", headers=self._json())
        crcs = frozenset({zlib.crc32(b"{}")})
        parts = [whole[n : n + 1] for n in range(len(whole))]
        return self._case("slow", *parts, requests=1, crcs=crcs, answered=True)

    def _large(self) -> Case:
        size = self._random.choice((1, 15, 16, 17, 50)) * MIB + self._random.randint(-1, 1)
        block = self._random.randbytes(MIB)
        body = (block * (size // MIB + 1))[:size]
        headers = self._random.choice((b"", self._json(), self._form()))
        crcs = frozenset({zlib.crc32(body)})
        if self._random.random() < 0.5:
            head, parts = self._head() + headers + b"Content-Length: %d\r\n\r\n" % size, [body]
        else:
            step = self._random.choice((MIB, 100_000))
            cut = [body[first : first + step] for first in range(0, size, step)]
            head = self._head() + headers + b"Transfer-Encoding: chunked\r\n\r\n"
            parts = [*(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in cut), b"0\r\nX-Trailer: y\r\n\r\n"]
        # Left off in its middle, it must not arrive.
        if self._random.random() < 0.3:
            return self._case("large, cut", head, *parts[:-1], parts[-1][:-3], ends="reset")
        return self._case("large", head, *parts, requests=1, crcs=crcs, answered=True)

    def _bad_answer(self) -> Case:
        name = self._random.choice(list(ANSWERS)).encode()
        queue = orjson.dumps({"QueueUrl": f"http://x{self._queue}", "Entries": [{"Id": "1", "ReceiptHandle": "r"}]})
        form = f"Action=ReceiveMessage&Version=2012-11-05&QueueUrl=http://x{self._queue}".encode()
        if self._random.random() < 0.2:
            head = self._head(method=b"GET", query=b"?" + form)
            return self._case("bad answer", head + b"X-Answer: %b\r\n\r\n" % name, requests=1)
        headers, body = self._random.choice(((self._json(), queue), (self._form(), form), (b"", b"x")))
        whole = self._whole(body, headers=headers + b"X-Answer: %b\r\n" % name)
        return self._case("bad answer", whole, requests=1)


# Answers, by the name that a case asks for. The mark is made the number of the case: whoever gets it knows whose it is.
_CHUNKED = b"Transfer-Encoding: chunked"
MARK = b"X-Sink: ~\r\n"


def _said(body: bytes, *, status: bytes = b"200 OK", headers: bytes = b"", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n%b\r\n" % (status, MARK, size, headers) + body


@cache
def _bomb() -> bytes:
    return gzip.compress(b"\0" * 100 * MIB)


_LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%b">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]><l>&j;</l>"
)
_WRONG = (
    '{"Messages":5}',
    '{"Messages":[1]}',
    '{"Messages":[{"Attributes":7,"Body":[]}]}',
    '{"Messages":{"a":1}}',
    '{"Messages":[{"MessageId":1,"ReceiptHandle":{},"Body":"x","Attributes":{"SentTimestamp":"x"}}]}',
    '{"Successful":[{}],"Failed":7}',
    '{"Failed":[null]}',
    '{"QueueUrl":["",5]}',
    '{"QueueUrl":"http://["}',
    '{"QueueUrl":""}',
    "[]",
    "7",
    "nope",
)


def _raw(headers: bytes, body: bytes, *, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\n%b%b\r\n\r\n%b" % (status, MARK, headers, body)


ANSWERS: dict[str, Callable[[random.Random], bytes | None]] = {
    "none": lambda _: None,
    "nothing of HTTP": lambda dice: dice.randbytes(200) + b"\r\n\r\n",
    "half a head": lambda _: b"HTTP/1.1 200 OK\r\nX-Sink: ~\r\nContent-Le",
    "half a body": lambda _: _said(b'{"Mess', length=50),
    "half a document": lambda _: _said(b'{"Messages":[{"Body"'),
    "wrong types": lambda dice: _said(dice.choice(_WRONG).encode()),
    "half of XML": lambda _: _said(b"<ReceiveMessageResponse><Message><Body>"),
    "XML that grows": lambda _: _said(_LAUGHS),
    "unknown letters": lambda _: _said(b'<?xml version="1.0" encoding="x-none"?><a/>'),
    "a message in CDATA": lambda _: _said(b"<R><Message><Body><![CDATA[<Message>]]></Body></Message></R>"),
    "a bomb": lambda _: _said(_bomb(), headers=b"Content-Encoding: gzip\r\n"),
    "no gzip": lambda _: _said(b"{}", headers=b"Content-Encoding: gzip\r\n"),
    "deep": lambda _: _said(b"[" * 200_000),
    "wide": lambda _: _said(b" " * 20 * MIB),
    "a negative length": lambda _: _raw(b"Content-Length: -1", b"{}"),
    "two lengths": lambda _: _raw(b"Content-Length: 2\r\nContent-Length: 3", b"{} "),
    "a length and chunks": lambda _: _raw(b"Content-Length: 2\r\n" + _CHUNKED, b"0\r\n\r\n"),
    "bad chunks": lambda _: _raw(_CHUNKED, b"zz\r\n{}\r\n0\r\n\r\n"),
    "chunks without end": lambda _: _raw(_CHUNKED, b"2\r\n{}\r\n"),
    "another answer behind": lambda _: _said(b"{}") + _said(b'{"smuggled":1}').replace(b"~", b"0"),
    "another protocol": lambda _: _raw(b"Upgrade: x\r\nConnection: upgrade", b"xyz", status=b"101 Switching Protocols"),
    "a word before": lambda _: b"HTTP/1.1 100 Continue\r\n\r\n" + _said(b"{}"),
    "no content, with some": lambda _: _raw(b"X: y", b"{}", status=b"204 No Content"),
    "not modified": lambda _: _raw(b"Content-Length: 9", b"", status=b"304 Not Modified"),
    "an odd status": lambda _: _said(b"{}", status=b"999 What"),
    "no status": lambda _: _said(b"{}", status=b"0 Zero"),
    "a long header": lambda _: _said(b"{}", headers=b"X: " + b"y" * 200_000 + b"\r\n"),
    "many headers": lambda _: _said(b"{}", headers=b"X: y\r\n" * 2000),
    "letters of another kind": lambda _: _said(b"{}", headers=b"X: \xff\xe9\r\n"),
    "a redirect": lambda _: _said(b"", status=b"302 Found", headers=b"Location: http://127.0.0.1:1/smuggled\r\n"),
    "until it closes": lambda _: _raw(b"Connection: close", b"{}" * 1000),
    "a fault of its own": lambda _: _said(b"<html>down</html>", status=b"503 Down"),
}
# After these the service ends the connection: nobody could tell what comes next.
LAST = (
    "nothing of HTTP",
    "half a head",
    "half a body",
    "a negative length",
    "two lengths",
    "a length and chunks",
    "bad chunks",
    "chunks without end",
    "until it closes",
)

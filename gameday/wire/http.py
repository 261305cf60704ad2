"""The rules of HTTP that a proxy keeps, and what aiohttp leaves to whoever keeps them.

It promises that nothing is handed on which is between two neighbours alone, that a request is refused which could not
be handed on as it is, and that what the wire says by itself is a 4xx.

Sources: RFC 9110, 7.6 (what a proxy may not hand on); RFC 9112, 3.2 and 6 (hosts, and where a body ends).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import select
import zlib
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler, _ErrInfo
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from gameday.wire.exchange import Answered, Body

_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    }
)


# What is read and understood is kept whole in memory, a larger body is passed on as it comes. AWS's largest is that of
# PutRecords (10 MiB), whose records are longer in base64.
READ_MAX_BYTES = 16 * 2**20


_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class _Connection(RequestHandler):
    """Tells whoever reads a body that it turned out to be broken: aiohttp leaves that reader waiting, and keeps the
    error for after the request that never ends."""

    __slots__ = ("_body",)

    _body: aiohttp.StreamReader | None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        for message, body in self._messages:
            if not isinstance(message, _ErrInfo):
                self._body = body
                continue
            begun = getattr(self, "_body", None)
            if begun is not None and not begun.is_eof():
                begun.set_exception(web.RequestPayloadError(message.message))


class Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


async def say(request: web.BaseRequest, answered: Answered) -> web.StreamResponse:
    """Write all of it, in one piece where it is small."""
    headers = answered.headers.copy()
    if request.method != "HEAD":
        headers["Content-Length"] = str(len(answered.body))
    response = web.Response(status=answered.status, reason=answered.reason, headers=headers, body=answered.body)
    await response.prepare(request)
    await response.write_eof()
    return response


def insist_on_an_answer(response: aiohttp.ClientResponse) -> None:
    """Errors: ClientPayloadError where the target changes to another protocol, which nobody asked it to."""
    if response.status < 200:
        raise aiohttp.ClientPayloadError(f"status {response.status} is no answer")


async def body_of(request: web.BaseRequest) -> tuple[bytes, bool]:
    """Its body, or the first part of one that is larger than what is read, and whether it is. Errors: aiohttp's
    RequestPayloadError for one that breaks off."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > READ_MAX_BYTES:
            return bytes(body), True
    return bytes(body), False


def stream_of(request: web.BaseRequest) -> Body:
    return with_first(b"", request.content) if request.can_read_body else None


async def with_first(first: bytes, rest: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for chunk in rest.iter_any():
        yield chunk


def inflated(body: bytes, coding: str) -> bytes | None:
    """None of what is not compressed, or not in that way, or is too large to be read when it is not."""
    window = _WINDOWS.get(coding.lower())
    if window is None:
        return None
    try:
        inflating = zlib.decompressobj(window)
        plain = inflating.decompress(body, READ_MAX_BYTES)
    except zlib.error:
        return None
    return plain if inflating.eof else None


def end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Without those that are between two neighbours alone, by their nature or because one of them says so."""
    kept = headers.copy()
    for value in kept.popall("Connection", ()):
        for name in value.split(","):
            kept.popall(name.strip(), None)
    for name in _HOP:
        kept.popall(name, None)
    return kept


def one_case(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    """A name that comes twice, in the same letters: aiohttp's client takes `X-A` and `x-a` for two values of which the
    later counts."""
    if len(set(headers)) == len({name.lower() for name in headers}):
        return headers
    first: dict[str, str] = {}
    return CIMultiDict((first.setdefault(name.lower(), name), value) for name, value in headers.items())


def host_for(host: str, url: URL) -> str:
    """The Host header for the target: its own, behind the labels that a bucket's name puts before a local one."""
    labels = _hostname(host)
    target = url.host or ""
    if labels.endswith(".localhost"):
        target = f"{labels.removesuffix('.localhost')}.{'localhost' if _is_address(target) else target}"
    elif ":" in target:
        target = f"[{target}]"
    return target if url.is_default_port() else f"{target}:{url.port}"


def _hostname(host: str) -> str:
    """Of a Host header, which may have a port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def refusal_of(request: web.BaseRequest) -> tuple[int, str] | None:
    """This is no open proxy: it takes no request for anybody else, by whatever name a page in a browser calls it. And
    it takes none that it could not hand on as it is."""
    if not request.raw_path.startswith("/"):
        return 400, "This is a reverse proxy; it forwards to its own target alone."
    headers = request.headers
    if request.version not in (aiohttp.HttpVersion10, aiohttp.HttpVersion11):
        return 400, "This is a proxy for HTTP/1.0 and HTTP/1.1."
    if "Host" not in headers and request.version == aiohttp.HttpVersion11:
        return 400, "A request of HTTP/1.1 has a Host header."
    if headers.get("Transfer-Encoding", "chunked").lower() != "chunked":
        return 400, "Of the transfer codings it takes chunked alone."
    host = _hostname(request.host)
    if host not in ("127.0.0.1", "localhost") and not host.endswith(".localhost"):
        return 421, f"Nobody called {host!r} is here."
    if headers.get("Upgrade", "").lower() in ("websocket", "tcp"):
        return 400, "This connection stays HTTP."
    try:
        "".join((request.raw_path, *headers.values())).encode()
    except UnicodeEncodeError:
        return 400, "The request's head is not UTF-8."
    return None


def refuse(status: int, why: str) -> web.Response:
    """The wire's own word. The connection ends with it: what comes next on it may be the rest of a body."""
    response = web.Response(status=status, text=f"{why}\n")
    response.force_close()
    return response


def is_gone(request: web.BaseRequest) -> bool:
    """Whether the consumer has closed its connection, or died."""
    transport = request.transport
    if transport is None or transport.is_closing():
        return True
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
    return bool(poll.poll(0))


def quiet_logger() -> logging.Logger:
    """aiohttp's, but for the errors of whoever speaks to it: they are answered, and no news."""
    logger = logging.getLogger("gameday.wire.http")
    logger.addFilter(_is_news)
    return logger


def _is_news(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError | web.RequestPayloadError))


def break_off(request: web.BaseRequest) -> web.StreamResponse:
    """No answer: the connection breaks."""
    if isinstance(request.transport, asyncio.Transport):
        request.transport.abort()
    return web.Response()

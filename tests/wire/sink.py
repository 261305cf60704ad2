"""A service that records what comes to it, byte by byte, and answers as it is told: the wire's target in tests.

It promises to take nothing on trust: it reads HTTP/1.1 by itself, strictly, and what is no HTTP, or ends in its middle,
is kept as `broken`, so that a test can say what came whole and what else.
"""

from __future__ import annotations

import socket
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedReader

Headers = list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Got:
    """A request as it came, its body put together where it was chunked; `crc` is that of the body, kept or not."""

    method: str
    target: str
    headers: Headers
    body: bytes = field(repr=False)
    crc: int = 0

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def answer(body: bytes = b"{}", *, status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    named = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    return f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\n{named}\r\n".encode() + body


class Last(bytes):
    """An answer after which the connection ends."""


class Sink:
    """`says` gives the bytes of an answer; None breaks the connection. `begun` counts requests of which something came,
    `sent` the bytes of answers that the connection took."""

    def __init__(self, says: Callable[[Got], bytes | None] = lambda _: answer()) -> None:
        self.says = says
        self.got: list[Got] = []
        self.broken: list[str] = []
        self.keeps_bodies = True
        self.connections = 0
        self.begun = 0
        self.sent = 0
        self._local = threading.local()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def send(self, part: bytes) -> None:
        """Part of an answer, from within `says`."""
        self._local.connection.sendall(part)

    def always(self, said: bytes) -> None:
        self.says = lambda _: said

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(connection)
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        self._local.connection = connection
        with connection, connection.makefile("rb") as stream:
            try:
                while stream.peek(1):
                    self.begun += 1
                    got = _read(stream, keep=self.keeps_bodies)
                    self.got.append(got)
                    said = self.says(got)
                    if said is None:
                        break
                    view = memoryview(said)
                    while view:
                        sent = connection.send(view[: 1 << 20])
                        self.sent += sent
                        view = view[sent:]
                    if isinstance(said, Last):
                        break
            except ValueError as error:
                self.broken.append(str(error))
            except OSError:
                pass  # the wire has closed it
            finally:
                self._open.discard(connection)


def _read(stream: BufferedReader, *, keep: bool) -> Got:
    """Errors: ValueError for what is no request, or ends in its middle."""
    readline, read = stream.readline, stream.read
    first = readline(200_000)
    method, target, version = _line(first).split(" ")
    if version != "HTTP/1.1":
        raise ValueError(f"no HTTP/1.1: {first!r}")
    headers: Headers = []
    while line := _line(readline(200_000)):
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise ValueError(f"no header: {line!r}")
        headers.append((name, value.strip()))
    lengths = [value for name, value in headers if name.lower() == "content-length"]
    codings = [value for name, value in headers if name.lower() == "transfer-encoding"]
    if len(lengths) + len(codings) > 1 or codings not in ([], ["chunked"]):
        raise ValueError(f"two ends for one body: {lengths} {codings}")
    body, crc = bytearray(), 0
    if codings:
        while size := int(_line(readline(200_000)), 16):
            crc = _take(read, size, body if keep else None, crc)
            if readline() != b"\r\n":
                raise ValueError("no end of a chunk")
        if readline() != b"\r\n":
            raise ValueError("no end of the chunks")
    elif lengths:
        crc = _take(read, int(lengths[0]), body if keep else None, crc)
    return Got(method=method, target=target, headers=headers, body=bytes(body), crc=crc)


def _take(read: Callable[[int], bytes], size: int, body: bytearray | None, crc: int) -> int:
    while size:
        part = read(min(size, 1 << 20))
        if not part:
            raise ValueError(f"{size} bytes of a body are missing")
        size -= len(part)
        crc = zlib.crc32(part, crc)
        if body is not None:
            body += part
    return crc


def _line(line: bytes) -> str:
    if not line.endswith(b"\r\n"):
        raise ValueError(f"a line ends in its middle: {line[-80:]!r}")
    return line[:-2].decode("latin-1")


@contextmanager
def sink(says: Callable[[Got], bytes | None] = lambda _: answer()) -> Iterator[Sink]:
    served = Sink(says)
    try:
        yield served
    finally:
        served.close()

"""The wire before a broken world: requests that are no requests, from consumers that hang up, to a service that raves.

It must live, forget nothing that it opened and keep nothing; hand on only what came whole, as one request where it was
one; and say of itself only what a client did wrong in HTTP.
"""

from __future__ import annotations

import random
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from struct import pack

import orjson
import psutil  # type: ignore[import-untyped]  # comes with Locust, without types
import pytest

from gameday.history.clock import Clock
from gameday.transports.base import Addresses
from gameday.transports.endpoint import Endpoint
from gameday.wire.config import WireConfig
from tests.commanded import wait_until
from tests.series import in_series, in_soak
from tests.wire.fuzz import ANSWERS, EXPECT, LAST, MARK, MIB, Case, Fuzzer
from tests.wire.sink import Got, Last, Sink, answer, sink
from tests.wire.wired import sdk

QUEUE = "/000000000000/orders"
# What the wire itself may say.
_OWN = (400, 408, 413, 421)
_RESET = pack("ii", 1, 0)
_OF_A_CASE = re.compile(r"/case/([0-9]+) \1")


@dataclass
class Process:
    """The wire as a run has it: a process of its own."""

    process: subprocess.Popen[bytes]
    port: int
    words: Path

    @property
    def files(self) -> int:
        return int(psutil.Process(self.process.pid).num_fds())

    @property
    def memory_mib(self) -> float:
        return float(psutil.Process(self.process.pid).memory_info().rss) / MIB

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


@contextmanager
def process(target: str, path: Path) -> Iterator[Process]:
    (path / "history").mkdir(parents=True)
    config = WireConfig(
        records_in=path,
        clock=Clock.start(),
        endpoint=Endpoint(urls={"*": target}, access_key="test", secret_key="test"),
        transport="sqs",
        addresses=Addresses(send_to=f"{target}{QUEUE}", queues={"orders": f"{target}{QUEUE}"}),
        subscription="orders",
        visibility_timeout_s=30,
    )
    config.save(path / "wire.json")
    words = path / "words"
    with words.open("wb") as said:
        wire = subprocess.Popen(
            [sys.executable, "-m", "gameday.wire", "--config", path / "wire.json"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
        )
    try:
        assert wire.stdin is not None and wire.stdout is not None
        assert orjson.loads(wire.stdout.readline())["report"] == "ready"
        wire.stdin.write(b'{"do": "listen", "consumer": "orders-1.1"}\n')
        wire.stdin.flush()
        yield Process(wire, orjson.loads(wire.stdout.readline())["port"], words)
        wire.stdin.close()
        assert wire.wait(10) == 0, words.read_text()
    finally:
        wire.kill()
        wire.wait()
        wire.stdout.close()  # type: ignore[union-attr]


# A consumer by hand


@dataclass(frozen=True)
class Said:
    status: int
    headers: dict[str, str]
    body: bytes


class Consumer:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._stream = connection.makefile("rb")

    def send(self, parts: tuple[bytes, ...]) -> None:
        for part in parts:
            self._connection.sendall(part)
            if EXPECT in part:
                first = self._stream.readline() + self._stream.readline()
                assert first == b"HTTP/1.1 100 Continue\r\n\r\n", first

    def read(self) -> Said | None:
        """None where the connection ends before a whole answer has come."""
        try:
            first = self._stream.readline()
            if not first.endswith(b"\r\n"):
                return None
            status = int(first.split()[1])
            headers = {}
            while (line := self._stream.readline()) != b"\r\n":
                if not line:
                    return None
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            body = self._body(status, headers)
        except ConnectionError:
            return None
        return None if body is None else Said(status, headers, body)

    def _body(self, status: int, headers: dict[str, str]) -> bytes | None:
        if status in (204, 304):
            return b""
        if "content-length" in headers:
            body = self._stream.read(int(headers["content-length"]))
            return body if len(body) == int(headers["content-length"]) else None
        if headers.get("transfer-encoding") != "chunked":
            return self._stream.read()
        whole = b""
        while True:
            line = self._stream.readline()
            if not line.endswith(b"\r\n"):
                return None
            size = int(line, 16)
            part = self._stream.read(size + 2)
            if len(part) != size + 2:
                return None
            if not size:
                return whole
            whole += part[:-2]


def speak(wire: Process, case: Case) -> list[Said]:
    """Its answers. A connection that the wire has ended is the end of them."""
    with wire.connect() as connection:
        consumer = Consumer(connection)
        with suppress(ConnectionError):
            consumer.send(case.parts)
        answers: list[Said] = []
        if case.ends == "answer":
            if not case.answered and case.kind == "mutated":
                # Perhaps the wire waits for more of it.
                connection.settimeout(1)
            # Of any other it must say something, or break off.
            with suppress(TimeoutError) if case.kind == "mutated" else nullcontext():
                while len(answers) < max(case.requests, 1) and (said := consumer.read()) is not None:
                    answers.append(said)
        elif case.ends == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        return answers


def raving(got: Got) -> bytes | None:
    """The service: it says what it is asked to, marked with the number of who asked."""
    number = (got.header("X-Case") or "").encode()
    wanted = got.header("X-Answer")
    if wanted in ANSWERS:
        said = ANSWERS[wanted](random.Random(number))
        if said is None:
            return None
        said = said.replace(MARK, MARK.replace(b"~", number))
        return Last(said) if wanted in LAST else said
    return answer(headers={"X-Sink": number.decode("latin-1")})


def wrong_about(case: Case, answers: list[Said]) -> str | None:
    """What is wrong with these answers to it."""
    for said in answers:
        if (mark := said.headers.get("x-sink")) is not None:
            if mark != str(case.number) and case.kind != "mutated":
                return f"the answer to {mark} was given to it"
            if not case.requests:
                return f"the service answered it: {said}"
        elif said.status not in _OWN or not said.headers.get("content-type", "").startswith("text/plain"):
            return f"the wire answered for the service: {said}"
        elif case.answered:
            return f"the wire refused it: {said}"
    if case.answered and len(answers) < case.requests and case.kind != "wrong types":
        return f"it got {len(answers)} of {case.requests} answers"
    return None


def _names(request: Got) -> str:
    """The two places where it says whose it is, of which a mutation may change one."""
    return f"{request.target.partition('?')[0]} {request.header('X-Case')}"


def wrong_about_what_came(got: list[Got], cases: dict[int, Case]) -> list[str]:
    """Whatever reached the service that was not sent whole, or not as a request."""
    found = []
    counts: Counter[int] = Counter()
    stray = 0
    for request in got:
        if "smuggled" in request.target:
            found.append(f"smuggled: {request}")
        case = cases.get(int(request.header("X-Case") or 0)) if _OF_A_CASE.fullmatch(_names(request)) else None
        if case is None:
            stray += 1
            continue
        counts[case.number] += 1
        if case.crcs is not None and request.crc not in case.crcs:
            found.append(f"another body than was sent: {case.kind} {case.number}, {request}")
    found += [
        f"{count} requests of {cases[number].kind} {number}, whose first part is {cases[number].parts[0][:300]!r}"
        for number, count in counts.items()
        if count > cases[number].requests
    ]
    if stray > sum(case.kind == "mutated" for case in cases.values()):
        found.append(f"{stray} requests of nobody")
    return found


@pytest.mark.parametrize(
    ("seed", "count"),
    [(1, 400), pytest.param(2, 800, marks=in_series), pytest.param(3, 10_000, marks=(in_series, in_soak))],
    ids=["400", "2000", "10000"],
)
def test_it_survives(seed: int, count: int, tmp_path: Path) -> None:
    with sink(raving) as service, process(service.url, tmp_path / "run") as wire:
        service.keeps_bodies = False
        fuzzer = Fuzzer(seed, queue=QUEUE, host=f"127.0.0.1:{wire.port}")
        cases: dict[int, Case] = {}

        def played(case: Case) -> str | None:
            # All but the bodies of the large ones is kept for later.
            cases[case.number] = Case(**{**vars(case), "parts": tuple(part[:2000] for part in case.parts[:1])})
            wrong = wrong_about(case, speak(wire, case))
            return None if wrong is None else f"{case.kind} {case.number}: {wrong}; {case.parts[0][:300]!r}"

        with ThreadPoolExecutor(8) as pool, lorises(wire, 20) as sent:
            list(pool.map(played, islice(fuzzer.cases(), count // 4)))
            good_call(service, wire)
            files, memory_mib = wire.files, wire.memory_mib
            wrong = [each for each in pool.map(played, islice(fuzzer.cases(), count - count // 4)) if each is not None]
            assert not wrong, "\n".join(wrong[:20])
            good_call(service, wire)
            assert sent() > 20, "those that send a byte now and then have done so all along"
        assert wire.process.poll() is None
        assert not (found := wrong_about_what_came(service.got, cases)), "\n".join(found[:20])
        broken = [each for each in service.broken if "missing" not in each and "ends in its middle" not in each]
        assert not broken, "the target got what is no HTTP"
        wait_until(lambda: wire.files <= files, f"no more than {files} files are open")
        assert wire.memory_mib < memory_mib + 64, f"{wire.memory_mib:.0f} MiB, after the first cases {memory_mib:.0f}"
        assert not wire.words.read_text(), "whatever it had to say of itself was a mistake of its own"


def good_call(service: Sink, wire: Process) -> None:
    asked = sdk("sqs", f"http://127.0.0.1:{wire.port}").receive_message(QueueUrl=f"{service.url}{QUEUE}")
    assert asked["ResponseMetadata"]["HTTPStatusCode"] == 200


@contextmanager
def lorises(wire: Process, count: int) -> Iterator[Callable[[], int]]:
    """Connections whose requests never end: a byte each now and then. Gives how many bytes they have sent."""
    connections = [wire.connect() for _ in range(count)]
    sent = 0
    over = False

    def creep() -> None:
        nonlocal sent
        for n in range(1_000_000):
            if over:
                return
            for connection in connections:
                connection.sendall((b"POST /smuggled HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 60_000)[n : n + 1])
                sent += 1
            time.sleep(0.2)

    with ThreadPoolExecutor(1) as pool:
        creeping = pool.submit(creep)
        try:
            yield lambda: sent
        finally:
            over = True
            creeping.result()
            for connection in connections:
                connection.close()

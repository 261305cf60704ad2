"""Where the contract suite's live half runs: the broker in memory, MiniStack, LocalStack and the moto server.

Each is started once per test process, when a test first asks for it. The last two are installed apart (`make
localstack`, `make moto`); tests that need them are skipped without, and fail in CI.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from gameday.transports.base import Call, CallFailed
from gameday.transports.carriers.boto import BotoCarrier
from gameday.transports.endpoint import Endpoint
from tests.needed import lacking

_READY_S = 60.0
_ROOT = Path(__file__).resolve().parent.parent.parent


@contextmanager
def _process(
    argv: list[str], *, log: Path, out: Path | None = None, env: dict[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with what it says in `log` and `out` (None: a pipe to read)."""
    with log.open("wb") as errors, (out or Path(os.devnull)).open("wb") as said:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=said if out else subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **(env or {})},
            cwd=cwd,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _endpoint(url: str) -> Endpoint:
    return Endpoint(urls={"*": url}, access_key="test", secret_key="test")


@pytest.fixture(scope="session")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    log = tmp_path_factory.mktemp("memory") / "log"
    with _process([sys.executable, "-m", "gameday.emulator", "--port", "0"], log=log) as process:
        assert process.stdout is not None
        yield _endpoint(orjson.loads(process.stdout.readline())["url"])


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    directory = tmp_path_factory.mktemp("ministack")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1"}
    log = directory / "log"
    with _process([sys.executable, "-m", "ministack"], log=log, out=directory / "out", env=env) as process:
        endpoint = _endpoint(f"http://127.0.0.1:{port}")
        _wait_until_ready(endpoint, process, log)
        yield endpoint


@pytest.fixture(scope="session")
def localstack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with _served("localstack", tmp_path_factory) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with _served("moto", tmp_path_factory) as endpoint:
        yield endpoint


@contextmanager
def _served(product: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    if not (_ROOT / f".{product}/.ready").exists():
        lacking(f"{product} is not installed; get it with: make {product}")
    log = tmp_path_factory.mktemp(product) / "log"
    with _process([sys.executable, "scripts/serve.py", product, "--port", "0"], log=log, cwd=_ROOT) as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready, f"{product} did not start: {log.read_text()[-2000:]}"
        yield _endpoint(orjson.loads(ready)["url"])


def _wait_until_ready(endpoint: Endpoint, process: subprocess.Popen[bytes], log: Path) -> None:
    carry = BotoCarrier(endpoint)
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            carry(Call("sqs", "ListQueues", {}))
            return
        except CallFailed as failed:
            assert process.poll() is None, f"MiniStack ended: {log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"MiniStack did not answer: {failed}"
            time.sleep(0.1)

"""Whose process a pid file names: only one that was there when it was written, and only as long as it lives."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gameday.consumers.attached import AttachedConsumer, by_pid_file
from gameday.processes import proc


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def found(path: Path) -> int | None:
    return asyncio.run(by_pid_file(path)())


def test_a_process_that_wrote_its_number_is_found(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(f"{process.pid}\n")
    assert found(tmp_path / "pid") == process.pid


def test_a_process_that_began_after_the_file_was_written_is_another_one(
    process: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    (tmp_path / "pid").write_text(str(process.pid))
    long_ago = time.time() - 3600
    os.utime(tmp_path / "pid", (long_ago, long_ago))
    assert found(tmp_path / "pid") is None


@pytest.mark.parametrize("text", ["", "none", "0 0", "-1"])
def test_what_names_no_process_finds_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(text)
    assert found(tmp_path / "pid") is None
    assert found(tmp_path / "missing") is None


class _NoPort:
    async def close(self) -> None: ...


def test_it_is_struck_while_it_lives_and_left_when_the_run_ends(
    process: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    port: Any = _NoPort()

    async def scene() -> None:
        consumer = AttachedConsumer("orders-1.1", process.pid, port=port, run=tmp_path)
        assert await consumer.end(timeout_s=1) == 0
        assert proc.lives(process.pid), "it was not started here"
        consumer.signal(signal.SIGKILL)
        process.wait(10)
        assert not consumer.alive
        consumer.signal(signal.SIGKILL)

    asyncio.run(scene())

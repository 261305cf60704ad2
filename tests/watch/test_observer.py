"""The observer: what it reads of growing files, and the process as Prometheus and the conductor see it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from gameday.processes.discovery import Announcement, Scraped
from gameday.watch.tail import Tail
from tests.watch.story import Story, manifest

DEADLINE_S = 20

START = 1_700_000_000 * 10**9


class TestTail:
    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        directory = tmp_path / "history"
        directory.mkdir()
        return directory

    def append(self, path: Path, text: str) -> None:
        with path.open("a") as file:
            file.write(text)

    def ats(self, tail: Tail) -> list[int]:
        """What is given while nothing more is written."""
        return [record["at"] - START for _ in range(3) for record in tail.read()]

    def line(self, at: int, padding: int = 0) -> str:
        return orjson.dumps({"event": "x", "at": START + at, "padding": "x" * padding}).decode() + "\n"

    def test_records_of_all_files_come_in_the_order_of_time(self, directory: Path) -> None:
        tail = Tail(directory)
        self.append(directory / "a.jsonl", self.line(1) + self.line(4) + self.line(3))
        self.append(directory / "b.jsonl", self.line(2) + self.line(5))
        assert self.ats(tail) == [1, 2, 4, 3, 5]

    def test_what_is_written_in_the_next_round_still_comes_before_what_is_newer(self, directory: Path) -> None:
        tail = Tail(directory)
        self.append(directory / "a.jsonl", self.line(2))
        assert tail.read() == []
        self.append(directory / "b.jsonl", self.line(1))
        assert self.ats(tail) == [1, 2]

    def test_a_torn_line_and_a_quiet_file_keep_nobody_waiting(self, directory: Path) -> None:
        tail = Tail(directory)
        self.append(directory / "quiet.jsonl", self.line(1))
        self.append(directory / "torn.jsonl", self.line(2) + '{"event":')
        self.append(directory / "a.jsonl", self.line(3) + self.line(4))
        assert self.ats(tail) == [1, 2, 3, 4]

    def test_one_that_catches_up_gives_them_in_order_and_holds_little(self, directory: Path) -> None:
        # Each file is several chunks; one is dense in the first half, the other in the second.
        early, late = [range(0, 8000), range(8000, 16000, 8)], [range(1, 8000, 8), range(8001, 16001)]
        for name, parts in (("a", early), ("b", late)):
            path = directory / f"{name}.jsonl"
            path.write_text("".join(self.line(2 * at + (name == "b"), 500) for part in parts for at in part))
        tail, given, most = Tail(directory), [], 0
        while not given or tail.behind:
            given += tail.read()
            most = max(most, tail.waiting)
        given += tail.rest()
        ats = [record["at"] for record in given]
        assert ats == sorted(ats) and len(ats) == 18000
        assert most < 2 * 2500  # two chunks of lines

    def test_it_gives_each_line_once(self, directory: Path) -> None:
        tail, path = Tail(directory), directory / "a.jsonl"
        self.append(path, '{"event":"x","at":1700000000000000001}\n')
        assert self.ats(tail) == [1]
        assert self.ats(tail) == []
        self.append(path, '{"event":"x","at":1700000000000000002}\n{"event":"x","at":1700000000000000003}\n')
        assert self.ats(tail) == [2, 3]

    def test_a_line_waits_until_it_is_whole(self, directory: Path) -> None:
        tail, path = Tail(directory), directory / "a.jsonl"
        self.append(path, '{"event":"x","at":1700000000000000001}\n{"event":')
        assert self.ats(tail) == [1]
        self.append(path, '"x",')
        assert self.ats(tail) == []
        self.append(path, '"at":1700000000000000002}\n')
        assert self.ats(tail) == [2]
        assert tail.unreadable == 0

    def test_new_files_are_found_even_when_the_directory_comes_later(self, tmp_path: Path) -> None:
        tail = Tail(tmp_path / "later")
        assert self.ats(tail) == []
        (tmp_path / "later").mkdir()
        self.append(tmp_path / "later" / "a.jsonl", '{"event":"x","at":1700000000000000001}\n')
        self.append(tmp_path / "later" / "notes.txt", "no history")
        assert self.ats(tail) == [1]
        self.append(tmp_path / "later" / "b.jsonl", '{"event":"x","at":1700000000000000002}\n')
        assert self.ats(tail) == [2]

    def test_what_is_no_record_is_counted(self, directory: Path) -> None:
        tail = Tail(directory)
        self.append(directory / "a.jsonl", 'nonsense\n[]\n{"event":"x"}\n{"event":"x","at":1700000000000000001}\n')
        assert self.ats(tail) == [1]
        assert tail.unreadable == 3

    def test_at_the_end_a_last_line_that_can_be_read_is_a_record(self, directory: Path) -> None:
        tail = Tail(directory)
        self.append(directory / "a.jsonl", '{"event":"x","at":1700000000000000001}')
        self.append(directory / "torn.jsonl", '{"event":"x",')
        assert self.ats(tail) == []
        assert [record["at"] - START for record in tail.rest()] == [1]
        assert tail.rest() == []

    def test_a_large_file_is_read_in_rounds(self, directory: Path) -> None:
        line = orjson.dumps({"event": "x", "at": START + 1, "padding": "x" * 1000}) + b"\n"
        (directory / "a.jsonl").write_bytes(line * 2000)
        tail, count, rounds = Tail(directory), 0, 0
        while count == 0 or tail.behind:
            count += len(tail.read())
            rounds += 1
        assert (count + len(tail.rest()), rounds > 1) == (2000, True)


class Running:
    """An observer process on a run directory."""

    def __init__(self, run: Path, port: int = 0) -> None:
        self.run = run
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gameday.watch.observer", "--run", str(run), "--port", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def report(self, kind: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            report: dict[str, Any] = orjson.loads(line)
            if report["report"] == kind:
                return report
        raise AssertionError(f"it ended without a {kind}: {self.process.communicate()[1].decode()}")

    def tell(self, story: Story) -> None:
        for name, records in story.files.items():
            with (self.run / "history" / f"{name}.jsonl").open("ab") as file:
                file.write(b"".join(orjson.dumps(record) + b"\n" for record in records))

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "history").mkdir()
    manifest().save(tmp_path)
    return tmp_path


@pytest.fixture
def running(run: Path) -> Iterator[Running]:
    running = Running(run)
    yield running
    running.end()


def scrape(port: int) -> dict[str, float]:
    """Every sample by its name and labels, as the exposition writes them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (x.rpartition(" ") for x in lines if not x.startswith("#"))}


def eventually(port: int, holds: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    deadline = time.monotonic() + DEADLINE_S
    while not holds(samples := scrape(port)):
        assert time.monotonic() < deadline, samples
        time.sleep(0.05)
    return samples


@pytest.mark.live
class TestProcess:
    def test_an_injected_duplicate_shows_though_nothing_follows_it(self, running: Running) -> None:
        port = running.report("ready")["port"]
        story = Story().acked("a").received("a", 1, broker_seq="1").effect("a", 1)
        running.tell(story)
        eventually(port, lambda s: s['gameday_messages_received_total{subscription="orders"}'] == 1)
        running.tell(Story().received("a", 2, copy="another", broker_seq="2").effect("a", 2))
        samples = eventually(
            port, lambda s: s['gameday_duplicates_total{kind="send-duplicate",subscription="orders"}'] == 1
        )
        assert samples['gameday_duplicates_total{kind="effect-duplicate",subscription="orders"}'] == 1
        assert samples['gameday_messages_sent_total{outcome="ok"}'] == 1
        assert samples['gameday_end_to_end_latency_seconds_bucket{le="0.1",subscription="orders"}'] == 1
        assert samples['gameday_end_to_end_latency_seconds_count{subscription="orders"}'] == 1

    def test_no_sample_names_a_message(self, running: Running) -> None:
        port = running.report("ready")["port"]
        story = (
            Story()
            .intended("secret-id")
            .sent("secret-id", outcome="failed", error="Refused: secret-id")
            .received("secret-id", 1)
        )
        running.tell(story)
        samples = eventually(
            port, lambda s: s.get('gameday_errors_total{error="Refused",subscription="",where="send"}') == 1
        )
        assert not any("secret-id" in name for name in samples)

    @pytest.mark.parametrize("how", ["SIGTERM", "end of input"])
    def test_it_ends_in_good_order_with_a_last_snapshot_of_everything(self, running: Running, how: str) -> None:
        running.report("ready")
        assert running.report("snapshot")["final"] is False
        running.tell(Story().acked("a", "b", "c"))
        if how == "SIGTERM":
            running.process.send_signal(signal.SIGTERM)
        else:
            assert running.process.stdin is not None
            running.process.stdin.close()
        snapshot = running.report("snapshot")
        while not snapshot["final"]:
            snapshot = running.report("snapshot")
        assert (snapshot["acked"], snapshot["records"]) == (3, 6)
        assert running.process.wait(DEADLINE_S) == 0

    def test_it_serves_loopback_only(self, running: Running) -> None:
        port = running.report("ready")["port"]
        listening = Path("/proc/net/tcp").read_text()
        addresses = re.findall(rf" ([0-9A-F]{{8}}):{port:04X} 00000000:0000 0A", listening)
        assert addresses == ["0100007F"]

    def test_it_lists_itself_and_every_process_that_lives(self, run: Path, running: Running) -> None:
        port = running.report("ready")["port"]

        def listed() -> list[tuple[str, dict[str, str]]]:
            with urllib.request.urlopen(f"http://localhost:{port}/sd", timeout=10) as answer:
                assert answer.headers["Content-Type"] == "application/json"
                return [
                    (target, group["labels"]) for group in orjson.loads(answer.read()) for target in group["targets"]
                ]

        itself = (f"127.0.0.1:{port}", {"run": "r", "role": "observer", "process": "observer"})
        assert listed() == [itself]
        announcement = Announcement(
            run,
            Scraped(process="orders-1.1", role="consumer", host="0.0.0.0", port=9, labels={"subscription": "orders"}),
        )
        labels = {"run": "r", "role": "consumer", "process": "orders-1.1", "subscription": "orders"}
        assert listed() == [itself, ("localhost:9", labels)]
        announcement.withdraw()
        assert listed() == [itself]

    def test_one_that_starts_later_sees_the_same(self, run: Path, running: Running) -> None:
        running.report("ready")
        running.tell(Story().acked("a").received("a", 1, broker_seq="1"))
        later = Running(run)
        try:
            port = later.report("ready")["port"]
            eventually(port, lambda s: s['gameday_messages_received_total{subscription="orders"}'] == 1)
        finally:
            later.end()


@pytest.mark.live
class TestWrongStart:
    def test_a_busy_port_is_a_clear_error(self, run: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            process = Running(run, port).process
            _, errors = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 4
        expected = f"cannot serve /metrics on 127.0.0.1:{port}: Address already in use; --port 0 takes any free one"
        assert errors.decode().strip() == expected

    def test_a_directory_that_is_no_run_is_a_clear_error(self, tmp_path: Path) -> None:
        process = Running(tmp_path).process
        _, errors = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 2
        assert "is not a run directory: it has no manifest.json" in errors.decode()

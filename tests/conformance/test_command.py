"""`gameday conformance` as a person runs it: on the broker in memory over the wire, on MiniStack, and interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gameday.cli import main
from gameday.conformance.registry import PROBES
from gameday.targets.endpoints import endpoint_of
from gameday.transports.base import Call
from gameday.transports.carriers.boto import BotoCarrier
from tests.commanded import COMMAND, DEADLINE_S
from tests.series import in_series, in_soak

# All of it takes a minute on two idle cores.
WHOLE_S = 4 * DEADLINE_S
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "conformance.md").read_text("utf-8")
SKIPPED = {("sqs-fifo", "dedup-after-window"): "unknown", ("kinesis", "iterator-expires"): "unknown"}
UNTHROTTLED = {("kinesis", "put-records-partial-failure"): "unknown"}


EVERY = {(service, name) for service, probes in PROBES.items() for name in probes}


def cells(title: str) -> dict[tuple[str, str], str]:
    """What the page shows under a title which begins so."""
    section = PAGE.partition(f"\n## {title}")[2].partition("\n## ")[0]
    lines = [[cell.strip(" `*") for cell in line[1:-1].split("|")] for line in section.splitlines() if line[:1] == "|"]
    (_, *services), _, *rows = lines
    return {
        (service, probe): result
        for probe, *results in rows
        for service, result in zip(services, results, strict=True)
        if result
    }


def documented(title: str) -> dict[tuple[str, str], str]:
    """The same but for what holds."""
    return {cell: result for cell, result in cells(title).items() if result != "holds"}


def conformance(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "conformance", *arguments], capture_output=True, text=True, timeout=WHOLE_S, check=False
    )


@pytest.fixture
def memory() -> Iterator[str]:
    """The URL of a broker of its own, with a deduplication window that a probe can wait for."""
    argv = [sys.executable, "-m", "gameday.emulator", "--port", "0", "--dedup-window-s", "5"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def left_behind(url: str) -> list[object]:
    carry = BotoCarrier(endpoint_of((), url, {}))
    queues = carry(Call("sqs", "ListQueues", {})).get("QueueUrls")
    topics = carry(Call("sns", "ListTopics", {})).get("Topics")
    buses = carry(Call("events", "ListEventBuses", {"NamePrefix": "gameday"})).get("EventBuses")
    streams = carry(Call("kinesis", "ListStreams", {})).get("StreamNames")
    tables = carry(Call("dynamodb", "ListTables", {})).get("TableNames")
    functions = carry(Call("lambda", "ListFunctions", {})).get("Functions")
    mappings = carry(Call("lambda", "ListEventSourceMappings", {})).get("EventSourceMappings")
    return [left for left in (queues, topics, buses, streams, tables, functions, mappings) if left]


def not_holding(done: subprocess.CompletedProcess[str]) -> dict[tuple[str, str], str]:
    cells = json.loads(done.stdout)["cells"]
    assert [(c["service"], c["probe"]) for c in cells] == [(s, n) for s, probes in PROBES.items() for n in probes]
    return {(c["service"], c["probe"]): c["result"] for c in cells if c["result"] != "holds"}


@in_series
@pytest.mark.live
@in_soak
def test_the_broker_in_memory_keeps_everything_over_the_wire_too(memory: str) -> None:
    done = conformance("--endpoint-url", memory, "--dedup-window-s", "5", "--format", "json")
    assert not_holding(done) == {**UNTHROTTLED, ("kinesis", "iterator-expires"): "unknown"}, done.stderr
    assert done.returncode == 3
    assert left_behind(memory) == []


@in_series
@pytest.mark.live
def test_ministack_is_as_the_documentation_says() -> None:
    done = conformance("--format", "json")
    assert not_holding(done) == documented("MiniStack") | SKIPPED, done.stdout
    assert done.returncode == 1
    assert json.loads(done.stdout)["target"] == "embedded"


@pytest.mark.live
def test_an_interrupted_one_leaves_nothing_behind(memory: str) -> None:
    argv = [*COMMAND, "conformance", "--endpoint-url", memory, "--services", "sqs-fifo"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        # Its first answer: by now there are probes at work.
        while ": " not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "gameday: interrupted; what the probes had made is removed"
    assert left_behind(memory) == []


@pytest.mark.live
def test_a_text_for_people(memory: str) -> None:
    done = conformance("--endpoint-url", memory, "--services", "dynamodb")
    assert done.returncode == 0
    assert f"conformance of the endpoint {memory}" in done.stdout
    count = len(PROBES["dynamodb"])
    assert f"{count} hold" in done.stdout
    assert f"1/{count} dynamodb" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--services", "sqs,moon"], 2, "--services 'sqs,moon': moon is none of sqs, sqs-fifo"),
        (["--target", "embedded", "--endpoint-url", "http://127.0.0.1:1"], 2, "with it goes --target localstack"),
        (["--endpoint-url", "nonsense"], 2, "--endpoint-url is 'nonsense'"),
        (["--target", "aws"], 2, "what AWS does is what probes are held to"),
        (["--endpoint-url", "http://127.0.0.1:1", "--services", "sqs"], 4, "no answer from sqs at http://127.0.0.1:1"),
    ],
)
def test_what_cannot_be_done_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["gameday", "conformance", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (code, "")
    assert err.startswith("gameday: ") and said in err


def test_the_help_names_every_service(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["gameday", "conformance", "--help"])
    with pytest.raises(SystemExit):
        main()
    out = " ".join(capsys.readouterr().out.split())
    assert ", ".join(PROBES) in out
    assert "gameday conformance --services" in out.partition("Examples")[2]


@pytest.mark.parametrize("title", ["MiniStack", "LocalStack", "The moto server"])
def test_every_violated_cell_of_the_page_is_explained(title: str) -> None:
    section = PAGE.partition(f"\n## {title}")[2].partition("\n## ")[0].partition("What that means")[2]
    for (service, probe), shown in documented(title).items():
        assert shown != "violated" or f"- `{service}` `{probe}`: " in section


def test_the_page_has_every_probe_of_what_is_always_at_hand_and_no_other() -> None:
    """Another emulator may have been asked last before a probe was written."""
    assert cells("MiniStack").keys() == EVERY
    for title in ("LocalStack", "The moto server"):
        assert cells(title) and cells(title).keys() <= EVERY

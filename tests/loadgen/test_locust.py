"""Locust itself, as a process, against the broker in memory and MiniStack: what it records is what the queue holds."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from gameday.history.clock import Clock
from gameday.history.writer import DIRECTORY
from gameday.loadgen.config import LoadConfig
from gameday.processes.child import Child
from gameday.transports.base import Call, CallFailed, SubscriptionSpec, Topology
from gameday.transports.carriers.boto import BotoCarrier, run_plan
from gameday.transports.endpoint import Endpoint
from gameday.transports.registry import TRANSPORTS
from tests import sources
from tests.series import in_series, series

pytestmark = pytest.mark.live

LOCUSTFILE = Path(__file__).parents[2] / "loadgen" / "locustfile.py"
LOCUST = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"]
TOPOLOGY = Topology(subscriptions=[SubscriptionSpec(name="orders")])
LIMIT_S = 60.0


@contextmanager
def process(argv: list[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait()
        for pipe in (started.stdin, started.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture(scope="module")
def memory() -> Iterator[Endpoint]:
    with process([sys.executable, "-m", "gameday.emulator"]) as broker:
        assert broker.stdout is not None
        yield endpoint(orjson.loads(broker.stdout.readline())["url"])


@pytest.fixture(scope="module")
def ministack() -> Iterator[Endpoint]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = ["sh", "-c", 'exec "$0" -m ministack > /dev/null', sys.executable]
    with process(argv, GATEWAY_PORT=str(port), BIND_HOST="127.0.0.1") as emulator:
        url = f"http://127.0.0.1:{port}"
        carry = BotoCarrier(endpoint(url))
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                carry(Call("sqs", "ListQueues", {}))
                break
            except CallFailed:
                assert emulator.poll() is None and time.monotonic() < deadline, "MiniStack did not start"
                time.sleep(0.1)
        yield endpoint(url)


def endpoint(url: str) -> Endpoint:
    return Endpoint(urls={"*": url}, access_key="test", secret_key="test")


def prepare(run: Path, endpoint: Endpoint, *, transport: str, **changes: Any) -> LoadConfig:
    """A queue, a run directory and `load.json` in it."""
    (run / DIRECTORY).mkdir()
    config = LoadConfig(
        **{
            "run_dir": str(run),
            "run": run.name,
            "clock": str(Clock.start()),
            "endpoint": endpoint,
            "transport": transport,
            "addresses": run_plan(
                TRANSPORTS[transport].provision(TOPOLOGY, run=f"{run.name}-{transport}", tags={}), BotoCarrier(endpoint)
            ),
            "topology": TOPOLOGY,
            "rate_per_s": 200.0,
            "duration_s": 1.5,
            "groups": 12,
            "users": 3,
            "poison_share": 0.1,
            **changes,
        }
    )
    config.save(run / "load.json")
    return config


def records(run: Path) -> dict[str, list[dict[str, Any]]]:
    """By history file, each of which must end in good order."""
    found = {p.stem: [orjson.loads(line) for line in p.open("rb")] for p in sorted((run / DIRECTORY).glob("*.jsonl"))}
    for name, lines in found.items():
        assert lines[-1]["event"] == "mark" and lines[-1]["name"] == "closed", f"{name} was not closed"
    return found


def depth(config: LoadConfig) -> int:
    source = sources.queue(TRANSPORTS[config.transport], config.addresses, "orders")
    return source.depth_of(BotoCarrier(config.endpoint)(source.depth())).total


def check_order(lines: list[dict[str, Any]]) -> None:
    """At most one of a group on its way, and none begun before the one before it was answered ok."""
    groups: dict[str, str] = {}
    on_its_way: dict[str, str] = {}
    acked: defaultdict[str, int] = defaultdict(int)
    for line in lines:
        if line["event"] == "intended":
            group = groups.setdefault(line["id"], str(line.get("group")))
            assert group not in on_its_way, f"{line['id']} went out before {on_its_way[group]} was answered"
            on_its_way[group] = line["id"]
            if line["attempt"] == 1:
                assert line["seq"] == acked[group] + 1
        elif line["event"] == "sent":
            group = groups[line["id"]]
            assert on_its_way.pop(group) == line["id"]
            acked[group] += line["outcome"] == "ok"


async def conducted(run: Path, config: LoadConfig, *middle: Any) -> tuple[dict[str, Any], int]:
    """Start the load as the conductor does; `middle` are coroutine functions to call with the child while it sends."""
    argv = [*LOCUST, *(["--processes", str(config.processes)] if config.processes > 1 else [])]
    child = await Child.start(name="load", argv=argv, run=run, env={"GAMEDAY_LOAD": str(run / "load.json")})
    try:
        assert await child.report("ready", timeout_s=LIMIT_S) is not None, child.last_words()
        await child.command("start", at=Clock.parse(config.clock).now_ns() + 100_000_000)
        for step in middle:
            await step(child)
        done = await child.report("done", timeout_s=LIMIT_S)
        assert done is not None, child.last_words()
        return done, await child.wait()
    finally:
        await child.end(timeout_s=5)


def alone(run: Path | None, *arguments: str, files: str = str(LOCUSTFILE)) -> subprocess.CompletedProcess[str]:
    """As a person starts it, without a conductor."""
    environment = {**os.environ, "GAMEDAY_LOAD": "" if run is None else str(run / "load.json")}
    return subprocess.run(
        [sys.executable, "-m", "locust", "-f", files, "--headless", "--only-summary", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


async def until_something_was_sent(run: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not any(b'"sent"' in p.read_bytes() for p in (run / DIRECTORY).glob("*.jsonl")):
        assert time.monotonic() < deadline, "nothing was sent"
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("transport", ["sqs-fifo", *series("sqs")])
def test_what_is_recorded_is_what_the_queue_holds(tmp_path: Path, ministack: Endpoint, transport: str) -> None:
    config = prepare(tmp_path, ministack, transport=transport)
    done, code = asyncio.run(conducted(tmp_path, config))
    assert code == 0
    assert (done["scheduled"], done["intended"], done["acked"], done["missed"]) == (300, 300, 300, 0)
    lines = records(tmp_path)["load"]
    assert Counter(line["event"] for line in lines) == {"intended": 300, "sent": 300, "mark": 1}
    planned = {m.id: m for m in config.schedule().messages(0)}
    for line in lines:
        if line["event"] == "intended":
            message = planned.pop(line["id"])
            assert (line["group"], line["seq"], line["poison"]) == (message.group, message.seq, message.poison)
            assert line["producer"] == f"user-{message.lane}"
    assert not planned
    assert depth(config) == 300
    if transport == "sqs-fifo":
        check_order(lines)


def test_two_processes_share_the_lanes_and_the_master_sums_up(tmp_path: Path, memory: Endpoint) -> None:
    config = prepare(tmp_path, memory, transport="sqs-fifo", processes=2)
    done, code = asyncio.run(conducted(tmp_path, config))
    assert code == 0
    assert (done["scheduled"], done["acked"], done["missed"]) == (300, 300, 0)
    found = records(tmp_path)
    assert sorted(found) == config.writers
    for lines in found.values():
        check_order(lines)
    assert depth(config) == 300
    assert not set.intersection(*({line["producer"] for line in lines if "seq" in line} for lines in found.values()))


@pytest.mark.parametrize("how", ["stop", *series("SIGTERM", "end of input", "SIGINT")])
def test_ended_early_it_closes_its_history(tmp_path: Path, memory: Endpoint, how: str) -> None:
    config = prepare(tmp_path, memory, transport="sqs-fifo", duration_s=60.0)

    async def end(child: Child) -> None:
        await until_something_was_sent(tmp_path)
        if how == "stop":
            await child.command("stop")
        elif how == "end of input":
            stdin = child._process.stdin
            assert stdin is not None
            stdin.close()
        else:
            child.signal(signal.Signals[how])

    done, code = asyncio.run(conducted(tmp_path, config, end))
    assert code == 0
    assert done["scheduled"] == 12_000
    assert 0 < done["intended"] == done["acked"] == 12_000 - done["missed"]
    lines = records(tmp_path)["load"]
    assert sum(line["event"] == "intended" for line in lines) == done["intended"] == depth(config)


@in_series
def test_an_unreachable_broker_ends_the_load_in_order(tmp_path: Path, memory: Endpoint) -> None:
    config = prepare(tmp_path, memory, transport="sqs-fifo", duration_s=0.2, give_up_s=0.3)
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    replace(config, endpoint=endpoint(url)).save(tmp_path / "load.json")
    done, code = asyncio.run(conducted(tmp_path, config))
    assert code == 0
    assert done["acked"] == 0 < done["failed"] == done["intended"]
    assert {line["outcome"] for line in records(tmp_path)["load"] if line["event"] == "sent"} == {"failed"}


def test_a_second_load_never_writes_into_the_history_of_the_first(tmp_path: Path, memory: Endpoint) -> None:
    config = prepare(tmp_path, memory, transport="sqs-fifo")
    history = tmp_path / DIRECTORY / "load.jsonl"
    history.write_text("evidence\n")
    ran = alone(tmp_path)
    assert ran.returncode == 4
    assert "load.jsonl holds a load already" in ran.stderr
    assert history.read_text() == "evidence\n"
    assert depth(config) == 0


def test_without_a_configuration_it_says_in_one_line_what_is_needed() -> None:
    ran = alone(None)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    [line] = [line for line in ran.stderr.splitlines() if "GAMEDAY_LOAD" in line]
    assert "gameday run" in line


WEB = """
from locust import User, constant, events, task

class WebUser(User):
    wait_time = constant(0.05)
    weight = {weight}
    fixed_count = {fixed_count}

    @task
    def visit(self):
        events.request.fire(
            request_type="GET", name="/", response_time=1.0, response_length=1, exception=None, context={{}}
        )
"""


def summary(ran: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """How many requests Locust counted in each row of its first table."""
    table = ran.stderr.partition("# reqs")[2].partition("Response time percentiles")[0]
    return {name: int(count) for name, count in re.findall(r"^ *(\S.*?) +(\d+) +\d+\(", table, re.MULTILINE)}


def beside(
    run: Path, *arguments: str, weight: int = 1, fixed_count: int = 0
) -> tuple[subprocess.CompletedProcess[str], dict[str, int]]:
    """Our load beside a web test of somebody else; also how many requests Locust counted in each row."""
    web = run / "web.py"
    web.write_text(WEB.format(weight=weight, fixed_count=fixed_count))
    ran = alone(run, *arguments, files=f"{LOCUSTFILE},{web}")
    return ran, summary(ran)


@pytest.mark.parametrize(
    ("arguments", "others"),
    [
        (["-u", "2"], {}),
        *series(
            (["-u", "6", "--processes", "2"], {}),
            (["-u", "6"], {}),
            (["-u", "6"], {"weight": 3}),
            (["-u", "6"], {"fixed_count": 5}),
            (["-u", "6", "GamedayUser", "WebUser"], {}),
        ),
    ],
    ids=["fewer", "processes", "more", "weight", "fixed", "named"],
)
def test_beside_other_users_the_whole_schedule_is_sent(
    tmp_path: Path, memory: Endpoint, arguments: list[str], others: dict[str, int]
) -> None:
    config = prepare(tmp_path, memory, transport="sqs-fifo", rate_per_s=80.0, duration_s=1.0)
    ran, rows = beside(tmp_path, *arguments, **others)
    assert ran.returncode == 0, ran.stderr
    assert "80 scheduled, 80 intended, 80 acked" in ran.stderr
    assert depth(config) == 80
    assert rows["GET      /"] > 0


UNTIL = """
from pathlib import Path
from locust import LoadTestShape

class Until(LoadTestShape):
    def tick(self):
        said = "".join(path.read_text() for path in Path({run!r}).glob("history/*.jsonl"))
        return None if {word!r} in said else (4, 100)
"""


@pytest.mark.parametrize(("word", "duration_s"), series(('"closed"', 0.5), ('"sent"', 600.0)), ids=["after", "before"])
def test_others_end_when_they_were_told_to_after_the_load_or_before(
    tmp_path: Path, memory: Endpoint, word: str, duration_s: float
) -> None:
    """A load shape tells them: it ends when the history says so, which needs no clock."""
    config = prepare(tmp_path, memory, transport="sqs", rate_per_s=20.0, duration_s=duration_s)
    web = tmp_path / "web.py"
    web.write_text(WEB.format(weight=1, fixed_count=0) + UNTIL.format(run=str(tmp_path), word=word))
    ran = alone(tmp_path, files=f"{LOCUSTFILE},{web}")
    assert ran.returncode == 0, ran.stderr
    after = word == '"closed"'
    assert ("the other users go on until their time is over" in ran.stderr) is after
    assert f"{10 if after else 12000} scheduled" in ran.stderr
    assert 0 < depth(config) < 12_000
    records(tmp_path)


@in_series
def test_without_a_time_of_theirs_the_others_end_with_the_load(tmp_path: Path, memory: Endpoint) -> None:
    prepare(tmp_path, memory, transport="sqs", rate_per_s=20.0, duration_s=0.5)
    ran, _ = beside(tmp_path, "-u", "4")
    assert ran.returncode == 0, ran.stderr
    assert "10 scheduled, 10 intended, 10 acked" in ran.stderr


def test_where_no_user_of_ours_was_started_nothing_was_sent_and_the_exit_code_says_so(
    tmp_path: Path, memory: Endpoint
) -> None:
    prepare(tmp_path, memory, transport="sqs")
    ran, _ = beside(tmp_path, "-u", "1", weight=1000)
    assert ran.returncode == 4
    assert "no GamedayUser was started (0 GamedayUser, 1 WebUser), so nothing can be sent; raise --users" in ran.stderr


def test_a_load_of_which_nothing_was_accepted_never_exits_0(tmp_path: Path, memory: Endpoint) -> None:
    config = prepare(tmp_path, memory, transport="sqs", duration_s=0.2, give_up_s=0.3)
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    replace(config, endpoint=endpoint(url)).save(tmp_path / "load.json")
    ran = alone(tmp_path, "--exit-code-on-error", "0")
    assert ran.returncode == 4
    assert "no message of the load was accepted" in ran.stderr


def test_options_for_users_that_were_not_chosen_are_a_contradiction_and_without_options_we_stay_out(
    tmp_path: Path, memory: Endpoint
) -> None:
    web = tmp_path / "web.py"
    web.write_text(WEB.format(weight=1, fixed_count=0))
    prepare(tmp_path, memory, transport="sqs")
    files = f"{LOCUSTFILE},{web}"
    ran = alone(tmp_path, "WebUser", "--run-time", "1s", files=files)
    assert ran.returncode == 2
    assert "GamedayUser" in ran.stderr and "Traceback" not in ran.stderr
    ran = alone(None, "WebUser", "--run-time", "1s", files=files)
    assert ran.returncode == 0, ran.stderr


@in_series
def test_a_pipe_as_input_is_no_conductor_where_a_queue_is_named(tmp_path: Path, memory: Endpoint) -> None:
    config = prepare(tmp_path, memory, transport="sqs-fifo")
    argv = [*LOCUST, "--gameday-queue-url", config.addresses.send_to, "--gameday-rate", "50", "--gameday-seconds", "1"]
    environment = {key: value for key, value in os.environ.items() if key != "GAMEDAY_LOAD"}
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    with subprocess.Popen(
        argv,
        cwd=tmp_path,
        env={**environment, **credentials, "PYTHONPATH": str(LOCUSTFILE.parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as load:
        try:
            assert load.wait(LIMIT_S) == 0
        finally:
            load.kill()
    assert depth(config) == 50


@pytest.mark.parametrize(
    ("transport", "processes", "writers"), [("sqs", 1, ["load"]), *series(("sqs-fifo", 2, ["load-0", "load-1"]))]
)
def test_alone_it_starts_by_itself_and_locust_counts_each_call_once_and_no_message_besides(
    tmp_path: Path, memory: Endpoint, transport: str, processes: int, writers: list[str]
) -> None:
    config = prepare(tmp_path, memory, transport=transport)
    ran = alone(tmp_path, *(["--processes", str(processes)] if processes > 1 else []))
    assert ran.returncode == 0, ran.stderr
    assert "300 scheduled, 300 intended, 300 acked" in ran.stderr
    assert depth(config) == 300
    found = records(tmp_path)
    assert sorted(found) == writers
    rows = summary(ran)
    calls = {line["call"] for lines in found.values() for line in lines if line["event"] == "sent"}
    assert rows["message  due to accepted"] == 300
    assert rows["sqs      SendMessageBatch"] == rows["Aggregated"] == len(calls)


@in_series
def test_what_workers_counted_is_there_before_the_load_is_done(tmp_path: Path, memory: Endpoint) -> None:
    prepare(tmp_path, memory, transport="sqs")
    # As on a machine that is so busy that Locust's own report comes too late.
    (tmp_path / "late.py").write_text(
        "from locust.runners import WorkerRunner\nWorkerRunner._send_stats = lambda self: None\n"
    )
    ran = alone(tmp_path, "--processes", "2", files=f"{LOCUSTFILE},{tmp_path / 'late.py'}")
    assert ran.returncode == 0, ran.stderr
    assert summary(ran)["message  due to accepted"] == 300


@in_series
def test_its_options_are_not_shown_on_locusts_web_page() -> None:
    # In a process of its own: a locustfile patches the standard library.
    asked = (
        "import sys; sys.path.insert(0, sys.argv.pop());"
        "from locust.argument_parser import get_parser; import gameday.loadgen.locustfile;"
        "parser = get_parser(); print(*parser.args_included_in_web_ui); print(*vars(parser.parse_args([])))"
    )
    argv = [sys.executable, "-c", asked, str(LOCUSTFILE.parents[1])]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    shown, known = (line.split() for line in ran.stdout.splitlines())
    assert "host" in shown and "gameday_queue_url" in known
    assert not any(name.startswith("gameday") for name in shown)


def test_its_own_help_shows_its_options() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--gameday-help"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    for option in ("--gameday-load", "--gameday-queue-url", "--gameday-rate", "--gameday-seconds"):
        assert option in shown.stdout

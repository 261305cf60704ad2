"""What metrics cost: CPU per message of a consumer and of a sending process that count, serve and are scraped every two
seconds, as docs/metrics.md sets Prometheus up, beside a consumer and a sending process that do nothing of it, on one
queue at the same time.

    python benchmarks/metrics_cost.py [--rounds 4] [--seconds 20] [--rate 150]

What else happens on the machine meets both, and who starts first changes from round to round, so the ratio is what to
quote, over an even number of rounds; on a busy machine its noise is more than what it measures. So the two parts of a
consumer's cost, counting and a scrape, are also timed alone and added up. CPU is what /proc says of a whole process
(Linux), between two moments when all of them are at work, and its steps are a hundredth of a second.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import orjson

from gameday.consumers.config import ConsumerConfig
from gameday.consumers.meters import Counted
from gameday.consumers.stores import make_store
from gameday.history.clock import Clock
from gameday.loadgen.config import LoadConfig
from gameday.processes import discovery
from gameday.processes.child import python
from gameday.processes.exposition import LOOPBACK, Server, url
from gameday.run.locust import LOCUSTFILE
from gameday.transports.base import Addresses, Call, SubscriptionSpec, Topology
from gameday.transports.carriers.boto import BotoCarrier, run_plan
from gameday.transports.carriers.calls import Calls
from gameday.transports.endpoint import Endpoint
from gameday.transports.registry import TRANSPORTS

TRANSPORT = "sqs"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
SCRAPE_EVERY_S = 2.0
WARM_UP_S = 4.0
DEADLINE_S = 60.0
COUNTED = 200_000
SCRAPED = 300
ACCEPT = "application/openmetrics-text; version=1.0.0"
ROLES = {"producer": ("load", b'"event":"sent"'), "consumer": ("orders-1.1", b'"event":"received"')}


@dataclass(frozen=True, slots=True)
class Moment:
    cpu_s: float
    messages: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """A consumer and a sending process with one run directory, by role."""

    run: Path
    processes: dict[str, subprocess.Popen[bytes]]

    def now(self, role: str) -> Moment:
        file, event = ROLES[role]
        pid = self.processes[role].pid
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        path = self.run / "history" / f"{file}.jsonl"
        return Moment((int(fields[11]) + int(fields[12])) * TICK_S, path.read_bytes().count(event))


def start_side(
    run: Path, endpoint: Endpoint, addresses: Addresses, *, metrics: bool, rate: float, stack: ExitStack
) -> Side:
    (run / "history").mkdir(parents=True)
    host = LOOPBACK if metrics else None
    consumer = ConsumerConfig(
        run_dir=run,
        run=run.name,
        clock=Clock.start(),
        endpoint=endpoint,
        transport=TRANSPORT,
        addresses=addresses,
        subscription="orders",
        visibility_timeout_s=30,
        concurrency=20,
        store={"kind": "sqlite", "path": str(run / "effects.sqlite")},
        metrics_host=host,
    )
    consumer.save(run / "consumer.json")
    asyncio.run(make_store(consumer.store, endpoint).create(tags={}))
    load = LoadConfig(
        run_dir=str(run),
        run=run.name,
        clock=str(Clock.start()),
        endpoint=endpoint,
        transport=TRANSPORT,
        addresses=addresses,
        topology=Topology(subscriptions=[SubscriptionSpec(name="orders")]),
        rate_per_s=rate,
        duration_s=3600,
        groups=50,
        metrics_host=host,
    )
    load.save(run / "load.json")
    log = stack.enter_context((run / "log").open("wb"))
    locust = python("-m", "locust", "-f", LOCUSTFILE, "--headless", "--only-summary")
    commands = {
        "consumer": python("-m", "gameday.consumers", "--config", run / "consumer.json", "--name", "orders-1.1"),
        # Not a pipe, which would be a conductor's: it starts by itself.
        "producer": locust,
    }
    processes = {
        role: subprocess.Popen(
            command,
            stdin=subprocess.PIPE if role == "consumer" else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "GAMEDAY_LOAD": str(run / "load.json")},
        )
        for role, command in commands.items()
    }
    for process in processes.values():
        stack.callback(process.wait)
        stack.callback(process.kill)
    return Side(run=run, processes=processes)


def scrape(run: Path, over: threading.Event, scrapes: list[int]) -> None:
    while not over.wait(SCRAPE_EVERY_S):
        for scraped in discovery.found(run):
            request = urllib.request.Request(
                f"http://{scraped.host}:{scraped.port}/metrics", headers={"Accept": ACCEPT, "Accept-Encoding": "gzip"}
            )
            with urllib.request.urlopen(request, timeout=10) as answer:
                scrapes.append(len(answer.read()))


def wait_for_traffic(sides: list[Side]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    files = [side.run / "history" / f"{file}.jsonl" for side in sides for file, _ in ROLES.values()]
    while not all(file.exists() and file.stat().st_size for file in files):
        if time.monotonic() > deadline:
            raise SystemExit("the processes did not begin; their logs: " + (sides[0].run / "log").read_text()[-2000:])
        time.sleep(0.1)


def one_round(
    endpoint: Endpoint, directory: Path, *, order: Sequence[str], seconds: float, rate: float
) -> dict[str, tuple[float, float]]:
    """CPU in µs per message with metrics and without, by role. `order` is who starts first."""
    carry = BotoCarrier(endpoint)
    topology = Topology(subscriptions=[SubscriptionSpec(name="orders")], visibility_timeout_s=30)
    addresses = run_plan(TRANSPORTS[TRANSPORT].provision(topology, run=directory.name, tags={}), carry)
    with ExitStack() as stack:
        sides = {
            name: start_side(directory / name, endpoint, addresses, metrics=name == "with", rate=rate, stack=stack)
            for name in order
        }
        on, off = sides["with"], sides["without"]
        wait_for_traffic([on, off])
        over, scrapes = threading.Event(), list[int]()
        scraper = threading.Thread(target=scrape, args=(on.run, over, scrapes))
        scraper.start()
        stack.callback(scraper.join)
        stack.callback(over.set)
        time.sleep(WARM_UP_S)
        before = {(side.run, role): side.now(role) for side in (on, off) for role in ROLES}
        time.sleep(seconds)
        after = {(side.run, role): side.now(role) for side in (on, off) for role in ROLES}
        assert len(scrapes) >= seconds / SCRAPE_EVERY_S, "both processes were to be scraped all the time"

        def cost(side: Side, role: str) -> float:
            first, last = before[side.run, role], after[side.run, role]
            return (last.cpu_s - first.cpu_s) / (last.messages - first.messages) * 1e6

        return {role: (cost(on, role), cost(off, role)) for role in ROLES}


def parts_us() -> tuple[float, float]:
    """CPU of the counting that a message which comes alone costs its consumer, and of a scrape of the consumer."""
    meters, tally = Counted(), Calls()
    receive, delete = Call("sqs", "ReceiveMessage", {}), Call("sqs", "DeleteMessageBatch", {})
    began = time.process_time()
    for _ in range(COUNTED):
        meters.polled(0.01)
        meters.took(1)
        meters.handled(0.002)
        tally.ended(receive, 0.01, None)
        tally.ended(delete, 0.003, None)
    counting = (time.process_time() - began) / COUNTED * 1e6
    server = Server(lambda: (*meters.collect(), *tally.collect()))
    ask = "import sys, urllib.request\nfor _ in range(int(sys.argv[2])): urllib.request.urlopen(sys.argv[1]).read()"
    metrics = f"{url(server.host, server.port)}/metrics"
    scraper = subprocess.Popen([sys.executable, "-c", ask, metrics, str(SCRAPED)])
    began = time.process_time()
    scraper.wait()
    scrape = (time.process_time() - began) / SCRAPED * 1e6
    server.close()
    return counting, scrape


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20.0, help="that are measured in each round")
    parser.add_argument("--rate", type=float, default=150.0, help="messages a second of each sending process")
    arguments = parser.parse_args()
    broker = subprocess.Popen([sys.executable, "-m", "gameday.emulator"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert broker.stdout is not None
        url = orjson.loads(broker.stdout.readline())["url"]
        endpoint = Endpoint(urls={"*": url}, access_key="test", secret_key="test")
        rounds = []
        for n in range(arguments.rounds):
            order = ("with", "without") if n % 2 else ("without", "with")
            with tempfile.TemporaryDirectory(prefix=f"gameday-metrics-cost-{n}-") as scratch:
                rounds.append(
                    one_round(endpoint, Path(scratch), order=order, seconds=arguments.seconds, rate=arguments.rate)
                )
            told = ", ".join(f"{role} {on:.0f} with, {off:.0f} without" for role, (on, off) in rounds[-1].items())
            print(f"round {n + 1}: µs of CPU per message: {told}", flush=True)
        for role in ROLES:
            on, off = (statistics.geometric_mean(each[role][side] for each in rounds) for side in (0, 1))
            ratios = sorted(each[role][0] / each[role][1] for each in rounds)
            print(
                f"{role}: {on:.0f} µs with metrics, {off:.0f} µs without: {100 * (on / off - 1):+.1f} % "
                f"(rounds from {100 * (ratios[0] - 1):+.1f} to {100 * (ratios[-1] - 1):+.1f} %)"
            )
        counting, scrape = parts_us()
        reckoned = counting + scrape / (SCRAPE_EVERY_S * arguments.rate)
        consumer = statistics.median(each["consumer"][1] for each in rounds)
        print(
            f"consumer, reckoned: {counting:.1f} µs to count a message that comes alone, {scrape:.0f} µs for a scrape: "
            f"{reckoned:.1f} µs for each of {arguments.rate:g} messages a second, {100 * reckoned / consumer:+.1f} %"
        )
    finally:
        broker.terminate()
        broker.wait()


if __name__ == "__main__":
    main()

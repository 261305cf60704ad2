"""Whether latency is told as it was, by a sink that stalls: gameday's load on the real clock, against a real process.

    python benchmarks/latency_truth.py [--seconds 10]

The sink answers each call of a user a planted time after it came, and for a planted second answers nobody. It notes
when it answered which message; the schedule says when that was due. Beside that truth stand p50, p99 and max of the
same as the history tells them (`sent.at` - `intended.due`) and as Locust's statistics do (the row `due to accepted`),
at half and at full load. Exit code 1 if one of them is further off than 2 %. Run it on a quiet machine: what the answer
takes from the sink's socket to the load's record is in what gameday tells, and not in the truth.
tests/loadgen/test_latency.py shows the same on a clock of its own, where nothing takes any time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import orjson
from side_by_side import LIMIT_S, Served

from gameday.history.clock import NS_PER_S, Clock
from gameday.loadgen.config import LoadConfig
from gameday.loadgen.lanes import NS_PER_MS
from gameday.processes.child import python
from gameday.processes.exposition import LOOPBACK
from gameday.run.locust import LOCUSTFILE
from gameday.transports.base import Addresses, SubscriptionSpec, Topology
from gameday.transports.endpoint import Endpoint

USERS, BATCH = 4, 10
# Of the calls of a user, one after the other.
SERVICE_S = (0.030, 0.045, 0.075, 0.050)
CAPACITY = USERS * BATCH * len(SERVICE_S) / sum(SERVICE_S)
SHARES = (0.5, 1.0)
STALL_S = 1.0
WITHIN = 0.02

Truth = dict[str, int]
"""When which message was answered, by its id; in ns of the run's clock."""


class _Stalling(Served):
    """`stall`: between which two moments of the loop nobody is answered; the first call of all writes them there."""

    def __init__(self, clock: Clock, answered: Truth, stall: list[float], after_s: float) -> None:
        super().__init__()
        self._clock = clock
        self._answered = answered
        self._stall = stall
        self._after_s = after_s
        self._calls = 0

    def asked(self, operation: bytes, body: bytes) -> None:
        loop = asyncio.get_running_loop()
        if not self._stall:
            begin = loop.time() + self._after_s
            self._stall.extend((begin, begin + STALL_S))
        begin, end = self._stall
        service_s = SERVICE_S[self._calls % len(SERVICE_S)]
        self._calls += 1
        at = loop.time() + service_s
        loop.call_at(end + service_s if begin <= at < end else at, self._tell, orjson.loads(body)["Entries"])

    def _tell(self, entries: Sequence[dict[str, str]]) -> None:
        good = [{"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "0" * 32} for entry in entries]
        self.say(orjson.dumps({"Successful": good}))
        at = self._clock.now_ns()
        for entry in entries:
            self._answered[orjson.loads(entry["MessageBody"])["detail"]["metadata"]["id"]] = at


def _serve(tell: Connection, clock: str, after_s: float) -> None:
    async def serve() -> None:
        answered: Truth = {}
        stall: list[float] = []
        read = Clock.parse(clock)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Stalling(read, answered, stall, after_s), LOOPBACK, 0)
        tell.send(server.sockets[0].getsockname()[1])
        over = asyncio.Event()
        loop.add_reader(tell.fileno(), over.set)
        await over.wait()
        tell.send(answered)

    asyncio.run(serve())


@contextmanager
def sink(clock: Clock, *, after_s: float) -> Iterator[tuple[str, Connection]]:
    """A sink that stalls `after_s` after the first call. Its URL; and who says anything to it hears the truth."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, str(clock), after_s), daemon=True)
    process.start()
    try:
        yield f"http://{LOOPBACK}:{here.recv()}", here
    finally:
        process.kill()
        process.join()


def quantiles(values: Sequence[float]) -> list[float]:
    """p50, p99 and max, by nearest rank."""
    ranked = sorted(values)
    return [ranked[math.ceil(len(ranked) * q) - 1] for q in (0.5, 0.99, 1.0)]


def measure(share: float, seconds: float) -> dict[str, list[float]]:
    """By who tells it: p50, p99 and max in ms."""
    clock = Clock.start()
    with (
        tempfile.TemporaryDirectory(prefix="gameday-bench-") as directory,
        sink(clock, after_s=0.4 * seconds) as (url, truth),
    ):
        run = Path(directory)
        (run / "history").mkdir()
        config = LoadConfig(
            run_dir=directory,
            run="latency",
            clock=str(clock),
            endpoint=Endpoint(urls={"*": url}, access_key="test", secret_key="test"),
            transport="sqs",
            addresses=Addresses(send_to=f"{url}/0/orders", queues={"orders": f"{url}/0/orders"}),
            topology=Topology(subscriptions=[SubscriptionSpec(name="orders")]),
            rate_per_s=share * CAPACITY,
            duration_s=seconds,
            groups=40,
            batch=BATCH,
            users=USERS,
        )
        config.save(run / "load.json")
        done = subprocess.run(
            python("-m", "locust", "-f", LOCUSTFILE, "--headless", "--only-summary", "--json"),
            env={**os.environ, "GAMEDAY_LOAD": str(run / "load.json")},
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds + LIMIT_S,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"the load failed:\n{done.stderr[-2000:]}")
        truth.send("over")
        answered: Truth = truth.recv()
        records = [orjson.loads(line) for line in (run / "history/load.jsonl").read_bytes().splitlines()]
        due = {record["id"]: record["due"] for record in records if record["event"] == "intended"}
        dues = sorted(due.values())
        if any(abs(at - dues[0] - n / config.rate_per_s * NS_PER_S) > 1000 for n, at in enumerate(dues)):
            raise SystemExit("the messages were not due when a constant rate has them")
        sent = [record["at"] - due[record["id"]] for record in records if record["event"] == "sent"]
        if len(sent) != len(answered):
            raise SystemExit(f"the sink answered {len(answered)} messages, and the history has {len(sent)}")
        (row,) = (row for row in json.loads(done.stdout) if row["name"] == "due to accepted")
        kept = [float(each) for each, count in row["response_times"].items() for _ in range(count)]
        return {
            "truth": quantiles([(at - due[id]) / NS_PER_MS for id, at in answered.items()]),
            "history": quantiles([each / NS_PER_MS for each in sent]),
            "Locust": [*quantiles(kept)[:2], row["max_response_time"]],
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="that each load lasts")
    arguments = parser.parse_args()
    worst = 0.0
    print(f"{CAPACITY:.0f} messages/s are what the sink takes; it stalls for {STALL_S:g} s")
    print(f"{'load':6}{'told by':10}{'p50':>16}{'p99':>16}{'max':>16}   ms, and how far off")
    for share in SHARES:
        told = measure(share, arguments.seconds)
        for name, values in told.items():
            off = [value / true - 1 for value, true in zip(values, told["truth"], strict=True)]
            worst = max(worst, *map(abs, off))
            shown = ["" if name == "truth" else f"{each:+.1%}" for each in off]
            cells = "".join(f"{f'{value:.1f} {each:>6}':>16}" for value, each in zip(values, shown, strict=True))
            print(f"{share:<6.0%}{name:10}{cells}")
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f}; {os.cpu_count()} cores")
    if worst > WITHIN:
        print(f"{worst:.1%} from the truth, and not {WITHIN:.0%}", file=sys.stderr)
    return int(worst > WITHIN)


if __name__ == "__main__":
    sys.exit(main())

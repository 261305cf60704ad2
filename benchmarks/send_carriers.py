"""CPU that a message costs the sender: the fast carrier beside boto3, in one run, as Locust runs them (under gevent).

    python benchmarks/send_carriers.py [--calls 2000] [--batch 10]

Both send the same batches to the broker in memory, which runs as its own process, so that only the sender's CPU is
counted. The two take turns, and the ratio of their medians is what to quote.
"""

from __future__ import annotations

# What Locust does first when it starts, and what must come before anything that takes a lock or a socket.
from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import statistics  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402

import orjson  # noqa: E402

from gameday.history import envelope  # noqa: E402
from gameday.transports.base import Answer, Call, Outgoing, SubscriptionSpec, Topology  # noqa: E402
from gameday.transports.carriers.boto import BotoCarrier, run_plan  # noqa: E402
from gameday.transports.carriers.fast import FastCarrier  # noqa: E402
from gameday.transports.endpoint import Endpoint  # noqa: E402
from gameday.transports.registry import TRANSPORTS  # noqa: E402

ROUNDS = 5
TRANSPORT = TRANSPORTS["sqs"]


def cpu_us_per_message(carry: Callable[[Call], Answer], call: Call, *, calls: int, batch: int) -> float:
    before = time.process_time()
    for _ in range(calls):
        answer = carry(call)
        assert len(answer["Successful"]) == batch
    return (time.process_time() - before) / calls / batch * 1e6


def measure(endpoint: Endpoint, *, calls: int, batch: int) -> None:
    boto = BotoCarrier(endpoint)
    addresses = run_plan(
        TRANSPORT.provision(Topology(subscriptions=[SubscriptionSpec(name="orders")]), run="bench", tags={}), boto
    )
    messages = []
    for n in range(batch):
        body = envelope.pack(id=f"m{n}", run="bench", group=None, timestamp_ns=0, payload_bytes=512).decode()
        messages.append(Outgoing(id=f"m{n}", body=body, group=None, dedup_id=f"bench-m{n}"))
    call = TRANSPORT.send(addresses, messages)
    fast = FastCarrier(endpoint, services=("sqs",), read_timeout_s=10).for_one_user()
    results: dict[str, list[float]] = {"boto3": [], "fast": []}
    for _ in range(ROUNDS):
        for name, carry in (("boto3", boto), ("fast", fast)):
            results[name].append(cpu_us_per_message(carry, call, calls=calls // ROUNDS, batch=batch))
    medians = {name: statistics.median(values) for name, values in results.items()}
    for name, median in medians.items():
        print(f"{name:6} {median:7.1f} µs of CPU per message in batches of {batch} ({median * batch:.0f} µs per call)")
    print(f"ratio  {medians['boto3'] / medians['fast']:7.1f} × less with the fast carrier")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=2000, help="calls per carrier")
    parser.add_argument("--batch", type=int, default=10, help="messages per call, at most 10")
    arguments = parser.parse_args()
    broker = subprocess.Popen([sys.executable, "-m", "gameday.emulator"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert broker.stdout is not None
        url = orjson.loads(broker.stdout.readline())["url"]
        endpoint = Endpoint(urls={"*": url}, access_key="test", secret_key="test")
        measure(endpoint, calls=arguments.calls, batch=arguments.batch)
    finally:
        broker.terminate()
        broker.wait()


if __name__ == "__main__":
    main()

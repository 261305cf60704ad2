"""A load against a sink that answers at planted times and stalls for a planted second, on a clock of its own.

Users are the load's own senders, one greenlet each; the sink is a function of when a call arrives. `expected` tells
when each message is accepted, from the plan alone: a queue with one server a user, worked out as on paper.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]

from gameday.history.clock import NS_PER_S
from gameday.history.writer import DIRECTORY, Writer
from gameday.loadgen.config import LoadConfig
from gameday.loadgen.lanes import Feed
from gameday.loadgen.sender import Sample, Sender
from gameday.simulation.kernel import EPOCH_NS, World, WorldClock
from gameday.transports.base import Addresses, Answer, Call, SubscriptionSpec, Topology
from gameday.transports.endpoint import Endpoint

MS = 1_000_000
USERS, BATCH = 4, 5
# Of a user's calls, one after the other.
SERVICE_MS = (14, 22, 31, 17)
# Messages a second that the sink accepts when every call is full.
CAPACITY = USERS * BATCH * 1000 * len(SERVICE_MS) / sum(SERVICE_MS)
START_NS = EPOCH_NS + NS_PER_S
LASTS_S = 6.0
STALL_NS = (START_NS + 2 * NS_PER_S, START_NS + 3 * NS_PER_S)


def answered_at(arrived_ns: int, nth: int) -> int:
    """When the sink answers the `nth` call of a user (from 0), which waits where that would be in the stall."""
    service_ns = SERVICE_MS[nth % len(SERVICE_MS)] * MS
    at = arrived_ns + service_ns
    return STALL_NS[1] + service_ns if STALL_NS[0] <= at < STALL_NS[1] else at


def expected(dues: Iterable[int]) -> list[tuple[int, int]]:
    """When each message of one user is due and accepted, in ns: each call takes what is due, `BATCH` at most, once the
    one before it is answered."""
    waiting, free, nth = sorted(dues), 0, 0
    found: list[tuple[int, int]] = []
    while waiting:
        begins = max(free, waiting[0])
        going = [due for due in waiting if due <= begins][:BATCH]
        free = answered_at(begins, nth)
        found += [(due, free) for due in going]
        del waiting[: len(going)]
        nth += 1
    return found


@dataclass(frozen=True, slots=True)
class Planned:
    """`dues` by the user whose message it is, in ns."""

    config: LoadConfig
    dues: Mapping[int, list[int]]

    @property
    def accepted(self) -> list[tuple[int, int]]:
        return sorted(pair for dues in self.dues.values() for pair in expected(dues))


def plan(directory: Path, share: float) -> Planned:
    """A load of this share of the sink's capacity."""
    rate = share * CAPACITY
    config = LoadConfig(
        run_dir=str(directory),
        run="stalling",
        clock="",
        endpoint=Endpoint(),
        transport="sqs",
        addresses=Addresses(send_to="q", queues={"orders": "q"}),
        topology=Topology(subscriptions=[SubscriptionSpec(name="orders")]),
        seed=15,
        rate_per_s=rate,
        duration_s=LASTS_S,
        groups=40,
        payload_bytes=200,
        batch=BATCH,
        users=USERS,
    )
    dues: dict[int, list[int]] = {user: [] for user in range(USERS)}
    for number, message in enumerate(config.schedule().messages(START_NS)):
        # A constant rate, as anybody would draw it: in the middle of its share of time. Whose it is, is drawn.
        dues[message.lane].append(START_NS + round((number + 0.5) / rate * NS_PER_S))
    return Planned(config, dues)


def run(planned: Planned, count: Callable[[Sample], None]) -> None:
    """The history of it is the file `load` in the run's directory."""
    config = planned.config
    (Path(config.run_dir) / DIRECTORY).mkdir(parents=True)
    world = World(seed=0, step_ns=0)
    clock = WorldClock(world)
    writer = Writer(run=Path(config.run_dir), name="load", clock=clock)
    lanes = {user: config.lane() for user in range(USERS)}
    feed = Feed(config.schedule().messages(START_NS), lanes)
    working = set(lanes)

    def live(user: int) -> None:
        calls = 0

        def carry(call: Call) -> Answer:
            nonlocal calls
            me = getcurrent()
            world.at(answered_at(world.now_ns, calls), me.switch)
            calls += 1
            me.parent.switch()
            ids = [entry["Id"] for entry in call.params["Entries"]]
            return {"Successful": [{"Id": id, "MessageId": f"b-{user}-{calls}-{id}"} for id in ids]}

        def wait(seconds: float) -> bool:
            if seconds > 0:
                world.sleep(seconds)
            return False

        Sender(config=config, number=user, lane=lanes[user], writer=writer, clock=clock, carry=carry, count=count).run(
            feed, wait
        )
        working.remove(user)

    for user in lanes:
        begin = greenlet(live)
        world.at(START_NS, lambda begin=begin, user=user: begin.switch(user))  # type: ignore[misc]
    world.run(lambda: not working, steps_max=10**6, within_s=600)
    writer.close()


def tell_what_locust_says(directory: str, share: str) -> None:
    """Run it, and print as JSON what Locust's own statistics say. Locust must have been imported before all else."""
    from locust.env import Environment

    from gameday.loadgen import locustfile

    environment = Environment()
    run(plan(Path(directory), float(share)), locustfile._count(environment))
    (row,) = (entry for entry in environment.stats.entries.values() if entry.name == "due to accepted")
    percentiles = {name: row.get_response_time_percentile(q) for name, q in (("p50", 0.5), ("p99", 0.99))}
    print(json.dumps({**percentiles, "max": row.max_response_time, "count": row.num_requests}))

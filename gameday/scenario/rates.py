"""What targets, and gameday's own processes, have been seen to do in a second; and a word where a run asks for more.

A number here is no promise: it is what was measured once, and where (`SEEN`, `PRODUCER`, `CONSUMER` are the one table
of them, which docs/find-rate.md shows). A run above it is begun all the same; it is told before that its load may be
late, or its backlog grow, for a reason that is neither its consumers' nor AWS's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gameday.scenario.model import Scenario
from gameday.scenario.outlook import Outlook
from gameday.targets.products import Product
from gameday.transports import eventbridge, kinesis, queue, sns
from gameday.transports.registry import TRANSPORTS


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """`per_s`: so many messages a second are known to be managed; `calls_per_s`: where the calls are what counts, so
    many of those. `how`: what was seen; `source`: where that comes from."""

    per_s: float
    how: str
    source: str
    calls_per_s: float | None = None

    def messages_per_s(self, batch: int) -> float:
        return self.per_s if self.calls_per_s is None else min(self.per_s, self.calls_per_s * batch)


_LOCALSTACK = "measured on two cores, LocalStack 4.14"
_SIDE_BY_SIDE = "benchmarks/side_by_side.py on two cores: CPU of the whole process, batches of ten"
# By product, and by the service that is sent to.
SEEN: Mapping[tuple[str, str], Seen] = {
    ("ministack", queue.SERVICE): Seen(
        per_s=240,
        how="it walks its whole queue at each call: 2,000 to 2,800 messages a second while few wait, 240 to 860 once "
        "20,000 do (FIFO, batches of ten, four clients)",
        source="measured on two cores, MiniStack 1.5.33",
    ),
    ("localstack", queue.SERVICE): Seen(
        per_s=1000,
        how="1,500 to 2,000 messages a second sent, 1,000 to 1,700 received (batches of ten, four to eight threads)",
        source=_LOCALSTACK,
    ),
    ("localstack", sns.SERVICE): Seen(
        per_s=50,
        how="delivery fell 15 s behind at 50 messages a second over three FIFO subscriptions, on a busy machine",
        source="docs/findings.md",
    ),
    ("localstack", kinesis.SERVICE): Seen(
        per_s=940,
        calls_per_s=10,
        how="10 calls a second, 940 records a second in batches of 100",
        source=_LOCALSTACK,
    ),
    ("localstack", eventbridge.SERVICE): Seen(
        per_s=30, calls_per_s=3, how="3 calls a second, of up to ten events", source=_LOCALSTACK
    ),
}
# One process of ours, unordered and ordered.
PRODUCER: Mapping[bool, Seen] = {
    False: Seen(per_s=24_000, how="33 to 41 µs a message", source=_SIDE_BY_SIDE),
    True: Seen(per_s=14_000, how="66 to 71 µs a message (FIFO, ten groups, four users)", source=_SIDE_BY_SIDE),
}
CONSUMER: Mapping[bool, Seen] = {
    False: Seen(
        per_s=8_000, how="83 to 119 µs a message with the guard `transaction` and no work", source=_SIDE_BY_SIDE
    ),
    True: Seen(per_s=8_000, how="84 to 125 µs a message (FIFO), likewise", source=_SIDE_BY_SIDE),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """Above `per_s` something is more than was ever seen: `who` does it, and `how` that was seen."""

    per_s: float
    who: str
    how: str


def warning(scenario: Scenario, product: Product, *, cores: int | None) -> str | None:
    """One sentence where the scenario asks for more than has been seen, of the lowest limit; None where it does not.

    `cores`: of the machine that everything of gameday's runs on; None where it runs on several.
    """
    asked = scenario.shape.highest
    lowest = min(_limits(scenario, product, cores), key=lambda limit: limit.per_s, default=None)
    if lowest is None or asked <= lowest.per_s:
        return None
    return (
        f"{scenario.source.where(('load', 'rate'))}: load.rate asks for up to {asked:,.10g} messages a second, and "
        f"{lowest.who} has been seen to do {lowest.per_s:,.0f} ({lowest.how}): the load may be late or the backlog "
        "grow, and lag be long or unknown, for that reason alone"
    )


def _limits(scenario: Scenario, product: Product, cores: int | None) -> Iterator[Limit]:
    transport = TRANSPORTS[scenario.transport]
    if (seen := SEEN.get((product.name, transport.services[0]))) is not None:
        batch = min(scenario.load.batch, transport.batch_max)
        yield Limit(per_s=seen.messages_per_s(batch), who=f"this target ({product.name})", how=seen.how)
    producer, consumer = PRODUCER[transport.ordered], CONSUMER[transport.ordered]
    processes = scenario.load.processes
    yield Limit(
        per_s=producer.per_s * processes,
        who="a load of one process" if processes == 1 else f"a load of {processes} processes",
        how=f"of each: {producer.how}",
    )
    receives = 0.0
    if scenario.consumers.kind == "ours":
        shares = Outlook(scenario).gets.values()
        receives, most = sum(shares), max(shares, default=0.0)
        count = scenario.consumers.count
        if most:
            yield Limit(
                per_s=consumer.per_s * count / most,
                who="one consumer" if count == 1 else f"a subscription with {count} consumers",
                how=f"of each: {consumer.how}",
            )
    if cores is not None:
        yield Limit(
            per_s=cores / (1 / producer.per_s + receives / consumer.per_s),
            who=f"gameday on {cores} core{'s' * (cores > 1)}, as here,",
            how="reckoned from what a message costs load and consumers together, the target not counted",
        )

"""What AWS lets one account do, against what a scenario asks for: default quotas, of which an account may have others.

Sources: the pages "quotas" of SQS and Kinesis in docs.aws.amazon.com, and general/latest/gr/{sns,ev}.html.
"""

from __future__ import annotations

from gameday.scenario.estimate import Estimate
from gameday.scenario.model import Scenario
from gameday.transports import eventbridge, kinesis, queue, sns
from gameday.transports.registry import TRANSPORTS

FIFO_CALLS_PER_S = 300
SHARD_RECORDS_PER_S = 1000
SHARD_BYTES_PER_S = 1024 * 1024
IN_FLIGHT = 120_000
# In us-east-1, us-west-2 and eu-west-1; less elsewhere.
EVENTS_PER_S = 10_000
FIFO_TOPIC_PER_S = 3_000


def quotas(scenario: Scenario, planned: Estimate) -> list[str]:
    """One sentence for each quota that bears on the scenario: what is asked for beside what there is."""
    transport = TRANSPORTS[scenario.transport]
    peak = planned.peak_per_s
    told = []
    match transport.services[0]:
        case queue.SERVICE if transport.ordered:
            told.append(
                _beside(
                    f"SQS FIFO: up to {peak:,.4g} send calls a second, if each message travels alone",
                    peak,
                    FIFO_CALLS_PER_S,
                    "calls a second of each kind without high throughput",
                )
            )
        case sns.SERVICE if transport.ordered:
            told.append(_beside(f"SNS FIFO: {peak:,.4g} messages a second", peak, FIFO_TOPIC_PER_S, "a topic"))
        case eventbridge.SERVICE:
            told.append(
                _beside(f"EventBridge: {peak:,.4g} events a second", peak, EVENTS_PER_S, "in the largest regions")
            )
        case kinesis.SERVICE:
            shards, length = scenario.topology.shards, peak * planned.bytes
            asked = f"Kinesis: {peak:,.4g} records and {length:,.4g} bytes a second"
            told.append(_beside(asked, peak, SHARD_RECORDS_PER_S * shards, f"records, with {shards} shards"))
            told.append(_beside(asked, length, SHARD_BYTES_PER_S * shards, f"bytes, with {shards} shards"))
        case _:
            pass
    if transport.kind == "queue":
        spec = scenario.consumers
        held = spec.count * (scenario.receive_batch * spec.pollers + spec.concurrency)
        told.append(_beside(f"SQS: up to {held:,} messages in flight in each queue", held, IN_FLIGHT, "a queue"))
    return told


def _beside(asked: str, count: float, most: float, of: str) -> str:
    more = "; ask for more, or ask for less" if count > most else ""
    return f"{asked}, of {most:,} ({of}){more}"

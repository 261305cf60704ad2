"""What AWS asks for what a run uses: a dated table of list prices, and a bill made of it.

It promises that a bill is never lower than these prices make it: no free tier and no discount is counted. Prices
change, and the table does not follow them by itself.

Sources: aws.amazon.com/sqs/pricing, /sns/pricing, /eventbridge/pricing, /kinesis/data-streams/pricing,
/dynamodb/pricing/on-demand, /kms/pricing, /fis/pricing and /cloudwatch/pricing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

AS_OF = "2025-06"
REGION = "us-east-1"
_MILLION = 1_000_000
_GIB = 1024**3

Item = Literal[
    "sqs-standard",
    "sqs-fifo",
    "sns-publish",
    "sns-fifo-publish",
    "sns-fifo-payload",
    "sns-fifo-delivery",
    "sns-fifo-delivered-payload",
    "sns-body-filter",
    "events",
    "events-archive",
    "kinesis-shard-hour",
    "kinesis-put-unit",
    "dynamodb-write",
    "dynamodb-read",
    "kms-request",
    "fis-action-minute",
    "cloudwatch-metric",
    "cloudwatch-request",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """US dollars for one `unit`, in us-east-1."""

    dollars: float
    unit: str


PRICES: Mapping[Item, Price] = {
    "sqs-standard": Price(dollars=0.40 / _MILLION, unit="request to a Standard queue, or 64 KiB of one"),
    "sqs-fifo": Price(dollars=0.50 / _MILLION, unit="request to a FIFO queue, or 64 KiB of one"),
    "sns-publish": Price(dollars=0.50 / _MILLION, unit="publish request, or 64 KiB of one"),
    "sns-fifo-publish": Price(dollars=0.30 / _MILLION, unit="publish request to a FIFO topic"),
    "sns-fifo-payload": Price(dollars=0.017 / _GIB, unit="byte published to a FIFO topic"),
    "sns-fifo-delivery": Price(dollars=0.01 / _MILLION, unit="message delivered by a FIFO topic"),
    "sns-fifo-delivered-payload": Price(dollars=0.001 / _GIB, unit="byte delivered by a FIFO topic"),
    "sns-body-filter": Price(dollars=0.09 / _GIB, unit="byte that a filter on the body looks at"),
    "events": Price(dollars=1.00 / _MILLION, unit="event published or replayed, or 64 KiB of one"),
    "events-archive": Price(dollars=0.10 / _GIB, unit="byte archived"),
    "kinesis-shard-hour": Price(dollars=0.015, unit="shard and hour begun"),
    "kinesis-put-unit": Price(dollars=0.014 / _MILLION, unit="25 KiB of a record"),
    "dynamodb-write": Price(dollars=0.625 / _MILLION, unit="write request unit"),
    "dynamodb-read": Price(dollars=0.125 / _MILLION, unit="read request unit"),
    "kms-request": Price(dollars=0.03 / 10_000, unit="request to a key of KMS"),
    "fis-action-minute": Price(dollars=0.10, unit="minute of an action of FIS"),
    "cloudwatch-metric": Price(dollars=0.01 / 1000, unit="metric read from CloudWatch"),
    "cloudwatch-request": Price(dollars=0.01 / 1000, unit="other request to CloudWatch"),
}
# The dearest of these services there, beside us-east-1. A region that is not here may be as dear as any.
FACTORS: Mapping[str, float] = {
    "us-east-1": 1.0,
    "us-east-2": 1.0,
    "us-west-2": 1.0,
    "eu-west-1": 1.14,
    "eu-central-1": 1.22,
}
UNKNOWN_FACTOR = 1.8


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """At least `low`, at most `high`, and `likely` so much."""

    low: float
    likely: float
    high: float

    @classmethod
    def exactly(cls, count: float) -> Range:
        return cls(low=count, likely=count, high=count)

    @classmethod
    def about(cls, likely: float, *, low: float, high: float) -> Range:
        """Ends that are reckoned in another way than what lies between them: it does lie between them."""
        return cls(low=min(low, likely), likely=likely, high=max(high, likely))

    def __add__(self, other: Range) -> Range:
        return Range(low=self.low + other.low, likely=self.likely + other.likely, high=self.high + other.high)

    def times(self, factor: float) -> Range:
        return Range(low=self.low * factor, likely=self.likely * factor, high=self.high * factor)

    def __str__(self) -> str:
        low, likely, high = (f"{count:,.0f}" for count in (self.low, self.likely, self.high))
        return likely if low == high else f"about {likely} ({low} to {high})"


NOTHING = Range.exactly(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """One line of a bill: `count` units of an item, for so many US dollars."""

    item: Item
    count: Range
    dollars: Range


def factor(region: str) -> float:
    return FACTORS.get(region, UNKNOWN_FACTOR)


def bill(used: Mapping[Item, Range], region: str) -> list[Cost]:
    """Lines for what is used at all, in the order of the table. Where the region's prices are not known the high end
    is raised, and what is likely by half of that."""
    high = factor(region)
    low = high if region in FACTORS else 1.0
    lines = []
    for item, price in PRICES.items():
        count = used.get(item, NOTHING)
        if count.high:
            dollars = Range(
                low=count.low * price.dollars * low,
                likely=count.likely * price.dollars * (low + high) / 2,
                high=count.high * price.dollars * high,
            )
            lines.append(Cost(item=item, count=count, dollars=dollars))
    return lines


def total(lines: Sequence[Cost]) -> Range:
    return sum((line.dollars for line in lines), NOTHING)


def chunks(length: float, size: int = 64 * 1024) -> int:
    """How many requests a body of so many bytes counts for: one for each 64 KiB begun, and never none."""
    return max(math.ceil(length / size), 1)

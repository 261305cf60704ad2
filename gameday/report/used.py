"""What a run used of AWS, from the marks `calls` of its processes, at the prices that its plan was made with.

It promises the calls that were made, as those who made them counted; that what they count for is known by them, not
guessed from a plan; and that what nobody could count is said: a consumer that was killed tells of no call of its last
two seconds, and how large the calls of a program of the user's were, nobody knows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from gameday.history.writer import DIRECTORY
from gameday.scenario.calm.pace import Pace
from gameday.scenario.estimate import Estimate, Operation
from gameday.scenario.model import Scenario
from gameday.scenario.outlook import Outlook
from gameday.targets.prices import AS_OF, PRICES, Cost, Item, Range, bill, total
from gameday.transports import eventbridge, kinesis, queue, sns
from gameday.transports.carriers.measures import Measure

FILE = "used.json"
_MARK = b'"name":"calls"'
_CLOSED = b'"name":"closed"'
_BLOCK_BYTES = 1 << 16
_DYNAMODB = "dynamodb"
_READS = ("GetItem", "Scan")
_SETTLES = ("DeleteMessageBatch", "ChangeMessageVisibilityBatch", "UpdateItem", "TransactWriteItems")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What one operation was called, of FIFO apart from others; `measured` is the sum over its calls."""

    service: str
    operation: str
    fifo: bool
    calls: int
    seconds: float
    measured: Measure


@dataclass(frozen=True, kw_only=True, slots=True)
class Used:
    """`killed`: of whom nobody knows their last calls."""

    rows: Sequence[Row]
    costs: Sequence[Cost]
    region: str
    killed: Sequence[str]

    @property
    def calls(self) -> dict[Operation, int]:
        found: dict[Operation, int] = {}
        for row in self.rows:
            found[row.service, row.operation] = found.get((row.service, row.operation), 0) + row.calls
        return found

    @property
    def cost(self) -> float:
        return total(self.costs).likely

    def lines(self, planned: Estimate) -> Iterator[str]:
        """For people, beside what was planned."""
        yield "used, and planned:"
        for operation in sorted({*self.calls, *planned.calls}):
            count, plan = self.calls.get(operation, 0), planned.calls.get(operation)
            yield f"  {' '.join(operation):<38} {count:>9,}   {'not planned' if plan is None else plan}"
        plans = {line.item: line for line in planned.costs}
        yield f"costs at AWS's list prices of {AS_OF} in {self.region}, used and planned:"
        for line in self.costs:
            there = plans.get(line.item)
            told = "not planned" if there is None else _dollars(there.dollars)
            yield f"  ${line.dollars.likely:,.4f}   {told}   {line.count.likely:,.0f} × {PRICES[line.item].unit}"
        yield f"  ${self.cost:,.4f}   {_dollars(planned.cost)}   in all"
        if self.killed:
            yield f"  {', '.join(self.killed)} ended without telling of the last two seconds"

    def to_json(self, planned: Estimate) -> Mapping[str, Any]:
        return {
            "calls": {" ".join(operation): count for operation, count in sorted(self.calls.items())},
            "planned": {" ".join(each): _three(count) for each, count in sorted(planned.calls.items())},
            "costs": [
                {"item": line.item, "count": line.count.likely, "dollars": line.dollars.likely} for line in self.costs
            ],
            "cost": self.cost,
            "planned_cost": _three(planned.cost),
            "prices": {"as_of": AS_OF, "region": self.region},
            "killed": list(self.killed),
        }

    def save(self, directory: Path, planned: Estimate) -> None:
        (directory / FILE).write_text(json.dumps(self.to_json(planned), indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A bill that was kept, in words: what it came to, and each operation with how often it was called and planned."""

    sentence: str
    calls: Sequence[tuple[str, str, str]]


def kept(directory: Path) -> Told | None:
    """The bill that stands in a run directory; None where there is none, or it cannot be read."""
    try:
        document = json.loads((directory / FILE).read_bytes())
        planned = {name: _range(count) for name, count in document["planned"].items()}
        prices = document["prices"]
        return Told(
            sentence=(
                f"${document['cost']:,.4f} at AWS's list prices of {prices['as_of']} in {prices['region']}; planned "
                f"were {_dollars(_range(document['planned_cost']))}."
            ),
            calls=[
                (name, f"{document['calls'].get(name, 0):,}", str(planned.get(name, "not planned")))
                for name in sorted({*document["calls"], *planned})
            ],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _range(three: Sequence[float]) -> Range:
    low, likely, high = three
    return Range(low=low, likely=likely, high=high)


def _three(given: Range) -> list[float]:
    return [given.low, given.likely, given.high]


def _dollars(given: Range) -> str:
    return f"about ${given.likely:,.4f} (${given.low:,.4f} to ${given.high:,.4f})"


def read_calls(directory: Path) -> tuple[list[Row], list[str]]:
    """The rows of all processes of a run, and the names of those that did not come to their end."""
    rows: list[Row] = []
    killed: list[str] = []
    for path in sorted((directory / DIRECTORY).glob("*.jsonl")):
        mark, ended = _last(path)
        if not ended:
            killed.append(path.stem)
        rows += [
            Row(
                service=row["service"],
                operation=row["operation"],
                fifo=row["fifo"],
                calls=row["calls"],
                seconds=row["seconds"],
                measured=Measure(**{name: row[name] for name in Measure._fields}),
            )
            for row in mark
        ]
    return rows, killed


def _last(path: Path) -> tuple[Sequence[Mapping[str, Any]], bool]:
    """What the last mark `calls` of a file says, and whether the file was closed: read from its end."""
    with path.open("rb") as file:
        place = file.seek(0, 2)
        tail, closed = b"", False
        while place:
            length = min(_BLOCK_BYTES, place)
            place -= length
            file.seek(place)
            tail = file.read(length) + tail
            first = 0 if not place else tail.find(b"\n") + 1
            lines = tail[first:].splitlines()
            closed |= any(_CLOSED in line for line in lines)
            for line in reversed(lines):
                # The last line of one that was killed may be cut short.
                with suppress(orjson.JSONDecodeError):
                    if _MARK in line:
                        return orjson.loads(line)["calls"], closed
            tail = tail[:first]
    return [], closed


def pace_of(rows: Sequence[Row], otherwise: Pace) -> Pace:
    """As calls were measured: those that send, and those that settle or keep an effect."""
    sends = [row for row in rows if row.measured.entries and row.operation != "ReceiveMessage"]
    others = [row for row in rows if row.operation in _SETTLES]
    return Pace(send=_mean(sends, otherwise.send), call=_mean(others, otherwise.call))


def _mean(rows: Sequence[Row], otherwise: float) -> float:
    timed = [row for row in rows if row.seconds]
    calls = sum(row.calls for row in timed)
    return sum(row.seconds for row in timed) / calls if calls else otherwise


def used(scenario: Scenario, rows: Sequence[Row], killed: Sequence[str], *, region: str, lasted_s: float) -> Used:
    """`lasted_s`: how long the stream was there, where there is one. What a topic delivered, nobody counts: it is taken
    for as much as the scenario's filters let through."""
    items: dict[Item, float] = {}

    def use(item: Item, count: float) -> None:
        items[item] = items.get(item, 0.0) + count

    outlook = Outlook(scenario)
    gets = sum(outlook.gets.values())
    filters = [spec.filter_on for spec in outlook.topology.subscriptions if spec.filter is not None]
    for row in rows:
        measured = row.measured
        match row.service, row.operation:
            case queue.SERVICE, _:
                use("sqs-fifo" if row.fifo else "sqs-standard", measured.requests)
            case sns.SERVICE, "PublishBatch" if row.fifo:
                use("sns-fifo-publish", row.calls)
                use("sns-fifo-payload", measured.bytes)
                use("sns-fifo-delivery", measured.entries * gets)
                use("sns-fifo-delivered-payload", measured.bytes * gets)
            case sns.SERVICE, "PublishBatch":
                use("sns-publish", measured.requests)
            case eventbridge.SERVICE, "PutEvents":
                use("events", measured.units * (2 if outlook.topology.archive else 1))
                if outlook.topology.archive:
                    use("events-archive", measured.bytes)
            case kinesis.SERVICE, "PutRecords":
                use("kinesis-put-unit", measured.units)
            case kinesis.SERVICE, "CreateStream":
                hours = math.ceil(lasted_s / 3600)
                use("kinesis-shard-hour", outlook.topology.shards * max(hours, 1))
            case kinesis.SERVICE, "SplitShard":
                use("kinesis-shard-hour", row.calls)
            case service, operation if service == _DYNAMODB and measured.units:
                use("dynamodb-read" if operation in _READS else "dynamodb-write", measured.units)
            case _:
                pass
        if row.operation == "PublishBatch" and (filtered := filters.count("body")):
            use("sns-body-filter", measured.bytes * filtered)
    costs = bill({item: Range.exactly(count) for item, count in items.items()}, region)
    return Used(rows=rows, costs=costs, region=region, killed=killed)

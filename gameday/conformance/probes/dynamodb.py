"""What DynamoDB documents and our guards and leases stand on: one winner of a race, transactions whole or not at all.

Source: the API reference (docs.aws.amazon.com/amazondynamodb/latest/APIReference) and the developer guide, "Condition
expressions" and "Amazon DynamoDB transactions". All reads here are strongly consistent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gameday.conformance.base import Bench, Probe, Undecided, claim
from gameday.transports.base import Call, CallFailed

_ROUNDS = 5
_RACERS = 8
_ABSENT = "attribute_not_exists(pk)"


class Table:
    """A table made for one probe, its key the string `pk`."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.name = bench.name("table")
        bench.call(
            "dynamodb",
            "CreateTable",
            TableName=self.name,
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        bench.afterwards("dynamodb", "DeleteTable", TableName=self.name)
        bench.ready(
            lambda: bench.call("dynamodb", "DescribeTable", TableName=self.name)["Table"]["TableStatus"] == "ACTIVE",
            "the table",
        )

    def put(self, key: str, value: str, *, condition: str | None = None) -> dict[str, Any]:
        """The parameters of a put."""
        put = {"TableName": self.name, "Item": {"pk": {"S": key}, "v": {"S": value}}}
        return put if condition is None else {**put, "ConditionExpression": condition}

    def value(self, key: str) -> str | None:
        answer = self.bench.call(
            "dynamodb", "GetItem", TableName=self.name, Key={"pk": {"S": key}}, ConsistentRead=True
        )
        item = answer.get("Item")
        return item["v"]["S"] if item else None

    def transact(self, *puts: Mapping[str, Any]) -> CallFailed | None:
        """How the transaction was refused, None where it was not."""
        items = [{"Put": put} for put in puts]
        return self.bench.refusal(Call("dynamodb", "TransactWriteItems", {"TransactItems": items}))


def conditional_put_race(bench: Bench) -> None:
    """Of puts that race for an absent item exactly one succeeds (developer guide, "Condition expressions")."""
    table = Table(bench)
    for round in range(_ROUNDS):
        key = f"lease{round}"
        racers = [f"racer{n}" for n in range(_RACERS)]
        outcomes = bench.together(
            [Call("dynamodb", "PutItem", table.put(key, racer, condition=_ABSENT)) for racer in racers]
        )
        won = [racer for racer, outcome in zip(racers, outcomes, strict=True) if not isinstance(outcome, CallFailed)]
        codes = {outcome.code for outcome in outcomes if isinstance(outcome, CallFailed)}
        unclear = codes - {"ConditionalCheckFailedException"}
        claim(len(won) <= 1, f"{', '.join(won)} all won the race for one item")
        if unclear:
            raise Undecided(f"puts failed with {', '.join(sorted(unclear))}")
        claim(len(won) == 1, f"none of {_RACERS} puts won the race for an absent item")
        stored = table.value(key)
        claim(stored == won[0], f"{won[0]} won the race, and the item is {stored}'s")


def transaction_is_atomic(bench: Bench) -> None:
    """A transaction is done whole or not at all (developer guide, "Amazon DynamoDB transactions")."""
    table = Table(bench)
    bench.call("dynamodb", "PutItem", **table.put("there", "before"))
    refused = table.transact(
        table.put("new", "in part"), table.put("there", "in part", condition=_ABSENT), table.put("other", "in part")
    )
    claim(refused is not None, "a transaction whose condition does not hold was answered with success")
    left = {key: table.value(key) for key in ("new", "there", "other")}
    claim(left == {"new": None, "there": "before", "other": None}, f"a cancelled transaction left {left}")
    done = table.transact(table.put("new", "whole", condition=_ABSENT), table.put("there", "whole"))
    if done is not None:
        raise Undecided(f"a transaction whose conditions hold was refused: {done}")
    left = {key: table.value(key) for key in ("new", "there")}
    claim(left == {"new": "whole", "there": "whole"}, f"a transaction that succeeded left {left}")


PROBES: Mapping[str, Probe] = {
    "conditional-put-race": conditional_put_race,
    "transaction-is-atomic": transaction_is_atomic,
}

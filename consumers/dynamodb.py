"""Stores in DynamoDB: one table each, shared by consumers on any machine.

Every write is a conditional or additive one, so a step is atomic on the service's side. A write whose answer was lost
may have happened: CallFailed then says indefinite, and nobody here repeats it, for adding one twice is two. Only a
refusal that proves that nothing was written (a throttle, a conflict of transactions) is tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from gameday.consumers.effects import Begun, Key
from gameday.transports.aws_errors import is_throttle
from gameday.transports.base import Answer, Call, CallFailed
from gameday.transports.endpoint import Endpoint

SERVICE = "dynamodb"
_READ_TIMEOUT_S = 10.0
_CONNECTIONS = 32
_TRIES = 6
_FIRST_PAUSE_S = 0.02
_ACTIVE_PAUSE_S = 0.5
_ACTIVE_LOOKS = 120


class DynamoDBTable:
    """A table; one of ours has the string `pk` for its key.

    One client carries the steps of all handlers of the process.
    """

    def __init__(self, table: str, endpoint: Endpoint) -> None:
        # Here and not above: it takes longer to import than all else that the conductor of most runs needs, which
        # have their effects in SQLite.
        from gameday.transports.carriers.fast_aio import aio_carrier

        self._table = table
        self._carry = aio_carrier(endpoint, read_timeout_s=_READ_TIMEOUT_S, connections=_CONNECTIONS)

    async def create(self, *, tags: Mapping[str, str]) -> None:
        await self._call(
            "CreateTable",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
        for _ in range(_ACTIVE_LOOKS):
            if (await self._call("DescribeTable"))["Table"]["TableStatus"] == "ACTIVE":
                return
            await asyncio.sleep(_ACTIVE_PAUSE_S)
        raise CallFailed("TableNotActive", f"{self._table} is not active yet", definite=False)

    async def open(self) -> None:
        await self._call("DescribeTable")

    async def remove(self) -> None:
        await self._call("DeleteTable")

    async def close(self) -> None:
        await self._carry.close()

    async def _call(self, operation: str, **params: Any) -> Answer:
        return await self._patiently(Call(SERVICE, operation, {"TableName": self._table, **params}))

    async def _write_if(self, operation: str, **params: Any) -> bool:
        """A conditional write; False when its condition did not hold."""
        try:
            await self._call(operation, **params)
        except CallFailed as error:
            if error.code == "ConditionalCheckFailedException":
                return False
            raise
        return True

    async def scan(self, **params: Any) -> list[Mapping[str, Any]]:
        """Every item, or every one that a filter lets through, page by page. Errors: CallFailed."""
        found: list[Mapping[str, Any]] = []
        page: dict[str, Any] = {}
        while True:
            answer = await self._call("Scan", ConsistentRead=True, **params, **page)
            found += answer.get("Items", ())
            if not answer.get("LastEvaluatedKey"):
                return found
            page = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    async def _items(self, prefix: str) -> list[Mapping[str, Any]]:
        """Every item whose key begins so."""
        return await self.scan(
            FilterExpression="begins_with(pk, :prefix)", ExpressionAttributeValues={":prefix": {"S": prefix}}
        )

    async def _patiently(self, call: Call) -> Answer:
        pause_s = _FIRST_PAUSE_S
        for _ in range(_TRIES - 1):
            try:
                return await self._carry(call)
            except CallFailed as error:
                conflict = "TransactionConflict" in str(error) and "ConditionalCheckFailed" not in str(error)
                if not error.definite or not (conflict or is_throttle(error.code)):
                    raise
            await asyncio.sleep(pause_s)
            pause_s *= 2
        return await self._carry(call)


class DynamoDBStore(DynamoDBTable):
    """Effects, and the marks of their guards. A mark without `expires_ns` says that the message is done."""

    async def seen(self, key: Key) -> bool:
        answer = await self._call("GetItem", Key=_guard_key(key), ConsistentRead=True)
        return bool(answer.get("Item"))

    async def claim(self, key: Key) -> bool:
        return await self._write_if("PutItem", **_put_guard(key))

    async def begin(self, key: Key, *, now_ns: int, expires_ns: int) -> Begun:
        put = await self._write_if(
            "PutItem",
            Item={**_guard_key(key), "expires_ns": {"N": str(expires_ns)}},
            ConditionExpression="attribute_not_exists(pk) OR expires_ns <= :now",
            ExpressionAttributeValues={":now": {"N": str(now_ns)}},
        )
        if put:
            return "begun"
        answer = await self._call("GetItem", Key=_guard_key(key), ConsistentRead=True)
        # A mark that was taken away since was in progress when it was in the way.
        item = answer.get("Item")
        return "done" if item and "expires_ns" not in item else "in-progress"

    async def finish(self, key: Key) -> None:
        await self._call("PutItem", Item=_guard_key(key))

    async def forget(self, key: Key) -> None:
        await self._call("DeleteItem", Key=_guard_key(key))

    async def apply(self, key: Key) -> None:
        await self._call("UpdateItem", **_add_one(key))

    async def claim_and_apply(self, key: Key) -> bool:
        put, add = {"TableName": self._table, **_put_guard(key)}, {"TableName": self._table, **_add_one(key)}
        call = Call(SERVICE, "TransactWriteItems", {"TransactItems": [{"Put": put}, {"Update": add}]})
        try:
            await self._patiently(call)
        except CallFailed as error:
            if "ConditionalCheckFailed" in str(error):
                return False
            raise
        return True

    async def read_back(self, subscription: str) -> Mapping[str, int]:
        items = await self._items(f"effect#{subscription}#")
        return {_id(item): int(item["applied"]["N"]) for item in items}


def _guard_key(key: Key) -> dict[str, Any]:
    return {"pk": {"S": f"guard#{key.subscription}#{key.id}"}}


def _put_guard(key: Key) -> dict[str, Any]:
    return {"Item": _guard_key(key), "ConditionExpression": "attribute_not_exists(pk)"}


def _add_one(key: Key) -> dict[str, Any]:
    return {
        "Key": {"pk": {"S": f"effect#{key.subscription}#{key.id}"}},
        "UpdateExpression": "ADD applied :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }


def _id(item: Mapping[str, Any]) -> str:
    parts: Sequence[str] = item["pk"]["S"].split("#", 2)
    return parts[2]

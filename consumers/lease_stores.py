"""Leases in SQLite and in DynamoDB: the same steps, each one conditional write.

SQLite has a file of its own, so that handlers and leases do not wait for each other's commits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from gameday.consumers.dynamodb import DynamoDBTable
from gameday.consumers.leases import Lease, LeaseStore
from gameday.consumers.sqlite import SqliteFile
from gameday.transports.endpoint import Endpoint


class SqliteLeases(SqliteFile):
    schema = """
        CREATE TABLE IF NOT EXISTS leases (
            subscription TEXT NOT NULL, shard TEXT NOT NULL, parents TEXT NOT NULL, owner TEXT, token INTEGER NOT NULL,
            beat INTEGER NOT NULL, position TEXT, done INTEGER NOT NULL, PRIMARY KEY (subscription, shard)
        ) WITHOUT ROWID;
    """

    async def all(self, subscription: str) -> list[Lease]:
        query = (
            "SELECT shard, parents, owner, token, beat, position, done FROM leases WHERE subscription = ? "
            "ORDER BY length(shard), shard"
        )
        rows = await self._step(lambda connection: connection.execute(query, (subscription,)).fetchall())
        return [
            Lease(
                subscription=subscription,
                shard=shard,
                parents=tuple(orjson.loads(parents)),
                owner=owner,
                token=token,
                beat=beat,
                position=position,
                done=bool(done),
            )
            for shard, parents, owner, token, beat, position, done in rows
        ]

    async def add(self, lease: Lease) -> bool:
        row = (
            lease.subscription,
            lease.shard,
            orjson.dumps(lease.parents).decode(),
            lease.owner,
            lease.token,
            lease.beat,
            lease.position,
            lease.done,
        )
        return await self._change("INSERT OR IGNORE INTO leases VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    async def take(self, seen: Lease, owner: str) -> Lease | None:
        taken = await self._update(seen, "owner = ?, token = token + 1, beat = beat + 1", (owner,), beat=seen.beat)
        return _taken(seen, owner) if taken else None

    async def renew(self, mine: Lease) -> bool:
        return await self._update(mine, "beat = beat + 1")

    async def checkpoint(self, mine: Lease, *, position: str | None, done: bool) -> bool:
        return await self._update(mine, "beat = beat + 1, position = ?, done = ?", (position, done))

    async def release(self, mine: Lease) -> bool:
        return await self._update(mine, "owner = NULL, token = token + 1, beat = beat + 1")

    async def _update(
        self, lease: Lease, change: str, values: tuple[Any, ...] = (), *, beat: int | None = None
    ) -> bool:
        condition = "subscription = ? AND shard = ? AND token = ? AND beat = coalesce(?, beat)"
        of = (lease.subscription, lease.shard, lease.token, beat)
        return await self._change(f"UPDATE leases SET {change} WHERE {condition}", (*values, *of))

    async def _change(self, statement: str, values: Sequence[Any]) -> bool:
        changed: int = await self._step(lambda connection: connection.execute(statement, values).rowcount)
        return changed == 1


class DynamoDBLeases(DynamoDBTable):
    async def all(self, subscription: str) -> list[Lease]:
        leases = [
            Lease(
                subscription=subscription,
                shard=item["shard"]["S"],
                parents=tuple(orjson.loads(item["parents"]["S"])),
                owner=item["held_by"]["S"] or None,
                token=int(item["token_no"]["N"]),
                beat=int(item["beat_no"]["N"]),
                position=item["read_to"]["S"] or None,
                done=item["all_read"]["BOOL"],
            )
            for item in await self._items(f"{subscription}#")
        ]
        return sorted(leases, key=lambda lease: (len(lease.shard), lease.shard))

    async def add(self, lease: Lease) -> bool:
        item = {
            "pk": _key(lease),
            "shard": {"S": lease.shard},
            "parents": {"S": orjson.dumps(lease.parents).decode()},
            "held_by": {"S": lease.owner or ""},
            "token_no": {"N": str(lease.token)},
            "beat_no": {"N": str(lease.beat)},
            "read_to": {"S": lease.position or ""},
            "all_read": {"BOOL": lease.done},
        }
        return await self._write_if("PutItem", Item=item, ConditionExpression="attribute_not_exists(pk)")

    async def take(self, seen: Lease, owner: str) -> Lease | None:
        change = {"held_by = :held_by": {"S": owner}, "token_no = token_no + :one": None}
        return _taken(seen, owner) if await self._update(seen, change, beat=seen.beat) else None

    async def renew(self, mine: Lease) -> bool:
        return await self._update(mine, {})

    async def checkpoint(self, mine: Lease, *, position: str | None, done: bool) -> bool:
        return await self._update(
            mine, {"read_to = :read_to": {"S": position or ""}, "all_read = :all_read": {"BOOL": done}}
        )

    async def release(self, mine: Lease) -> bool:
        return await self._update(mine, {"held_by = :held_by": {"S": ""}, "token_no = token_no + :one": None})

    async def _update(self, lease: Lease, change: Mapping[str, Any], *, beat: int | None = None) -> bool:
        """`change` maps each assignment to the value that it names; with each goes one more beat.

        Attributes are called otherwise than fields: DynamoDB keeps many words to itself, but none that has a `_`.
        """
        values = {":token_no": {"N": str(lease.token)}, ":one": {"N": "1"}}
        values |= {assignment.rpartition(" ")[2]: value for assignment, value in change.items() if value is not None}
        condition = "token_no = :token_no"
        if beat is not None:
            condition, values[":beat_no"] = f"{condition} AND beat_no = :beat_no", {"N": str(beat)}
        return await self._write_if(
            "UpdateItem",
            Key={"pk": _key(lease)},
            UpdateExpression=f"SET {', '.join([*change, 'beat_no = beat_no + :one'])}",
            ConditionExpression=condition,
            ExpressionAttributeValues=values,
        )


def _key(lease: Lease) -> dict[str, str]:
    return {"S": f"{lease.subscription}#{lease.shard}"}


def _taken(seen: Lease, owner: str) -> Lease:
    return replace(seen, owner=owner, token=seen.token + 1, beat=seen.beat + 1)


LEASE_STORES: Mapping[str, Callable[[Mapping[str, Any], Endpoint], LeaseStore]] = {
    "sqlite": lambda settings, endpoint: SqliteLeases(Path(settings["path"])),
    "dynamodb": lambda settings, endpoint: DynamoDBLeases(settings["table"], endpoint),
}


def make_leases(settings: Mapping[str, Any], endpoint: Endpoint) -> LeaseStore:
    """The store that {"kind": …, …} describes: neither created nor open yet."""
    return LEASE_STORES[settings["kind"]](settings, endpoint)

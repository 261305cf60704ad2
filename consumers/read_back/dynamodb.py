"""Effects that stand in a DynamoDB table of the user's: each item is one, or as many as an attribute of it says.

The whole table is scanned, page by page, with consistent reads: what was written before the scan began is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

from pydantic import Field

from gameday.consumers.dynamodb import SERVICE, DynamoDBTable
from gameday.consumers.read_back.base import (
    Counts,
    EffectReader,
    NotThere,
    Place,
    ReadFailed,
    Settings,
    add,
    brief,
    how_often,
    name_of,
)
from gameday.transports.base import CallFailed
from gameday.transports.endpoint import Endpoint


class DynamoDBItems(Settings):
    """Items of a DynamoDB table; one without the attribute `key` is passed over."""

    services: ClassVar = (SERVICE,)

    table: str = Field(description="the table's name")
    key: str = Field(description="the attribute that tells which message it is: a text or a number")
    times: str | None = Field(
        default=None, description="the attribute that says how often (default: each item is one effect)"
    )

    def reader(self, place: Place) -> EffectReader:
        return _Reader(self, place.endpoint)


class _Reader(EffectReader):
    def __init__(self, settings: DynamoDBItems, endpoint: Endpoint) -> None:
        self._settings = settings
        self._table = DynamoDBTable(settings.table, endpoint)

    async def read(self) -> Counts:
        table, times = self._settings.table, self._settings.times
        try:
            items = await self._table.scan()
        except CallFailed as error:
            if error.code == "ResourceNotFoundException":
                raise NotThere(f"there is no DynamoDB table {table}") from error
            raise ReadFailed(f"the DynamoDB table {table} cannot be read: {error}") from error
        applied: dict[str, int] = {}
        passed_over = 0
        for item in items:
            if self._settings.key not in item:
                passed_over += 1
                continue
            key = name_of(_plain(item[self._settings.key]), f"table {table}, `{self._settings.key}` of an item")
            where = f"table {table}, `{times}` of {brief(key)}"
            add(applied, key, 1 if times is None else how_often(_plain(item.get(times, {})), where))
        return Counts(applied=applied, passed_over=passed_over)

    async def close(self) -> None:
        await self._table.close()


def _plain(value: Mapping[str, Any]) -> object:
    """A text or a number; anything else as the API spells it, which is neither."""
    match value:
        case {"S": str(text)}:
            return text
        case {"N": str(number)}:
            decimal = Decimal(number)
            return int(decimal) if decimal == decimal.to_integral_value() else decimal
        case _:
            return value

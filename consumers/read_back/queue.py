"""Effects that are messages which the consumer sends on to an SQS queue: each message that was sent is one effect.

The reader receives and deletes them, for nothing else tells the end of a queue: so the queue is for the run alone, must
be empty before the load, and nobody else may read from it. What a Standard queue delivers twice is one message still,
known by the broker's id; what the consumer sent twice has two. A FIFO queue swallows a repeated deduplication id, and
then there is one effect, as for everybody who reads that queue.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import ClassVar

from pydantic import Field, field_validator, model_validator

from gameday.consumers.read_back.base import (
    Counts,
    EffectReader,
    NotThere,
    Place,
    ReadFailed,
    Settings,
    at,
    brief,
    check_pointer,
)
from gameday.transports.base import Answer, Call, CallFailed, Delivery
from gameday.transports.queue import SERVICE, SqsQueue

_WAIT_S = 1
# Of what is hidden, or counted late: longer than most visibility timeouts would be longer than anybody waits.
_STUCK_S = 45.0
_NOT_THERE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


class QueueMessages(Settings):
    """Messages of an SQS queue, which is emptied: it must be for this run alone."""

    services: ClassVar = (SERVICE,)
    short: ClassVar = "url"

    url: str | None = Field(default=None, description="the queue's URL")
    name: str | None = Field(default=None, description="or its name")
    key: str | None = Field(
        default=None,
        description="a JSON pointer into the body that tells which message it is, like /orderId (default: the id that "
        "gameday put into the body, of a message that is sent on as it came)",
    )

    @field_validator("key")
    @classmethod
    def _pointer(cls, value: str | None) -> str | None:
        if value is not None:
            check_pointer(value)
        return value

    @model_validator(mode="after")
    def _either(self) -> QueueMessages:
        if (self.url is None) == (self.name is None):
            raise ValueError("write either its url or its name")
        return self

    def reader(self, place: Place) -> EffectReader:
        return _Reader(self, place)


class _Reader(EffectReader):
    def __init__(self, settings: QueueMessages, place: Place) -> None:
        # Here and not above: it takes longer to import than all else that most runs need.
        from gameday.transports.carriers.aio import AioCarrier

        self._settings = settings
        self._called = settings.url or settings.name or ""
        self._own = place.own
        self._carry = AioCarrier(place.endpoint, read_timeout_s=30.0, connections=2)
        # The key of each message, by the broker's id: what was deleted in an earlier reading is still counted.
        self._keys: dict[str, str] = {}

    async def before(self) -> Counts:
        try:
            source = await self._source()
        except NotThere:
            return Counts()
        if total := source.depth_of(await self._ask(source.depth())).total:
            raise ReadFailed(
                f"{total} messages stand in {self._called} already, and they would be taken for effects of this run; "
                "purge it, or name a queue that is for this run alone"
            )
        return Counts()

    async def read(self) -> Counts:
        source = await self._source()
        now = asyncio.get_running_loop().time
        moved_s = now()
        while True:
            deliveries = source.received(await self._ask(source.receive(most=source.batch_max, wait_s=_WAIT_S)))
            if deliveries:
                moved_s = now()
                for delivery in deliveries:
                    self._keys[delivery.broker_id or delivery.receipt] = self._key(delivery)
                # One that could not be deleted comes again, and is known by then.
                await self._ask(source.delete(deliveries))
            elif (total := source.depth_of(await self._ask(source.depth())).total) == 0:
                return Counts(applied=Counter(self._keys.values()))
            elif now() > moved_s + _STUCK_S:
                raise ReadFailed(
                    f"{total} messages stand in {self._called} and cannot be received: somebody else reads from it. "
                    "Name a queue that is for this run alone"
                )

    async def close(self) -> None:
        await self._carry.close()

    def _key(self, delivery: Delivery) -> str:
        where = f"the message {delivery.broker_id} in {self._called}"
        if self._settings.key is not None:
            return at(self._settings.key, delivery.body, where)
        if delivery.id is None:
            raise ReadFailed(
                f"{where} has no id of gameday's ({brief(delivery.body)}); say with `key` where in the body it tells "
                "which message it is"
            )
        return delivery.id

    async def _source(self) -> SqsQueue:
        url = self._settings.url
        if url is None:
            url = (await self._ask(Call(SERVICE, "GetQueueUrl", {"QueueName": self._called})))["QueueUrl"]
        if url.rpartition("/")[2] in self._own:
            raise ReadFailed(f"{self._called} is a queue of the run's own, and no place for effects")
        return SqsQueue(url)

    async def _ask(self, call: Call) -> Answer:
        try:
            return await self._carry(call)
        except CallFailed as error:
            if error.code in _NOT_THERE:
                raise NotThere(f"there is no queue {self._called}") from error
            raise ReadFailed(f"the queue {self._called} cannot be read: {error}") from error

"""What is recorded of a receive, on a queue or a stream: the messages of one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gameday.history.identity import Identification
from gameday.transports.base import Delivery


@dataclass(frozen=True, slots=True)
class Taken:
    """What settles it says so by its receipt. `id` is its name in the history, None where nothing in it tells one;
    `real`: of a copy, the receipt that the service knows the message by."""

    batch: str
    delivery: Delivery
    id: str | None
    real: str | None = None

    @property
    def real_receipt(self) -> str:
        return self.real or self.delivery.receipt

    @property
    def key(self) -> str:
        """What a fault rolls its dice on; a redelivery rolls again."""
        delivery = self.delivery
        return f"{self.id or delivery.broker_id or delivery.broker_seq}:{delivery.receives}"


def taken(batch: str, delivery: Delivery, identification: Identification, *, real: str | None = None) -> Taken:
    id = delivery.id
    if id is None and identification.by == "envelope":
        # Every order of ours names itself: what does not is none of them, and has the broker's name on record.
        id = delivery.broker_id or f"{delivery.partition}:{delivery.broker_seq}"
    return Taken(batch, delivery, id, real)


@dataclass(frozen=True, slots=True)
class Receive:
    """The messages of one answer; `batch` is None of one that gave none."""

    batch: str | None
    taken: Sequence[Taken] = ()

"""What is recorded of a receive, on a queue or a stream: the messages of one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gameday.transports.base import Delivery


@dataclass(frozen=True, slots=True)
class Taken:
    """What settles it says so by its receipt."""

    batch: str
    delivery: Delivery

    @property
    def key(self) -> str:
        """What a fault rolls its dice on; a redelivery rolls again."""
        delivery = self.delivery
        return f"{delivery.id or delivery.broker_id or delivery.broker_seq}:{delivery.receives}"


@dataclass(frozen=True, slots=True)
class Receive:
    """The messages of one answer; `batch` is None of one that gave none."""

    batch: str | None
    taken: Sequence[Taken] = ()

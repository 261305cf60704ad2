"""Copies of messages that were handed out, for somebody else who gets them too: what at-least-once allows.

On a Standard queue a server that was not there when a message was received, or deleted, gives it once more
(docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/standard-queues-at-least-once-delivery.html). It
promises that each copy is offered once, while the message's visibility timeout lasts, and to another consumer than the
one that has it, as long as there is another one.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from multidict import CIMultiDict

from gameday.wire.client import Client
from gameday.wire.spoken import Dialect
from gameday.wire.taken import Receive, Taken

KIND = "duplicate-delivery"
# More than consumers take in while one of them polls; each may keep an answer of 1 MiB alive.
_KEPT_MAX = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Copy:
    """A message of an answer that `first` was given, in this place of its body; `until`: when that hold ends."""

    first: Client
    taken: Taken
    dialect: Dialect
    headers: CIMultiDict[str]
    body: bytes
    place: int
    until: int

    def answer(self, receipt: str) -> bytes:
        """The body of an answer that gives this message alone, to be settled by this receipt."""
        return self.dialect.only(self.body, self.place, receipt)


class Copies:
    def __init__(self) -> None:
        self._kept: deque[Copy] = deque(maxlen=_KEPT_MAX)
        self._numbers = itertools.count(1)

    def keep(
        self, first: Client, receive: Receive, *, dialect: Dialect, headers: CIMultiDict[str], body: bytes, until: int
    ) -> None:
        """Of an answer that was passed on. Of what is a copy itself none is kept: it would go on for ever."""
        if not first.disturbances.stands(KIND):
            return
        for place, taken in enumerate(receive.taken):
            if taken.real is None:
                self._kept.append(
                    Copy(
                        first=first,
                        taken=taken,
                        dialect=dialect,
                        headers=headers,
                        body=body,
                        place=place,
                        until=until,
                    )
                )

    def offer(self, client: Client, clients: Collection[Client], *, dialect: Dialect, now: int) -> Copy | None:
        """What this consumer gets in place of an answer of the service, if anything; `clients`: all there are."""
        for copy in list(self._kept):
            if copy.until <= now or copy.first not in clients or not copy.first.disturbances.stands(KIND):
                self._kept.remove(copy)
            elif type(copy.dialect) is type(dialect) and (copy.first is not client or len(clients) == 1):
                self._kept.remove(copy)
                if copy.first.disturbances.struck(KIND, copy.taken.key) is not None:
                    return copy
        return None

    def receipt(self, copy: Copy) -> str:
        """One of its own, so that what settles it is known for what it is."""
        return f"{copy.taken.delivery.receipt}.{next(self._numbers)}"

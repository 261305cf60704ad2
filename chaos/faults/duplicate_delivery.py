"""Deliver messages twice: while one consumer has a message, another one gets it too.

At-least-once allows it, on Standard queues: a server that was not there when a message was received, or deleted, gives
it again. It counts as the same receive. A consumer that trusts a visibility timeout to keep others away works twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from gameday.chaos.wire_fault import WireFault
from gameday.history.manifest import Kind


class DuplicateDelivery(WireFault):
    """Deliver messages to a second consumer while the first still has them, as a Standard queue may."""

    colour: ClassVar[str] = "#e0752d"
    missing_on: ClassVar[Mapping[Kind, str]] = {"stream": "messages that are hidden while a consumer has them"}
    wrong_on_fifo: ClassVar[str | None] = "a FIFO queue gives a message that a consumer has to nobody else"

    fault: Literal["duplicate-delivery"]

    @property
    def does(self) -> str:
        return "are delivered twice"

    @property
    def struck_things(self) -> str:
        return "the messages"

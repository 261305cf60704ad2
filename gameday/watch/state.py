"""What the live view remembers of each message while a history grows: nothing but state, kept small."""

from __future__ import annotations

from collections.abc import Sequence


class Seen:
    """A message on one subscription. `copies`: those that were received, by the broker's id or place; `sent_copy`: one
    of them came of a send, and not of a redrive or a replay."""

    __slots__ = ("applied", "copies", "dead", "received", "redriven", "sent_copy", "settled")

    def __init__(self) -> None:
        self.copies: tuple[str, ...] = ()
        self.applied = self.sent_copy = False
        self.received = self.settled = self.dead = self.redriven = False


class Message:
    """A logical message: what was meant, whether the broker took it, and where it was seen."""

    __slots__ = ("acked", "due", "expect", "group", "intended", "on", "tried")

    def __init__(self) -> None:
        self.due: int | None = None
        self.group: str | None = None
        self.expect: Sequence[str] | None = None
        self.intended = self.tried = self.acked = False
        self.on: dict[str, Seen] = {}

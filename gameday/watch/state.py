"""What the live view remembers of each message while a history grows: nothing but state, kept small."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """A mapping of at most `most` entries, in two halves: when the young half is full it becomes the old one, and what
    the old one still had is forgotten. What is asked for becomes young again. Each step is O(1) (amortised where a half
    is let go)."""

    def __init__(self, most: int) -> None:
        self._half = max(1, most // 2)
        self._young: dict[Hashable, Value] = {}
        self._old: dict[Hashable, Value] = {}
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: Hashable) -> Value | None:
        value = self._young.get(key)
        if value is None and (value := self._old.pop(key, None)) is not None:
            self.put(key, value)
        return value

    def put(self, key: Hashable, value: Value) -> None:
        if key not in self._young:
            self._old.pop(key, None)
            if len(self._young) >= self._half:
                self.forgotten += len(self._old)
                self._old, self._young = self._young, {}
        self._young[key] = value


class Seen:
    """A message on one subscription. `copies`: those that were received, by the broker's id or place; `sent_copy`: one
    of them came of a send, and not of a redrive or a replay. `applied`: by the records; `most_applied`: by the
    store, too. `untimed`: when it was first received, until its intent has been read."""

    __slots__ = (
        "applied", "copies", "dead", "most_applied", "received", "redriven", "sent_copy", "settled", "untimed",
    )  # fmt: skip

    def __init__(self) -> None:
        self.copies: tuple[str, ...] = ()
        self.applied = self.most_applied = 0
        self.untimed: int | None = None
        self.sent_copy = False
        self.received = self.settled = self.dead = self.redriven = False


class Message:
    """A logical message: what was meant, whether the broker took it, and where it was seen."""

    __slots__ = ("acked", "due", "expect", "group", "intended", "on", "tenant_class", "tried")

    def __init__(self) -> None:
        self.due: int | None = None
        self.group: str | None = None
        self.tenant_class: str | None = None
        self.expect: Sequence[str] | None = None
        self.intended = self.tried = self.acked = False
        self.on: dict[str, Seen] = {}

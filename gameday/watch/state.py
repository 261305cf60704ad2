"""What the live view knows about each message while a history grows: nothing but state, kept small.

A message has a `Pair` with each subscription that it was seen on, a pair has a `Copy` for each copy received, a copy
its receives. `Group` keeps what is needed to tell, of the next message of a group, whether it is late.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from typing import Any, NamedTuple

from gameday.history.clock import NS_PER_S

Fields = dict[str, Any]


class Place(NamedTuple):
    """Where a record stands: its time, its line and its file. Places sort by time."""

    at: int
    file: str
    line: int


class Receive(NamedTuple):
    place: Place
    started: int | None
    batch: str
    receives: int | None
    hidden_ns: int | None
    number: int | None


class Settle:
    """A delete, release or extend, from its intent on; `answered` is None until its answer is read."""

    __slots__ = ("action", "answered", "batch", "began", "copy", "failed", "file", "hidden_ns", "ok")

    def __init__(self, record: Fields, *, began: int, file: str) -> None:
        self.action: str = record.get("action", "")
        self.batch: str = record.get("batch", "")
        self.copy: str | None = record.get("broker_id")
        self.hidden_ns = nanoseconds(record.get("hidden_s"))
        self.began = began
        self.file = file
        self.answered: int | None = None
        self.ok = False
        self.failed = False


class Copy:
    """One copy of a message on a subscription, and what its receives came to. `replayed`: an archive sent it."""

    __slots__ = ("early", "key", "receives", "redelivered", "replayed", "unrecorded")

    def __init__(self, key: str, *, replayed: bool) -> None:
        self.key = key
        self.replayed = replayed
        self.receives: list[Receive] = []
        self.redelivered = self.early = self.unrecorded = 0


class Message:
    """A logical message: what was intended and what its attempts came to. Attempts are bits."""

    __slots__ = (
        "acked", "answered", "attempts", "due", "expect", "group", "groups", "intended", "misrouted", "on",
        "phantom", "recovered", "regrouped", "undecided",
    )  # fmt: skip

    def __init__(self) -> None:
        self.group: str | None = None
        self.expect: list[str] | None = None
        self.due: int | None = None
        self.intended: int | None = None
        self.attempts = self.answered = 0
        self.acked = self.undecided = False
        self.on: tuple[str, ...] = ()
        self.groups: Counter[str | None] | None = None  # as received, where not known to be the one intended
        self.phantom = self.recovered = self.misrouted = self.regrouped = 0

    @property
    def failed(self) -> bool:
        """Every attempt is proven not to have stored it."""
        return bool(self.attempts) and self.attempts == self.answered and not self.acked and not self.undecided


class Pair:
    """A message on a subscription."""

    __slots__ = (
        "applied", "applied_in_store", "called", "copies", "dead", "extra", "first", "group", "late", "message",
        "number", "part", "redriven", "redriven_last", "settled", "settles", "timed",
    )  # fmt: skip

    def __init__(self, message: Message) -> None:
        self.message = message
        self.first: Place | None = None
        self.called: tuple[int, str] | None = None  # when the first call that received it began, and whose it was
        self.group: str | None = None  # as received
        self.number: int | None = None
        self.part = ""
        self.copies: list[Copy] = []
        self.settles: list[Settle] = []
        self.redriven: Place | None = None
        self.redriven_last: Place | None = None
        self.dead: Place | None = None
        self.applied = self.applied_in_store = self.extra = 0
        self.late = self.timed = self.settled = False


class Highs:
    """The messages of a group that had a higher number than all that were received before them."""

    __slots__ = ("numbers", "times")

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.times: list[int] = []

    def add(self, number: int, at: int) -> None:
        if not self.numbers or number > self.numbers[-1]:
            self.numbers.append(number)
            self.times.append(at)

    def first_above(self, number: int) -> int | None:
        """When a message with a higher number was first received."""
        place = bisect_right(self.numbers, number)
        return self.times[place] if place < len(self.times) else None


class Group:
    """First receives of a group on a subscription, in the order of their times."""

    __slots__ = ("by_file", "highs", "latest")

    def __init__(self) -> None:
        self.latest: Place | None = None
        self.highs = Highs()
        self.by_file: dict[str, Highs] = {}


def nanoseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * NS_PER_S)

"""What a probe stands on: a bench with calls, fresh names, waiting and tidying up, and the words of a result.

A probe is a function over a `Bench` whose docstring is the rule of AWS's that it asks for, with its source. It returns
when it saw the rule kept, and raises `Violated`, `Undecided` or `NotImplementedHere`. Two promises bind every probe: it
never blames a service that did what AWS allows (a standard queue may deliver twice and in any order, anything may be
slow), and it never holds without having seen what it asks for. A bench knows its endpoint only as three functions, so
that the same probe runs over a network or, with a clock that jumps, inside the process of a test.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeVar

from gameday.transports.aws_errors import NEVER_SENT, THROTTLES, lacks
from gameday.transports.base import Answer, Call, CallFailed

T = TypeVar("T")

Result = Literal["holds", "violated", "not-implemented", "unknown"]

SLOW_S = 60.0
# Who acts for the services that send by themselves; emulators ask no more of it than its form.
ROLE = "arn:aws:iam::000000000000:role/gameday-probe"
_PAUSE_S = 0.1


class Violated(Exception):
    """The endpoint broke the rule; the message says what was seen."""


class Undecided(Exception):
    """The rule was neither seen kept nor seen broken; the message says why."""


class NotImplementedHere(Exception):
    """The endpoint lacks what the probe asks for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One answer of the matrix. `detail`: the rule where it holds, else what was seen or why it is not known."""

    service: str
    probe: str
    result: Result
    detail: str

    def to_json(self) -> Mapping[str, str]:
        return {"service": self.service, "probe": self.probe, "result": self.result, "detail": self.detail}


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """An endpoint and how to treat it. Durations in seconds.

    `patience_s`: how long an absence must last before it counts; `tick_s`: how much earlier than asked a message may
    be visible again; `limit_s`: how long one probe may take, without the waits that only `slow` allows;
    `at_once`: whether what was configured applies at once, as it does on an emulator; `dedup_window_s` and
    `iterator_life_s` are AWS's unless the endpoint's were shortened.
    """

    carry: Callable[[Call], Answer]
    wait: Callable[[float], None]
    now: Callable[[], float]
    patience_s: float = 20.0
    tick_s: float = 1.0
    limit_s: float = 120.0
    dedup_window_s: float = 300.0
    iterator_life_s: float = 300.0
    at_once: bool = True
    slow: bool = False


class Bench:
    """Where one probe works, alone. Whatever it makes is removed by `clear`."""

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions
        self.id = uuid.uuid4().hex[:12]
        self._names = 0
        self._until = conditions.now() + conditions.limit_s
        self._leftovers: list[Call] = []

    @property
    def now(self) -> float:
        """Seconds on a clock that never goes back."""
        return self.conditions.now()

    def call(self, service: str, operation: str, **params: Any) -> Answer:
        """Errors: CallFailed; Undecided when the probe's time is over."""
        return self.carry(Call(service, operation, params))

    def carry(self, call: Call) -> Answer:
        """Errors: as `call`."""
        self._in_time()
        return self.conditions.carry(call)

    def refusal(self, call: Call) -> CallFailed | None:
        """How the service refuses that call, None where it does not. Errors: CallFailed for a failure that says nothing
        of what was asked for."""
        try:
            self.carry(call)
        except CallFailed as failed:
            if not failed.definite or lacks(failed) or any(word in failed.code for word in _ON_THE_WAY):
                raise
            return failed
        return None

    def name(self, what: str) -> str:
        """A name that nothing else at the endpoint has."""
        self._names += 1
        return f"gameday-probe-{self.id}-{what}-{self._names}"

    def afterwards(self, service: str, operation: str, **params: Any) -> None:
        """Remove something when the probe is over, the latest first."""
        self._leftovers.append(Call(service, operation, params))

    def clear(self) -> None:
        """Remove whatever was made; what cannot be removed is left, because the answer is known by now."""
        while self._leftovers:
            with suppress(CallFailed):
                self.conditions.carry(self._leftovers.pop())

    def wait(self, seconds: float) -> None:
        """Errors: Undecided for a wait that only `slow` allows."""
        if seconds > SLOW_S:
            if not self.conditions.slow:
                raise Undecided(f"skipped: takes {seconds / 60:.0f} minutes; --slow runs it")
            self._until += seconds
        self._in_time()
        self.conditions.wait(seconds)

    def let_apply(self, seconds: float) -> None:
        """Wait for what was configured, which AWS may take so long to apply. Errors: as `wait`."""
        if not self.conditions.at_once:
            self.wait(seconds)

    def together(self, calls: Sequence[Call]) -> list[Answer | CallFailed]:
        """Make the calls at the same time; the answer or the failure of each."""

        def make(call: Call) -> Answer | CallFailed:
            try:
                return self.carry(call)
            except CallFailed as failed:
                return failed

        with ThreadPoolExecutor(len(calls)) as threads:
            return list(threads.map(make, calls))

    def until(self, look: Callable[[], T | None], otherwise: str) -> T:
        """What `look` finds at last. Errors: Violated, when the patience is over without it."""
        deadline = self.now + self.conditions.patience_s
        while True:
            found = look()
            if found is not None:
                return found
            if self.now >= deadline:
                raise Violated(f"{otherwise} within {self.conditions.patience_s:g} s")
            self.wait(_PAUSE_S)

    def ready(self, look: Callable[[], bool], what: str) -> None:
        """Wait until the endpoint has built something. Errors: Undecided, because slow building breaks no rule here."""
        deadline = self.now + self.conditions.patience_s
        while not look():
            if self.now >= deadline:
                raise Undecided(f"{what} was not ready within {self.conditions.patience_s:g} s")
            self.wait(_PAUSE_S)

    def _in_time(self) -> None:
        if self.now > self._until:
            raise Undecided(f"took longer than {self.conditions.limit_s:g} s")


Probe = Callable[[Bench], None]


def claim(kept: bool, otherwise: str) -> None:
    """Errors: Violated, with what was seen instead."""
    if not kept:
        raise Violated(otherwise)


def increasing(numbers: Sequence[int]) -> None:
    """Errors: Violated, with the first two that do not increase."""
    for earlier, later in pairwise(numbers):
        claim(earlier < later, f"the number {later} was given out after {earlier}")


def mostly(broken: int, of: int, what: str, *, allowed: str = "a standard queue may do that now and then") -> None:
    """Judge a rule to which AWS allows exceptions, on many messages.

    Errors: Violated when more than half broke it; Undecided when some did.
    """
    if broken * 2 > of:
        raise Violated(f"{broken} of {of} {what}")
    if broken:
        raise Undecided(f"{broken} of {of} {what}; {allowed}")


def rule(probe: Probe) -> str:
    """The rule that a probe asks for, as its docstring says it."""
    return " ".join((probe.__doc__ or "").split())


# Parts of the codes of failures that any call may meet: too many of them, credentials, no connection
# (docs.aws.amazon.com/general/latest/gr/api-retries.html, and the common errors of every API reference).
_ON_THE_WAY = (
    *THROTTLES,
    *("AccessDenied", "NotAuthorized", "AuthFailure", "Token", "UnrecognizedClient", "Signature", "AccessKey", "OptIn"),
    *NEVER_SENT,
)


def missing(names: Iterable[str], got: Iterable[str]) -> list[str]:
    """What of `names` is not in `got`."""
    seen = set(got)
    return [name for name in names if name not in seen]

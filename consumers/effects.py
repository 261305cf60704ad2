"""What an effect store can do: the words that guards are written in.

The effect is deliberately not idempotent: each `apply` adds one to what stands under (subscription, id), so that a
message that took effect twice can be read back as 2. A guard's mark stands beside it and is put at most once. Every
method here is one atomic step that is durable against the death of this process once it returns; what happens
between two steps is what guards differ in.

A mark says *done*, or *in progress* until a moment at which it expires (only `begin` puts such a one, and only `begin`
looks at the difference).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

Begun = Literal["begun", "in-progress", "done"]


class Key(NamedTuple):
    subscription: str
    id: str


class EffectStore(Protocol):
    """Errors of every method: CallFailed, definite where nothing was changed."""

    async def create(self, *, tags: Mapping[str, str]) -> None:
        """By the conductor, before any consumer starts."""
        ...

    async def open(self) -> None:
        """Get ready to work on a store that was created: afterwards a step costs no set-up."""
        ...

    async def seen(self, key: Key) -> bool:
        """Whether the guard's mark is there."""
        ...

    async def claim(self, key: Key) -> bool:
        """Put the guard's mark unless it is there; False if it was."""
        ...

    async def begin(self, key: Key, *, now_ns: int, expires_ns: int) -> Begun:
        """Put a mark "in progress" unless one stands that says done, or in progress and has not expired by `now_ns`.

        "begun" if it was put; else what the one that stands says.
        """
        ...

    async def finish(self, key: Key) -> None:
        """Put the mark "done", whatever stands there."""
        ...

    async def forget(self, key: Key) -> None:
        """Take the mark away, whatever it says."""
        ...

    async def apply(self, key: Key) -> None:
        """The effect: one more."""
        ...

    async def claim_and_apply(self, key: Key) -> bool:
        """Mark and effect together or neither; False, and no effect, if the mark was there."""
        ...

    async def read_back(self, subscription: str) -> Mapping[str, int]:
        """How often each message's effect stands in the store; one that is missing was never applied."""
        ...

    async def remove(self) -> None:
        """By the conductor, at tear-down: undo `create` where that left something outside the run directory."""
        ...

    async def close(self) -> None: ...

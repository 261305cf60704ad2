"""The handlers: what a consumer does with a message, from having it in hand to letting it be deleted.

A handler returns the effect to record, or None when it has none; the worker then records it together with the
`settling` and deletes the message. A handler that raises has failed: see the worker for what becomes of the message.

The work that belongs inside the guard is handed to `effect`; what a handler does before or after lies outside.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from gameday.history.events import EffectResult


class HandlerFailed(Exception):
    """The handler cannot do this message: never if it is poison, else this time."""


class Work(Protocol):
    """One message in hand, and what a handler may do with it."""

    async def process(self) -> None:
        """Spend the processing time. Errors: HandlerFailed for a poison message, and where a fault wants it."""
        ...

    async def effect(self, work: Callable[[], Awaitable[None]] | None = None) -> EffectResult:
        """Apply the effect behind the configured guard, which lies around `work` as well.

        Errors: CallFailed; those of `work`; HandlerFailed where the guard refuses the message for now.
        """
        ...

    async def delete(self) -> None:
        """Delete the message now, rather than after the handler has returned."""
        ...


class Handler(Protocol):
    async def __call__(self, work: Work) -> EffectResult | None: ...


async def reference(work: Work) -> EffectResult | None:
    """What a consumer should do: work, then the effect, and the message is deleted only once both are done."""
    return await work.effect(work.process)


async def delete_first(work: Work) -> EffectResult | None:
    """Broken on purpose: who dies between the delete and the effect has lost the message for good."""
    await work.delete()
    return await work.effect(work.process)


async def no_op(work: Work) -> EffectResult | None:
    """Nothing, for measuring all the rest. It looks at nothing, so poison does not stop it, and records no effect."""
    return None


HANDLERS: Mapping[str, Handler] = {
    "reference": reference,
    "delete-first": delete_first,
    "no-op": no_op,
}

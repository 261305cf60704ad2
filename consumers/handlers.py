"""The handlers: what a consumer does with a message, from having it in hand to letting it be deleted.

A handler returns the effect to record, or None when it has none; the worker then records it together with the
`settling` and deletes the message. A handler that raises has failed: see the worker for what becomes of the message.

The work that belongs inside the guard is handed to `effect`; what a handler does before or after lies outside.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gameday.history.events import EffectResult
from gameday.history.manifest import Kind


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


Handle = Callable[[Work], Awaitable[EffectResult | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class HandlerFacts:
    """What a scenario is checked by.

    `has_effects`: it works and applies effects; one that does not does neither. `poison_returns`: poison fails it, so
    that the message comes again. `deletes_itself`: each message by a call of its own, before its effect. `wrong_on`:
    why it makes no sense on subscriptions of a kind, and what does.
    """

    has_effects: bool = True
    poison_returns: bool = True
    deletes_itself: bool = False
    wrong_on: Mapping[Kind, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Handler(HandlerFacts):
    """A handler of ours, called as its function is."""

    handle: Handle

    async def __call__(self, work: Work) -> EffectResult | None:
        return await self.handle(work)


async def reference(work: Work) -> EffectResult | None:
    """What a consumer should do: work, then the effect, and the message is deleted only once both are done."""
    return await work.effect(work.process)


async def delete_first(work: Work) -> EffectResult | None:
    """Broken on purpose: who dies between the delete and the effect has lost the message for good."""
    await work.delete()
    return await work.effect(work.process)


async def effect_first(work: Work) -> EffectResult | None:
    """Broken on purpose: applies the effect before the work that may still fail; a message that fails has had it."""
    outcome = await work.effect()
    await work.process()
    return outcome


async def no_op(work: Work) -> EffectResult | None:
    """Nothing, for measuring all the rest. It looks at nothing, so poison does not stop it, and records no effect."""
    return None


HANDLERS: Mapping[str, Handler] = {
    "reference": Handler(handle=reference),
    "effect-first": Handler(handle=effect_first),
    "delete-first": Handler(
        handle=delete_first,
        poison_returns=False,
        deletes_itself=True,
        wrong_on={"stream": "a stream's records are not deleted; what is as wrong there is `checkpoint: before`"},
    ),
    "no-op": Handler(handle=no_op, has_effects=False, poison_returns=False),
}


def facts_of(handler: object) -> HandlerFacts | None:
    """Of a handler of ours by its name, None where there is none of that name; of anything else those of somebody
    else's, which is taken to do what a handler is there for."""
    return HANDLERS.get(handler) if isinstance(handler, str) else HandlerFacts()

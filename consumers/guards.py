"""The guards around an effect, and where each breaks.

`step` is called at the two places where a crash tells guards apart: "before-effect", after whatever the guard looks at
or puts first, and "after-effect", before whatever it puts last. A guard that skips never reaches the second.

| guard | breaks |
|---|---|
| none | on any second delivery: the effect is applied twice |
| check-then-act | on a crash after the effect, and when two consumers hold the message at once: applied twice |
| claim-first | on a crash after the claim: the next delivery is skipped, the effect is missing for ever |
| transaction | never: mark and effect are one atomic write |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from consumers.effects import EffectStore, Key
from history.events import EffectResult

Step = Callable[[str], None]


class Guard(Protocol):
    async def __call__(self, store: EffectStore, key: Key, step: Step) -> EffectResult: ...


async def none(store: EffectStore, key: Key, step: Step) -> EffectResult:
    """No guard: any second delivery applies the effect twice."""
    step("before-effect")
    await store.apply(key)
    step("after-effect")
    return "applied"


async def check_then_act(store: EffectStore, key: Key, step: Step) -> EffectResult:
    """Looks for a mark, then acts, then marks: a crash or a second consumer in between applies the effect twice."""
    if await store.seen(key):
        return "skipped"
    step("before-effect")
    await store.apply(key)
    step("after-effect")
    await store.claim(key)
    return "applied"


async def claim_first(store: EffectStore, key: Key, step: Step) -> EffectResult:
    """Marks first, then acts: never twice, but a crash after the mark leaves the effect missing for ever."""
    if not await store.claim(key):
        return "skipped"
    step("before-effect")
    await store.apply(key)
    step("after-effect")
    return "applied"


async def transaction(store: EffectStore, key: Key, step: Step) -> EffectResult:
    """Mark and effect in one atomic write: each effect exactly once."""
    # Whether the effect is done already is known only inside the write, so this place is reached by every delivery.
    step("before-effect")
    if not await store.claim_and_apply(key):
        return "skipped"
    step("after-effect")
    return "applied"


GUARDS: Mapping[str, Guard] = {
    "none": none,
    "check-then-act": check_then_act,
    "claim-first": claim_first,
    "transaction": transaction,
}

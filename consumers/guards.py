"""The guards around a message's work and its effect, and where each breaks.

The work lies inside the guard, where handlers have it: a mark is looked up or put, then comes the work, which may take
long, then the effect, then the last mark. `transaction` alone has nothing to put first: it works, and mark and effect
are then one write.

`step` is called at the two places where a crash tells guards apart: "before-effect", after the work and right before
the effect is written, and "after-effect", before whatever a guard puts last. A guard that skips never reaches the
second. On a crash right after the effect `in-progress` applies it twice, as `check-then-act` does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from gameday.consumers.effects import EffectStore, Key
from gameday.history.clock import NS_PER_S
from gameday.history.events import EffectResult
from gameday.processes.handler_process import HandlerFailed
from gameday.transports.base import CallFailed


class InProgress(HandlerFailed):
    """Somebody else has begun the message and may still end it: it fails this time, and must come again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What a guard stands around: the `work` on one message, and the effect under `key`.

    `expiry_s` is how long a mark of `in-progress` keeps others away; `now` tells the time of the run in ns.
    """

    store: EffectStore
    key: Key
    work: Callable[[], Awaitable[None]]
    step: Callable[[str], None]
    now: Callable[[], int]
    expiry_s: float | None = None

    async def act(self) -> None:
        """The effect, with the places around it where a crash may strike."""
        self.step("before-effect")
        await self.store.apply(self.key)
        self.step("after-effect")


@dataclass(frozen=True, kw_only=True, slots=True)
class Guard:
    """A guard of ours, called as its function is, and what is told of it.

    `breaks` says when, for people. `marks_expire`: a scenario must say after how long (`Job.expiry_s`).
    """

    stand_around: Callable[[Job], Awaitable[EffectResult]]
    breaks: str
    marks_expire: bool = False

    async def __call__(self, job: Job) -> EffectResult:
        """Errors: CallFailed of the store, and whatever the work raises."""
        return await self.stand_around(job)


async def none(job: Job) -> EffectResult:
    """No guard: any second delivery applies the effect twice."""
    await job.work()
    await job.act()
    return "applied"


async def check_then_act(job: Job) -> EffectResult:
    """Looks for a mark, works, acts, then marks: a crash or a second consumer in between applies the effect twice."""
    if await job.store.seen(job.key):
        return "skipped"
    await job.work()
    await job.act()
    await job.store.claim(job.key)
    return "applied"


async def claim_first(job: Job) -> EffectResult:
    """Marks, then works and acts: never twice, but a crash after the mark leaves the effect missing for ever."""
    if not await job.store.claim(job.key):
        return "skipped"
    await job.work()
    await job.act()
    return "applied"


async def in_progress(job: Job) -> EffectResult:
    """Marks as begun, works, acts, marks as done; a mark that says begun keeps others away until it expires.

    It is how the idempotency utility of Powertools for AWS Lambda works
    (docs.aws.amazon.com/powertools/python/latest/utilities/idempotency): what finds the message begun fails and comes
    again, and work that fails takes its mark away, so that the retry may begin at once.
    """
    assert job.expiry_s is not None, "a scenario with this guard says when its mark expires"
    now_ns = job.now()
    match await job.store.begin(job.key, now_ns=now_ns, expires_ns=now_ns + round(job.expiry_s * NS_PER_S)):
        case "done":
            return "skipped"
        case "in-progress":
            raise InProgress(f"{job.key.id} is in progress elsewhere")
    try:
        await job.work()
        await job.act()
    except Exception:
        # A store in trouble keeps the mark, which then expires: what matters is the first error.
        with contextlib.suppress(CallFailed):
            await job.store.forget(job.key)
        raise
    await job.store.finish(job.key)
    return "applied"


async def transaction(job: Job) -> EffectResult:
    """Mark and effect in one atomic write: each effect exactly once."""
    await job.work()
    # Whether the effect is done already is known only inside the write, so this place is reached by every delivery.
    job.step("before-effect")
    if not await job.store.claim_and_apply(job.key):
        return "skipped"
    job.step("after-effect")
    return "applied"


GUARDS: Mapping[str, Guard] = {
    "none": Guard(stand_around=none, breaks="on any second delivery: the effect is applied twice"),
    "check-then-act": Guard(
        stand_around=check_then_act,
        breaks="on a crash after the effect, or a second delivery while the first still works: applied twice",
    ),
    "claim-first": Guard(
        stand_around=claim_first,
        breaks="on a crash or a failure after the claim, the work included: the effect is missing for ever",
    ),
    "in-progress": Guard(
        stand_around=in_progress,
        breaks="mark expires during the work, or a crash after it: twice; it outlives a dead holder's retries: missing",
        marks_expire=True,
    ),
    "transaction": Guard(
        stand_around=transaction,
        breaks="never: mark and effect are one atomic write (the work before it may be done twice)",
    ),
}

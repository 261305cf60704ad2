"""Bodies that stand in objects: a consumer fetches what a reference names, and removes it when it is told to.

Each question is recorded with its answer, each removal before and after its call. Rules of a bucket count in days, so a
run whose objects are to live for seconds plays such a rule, and whoever looks at one that is older removes it first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

from gameday.history import claim_check, events
from gameday.history.claim_check import Reference
from gameday.history.clock import NS_PER_S
from gameday.history.writer import Writer
from gameday.transports.base import Answer, Call, CallFailed
from gameday.transports.objects import SERVICE, is_gone

# When an object is removed: never, once its message is deleted or, wrongly, before that.
Removal = Literal["keep", "after-settle", "before-settle"]


class Objects:
    """`expire_s`: how long an object lives, where that is played; None: as long as its bucket lets it."""

    def __init__(
        self, *, carry: Callable[[Call], Awaitable[Answer]], writer: Writer, expire_s: float | None = None
    ) -> None:
        self._carry = carry
        self._writer = writer
        self._expire_s = expire_s

    async def fetch(self, reference: Reference) -> bytes | None:
        """None: there is no such object. Errors: CallFailed, HistoryError."""
        try:
            answer = await self._carry(
                Call(SERVICE, "GetObject", {"Bucket": reference.bucket, "Key": reference.object})
            )
            async with answer["Body"] as stream:
                body: bytes = await stream.read()
        except CallFailed as failed:
            if is_gone(failed):
                return None
            raise
        except Exception as error:
            raise CallFailed(type(error).__name__, f"the body broke off: {error}", definite=False) from error
        stored_ns = (answer.get("Metadata") or {}).get(claim_check.STORED_NS)
        if self._expire_s is not None and stored_ns is not None:
            age_ns = self._writer.clock.now_ns() - int(stored_ns)
            if age_ns > self._expire_s * NS_PER_S:
                await self.remove(reference, id=reference.id)
                return None
        return body

    async def remove(
        self, reference: Reference, *, id: str, subscription: str | None = None, consumer: str | None = None
    ) -> None:
        """Errors: HistoryError."""
        intent = events.removing(id=id, object=reference.object, subscription=subscription, consumer=consumer)
        self._writer.write(intent)
        started = self._writer.clock.now_ns()
        try:
            await self._carry(Call(SERVICE, "DeleteObject", {"Bucket": reference.bucket, "Key": reference.object}))
        except CallFailed as failed:
            self._writer.write(events.removed(intent, started=started, outcome=failed.outcome, error=str(failed)))
        else:
            self._writer.write(events.removed(intent, started=started, outcome="ok"))

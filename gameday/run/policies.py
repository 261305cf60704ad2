"""The run's queues as a fault may impair them: a Deny in a queue's policy, with an undo record before it stands there.

It promises that one change of a policy is over before the next one reads it, that none is left half done when the run
is interrupted, and that a denial which could not be taken out again is told, and stays on record for `gameday recover`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from gameday.processes.undo import Pending, Undo
from gameday.run.uninterrupted import to_the_end
from gameday.transports import queue_policy
from gameday.transports.base import Answer, Call, CallFailed
from gameday.transports.carriers.boto import run_plan
from gameday.transports.queue_policy import Action, statement_id

_TRIES = 3
_PAUSE_S = 1.0


class Policies:
    """The `QueueControl` of a run. `queues`: their URLs, by subscription; `settle_s`: how long a change may take."""

    def __init__(
        self, queues: Mapping[str, str], carry: Callable[[Call], Answer], *, run: str, undo: Undo, settle_s: float
    ) -> None:
        self._queues = queues
        self._carry = carry
        self._run = run
        self._undo = undo
        self._settle_s = settle_s
        # By subscription and instance: what the policy was, where that is known.
        self._standing: dict[tuple[str, str], tuple[Pending, str]] = {}
        self._changing = asyncio.Lock()

    @property
    def subscriptions(self) -> Sequence[str]:
        return list(self._queues)

    def name(self, subscription: str) -> str:
        return self._queues[subscription].rpartition("/")[2]

    async def deny(self, subscription: str, *, instance: str, actions: Sequence[Action]) -> None:
        """Errors: CallFailed, HistoryError."""
        await to_the_end(self._deny(subscription, instance, actions))

    async def allow(self, subscription: str, *, instance: str) -> str | None:
        return await to_the_end(self._allow(subscription, instance))

    async def settle(self) -> None:
        await asyncio.sleep(self._settle_s)

    async def _deny(self, subscription: str, instance: str, actions: Sequence[Action]) -> None:
        queue, sid = self._queues[subscription], statement_id(self._run, instance)
        async with self._changing:
            pending = self._undo.will("policy", queue=queue, sid=sid)
            self._standing[subscription, instance] = pending, ""
            plan = queue_policy.deny(queue, sid=sid, actions=actions)
            before = await asyncio.to_thread(run_plan, plan, self._carry)
            self._standing[subscription, instance] = pending, before
            # So that whoever comes after a killed conductor can give it back letter by letter, too.
            pending.now(before=before)

    async def _allow(self, subscription: str, instance: str) -> str | None:
        if (standing := self._standing.get((subscription, instance))) is None:
            return None
        (pending, before), queue = standing, self._queues[subscription]
        async with self._changing:
            for left in reversed(range(_TRIES)):
                plan = queue_policy.allow(queue, sid=statement_id(self._run, instance), before=before)
                try:
                    await asyncio.to_thread(run_plan, plan, self._carry)
                except CallFailed as failed:
                    why = failed
                else:
                    pending.done()
                    del self._standing[subscription, instance]
                    return None
                if left:
                    await asyncio.sleep(_PAUSE_S)
        return f"{queue} may still deny what it denied ({why}); `gameday recover` takes that out of its policy"

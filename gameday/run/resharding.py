"""Resharding: the run's stream as a fault may reshape it, over the carrier of the control plane.

All subscriptions read one stream, so there is one of these in a run, whichever subscription's source it was made from.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from gameday.transports.base import Answer, Call, ReshardAction, Resharding, StreamSource
from gameday.transports.carriers.boto import run_plan


class Resharder:
    """The `StreamControl` of a stream."""

    def __init__(
        self,
        stream: StreamSource,
        carrier: Callable[[Call], Answer],
        *,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        """`pause`: how it waits where the service wants that."""
        self._pause = pause
        self._stream = stream
        self._carrier = carrier
        # One change at a time: a second one must see the shards that the first has left.
        self._changing = asyncio.Lock()

    async def reshard(self, action: ReshardAction) -> Resharding:
        """Errors: CallFailed."""
        async with self._changing:
            return await asyncio.to_thread(run_plan, self._stream.reshard(action), self._carrier, pause=self._pause)

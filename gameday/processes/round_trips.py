"""Asks for the time of another clock, some round trips in a row; what they prove is told in clock_sync.py.

It promises that a round trip counts for the one measurement in which it was sent, and that measuring ends, with few or
no round trips where little comes back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from gameday.processes.clock_sync import RoundTrip

# Between two measurements of a host: in so long a time its clock may drift by 5 ms.
MEASURE_S = 5.0
_TRIPS, _APART_S, _WITHIN_S = 20, 0.02, 10.0
_WAIT_S = 1.0


class RoundTrips:
    """`send` asks the other clock once: its message carries what `sending` gives, and so does the answer. `now_ns` is
    the clock that times them: CLOCK_MONOTONIC, until the host has a better one."""

    def __init__(self, send: Callable[[], Awaitable[None]], *, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._send = send
        self._now_ns = now_ns
        # When those on their way were sent, and what became of the others.
        self._sent: set[int] = set()
        self._trips: list[RoundTrip] = []
        self._came_back = asyncio.Event()

    def by(self, now_ns: Callable[[], int]) -> None:
        """From now on they are timed by another clock; those on their way are forgotten."""
        self._now_ns = now_ns
        self._sent.clear()

    def sending(self) -> int:
        sent_ns = self._now_ns()
        self._sent.add(sent_ns)
        return sent_ns

    def came_back(self, *, sent_ns: int, there_ns: int) -> None:
        """The answer to what was sent at `sent_ns` has come, at this moment; the other clock showed `there_ns`."""
        received_ns = self._now_ns()
        if sent_ns in self._sent:
            self._sent.discard(sent_ns)
            self._trips.append(RoundTrip(sent_ns=sent_ns, there_ns=there_ns, received_ns=received_ns))
            self._came_back.set()

    async def made(self) -> list[RoundTrip]:
        """Some in a row, from now on; none where nothing comes back."""
        self._trips.clear()
        self._sent.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(_WITHIN_S):
                while len(self._trips) < _TRIPS:
                    self._came_back.clear()
                    await self._send()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._came_back.wait(), _WAIT_S)
                    await asyncio.sleep(_APART_S)
        return list(self._trips)

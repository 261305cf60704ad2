"""The replay: what an archive has kept of the load is sent to all subscriptions once more, when the load is over.

It promises that the history tells of it, before it is started and when it has ended, with its name, the time that it
covers and whether it ran to its end; and that one which does not end is given up, not waited for without limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gameday.history import events
from gameday.history.clock import NS_PER_S
from gameday.history.events import SendResult
from gameday.history.writer import Writer
from gameday.transports.base import Addresses, Answer, Call, CallFailed, Replayer, ReplayState

_LOOK_AGAIN_S = 0.5
# A replay that was refused is asked for again: an archive may need a moment before it can be replayed.
_REFUSED_S = 10.0


class Replay:
    """One replay of everything since `since_ns` (the run's clock). `carry` is called from threads."""

    def __init__(
        self,
        *,
        transport: Replayer,
        addresses: Addresses,
        name: str,
        since_ns: int,
        carry: Callable[[Call], Answer],
        writer: Writer,
    ) -> None:
        self._transport = transport
        self._addresses = addresses
        self._name = name
        # An event carries its time in whole seconds: both ends are those that its second lies between.
        self._since_s = since_ns // NS_PER_S
        self._until_s = -(-writer.clock.now_ns() // NS_PER_S)
        self._carry = carry
        self._writer = writer

    async def run(self, *, patience_s: float, tell: Callable[[str], None]) -> str | None:
        """Replay to the end; gives why it did not come to it, None if it did.

        It gives up when the replay has come no further for `patience_s`. Errors: HistoryError.
        """
        since_ns, until_ns = self._since_s * NS_PER_S, self._until_s * NS_PER_S
        self._writer.write(events.mark("replay-started", replay=self._name, since=since_ns, until=until_ns))
        outcome, why = await self._to_its_end(patience_s, tell)
        self._writer.write(events.mark("replay-ended", replay=self._name, outcome=outcome))
        return why

    async def _to_its_end(self, patience_s: float, tell: Callable[[str], None]) -> tuple[SendResult, str | None]:
        refusal = await self._start()
        if refusal is not None and refusal.definite:
            return "failed", f"it could not be started: {refusal}"
        now = asyncio.get_running_loop().time
        seen, moved_at = None, now()
        why = "nothing is known of it"
        while now() < moved_at + patience_s:
            try:
                found = await self._look()
            except CallFailed as error:
                why = str(error)
            else:
                if found.outcome is not None:
                    return (
                        found.outcome,
                        None if found.outcome == "ok" else f"{found.state}: {found.why or 'no reason'}",
                    )
                if found != seen:
                    seen, moved_at = found, now()
                why = f"{found.state} for {patience_s:g} s and no further"
                tell(found.state.lower())
            await asyncio.sleep(_LOOK_AGAIN_S)
        return "unknown", why

    async def _start(self) -> CallFailed | None:
        """Start it; gives the failure. One that may have started it all the same is not tried again."""
        call = self._transport.start_replay(
            self._addresses, name=self._name, since_s=self._since_s, until_s=self._until_s
        )
        now = asyncio.get_running_loop().time
        give_up = now() + _REFUSED_S
        while True:
            try:
                await asyncio.to_thread(self._carry, call)
                return None
            except CallFailed as failure:
                if not failure.definite or now() > give_up:
                    return failure
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def _look(self) -> ReplayState:
        call = self._transport.describe_replay(self._name)
        return self._transport.replay_of(await asyncio.to_thread(self._carry, call))

"""The wires of a run, one for each subscription, as the conductor asks them: how far a stream is read."""

from __future__ import annotations

from gameday.consumers.leases import Lease
from gameday.processes.child import Child
from gameday.transports.base import CallFailed

_ANSWER_S = 5.0


class Wires:
    """By subscription. What programs of the user's have read of a shard stands in no lease of ours; the wire saw it."""

    def __init__(self) -> None:
        self.children: dict[str, Child] = {}
        self._read_dead_letters = False

    async def all(self, subscription: str) -> list[Lease]:
        """Where each shard is read now, as leases. Errors: CallFailed."""
        wire = self.children.get(subscription)
        if wire is None:
            return []
        await wire.command("positions")
        answer = await wire.report("positions", timeout_s=_ANSWER_S)
        if answer is None:
            raise CallFailed("NoAnswer", f"the wire of {subscription} does not say how far it is read", definite=False)
        return [
            Lease(subscription=subscription, shard=told["shard"], position=told["read_to"], done=told["done"])
            for told in answer["positions"]
        ]

    async def read_dead_letters(self) -> bool:
        """Whether a program works off dead letters by itself, so that these are something left to do."""
        for wire in self.children.values():
            self._read_dead_letters |= await wire.report("reads-dead-letters", timeout_s=0) is not None
        return self._read_dead_letters

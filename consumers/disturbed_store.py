"""An effect store as its consumer sees it while a fault stands between them: slow, down, or on a full disk.

It promises that a step which is refused has changed nothing, and that one which is slow does what it does at its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gameday.consumers.effects import Begun, EffectStore, Key
from gameday.processes.disturbances import Disturbances
from gameday.transports.base import CallFailed


class DisturbedStore:
    """The EffectStore `store`, of the consumer with that name; `on_disk`: it stands on a disk of the consumer's. With
    nothing armed each step is the store's own."""

    def __init__(self, store: EffectStore, disturbances: Disturbances, *, name: str, on_disk: bool = False) -> None:
        self._store = store
        self._disturbances = disturbances
        self._name = name
        self._on_disk = on_disk
        self._steps = 0

    async def create(self, *, tags: Mapping[str, str]) -> None:
        await self._store.create(tags=tags)

    async def open(self) -> None:
        await self._store.open()

    async def seen(self, key: Key) -> bool:
        self._reach()
        return await self._store.seen(key)

    async def claim(self, key: Key) -> bool:
        await self._write()
        return await self._store.claim(key)

    async def begin(self, key: Key, *, now_ns: int, expires_ns: int) -> Begun:
        await self._write()
        return await self._store.begin(key, now_ns=now_ns, expires_ns=expires_ns)

    async def finish(self, key: Key) -> None:
        await self._write()
        await self._store.finish(key)

    async def forget(self, key: Key) -> None:
        await self._write()
        await self._store.forget(key)

    async def apply(self, key: Key) -> None:
        await self._write()
        await self._store.apply(key)

    async def claim_and_apply(self, key: Key) -> bool:
        await self._write()
        return await self._store.claim_and_apply(key)

    async def read_back(self, subscription: str) -> Mapping[str, int]:
        return await self._store.read_back(subscription)

    async def remove(self) -> None:
        await self._store.remove()

    async def close(self) -> None:
        await self._store.close()

    def _reach(self) -> None:
        """Errors: CallFailed where it is down."""
        self._steps += 1
        if self._disturbances.struck("store-down", self._dice):
            raise CallFailed("StoreDown", "the store cannot be reached (store-down)", definite=True)

    async def _write(self) -> None:
        """Errors: CallFailed where it is down, or there is no room."""
        self._reach()
        if self._on_disk and self._disturbances.struck("full-disk", self._dice):
            raise CallFailed("OperationalError", "database or disk is full", definite=True)
        if (slow := self._disturbances.struck("slow-store", self._dice)) is not None:
            await asyncio.sleep(slow.seconds)

    @property
    def _dice(self) -> str:
        """What a fault rolls its dice on, where there is one."""
        return f"{self._name}:{self._steps}" if self._disturbances.armed else ""

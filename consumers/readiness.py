"""When a program of the user's counts as ready: it polls, it has said so in its log, or it answers over HTTP."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

_LOOK_AGAIN_S = 0.1
_HTTP_S = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """`log`: a text that it writes; `http`: a URL that then answers with a status below 400; neither: it polls."""

    log: str | None = None
    http: str | None = None

    async def wait(self, log: Path, polls: Callable[[float], Awaitable[bool]], timeout_s: float) -> bool:
        """Whether it becomes ready in time. `polls` waits, so many seconds, until it has polled."""
        if self.log is None and self.http is None:
            return await polls(timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                while not await asyncio.to_thread(self._looks_ready, log):  # noqa: ASYNC110  # there is no event in a foreign program
                    await asyncio.sleep(_LOOK_AGAIN_S)
        except TimeoutError:
            return False
        return True

    def _looks_ready(self, log: Path) -> bool:
        if self.log is not None:
            return log.exists() and self.log.encode() in log.read_bytes()
        assert self.http is not None
        try:
            with urllib.request.urlopen(self.http, timeout=_HTTP_S):
                return True
        except (urllib.error.URLError, OSError, ValueError):
            return False

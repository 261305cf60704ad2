"""A consumer as the wire knows it: by the port it was given, with the faults that stand there and what it holds."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress

from gameday.processes import control, proc
from gameday.processes.disturbances import Buckets, Disturbances


class Client:
    """`pid` is that of its process, once it is known; a program that forks is a process group of that number. `lasts`:
    it was there before the run and goes on after it.

    `buckets`: the limits that it shares with the others.
    """

    def __init__(self, *, name: str, port: int, now: Callable[[], int], buckets: Buckets | None = None) -> None:
        self.name = name
        self.port = port
        self.pid: int | None = None
        self.lasts = False
        self.disturbances = Disturbances(
            lambda instance: control.report("fired", consumer=name, instance=instance), buckets
        )
        self.calls = 0
        self._now = now
        self._polled = False
        self._held: dict[str, int] = {}
        self._tell_holding = False

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def polls(self) -> None:
        """It asks for messages; the first time that is news."""
        if not self._polled:
            self._polled = True
            control.report("polls", consumer=self.name)

    def took(self, receipts: Iterable[str], until: int) -> None:
        """It has these messages now, hidden from others until that moment (ns); of a stream, for good."""
        self._held |= dict.fromkeys(receipts, until)
        if self._tell_holding:
            self.tell_when_holding()

    def keeps(self, receipt: str, until: int) -> None:
        if receipt in self._held:
            self._held[receipt] = until

    def gave_back(self, receipt: str) -> None:
        self._held.pop(receipt, None)

    def held_until(self, receipt: str) -> int | None:
        """When its hold on that message ends; None where it has none."""
        until = self._held.get(receipt)
        return until if until is not None and until > self._now() else None

    @property
    def holding(self) -> int:
        now = self._now()
        self._held = {receipt: until for receipt, until in self._held.items() if until > now}
        return len(self._held)

    def tell_when_holding(self) -> None:
        """Report how many messages it holds, now or as soon as there is one."""
        holding = self.holding
        self._tell_holding = not holding
        if holding:
            control.report("holding", consumer=self.name, messages=holding)

    @property
    def killable(self) -> bool:
        """Whether its process is known, and may be killed by this user."""
        if self.pid is None:
            return False
        try:
            os.kill(self.pid, 0)
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """End it as a power cut would, with all that it has started where it leads a session of its own."""
        if self.pid is not None:
            # A consumer that runs already may be in a session of somebody else's, a shell's for example.
            leads = _session_of(self.pid) == self.pid
            with suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)
            if leads:
                proc.signal_session(self.pid, signal.SIGKILL)

    def wake(self) -> None:
        """Let one that a fault has stopped go on."""
        if self.pid is not None:
            with suppress(OSError):
                os.kill(self.pid, signal.SIGCONT)


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None

"""The processes of a run, found again without the conductor that started them, woken and ended (Linux).

It promises to signal none but those: a process is known by its number and the moment at which it began, held fast
while it is signalled, so that one which has the number later is never touched. What processes of the run have started
is found by the session that these lead, and by the mark that all of them inherit (gameday/processes/undo.py).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gameday.processes import proc
from gameday.processes.undo import MARK

_LOOK_AGAIN_S = 0.05
# What is started while the others are being ended is ended in the next round.
_ROUNDS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """`began` as gameday/processes/proc.py tells it."""

    pid: int
    began: str
    name: str

    @property
    def described(self) -> str:
        return f"{self.name} (process {self.pid})"

    @property
    def lives(self) -> bool:
        return proc.lives(self.pid) and proc.began(self.pid) == self.began

    def signal(self, number: signal.Signals) -> None:
        """One that is gone, or is not ours to signal, gets none: whether it did what it should is seen by `lives`."""
        with suppress(ProcessLookupError, PermissionError):
            held = os.pidfd_open(self.pid)
            try:
                if proc.began(self.pid) == self.began:
                    signal.pidfd_send_signal(held, number)
            finally:
                os.close(held)


def family(directory: str, known: Iterable[Process]) -> list[Process]:
    """Who lives of a run: those of `known`, who is in a session that one of them leads, and who carries the mark of
    the run in that directory. This process is never one of them."""
    found = {process.pid: process for process in known if process.lives}
    leaders = {pid: process.name for pid, process in found.items()}
    for pid in proc.pids():
        led_by = leaders.get(proc.session(pid) or 0)
        if pid in found or pid == os.getpid() or not proc.lives(pid):
            continue
        if led_by is not None or proc.variable(pid, MARK) == directory:
            began = proc.began(pid)
            if began is not None:
                of = f", which {led_by} had started" if led_by is not None else ", which the run had started"
                found[pid] = Process(pid=pid, began=began, name=f"{_called(pid)}{of}")
    return list(found.values())


def end(directory: str, known: Sequence[Process], *, term_s: float, kill_s: float) -> list[Process]:
    """End all of them: SIGTERM, which who is stopped gets as it wakes, and SIGKILL for who lives `term_s` later. Gives
    whom it found; who is not gone `kill_s` after that still `lives`."""
    ended: dict[int, Process] = {}
    for _ in range(_ROUNDS):
        living = family(directory, known)
        ended |= {process.pid: process for process in living}
        if not living:
            break
        for process in living:
            process.signal(signal.SIGTERM)
            process.signal(signal.SIGCONT)
        if not _gone(living, term_s):
            for process in living:
                process.signal(signal.SIGKILL)
            if not _gone(living, kill_s):
                break
    return list(ended.values())


def _gone(processes: Sequence[Process], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while any(process.lives for process in processes):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_AGAIN_S)
    return True


def _called(pid: int) -> str:
    """The name of its program, for people."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip() or "a process"
    except OSError:
        return "a process"

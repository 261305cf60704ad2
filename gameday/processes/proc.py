"""What the kernel tells of a process: whether it lives, and what tells it from another that has its number later.

Linux has it in /proc. Where there is none, no process is known to live, and so none is ever touched by its number.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def stat(pid: int) -> list[str]:
    """The kernel's account of a process, from its state on. Errors: OSError where there is none."""
    # The state stands behind the name, which may hold anything, a bracket too.
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def state(pid: int) -> str | None:
    """The letter that the kernel has for it, `T` for one that is stopped; None where there is no such process."""
    try:
        return stat(pid)[0]
    except OSError:
        return None


def lives(pid: int) -> bool:
    """Whether there is such a process; one that waits to be reaped is none."""
    return state(pid) not in (None, "Z", "X")


def began(pid: int) -> str | None:
    """When it began, in ticks since the machine did: with its number, no other process of this boot has that."""
    try:
        return stat(pid)[19]
    except OSError:
        return None


def session(pid: int) -> int | None:
    """The session that it is in, which is called by the number of the process that leads it."""
    try:
        return int(stat(pid)[3])
    except OSError:
        return None


def pids() -> Iterator[int]:
    """Every process that there is."""
    with suppress(FileNotFoundError):
        yield from [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]


def members(leader: int) -> list[int]:
    """Who is in the session that a process leads, in whatever group of it, but the leader.

    What has left the session is not found.
    """
    return [pid for pid in pids() if pid != leader and session(pid) == leader]


def signal_session(leader: int, number: signal.Signals) -> None:
    """To its `members`."""
    for pid in members(leader):
        with suppress(OSError):
            os.kill(pid, number)


def variable(pid: int, name: str) -> str | None:
    """What a variable said when the process's program began; None where nobody may know, or it has none."""
    try:
        block = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    wanted = f"{name}=".encode()
    found = next((entry for entry in block.split(b"\0") if entry.startswith(wanted)), None)
    return None if found is None else os.fsdecode(found[len(wanted) :])


def numbering() -> str:
    """Tells apart the machines, boots and containers that number processes each for itself."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""

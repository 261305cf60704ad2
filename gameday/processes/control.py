"""The control line between the conductor and a process that it started: commands down, reports up, and a lifeline.

Commands are JSON lines on the child's standard input, reports are JSON lines on its standard output. End of file on
the input means that the conductor is gone: the child drains and exits. A child that is stopped (SIGSTOP) cannot read
that, so it asks the kernel to send it SIGCONT when its parent dies: no killed conductor leaves a frozen process.

A command to a consumer, or to the wire about one (gameday/wire/__main__.py), is one of:

    {"do": "arm", "disturbance": {…}}       start disturbing (the answer is {"report": "armed", "instance": …})
    {"do": "disarm", "instance": "…"}       stop; the answer says how often it fired:
                                            {"report": "disarmed", "instance": …, "fired": n}
    {"do": "tell-when-holding"}             answer {"report": "holding", "messages": n} once a message is in hand

and a process reports on its own: {"report": "ready"} when it does its work, {"report": "fired", "instance": …} the
first time that an armed disturbance strikes: at once, for that evidence must survive a process that dies of it; and
{"report": "foreign", "receipts": […]} when a consumer was given messages of others, which it keeps out of sight.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable

import orjson

_PR_SET_PDEATHSIG = 1


def report(kind: str, **fields: object) -> None:
    """Send one report to the conductor; silent when it is gone (the end of standard input tells that)."""
    line = orjson.dumps({"report": kind, **fields}) + b"\n"
    try:
        os.write(sys.stdout.fileno(), line)
    except (OSError, ValueError):
        return


def when_input_ends(call: Callable[[], object]) -> None:
    """Call `call`, from a thread of its own, at the end of standard input: for processes that take no commands."""

    def wait() -> None:
        try:
            while os.read(0, 4096):
                pass
        except OSError:
            pass  # an input that cannot be read has ended
        call()

    threading.Thread(target=wait, name="end of input", daemon=True).start()


def told_to_end() -> threading.Event:
    """Set by SIGTERM, SIGINT and the end of standard input: for processes that take no commands."""
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    continue_when_orphaned()
    when_input_ends(over.set)
    return over


def continue_when_orphaned() -> None:
    """Ask the kernel for SIGCONT when the parent dies (Linux only; elsewhere nothing happens)."""
    die_with_parent(signal.SIGCONT)


def die_with_parent(number: signal.Signals) -> None:
    """Ask the kernel to send this process `number` when its parent dies (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number))

"""What the Python programs do with an order: the work, and its effect in the directory EFFECTS.

An effect that happens once is the creation of EFFECTS/KEY, by a link that fails where the file is there. One that
nothing guards is a line more in it.
"""

import contextlib
import json
import os
import time
from pathlib import Path

EFFECTS = Path(os.environ["EFFECTS"])
WORK_S = float(os.environ.get("WORK_MS", "0")) / 1000


def variant(*known: str) -> str:
    chosen = os.environ.get("VARIANT", "correct")
    if chosen not in known:
        raise SystemExit(f"VARIANT: no {chosen}; known are {', '.join(known)}")
    return chosen


def key_of(text: str) -> str:
    body = json.loads(text)
    order = body.get("orderId")
    return str(body["detail"]["metadata"]["id"] if order is None else order)


def work(key: str, *, guarded: bool) -> None:
    """Half of the work, the effect, the other half: a process may die before its effect or after it."""
    time.sleep(WORK_S / 2)
    _apply(key, guarded=guarded)
    time.sleep(WORK_S / 2)


def _apply(key: str, *, guarded: bool) -> None:
    line = f"{os.getpid()}\n"
    if not guarded:
        with (EFFECTS / key).open("a") as file:
            file.write(line)
        return
    written = EFFECTS / f".{key}.{os.getpid()}"
    written.write_text(line)
    with contextlib.suppress(FileExistsError):
        (EFFECTS / key).hardlink_to(written)
    written.unlink()

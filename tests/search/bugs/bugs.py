"""Handlers that look right, and each break exactly-once-effect where two conditions meet; alone both are harmless.

They keep effects and marks in a SQLite database of the run. A mark says that a message was done.
"""

import json
import os
import sqlite3
import time
from pathlib import Path

WORK_S = 0.02

_db = sqlite3.connect(Path(os.environ["GAMEDAY_EFFECTS"], "bugs.db"), timeout=10, isolation_level=None)
_db.execute("CREATE TABLE IF NOT EXISTS effects (id TEXT)")
_db.execute("CREATE TABLE IF NOT EXISTS marks (id TEXT PRIMARY KEY, start INTEGER)")
_db.execute("CREATE TABLE IF NOT EXISTS begun (id TEXT PRIMARY KEY, at REAL)")
_db.execute("CREATE TABLE IF NOT EXISTS starts (at REAL)")


def _done(id):
    return _db.execute("SELECT start FROM marks WHERE id = ?", (id,)).fetchone()


def _apply(id, start=0):
    """Effect and mark in one transaction, as it should be."""
    time.sleep(WORK_S)
    _db.execute("BEGIN IMMEDIATE")
    _db.execute("INSERT INTO effects VALUES (?)", (id,))
    _db.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (id, start))
    _db.execute("COMMIT")


def right(message):
    """None of them."""
    if not _done(message["id"]):
        _apply(message["id"])


def third_time(message):
    """It was done, and comes for the third time: "nobody is asked three times for what is done"."""
    if not _done(message["id"]) or message["receives"] > 2:
        _apply(message["id"])


def _started():
    _db.execute("INSERT INTO starts VALUES (?)", (time.time(),))
    return _db.execute("SELECT count(*) FROM starts").fetchone()[0]


_start = _started()


def two_restarts(message):
    """It was done, and comes again after the process was started anew twice: only marks of this start and of the one
    before count."""
    mark = _done(message["id"])
    if mark is None or mark[0] < _start - 1:
        _apply(message["id"], _start)


_trimmed = False


def trimmed(message):
    """It was done some time ago, and comes again after the process was started anew, which keeps the newest marks
    alone."""
    global _trimmed
    if not _trimmed and _start > 1:
        _db.execute("DELETE FROM marks WHERE rowid NOT IN (SELECT rowid FROM marks ORDER BY rowid DESC LIMIT 5)")
    _trimmed = True
    right(message)


_last = time.monotonic()
_unsure = 0


def reconnected(message):
    """It was done, and comes again right after nothing came for a while: then the connection is made anew, and until
    that is done marks are not looked for."""
    global _last, _unsure
    now = time.monotonic()
    if now - _last > 1.2:
        _unsure = 4
    _last = now
    if _unsure:
        _unsure -= 1
        _apply(message["id"])
    else:
        right(message)


def trusted(event, context):
    """It was begun by somebody a moment ago, who then died: "somebody else is at it" """
    mine = []
    for record in event["Records"]:
        id = json.loads(record["body"])["detail"]["metadata"]["id"]
        row = _db.execute("SELECT at FROM begun WHERE id = ?", (id,)).fetchone()
        if _done(id) or (row is not None and time.time() - row[0] < 1.5):
            continue
        _db.execute("INSERT OR REPLACE INTO begun VALUES (?, ?)", (id, time.time()))
        mine.append(id)
    for id in mine:
        _apply(id)

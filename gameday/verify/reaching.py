"""Which dangerous places the messages of a run came to: a claim that held where nothing was ever in danger says little.

Each place (gameday/verify/places/*.sql) gives the messages that came to it. Nothing here changes a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb

from gameday.verify.explaining import kinds_there
from gameday.verify.load import Loaded, in_a_line
from gameday.verify.registry import PLACES

_REACHED = "CREATE TABLE IF NOT EXISTS reached (place VARCHAR, s VARCHAR, id VARCHAR)"
# The table that looking leaves, for who judges in buckets.
RESULTS: Mapping[str, str] = {"reached": "SELECT * FROM reached"}


def look(db: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Make `reached` from the tables, what the checks found there, and its causes (gameday/verify/explaining.py).

    What could not be carried out, by its name, each with the reason.
    """
    failed = {}
    db.execute(_REACHED)
    there = kinds_there(db)
    for place in PLACES.values():
        if place.of and there.isdisjoint(place.of):
            continue
        try:
            db.execute(
                f"INSERT INTO reached BY NAME SELECT DISTINCT '{place.name}' AS place, s, id FROM ({place.sql}\n)"
            )
        except duckdb.Error as error:
            failed[place.name] = in_a_line(error)
    return failed


_COUNTED = """
SELECT coalesce(u.run, m.run, 0) AS run, r.place, count(*) AS messages
FROM reached r LEFT JOIN subs u ON u.s = r.s LEFT JOIN messages m ON r.s IS NULL AND m.id = r.id
GROUP BY ALL
"""
# A send is of no subscription, and stands beside what befell its message on each.
_TOGETHER = """
SELECT u.run, r.place, o.place AS other, count(*) AS messages
FROM reached r
JOIN reached o ON o.id = r.id AND o.place <> r.place AND (o.s = r.s OR o.s IS NULL)
JOIN subs u ON u.s = r.s
GROUP BY ALL ORDER BY ALL
"""
_TELLING = "SELECT DISTINCT u.run, e.s FROM effect_records e JOIN subs u ON u.s = e.s"


def reached(run: Loaded) -> dict[str, dict[str, Any]]:
    """The `reached` of verdict.json: of each place that a message of this run could have come to how many did, and
    which other places they came to as well."""
    telling = {s for (s,) in run.rows(_TELLING)}
    kinds = {(each.kind, run.tag + s in telling) for s, each in run.manifest.subscriptions.items()}
    messages = dict(run.rows(_COUNTED))
    together: dict[str, dict[str, int]] = {}
    for place, other, n in run.rows(_TOGETHER):
        together.setdefault(place, {})[other] = n
    return {
        name: {"messages": messages.get(name, 0), **({"with": together[name]} if name in together else {})}
        for name, place in PLACES.items()
        if any(kind in place.on and (tells or not place.needs_effects) for kind, tells in kinds)
    }

"""Every check by the name of the anomaly that it finds: the files of `checks/`, and nothing else. Adding one is a file.

A check is a query over the tables of `gameday/verify/tables/`. It gives rows (s, id, n, note, other, other_s, line,
other_line): subscription, message, how many it counts there, a word that a claim may ask about; the message that it
suffered from, with its subscription where that is another one; and the `line` of the first record that it counts, with
that of the record that this one suffered from (the copy before, the hold that was still on). The last four may be left
out. Its file opens with one comment,
which is what it finds. One that ends with "legal" finds what AWS may do: it is counted and explained, and violates
nothing by itself. Which claims an anomaly violates stands with the claims (gameday/verify/claims.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    anomaly: str
    sql: str

    @property
    def summary(self) -> str:
        """The comment that its file opens with."""
        lines = []
        for line in self.sql.splitlines():
            if not line.startswith("--"):
                break
            lines.append(line.removeprefix("--").strip())
        return " ".join(lines)

    @property
    def legal(self) -> bool:
        return self.summary.endswith("legal")


def _checks() -> Mapping[str, Check]:
    found = {}
    for path in sorted(files("gameday.verify").joinpath("checks").iterdir(), key=lambda path: path.name):
        if path.name.endswith(".sql"):
            anomaly = path.name.removesuffix(".sql").replace("_", "-")
            found[anomaly] = Check(anomaly=anomaly, sql=path.read_text(encoding="utf-8").strip().rstrip(";"))
    return found


CHECKS: Mapping[str, Check] = _checks()
# What looks at messages of several groups, or at none: on a history that is judged in buckets it reads what was learnt
# from the whole. Every other check may look at one group alone (gameday/verify/buckets.py).
OF_THE_WHOLE = frozenset({"stale-checkpoint", "unidentified", "vacuous"})

"""Every check by the name of the anomaly that it finds. Adding one is one SQL file and one line here.

A check is a query over the tables of `gameday/verify/tables/` that gives rows (s, id, n, note): subscription, message,
how many it counts there, and a word that a claim may ask about. Its file opens with what it finds, in one comment.
Which claims an anomaly violates stands with the claims (gameday/verify/claims.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files


@dataclass(frozen=True)
class Check:
    """`legal`: AWS allows it, so it is counted and explained but violates nothing by itself."""

    anomaly: str
    legal: bool = False

    @cached_property
    def sql(self) -> str:
        name = self.anomaly.replace("-", "_") + ".sql"
        return files("gameday.verify").joinpath("checks", name).read_text(encoding="utf-8").strip().rstrip(";")

    @property
    def summary(self) -> str:
        """The comment that its file opens with."""
        lines = []
        for line in self.sql.splitlines():
            if not line.startswith("--"):
                break
            lines.append(line.removeprefix("--").strip())
        return " ".join(lines)


CHECKS: Mapping[str, Check] = {
    "lost": Check("lost"),
    "unseen": Check("unseen"),
    "vanished": Check("vanished"),
    "lost-on-redrive": Check("lost-on-redrive"),
    "replay-missing": Check("replay-missing"),
    "fanout-missing": Check("fanout-missing"),
    "given-up": Check("given-up"),
    "recovered": Check("recovered", legal=True),
    "phantom": Check("phantom"),
    "corrupt": Check("corrupt"),
    "misrouted": Check("misrouted"),
    "send-duplicate": Check("send-duplicate"),
    "redelivery": Check("redelivery", legal=True),
    "early-redelivery": Check("early-redelivery"),
    "unrecorded-receive": Check("unrecorded-receive", legal=True),
    "stale-delete": Check("stale-delete"),
    "effect-duplicate": Check("effect-duplicate"),
    "effect-missing": Check("effect-missing"),
    "effect-lost": Check("effect-lost"),
    "nonmonotonic-send": Check("nonmonotonic-send"),
    "stored-out-of-order": Check("stored-out-of-order"),
    "nonmonotonic-delivery": Check("nonmonotonic-delivery"),
    "group-overtake": Check("group-overtake"),
    "effect-out-of-order": Check("effect-out-of-order"),
    "dlq-gap": Check("dlq-gap"),
    "child-before-parent": Check("child-before-parent"),
    "stale-checkpoint": Check("stale-checkpoint"),
    "poison-escaped": Check("poison-escaped"),
    "over-received": Check("over-received"),
    "healthy-dead": Check("healthy-dead"),
    "collateral-dead": Check("collateral-dead"),
    "vacuous": Check("vacuous"),
}

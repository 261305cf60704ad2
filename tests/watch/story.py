"""Histories for the tests of the live view: a small language to write one down."""

from __future__ import annotations

from typing import Any

from gameday.history.manifest import Claim, Manifest, Subscription

S = 1_000_000_000
BASE = 1_700_000_000 * S
Fields = dict[str, Any]
History = dict[str, list[Fields]]

FIFO = Subscription(ordered_by="group", visibility_timeout_s=10, max_receives=3, dead_letter=True, dedup_window_s=300)


def manifest(clock_error_ns: int = 0, **subscriptions: Subscription) -> Manifest:
    return Manifest(
        run="r",
        subscriptions=subscriptions or {"orders": FIFO},
        claims=[Claim(claim="no-loss")],
        clock_error_ns=clock_error_ns,
        scenario={"chaos": [{"fault": "kill-consumer"}]},
    )


def moment(tenths: float) -> int:
    """Tenths of a second of the run as the history writes them: nanoseconds of a real epoch."""
    return BASE + round(tenths * S / 10)


class Story:
    """Collects records; `at` is in tenths of a second, so that stories read easily. `c1`, `c2` are consumers."""

    def __init__(self) -> None:
        self.files: History = {}

    def tell(self, file: str, event: str, at: float, /, **fields: Any) -> Story:
        self.files.setdefault(file, []).append({"event": event, "at": moment(at), "by": file, **fields})
        return self

    def intended(self, id: str, at: float = 0, *, attempt: int = 1, **fields: Any) -> Story:
        first = {
            "group": "g",
            "seq": 1,
            "due": moment(at),
            "expect": ["orders"],
            "producer": "p",
            "poison": False,
        }
        return self.tell(
            "load", "intended", at, id=id, attempt=attempt, **({**first, **fields} if attempt == 1 else fields)
        )

    def sent(self, id: str, at: float = 0, outcome: str = "ok", *, attempt: int = 1, **fields: Any) -> Story:
        return self.tell("load", "sent", at, id=id, attempt=attempt, started=moment(at), outcome=outcome, **fields)

    def acked(self, *ids: str) -> Story:
        for id in ids:
            self.intended(id).sent(id)
        return self

    def received(self, id: str, at: float, *, by: str = "c1", batch: str = "", copy: str = "", **fields: Any) -> Story:
        usual = {
            "subscription": "orders", "consumer": by, "batch": batch or f"{by}-{at}", "started": moment(at),
            "broker_id": copy or f"copy of {id}", "receives": 1, "group": "g", "intact": True, "hidden_s": 10,
        }  # fmt: skip
        return self.tell(by, "received", at, id=id, **{**usual, **fields})

    def settle(self, id: str, at: float, action: str, *, by: str = "c1", batch: str, outcome: str | None = "ok",
               answered: float | None = None, **fields: Any) -> Story:  # fmt: skip
        what = {"id": id, "subscription": "orders", "consumer": by, "batch": batch, "action": action,
                "broker_id": f"copy of {id}", **fields}  # fmt: skip
        self.tell(by, "settling", at, **what)
        if outcome is not None:
            self.tell(by, "settled", at if answered is None else answered, started=moment(at), outcome=outcome, **what)
        return self

    def effect(self, id: str, at: float, outcome: str = "applied", *, by: str = "c1", **fields: Any) -> Story:
        usual = {"subscription": "orders", "consumer": by, "batch": f"{by}-{at}", "started": moment(at)}
        return self.tell(by, "effect", at, id=id, outcome=outcome, **{**usual, **fields})

    def mark(self, name: str, at: float, **fields: Any) -> Story:
        return self.tell("conductor", "mark", at, name=name, **fields)

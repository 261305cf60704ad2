"""Random histories of workflows: executions, tasks and tokens, whatever may go wrong, and records that are missing.

Unlike `simulation` nobody is simulated: each record is drawn, mostly as a correct run would have it, so that what both
judges must say alike is met in all its combinations. Times are a few seconds in which much falls together.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import orjson

BASE = 1_700_000_000 * 10**9
SECOND = 10**9
CLAIMS = (
    "exactly-once-execution",
    "at-least-once-execution",
    "at-most-once-execution",
    "redrive-no-rerun",
    "exactly-once-step-effect",
    "callback-once",
    "map-complete",
    "no-loss",
    "no-phantom",
    "all-accepted",
)
STATUSES = ("running", "succeeded", "succeeded", "succeeded", "failed", "timed-out", "aborted")


class Flow:
    """One history. `often`: how often something is as it should be."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(f"flow:{seed}")
        self.often = self.random.choice((0.7, 0.9, 0.97))
        self.kind = self.random.choice(("standard",) * 6 + ("express", "express", "express-sync", "express-sync", None))
        self.error_ns = self.random.choice((0, 0, 200_000_000))
        self.files: dict[str, list[dict[str, Any]]] = {}
        self.steps: dict[str, dict[str, Any]] = {
            "pay": {"step": "callback", "promises": "at-most-once", "followed_by": ["reserve"]},
            "reserve": {"step": "task", "per_item": True, "promises": "at-most-once"},
            "audit": {},
        }
        for spec in self.steps.values():
            spec |= {"kind": "queue", "visibility_timeout_s": 5}
            if self.random.random() < 0.3:
                spec["retried"] = True
            if self.random.random() < 0.3:
                spec |= {"dead_letter": True, "max_receives": 3}
            if self.random.random() < 0.1:
                spec["seen_from"] = self.random.choice(("wire", "nobody"))

    def well(self) -> bool:
        return self.random.random() < self.often

    def at(self, low: float, high: float) -> float:
        """Of few moments, so that some are equal."""
        return round(self.random.uniform(low, high), 1)

    def record(self, file: str, at: float, event: str, **fields: Any) -> None:
        told = {name: value for name, value in fields.items() if value is not None}
        self.files.setdefault(file, []).append({"event": event, "at": BASE + round(at * SECOND), "by": file, **told})

    def play(self) -> None:
        for n in range(self.random.randint(1, 4)):
            self.message(f"m{n}")
        self.looked_at()

    def message(self, id: str) -> None:
        roll, named = self.random, f"arn:{id}"
        items = roll.choice((None, 0, 1, 2, 3))
        arns: list[str] = []
        at = self.at(1, 2)
        for attempt in range(1, roll.choice((1, 1, 1, 2, 3)) + 1):
            first = {"expect": list(self.steps)[:2], "group": id, "seq": 1, "due": BASE + round(at * SECOND)}
            told = {**first, "items": items} if attempt == 1 else {"items": None if self.well() else 2}
            self.record("p1", at, "intended", id=id, attempt=attempt, producer="p1", **told)
            outcome = "ok" if self.well() else roll.choice(("failed", "unknown", None))
            started, at = at, at + roll.choice((0.0, 0.1, 0.5))
            if outcome is not None:
                arn = named if self.well() else f"{named}-{roll.randint(2, 3)}"
                error = roll.choice(("ExecutionAlreadyExists: it does", "ThrottlingException: slower"))
                self.record(
                    "p1", at, "sent", id=id, attempt=attempt, outcome=outcome,
                    started=BASE + round(started * SECOND) if self.well() else None,
                    broker_id=(arn if self.well() else None) if outcome == "ok" else None,
                    error=error if outcome == "failed" else None, call=f"{id}-{attempt}", entry=0,
                )  # fmt: skip
                if outcome == "ok":
                    arns.append(arn)
            at += roll.choice((0.1, 0.5, 1.0))
        for arn in dict.fromkeys([*arns, *([] if self.well() else [named])]):
            self.execution(id, arn, items)
        if not self.well():
            self.record("main", self.at(9, 14), "execution", id=roll.choice((id, "stranger")), arn=f"{named}-9",
                        status=roll.choice(STATUSES))  # fmt: skip

    def execution(self, id: str, arn: str, items: int | None) -> None:
        roll = self.random
        steered = roll.random() < 0.4
        for item in [None, *range(items or 0)]:
            step = "pay" if item is None else "reserve"
            if not self.well():
                continue
            for _ in range(roll.choice((1, 1, 1, 2)) if not steered or not self.well() else 1):
                self.task(id, arn, step, item, until=4 if steered and self.well() else 7)
        if steered:
            self.steer(id, arn, items)
        for _ in range(roll.choice((0, 1, 1, 1, 2)) if not self.well() else 1):
            started, stopped = self.at(1, 3), self.at(3, 9)
            self.record(
                "main", self.at(8, 14), "execution", id=id, arn=arn, name=id,
                status=roll.choice(STATUSES), redrives=0 if self.well() else 1,
                started=BASE + round(started * SECOND) if self.well() else None,
                stopped=BASE + round(stopped * SECOND) if self.well() else None,
            )  # fmt: skip

    def steer(self, id: str, arn: str, items: int | None) -> None:
        """Somebody redrives, and what failed is asked for again; or, by a fault, what was done."""
        roll = self.random
        for n in range(roll.choice((1, 1, 2))):
            at = self.at(5, 7)
            action = "redrive" if self.well() else "stop"
            told = {"id": id, "arn": arn if self.well() else f"{arn}-2", "action": action}
            told |= {"call": f"steer-{n}" if self.well() else None}
            if self.well():
                self.record("main", at, "steering", **told)
            if self.well():
                outcome = "ok" if self.well() else roll.choice(("failed", "unknown"))
                self.record("main", at + 0.1, "steered", **told, outcome=outcome, started=BASE + round(at * SECOND))
        for item in [None, *range(items or 0)]:
            if roll.random() < 0.3:
                self.task(id, arn, "pay" if item is None else "reserve", item, since=6, until=9)

    def task(self, id: str, arn: str, step: str, item: int | None, since: float = 1, until: float = 7) -> None:
        roll, consumer = self.random, self.random.choice(("c1", "c2"))
        step = step if self.well() else roll.choice(list(self.steps))
        item = item if self.well() else roll.choice((None, 0, 5))
        copy = f"{step}-{id}-{arn}-{item}-{roll.randint(1, 3)}"
        of_task = {"id": id, "subscription": step, "execution": arn if self.well() else None, "item": item}
        at = self.at(since, until)
        batch = f"{consumer}-{roll.randint(1, 10**6)}"
        if self.well():
            self.record(consumer, at, "received", **of_task, consumer=consumer, receives=1,
                        broker_id=copy if self.well() or self.well() else None,
                        batch=batch if self.well() else None, started=BASE + round((at - 0.1) * SECOND))  # fmt: skip
        if self.well():
            outcome = "applied" if self.well() else roll.choice(("skipped", "failed", "applied"))
            self.record(consumer, at + 0.1, "step", **{**of_task, "execution": arn}, outcome=outcome,
                        batch=batch if self.well() else None)  # fmt: skip
        if step == "pay" or not self.well():
            token = f"t-{arn}" if not self.well() else f"t-{copy}"
            for again in range(roll.choice((1, 1, 1, 2))):
                self.answer(consumer, at + 0.2 + again / 10, of_task, arn, token, batch)
        if self.well():
            told = {"id": id, "subscription": step, "batch": batch, "action": "delete", "broker_id": copy}
            self.record(consumer, at + 0.4, "settling", **told)
            if self.well():
                self.record(consumer, at + 0.4, "settled", **told, outcome="ok",
                            started=BASE + round((at + 0.4) * SECOND))  # fmt: skip

    def answer(self, consumer: str, at: float, of_task: dict[str, Any], arn: str, token: str, batch: str) -> None:
        roll = self.random
        told: dict[str, Any] = {**of_task, "execution": arn, "token": token, "consumer": consumer}
        told |= {"answer": "success" if self.well() else "failure"}
        told |= {"batch": batch if self.well() else roll.choice((None, "another"))}
        if self.well():
            self.record(consumer, at, "answering", **told)
        if self.well():
            outcome = "ok" if self.well() else roll.choice(("failed", "unknown"))
            self.record(consumer, at + 0.1, "answered", **told, outcome=outcome,
                        started=BASE + round(at * SECOND) if self.well() else None)  # fmt: skip

    def looked_at(self) -> None:
        roll = self.random
        if self.well():
            self.record("main", self.at(8, 15) if self.well() else 1.2, "mark", name="executions-read")
        for step in self.steps:
            if self.well():
                self.record("main", 15 if self.well() else 3, "mark", name="drained", subscription=step,
                            empty=self.well())  # fmt: skip
            if not self.well():
                self.record("main", 14, "dead", id=roll.choice(("m0", "m1")), subscription=step)
        for step in ("pay", "reserve"):
            if roll.random() < 0.5:
                continue
            asked = {
                (record["id"], record["execution"], record.get("item"))
                for records in self.files.values()
                for record in records
                if record["event"] == "step" and record["subscription"] == step
            }
            for id, arn, item in sorted(asked, key=str):
                if self.well():
                    applied = 1 if self.well() else roll.choice((0, 2, 3))
                    self.record("main", 16, "steps", id=id, subscription=step, execution=arn, item=item,
                                applied=applied)  # fmt: skip
            self.record("main", 16 if self.well() else 2, "mark", name="steps-read", subscription=step)

    def write(self, run: Path) -> None:
        (run / "history").mkdir(parents=True)
        claims: list[dict[str, Any]] = [{"claim": name} for name in CLAIMS]
        claims.append({"claim": "no-hung-execution", "within_s": self.random.choice((2, 4, 10))})
        bounds = {"max_s": self.random.choice((0.2, 1, 3)), "duration_max_s": self.random.choice((2, 4, 10))}
        asked = {name: bound for name, bound in bounds.items() if self.random.random() < 0.7}
        claims.append({"claim": "execution-lag", **(asked or {"p99_s": 1})})
        manifest = {
            "schema": 1,
            "clock_error_ns": self.error_ns,
            "subscriptions": self.steps,
            "claims": claims,
            **({} if self.kind is None else {"workflow": self.kind}),
        }
        (run / "manifest.json").write_bytes(orjson.dumps(manifest))
        for name, records in self.files.items():
            ordered = sorted(records, key=lambda record: int(record["at"]))
            (run / "history" / f"{name}.jsonl").write_bytes(b"".join(orjson.dumps(each) + b"\n" for each in ordered))


def draw(seed: int, *, run: Path) -> None:
    flow = Flow(seed)
    flow.play()
    flow.write(run)

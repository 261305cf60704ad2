"""Histories for the tests of the live view: a small language to write one down, random ones, and a slow judge.

`judge` counts what the live view shares with the verdict, written from docs/history.md by looping over everything.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
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

    def tell(self, file: str, event: str, at: float, **fields: Any) -> Story:
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


def random_history(seed: int, *, clock_error_ns: int = 0) -> tuple[Manifest, History]:
    """Legal and broken things in a jumble: few ids, few groups, few moments, so that they meet often."""
    choice = random.Random(seed)
    subs = {
        "orders": FIFO,
        "audit": Subscription(visibility_timeout_s=3, max_receives=2, dead_letter=True),
        "stream": Subscription(kind="stream", ordered_by="partition"),
    }
    story, files = Story(), ["load", "c1", "c2", "conductor"]
    clocks = dict.fromkeys(files, 0.0)
    batches: dict[str, int] = Counter()
    numbers = Counter[str]()
    copies: dict[tuple[str, int, str, str], str] = {}
    tails = ["", "", "", "", "'"]
    holds: list[tuple[str, Fields]] = []

    def at(file: str) -> float:
        clocks[file] += choice.choice([0, 0, 1, 1, 2, 5, 30])
        return clocks[file]

    ids = [f"m{n}" for n in range(choice.randint(1, 12))]
    groups = {id: choice.choice("gh") for id in ids}
    parts = {"g": "shard-1", "h": "shard-2"}
    usual_number = {id: n for n, id in enumerate(ids, start=1)}
    expect = {id: choice.choice([["orders"], ["orders", "audit"], ["orders", "stream"]]) for id in ids}
    for id in ids:
        for attempt in range(1, choice.choice([1, 1, 1, 1, 2]) + 1):
            if choice.random() < 0.93:
                story.intended(
                    id,
                    at("load"),
                    attempt=attempt,
                    **({"group": groups[id], "expect": expect[id]} if attempt == 1 else {}),
                )
            if choice.random() < 0.9:
                outcome = choice.choices(["ok", "failed", "unknown"], [8, 1, 1])[0]
                story.sent(id, at("load"), outcome, attempt=attempt)
    for _ in range(choice.randint(5, 60)):
        by, id = choice.choice(["c1", "c2"]), choice.choice(ids)
        match choice.choices(
            ["receive", "settle", "effect", "dead", "redriven", "effects", "read"], [50, 25, 15, 2, 1, 2, 1]
        )[0]:
            case "receive":
                if choice.random() < 0.6:
                    batches[by] += 1
                name = choice.choice(expect[id] if choice.random() < 0.95 else list(subs))
                # One call gives one copy of a message: it may tell of it twice, but two copies come in two calls.
                copy = copies.setdefault((by, batches[by], id, name), f"copy of {id} on {name}{choice.choice(tails)}")
                numbers[copy] += choice.choices([0, 1, 2], [1, 20, 1])[0]
                number = (
                    usual_number[id] + choice.choices([0, -2, 3], [20, 1, 1])[0] + (100 if copy.endswith("'") else 0)
                )
                when = at(by)
                fields: Fields = {
                    "subscription": name,
                    "consumer": by,
                    "batch": f"{by}-{batches[by]}",
                    "started": moment(when - choice.choice([0, 1, 3])),
                    "broker_id": copy,
                    "broker_seq": str(10**25 + number),
                    "receives": numbers[copy] or 1,
                    "hidden_s": choice.choice([1, 3]),
                    "intact": choice.random() < 0.97,
                    "group": groups[id] if choice.random() < 0.97 else "other",
                }
                if name == "stream":
                    fields |= {"partition": parts[groups[id]]}
                    del fields["receives"], fields["broker_id"]
                story.tell(by, "received", when, id=id, **fields)
                holds.append((by, {"id": id, **{k: fields[k] for k in ("subscription", "consumer", "batch")},
                                   "broker_id": fields.get("broker_id")}))  # fmt: skip
            case "settle" if holds:
                by, hold = choice.choice(holds[-6:])
                what = {**hold, "action": choice.choice(["delete", "release", "extend"])}
                if what["action"] == "extend":
                    what["hidden_s"] = choice.choice([1, 5])
                started = at(by)
                if choice.random() < 0.95:
                    story.tell(by, "settling", started, **what)
                if choice.random() < 0.9:
                    outcome = choice.choices(["ok", "failed", "unknown"], [6, 1, 1])[0]
                    story.tell(by, "settled", at(by), started=moment(started), outcome=outcome, **what)
            case "effect":
                name = choice.choice(expect[id])
                story.effect(
                    id, at(by), choice.choice(["applied", "applied", "skipped", "failed"]), by=by, subscription=name
                )
            case "dead" | "redriven" as event:
                story.tell("conductor", event, at("conductor"), id=id, subscription="orders")
            case "effects":
                story.tell(
                    "conductor", "effects", at("conductor"), id=id, subscription="orders", applied=choice.randint(0, 3)
                )
            case "read":
                story.mark("effects-read", at("conductor") + choice.choice([0, 500]), subscription="orders")
                clocks["conductor"] = max(clocks["conductor"], (story.files["conductor"][-1]["at"] - BASE) * 10 / S)
    return manifest(clock_error_ns, **subs), story.files


def judge(manifest: Manifest, files: History) -> Counter[str]:
    """The counts of `gameday.watch.live.SHARED`, slowly."""
    error, tick = manifest.clock_error_ns, manifest.broker_tick_ns
    records = [{**record, "file": file, "line": n} for file, lines in files.items() for n, record in enumerate(lines)]
    count: Counter[str] = Counter()

    def before(a: Fields, b: Fields) -> bool:
        return a["line"] < b["line"] if a["file"] == b["file"] else a["at"] + error < b["at"]

    def gap(a: Fields, b: Fields) -> int:
        return 0 if a["file"] == b["file"] else error

    def of(event: str, **match: Any) -> list[Fields]:
        return [r for r in records if r["event"] == event and all(r.get(k) == v for k, v in match.items())]

    def told(id: str, key: str) -> Any:
        return next((r[key] for r in of("intended", id=id) if r.get(key) is not None), None)

    pairs = list(dict.fromkeys((r["id"], r["subscription"]) for r in of("received")))
    promise = {s: manifest.subscriptions.get(s, Subscription()) for _, s in pairs}
    place: dict[tuple[str, str], tuple[Fields, int | None, list[Fields]]] = {}
    phantoms = set()
    for id, s in pairs:
        receives = of("received", id=id, subscription=s)
        intents, answers = of("intended", id=id), of("sent", id=id)
        acked = any(a["outcome"] == "ok" for a in answers)
        attempts = {r["attempt"] for r in (*intents, *answers)}
        failed = bool(attempts) and all(
            any(a["attempt"] == n for a in answers)
            and all(a["outcome"] == "failed" for a in answers if a["attempt"] == n)
            for n in attempts
        )
        if not intents or failed:
            phantoms.add(id)
        elif not acked:
            count["recovered"] += 1
        group, expect = told(id, "group"), told(id, "expect")
        count["corrupt"] += sum(
            not r["intact"] or (bool(intents) and group is not None and r["group"] not in (None, group))
            for r in receives
        )
        count["misrouted"] += expect is not None and s not in expect
        redrives = of("redriven", id=id, subscription=s)
        stream = promise[s].kind == "stream"
        copies: dict[Any, list[Fields]] = {}
        for r in receives:
            copies.setdefault((r["partition"], int(r["broker_seq"])) if stream else r["broker_id"], []).append(r)
        original = [
            c
            for c in copies.values()
            if any(r.get("replay") is None and all(before(r, x) for x in redrives) for r in c)
        ]
        count["send-duplicate"] += max(0, len(original) - 1)
        for copy in copies.values():
            early = [
                is_early(promise[s], r, copy, of, gap, error, tick, told_first(intents))
                for r in sorted(copy, key=placed)
            ]
            count["early-redelivery"] += early.count(True)
            count["redelivery"] += len(copy) - 1 - early.count(True)
            counts = {r.get("receives") for r in copy}
            count["unrecorded-receive"] += sum(
                (r.get("receives") or 1) > 1 and r["receives"] - 1 not in counts for r in copy
            )
        if promise[s].dead_letter and promise[s].max_receives:
            count["over-received"] += sum((r.get("receives") or 0) > (promise[s].max_receives or 0) for r in receives)
        numbers = [
            int(r["broker_seq"]) for r in receives if r.get("broker_seq") and all(before(r, x) for x in redrives)
        ]
        first = min(receives, key=placed)
        place[id, s] = (first, min(numbers, default=None), receives)
    count["phantom"] = len(phantoms)

    for (a, s), (first_a, number_a, receives_a) in place.items():
        if promise[s].ordered_by is None or number_a is None:
            continue
        dead = any(
            not any(before(d, x) for x in of("redriven", id=a, subscription=s))
            for d in of("dead", id=a, subscription=s)
        )
        called = min(receives_a, key=lambda r: (r["started"], r["file"]))
        for (b, other), (first_b, number_b, _) in place.items():
            if (
                other == s
                and group_of(told, a, first_a) == group_of(told, b, first_b)
                and first_a.get("partition") == first_b.get("partition")
                and number_b is not None
                and number_a < number_b
                and before(first_b, first_a)
                and not (dead and called["started"] <= first_b["at"] + gap(called, first_b))
            ):
                count["nonmonotonic-delivery"] += 1
                break

    for s in {r["subscription"] for r in (*of("effect"), *of("effects"))}:
        marks = of("mark", name="effects-read", subscription=s)
        last = max(marks, key=lambda m: (m["at"], m["line"]), default=None)
        active = [*of("received", subscription=s), *of("effect", subscription=s)]
        if last is not None and all(before(r, last) for r in active):
            applied = {r["id"]: r["applied"] for r in of("effects", subscription=s)}
        else:
            applied = Counter(r["id"] for r in of("effect", subscription=s, outcome="applied"))
        count["effect-duplicate"] += sum(max(0, n - 1) for n in applied.values())
    return count


def placed(r: Fields) -> tuple[int, str, int]:
    return r["at"], r["file"], r["line"]


def group_of(told: Any, id: str, first: Fields) -> Any:
    intended = told(id, "group")
    return first["group"] if intended is None else intended


def told_first(intents: list[Fields]) -> int | None:
    return min((r["at"] for r in intents), default=None)


def is_early(
    promise: Subscription, r: Fields, copy: list[Fields], of: Any, gap: Any, error: int, tick: int, intended: int | None
) -> bool:
    if promise.kind != "queue" or promise.dedup_window_s is None:
        return False
    if any(o["batch"] == r["batch"] and placed(o) < placed(r) for o in copy):
        return True

    def settles(action: str, hold: Fields) -> list[Fields]:
        """Each with `began`, `answered` and `outcome`; an answer belongs to the last open intent before it."""
        key = {k: hold[k] for k in ("id", "subscription", "batch", "broker_id")}
        found: list[Fields] = []
        for x in sorted(
            (*of("settling", action=action, **key), *of("settled", action=action, **key)), key=lambda x: x["line"]
        ):
            if x["event"] == "settling":
                found.append({**x, "began": x["at"], "answered": None, "outcome": None})
            else:
                mine = next((f for f in reversed(found) if f["answered"] is None), None)
                if mine is None:
                    mine = {**x, "began": x["started"]}
                    found.append(mine)
                mine.update(answered=x["at"], outcome=x["outcome"])
        return found

    def end(hold: Fields, moment: int, asker: Fields) -> int:
        earliest = (
            max(hold["started"], hold["started"] if intended is None else intended - error)
            + hold["hidden_s"] * S
            - tick
        )
        for x in sorted(settles("extend", hold), key=lambda x: x["began"]):
            if x["outcome"] == "failed" or x["began"] > moment + gap(x, asker):
                continue
            if x["began"] == moment and x["file"] == asker["file"]:
                continue
            moved = x["began"] + x["hidden_s"] * S - tick
            proven = x["outcome"] == "ok" and x["answered"] < earliest and x["began"] + gap(x, asker) < moment
            earliest = moved if proven else min(earliest, moved)
        return int(earliest)

    followed = [h for h in copy if h["receives"] == r["receives"] - 1 and not r["at"] + gap(r, h) < h["started"]]
    if followed and all(
        r["at"] + gap(h, r) < end(h, r["at"], r)
        and not any(x["outcome"] != "failed" and x["began"] <= r["at"] + gap(x, r) for x in settles("release", h))
        for h in followed
    ):
        return True
    return any(
        d["outcome"] == "ok" and d["answered"] + gap(d, r) < r["started"] and d["answered"] < end(h, d["began"], d)
        for h in copy
        for d in settles("delete", h)
    )


def interleaved(files: History, seed: int) -> Iterable[tuple[str, Fields] | None]:
    """As a reader may meet the records: in order within a file, else anyhow; None ends a round of reading."""
    choice = random.Random(seed)
    rest = {file: list(lines) for file, lines in files.items()}
    while rest:
        file = choice.choice(list(rest))
        for record in rest[file][: (take := choice.randint(1, 10))]:
            yield file, record
        rest[file] = rest[file][take:]
        if not rest[file]:
            del rest[file]
        if choice.random() < 0.5:
            yield None

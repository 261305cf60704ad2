"""A small builder of hand-made histories: what happened is told in a few calls and written as a run directory.

Times are seconds of the run (`at=2.5`), written as nanoseconds after `BASE`, a real epoch, so that a checker that
computes in floating point is found out. Every process has its own file: producers and consumers are named in the
calls, `main` holds the marks and what was read at the end, `injector` the faults. Records are sorted by time within
their file; at equal times the order of the calls is the order of the lines.

    h = History({"orders": fifo()}, ["no-loss", "ordered-per-group"])
    h.send("a", at=1, broker_seq="1")
    h.take("a", at=2)
    h.drained(at=10)
    check(verdict_of(h, tmp_path), {"no-loss": ("holds", 1)})
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gameday.verify.registry import CHECKS

BASE = 1_700_000_000 * 10**9
SECOND = 10**9
NS = 1e-9
"""One nanosecond, in the builder's seconds."""

Record = dict[str, Any]
Json = dict[str, Any]
Expected = str | tuple[str, int]


def ns(seconds: float) -> int:
    """A moment of the run as the history writes it."""
    return BASE + round(seconds * SECOND)


def queue(**fields: Any) -> Json:
    """A standard queue: no order, a message is hidden for 5 s."""
    return {"kind": "queue", "visibility_timeout_s": 5, **fields}


def fifo(**fields: Any) -> Json:
    """A queue ordered by group that deduplicates for 300 s."""
    return queue(ordered_by="group", dedup_window_s=300, **fields)


def stream(**fields: Any) -> Json:
    """A stream ordered by partition."""
    return {"kind": "stream", "ordered_by": "partition", **fields}


def mapped(**fields: Any) -> Json:
    """A FIFO queue whose event source mapping invokes a function that records itself; three receives, then death."""
    return fifo(settled_by="service", dead_letter=True, max_receives=3, **fields)


class History:
    """What was promised and what happened. A subscription left out of a call is the only one there is."""

    def __init__(
        self,
        subscriptions: Mapping[str, Json],
        claims: Sequence[str | Json],
        *,
        clock_error_s: float = 0,
        broker_tick_s: float = 0,
        manifest: Json | None = None,
    ) -> None:
        self.subscriptions = {name: dict(fields) for name, fields in subscriptions.items()}
        for fields in self.subscriptions.values():
            if fields.get("effective_from") is not None:
                fields["effective_from"] = ns(fields["effective_from"])
        self.manifest: Json = {
            "schema": 1,
            "run": "handmade",
            "seed": 7,
            "clock_error_ns": round(clock_error_s * SECOND),
            "broker_tick_ns": round(broker_tick_s * SECOND),
            "subscriptions": self.subscriptions,
            "claims": [{"claim": claim} if isinstance(claim, str) else claim for claim in claims],
            "scenario": {},
            **(manifest or {}),
        }
        self.files: dict[str, list[Record]] = {"main": []}
        self.tails: dict[str, bytes] = {}
        self.killed: set[str] = set()
        self.absent: set[str] = set()
        self.unended: set[str] = set()
        self.hosts: dict[str, str] = {}
        self._seqs: defaultdict[tuple[str, str | None], int] = defaultdict(int)
        self._attempts: defaultdict[str, int] = defaultdict(int)
        self._answers: dict[str, Record] = {}
        self._receives: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._handled: dict[tuple[str, str], Record] = {}
        self._numbers: defaultdict[str, int] = defaultdict(int)

    # -- producers

    def send(
        self,
        id: str,
        *,
        at: float,
        ended: float | None = None,
        producer: str = "p1",
        group: str | None = "g",
        seq: int | None = None,
        due: float | None = None,
        expect: Sequence[str] | None = None,
        poison: bool = False,
        outcome: str | None = "ok",
        broker_id: str | None = None,
        broker_seq: str | None = None,
        partition: str | None = None,
        call: str | None = None,
        entry: int = 0,
        tenant_class: str | None = None,
        **fields: Any,
    ) -> None:
        """An attempt: `intended` at `at`, `sent` at `ended` (10 ms later). `outcome=None`: no `sent` was written."""
        attempt = self._attempts[id] = self._attempts[id] + 1
        ended = at + 0.01 if ended is None else ended
        intent: Record = {"id": id, "attempt": attempt, "producer": producer}
        if attempt == 1:
            key = (producer, group)
            self._seqs[key] = self._seqs[key] + 1 if seq is None else seq
            intent |= {
                "group": group,
                "seq": self._seqs[key],
                "due": ns(at if due is None else due),
                "expect": list(self.subscriptions) if expect is None else list(expect),
                "bytes": 100,
                "poison": poison,
                **({} if tenant_class is None else {"tenant": group, "tenant_class": tenant_class}),
            }
        self.record(producer, at, "intended", **intent)
        if outcome is None:
            return
        answer: Record = {}
        if outcome == "ok":
            answer = {
                "broker_id": broker_id or f"b-{id}",
                "broker_seq": broker_seq,
                "partition": partition,
                "stored": ns(ended),
            }
            self._answers.setdefault(id, answer)
            answer = {name: value for name, value in answer.items() if name != "stored"}
        self.record(
            producer,
            ended,
            "sent",
            id=id,
            attempt=attempt,
            started=ns(at),
            outcome=outcome,
            error=None if outcome == "ok" else "made up",
            call=call or f"{producer}-{id}-{attempt}",
            entry=entry,
            **answer,
            **fields,
        )

    # -- consumers

    def receive(
        self,
        id: str,
        *,
        at: float,
        started: float | None = None,
        sub: str | None = None,
        consumer: str = "c1",
        batch: str | None = None,
        broker_id: str | None = None,
        broker_seq: str | None = None,
        partition: str | None = None,
        receives: int | None = None,
        hidden_s: float | None = None,
        enqueued: float | None = None,
        intact: bool | None = True,
        omit: Sequence[str] = (),
        **fields: Any,
    ) -> None:
        """A `received` recorded at `at`, of a call begun 10 ms before. What the answer to the send said (`broker_id`,
        `broker_seq`, `partition`, `enqueued`) is repeated unless told otherwise; `receives` counts by itself; names
        in `omit` are left out of the record."""
        sub = self._only(sub)
        kind = self.subscriptions[sub]["kind"]
        answer = self._answers.get(id, {})
        copy = broker_id or answer.get("broker_id") or f"b-{id}"
        record: Record = {
            "id": id,
            "subscription": sub,
            "consumer": consumer,
            "batch": batch or self._number(f"{consumer}-batch"),
            "started": ns(at - 0.01 if started is None else started),
            "broker_seq": broker_seq or answer.get("broker_seq"),
            "partition": partition or answer.get("partition"),
            "enqueued": answer.get("stored") if enqueued is None else ns(enqueued),
            "intact": intact,
        }
        if kind == "queue":
            self._receives[sub, copy] = self._receives[sub, copy] + 1 if receives is None else receives
            record |= {
                "broker_id": copy,
                "receives": self._receives[sub, copy],
                "hidden_s": self.subscriptions[sub].get("visibility_timeout_s") if hidden_s is None else hidden_s,
            }
        record = {name: value for name, value in (record | fields).items() if name not in omit}
        self._handled[id, sub] = record
        self.record(consumer, at, "received", **record)

    def effect(
        self,
        id: str,
        *,
        at: float,
        started: float | None = None,
        sub: str | None = None,
        consumer: str | None = None,
        batch: str | None = None,
        outcome: str = "applied",
    ) -> None:
        """What the handler of the last receive (or of `batch`) did, recorded at `at`; it began to write 10 ms before
        that."""
        sub, consumer, batch = self._held(id, sub, consumer, batch)
        self.record(
            consumer,
            at,
            "effect",
            id=id,
            subscription=sub,
            consumer=consumer,
            batch=batch,
            started=ns(at - 0.01 if started is None else started),
            outcome=outcome,
        )

    def settle(
        self,
        id: str,
        action: str,
        *,
        at: float,
        ended: float | None = None,
        outcome: str | None = "ok",
        sub: str | None = None,
        consumer: str | None = None,
        batch: str | None = None,
        announced: bool = True,
        **fields: Any,
    ) -> None:
        """A call that settles the last receive (or that of `batch`): begun at `at`, answered 10 ms later.
        `outcome=None`: killed before the answer was written. `announced=False`: without its `settling`."""
        sub, consumer, batch = self._held(id, sub, consumer, batch)
        call: Record = {"id": id, "subscription": sub, "consumer": consumer, "batch": batch, "action": action, **fields}
        handled = self._handled.get((id, sub), {})
        if "broker_id" in handled:
            call.setdefault("broker_id", handled["broker_id"])
        if announced:
            self.record(consumer, at, "settling", **call)
        if outcome is not None:
            ended = at + 0.01 if ended is None else ended
            self.record(consumer, ended, "settled", **call, started=ns(at), outcome=outcome)

    def delete(self, id: str, *, at: float, **fields: Any) -> None:
        self.settle(id, "delete", at=at, **fields)

    def release(self, id: str, *, at: float, **fields: Any) -> None:
        self.settle(id, "release", at=at, **fields)

    def extend(self, id: str, *, at: float, hidden_s: float, **fields: Any) -> None:
        self.settle(id, "extend", at=at, hidden_s=hidden_s, **fields)

    def checkpoint(self, id: str, *, at: float, partition: str, broker_seq: str, **fields: Any) -> None:
        self.settle(id, "checkpoint", at=at, partition=partition, broker_seq=broker_seq, **fields)

    def take(self, id: str, *, at: float, **fields: Any) -> None:
        """Received at `at` and, on a queue, deleted 100 ms later; no effect is recorded."""
        self.receive(id, at=at, **fields)
        sub = self._only(fields.get("sub"))
        if self.subscriptions[sub]["kind"] == "queue":
            self.delete(id, at=at + 0.1, sub=sub)

    def handle(self, id: str, *, at: float, effect: str = "applied", **fields: Any) -> None:
        """Received at `at`, the effect recorded 50 ms later and, on a queue, deleted 100 ms later."""
        self.take(id, at=at, **fields)
        self.effect(id, at=at + 0.05, sub=fields.get("sub"), outcome=effect)

    # -- functions

    def invoke(
        self,
        *ids: str,
        at: float,
        sub: str | None = None,
        consumer: str = "f1",
        batch: str | None = None,
        seen: bool = False,
        **fields: Any,
    ) -> str:
        """A function is invoked with these messages; gives the name of the batch. `seen`: it tells of each message
        which copy it is, and how often it was received, in a `received` without `started`."""
        sub = self._only(sub)
        batch = batch or self._number("invocation")
        told = {"subscription": sub, "function": "work", "request": f"r-{batch}", "batch": batch, "ids": list(ids)}
        self.record(consumer, at, "invoked", **told, consumer=consumer)
        if seen:
            for id in ids:
                self.receive(id, at=at, sub=sub, consumer=consumer, batch=batch, omit=("started",), **fields)
        return batch

    def respond(
        self,
        batch: str,
        *,
        at: float,
        outcome: str = "ok",
        failed: Sequence[str] = (),
        sub: str | None = None,
        consumer: str = "f1",
    ) -> None:
        """What an invocation answered."""
        told = {"subscription": self._only(sub), "function": "work", "request": f"r-{batch}", "batch": batch}
        self.record(consumer, at, "responded", **told, outcome=outcome, failed=list(failed) or None)

    def work(self, *ids: str, at: float, took: float = 0.1, failed: Sequence[str] = (), **fields: Any) -> str:
        """An invocation that is answered after `took` seconds: `ok`, but for those in `failed`."""
        batch = self.invoke(*ids, at=at, **fields)
        own = {name: fields[name] for name in ("sub", "consumer") if name in fields}
        self.respond(batch, at=at + took, failed=failed, **own)
        return batch

    # -- what was read at the end, marks, faults

    def dead(self, id: str, *, at: float, sub: str | None = None, receives: int | None = None) -> None:
        self.record("main", at, "dead", id=id, subscription=self._only(sub), receives=receives)

    def redriven(self, id: str, *, at: float, sub: str | None = None) -> None:
        self.record("main", at, "redriven", id=id, subscription=self._only(sub))

    def effects(self, id: str, *, at: float, applied: int, sub: str | None = None) -> None:
        self.record("main", at, "effects", id=id, subscription=self._only(sub), applied=applied)

    def mark(self, name: str, /, *, at: float, by: str = "main", **fields: Any) -> None:
        self.record(by, at, "mark", name=name, **fields)

    def drained(self, *, at: float, subs: Iterable[str] | None = None, empty: bool = True) -> None:
        """A `drained` mark of each of `subs` (of every subscription)."""
        for sub in self.subscriptions if subs is None else subs:
            self.mark("drained", at=at, subscription=sub, empty=empty)

    def effects_read(self, *, at: float, sub: str | None = None) -> None:
        self.mark("effects-read", at=at, subscription=self._only(sub))

    def partition(self, name: str, parents: Sequence[str] = (), *, at: float = 0.5, sub: str | None = None) -> None:
        self.mark("partition", at=at, subscription=self._only(sub), partition=name, parents=list(parents))

    def fault(self, start: float, stop: float | None, *, name: str = "kill-consumer") -> None:
        """A fault from `start` to `stop`; with None it never stops."""
        told: Record = {"fault": name, "instance": self._number("fault"), "targets": ["c1"], "params": {}}
        self.record("injector", start, "fault", phase="start", **told)
        if stop is not None:
            self.record("injector", stop, "fault", phase="stop", **told)

    # -- hosts

    def on(self, host: str, *files: str) -> None:
        """These processes run there; all others on the conductor's own host."""
        self.hosts |= dict.fromkeys(files, host)

    def clock(self, host: str, *, at: float, error_s: float | None, by: str = "main") -> None:
        """A mark that this host's times were within `error_s` of the conductor's since the one before; with None,
        that nobody knows."""
        self.mark("clock", at=at, by=by, host=host, error_ns=None if error_s is None else round(error_s * SECOND))

    # -- files

    def record(self, file: str, at: float, event: str, /, **fields: Any) -> None:
        """Any record; fields that are None are left out."""
        record: Record = {"event": event, "at": ns(at), "by": file}
        record |= {name: value for name, value in fields.items() if value is not None}
        self.files.setdefault(file, []).append(record)

    def process(self, name: str) -> None:
        """A process that was started and wrote nothing but its `closed` mark."""
        self.files.setdefault(name, [])

    def kill(self, name: str) -> None:
        """The process was killed: no `closed` mark ends its file."""
        self.process(name)
        self.killed.add(name)

    def lose(self, name: str) -> None:
        """The file of the process is listed but absent."""
        self.process(name)
        self.absent.add(name)

    def append(self, name: str, tail: bytes) -> None:
        """Raw bytes at the end of a file, after its `closed` mark unless the process was killed."""
        self.process(name)
        self.tails[name] = self.tails.get(name, b"") + tail

    def unend(self, name: str) -> None:
        """Take the newline of the last line away."""
        self.unended.add(name)

    def lines(self, name: str) -> list[Record]:
        """The records of a file as they are written: by time, then by the order of the calls."""
        records = sorted(self.files[name], key=lambda record: int(record["at"]))
        if name == "main":
            others = [other for other in self.files if other != "main"]
            start: Record = {"event": "mark", "at": BASE, "by": "main", "name": "writer"}
            hosts = {other: {"host": self.hosts[other]} if other in self.hosts else {} for other in others}
            records = [start | {"file": f"{other}.jsonl"} | hosts[other] for other in others] + records
        if name not in self.killed:
            last = records[-1]["at"] if records else BASE
            records.append({"event": "mark", "at": last, "by": name, "name": "closed"})
        return records

    def write(self, run: Path) -> Path:
        (run / "history").mkdir(parents=True)
        (run / "manifest.json").write_text(json.dumps(self.manifest))
        for name in self.files:
            if name in self.absent:
                continue
            data = "".join(json.dumps(record) + "\n" for record in self.lines(name)).encode()
            if name in self.unended:
                data = data.removesuffix(b"\n")
            (run / "history" / f"{name}.jsonl").write_bytes(data + self.tails.get(name, b""))
        return run

    # -- details

    def _only(self, sub: str | None) -> str:
        if sub is not None:
            return sub
        (only,) = self.subscriptions
        return only

    def _held(self, id: str, sub: str | None, consumer: str | None, batch: str | None) -> tuple[str, str, str]:
        sub = self._only(sub)
        last = self._handled.get((id, sub), {})
        return sub, consumer or str(last["consumer"]), batch or str(last["batch"])

    def _number(self, name: str) -> str:
        self._numbers[name] += 1
        return f"{name}-{self._numbers[name]}"


# Verdicts that are there before they are asked for, by what the run directory holds: see ahead.py.
AHEAD: dict[bytes, Any] = {}
_listening = False


class _Heard(Exception):
    """The first history of a test that is only called to see what it is."""

    def __init__(self, run: Path) -> None:
        super().__init__(run)
        self.run = run


def first_history(test: Callable[[], object]) -> Path | None:
    """The run directory of the first history that a test has judged; None when it comes to none."""
    global _listening
    _listening = True
    try:
        test()
    except _Heard as heard:
        return heard.run
    except BaseException:
        # It will say so itself when it runs.
        return None
    finally:
        _listening = False
    return None


def content(run: Path) -> bytes:
    """What a run directory holds, in one number."""
    digest = hashlib.blake2b()
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        data = path.read_bytes()
        digest.update(f"{path.relative_to(run)} {len(data)} ".encode() + data)
    return digest.digest()


def judged(history: History, tmp_path: Path) -> Any:
    """Write the run and judge it: an object with `document` and `exit_code`. Errors: NotARun."""
    return judged_run(history.write(tmp_path / f"run-{len(list(tmp_path.iterdir()))}"))


def judged_run(run: Path) -> Any:
    """Judge a run that was written already, and perhaps changed since. Errors: NotARun."""
    if _listening:
        raise _Heard(run)
    return AHEAD.get(content(run)) or importlib.import_module("gameday.verify.judge").judge(run)


def verdict_of(history: History, tmp_path: Path) -> Json:
    """Write the run, judge it, and give verdict.json."""
    document: Json = judged(history, tmp_path).document
    return document


def counts(document: Json) -> dict[str, int]:
    """How often each anomaly was found, those that were not left out."""
    return {name: entry["count"] for name, entry in document["anomalies"].items() if entry["count"]}


def check(
    document: Json, claims: Mapping[str, Expected], anomalies: Mapping[str, int] | None = None, *, open: str = ""
) -> None:
    """`claims` gives the verdict, or the verdict and `checked`, of those that the case is about, `anomalies` the count
    of everything found: whatever it does not name must be zero, but for what is legal (the reference judge sees to the
    rest). The text leaves the count of `open` open."""
    expected = {name: count for name, count in (anomalies or {}).items() if count}
    asked = {name: count for name, count in counts(document).items() if name in expected or not CHECKS[name].legal}
    assert {name: count for name, count in asked.items() if name != open} == expected
    told = {entry["claim"]: entry for entry in document["claims"]}
    for name, wanted in claims.items():
        entry = told[name]
        verdict, checked = (wanted, None) if isinstance(wanted, str) else wanted
        assert entry["verdict"] == verdict, f"{name}: {entry}"
        if checked is not None:
            assert entry["checked"] == checked, f"{name}: {entry}"
        if verdict == "holds":
            assert entry["checked"] > 0
            assert abs(entry["rate_upper_95"] - min(1, 3 / entry["checked"])) < 1e-12
        if verdict == "unknown":
            assert entry["why"], f"{name} does not say what is missing"
    verdicts = [entry["verdict"] for entry in document["claims"]]
    worst = next(verdict for verdict in ("violated", "unknown", "holds") if verdict in verdicts)
    assert document["verdict"] == worst

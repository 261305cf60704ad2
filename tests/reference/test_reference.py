"""Holds the reference judge to its two rules on simulated runs, and to the small print of reading on written ones.

A legal service with correct processes is never blamed, however they are killed; and the simulation is rich enough that
every anomaly and every verdict occurs, so that agreement with another judge over the same seeds means something.
"""

from __future__ import annotations

import collections
import contextlib
import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import orjson
import pytest

from tests.reference.anomalies import ANOMALIES
from tests.reference.flows import draw
from tests.reference.judge import CLAIMS, HOLDS, UNKNOWN, VIOLATED, judge
from tests.reference.payloads import add_payloads
from tests.reference.reading import read
from tests.reference.retelling import retell
from tests.reference.simulation import simulate
from tests.reference.words import Past
from tests.reference.world import EPOCH, SECOND
from tests.series import series, soak, sooner

# Rows that blame the service or the consumer and that no legal run may show. The others are legal (`redelivery`), say
# how well a promise was kept that depends on more than legality (`effect-missing` of a message that died because its
# consumers were killed too often), or may be legal where less is promised (`lost` where delivery is at most once).
BLAMING = (
    "vanished",
    "lost-on-redrive",
    "replay-missing",
    "phantom",
    "corrupt",
    "early-redelivery",
    "effect-duplicate",
    "effect-lost",
    "nonmonotonic-send",
    "stored-out-of-order",
    "nonmonotonic-delivery",
    "group-overtake",
    "effect-out-of-order",
    "child-before-parent",
    "stale-checkpoint",
    "concurrent-invocation",
    "over-received",
    "healthy-dead",
)
NEVER_VIOLATED = (
    "no-loss",
    "at-least-once",
    "no-phantom",
    "ordered-effects",
    "fanout-complete",
    "replay-complete",
    "filter-correct",
    "batch-isolation",
    "esm-ordered",
    "discard-accounted",
)


def blame(run: Path, verdict: dict[str, Any]) -> list[str]:
    """What a verdict on a legal run blames that it must not."""
    manifest = orjson.loads((run / "manifest.json").read_bytes())
    counts, claims = verdict["anomalies"], {claim["claim"]: claim["verdict"] for claim in verdict["claims"]}
    found = [name for name in BLAMING if counts[name]]
    found += [name for name in NEVER_VIOLATED if claims.get(name) == VIOLATED]
    # Without a deduplication window nobody promises that a retried send is stored once.
    deduplicated = all(spec["dedup_window_s"] is not None for spec in manifest["subscriptions"].values())
    if deduplicated and claims["exactly-once-delivery"] == VIOLATED:
        found.append("exactly-once-delivery")
    # A message that died of its killed consumers was not applied.
    for name in ("at-least-once-effect", "exactly-once-effect"):
        if claims[name] == VIOLATED and not counts["collateral-dead"]:
            found.append(name)
    # `strict` asks for more than the service promises.
    for claim in verdict["claims"]:
        strict = any(claim["anomalies"].get(name) for name in ("dlq-gap", "collateral-dead"))
        if claim["claim"].startswith(("ordered-per", "dead-letter")) and claim["verdict"] == VIOLATED and not strict:
            found.append(claim["claim"])
    return found


@pytest.mark.parametrize("first", [0, *series(50), *soak(100, 150, 200, 250)])
def test_a_legal_run_is_never_blamed(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + 50):
        run = tmp_path / str(seed)
        simulate(seed, run=run, legal=True)
        assert blame(run, judge(run)) == [], f"seed {seed}"


@pytest.mark.parametrize("seeds", [range(12), *soak(range(12, 200))], ids=["some", "more"])
def test_nor_is_a_service_that_invokes_functions(tmp_path: Path, seeds: Sequence[int]) -> None:
    # It is killed with functions at work, asks again, is not told what they answered, and gives up what it may.
    for seed in seeds:
        run = tmp_path / str(seed)
        simulate(seed, run=run, legal=True, functions=True)
        verdict = judge(run)
        # A function fails whole batches, and a message that is alone in one was failed by its handler for all we know.
        verdict["anomalies"]["healthy-dead"] = 0
        blamed = set(blame(run, verdict)) - {"dead-letter", "at-least-once-effect", "exactly-once-effect"}
        assert not blamed, f"seed {seed}"


@pytest.mark.parametrize("seeds", [range(20), *soak(range(20, 80), range(80, 300))], ids=["some", "more", "most"])
def test_nor_when_it_is_told_by_somebody_who_saw_less(tmp_path: Path, seeds: Sequence[int]) -> None:
    for seed in seeds:
        run = tmp_path / str(seed)
        simulate(seed, run=run, legal=True)
        whole = judge(run)
        retell(run, seed, honest=True)
        told = judge(run)
        # Who died of its killed consumers may not be told.
        told["anomalies"]["collateral-dead"] += whole["anomalies"]["collateral-dead"]
        assert blame(run, told) == [], f"seed {seed}"
        # What is told less blames nobody more: but for lag, which counts from a later moment where one is told.
        pairs = zip(whole["claims"], told["claims"], strict=True)
        changed = {
            less["claim"] for more, less in pairs if (less["verdict"] == VIOLATED) > (more["verdict"] == VIOLATED)
        }
        assert changed <= {"lag", "recovery", "fair"}, f"seed {seed}"


def test_what_is_retold_has_all_that_is_told_less(tmp_path: Path) -> None:
    seen: set[str] = set()
    wanted = {"unidentified", "delivered", "wire", "nobody", "keys", "shared keys", "deaths untold", "effects untimed"}
    for seed in range(100):
        run = tmp_path / str(seed)
        simulate(seed, run=run)
        retell(run, seed)
        verdict = judge(run)
        every = [record for path in (run / "history").glob("*.jsonl") for record in records(path)]
        why = [reason for claim in verdict["claims"] for reason in claim["why"]]
        past = Past(read(run))
        seen |= {"unidentified"} if verdict["anomalies"]["unidentified"] else set()
        seen |= {record["event"] for record in every}
        seen |= {"keys" for record in every if record["event"] == "effects" and "key" in record and "id" not in record}
        seen |= {spec.seen_from for spec in past.subscriptions.values()}
        seen |= {"shared keys" for message, spec in past.expectations() if past.shares_key(message.id, spec.name)}
        seen |= {"deaths untold" for reason in why if reason.startswith("nobody tells of what")}
        seen |= {"effects untimed" for reason in why if reason.startswith("nobody knows when")}
        if wanted <= seen:
            break
    assert wanted <= seen


def known_by(claim: dict[str, Any]) -> str:
    """A claim is known by its name and its `during`."""
    return f"lag {claim['bounds'].get('during', 'calm')}" if claim["claim"] == "lag" else str(claim["claim"])


Kind = Literal["plain", "functions", "payloads", "workflows"]
# Seeds that have them all between them.
RICH = (52, 273, 69, 198, 421, 243, 124, 228, 433, 454, 5, 26, 12, 117)
# And those that have all that only functions bring about.
RICH_IN_FUNCTIONS = (0, 1, 8, 12, 20, 28, 41, 140)
# And those that have all that only large messages and schemas bring about.
RICH_IN_PAYLOADS = (8, 13, 28, 1)
# And those that have all that only workflows bring about.
RICH_IN_WORKFLOWS = (25, 52, 69, 90, 115, 137, 248, 347, 1184, 1321)


def test_every_anomaly_and_every_verdict_occurs(tmp_path: Path) -> None:
    names = [name for name in CLAIMS if name not in ("at-least-once", "lag")]
    names += [f"lag {during}" for during in ("calm", "faults", "all")]
    missing = set(ANOMALIES) | {(name, verdict) for name in names for verdict in (HOLDS, VIOLATED, UNKNOWN)}
    missing |= {"torn", "damaged"}
    # No simulated process leaves out which message a record is of: see test_what_is_retold_has_all_that_is_told_less.
    missing -= {"unidentified"}
    known: list[tuple[int, Kind]] = [
        *((seed, "functions") for seed in RICH_IN_FUNCTIONS),
        *((seed, "plain") for seed in RICH),
        *((seed, "payloads") for seed in RICH_IN_PAYLOADS),
        *((seed, "workflows") for seed in RICH_IN_WORKFLOWS),
    ]
    more: list[tuple[int, Kind]] = [(seed, kind) for seed in range(750) for kind in get_args(Kind)]
    for number, (seed, kind) in enumerate(sooner(known, more)):
        run = tmp_path / str(number)
        if kind == "workflows":
            draw(seed, run=run)
        else:
            simulate(seed, run=run, functions=kind == "functions")
        if kind == "payloads":
            add_payloads(run, seed)
        verdict = judge(run)
        missing -= {name for name, count in verdict["anomalies"].items() if count}
        missing -= {(known_by(claim), claim["verdict"]) for claim in verdict["claims"]}
        missing -= {name for name, said in (("torn", verdict["torn_lines"]), ("damaged", verdict["damaged"])) if said}
        if not missing:
            break
    assert not missing


def records(path: Path) -> list[dict[str, Any]]:
    """What can be read of a file."""
    found: list[dict[str, Any]] = []
    with contextlib.suppress(EOFError):
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for line in content.splitlines():
            with contextlib.suppress(orjson.JSONDecodeError):
                record = orjson.loads(line)
                if isinstance(record, dict) and isinstance(record.get("at"), int):
                    found.append(record)
    return [record for record in found if "event" in record]


def hard_to_judge(run: Path) -> set[str]:
    """What a run has in it that a judge easily misreads."""
    paths = sorted((run / "history").glob("*.jsonl*"))
    files = [records(path) for path in paths]
    every = [record for file in files for record in file]
    receives = [record for record in every if record["event"] == "received"]
    stops = [record for record in every if record.get("name") == "load-stopped" and "scheduled" in record]
    intended = {record["id"]: record["at"] for record in reversed(every) if record["event"] == "intended"}
    seen = {
        "refused sends": any(record["event"] == "sent" and record.get("outcome") == "failed" for record in every),
        "no end of the load": not stops,
        "packed files": any(path.suffix == ".gz" for path in paths),
        "counts left out": any(record.get("broker_id") and record["receives"] is None for record in receives),
        "received before intended": any(record["at"] < intended.get(record["id"], 0) for record in receives),
    }
    return {name for name, there in seen.items() if there} | {name for file in files for name in hard_calls(file)}


def hard_calls(file: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The same of one file, and of what was open in it."""
    still_open: collections.Counter[tuple[Any, ...]] = collections.Counter()
    written: dict[tuple[Any, ...], int] = {}
    for record in file:
        key = tuple(record.get(name) for name in ("id", "subscription", "batch", "action", "attempt"))
        if record["event"] in ("settling", "intended"):
            still_open[key] += 1
            written[key] = record["at"]
            if still_open[key] > 1:
                yield "calls that overlap" if record["event"] == "settling" else "an attempt intended again"
        elif record["event"] in ("settled", "sent"):
            if not still_open[key]:
                yield "an answer without an intent"
            if record["started"] < written.get(key, 0):
                yield "a clock read before the intent"
            still_open[key] -= 1


def test_what_is_hard_to_judge_occurs_often_enough(tmp_path: Path) -> None:
    runs = 120
    counted: collections.Counter[str] = collections.Counter()
    for seed in range(runs):
        simulate(seed, run=tmp_path / str(seed))
        counted.update(hard_to_judge(tmp_path / str(seed)))
    for name in (
        "refused sends",
        "no end of the load",
        "packed files",
        "counts left out",
        "received before intended",
        "calls that overlap",
        "an attempt intended again",
        "an answer without an intent",
        "a clock read before the intent",
    ):
        assert counted[name] >= 0.02 * runs, name


def test_the_same_seed_writes_the_same_run(tmp_path: Path) -> None:
    for name in ("a", "b"):
        simulate(11, run=tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.json*"))
    assert files
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)


QUEUE = {"kind": "queue", "ordered_by": "group", "visibility_timeout_s": 5, "dedup_window_s": 300}


def write_run(run: Path, lines: bytes, **manifest: Any) -> Path:
    document = {"schema": 1, "subscriptions": {"q": QUEUE}, "claims": [{"claim": "no-loss"}]} | manifest
    (run / "history").mkdir(parents=True)
    (run / "manifest.json").write_bytes(orjson.dumps(document))
    (run / "history" / "a.jsonl").write_bytes(lines)
    return run


TIMES = ("due", "started", "enqueued", "since", "until")


def line(event: str, at: int, **fields: Any) -> bytes:
    """One record, its times told in nanoseconds from an epoch."""
    times = {name: EPOCH + fields[name] for name in TIMES if fields.get(name) is not None}
    return orjson.dumps({"event": event, "at": EPOCH + at, **fields, **times}) + b"\n"


CALM = (
    line("intended", 10, id="m", attempt=1, producer="p", group="g", seq=1, due=5, expect=["q"])
    + line("sent", 20, id="m", attempt=1, started=11, outcome="ok", broker_seq="9")
    + line("received", 30, id="m", subscription="q", batch="b", started=25, broker_id="B", broker_seq="9", receives=1)
    + line("settling", 40, id="m", subscription="q", batch="b", broker_id="B", action="delete")
    + line("settled", 50, id="m", subscription="q", batch="b", broker_id="B", action="delete", outcome="ok")
    + line("mark", 60, name="drained", subscription="q", empty=True)
)


def test_a_calm_run_holds(tmp_path: Path) -> None:
    verdict = judge(write_run(tmp_path / "run", CALM))
    assert (verdict["verdict"], verdict["claims"][0]["checked"]) == (HOLDS, 1)


def test_a_torn_last_line_is_counted_and_skipped(tmp_path: Path) -> None:
    verdict = judge(write_run(tmp_path / "run", CALM + b'{"event":"rec'))
    assert (verdict["verdict"], verdict["torn_lines"], verdict["damaged"]) == (HOLDS, 1, [])


def test_a_last_line_without_newline_is_a_record(tmp_path: Path) -> None:
    verdict = judge(write_run(tmp_path / "run", CALM.rstrip(b"\n")))
    assert (verdict["verdict"], verdict["torn_lines"]) == (HOLDS, 0)


@pytest.mark.parametrize(
    "lines",
    [
        CALM + b"\n",
        b"[]\n" + CALM,
        b'{"event":"sent"}\n' + CALM,
        b'{"at":5}\n' + CALM,
        b'{"event":"sent","at":true}\n' + CALM,
        b'{"event":"sent","at":5.0}\n' + CALM,
        b'{"event":"se\n' + CALM,
        CALM + line("mark", 70, name="closed") + b'{"ev',
        CALM + line("mark", 70, name="writer", file="b.jsonl"),
    ],
)
def test_damage_leaves_every_claim_unknown(tmp_path: Path, lines: bytes) -> None:
    verdict = judge(write_run(tmp_path / "run", lines))
    assert verdict["verdict"] == UNKNOWN
    assert len(verdict["damaged"]) == 1


@pytest.mark.parametrize(
    "manifest",
    [
        {"schema": 2},
        {"claims": []},
        {"claims": [{"claim": "no-such-claim"}]},
        {"claims": [{"claim": "lag", "p95_s": 1}]},
        {"claims": [{"claim": "recovery"}]},
    ],
)
def test_what_is_not_a_run_is_said_so(tmp_path: Path, manifest: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        judge(write_run(tmp_path / "run", CALM, **manifest))


def test_a_directory_without_manifest_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        judge(tmp_path)


def test_sequences_are_compared_as_integers_of_any_length(tmp_path: Path) -> None:
    small, large = "9" * 5000, "1" + "0" * 5000
    lines = b""
    for at, id, number in ((10, "a", small), (20, "b", large)):
        lines += line("intended", at, id=id, attempt=1, producer="p", group="g", seq=1 + at // 20, due=1, expect=["q"])
        lines += line("sent", at + 5, id=id, attempt=1, started=at + 1, outcome="ok", broker_seq=number)
    received = {"subscription": "q", "receives": 1}
    lines += line("received", 50, id="a", batch="b1", started=45, broker_id="A", broker_seq=small, **received)
    lines += line("received", 60, id="b", batch="b2", started=55, broker_id="B", broker_seq=large, **received)
    verdict = judge(write_run(tmp_path / "run", lines, claims=[{"claim": "ordered-per-group"}]))
    assert (verdict["verdict"], verdict["claims"][0]["checked"]) == (HOLDS, 1)


# -- Small runs, each with the right answer ------------------------------------------------------------------------
# Times are in seconds after EPOCH; each run is told as what every one of its writers wrote.


def seconds(value: float) -> int:
    return EPOCH + round(value * SECOND)


def said(event: str, at: float, **fields: Any) -> bytes:
    times = {name: seconds(fields[name]) for name in TIMES if fields.get(name) is not None}
    return orjson.dumps({"event": event, "at": seconds(at), **fields, **times}) + b"\n"


def intended(at: float, id: str = "m", attempt: int = 1, **fields: Any) -> bytes:
    told = {"producer": "p", "group": "g", "seq": 1, "due": at, "expect": ["q"]} | fields
    return said("intended", at, id=id, attempt=attempt, **told)


def sent(at: float, id: str = "m", outcome: str = "ok", attempt: int = 1, **fields: Any) -> bytes:
    return said("sent", at, id=id, attempt=attempt, outcome=outcome, **{"started": at, **fields})


def received(at: float, batch: str, id: str = "m", **fields: Any) -> bytes:
    told = {"subscription": "q", "broker_id": f"copy of {id}", "started": at, "hidden_s": 5} | fields
    return said("received", at, id=id, batch=batch, **told)


def step(event: str, at: float, action: str = "delete", batch: str = "b1", id: str = "m", **fields: Any) -> bytes:
    told = {"subscription": "q", "broker_id": f"copy of {id}"} | fields
    return said(event, at, id=id, batch=batch, action=action, **told)


def deleted(at: float, batch: str = "b1", id: str = "m") -> bytes:
    return step("settling", at, batch=batch, id=id) + step("settled", at, batch=batch, id=id, started=at, outcome="ok")


def mark(at: float, name: str, **fields: Any) -> bytes:
    return said("mark", at, name=name, **fields)


def drained(at: float) -> bytes:
    return mark(at, "drained", subscription="q", empty=True)


def once(id: str, at: float, *, seq: int = 1, lag: float = 0.1, group: str = "g") -> dict[str, bytes]:
    """A message that is sent, received after that time, and deleted."""
    then = at + lag
    return {
        "producer": intended(at, id, seq=seq, group=group) + sent(at, id),
        "consumer": received(then, f"of {id}", id, receives=1) + deleted(then, f"of {id}", id),
    }


def together(*runs: dict[str, bytes]) -> dict[str, bytes]:
    """The same writers wrote all of these."""
    return {
        name: b"".join(run.get(name, b"") for run in runs) for name in sorted({name for run in runs for name in run})
    }


def judged(run: Path, files: dict[str, bytes], *claims: dict[str, Any], **manifest: Any) -> dict[str, Any]:
    """Judges what those writers wrote; a name that ends in .gz is packed."""
    queue = QUEUE | manifest.pop("queue", {})
    document = {"schema": 1, "broker_tick_ns": 0, "subscriptions": {"q": queue}, "claims": list(claims)} | manifest
    (run / "history").mkdir(parents=True)
    (run / "manifest.json").write_bytes(orjson.dumps(document))
    for name, content in files.items():
        packed = name.endswith(".gz")
        path = run / "history" / f"{name.removesuffix('.gz')}.jsonl{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(content) if packed else content)
    return judge(run)


def only(verdict: dict[str, Any]) -> str:
    (claim,) = verdict["claims"]
    return str(claim["verdict"])


NO_LOSS, ALL_ACCEPTED, EXACTLY_ONCE = (
    {"claim": "no-loss"},
    {"claim": "all-accepted"},
    {"claim": "exactly-once-delivery"},
)
TOLD = {"conductor": mark(-1, "load-started") + mark(90, "load-stopped", scheduled=1) + drained(100)}


# What was given up


def test_a_message_whose_every_attempt_failed_is_given_up(tmp_path: Path) -> None:
    refused = {
        "producer": intended(0) + sent(1, outcome="failed") + intended(2, attempt=2, due=0) + sent(3, "m", "failed", 2)
    }
    told = {"conductor": mark(-1, "load-started") + mark(90, "load-stopped", scheduled=2) + drained(100)}
    verdict = judged(tmp_path, together(refused, once("n", 5), told), ALL_ACCEPTED)
    assert (verdict["anomalies"]["given-up"], only(verdict), verdict["claims"][0]["checked"]) == (1, VIOLATED, 2)


def test_an_attempt_intended_again_without_a_second_answer_is_not_given_up(tmp_path: Path) -> None:
    again = {"producer": intended(0) + sent(1, outcome="failed") + intended(2, due=0)}
    verdict = judged(tmp_path, together(again, TOLD), ALL_ACCEPTED)
    assert (verdict["anomalies"]["given-up"], verdict["damaged"], only(verdict)) == (0, [], UNKNOWN)


def test_all_accepted_holds_where_each_was_accepted_or_received(tmp_path: Path) -> None:
    assert only(judged(tmp_path, together(once("m", 0), TOLD), ALL_ACCEPTED)) == HOLDS


def test_all_accepted_holds_of_a_message_of_unknown_outcome_that_was_received(tmp_path: Path) -> None:
    files = {"producer": intended(0) + sent(1, outcome="unknown") + intended(2, "n", seq=2) + sent(3, "n")}
    files["consumer"] = received(5, "b1")
    stopped = mark(-1, "load-started") + mark(90, "load-stopped", scheduled=2)
    assert only(judged(tmp_path, files | {"conductor": stopped}, ALL_ACCEPTED)) == HOLDS


@pytest.mark.parametrize(
    "marks",
    [
        b"",
        mark(-1, "load-started"),
        mark(-1, "load-started") + mark(90, "load-stopped"),
        mark(-1, "load-started") + mark(90, "load-stopped", scheduled=2),
        mark(-1, "load-started") * 2 + mark(90, "load-stopped", scheduled=1),
    ],
    ids=["nothing told", "no end", "nobody counted", "fewer intended", "two loads, one end"],
)
def test_all_accepted_is_unknown_where_the_load_is(tmp_path: Path, marks: bytes) -> None:
    assert only(judged(tmp_path, once("m", 0) | {"conductor": marks}, ALL_ACCEPTED)) == UNKNOWN


# The answer to an intent: a delete that failed leaves its message to have vanished, one that may have worked does not


def vanished(run: Path, steps: bytes, *, queue: dict[str, Any] | None = None) -> int:
    files = {"producer": intended(0) + sent(0), "consumer": received(1, "b1", receives=1) + steps}
    return int(judged(run, together(files, TOLD), NO_LOSS, queue=queue or {})["anomalies"]["vanished"])


def answer(at: float, started: float | None, outcome: str, **fields: Any) -> bytes:
    told: dict[str, Any] = {} if started is None else {"started": started}
    return step("settled", at, outcome=outcome, **told, **fields)


def test_a_clock_read_before_the_intent_was_written_does_not_part_the_two(tmp_path: Path) -> None:
    assert vanished(tmp_path, step("settling", 2) + answer(3, 1.9, "failed")) == 1


def test_one_stale_delete_is_counted_once_however_its_clock_was_read(tmp_path: Path) -> None:
    files = {"producer": intended(0) + sent(0), "consumer": received(1, "b1", receives=1)}
    files["consumer"] += step("settling", 8) + answer(9, 7.9, "ok")
    assert judged(tmp_path, files, NO_LOSS)["anomalies"]["stale-delete"] == 1


@pytest.mark.parametrize(
    ("steps", "count"),
    [
        (step("settling", 2, call="x") + step("settling", 3, call="y") + answer(4, 3, "failed", call="x"), 0),
        (
            step("settling", 2, call="x")
            + step("settling", 3, call="y")
            + answer(4, 2.5, "failed", call="x")
            + answer(5, 2.5, "failed", call="y"),
            1,
        ),
        (step("settling", 2) + step("settling", 3) + answer(4, 3.5, "failed") + answer(5, 2.1, "failed"), 1),
        (step("settling", 2) + step("settling", 3) + answer(4, 1.9, "failed") + answer(5, 2.9, "failed"), 1),
        (step("settling", 2) + step("settling", 3) + answer(4, 2, "failed") + answer(5, 3.1, "failed"), 1),
        (step("settling", 2) + step("settling", 3) + answer(4, 2.5, "failed") + answer(5, 3.1, "failed"), 0),
        (step("settling", 2) + step("settling", 3) + answer(4, None, "failed") + answer(5, None, "failed"), 0),
        (step("settling", 2) + step("settling", 2) + answer(4, 2, "failed") + answer(5, 2, "failed"), 0),
    ],
    ids=["one answer", "call", "after", "before", "at the same time", "between", "not told", "both at once"],
)
def test_of_several_open_calls_the_answer_goes_where_it_points(tmp_path: Path, steps: bytes, count: int) -> None:
    assert vanished(tmp_path, steps) == count


def test_what_is_open_while_an_answer_is_owed_is_in_the_same_doubt(tmp_path: Path) -> None:
    undecided = step("settling", 2) + step("settling", 3) + answer(4, 2.5, "failed")
    later = step("settling", 5) + answer(6, 5.1, "failed") + answer(7, 2.1, "failed")
    assert vanished(tmp_path, undecided + later) == 0


def test_the_next_call_after_all_owed_answers_came_is_its_own(tmp_path: Path) -> None:
    undecided = step("settling", 2, "extend") + step("settling", 3, "extend") + answer(4, 2.5, "ok", action="extend")
    owed = answer(5, 3.1, "ok", action="extend") + step("settling", 6) + answer(7, 6, "failed")
    assert vanished(tmp_path, undecided + owed) == 1


# Clocks


def early(by: float) -> dict[str, bytes]:
    return {"producer": intended(10) + sent(10.5), "consumer": received(10 - by, "b1", receives=1) + deleted(11)}


@pytest.mark.parametrize(("by", "verdict"), [(0.9, HOLDS), (1.0, HOLDS), (1.1, UNKNOWN)])
def test_a_receive_before_its_message_was_intended_contradicts_the_clocks(
    tmp_path: Path, by: float, verdict: str
) -> None:
    files = together(early(by), TOLD)
    assert only(judged(tmp_path, files, NO_LOSS, clock_error_ns=SECOND)) == verdict


def test_a_claim_that_would_be_violated_is_unknown_where_the_clocks_contradict(tmp_path: Path) -> None:
    files = together(early(5), {"producer": intended(20, "n", seq=2) + sent(20, "n")}, TOLD)
    claims = (NO_LOSS, ALL_ACCEPTED, {"claim": "no-phantom"})
    verdict = judged(tmp_path, files, *claims)
    assert verdict["anomalies"]["lost"] == 1
    assert [claim["verdict"] for claim in verdict["claims"]] == [UNKNOWN, HOLDS, HOLDS]
    assert any("consumer.jsonl:1" in why for why in verdict["claims"][0]["why"])


def test_an_early_send_is_no_contradiction(tmp_path: Path) -> None:
    files = {"producer": intended(10, due=20) + sent(10.5), "consumer": received(11, "b1", receives=1) + deleted(11)}
    assert only(judged(tmp_path, together(files, TOLD), {"claim": "lag", "max_s": 0})) == HOLDS


@pytest.mark.parametrize(("apart", "verdict"), [(0.9, UNKNOWN), (1.0, UNKNOWN), (1.1, HOLDS)])
def test_first_receives_too_close_leave_the_order_unknown(tmp_path: Path, apart: float, verdict: str) -> None:
    files = once("m", 0, lag=5)
    files["producer"] += once("n", 3, seq=2)["producer"]
    files["other"] = received(5 + apart, "b2", "n", receives=1)
    order = {"claim": "ordered-per-group"}
    assert only(judged(tmp_path, files, order, clock_error_ns=SECOND)) == verdict


def test_one_writer_tells_the_order_however_close(tmp_path: Path) -> None:
    files = together(once("m", 0, lag=5), once("n", 3, seq=2, lag=2.1))
    assert only(judged(tmp_path, files, {"claim": "ordered-per-group"}, clock_error_ns=SECOND)) == HOLDS


def test_effects_too_close_leave_their_order_unknown(tmp_path: Path) -> None:
    files = together(once("m", 0), once("n", 3, seq=2))
    for file, id, at in (("consumer", "m", 5.0), ("other", "n", 5.5)):
        told = {"subscription": "q", "batch": f"of {id}", "started": at, "outcome": "applied"}
        files[file] = files.get(file, b"") + said("effect", at, id=id, **told)
    effects = {"claim": "ordered-effects"}
    assert only(judged(tmp_path / "close", files, effects, clock_error_ns=SECOND)) == UNKNOWN
    assert only(judged(tmp_path / "exact", files, effects)) == HOLDS


@pytest.mark.parametrize(
    ("at", "error", "verdict"),
    [(5.5, 0, VIOLATED), (5.5, 1, UNKNOWN), (6.9, 1, UNKNOWN), (7.0, 1, HOLDS), (6.1, 0, HOLDS), (4.5, 1, VIOLATED)],
)
def test_a_redelivery_close_to_the_end_of_its_hold_is_doubtful(
    tmp_path: Path, at: float, error: int, verdict: str
) -> None:
    files = {"producer": intended(0) + sent(0), "consumer": received(1, "b1", receives=1)}
    files["other"] = received(at, "b2", receives=2) + deleted(at + 1, "b2")
    verdicts = judged(tmp_path, together(files, TOLD), EXACTLY_ONCE, clock_error_ns=error * SECOND)
    assert only(verdicts) == verdict


def test_a_release_makes_a_close_redelivery_plain(tmp_path: Path) -> None:
    files = {"producer": intended(0) + sent(0), "other": received(5.5, "b2", receives=2) + deleted(7, "b2")}
    files["consumer"] = received(1, "b1", receives=1) + step("settling", 2, "release")
    assert only(judged(tmp_path, together(files, TOLD), EXACTLY_ONCE, clock_error_ns=SECOND)) == HOLDS


@pytest.mark.parametrize(("window", "error", "reasons"), [((0, 9.5), 0, 1), ((0, 10.5), 0, 0), ((0, 10.5), 1, 1)])
def test_with_a_clock_error_touching_has_to_be_proven(
    tmp_path: Path, window: tuple[float, float], error: int, reasons: int
) -> None:
    files = together(once("m", 10), TOLD)
    files["injector"] = said("fault", window[0], instance="f", phase="start")
    files["injector"] += said("fault", window[1], instance="f", phase="stop")
    verdict = judged(tmp_path, files, NO_LOSS, clock_error_ns=error * SECOND)
    assert verdict["anomalies"]["vacuous"] == reasons


# Receives that are not counted


def twice(second: float, *between: bytes, started: float | None = None, **counts: Any) -> dict[str, bytes]:
    """The same copy, received at 1 s for 5 s, and again."""
    files = {"producer": intended(0) + sent(0), "consumer": received(1, "b1", **counts) + b"".join(between)}
    again: dict[str, Any] = counts | {"started": second if started is None else started}
    files["other"] = received(second, "b2", **again)
    return together(files, {"other": deleted(second + 1, "b2")}, TOLD)


@pytest.mark.parametrize("counts", [{}, {"receives": 1}], ids=["none", "1 each time"])
@pytest.mark.parametrize(
    ("files", "count", "verdict"),
    [
        ({"second": 2}, 1, VIOLATED),
        ({"second": 7}, 0, UNKNOWN),
        ({"second": 2, "started": 0.5}, 0, UNKNOWN),
        ({"second": 3, "between": (step("settling", 2, "release"),)}, 0, UNKNOWN),
        ({"second": 3, "between": (said("redriven", 2, id="m", subscription="q"),)}, 0, UNKNOWN),
        (
            {"second": 3, "between": (step("settling", 2, "release") + answer(2.5, 2, "failed", action="release"),)},
            1,
            VIOLATED,
        ),
    ],
    ids=["at once", "after the hold", "paused", "released", "redriven", "release failed"],
)
def test_without_a_count_only_what_needs_none_is_blamed(
    tmp_path: Path, counts: dict[str, Any], files: dict[str, Any], count: int, verdict: str
) -> None:
    told = dict(files)
    found = judged(tmp_path, twice(told.pop("second"), *told.pop("between", ()), **told, **counts), EXACTLY_ONCE)
    assert (found["anomalies"]["early-redelivery"], only(found)) == (count, verdict)


def test_a_count_left_out_matters_only_where_a_copy_came_twice(tmp_path: Path) -> None:
    files = {"producer": intended(0) + sent(0), "consumer": received(1, "b1") + deleted(2)}
    assert only(judged(tmp_path, together(files, TOLD), EXACTLY_ONCE)) == HOLDS


def test_without_counts_as_many_are_over_received_as_were_received(tmp_path: Path) -> None:
    files = {"producer": intended(0) + sent(0)}
    files["consumer"] = b"".join(received(1 + 6 * index, f"b{index}") for index in range(4))
    queue = {"max_receives": 2, "dead_letter": True}
    letters = {"claim": "dead-letter"}
    assert judged(tmp_path / "four", files, letters, queue=queue)["anomalies"]["over-received"] == 2
    files["conductor"] = said("redriven", 8, id="m", subscription="q")
    assert judged(tmp_path / "back", files, letters, queue=queue)["anomalies"]["over-received"] == 0


def test_dead_letter_is_unknown_where_a_receive_has_no_count(tmp_path: Path) -> None:
    queue = {"max_receives": 2, "dead_letter": True}
    for name, receives, verdict in (("counted", 1, HOLDS), ("uncounted", None, UNKNOWN)):
        files = {"producer": intended(0, poison=True) + sent(0), "consumer": received(1, "b1", receives=receives)}
        files["conductor"] = said("dead", 90, id="m", subscription="q") + drained(100)
        assert only(judged(tmp_path / name, files, {"claim": "dead-letter"}, queue=queue)) == verdict


# Lag


def calm_and_faulty(calm: float, faulty: float, **more: bytes) -> dict[str, bytes]:
    """One message far from the fault (10 s to 12 s) with one lag, one within it with another."""
    files = together(once("m", 0, lag=calm), once("n", 11, seq=2, lag=faulty))
    files["injector"] = said("fault", 10, instance="f", phase="start") + said("fault", 12, instance="f", phase="stop")
    files["conductor"] = mark(-1, "load-started") + mark(90, "load-stopped", scheduled=2)
    return together(files, more)


@pytest.mark.parametrize(
    ("during", "verdict", "checked"),
    [(None, HOLDS, 1), ("calm", HOLDS, 1), ("faults", VIOLATED, 1), ("all", VIOLATED, 2)],
)
def test_during_says_whom_lag_speaks_of(tmp_path: Path, during: str | None, verdict: str, checked: int) -> None:
    lag = {"claim": "lag", "max_s": 1, "grace_s": 0} | ({} if during is None else {"during": during})
    found = judged(tmp_path, calm_and_faulty(0.5, 3), lag)
    assert (only(found), found["claims"][0]["checked"]) == (verdict, checked)
    assert found["claims"][0]["bounds"] == {key: value for key, value in lag.items() if key != "claim"}


def test_lag_is_claimed_once_for_each_during(tmp_path: Path) -> None:
    lags = [{"claim": "lag", "max_s": 1, "during": during} for during in ("calm", "faults")]
    assert [claim["verdict"] for claim in judged(tmp_path, calm_and_faulty(3, 0.5), *lags)["claims"]] == [
        VIOLATED,
        HOLDS,
    ]


def test_lag_has_no_other_during(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="during"):
        judged(tmp_path, once("m", 0), {"claim": "lag", "max_s": 1, "during": "storms"})


@pytest.mark.parametrize(
    ("lag", "error", "verdict"),
    [(2.05, 3, UNKNOWN), (2.05, 1, VIOLATED), (0.5, 0, HOLDS), (0.5, 0.4, HOLDS), (0.5, 0.6, UNKNOWN)],
)
def test_lag_holds_with_the_clock_error_added_and_breaks_with_it_taken_off(
    tmp_path: Path, lag: float, error: float, verdict: str
) -> None:
    files = together(once("m", 0, lag=lag), TOLD)
    found = judged(tmp_path, files, {"claim": "lag", "max_s": 1}, clock_error_ns=round(error * SECOND))
    assert only(found) == verdict


@pytest.mark.parametrize(("lag", "verdict"), [(0.5, HOLDS), (2.05, VIOLATED)])
def test_the_lag_of_what_one_file_tells_is_exact(tmp_path: Path, lag: float, verdict: str) -> None:
    whole = once("m", 0, lag=lag)
    files = together({"both": whole["producer"] + whole["consumer"]}, TOLD)
    assert only(judged(tmp_path, files, {"claim": "lag", "max_s": 1}, clock_error_ns=3 * SECOND)) == verdict


def test_with_a_clock_error_the_windows_are_widened_too(tmp_path: Path) -> None:
    files = together(once("m", 0, lag=4), once("n", 8.5, seq=2, lag=4))
    files["injector"] = said("fault", 2, instance="f", phase="start") + said("fault", 3, instance="f", phase="stop")
    files["conductor"] = mark(-1, "load-started") + mark(90, "load-stopped", scheduled=2)
    lag = {"claim": "lag", "max_s": 1, "grace_s": 0}
    found = judged(tmp_path / "one", files, lag, clock_error_ns=2 * SECOND)
    assert (only(found), found["claims"][0]["checked"]) == (VIOLATED, 1)
    files = together(files, {"injector": said("fault", 11, instance="g", phase="start")})
    found = judged(tmp_path / "two", files, lag, clock_error_ns=2 * SECOND)
    assert (only(found), found["claims"][0]["checked"]) == (UNKNOWN, 0)


def test_what_was_given_up_leaves_lag_unknown_where_it_was_due(tmp_path: Path) -> None:
    refused = {"producer": intended(11.5, "o", seq=3) + sent(11.6, "o", "failed")}
    files = calm_and_faulty(0.5, 0.5, **refused)
    lags = [{"claim": "lag", "max_s": 1, "grace_s": 0, "during": during} for during in ("calm", "faults", "all")]
    files["conductor"] = mark(-1, "load-started") + mark(90, "load-stopped", scheduled=3)
    found = judged(tmp_path, files, *lags)
    assert [claim["verdict"] for claim in found["claims"]] == [HOLDS, UNKNOWN, UNKNOWN]


@pytest.mark.parametrize(("refused", "verdict"), [(1, HOLDS), (2, UNKNOWN)])
def test_given_up_and_never_intended_are_one_sum(tmp_path: Path, refused: int, verdict: str) -> None:
    runs = [once(f"m{seq}", seq, seq=seq) for seq in range(1, 149)]
    runs += [
        {"producer": intended(200, f"o{index}", seq=500 + index) + sent(200, f"o{index}", "failed")}
        for index in range(refused)
    ]
    stop = {"conductor": mark(-1, "load-started") + mark(990, "load-stopped", scheduled=148 + refused)}
    assert only(judged(tmp_path, together(*runs, stop), {"claim": "lag", "p99_s": 1})) == verdict


def test_lag_is_unknown_where_a_load_never_told_how_many_were_scheduled(tmp_path: Path) -> None:
    told = mark(-1, "load-started") * 2 + mark(90, "load-stopped", scheduled=1)
    for name, marks, verdict in (("unstarted", b"", HOLDS), ("two", told, UNKNOWN)):
        files = once("m", 0) | {"conductor": marks}
        assert only(judged(tmp_path / name, files, {"claim": "lag", "max_s": 1})) == verdict


@pytest.mark.parametrize(("fault", "checked"), [((8, 10.5), 1), ((11, 12), 0), ((8, 9.5), 0)])
def test_what_was_received_before_it_was_due_meets_a_fault_at_its_due(
    tmp_path: Path, fault: tuple[float, float], checked: int
) -> None:
    files = {"producer": intended(1, due=10) + sent(1), "consumer": received(2, "b1", receives=1) + deleted(3)}
    files["injector"] = said("fault", fault[0], instance="f", phase="start")
    files["injector"] += said("fault", fault[1], instance="f", phase="stop")
    found = judged(tmp_path, files, {"claim": "lag", "max_s": 5, "grace_s": 0, "during": "faults"})
    assert found["claims"][0]["checked"] == checked


def test_recovery_takes_its_bound_from_calm_lag(tmp_path: Path) -> None:
    recovery = {"claim": "recovery", "within_s": 1}
    files = together(calm_and_faulty(0.5, 20), {"consumer": b""})
    for name, during, verdict in (("calm", "calm", VIOLATED), ("faults", "faults", UNKNOWN)):
        lag = {"claim": "lag", "max_s": 2, "during": during}
        assert judged(tmp_path / name, files, lag, recovery)["claims"][1]["verdict"] == verdict


# Damage


@pytest.mark.parametrize(
    "record",
    [
        {"event": "responded", "subscription": "q", "batch": "b1", "outcome": "partial"},
        {"event": "responded", "subscription": "q", "batch": "b1"},
        {"event": "invoked", "subscription": "q", "ids": ["m"]},
        {"event": "received", "id": "m"},
        {"event": "received", "subscription": "q", "partition": "p"},
        {"event": "effects", "subscription": "q", "applied": 1},
        {"event": "intended", "id": "n", "attempt": 1},
    ],
    ids=lambda record: str(record["event"]),
)
def test_a_record_that_lacks_what_it_needs_is_damage(tmp_path: Path, record: dict[str, Any]) -> None:
    files = together(once("m", 0), TOLD) | {"strange": orjson.dumps(record | {"at": seconds(50)}) + b"\n"}
    verdict = judged(tmp_path, files, NO_LOSS)
    assert (only(verdict), [one["file"] for one in verdict["damaged"]]) == (UNKNOWN, ["strange.jsonl"])


@pytest.mark.parametrize("unit", [1, 1000, 1_000_000])
@pytest.mark.parametrize("name", ["at", "due", "started", "enqueued"])
def test_times_in_another_unit_are_damage(tmp_path: Path, unit: int, name: str) -> None:
    files = together(once("m", 0), TOLD)
    event = "intended" if name == "due" else "received"
    record = {"event": event, "id": "other", "attempt": 1, "expect": ["q"], "subscription": "q", "at": seconds(50)}
    files["strange"] = orjson.dumps(record | {name: EPOCH // SECOND * unit}) + b"\n"
    verdict = judged(tmp_path, files, NO_LOSS)
    assert (only(verdict), [(one["file"], one["line"]) for one in verdict["damaged"]]) == (
        UNKNOWN,
        [("strange.jsonl", 1)],
    )


@pytest.mark.parametrize("name", ["since", "until"])
def test_a_replay_of_times_in_another_unit_is_damage(tmp_path: Path, name: str) -> None:
    record = {"event": "mark", "name": "replay-started", "replay": "r", "at": seconds(5), name: 1_700_000_000}
    files = together(once("m", 0), TOLD) | {"strange": orjson.dumps(record) + b"\n"}
    assert len(judged(tmp_path, files, NO_LOSS)["damaged"]) == 1


@pytest.mark.parametrize(
    ("again", "damaged"),
    [
        (intended(0), 0),
        (intended(9, due=0), 0),
        (intended(9, due=0, seq=2), 1),
        (intended(9, due=0, group="h"), 1),
        (intended(9, due=9), 1),
        (intended(9, due=0, expect=["q", "r"]), 1),
        (said("intended", 9, id="m", attempt=1, producer="p", expect=["q"]), 1),
        (said("intended", 9, id="m", attempt=2, producer="p"), 0),
        (said("intended", 9, id="m", attempt=2, producer="p", seq=1), 0),
        (said("intended", 9, id="m", attempt=2, producer="p", seq=2), 1),
    ],
    ids=["same", "anew", "seq", "group", "due", "expect", "nothing", "retry", "retry, same", "retry, another"],
)
def test_one_id_for_two_messages_is_damage(tmp_path: Path, again: bytes, damaged: int) -> None:
    verdict = judged(tmp_path, together(once("m", 0), {"producer": again}, TOLD), NO_LOSS)
    assert (only(verdict), len(verdict["damaged"])) == (UNKNOWN if damaged else HOLDS, damaged)


# Packed files


def test_a_packed_file_is_read_as_its_plain_name(tmp_path: Path) -> None:
    files = together(once("m", 0), TOLD, {"conductor": mark(101, "writer", file="producer.jsonl")})
    files["producer.gz"] = files.pop("producer")
    verdict = judged(tmp_path, files, NO_LOSS)
    assert (only(verdict), verdict["damaged"]) == (HOLDS, [])


def test_a_torn_line_of_a_packed_file_is_counted(tmp_path: Path) -> None:
    files = together(once("m", 0), TOLD)
    files["producer.gz"] = files.pop("producer") + b'{"event":"int'
    assert judged(tmp_path, files, NO_LOSS)["torn_lines"] == 1


def test_a_file_both_plain_and_packed_is_damage(tmp_path: Path) -> None:
    files = together(once("m", 0), TOLD)
    verdict = judged(tmp_path, files | {"producer.gz": files["producer"]}, NO_LOSS)
    assert (only(verdict), [one["file"] for one in verdict["damaged"]]) == (UNKNOWN, ["producer.jsonl"])


def test_a_packed_file_that_is_cut_is_damage(tmp_path: Path) -> None:
    files = together(once("m", 0), TOLD)
    files["producer.gz"] = files.pop("producer")
    judged(tmp_path, files, NO_LOSS)
    packed = tmp_path / "history" / "producer.jsonl.gz"
    packed.write_bytes(packed.read_bytes()[:-9])
    assert [one["file"] for one in judge(tmp_path)["damaged"]] == ["producer.jsonl"]

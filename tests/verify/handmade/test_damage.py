"""Damage: torn tails are expected, anything else that cannot be read makes every claim unknown.

`orders` is a standard queue; a and b are sent by p1 and taken by c1.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from gameday.history.errors import UsageError
from gameday.verify.judge import judge
from tests.verify.handmade.builder import History, check, counts, judged, judged_run, ns, queue, verdict_of


def whole(*, lost: bool = False) -> History:
    h = History({"orders": queue()}, ["no-loss", "no-phantom"])
    h.send("a", at=1)
    h.send("b", at=1.1)
    h.take("a", at=2)
    if not lost:
        h.take("b", at=3)
    h.drained(at=10)
    return h


def damaged(h: History, tmp_path: Path, *names: str) -> None:
    """Every claim is unknown, and the document names the file and what else is given."""
    verdict = judged(h, tmp_path)
    document: dict[str, Any] = verdict.document
    assert {claim["verdict"] for claim in document["claims"]} == {"unknown"}
    assert document["verdict"] == "unknown"
    assert verdict.exit_code == 3
    told = json.dumps(document["damaged"])
    assert document["damaged"]
    for name in names:
        assert name in told


def readable(h: History, tmp_path: Path, torn: int = 0) -> None:
    document = verdict_of(h, tmp_path)
    check(document, {"no-loss": ("holds", 2), "no-phantom": ("holds", 2)})
    assert document["torn_lines"] == torn
    assert document["damaged"] == []


def test_a_whole_history(tmp_path: Path) -> None:
    readable(whole(), tmp_path)


# -- tails


@pytest.mark.parametrize(
    "tail", [b"{", b'{"event": "received", "at": 17000', b'{"event": "mark", "name": "cl\xc3', b"\x00"]
)
def test_a_torn_tail(tmp_path: Path, tail: bytes) -> None:
    # c1 was killed while it wrote its last record.
    h = whole()
    h.kill("c1")
    h.append("c1", tail)
    readable(h, tmp_path, torn=1)


def test_two_torn_tails(tmp_path: Path) -> None:
    h = whole()
    for name in ("c1", "p1"):
        h.kill(name)
        h.append(name, b'{"event": "mark"')
    readable(h, tmp_path, torn=2)


def test_a_torn_tail_alone_in_its_file(tmp_path: Path) -> None:
    # c2 was killed at its first record.
    h = whole()
    h.kill("c2")
    h.append("c2", b'{"event": "rec')
    readable(h, tmp_path, torn=1)


def test_a_receive_in_the_torn_tail(tmp_path: Path) -> None:
    # c1 was killed while it recorded b; b comes again, and its count tells of the receive that was torn. Legal.
    h = whole(lost=True)
    h.kill("c1")
    h.append("c1", b'{"event": "received", "at": 1700000003000000000, "id": "b", "subscr')
    h.take("b", at=9, consumer="c2", receives=2)
    document = verdict_of(h, tmp_path)
    check(document, {"no-loss": ("holds", 2), "no-phantom": ("holds", 2)}, {"unrecorded-receive": 1})
    assert document["torn_lines"] == 1


def test_a_killed_process_without_a_torn_tail(tmp_path: Path) -> None:
    h = whole()
    h.kill("c1")
    readable(h, tmp_path)


def test_an_empty_file(tmp_path: Path) -> None:
    # c2 was killed before its first record.
    h = whole()
    h.kill("c2")
    readable(h, tmp_path)


def test_a_last_line_without_newline_that_can_be_read(tmp_path: Path) -> None:
    # c1 was killed between the record and its newline: b's receive is a record (the delete is not there: b's hold is
    # over at 8 and the queue is not drained). Skipped as torn, b would be unseen.
    h = History({"orders": queue()}, ["no-phantom"])
    h.send("a", at=1)
    h.send("b", at=1.1)
    h.take("a", at=2)
    h.receive("b", at=3)
    h.kill("c1")
    h.unend("c1")
    document = verdict_of(h, tmp_path)
    check(document, {"no-phantom": ("holds", 2)})
    assert document["torn_lines"] == 0
    assert document["damaged"] == []


def test_a_closed_mark_without_newline(tmp_path: Path) -> None:
    h = whole()
    h.unend("c1")
    readable(h, tmp_path)


def test_a_torn_line_after_closed(tmp_path: Path) -> None:
    # c1 ended in good order, and yet something tore.
    h = whole()
    h.append("c1", b'{"event": "received", "at"')
    damaged(h, tmp_path, "c1.jsonl")


# -- lines


NOT_RECORDS = [
    b"not json",
    b"",
    b"[]",
    b"7",
    b"null",
    b'"event"',
    b"{}",
    b'{"event": "mark"}',
    b'{"at": 1700000003000000000}',
    b'{"event": "mark", "at": "1700000003000000000"}',
    b'{"event": "mark", "at": 1700000003.5}',
    b'{"event": "mark", "at": null}',
    b'{"event": "mark", "at": true}',
    b'{"event": "mark", "at": 17000',
    b'{"event": "mark", "at": 1700000003000000000, "name": "\xff"}',
]


@pytest.mark.parametrize("line", NOT_RECORDS)
def test_a_line_that_is_no_record(tmp_path: Path, line: bytes) -> None:
    # Line 23 of the file ends with a newline: it was written whole and damaged afterwards.
    h = whole()
    h.kill("late")
    good = json.dumps({"event": "mark", "at": ns(3), "by": "late", "name": "something"}).encode() + b"\n"
    h.append("late", good * 22 + line + b"\n" + good)
    damaged(h, tmp_path, "late.jsonl", "23")


@pytest.mark.parametrize("line", [b'{"event": "mark", "at": 17000', b"{}"])
def test_a_last_line_with_a_newline_is_not_torn(tmp_path: Path, line: bytes) -> None:
    h = whole()
    h.kill("c1")
    h.append("c1", line + b"\n")
    damaged(h, tmp_path, "c1.jsonl")


def test_a_listed_file_that_is_absent(tmp_path: Path) -> None:
    h = whole()
    h.lose("c2")
    damaged(h, tmp_path, "c2.jsonl")


def test_a_file_listed_by_another_process_that_is_absent(tmp_path: Path) -> None:
    # Any process may start another.
    h = whole()
    h.mark("writer", at=1.5, by="c1", file="c1-child.jsonl")
    damaged(h, tmp_path, "c1-child.jsonl")


def test_damage_is_unknown_even_where_a_claim_was_violated(tmp_path: Path) -> None:
    # b is lost, or its receive is what was damaged.
    h = whole(lost=True)
    h.lose("c2")
    damaged(h, tmp_path, "c2.jsonl")


def test_the_same_without_the_damage(tmp_path: Path) -> None:
    check(verdict_of(whole(lost=True), tmp_path), {"no-loss": ("violated", 2)}, {"lost": 1})


# -- what a reader does not know


def test_unknown_events_and_fields(tmp_path: Path) -> None:
    h = whole()
    h.record("c1", 4, "hiccup", id="a", subscription="orders", cause={"deep": [1, 2, {"er": None}]})
    h.record("main", 5, "mark", name="tea-break", subscription="orders", empty=False)
    h.record("p2", 2, "intention", id="ghost", expect=["orders"])
    for records in h.files.values():
        for record in records:
            record["colour"] = "green"
            record["nested"] = {"event": "received", "id": "ghost"}
    readable(h, tmp_path)


@pytest.mark.parametrize("number", [2**63, 2**64, 10**30, -(10**30)])
def test_numbers_beyond_64_bits(tmp_path: Path, number: int) -> None:
    # JSON numbers have no size: neither a field nobody knows nor an event nobody knows harms.
    h = whole()
    for records in h.files.values():
        for record in records:
            record["huge"] = number
            record["deep"] = {"huge": [number]}
    readable(h, tmp_path)


@pytest.mark.parametrize("at", [2**63, 2**64, 10**30])
def test_a_time_beyond_64_bits(tmp_path: Path, at: int) -> None:
    # No clock of nanoseconds gives such a time (2**63 is the year 2262), so it is no time that can be ordered.
    h = whole()
    h.kill("c2")
    h.append("c2", json.dumps({"event": "hiccup", "at": at}).encode() + b"\n")
    damaged(h, tmp_path, "c2.jsonl")


def test_unusual_but_valid_json(tmp_path: Path) -> None:
    # Spaces, escapes and another order of the fields change nothing: b is taken by c2 in such lines.
    h = whole(lost=True)
    h.kill("c2")
    lines = [
        f' {{ "at" : {ns(3)} , "by":"c2", "subscription":"\\u006frders", "id":"\\u0062", "event":"rec\\u0065ived", '
        f'"consumer":"c2","batch":"x","started":{ns(2.9)},"broker_id":"b-b","receives":1,"hidden_s":5 }} ',
        f'{{"event":"settling","by":"c2","at":{ns(3.1)},"id":"b","subscription":"orders","consumer":"c2","batch":"x",'
        '"broker_id":"b-b","action":"delete"}\r',
    ]
    h.append("c2", "".join(line + "\n" for line in lines).encode())
    document = verdict_of(h, tmp_path)
    check(document, {"no-loss": ("holds", 2), "no-phantom": ("holds", 2)})
    assert document["damaged"] == []


def test_only_jsonl_files_are_history(tmp_path: Path) -> None:
    h = whole()
    run = h.write(tmp_path / "run")
    (run / "history" / "notes.txt").write_text("no history\n")
    (run / "history" / "c1.jsonl.bak").write_text("no history\n")
    (run / "notes.jsonl").write_text("no history\n")
    written = History({"orders": queue()}, ["no-loss", "no-phantom"])
    written.write = lambda path: run  # type: ignore[method-assign,assignment]
    readable(written, tmp_path)


def test_files_of_any_number_and_name(tmp_path: Path) -> None:
    # Each of twelve consumers has its file; so has the one that only ever closed.
    h = History({"orders": queue()}, ["no-loss"])
    for n in range(12):
        h.send(f"m{n}", at=1 + n / 10)
        h.take(f"m{n}", at=3 + n / 10, consumer=f"consumer-{n} of 12")
    h.process("idle")
    h.drained(at=10)
    document = verdict_of(h, tmp_path)
    check(document, {"no-loss": ("holds", 12)})
    assert counts(document) == {}


# -- one id for two messages, times of another unit, files that were packed


def first_intent(h: History) -> dict[str, Any]:
    """What the first `intended` of a says."""
    (first,) = [record for record in h.files["p1"] if record["event"] == "intended" and record["id"] == "a"]
    return {name: value for name, value in first.items() if name not in ("event", "at", "by")}


@pytest.mark.parametrize("field, value", [("seq", 2), ("group", "other"), ("due", ns(9)), ("expect", ["orders", "x"])])
def test_one_id_for_two_messages(tmp_path: Path, field: str, value: object) -> None:
    h = whole()
    (first,) = [dict(record) for record in h.files["p1"] if record["event"] == "intended" and record["id"] == "a"]
    h.record(
        "p1", 1.5, "intended", **{k: v for k, v in first.items() if k not in ("event", "at", "by")} | {field: value}
    )
    damaged(h, tmp_path, "p1.jsonl", "one id stands for two messages")


def test_one_id_for_two_messages_whose_first_attempts_are_missing(tmp_path: Path) -> None:
    h = whole()
    told = first_intent(h)
    h.files["p1"] = [r for r in h.files["p1"] if not (r["event"] == "intended" and r["id"] == "a")]
    for seq in (1, 2):
        h.record("p1", 1.5, "intended", **told | {"attempt": 2, "seq": seq})
    damaged(h, tmp_path, "p1.jsonl", "a was intended as attempt 2 with another group, seq")


def test_a_later_attempt_of_another_message(tmp_path: Path) -> None:
    h = whole()
    h.record("p1", 1.5, "intended", id="a", attempt=2, producer="p1", seq=7)
    damaged(h, tmp_path, "p1.jsonl", "attempt 2")


def test_a_producer_that_started_anew(tmp_path: Path) -> None:
    # The very same record again.
    h = whole()
    h.record("p1", 1.5, "intended", **first_intent(h))
    readable(h, tmp_path)


@pytest.mark.parametrize("divisor, unit", [(10**9, "seconds"), (10**6, "milliseconds"), (10**3, "microseconds")])
def test_times_of_another_unit(tmp_path: Path, divisor: int, unit: str) -> None:
    h = whole()
    for records in h.files.values():
        for record in records:
            for name in ("at", "started", "due", "enqueued"):
                if name in record:
                    record[name] //= divisor
    damaged(h, tmp_path, unit, "nanoseconds")


@pytest.mark.parametrize("event", ["settling", "settled"])
def test_an_action_that_does_not_exist(tmp_path: Path, event: str) -> None:
    # It would be taken for none at all, and the message for one that vanished.
    h = whole()
    for record in h.files["c1"]:
        if record["event"] == event:
            record["action"] = "deleted"
    damaged(h, tmp_path, "c1.jsonl", "deleted", "must be one of checkpoint, delete, extend, release")


@pytest.mark.parametrize("name", ["started", "enqueued"])
def test_one_time_of_another_unit(tmp_path: Path, name: str) -> None:
    h = whole()
    for record in h.files["c1"]:
        if name in record:
            record[name] //= 10**6
    damaged(h, tmp_path, "c1.jsonl", name, "milliseconds")


def test_many_damaged_lines_are_counted(tmp_path: Path) -> None:
    h = whole()
    h.append("c1", b"{}\n" * 500)
    document = judged(h, tmp_path).document
    assert len(document["damaged"]) == 101
    assert "and 400 more" in document["damaged"][-1]["why"]


def packed(h: History, tmp_path: Path, *, keep: bool = False, cut: int = 0) -> Path:
    run = h.write(tmp_path / "packed")
    file = run / "history" / "c1.jsonl"
    data = gzip.compress(file.read_bytes())
    file.with_name("c1.jsonl.gz").write_bytes(data[: len(data) - cut])
    if not keep:
        file.unlink()
    return run


def test_a_packed_file_is_read(tmp_path: Path) -> None:
    # Though it was listed by the name that it had before.
    document = judged_run(packed(whole(), tmp_path)).document
    check(document, {"no-loss": ("holds", 2)})
    assert not document["damaged"]


@pytest.mark.parametrize("how", [{"keep": True}, {"cut": 20}])
def test_a_packed_file_beside_itself_or_cut_short(tmp_path: Path, how: dict[str, Any]) -> None:
    document = judged_run(packed(whole(), tmp_path, **how)).document
    assert document["verdict"] == "unknown"
    assert "c1.jsonl.gz" in json.dumps(document["damaged"])


# -- names that the format does not know


def misspelt() -> History:
    h = whole()
    for record in h.files["c1"]:
        if record["event"] == "received":
            record["event"] = "recieved"
            record["recieves"] = 1
    h.record("main", 9, "mark", name="drainde", subscription="orders", empty=True)
    h.record("main", 9, "dead", id="x", subscription="orders", recieves=1)
    return h


def test_unknown_names_are_counted_and_named(tmp_path: Path) -> None:
    h = misspelt()
    run = h.write(tmp_path / "run")
    (run / "history" / "notes.txt").write_text("mine")
    ignored = judged_run(run).document["ignored"]
    assert {(each["kind"], each["name"], each["count"], each["near"]) for each in ignored} == {
        ("event", "recieved", 2, "received"),
        ("mark", "drainde", 1, "drained"),
        ("field", "recieves", 1, "receives"),
        ("file", "notes.txt", 1, None),
    }
    assert "c1.jsonl:1" in {each["first"] for each in ignored}


def test_unknown_names_of_the_manifest_are_named(tmp_path: Path) -> None:
    h = History({"orders": queue(order_by="group")}, ["no-loss"], manifest={"clock_eror_ns": 3})
    ignored = judged(h, tmp_path).document["ignored"]
    assert {(each["name"], each["of"], each["near"], each["first"]) for each in ignored} == {
        ("clock_eror_ns", "the manifest", "clock_error_ns", "manifest.json"),
        ("order_by", "subscription orders", "ordered_by", "manifest.json"),
    }


def test_a_run_that_was_ended_says_so(tmp_path: Path) -> None:
    h = whole()
    h.mark("aborted", at=9, reason="interrupted")
    document = judged(h, tmp_path).document
    assert document["aborted"] == "interrupted"
    assert "interrupted" in document["notes"][0]["text"]


def test_unknown_names_are_refused_where_asked(tmp_path: Path) -> None:
    run = misspelt().write(tmp_path / "run")
    with pytest.raises(UsageError, match=r"c1\.jsonl:1: unknown event `recieved`; did you mean `received`\?"):
        judge(run, strict=True)
    assert judge(whole().write(tmp_path / "good"), strict=True).verdict == "holds"


def test_the_smallest_example_of_the_page(tmp_path: Path) -> None:
    # What the page shows is judged as it says.
    page = (Path(__file__).parents[3] / "docs" / "history.md").read_text(encoding="utf-8")
    section = page.split("## Smallest example")[1].split("\n## ")[0]
    lines = [line.strip() for line in section.splitlines() if line.startswith("    {")]
    files = {"manifest.json": lines[:1], "history/producer.jsonl": lines[1:3], "history/consumer.jsonl": lines[3:]}
    for last, expected in ((None, "holds"), (-1, "unknown")):
        run = tmp_path / str(expected)
        (run / "history").mkdir(parents=True)
        for name, content in files.items():
            kept = content[:last] if name.endswith("consumer.jsonl") else content
            (run / name).write_text("\n".join(kept) + "\n", encoding="utf-8")
        document = judge(run, strict=True).document
        assert document["verdict"] == expected, document["claims"]
        assert document["claims"][0]["checked"] == 1

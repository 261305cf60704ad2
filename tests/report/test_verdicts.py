"""What a verdict looks like: JSON alone on standard output, JUnit never green for nothing, a table for people."""

from __future__ import annotations

import json
import xml.etree.ElementTree as xml
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from gameday.report.text import junit, show, summary
from gameday.verify.judge import Verdict, judge
from gameday.verify.notes import notes
from tests.verify.handmade.builder import BASE, History, Json, fifo, judged_run, ns, queue, verdict_of

pytestmark = pytest.mark.usefixtures("judged_ahead")


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    """`b` was lost; nothing says anything of effects; no phantom. Judged once, and changed by nobody."""
    h = History({"orders": queue()}, ["no-loss", "exactly-once-effect", "no-phantom"])
    h.send("a", at=1)
    h.send("b", at=1.1)
    h.take("a", at=2)
    h.drained(at=10)
    return judge(h.write(tmp_path_factory.mktemp("lost") / "run"))


def test_json_is_the_document_alone(verdict: Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    show(verdict, "json")
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(verdict.document))


def test_junit_fails_what_is_violated_and_errs_on_what_is_unknown(
    verdict: Verdict, capsys: pytest.CaptureFixture[str]
) -> None:
    show(verdict, "junit")
    suite = suite_of(capsys.readouterr().out)
    told = {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")}
    assert told == {"no-loss": ["failure"], "exactly-once-effect": ["error"], "no-phantom": ["system-out"]}
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    failure = suite.find(".//failure")
    assert failure is not None and failure.text is not None
    assert "lost: message b on orders" in failure.text


def test_the_table_shows_counts_bounds_and_the_lost_message(
    verdict: Verdict, capsys: pytest.CaptureFixture[str]
) -> None:
    show(verdict, "text")
    out = capsys.readouterr().out
    assert "1 lost" in out
    assert "lost: message b on orders. Cause: broker. The service broke its promise" in out
    assert "At work: no fault was at work on it" in " ".join(out.split())
    assert "did not come broker 1 " in " ".join(out.split())
    assert "exactly-once-effect: orders: no effects recorded" in out
    assert "messages: 2 attempted, 2 accepted; orders: 1 of 2 received" in out
    assert out.rstrip().endswith("verdict: violated")
    assert max(len(line) for line in out.splitlines()) <= 132


def test_a_loss_on_a_slow_service_may_be_late(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    h = History({"orders": queue(settle_s=60)}, ["no-loss"])
    h.send("a", at=1)
    h.send("b", at=1.1)
    h.take("a", at=2)
    h.drained(at=100)
    assert "1 lost, or later than 60 s" in shown(verdict_of(h, tmp_path), capsys)


# JUnit


def suite_of(text: str) -> xml.Element:
    root = xml.fromstring(text)
    assert (root.tag, [child.tag for child in root]) == ("testsuites", ["testsuite"])
    return root[0]


def named(run: str, scenario: str, tmp_path: Path, *, at: float = 1) -> xml.Element:
    h = History(
        {"orders": queue()},
        ["no-phantom", {"claim": "lag", "max_s": 2}],
        manifest={"run": run, "seed": 11, "target": "embedded", "scenario": {"name": scenario}},
    )
    h.send("a", at=at)
    h.take("a", at=at + 1)
    return suite_of(junit(verdict_of(h, tmp_path)))


def test_the_names_of_junit_stay_the_same_from_run_to_run(tmp_path: Path) -> None:
    first, second = named("calm-1", "calm", tmp_path), named("calm-2", "calm", tmp_path, at=5)
    other = named("storm-1", "storm", tmp_path)

    def names(suite: xml.Element) -> list[tuple[str | None, ...]]:
        return [(suite.get("name"), c.get("classname"), c.get("name")) for c in suite.iter("testcase")]

    assert names(first) == names(second)
    # A bound is not part of a name: whoever moves it still sees the history of the claim.
    assert names(first) == [("gameday.calm", "gameday.calm", claim) for claim in ("no-phantom", "lag")]
    assert not set(names(first)) & set(names(other)), "cases of two scenarios must not collide"


def test_junit_says_which_run_it_was_and_how_long_it_took(tmp_path: Path) -> None:
    suite = named("calm-1", "calm", tmp_path)
    told = {p.get("name"): p.get("value") for p in suite.iter("property")}
    assert told == {
        "run": "calm-1",
        "scenario": "calm",
        "seed": "11",
        "target": "embedded",
        "version": metadata.version("gameday"),
        "verdict": "holds",
    }
    # From the first record, the `writer` marks at 0 s, to the last, the answer to the delete.
    assert suite.get("time") == "2.110"
    assert suite.get("timestamp") == "2023-11-14T22:13:20"
    # One run judges all claims, so a sum over the cases must not count its length again for each.
    assert {case.get("time") for case in suite.iter("testcase")} == {"0.000"}


def test_a_run_of_another_program_has_names_too(tmp_path: Path) -> None:
    h = History({"orders": queue()}, ["no-phantom"], manifest={"run": "theirs"})
    h.send("a", at=1)
    h.take("a", at=2)
    assert suite_of(junit(verdict_of(h, tmp_path))).get("name") == "gameday.theirs"


def test_a_claim_of_two_times_has_two_names(verdict: Verdict) -> None:
    claim = verdict.document["claims"][2] | {"claim": "lag"}
    claims = [claim | {"key": key, "bounds": {"p99_s": 2.0}} for key in ("lag", "lag during faults")]
    suite = suite_of(junit(verdict.document | {"claims": claims}))
    assert [case.get("name") for case in suite.iter("testcase")] == ["lag", "lag during faults"]


# Children and attributes of each element: what we use of Jenkins's junit-10.xsd, which GitLab reads too.
SCHEMA: Mapping[str, tuple[set[str], set[str]]] = {
    "testsuites": ({"testsuite"}, {"name", "tests", "failures", "errors", "time"}),
    "testsuite": (
        {"properties", "testcase", "system-out"},
        {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
    ),
    "properties": ({"property"}, set()),
    "property": (set(), {"name", "value"}),
    "testcase": ({"failure", "error", "system-out"}, {"name", "classname", "time"}),
    "failure": (set(), {"message", "type"}),
    "error": (set(), {"message", "type"}),
    "system-out": (set(), set()),
}


def test_junit_is_what_ci_servers_read(verdict: Verdict) -> None:
    for element in xml.fromstring(junit(verdict.document)).iter():
        children, attributes = SCHEMA[element.tag]
        assert {child.tag for child in element} <= children
        assert set(element.attrib) == attributes


def test_what_xml_cannot_hold_does_not_break_junit(tmp_path: Path) -> None:
    h = History({"orders": queue()}, ["no-loss"])
    h.send("a\x00\x1b[31m", at=1)
    h.send("b", at=1)
    h.take("b", at=2)
    h.drained(at=10)
    assert "message a\ufffd\ufffd[31m on orders" in "".join(suite_of(junit(verdict_of(h, tmp_path))).itertext())


def test_junit_says_what_a_claim_means(verdict: Verdict) -> None:
    failure = suite_of(junit(verdict.document)).find(".//failure")
    assert failure is not None and failure.text is not None
    assert "Every message that the service accepted reached a consumer or the dead-letter queue." in failure.text


# verdict.json


def test_the_verdict_says_what_was_judged_and_how_much_there_was(tmp_path: Path) -> None:
    h = History(
        {"orders": queue(dead_letter=True), "audit": queue()},
        ["no-loss"],
        manifest={"seed": 11, "target": "embedded", "scenario": {"name": "calm"}},
    )
    h.mark("load-started", at=1)
    h.send("a", at=1)
    h.send("b", at=1, poison=True, expect=["orders"])
    h.send("c", at=1, outcome="failed")
    h.send("d", at=1, outcome="unknown")
    h.mark("load-stopped", at=2, scheduled=5)
    h.handle("a", at=2, sub="orders")
    h.handle("a", at=8, sub="orders")
    h.receive("b", at=2, sub="orders")
    h.dead("b", at=9, sub="orders")
    document = verdict_of(h, tmp_path)
    assert {key: document[key] for key in ("scenario", "seed", "target", "version", "started", "duration_s")} == {
        "scenario": "calm",
        "seed": 11,
        "target": "embedded",
        "version": metadata.version("gameday"),
        "started": BASE,
        "duration_s": 9.0,
    }
    none = dict.fromkeys(("received", "receives", "dead", "poison", "dead_poison", "applied"), 0)
    assert document["totals"] == {
        "scheduled": 5,
        "intended": 4,
        "acked": 2,
        "failed": 1,
        "unknown": 1,
        "late": 0,
        "latest_s": 0.0,
        "subscriptions": {
            "audit": none | {"expected": 3, "acked": 1},
            "orders": {
                "expected": 4,
                "acked": 2,
                "received": 2,
                "receives": 3,
                "dead": 1,
                "poison": 1,
                "dead_poison": 1,
                "applied": 1,
            },
        },
    }


def test_a_history_without_a_word_has_totals_too(tmp_path: Path) -> None:
    h = History({"orders": queue()}, ["no-loss"])
    run = h.write(tmp_path / "run")
    (run / "history" / "main.jsonl").write_bytes(b"")
    document = judged_run(run).document
    assert (document["started"], document["duration_s"], document["scenario"]) == (None, 0.0, None)
    assert document["totals"]["scheduled"] is None
    assert document["totals"]["intended"] == document["totals"]["subscriptions"]["orders"]["expected"] == 0
    suite_of(junit(document))


# What must not be overlooked


def shown(document: Json, capsys: pytest.CaptureFixture[str]) -> str:
    """The text of a verdict, with every run of white space made one space."""
    show(Verdict(verdict=document["verdict"], document=document), "text")
    return " ".join(capsys.readouterr().out.split())


def dying(*claims: str | Json, poison: bool = False, failed: bool = False) -> History:
    """`a` ends among the dead letters, and `b` does not."""
    h = History({"orders": queue(dead_letter=True, max_receives=1)}, claims)
    h.send("a", at=1, poison=poison)
    h.send("b", at=1)
    h.receive("a", at=2)
    if failed:
        h.effect("a", at=2.1, outcome="failed")
    h.handle("b", at=2)
    h.dead("a", at=9)
    h.drained(at=10)
    return h


@pytest.mark.parametrize(
    ("claims", "how", "said"),
    [
        (
            ["no-loss"],
            {},
            "claim `dead-letter` to have it judged, "
            "with `strict: true` for those that no handler ever failed (collateral-dead)",
        ),
        (["no-loss"], {"failed": True}, "claim `dead-letter` to have it judged"),
        (["no-loss", "dead-letter"], {"failed": True}, "`dead-letter` judges that"),
        (
            ["no-loss", "dead-letter"],
            {},
            "`dead-letter` judges that, with `strict: true` those that no handler ever failed (collateral-dead) too",
        ),
        (["no-loss", {"claim": "dead-letter", "strict": True}], {}, "`dead-letter` judges that, strictly"),
    ],
)
def test_who_died_healthy_is_counted_beside_no_loss(
    claims: list[str | Json], how: Mapping[str, bool], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = verdict_of(dying(*claims, **how), tmp_path)
    (note,) = document["notes"]
    told = "1 of 2 messages ended among the dead letters of orders, none of them poison. A dead letter is not lost: "
    assert note == {"claims": ["no-loss"], "text": told + said}
    text = shown(document, capsys)
    assert "no violation, 1 among the dead letters" in text
    assert f"no-loss: {told}{said}" in text
    (case, *_) = suite_of(junit(document)).iter("testcase")
    assert told + said in "".join(case.itertext())


def test_poison_that_died_is_where_it_belongs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = verdict_of(dying("no-loss", "dead-letter", poison=True, failed=True), tmp_path)
    assert asked["notes"] == []
    assert "no violation, 1 among the dead letters" in shown(asked, capsys)
    unasked = verdict_of(dying("no-loss", poison=True, failed=True), tmp_path)
    assert [note["text"] for note in unasked["notes"]] == [
        "1 of 2 messages ended among the dead letters of orders, all of them poison. A dead letter is not lost: "
        "claim `dead-letter` to have it judged"
    ]


def test_where_nobody_died_nothing_is_said_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    h = History({"orders": queue(dead_letter=True)}, ["no-loss"])
    h.send("a", at=1)
    h.take("a", at=2)
    h.drained(at=10)
    document = verdict_of(h, tmp_path)
    assert document["notes"] == []
    assert "dead" not in shown(document, capsys).partition("claim verdict")[2].partition("messages:")[2]


def test_a_note_that_belongs_to_no_claim_of_the_run_is_still_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = verdict_of(dying("no-phantom"), tmp_path)
    assert "note: 1 of 2 messages ended among the dead letters" in shown(document, capsys)
    (out,) = [child.text for child in suite_of(junit(document)) if child.tag == "system-out"]
    assert "1 of 2 messages ended among the dead letters" in str(out)


def test_what_was_found_names_the_claim_that_judges_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(verdict_of(dying("no-loss"), tmp_path), capsys)
    assert "not claimed: dead-letter (strict)" in text
    assert "ordered-per-group" not in text, "it covers no subscription of this run"
    text = shown(verdict_of(dying({"claim": "dead-letter", "strict": True}), tmp_path), capsys)
    assert "not claimed" not in text.partition("collateral-dead")[2].partition("collateral-dead: message")[0]


def test_what_was_never_accepted_is_said_and_the_claim_that_asks_is_named(verdict: Verdict) -> None:
    """The count is the judge's; here it is put into a document of its kind."""
    document = verdict.document | {
        "anomalies": verdict.document["anomalies"] | {"given-up": {"count": 29, "examples": []}},
        "totals": verdict.document["totals"] | {"intended": 160},
    }
    (note,) = notes(document)
    assert note["claims"] == ["no-loss"]
    assert note["text"].startswith("29 of 160 messages were never accepted (given-up): ")
    assert note["text"].endswith("claim `all-accepted` to have it judged")
    claimed = [*document["claims"], {"claim": "all-accepted", "verdict": "violated", "anomalies": {"given-up": 29}}]
    (note,) = notes(document | {"claims": claimed})
    assert note["claims"] == ["all-accepted"]
    assert "`all-accepted` judges that" in note["text"]


def test_a_promise_of_the_user_is_not_called_one_of_aws(verdict: Verdict) -> None:
    promised = verdict.document["subscriptions"]["orders"] | {"promised_by": "user"}
    (note,) = notes(verdict.document | {"subscriptions": {"orders": promised}})
    assert note["claims"] == ["no-loss", "exactly-once-effect"]
    assert "at-least-once on orders is the user's promise" in note["text"] and "not AWS's" in note["text"]


@pytest.mark.parametrize("ruling", ["holds", "unknown"])
def test_a_claim_that_looked_at_less_than_half_says_so_in_words(
    ruling: str, verdict: Verdict, capsys: pytest.CaptureFixture[str]
) -> None:
    claim: dict[str, Any] = {
        "claim": "lag",
        "key": "lag",
        "bounds": {"p99_s": 2.0, "grace_s": 7.0},
        "verdict": ruling,
        "checked": 84,
        "covers": 2424,
        "left_out": {"around faults": 2340},
        "rate_upper_95": None,
        "why": [] if ruling == "holds" else ["orders: 84 messages are too few to tell p99 (100 needed)"],
        "anomalies": {},
    }
    document = verdict.document | {"claims": [claim], "verdict": ruling}
    text = shown(document, capsys)
    assert "looked at 84 of 2,424: 2,340 left out around faults (grace 7 s), " in text
    assert "looked at 84 of 2,424: 2,340 left out around faults" in junit(document)
    more = claim | {"checked": 2000, "left_out": {"around faults": 424}}
    text = shown(document | {"claims": [more]}, capsys)
    assert "looked at 2,000" not in text
    assert ", 424 left out around faults (grace 7 s)" in text


def test_a_list_of_reasons_that_is_cut_short_says_so(verdict: Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    claim = verdict.document["claims"][1] | {"why": [f"reason {n}" for n in range(6)]}
    text = shown(verdict.document | {"claims": [claim]}, capsys)
    assert "reason 0, and 5 more" in text
    assert "reason 3" in text and "reason 4" not in text
    assert "exactly-once-effect: and 2 more" in text


def test_a_list_of_damages_that_is_cut_short_says_so(verdict: Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = [{"file": "load.jsonl", "line": n, "why": "no record"} for n in range(1, 13)]
    text = shown(verdict.document | {"damaged": damaged}, capsys)
    assert "load.jsonl:10: no record" in text and "load.jsonl:11" not in text
    assert "damaged: and 2 more" in text


def test_examples_that_are_cut_short_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    h = History({"orders": queue()}, ["no-loss"])
    for n in range(5):
        h.send(f"m{n}", at=1)
    h.send("z", at=1)
    h.take("z", at=2)
    h.drained(at=10)
    text = shown(verdict_of(h, tmp_path), capsys)
    assert "message m2 on orders" in text and "message m3" not in text
    assert "3 shown of 5 lost" in text


@pytest.mark.parametrize(
    ("promised", "drained", "anomaly"),
    [(queue(promises="at-most-once", filtered=True), True, "lost"), (queue(), False, "unseen")],
)
def test_a_loss_that_leaves_a_claim_unknown_is_shown(
    promised: Json, drained: bool, anomaly: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    h = History({"orders": promised}, ["no-loss"])
    h.send("a", at=1)
    h.send("b", at=1)
    h.take("a", at=2)
    h.drained(at=10, empty=drained)
    document = verdict_of(h, tmp_path)
    assert document["verdict"] == "unknown"
    assert f"{anomaly}: message b on orders" in shown(document, capsys)
    assert f"{anomaly}: message b on orders" in junit(document)


def test_brackets_are_shown_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    h = History({"[red]orders": queue()}, ["no-loss"])
    h.send("a", at=1)
    h.send("b", at=1)
    h.take("a", at=2)
    assert "[red]orders: 1 acked" in shown(verdict_of(h, tmp_path), capsys)


# The evidence


def overtaken() -> History:
    """`a` is applied twice: by c1, which a fault strikes meanwhile, and by c2."""
    h = History({"orders": fifo()}, ["exactly-once-effect"])
    h.send("a", at=1)
    h.receive("a", at=2, consumer="c1")
    h.effect("a", at=2.1)
    h.fault(1.5, 3)
    h.handle("a", at=8, consumer="c2")
    h.effects("a", at=20, applied=2)
    h.effects_read(at=20)
    h.drained(at=21)
    return h


def test_a_timeline_has_lines_for_the_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = verdict_of(overtaken(), tmp_path)
    (example,) = document["anomalies"]["effect-duplicate"]["examples"]
    faults = [event for event in example["timeline"] if event["event"] == "fault"]
    told = {"event": "fault", "fault": "kill-consumer", "targets": ["c1"]}
    assert faults == [told | {"phase": "start", "at": ns(1.5)}, told | {"phase": "stop", "at": ns(3)}]
    at = [event["at"] for event in example["timeline"]]
    assert at == sorted(at)
    text = shown(document, capsys)
    assert "+0.500 s fault start c1 kill-consumer" in text
    assert "+2.000 s fault stop c1 kill-consumer" in text


def test_a_fault_before_the_message_leaves_the_clock_of_its_timeline_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    h = overtaken()
    h.fault(0.5, None, name="pause-consumer")
    text = shown(verdict_of(h, tmp_path), capsys)
    assert "+0.000 s intended" in text
    # A fault that never stopped is at work from its start on; without a stop its window is that moment.
    assert "pause-consumer" not in text
    h = overtaken()
    h.fault(0.5, 1.2, name="pause-consumer")
    text = shown(verdict_of(h, tmp_path), capsys)
    assert "-0.500 s fault start c1 pause-consumer" in text


def test_a_fault_that_struck_somebody_else_or_later_is_not_in_the_timeline(tmp_path: Path) -> None:
    h = overtaken()
    h.record("injector", 2, "fault", phase="start", fault="pause-consumer", instance="x", targets=["c9"])
    h.record("injector", 5, "fault", phase="stop", fault="pause-consumer", instance="x", targets=["c9"])
    # After the last delete; reading the effects back is no part of the message's life.
    h.fault(15, 16, name="reshard")
    (example,) = verdict_of(h, tmp_path)["anomalies"]["effect-duplicate"]["examples"]
    assert example["cause"] == "kill-consumer on c1"
    assert {event.get("fault") for event in example["timeline"]} == {None, "kill-consumer"}


def test_a_fault_that_passed_to_a_successor_is_at_work_on_what_that_had(tmp_path: Path) -> None:
    """Its start names who was there, its stop who was struck in the end."""
    h = overtaken()
    h.record("injector", 0.5, "fault", phase="start", fault="crash-at", instance="x", targets=["c9"])
    h.record("injector", 5, "fault", phase="stop", fault="crash-at", instance="x", targets=["c9", "c1"])
    (example,) = verdict_of(h, tmp_path)["anomalies"]["effect-duplicate"]["examples"]
    assert "crash-at on c1, c9" in example["cause"]


def test_the_notes_of_an_anomaly_are_counted_and_each_has_an_example(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    h = History({"orders": queue(dedup_window_s=10)}, ["exactly-once-delivery"])
    for id, again in (("a", 2), ("b", 2), ("c", 2), ("d", 30)):
        h.send(id, at=1, broker_id=f"{id}1")
        h.send(id, at=again, broker_id=f"{id}2")
        h.take(id, at=40, broker_id=f"{id}1", enqueued=1)
        h.take(id, at=41, broker_id=f"{id}2", enqueued=again)
    h.drained(at=50)
    document = verdict_of(h, tmp_path)
    entry = document["anomalies"]["send-duplicate"]
    assert entry["notes"] == {"outside": 1, "within": 3}
    assert {example["note"] for example in entry["examples"]} == {"outside", "within"}
    text = shown(document, capsys)
    assert "1: outside the deduplication window" in text and "3: within the deduplication window" in text
    assert "send-duplicate: message d on orders (outside the deduplication window). Cause" in text


def test_a_note_in_words_is_shown_though_there_is_one(verdict: Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    example = {"id": "x", "subscription": "orders", "note": "its visibility ran out", "cause": "c", "timeline": []}
    entry = {"count": 1, "notes": {"its visibility ran out": 1}, "examples": [example]}
    claim = verdict.document["claims"][0] | {"claim": "dead-letter", "anomalies": {"collateral-dead": 1}}
    anomalies = verdict.document["anomalies"] | {"collateral-dead": entry}
    text = shown(verdict.document | {"anomalies": anomalies, "claims": [claim]}, capsys)
    assert "1: its visibility ran out" in text
    assert "collateral-dead: message x on orders (its visibility ran out). Cause: c" in text


def test_examples_without_a_note_stand_beside_those_with_one(
    verdict: Verdict, capsys: pytest.CaptureFixture[str]
) -> None:
    of = {"subscription": "orders", "cause": "c", "timeline": []}
    examples = [of | {"id": "x"}, of | {"id": "y", "note": "unread"}]
    entry = {"count": 2, "notes": {"unread": 1}, "examples": examples}
    claim = verdict.document["claims"][0] | {"anomalies": {"group-overtake": 1}}
    anomalies = verdict.document["anomalies"] | {"group-overtake": entry}
    text = shown(verdict.document | {"anomalies": anomalies, "claims": [claim]}, capsys)
    assert "1: unless a message died unread" in text
    assert "message x on orders. Cause" in text
    assert "message y on orders (unless a message died unread). Cause" in text


def test_an_anomaly_of_one_kind_says_nothing_of_kinds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    h = History({"orders": queue()}, ["no-loss"])
    for broker_id, at in (("a1", 1), ("a2", 2)):
        h.send("a", at=at, broker_id=broker_id)
        h.take("a", at=at + 1, broker_id=broker_id)
    h.drained(at=10)
    text = shown(verdict_of(h, tmp_path), capsys)
    assert "send-duplicate" in text and "deduplication window" not in text


def test_a_record_says_nothing_that_the_headline_says(verdict: Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    assert "subscription=" not in shown(verdict.document, capsys)


def test_the_waits_of_tenants_are_shown_by_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    h = History({"orders": queue()}, [{"claim": "fair", "quiet_p99_s": 1, "times_baseline": 5}])
    for id, name, due, wait in (("a", "quiet", 1, 0.25), ("b", "noisy", 2, 9), ("c", "quiet", 2, 0.5)):
        h.send(id, at=due, tenant_class=name)
        h.take(id, at=due + wait)
    h.drained(at=100)
    verdict = judge(h.write(tmp_path / "run"))
    show(verdict, "text")
    out = capsys.readouterr().out
    assert "fair (quiet_p99 1 s, times_baseline 5)" in out
    assert "waits of orders quiet before the noise, 1 messages: p50 250 ms, p99 250 ms, max 250 ms" in out
    assert "waits of orders quiet during the noise, 1 messages: p50 500 ms, p99 500 ms, max 500 ms" in out
    assert "waits of orders noisy during the noise, 1 messages: p50 9.00 s" in out
    assert "| orders noisy | during the noise | 1 | 9.00 s | 9.00 s | 9.00 s |" in summary(verdict.document)

"""The traces of messages that broke a claim: whose spans, in which order, and what they are linked to."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from gameday.history.trace import span_id, trace_id
from gameday.report.traces import spans as module
from gameday.report.traces.spans import Span, Traces, traces
from gameday.verify.judge import judging
from tests.verify.handmade.builder import History, fifo, ns, queue

RUN = "handmade"


def traced(history: History, tmp_path: Path) -> Traces:
    with judging(history.write(tmp_path / "run")) as (loaded, verdict):
        return traces(loaded, verdict)


def by_message(found: Traces) -> dict[str, list[Span]]:
    spans: dict[str, list[Span]] = defaultdict(list)
    for span in found.spans:
        spans[span.trace].append(span)
    return dict(spans)


def doubled() -> History:
    """`a` is applied twice, by two consumers; its first send got no answer; `b` is as it should be."""
    h = History(
        {"orders": fifo()}, ["exactly-once-effect", "no-loss"], manifest={"scenario": {"transport": "sqs-fifo"}}
    )
    h.send("a", at=1, ended=2, due=0.9, outcome="unknown")
    h.send("a", at=2.5, ended=2.6)
    h.fault(2.8, 4)
    h.receive("a", at=3, consumer="orders-1.1")
    h.effect("a", at=3.5, consumer="orders-1.1")
    h.receive("a", at=9, consumer="orders-2.1")
    h.effect("a", at=9.2, consumer="orders-2.1")
    h.delete("a", at=9.5, consumer="orders-2.1")
    h.send("b", at=10)
    h.handle("b", at=11)
    h.drained(at=30)
    return h


@pytest.fixture(scope="module")
def of_doubled(tmp_path_factory: pytest.TempPathFactory) -> Traces:
    return traced(doubled(), tmp_path_factory.mktemp("doubled"))


def test_a_message_that_broke_a_claim_has_a_trace_and_no_other(of_doubled: Traces) -> None:
    found = of_doubled
    assert (found.messages, found.left_out) == (1, 0)
    assert list(by_message(found)) == [trace_id(RUN, "a")]


def test_its_root_is_the_producers_that_travelled(of_doubled: Traces) -> None:
    root, *others = of_doubled.spans
    assert (root.id, root.parent, root.kind) == (span_id(RUN, "a"), None, "producer")
    assert {span.parent for span in others} == {root.id}
    assert len({span.id for span in (root, *others)}) == 1 + len(others)
    assert root.error == "exactly-once-effect: effect-duplicate at orders"
    assert root.attributes["gameday.claims"] == ["exactly-once-effect"]
    assert root.attributes["messaging.system"] == "aws_sqs"
    # From its first attempt to its last answer, with the fault that was at work.
    assert (root.start, root.end) == (ns(1), ns(2.6))
    assert [(each.name, each.at) for each in root.happened] == [("fault begins", ns(2.8)), ("fault ends", ns(4))]


def test_each_attempt_and_each_delivery_is_a_span(of_doubled: Traces) -> None:
    _, first, second, one, two = of_doubled.spans
    assert [(span.name, span.start, span.end) for span in (first, second)] == [
        ("send sqs-fifo", ns(1), ns(2)),
        ("send sqs-fifo", ns(2.5), ns(2.6)),
    ]
    assert (first.error, second.error) == ("made up", None)
    assert first.attributes["gameday.outcome"] == "unknown"
    assert [(span.name, span.kind, span.start, span.end) for span in (one, two)] == [
        ("process orders", "consumer", ns(3), ns(3.5)),
        ("process orders", "consumer", ns(9), two.end),
    ]
    assert two.end >= ns(9.5)
    assert [span.attributes["messaging.client.id"] for span in (one, two)] == ["orders-1.1", "orders-2.1"]
    assert [each.name for each in two.happened] == ["effect", "settling", "settled"]


def test_who_had_it_later_is_linked_to_who_had_it_before(of_doubled: Traces) -> None:
    *_, one, two = of_doubled.spans
    assert one.links == []
    (link,) = two.links
    assert (link.trace, link.span, link.why) == (one.trace, one.id, "delivered before")


def test_what_was_overtaken_is_linked_with_the_message_that_did_it(tmp_path: Path) -> None:
    h = History({"orders": fifo()}, ["ordered-effects"])
    h.send("a", at=1)
    h.send("b", at=2)
    h.handle("b", at=4)
    h.handle("a", at=5)
    h.drained(at=30)
    found = by_message(traced(h, tmp_path))
    links = {(trace, link.trace) for trace, spans in found.items() for span in spans for link in span.links}
    assert links == {(trace_id(RUN, "a"), trace_id(RUN, "b"))}


def test_a_run_that_holds_has_no_traces(tmp_path: Path) -> None:
    h = History({"orders": fifo()}, ["no-loss"])
    h.send("a", at=1)
    h.handle("a", at=2)
    h.drained(at=30)
    assert traced(h, tmp_path) == Traces(spans=[], messages=0, left_out=0)


def test_of_many_messages_the_rest_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MESSAGES_MOST", 2)
    h = History({"orders": fifo()}, ["no-loss"])
    for n in range(5):
        h.send(f"m{n}", at=1 + n)
    h.drained(at=30)
    found = traced(h, tmp_path)
    assert (found.messages, found.left_out) == (2, 3)
    # Nobody ever had them.
    assert {span.kind for span in found.spans} == {"producer", "client"}


def names(found: Traces) -> set[str]:
    """The messages that have a root."""
    return {str(span.attributes["gameday.message.id"]) for span in found.spans if span.parent is None}


def test_what_a_claim_allows_broke_nothing(tmp_path: Path) -> None:
    """A copy outside of the deduplication window, beside one within it that broke the claim."""
    h = History({"orders": queue(ordered_by="group", dedup_window_s=5)}, ["exactly-once-delivery"])
    for name, again in (("within", 3), ("outside", 20)):
        h.send(name, at=1, group=name)
        h.send(name, at=1 + again, group=name)
        h.take(name, at=25, broker_id=f"{name}-1", enqueued=1.1)
        h.take(name, at=26, broker_id=f"{name}-2", enqueued=1.1 + again)
    h.drained(at=60)
    assert names(traced(h, tmp_path)) == {"within"}


def test_what_was_sent_before_a_filter_was_in_force_broke_nothing(tmp_path: Path) -> None:
    filtered = queue(filtered=True, effective_from=10)
    h = History({"all": queue(), "few": filtered}, ["filter-correct"])
    for name, at in (("early", 2), ("late", 20)):
        h.send(name, at=at, group=None, expect=["all"])
        for sub in ("all", "few"):
            h.take(name, at=at + 1, sub=sub)
    h.drained(at=60)
    assert names(traced(h, tmp_path)) == {"late"}


def test_attempts_of_one_number_are_told_apart(tmp_path: Path) -> None:
    h = History({"orders": queue()}, ["no-loss"])
    h.send("b", at=1, group=None)
    h.handle("b", at=2)
    for at, outcome in ((1, "failed"), (2, "ok")):
        h.record("main", at, "intended", id="a", producer="p1", expect=["orders"])
        h.record("main", at + 0.5, "sent", id="a", outcome=outcome)
    h.drained(at=30)
    root, *sends = traced(h, tmp_path).spans
    assert [(span.attributes["gameday.outcome"], span.end - span.start) for span in sends] == [
        ("failed", ns(1.5) - ns(1)),
        ("ok", ns(1.5) - ns(1)),
    ]
    assert len({span.id for span in sends}) == 2
    assert (root.start, root.end) == (ns(1), ns(2.5))


def test_an_effect_belongs_to_the_delivery_of_its_batch(tmp_path: Path) -> None:
    """A consumer has the message twice, because its visibility timeout was over, and ends the first work last."""
    h = History({"orders": queue()}, ["exactly-once-effect"])
    h.send("a", at=1, group=None)
    h.receive("a", at=2, consumer="c1", batch="b1")
    h.receive("a", at=8, consumer="c1", batch="b2")
    h.effect("a", at=9, consumer="c1", batch="b1")
    h.effect("a", at=9.5, consumer="c1", batch="b2")
    h.drained(at=30)
    first, second = (span for span in traced(h, tmp_path).spans if span.kind == "consumer")
    assert [(span.start, span.end, len(span.happened)) for span in (first, second)] == [
        (ns(2), ns(9), 1),
        (ns(8), ns(9.5), 1),
    ]


def test_a_fault_after_a_messages_life_is_none_of_its_events(tmp_path: Path) -> None:
    h = doubled()
    h.fault(20, 25)
    h.effects("a", at=31, applied=2)
    root = traced(h, tmp_path).spans[0]
    assert [(each.name, each.at) for each in root.happened] == [("fault begins", ns(2.8)), ("fault ends", ns(4))]

"""What a run could not show is told beforehand, with the claim it is about; and the judge says the same afterwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gameday.history.manifest import Claim
from gameday.loadgen.schedule import Schedule
from gameday.scenario import document
from gameday.scenario import reading as scenario
from gameday.scenario.forecast import Note, forecast
from gameday.scenario.model import Scenario
from gameday.transports.registry import TRANSPORTS
from tests.verify.handmade.builder import History, fifo, verdict_of

BASE = """\
name: base
transport: sqs-fifo
topology: {visibility_timeout: 5s, subscriptions: [{name: orders}]}
load: {rate: 20/s, duration: 40s, groups: 10}
claims: [no-loss]
"""


def read(*overrides: str) -> Scenario:
    return scenario.resolve(document.override(document.parse(BASE, name="s.yaml"), overrides))


def notes(*overrides: str, **options: Any) -> list[Note]:
    return forecast(read(*overrides), **options)


def one(*overrides: str, **options: Any) -> Note:
    (note,) = notes(*overrides, **options)
    return note


@pytest.mark.parametrize("name", scenario.names())
def test_nothing_is_in_doubt_about_a_shipped_scenario(name: str) -> None:
    assert forecast(scenario.load(scenario.find(name))) == []


def test_a_note_has_its_line_its_key_and_its_claims() -> None:
    assert str(one("claims.1=dead-letter")) == (
        "--set claims.1=dead-letter: claims.1 (dead-letter): load.poison is 0%, so nothing has to die: there is "
        "nothing to check on orders. Raise load.poison"
    )


# -- the load and the faults


def test_a_load_without_a_message_shows_nothing() -> None:
    note = one("load.rate=1/min", "load.duration=10s")
    assert (note.key, note.claims) == ("load", ["every claim"])


@pytest.mark.parametrize(
    ("fault", "struck"),
    [
        ("{at: 6s, fault: stretch-processing, to: 3s, share: 2%, for: 2s}", "6.8"),
        ("{at: 6s, fault: stretch-processing, to: 3s, share: 4%, for: 2s}", None),
        ("{at: 6s, fault: stretch-processing, to: 3s, share: 4%, for: 2s, pick: 1}", "2.3"),
        ("{at: 11900ms, fault: lose-delete, share: 20%}", "3.4"),
        ("{at: 6s, fault: lose-delete, for: 100ms}", None),
        ("{at: 6s, fault: lose-send-reply, share: 3%, for: 2s}", "5.1"),
        ("{every: 3s, until: 11s, fault: throttle-sends, share: 4%, for: 2s}", "6.8"),
        ("{at: 6s, fault: crash-at, point: after-effect, nth: 2}", None),
        ("{at: 6s, fault: kill-consumer}", None),
    ],
    ids=["rare", "less so", "of one of six", "to the load's end", "all", "sends", "again and again", "2nd", "no share"],
)
def test_a_fault_that_may_strike_nothing(fault: str, struck: str | None) -> None:
    # Of 85 messages a second; each of two subscriptions gets all of them, and each has three consumers.
    found = notes(
        f"chaos=[{fault}]",
        "transport=sns",
        "load.rate=85/s",
        "topology.subscriptions=[{name: a}, {name: b}]",
        "load.duration=12s",
    )
    if struck is None:
        assert found == []
        return
    (note,) = found
    assert note.key == "chaos.0"
    assert f"about {struck} messages are in its share, and in " in note.text


def test_a_denial_that_is_over_before_it_is_everywhere() -> None:
    fault = "chaos=[{at: 1s, fault: impair-queue, for: 20s}]"
    assert notes(fault) == []
    note = one(fault, policy_s=60.0)
    assert (note.key, note.claims) == ("chaos.0", ["every claim"])
    assert "lasts 20 s, and a change of a queue's policy may take 60 s" in note.text
    assert notes("chaos=[{at: 1s, fault: impair-queue}]", policy_s=60.0) == []


def test_the_chance_of_no_strike_is_the_right_one() -> None:
    note = one("chaos=[{at: 6s, fault: lose-send-reply, share: 2%, for: 2s}]", "load.rate=100/s")
    assert f"in {math.exp(-4):.1%} of" in note.text or f"in {0.98**200:.1%} of" in note.text


def test_a_crash_that_waits_for_more_messages_than_come() -> None:
    # 10 s of 20/s for three consumers.
    crash = "chaos=[{at: 30s, fault: crash-at, point: after-effect, nth: %d}]"
    assert "waits for message 70 of a consumer, and about 67 come to each" in one(crash % 70).text
    assert notes(crash % 60) == []


def test_a_late_delete_outlasts_a_hold() -> None:
    late = ("transport=sqs", "consumers={command: [sh]}", "chaos=[{at: 6s, fault: late-delete, for: %ds}]")
    note = one(*late[:2], late[2] % 5)
    assert "over itself after 5 s; let it last longer than the 5 s of topology.visibility_timeout" in note.text
    assert notes(*late[:2], late[2] % 6) == []


def test_a_merge_needs_a_second_shard() -> None:
    stream = ("transport=kinesis", "topology={shards: 1, subscriptions: [{name: orders}]}")
    merge, split = "{at: 9s, fault: reshard, action: merge}", "{at: 5s, fault: reshard, action: split}"
    note = one(*stream, f"chaos=[{merge}]")
    assert (note.key, note.claims) == ("chaos.0", ["every claim"])
    assert "one shard" in note.text
    assert notes(*stream, f"chaos=[{merge}, {split}]") == []


SHAPES = (
    "{rate: 20/s, duration: 40s}",
    "{shape: ramp, rate: 20/s, duration: 40s, from: 0/s}",
    "{shape: step, rate: 20/s, duration: 40s, from: 0/s}",
    "{shape: spike, rate: 1/h, duration: 40s, peak: 100/s, at: 30s, lasting: 1s}",
    "{shape: sine, rate: 20/s, duration: 40s, amplitude: 20/s}",
)
ANY_FAULTS = (
    "{at: 0s, fault: crash-at, point: after-effect, nth: 5}",
    "{every: 7s, jitter: 1s, fault: pause-consumer, for: 2s, pick: 50%}",
    "{at: 35s, fault: crash-at, point: before-delete, share: 50%}",
    "{at: 1s, fault: lose-send-reply, for: 20s}",
    "{at: 1s, fault: throttle-sends}",
    "{at: 1s, fault: kill-consumer, signal: TERM}",
)


@pytest.mark.parametrize("load", SHAPES)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_whatever_the_scenario_there_are_only_notes(transport: str, load: str) -> None:
    """A forecast that fails would stop a run."""
    services = TRANSPORTS[transport].services
    faults = [fault for fault in ANY_FAULTS if "throttle-sends" not in fault or services[0] != "stepfunctions"]
    made = notes(
        f"transport={transport}",
        "topology={subscriptions: [{name: orders}]}",
        f"load={load}",
        f"chaos=[{', '.join(faults)}]",
        "claims=[no-loss, no-phantom, {claim: lag, p50: 1s, max: 9s}, {claim: recovery, within: 9s}]",
        seed=5,
    )
    assert {name for note in made for name in note.claims} >= {"lag", "recovery"}


# -- who gets what


def subscriptions(*written: str) -> str:
    return f"topology.subscriptions=[{', '.join(written)}]"


@pytest.mark.parametrize(
    ("transport", "filter", "said"),
    [
        ("sns", "filter: {curency: [EUR]}", "no message has an attribute `curency`; did you mean `currency`?"),
        (
            "sns",
            "filter: {customerId: [{prefix: c}]}",
            "no message has an attribute `customerId`; its body has `detail.customerId`, which `filter_on: body`",
        ),
        ("sns", "filter: {zzz: [1]}", "no message has an attribute `zzz`; there are currency, detail-type, domain, "),
        (
            "sns",
            "filter: {currency: [EUR]}, filter_on: body",
            "no message has `currency`; did you mean `detail.currency`?",
        ),
        (
            "eventbridge",
            "pattern: {detail: {zzz: [1]}}",
            "no message has `detail.zzz`; there are detail-type, detail.correlationId, detail.currency, ",
        ),
        ("sns", "filter: {currency: [CHF]}", "none of 300 sample events passes it."),
        (
            "eventbridge",
            "pattern: {detail: {curency: [EUR]}}",
            "no message has `detail.curency`; did you mean `detail.currency`?",
        ),
    ],
)
def test_a_filter_that_no_order_passes_names_the_field(transport: str, filter: str, said: str) -> None:
    note = one(
        f"transport={transport}", subscriptions("{name: a}", f"{{name: b, {filter}}}"), "claims.1=filter-correct"
    )
    assert note.key == f"topology.subscriptions.1.{filter.partition(':')[0]}"
    # filter-correct looks at what nobody should get as well.
    assert note.claims == ["no-loss"]
    assert note.text.startswith(said)
    assert note.text.endswith("No event is then meant for b, and nothing is there to check")


@pytest.mark.parametrize(
    "filter",
    [
        "{currency: [EUR]}",
        "{curency: [{exists: false}]}",
        "{$or: [{currency: [EUR]}, {total: [{numeric: ['>', 5]}]}]}",
    ],
)
def test_a_filter_that_orders_pass_is_left_alone(filter: str) -> None:
    assert notes("transport=sns", subscriptions(f"{{name: a, filter: {filter}}}")) == []


def test_an_alternative_that_asks_for_nothing_there_is_named_though_others_pass() -> None:
    note = one("transport=sns", subscriptions("{name: a, filter: {$or: [{currency: [EUR]}, {totl: [1]}]}}"))
    assert note.text == "no message has an attribute `totl`; did you mean `total`?"


def test_a_filter_that_lets_everything_through_cannot_be_too_wide() -> None:
    note = one("transport=sns", subscriptions("{name: a, filter: {domain: [orders]}}"), "claims=[filter-correct]")
    assert note.claims == ["filter-correct"]
    assert notes("transport=sns", subscriptions("{name: a, filter: {domain: [orders]}}")) == []


def test_nothing_is_received_where_nothing_is_deployed() -> None:
    # What is lost is found; what was received, there is none of.
    note = one(
        "transport=sns-fifo",
        subscriptions("{name: a}", "{name: b, deployed: {missing: true}}"),
        "claims=[no-loss, no-phantom, fanout-complete, ordered-per-group]",
    )
    assert (note.key, note.claims) == ("topology.subscriptions.1.deployed", ["no-phantom", "ordered-per-group"])


def test_a_filtered_fifo_topic_promises_too_little_to_show_a_loss() -> None:
    filtered = "{name: a, filter: {currency: [EUR]}}"
    claims = "claims=[no-loss, no-phantom, fanout-complete, ordered-per-group, exactly-once-effect]"
    note = one("transport=sns-fifo", subscriptions(filtered, "{name: b}"), claims)
    assert note.key == "topology.subscriptions.0.filter"
    assert note.claims == ["no-loss", "fanout-complete", "exactly-once-effect"]
    assert "at most once" in note.text and "`promises: at-least-once`" in note.text
    held = filtered.replace("}}", "}, promises: at-least-once}")
    assert notes("transport=sns-fifo", subscriptions(held, "{name: b}"), claims) == []
    assert notes("transport=sns", subscriptions(filtered, "{name: b}"), "claims=[no-loss]") == []


def test_what_is_sent_before_a_filter_applies_is_not_judged() -> None:
    filtered = ("transport=sns", subscriptions("{name: a, filter: {currency: [EUR]}}", "{name: b}"))
    claims = "claims=[no-loss, filter-correct, fanout-complete]"
    found = notes(*filtered, claims, effective_s=960.0)
    assert [note.claims for note in found] == [["filter-correct"], ["fanout-complete"]]
    assert all("16 min" in note.text for note in found)
    assert notes(*filtered, claims, "load.duration=17min", effective_s=960.0) == []


# -- the drain


def test_poison_without_a_dead_letter_queue_never_leaves() -> None:
    note = one("topology.max_receives=null", "load.poison=1%", "claims=[no-loss, no-phantom]")
    assert (note.key, note.claims) == ("load.poison", ["no-loss"])
    assert notes("load.poison=1%") == []
    assert notes("topology.max_receives=null", "load.poison=1%", "consumers.handler=no-op") == []


def test_a_drain_that_waits_for_less_than_a_hold() -> None:
    kill = "chaos=[{at: 5s, fault: kill-consumer}]"
    note = one(kill, "drain_timeout=4s")
    assert (note.key, note.claims) == ("drain_timeout", ["no-loss"])
    assert notes(kill, "drain_timeout=6s") == []
    assert notes("drain_timeout=4s") == []


def test_a_redrive_of_nothing_ends_with_an_error() -> None:
    note = one("topology.redrive=true")
    assert (note.key, note.claims) == ("topology.redrive", ["every claim"])
    assert notes("topology.redrive=true", "load.poison=3%") == []
    assert (
        "about 0.8 messages are poison, and in 44.9% of all runs none"
        in one("topology.redrive=true", "load.poison=0.1%").text
    )


# -- claims


def test_dead_letter_needs_poison() -> None:
    assert notes("claims=[dead-letter]", "load.poison=3%") == []
    assert "in 44.9% of all runs none" in one("claims=[dead-letter]", "load.poison=0.1%").text


@pytest.mark.parametrize(
    ("transport", "claim"),
    [
        ("sqs-fifo", "ordered-per-group"),
        ("sqs-fifo", "ordered-effects"),
        ("kinesis", "ordered-per-partition"),
    ],
)
def test_order_needs_a_second_message_in_a_group(transport: str, claim: str) -> None:
    asked = (f"transport={transport}", "topology={subscriptions: [{name: orders}]}", f"claims=[{claim}]")
    note = one(*asked, "load.duration=1s", "load.groups=500")
    assert note.claims == [claim]
    assert "about 20 messages of orders in 500 groups" in note.text
    assert notes(*asked, "load.duration=1s") == []


def test_a_queue_that_keeps_no_order_needs_none() -> None:
    few = ("transport=sns-fifo", "load.duration=1s", "load.groups=500", "claims=[ordered-per-group]")
    note = one(*few, subscriptions("{name: a}", "{name: b, queue: standard}"))
    assert "messages of a in" in note.text


KILL = "chaos=[{at: 10s, fault: kill-consumer}]"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        # 800 messages; out are 10 s to 12 s and the grace.
        ((KILL, "claims=[{claim: lag, p99: 1s, grace: 20s}]"), None),
        (
            (KILL, "claims=[{claim: lag, p99: 1s, grace: 24s}]", "load.rate=5/s"),
            "about 70 messages of orders will be due outside fault windows (which count for 24 s more: `grace`); p99",
        ),
        (
            (KILL, "claims=[{claim: lag, p99: 1s}, {claim: recovery, within: 24s}]", "load.rate=5/s"),
            "about 70 messages of orders will be due outside fault windows (which count for 24 s more: `grace` is "
            "recovery's `within` unless given); p99 needs 100. Lower `grace`, leave more time",
        ),
        ((KILL, "claims=[{claim: lag, max: 1s, grace: 24s}]", "load.rate=5/s"), None),
        (
            ("chaos=[{at: 0s, fault: lose-delete}]", "claims=[{claim: lag, max: 1s}]"),
            "about 0 messages of orders will be due outside fault windows (which count for 5 s more: `grace` unless "
            "given); max needs 1.",
        ),
        (
            ("claims=[{claim: lag, p50: 1s}]", "load.rate=2/s"),
            "about 80 messages of orders will be due outside fault windows; p50 needs 100. Raise load.rate or",
        ),
        # A fifth of the messages is poison and dies, and lag does not look at the dead.
        (
            ("claims=[{claim: lag, p50: 1s}]", "load.rate=3/s", "load.poison=20%"),
            "about 96 messages of orders will be due outside fault windows; p50 needs 100.",
        ),
    ],
)
def test_lag_needs_a_hundred_messages_outside_fault_windows(overrides: Sequence[str], said: str | None) -> None:
    found = [note.text for note in notes(*overrides) if note.claims == ["lag"]]
    assert [text[: len(said or "")] for text in found] == ([said] if said else [])


@pytest.mark.parametrize(("during", "judged"), [("calm", 70), ("faults", 130), ("all", 200)])
def test_lag_during_faults_counts_the_others(during: str, judged: int) -> None:
    # At 5/s for 40 s, 10 s to 36 s within the window: the claim says which of them it looks at.
    made = read(KILL, "load.rate=5/s")
    bounds: Any = {"p99_s": 1.0, "grace_s": 24.0, "during": during}
    claim = Claim(claim="lag", bounds=bounds)
    found = forecast(replace(made, claims=[claim]))
    if judged >= 100:
        assert found == []
    else:
        (note,) = found
        assert note.claims == [f"lag during {during}"]
        assert note.text.startswith(f"about {judged} messages")
    (few,) = forecast(replace(read(KILL, "load.rate=1/s"), claims=[claim]))
    assert few.text.startswith(f"about {judged // 5} messages")


def test_lag_says_nothing_of_what_is_never_sent() -> None:
    throttled = "chaos=[{at: 5s, fault: throttle-sends, share: %s, for: 12s}]"
    lag = "claims=[{claim: lag, p99: 1s, grace: 1s}]"
    note = one(throttled % "100%", lag)
    assert note.text.startswith("no send succeeds for 12 s, during chaos.0 (throttle-sends), and a message is given up")
    assert notes(throttled % "90%", lag) == []
    assert notes(throttled % "100%", lag, "load.give_up=20s") == []


@pytest.mark.parametrize(
    ("chaos", "said"),
    [
        ("{at: 10s, fault: kill-consumer}", []),
        # The quiet time is 6 s: the visibility timeout and one more. A consumer that was killed is back after two.
        (
            "{at: 33s, fault: kill-consumer}",
            [
                "after chaos.0 (kill-consumer) is over, at about 35 s, no message may be late for 6 s, and the load "
                "ends at 40 s, so recovery from chaos.0 (kill-consumer) cannot be told."
            ],
        ),
        # What it held is visible again five seconds after its death.
        ("{at: 29s, fault: kill-consumer}", []),
        (
            "{at: 4s, fault: kill-consumer}, {at: 5s, fault: pause-consumer, for: 20s}",
            [
                "chaos.1 (pause-consumer) is open from 5 s to 25 s, so recovery from chaos.0 (kill-consumer) cannot be "
                "told."
            ],
        ),
        (
            "{at: 5s, fault: pause-consumer, for: 5s}, {at: 12s, fault: kill-consumer}",
            [
                "after chaos.0 (pause-consumer) is over, at about 10 s, no message may be late for 6 s, and chaos.1 "
                "(kill-consumer) begins at 12 s, so recovery from chaos.0 (pause-consumer) cannot be told."
            ],
        ),
        ("{at: 5s, fault: lose-delete}", ["chaos.0 (lose-delete) lasts until the load ends, so recovery from chaos.0"]),
        (
            "{at: 5s, every: 5s, until: 21s, fault: kill-consumer}",
            [
                "after chaos.0 (kill-consumer, at 5 s) is over, at about 7 s, no message may be late for 6 s, and "
                "chaos.0 (kill-consumer, at 10 s) begins"
            ],
        ),
        # One in twenty a second, of three consumers: the fifteenth message of one comes after two seconds or so.
        ("{at: 26s, fault: crash-at, point: after-effect, nth: 15}", []),
        ("{at: 32s, fault: crash-at, point: after-effect, nth: 15}", ["after chaos.0 (crash-at) is over, at about 36"]),
    ],
)
def test_recovery_needs_a_quiet_time_after_each_fault(chaos: str, said: list[str]) -> None:
    found = notes(f"chaos=[{chaos}]", "claims=[{claim: recovery, within: 10s}, {claim: lag, max: 1s, grace: 1s}]")
    texts = [note.text for note in found if note.claims == ["recovery"]]
    assert [text[: len(start)] for text, start in zip(texts, said, strict=True)] == said


HIDDEN = (KILL, "topology.visibility_timeout=20s")
WITHIN = "claims=[{claim: recovery, within: %s}, {claim: lag, max: 1s, grace: 1s}]"


def test_a_group_waits_until_what_the_dead_held_is_visible_again() -> None:
    # Killed at 10 s, replaced at 12 s; hidden until 30 s, and then 21 s of quiet.
    note = one(*HIDDEN, WITHIN % "25s", "load.duration=50s")
    assert note.text.startswith(
        "chaos.0 (kill-consumer) leaves messages hidden until about 30 s, and their groups wait; then no message may "
        "be late for 21 s, and the load ends at 50 s, so recovery from chaos.0 (kill-consumer) cannot be told."
    )
    assert notes(*HIDDEN, WITHIN % "25s", "load.duration=52s") == []
    # Where it takes longer than is claimed, that can be told.
    assert notes(*HIDDEN, WITHIN % "10s", "load.duration=50s") == []


@pytest.mark.parametrize(
    "override",
    [
        "transport=sqs",
        "chaos.0.signal=TERM",
        "chaos.0.while_holding=false",
        "claims.1.max=20s",
        "chaos.0={at: 10s, fault: crash-at, nth: 1, point: after-delete}",
    ],
)
def test_nobody_waits_for_what_is_not_hidden(override: str) -> None:
    assert notes(*HIDDEN, WITHIN % "25s", "load.duration=50s", override) == []


def test_a_crash_leaves_messages_hidden_as_a_kill_does() -> None:
    crash = "chaos=[{at: 10s, fault: crash-at, nth: 1, point: after-effect}]"
    note = one(crash, HIDDEN[1], WITHIN % "25s", "load.duration=50s")
    assert note.text.startswith("chaos.0 (crash-at) leaves messages hidden until about 30.1 s")


def test_strikes_of_one_fault_are_told_once() -> None:
    (text,) = [
        note.text
        for note in notes(
            "chaos=[{at: 5s, every: 5s, until: 21s, fault: kill-consumer}]", "claims=[{claim: recovery, within: 10s}]"
        )
        if "is over" in note.text
    ]
    # Struck at 5, 10, 15 and 20 s; the last has all the time that it needs.
    assert text.endswith("The same is true of 2 more of its strikes.")


def test_what_is_late_is_told_by_a_hundred_messages_or_by_a_bound() -> None:
    early = ("chaos=[{at: 4s, fault: kill-consumer}]", "claims=[{claim: recovery, within: 10s}%s]")
    note = one(early[0], early[1] % "")
    assert "about 80 messages of orders will be due by then" in note.text
    assert notes(early[0], early[1] % ", {claim: lag, max: 2s}") == []
    assert notes(KILL, early[1] % "") == []


# -- and the judge


@pytest.mark.parametrize(
    ("overrides", "windows", "hidden"),
    [
        (
            (KILL, "claims=[no-loss, ordered-per-group, {claim: lag, p99: 1s}, {claim: recovery, within: 10s}]"),
            [(10, 12)],
            None,
        ),
        (
            (
                "chaos=[{at: 4s, fault: kill-consumer}, {at: 5s, fault: pause-consumer, for: 20s}]",
                "claims=[no-loss, {claim: lag, p99: 1s, grace: 2s}, {claim: recovery, within: 10s}]",
            ),
            [(4, 6), (5, 25)],
            None,
        ),
        (
            (
                "chaos=[{at: 33s, fault: kill-consumer}]",
                "claims=[{claim: lag, p99: 1s}, {claim: recovery, within: 10s}]",
            ),
            [(33, 35)],
            None,
        ),
        (
            (KILL, "load.rate=5/s", "claims=[{claim: lag, p99: 1s, grace: 24s}, {claim: recovery, within: 10s}]"),
            [(10, 12)],
            None,
        ),
        (
            (*HIDDEN, WITHIN % "25s", "claims.1.grace=30s", "load.duration=50s"),
            [(10, 12)],
            (10, 30),
        ),
        (("chaos=[{at: 4s, fault: kill-consumer}]", "claims=[{claim: recovery, within: 10s}]"), [(4, 6)], None),
        (
            (
                "load.duration=1s",
                "load.groups=200",
                "load.rate=8/s",
                "claims=[no-loss, ordered-per-group, dead-letter, exactly-once-effect]",
            ),
            [],
            None,
        ),
    ],
    ids=["no doubt", "open meanwhile", "the load ends", "too few", "hidden", "what is late?", "alone in its group"],
)
@pytest.mark.usefixtures("judged_ahead")
def test_the_judge_finds_the_same_unknown(
    overrides: Sequence[str], windows: list[tuple[float, float]], hidden: tuple[float, float] | None, tmp_path: Path
) -> None:
    """In a run in which all goes well: what a note is about comes out unknown, and all else holds.

    `hidden`: when the first group has to wait.
    """
    made = read(*overrides)
    claims: list[Any] = [{"claim": claim.claim, **claim.bounds} for claim in made.claims]
    history = History(
        {"orders": fifo(dead_letter=True, max_receives=5, visibility_timeout_s=made.topology.visibility_timeout)},
        claims,
    )
    schedule = Schedule(shape=made.shape, seed=3, groups=made.load.groups, lanes=1)
    history.mark("load-started", at=0)
    for message in schedule.messages(0):
        due_s = message.due / 1e9
        history.send(message.id, at=due_s, group=message.group, seq=message.seq, broker_seq=str(message.number))
        waits = hidden is not None and message.group == "g0" and hidden[0] <= due_s < hidden[1]
        # In order, and each done before the next.
        start_s = hidden[1] + (due_s - hidden[0]) / 100 if waits and hidden else due_s
        history.receive(message.id, at=start_s + 0.015, started=start_s + 0.012)
        history.effect(message.id, at=start_s + 0.016, started=start_s + 0.016)
        history.delete(message.id, at=start_s + 0.017, ended=start_s + 0.018)
    for start_s, stop_s in windows:
        history.fault(start_s, stop_s)
    end_s = made.load.duration
    history.mark("load-stopped", at=end_s + 0.2, scheduled=schedule.total)
    history.drained(at=end_s + 10)
    found = verdict_of(history, tmp_path)
    unknown = {claim["claim"] for claim in found["claims"] if claim["verdict"] == "unknown"}
    assert unknown == {claim for note in forecast(made) for claim in note.claims}
    assert {claim["verdict"] for claim in found["claims"]} <= {"holds", "unknown"}


class TestWhatNobodySees:
    """What is said beforehand of consumers that are the user's."""

    OWN = """
name: own
transport: sqs-fifo
topology: {attach: {queue: "http://127.0.0.1:4566/000000000000/q.fifo"}}
load: {rate: 100/s, duration: 20s, poison: 5%%}
consumers: %s
effects: {command: [cat]}
claims: [all-accepted, no-loss, exactly-once-effect, ordered-effects, dead-letter, {claim: lag, p99: 1s}]
"""

    @pytest.mark.parametrize(
        ("consumers", "unknown"),
        [
            ("{attach: none}", ["no-loss", "ordered-effects", "dead-letter", "lag"]),
            ("{attach: {pid_file: pid, port: 4570}}", ["ordered-effects", "dead-letter"]),
            ("{handler: reference}", []),
        ],
    )
    def test_claims_that_will_be_unknown_are_noted(self, consumers: str, unknown: list[str]) -> None:
        text = self.OWN % consumers
        if "reference" in consumers:
            text = text.replace("effects: {command: [cat]}\n", "")
        notes = forecast(scenario.resolve(document.parse(text, name="own.yaml")))
        told = [name for note in notes if "will be unknown" in note.text for name in note.claims]
        assert told == unknown

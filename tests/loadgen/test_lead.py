"""The lead's decisions at the beginning and at the end of a load, beside other users of Locust."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gameday.history.clock import Clock
from gameday.loadgen.config import LoadConfig
from gameday.loadgen.lanes import Tally
from gameday.loadgen.lead import Lead
from gameday.transports.base import Addresses, SubscriptionSpec, Topology
from gameday.transports.endpoint import Endpoint


class Locust:
    """An environment with its runner; `did` is what the runner was asked to do."""

    def __init__(self, *, counts: dict[str, int], shape: object = None, **options: Any) -> None:
        self.did: list[str] = []
        self.told: list[tuple[str, Any]] = []
        self.process_exit_code: int | None = None
        self.shape_class = shape
        self.parsed_options = SimpleNamespace(**{"headless": True, "run_time": None, **options})
        self.events = SimpleNamespace(spawning_complete=SimpleNamespace(add_listener=lambda _: None))
        self.runner = SimpleNamespace(
            target_user_classes_count=counts,
            register_message=lambda *_: None,
            send_message=lambda name, data, node: self.told.append((name, data)),
            quit=lambda: self.did.append("quit"),
            stop=lambda: self.did.append("stop"),
        )


def lead(locust: Locust, *, conducted: bool = False, patience_s: float | None = None) -> Lead:
    config = LoadConfig(
        run_dir="r",
        run="r",
        clock=str(Clock.start()),
        endpoint=Endpoint(),
        transport="sqs",
        addresses=Addresses(send_to="q"),
        topology=Topology(subscriptions=[SubscriptionSpec(name="orders")]),
        rate_per_s=1,
        duration_s=1,
        patience_s=patience_s,
    )
    made = Lead(locust, config=config, user_class="Ours", conducted=False, present=lambda _: True)
    made._conducted = conducted
    made._begun = True
    return made


ALONE, BESIDE = {"Ours": 2}, {"Ours": 1, "Web": 3}


@pytest.mark.parametrize(
    ("locust", "did"),
    [
        (Locust(counts=ALONE), ["quit"]),
        (Locust(counts=ALONE, run_time=9), ["quit"]),
        (Locust(counts=ALONE, headless=False), ["stop"]),
        (Locust(counts={"Ours": 1, "Web": 0}, run_time=9), ["quit"]),
        (Locust(counts=BESIDE), ["quit"]),
        (Locust(counts=BESIDE, run_time=9), []),
        (Locust(counts=BESIDE, shape=object()), []),
        (Locust(counts=BESIDE, headless=False), []),
    ],
)
def test_the_end_of_the_load_ends_locust_unless_others_were_told_how_long(locust: Locust, did: list[str]) -> None:
    lead(locust)._end_locust()
    assert locust.did == did


def test_a_load_that_failed_ends_the_others_too() -> None:
    locust = Locust(counts=BESIDE, run_time=9)
    made = lead(locust)
    made._fail("a disk is full")
    made._end_locust()
    assert locust.did == ["quit"]


@pytest.mark.parametrize(
    ("acked", "failed", "conducted", "code"),
    [(5, False, False, None), (0, False, False, 4), (5, True, False, 4), (0, False, True, 0), (5, True, True, 4)],
)
def test_the_exit_code(acked: int, failed: bool, conducted: bool, code: int | None) -> None:
    """None: Locust's own, by --exit-code-on-error."""
    locust = Locust(counts=ALONE)
    made = lead(locust, conducted=conducted)
    made._tally = Tally(intended=5, acked=acked)
    if failed:
        made._failure = "a disk is full"
    made._set_exit_code()
    assert locust.process_exit_code == code


def lanes(locust: Locust) -> list[int | None]:
    return [data["lane"] for name, data in locust.told if name == "gameday-lane"]


def test_lanes_are_handed_out_once_it_is_known_how_many_users_are_ours() -> None:
    locust = Locust(counts=BESIDE | {"Ours": 2})
    made = lead(locust)
    asks = SimpleNamespace(node_id="local", data={"writer": "load"})
    made._on_join(asks)
    assert lanes(locust) == []
    made._on_spawned()
    made._on_join(asks)
    made._on_join(asks)
    assert lanes(locust) == [0, 1, None]
    made._on_standing_by()
    assert not made._ready.is_set()
    made._on_standing_by()
    assert made._ready.is_set()


def test_without_a_user_of_ours_the_load_fails_at_once_but_waits_under_a_shape() -> None:
    made = lead(Locust(counts={"Ours": 0, "Web": 1}))
    made._on_spawned()
    assert made._stopping.is_set() and made._failure is not None
    waiting = lead(locust := Locust(counts={"Ours": 0, "Web": 1}, shape=object()))
    waiting._on_spawned()
    assert not waiting._stopping.is_set() and waiting._failure is None
    locust.runner.target_user_classes_count = BESIDE
    waiting._on_spawned()
    assert waiting._lanes == 1


def test_whoever_asks_while_the_load_stops_gets_no_lane() -> None:
    locust = Locust(counts=ALONE)
    made = lead(locust)
    made._on_join(SimpleNamespace(node_id="local", data={"writer": "load"}))
    made.stop()
    assert lanes(locust) == [None]


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the lead reports to the conductor."""
    told: list[dict[str, Any]] = []
    monkeypatch.setattr("gameday.loadgen.lead.report", lambda kind, **fields: told.append({"report": kind, **fields}))
    return told


def joined(made: Lead, *writers: str) -> None:
    made._on_spawned()
    for writer in writers:
        made._on_join(SimpleNamespace(node_id=f"node of {writer}", data={"writer": writer}))


def test_a_sending_process_of_another_host_that_is_lost_is_told_and_the_others_go_on(
    reported: list[dict[str, Any]],
) -> None:
    locust = Locust(counts=ALONE)
    made = lead(locust, conducted=True, patience_s=9)
    joined(made, "load-a-1", "load-b-1")
    made._on_standing_by()
    made._on_standing_by()
    made._start.set(1)
    made._obey(b'{"do": "lost", "writer": "load-b-1"}')
    made._obey(b'{"do": "lost", "writer": "load-b-1"}')
    assert reported == [{"report": "lost", "writer": "load-b-1"}]
    made._on_done(SimpleNamespace(node_id="node of load-a-1", data={"tally": {"intended": 1, "acked": 1}}))
    # Late, for it had ended its part when its process ended.
    made._on_done(SimpleNamespace(node_id="node of load-b-1", data={"tally": {"intended": 1, "acked": 1}}))
    made._conduct()
    assert reported[1] == {"report": "ready"}
    (done,) = [report for report in reported if report["report"] == "done"]
    assert (done["scheduled"], done["acked"], done["missed"]) == (1, 1, 0)
    assert locust.process_exit_code == 0
    assert locust.did == [], "Locust goes on, for it carries the letters"
    made._end()
    assert locust.did == ["quit"]


def test_one_that_is_lost_before_the_start_ends_the_load(reported: list[dict[str, Any]]) -> None:
    made = lead(Locust(counts=ALONE), conducted=True, patience_s=9)
    joined(made, "load-a-1", "load-b-1")
    made._obey(b'{"do": "lost", "writer": "load-b-1"}')
    assert [report["report"] for report in reported] == ["failed"]


def test_one_of_this_machine_that_is_lost_ends_the_load(reported: list[dict[str, Any]]) -> None:
    made = lead(Locust(counts=ALONE), conducted=True)
    joined(made, "load-0", "load-1")
    made._start.set(1)
    made._lose("node of load-1")
    assert [report["report"] for report in reported] == ["failed"]


def test_letters_go_through_and_who_sends_one_is_told_the_time(reported: list[dict[str, Any]]) -> None:
    locust = Locust(counts=ALONE)
    made = lead(locust, conducted=True, patience_s=9)
    before = made._clock.now_ns()
    made._on_letter(SimpleNamespace(node_id="b", data={"host": "b", "sent": 5}))
    ((name, time),) = locust.told
    assert (name, time["sent"]) == ("gameday-time", 5) and before <= time["there"] <= made._clock.now_ns()
    assert reported == [{"report": "letter", "node": "b", "letter": {"host": "b", "sent": 5}}]
    made._obey(b'{"do": "letter", "node": "b", "letter": {"heard": 1}}')
    assert locust.told[1:] == [("gameday-letter", {"heard": 1})]

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


def lead(locust: Locust, *, conducted: bool = False) -> Lead:
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

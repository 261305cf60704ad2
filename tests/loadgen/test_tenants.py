"""The load of tenants: how much is sent when, and whose each message is."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from gameday.history.clock import NS_PER_S
from gameday.loadgen.config import LoadConfig
from gameday.loadgen.schedule import Schedule
from gameday.loadgen.tenants import TenantClass, Tenants

QUIET = TenantClass(name="quiet", count=20, rate_per_s=2.0)
NOISY = TenantClass(name="noisy", count=1, rate_per_s=200.0, from_s=5.0)
BOTH = Tenants(classes=(QUIET, NOISY))


def test_together_they_send_what_each_sends() -> None:
    shape = BOTH.shape(15.0)
    assert shape.rate_at(4.9) == 40
    assert shape.rate_at(5.0) == 240
    assert shape.total == 15 * 40 + 10 * 200
    assert shape.highest == 240


def test_names_tell_class_and_number() -> None:
    assert BOTH.names[0] == "quiet-00"
    assert BOTH.names[19:] == ["quiet-19", "noisy-0"]


@pytest.mark.parametrize(
    ("share", "at_s", "whose"),
    [
        (0.0, 0.0, (0, "quiet")),
        (0.5, 0.0, (10, "quiet")),
        (0.999999, 4.999, (19, "quiet")),
        # 40 of 240 are the quiet ones'.
        (39.9 / 240, 5.0, (19, "quiet")),
        (40.1 / 240, 5.0, (20, "noisy")),
        (0.999999, 14.0, (20, "noisy")),
    ],
)
def test_whose_a_message_is(share: float, at_s: float, whose: tuple[int, str]) -> None:
    assert BOTH.whose(share, at_s) == whose


def test_a_class_that_has_not_begun_is_never_drawn_though_it_stands_between_others() -> None:
    late = Tenants(classes=(QUIET, replace(NOISY, from_s=9.0), TenantClass(name="gold", count=2, rate_per_s=1.0)))
    drawn = {late.whose(n / 1000, 3.0)[1] for n in range(1000)}
    assert drawn == {"quiet", "gold"}


def test_there_is_a_load_only_once_somebody_sends() -> None:
    with pytest.raises(ValueError, match="no tenant begins"):
        Tenants(classes=(NOISY,)).shape(5.0)
    late = Tenants(classes=(NOISY,)).shape(6.0)
    assert late.total == 200
    assert late.due_at(1) > 5.0


def schedule(seed: int = 1, lanes: int = 4) -> Schedule:
    return Schedule(shape=BOTH.shape(15.0), seed=seed, groups=len(BOTH.names), lanes=lanes, tenants=BOTH)


def test_messages_are_their_tenants() -> None:
    messages = list(schedule().messages(0))
    assert all(message.tenant_class == message.group.partition("-")[0] for message in messages)
    assert all(message.tenant_class == "quiet" for message in messages if message.due < 5 * NS_PER_S)
    counts = Counter(message.tenant_class for message in messages)
    # As drawn: 600 of 2600, within four standard deviations.
    assert 510 < counts["quiet"] < 690
    assert len({message.id for message in messages}) == len(messages)
    lanes = {message.group: message.lane for message in messages}
    assert all(message.lane == lanes[message.group] for message in messages)
    assert list(schedule().messages(0)) == messages != list(schedule(seed=2).messages(0))


def test_they_come_through_the_configuration(tmp_path: Path) -> None:
    config = replace(
        LoadConfig.for_queue("http://127.0.0.1:9/000000000000/q", rate_per_s=240, duration_s=15, environ={}),
        tenants=(QUIET, NOISY),
        groups=21,
        tell_tenants=False,
    )
    config.save(tmp_path / "load.json")
    again = LoadConfig.load(tmp_path / "load.json")
    assert again.curve() == BOTH.shape(15.0)
    assert not again.tell_tenants
    assert [message.group for message in again.schedule().messages(0)] == [
        message.group for message in config.schedule().messages(0)
    ]

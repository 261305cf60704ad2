"""`hosts.yaml`: where load and consumers are, and what does not go together with several hosts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.history.errors import UsageError
from gameday.scenario import document
from gameday.scenario.hosts import HostModel, Hosts, read, refuse_unreachable
from gameday.scenario.model import Scenario
from gameday.scenario.reading import resolve
from gameday.transports.endpoint import Endpoint

SCENARIO = """\
name: x
transport: sqs
load: {rate: 5/s, duration: 5s, users: 4}
consumers: {processes: 4, store: dynamodb}
claims: [no-loss]
"""
HOSTS = """\
listen: 10.0.0.5
hosts:
  - {name: a, does: [load]}
  - {name: b, does: [consumers]}
  - {name: c, does: [load, consumers], consumers: 1}
"""


def scenario(text: str = SCENARIO) -> Scenario:
    return resolve(document.parse(text, name="s.yaml"))


def hosts(tmp_path: Path, text: str = HOSTS, of: Scenario | None = None) -> Hosts:
    path = tmp_path / "hosts.yaml"
    path.write_text(text)
    return read(path, of or scenario())


def test_what_it_says(tmp_path: Path) -> None:
    found = hosts(tmp_path)
    assert (found.address, found.port, found.history, found.patience_s, found.join_s) == (
        "10.0.0.5",
        5557,
        None,
        60,
        600,
    )
    assert found.slots(4) == ["b", "b", "b", "c"]
    assert found.senders(1) == {"load-a-1": "a", "load-c-1": "c"}
    assert found.senders(3) == {"load-a-1": "a", "load-c-1": "c", "load-a-2": "a"}


def test_an_address_of_ip_version_6_keeps_its_brackets(tmp_path: Path) -> None:
    found = hosts(tmp_path, HOSTS.replace("10.0.0.5", '"[fd00::5]:6000"'))
    assert (found.address, found.port) == ("[fd00::5]", 6000)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("listen: 10.0.0.5\n", ""), "hosts.yaml:1: listen: is missing"),
        (("10.0.0.5", "'10.0.0.5:0'"), "hosts.yaml:1: listen: '10.0.0.5:0'; write it like 10.0.0.5:5557"),
        (("10.0.0.5", "'tcp://10.0.0.5'"), "hosts.yaml:1: listen: 'tcp://10.0.0.5'; write it like"),
        (("listen:", "histry: s3://b\nlisten:"), "histry: there is no such key; did you mean `history`?"),
        (("listen:", "history: s3://\nlisten:"), "history: 's3://'; write it like s3://my-bucket/gameday"),
        (("listen:", "patience: 60\nlisten:"), "patience"),
        (("listen:", "patience: 1s\nlisten:"), "patience: '1s': input should be greater than or equal to 3"),
        (("name: b", "name: a"), "hosts.yaml:4: hosts.1.name: 'a' is there twice"),
        (("name: b", "name: B/"), "hosts.1.name"),
        (("does: [load]", "does: [loads]"), "hosts.0.does.0"),
        (("{name: a, does: [load]}", "{name: a, does: [load], consumers: 1}"), "hosts.0.consumers: its `does` has no"),
        (("consumers: 1", "consumers: 4"), "which cannot be dealt out as: b some, c 4"),
        (("[consumers]}", "[consumers], consumers: 1}"), "which cannot be dealt out as: b 1, c 1"),
        (("[load", "[consumers"), "none of them does load"),
        (("name: a, does: [load]", "name: a, does: [load]}\n  - {name: d, does: [load]"), None),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, change: tuple[str, str], said: str | None) -> None:
    text = HOSTS.replace(*change)
    assert text != HOSTS
    if said is None:
        hosts(tmp_path, text)
        return
    with pytest.raises(UsageError) as error:
        hosts(tmp_path, text)
    assert said in str(error.value)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("store: dynamodb", "store: sqlite"), "set consumers.store to dynamodb"),
        (("processes: 4, store: dynamodb", "command: [sh]"), "consumers of your own"),
        (("claims:", "chaos: [{at: 1s, fault: latency, by: 1s, for: 1s}]\nclaims:"), "need a wire before them"),
        (("claims:", "chaos: [{at: 1s, fault: throttle-sends, for: 1s}]\nclaims:"), "need a wire before the load"),
        (("claims:", "chaos: [{at: 1s, fault: freeze-producer, for: 1s}]\nclaims:"), "are not in its reach"),
        (("claims:", "effects: {command: [x]}\nclaims:"), "say where with `history:`"),
        (("users: 4", "users: 1"), "2 sending processes for 1 users"),
    ],
)
def test_what_several_hosts_cannot_do_is_refused_with_what_to_do(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    text = SCENARIO.replace(*change)
    assert text != SCENARIO
    with pytest.raises(UsageError, match=said.replace("[", r"\[")):
        hosts(tmp_path, of=scenario(text))


def test_a_target_on_loopback_is_for_hosts_on_loopback() -> None:
    def at(address: str) -> Hosts:
        return Hosts(address=address, port=1, history=None, patience_s=9, join_s=9, hosts=[])

    here, there = Endpoint(urls={"*": "http://127.0.0.1:4566"}), Endpoint(urls={"*": "http://10.0.0.5:4566"})
    refuse_unreachable(at("127.0.0.1"), here, "the target")
    refuse_unreachable(at("10.0.0.5"), there, "the target")
    refuse_unreachable(at("10.0.0.5"), Endpoint(), "AWS")
    with pytest.raises(UsageError, match="the target is on loopback, where only this machine reaches it"):
        refuse_unreachable(at("10.0.0.5"), here, "the target")


@given(st.lists(st.none() | st.integers(0, 3), min_size=1, max_size=5), st.integers(1, 9))
def test_every_slot_has_one_host_and_each_host_what_it_was_promised(asked: list[int | None], consumers: int) -> None:
    models = [HostModel(name=f"h{n}", does=["consumers"], consumers=count) for n, count in enumerate(asked)]
    found = Hosts(address="a", port=1, history=None, patience_s=9, join_s=9, hosts=models)
    free, fixed = asked.count(None), sum(count or 0 for count in asked)
    if consumers - fixed < free or (not free and consumers != fixed):
        with pytest.raises(ValueError, match="cannot be dealt out"):
            found.slots(consumers)
        return
    slots = found.slots(consumers)
    counts = [slots.count(model.name) for model in models]
    assert sum(counts) == consumers
    assert all(count == given for count, given in zip(counts, asked, strict=True) if given is not None)
    spread = [count for count, given in zip(counts, asked, strict=True) if given is None]
    assert not spread or (min(spread) >= 1 and max(spread) - min(spread) <= 1)

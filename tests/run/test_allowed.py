"""`gameday.toml`: what it allows, what it does not, and what it says where it is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gameday.history.errors import UsageError
from gameday.run.allowed import AllowList, Needs, NotAllowed, check, find, permit, production_looking, read
from gameday.targets.account import Account
from gameday.transports.endpoint import Endpoint

SOURCE = Path("gameday.toml")
HERE = Account(id="123456789012", region="eu-west-1", caller="arn:aws:iam::123456789012:user/me", endpoint=Endpoint())
SMALL = Needs(messages=100, rate_per_s=10.0, duration_s=10.0, cost=0.01)
ENTRY = """
[[allow]]
account = "123456789012"
regions = ["eu-west-1", "eu-central-1"]
max_messages = 1000
max_rate = "50/s"
max_duration = "2min"
max_cost = 1.5
"""


def allowed(text: str, tmp_path: Path) -> AllowList:
    (tmp_path / "gameday.toml").write_text(text)
    return read(tmp_path / "gameday.toml")


def test_an_entry_allows_what_it_spells_out(tmp_path: Path) -> None:
    entry = permit(allowed(ENTRY, tmp_path), HERE, source=SOURCE)
    assert (entry.max_messages, entry.max_rate, entry.max_duration, entry.max_cost) == (1000, 50.0, 120.0, 1.5)
    check(entry, HERE, SMALL, source=SOURCE)
    check(entry, HERE, Needs(messages=1000, rate_per_s=50.0, duration_s=120.0, cost=1.5), source=SOURCE)


@pytest.mark.parametrize(
    "place",
    [
        "https://sqs.eu-west-1.amazonaws.com/123456789012/orders",
        "https://vpce-1a2b.sqs.eu-west-1.vpce.amazonaws.com/123456789012/orders",
        "https://eu-west-1.queue.amazonaws.com/123456789012/orders",
        "arn:aws:sns:eu-west-1:123456789012:orders",
        "arn:aws:sqs:::orders",
        # Names, and queues of emulators, are where the run is.
        "staging",
        "http://127.0.0.1:4566/000000000000/orders",
    ],
)
def test_what_is_there_is_attached_to(tmp_path: Path, place: str) -> None:
    entry = permit(allowed(ENTRY, tmp_path), HERE, source=SOURCE)
    check(entry, HERE, replace(SMALL, places=[place]), source=SOURCE)


@pytest.mark.parametrize(
    "place",
    [
        "https://sqs.us-east-1.amazonaws.com/123456789012/orders",
        "https://sqs.eu-west-1.amazonaws.com/123456789013/orders",
        "https://queue.amazonaws.com/123456789012/orders",
        "arn:aws:kinesis:eu-central-1:123456789012:stream/clicks",
        "arn:aws:events:eu-west-1:123456789013:event-bus/orders",
    ],
)
def test_what_is_elsewhere_is_not_attached_to(tmp_path: Path, place: str) -> None:
    """Another account is not spelled out; in another region the name may be somebody else's."""
    entry = permit(allowed(ENTRY, tmp_path), HERE, source=SOURCE)
    with pytest.raises(
        NotAllowed, match=f"topology.attach names {place}, which is not in account 123456789012 in eu-w"
    ):
        check(entry, HERE, replace(SMALL, places=[place]), source=SOURCE)


@pytest.mark.parametrize(
    ("account", "region", "said"),
    [
        (
            "123456789013",
            "eu-west-1",
            "account 123456789013 (who calls is arn:aws:iam::123456789012:user/me) is not on",
        ),
        ("123456789012", "us-east-1", "of that account eu-central-1, eu-west-1 are"),
    ],
)
def test_what_is_not_spelled_out_is_not_allowed(tmp_path: Path, account: str, region: str, said: str) -> None:
    with pytest.raises(NotAllowed) as error:
        permit(allowed(ENTRY, tmp_path), replace(HERE, id=account, region=region), source=SOURCE)
    assert said in str(error.value)


def test_nothing_is_allowed_by_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(NotAllowed):
        permit(allowed("", tmp_path), HERE, source=SOURCE)


@pytest.mark.parametrize("regions", ["", 'regions = ["eu-west-1"]'])
def test_deny_beats_allow_wherever_it_stands(tmp_path: Path, regions: str) -> None:
    denial = f'[[deny]]\naccount = "123456789012"\n{regions}\n'
    for text in (ENTRY + denial, denial + ENTRY):
        with pytest.raises(NotAllowed, match="is denied by"):
            permit(allowed(text, tmp_path), HERE, source=SOURCE)


def test_a_denial_of_another_region_denies_only_that(tmp_path: Path) -> None:
    denial = '[[deny]]\naccount = "123456789012"\nregions = ["eu-central-1"]\n'
    listed = allowed(ENTRY + denial, tmp_path)
    assert permit(listed, HERE, source=SOURCE)
    with pytest.raises(NotAllowed, match="is denied by"):
        permit(listed, replace(HERE, region="eu-central-1"), source=SOURCE)


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"messages": 1001}, "1,001 messages, and max_messages is 1,000"),
        ({"rate_per_s": 50.5}, "50.5 messages per second at its peak, and max_rate is 50"),
        ({"duration_s": 121.0}, "121 seconds of load, and max_duration is 120"),
        ({"cost": 1.51}, "1.51 US dollars, if it comes to the most, and max_cost is 1.5"),
        ({"existing": ["orders-prod"]}, "orders-prod looks like production, and is not spelled out in `production`"),
        ({"breaks": ["orders"]}, "would strike orders, which gameday did not make, and it is not named in `chaos_on`"),
    ],
)
def test_each_limit_holds_alone_and_all_are_told_together(tmp_path: Path, over: dict[str, object], said: str) -> None:
    entry = permit(allowed(ENTRY, tmp_path), HERE, source=SOURCE)
    with pytest.raises(NotAllowed) as error:
        check(entry, HERE, replace(SMALL, **over), source=SOURCE)  # type: ignore[arg-type]
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 2
    with pytest.raises(NotAllowed) as error:
        check(entry, HERE, replace(SMALL, messages=5000, cost=9.0), source=SOURCE)
    assert len(str(error.value).splitlines()) == 3


def test_what_looks_like_production_is_allowed_by_its_very_name(tmp_path: Path) -> None:
    acme = replace(HERE, alias="acme-prod", profile="acme-live")
    with pytest.raises(NotAllowed, match=r"acme-prod looks like production.*\n.*acme-live"):
        check(permit(allowed(ENTRY, tmp_path), acme, source=SOURCE), acme, SMALL, source=SOURCE)
    text = ENTRY + 'production = ["acme-prod", "acme-live"]\nchaos_on = ["shop"]\n'
    check(permit(allowed(text, tmp_path), acme, source=SOURCE), acme, replace(SMALL, breaks=["shop"]), source=SOURCE)


def test_production_is_a_word_of_its_own() -> None:
    looking = [
        "prod",
        "orders-prod",
        "Prod2",
        "acme_PRD",
        "live",
        "orders.live.eu",
        "production-eu",
        "prod-a",
        "OrdersProd",
        "LiveOrders",
        "PRODQueue",
        "preprod",
    ]
    assert production_looking(looking) == looking
    assert production_looking(["product", "products-dev", "delivery", "alive", "oliver", "reproduce", None, ""]) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[allow", "is no TOML"),
        (ENTRY.replace('"123456789012"', '"*"'), "[[allow]] number 1, account: an account is written with its twelve"),
        (ENTRY.replace('"eu-west-1"', '"eu-*"'), "[[allow]] number 1, regions, 0: an account is written with"),
        (ENTRY.replace("max_cost = 1.5", ""), "[[allow]] number 1, max_cost: it has to be said"),
        (ENTRY.replace('"50/s"', "50"), "[[allow]] number 1, max_rate: 50 has no unit"),
        (ENTRY + "max_costs = 1\n", "[[allow]] number 1, max_costs: there is no such key"),
        (ENTRY.replace('["eu-west-1", "eu-central-1"]', "[]"), "[[allow]] number 1, regions"),
        ("allowed = 1\n", "allowed: there is no such key"),
    ],
)
def test_a_file_that_is_wrong_says_where(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        allowed(text, tmp_path)
    assert said in str(error.value)


def test_the_nearest_file_upwards_is_taken_and_a_named_one_before_it(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    with pytest.raises(NotAllowed, match=r"no gameday\.toml stands in"):
        find(None, below)
    (tmp_path / "gameday.toml").write_text("")
    assert find(None, below) == tmp_path / "gameday.toml"
    (tmp_path / "a" / "gameday.toml").write_text("")
    assert find(None, below) == tmp_path / "a" / "gameday.toml"
    assert find(Path("other.toml"), below) == Path("other.toml")
    with pytest.raises(UsageError, match="cannot be read"):
        read(below / "nowhere.toml")

"""A Deny that comes and goes: what stood in the policy before stands there afterwards, letter by letter."""

from __future__ import annotations

import json

import pytest

from gameday.emulator.services import SERVICES, World
from gameday.transports.base import Answer, Call, CallFailed
from gameday.transports.carriers.boto import run_plan
from gameday.transports.queue_policy import allow, deny, statement_id, with_denial, without
from tests.transports.asked import Asked

ARN = "arn:aws:sqs:us-east-1:123456789012:orders"
OTHER = {"Sid": "theirs", "Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sqs:*", "Resource": ARN}
# Spaces and an order of keys that no writer of ours would make.
THEIRS = json.dumps({"Statement": [OTHER], "Id": "x", "Version": "2008-10-17"}, indent=1)
SID = statement_id("quick-20260101-120000-1a2b", "impair-queue-1")


def denied(before: str, sid: str = SID) -> str:
    return with_denial(before, sid=sid, actions=["SendMessage"], arn=ARN)


def test_the_sid_names_run_and_strike_in_letters_and_digits() -> None:
    assert SID == "gamedayquick202601011200001a2bimpairqueue1"


@pytest.mark.parametrize("before", ["", THEIRS, json.dumps({"Version": "2012-10-17", "Statement": OTHER})])
def test_what_was_there_stays_and_comes_back_to_the_letter(before: str) -> None:
    document = json.loads(denied(before))
    *others, ours = document["Statement"]
    assert ours == {
        "Sid": SID, "Effect": "Deny", "Principal": "*", "Action": ["sqs:SendMessage"], "Resource": ARN,
    }  # fmt: skip
    assert others == ([OTHER] if before else [])
    assert without(denied(before), sid=SID, before=before) == before
    # Once more takes nothing more out.
    assert without(before, sid=SID, before=before) == before


def test_what_others_have_changed_meanwhile_stays() -> None:
    document = json.loads(denied(THEIRS))
    document["Statement"].append({**OTHER, "Sid": "later"})
    left = json.loads(without(json.dumps(document), sid=SID, before=THEIRS))
    assert [statement["Sid"] for statement in left["Statement"]] == ["theirs", "later"]
    assert left["Id"] == "x"


@pytest.mark.parametrize("first", [0, 1])
def test_two_strikes_at_once_end_in_either_order(first: int) -> None:
    """The one that came second has read the first one's denial as what was there before."""
    sids, befores = ["gamedayA", "gamedayB"], [THEIRS, denied(THEIRS, "gamedayA")]
    policy = denied(befores[1], "gamedayB")
    for n in (first, 1 - first):
        policy = without(policy, sid=sids[n], before=befores[n])
    assert json.loads(policy) == json.loads(THEIRS)


def test_on_a_queue() -> None:
    sqs = Asked("sqs", SERVICES["sqs"].make(World()))

    def carry(call: Call) -> Answer:
        return sqs(call.operation, **call.params)

    def policy() -> str | None:
        told: dict[str, str] = sqs("GetQueueAttributes", QueueUrl=url, AttributeNames=["Policy"]).get("Attributes", {})
        return told.get("Policy")

    url = sqs("CreateQueue", QueueName="orders", Attributes={"Policy": THEIRS})["QueueUrl"]
    before = run_plan(deny(url, sid=SID, actions=["ReceiveMessage"]), carry)
    assert (before, SID in (policy() or "")) == (THEIRS, True)
    run_plan(allow(url, sid=SID, before=before), carry)
    assert policy() == THEIRS
    sqs("SetQueueAttributes", QueueUrl=url, Attributes={"Policy": ""})
    run_plan(allow(url, sid=SID, before=run_plan(deny(url, sid=SID, actions=["ReceiveMessage"]), carry)), carry)
    assert policy() is None


def test_a_policy_that_cannot_be_read_is_left_alone() -> None:
    with pytest.raises(CallFailed, match="no JSON object") as failed:
        denied("allow all")
    assert failed.value.definite

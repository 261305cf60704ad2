"""`gameday policy --role sweep`, held to the calls of a sweep: each is allowed, and no other action is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest

from gameday.scenario import reading
from gameday.scenario.policy import Where, policies, sweep_policy
from gameday.targets.start import given
from gameday.targets.sweep import SweepRequest, sweep
from gameday.transports.partitions import in_its_partition, partition_of
from gameday.transports.services import RUN_TAG, SERVICES
from tests.contract.test_leftovers import leave, subscribed_to_another
from tests.run.plays_aws import ACCOUNT, Playing, playing
from tests.scenario.iam import allows
from tests.series import in_series
from tests.transports.asked import served

REGION = "us-east-1"
WHERE = Where(account=ACCOUNT, region=REGION)
RUN = "old-20200101-000000-abcd"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:gameday-{RUN}-orders.fifo"
OURS = {f"aws:ResourceTag/{RUN_TAG}": RUN}
# By what each call names what it is about, and what comes before its name in an ARN. A subscription, and what is
# listed, no policy can name.
_NAMED: Mapping[str, tuple[str, str]] = {
    "sqs": ("QueueUrl", ""),
    "sns": ("TopicArn", ""),
    "kinesis": ("StreamName", "stream/"),
    "dynamodb": ("TableName", "table/"),
}
_NAMELESS = {
    *("ListQueues", "ListTopics", "ListSubscriptions", "ListEventBuses", "ListArchives", "ListStreams", "ListTables"),
    *("ListRules", "Unsubscribe", "GetResources"),
}
_ACTIONS = {"GetResources": "tag:GetResources"}


def test_a_sweep_removes_what_has_the_name_and_the_tag_of_a_run_and_looks_at_what_may() -> None:
    document = sweep_policy(WHERE)
    assert allows(document, "sqs:DeleteQueue", QUEUE, OURS)
    assert not allows(document, "sqs:DeleteQueue", QUEUE, {})
    assert not allows(document, "sqs:DeleteQueue", QUEUE, {f"aws:ResourceTag/{RUN_TAG}": "mine"})
    somebodys = f"arn:aws:sqs:{REGION}:{ACCOUNT}:gameday-of-somebody-else"
    assert not allows(document, "sqs:DeleteQueue", somebodys, OURS)
    assert allows(document, "sqs:ListQueueTags", somebodys, {})
    assert not allows(document, "sqs:GetQueueAttributes", f"arn:aws:sqs:{REGION}:{ACCOUNT}:orders", {})
    for action in ("sqs:ReceiveMessage", "sqs:PurgeQueue", "sqs:CreateQueue", "iam:ListAccountAliases"):
        assert not allows(document, action, QUEUE, OURS)


@pytest.mark.parametrize(
    ("region", "partition"),
    [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("REGION", "aws")],
)
def test_arns_are_of_the_regions_partition(region: str, partition: str) -> None:
    where = Where(account=ACCOUNT, region=region)
    for document in (sweep_policy(where), *policies(reading.load(reading.find("quick"), ()), where).values()):
        named = [arn for statement in document["Statement"] for arn in statement["Resource"] if arn != "*"]
        assert named and all(arn.startswith(f"arn:{partition}:") and f":{region}:" in arn for arn in named)


def test_every_region_that_the_sdk_knows_has_its_partition() -> None:
    session = boto3.session.Session()
    for partition in session.get_available_partitions():
        for region in session.get_available_regions("sqs", partition):
            assert partition_of(region) == partition, region
    mine = "arn:aws-cn:sqs:cn-north-1:1:q"
    assert in_its_partition(mine, "eu-west-1") == mine, "what a person wrote stays as it is"


@pytest.fixture
def aws() -> Iterator[Playing]:
    with served() as url, playing(url) as state:
        yield state


def resource(service: str, operation: str, asked: Mapping[str, Any]) -> str:
    """The ARN of what a call is about."""
    if operation in _NAMELESS:
        return "*"
    for key in ("ResourceArn", "ResourceARN", "TopicArn"):
        if str(asked.get(key)).startswith("arn:"):
            return str(asked[key]).replace("000000000000", ACCOUNT)
    if service == "events":
        bus, rule = asked.get("EventBusName"), asked.get("Rule")
        name = asked.get("Name")
        if operation == "DeleteEventBus":
            path = f"event-bus/{name}"
        else:
            path = f"archive/{asked['ArchiveName']}" if "ArchiveName" in asked else f"rule/{bus}/{rule or name}"
    else:
        key, before = _NAMED[service]
        path = before + str(asked[key]).rpartition("/")[2]
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{path}"


@pytest.mark.live
@in_series
def test_every_call_of_a_sweep_is_allowed_and_nothing_else_is(aws: Playing) -> None:
    target = given(list(SERVICES), aws.url, {})
    leave(RUN, target.endpoint, table=True)
    subscribed_to_another(RUN, target.endpoint)
    aws.calls.clear()
    assert sweep(SweepRequest(run=None, older_than_s=None, dry=False), target, lambda text: None) == 0
    document = sweep_policy(WHERE)
    used, denied = set[str](), set[tuple[str, str]]()
    for service, operation, asked in aws.calls:
        if service == "states":
            continue  # A sweep of AWS itself does not ask it (`emulated_only`); who plays AWS here is none.
        action = _ACTIONS.get(operation, f"{service}:{operation}")
        used.add(action)
        if not allows(document, action, arn := resource(service, operation, asked), OURS):
            denied.add((action, arn))
    assert denied == set()
    allowed = {action for each in document["Statement"] for action in each["Action"]}
    assert allowed - used == {"sqs:SetQueueAttributes"}, "`recover` alone changes a policy"

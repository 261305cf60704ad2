"""`gameday policy`, held to the calls of real runs: each is allowed to whoever makes it, and nothing else is."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from gameday.consumers.guards import GUARDS
from gameday.scenario import reading
from gameday.scenario.estimate import estimate
from gameday.scenario.policy import NEEDS, ROLES, Kind, Role, Where, policies
from gameday.transports.services import RUN_TAG
from tests.commanded import COMMAND
from tests.run.plays_aws import ACCOUNT, REGION, Playing, allow, environment, playing
from tests.scenario.iam import allows
from tests.scenario.on_aws import ON_AWS
from tests.series import in_series, in_soak, series
from tests.transports.asked import served

WHERE = Where(account=ACCOUNT, region=REGION)
RUN = "quick-20260101-120000-1a2b"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:gameday-{RUN}-orders.fifo"
OURS = {f"aws:ResourceTag/{RUN_TAG}": RUN}


def of(scenario: str, *overrides: str) -> Mapping[Role, Mapping[str, Any]]:
    return policies(reading.load(reading.find(scenario), overrides), WHERE)


def test_each_does_its_own_part_on_what_is_the_runs_and_nothing_else() -> None:
    documents = of("quick")
    assert allows(documents["consumers"], "sqs:ReceiveMessage", QUEUE, OURS)
    assert allows(documents["load"], "sqs:SendMessage", QUEUE, OURS)
    assert allows(documents["conductor"], "sqs:DeleteQueue", QUEUE, OURS)
    # Another's part, another's queue, another scenario's, and one that has our name and not our tag.
    assert not allows(documents["load"], "sqs:ReceiveMessage", QUEUE, OURS)
    assert not allows(documents["consumers"], "sqs:DeleteQueue", QUEUE, OURS)
    assert not allows(documents["conductor"], "sqs:ReceiveMessage", QUEUE, OURS)
    assert not allows(documents["consumers"], "sqs:ReceiveMessage", QUEUE.replace("gameday-quick", "orders"), OURS)
    assert not allows(documents["consumers"], "sqs:ReceiveMessage", QUEUE.replace("quick-", "quick-two-"), OURS)
    assert not allows(documents["consumers"], "sqs:ReceiveMessage", QUEUE.replace(ACCOUNT, "999999999999"), OURS)
    assert not allows(documents["consumers"], "sqs:ReceiveMessage", QUEUE, {})
    assert not allows(documents["conductor"], "sqs:DeleteQueue", QUEUE, {f"aws:ResourceTag/{RUN_TAG}": "other"})


def test_only_a_run_that_impairs_queues_may_change_their_policies() -> None:
    shown = "arn:aws:sqs:eu-west-1:123456789012:gameday-impaired-queue-20260101-120000-1a2b-orders.fifo"
    tags = {f"aws:ResourceTag/{RUN_TAG}": "impaired-queue-20260101-120000-1a2b"}
    conductor = of("impaired-queue")["conductor"]
    assert allows(conductor, "sqs:SetQueueAttributes", shown, tags)
    assert allows(conductor, "sqs:GetQueueAttributes", shown, tags)
    assert not allows(of("impaired-queue", "chaos=[]")["conductor"], "sqs:SetQueueAttributes", shown, tags)


def test_nothing_is_made_without_the_tag_of_a_run() -> None:
    conductor = of("quick")["conductor"]
    assert allows(conductor, "sqs:CreateQueue", QUEUE, {f"aws:RequestTag/{RUN_TAG}": RUN})
    assert not allows(conductor, "sqs:CreateQueue", QUEUE, {})
    assert not allows(conductor, "sqs:CreateQueue", QUEUE, {f"aws:RequestTag/{RUN_TAG}": "mine"})


def test_nobody_gets_iam_or_a_wildcard() -> None:
    every = [pair for name in ON_AWS for pair in of(name).items()]
    for role, document in every:
        for statement in document["Statement"]:
            assert all(action.partition(":")[0] != "iam" and "*" not in action for action in statement["Action"])
            if statement["Effect"] == "Allow" and "*" in statement["Resource"]:
                assert role == "conductor"
                assert {*statement["Action"]} <= {"events:ListRules", "cloudwatch:GetMetricData"}


def test_a_queue_that_is_there_already_is_used_and_not_made(tmp_path: Path) -> None:
    path = tmp_path / "made.yaml"
    path.write_text(
        "name: made\ntransport: sqs\ntopology: {attach: {queue: 'https://sqs.eu-west-1.amazonaws.com/1/shop'}}\n"
        "load: {rate: 1/s, duration: 9s}\nclaims: [no-loss]\n"
    )
    documents = policies(reading.load(path, ()), WHERE)
    shop = f"arn:aws:sqs:{REGION}:{ACCOUNT}:shop"
    assert allows(documents["consumers"], "sqs:ReceiveMessage", shop, {})
    assert allows(documents["load"], "sqs:SendMessage", shop, {})
    assert not any(allows(document, "sqs:DeleteQueue", shop, {}) for document in documents.values())
    assert not any(allows(document, "sqs:CreateQueue", shop, {}) for document in documents.values())


# What a run may have to call, and a plan does not count on: what fails is let go, or begun again, and what somebody
# else has begun is looked up.
_WHERE_SOMETHING_FAILS = {"sqs:ChangeMessageVisibility", "dynamodb:GetItem", "dynamodb:DeleteItem"}
_DYNAMODB = "consumers.store=dynamodb"
_WHATEVER = [
    "quick",
    "redrive",
    "eventbridge-replay",
    "kinesis-reshard",
    f"kinesis {_DYNAMODB}",
    *(f"quick {_DYNAMODB} consumers.guard={guard}" for guard in GUARDS if not GUARDS[guard].marks_expire),
    f"quick {_DYNAMODB} consumers.guard=in-progress consumers.guard_expiry=5s",
    f"quick {_DYNAMODB} consumers.handler=no-op claims=[no-loss] chaos=[]",
]


@pytest.mark.parametrize("arguments", [*_WHATEVER, *series(*(name for name in ON_AWS if name not in _WHATEVER))])
def test_every_action_is_needed_by_a_call_that_is_planned(arguments: str) -> None:
    """And every call that is planned is allowed to somebody."""
    scenario, *overrides = arguments.split()
    read = reading.load(reading.find(scenario), overrides)
    planned = {key for key in estimate(read, region=REGION).calls if key[0] not in ("sts", "iam")}
    needed = {action for key in planned for action, _ in NEEDS[key]}
    allowed = {
        action
        for document in policies(read, WHERE).values()
        for statement in document["Statement"]
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
    }
    assert needed - allowed == set()
    assert allowed - needed <= _WHERE_SOMETHING_FAILS


def test_who_only_marks_gets_nothing_else() -> None:
    consumers = of("quick", _DYNAMODB, "consumers.guard=transaction")["consumers"]
    table = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/gameday-{RUN}-effects"
    assert allows(consumers, "dynamodb:PutItem", table, OURS) and allows(consumers, "dynamodb:UpdateItem", table, OURS)
    for action in ("GetItem", "DeleteItem", "Scan", "DeleteTable", "Query"):
        assert not allows(consumers, f"dynamodb:{action}", table, OURS)


# Of a run, what was really called.

_NAMED = ("QueueUrl", "QueueName", "TopicArn", "Name", "EventBusName", "StreamName", "TableName")
_SENDS = ("SendMessageBatch", "PublishBatch", "PutEvents", "PutRecords")
_CONSUMES = ("ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch")
_STEPS = ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems")
_PARTS: Mapping[Kind, str] = {
    "queue": "sqs:{region}:{account}:",
    "dead-letter-queue": "sqs:{region}:{account}:",
    "topic": "sns:{region}:{account}:",
    "bus": "events:{region}:{account}:event-bus/",
    "rule": "events:{region}:{account}:rule/",
    "archive": "events:{region}:{account}:archive/",
    "replay": "events:{region}:{account}:replay/",
    "stream": "kinesis:{region}:{account}:stream/",
    "table": "dynamodb:{region}:{account}:table/",
}
# What a calm run may well do without: letting go what a consumer that ends has in hand, and dead letters that were not
# there. A server that only plays AWS is not asked by CloudWatch's name, unless the scenario says so.
_NOT_ALWAYS = {"sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "cloudwatch:GetMetricData"}


@pytest.fixture
def aws() -> Iterator[Playing]:
    with served() as url, playing(url) as state:
        yield state


def resource(kind: Kind, run: str, asked: Mapping[str, Any]) -> str:
    """The ARN of what a call is about, of this kind."""
    named = next((str(asked[key]) for key in _NAMED if key in asked), "")
    name = named.rpartition("/")[2].rpartition(":")[2]
    if kind in ("rule", "bus") and "EventBusName" in asked:
        name = f"{asked['EventBusName']}/{asked.get('Rule') or asked.get('Name')}"
        name = name if kind == "rule" else str(asked["EventBusName"])
    if kind in ("stream", "bus", "topic", "archive", "replay") and run not in name:
        # A shard's iterator, a batch of events and a replay tell no name of it.
        name = run if kind == "archive" else f"gameday-{run}"
    if kind in ("queue", "dead-letter-queue") and asked.get("SourceArn"):
        name = str(asked["SourceArn"]).rpartition(":")[2]
    if kind == "table" and "TransactItems" in asked:
        name = asked["TransactItems"][0]["Put"]["TableName"]
    if kind == "rule" and run not in name:
        name = f"gameday-{run}/Events-Archive-{run}"
    return "arn:aws:" + _PARTS[kind].format(region=REGION, account=ACCOUNT) + name


def tags_of(asked: Mapping[str, Any]) -> dict[str, str]:
    """The tags that a call brings, as a policy's conditions see them; in the query protocol they are numbered."""
    told = asked.get("tags") or asked.get("Tags") or ()
    pairs = told.items() if isinstance(told, Mapping) else [(tag["Key"], tag["Value"]) for tag in told]
    numbered = [(value, asked[key[: -len("Key")] + "Value"]) for key, value in asked.items() if key.endswith(".Key")]
    return {f"aws:RequestTag/{key}": str(value) for key, value in [*pairs, *numbered]}


def role_of(operation: str, asked: Mapping[str, Any]) -> Role:
    if operation in _SENDS:
        return "load"
    if operation in _STEPS or (operation in _CONSUMES and "-dlq" not in str(asked.get("QueueUrl"))):
        return "consumers"
    return "conductor"


@pytest.mark.live
@pytest.mark.parametrize(
    "arguments",
    [
        *series("quick load.duration=1s chaos=[] claims=[no-loss]"),
        *(
            pytest.param(each, marks=[in_series, in_soak])
            for each in (
                "redrive",
                "sns-fifo load.duration=5s consumers.store=dynamodb chaos=[] claims=[no-loss]",
                "eventbridge-replay load.duration=5s",
                "kinesis-reshard consumers.store=dynamodb",
            )
        ),
    ],
)
def test_every_call_of_a_run_is_allowed_to_who_makes_it(aws: Playing, tmp_path: Path, arguments: str) -> None:
    scenario, *overrides = arguments.split()
    allow(tmp_path)
    settings = [part for each in overrides for part in ("--set", each)]
    ran = subprocess.run(
        [*COMMAND, "run", scenario, "--target", "aws", "--region", REGION, "--yes", "--out", "run", *settings],
        cwd=tmp_path,
        env=environment(aws, tmp_path),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode in (0, 1, 3), ran.stderr
    run = orjson.loads((tmp_path / "run" / "manifest.json").read_bytes())["run"]
    documents = of(scenario, *overrides)
    denied, used = set[tuple[str, str, str]](), {role: set[str]() for role in ROLES}
    for service, operation, asked in aws.calls:
        if service in ("sts", "iam"):
            continue
        role = role_of(operation, asked)
        context = {f"aws:ResourceTag/{RUN_TAG}": run, **tags_of(asked)}
        for action, kind in NEEDS[service, operation]:
            arn = "*" if kind == "any" else resource(kind, run, asked)
            used[role].add(action)
            if not allows(documents[role], action, arn, context):
                denied.add((role, action, arn))
    assert denied == set()
    given = {role: {a for each in documents[role]["Statement"] for a in each["Action"]} for role in ROLES}
    # Both read a stream; whoever of the two it was.
    both = used["conductor"] | used["consumers"]
    assert given["load"] == used["load"]
    assert (given["conductor"] | given["consumers"]) - both - _NOT_ALWAYS == set()

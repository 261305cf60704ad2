"""The least that each part of a run must be allowed on AWS: IAM policies, from the calls that the scenario makes.

It promises that every call of a run is allowed to whoever makes it, and nothing that no part of such a run calls; no
resource outside of the run's names but what the scenario names; and no `iam:` action but one, to hand a role that the
scenario names to FIS, and to nobody else. A test holds it to calls that were recorded.

Sources: docs.aws.amazon.com/service-authorization/latest/reference, the pages of SQS, SNS, EventBridge, Kinesis,
DynamoDB and FIS: which action an operation needs, on which resource, and whether the service knows tags in conditions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from gameday.scenario.imagined import built_and_removed
from gameday.scenario.model import Scenario, topology_of
from gameday.transports.base import Call, Topology, Transport
from gameday.transports.registry import TRANSPORTS
from gameday.transports.services import RUN_TAG

Role = Literal["conductor", "load", "consumers"]
ROLES: Sequence[Role] = get_args(Role)
Kind = Literal["queue", "dead-letter-queue", "topic", "bus", "rule", "archive", "replay", "stream", "table", "any"]
Operation = tuple[str, str]
Document = dict[str, Any]
VERSION = "2012-10-17"

# By kind of resource, its ARN: {names} begins every name of the scenario's runs, {run} every id of one.
_ARNS: Mapping[Kind, str] = {
    "queue": "arn:aws:sqs:{region}:{account}:{names}*",
    "dead-letter-queue": "arn:aws:sqs:{region}:{account}:{names}*-dlq*",
    "topic": "arn:aws:sns:{region}:{account}:{names}*",
    "bus": "arn:aws:events:{region}:{account}:event-bus/{names}*",
    "rule": "arn:aws:events:{region}:{account}:rule/{names}*",
    "archive": "arn:aws:events:{region}:{account}:archive/{run}*",
    "replay": "arn:aws:events:{region}:{account}:replay/{names}*",
    "stream": "arn:aws:kinesis:{region}:{account}:stream/{names}*",
    "table": "arn:aws:dynamodb:{region}:{account}:table/{names}*",
    # Of an action that cannot be held to a resource.
    "any": "*",
}
Need = tuple[str, Kind]
# What an operation needs: most need the action of their name, some another, some several.
NEEDS: Mapping[Operation, Sequence[Need]] = {
    # What has tags when it is made needs the action that tags, too.
    ("sqs", "CreateQueue"): [("sqs:CreateQueue", "queue"), ("sqs:TagQueue", "queue")],
    ("sqs", "DeleteQueue"): [("sqs:DeleteQueue", "queue")],
    ("sqs", "GetQueueUrl"): [("sqs:GetQueueUrl", "queue")],
    ("sqs", "GetQueueAttributes"): [("sqs:GetQueueAttributes", "queue")],
    ("sqs", "SetQueueAttributes"): [("sqs:SetQueueAttributes", "queue")],
    ("sqs", "SendMessageBatch"): [("sqs:SendMessage", "queue")],
    ("sqs", "ReceiveMessage"): [("sqs:ReceiveMessage", "queue")],
    ("sqs", "DeleteMessageBatch"): [("sqs:DeleteMessage", "queue")],
    ("sqs", "ChangeMessageVisibilityBatch"): [("sqs:ChangeMessageVisibility", "queue")],
    # Whoever moves messages receives, deletes and sends them (SQSDeveloperGuide, "dead-letter-queue-redrive").
    ("sqs", "StartMessageMoveTask"): [
        ("sqs:StartMessageMoveTask", "dead-letter-queue"),
        ("sqs:ReceiveMessage", "dead-letter-queue"),
        ("sqs:DeleteMessage", "dead-letter-queue"),
        ("sqs:GetQueueAttributes", "queue"),
        ("sqs:SendMessage", "queue"),
    ],
    ("sqs", "ListMessageMoveTasks"): [("sqs:ListMessageMoveTasks", "dead-letter-queue")],
    ("sns", "CreateTopic"): [("sns:CreateTopic", "topic"), ("sns:TagResource", "topic")],
    ("sns", "DeleteTopic"): [("sns:DeleteTopic", "topic")],
    ("sns", "Subscribe"): [("sns:Subscribe", "topic")],
    ("sns", "PublishBatch"): [("sns:Publish", "topic")],
    ("events", "CreateEventBus"): [("events:CreateEventBus", "bus"), ("events:TagResource", "bus")],
    ("events", "DeleteEventBus"): [("events:DeleteEventBus", "bus")],
    # An archive puts a rule of its own on the bus.
    ("events", "CreateArchive"): [
        ("events:CreateArchive", "archive"),
        ("events:CreateArchive", "bus"),
        ("events:PutRule", "rule"),
        ("events:PutTargets", "rule"),
    ],
    ("events", "DeleteArchive"): [("events:DeleteArchive", "archive")],
    ("events", "DescribeArchive"): [("events:DescribeArchive", "archive")],
    ("events", "PutRule"): [("events:PutRule", "rule"), ("events:TagResource", "rule")],
    ("events", "PutTargets"): [("events:PutTargets", "rule")],
    ("events", "ListRules"): [("events:ListRules", "any")],
    ("events", "RemoveTargets"): [("events:RemoveTargets", "rule")],
    ("events", "DeleteRule"): [("events:DeleteRule", "rule")],
    ("events", "PutEvents"): [("events:PutEvents", "bus")],
    ("events", "StartReplay"): [("events:StartReplay", "replay"), ("events:StartReplay", "archive")],
    ("events", "DescribeReplay"): [("events:DescribeReplay", "replay")],
    ("kinesis", "CreateStream"): [("kinesis:CreateStream", "stream"), ("kinesis:AddTagsToStream", "stream")],
    ("kinesis", "DeleteStream"): [("kinesis:DeleteStream", "stream")],
    ("kinesis", "DescribeStreamSummary"): [("kinesis:DescribeStreamSummary", "stream")],
    ("kinesis", "PutRecords"): [("kinesis:PutRecords", "stream")],
    ("kinesis", "ListShards"): [("kinesis:ListShards", "stream")],
    ("kinesis", "GetShardIterator"): [("kinesis:GetShardIterator", "stream")],
    ("kinesis", "GetRecords"): [("kinesis:GetRecords", "stream")],
    ("kinesis", "SplitShard"): [("kinesis:SplitShard", "stream")],
    ("kinesis", "MergeShards"): [("kinesis:MergeShards", "stream")],
    ("dynamodb", "CreateTable"): [("dynamodb:CreateTable", "table"), ("dynamodb:TagResource", "table")],
    ("dynamodb", "DescribeTable"): [("dynamodb:DescribeTable", "table")],
    ("dynamodb", "DeleteTable"): [("dynamodb:DeleteTable", "table")],
    ("dynamodb", "Scan"): [("dynamodb:Scan", "table")],
    ("dynamodb", "GetItem"): [("dynamodb:GetItem", "table")],
    ("dynamodb", "PutItem"): [("dynamodb:PutItem", "table")],
    ("dynamodb", "UpdateItem"): [("dynamodb:UpdateItem", "table")],
    ("dynamodb", "DeleteItem"): [("dynamodb:DeleteItem", "table")],
    ("cloudwatch", "GetMetricData"): [("cloudwatch:GetMetricData", "any")],
    # A transaction needs the actions of what is in it.
    ("dynamodb", "TransactWriteItems"): [("dynamodb:PutItem", "table"), ("dynamodb:UpdateItem", "table")],
}
# Which of these bring the run's tag with them, so that they can be held to it.
_TAGGED = (
    "sqs:CreateQueue",
    "sqs:TagQueue",
    "sns:CreateTopic",
    "sns:TagResource",
    "events:CreateEventBus",
    "events:TagResource",
    "kinesis:CreateStream",
    "kinesis:AddTagsToStream",
    "dynamodb:CreateTable",
    "dynamodb:TagResource",
)
# What is asked before there is a tag.
_BEFORE_TAGS = ("Create", "Tag", "AddTags", "PutRule", "PutTargets", "List", "Describe", "GetQueueUrl")
# What takes no tags.
_UNTAGGED: Sequence[Kind] = ("archive", "replay", "any")
# What the conductor does with dead letters, the consumers do with the others.
_OF_DEAD_LETTERS = ("ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch")


@dataclass(frozen=True, kw_only=True, slots=True)
class Where:
    """The account and the region that stand in the ARNs."""

    account: str
    region: str


def policies(scenario: Scenario, where: Where) -> dict[Role, Document]:
    """By role, a policy document. Who has no AWS call of its own has no statement."""
    names = _Names(scenario=scenario.name, where=where, existing=scenario.existing)
    documents = {role: _document(names, needs) for role, needs in _needs(scenario).items()}
    documents["conductor"]["Statement"] += _of_experiments(names, scenario)
    return documents


def not_covered(scenario: Scenario) -> list[str]:
    """What the documents leave to others, in words."""
    told = []
    if scenario.consumers.store == "dynamodb" and not scenario.consumers.foreign:
        told.append(
            "DynamoDB knows tags in conditions only where attribute-based access control is on for the account's "
            "tables; where it is not, take the conditions out of the statements about tables"
        )
    if scenario.topology.replay:
        told.append("archives and replays of EventBridge take no tags: they are held to their names alone")
    if scenario.existing:
        told.append("a dead-letter queue of a queue that is there already has a name that nobody knows here; add it")
    if scenario.consumers.foreign:
        told.append(
            "the programs under test call AWS through the wire, which signs anew with the credentials of the run: what "
            "else they call has to be added to the policy `consumers`"
        )
    if scenario.experiments:
        told.append(
            "the first experiment of an account makes FIS a role of its own (AWSServiceRoleForFIS): run one by hand "
            "before, or add iam:CreateServiceLinkedRole. The role that FIS takes on needs what its actions need"
        )
    if scenario.effects:
        told.append("reading `effects` back needs reading rights on what stands there; add them to `conductor`")
    return told


def _needs(scenario: Scenario) -> dict[Role, set[Need]]:
    transport = TRANSPORTS[scenario.transport]
    topology = topology_of(scenario, settle_s=0.0)
    addresses, building = built_and_removed(transport, topology, "RUN")
    send = transport.send(addresses, ())
    return {
        "conductor": _actions(_conductor(scenario, transport, topology, building), reads="dead-letter-queue"),
        "load": _actions([(send.service, send.operation)]),
        "consumers": _actions(_consumers(scenario, transport)),
    }


def _actions(calls: Iterable[Operation], reads: Kind = "queue") -> set[Need]:
    """`reads`: of which queues messages are received, deleted and let go."""
    return {
        (action, reads if operation in _OF_DEAD_LETTERS else kind)
        for service, operation in calls
        for action, kind in NEEDS[service, operation]
    }


_READS_STREAM = {("kinesis", name) for name in ("ListShards", "GetShardIterator", "GetRecords")}


def _conductor(
    scenario: Scenario, transport: Transport, topology: Topology, building: Iterable[Call]
) -> set[Operation]:
    calls = {(call.service, call.operation) for call in building}
    if transport.kind == "stream":
        calls |= _READS_STREAM
        if any(fault.needs == "reshard" for fault in scenario.chaos):
            calls |= {("kinesis", name) for name in ("SplitShard", "MergeShards")}
    else:
        calls.add(("sqs", "GetQueueAttributes"))
        if any(fault.needs == "policy-deny" for fault in scenario.chaos):
            calls.add(("sqs", "SetQueueAttributes"))
        if topology.max_receives is not None:
            # Dead letters are read to the end, and removed; or let go, and moved back.
            calls |= {("sqs", "ReceiveMessage"), ("sqs", "DeleteMessageBatch")}
            if scenario.topology.redrive:
                moved = ("ChangeMessageVisibilityBatch", "StartMessageMoveTask", "ListMessageMoveTasks")
                calls |= {("sqs", name) for name in moved}
    if scenario.cloudwatch is not False:
        calls.add(("cloudwatch", "GetMetricData"))
    if topology.archive:
        calls |= {("events", name) for name in ("DescribeArchive", "StartReplay", "DescribeReplay")}
    if scenario.consumers.store == "dynamodb" and not scenario.consumers.foreign:
        calls |= {("dynamodb", name) for name in ("CreateTable", "DescribeTable", "DeleteTable", "Scan")}
    return calls


def _consumers(scenario: Scenario, transport: Transport) -> set[Operation]:
    if scenario.consumers.kind == "unseen":
        return set()
    calls = set(_READS_STREAM)
    if transport.kind == "queue":
        calls = {("sqs", name) for name in ("ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch")}
    if scenario.consumers.store == "dynamodb" and not scenario.consumers.foreign:
        steps = ("DescribeTable", "GetItem", "PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "Scan")
        calls |= {("dynamodb", name) for name in steps}
    return calls


@dataclass(frozen=True, kw_only=True, slots=True)
class _Names:
    """`existing`: queues that were there before."""

    scenario: str
    where: Where
    existing: Sequence[str]

    @property
    def run(self) -> str:
        """Every id of a run, and no other scenario's whose name begins like this one's."""
        return f"{self.scenario}-????????-??????-????"

    def arns(self, kind: Kind) -> tuple[str, ...]:
        where = self.where
        ours = _ARNS[kind].format(region=where.region, account=where.account, names=f"gameday-{self.run}", run=self.run)
        queues = [f"arn:aws:sqs:{where.region}:{where.account}:{name}" for name in self.existing]
        return (ours, *(queues if kind == "queue" else ()))


def _of_experiments(names: _Names, scenario: Scenario) -> list[Document]:
    """What FIS is asked for. Its ids are its own, so what the run makes there is held to the run's tag."""
    if not scenario.experiments:
        return []
    at = f"arn:aws:fis:{names.where.region}:{names.where.account}"
    made = [experiment for experiment in scenario.experiments if experiment.template is None]
    there = sorted({f"{at}:experiment-template/{each.template}" for each in scenario.experiments if each.template})
    templates, running = f"{at}:experiment-template/*", f"{at}:experiment/*"
    tagged = {"StringLike": {f"aws:RequestTag/{RUN_TAG}": names.run}}
    ours = {"StringLike": {f"aws:ResourceTag/{RUN_TAG}": names.run}}
    # FIS lists its actions to whoever may ask at all.
    statements: list[Document] = [{"Effect": "Allow", "Action": ["fis:ListActions"], "Resource": ["*"]}]
    if made:
        actions = sorted({f"{at}:action/{experiment.action}" for experiment in made})
        roles = sorted({experiment.role for experiment in made if experiment.role})
        to_fis = {"StringLike": {"iam:PassedToService": "fis.amazonaws.com"}}
        create, remove = ["fis:CreateExperimentTemplate"], ["fis:DeleteExperimentTemplate", "fis:StartExperiment"]
        statements += [
            {"Effect": "Allow", "Action": create, "Resource": actions},
            {"Effect": "Allow", "Action": create, "Resource": [templates], "Condition": tagged},
            {"Effect": "Allow", "Action": remove, "Resource": [templates], "Condition": ours},
            {"Effect": "Allow", "Action": ["iam:PassRole"], "Resource": roles, "Condition": to_fis},
        ]
    if there:
        use = ["fis:GetExperimentTemplate", "fis:StartExperiment"]
        statements.append({"Effect": "Allow", "Action": use, "Resource": there})
    begin, created = ["fis:StartExperiment", "fis:TagResource"], [running, *([templates] if made else [])]
    end = ["fis:GetExperiment", "fis:StopExperiment"]
    return [
        *statements,
        {"Effect": "Allow", "Action": begin, "Resource": created, "Condition": tagged},
        {"Effect": "Allow", "Action": end, "Resource": [running], "Condition": ours},
    ]


def _document(names: _Names, needs: Iterable[Need]) -> Document:
    by_kind: dict[Kind, set[str]] = {}
    for action, kind in needs:
        by_kind.setdefault(kind, set()).add(action)
    statements: list[Document] = []
    for kind, actions in sorted(by_kind.items()):
        resources = list(names.arns(kind))
        if plain := sorted(actions.difference(_TAGGED)):
            statements.append({"Effect": "Allow", "Action": plain, "Resource": resources})
        if tagged := sorted(actions.intersection(_TAGGED)):
            condition = {"StringLike": {f"aws:RequestTag/{RUN_TAG}": names.run}}
            statements.append({"Effect": "Allow", "Action": tagged, "Resource": resources, "Condition": condition})
    for kind, actions in sorted(by_kind.items()):
        # What has one of our names and not the tag of a run is somebody else's. What was there already has others.
        held = sorted(action for action in actions if not action.partition(":")[2].startswith(_BEFORE_TAGS))
        if held and kind not in _UNTAGGED:
            condition = {"StringNotLike": {f"aws:ResourceTag/{RUN_TAG}": names.run}}
            ours = [names.arns(kind)[0]]
            statements.append({"Effect": "Deny", "Action": held, "Resource": ours, "Condition": condition})
    return {"Version": VERSION, "Statement": statements}

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

from gameday.chaos.faults.reshard import Reshard
from gameday.consumers.guards import GUARDS
from gameday.consumers.handlers import facts_of
from gameday.scenario.calm.guards import steps_of
from gameday.scenario.consumption import CONSUMPTION
from gameday.scenario.imagined import built_and_removed
from gameday.scenario.model import AttachedModel, KeyModel, Scenario, topology_of
from gameday.transports.attached import name_of
from gameday.transports.base import Call, ReshardAction, Topology, Transport
from gameday.transports.partitions import in_its_partition
from gameday.transports.registry import TRANSPORTS
from gameday.transports.services import RUN_TAG

Role = Literal["conductor", "load", "consumers"]
ROLES: Sequence[Role] = get_args(Role)
Kind = Literal[
    "queue", "dead-letter-queue", "topic", "bus", "rule", "archive", "replay", "stream", "table", "key", "any"
]
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
    "key": "arn:aws:kms:{region}:{account}:key/*",
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
    ("sns", "GetTopicAttributes"): [("sns:GetTopicAttributes", "topic")],
    ("sns", "ListSubscriptionsByTopic"): [("sns:ListSubscriptionsByTopic", "topic")],
    # A subscription is no resource that a policy could name.
    ("sns", "GetSubscriptionAttributes"): [("sns:GetSubscriptionAttributes", "any")],
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
    ("events", "PutRule"): [("events:PutRule", "rule"), ("events:TagResource", "rule")],
    ("events", "PutTargets"): [("events:PutTargets", "rule")],
    ("events", "DescribeEventBus"): [("events:DescribeEventBus", "bus")],
    ("events", "DescribeRule"): [("events:DescribeRule", "rule")],
    ("events", "ListTargetsByRule"): [("events:ListTargetsByRule", "rule")],
    ("events", "ListRules"): [("events:ListRules", "any")],
    ("events", "RemoveTargets"): [("events:RemoveTargets", "rule")],
    ("events", "DeleteRule"): [("events:DeleteRule", "rule")],
    ("events", "PutEvents"): [("events:PutEvents", "bus")],
    ("events", "StartReplay"): [("events:StartReplay", "replay"), ("events:StartReplay", "archive")],
    ("events", "DescribeReplay"): [("events:DescribeReplay", "replay")],
    ("kinesis", "CreateStream"): [("kinesis:CreateStream", "stream"), ("kinesis:AddTagsToStream", "stream")],
    ("kinesis", "DeleteStream"): [("kinesis:DeleteStream", "stream")],
    ("kinesis", "DescribeStreamSummary"): [("kinesis:DescribeStreamSummary", "stream")],
    ("kinesis", "StartStreamEncryption"): [
        ("kinesis:StartStreamEncryption", "stream"),
        # streams/latest/dev/permissions-user-key-KMS.html, "Stream administrator permissions".
        ("kms:DescribeKey", "key"),
    ],
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
    ("cloudwatch", "DescribeAlarms"): [("cloudwatch:DescribeAlarms", "any")],
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
_UNTAGGED: Sequence[Kind] = ("archive", "replay", "any", "key")
_ENCRYPTS: Sequence[Need] = (("kms:GenerateDataKey", "key"), ("kms:Decrypt", "key"))
_DECRYPTS: Sequence[Need] = (("kms:Decrypt", "key"),)
# What an operation needs of the key with which its queue, topic or stream is encrypted: whoever sends to a queue or a
# topic decrypts, too, for the data key is looked at again (SQSDeveloperGuide/sqs-key-management.html, sns/latest/dg/
# sns-key-management.html, streams/latest/dev/permissions-user-key-KMS.html). Of a bus EventBridge itself needs it.
_NEEDS_OF_THE_KEY: Mapping[Operation, Sequence[Need]] = {
    ("sqs", "SendMessageBatch"): _ENCRYPTS,
    ("sqs", "ReceiveMessage"): _DECRYPTS,
    ("sqs", "StartMessageMoveTask"): _ENCRYPTS,
    ("sns", "PublishBatch"): _ENCRYPTS,
    ("kinesis", "PutRecords"): (("kms:GenerateDataKey", "key"),),
    ("kinesis", "GetRecords"): _DECRYPTS,
}
# The keys that AWS manages are everybody's who may use the service (SQSDeveloperGuide/sqs-key-management.html).
MANAGED = "alias/aws/"
# What the conductor does with dead letters, the consumers do with the others.
_OF_DEAD_LETTERS = ("ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch")


@dataclass(frozen=True, kw_only=True, slots=True)
class Where:
    """The account and the region that stand in the ARNs."""

    account: str
    region: str


def policies(scenario: Scenario, where: Where) -> dict[Role, Document]:
    """By role, a policy document. Who has no AWS call of its own has no statement."""
    names = _Names(
        scenario=scenario.name, where=where, attached=_attached(scenario.topology.attach, where), key=_key(scenario)
    )
    documents = {role: _document(names, needs) for role, needs in _needs(scenario).items()}
    documents["conductor"]["Statement"] += _of_experiments(names, scenario)
    return {role: _in_its_partition(document, where) for role, document in documents.items()}


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
    attach = scenario.topology.attach
    if attach is not None and attach.stream is None:
        told.append(
            "a dead-letter queue that topology.attach does not name has a name that nobody knows here; name it there"
        )
    if attach is not None:
        told.append(
            "what is there already may be encrypted with a key of KMS: then load and consumers need "
            "kms:GenerateDataKey and kms:Decrypt on it"
        )
    if _key(scenario) is not None and scenario.transport.startswith(("sns", "eventbridge")):
        sender = "events" if scenario.transport == "eventbridge" else "sns"
        told.append(
            f"the policy of the key itself must let {sender}.amazonaws.com call kms:GenerateDataKey and kms:Decrypt "
            "(of a bus kms:DescribeKey as well), or nothing arrives in the queues"
        )
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
    keyed = _key(scenario) is not None
    conductor = _actions(_conductor(scenario, transport, topology, building), reads="dead-letter-queue", keyed=keyed)
    if topology.attached is not None and transport.kind == "queue":
        # What is made by the run has names by which all queues are meant.
        conductor |= {("sqs:GetQueueUrl", "dead-letter-queue"), ("sqs:GetQueueAttributes", "dead-letter-queue")}
    return {
        "conductor": conductor,
        "load": _actions([(send.service, send.operation)], keyed=keyed),
        "consumers": _actions(_consumers(scenario, transport), keyed=keyed),
    }


def _actions(calls: Iterable[Operation], *, keyed: bool, reads: Kind = "queue") -> set[Need]:
    """`reads`: of which queues messages are received, deleted and let go. `keyed`: they are encrypted with a key."""
    needs: set[Need] = set()
    for called in calls:
        needs |= {(action, reads if called[1] in _OF_DEAD_LETTERS else kind) for action, kind in NEEDS[called]}
        needs |= set(_NEEDS_OF_THE_KEY.get(called, ())) if keyed else set()
    return needs if keyed else {(action, kind) for action, kind in needs if kind != "key"}


def _key(scenario: Scenario) -> str | None:
    """The key of KMS for which somebody needs rights; None where it needs none."""
    encryption = scenario.topology.encryption
    if not isinstance(encryption, KeyModel) or MANAGED in encryption.kms:
        return None
    return encryption.kms


def _attached(attach: AttachedModel | None, where: Where) -> Mapping[Kind, Sequence[str]]:
    """The ARNs of what is there already, by kind."""
    if attach is None:
        return {}

    def arn(service: str, place: str, path: str = "") -> str:
        return place if place.startswith("arn:") else f"arn:aws:{service}:{where.region}:{where.account}:{path}{place}"

    def queue(place: str) -> str:
        return arn("sqs", place if place.startswith("arn:") else name_of(place))

    each = [(named.queue, named.dead_letter_queue) for named in attach.subscriptions.values()]
    if attach.queue is not None:
        each.append((attach.queue, attach.dead_letter_queue))
    dead = [queue(place) for _, place in each if place is not None]
    found: dict[Kind, Sequence[str]] = {
        "queue": [queue(place) for place, _ in each],
        "dead-letter-queue": dead,
    }
    if attach.topic is not None:
        found["topic"] = [attach.topic]
    if attach.bus is not None:
        bus = name_of(attach.bus)
        found["bus"] = [arn("events", attach.bus, "event-bus/")]
        path = "rule/" if bus == "default" else f"rule/{bus}/"
        rules = [named.rule for named in attach.subscriptions.values() if named.rule is not None]
        found["rule"] = [arn("events", rule, path) for rule in rules]
    if attach.stream is not None:
        found["stream"] = [arn("kinesis", attach.stream, "stream/")]
    return {kind: arns for kind, arns in found.items() if arns}


_RESHARDS: Mapping[ReshardAction, str] = {"split": "SplitShard", "merge": "MergeShards"}
_READS_STREAM = {("kinesis", name) for name in ("ListShards", "GetShardIterator", "GetRecords")}


def _conductor(
    scenario: Scenario, transport: Transport, topology: Topology, building: Iterable[Call]
) -> set[Operation]:
    calls = {(call.service, call.operation) for call in building}
    if transport.kind == "stream":
        calls |= _READS_STREAM
        calls |= {("kinesis", _RESHARDS[fault.action]) for fault in scenario.chaos if isinstance(fault, Reshard)}
    else:
        calls.add(("sqs", "GetQueueAttributes"))
        if any(fault.needs == "policy-deny" for fault in scenario.chaos):
            calls.add(("sqs", "SetQueueAttributes"))
        if topology.max_receives is not None:
            # Dead letters are read to the end, and removed; or let go, and moved back. Those of others are let go, too.
            calls |= {("sqs", "ReceiveMessage"), ("sqs", "DeleteMessageBatch")}
            if topology.attached is not None:
                calls.add(("sqs", "ChangeMessageVisibilityBatch"))
            if scenario.topology.redrive:
                moved = ("ChangeMessageVisibilityBatch", "StartMessageMoveTask", "ListMessageMoveTasks")
                calls |= {("sqs", name) for name in moved}
    if scenario.cloudwatch is not False:
        calls.add(("cloudwatch", "GetMetricData"))
    if any(scenario.brakes.alarms):
        calls.add(("cloudwatch", "DescribeAlarms"))
    if topology.archive:
        calls |= {("events", name) for name in ("StartReplay", "DescribeReplay")}
    if scenario.consumers.store == "dynamodb":
        leases = _keeps_leases(scenario, transport)
        if leases or _keeps_effects(scenario):
            calls |= {("dynamodb", name) for name in ("CreateTable", "DescribeTable", "DeleteTable")}
        if leases or _has_effects(scenario):
            calls.add(("dynamodb", "Scan"))
    return calls


def _consumers(scenario: Scenario, transport: Transport) -> set[Operation]:
    if scenario.consumers.kind == "unseen":
        return set()
    calls = set(_READS_STREAM)
    if transport.kind == "queue":
        calls = {("sqs", name) for name in ("ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch")}
    if scenario.consumers.store != "dynamodb":
        return calls
    if _keeps_effects(scenario):
        calls.add(("dynamodb", "DescribeTable"))
    if _has_effects(scenario):
        guard = scenario.consumers.guard
        steps = {step.operation for step in (*steps_of(guard), *steps_of(guard, fails=True))}
        if GUARDS[guard].marks_expire:
            # What is in progress elsewhere is looked up.
            steps.add("GetItem")
        calls |= {("dynamodb", name) for name in steps}
    if _keeps_leases(scenario, transport):
        calls |= {("dynamodb", name) for name in ("DescribeTable", "PutItem", "UpdateItem", "Scan")}
    return calls


def _keeps_effects(scenario: Scenario) -> bool:
    """Whether there is a place of ours for effects."""
    return not scenario.consumers.foreign and isinstance(scenario.consumers.handler, str)


def _has_effects(scenario: Scenario) -> bool:
    facts = facts_of(scenario.consumers.handler)
    return _keeps_effects(scenario) and facts is not None and facts.has_effects


def _keeps_leases(scenario: Scenario, transport: Transport) -> bool:
    return not scenario.consumers.foreign and CONSUMPTION[transport.kind].leased


@dataclass(frozen=True, kw_only=True, slots=True)
class _Names:
    """`attached`: by kind, the ARNs of what was there before; `key`: that of KMS, where rights on one are needed."""

    scenario: str
    where: Where
    attached: Mapping[Kind, Sequence[str]]
    key: str | None

    @property
    def run(self) -> str:
        """Every id of a run, and no other scenario's whose name begins like this one's."""
        return f"{self.scenario}-????????-??????-????"

    def arns(self, kind: Kind) -> tuple[str, ...]:
        where = self.where
        if kind in self.attached:
            return tuple(self.attached[kind])
        if kind == "key" and self.key is not None and "alias/" not in self.key:
            arn = f"arn:aws:kms:{where.region}:{where.account}:key/{self.key}"
            return (self.key if self.key.startswith("arn:") else arn,)
        ours = _ARNS[kind].format(region=where.region, account=where.account, names=f"gameday-{self.run}", run=self.run)
        return (ours,)

    def condition(self, kind: Kind) -> Document:
        """An alias is no resource of what is done with its key; a condition holds the key to it
        (kms/latest/developerguide/alias-authorization.html)."""
        if kind != "key" or self.key is None or "alias/" not in self.key:
            return {}
        alias = f"alias/{self.key.partition('alias/')[2]}"
        return {"Condition": {"ForAnyValue:StringEquals": {"kms:ResourceAliases": alias}}}


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
    # FIS lists to whoever may ask at all. What a killed conductor has begun is found by its tag.
    lists = ["fis:ListActions", "fis:ListExperiments", "fis:ListExperimentTemplates"]
    statements: list[Document] = [{"Effect": "Allow", "Action": lists, "Resource": ["*"]}]
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
            statements.append({"Effect": "Allow", "Action": plain, "Resource": resources, **names.condition(kind)})
        if tagged := sorted(actions.intersection(_TAGGED)):
            condition = {"StringLike": {f"aws:RequestTag/{RUN_TAG}": names.run}}
            statements.append({"Effect": "Allow", "Action": tagged, "Resource": resources, "Condition": condition})
    for kind, actions in sorted(by_kind.items()):
        # What has one of our names and not the tag of a run is somebody else's. What was there already has others.
        held = sorted(action for action in actions if not action.partition(":")[2].startswith(_BEFORE_TAGS))
        if held and kind not in _UNTAGGED and kind not in names.attached:
            condition = {"StringNotLike": {f"aws:ResourceTag/{RUN_TAG}": names.run}}
            ours = list(names.arns(kind))
            statements.append({"Effect": "Deny", "Action": held, "Resource": ours, "Condition": condition})
    return {"Version": VERSION, "Statement": statements}


# What a sweep asks to find what is left, and whose it is, by what it asks about. So does `gameday recover`.
_LOOKS: Mapping[Kind, Sequence[str]] = {
    "any": [
        "dynamodb:ListTables",
        "events:ListArchives",
        "events:ListEventBuses",
        "events:ListRules",
        "kinesis:ListStreams",
        "sns:ListSubscriptions",
        "sns:ListTopics",
        "sqs:ListQueues",
        "tag:GetResources",
    ],
    "bus": ["events:ListTagsForResource"],
    "queue": ["sqs:GetQueueAttributes", "sqs:ListQueueTags"],
    "stream": ["kinesis:DescribeStreamSummary", "kinesis:ListTagsForStream"],
    "table": ["dynamodb:DescribeTable", "dynamodb:ListTagsOfResource"],
    "topic": ["sns:ListTagsForResource"],
}
# How it removes that.
_REMOVES: Mapping[Kind, Sequence[str]] = {
    # A subscription is no resource that a policy could name.
    "any": ["sns:Unsubscribe"],
    "archive": ["events:DeleteArchive"],
    "bus": ["events:DeleteEventBus"],
    # `recover` takes out of a queue's policy what a fault has put in.
    "queue": ["sqs:DeleteQueue", "sqs:SetQueueAttributes"],
    "rule": ["events:DeleteRule", "events:RemoveTargets"],
    "stream": ["kinesis:DeleteStream"],
    "table": ["dynamodb:DeleteTable"],
    "topic": ["sns:DeleteTopic"],
}
# The id of any run.
_ANY_RUN = "*-????????-??????-????"


def sweep_policy(where: Where) -> Document:
    """What `gameday sweep` and `gameday recover` need there, whatever the scenario.

    They look at what has a name of ours, and remove what has the name and the tag of a run.
    """

    def statement(effect: str, kind: Kind, actions: Sequence[str], names: str, **condition: object) -> Document:
        arn = _ARNS[kind].format(region=where.region, account=where.account, names=names, run=_ANY_RUN)
        return {"Effect": effect, "Action": list(actions), "Resource": [arn], **condition}

    untagged = {"StringNotLike": {f"aws:ResourceTag/{RUN_TAG}": _ANY_RUN}}
    a_run = f"gameday-{_ANY_RUN}"
    statements = [
        *(statement("Allow", kind, actions, "gameday-") for kind, actions in _LOOKS.items()),
        *(statement("Allow", kind, actions, a_run) for kind, actions in _REMOVES.items()),
        *(
            statement("Deny", kind, actions, a_run, Condition=untagged)
            for kind, actions in _REMOVES.items()
            if kind not in _UNTAGGED
        ),
    ]
    return _in_its_partition({"Version": VERSION, "Statement": statements}, where)


def _in_its_partition(document: Document, where: Where) -> Document:
    statements = [
        {**statement, "Resource": [in_its_partition(arn, where.region) for arn in statement["Resource"]]}
        for statement in document["Statement"]
    ]
    return {**document, "Statement": statements}

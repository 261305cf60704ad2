"""The broker's services that end in queues, inside the process of a test, with a clock that the test moves."""

from __future__ import annotations

from typing import Any

import orjson

from gameday.emulator.capacity import UNBOUNDED, Capacity
from gameday.emulator.defects import defect
from gameday.emulator.services import SERVICES, World
from gameday.history.clock import NS_PER_S
from tests.emulator.in_process import Played, pass_time
from tests.transports.asked import START, Asked

ARN = "arn:aws:sqs:us-east-1:000000000000:"


class Inside:
    """All questions and answers are held to botocore's models; `planted` is a defect as the command line has it."""

    def __init__(self, planted: str | None = None, *, capacity: Capacity = UNBOUNDED) -> None:
        self.played = Played(now=START)
        world = World(defect=defect(planted) if planted else None, capacity=capacity, deploy=self.played.deploy)
        asked = {name: Asked(name, world.service(name)) for name in SERVICES}
        self.sqs, self.sns, self.events = asked["sqs"], asked["sns"], asked["events"]
        self.scheduler, self.pipes, self.states = asked["scheduler"], asked["pipes"], asked["stepfunctions"]
        self.s3, self.dynamodb, self.functions = asked["s3"], asked["dynamodb"], asked["lambda"]
        self._all = asked.values()
        self._world = world

    @property
    def now_s(self) -> int:
        return self.sqs.now // NS_PER_S

    def later(self, seconds: float) -> None:
        now = self.sqs.now
        for asked in self._all:
            asked.now += int(seconds * NS_PER_S)
        pass_time(self._world, self.played, now, self.sqs.now)

    def queue(self, name: str = "q", **attributes: str) -> str:
        """A new queue's URL; it is FIFO when its name says so. Hidden for 10 s."""
        given = {"VisibilityTimeout": "10", **attributes, **({"FifoQueue": "true"} if name.endswith(".fifo") else {})}
        return str(self.sqs("CreateQueue", QueueName=name, Attributes=given)["QueueUrl"])

    def send(self, queue: str, body: str, **params: Any) -> dict[str, Any]:
        if queue.endswith(".fifo"):
            params = {"MessageGroupId": body[0], "MessageDeduplicationId": body, **params}
        return self.sqs("SendMessage", QueueUrl=queue, MessageBody=body, **params)

    def receive(self, queue: str, most: int = 10, **params: Any) -> list[dict[str, Any]]:
        asked = {"MaxNumberOfMessages": most, "AttributeNames": ["All"], "MessageAttributeNames": ["All"], **params}
        messages: list[dict[str, Any]] = self.sqs("ReceiveMessage", QueueUrl=queue, **asked).get("Messages", [])
        return messages

    def bodies(self, queue: str, most: int = 10) -> list[str]:
        return [message["Body"] for message in self.receive(queue, most)]

    def take(self, queue: str, most: int = 10) -> dict[str, str]:
        """Receive: each body with its receipt."""
        return {message["Body"]: message["ReceiptHandle"] for message in self.receive(queue, most)}

    def drain(self, queue: str) -> list[dict[str, Any]]:
        """Receive and delete until nothing comes; a broker that gives the same again and again is stopped."""
        got: list[dict[str, Any]] = []
        while (batch := self.receive(queue)) and len(got) < 100:
            got += batch
            for message in batch:
                self.delete(queue, message["ReceiptHandle"])
        return got

    def delete(self, queue: str, receipt: str) -> None:
        self.sqs("DeleteMessage", QueueUrl=queue, ReceiptHandle=receipt)

    def dead_letters(self, kind: str = "") -> tuple[str, str]:
        """A queue and its dead-letter queue, for what was received once; `kind` ends their names."""
        dead = self.queue(f"dead{kind}")
        policy = orjson.dumps({"deadLetterTargetArn": arn_of(dead), "maxReceiveCount": 1}).decode()
        return self.queue(f"source{kind}", RedrivePolicy=policy), dead

    def topic(self, name: str = "t", **attributes: str) -> str:
        given = {**attributes, **({"FifoTopic": "true"} if name.endswith(".fifo") else {})}
        return str(self.sns("CreateTopic", Name=name, Attributes=given)["TopicArn"])

    def subscribe(self, topic: str, queue: str, **attributes: str) -> str:
        given = {"RawMessageDelivery": "true", **attributes}
        answer = self.sns("Subscribe", TopicArn=topic, Protocol="sqs", Endpoint=arn_of(queue), Attributes=given)
        return str(answer["SubscriptionArn"])

    def rule(self, name: str, pattern: object, *queues: str, **target: Any) -> str:
        """A rule on the bus `b`, which is made when it is not there, with these queues for targets."""
        if not any(bus["Name"] == "b" for bus in self.events("ListEventBuses")["EventBuses"]):
            self.events("CreateEventBus", Name="b")
        text = orjson.dumps(pattern).decode()
        arn = self.events("PutRule", Name=name, EventBusName="b", EventPattern=text)["RuleArn"]
        targets = [{"Id": f"t{n}", "Arn": arn_of(queue), **target} for n, queue in enumerate(queues)]
        if not targets:
            return str(arn)
        assert self.events("PutTargets", Rule=name, EventBusName="b", Targets=targets)["FailedEntryCount"] == 0
        return str(arn)

    def put(self, *details: object, **params: Any) -> dict[str, Any]:
        entries = [event(detail, **params) for detail in details]
        return self.events("PutEvents", Entries=entries)


def event(detail: object, **params: Any) -> dict[str, Any]:
    """An entry of PutEvents."""
    text = detail if isinstance(detail, str) else orjson.dumps(detail).decode()
    return {"EventBusName": "b", "Source": "s", "DetailType": "d", "Detail": text, **params}


def arn_of(queue: str) -> str:
    return ARN + queue.rpartition("/")[2]


def attribute(value: str, data_type: str = "String") -> dict[str, str]:
    return {"DataType": data_type, "StringValue": value}

"""What killed runs leave is found and removed on every endpoint, and what is somebody else's is not touched."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gameday.targets.start import given
from gameday.targets.sweep import SweepRequest, sweep
from gameday.transports.base import Answer, Call, CallFailed, SubscriptionSpec, Topology
from gameday.transports.carriers.boto import run_plan
from gameday.transports.endpoint import Endpoint
from gameday.transports.functions import Function, deploy
from gameday.transports.registry import TRANSPORTS
from gameday.transports.services import SERVICES, Left
from tests.carriers import carrier
from tests.contract.aws_answers import complaints
from tests.series import series

pytestmark = pytest.mark.live

OLD = "old-20200101-000000-abcd"
YOUNG = "young-29990101-000000-abcd"
TOPOLOGY = Topology(subscriptions=[SubscriptionSpec(name="orders")])
# Each leaves what no other does; an archive stands behind one of them.
LEFT_BY = {"sqs-fifo": TOPOLOGY, "sns": TOPOLOGY, "eventbridge": replace(TOPOLOGY, archive=True), "kinesis": TOPOLOGY}

# As it is installed here.
_LOCALSTACK_LACKS = ("dynamodb", "scheduler", "pipes", "s3", "lambda")


@pytest.fixture(params=["memory", "localstack", *series("ministack", "moto")])
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    found: Endpoint = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def foreign(endpoint: Endpoint) -> Iterator[str]:
    """A queue that is named as ours are and carries no tag of a run."""
    carry = carrier(endpoint)
    url = carry(Call("sqs", "CreateQueue", {"QueueName": "gameday-of-somebody-else"}))["QueueUrl"]
    yield url
    carry(Call("sqs", "DeleteQueue", {"QueueUrl": url}))


def leave(run: str, endpoint: Endpoint, *, table: bool) -> None:
    """What a run of each transport has made when it is killed."""
    carry = carrier(endpoint)
    for transport, topology in LEFT_BY.items():
        # Their names are made of the run's, and must not meet.
        id = run if transport == "eventbridge" else f"{transport}-{run}"
        run_plan(TRANSPORTS[transport].provision(topology, run=id, tags={"gameday:run": id}), carry)
    if table:
        key = [{"AttributeName": "pk", "AttributeType": "S"}]
        params = {
            "TableName": f"gameday-{run}-effects",
            "AttributeDefinitions": key,
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
            "Tags": [{"Key": "gameday:run", "Value": run}],
        }
        carry(Call("dynamodb", "CreateTable", params))


def subscribed_to_another(run: str, endpoint: Endpoint) -> str:
    """A queue of the run's that somebody has subscribed to a topic of their own; the topic."""
    carry = carrier(endpoint)
    made = carry(Call("sqs", "CreateQueue", {"QueueName": f"gameday-{run}-alerts", "tags": {"gameday:run": run}}))
    asked = {"QueueUrl": made["QueueUrl"], "AttributeNames": ["QueueArn"]}
    arn = carry(Call("sqs", "GetQueueAttributes", asked))["Attributes"]["QueueArn"]
    topic: str = carry(Call("sns", "CreateTopic", {"Name": "alerts-of-somebody-else"}))["TopicArn"]
    carry(Call("sns", "Subscribe", {"TopicArn": topic, "Protocol": "sqs", "Endpoint": arn}))
    return topic


def has_tables(endpoint: Endpoint) -> bool:
    try:
        carrier(endpoint)(Call("dynamodb", "ListTables", {}))
    except CallFailed:
        return False
    return True


def found(endpoint: Endpoint, *, table: bool) -> list[Left]:
    """Everything with one of our names, by questions that AWS's own models let through."""
    to_the_endpoint = carrier(endpoint)

    def carry(call: Call) -> Answer:
        assert not complaints(call)
        return to_the_endpoint(call)

    services = [service for service in SERVICES if table or service not in _LOCALSTACK_LACKS]
    return [left for service in services for left in run_plan(SERVICES[service].leftovers(), carry)]


def of(run: str, things: list[Left]) -> list[str]:
    return [f"{left.what} {left.name}" for left in things if left.run is not None and left.run.endswith(run)]


def test_a_subscription_to_somebody_elses_topic_goes_and_the_topic_stays(endpoint: Endpoint) -> None:
    topic = subscribed_to_another(OLD, endpoint)
    told = swept(endpoint, run=OLD)
    assert f"  removed the subscription gameday-{OLD}-alerts to alerts-of-somebody-else" in told.splitlines()
    left = carrier(endpoint)(Call("sns", "ListSubscriptionsByTopic", {"TopicArn": topic}))
    assert not left.get("Subscriptions")
    carrier(endpoint)(Call("sns", "DeleteTopic", {"TopicArn": topic}))


@pytest.mark.parametrize("product", ["memory", "ministack"])
def test_a_function_goes_with_its_mapping(product: str, request: pytest.FixtureRequest) -> None:
    endpoint: Endpoint = request.getfixturevalue(product)
    carry = carrier(endpoint)
    url = carry(Call("sqs", "CreateQueue", {"QueueName": f"gameday-{OLD}-orders", "tags": {"gameday:run": OLD}}))
    asked = {"QueueUrl": url["QueueUrl"], "AttributeNames": ["QueueArn"]}
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("orders.py", "def handler(event, context): ...")
    function = Function(
        name=f"gameday-{OLD}-orders",
        code=code.getvalue(),
        handler="orders.handler",
        runtime="python3.12",
        timeout_s=3,
        environment={},
        source_arn=carry(Call("sqs", "GetQueueAttributes", asked))["Attributes"]["QueueArn"],
        batch=10,
        window_s=0,
        concurrency=2,
        reserved=None,
        partial=True,
        filter=(),
    )
    run_plan(deploy(function, tags={"gameday:run": OLD}), carry)
    told = swept(endpoint, run=OLD)
    assert f"  removed the function gameday-{OLD}-orders" in told.splitlines()
    assert not carry(Call("lambda", "ListFunctions", {})).get("Functions")
    assert not carry(Call("lambda", "ListEventSourceMappings", {})).get("EventSourceMappings")


def swept(endpoint: Endpoint, *, run: str | None = None, older_than_s: float | None = None, dry: bool = False) -> str:
    """What a sweep said, which removed all that it was to remove."""
    said: list[str] = []
    request = SweepRequest(run=run, older_than_s=older_than_s, dry=dry)
    assert sweep(request, given(list(SERVICES), endpoint.url("sqs"), {}), said.append) == 0, said
    return "\n".join(said)


def test_a_sweep_removes_what_old_runs_left_and_nothing_else(endpoint: Endpoint, foreign: str) -> None:
    table = has_tables(endpoint)
    for run in (OLD, YOUNG):
        leave(run, endpoint, table=table)
    before = found(endpoint, table=table)
    old, young = of(OLD, before), of(YOUNG, before)
    kinds = {"queue", "topic", "bus", "archive", "stream", *(["table"] if table else [])}
    assert {thing.partition(" ")[0] for thing in old} == kinds
    assert len(old) == len(young) == len(set(old))

    told = swept(endpoint, dry=True)
    assert found(endpoint, table=table) == before
    assert all(f"would remove the {thing}\n" in told + "\n" for thing in old)

    told = swept(endpoint)
    assert all(f"  removed the {thing}\n" in told + "\n" for thing in old)
    assert "gameday-of-somebody-else: named as ours are, but without the tag of a run" in told
    after = found(endpoint, table=table)
    assert of(OLD, after) == []
    assert of(YOUNG, after) == young
    assert "gameday-of-somebody-else" in [left.name for left in after]

    for run in {left.run for left in after if left.run is not None and left.run.endswith(YOUNG)}:
        swept(endpoint, run=run)
    assert of(YOUNG, found(endpoint, table=table)) == []

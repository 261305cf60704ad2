"""Topics in memory: fan-out, filters, raw and wrapped, batches, order and deduplication."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import orjson
import pytest
from botocore.config import Config

from tests.emulator.inside import Inside, arn_of, attribute
from tests.emulator.test_process import in_background
from tests.transports.asked import code_of, served


@pytest.fixture
def inside() -> Inside:
    return Inside()


def publish(inside: Inside, topic: str, message: str, **params: Any) -> dict[str, Any]:
    if topic.endswith(".fifo"):
        params = {"MessageGroupId": message[0], "MessageDeduplicationId": message, **params}
    return inside.sns("Publish", TopicArn=topic, Message=message, **params)


class TestTopics:
    def test_making_one_again_gives_the_same(self, inside: Inside) -> None:
        assert inside.topic("t") == inside.topic("t") != inside.topic("t.fifo")
        assert len(inside.sns("ListTopics")["Topics"]) == 2

    def test_other_attributes_or_tags_are_refused(self, inside: Inside) -> None:
        inside.topic("t.fifo")
        fifo = {"FifoTopic": "true", "ContentBasedDeduplication": "true"}
        assert inside.sns.refusal("CreateTopic", Name="t.fifo", Attributes=fifo) == "InvalidParameter"
        tags = [{"Key": "k", "Value": "v"}]
        fifo = {"FifoTopic": "true"}
        assert inside.sns.refusal("CreateTopic", Name="t.fifo", Attributes=fifo, Tags=tags) == "InvalidParameter"

    @pytest.mark.parametrize(
        ("name", "attributes"),
        [
            ("a b", {}),
            ("t.fifo", {}),
            ("t", {"FifoTopic": "true"}),
            ("t", {"ContentBasedDeduplication": "true"}),
            ("t", {"Nonsense": "1"}),
            ("t", {"MaximumMessageSize": "1023"}),
            ("t", {"MaximumMessageSize": "1048577"}),
            ("t", {"MaximumMessageSize": "large"}),
            ("t.fifo", {"FifoTopic": "true", "FifoThroughputScope": "Galaxy"}),
        ],
    )
    def test_one_that_cannot_be_is_refused_and_not_made(
        self, inside: Inside, name: str, attributes: dict[str, str]
    ) -> None:
        assert inside.sns.refusal("CreateTopic", Name=name, Attributes=attributes) == "InvalidParameter"
        assert inside.sns("ListTopics")["Topics"] == []

    def test_attributes_and_tags(self, inside: Inside) -> None:
        tags = [{"Key": "run", "Value": "r7"}]
        topic = inside.sns("CreateTopic", Name="t.fifo", Attributes={"FifoTopic": "true"}, Tags=tags)["TopicArn"]
        inside.sns("TagResource", ResourceArn=topic, Tags=[{"Key": "more", "Value": "m"}])
        inside.sns("UntagResource", ResourceArn=topic, TagKeys=["run"])
        assert inside.sns("ListTagsForResource", ResourceArn=topic)["Tags"] == [{"Key": "more", "Value": "m"}]
        inside.subscribe(topic, inside.queue("q.fifo"))
        name = "ContentBasedDeduplication"
        inside.sns("SetTopicAttributes", TopicArn=topic, AttributeName=name, AttributeValue="true")
        told = inside.sns("GetTopicAttributes", TopicArn=topic)["Attributes"]
        assert (told["FifoTopic"], told[name], told["SubscriptionsConfirmed"]) == ("true", "true", "1")
        keyed = inside.sns("CreateTopic", Name="keyed", Attributes={"KmsMasterKeyId": "alias/k"})["TopicArn"]
        assert inside.sns("GetTopicAttributes", TopicArn=keyed)["Attributes"]["KmsMasterKeyId"] == "alias/k"

    def test_a_deleted_topic_is_gone_with_its_subscriptions(self, inside: Inside) -> None:
        topic = inside.topic()
        subscription = inside.subscribe(topic, inside.queue())
        inside.sns("DeleteTopic", TopicArn=topic)
        inside.sns("DeleteTopic", TopicArn=topic)
        assert inside.sns.refusal("Publish", TopicArn=topic, Message="x") == "NotFound"
        assert inside.sns.refusal("GetSubscriptionAttributes", SubscriptionArn=subscription) == "NotFound"
        assert inside.sns.refusal("ListTagsForResource", ResourceArn=topic) == "ResourceNotFound"


class TestSubscriptions:
    def test_subscribing_twice_is_one_subscription(self, inside: Inside) -> None:
        topic, queue = inside.topic(), inside.queue()
        assert inside.subscribe(topic, queue) == inside.subscribe(topic, queue)
        (told,) = inside.sns("ListSubscriptionsByTopic", TopicArn=topic)["Subscriptions"]
        assert (told["Protocol"], told["Endpoint"]) == ("sqs", arn_of(queue))
        differently = {"RawMessageDelivery": "false"}
        asked = {"TopicArn": topic, "Protocol": "sqs", "Endpoint": arn_of(queue), "Attributes": differently}
        assert inside.sns.refusal("Subscribe", **asked) == "InvalidParameter"

    def test_a_fifo_topic_takes_both_kinds_of_queue_and_a_standard_one_does_not(self, inside: Inside) -> None:
        fifo, standard = inside.queue("f.fifo"), inside.queue("s")
        topic = inside.topic("t.fifo")
        inside.subscribe(topic, fifo)
        inside.subscribe(topic, standard)
        publish(inside, topic, "a1")
        assert (inside.bodies(fifo), inside.bodies(standard)) == (["a1"], ["a1"])
        asked = {"TopicArn": inside.topic("t"), "Protocol": "sqs"}
        assert inside.sns.refusal("Subscribe", **asked, Endpoint=arn_of(fifo)) == "InvalidParameter"
        assert inside.sns.refusal("Subscribe", **asked, Endpoint=arn_of("no such")) == "InvalidParameter"

    def test_unsubscribing_ends_delivery(self, inside: Inside) -> None:
        topic, queue = inside.topic(), inside.queue()
        subscription = inside.subscribe(topic, queue)
        inside.sns("Unsubscribe", SubscriptionArn=subscription)
        publish(inside, topic, "x")
        assert inside.bodies(queue) == []

    def test_a_queue_that_is_gone_hurts_no_other(self, inside: Inside) -> None:
        topic, gone, queue = inside.topic(), inside.queue("gone"), inside.queue()
        for each in (gone, queue):
            inside.subscribe(topic, each)
        inside.sqs("DeleteQueue", QueueUrl=gone)
        publish(inside, topic, "x")
        assert inside.bodies(queue) == ["x"]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("RawMessageDelivery", "perhaps"),
            ("FilterPolicyScope", "Everything"),
            ("FilterPolicy", "{"),
            ("FilterPolicy", "[]"),
            ("FilterPolicy", '{"a":"no list"}'),
            ("FilterPolicy", '{"a":{"b":["nested, but on attributes"]}}'),
            ("Nonsense", "1"),
        ],
    )
    def test_an_attribute_that_cannot_be_is_refused_and_changes_nothing(
        self, inside: Inside, name: str, value: str
    ) -> None:
        subscription = inside.subscribe(inside.topic(), inside.queue())
        before = inside.sns("GetSubscriptionAttributes", SubscriptionArn=subscription)
        asked = {"SubscriptionArn": subscription, "AttributeName": name, "AttributeValue": value}
        assert inside.sns.refusal("SetSubscriptionAttributes", **asked) == "InvalidParameter"
        assert inside.sns("GetSubscriptionAttributes", SubscriptionArn=subscription) == before


class TestFilters:
    def test_on_attributes(self, inside: Inside) -> None:
        topic, queue, all_of_it = inside.topic(), inside.queue(), inside.queue("all")
        inside.subscribe(topic, queue, FilterPolicy='{"colour":["red"],"size":[{"numeric":[">",3]}]}')
        inside.subscribe(topic, all_of_it)
        for colour, size in (("red", "5"), ("red", "2"), ("blue", "5")):
            attributes = {"colour": attribute(colour), "size": attribute(size, "Number")}
            publish(inside, topic, f"{colour} {size}", MessageAttributes=attributes)
        publish(inside, topic, "nothing")
        assert inside.bodies(queue) == ["red 5"]
        assert len(inside.bodies(all_of_it)) == 4

    def test_on_the_body(self, inside: Inside) -> None:
        topic, queue = inside.topic(), inside.queue()
        inside.subscribe(topic, queue, FilterPolicyScope="MessageBody", FilterPolicy='{"a":{"b":["x"]}}')
        for message in ('{"a":{"b":"x"}}', '{"a":{"b":"y"}}', "no JSON", '["x"]'):
            publish(inside, topic, message)
        assert inside.bodies(queue) == ['{"a":{"b":"x"}}']

    def test_a_policy_may_be_changed_and_taken_away(self, inside: Inside) -> None:
        topic, queue = inside.topic(), inside.queue()
        subscription = inside.subscribe(topic, queue, FilterPolicy='{"colour":["red"]}')

        def set_to(policy: str) -> None:
            asked = {"SubscriptionArn": subscription, "AttributeName": "FilterPolicy"}
            inside.sns("SetSubscriptionAttributes", **asked, AttributeValue=policy)

        set_to('{"colour":["blue"]}')
        publish(inside, topic, "1", MessageAttributes={"colour": attribute("red")})
        set_to("")
        publish(inside, topic, "2")
        assert inside.bodies(queue) == ["2"]


class TestForms:
    def test_raw_is_the_bare_message_with_its_attributes(self, inside: Inside) -> None:
        topic, queue = inside.topic(), inside.queue()
        inside.subscribe(topic, queue)
        publish(inside, topic, "héllo", MessageAttributes={"colour": attribute("red")})
        (message,) = inside.receive(queue)
        assert (message["Body"], message["MessageAttributes"]) == ("héllo", {"colour": attribute("red")})

    def test_wrapped_is_sns_own_document(self, inside: Inside) -> None:
        topic, queue = inside.topic("t.fifo"), inside.queue("q.fifo")
        inside.subscribe(topic, queue, RawMessageDelivery="false")
        answer = publish(inside, topic, "a1", Subject="s", MessageAttributes={"colour": attribute("red")})
        (message,) = inside.receive(queue)
        document = orjson.loads(message["Body"])
        assert "MessageAttributes" not in message
        assert document.pop("UnsubscribeURL")
        assert document == {
            "Type": "Notification",
            "MessageId": answer["MessageId"],
            "SequenceNumber": answer["SequenceNumber"],
            "TopicArn": topic,
            "Subject": "s",
            "Message": "a1",
            "Timestamp": "2023-11-14T22:13:20.000Z",
            "MessageAttributes": {"colour": {"Type": "String", "Value": "red"}},
        }

    def test_a_message_may_have_a_form_for_queues(self, inside: Inside) -> None:
        topic, queue = inside.topic(), inside.queue()
        inside.subscribe(topic, queue)
        publish(inside, topic, '{"default":"d","sqs":"q"}', MessageStructure="json")
        publish(inside, topic, '{"default":"d"}', MessageStructure="json")
        assert inside.bodies(queue) == ["q", "d"]
        asked = {"TopicArn": topic, "Message": "{}", "MessageStructure": "json"}
        assert inside.sns.refusal("Publish", **asked) == "InvalidParameter"


class TestBatches:
    def batch(self, inside: Inside, topic: str, *entries: dict[str, Any]) -> dict[str, Any]:
        return inside.sns("PublishBatch", TopicArn=topic, PublishBatchRequestEntries=list(entries))

    def test_wrong_entries_fail_alone(self, inside: Inside) -> None:
        topic, queue = inside.topic("t.fifo"), inside.queue("q.fifo")
        inside.subscribe(topic, queue)
        good = {"Message": "a1", "MessageGroupId": "a", "MessageDeduplicationId": "1"}
        answer = self.batch(
            inside,
            topic,
            {"Id": "good", **good},
            {"Id": "empty", **good, "Message": ""},
            {"Id": "no-group", "Message": "x", "MessageDeduplicationId": "2"},
            {"Id": "no-id", "Message": "x", "MessageGroupId": "a"},
            {"Id": "again", **good},
        )
        first, again = answer["Successful"]
        assert (first["Id"], again["Id"]) == ("good", "again")
        assert first["MessageId"] == again["MessageId"]
        assert {(e["Id"], e["Code"], e["SenderFault"]) for e in answer["Failed"]} == {
            (name, "InvalidParameter", True) for name in ("empty", "no-group", "no-id")
        }
        assert inside.bodies(queue) == ["a1"]

    @pytest.mark.parametrize(
        ("entries", "code"),
        [
            ([], "EmptyBatchRequest"),
            ([{"Id": "1", "Message": "x"}] * 2, "BatchEntryIdsNotDistinct"),
            ([{"Id": "no good", "Message": "x"}], "InvalidBatchEntryId"),
            ([{"Id": str(n), "Message": "x"} for n in range(11)], "TooManyEntriesInBatchRequest"),
            ([{"Id": str(n), "Message": "x" * 140_000} for n in range(2)], "BatchRequestTooLong"),
        ],
    )
    def test_a_wrong_batch_fails_whole(self, inside: Inside, entries: list[dict[str, str]], code: str) -> None:
        topic, queue = inside.topic(), inside.queue()
        inside.subscribe(topic, queue)
        asked = {"TopicArn": topic, "PublishBatchRequestEntries": entries}
        assert inside.sns.refusal("PublishBatch", **asked) == code
        assert inside.bodies(queue) == []

    @pytest.mark.parametrize(
        "params",
        [
            {"Message": "x" * 262_145},
            {"Message": "x" * 262_144, "MessageAttributes": {"a": attribute("b")}},
            {"Message": "x", "MessageDeduplicationId": "on a Standard topic"},
            {"Message": "x", "MessageAttributes": {"a": {"DataType": "String"}}},
        ],
    )
    def test_a_message_that_cannot_be_is_refused(self, inside: Inside, params: dict[str, Any]) -> None:
        assert inside.sns.refusal("Publish", TopicArn=inside.topic(), **params) == "InvalidParameter"


class TestFifo:
    def test_order_in_each_group_and_growing_numbers(self, inside: Inside) -> None:
        topic, queues = inside.topic("t.fifo"), [inside.queue("q.fifo"), inside.queue("r.fifo")]
        for queue in queues:
            inside.subscribe(topic, queue)
        sent = [f"{group}{n}" for n in range(5) for group in "ab"]
        numbers = [int(publish(inside, topic, name)["SequenceNumber"]) for name in sent]
        assert numbers == sorted(set(numbers))
        for queue in queues:
            got = [message["Body"] for message in inside.drain(queue)]
            assert [name for name in got if name[0] == "a"] == [f"a{n}" for n in range(5)]
            assert [name for name in got if name[0] == "b"] == [f"b{n}" for n in range(5)]

    def test_the_queue_gets_the_group_and_the_deduplication_id(self, inside: Inside) -> None:
        topic, queue = inside.topic("t.fifo"), inside.queue("q.fifo")
        inside.subscribe(topic, queue)
        publish(inside, topic, "x", MessageGroupId="g", MessageDeduplicationId="d")
        (message,) = inside.receive(queue)
        told = message["Attributes"]
        assert (told["MessageGroupId"], told["MessageDeduplicationId"]) == ("g", "d")

    def test_an_id_counts_once_in_its_window_and_answers_the_same(self, inside: Inside) -> None:
        topic, standard = inside.topic("t.fifo"), inside.queue("s")
        inside.subscribe(topic, standard)
        first = publish(inside, topic, "a1")
        inside.later(299)
        assert publish(inside, topic, "a1") == first
        assert inside.bodies(standard) == ["a1"]
        inside.later(1)
        assert publish(inside, topic, "a1") != first

    def test_the_content_may_be_the_id(self, inside: Inside) -> None:
        topic, standard = inside.topic("t.fifo", ContentBasedDeduplication="true"), inside.queue("s")
        inside.subscribe(topic, standard)
        for message in ("same", "same", "other"):
            inside.sns("Publish", TopicArn=topic, Message=message, MessageGroupId="a")
        assert inside.bodies(standard) == ["same", "other"]

    @pytest.mark.parametrize(("scope", "count"), [("Topic", 1), ("MessageGroup", 2)])
    def test_an_id_counts_in_the_topic_or_in_the_group(self, inside: Inside, scope: str, count: int) -> None:
        topic, standard = inside.topic("t.fifo", FifoThroughputScope=scope), inside.queue("s")
        inside.subscribe(topic, standard)
        for group in "aba":
            publish(inside, topic, "x", MessageGroupId=group, MessageDeduplicationId="1")
        assert len(inside.bodies(standard)) == count


@pytest.fixture(scope="module")
def clients() -> Iterator[tuple[Any, Any]]:
    with served() as url:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
        config = Config(retries={"total_max_attempts": 1}, read_timeout=15)
        sqs, sns = (boto3.client(name, endpoint_url=url, config=config, **keys) for name in ("sqs", "sns"))
        yield sqs, sns


@pytest.mark.live
class TestThroughTheSdk:
    """The query protocol: forms in, XML out."""

    def test_a_topic_from_its_making_to_its_end(self, clients: tuple[Any, Any]) -> None:
        sqs, sns = clients
        queue = sqs.create_queue(QueueName="q.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        fifo = {"FifoTopic": "true", "ContentBasedDeduplication": "false"}
        topic = sns.create_topic(Name="t.fifo", Attributes=fifo, Tags=[{"Key": "a&b", "Value": "<c>"}])["TopicArn"]
        assert sns.list_tags_for_resource(ResourceArn=topic)["Tags"] == [{"Key": "a&b", "Value": "<c>"}]
        assert sns.get_topic_attributes(TopicArn=topic)["Attributes"].items() >= fifo.items()
        given = {"RawMessageDelivery": "true", "FilterPolicy": '{"colour":["red"]}'}
        subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn_of(queue), Attributes=given)[
            "SubscriptionArn"
        ]
        told = sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]
        assert told.items() >= given.items()
        attributes = {"colour": attribute("red"), "raw": {"DataType": "Binary", "BinaryValue": b"\x00\x01"}}
        entries = [
            {"Id": f"e{n}", "Message": f"é&<{n}>", "MessageGroupId": "a", "MessageAttributes": attributes}
            for n in range(10)
        ]
        for n, entry in enumerate(entries[:-1]):
            entry["MessageDeduplicationId"] = str(n)
        answer = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
        assert [entry["Id"] for entry in answer["Successful"]] == [f"e{n}" for n in range(9)]
        (failed,) = answer["Failed"]
        assert (failed["Id"], failed["Code"], failed["SenderFault"]) == ("e9", "InvalidParameter", True)
        asked = {"MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]}
        messages = sqs.receive_message(QueueUrl=queue, **asked)["Messages"]
        assert [message["Body"] for message in messages] == [f"é&<{n}>" for n in range(9)]
        assert messages[0]["MessageAttributes"] == attributes
        sns.unsubscribe(SubscriptionArn=subscription)
        assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []
        sns.delete_topic(TopicArn=topic)
        assert code_of(sns.publish, TopicArn=topic, Message="x") == "NotFound"

    def test_a_publish_wakes_a_long_poll(self, clients: tuple[Any, Any]) -> None:
        """The poll would last 20 s and the client gives up after 15."""
        sqs, sns = clients
        queue = sqs.create_queue(QueueName="woken")["QueueUrl"]
        topic = sns.create_topic(Name="waking")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn_of(queue))
        answer = in_background(lambda: sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"])
        sns.publish(TopicArn=topic, Message="x")
        assert orjson.loads(answer()[0]["Body"])["Message"] == "x"

    def test_what_is_no_operation_is_an_error(self, clients: tuple[Any, Any]) -> None:
        _, sns = clients
        assert code_of(sns.list_phone_numbers_opted_out) == "InvalidAction"

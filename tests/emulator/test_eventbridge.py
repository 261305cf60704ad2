"""Buses in memory: rules, patterns, targets, entries that fail, archives and replays."""

from __future__ import annotations

from typing import Any

import boto3
import orjson
import pytest
from botocore.config import Config

from tests.emulator.inside import Inside, arn_of, event
from tests.transports.asked import code_of, served


@pytest.fixture
def inside() -> Inside:
    return Inside()


def details(inside: Inside, queue: str) -> list[Any]:
    return [orjson.loads(message["Body"])["detail"] for message in inside.drain(queue)]


ALL = {"source": ["s"]}


class TestBuses:
    def test_keys_are_kept_and_told(self, inside: Inside) -> None:
        events = inside.events
        arn = events("CreateEventBus", Name="b", KmsKeyIdentifier="alias/k")["EventBusArn"]
        assert events("DescribeEventBus", Name="b")["KmsKeyIdentifier"] == "alias/k"
        assert "KmsKeyIdentifier" not in events("DescribeEventBus", Name="default")
        events("CreateArchive", ArchiveName="a", EventSourceArn=arn, KmsKeyIdentifier="alias/k")
        assert events("DescribeArchive", ArchiveName="a")["KmsKeyIdentifier"] == "alias/k"

    def test_from_its_making_to_its_end(self, inside: Inside) -> None:
        events = inside.events
        arn = events("CreateEventBus", Name="b", Tags=[{"Key": "run", "Value": "r7"}])["EventBusArn"]
        assert events.refusal("CreateEventBus", Name="b") == "ResourceAlreadyExistsException"
        assert events("DescribeEventBus", Name="b")["Arn"] == arn
        assert [bus["Name"] for bus in events("ListEventBuses")["EventBuses"]] == ["default", "b"]
        events("TagResource", ResourceARN=arn, Tags=[{"Key": "more", "Value": "m"}])
        events("UntagResource", ResourceARN=arn, TagKeys=["run"])
        assert events("ListTagsForResource", ResourceARN=arn)["Tags"] == [{"Key": "more", "Value": "m"}]
        events("DeleteEventBus", Name="b")
        events("DeleteEventBus", Name="b")
        assert events.refusal("DescribeEventBus", Name="b") == "ResourceNotFoundException"
        assert events.refusal("ListTagsForResource", ResourceARN=arn) == "ResourceNotFoundException"
        assert events.refusal("DeleteEventBus", Name="default") == "ValidationException"

    @pytest.mark.parametrize("name", ["", "a b", "x" * 257])
    def test_a_name_that_cannot_be_is_refused(self, inside: Inside, name: str) -> None:
        assert inside.events.refusal("CreateEventBus", Name=name) == "ValidationException"

    def test_there_is_a_default_one(self, inside: Inside) -> None:
        queue = inside.queue()
        arn = inside.events("PutRule", Name="r", EventPattern=orjson.dumps(ALL).decode())["RuleArn"]
        assert arn.endswith(":rule/r")
        inside.events("PutTargets", Rule="r", Targets=[{"Id": "1", "Arn": arn_of(queue)}])
        entry = event({"n": 1})
        del entry["EventBusName"]
        inside.events("PutEvents", Entries=[entry])
        assert details(inside, queue) == [{"n": 1}]


class TestRules:
    def test_they_are_told_changed_and_deleted(self, inside: Inside) -> None:
        queue, other, events = inside.queue(), inside.queue("other"), inside.events
        arn = inside.rule("r", {"detail": {"n": [1]}}, queue)
        assert arn.endswith(":rule/b/r")
        inside.rule("q", ALL, other)
        (told,) = events("ListRules", EventBusName="b", NamePrefix="r")["Rules"]
        assert (told["Name"], told["Arn"], told["State"]) == ("r", arn, "ENABLED")
        assert orjson.loads(events("DescribeRule", Name="r", EventBusName="b")["EventPattern"]) == {
            "detail": {"n": [1]}
        }
        inside.put({"n": 2})
        events("PutRule", Name="r", EventBusName="b", EventPattern='{"detail":{"n":[2]}}')
        inside.put({"n": 2})
        assert details(inside, queue) == [{"n": 2}]
        (target,) = events("ListTargetsByRule", Rule="r", EventBusName="b")["Targets"]
        assert target["Arn"] == arn_of(queue)
        assert events.refusal("DeleteRule", Name="r", EventBusName="b") == "ValidationException"
        assert events("RemoveTargets", Rule="r", EventBusName="b", Ids=["t0"])["FailedEntryCount"] == 0
        assert events("RemoveTargets", Rule="r", EventBusName="b", Ids=["t0"])["FailedEntryCount"] == 1
        events("DeleteRule", Name="r", EventBusName="b")
        assert events.refusal("DescribeRule", Name="r", EventBusName="b") == "ResourceNotFoundException"

    @pytest.mark.parametrize(
        "pattern", ["{", "[]", "{}", '{"source":"s"}', '{"source":[{"near":"s"}]}', '{"source":[{"prefix":1}]}']
    )
    def test_a_pattern_that_cannot_be_is_refused(self, inside: Inside, pattern: str) -> None:
        asked = {"Name": "r", "EventPattern": pattern}
        assert inside.events.refusal("PutRule", **asked) == "InvalidEventPatternException"
        asked = {"EventPattern": pattern, "Event": "{}"}
        assert inside.events.refusal("TestEventPattern", **asked) == "InvalidEventPatternException"

    def test_what_is_not_modelled_is_refused(self, inside: Inside) -> None:
        assert inside.events.refusal("PutRule", Name="r", ScheduleExpression="rate(1 minute)") == "ValidationException"
        inside.rule("r", ALL, inside.queue("right"))
        for target in (
            {"Id": "1", "Arn": "arn:aws:lambda:us-east-1:000000000000:function:f"},
            {"Id": "1", "Arn": arn_of("q"), "InputPath": "$.detail"},
            {"Id": "1", "Arn": arn_of("q.fifo")},
        ):
            asked = {"Rule": "r", "EventBusName": "b", "Targets": [target]}
            assert inside.events.refusal("PutTargets", **asked) == "ValidationException"
        (target,) = inside.events("ListTargetsByRule", Rule="r", EventBusName="b")["Targets"]
        assert target["Arn"] == arn_of("right")

    def test_a_disabled_one_delivers_nothing(self, inside: Inside) -> None:
        queue = inside.queue()
        inside.rule("r", ALL, queue)
        pattern = orjson.dumps(ALL).decode()
        inside.events("PutRule", Name="r", EventBusName="b", EventPattern=pattern, State="DISABLED")
        inside.put({})
        assert inside.bodies(queue) == []

    def test_a_pattern_can_be_tried(self, inside: Inside) -> None:
        asked = {"EventPattern": '{"detail":{"n":[{"numeric":[">",1]}]}}'}
        for n, fits in ((1, False), (2, True)):
            text = orjson.dumps({"source": "s", "detail": {"n": n}}).decode()
            assert inside.events("TestEventPattern", **asked, Event=text)["Result"] is fits
        assert inside.events.refusal("TestEventPattern", **asked, Event="[]") == "ValidationException"


class TestEvents:
    def test_each_target_of_each_rule_that_fits_gets_the_envelope(self, inside: Inside) -> None:
        queues = [inside.queue(name) for name in "abc"]
        inside.rule("r", ALL, queues[0], queues[1])
        inside.rule("q", {"detail": {"n": [2]}}, queues[2])
        answer = inside.put({"n": 1}, {"n": 2}, Resources=["arn:x"])
        ids = [entry["EventId"] for entry in answer["Entries"]]
        first = orjson.loads(inside.drain(queues[0])[0]["Body"])
        assert first == {
            "version": "0",
            "id": ids[0],
            "detail-type": "d",
            "source": "s",
            "account": "000000000000",
            "time": "2023-11-14T22:13:20Z",
            "region": "us-east-1",
            "resources": ["arn:x"],
            "detail": {"n": 1},
        }
        assert details(inside, queues[1]) == [{"n": 1}, {"n": 2}]
        assert details(inside, queues[2]) == [{"n": 2}]

    def test_wrong_entries_fail_alone(self, inside: Inside) -> None:
        queue = inside.queue()
        inside.rule("r", ALL, queue)
        answer = inside.events(
            "PutEvents",
            Entries=[
                event({"n": 1}),
                event("{"),
                event("[]"),
                event({}, Source=""),
                event({}, Source="aws.s3"),
                event({"n": 2}),
            ],
        )
        assert answer["FailedEntryCount"] == 4
        assert [entry.get("ErrorCode") for entry in answer["Entries"]] == [
            None,
            "MalformedDetail",
            "MalformedDetail",
            "InvalidArgument",
            "NotAuthorizedForSourceException",
            None,
        ]
        assert details(inside, queue) == [{"n": 1}, {"n": 2}]

    @pytest.mark.parametrize("entries", [[], [event({})] * 11, [event({"x": "x" * 600_000})] * 2])
    def test_a_wrong_request_fails_whole(self, inside: Inside, entries: list[dict[str, Any]]) -> None:
        queue = inside.queue()
        inside.rule("r", ALL, queue)
        assert inside.events.refusal("PutEvents", Entries=entries) == "ValidationException"
        assert inside.bodies(queue) == []

    def test_a_bus_that_is_not_there_swallows(self, inside: Inside) -> None:
        answer = inside.put({}, EventBusName="nowhere")
        assert answer["FailedEntryCount"] == 0

    def test_a_fifo_target_has_one_group_and_deduplicates_by_content(self, inside: Inside) -> None:
        group = {"SqsParameters": {"MessageGroupId": "g"}}
        queue = inside.queue("q.fifo", ContentBasedDeduplication="true")
        inside.rule("r", ALL, queue, **group)
        inside.put(*({"n": n} for n in range(10)))
        messages = inside.drain(queue)
        assert [orjson.loads(message["Body"])["detail"]["n"] for message in messages] == list(range(10))
        assert {message["Attributes"]["MessageGroupId"] for message in messages} == {"g"}

    def test_what_a_queue_refuses_goes_to_the_dead_letters(self, inside: Inside) -> None:
        refusing, dead = inside.queue("q.fifo"), inside.queue("dead")
        target = {"SqsParameters": {"MessageGroupId": "g"}, "DeadLetterConfig": {"Arn": arn_of(dead)}}
        inside.rule("r", ALL, refusing, **target)
        inside.put({"n": 1})
        assert (inside.bodies(refusing), details(inside, dead)) == ([], [{"n": 1}])

    def test_a_constant_may_stand_for_the_event(self, inside: Inside) -> None:
        queue = inside.queue()
        inside.rule("r", ALL, queue, Input='{"constant":true}')
        inside.put({})
        assert inside.bodies(queue) == ['{"constant":true}']


class TestReplays:
    def archive(self, inside: Inside, **params: Any) -> str:
        bus = inside.events("DescribeEventBus", Name="b")["Arn"]
        return str(inside.events("CreateArchive", ArchiveName="a", EventSourceArn=bus, **params)["ArchiveArn"])

    def replay(self, inside: Inside, archive: str, *, start: int, end: int, **destination: Any) -> dict[str, Any]:
        bus = inside.events("DescribeEventBus", Name="b")["Arn"]
        inside.events(
            "StartReplay",
            ReplayName="again",
            EventSourceArn=archive,
            EventStartTime=start,
            EventEndTime=end,
            Destination={"Arn": bus, **destination},
        )
        return inside.events("DescribeReplay", ReplayName="again")

    def test_all_of_the_time_asked_for_comes_again_and_says_so(self, inside: Inside) -> None:
        queue = inside.queue()
        inside.rule("r", ALL, queue)
        archive, start = self.archive(inside), inside.now_s
        for n in range(4):
            inside.put({"n": n})
            inside.later(10)
        before = {orjson.loads(m["Body"])["id"]: orjson.loads(m["Body"]) for m in inside.drain(queue)}
        told = self.replay(inside, archive, start=start + 10, end=start + 20)
        assert (told["State"], told["EventLastReplayedTime"]) == ("COMPLETED", start + 20)
        again = [orjson.loads(message["Body"]) for message in inside.drain(queue)]
        assert [each["detail"]["n"] for each in again] == [1, 2]
        assert all(each == {**before[each["id"]], "replay-name": "again"} for each in again)
        assert inside.events("DescribeArchive", ArchiveName="a")["EventCount"] == 4, "a replay is not archived again"
        assert [each["ReplayName"] for each in inside.events("ListReplays")["Replays"]] == ["again"]

    def test_an_archive_may_have_a_pattern_and_a_replay_may_have_rules(self, inside: Inside) -> None:
        queue, other = inside.queue(), inside.queue("other")
        wanted = inside.rule("r", ALL, queue)
        inside.rule("q", ALL, other)
        archive, start = self.archive(inside, EventPattern='{"detail":{"n":[2]}}', RetentionDays=1), inside.now_s
        inside.put({"n": 1}, {"n": 2})
        for each in (queue, other):
            inside.drain(each)
        self.replay(inside, archive, start=start, end=start + 1, FilterArns=[wanted])
        assert (details(inside, queue), details(inside, other)) == ([{"n": 2}], [])

    def test_what_cannot_be_is_refused(self, inside: Inside) -> None:
        events, start = inside.events, inside.now_s
        inside.rule("r", ALL)
        archive = self.archive(inside)
        bus = events("DescribeEventBus", Name="b")["Arn"]
        taken = {"ArchiveName": "a", "EventSourceArn": bus}
        assert events.refusal("CreateArchive", **taken) == "ResourceAlreadyExistsException"
        assert events.refusal("DescribeArchive", ArchiveName="b") == "ResourceNotFoundException"
        asked = {
            "ReplayName": "x",
            "EventSourceArn": archive,
            "EventStartTime": start,
            "EventEndTime": start + 1,
            "Destination": {"Arn": bus},
        }
        for change, code in (
            ({"EventEndTime": start}, "ValidationException"),
            ({"Destination": {"Arn": events("DescribeEventBus", Name="default")["Arn"]}}, "ValidationException"),
            ({"EventSourceArn": f"{archive}x"}, "ResourceNotFoundException"),
            ({"ReplayName": "a b"}, "ValidationException"),
        ):
            assert events.refusal("StartReplay", **{**asked, **change}) == code
        events("StartReplay", **asked)
        assert events.refusal("StartReplay", **asked) == "ResourceAlreadyExistsException"
        assert [each["ArchiveName"] for each in events("ListArchives")["Archives"]] == ["a"]
        events("DeleteArchive", ArchiveName="a")
        assert events.refusal("DeleteArchive", ArchiveName="a") == "ResourceNotFoundException"


@pytest.mark.live
def test_through_the_sdk_from_rule_to_replay() -> None:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    config = Config(retries={"total_max_attempts": 1}, read_timeout=15)
    with served() as url:
        sqs, events = (boto3.client(name, endpoint_url=url, config=config, **keys) for name in ("sqs", "events"))
        queue = sqs.create_queue(QueueName="q")["QueueUrl"]
        bus = events.create_event_bus(Name="b")["EventBusArn"]
        assert code_of(events.create_event_bus, Name="b") == "ResourceAlreadyExistsException"
        events.put_rule(Name="r", EventBusName="b", EventPattern='{"source":["s"]}', Tags=[{"Key": "k", "Value": "v"}])
        events.put_targets(Rule="r", EventBusName="b", Targets=[{"Id": "1", "Arn": arn_of(queue)}])
        archive = events.create_archive(ArchiveName="a", EventSourceArn=bus)
        answer = events.put_events(Entries=[event({"n": 1}), event("{")])
        assert answer["FailedEntryCount"] == 1
        first = orjson.loads(sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1)["Messages"][0]["Body"])
        assert first["id"] == answer["Entries"][0]["EventId"]
        began = archive["CreationTime"].timestamp()
        events.start_replay(
            ReplayName="again",
            EventSourceArn=archive["ArchiveArn"],
            EventStartTime=began - 60,
            EventEndTime=began + 60,
            Destination={"Arn": bus},
        )
        assert events.describe_replay(ReplayName="again")["State"] == "COMPLETED"
        again = orjson.loads(sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1)["Messages"][0]["Body"])
        assert again == {**first, "replay-name": "again"}
        assert code_of(events.list_endpoints) == "UnknownOperationException"

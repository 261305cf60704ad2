"""CloudWatch's numbers, read back: which metrics a run has, that pages are read to their end, and that what is late is
told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from gameday.history.errors import HistoryError
from gameday.targets import cloudwatch
from gameday.targets.cloudwatch import Metric, Reading, ask, load, metrics_of
from gameday.transports.base import Addresses, Answer, Call
from gameday.transports.carriers.boto import run_plan

# Of a run from 12:00:10 to 12:03:30, in seconds since 1970.
BEGIN = 1_767_268_810.0
END = BEGIN + 200.0
MINUTES = [1_767_268_800 + 60 * n for n in range(4)]
MODEL = botocore.session.get_session().get_service_model("cloudwatch").operation_model("GetMetricData")


def metric(name: str = "NumberOfMessagesSent", **changes: Any) -> Metric:
    given = {
        "namespace": "AWS/SQS", "resource": "q", "name": name, "stat": "Sum", "dimensions": {"QueueName": "q"},
        "subscription": "orders",
    }  # fmt: skip
    return Metric(**{**given, **changes})


def reading(*metrics: Metric, **changes: Any) -> Reading:
    return replace(Reading(region="eu-west-1", urls={}, begin_s=BEGIN, end_s=END, metrics=metrics), **changes)


class CloudWatch:
    """Holds each call to botocore's model, and gives one value of one metric in each page."""

    def __init__(self, values: Callable[[dict[str, Any]], list[tuple[int, float]]]) -> None:
        self.values = values
        self.asked: list[dict[str, Any]] = []

    def __call__(self, call: Call) -> Answer:
        params = dict(call.params)
        report = ParamValidator().validate(params, MODEL.input_shape)
        assert (call.service, call.operation, report.generate_report()) == ("cloudwatch", "GetMetricData", "")
        self.asked.append(params)
        pages = [(query["Id"], at, value) for query in params["MetricDataQueries"] for at, value in self.values(query)]
        page = int(params.get("NextToken", 0))
        if not pages:
            return {"MetricDataResults": []}
        name, at, value = pages[page]
        told = {"Id": name, "Timestamps": [datetime.fromtimestamp(at, tz=UTC)], "Values": [value]}
        return {"MetricDataResults": [told]} | ({"NextToken": str(page + 1)} if page + 1 < len(pages) else {})


@pytest.mark.parametrize(
    ("services", "addresses", "found"),
    [
        (
            ["sqs"],
            Addresses(
                send_to="https://sqs/1/gameday-r-orders",
                queues={"orders": "https://sqs/1/gameday-r-orders"},
                dead_letter_queues={"orders": "https://sqs/1/gameday-r-orders-dlq"},
            ),
            {("AWS/SQS", "gameday-r-orders", "orders"), ("AWS/SQS", "gameday-r-orders-dlq", None)},
        ),
        (
            ["kinesis"],
            Addresses(send_to="gameday-r"),
            {("AWS/Kinesis", "gameday-r", None)},
        ),
        (
            ["sns", "sqs"],
            Addresses(send_to="arn:aws:sns:eu-west-1:1:gameday-r", queues={"a": "https://sqs/1/gameday-r-a"}),
            {("AWS/SNS", "gameday-r", None), ("AWS/SQS", "gameday-r-a", "a")},
        ),
        (
            ["events", "sqs"],
            Addresses(send_to="gameday-r", queues={"a": "https://sqs/1/gameday-r-a"}),
            {("AWS/Events", "gameday-r/a", None), ("AWS/SQS", "gameday-r-a", "a")},
        ),
    ],
)
def test_what_a_run_has(services: list[str], addresses: Addresses, found: set[tuple[str, str, str | None]]) -> None:
    metrics = metrics_of(services, addresses)
    assert {(each.namespace, each.resource, each.subscription) for each in metrics} == found
    assert len({(each.resource, each.name) for each in metrics}) == len(metrics)


def test_every_page_of_the_runs_minutes_is_read() -> None:
    values = {"m0": [(MINUTES[0], 3.0), (MINUTES[3], 4.0)], "m1": [(MINUTES[1], 9.0), (MINUTES[0], 2.0)]}
    at = CloudWatch(lambda query: values[query["Id"]])
    asked = reading(metric(), metric("ApproximateAgeOfOldestMessage", stat="Maximum"))
    read = run_plan(ask(asked, now_s=END + 5), at)
    assert len(at.asked) == 4
    assert {(call["StartTime"].timestamp(), call["EndTime"].timestamp()) for call in at.asked} == {
        (MINUTES[0], MINUTES[3] + 60)
    }
    sent, age = read.metrics
    assert (sent.points, sent.value) == ([(MINUTES[0], 3.0), (MINUTES[3], 4.0)], 7.0)
    assert (age.points, age.value) == ([(MINUTES[0], 2.0), (MINUTES[1], 9.0)], 9.0)
    # One metric of the queue has its last minute.
    assert (read.late, read.asked_s) == ([], END + 5)
    query = at.asked[0]["MetricDataQueries"][0]["MetricStat"]
    assert (query["Period"], query["Stat"]) == (60, "Sum")
    assert query["Metric"]["Dimensions"] == [{"Name": "QueueName", "Value": "q"}]


@pytest.mark.parametrize("points", [[], [(MINUTES[2], 1.0)]])
def test_what_is_not_there_yet_is_told(points: list[tuple[int, float]]) -> None:
    other = metric(resource="dlq", points=[(MINUTES[3], 0.0)])
    told = reading(metric(points=points), other, asked_s=END)
    assert told.late == ["q"]
    assert "of q the last minute is not there yet" in told.line()
    whole = reading(metric(points=[(MINUTES[3], 1.0)]), other, asked_s=END)
    assert whole.late == [] and "not there" not in whole.line()


def test_more_metrics_than_a_call_takes_are_asked_in_several() -> None:
    at = CloudWatch(lambda query: [(MINUTES[0], float(query["Id"][1:]))] if query["Id"] == "m600" else [])
    read = run_plan(ask(reading(*(metric(f"n{n}") for n in range(601))), now_s=END), at)
    assert [len(call["MetricDataQueries"]) for call in at.asked] == [500, 101]
    assert read.metrics[600].value == 600.0


def test_it_survives_the_file_without_anybodys_credentials(tmp_path: Path) -> None:
    told = reading(metric(points=[(MINUTES[0], 3.0)]), urls={"*": "http://127.0.0.1:1"}, asked_s=END)
    told.save(tmp_path)
    assert load(tmp_path) == told
    text = (tmp_path / cloudwatch.FILE).read_text()
    assert "key" not in text and "secret" not in text
    assert load(tmp_path / "elsewhere") is None


@pytest.mark.parametrize("text", ["{", "[]", '{"metrics": [{}]}', '{"metrics": [], "more": 1}'])
def test_a_file_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / cloudwatch.FILE).write_text(text)
    with pytest.raises(HistoryError, match="is not as a run writes it"):
        load(tmp_path)

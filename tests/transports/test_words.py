"""What a program of the user's is told: each word stands for what the run has, and an unknown one is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from gameday.transports.base import Addresses
from gameday.transports.endpoint import Endpoint
from gameday.transports.registry import TRANSPORTS
from gameday.transports.words import UnknownWord, check, environment, names, replace, words

ENDPOINT = Endpoint(urls={"*": "http://127.0.0.1:4566"}, region="eu-west-1", access_key="test", secret_key="test")
QUEUE = "http://127.0.0.1:4566/000000000000/gameday-r-orders.fifo"
QUEUES = Addresses(send_to=QUEUE, queues={"orders": QUEUE}, dead_letter_queues={"orders": f"{QUEUE}-dlq"})


def told(transport: str = "sqs-fifo", addresses: Addresses = QUEUES, consumer: str | None = None) -> dict[str, str]:
    return words(
        run="r",
        effects=Path("/runs/r/effects"),
        transport=TRANSPORTS[transport],
        addresses=addresses,
        endpoint=ENDPOINT,
        subscription="orders",
        consumer=consumer,
    )


def test_a_queue_is_told_by_url_and_name() -> None:
    assert told(consumer="orders-1.1") == {
        "run": "r",
        "subscription": "orders",
        "transport": "sqs-fifo",
        "effects": "/runs/r/effects",
        "region": "eu-west-1",
        "endpoint_url": "http://127.0.0.1:4566",
        "queue_url": QUEUE,
        "queue_name": "gameday-r-orders.fifo",
        "dead_letter_queue_url": f"{QUEUE}-dlq",
        "consumer": "orders-1.1",
    }


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("dead_letters", [True, False])
def test_the_words_that_a_run_will_have_are_those_that_it_has(transport: str, dead_letters: bool) -> None:
    is_queue = TRANSPORTS[transport].kind == "queue"
    addresses = Addresses(
        send_to="arn:aws:sns:eu-west-1:000000000000:gameday-r",
        queues={"orders": QUEUE} if is_queue else {},
        dead_letter_queues={"orders": f"{QUEUE}-dlq"} if is_queue and dead_letters else {},
    )
    for consumer in (None, "orders-1.1"):
        expected = names(TRANSPORTS[transport], dead_letters=dead_letters, consumer=consumer is not None)
        assert set(told(transport, addresses, consumer)) == set(expected)


def test_what_producers_send_to_has_the_name_that_its_service_gives_it() -> None:
    assert told("sns", Addresses(send_to="arn:…:t", queues={"orders": QUEUE}))["topic_arn"] == "arn:…:t"
    assert told("kinesis", Addresses(send_to="gameday-r"))["stream_name"] == "gameday-r"
    assert "topic_arn" not in told()


@pytest.mark.parametrize(
    ("text", "replaced"),
    [
        ("--queue={queue_name}", "--queue=gameday-r-orders.fifo"),
        ("{effects}/done-{run}.txt", "/runs/r/effects/done-r.txt"),
        ("{print $1}", "{print $1}"),
        ("{}", "{}"),
        ("${HOME}", "${HOME}"),
        ('{"id": 1}', '{"id": 1}'),
        ("{{run}}", "{run}"),
        ("{{nobody}}", "{nobody}"),
    ],
)
def test_only_a_name_in_braces_is_a_word(text: str, replaced: str) -> None:
    assert replace(text, told()) == replaced


def test_an_unknown_word_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(UnknownWord, match=r"\{topic_arn\} stands for nothing here.*\{queue_url\}.*\{\{topic_arn\}\}"):
        replace("--topic {topic_arn}", told())
    with pytest.raises(UnknownWord, match="consumer"):
        check("{consumer}", names(TRANSPORTS["sqs"], dead_letters=True, consumer=False))
    check("{consumer}", names(TRANSPORTS["sqs"], dead_letters=True, consumer=True))


def test_the_environment_leads_to_the_run_s_aws_and_nowhere_else() -> None:
    users = {
        "PATH": "/bin",
        "AWS_PROFILE": "production",
        "AWS_SESSION_TOKEN": "t",
        "AWS_ENDPOINT_URL_SQS": "http://elsewhere",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "GRAFANA_TOKEN": "secret",
        "NO_PROXY": "intranet",
    }
    endpoint = Endpoint(
        urls={"*": "http://127.0.0.1:1", "events": "http://127.0.0.1:2"}, access_key="test", secret_key="test"
    )
    assert environment(told(), endpoint, inherited=users) == {
        "PATH": "/bin",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_EVENTBRIDGE": "http://127.0.0.1:2",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "intranet,127.0.0.1,localhost,::1",
        "no_proxy": "127.0.0.1,localhost,::1",
        "GAMEDAY_RUN": "r",
        "GAMEDAY_SUBSCRIPTION": "orders",
        "GAMEDAY_TRANSPORT": "sqs-fifo",
        "GAMEDAY_EFFECTS": "/runs/r/effects",
        "GAMEDAY_QUEUE_URL": QUEUE,
        "GAMEDAY_QUEUE_NAME": "gameday-r-orders.fifo",
        "GAMEDAY_DEAD_LETTER_QUEUE_URL": f"{QUEUE}-dlq",
    }


def test_the_user_s_own_credentials_stay_where_the_run_has_none_of_its_own() -> None:
    users = {"AWS_PROFILE": "staging", "AWS_SESSION_TOKEN": "t"}
    env = environment(told(), Endpoint(region="eu-west-1"), inherited=users)
    assert env["AWS_PROFILE"] == "staging" and env["AWS_SESSION_TOKEN"] == "t"
    assert "AWS_ENDPOINT_URL" not in env and "AWS_EC2_METADATA_DISABLED" not in env

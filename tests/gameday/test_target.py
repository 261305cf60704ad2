"""Which endpoint a run gets, and what it hears when there is none."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import botocore.session
import psutil  # type: ignore[import-untyped]  # comes with Locust, without types
import pytest

from gameday import target
from history.errors import TargetError, UsageError
from history.manifest import Subscription
from tests.contract.aws_answers import complaints
from tests.gameday.commanded import wait_until
from transports.base import Call, Product
from transports.carrier import BotoCarrier
from transports.endpoint import Endpoint
from transports.registry import TRANSPORTS

SERVICES = ["sqs", "dynamodb"]


def urls(url: str | None, environ: Mapping[str, str]) -> list[str | None]:
    endpoint = target.endpoint_of(SERVICES, url, environ)
    return [endpoint.url(service) for service in SERVICES]


def test_the_flag_then_the_service_then_all_then_the_usual_port() -> None:
    both = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:2"}
    assert urls(None, {}) == ["http://127.0.0.1:4566", "http://127.0.0.1:4566"]
    assert urls(None, both) == ["http://127.0.0.1:1", "http://127.0.0.1:2"]
    assert urls(None, {"AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:3"}) == ["http://127.0.0.1:3", "http://127.0.0.1:4566"]
    assert urls("http://127.0.0.1:9", both) == ["http://127.0.0.1:9", "http://127.0.0.1:9"]


@pytest.mark.parametrize(
    ("service", "variable"),
    [("sns", "SNS"), ("events", "EVENTBRIDGE"), ("kinesis", "KINESIS"), ("dynamodb", "DYNAMODB")],
)
def test_a_service_has_the_variable_that_the_sdks_read_for_it(service: str, variable: str) -> None:
    endpoint = target.endpoint_of([service], None, {f"AWS_ENDPOINT_URL_{variable}": "http://127.0.0.1:3"})
    assert endpoint.url(service) == "http://127.0.0.1:3"
    model = botocore.session.get_session().get_service_model(service)
    assert model.service_id.hyphenize().replace("-", "_").upper() == variable


def test_every_service_of_every_transport_can_be_asked_whether_it_is_there() -> None:
    services = {service for transport in TRANSPORTS.values() for service in transport.services}
    for service in services | {"dynamodb"}:
        call = target.LOOKS[service]
        assert call.service == service
        assert complaints(call) == ""


@pytest.mark.parametrize(
    ("urls", "product"),
    [
        ({}, "aws"),
        ({"*": "https://sqs.eu-west-1.amazonaws.com"}, "aws"),
        ({"*": "https://sqs.cn-north-1.amazonaws.com.cn"}, "aws"),
        ({"*": "https://sqs.eu-west-1.api.aws"}, "aws"),
        ({"*": f"http://127.0.0.1:{target.free_port()}"}, "unknown"),
    ],
)
def test_who_answers_is_told_by_the_host_or_not_at_all(urls: Mapping[str, str], product: Product) -> None:
    assert target.product_of(Endpoint(urls=urls).url("sqs")) == product


@pytest.mark.parametrize(
    ("answers", "product"),
    [
        (("/_ministack/health", "/_localstack/health"), "ministack"),
        (("/_localstack/health",), "localstack"),
        (("/moto-api/",), "moto"),
        (("/_gameday/health",), "memory"),
        (("/health",), "unknown"),
    ],
)
def test_who_answers_is_told_by_what_only_one_product_has(answers: tuple[str, ...], product: Product) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in answers else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            assert target.product_of(f"http://127.0.0.1:{server.server_port}/") == product
        finally:
            server.shutdown()
            thread.join()


def test_an_absence_must_last_where_a_service_delivers_late() -> None:
    assert target.settle_s("ministack", ["events", "sqs"]) == 0
    assert target.settle_s("aws", ["sqs"]) == 60
    assert target.settle_s("localstack", ["events", "sqs"]) == 5
    assert target.settle_s("unknown", ["events", "sqs"]) == 5, "nothing is known of it that would make it faster"
    assert target.settle_s("unknown", ["sns", "sqs"]) == 15
    assert target.settle_s("aws", ["events", "sqs"]) == 600


@pytest.mark.parametrize(
    ("product", "url", "pace"),
    [
        ("unknown", "http://127.0.0.1:4566", "unknown"),
        ("unknown", "https://vpce-1.example.internal", "aws"),
        ("localstack", "http://localstack.example.internal:4566", "localstack"),
    ],
)
def test_who_says_nothing_of_himself_and_is_elsewhere_may_be_aws(product: Product, url: str, pace: Product) -> None:
    assert target.pace_of(product, Endpoint(urls={"*": url})) == pace


def test_an_endpoint_elsewhere_is_given_the_time_of_aws() -> None:
    there = target.given(["sns", "sqs"], "https://vpce-1.example.internal", {})
    assert (there.settle_s, there.effective_s) == (600, 16 * 60)
    here = target.given(["sns", "sqs"], "http://127.0.0.1:4566", {})
    assert (here.settle_s, here.effective_s) == (15, 0)


def test_what_a_product_cannot_do_is_refused_with_the_reason() -> None:
    there = target.Target(
        kind="localstack", what="the endpoint http://x", endpoint=Endpoint(), cannot_show=(), product="ministack",
        settle_s=0, tick_ns=0,
    )  # fmt: skip
    target.refuse_gaps(there, TRANSPORTS["eventbridge"], ["replay"])
    with pytest.raises(
        TargetError, match=r"the endpoint http://x cannot do .*\(redrive: MiniStack does not move"
    ) as no:
        target.refuse_gaps(there, TRANSPORTS["eventbridge"], ["replay", "redrive"])
    assert "replay:" not in str(no.value)
    with pytest.raises(TargetError, match=r"\(replay: LocalStack answers StartReplay with an error"):
        target.refuse_gaps(replace(there, product="localstack"), TRANSPORTS["eventbridge"], ["replay"])


@pytest.mark.parametrize(
    ("url", "environ", "said"),
    [
        ("127.0.0.1:4566", {}, "--endpoint-url is '127.0.0.1:4566'; an endpoint is written like http://127.0.0.1:4566"),
        (None, {"AWS_ENDPOINT_URL": "ftp://x"}, "AWS_ENDPOINT_URL is 'ftp://x'"),
        (None, {"AWS_ENDPOINT_URL_SQS": "x"}, "AWS_ENDPOINT_URL_SQS is 'x'"),
        ("http://[::1", {}, "--endpoint-url is 'http://[::1'"),
    ],
)
def test_what_is_no_endpoint(url: str | None, environ: Mapping[str, str], said: str) -> None:
    with pytest.raises(UsageError) as error:
        urls(url, environ)
    assert str(error.value).startswith(said)


def test_credentials_are_made_up_only_where_none_are_given() -> None:
    made_up = target.endpoint_of(SERVICES, None, {})
    assert (made_up.access_key, made_up.secret_key, made_up.region) == ("test", "test", "us-east-1")
    given = target.endpoint_of(SERVICES, None, {"AWS_ACCESS_KEY_ID": "x", "AWS_REGION": "eu-west-1"})
    assert (given.access_key, given.region) == (None, "eu-west-1")


def start(run: Path, kind: target.Kind, *, transport: str = "sqs", url: str | None = None) -> target.Target:
    return asyncio.run(target.start(kind, transport=transport, services=["sqs"], url=url, environ={}, run=run))


def test_an_endpoint_that_nobody_serves_says_what_to_do(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{target.free_port()}"
    with pytest.raises(TargetError, match=rf"no answer from sqs at {url}: .* use --target embedded"):
        start(tmp_path, "localstack", url=url)


@pytest.mark.parametrize(
    ("urls", "local"),
    [
        ({"*": "http://127.0.0.1:4566"}, True),
        ({"*": "http://localhost:4566", "sqs": "http://[::1]:1"}, True),
        ({"*": "http://sqs.localhost.localstack.cloud:4566"}, True),
        ({"*": "https://sqs.eu-west-1.amazonaws.com"}, False),
        ({"*": "http://127.0.0.1:4566", "sqs": "http://127.example:4566"}, False),
    ],
)
def test_only_an_endpoint_elsewhere_may_be_aws(urls: Mapping[str, str], local: bool) -> None:
    assert target.on_this_machine(Endpoint(urls=urls)) is local


def test_aws_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="the target aws is not there yet"):
        start(tmp_path, "aws")


@pytest.mark.parametrize("kind", ["embedded", "aws"])
def test_an_endpoint_goes_with_localstack_only(tmp_path: Path, kind: target.Kind) -> None:
    with pytest.raises(UsageError, match=f"with it goes --target localstack, not {kind}"):
        start(tmp_path, kind, url="http://127.0.0.1:4566")


def test_the_broker_of_our_own_is_embedded_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the transport memory is a broker of our own"):
        start(tmp_path, "localstack", transport="memory")


@pytest.mark.live
def test_the_embedded_aws_has_one_loopback_port_and_dies_with_the_conductor(tmp_path: Path) -> None:
    script = (
        "import asyncio, pathlib, sys, time\nfrom gameday import target\n"
        "async def main():\n"
        "    run = pathlib.Path(sys.argv[1])\n"
        "    got = await target.start('embedded', transport='sqs', services=['sqs'], url=None, environ={}, run=run)\n"
        "    print(got.process.pid, got.endpoint.url('sqs'), flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    run = tmp_path / "run"
    run.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", script, str(run)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as conductor:
        assert conductor.stdout is not None
        pid, url = conductor.stdout.readline().split()
        emulator = psutil.Process(int(pid))
        try:
            listening = [c.laddr for c in emulator.net_connections(kind="inet") if c.status == psutil.CONN_LISTEN]
            assert [f"http://{address.ip}:{address.port}" for address in listening] == [url]
            answer = BotoCarrier(target.endpoint_of(["sqs"], url, {}))(Call("sqs", "ListQueues", {}))
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
        finally:
            conductor.kill()
        wait_until(lambda: not emulator.is_running() or emulator.status() == "zombie", "the emulator's end", 20)
    assert [path.name for path in run.iterdir()] == ["logs"], "a run directory holds evidence and nothing else"


@pytest.mark.parametrize(("kind", "product"), [("aws", "unknown"), ("localstack", "aws")])
def test_aws_is_held_to_no_more_than_it_promises(kind: target.Kind, product: Product) -> None:
    there = target.Target(
        kind=kind,
        what="the endpoint",
        endpoint=Endpoint(urls={}),
        cannot_show=(),
        product=product,
        settle_s=0,
        tick_ns=0,
    )
    promised = {"euro": Subscription(filtered=True, promised_by="user"), "all": Subscription()}
    with pytest.raises(UsageError, match="`promises` of euro holds the endpoint to more than AWS promises"):
        target.refuse_promises(there, promised)
    target.refuse_promises(there, {"all": Subscription()})
    target.refuse_promises(replace(there, kind="localstack", product="localstack"), promised)

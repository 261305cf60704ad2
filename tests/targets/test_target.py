"""Which endpoint a run gets, and what it hears when there is none."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import botocore.session
import psutil  # type: ignore[import-untyped]  # comes with Locust, without types
import pytest

from gameday.history.errors import TargetError, TargetLacks, UsageError
from gameday.history.manifest import Subscription
from gameday.targets.account import Account, identify, use_profile
from gameday.targets.endpoints import endpoint_of
from gameday.targets.products import (
    AWS,
    LOCALSTACK,
    MEMORY,
    MINISTACK,
    MOTO,
    PRODUCTS,
    UNKNOWN,
    Product,
    reckoned_with,
    recognise,
)
from gameday.targets.start import free_port, given
from gameday.targets.start import start as start_target
from gameday.targets.target import Kind, Target
from gameday.transports.base import Call
from gameday.transports.carriers.boto import BotoCarrier
from gameday.transports.endpoint import Endpoint
from gameday.transports.registry import TRANSPORTS
from gameday.transports.services import SERVICES
from tests.commanded import wait_until
from tests.contract.aws_answers import complaints

USED = ["sqs", "dynamodb"]


def urls(url: str | None, environ: Mapping[str, str]) -> list[str | None]:
    endpoint = endpoint_of(USED, url, environ)
    return [endpoint.url(service) for service in USED]


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
    endpoint = endpoint_of([service], None, {f"AWS_ENDPOINT_URL_{variable}": "http://127.0.0.1:3"})
    assert endpoint.url(service) == "http://127.0.0.1:3"
    model = botocore.session.get_session().get_service_model(service)
    assert model.service_id.hyphenize().replace("-", "_").upper() == variable


def test_every_service_of_every_transport_can_be_asked_whether_it_is_there() -> None:
    services = {service for transport in TRANSPORTS.values() for service in transport.services}
    for service in services | {"dynamodb"}:
        call = SERVICES[service].look
        assert call.service == service
        assert complaints(call) == ""


@pytest.mark.parametrize(
    ("urls", "product"),
    [
        ({}, AWS),
        ({"*": "https://sqs.eu-west-1.amazonaws.com"}, AWS),
        ({"*": "https://sqs.cn-north-1.amazonaws.com.cn"}, AWS),
        ({"*": "https://sqs.eu-west-1.api.aws"}, AWS),
        ({"*": f"http://127.0.0.1:{free_port()}"}, UNKNOWN),
    ],
)
def test_who_answers_is_told_by_the_host_or_not_at_all(urls: Mapping[str, str], product: Product) -> None:
    assert recognise(Endpoint(urls=urls).url("sqs")) is product


@pytest.mark.parametrize(
    ("answers", "product"),
    [
        (("/_ministack/health", "/_localstack/health"), MINISTACK),
        (("/_localstack/health",), LOCALSTACK),
        (("/moto-api/",), MOTO),
        (("/_gameday/health",), MEMORY),
        (("/health",), UNKNOWN),
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
            assert recognise(f"http://127.0.0.1:{server.server_port}/") is product
        finally:
            server.shutdown()
            thread.join()


def test_an_absence_must_last_where_a_service_delivers_late() -> None:
    assert MINISTACK.settles_after_s(["events", "sqs"]) == 0
    assert AWS.settles_after_s(["sqs"]) == 60
    assert LOCALSTACK.settles_after_s(["events", "sqs"]) == 5
    assert UNKNOWN.settles_after_s(["events", "sqs"]) == 5, "nothing is known of it that would make it faster"
    assert UNKNOWN.settles_after_s(["sns", "sqs"]) == 15
    assert AWS.settles_after_s(["events", "sqs"]) == 600


@pytest.mark.parametrize(
    ("product", "url", "pace"),
    [
        (UNKNOWN, "http://127.0.0.1:4566", UNKNOWN),
        (UNKNOWN, "https://vpce-1.example.internal", AWS),
        (LOCALSTACK, "http://localstack.example.internal:4566", LOCALSTACK),
    ],
)
def test_who_says_nothing_of_himself_and_is_elsewhere_may_be_aws(product: Product, url: str, pace: Product) -> None:
    assert reckoned_with(product, Endpoint(urls={"*": url})) is pace


def test_an_endpoint_elsewhere_is_given_the_time_of_aws() -> None:
    there = given(["sns", "sqs"], "https://vpce-1.example.internal", {})
    assert (there.settle_s, there.effective_s) == (600, 16 * 60)
    here = given(["sns", "sqs"], "http://127.0.0.1:4566", {})
    assert (here.settle_s, here.effective_s) == (15, 0)


def there(product: Product, kind: Kind = "localstack") -> Target:
    return Target(kind=kind, what="the endpoint http://x", endpoint=Endpoint(), product=product, services=["sqs"])


def test_what_a_product_cannot_do_is_refused_with_the_reason() -> None:
    there(MINISTACK).refuse_gaps(TRANSPORTS["eventbridge"], ["replay"])
    with pytest.raises(
        TargetLacks, match=r"the endpoint http://x cannot do .*\(redrive: MiniStack does not move.*--target memory"
    ) as no:
        there(MINISTACK).refuse_gaps(TRANSPORTS["eventbridge"], ["replay", "redrive"])
    assert "replay:" not in str(no.value)
    with pytest.raises(TargetLacks, match=r"\(replay: LocalStack answers StartReplay with an error"):
        there(LOCALSTACK).refuse_gaps(TRANSPORTS["eventbridge"], ["replay"])
    with pytest.raises(TargetLacks, match=r"\(reshard: a queue has no shards\). Use another target, or take") as no:
        there(MINISTACK).refuse_gaps(TRANSPORTS["sqs"], ["reshard"])
    there(MINISTACK).refuse_gaps(TRANSPORTS["sqs"], ["s3"])
    there(MEMORY).refuse_gaps(TRANSPORTS["sqs"], ["s3"])


@pytest.mark.parametrize("product", [product for product in PRODUCTS.values() if product is not MEMORY])
def test_a_deduplication_window_is_the_broker_in_memory_s_alone_to_be_told(product: Product) -> None:
    with pytest.raises(TargetLacks, match=r"dedup-window: .* --target memory for example"):
        there(product).refuse_gaps(TRANSPORTS["sqs-fifo"], ["dedup-window"])


def test_a_broker_that_runs_already_has_a_deduplication_window_of_its_own() -> None:
    with pytest.raises(TargetLacks, match=r"take topology.dedup_window out of the scenario"):
        there(MEMORY).refuse_gaps(TRANSPORTS["sqs-fifo"], ["dedup-window"])


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
    made_up = endpoint_of(USED, None, {})
    assert (made_up.access_key, made_up.secret_key, made_up.region) == ("test", "test", "us-east-1")
    given = endpoint_of(USED, None, {"AWS_ACCESS_KEY_ID": "x", "AWS_REGION": "eu-west-1"})
    assert (given.access_key, given.region) == (None, "eu-west-1")


def start(run: Path, kind: Kind, *, url: str | None = None) -> Target:
    return asyncio.run(start_target(kind, services=["sqs"], url=url, environ={}, run=run))


def test_an_endpoint_that_nobody_serves_says_what_to_do(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
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
        ({}, False),
    ],
)
def test_only_an_endpoint_elsewhere_may_be_aws(urls: Mapping[str, str], local: bool) -> None:
    assert Endpoint(urls=urls).on_this_machine is local


def account(**urls: str) -> Account:
    endpoint = Endpoint(urls=urls, region="eu-west-1")
    return Account(id="123456789012", region="eu-west-1", caller="arn:aws:iam::123456789012:user/me", endpoint=endpoint)


@pytest.mark.parametrize(
    "urls",
    [
        {},
        {"*": "https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com"},
    ],
)
def test_an_account_is_aws_unless_all_of_it_is_on_this_machine(urls: dict[str, str]) -> None:
    target = account(**urls).target(["sqs"])
    assert (target.kind, target.product, target.checks_signatures) == ("aws", AWS, True)
    assert (target.settle_s, target.counts_settle_s, target.effective_s) == (60.0, 60.0, 960.0)


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9"},
        {"AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:9"},
        {"AWS_ENDPOINT_URL": "http://elsewhere.example"},
    ],
)
def test_who_says_which_account_it_is_must_be_who_keeps_its_queues(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", **environ}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="sends some services elsewhere"):
        identify(["sqs"], region="eu-west-1", environ=environ)


def test_a_profile_that_is_named_is_the_one_that_is_used() -> None:
    """Whatever else the SDK would take before it."""
    environ = {"AWS_DEFAULT_PROFILE": "prod", "AWS_ACCESS_KEY_ID": "a", "AWS_ROLE_ARN": "r", "HOME": "/"}
    use_profile("staging", environ)
    assert environ == {"AWS_PROFILE": "staging", "HOME": "/"}
    use_profile(None, environ)
    assert environ == {"AWS_PROFILE": "staging", "HOME": "/"}


@pytest.mark.parametrize("url", ["https://sqs.eu-west-1.amazonaws.com", "https://SQS.eu-west-1.AMAZONAWS.com."])
def test_aws_itself_is_no_endpoint_of_somebody(url: str) -> None:
    """Nothing is created there, swept or probed, that gameday.toml does not allow."""
    with pytest.raises(UsageError, match=r"is AWS itself, .*; use --target aws"):
        given(["sqs"], url, {})
    with pytest.raises(UsageError, match="is AWS itself"):
        given(["sqs"], None, {"AWS_ENDPOINT_URL_SQS": url})


def test_an_emulator_that_plays_aws_is_what_it_is() -> None:
    target = account(**{"*": "http://127.0.0.1:9"}).target(["sqs"])
    assert (target.kind, target.product, target.checks_signatures) == ("localstack", UNKNOWN, False)


def test_aws_is_given_the_time_that_it_needs() -> None:
    target = account().target(["sqs"])
    target.refuse_haste(60.0)
    with pytest.raises(UsageError, match=r"`topology.settle` is 5 s, and .* may need 60 s"):
        target.refuse_haste(5.0)
    account(**{"*": "http://127.0.0.1:9"}).target(["sqs"]).refuse_haste(0.0)


@pytest.mark.parametrize("kind", ["embedded", "memory", "aws"])
def test_an_endpoint_goes_with_localstack_only(tmp_path: Path, kind: Kind) -> None:
    with pytest.raises(UsageError, match=f"with it goes --target localstack, not {kind}"):
        start(tmp_path, kind, url="http://127.0.0.1:4566")


@pytest.mark.live
def test_the_embedded_aws_has_one_loopback_port_and_dies_with_the_conductor(tmp_path: Path) -> None:
    script = (
        "import asyncio, pathlib, sys, time\nfrom gameday.targets.start import start\n"
        "async def main():\n"
        "    run = pathlib.Path(sys.argv[1])\n"
        "    got = await start('embedded', services=['sqs'], url=None, environ={}, run=run)\n"
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
            answer = BotoCarrier(endpoint_of(["sqs"], url, {}))(Call("sqs", "ListQueues", {}))
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
        finally:
            conductor.kill()
        wait_until(lambda: not emulator.is_running() or emulator.status() == "zombie", "the emulator's end", 20)
    left = sorted(path.name for path in run.iterdir())
    assert left == ["logs", "undo.jsonl"], "a run directory holds evidence, and what is to be undone, and nothing else"


@pytest.mark.parametrize(("kind", "product"), [("aws", UNKNOWN), ("localstack", AWS)])
def test_aws_is_held_to_no_more_than_it_promises(kind: Kind, product: Product) -> None:
    promised = {"euro": Subscription(filtered=True, promised_by="user"), "all": Subscription()}
    with pytest.raises(UsageError, match="`promises` of euro holds the endpoint http://x to more than AWS promises"):
        there(product, kind).refuse_promises(promised)
    there(product, kind).refuse_promises({"all": Subscription()})
    there(LOCALSTACK).refuse_promises(promised)

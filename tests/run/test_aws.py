"""`--target aws`, against a server that plays AWS: who may run where, and that nothing is made before that is known."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commanded import COMMAND, verify
from tests.run.plays_aws import ACCOUNT, Playing, environment, playing
from tests.series import in_series
from tests.transports.asked import served

pytestmark = [pytest.mark.live, in_series]

LIMIT_S = 120
CALM = [
    "--set",
    "load.duration=1s",
    "--set",
    "chaos=[]",
    "--set",
    "claims=[no-loss, ordered-per-group]",
    "--set",
    "consumers.processes=1",
]
ALLOWED = """
[[allow]]
account = "{account}"
regions = ["eu-west-1"]
max_messages = {messages}
max_rate = "500/s"
max_duration = "10min"
max_cost = {cost}
"""
Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def memory() -> Iterator[str]:
    with served() as url:
        yield url


@pytest.fixture
def aws(memory: str) -> Iterator[Playing]:
    with playing(memory) as state:
        yield state


@pytest.fixture
def call(aws: Playing, tmp_path: Path) -> Call:
    """`gameday` in a directory of its own, with nothing of the AWS set-up of whoever runs the tests."""

    def called(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=tmp_path,
            env=environment(aws, tmp_path, **env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    return called


def allow(tmp_path: Path, *more: str, account: str = ACCOUNT, messages: int = 10_000, cost: float = 1.0) -> None:
    text = ALLOWED.format(account=account, messages=messages, cost=cost)
    (tmp_path / "gameday.toml").write_text("\n".join([text, *more]))


RUN = ["run", "quick", "--target", "aws", "--region", "eu-west-1", "--out", "recorded"]


def test_an_allowed_run_is_judged_and_leaves_nothing(call: Call, aws: Playing, tmp_path: Path) -> None:
    allow(tmp_path)
    ran = call(*RUN, "--yes", *CALM)
    assert ran.returncode == 0, ran.stderr
    assert f"account {ACCOUNT} (staging) in eu-west-1" in ran.stdout + ran.stderr
    assert verify(tmp_path / "recorded")[0] == 0
    assert aws.regions == {"eu-west-1"}
    assert aws.asked["sqs CreateQueue"] == aws.asked["sqs DeleteQueue"] == 2
    swept = call("sweep", "--target", "aws", "--region", "eu-west-1")
    assert (swept.returncode, swept.stdout.splitlines()[-1]) == (0, "nothing is left of any run"), swept.stderr


def test_the_first_run_in_an_account_is_only_planned_until_somebody_says_yes(
    call: Call, aws: Playing, tmp_path: Path
) -> None:
    allow(tmp_path)
    ran = call(*RUN, *CALM)
    assert ran.returncode == 2
    assert "gameday-RUN-orders.fifo" in ran.stderr and "costs at AWS's list prices" in ran.stderr
    assert "Add --yes to begin it" in ran.stderr
    assert aws.changes == [] and not (tmp_path / "recorded").exists()


@pytest.mark.parametrize(
    ("region", "settings", "said"),
    [
        ("eu-west-1", {"account": "999999999999"}, f"account {ACCOUNT} (who calls is arn:aws:sts::"),
        ("us-east-1", {}, "of that account eu-west-1 are; name another region with --region"),
        ("eu-west-1", {"cost": 0.0}, "US dollars, if it comes to the most, and max_cost is 0"),
        ("eu-west-1", {"messages": 10}, "messages, and max_messages is 10"),
    ],
    ids=["account", "region", "cost", "messages"],
)
def test_what_is_not_allowed_is_refused_before_anything_is_made(
    call: Call, aws: Playing, tmp_path: Path, region: str, settings: dict[str, object], said: str
) -> None:
    allow(tmp_path, **settings)  # type: ignore[arg-type]
    ran = call("run", "quick", "--target", "aws", "--region", region, "--out", "recorded", "--yes", *CALM)
    assert ran.returncode == 4
    assert said in ran.stderr and "Traceback" not in ran.stderr
    assert aws.changes == [] and not (tmp_path / "recorded").exists()


def test_an_account_that_looks_like_production_has_to_be_spelled_out(call: Call, aws: Playing, tmp_path: Path) -> None:
    aws.alias = "acme-prod"
    allow(tmp_path)
    ran = call(*RUN, "--yes", *CALM)
    assert ran.returncode == 4
    assert "acme-prod looks like production, and is not spelled out in `production`" in ran.stderr
    assert aws.changes == []
    allow(tmp_path, 'production = ["acme-prod"]')
    ran = call(*RUN, *CALM)
    assert (ran.returncode, "Add --yes" in ran.stderr) == (2, True), ran.stderr


@pytest.mark.parametrize(
    ("refused", "env", "said"),
    [
        (None, {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "Log in (`aws sso login`, `aws configure`)"),
        (("ExpiredToken", "The security token in the request is expired"), {}, "The credentials have expired"),
        (("InvalidClientTokenId", "The security token is invalid"), {}, "not those of any account there"),
    ],
    ids=["none", "expired", "wrong"],
)
def test_who_is_nobody_is_told_what_to_do(
    call: Call, aws: Playing, tmp_path: Path, refused: tuple[str, str] | None, env: dict[str, str], said: str
) -> None:
    allow(tmp_path)
    aws.refused = refused
    ran = call(*RUN, "--yes", *CALM, **env)
    assert ran.returncode == 4
    assert "nobody knows which account this is" in ran.stderr and said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert aws.changes == []


def test_a_profile_that_is_not_there(call: Call, tmp_path: Path) -> None:
    allow(tmp_path)
    ran = call(*RUN, "--profile", "nobody")
    assert (ran.returncode, "nobody" in ran.stderr, "Traceback" in ran.stderr) == (2, True, False), ran.stderr


def test_without_a_file_nothing_is_allowed_and_nobody_is_asked(call: Call, aws: Playing) -> None:
    ran = call(*RUN)
    assert (ran.returncode, "no gameday.toml stands in" in ran.stderr) == (4, True)
    assert not aws.asked


def test_what_is_denied_in_the_middle_leaves_nothing(call: Call, aws: Playing, tmp_path: Path) -> None:
    allow(tmp_path)
    aws.denied = {"CreateQueue": 2}
    ran = call(*RUN, "--yes", *CALM)
    assert ran.returncode == 4
    assert "cannot create the queues: AccessDeniedException: not authorized to perform: CreateQueue" in ran.stderr
    swept = call("sweep", "--target", "aws", "--region", "eu-west-1")
    assert swept.stdout.splitlines()[-1] == "nothing is left of any run", swept.stdout + swept.stderr


def test_a_sweep_asks_the_list_as_well(call: Call, aws: Playing, tmp_path: Path) -> None:
    allow(tmp_path, account="999999999999")
    swept = call("sweep", "--target", "aws", "--region", "eu-west-1")
    assert (swept.returncode, "is not on the allow-list" in swept.stderr) == (4, True)
    assert aws.changes == []


def test_options_of_aws_belong_to_aws(call: Call) -> None:
    ran = call("run", "quick", "--target", "memory", "--region", "eu-west-1", "--yes")
    assert (ran.returncode, "--region and --yes: of --target aws" in ran.stderr) == (2, True)

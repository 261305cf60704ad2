"""Traffic of a run goes through what Terraform made, on MiniStack, which plays the account.

A verdict stands at the end, and what was made is as it was."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts import terraform_tool
from scripts.terraform_tool import Tool
from tests.commanded import COMMAND, verify
from tests.needed import lacking
from tests.programs.servers import ministack
from tests.series import in_series, in_soak

pytestmark = pytest.mark.live

MODULES = Path(__file__).resolve().parents[2] / "terraform" / "modules"
ACCOUNT, REGION = "000000000000", "us-east-1"
ROOT = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 6.0" }
  }
}
provider "aws" {
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}
module "orders" {
  source                     = "./modules/queue"
  name                       = "orders"
  fifo                       = true
  visibility_timeout_seconds = 2
  max_receive_count          = 10
}
module "clicks" {
  source              = "./modules/stream"
  name                = "clicks"
  shard_level_metrics = []
}
output "queue" { value = module.orders.attach }
output "stream" { value = module.clicks.attach }
"""
ALLOWED = f"""
[[allow]]
account = "{ACCOUNT}"
regions = ["{REGION}"]
max_messages = 10000
max_rate = "100/s"
max_duration = "10min"
max_cost = 10.0
chaos_on = ["orders.fifo", "orders-dlq.fifo"]
"""
# As broken-no-guard, and cured unless a guard is taken away.
ORDERS = """
name: orders
transport: sqs-fifo
load: {rate: 30/s, duration: 5s, groups: 10}
consumers: {processes: 2, guard: transaction}
chaos: [{at: 1s, fault: crash-at, point: after-effect, nth: 3, pick: 1}]
claims: [all-accepted, no-loss, ordered-per-group, exactly-once-effect]
"""
CLICKS = """
name: clicks
transport: kinesis
load: {rate: 20/s, duration: 4s, groups: 10}
consumers: {processes: 2}
claims: [all-accepted, no-loss, ordered-per-partition]
"""


@dataclass(frozen=True, kw_only=True)
class Made:
    """`root`: the directory with the state, `tofu output -json` in outputs.json, and the allow-list."""

    root: Path
    environment: dict[str, str]
    tool: Tool

    def left_to_do(self) -> str:
        """What a plan would change, in its words; nothing where all is as it was made."""
        done = self.tool.run(
            self.root, "plan", "-detailed-exitcode", "-input=false", "-no-color", environment=self.environment
        )
        return "" if done.returncode == 0 else done.stdout

    def run(self, name: str, scenario: str, *more: str) -> tuple[Path, subprocess.CompletedProcess[str]]:
        (self.root / f"{name}.yaml").write_text(scenario)
        out = self.root / name
        where = ["--target", "aws", "--region", REGION, "--yes", "--terraform-outputs", "outputs.json"]
        done = subprocess.run(
            [*COMMAND, "run", f"{name}.yaml", *where, "--out", str(out), *more],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        return out, done


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    tool = terraform_tool.found()
    if isinstance(tool, str):
        lacking(tool)
    root = tmp_path / "made"
    shutil.copytree(MODULES, root / "modules", ignore=shutil.ignore_patterns(".terraform*"))
    (root / "main.tf").write_text(ROOT)
    (root / "gameday.toml").write_text(ALLOWED)
    with ministack() as url:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "HOME": str(root),
            "XDG_STATE_HOME": str(root / "state"),
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        for words in (["init"], ["apply", "-auto-approve"]):
            done = tool.run(root, *words, "-input=false", "-no-color", environment=environment)
            assert done.returncode == 0, done.stdout
        outputs = tool.run(root, "output", "-json", environment=environment)
        (root / "outputs.json").write_text(outputs.stdout)
        yield Made(root=root, environment=environment, tool=tool)


def claims(run: Path) -> dict[str, str]:
    verdict: dict[str, Any] = json.loads((run / "verdict.json").read_bytes())
    return {claim["key"]: claim["verdict"] for claim in verdict["claims"]}


def attached(run: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((run / "manifest.json").read_bytes())
    found: dict[str, Any] = manifest["scenario"]["topology"]["attach"]
    return found


def asked(run: Path) -> set[str]:
    """The operations that the run asked AWS for, by service."""
    return set(json.loads((run / "used.json").read_bytes())["calls"])


@in_series
@in_soak
def test_what_terraform_made_is_judged_and_left_as_it_was(made: Made) -> None:
    """One test, because applying takes a minute."""
    outputs = {name: each["value"] for name, each in json.loads((made.root / "outputs.json").read_bytes()).items()}

    run, done = made.run("orders", ORDERS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(claims(run).values()) == {"holds"}
    _, verdict = verify(run)
    assert "redelivery" in verdict["anomalies"], "the crash struck nothing"
    assert {key: attached(run)[key] for key in outputs["queue"]} == outputs["queue"]
    assert {"sqs SendMessageBatch", "sqs ReceiveMessage"} <= asked(run) and "sqs CreateQueue" not in asked(run)

    run, done = made.run("broken", ORDERS, "--set", "consumers.guard=none")
    assert done.returncode == 1, done.stdout + done.stderr
    assert [claim for claim, found in claims(run).items() if found != "holds"] == ["exactly-once-effect"]

    run, done = made.run("clicks", CLICKS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(claims(run).values()) == {"holds"}
    assert attached(run)["stream"] == f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/clicks" == outputs["stream"]["stream"]
    assert "kinesis PutRecords" in asked(run) and "kinesis CreateStream" not in asked(run)

    elsewhere = {"stream": {"value": {"stream": outputs["stream"]["stream"].replace(REGION, "eu-west-1")}}}
    (made.root / "outputs.json").write_text(json.dumps(elsewhere))
    run, done = made.run("elsewhere", CLICKS)
    assert done.returncode == 4 and not run.exists()
    assert f"which is not in account {ACCOUNT} in {REGION}" in done.stderr
    assert made.left_to_do() == ""

"""Whole runs with an experiment of AWS's fault injection, on a server that plays AWS and a FIS that plays its states:
the service refuses while the experiment runs, nobody is blamed who does right, and who does not is caught."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gameday.processes.undo import Undo
from gameday.scenario import reading
from gameday.scenario.estimate import estimate
from gameday.scenario.policy import Where, policies
from gameday.transports.services import RUN_TAG
from tests.commanded import COMMAND, processes_of, verify, wait_until
from tests.run.fake_fis import THROTTLE, FakeFis
from tests.run.plays_aws import ACCOUNT, Playing, environment, playing
from tests.scenario.iam import allows
from tests.series import in_series, in_soak
from tests.transports.asked import served

SCENARIO = """\
name: refusing
transport: kinesis
topology: {shards: 2}
load: {rate: 60/s, duration: 5s, groups: 12, users: 2, batch: 6}
consumers: {processes: 1, lease: 2s}
chaos:
  - {at: 1s, fault: fis, template: EXT1there, for: 1500ms, stop_alarm: none,
     seen_as: [ProvisionedThroughputExceededException]}
claims: [no-loss, ordered-per-partition, exactly-once-effect]
"""
ALLOWED = f"""
[[allow]]
account = "{ACCOUNT}"
regions = ["eu-west-1"]
max_messages = 10_000
max_rate = "500/s"
max_duration = "10min"
max_cost = 50.0
chaos_on = ["EXT1there"]
"""
Call = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def fis() -> Iterator[FakeFis]:
    fake = FakeFis()
    fake.there_is("EXT1there", stopConditions=[{"source": "none"}])
    yield fake
    fake.end()
    assert fake.wrong == []


@pytest.fixture
def aws() -> Iterator[Playing]:
    with served() as url, playing(url) as state:
        yield state


@pytest.fixture
def start(aws: Playing, fis: FakeFis, tmp_path: Path) -> Iterator[Start]:
    """Starts the command with these arguments, where the account is allowed."""
    (tmp_path / "gameday.toml").write_text(ALLOWED)
    (tmp_path / "refusing.yaml").write_text(SCENARIO)

    def turned(status: str) -> None:
        code = "ProvisionedThroughputExceededException"
        aws.refusing = {"PutRecords": code, "GetRecords": code} if status == "running" else {}

    fis.turns = turned

    def started(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=tmp_path,
            env=environment(aws, tmp_path, AWS_ENDPOINT_URL_FIS=fis.url),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    yield started
    for pid in processes_of(tmp_path / "recorded"):
        os.kill(pid, signal.SIGKILL)


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def running(*changes: str, target: Sequence[str] = ("aws", "--region", "eu-west-1", "--yes")) -> list[str]:
    changed = [word for change in changes for word in ("--set", change)]
    return ["run", "refusing.yaml", "--out", "recorded", "--seed", "7", "--target", *target, *changed]


@pytest.fixture
def call(start: Start) -> Call:
    return lambda *changes, **target: ended(start(*running(*changes, **target)))


def verdicts(run: Path) -> dict[str, str]:
    claims = json.loads((run / "verdict.json").read_bytes())["claims"]
    return {claim["claim"]: claim["verdict"] for claim in claims}


@pytest.mark.live
@in_series
def test_an_experiment_strikes_and_who_does_right_is_not_blamed(call: Call, fis: FakeFis, tmp_path: Path) -> None:
    ran = call()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    run = tmp_path / "recorded"
    assert set(verdicts(run).values()) == {"holds"}
    records = [json.loads(line) for line in (run / "history" / "conductor.jsonl").read_bytes().splitlines()]
    start, stop = [record for record in records if record["event"] == "fault"]
    assert (start["fault"], start["label"]) == ("fis", "FIS EXT1there")
    assert (stop["params"]["experiment"], stop["params"]["state"]) == ("EXP1", "stopped")
    assert stop["params"]["fired"] > 5
    assert fis.experiments["EXP1"].became == ["pending", "initiating", "running", "stopping", "stopped"]
    assert not [record for record in Undo(run).open() if record.kind == "call"]


@pytest.mark.live
@in_series
@in_soak
def test_a_producer_that_does_not_keep_the_order_is_caught(call: Call, tmp_path: Path) -> None:
    ran = call("load.retry=unordered")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert verdicts(tmp_path / "recorded")["ordered-per-partition"] == "violated"


@in_soak
@pytest.mark.live
@in_series
def test_an_experiment_that_refuses_nobody_proves_nothing(call: Call, fis: FakeFis, tmp_path: Path) -> None:
    fis.turns = lambda status: None
    ran = call()
    assert ran.returncode == 3, ran.stdout + ran.stderr
    assert set(verdicts(tmp_path / "recorded").values()) == {"unknown"}


@pytest.mark.live
@in_series
@pytest.mark.parametrize("target", ["memory", "embedded"])
def test_a_target_without_fis_is_refused(call: Call, tmp_path: Path, target: str) -> None:
    ran = call(target=(target,))
    assert ran.returncode == 5, ran.stdout + ran.stderr
    assert "has no FIS" in ran.stderr
    assert not (tmp_path / "recorded").exists()


OF_ITS_OWN = [
    "load.duration=2min",
    f"chaos=[{{at: 1s, for: 1min, fault: fis, action: '{THROTTLE}', role: 'arn:aws:iam::{ACCOUNT}:role/fis', "
    "stop_alarm: none, seen_as: [ProvisionedThroughputExceededException]}]",
]


@pytest.mark.live
@in_series
@in_soak
@pytest.mark.parametrize("changes", [OF_ITS_OWN, ["load.duration=60s", "chaos.0.for=50s"]], ids=["made", "there"])
@pytest.mark.parametrize("answered", [True, False], ids=["at work", "unanswered"])
def test_a_conductor_that_is_killed_leaves_its_experiment_to_recover(
    start: Start, fis: FakeFis, tmp_path: Path, changes: list[str], answered: bool
) -> None:
    """While it is at work, and where nobody has learnt the id of what was begun."""
    fis.slowly = None if answered else threading.Event()
    run = start(*running(*changes))
    awaited = "running" if answered else "pending"

    def there() -> bool:
        assert run.poll() is None, run.communicate()
        return any(each.status == awaited for each in fis.experiments.values())

    wait_until(there, f"an experiment is {awaited}", 120)
    run.kill()
    run.communicate(timeout=60)
    if fis.slowly is not None:
        fis.slowly.set()
    (played,) = fis.experiments.values()
    assert played.status == awaited
    recovered = ended(start("recover", "recorded"))
    assert (recovered.returncode, recovered.stderr) == (0, ""), recovered
    assert "undone: an experiment of " in recovered.stdout
    assert played.status in ("stopping", "stopped") and [*fis.templates] == ["EXT1there"]
    assert Undo(tmp_path / "recorded").open() == [] and processes_of(tmp_path / "recorded") == []
    assert verify(tmp_path / "recorded", deadline_s=120)[1]["verdict"] == "unknown"


MADE = f"""\
name: made
transport: kinesis
load: {{rate: 10/s, duration: 3min}}
chaos:
  - {{at: 10s, fault: fis, action: "{THROTTLE}", role: "arn:aws:iam::{ACCOUNT}:role/fis", stop_alarm: none, for: 2min}}
claims: [no-loss]
"""


def scenario(tmp_path: Path, text: str) -> Any:
    path = tmp_path / "made.yaml"
    path.write_text(text)
    return reading.load(path, ())


def test_what_it_costs_and_what_it_breaks_is_planned(tmp_path: Path) -> None:
    planned = estimate(scenario(tmp_path, MADE), region="us-east-1")
    (line,) = [cost for cost in planned.costs if cost.item == "fis-action-minute"]
    # Two minutes of one action at $0.10.
    assert (line.count.high, round(line.dollars.high, 6)) == (2, 0.2)
    assert planned.calls["fis", "CreateExperimentTemplate"].high == planned.calls["fis", "StartExperiment"].high == 1
    assert planned.breaks == []
    there = estimate(scenario(tmp_path, SCENARIO), region="us-east-1")
    assert there.breaks == there.existing == ["EXT1there"]
    assert ("fis", "CreateExperimentTemplate") not in there.calls


def test_the_conductor_may_do_that_and_hand_that_role_to_fis_alone(tmp_path: Path) -> None:
    run, at = "made-20260101-120000-1a2b", f"arn:aws:fis:eu-west-1:{ACCOUNT}"
    where = Where(account=ACCOUNT, region="eu-west-1")
    document = policies(scenario(tmp_path, MADE), where)["conductor"]
    ours, new = {f"aws:ResourceTag/{RUN_TAG}": run}, {f"aws:RequestTag/{RUN_TAG}": run}
    template, experiment = f"{at}:experiment-template/EXT1", f"{at}:experiment/EXP1"
    role = f"arn:aws:iam::{ACCOUNT}:role/fis"
    for action in ("ListActions", "ListExperiments", "ListExperimentTemplates"):
        assert allows(document, f"fis:{action}", "*", {})
    assert allows(document, "fis:CreateExperimentTemplate", template, new)
    assert allows(document, "fis:CreateExperimentTemplate", f"{at}:action/{THROTTLE}", new)
    assert allows(document, "fis:StartExperiment", template, ours)
    assert allows(document, "fis:StartExperiment", experiment, new)
    assert allows(document, "fis:TagResource", experiment, new)
    for action in ("fis:GetExperiment", "fis:StopExperiment"):
        assert allows(document, action, experiment, ours)
        assert not allows(document, action, experiment, {})
    assert allows(document, "fis:DeleteExperimentTemplate", template, ours)
    assert not allows(document, "fis:DeleteExperimentTemplate", template, {})
    assert not allows(document, "fis:CreateExperimentTemplate", f"{at}:action/aws:fis:wait", new)
    assert allows(document, "iam:PassRole", role, {"iam:PassedToService": "fis.amazonaws.com"})
    assert not allows(document, "iam:PassRole", role, {"iam:PassedToService": "lambda.amazonaws.com"})
    assert not allows(document, "iam:PassRole", f"{role}-other", {"iam:PassedToService": "fis.amazonaws.com"})
    there = policies(scenario(tmp_path, SCENARIO), where)["conductor"]
    assert allows(there, "fis:StartExperiment", f"{at}:experiment-template/EXT1there", {})
    assert not allows(there, "fis:StartExperiment", f"{at}:experiment-template/EXT2", ours)
    assert not any(action.startswith("iam:") for statement in there["Statement"] for action in statement["Action"])

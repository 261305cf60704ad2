"""Runs on a server that plays AWS whose conductor is killed, in every phase: `recover` and `sweep` leave nothing."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from gameday.processes.undo import Undo
from gameday.run.conductor import PHASES
from gameday.transports.carriers.boto import BotoCarrier, run_plan
from gameday.transports.endpoint import Endpoint
from gameday.transports.services import SERVICES
from tests.commanded import COMMAND, processes_of
from tests.run.plays_aws import ACCOUNT, Playing, environment, playing
from tests.series import in_series, in_soak, soak
from tests.transports.asked import served

pytestmark = [pytest.mark.live, in_series]

LIMIT_S = 120
REGION = "eu-west-1"
ON_AWS = ["--target", "aws", "--region", REGION]
ALLOWED = f"""
[[allow]]
account = "{ACCOUNT}"
regions = ["{REGION}"]
max_messages = 100_000
max_rate = "500/s"
max_duration = "10min"
max_cost = 5.0
"""
OWN = """\
name: own
transport: sqs
load: {rate: 20/s, duration: 30s}
consumers: {processes: 1, handler: {python: "own:handle", event: sqs}}
effects: {command: [sleep, "60"]}
claims: [at-least-once-effect]
"""
SHORT = ["load.duration=1s", "chaos=[]", "claims=[no-loss]", "consumers.processes=1"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is run, and what it says when the phase begins."""

    scenario: str
    settings: Sequence[str]
    says: str


CASES = {
    "provision": Case(scenario="quick", settings=SHORT, says="creating the queues"),
    "start": Case(scenario="quick", settings=SHORT, says="starting consumers and load"),
    "look_for_effects": Case(scenario="own.yaml", settings=(), says="looking where effects will be read back"),
    "load_with_chaos": Case(scenario="quick", settings=["load.duration=9s", *SHORT[1:]], says="load and chaos"),
    "drain": Case(scenario="quick", settings=SHORT, says="draining"),
    "redrive": Case(
        scenario="redrive",
        settings=["load.duration=2s", "load.poison=20%", "consumers.processes=1", "claims=[no-loss]"],
        says="moving dead letters back",
    ),
    "replay": Case(
        scenario="eventbridge-replay",
        settings=["load.duration=1s", "chaos=[]", "claims=[no-loss]", "consumers.processes=1"],
        says="replaying",
    ),
    "stop": Case(scenario="quick", settings=SHORT, says="stopping consumers"),
    "read_effects": Case(scenario="quick", settings=SHORT, says="reading the effects back"),
    "read_metrics": Case(scenario="quick", settings=[*SHORT, "cloudwatch=true"], says="reading CloudWatch"),
}
# The first writes down names in a file and says nothing; the second is there for runs on several hosts alone, and the
# others for what AWS itself is not asked for yet: objects, workflows, functions.
WITHOUT_A_CASE = {
    *("name_metrics", "gather", "provide_bucket", "await_executions"),
    *("redrive_executions", "read_invocations", "read_objects"),
}


@pytest.fixture(scope="module")
def memory() -> Iterator[str]:
    with served() as url:
        yield url


@dataclass(kw_only=True)
class Desk:
    """Where somebody works: a directory with the allow-list, and an AWS that is played."""

    aws: Playing
    memory: str
    here: Path

    @property
    def run(self) -> Path:
        return self.here / "runs" / "killed"

    def start(self, scenario: str, settings: Sequence[str]) -> subprocess.Popen[str]:
        given = [word for each in settings for word in ("--set", each)]
        return subprocess.Popen(
            [*COMMAND, "run", scenario, *ON_AWS, "--yes", "--out", str(self.run), *given],
            cwd=self.here,
            env=environment(self.aws, self.here),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.here,
            env=environment(self.aws, self.here),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    @property
    def there(self) -> list[str]:
        """What stands at AWS, as whoever plays it has it."""
        carry = BotoCarrier(Endpoint(urls={"*": self.memory}, access_key="test", secret_key="test"))
        return [left.name for service in SERVICES.values() for left in run_plan(service.leftovers(), carry)]

    @property
    def processes(self) -> list[int]:
        return processes_of(self.run)

    def recovers(self) -> list[str]:
        """What `recover` says, which leaves nothing."""
        recovered = self.call("recover", str(self.run))
        assert (recovered.returncode, recovered.stderr) == (0, ""), recovered
        lines = recovered.stdout.splitlines()
        assert lines[0].endswith("is gone") and lines[-1] == "nothing is left to undo", lines
        assert (self.there, self.processes, Undo(self.run).open()) == ([], [], [])
        return lines

    def assert_swept(self) -> None:
        swept = self.call("sweep", *ON_AWS)
        assert (swept.returncode, swept.stdout.splitlines()[-1]) == (0, "nothing is left of any run"), swept


@pytest.fixture
def desk(memory: str, tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "gameday.toml").write_text(ALLOWED)
    (tmp_path / "own.yaml").write_text(OWN)
    (tmp_path / "own.py").write_text("def handle(event, context):\n    return None\n")
    with playing(memory) as aws:
        desk = Desk(aws=aws, memory=memory, here=tmp_path)
        yield desk
        for pid in desk.processes:
            os.kill(pid, signal.SIGKILL)


def killed(process: subprocess.Popen[str], says: str) -> str:
    """Kill it as soon as it has said that; what it has said until then."""
    told = ""
    assert process.stdout is not None
    for line in process.stdout:
        told += line
        if line.startswith(says):
            process.kill()
            break
    else:
        raise AssertionError(f"it never said {says!r}: {told}")
    process.wait()
    process.stdout.close()
    return told


def test_every_phase_has_its_case() -> None:
    assert list(CASES) == [phase.__name__ for phase in PHASES if phase.__name__ not in WITHOUT_A_CASE]


# Of the others nothing else is left than of these.
SOONER = ("provision", "load_with_chaos", "drain")


@pytest.mark.parametrize("phase", [*SOONER, *soak(*(phase for phase in CASES if phase not in SOONER))])
def test_killed_in_any_phase_nothing_is_left_after_recover(desk: Desk, phase: str) -> None:
    case = CASES[phase]
    told = killed(desk.start(case.scenario, case.settings), case.says)
    desk.recovers()
    desk.assert_swept()
    for port in re.findall(r"live page at http://127\.0\.0\.1:(\d+)/", told):
        with socket.socket() as trial, pytest.raises(ConnectionRefusedError):
            trial.connect(("127.0.0.1", int(port)))


def test_killed_while_it_creates_what_was_made_without_an_answer_is_found(desk: Desk) -> None:
    started: list[subprocess.Popen[str]] = []

    def kill(operation: str, count: int) -> None:
        if operation == "CreateQueue":
            started[0].kill()

    desk.aws.done = kill
    started.append(desk.start("quick", SHORT))
    started[0].communicate(timeout=LIMIT_S)
    assert started[0].returncode == -signal.SIGKILL
    (made,) = desk.there
    # Without a word about which run: the newest that has left something.
    tried = desk.call("recover", "--dry-run")
    assert (tried.returncode, desk.there) == (0, [made]), tried
    assert f"  would remove the queue {made}" in tried.stdout.splitlines(), tried
    assert f"  removed the queue {made}" in desk.recovers()
    again = desk.call("recover", str(desk.run))
    assert (again.returncode, again.stdout) == (0, "nothing to undo: the run has put everything away\n"), again
    nothing = desk.call("recover")
    assert nothing.returncode == 2 and "no run in runs/ has left anything to undo" in nothing.stderr, nothing


def test_a_create_whose_answer_is_lost_is_said_and_recovered(desk: Desk) -> None:
    desk.aws.lost = {"CreateQueue": 2}
    run = desk.start("quick", SHORT)
    said, _ = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 4, said
    assert "gameday: cannot create the queues: " in said and "Traceback" not in said
    assert said.splitlines()[-1] == "Not everything could be put away: gameday recover runs/killed", said
    assert len(desk.there) == 1, "the first was removed by the run itself, for it had its answer"
    assert f"  removed the queue {desk.there[0]}" in desk.recovers()


@in_soak
def test_credentials_that_expire_while_it_runs(desk: Desk) -> None:
    desk.aws.expires_after = 100
    run = desk.start("quick", ["load.duration=4s", *SHORT[1:]])
    said, _ = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 4 and "Traceback" not in said, said
    *_, why, kept, left = said.splitlines()
    assert re.fullmatch(
        r"gameday: the target no longer answers \w+: ExpiredTokenException: .+\. The credentials have expired; .+", why
    ), said
    assert (kept, left) == (
        "What was recorded is kept: gameday verify runs/killed",
        "Not everything could be put away: gameday recover runs/killed",
    )
    assert len(desk.there) == 2 and not desk.processes
    # They are still expired, and then they are not.
    refused = desk.call("recover", str(desk.run))
    assert (refused.returncode, len(desk.there)) == (4, 2), refused
    assert "nobody knows which account this is: ExpiredToken" in refused.stderr, refused
    desk.aws.expires_after = None
    desk.recovers()
    judged = desk.call("verify", str(desk.run), "--format", "json")
    assert orjson.loads(judged.stdout)["verdict"] == "unknown", "what was not drained proves nothing, and blames nobody"


@in_soak
def test_what_may_be_removed_is_asked_anew(desk: Desk) -> None:
    """After a denial in the middle, of removing as well."""
    desk.aws.denied = {"CreateQueue": 2, "DeleteQueue": 1}
    run = desk.start("quick", SHORT)
    said, _ = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 4, said
    assert "cannot create the queues: AccessDeniedException: " in said and "what had been made is still there" in said
    assert said.splitlines()[-1] == "Not everything could be put away: gameday recover runs/killed", said
    (made,) = desk.there

    def refused() -> str:
        tried = desk.call("recover", str(desk.run))
        assert tried.returncode == 4 and "Traceback" not in tried.stderr, tried
        assert desk.there == [made]
        return tried.stdout + tried.stderr

    told = refused()
    assert f"  could not remove the queue {made}: " in told
    assert "1 could not be undone; once more: gameday recover runs/killed" in told
    (desk.here / "gameday.toml").write_text(ALLOWED.replace(ACCOUNT, "210987654321"))
    assert "is not on the allow-list" in refused()
    (desk.here / "gameday.toml").write_text(ALLOWED)
    desk.aws.denied = {}
    assert f"  removed the queue {made}" in desk.recovers()


def test_what_goes_on_is_left_alone(desk: Desk) -> None:
    run = desk.start("quick", ["load.duration=30s", *SHORT[1:]])
    assert run.stdout is not None
    for line in run.stdout:
        if line.startswith("load and chaos"):
            break
    refused = desk.call("recover", str(desk.run))
    assert (refused.returncode, f"its conductor, process {run.pid}, lives" in refused.stderr) == (4, True), refused
    none = desk.call("recover")
    assert (none.returncode, "going on: runs/killed" in none.stderr) == (2, True), none
    assert run.poll() is None and len(desk.there) == 2
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=LIMIT_S)
    # Interrupted, it has put everything away itself.
    assert run.returncode == 130 and Undo(desk.run).open() == [] and desk.there == []


def test_a_target_that_ended_with_the_run_has_left_nothing_and_it_is_said(desk: Desk) -> None:
    given = [word for each in ["load.duration=9s", *SHORT[1:]] for word in ("--set", each)]
    argv = [*COMMAND, "run", "quick", "--target", "memory", "--out", str(desk.run), *given]
    run = subprocess.Popen(
        argv, cwd=desk.here, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    killed(run, "load and chaos")
    assert "what it created has gone with the broker in memory, which ends with its run" in desk.recovers()
    assert not desk.aws.asked

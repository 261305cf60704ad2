"""What `recover` undoes, and what it leaves alone: what may be others' by now, and where the run was not."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gameday.history.errors import RunError, TargetError, UsageError
from gameday.processes import kin, proc
from gameday.processes.kin import Process
from gameday.processes.undo import FILE, Undo, marked
from gameday.run import recovery
from gameday.run.leaving import begin, end, left_open
from gameday.run.recovery import Admitted, RecoverRequest, recover, unfinished
from gameday.targets.account import Account
from gameday.transports.base import Answer, Call, CallFailed
from gameday.transports.endpoint import Endpoint
from gameday.transports.services import RUN_TAG
from tests.commanded import wait_until

RUN = "quick-20200101-000000-abcd"
URL = "http://127.0.0.1:9"
ACCOUNT = Account(id="123456789012", region="eu-west-1", caller="arn:aws:iam::123456789012:user/x", endpoint=Endpoint())
ENDED = {"pid": 2**23, "began": "1"}  # Linux's largest pid is 2**22
LOCAL = {
    "kind": "localstack",
    "what": "an endpoint",
    "urls": {"*": URL},
    "region": "us-east-1",
    "account": None,
}
QUEUE = f"http://q/0/gameday-{RUN}-orders"


def nobody(region: str, services: Collection[str]) -> Account:
    raise AssertionError(f"nobody may ask for an account in {region}")


@pytest.fixture
def undo(tmp_path: Path) -> Undo:
    """Of a run whose conductor is gone."""
    undo = Undo(tmp_path)
    conducted(undo)
    return undo


def conducted(undo: Undo, *, target: dict[str, object] | None = None, **changes: object) -> None:
    told: dict[str, object] = {
        "id": RUN,
        "directory": str(undo.path.parent.resolve()),
        **ENDED,
        "numbering": proc.numbering(),
        "host": "here",
        **changes,
    }
    pending = undo.will("run", **told)
    if target is not None:
        pending.now(target={**LOCAL, "ends_with_the_run": False, **target})


def undone(undo: Undo, *, dry: bool = False, gone: bool = False, admitted: Admitted = nobody) -> tuple[int, list[str]]:
    said: list[str] = []
    return recover(undo.path.parent, RecoverRequest(dry=dry, gone=gone), admitted, said.append), said


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts something that lives until it is ended."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(*argv: str, run: Path | None = None) -> subprocess.Popen[bytes]:
        env = {**os.environ, **(marked(run) if run is not None else {})}
        argv = argv or ("sleep", "60")
        processes.append(subprocess.Popen(argv, env=env, start_new_session=True))
        # Between fork and exec it is this program still.
        commanded = Path(f"/proc/{processes[-1].pid}/cmdline")
        wait_until(lambda: commanded.read_bytes().startswith(argv[0].encode()), "its exec")
        return processes[-1]

    yield start
    for process in processes:
        kin.end("nowhere", [known(process)], term_s=0, kill_s=0)
        process.kill()
        process.wait()


def known(process: subprocess.Popen[bytes]) -> Process:
    return Process(pid=process.pid, began=proc.began(process.pid) or "", name="it")


def recorded(undo: Undo, process: subprocess.Popen[bytes], kind: Any = "process", began: str | None = None) -> None:
    undo.will(kind, name="orders-1.1").now(pid=process.pid, began=began or proc.began(process.pid))


# Processes


def test_what_lives_of_the_run_is_ended(undo: Undo, started: Callable[..., subprocess.Popen[bytes]]) -> None:
    told, marked_only, stranger = started(), started(run=undo.path.parent), started()
    recorded(undo, told)
    code, said = undone(undo)
    assert (code, said[-1]) == (0, "nothing is left to undo")
    assert f"ended orders-1.1 (process {told.pid})" in said
    assert f"ended sleep, which the run had started (process {marked_only.pid})" in said
    assert (told.wait(), marked_only.wait()) == (-signal.SIGTERM, -signal.SIGTERM)
    assert stranger.poll() is None
    assert undone(undo) == (0, ["nothing to undo: the run has put everything away"])


def test_a_number_that_another_process_has_by_now_is_not_touched(
    undo: Undo, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    other = started()
    recorded(undo, other, began=str(int(proc.began(other.pid) or 0) - 1))
    assert undone(undo) == (
        0,
        [f"{RUN}: its conductor, process {2**23}, is gone", "its processes are gone", "nothing is left to undo"],
    )
    assert other.poll() is None
    # The signal itself looks again.
    replace(known(other), began="1").signal(signal.SIGKILL)
    assert other.poll() is None


def test_what_is_deaf_is_killed_with_all_that_it_has_started(
    undo: Undo, started: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_TERM_S", 0.2)
    script = f"trap '' TERM; sleep 60 & echo $! > {tmp_path}/tmp; mv {tmp_path}/tmp {tmp_path}/pid; wait; wait"
    deaf = started("sh", "-c", script)
    wait_until((tmp_path / "pid").exists, "its child")
    child = int((tmp_path / "pid").read_text())
    # A shell's child is a shell until it becomes what it was started for.
    wait_until(lambda: Path(f"/proc/{child}/comm").read_text() == "sleep\n", "its child to be a sleep")
    recorded(undo, deaf)
    code, said = undone(undo)
    assert (code, deaf.wait()) == (0, -signal.SIGKILL)
    assert not proc.lives(child)
    assert f"ended sleep, which orders-1.1 had started (process {child})" in said


def test_who_was_there_before_the_run_is_woken_and_goes_on(
    undo: Undo, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    attached, other = started(), started()
    for process in (attached, other):
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda process=process: proc.state(process.pid) == "T", "it is stopped")
    recorded(undo, attached, kind="stopped")
    recorded(undo, other, kind="stopped", began="1")
    assert f"would wake orders-1.1 (process {attached.pid})" in undone(undo, dry=True)[1]
    assert proc.state(attached.pid) == "T"
    assert f"woke orders-1.1 (process {attached.pid})" in undone(undo)[1]
    assert (proc.state(attached.pid), proc.state(other.pid)) == ("S", "T")


def test_a_dry_run_changes_nothing(undo: Undo, started: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> None:
    living = started()
    recorded(undo, living)
    (tmp_path / "data").mkdir()
    undo.will("directory", path=str(tmp_path / "data"))
    before = undo.path.read_bytes()
    code, said = undone(undo, dry=True)
    assert (code, said[1:]) == (
        0,
        [f"would end orders-1.1 (process {living.pid})", f"would remove {tmp_path / 'data'}"],
    )
    assert living.poll() is None and (tmp_path / "data").exists() and undo.path.read_bytes() == before
    assert f"removed {tmp_path / 'data'}" in undone(undo)[1]
    assert not (tmp_path / "data").exists()


# Where it must not


def test_a_run_whose_conductor_lives_is_left_alone(tmp_path: Path) -> None:
    own = begin(Undo(tmp_path), id=RUN, directory=tmp_path)
    Undo(tmp_path).will("resources")
    with pytest.raises(RunError, match=f"{RUN} goes on: its conductor, process {os.getpid()}, lives"):
        undone(Undo(tmp_path), gone=True)
    own.done()


def test_nobody_is_called_gone_who_may_live_elsewhere(
    tmp_path: Path, started: Callable[..., subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    living, undo = started(), Undo(tmp_path)
    conducted(undo, numbering="another-boot pid:[1]", host="elsewhere")
    recorded(undo, living)
    with pytest.raises(
        RunError, match=r"process \d+ on elsewhere, on another machine or in another container, .* --gone"
    ):
        undone(undo)
    code, said = undone(undo, gone=True)
    assert code == 0 and "its processes are gone with the machine or container that they ran in" in said
    assert living.poll() is None, "its number means nothing here"
    # The same machine, started again.
    (tmp_path / FILE).unlink()
    monkeypatch.setattr(recovery.socket, "gethostname", lambda: "elsewhere")
    conducted(undo, numbering="another-boot pid:[1]", host="elsewhere")
    assert undone(undo)[0] == 0


def test_where_there_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no undo\.jsonl"):
        undone(Undo(tmp_path))
    Undo(tmp_path).will("resources")
    with pytest.raises(RunError, match="does not tell whose run it is"):
        undone(Undo(tmp_path))
    (tmp_path / FILE).write_text('{"undo": "will", "number": "1", "kind": "run", "id": "x"}\n')
    with pytest.raises(RunError, match="is not as a run writes it"):
        undone(Undo(tmp_path))


def test_without_a_name_it_is_the_newest_that_has_left_something(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has left anything to undo; name another"):
        unfinished(tmp_path)
    for age_s, name in enumerate(("newest", "second", "first")):
        (tmp_path / name).mkdir()
        conducted(Undo(tmp_path / name))
        os.utime(tmp_path / name / FILE, (10**9 - age_s, 10**9 - age_s))
    assert unfinished(tmp_path).name == "newest"
    undone(Undo(tmp_path / "newest"))
    assert unfinished(tmp_path).name == "second"
    (tmp_path / "second" / FILE).unlink()
    going_on = begin(Undo(tmp_path / "second"), id=RUN, directory=tmp_path / "second")
    assert unfinished(tmp_path).name == "first"
    undone(Undo(tmp_path / "first"))
    with pytest.raises(UsageError, match=r"going on: .*second"):
        unfinished(tmp_path)
    going_on.done()


# At AWS


class Aws:
    """Answers for a queue with the policy `denied`, and for an experiment in that state; `refuses` says with which code
    calls fail."""

    experiment = "running"

    def __init__(self, refuses: str | None = None) -> None:
        self.refuses = refuses
        self.calls: list[Call] = []
        # By id: the state of an experiment, and of which run it is; of which run a template is.
        self.experiments: dict[str, tuple[str, str]] = {}
        self.templates: dict[str, str] = {}

    def __call__(self, call: Call) -> Answer:
        self.calls.append(call)
        if self.refuses is not None:
            raise CallFailed(self.refuses, "as planted", definite=True)
        if call.operation == "GetQueueAttributes":
            other, ours = '{"Sid":"theirs","Effect":"Allow"}', '{"Sid":"gamedayx","Effect":"Deny"}'
            policy = f'{{"Version":"2012-10-17","Statement":[{other},{ours}]}}'
            return {"Attributes": {"Policy": policy, "QueueArn": "arn:aws:sqs:r:0:q"}}
        if call.operation == "ListExperiments":
            told = self.experiments.items()
            return {"experiments": [_tagged(each, run, state={"status": status}) for each, (status, run) in told]}
        if call.operation == "ListExperimentTemplates":
            return {"experimentTemplates": [_tagged(each, run) for each, run in self.templates.items()]}
        if call.service == "fis":
            status = "stopping" if call.operation == "StopExperiment" else self.experiment
            return {"experiment": {"id": call.params["id"], "state": {"status": status}}}
        return {}

    @property
    def changes(self) -> list[tuple[str, object]]:
        return [(call.operation, call.params) for call in self.calls if not call.operation.startswith(("Get", "List"))]


def _tagged(id: str, run: str, **more: object) -> Answer:
    return {"id": id, "tags": {RUN_TAG: run}, **more}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    aws = Aws()
    monkeypatch.setattr(recovery, "BotoCarrier", lambda endpoint: aws)
    return aws


STOP = {"service": "fis", "operation": "StopExperiment", "params": {"id": "EXP1"}}


def at_aws(tmp_path: Path, **target: object) -> Undo:
    undo = Undo(tmp_path)
    conducted(undo, target=target)
    undo.will("call", what="the experiment EXP1", calls=[STOP])
    undo.will("policy", queue=QUEUE, sid="gamedayx")
    return undo


def test_faults_at_aws_are_undone_the_latest_first(tmp_path: Path, aws: Aws) -> None:
    undo = at_aws(tmp_path)
    code, said = undone(undo, dry=True)
    assert (code, aws.calls) == (0, [])
    assert said[-2:] == [
        f"would undo: what the policy of gameday-{RUN}-orders denied",
        "would undo: the experiment EXP1",
    ]
    code, said = undone(undo)
    assert (code, said[-1]) == (0, "nothing is left to undo")
    left = '{"Version":"2012-10-17","Statement":[{"Sid":"theirs","Effect":"Allow"}]}'
    assert aws.changes == [
        ("SetQueueAttributes", {"QueueUrl": QUEUE, "Attributes": {"Policy": left}}),
        ("StopExperiment", {"id": "EXP1"}),
    ]


def test_an_experiment_whose_id_nobody_has_learnt_is_found_by_the_tag_of_the_run(tmp_path: Path, aws: Aws) -> None:
    undo = Undo(tmp_path)
    conducted(undo, target={})
    undo.will("call", what="an experiment of EXT1", calls=[])
    aws.experiments = {"EXP1": ("completed", RUN), "EXP2": ("running", RUN), "EXP3": ("running", "another")}
    aws.templates = {"EXT1": RUN, "EXT2": "another"}
    code, said = undone(undo)
    assert (code, said[-2:]) == (0, ["undone: an experiment of EXT1", "nothing is left to undo"])
    assert aws.changes == [("StopExperiment", {"id": "EXP2"}), ("DeleteExperimentTemplate", {"id": "EXT1"})]
    # Where it may not be looked for, nobody says that it is undone.
    undo.will("call", what="an experiment of EXT1", calls=[])
    conducted(undo, target={})
    aws.refuses = "AccessDeniedException"
    code, said = undone(undo)
    assert code == 4 and any(line.startswith("could not undo: an experiment of EXT1: ") for line in said), said


def test_what_is_gone_already_needs_no_undoing(tmp_path: Path, aws: Aws) -> None:
    aws.refuses = "AWS.SimpleQueueService.NonExistentQueue"
    assert undone(at_aws(tmp_path))[0] == 0


def test_what_cannot_be_undone_stays_on_record_and_is_exit_code_4(tmp_path: Path, aws: Aws) -> None:
    aws.refuses = "AccessDenied"
    undo = at_aws(tmp_path)
    code, said = undone(undo)
    assert code == 4
    assert said[-2].startswith("could not undo: the experiment EXP1: AccessDenied: as planted")
    assert said[-1].startswith("2 could not be undone; once more: gameday recover ")
    aws.refuses = None
    assert undone(undo)[0] == 0
    assert [operation for operation, _ in aws.changes] == ["SetQueueAttributes", "StopExperiment"]


def test_an_experiment_that_is_over_is_not_stopped(tmp_path: Path, aws: Aws) -> None:
    aws.experiment = "completed"
    assert undone(at_aws(tmp_path))[0] == 0
    assert [operation for operation, _ in aws.changes] == ["SetQueueAttributes"]


def test_what_ended_with_the_run_is_said(tmp_path: Path, aws: Aws) -> None:
    undo = at_aws(tmp_path, ends_with_the_run=True, what="the broker in memory")
    code, said = undone(undo)
    assert (code, aws.calls) == (0, [])
    assert "what it created has gone with the broker in memory, which ends with its run" in said


def test_what_lasts_is_told(tmp_path: Path) -> None:
    undo = Undo(tmp_path)
    conducted(undo)
    undo.will("lasting", what="the stream's shards, on which a split was begun")
    assert "cannot be undone: the stream's shards, on which a split was begun" in undone(undo)[1]
    assert undone(undo)[1] == ["nothing to undo: the run has put everything away"]


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"id": "210987654321"}, "was in account 123456789012, and these credentials are of 210987654321"),
        ({"endpoint": Endpoint()}, "environment or profile lead elsewhere now"),
        ({"endpoint": Endpoint(urls={"*": "http://127.0.0.1:8"})}, "environment or profile lead elsewhere now"),
    ],
)
def test_an_account_is_that_of_the_run_or_nothing_is_undone(
    tmp_path: Path, aws: Aws, now: dict[str, Any], said: str
) -> None:
    undo = at_aws(tmp_path, account=ACCOUNT.id, region=ACCOUNT.region, urls={"*": URL, "fis": URL})
    asked: list[tuple[str, set[str]]] = []

    def admitted(region: str, services: Collection[str]) -> Account:
        asked.append((region, {*services}))
        return replace(ACCOUNT, **{"endpoint": Endpoint(urls={"*": URL}), **now})

    with pytest.raises(TargetError, match=said):
        undone(undo, admitted=admitted)
    assert (aws.calls, asked) == ([], [(ACCOUNT.region, {"fis"})])
    assert len(undo.open()) == 3


def test_aws_itself_is_not_reached_without_asking_for_its_account(tmp_path: Path, aws: Aws) -> None:
    undo = at_aws(tmp_path, urls={"*": "https://sqs.eu-west-1.amazonaws.com"})
    with pytest.raises(UsageError, match="is AWS itself"):
        undone(undo)
    assert aws.calls == []


# What a run leaves


def test_a_run_that_put_everything_away_leaves_nothing_open(tmp_path: Path) -> None:
    undo = Undo(tmp_path)
    own = begin(undo, id=RUN, directory=tmp_path)
    undo.will("lasting", what="shards")
    resources = undo.will("resources")
    assert left_open(undo)
    end(undo, own)
    assert [each.kind for each in undo.open()] == ["run", "lasting", "resources"], "who undoes it must know whose it is"
    resources.done()
    assert not left_open(undo)
    end(undo, own)
    assert undo.open() == []

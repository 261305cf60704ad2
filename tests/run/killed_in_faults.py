"""Runs whose conductor is killed while a fault strikes, one for each fault: what is left, and whether it is undone.

It promises that the fault was in place when the conductor was killed, and that what is looked at afterwards is the
machine and the broker, and not what anybody says of them.

    python -m tests.run.killed_in_faults                  every case; exit code 1 where something is left
    python -m tests.run.killed_in_faults freeze-producer  the cases of these faults
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from gameday.processes import proc
from gameday.processes.undo import Undo
from gameday.scenario.reading import SCENARIOS
from gameday.targets.start import free_port
from gameday.transports.carriers.boto import BotoCarrier, run_plan
from gameday.transports.endpoint import Endpoint
from gameday.transports.queue import sending_policy
from gameday.transports.services import SERVICES
from tests.commanded import COMMAND, Gameday, processes_of, verify, wait_until
from tests.recorded import recorded
from tests.transports.asked import served
from tests.wire.wired import sdk

LIMIT_S = 120.0
# Long enough for the fault to be wherever it is sent.
_IN_PLACE_NS = 500_000_000
LOAD = "{rate: 20/s, duration: 60s, groups: 40, users: 2}"
FIFO = f"""\
transport: sqs-fifo
topology: {{visibility_timeout: 3s, max_receives: null}}
load: {LOAD}
consumers: {{processes: 2, processing_time: 50ms}}
claims: [no-loss, no-phantom, exactly-once-delivery, ordered-per-group, exactly-once-effect]
"""
STANDARD = FIFO.replace("sqs-fifo", "sqs").replace("exactly-once-delivery, ordered-per-group, ", "")
STREAM = f"""\
transport: kinesis
topology: {{shards: 2}}
load: {LOAD}
consumers: {{processes: 2, lease: 2s}}
claims: [no-loss, no-phantom, ordered-per-partition, exactly-once-effect]
"""
FUNCTION = f"""\
transport: sqs
topology: {{visibility_timeout: 6s, max_receives: 100}}
load: {LOAD}
consumers: {{lambda: {{function: {{path: own.py}}, timeout: 2s, concurrency: 3}}}}
claims: [no-loss, no-phantom, no-premature-death, discard-accounted]
"""
DEPLOYED = FUNCTION.replace("concurrency: 3", "concurrency: 3, by: target")
WORKFLOW = f"""\
transport: stepfunctions
topology: {{visibility_timeout: 4s, workflow: {{machine: {SCENARIOS}/machines/pay.json}}}}
load: {LOAD}
consumers: {{processes: 1, concurrency: 40, processing_time: 300ms}}
claims: [exactly-once-execution, exactly-once-step-effect, callback-once]
"""
# Code of the user's: what is stopped has processes of its own, and a program knows nothing of a conductor.
OWN_HANDLER = FIFO.replace("processing_time: 50ms", 'handler: {python: "own:handle"}').replace(
    ", exactly-once-effect", ""
)
PROGRAM = STANDARD.replace("processing_time: 50ms", f"command: [{sys.executable}, worker.py]").replace(
    ", exactly-once-effect", ""
)
# The queue, its policy and the worker are there before the run, and are to be there after it.
ATTACHED = f"""\
transport: sqs
topology: {{attach: {{queue: "URL/000000000000/prod"}}, visibility_timeout: 3s, max_receives: null}}
load: {LOAD}
consumers: {{attach: {{pid_file: pid, port: PORT}}}}
effects: {{command: [cat, effects.jsonl]}}
claims: [all-accepted, at-least-once-effect]
"""
ATTACHED_STREAM = STREAM.replace("{shards: 2}", "{attach: {stream: prod}}")
WORKER = """
import os, subprocess, time, boto3
subprocess.Popen(["sleep", "600"])
sqs = boto3.client("sqs", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
while True:
    try:
        queue = os.environ.get("GAMEDAY_QUEUE_URL") or sqs.get_queue_url(QueueName="prod")["QueueUrl"]
        for message in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages", []):
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    except Exception:
        time.sleep(0.1)
"""
OWN = """
def handler(event, context):
    return {"batchItemFailures": []}

def handle(message):
    return None
"""


class Run:
    """A run whose conductor is to be killed. `url`: where its broker is, once it has said so; `here`: the directory
    that everything of it is in, what it takes for the machine's temporary one, too."""

    def __init__(self, here: Path, *target: str) -> None:
        self.here = here
        self.tmp = here / "tmp"
        self.tmp.mkdir()
        env = {"TMPDIR": str(self.tmp)}
        arguments = ("run", str(here / "killed.yaml"), *target, "--seed", "7", "--out", str(here / "run"))
        self.gameday = Gameday(*arguments, run=here / "run", env=env)

    @property
    def path(self) -> Path:
        return self.gameday.run

    @cached_property
    def url(self) -> str:
        told = next(record.what for record in Undo(self.path).open() if record.kind == "run")
        return str(told["target"]["urls"]["*"])

    @cache  # noqa: B019 - of a run that lives as long as its case
    def sdk(self, service: str) -> Any:
        """A client of its broker."""
        return sdk(service, self.url)

    def records(self, event: str | None = None) -> list[dict[str, Any]]:
        return [record for path in self.path.glob("history/*.jsonl") for record in recorded(path, event)]

    def began(self, fault: str) -> dict[str, Any] | None:
        path = self.path / "history" / "conductor.jsonl"
        faults = recorded(path, "fault") if path.exists() and path.stat().st_size else []
        return next((each for each in faults if (each["fault"], each["phase"]) == (fault, "start")), None)

    def recorded_since(self, began: int) -> bool:
        """Whether anybody has written into the history what happened when the fault was in place everywhere."""
        return any(record["at"] > began + _IN_PLACE_NS for record in self.records())


# Whether a fault is in place that began at that moment.
InPlace = Callable[[Run, int], bool]


def going_on(run: Run, began: int) -> bool:
    return run.recorded_since(began)


def consumer_gone(run: Run, began: int) -> bool:
    return any(mark["name"] == "consumer-exited" and mark["at"] > began for mark in run.records("mark"))


def stopped_process(run: Run, began: int) -> bool:
    return bool(stopped(processes_of(run.path)))


def stopped_worker(run: Run, began: int) -> bool:
    return bool(stopped([pid_of(run.here)]))


def queue_denies(run: Run, began: int) -> bool:
    sqs = run.sdk("sqs")
    policies = [policy_of(sqs, queue) for queue in sqs.list_queues().get("QueueUrls", ())]
    return any("Deny" in policy for policy in policies)


def function_throttled(run: Run, began: int) -> bool:
    functions = run.sdk("lambda")
    names = [each["FunctionName"] for each in functions.list_functions()["Functions"]]
    told = [functions.get_function_concurrency(FunctionName=name) for name in names]
    return bool(told) and all(each.get("ReservedConcurrentExecutions") == 0 for each in told)


def mapping_disabled(run: Run, began: int) -> bool:
    mappings = run.sdk("lambda").list_event_source_mappings()["EventSourceMappings"]
    return bool(mappings) and all(each["State"] == "Disabled" for each in mappings)


def stream_split(run: Run, began: int) -> bool:
    kinesis = run.sdk("kinesis")
    streams = kinesis.list_streams()["StreamNames"]
    return any(len(kinesis.list_shards(StreamName=name)["Shards"]) > 2 for name in streams)


def execution_stopped(run: Run, began: int) -> bool:
    machines = run.sdk("stepfunctions")
    arns = [each["stateMachineArn"] for each in machines.list_state_machines()["stateMachines"]]
    return any(machines.list_executions(stateMachineArn=arn, statusFilter="ABORTED")["executions"] for arn in arns)


@dataclass(frozen=True, kw_only=True)
class Case:
    """`entry`: what a scenario writes of the fault, but for when it strikes; it would last longer than anybody waits.
    `there`: the broker was there before the run, and is there after it; else it is the run's own, in memory.
    `leaves`: what outlives the conductor: the fault is in place until somebody undoes it. `all_killed`: not the
    conductor alone, but each process of the run with it. `undoes`: what `recover` must say it has undone, besides
    ending processes: parts of its lines. `after`: what is wrong then with what was there before."""

    entry: str = "for: 50s"
    scenario: str = FIFO
    in_place: InPlace = going_on
    there: bool = False
    leaves: bool = False
    all_killed: bool = False
    undoes: Sequence[str] = ()
    after: Callable[[Run], list[str]] = field(default=lambda run: [])


POLICY = sending_policy("sns.amazonaws.com", "arn:aws:sqs:us-east-1:000000000000:prod")


def as_it_was(run: Run) -> list[str]:
    """The queue has the policy that it had, the stream is there, and the worker that was there works."""
    sqs, found = run.sdk("sqs"), list[str]()
    if run.sdk("kinesis").list_streams()["StreamNames"] != ["prod"]:
        found.append("the stream that was there before the run is not there any more")
    if (policy := policy_of(sqs, sqs.get_queue_url(QueueName="prod")["QueueUrl"])) != POLICY:
        found.append(f"the queue's policy is another than before: {policy}")
    if not proc.lives(pid_of(run.here)) or stopped([pid_of(run.here)]):
        found.append("the worker that was there before the run does not work")
    return found


CASES: Mapping[str, Case] = {
    "kill-consumer": Case(entry=""),
    "rolling-restart": Case(entry="signal: KILL", in_place=consumer_gone),
    "scale": Case(in_place=consumer_gone),
    "pause-consumer": Case(in_place=stopped_process),
    # Who is in the middle of it would go on for a minute.
    "stretch-processing": Case(
        entry="for: 50s, to: 1min", scenario=f"{FIFO}drain_timeout: 1min\n", undoes=["ended orders-"]
    ),
    "fail-handler": Case(),
    "crash-at": Case(entry="for: 50s, point: after-effect, share: 100%", in_place=consumer_gone),
    "throttle-function": Case(scenario=FUNCTION),
    "disable-mapping": Case(scenario=FUNCTION),
    "function-error": Case(scenario=FUNCTION),
    "function-timeout": Case(scenario=FUNCTION),
    "cold-start": Case(entry="for: 50s, takes: 1s", scenario=FUNCTION),
    "deploy": Case(scenario=FUNCTION),
    "lose-send-reply": Case(),
    "lose-delete": Case(),
    "throttle-sends": Case(),
    "throttle-starts": Case(scenario=WORKFLOW),
    "late-callback": Case(entry="for: 50s, by: 2s", scenario=WORKFLOW.replace("/pay.json", "/impatient.json")),
    "double-callback": Case(scenario=WORKFLOW),
    "stop-execution": Case(entry="pick: 2", scenario=WORKFLOW, in_place=execution_stopped),
    "reshard": Case(entry="", scenario=STREAM, in_place=stream_split),
    "throttle": Case(),
    "api-error": Case(),
    "deny": Case(),
    "latency": Case(entry="for: 50s, by: 2s"),
    "blackhole": Case(),
    "reset": Case(),
    "lose-request": Case(),
    "lose-answer": Case(),
    "partial-batch": Case(),
    "slow-body": Case(),
    "duplicate-delivery": Case(scenario=STANDARD),
    "late-delete": Case(scenario=STANDARD),
    "expire-iterator": Case(scenario=STREAM),
    "impair-queue": Case(in_place=queue_denies),
    "partition": Case(),
    "slow-store": Case(entry="for: 50s, takes: 2s"),
    "store-down": Case(),
    "freeze-producer": Case(in_place=stopped_process, scenario=FIFO.replace("users: 2", "users: 2, processes: 2")),
    "hold-in-flight": Case(),
    "clock-step": Case(
        entry="for: 50s, by: 60s, direction: behind", scenario=FIFO.replace("50ms", "50ms, heartbeat: 1s")
    ),
    "full-disk": Case(in_place=consumer_gone),
    # What it has stopped is of the user's.
    "pause-consumer, own handler": Case(scenario=OWN_HANDLER, in_place=stopped_process),
    "pause-consumer, a program": Case(scenario=PROGRAM, in_place=stopped_process),
    # What the target does outlives the conductor, and so may the target.
    "throttle-function, deployed": Case(scenario=DEPLOYED, in_place=function_throttled),
    "throttle-function, deployed there": Case(
        scenario=DEPLOYED, in_place=function_throttled, there=True, leaves=True, undoes=["removed the function"]
    ),
    "disable-mapping, deployed there": Case(
        scenario=DEPLOYED, in_place=mapping_disabled, there=True, leaves=True, undoes=["removed the function"]
    ),
    "impair-queue, there": Case(
        in_place=queue_denies,
        there=True,
        leaves=True,
        undoes=["undone: what the policy of ", "removed the queue"],
    ),
    "reshard, there": Case(
        entry="",
        scenario=STREAM,
        in_place=stream_split,
        there=True,
        leaves=True,
        undoes=["cannot be undone: the stream's shards", "removed the stream"],
    ),
    "stop-execution, there": Case(
        entry="pick: 2",
        scenario=WORKFLOW,
        in_place=execution_stopped,
        there=True,
        leaves=True,
        undoes=["removed the state machine"],
    ),
    # What was there before the run is there after it, as it was.
    "impair-queue, attached": Case(
        entry="for: 50s, actions: [DeleteMessage]",
        scenario=ATTACHED,
        in_place=queue_denies,
        there=True,
        leaves=True,
        undoes=["undone: what the policy of prod denied"],
        after=as_it_was,
    ),
    "pause-consumer, attached": Case(scenario=ATTACHED, in_place=stopped_worker, there=True, after=as_it_was),
    "pause-consumer, attached and all killed": Case(
        scenario=ATTACHED,
        in_place=stopped_worker,
        there=True,
        leaves=True,
        all_killed=True,
        undoes=["woke "],
        after=as_it_was,
    ),
    "reshard, attached": Case(
        entry="",
        scenario=ATTACHED_STREAM,
        in_place=stream_split,
        there=True,
        leaves=True,
        undoes=["cannot be undone: the stream's shards"],
        after=as_it_was,
    ),
    "impair-queue, attached and all killed": Case(
        entry="for: 50s, actions: [DeleteMessage]",
        scenario=ATTACHED,
        in_place=queue_denies,
        there=True,
        leaves=True,
        all_killed=True,
        undoes=["undone: what the policy of prod denied"],
        after=as_it_was,
    ),
    "partition, attached": Case(scenario=ATTACHED, there=True, after=as_it_was),
}
# What AWS alone can do: tests/run/test_fis_run.py.
ELSEWHERE = ("fis",)


def fault_of(name: str) -> str:
    return name.partition(",")[0]


def policy_of(sqs: Any, queue: str) -> str:
    told = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["Policy"]).get("Attributes", {})
    return str(told.get("Policy", ""))


def pid_of(here: Path) -> int:
    return int((here / "pid").read_text())


def stopped(pids: Sequence[int]) -> list[int]:
    return [pid for pid in pids if proc.state(pid) == "T"]


def listening(pids: Sequence[int] | None = None) -> set[str]:
    """Sockets that listen on the machine, by their inode, which no other socket has; or those that these processes
    have open."""
    rows = [line.split() for each in ("tcp", "tcp6") for line in Path(f"/proc/net/{each}").read_text().splitlines()[1:]]
    found = {row[9] for row in rows if row[3] == "0A"}
    return found if pids is None else found & {inode for pid in pids for inode in _sockets(pid)}


def _sockets(pid: int) -> Iterator[str]:
    try:
        links = list(os.scandir(f"/proc/{pid}/fd"))
    except OSError:
        return
    for link in links:
        try:
            kind, _, inode = str(Path(link.path).readlink()).rstrip("]").partition(":[")
        except OSError:
            continue
        if kind == "socket":
            yield inode


def at_the_broker(url: str) -> set[str]:
    carry = BotoCarrier(Endpoint(urls={"*": url}, access_key="test", secret_key="test"))
    return {left.name for service in SERVICES.values() for left in run_plan(service.leftovers(), carry)}


@dataclass(kw_only=True)
class Told:
    """What became of a case: the lines of `recover`, the verdict, and all that is not as it must be."""

    said: list[str]
    verdict: str
    wrong: list[str]


def play(name: str, here: Path) -> Told:
    """Start the run, kill its conductor in the fault, recover. `here`: an empty directory."""
    case = CASES[name]
    (here / "own.py").write_text(OWN)
    (here / "worker.py").write_text(WORKER)
    with broker(case, here) as (url, scenario):
        chaos = ", ".join(part for part in ("at: 300ms", f"fault: {fault_of(name)}", case.entry) if part)
        (here / "killed.yaml").write_text(f"name: killed\n{scenario}chaos: [{{{chaos}}}]\n")
        run = Run(here, *(("--target", "memory") if url is None else ("--endpoint-url", url)))
        try:
            began = kill_in(run, fault_of(name), case)
            if case.leaves:
                assert case.in_place(run, began), "it was undone by itself"
            elif case.in_place in (stopped_process, stopped_worker):
                # By the kernel, and by the wire: nobody has called anything yet.
                wait_until(lambda: not case.in_place(run, began), "what was stopped is woken", LIMIT_S)
            return left(run, case, url)
        finally:
            run.gameday.clean_up()
            for pid in processes_of(run.path):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def broker(case: Case, here: Path) -> Iterator[tuple[str | None, str]]:
    """The broker that is there before the run, if it is, and the scenario for it."""
    if not case.there:
        yield None, case.scenario
        return
    (here / "functions").mkdir()
    with served("--functions", str(here / "functions")) as url:
        if case.scenario not in (ATTACHED, ATTACHED_STREAM):
            yield url, case.scenario
            return
        sdk("sqs", url).create_queue(QueueName="prod", Attributes={"VisibilityTimeout": "3", "Policy": POLICY})
        sdk("kinesis", url).create_stream(StreamName="prod", ShardCount=2)
        port = free_port()
        (here / "effects.jsonl").touch()
        env = {**os.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        with subprocess.Popen([sys.executable, "-c", WORKER], env=env, start_new_session=True) as worker:
            (here / "pid").write_text(str(worker.pid))
            try:
                yield url, case.scenario.replace("URL", url).replace("PORT", str(port))
            finally:
                # With what it has started.
                os.killpg(worker.pid, signal.SIGKILL)


def kill_in(run: Run, fault: str, case: Case) -> int:
    """Kill the conductor as soon as the fault is in place; its processes are remembered. When the fault began."""
    began: list[int] = []

    def there() -> bool:
        assert run.gameday.process.poll() is None, run.gameday.process.communicate()
        if not began and (record := run.began(fault)) is not None:
            began.append(record["at"])
        return bool(began) and case.in_place(run, began[0])

    wait_until(there, f"{fault} is in place", LIMIT_S)
    assert run.url
    run.gameday.remember_family()
    # All at once: who lives a moment longer puts things right.
    for pid in [run.gameday.process.pid, *(processes_of(run.path) if case.all_killed else ())]:
        os.kill(pid, signal.SIGKILL)
    run.gameday.process.wait()
    return began[0]


def left(run: Run, case: Case, url: str | None) -> Told:
    """Recover, and look at what is there then."""
    family = [*run.gameday.family, *processes_of(run.path)]
    ports = listening(family)
    recovered = subprocess.run(
        [*COMMAND, "recover", str(run.path)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env={**os.environ, "TMPDIR": str(run.tmp)},
    )
    said, wrong = recovered.stdout.splitlines(), list[str]()
    if recovered.returncode or recovered.stderr or said[-1:] != ["nothing is left to undo"]:
        wrong.append(f"recover ended with {recovered.returncode}: {recovered.stdout}{recovered.stderr}")
    wrong += [f"recover does not say {part!r}: {said}" for part in case.undoes if part not in recovered.stdout]
    living = processes_of(run.path) + [pid for pid, each in run.gameday.family.items() if each.is_running()]
    wrong += [f"process {pid} lives" for pid in living if proc.lives(pid)]
    wrong += [f"the socket {inode} listens" for inode in ports & listening()]
    wrong += [f"{each} is left" for each in run.tmp.iterdir()]
    wrong += [f"a record is open: {record}" for record in Undo(run.path).open()]
    if url is not None:
        wrong += [f"{each} is left at the broker" for each in at_the_broker(url)]
    wrong += case.after(run)
    verdict, blamed = judged(run.path)
    return Told(said=said, verdict=verdict, wrong=wrong + blamed)


def judged(run: Path) -> tuple[str, list[str]]:
    """The verdict, and what is wrong with it: producers, consumers and broker do right in each of the scenarios, and
    what was ended in the middle has shown nothing."""
    _, told = verify(run, deadline_s=LIMIT_S)
    wrong = [] if told["verdict"] == "unknown" else [f"the verdict is {told['verdict']}"]
    wrong += [f"{claim['claim']} is violated: {claim}" for claim in told["claims"] if claim["verdict"] == "violated"]
    return told["verdict"], wrong


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.run.killed_in_faults")
    parser.add_argument("faults", nargs="*", metavar="FAULT")
    wanted = parser.parse_args(argv).faults
    failed = False
    for name in CASES:
        if wanted and not {name, fault_of(name)} & {*wanted}:
            continue
        with tempfile.TemporaryDirectory() as here:
            told = play(name, Path(here))
        failed |= bool(told.wrong)
        print(f"{name}: {'WRONG' if told.wrong else 'nothing is left'}; the verdict is {told.verdict}", flush=True)
        for line in told.wrong or told.said:
            print(f"    {line}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

"""Whole runs on several hosts: each verdict is the one that the same scenario has on one."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gameday.history.writer import DIRECTORY
from gameday.targets.start import free_port
from tests.commanded import COMMAND, Gameday, verify, wait_until
from tests.run import skewed
from tests.run.hosted import BUCKET, HostProcess, ministack, network, shipped
from tests.series import in_series, in_soak

pytestmark = [pytest.mark.live, in_series]

SCENARIO = """\
name: hosted
transport: {transport}
topology: {{visibility_timeout: 3s}}
load: {{rate: 30/s, duration: {duration}s, users: 4}}
consumers: {{processes: 2, store: dynamodb, restart_delay: 100ms}}
chaos: [{chaos}]
claims: [no-loss, no-phantom, exactly-once-effect, all-accepted{claims}]
"""
# What rests on the times of several hosts.
IN_ORDER = ", exactly-once-delivery, ordered-per-group, ordered-effects, {claim: lag, max: 40s, during: all}"


def written(tmp_path: Path, *, duration: int, chaos: str = "", ordered: bool = False, hosts: str) -> tuple[str, str]:
    """The scenario's file and the hosts' one. `ordered`: with claims on what clocks tell."""
    transport, claims = ("sqs-fifo", IN_ORDER) if ordered else ("sqs", "")
    text = SCENARIO.format(duration=duration, chaos=chaos, transport=transport, claims=claims)
    (tmp_path / "s.yaml").write_text(text)
    (tmp_path / "hosts.yaml").write_text(hosts)
    return str(tmp_path / "s.yaml"), str(tmp_path / "hosts.yaml")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Callable[..., HostProcess]]:
    started: list[HostProcess] = []

    def start(name: str, **more: Any) -> HostProcess:
        started.append(HostProcess(name, place=tmp_path / f"disk-{name}", **{"env": {}, **more}))
        return started[-1]

    yield start
    for each in started:
        each.clean_up()


def claims(document: dict[str, Any]) -> dict[str, str]:
    return {claim["claim"]: claim["verdict"] for claim in document["claims"]}


def faults(run: Path) -> list[dict[str, Any]]:
    lines = (run / "history/conductor.jsonl").read_bytes().splitlines()
    return [record for record in map(json.loads, lines) if record["event"] == "fault"]


def notes(run: Path) -> str:
    lines = (run / "history/conductor.jsonl").read_bytes().splitlines()
    return "\n".join(record.get("text", "") for record in map(json.loads, lines) if record.get("name") == "note")


@in_soak
def test_faults_strike_consumers_of_other_hosts_as_they_do_here(
    tmp_path: Path, gameday: Callable[..., Gameday], host: Callable[..., HostProcess]
) -> None:
    """And histories come here through S3 as soon as the run is over."""
    master = f"127.0.0.1:{free_port()}"
    scenario, hosts = written(
        tmp_path,
        duration=14,
        chaos="""
  {at: 2s, fault: kill-consumer, pick: 1},
  {at: 5s, fault: pause-consumer, for: 2s, pick: 2},
  {at: 9s, fault: fail-handler, for: 2s, share: 30%},
  {at: 12s, fault: kill-consumer, signal: TERM, pick: 1}""",
        hosts=f"""
listen: {master}
history: s3://{BUCKET}/by
hosts: [{{name: a, does: [load, consumers]}}, {{name: b, does: [consumers]}}]""",
    )
    with ministack(tmp_path / "aws", port=free_port()) as aws:
        # As little as a host has: where AWS is, it is told by the run.
        a, b = host("a", master=master), host("b", master=master)
        run = gameday(scenario, "--endpoint-url", str(aws.url("sqs")), "--hosts", hosts)
        code, out, err = run.end()
        assert code == 0, out + err
        assert (a.end()[0], b.end()[0]) == (0, 0)
        names = {path.name for path in (run.run / DIRECTORY).iterdir()}
        assert names >= {"host-a.jsonl", "host-b.jsonl", "load-a-1.jsonl", "orders-1.1.jsonl", "orders-2.1.jsonl"}
        (key,) = {name.split("/")[1] for name in shipped(aws)}
        assert f"by/{key}/b/orders-2.1.jsonl.gz" in shipped(aws)
    struck = faults(run.run)
    assert [record["fault"] for record in struck if record["phase"] == "stop"] == [
        "kill-consumer",
        "pause-consumer",
        "fail-handler",
        "kill-consumer",
    ]
    assert all(record["params"]["fired"] for record in struck if record["phase"] == "stop"), struck
    assert verify(run.run)[0] == 0


@in_soak
def test_hosts_that_are_killed_cut_off_and_of_other_clocks_have_the_verdict_of_one_host(
    tmp_path: Path, gameday: Callable[..., Gameday], host: Callable[..., HostProcess]
) -> None:
    """In namespaces: c is killed with all that runs there, b is cut off from everybody for a while, and each machine
    has been up for another time, its clock runs at another rate, and b's makes a step that no round trip can tell.

    Claim by claim the verdict is that of the same scenario on one host, where consumers are killed and paused; none is
    unknown. Without the disk of c the history is damaged, which names it.
    """
    with network("conductor", "a", "b", "c") as net:
        here = net.inside("conductor")
        master = f"{net.addresses['conductor']}:5557"
        scenario, hosts = written(
            tmp_path,
            duration=20,
            ordered=True,
            hosts=f"""
listen: {master}
patience: 15s
history: s3://{BUCKET}
hosts:
  - {{name: a, does: [load]}}
  - {{name: b, does: [consumers]}}
  - {{name: c, does: [consumers]}}""",
        )
        with ministack(tmp_path / "aws", port=4566, address=net.addresses["conductor"], inside=here) as aws:
            target = ("--endpoint-url", str(aws.url("sqs")))
            alone = gameday(scenario, *target, command=[*here, *COMMAND])
            alone.wait_for_traffic()
            killed, paused = (alone.child("gameday.consumers", name) for name in ("orders-2.1", "orders-1.1"))
            killed.kill()
            paused.suspend()
            threading.Event().wait(5)
            paused.resume()
            code, out, err = alone.end()
            assert code == 0, out + err
            pythons = {
                name: skewed.python(tmp_path / f"python-{name}", rate_ppm=rate_ppm, step_ns=step_ns)
                for name, rate_ppm, step_ns in (("a", 500, 0), ("b", -500, 3_000_000), ("c", 200, 0))
            }
            a, b, c = (
                host(name, master=master, inside=net.inside(name, monotonic_s=later), python=pythons[name])
                for name, later in (("a", 7_000), ("b", 3), ("c", 90_000))
            )
            run = gameday(scenario, *target, "--hosts", hosts, command=[*here, *COMMAND])
            run.wait_for_mark("load-started")
            wait_until(lambda: any(r["event"] == "received" for r in c.records("orders")), "c has received something")
            net.kill("c")
            net.cut_off("b", off=True)
            # Its consumers cannot reach AWS either: what they held when the wire went is held in vain.
            stood = len(b.records("orders"))
            threading.Event().wait(5)
            skewed.step(pythons["b"])
            net.cut_off("b", off=False)
            wait_until(lambda: len(b.records("orders")) > stood + 20, "b goes on")
            code, out, err = run.end()
            assert (a.end()[0], b.end()[0]) == (0, 0)
    assert code == 3, out + err
    document = verify(run.run)[1]
    assert set(claims(document).values()) == {"unknown"}
    assert {damage["file"] for damage in document["damaged"]} >= {"host-c.jsonl", "orders-2.1.jsonl"}
    assert all("for host c, but absent" in damage["why"] for damage in document["damaged"])
    assert "host c vanished: nothing was heard of it for 15 s" in notes(run.run)
    collected = subprocess.run(
        [*COMMAND, "collect", str(run.run), str(c.place)], capture_output=True, text=True, check=False
    )
    assert (collected.returncode, collected.stderr) == (0, "")
    code, document = verify(run.run)
    assert (code, document["damaged"]) == (0, []), document
    # What the two worst hosts may have drifted apart since they were measured, and little more.
    assert 0 < document["clock_error_ns"] < 500_000_000
    assert claims(document) == claims(verify(alone.run)[1])
    assert set(claims(document).values()) == {"holds"}


@in_soak
def test_a_host_whose_clock_is_stepped_is_named_and_no_time_of_its_is_believed(
    tmp_path: Path, gameday: Callable[..., Gameday], host: Callable[..., HostProcess]
) -> None:
    """By a second, which the next round trips tell."""
    master = f"127.0.0.1:{free_port()}"
    scenario, hosts = written(
        tmp_path,
        duration=8,
        ordered=True,
        hosts=f"""
listen: {master}
history: s3://{BUCKET}
hosts: [{{name: a, does: [load, consumers]}}, {{name: b, does: [consumers]}}]""",
    )
    with ministack(tmp_path / "aws", port=free_port()) as aws:
        python = skewed.python(tmp_path / "python-b", rate_ppm=0, step_ns=1_000_000_000)
        a, b = host("a", master=master), host("b", master=master, python=python)
        run = gameday(scenario, "--endpoint-url", str(aws.url("sqs")), "--hosts", hosts)
        run.wait_for_mark("load-started")
        wait_until(lambda: any(r["event"] == "received" for r in b.records("orders")), "b has received something")
        skewed.step(python)
        code, out, err = run.end()
        assert (a.end()[0], b.end()[0]) == (0, 0)
    assert code == 3, out + err
    document = verify(run.run)[1]
    assert document["clock_error_ns"] is None
    told = claims(document)
    assert {name for name, verdict in told.items() if verdict != "unknown"} == {"no-phantom", "all-accepted"}
    assert told["no-phantom"] == told["all-accepted"] == "holds"
    why = " ".join(why for claim in document["claims"] for why in claim["why"])
    assert "the clock of host b is not known" in why and "host a " not in why

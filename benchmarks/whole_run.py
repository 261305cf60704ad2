"""Measures whole runs: messages per second from schedule to effect, and CPU per message of producer and consumer.

    python benchmarks/whole_run.py [--rate PER_S] [--seconds N]

The same scenario runs on two brokers in turn: `memory` (gameday's own, which costs next to nothing) and `embedded`
(MiniStack). What differs between the two is the broker; what they share is gameday. The achieved rate is what was
received per second while the load ran; CPU is read from /proc at the end of each process (Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import yaml

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def scenario(rate: int, seconds: int) -> dict[str, object]:
    return {
        "name": "whole-run",
        "transport": "sqs-fifo",
        "topology": {"visibility_timeout": "30s", "subscriptions": [{"name": "orders"}]},
        "load": {
            "shape": "constant",
            "rate": f"{rate}/s",
            "duration": f"{seconds}s",
            "groups": 200,
            "payload": "512B",
            "batch": 10,
            "users": 8,
        },
        "consumers": {"processes": 1, "concurrency": 40, "processing_time": "0ms", "guard": "transaction"},
        "claims": ["no-loss", "ordered-per-group", "exactly-once-effect"],
    }


def watch(parent: int, cpu_s: dict[str, float], done: threading.Event) -> None:
    """Remember the CPU time of the load's and the consumers' processes while they live."""
    while not done.wait(0.2):
        for directory in Path("/proc").glob("[0-9]*"):
            try:
                command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                fields = (directory / "stat").read_text().rsplit(")", 1)[1].split()
            except (OSError, IndexError):
                continue
            kind = "producer" if "locustfile" in command else "consumer" if "-m gameday.consumers" in command else None
            if kind and int(fields[1]) == parent:
                cpu_s[f"{kind} {directory.name}"] = (int(fields[11]) + int(fields[12])) * TICK_S


def run(target: str, rate: int, seconds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="gameday-whole-run-") as scratch:
        file, out = Path(scratch) / "scenario.yaml", Path(scratch) / "run"
        file.write_text(yaml.safe_dump(scenario(rate, seconds)), encoding="utf-8")
        gameday = Path(sys.executable).with_name("gameday")
        command = [str(gameday), "run", str(file), "--target", target, "--out", str(out), "--format", "json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        cpu_s: dict[str, float] = {}
        done = threading.Event()
        watcher = threading.Thread(target=watch, args=(process.pid, cpu_s, done))
        watcher.start()
        output, _ = process.communicate()
        done.set()
        watcher.join()
        verdict = json.loads(output)
        received, last = received_while_loaded(out)
        messages = rate * seconds
        producer = sum(s for name, s in cpu_s.items() if name.startswith("producer"))
        consumer = sum(s for name, s in cpu_s.items() if name.startswith("consumer"))
        print(
            f"{target:>12} {messages:>9,} {received / seconds:>12,.0f} {messages / last:>12,.0f} "
            f"{verdict['latency_s']['orders']['p99']:>8.2f} s {producer / messages * 1e6:>8.0f} µs "
            f"{consumer / messages * 1e6:>8.0f} µs  {verdict['verdict']}",
            flush=True,
        )


def received_while_loaded(run: Path) -> tuple[int, float]:
    """How many were received before the load stopped, and how many seconds after its start the last one was."""
    marks: dict[str, int] = {}
    times: list[int] = []
    for path in (run / "history").iterdir():
        for line in path.read_bytes().splitlines():
            record = json.loads(line)
            if record["event"] == "mark":
                marks.setdefault(record["name"], record["at"])
            elif record["event"] == "received":
                times.append(record["at"])
    received = sum(at <= marks["load-stopped"] for at in times)
    return received, (max(times) - marks["load-started"]) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=1500, help="messages per second that the schedule asks for")
    parser.add_argument("--seconds", type=int, default=15)
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores; load {os.getloadavg()[0]:.1f}; {time.strftime('%Y-%m-%d')}")
    print(
        f"{'broker':>12} {'messages':>9} {'in time /s':>12} {'overall /s':>12} {'lag p99':>10} {'producer':>11} "
        f"{'consumer':>11}  verdict (CPU per message)"
    )
    for target in ("memory", "embedded"):
        run(target, arguments.rate, arguments.seconds)


if __name__ == "__main__":
    main()

"""Runs on several hosts: `gameday host` as a process, on this machine or in a network namespace that plays a host.

It promises that nothing of it outlives the test: neither process nor namespace.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import orjson
import pytest

from gameday.history.writer import DIRECTORY
from gameday.processes.child import python
from gameday.targets.endpoints import emulated
from gameday.targets.ministack import environment
from gameday.transports.endpoint import Endpoint
from tests.commanded import COMMAND, DEADLINE_S, wait_until
from tests.needed import installed

BUCKET = "histories"


class HostProcess:
    """A running `gameday host`. `inside` is what its command line begins with; `python` takes the place of Python."""

    def __init__(
        self,
        name: str,
        *,
        master: str,
        place: Path,
        inside: Sequence[str] = (),
        env: dict[str, str],
        python: str | Path = sys.executable,
    ) -> None:
        self.name = name
        self.place = place
        self._log = place.parent / f"{name}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*inside, python, *COMMAND[1:], "host", "--master", master, "--name", name, "--run-dir", str(place)],
                stdout=log,
                stderr=log,
                env={**os.environ, **env},
                start_new_session=True,
            )

    def records(self, of: str) -> list[dict[str, Any]]:
        """What stands in the history files whose names begin so, whole lines only."""
        files = sorted(self.place.glob(f"*/{DIRECTORY}/{of}*.jsonl"))
        lines = [line for file in files for line in file.read_bytes().splitlines(keepends=True)]
        return [orjson.loads(line) for line in lines if line.endswith(b"\n")]

    def end(self) -> tuple[int, str]:
        """Its exit code and what it said, once the run is over."""
        code = self.process.wait(DEADLINE_S)
        return code, self._log.read_text()

    def clean_up(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def ministack(place: Path, *, port: int, address: str = "127.0.0.1", inside: Sequence[str] = ()) -> Iterator[Endpoint]:
    """MiniStack plays AWS, S3 with a bucket for histories too."""
    place.mkdir()
    env = {**os.environ, **environment(port=port, data=str(place)), "BIND_HOST": address}
    command = [*inside, *python("-m", "gameday.targets.ministack", os.getpid())]
    with (place / "log").open("wb") as log, subprocess.Popen(command, env=env, stdout=log, stderr=log) as server:
        endpoint = emulated(f"http://{address}:{port}")
        made = (
            "import boto3, sys; boto3.client('s3', region_name='us-east-1', endpoint_url=sys.argv[1], "
            "aws_access_key_id='t', aws_secret_access_key='t').create_bucket(Bucket=sys.argv[2])"
        )

        def there() -> bool:
            # From where it is, which this process may not reach.
            asking = [*inside, *python("-c", made, endpoint.url("s3"), BUCKET)]
            return subprocess.run(asking, capture_output=True, check=False, timeout=DEADLINE_S).returncode == 0

        try:
            wait_until(there, "MiniStack")
            yield endpoint
        finally:
            server.send_signal(signal.SIGKILL)


def shipped(endpoint: Endpoint) -> set[str]:
    """The keys in the bucket."""
    found = boto3.client("s3", **endpoint.client_arguments("s3")).list_objects_v2(Bucket=BUCKET)
    return {entry["Key"] for entry in found.get("Contents", [])}


class Network:
    """Namespaces that play machines on one wire: the first has the bridge. All traffic stays in them."""

    def __init__(self, *names: str) -> None:
        self._prefix = f"gameday-{os.getpid()}"
        self.addresses = {name: f"10.77.0.{number}" for number, name in enumerate(names, start=1)}
        self._first = names[0]
        for name in names:
            self._ip("netns", "add", self._called(name))
            self._in(name, "link", "set", "lo", "up")
        self._in(self._first, "link", "add", "wire", "type", "bridge")
        self._in(self._first, "addr", "add", f"{self.addresses[self._first]}/24", "dev", "wire")
        self._in(self._first, "link", "set", "wire", "up")
        for name in names[1:]:
            there = ("peer", "name", "eth0", "netns", self._called(name))
            self._in(self._first, "link", "add", f"to-{name}", "type", "veth", *there)
            self._in(self._first, "link", "set", f"to-{name}", "master", "wire", "up")
            self._in(name, "addr", "add", f"{self.addresses[name]}/24", "dev", "eth0")
            self._in(name, "link", "set", "eth0", "up")

    def inside(self, name: str, *, monotonic_s: int = 0) -> list[str]:
        """How a command line begins that runs there; `monotonic_s`: how much longer that machine has been up."""
        later = ["unshare", "--time", "--monotonic", str(monotonic_s)] if monotonic_s else []
        return ["ip", "netns", "exec", self._called(name), *later]

    def cut_off(self, name: str, *, off: bool) -> None:
        self._in(self._first, "link", "set", f"to-{name}", "down" if off else "up")

    def kill(self, name: str) -> None:
        """Every process there, at once."""
        for pid in self._pids(name):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self._pids(name), f"every process of {name} is gone")

    def remove(self) -> None:
        for name in reversed(self.addresses):
            for pid in self._pids(name):
                os.kill(pid, signal.SIGKILL)
            self._ip("netns", "del", self._called(name))

    def _pids(self, name: str) -> list[int]:
        pids = [int(pid) for pid in self._ip("netns", "pids", self._called(name)).split()]
        return [pid for pid in pids if _lives(pid)]

    def _in(self, name: str, *arguments: str) -> None:
        self._ip("-n", self._called(name), *arguments)

    def _called(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    @staticmethod
    def _ip(*arguments: str) -> str:
        return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


@contextmanager
def network(*names: str) -> Iterator[Network]:
    """Skipped where this user may not make namespaces, in CI too: no runner can be asked to run as root."""
    installed("ip", package="iproute2")
    tried = subprocess.run(["unshare", "--net", "--time", "true"], capture_output=True, check=False)
    if tried.returncode or os.geteuid() != 0:
        pytest.skip("namespaces need root, and a kernel that lets it make some")
    made = Network(*names)
    try:
        yield made
    finally:
        made.remove()

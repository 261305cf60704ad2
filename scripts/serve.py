"""Serves MiniStack, LocalStack or the moto server on a loopback port until it is told to stop (Ctrl-C, SIGTERM) or a
command ends.

python scripts/serve.py localstack --port 4566
python scripts/serve.py localstack --port 0 -- gameday run quick --target localstack

It promises one line of JSON with the URL on standard output once the product answers; that nothing it starts outlives
it, the product's own children included; that all of it listens on loopback only; and that the product neither keeps
state nor calls home. What the product says goes to standard error. `make localstack` and `make moto` install two of
them; MiniStack is there with gameday.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gameday.processes.control import die_with_parent
from gameday.targets import ministack
from gameday.targets.start import free_port

_ROOT = Path(__file__).resolve().parent.parent
_READY_S = 120.0
_END_S = 15.0
# LocalStack's server takes the address of GATEWAY_LISTEN for IPv6 alone and would listen on every interface.
_LOCALSTACK = """
import functools, runpy
from twisted.internet import endpoints
endpoints.TCP4ServerEndpoint = functools.partial(endpoints.TCP4ServerEndpoint, interface="127.0.0.1")
runpy.run_module("localstack.runtime.main", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True, kw_only=True)
class Product:
    python: Path
    arguments: Callable[[int], Sequence[str]]
    environment: Callable[[int, Path], Mapping[str, str]]
    health: str


def _localstack(port: int, data: Path) -> Mapping[str, str]:
    # It keeps everything below FILESYSTEM_ROOT, and looks there for the programs that it would otherwise fetch.
    place = data / "var/lib/localstack"
    place.mkdir(parents=True)
    (place / "lib").symlink_to(_ROOT / ".localstack/lib")
    return {
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "FILESYSTEM_ROOT": str(data),
        "LOCALSTACK_VOLUME_DIR": str(data),
        # Inside a container of somebody else's it would take itself to be in its own image.
        "OVERRIDE_IN_DOCKER": "0",
        "SERVICES": "sqs,sns,events,kinesis,s3,stepfunctions,cloudwatch",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DNS_ADDRESS": "0",
        "KINESIS_LATENCY": "0",
        "NODE_OPTIONS": f"--require {_ROOT / 'scripts/loopback.cjs'}",
        "PATH": f"{_ROOT / '.localstack/venv/bin'}:{os.environ.get('PATH', '')}",
    }


PRODUCTS: Mapping[str, Product] = {
    "localstack": Product(
        python=_ROOT / ".localstack/venv/bin/python",
        arguments=lambda port: ["-c", _LOCALSTACK],
        environment=_localstack,
        health="/_localstack/health",
    ),
    "ministack": Product(
        python=Path(sys.executable),
        arguments=lambda port: ["-m", "gameday.targets.ministack", str(os.getpid())],
        environment=lambda port, data: ministack.environment(port=port, data=str(data)),
        health="/_ministack/health",
    ),
    "moto": Product(
        python=_ROOT / ".moto/bin/python",
        arguments=lambda port: ["-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)],
        environment=lambda port, data: {},
        health="/moto-api/data.json",
    ),
}


def installed(name: str) -> bool:
    return name == "ministack" or (_ROOT / f".{name}/.ready").exists()


def serve(name: str, port: int, command: Sequence[str] = ()) -> int:
    """Until the command ends, whose exit code it gives: it finds the URL in AWS_ENDPOINT_URL. Without one, for ever."""
    product = PRODUCTS[name]
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix=f"gameday-{name}-", ignore_cleanup_errors=True) as data:
        process = subprocess.Popen(
            [str(product.python), *product.arguments(port)],
            env={**os.environ, "TMPDIR": data, **product.environment(port, Path(data))},
            cwd=data,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            # A group of its own, so that what it started can be ended with it.
            start_new_session=True,
            preexec_fn=_die_in_order,  # noqa: PLW1509 - there is one thread here
        )
        try:
            _wait_until_ready(url + product.health, process)
            if command:
                return subprocess.run(command, env={**os.environ, "AWS_ENDPOINT_URL": url}, check=False).returncode
            print(json.dumps({"url": url}), flush=True)
            process.wait()
            raise SystemExit(f"{name} ended by itself, exit code {process.returncode}")
        finally:
            _end(process)


def _die_in_order() -> None:
    die_with_parent(signal.SIGTERM)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError) as error:
            if process.poll() is not None:
                raise SystemExit(f"it ended before it answered, exit code {process.returncode}") from error
            if time.monotonic() > deadline:
                raise SystemExit(f"no answer from {url} within {_READY_S:.0f} s: {error}") from error
            time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Serve MiniStack, LocalStack or the moto server on a loopback port.",
        epilog="-- COMMAND …: serve until it ends, and end as it does; it finds the URL in AWS_ENDPOINT_URL.",
    )
    parser.add_argument("product", choices=PRODUCTS)
    parser.add_argument("--port", type=int, default=4566, help="0 takes a free one")
    arguments, command = sys.argv[1:], list[str]()
    if "--" in arguments:
        cut = arguments.index("--")
        arguments, command = arguments[:cut], arguments[cut + 1 :]
    chosen = parser.parse_args(arguments)
    if not installed(chosen.product):
        raise SystemExit(f"{chosen.product} is not installed: make {chosen.product}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(serve(chosen.product, chosen.port, command))


if __name__ == "__main__":
    main()

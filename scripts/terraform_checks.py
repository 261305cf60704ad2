"""Holds terraform/ to what it promises, with OpenTofu or Terraform, checkov, MiniStack and LocalStack.

scripts/terraform.sh                 every check; exit code 1 with what was found
scripts/terraform.sh --self-test     each check on a copy with a mistake planted in it, which it must find, and without

It works in copies: nothing is written into the repository, and no state outlives it. All traffic is on loopback.
"""

from __future__ import annotations

import argparse
import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from scripts import terraform_docs, terraform_tool
from scripts.serve import installed
from scripts.terraform_tool import Tool

_ROOT = Path(__file__).resolve().parent.parent
_CHECKOV = _ROOT / ".checkov/bin/checkov"
_REGION = "us-east-1"
# What neither a copy takes along nor the repository holds.
_LEFT_BY_TOOLS = shutil.ignore_patterns(".terraform", ".terraform.lock.hcl", "*.tfstate*", "*.tfplan", "*.tfvars")
# Most of applying is waiting for an emulator's queues.
_AT_ONCE = "-parallelism=40"


class Failed(Exception):
    """A check found something, or could not be done; with what was said."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """`root`: a copy of terraform/, or of a part of it; `tool` works there."""

    root: Path
    tool: Tool

    def roots(self) -> Sequence[Path]:
        """Every root module: the directories of a versions.tf."""
        return sorted(file.parent for file in self.root.rglob("versions.tf"))


def formatted(place: Place) -> None:
    done = place.tool.run(place.root, "fmt", "-check", "-recursive", "-diff", "-no-color")
    _must(done, "not formatted; format it with: tofu fmt -recursive terraform")


def valid(place: Place, root: Path) -> None:
    _must(place.tool.init(root), f"{root.name}: init")
    _must(place.tool.run(root, "validate", "-no-color"), f"{root.name}: validate")


def tested(place: Place, root: Path) -> None:
    """On a mocked provider. A module without tests fails."""
    if not list(root.glob("tests/*.tftest.hcl")):
        raise Failed(f"{root.name}: it has no tests/*.tftest.hcl")
    _must(place.tool.init(root), f"{root.name}: init")
    _must(place.tool.run(root, "test", "-no-color"), f"{root.name}: test")


def scanned(place: Place) -> None:
    if not _CHECKOV.exists():
        raise Failed("checkov is not installed; install it with: make .checkov/.ready")
    done = subprocess.run(
        # Without its own hub: nothing of what is scanned leaves the machine, and nothing is fetched.
        [str(_CHECKOV), "--directory", ".", "--framework", "terraform", "--compact", "--quiet", "--skip-download"],
        cwd=place.root,
        env={**os.environ, "LOG_LEVEL": "ERROR"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    _must(done, "checkov")
    if "Passed checks: 0," in done.stdout or "Passed checks" not in done.stdout:
        raise Failed(f"checkov looked at nothing:\n{done.stdout}")


def documented(place: Place) -> None:
    if not terraform_docs.modules(place.root):
        raise Failed(f"{place.root} has neither modules nor examples")
    if wrong := terraform_docs.stale(place.root):
        raise Failed("\n".join(wrong))


def applied(place: Place, root: Path, product: str, *variables: str) -> None:
    """Applied on a product that is started for it, and planned again: nothing may be left to do."""
    if not installed(product):
        raise Failed(f"{product} is not installed; install it with: make {product}")
    _must(place.tool.init(root), f"{root.name}: init")
    done = subprocess.run(
        [
            *(sys.executable, str(_ROOT / "scripts/serve.py"), product, "--port", "0", "--"),
            *(sys.executable, "-m", "scripts.terraform_checks", "--apply", str(root), *variables),
        ],
        cwd=_ROOT,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            **place.tool.environment,
            "GAMEDAY_TOFU": place.tool.program,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": _REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        # What the product said matters only where the tool was not even reached.
        raise Failed(f"{root.name} on {product}:\n{done.stdout or done.stderr[-3000:]}")


def apply_and_plan(tool: Tool, root: Path, variables: Sequence[str]) -> int:
    """With the endpoint of AWS_ENDPOINT_URL; the exit code of `plan -detailed-exitcode`, 2 where something is left."""
    given = [word for variable in variables for word in ("-var", variable)]
    common = ("-input=false", "-no-color", _AT_ONCE, *given)
    with _all_names_at(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        environment = {**os.environ, "HTTP_PROXY": proxy}
        done = tool.run(root, "apply", "-auto-approve", *common, environment=environment)
        if done.returncode == 0 and "Apply complete! Resources: 0 added" in done.stdout:
            print("nothing was made, so there was nothing that a second plan could tell")
            return 1
        if done.returncode == 0:
            done = tool.run(root, "plan", "-detailed-exitcode", *common, environment=environment)
    if done.returncode:
        print(done.stdout)
    return done.returncode


@contextmanager
def _all_names_at(url: str) -> Iterator[str]:
    """A proxy that hands on to that URL whatever it is asked for; gives the proxy's own.

    S3's control plane is called at ACCOUNT.HOST, which is no name where the host is an address on loopback. What is
    called by the address alone does not come this way.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _hand_on(self) -> None:
            asked = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
            try:
                connection.request(
                    self.command, asked._replace(scheme="", netloc="").geturl(), body, dict(self.headers)
                )
                answer = connection.getresponse()
                data = answer.read()
            finally:
                connection.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_DELETE = _hand_on

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def _must(done: subprocess.CompletedProcess[str], what: str) -> None:
    if done.returncode:
        raise Failed(f"{what}:\n{done.stdout}")


# All of them


def on_ministack(place: Place) -> None:
    """The example, but for the fleet, and for what MiniStack cannot play: Prometheus, Grafana and FIS."""
    root = _copied(place.root, place.root.parent / "on-ministack") / "examples/complete"
    shutil.copy(place.root / "tests/ministack.tf", root / "ministack_override.tf")
    policies = subprocess.run(
        [
            *(sys.executable, "-c", "from gameday.cli import main; main()", "policy", "standard-at-least-once"),
            *("--account", "000000000000", "--region", _REGION),
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    (root / "policies.json").write_text(policies)
    applied(place, root, "ministack", f"region={_REGION}", "policies_file=policies.json")


def fleet_on_ministack(place: Place) -> None:
    applied(place, _copied(place.root, place.root.parent / "fleet") / "tests/fleet", "ministack")


def on_localstack(place: Place) -> None:
    applied(place, _copied(place.root, place.root.parent / "on-localstack") / "tests/localstack", "localstack")


def checks(place: Place) -> dict[str, Callable[[], None]]:
    """By name, those that take longest first."""
    found: dict[str, Callable[[], None]] = {
        "apply and plan on MiniStack": partial(on_ministack, place),
        "apply and plan the fleet on MiniStack": partial(fleet_on_ministack, place),
        "apply and plan on LocalStack": partial(on_localstack, place),
        "format": partial(formatted, place),
        "documents": partial(documented, place),
        "checkov": partial(scanned, place),
    }
    for root in place.roots():
        if root.parent.name == "tests":
            continue
        found[f"validate {root.name}"] = partial(valid, place, root)
        found[f"test {root.name}"] = partial(tested, place, root)
    return found


def check(tool: Tool) -> int:
    with tempfile.TemporaryDirectory(prefix="gameday-terraform-") as temporary:
        place = Place(root=_copied(_ROOT / "terraform", Path(temporary) / "terraform"), tool=tool)
        return _report(checks(place))


# Mistakes


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """`file`: where it is planted, of which `old` becomes `new`; without `old`, `new` is written at its end; without
    `new`, it is taken away. `check` is given a place in which `parts` of terraform/ stand, and must say `told`."""

    name: str
    parts: Sequence[str]
    file: str
    old: str = ""
    new: str | None
    check: Callable[[Place], None]
    told: str


def _module(name: str, check: Callable[[Place, Path], None]) -> Callable[[Place], None]:
    return lambda place: check(place, place.root / "modules" / name)


_EFFECTS, _QUEUE = ("modules/effects",), ("modules/queue",)
MISTAKES: Sequence[Mistake] = [
    Mistake(
        name="a file that is not formatted",
        parts=_EFFECTS,
        file="modules/effects/main.tf",
        new="locals {\nplanted=1\n}\n",
        check=formatted,
        told="not formatted",
    ),
    Mistake(
        name="a reference to what is not there",
        parts=_EFFECTS,
        file="modules/effects/outputs.tf",
        new='output "planted" {\n  value = aws_dynamodb_table.that[0].arn\n}\n',
        check=_module("effects", valid),
        told="Reference to undeclared resource",
    ),
    Mistake(
        name="a default that a test refuses",
        parts=_QUEUE,
        file="modules/queue/main.tf",
        old="maxReceiveCount     = var.max_receive_count",
        new="maxReceiveCount     = 1 + var.max_receive_count",
        check=_module("queue", tested),
        told="The queue does not redrive to its dead-letter queue.",
    ),
    Mistake(
        name="a module without tests",
        parts=_EFFECTS,
        file="modules/effects/tests/effects.tftest.hcl",
        new=None,
        check=_module("effects", tested),
        told="it has no tests",
    ),
    Mistake(
        name="a queue in the clear",
        parts=_QUEUE,
        file="modules/queue/main.tf",
        new='\nresource "aws_sqs_queue" "planted" {\n  name                    = "planted"\n'
        "  sqs_managed_sse_enabled = false\n}\n",
        check=scanned,
        told="CKV_AWS_27",
    ),
    Mistake(
        name="a README that is not current",
        parts=_EFFECTS,
        file="modules/effects/variables.tf",
        old='default     = "id"',
        new='default     = "key"',
        check=documented,
        told="effects/README.md is not current",
    ),
    Mistake(
        name="a variable without a description",
        parts=_EFFECTS,
        file="modules/effects/variables.tf",
        new='\nvariable "planted" {\n  type = string\n}\n',
        check=documented,
        told="variable planted has no description",
    ),
    Mistake(
        name="a module that makes nothing",
        parts=_EFFECTS,
        file="modules/effects/variables.tf",
        old="default     = true",
        new="default     = false",
        check=lambda place: applied(place, place.root / "modules/effects", "ministack", "name=planted"),
        told="nothing was made",
    ),
    Mistake(
        name="a module that is never done",
        parts=_EFFECTS,
        file="modules/effects/main.tf",
        old="  tags = var.tags",
        new="  tags = merge(var.tags, { planted = timestamp() })",
        check=lambda place: applied(place, place.root / "modules/effects", "ministack", "name=planted"),
        told="will be updated in-place",
    ),
]


def found(mistake: Mistake, tool: Tool, temporary: Path) -> None:
    """Errors: Failed, where the check complains without the mistake, or says something else of it."""
    source = _ROOT / "terraform"
    good, bad = (Place(root=temporary / side, tool=tool) for side in ("good", "bad"))
    for place in (good, bad):
        for part in mistake.parts:
            _copied(source / part, place.root / part)
    mistake.check(good)
    planted = bad.root / mistake.file
    text = planted.read_text(encoding="utf-8")
    if mistake.old not in text:
        raise Failed(f"{mistake.file} has no {mistake.old!r} any more")
    if mistake.new is None:
        planted.unlink()
    elif mistake.old:
        planted.write_text(text.replace(mistake.old, mistake.new, 1), encoding="utf-8")
    else:
        planted.write_text(text + mistake.new, encoding="utf-8")
    try:
        mistake.check(bad)
    except Failed as complaint:
        if mistake.told not in str(complaint):
            raise Failed(f"the complaint is not of the mistake ({mistake.told!r}):\n{complaint}") from None
    else:
        raise Failed("nobody complained")


def self_test(tool: Tool) -> int:
    with tempfile.TemporaryDirectory(prefix="gameday-terraform-") as temporary:
        return _report(
            {
                f"finds {mistake.name}": partial(found, mistake, tool, Path(temporary) / str(number))
                for number, mistake in enumerate(MISTAKES)
            }
        )


# Around them


def _copied(source: Path, target: Path) -> Path:
    shutil.copytree(source, target, ignore=_LEFT_BY_TOOLS)
    return target


def _report(tasks: dict[str, Callable[[], None]]) -> int:
    """Carry them out beside each other; what fails is printed, and makes the exit code 1."""

    def one(item: tuple[str, Callable[[], None]]) -> tuple[str, str | None, float]:
        name, task = item
        began = time.monotonic()
        try:
            task()
            wrong = None
        except Failed as error:
            wrong = str(error).rstrip()
        return name, wrong, time.monotonic() - began

    began, failed = time.monotonic(), 0
    # Three of them mostly wait for an emulator; the others need a core each.
    with ThreadPoolExecutor(max_workers=3 + (os.cpu_count() or 2)) as pool:
        for name, wrong, lasted_s in pool.map(one, tasks.items()):
            failed += wrong is not None
            print(f"{'ok' if wrong is None else 'FAILED'}  {name} ({lasted_s:.1f} s)", flush=True)
            if wrong is not None:
                print(wrong, flush=True)
    total = f"{len(tasks)} checks in {time.monotonic() - began:.0f} s"
    print(f"terraform: {total}, {f'{failed} failed' if failed else 'all passed'}")
    return 1 if failed else 0


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Check the modules of terraform/.")
    parser.add_argument("--self-test", action="store_true", help="plant mistakes, each of which must be found")
    parser.add_argument("--apply", nargs="+", metavar="WORD", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.apply:
        root, *variables = chosen.apply
        return apply_and_plan(Tool(program=os.environ["GAMEDAY_TOFU"], environment={}), Path(root), variables)
    tool = terraform_tool.found()
    if isinstance(tool, str):
        print(f"terraform: nothing was checked: {tool}", file=sys.stderr)
        return 1
    return self_test(tool) if chosen.self_test else check(tool)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

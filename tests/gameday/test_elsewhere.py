"""The command where people use it: in a project of their own, whose modules have the names of ours and of libraries,
and as an installed package that has no checkout beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from gameday.scenario import reading as scenario
from gameday.transports.base import Call
from gameday.transports.carriers.boto import BotoCarrier
from gameday.transports.endpoint import Endpoint
from tests.series import in_series, series
from tests.test_floors import FLOORS

pytestmark = pytest.mark.live

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, str(ROOT / "scripts" / "gameday")]
# Those of ours, and of what we import: Python's own (but for what starts the interpreter itself) and libraries'.
PACKAGES = [*FLOORS, "scenarios", "scripts", "tests", "boto3", "botocore", "locust", "gevent", "ministack", "yaml"]
MODULES = ["random", "typing", "json", "asyncio", "socket", "argparse", "config", "node", "orjson", "duckdb", "typer"]
SHORT = ["--set", "load.duration=1s", "--set", "chaos=[]", "--set", "claims=[no-loss, ordered-per-group]"]
SHORT += ["--set", "consumers.processes=1"]
MEMORY = ["--target", "memory"]
LIMIT_S = 120.0


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory of somebody else's: whatever is imported from it ends the process that imports it."""
    project = tmp_path / "project"
    for name in PACKAGES:
        (project / name).mkdir(parents=True)
        (project / name / "__init__.py").write_text(f"raise SystemExit('the project has its own {name}')\n")
    for name in MODULES:
        (project / f"{name}.py").write_text(f"raise SystemExit('the project has its own {name}')\n")
    # What Locust would take its options from.
    (project / "locust.conf").write_text("users = 77\nno-such-option = 1\n")
    (project / "pyproject.toml").write_text("[tool.locust]\nrun-time = '1s'\n")
    return project


def start(
    command: list[str], *arguments: str, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *arguments],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_the_project_is_one_where_nothing_of_ours_works(project: Path) -> None:
    for name in [*PACKAGES, *MODULES]:
        if name not in sys.builtin_module_names:
            done = start([sys.executable, "-c"], f"import {name}", cwd=project)
            assert f"the project has its own {name}" in done.stderr


# Locust takes options from the environment, too.
POINTED = {"LOCUST_USERS": "77", "LOCUST_RUN_TIME": "1"}


@in_series
@pytest.mark.parametrize(
    ("target", "pythonpath"), [(MEMORY, True), ([], False)], ids=["memory, on PYTHONPATH too", "embedded"]
)
def test_no_module_of_the_current_directory_stands_in_for_ours(
    project: Path, target: list[str], pythonpath: bool
) -> None:
    env = {"PYTHONPATH": str(project), **POINTED} if pythonpath else {}
    done = start(COMMAND, "run", "quick", *SHORT, *target, cwd=project, env=env)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "verdict: holds" in done.stdout


def test_a_namespace_of_directories_does_not_either(tmp_path: Path) -> None:
    for name in FLOORS:
        (tmp_path / name).mkdir()
    done = start(COMMAND, "list", "faults", cwd=tmp_path, env={"PYTHONPATH": "."})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("where", ["cwd", *series("PYTHONPATH")])
def test_a_rehearsal_finds_ours(project: Path, tmp_path: Path, where: str) -> None:
    # `python -m` has found the package that it is told to run before anybody could see to it.
    shutil.rmtree(project / "gameday")
    argv = [sys.executable, "-m", "gameday.run.rehearsal"]
    cwd, env = (project, {}) if where == "cwd" else (tmp_path, {"PYTHONPATH": str(project)})
    done = start(argv, "--help", cwd=cwd, env=env)
    assert done.returncode == 0, (done.stdout, done.stderr)


@pytest.fixture
def broker() -> Iterator[str]:
    argv = [sys.executable, "-c", "from gameday.emulator.__main__ import main; main()"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().partition('"url":"')[2].partition('"')[0]
        process.terminate()


@pytest.mark.parametrize("where", ["cwd", *series("PYTHONPATH")])
def test_the_load_alone_finds_ours(project: Path, tmp_path: Path, broker: str, where: str) -> None:
    # Locust itself is found as Python finds it, and its options are the project's: both is between them.
    for name in ("locust", "gevent", *MODULES):
        shutil.rmtree(project / name, ignore_errors=True)
        (project / f"{name}.py").unlink(missing_ok=True)
    for name in ("locust.conf", "pyproject.toml"):
        (project / name).unlink()
    endpoint = Endpoint(urls={"*": broker}, access_key="test", secret_key="test")
    url = BotoCarrier(endpoint)(Call("sqs", "CreateQueue", {"QueueName": "orders"}))["QueueUrl"]
    locust = [sys.executable, "-c", "from locust.main import main; main()", "-f", str(ROOT / "loadgen/locustfile.py")]
    cwd, env = (project, {}) if where == "cwd" else (tmp_path, {"PYTHONPATH": str(project)})
    arguments = ["--headless", "--gameday-queue-url", url, "--gameday-rate", "20", "--gameday-seconds", "1"]
    done = start(locust, *arguments, cwd=cwd, env=env)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "20 acked" in done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of a wheel, built from the checkout and installed where only its dependencies are to be seen."""
    place = tmp_path_factory.mktemp("installed")
    shutil.copytree(
        ROOT,
        place / "checkout",
        symlinks=True,
        ignore=shutil.ignore_patterns(".*", "tests", "runs", "build", "*.egg-info", "__pycache__"),
    )
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps"]
    build = [*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", str(place), str(place / "checkout")]
    subprocess.run(build, check=True, timeout=LIMIT_S)
    shutil.rmtree(place / "checkout")
    (wheel,) = place.glob("*.whl")
    venv.create(place / "env", with_pip=False, symlinks=True)
    python = place / "env" / "bin" / "python"
    (packages,) = (place / "env").glob("lib/*/site-packages")
    # As a line of a .pth file, so that the .pth files there, and with them the checkout, are left out.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    subprocess.run([*pip, "--python", str(python), "install", *offline, str(wheel)], check=True, timeout=LIMIT_S)
    return [str(python.with_name("gameday"))]


@in_series
def test_an_installed_package_lists_and_runs_its_scenarios_and_has_its_dashboards(
    installed: list[str], project: Path
) -> None:
    version = start(installed, "--version", cwd=project)
    assert version.stdout == f"gameday {metadata.version('gameday')}\n"
    listed = start(installed, "list", "scenarios", cwd=project)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == scenario.names()
    done = start(installed, "run", "quick", *SHORT, *MEMORY, cwd=project)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "verdict: holds" in done.stdout
    # What `gameday dashboards push` takes there.
    script = "from gameday.dashboards import files; print(len(files.dashboards()), len(files.rules()[1]))"
    done = start([str(Path(installed[0]).with_name("python")), "-P", "-c", script], cwd=project)
    assert done.stdout.split() == ["4", "8"], done.stderr

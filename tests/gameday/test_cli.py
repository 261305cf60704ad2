"""The command line where no run is needed: help, lists, the schema, and what is refused."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
import typer

from gameday.chaos.registry import FAULTS
from gameday.cli import app, main
from gameday.commands.list import What
from gameday.consumers.guards import GUARDS
from gameday.consumers.handlers import HANDLERS
from gameday.consumers.read_back.registry import READERS
from gameday.history.claim_texts import CLAIM_TEXTS
from gameday.history.manifest import BOUNDS
from gameday.loadgen.shapes import SHAPES
from gameday.scenario import model
from gameday.scenario import reading as scenario
from gameday.scenario.catalogue import catalogue
from gameday.scenario.schema import schema
from gameday.transports.registry import TRANSPORTS
from gameday.verify.registry import CHECKS
from tests.verify.handmade.builder import History, queue

Gameday = Callable[..., tuple[int, str, str]]


@pytest.fixture
def gameday(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gameday:
    """The command in this process: exit code, standard output and error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gameday", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]  # it is a group


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_every_command_helps_with_an_example(gameday: Gameday, command: list[str]) -> None:
    code, out, _ = gameday(*command, "--help")
    assert code == 0
    assert "gameday " in out.partition("Example")[2] if command else "Exit codes: 0" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--nope"], "No such option: --nope"),
        (["run", "quik"], "no scenario is called 'quik'; did you mean quick?"),
        (["run", "quick", "--set", "load.rate=5"], "--set load.rate=5: load.rate: 5 has no unit"),
        (["run", "quick", "--target", "moon"], "moon"),
        (["validate", "quik"], "no scenario is called 'quik'; did you mean quick?"),
        (["validate", "quick", "--set", "load.rate=5"], "--set load.rate=5: load.rate: 5 has no unit"),
        (["verify", "/nowhere/at/all"], "/nowhere/at/all is not a run directory"),
        (
            ["verify", "/nowhere/at/all", "--summary", "/nowhere/summary.md"],
            "--summary /nowhere/summary.md: it cannot be",
        ),
        (["run", "quick", "--summary", "/nowhere/summary.md"], "--summary /nowhere/summary.md: it cannot be"),
        (["compare", "/nowhere"], "a comparison needs two runs or more"),
        (["compare", "/nowhere", "/elsewhere"], "/nowhere is not a run directory"),
        (["compare", "/nowhere", "/elsewhere", "--tolerance", "9x"], "--tolerance '9x' is not a share"),
        (["compare", "/nowhere", "/elsewhere", "--confidence", "100%"], "--confidence 100%: a share from 50% to below"),
        (["compare", "/nowhere", "/elsewhere", "--warm-up", "9"], "--warm-up '9' has no unit"),
        (["list", "stars"], "stars"),
        (["sweep", "--older-than", "5"], "--older-than '5' has no unit; a duration is written like 5s"),
        (["sweep", "--target", "embedded"], "the target embedded ends with its run and leaves nothing"),
    ],
)
def test_bad_usage_is_exit_code_2_and_no_traceback(gameday: Gameday, arguments: list[str], said: str) -> None:
    code, out, err = gameday(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("what", "known"),
    [
        ("transports", TRANSPORTS),
        ("faults", FAULTS),
        ("handlers", HANDLERS),
        ("guards", GUARDS),
        ("effects", READERS),
        ("shapes", SHAPES),
        ("checks", CHECKS),
        ("claims", BOUNDS),
    ],
)
def test_what_is_listed_is_what_is_registered(what: str, known: dict[str, object]) -> None:
    assert [name for name, _ in catalogue(what)] == list(known)


@pytest.mark.parametrize("what", list(What))
def test_a_list_in_a_pipe_is_one_line_for_each_entry(gameday: Gameday, what: What) -> None:
    code, out, _ = gameday("list", what.value)
    lines = out.splitlines()
    assert code == 0
    assert [line.split()[0] for line in lines] == [name for name, _ in catalogue(what.value)]
    assert all(line == line.rstrip() for line in lines)
    assert all(len(line.split()) > 1 for line in lines), "each is described"


def test_a_claim_is_listed_with_what_it_says_its_alias_and_its_bounds() -> None:
    listed = dict(catalogue("claims"))
    assert listed["no-loss"] == f"{CLAIM_TEXTS['no-loss'].summary} Also called at-least-once."
    assert listed["no-phantom"] == CLAIM_TEXTS["no-phantom"].summary
    assert listed["recovery"] == f"{CLAIM_TEXTS['recovery'].summary} Bounds: within."


def test_the_version_is_that_of_the_package(gameday: Gameday) -> None:
    assert gameday("--version") == (0, f"gameday {metadata.version('gameday')}\n", "")


def test_a_list_on_a_terminal_is_folded(
    gameday: Gameday, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    lines = gameday("list", "guards")[1].splitlines()
    assert len(lines) > len(GUARDS)
    assert all(len(line) <= 60 and line == line.rstrip() for line in lines)


def test_every_scenario_is_listed_with_its_first_sentence() -> None:
    listed = dict(catalogue("scenarios"))
    assert list(listed) == scenario.names()
    assert all(described.endswith(".") for described in listed.values())


def test_the_schema_knows_every_key_in_the_form_it_is_written() -> None:
    whole = schema()
    assert json.loads(json.dumps(whole)) == whole
    assert set(model.Body.model_fields) | {"effects", "chaos", "claims"} == set(whole["properties"])
    faults = {branch["title"]: branch for branch in whole["properties"]["chaos"]["items"]["oneOf"]}
    assert set(faults) == set(FAULTS)
    assert faults["pause-consumer"]["properties"]["for"]["examples"] == ["5s", "15ms", "2m"]
    *shaped, tenants = whole["properties"]["load"]["oneOf"]
    assert {branch["properties"]["shape"]["const"] for branch in shaped} == set(SHAPES)
    assert not {"shape", "rate", "groups"} & set(tenants["properties"])
    assert "tenants" in tenants["required"]
    forms = whole["properties"]["claims"]["items"]["oneOf"]
    (claim,) = (form for form in forms if form.get("properties", {}).get("claim", {}).get("enum") == ["lag"])
    assert set(claim["properties"]) == {"claim", "p50", "p99", "max", "grace", "during"}


def properties(schema: object, path: str = "") -> Iterator[tuple[str, dict[str, object]]]:
    """Every property anywhere in a schema, with its path."""
    if isinstance(schema, dict):
        for key, inner in schema.items():
            if key == "properties":
                yield from ((f"{path}/{name}", written) for name, written in inner.items())
            yield from properties(inner, f"{path}/{key}")
    elif isinstance(schema, list):
        for number, inner in enumerate(schema):
            yield from properties(inner, f"{path}/{number}")


def test_the_schema_describes_every_key() -> None:
    found = dict(properties(schema()))
    assert len(found) > 100
    assert [path for path, written in found.items() if not written.get("description")] == []


def test_a_scenario_without_a_doubt_is_valid(gameday: Gameday) -> None:
    assert gameday("validate", "quick") == (0, "valid\n", "")


def test_notes_are_printed_with_their_line_and_claim_and_are_no_error(gameday: Gameday) -> None:
    code, out, err = gameday("validate", "quick", "--set", "load.duration=18s", "--set", "load.rate=20/s")
    assert (code, err) == (0, "")
    _, first, second, last = out.splitlines()
    assert re.match(r"note: .*quick\.yaml:\d+: claims\.7 \(lag\): about \d+ messages of orders will be due", first)
    assert re.match(
        r"note: .*quick\.yaml:\d+: claims\.8 \(recovery\): after chaos\.1 \(stretch-processing\) is", second
    )
    assert last == "valid, with 3 notes"


def test_the_list_of_transports_says_what_can_never_be_shown() -> None:
    listed = dict(catalogue("transports"))
    assert "behind a filter at-most-once, so that a loss there can never be shown" in listed["sns-fifo"]
    assert [name for name, told in listed.items() if "at-most-once" in told] == ["sns-fifo", "stepfunctions"]


def test_a_metrics_port_that_is_taken(gameday: Gameday, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, _, err = gameday("run", "quick", "--metrics-port", str(port), "--out", str(tmp_path / "run"))
    assert code == 4
    assert err.startswith(f"gameday: the metrics port 127.0.0.1:{port} cannot be had: Address already in use.")
    assert not (tmp_path / "run").exists()


def test_a_metrics_address_that_is_not_of_this_machine(gameday: Gameday, tmp_path: Path) -> None:
    code, _, err = gameday("run", "quick", "--metrics-host", "192.0.2.1", "--out", str(tmp_path / "run"))
    assert code == 4
    assert err.startswith("gameday: the metrics port 192.0.2.1:0 cannot be had: ")
    assert "Name an address of this machine with --metrics-host" in err


def test_a_directory_that_holds_a_run(gameday: Gameday, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    code, _, err = gameday("run", "quick", "--out", str(tmp_path))
    assert code == 2
    assert err.startswith(f"gameday: {tmp_path} holds a run already; name another directory with --out")


def test_a_directory_that_cannot_be_made(gameday: Gameday, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = gameday("run", "quick", "--out", str(tmp_path / "file" / "run"))
    assert code == 4
    assert err.startswith("gameday: cannot make the run directory")


def test_a_target_that_is_not_there(gameday: Gameday, tmp_path: Path) -> None:
    code, _, err = gameday("run", "quick", "--target", "aws", "--out", str(tmp_path / "run"))
    assert code == 4
    assert err.startswith("gameday: no gameday.toml stands in")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """200 messages, a tenth of a second each; and the same at half the speed, with one lost."""

    def made(name: str, delay_s: float, lost: str | None = None) -> Path:
        h = History({"orders": queue()}, ["no-loss"])
        for number in range(200):
            id, at = f"m{number}", 1 + number / 20
            h.send(id, at=at, group=None)
            if id != lost:
                h.take(id, at=at + delay_s * (1 + number % 7 / 100))
        h.drained(at=60)
        return h.write(tmp_path / name)

    return made("before", 0.1), made("after", 0.2, lost="m77")


def test_a_comparison_ends_with_what_it_found(gameday: Gameday, runs: tuple[Path, Path]) -> None:
    before, after = map(str, runs)
    code, out, err = gameday("compare", before, after, "--format", "json")
    told = json.loads(out)
    assert (code, told["verdict"], err) == (1, "regressed", "")
    called = {row["metric"]: row["call"] for row in told["rows"]}
    assert (called["latency p50"], called["received"]) == ("worse", "same")
    assert [claim["call"] for claim in told["claims"]] == ["worse"]
    code, out, _ = gameday("compare", after, before, "--format", "markdown")
    assert (code, out.splitlines()[0]) == (0, "### gameday compare: no regression")
    code, out, _ = gameday("compare", before, before)
    assert (code, out.rstrip().splitlines()[-1]) == (0, "verdict: no regression")


def test_a_summary_is_appended_and_the_verdict_is_printed_as_ever(
    gameday: Gameday, runs: tuple[Path, Path], tmp_path: Path
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("# what was there\n")
    codes = [gameday("verify", str(run), "--summary", str(summary), "--format", "json")[0] for run in runs]
    assert codes == [0, 1]
    headings = [line for line in summary.read_text("utf-8").splitlines() if line.startswith("#")]
    assert headings == ["# what was there", "## gameday: ✅ holds", "## gameday: ❌ violated"]


def test_a_full_disk_takes_the_summary_and_not_the_verdict(gameday: Gameday, runs: tuple[Path, Path]) -> None:
    code, out, err = gameday("verify", str(runs[0]), "--summary", "/dev/full")
    assert code == 0
    assert out.rstrip().endswith("verdict: holds")
    assert err == "gameday: cannot write /dev/full: No space left on device\n"


@pytest.mark.parametrize("arguments", [["verify"], ["compare", "--anyway"]])
def test_judging_loads_no_aws_code(runs: tuple[Path, Path], arguments: list[str]) -> None:
    given = [*arguments, *map(str, runs[: 1 if arguments == ["verify"] else 2])]
    script = (
        "import sys\nsys.argv = ['gameday', *sys.argv[1:]]\nfrom gameday.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([n for n in sys.modules if n.partition('.')[0] in ('boto3', 'botocore', 'aiobotocore', 'locust')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *given], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(("rate", "told"), [("240/s", False), ("241/s", True)])
def test_a_plan_says_where_a_rate_is_above_what_was_seen(gameday: Gameday, rate: str, told: bool) -> None:
    _, out, _ = gameday("plan", "quick", "--set", f"load.rate={rate}")
    assert any(line.startswith("note: --set load.rate=241/s: load.rate asks") for line in out.splitlines()) is told
    _, out, _ = gameday("plan", "quick", "--set", f"load.rate={rate}", "--format", "json")
    assert any("has been seen to do 240" in note for note in json.loads(out)["notes"]) is told

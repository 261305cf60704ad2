"""The documents are held to the code: links lead somewhere, lists are the registries', what is shown can be typed."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pydantic import BaseModel

from gameday.chaos.base import Entry
from gameday.cli import app
from gameday.history.errors import TargetLacks
from gameday.history.manifest import BOUNDS
from gameday.history.reader import unknown_names
from gameday.scenario import functions, model
from gameday.scenario import reading as scenario
from gameday.scenario.document import parse
from gameday.scenario.problems import keys
from gameday.verify.judge import EXIT_CODES
from gameday.verify.registry import CHECKS
from gameday.watch.observer import Observer
from scripts import generate_docs

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "terraform").rglob("*.md")])
README = (ROOT / "README.md").read_text("utf-8")
HISTORY = (ROOT / "docs" / "history.md").read_text("utf-8")
SCENARIO = (ROOT / "docs" / "scenario.md").read_text("utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """Without code, in which brackets are no links."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL))


def table(text: str, first: str) -> list[list[str]]:
    """The rows of the table whose first column is called `first`."""
    found = re.search(rf"^\| {first} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found, f"there is no table of {first}"
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in found[1].splitlines()]


def anchors(text: str) -> set[str]:
    """The anchors of headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    # The text of a link may be code, so only blocks are left out here.
    text = re.sub(r"^ *```.*?^ *```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in anchors(target.read_text("utf-8"))):
            dead.append(link)
    assert dead == []


def test_what_is_generated_is_current() -> None:
    for path, text in generate_docs.written(ROOT).items():
        assert path.read_text("utf-8") == text, (
            f"{path} is not what the registries say; run: python scripts/generate_docs.py"
        )


def test_what_is_not_current_is_refused_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    for path in generate_docs.written(ROOT):
        (tmp_path / path.relative_to(ROOT)).write_text(path.read_text("utf-8").replace("refused:", "runs, but"))
    monkeypatch.setattr(generate_docs, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["generate_docs.py", "--check"])
    assert generate_docs.main() == 1
    assert "README.md is not current; write it with: python scripts/generate_docs.py" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["generate_docs.py"])
    assert generate_docs.main() == 0
    assert (tmp_path / "README.md").read_text("utf-8") == README
    monkeypatch.setattr(sys, "argv", ["generate_docs.py", "--check"])
    assert generate_docs.main() == 0


def test_the_scenario_shown_is_one() -> None:
    (shown,) = blocks(README, "yaml")
    assert scenario.resolve(parse(shown, name="README.md")).name == "pause"


@pytest.mark.parametrize(
    ("before", "model", "others"),
    [
        ("Of the file:", model.Body, {"effects", "chaos", "claims"}),
        ("`topology`:", model.TopologySpec, set()),
        ("`load`,", model.LoadSpec, set()),
        ("`consumers`:", model.ConsumersSpec, set()),
        ("## Faults", Entry, set()),
    ],
)
def test_every_key_of_a_scenario_is_explained(before: str, model: type[BaseModel], others: set[str]) -> None:
    """`others`: keys that are read by models of their own."""
    _, found, after = SCENARIO.partition(f"\n{before}")
    assert found
    told = {name for row in table(after, "key") for name in re.findall(r"`(\w+)`", row[0])}
    assert told == set(keys(model)) | others


@pytest.mark.parametrize(
    ("before", "model"),
    [("Of `consumers.lambda`:", functions.LambdaModel), ("Of `function`:", functions.FunctionModel)],
)
def test_every_key_of_a_function_is_explained(before: str, model: type[BaseModel]) -> None:
    _, found, after = (ROOT / "docs" / "functions.md").read_text("utf-8").partition(f"\n{before}")
    assert found
    assert {name for row in table(after, "key") for name in re.findall(r"`(\w+)`", row[0])} == set(model.model_fields)


def test_every_key_of_a_handler_is_explained() -> None:
    text = (ROOT / "docs" / "handlers.md").read_text("utf-8")
    _, found, after = text.partition("\nKeys of `handler`:")
    assert found
    assert {name for row in table(after, "key") for name in re.findall(r"`(\w+)`", row[0])} == set(
        model.HandlerModel.model_fields
    )


def test_every_run_of_a_handler_that_is_shown_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(shutil, "which", lambda program, path=None: program)
    shown = list(commands((ROOT / "docs" / "handlers.md").read_text("utf-8")))
    assert len(shown) == 3
    for _, _, path, *words in shown:
        sets = [words[n + 1] for n, word in enumerate(words) if word == "--set"]
        assert isinstance(scenario.load(ROOT / path, sets).consumers.handler, model.HandlerModel)


def test_every_key_of_a_subscription_is_explained() -> None:
    (told,) = re.findall(r"^A subscription: .*?\n\n", SCENARIO, re.MULTILINE | re.DOTALL)
    assert set(model.SubscriptionModel.model_fields) <= set(re.findall(r"`(\w+)[`:]", told))


def test_every_scenario_of_the_reference_is_one() -> None:
    shown = blocks(SCENARIO, "yaml")
    assert [scenario.resolve(parse(text, name="scenario.md")).name for text in shown] == ["fanout", "stream", "tenants"]


def commands(text: str) -> Iterator[list[str]]:
    """Every command line of ours in the blocks of a shell: without assignments, comments and redirections."""
    for block in blocks(text, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.partition(" > ")[0], comments=True)
            while words and re.match(r"[A-Z_]+=", words[0]):
                words.pop(0)
            if words:
                yield words


def flags(words: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if word.startswith("--")}


def test_every_command_of_the_readme_can_be_typed() -> None:
    """gameday's lines are parsed by gameday itself: commands, flags and choices."""
    known = typer.main.get_group(app).commands
    seen = set()
    for program, *words in commands(README):
        if program == "gameday":
            name, *arguments = words
            known[name].make_context(name, arguments).close()
            seen.add(name)
        elif program == "make":
            assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert seen == set(known), "a command is not shown, or not there"


@pytest.mark.parametrize("name", ["gameday-runbook.md", "staging.md", "hosts.md"])
def test_every_command_of_a_page_can_be_typed(name: str) -> None:
    known = typer.main.get_group(app).commands
    shown = [words for words in commands((ROOT / "docs" / name).read_text("utf-8")) if words[0] == "gameday"]
    assert shown
    for _, command, *arguments in shown:
        known[command].make_context(command, arguments).close()


def test_the_runbook_watches_panels_that_are_there() -> None:
    there = {
        dashboard["title"]: {panel["title"] for panel in panels(dashboard)}
        for dashboard in (json.loads(path.read_text("utf-8")) for path in (ROOT / "dashboards").glob("*.json"))
    }
    rows = table((ROOT / "docs" / "gameday-runbook.md").read_text("utf-8"), "dashboard")
    assert {row[0] for row in rows} == set(there)
    assert [(board, panel) for board, panel, _ in rows if panel not in there[board]] == []


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Those in rows, too."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def test_every_scenario_and_override_of_the_readme_is_accepted(tmp_path: Path) -> None:
    (shown,) = blocks(README, "yaml")
    (tmp_path / "pause.yaml").write_text(shown)
    for program, *words in commands(README):
        if program == "gameday" and words[0] == "run":
            own = words[1].endswith(".yaml")
            path = tmp_path / words[1] if own else scenario.find(words[1])
            scenario.load(path, [words[n + 1] for n, word in enumerate(words) if word == "--set"])


def test_every_flag_of_locust_in_the_readme_is_there() -> None:
    (line,) = [words for words in commands(README) if words[0] == "locust"]
    said = (ROOT / "loadgen" / "locustfile.py").read_text("utf-8")
    ours = {flag for flag in flags(line) if flag.startswith("--gameday-")}
    assert ours and all(f'"{flag}"' in said for flag in ours)
    assert (ROOT / line[line.index("-f") + 1]).is_file()


def test_every_metric_of_the_readme_is_served(tmp_path: Path) -> None:
    """From a run in which nothing happened: names only."""
    (tmp_path / "history").mkdir()
    (tmp_path / "manifest.json").write_text(
        json.dumps({"schema": 1, "run": "r", "subscriptions": {"orders": {}}, "claims": [{"claim": "no-loss"}]})
    )
    served = {f"{m.name}_total" if m.type == "counter" else m.name for m in Observer(tmp_path).metrics()}
    shown = set(re.findall(r"`(gameday_\w+)", README))
    assert shown and shown <= served


def test_the_reference_names_every_anomaly_claim_and_exit_code() -> None:
    rows = [re.findall(r"`([\w-]+)`", row[0]) for row in table(HISTORY, "anomaly")]
    assert sorted(name for row in rows for name in row) == list(CHECKS)
    claims = [re.findall(r"`([\w-]+)`", row[0])[0] for row in table(HISTORY, "claim")]
    assert claims == list(BOUNDS)
    codes = {int(row[0]) for row in table(HISTORY, "code")}
    assert set(EXIT_CODES.values()) | {2, 4, TargetLacks.exit_code, 130} == codes


def test_the_reader_knows_every_field_that_the_page_names() -> None:
    """And so a history written by the page passes `gameday verify --strict`."""
    for kind, heading in (("event", "event"), ("mark", "mark")):
        for row in table(HISTORY, heading):
            for name in re.findall(r"`([\w-]+)`", row[0]):
                if name == "mark":
                    continue
                known = {"event": kind, "name": name} if kind == "mark" else {"event": name}
                fields = dict.fromkeys(re.findall(r"`([a-z_]+)`", row[1]), 1)
                assert unknown_names({**fields, **known}) == (), f"{kind} {name}"

"""The page as text: what it says, that everything in it is escaped, and that it cannot harm the verdict."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gameday.cli import main
from gameday.history.manifest import Manifest
from gameday.report.html import figures, page
from gameday.report.html.repeat import repeat
from gameday.report.html.svg import path, tag
from gameday.report.html.words import one_in, seconds
from gameday.scenario import reading
from gameday.verify.judge import judging
from tests.verify.handmade.builder import History, fifo, queue

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&"


def made(history: History, tmp_path: Path) -> str:
    directory = history.write(tmp_path / "run")
    with judging(directory) as (run, verdict):
        return page.save(directory, run, verdict).read_text(encoding="utf-8")


def lossy(id: str = "b", **fields: Any) -> History:
    h = History({"orders": queue()}, ["no-loss", "no-phantom"], manifest={"target": "memory", **fields})
    h.send("a", at=1)
    h.send(id, at=1.1)
    h.take("a", at=2)
    h.drained(at=10)
    return h


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)


def words(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def test_the_verdict_comes_first_and_the_limits_of_the_target_are_told(tmp_path: Path) -> None:
    text = words(made(lossy(), tmp_path).partition("<body")[2])
    assert text.index("1 of 2 claims was broken.") < text.index("Claims, and how strong")
    assert "Broken: no-loss." in text and "1 lost" in text
    assert "The other 1 held" in text
    assert "What target memory cannot show" in text and "anything about AWS" in text
    assert "lost 1" in text and "message b on orders" in text


def test_why_it_happened_is_told_with_the_fault_that_did_it(tmp_path: Path) -> None:
    h = History({"orders": fifo()}, ["exactly-once-delivery"])
    h.send("a", at=1)
    h.receive("a", at=2)
    h.fault(2.5, 4)
    h.mark("consumer-exited", at=2.6, consumer="c1", slot="c", code=-9)
    h.take("a", at=8, consumer="c2")
    h.drained(at=20)
    text = words(made(h, tmp_path).partition("<body")[2])
    assert "came again holder-killed 1 The process that held it was killed. 1 fault-1" in text
    assert "Cause: holder-killed, by fault fault-1. The process that held it was killed. At work: " in text


def test_what_a_history_says_is_escaped(tmp_path: Path) -> None:
    h = History({"orders": fifo()}, ["no-loss", "ordered-per-group", "exactly-once-effect"], manifest={"run": HOSTILE})
    for n, id in enumerate((f"a{HOSTILE}", f"b{HOSTILE}", f"c{HOSTILE}"), start=1):
        h.send(id, at=n, group=HOSTILE, broker_seq=str(n), producer="p1")
    h.receive(f"b{HOSTILE}", at=5)
    h.receive(f"a{HOSTILE}", at=6)
    for _ in range(2):
        h.effect(f"a{HOSTILE}", at=6.2)
    h.record("c1", 6.3, "settled", id=f"b{HOSTILE}", subscription="orders", action="delete", outcome="failed",
             error=HOSTILE, batch="x", consumer=HOSTILE)  # fmt: skip
    told = {"fault": HOSTILE, "instance": HOSTILE, "targets": [HOSTILE], "label": HOSTILE}
    h.record("injector", 5.5, "fault", phase="start", **told)
    h.record("injector", 6.5, "fault", phase="stop", **told)
    h.mark("aborted", at=8, reason=HOSTILE)
    h.drained(at=9)
    text = made(h, tmp_path)
    elements = Elements(text).found
    assert "<img" not in text and not any(tag == "img" for tag, _ in elements)
    assert not any(name.startswith("on") for _, attributes in elements for name in attributes)
    assert sum(tag == "script" for tag, _ in elements) == 2
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    # It was met everywhere: in the pictures, the order picture, the faults and the tables.
    assert text.count("onerror=alert(1)") > 20


def test_nothing_in_the_page_asks_for_anything_elsewhere(tmp_path: Path) -> None:
    text = made(lossy(), tmp_path)
    for tag_name, attributes in Elements(text).found:
        for name in ("src", "href", "srcset", "action", "data"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:")), f"{tag_name} {name}={value}"
    assert not re.search(r"url\((?!#)|@import|https?://", text)
    assert "default-src 'none'" in text


def test_a_page_without_script_has_every_number_and_no_control_that_does_nothing(tmp_path: Path) -> None:
    elements = Elements(made(lossy(), tmp_path)).found
    assert all("hidden" in attributes or _inside_hidden(attributes) for tag, attributes in elements if tag == "button")


def _inside_hidden(attributes: dict[str, str | None]) -> bool:
    # The buttons of the tool bar, which is hidden as a whole.
    return "data-zoom" in attributes


def test_a_run_whose_history_holds_nothing_has_a_page_too(tmp_path: Path) -> None:
    h = History({"orders": queue()}, ["no-loss"])
    assert "No fault was injected." in made(h, tmp_path)


def test_the_command_repeats_the_run(tmp_path: Path) -> None:
    quick = reading.load(reading.find("quick")).document
    told = repeat(Manifest(run="r", subscriptions={}, claims=[], seed=7, target="memory", scenario=quick))
    assert (told.command, told.shipped) == ("gameday run quick --seed 7 --target memory", True)
    changed = reading.load(reading.find("quick"), ["load.rate=10/s"]).document
    told = repeat(Manifest(run="r", subscriptions={}, claims=[], seed=7, target="memory", scenario=changed))
    assert told.command == "gameday run ./quick.yaml --seed 7 --target memory"
    # What has to be saved is that scenario again.
    saved = tmp_path / "quick.yaml"
    saved.write_text(told.yaml)
    assert reading.load(saved).document == changed
    assert repeat(Manifest(run="r", subscriptions={}, claims=[])).command is None


def test_svg_escapes_text_and_attributes() -> None:
    assert str(tag("text", "<b>", tag("tspan", "&"), x=1.25, class_='"')) == (
        '<text x="1.2" class="&#34;">&lt;b&gt;<tspan>&amp;</tspan></text>'
    )
    assert path([(0, 1), (2, 3.25), None, (4, 5)]) == "M0 1L2 3.2M4 5"


def test_numbers_as_people_read_them() -> None:
    assert [seconds(value) for value in (None, 0.0004, 0.04, 0.2, 1.234, 75.0)] == [
        "–", "0.4 ms", "40 ms", "0.2 s", "1.23 s", "75 s",
    ]  # fmt: skip
    assert one_in(3 / 840) == "below 1 in 280" and one_in(1.0) == "too few to tell"


def test_lines_and_faults_differ_without_their_colours() -> None:
    css = page._part("report.css")
    dashes = [re.findall(r"stroke-dasharray: ([^;]*)", rule) for rule in re.findall(r"\.s[0-5] \{([^}]*)\}", css)]
    assert len(dashes) == figures.DASHES and len({tuple(each) for each in dashes}) == figures.DASHES
    hatches = re.findall(r"\.hatch-[0-5] \{([^}]*)\}", css)
    assert len(set(hatches)) == figures.HATCHES
    assert str(figures.hatches()).count("<pattern") == figures.HATCHES


# The command


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["gameday", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_gameday_report_writes_the_page_and_leaves_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = lossy().write(tmp_path / "run")
    assert command(monkeypatch, "report", str(run)) == 0
    assert capsys.readouterr().out == f"report: {run / 'report.html'}\n"
    assert "no-loss" in (run / "report.html").read_text(encoding="utf-8")
    assert sorted(path.name for path in run.iterdir()) == ["history", "manifest.json", "report.html"]
    assert command(monkeypatch, "report", str(run), "--out", str(tmp_path / "nowhere" / "x.html")) == 4
    assert "cannot write" in capsys.readouterr().err
    assert command(monkeypatch, "report", str(tmp_path)) == 2


@pytest.mark.parametrize("failing", ["render", "write"])
def test_a_report_that_fails_changes_neither_verdict_nor_exit_code(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = lossy().write(tmp_path / "run")

    async def conducted(request: object, view: object) -> Path:
        return run

    monkeypatch.setattr("gameday.run.conductor.conduct", conducted)
    if failing == "render":

        def broken(*_: object) -> str:
            raise ValueError("no such\nfigure")

        monkeypatch.setattr(page, "render", broken)
    else:
        (run / "report.html").mkdir()
    assert command(monkeypatch, "run", "quick", "--target", "memory", "--out", str(run)) == 1
    said = capsys.readouterr()
    why = "ValueError: no such figure" if failing == "render" else "cannot write"
    complaints = [line for line in said.err.splitlines() if line.startswith("gameday: no report: ")]
    assert len(complaints) == 1 and why in complaints[0] and "gameday report" in complaints[0]
    assert "verdict: violated" in said.out and "report: " not in said.out
    assert (run / "verdict.json").exists()

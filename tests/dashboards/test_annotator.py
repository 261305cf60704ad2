"""A run's regions in Grafana: what the history gives, that nothing is written twice, and that a run never suffers."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # comes with Locust, without types
import pytest

from gameday.dashboards import annotator
from gameday.dashboards.annotator import Annotator, Follower, Writer
from gameday.dashboards.grafana import TIMEOUT_S, Address, Grafana
from gameday.dashboards.regions import Regions, verdict_region
from tests.commanded import Gameday, wait_until
from tests.dashboards.fake_grafana import TOKEN, FakeGrafana
from tests.series import in_series

START = 1_795_872_821_000_000_000
S = 1_000_000_000


def mark(at_s: float, name: str, **fields: object) -> dict[str, Any]:
    return {"event": "mark", "at": START + round(at_s * S), "by": "conductor", "name": name, **fields}


def fault(at_s: float, phase: str, instance: str = "kill-consumer-1") -> dict[str, Any]:
    return {
        "event": "fault",
        "at": START + round(at_s * S),
        "by": "conductor",
        "fault": "kill-consumer",
        "instance": instance,
        "phase": phase,
        "label": "SIGKILL to orders-1.1",
    }


STORY = [
    mark(0, "writer", file="load.jsonl"),
    mark(1, "load-started", start=START + 2 * S),
    fault(3, "start"),
    fault(5, "stop"),
    fault(7, "start", "kill-consumer-2"),
    mark(9, "load-stopped", scheduled=5),
    mark(10, "drained", subscription="orders", empty=True),
    mark(11, "drained", subscription="billing", empty=True),
]


def spans(regions: Regions) -> dict[str, tuple[str, float, float | None]]:
    return {r.key: (r.kind, (r.start - START) / S, None if r.end is None else (r.end - START) / S) for r in regions}


def test_faults_and_phases_are_regions() -> None:
    regions = Regions("r1", ["orders", "billing"])
    for record in STORY:
        regions.observe(record)
    told = {
        "starting": ("phase", 0.0, 2.0),
        "load": ("phase", 2.0, 9.0),
        "kill-consumer-1": ("fault", 3.0, 5.0),
        "kill-consumer-2": ("fault", 7.0, None),
        "draining": ("phase", 9.0, 11.0),
    }
    assert spans(regions) == told
    regions.observe(mark(12, "aborted", reason="interrupted by SIGINT"))
    regions.finish()
    assert spans(regions) == {**told, "kill-consumer-2": ("fault", 7.0, 12.0), "aborted": ("phase", 12.0, 12.0)}
    (first,) = [region for region in regions if region.key == "kill-consumer-1"]
    assert first.text == "kill-consumer: SIGKILL to orders-1.1"
    assert first.tags == ["gameday", "fault", "r1", "kill-consumer", "kill-consumer-1"]


def test_a_verdict_stands_where_the_run_ended() -> None:
    claims = [{"key": "no-loss", "verdict": "holds"}, {"key": "lag", "verdict": "violated"}]
    region = verdict_region(
        {"verdict": "violated", "run": "r1", "claims": claims, "started": START, "duration_s": 12.0}
    )
    assert region.text == "verdict: violated (lag violated)"
    assert region.start_ms == region.end_ms == (START + 12 * S) // 1_000_000
    assert region.tags == ["gameday", "verdict", "r1", "violated"]


class Story:
    """A run directory whose history grows, and the annotator that follows it."""

    def __init__(
        self, directory: Path, url: str, monkeypatch: pytest.MonkeyPatch, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._history = directory / "history" / "conductor.jsonl"
        self._history.parent.mkdir()
        manifest = {"schema": 1, "run": "r1", "subscriptions": {"orders": {}}, "claims": [{"claim": "no-loss"}]}
        (directory / "manifest.json").write_text(json.dumps(manifest))
        self.troubles: list[dict[str, Any]] = []
        self.recovered = 0
        monkeypatch.setattr(annotator, "report", self._hear)
        monkeypatch.setattr(annotator, "RETRY_S", 0.0)
        self._annotator = Annotator(directory, Grafana(Address.parse(url), TOKEN, timeout_s=timeout_s))

    def _hear(self, kind: str, **fields: Any) -> None:
        if kind == "trouble":
            self.troubles.append(fields)
        else:
            assert kind == "recovered"
            self.recovered += 1

    def tell(self, *records: dict[str, Any], last: bool = False) -> None:
        with self._history.open("a") as file:
            file.writelines(f"{json.dumps(record)}\n" for record in records)
        self._annotator.turn(last=last)


@pytest.fixture
def story(tmp_path: Path, server: FakeGrafana, monkeypatch: pytest.MonkeyPatch) -> Story:
    return Story(tmp_path, server.url, monkeypatch)


def test_a_region_begins_open_and_gets_its_end_later(story: Story, server: FakeGrafana) -> None:
    story.tell(*STORY[:3])
    (begun,) = server.with_tags("gameday", "fault", "r1", "kill-consumer-1")
    assert begun["time"] == begun["timeEnd"] == (START + 3 * S) // 1_000_000
    story.tell(STORY[3])
    (ended,) = server.with_tags("kill-consumer-1")
    assert (ended["time"], ended["timeEnd"]) == (begun["time"], begun["time"] + 2_000)
    # Tags and text are as they were: grafana-api would have taken them away.
    assert (ended["text"], ended["tags"]) == (begun["text"], begun["tags"])
    calls = len(server.calls)
    story.tell()
    assert len(server.calls) == calls


def test_no_region_stays_open(story: Story, server: FakeGrafana) -> None:
    story.tell(*STORY[:3])
    story.tell(last=True)
    assert all(each["timeEnd"] >= each["time"] for each in server.annotations.values())
    (load,) = server.with_tags("phase", "load")
    assert load["timeEnd"] > load["time"]
    assert story.troubles == []


def test_an_answer_that_was_lost_makes_no_second_region(story: Story, server: FakeGrafana) -> None:
    lost: list[str] = []

    def lose(method: str, path: str) -> None:
        if method == "POST" and not lost:
            lost.append(path)
            raise ConnectionResetError

    server.after = lose
    story.tell(*STORY)
    assert lost and len(server.annotations) == 1
    story.tell(last=True)
    keys = [each["tags"][-1] for each in server.annotations.values()]
    assert sorted(keys) == sorted({"starting", "load", "kill-consumer-1", "kill-consumer-2", "draining"})
    assert [trouble["final"] for trouble in story.troubles] == [False]


def test_a_server_that_comes_back_gets_what_it_missed(story: Story, server: FakeGrafana) -> None:
    def away(method: str, path: str) -> None:
        raise ConnectionResetError

    server.before = away
    for record in STORY:
        story.tell(record)
    assert not server.annotations and len(story.troubles) == 1 and story.recovered == 0
    server.before = lambda method, path: None
    story.tell(last=True)
    assert len(server.annotations) == 5 and len(story.troubles) == 1 and story.recovered == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("token", "does not accept the token"),
        ("role", r"the token may not write an annotation (403)"),
        ("old", "which is too old"),
    ],
)
def test_what_will_not_pass_is_told_once_and_no_more_is_tried(
    story: Story, server: FakeGrafana, monkeypatch: pytest.MonkeyPatch, change: str, says: str
) -> None:
    if change == "token":
        monkeypatch.setattr("tests.dashboards.fake_grafana.TOKEN", "another")
    if change == "role":
        server.denied = {"annotations:create"}
    if change == "old":
        server.version = "8.5.0"
    story.tell(*STORY)
    calls = len(server.calls)
    story.tell(last=True)
    assert len(server.calls) == calls and server.annotations == {}
    ((told),) = story.troubles
    assert says in told["why"] and told["final"] and TOKEN not in told["why"]


def test_a_server_that_does_not_answer_costs_a_turn_its_time_limit(
    tmp_path: Path, server: FakeGrafana, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = Story(tmp_path, server.url, monkeypatch, timeout_s=0.3)
    over = time.monotonic() + 10
    server.before = lambda method, path: wait_until(lambda: time.monotonic() > over, "", 20)
    began = time.monotonic()
    story.tell(*STORY, last=True)
    assert time.monotonic() - began < 5
    assert "did not answer in 0.3 s" in story.troubles[0]["why"]
    over = 0.0


def test_a_line_that_is_not_whole_waits(tmp_path: Path) -> None:
    path = tmp_path / "conductor.jsonl"
    follower = Follower(path)
    assert follower.records() == []
    line = json.dumps(STORY[0])
    path.write_text(line[:20])
    assert follower.records() == []
    with path.open("a") as file:
        file.write(line[20:] + "\n\nnonsense\n")
    assert follower.records() == [STORY[0]]


def test_a_verdict_is_written_once_for_each_time_that_it_is_told(server: FakeGrafana) -> None:
    claims = [{"key": "no-loss", "verdict": "holds"}]
    region = verdict_region({"verdict": "holds", "run": "r1", "claims": claims, "started": START, "duration_s": 12.0})
    writer = Writer(Grafana(Address.parse(server.url), TOKEN))
    writer.write([region])
    writer.write([region])
    (written,) = server.annotations.values()
    assert written["text"] == "verdict: holds"


# Whole runs.

SCENARIO = """\
name: told
transport: sqs-fifo
topology: {visibility_timeout: 2s, max_receives: 5}
load: {rate: 30/s, duration: 2s, groups: 8, users: 2}
consumers: {processes: 2, processing_time: 2ms}
chaos: [{at: 500ms, fault: kill-consumer}]
claims: [no-loss]
"""


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "told.yaml"
    path.write_text(SCENARIO)
    return str(path)


@in_series
@pytest.mark.live
def test_a_run_stands_in_grafana(gameday: Callable[..., Gameday], scenario: str, server: FakeGrafana) -> None:
    run = gameday(scenario, "--target", "memory", "--grafana", server.url, env={"GRAFANA_TOKEN": TOKEN})
    run.wait_for_traffic()
    # Nobody but the one process that needs it has the token; it stands on no command line.
    run.child("gameday.dashboards.annotator")
    for process in run.family.values():
        # Unless it was killed meanwhile.
        with suppress(psutil.NoSuchProcess):
            assert TOKEN not in " ".join(process.cmdline())
            assert (TOKEN in str(process.environ())) == ("gameday.dashboards.annotator" in process.cmdline())
    wait_until(lambda: bool(server.with_tags("fault", "kill-consumer")), "the fault is told while the run goes on")
    assert run.process.poll() is None
    code, out, err = run.end()
    assert code == 0, (out, err)
    run.assert_nothing_left()
    id = json.loads((run.run / "manifest.json").read_bytes())["run"]
    assert len(server.with_tags("gameday", id)) == len(server.annotations)
    told = {each["tags"][-1]: (each["time"], each["timeEnd"]) for each in server.annotations.values()}
    assert told.keys() == {"starting", "load", "draining", "kill-consumer-1", "holds"}
    marks = {mark["name"]: mark for mark in run.marks()}
    assert told["load"] == (marks["load-started"]["start"] // 1_000_000, marks["load-stopped"]["at"] // 1_000_000)
    assert told["kill-consumer-1"][0] < told["kill-consumer-1"][1]
    # Where the run ended.
    assert told["holds"][0] == told["holds"][1] >= told["draining"][1]
    files = [path.read_bytes() for path in run.run.rglob("*") if path.is_file()]
    assert TOKEN not in out + err and not any(TOKEN.encode() in content for content in files)


@in_series
@pytest.mark.live
@pytest.mark.parametrize("change", ["token", "gone", "silent"])
def test_a_run_does_not_suffer(
    gameday: Callable[..., Gameday], scenario: str, server: FakeGrafana, change: str
) -> None:
    url, token = server.url, TOKEN
    with socket.socket() as silent:
        # Takes connections, and answers nothing.
        silent.bind(("127.0.0.1", 0))
        if change == "silent":
            silent.listen()
        if change != "token":
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        else:
            token = "glsa_revoked"
        run = gameday(scenario, "--target", "memory", "--grafana", url, env={"GRAFANA_TOKEN": token})
        code, out, err = run.end()
    assert code == 0, (out, err)
    says = {"token": "does not accept the token", "gone": "cannot reach Grafana", "silent": "did not answer in 3 s"}
    assert out.count("Grafana at") == 1 and says[change] in out, out
    assert "The run goes on without its regions there" in out
    assert token not in out + err
    assert json.loads((run.run / "verdict.json").read_bytes())["verdict"] == "holds"

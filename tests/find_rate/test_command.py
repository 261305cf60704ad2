"""`gameday find-rate`: what it refuses, what it prints, its exit codes; and a planted capacity that it finds."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from gameday.find_rate.measure import Broken, Measured
from gameday.find_rate.search import Asked, Ended, Why
from gameday.report.rate_curve import Curve, document, show
from gameday.scenario.document import parse
from gameday.scenario.reading import at_constant_rate, load, resolve
from gameday.verify.bounds import Ruling
from tests.commanded import COMMAND, Gameday, wait_until
from tests.emulator.test_process import ready, start
from tests.gameday.test_cli import gameday as gameday
from tests.series import in_series, in_soak

PLANTED = """\
name: planted
transport: sqs
topology: {visibility_timeout: 30s}
load: {shape: ramp, from: 1/s, rate: 100/s, duration: 4s}
consumers: {processes: 2, handler: no-op, guard: none}
claims: [no-loss, {claim: lag, p99: 150ms}]
"""
CAPACITY = 200


@pytest.fixture
def planted(tmp_path: Path) -> str:
    path = tmp_path / "planted.yaml"
    path.write_text(PLANTED)
    return str(path)


@contextmanager
def throttled(*arguments: str) -> Iterator[str]:
    """A broker in memory that is held to a capacity; its URL."""
    process = start(*arguments)
    try:
        yield ready(process)
    finally:
        process.kill()
        process.wait()


def searched(*arguments: str, cwd: Path) -> tuple[int, dict[str, Any], str]:
    """Exit code, the object that it prints, and standard error."""
    # A search that hangs is cut off by its own limit.
    done = subprocess.run(
        [*COMMAND, "find-rate", *arguments, "--json", "--time-max", "8min"],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


# -- what is refused


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--from", "50"], "--from '50' has no unit"),
        (["--from", "0/s"], "--from is more than 0 and less than --to"),
        (["--from", "500/s", "--to", "100/s"], "--from is more than 0 and less than --to"),
        (["--to", "fast"], "--to 'fast' is not a rate"),
        (["--within", "200%"], "--within '200%' is not a share"),
        (["--within", "0%"], "a share from 0.5% to 100% belongs there"),
        (["--time-max", "30"], "--time-max '30' has no unit"),
        (["--set", "load.rate=5/s"], "load.rate is what find-rate sets"),
        (["--set", "load.duration=nope"], "load.duration"),
        (["--target", "aws"], "find-rate does not run on --target aws"),
        (["--runs-max", "0"], "--runs-max"),
    ],
)
def test_bad_usage(
    gameday: Callable[..., tuple[int, str, str]], planted: str, arguments: Sequence[str], told: str
) -> None:
    code, _, err = gameday("find-rate", planted, *arguments)
    assert code == 2
    assert told in " ".join(err.split())


def test_a_scenario_that_is_wrong_or_not_there(gameday: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    assert gameday("find-rate", "nowhere.yaml")[0] == 2
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(PLANTED.replace("ramp", "rump"))
    assert gameday("find-rate", str(wrong))[0] == 2


# -- the scenario of a step


def test_a_step_has_a_constant_rate_and_all_else_of_the_scenario(planted: str) -> None:
    read = load(Path(planted), ["load.groups=7"])
    step = at_constant_rate(read, 282.8, told_by="--to")
    assert (step.load.shape, step.load.rate, step.shape.highest) == ("constant", 282.8, 282.8)
    assert step.shape.total == round(282.8 * 4)
    assert (step.load.groups, step.load.duration) == (7, 4)
    assert (step.claims, step.consumers, step.topology) == (read.claims, read.consumers, read.topology)
    assert at_constant_rate(step, 100.0, told_by="--to").document == at_constant_rate(read, 100.0, told_by="").document


def test_a_load_that_says_no_shape() -> None:
    read = resolve(parse(PLANTED.replace("shape: ramp, from: 1/s, ", ""), name="scenario"))
    assert at_constant_rate(read, 5000.0, told_by="--to").load.rate == 5000


# -- what it comes to

ASKED = Asked(from_per_s=50, to_per_s=5000, within=0.05, runs_max=25, time_max_s=1800)


def step(rate: float, verdict: Ruling, *, late: int = 0, again: bool = False) -> Measured:
    broken = () if verdict == "holds" else (Broken(claim="lag", verdict=verdict, why="p99 is 3 s"),)
    return Measured(
        rate_per_s=rate,
        directory=f"runs/{rate:g}",
        verdict=verdict,
        again=again,
        took_s=9,
        p99_s=0.1,
        broken=broken,
        intended=1000,
        late=late,
        missed=0,
        refused={"RequestThrottled": 1},
        attempts=1000,
        call_p99_s=0.003,
        waiting=(),
    )


def curve(why: Why, *steps: Measured) -> Curve:
    holds = max((each.rate_per_s for each in steps if each.verdict == "holds"), default=None)
    fails = min((each.rate_per_s for each in steps if each.verdict != "holds"), default=None)
    ended = Ended(why=why, holds_per_s=holds, fails_per_s=fails)
    return Curve(scenario="planted", target="memory", asked=ASKED, steps=steps, ended=ended)


@pytest.mark.parametrize(
    ("came", "code", "told"),
    [
        (
            curve("found", step(100, "holds"), step(104, "violated")),
            0,
            [
                "the highest rate at which every claim holds: 100/s (not at 104/s)",
                "at 104/s gave way: lag (p99 is 3 s)",
            ],
        ),
        (
            curve("to holds", step(5000, "holds")),
            0,
            ["every claim holds at 5000/s, the highest rate asked for; raise --to to find what gives way"],
        ),
        (
            curve("from fails", step(50, "violated")),
            1,
            ["not even at 50/s, the lowest rate asked for, does every claim hold; lower --from"],
        ),
        (curve("from fails", step(50, "unknown")), 3, ["at 50/s no claim was broken, and not every one could be told"]),
        (
            curve("runs", step(50, "holds"), step(100, "violated")),
            3,
            ["stopped by --runs-max: every claim holds at 50/s, and not at 100/s"],
        ),
        (curve("time", step(50, "holds")), 3, ["stopped by --time-max: every claim holds at 50/s, and nothing higher"]),
        (
            curve("runs", step(50, "unknown")),
            3,
            ["stopped by --runs-max before a rate was found at which every claim holds"],
        ),
        (
            curve("found", step(100, "holds"), step(104, "unknown", late=500)),
            0,
            [
                "not proven of the broker or of the consumers: the load was late",
                "bottleneck: the load itself, not the broker, was late: 500 of 1,000 sends began late",
            ],
        ),
        (
            curve("found", step(100, "violated"), step(100, "holds", again=True), step(104, "violated")),
            0,
            ["steps tried once more because noise may have decided them: 1; the second time counts"],
        ),
    ],
)
def test_what_it_came_to(capsys: pytest.CaptureFixture[str], came: Curve, code: int, told: Sequence[str]) -> None:
    assert came.exit_code == code
    show(came, as_json=False)
    printed = capsys.readouterr().out
    assert all(each in printed for each in told), printed
    assert "the broker took no more" not in printed
    as_json = orjson.loads(orjson.dumps(document(came)))
    assert as_json["ended"]["why"] == (came.ended and came.ended.why)
    assert as_json["steps"][0]["refused"] == {"RequestThrottled": 1}


# -- whole searches


@pytest.mark.live
def test_a_broker_that_gives_less_than_the_lowest_rate(planted: str, tmp_path: Path) -> None:
    with throttled("--receives-per-s", "40") as url:
        code, found, err = searched(
            *(planted, "--from", "100/s", "--to", "200/s", "--endpoint-url", url, "--out", "steps"), cwd=tmp_path
        )
    assert (code, found["ended"]["why"]) == (1, "from fails"), found
    # On a machine that is busy the load may be late: such a step is tried once more, and the second time counts.
    *unclear, counted = found["steps"]
    nth = len(found["steps"])
    assert nth <= 2 and all(each["rate_per_s"] == 100 and each["verdict"] != "holds" for each in unclear)
    assert (counted["rate_per_s"], counted["verdict"], counted["directory"]) == (100, "violated", f"steps/0{nth}")
    assert [each["claim"] for each in counted["broken"]] == ["lag"]
    assert any(each.endswith("the broker gave no more") for each in counted["bottleneck"])
    assert "step 1: 100/s …" in err and f"step {nth}: 100/s: violated (lag)" in err
    directory = tmp_path / counted["directory"]
    assert json.loads((directory / "verdict.json").read_bytes())["verdict"] == "violated"
    # The shape is replaced: as many are due in each second.
    manifest = json.loads((directory / "manifest.json").read_bytes())
    assert manifest["scenario"]["load"]["shape"] == "constant"


@in_series
@pytest.mark.live
@in_soak
def test_a_broker_that_refuses_what_is_more(planted: str, tmp_path: Path) -> None:
    with throttled("--sends-per-s", "40") as url:
        code, found, _ = searched(
            *(planted, "--from", "100/s", "--to", "200/s", "--runs-max", "1", "--endpoint-url", url), cwd=tmp_path
        )
    assert code == 3, found
    (only,) = found["steps"]
    assert only["verdict"] != "holds"
    assert only["bottleneck"][0].startswith("the broker took no more")
    assert only["bottleneck"][0].endswith("RequestThrottled")


@in_series
@pytest.mark.live
def test_ctrl_c_ends_it_with_what_was_measured(planted: str, tmp_path: Path) -> None:
    search = Gameday(
        *(
            "find-rate",
            planted,
            "--from",
            "20/s",
            "--to",
            "160/s",
            "--target",
            "memory",
            "--out",
            str(tmp_path / "steps"),
        ),
        run=tmp_path / "steps" / "02",
        env={},
    )
    try:
        wait_until((tmp_path / "steps" / "01" / "verdict.json").exists, "the first step")
        search.wait_for_mark("load-started")
        search.send(signal.SIGINT)
        code, out, _ = search.end()
        assert code == 130
        assert "the search broke off; what stands above was measured" in out
        search.assert_nothing_left()
    finally:
        search.clean_up()


@pytest.mark.alone
@in_series
@in_soak
@pytest.mark.live
@pytest.mark.parametrize("time", [1, 2, 3])
def test_a_planted_capacity_is_found_within_five_percent(planted: str, tmp_path: Path, time: int) -> None:
    with throttled("--receives-per-s", str(CAPACITY)) as url:
        code, found, _ = searched(
            *(planted, "--from", "130/s", "--to", "1000/s", "--within", "3%", "--endpoint-url", url), cwd=tmp_path
        )
    assert code == 0, found["told"]
    assert CAPACITY * 0.95 <= found["ended"]["holds_per_s"] <= CAPACITY * 1.05, found["told"]

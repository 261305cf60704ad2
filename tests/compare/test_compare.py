"""Comparing runs: what is noise and what is not, on made-up delays by the dozen, on hand-made and on simulated runs."""

from __future__ import annotations

import math
import random
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

from benchmarks.compare import differences, simulated
from gameday.compare.compare import Comparison, Row, compare, rows
from gameday.compare.measure import RESOLUTION, Blocks, Delays, Measured, Recorded, read
from gameday.compare.noise import BLOCKS
from gameday.history.errors import NotARun, UsageError
from tests.series import in_series, in_soak
from tests.verify.handmade.builder import History, Json, queue

BLOCK_S = 1.0
PER_BLOCK = 60


def made_up(seed: int, *, slower: float = 1.0, duplicates: int = 0) -> Measured:
    """A minute of messages whose delays drift as a queue's do: a message's is much like that of the one before."""
    dice = random.Random(seed)
    state, delays = 0.0, Counter[tuple[int, int]]()
    for number in range(BLOCKS * PER_BLOCK):
        # It forgets within twenty messages, a third of a block.
        state = 0.95 * state + math.sqrt(1 - 0.95**2) * dice.gauss(0, 1)
        delay_s = 0.2 * slower * math.exp(0.1 * state + dice.gauss(0, 0.2))
        delays[math.floor(math.log(delay_s * 1e6) / RESOLUTION), number // PER_BLOCK] += 1
    latency = Delays.of((number, block, count) for (number, block), count in delays.items())
    full = [PER_BLOCK] * BLOCKS
    none = [0] * BLOCKS
    doubled = [dice.randint(0, 2 * duplicates) for _ in range(BLOCKS)]
    counted = {"redeliveries": none, "duplicate copies": none, "duplicate effects": doubled}
    blocks = Blocks(latency=latency, handled=None, messages=full, received=full, counted=counted)
    return Measured(block_s=BLOCK_S, sent=full, subscriptions={"orders": blocks})


def called(rows: Iterable[Row]) -> dict[str, str]:
    return {row.metric: row.call for row in rows if row.call != "same"}


@pytest.mark.parametrize(("pairs", "wrong_at_most"), [(20, 1), pytest.param(200, 5, marks=(in_series, in_soak))])
def test_noise_is_not_called_different(pairs: int, wrong_at_most: int) -> None:
    """Without a tolerance, so that nothing but the bounds is asked: 1 % of the pairs, give or take."""
    wrong = [
        seed for seed in range(pairs)
        if called(rows([made_up(2 * seed), made_up(2 * seed + 1)], tolerance=0.0, confidence=0.99))
    ]  # fmt: skip
    assert len(wrong) <= wrong_at_most, wrong


def test_a_slowdown_is_called_worse_and_a_speedup_better() -> None:
    for seed in range(10):
        pair = [made_up(1000 + 2 * seed), made_up(1001 + 2 * seed, slower=1.3)]
        assert called(rows(pair, tolerance=0.1, confidence=0.99)).get("latency p50") == "worse"
        assert called(rows(pair[::-1], tolerance=0.1, confidence=0.99)).get("latency p50") == "better"


def test_a_run_is_no_different_from_itself() -> None:
    itself = rows([made_up(1), made_up(1)], tolerance=0.0, confidence=0.99)
    assert {row.call for row in itself} == {"same"}
    assert [row.change for row in itself if row.unit == "s"] == [1.0, 1.0]


def test_what_is_within_the_tolerance_is_the_same() -> None:
    pair = [made_up(1), made_up(1, slower=1.3)]
    told = {row.metric: row for row in rows(pair, tolerance=0.4, confidence=0.99)}
    assert told["latency p50"].call == "same"
    assert told["latency p50"].change == pytest.approx(1.3, rel=0.01)


def test_a_few_milliseconds_are_no_regression_whatever_their_share() -> None:
    pair = [made_up(1, slower=0.02), made_up(2, slower=0.03)]
    assert not called(rows(pair, tolerance=0.1, confidence=0.99))


def test_one_bad_second_proves_nothing_and_duplicates_all_over_do() -> None:
    before, after = made_up(1), made_up(2)
    once = [20 if block == 7 else 0 for block in range(BLOCKS)]
    blocks = after.subscriptions["orders"]
    one_second = Blocks(
        latency=blocks.latency, handled=None, messages=blocks.messages, received=blocks.received,
        counted={**blocks.counted, "redeliveries": once},
    )  # fmt: skip
    bad = Measured(block_s=BLOCK_S, sent=after.sent, subscriptions={"orders": one_second})
    assert not called(rows([before, bad], tolerance=0.1, confidence=0.99))
    told = called(rows([before, made_up(2, duplicates=2)], tolerance=0.1, confidence=0.99))
    assert told == {"duplicate effects": "worse"}


# Whole runs


def history(
    delays_s: Sequence[float], *, claims: Sequence[str | Json] = ("no-loss",), lost: int = 0, drained: bool = True,
    scenario: Json | None = None, target: str = "memory",
) -> History:  # fmt: skip
    """A message every 20 ms, each received after its delay; the last `lost` of them never."""
    h = History({"orders": queue()}, claims, manifest={"scenario": scenario or {"name": "made"}, "target": target})
    for number, delay_s in enumerate(delays_s):
        at = 1 + number / 50
        h.send(f"m{number}", at=at, group=None)
        if number < len(delays_s) - lost:
            h.take(f"m{number}", at=at + 0.01 + delay_s)
    if drained:
        h.drained(at=1 + len(delays_s) / 50 + 30)
    return h


@pytest.fixture(scope="module", autouse=True)
def judged_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Judging them is most of the time, and most of them are compared several times."""
    place = tmp_path_factory.mktemp("tables")

    @cache
    def once(run: Path) -> Recorded:
        scratch = place / str(len(list(place.iterdir())))
        scratch.mkdir()
        return read(run, scratch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gameday.compare.compare.read", lambda run, scratch, progress: once(run))
        yield


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return history(noisy(1)).write(tmp_path_factory.mktemp("first") / "run")


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return history(noisy(2)).write(tmp_path_factory.mktemp("second") / "run")


def noisy(seed: int, count: int = 600) -> list[float]:
    dice = random.Random(seed)
    return [0.1 * math.exp(dice.gauss(0, 0.2)) for _ in range(count)]


def test_the_same_runs_always_get_the_same_answer(first: Path, second: Path, tmp_path: Path) -> None:
    once = compare([first, second])
    # Elsewhere, so that they are read and judged anew.
    copied = [Path(shutil.copytree(run, tmp_path / run.parent.name)) for run in (first, second)]
    again = compare(copied)
    assert (once.rows, once.claims, once.compared_s) == (again.rows, again.claims, again.compared_s)
    assert (once.verdict, {row.call for row in once.rows}) == ("no regression", {"same"})


def test_the_warm_up_is_left_out(first: Path, tmp_path: Path) -> None:
    cold = history([delay_s + (1.0 if n < 60 else 0.0) for n, delay_s in enumerate(noisy(2))]).write(tmp_path / "cold")
    # 60 messages are 1.2 s of 12.
    assert compare([first, cold]).verdict == "no regression"
    told = {row.metric: row for row in compare([first, cold], warm_up_s=0).rows}
    assert told["latency p99"].value == pytest.approx(1.1, rel=0.3)


def test_several_runs_are_each_compared_with_the_first(first: Path, second: Path, tmp_path: Path) -> None:
    slow = history([2 * delay_s for delay_s in noisy(3)]).write(tmp_path / "slow")
    comparison = compare([first, second, slow])
    assert {(row.run, row.metric) for row in comparison.rows if row.call == "worse"} == {
        (2, "latency p50"), (2, "latency p99"),
    }  # fmt: skip
    assert comparison.verdict == "regressed"


def test_what_never_came_makes_no_run_faster(first: Path, tmp_path: Path) -> None:
    # A slow tail that is not received at all, and nobody knows why.
    lossy = history(noisy(2), lost=30).write(tmp_path / "lossy")
    comparison = compare([first, lossy])
    told = {row.metric: row for row in comparison.rows}
    value = told["latency p99"].value
    assert value is not None and value > 10
    assert [(claim.claim, claim.call) for claim in comparison.claims] == [("no-loss", "worse")]
    assert comparison.verdict == "regressed"


def test_a_claim_that_is_no_longer_settled_is_no_pass(first: Path, tmp_path: Path) -> None:
    undrained = history(noisy(2), drained=False).write(tmp_path / "undrained")
    assert compare([first, undrained]).verdict == "unknown"
    assert compare([undrained, first]).verdict == "no regression"


def test_too_few_messages_say_nothing(tmp_path: Path) -> None:
    few = [history(noisy(seed, 300)).write(tmp_path / str(seed)) for seed in (1, 2)]
    told = {row.metric: row for row in compare(few).rows}
    assert (told["latency p99"].call, told["latency p99"].why) == ("unknown", "270 messages; p99 asks for 500")
    assert told["latency p50"].call == "same"


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"scenario": {"name": "made", "load": {"rate": "9/s"}}}, "scenario.load is {'rate': '9/s'} and was nothing"),
        ({"target": "embedded"}, "target is embedded and was memory"),
    ],
)
def test_runs_of_different_things_are_compared_only_when_asked(
    first: Path, tmp_path: Path, other: Json, named: str
) -> None:
    runs = [first, history(noisy(2), **other).write(tmp_path / "2")]
    with pytest.raises(UsageError) as error:
        compare(runs)
    assert named in str(error.value) and "--anyway" in str(error.value)
    comparison = compare(runs, anyway=True)
    assert comparison.verdict == "no regression"
    assert comparison.differences == [f"{runs[1]}: {named}"]


def test_bad_usage_is_told(first: Path, tmp_path: Path) -> None:
    silent = History({"orders": queue()}, ["no-loss"], manifest={"scenario": {"name": "made"}, "target": "memory"})
    with pytest.raises(UsageError, match="two runs or more"):
        compare([first])
    with pytest.raises(NotARun):
        compare([first, tmp_path / "nowhere"])
    with pytest.raises(UsageError, match="no message was sent"):
        compare([first, silent.write(tmp_path / "silent")])
    with pytest.raises(UsageError, match="nothing is left to compare"):
        compare([first, first], warm_up_s=60)


@in_series
@in_soak
def test_simulated_runs(tmp_path: Path) -> None:
    """A slice of `python -m benchmarks.compare simulation`."""
    played = {name: tmp_path / name for name in ("baseline", "same", "slowed")}
    for seed, (name, directory) in enumerate(played.items(), start=1):
        simulated(seed, 1.3 if name == "slowed" else 1.0, directory)
    same = compare([played["baseline"], played["same"]])
    assert (differences(same), same.verdict) == ([], "no regression")
    slowed: Comparison = compare([played["baseline"], played["slowed"]], anyway=True)
    assert "until done p50" in called(slowed.rows)
    assert slowed.verdict == "regressed"

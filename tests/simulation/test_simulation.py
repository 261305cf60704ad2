"""A slice of the simulation, and whether it would notice: that rare paths are reached and that what is broken is found.

The rest runs by `python -m tests.simulation --seeds FIRST:END`, by the thousand; `make series` does it.
"""

from __future__ import annotations

import copy
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from gameday.consumers import guards, handlers, leases, stream
from gameday.consumers.guards import GUARDS
from gameday.consumers.handlers import HANDLERS
from gameday.emulator.queues import Conduct
from gameday.history.clock import NS_PER_S, Clock
from gameday.loadgen.lanes import Lane
from gameday.processes import clock_sync
from gameday.simulation.batch import judged
from gameday.simulation.kernel import World
from gameday.simulation.network import Network, Trouble
from gameday.transports.base import CallFailed
from gameday.verify import explaining
from gameday.verify.registry import CAUSES
from tests.series import in_series, in_soak, sooner
from tests.simulation.check import Result, check, reached
from tests.simulation.plan import (
    BROKEN,
    FIFO,
    HARMLESS,
    ON_CONSUMERS,
    ON_NETWORK,
    PLANTED,
    POINTS,
    TRANSPORTS,
    UNCLAIMED,
    Counts,
    Fault,
    OnHost,
    Plan,
    draw,
)
from tests.simulation.play import Played, play
from tests.simulation.shrink import shrink
from tests.simulation.truth import Truth, complaints, expected, failures_of_the_parts

# Fixed, so that a test that fails says the same tomorrow.
SLICE = range(24)
ON_HOSTS = range(24)
DRAWN = range(6_000)
# How many runs that could reach something are played for it.
TRIES = 5
MUST_BE_FOUND = [name for name in PLANTED if name not in (*HARMLESS, *UNCLAIMED)]

Play = Callable[[Plan], Played]


@pytest.fixture
def played(tmp_path: Path) -> Play:
    """Plays a plan; the history is gone when the next one is played."""

    def go(plan: Plan) -> Played:
        directory = tmp_path / "run"
        shutil.rmtree(directory, ignore_errors=True)
        return play(plan, directory)

    return go


@cache
def plans() -> Sequence[Plan]:
    return [draw(seed) for seed in DRAWN]


def _drawn() -> Iterator[Plan]:
    """The same, drawn only once somebody asks for the first."""
    yield from plans()


# Seeds that are known to show what is searched for, so that the search is short.
STRUCK_AT = {
    "forget-in-flight": 60, "no-dead-letter": 20, "no-dedup": 779, "dedup-forgets-after-delete": 747,
    "dedup-ignores-content": 77, "redrive-loses": 96, "pattern-never": 734,
    "stale-receipt-refused": 2307, "stale-receipt-deletes": 5340,
}  # fmt: skip
BLAMED_AT = 7
# Where visibility timeouts run out and nothing is wrong with the broker; and where one gives too much.
EXPIRES_AT, UNLOCKS_AT = 46, 215
FAILED_AT = (2, 141, 181, 220, 1389)
REACHED_AT = (2, 192, 182, 245, 430, 257, 213, 62, 1342, 249, 179, 25, 93, 68, 122, 54, 11, 155)


def known(*seeds: int) -> Iterator[Plan]:
    """The plans of these seeds, and after them every other."""
    return sooner(map(draw, seeds), _drawn())


def with_defect(name: str) -> Iterator[Plan]:
    these = known(STRUCK_AT[name]) if name in STRUCK_AT else iter(plans())
    return (plan for plan in these if plan.planted is not None and plan.planted.partition(":")[0] == name)


def correct(*transports: str) -> Iterator[Plan]:
    these = known(*FAILED_AT)
    return (p for p in these if p.planted is None and p.broken is None and p.transport in (transports or TRANSPORTS))


class TestRuns:
    def test_a_slice_is_judged_rightly(self) -> None:
        results = check([draw(seed) for seed in SLICE])
        wrong = {f"python -m tests.simulation --seed {r.plan.seed}": r.complaints for r in results if r.complaints}
        assert wrong == {}
        assert {result.verdict for result in results} == {"holds", "violated", "unknown"}

    def test_the_same_seed_is_the_same_run_to_the_byte(self, tmp_path: Path) -> None:
        """In another process, too, where sets come in another order."""
        script = (
            "import sys; from pathlib import Path; from tests.simulation.plan import draw; "
            "from tests.simulation.play import play\n"
            "for seed in range(12): play(draw(seed), Path(sys.argv[1]) / str(seed))"
        )
        digests = set()
        for hash_seed in ("1", "2"):
            place = tmp_path / hash_seed
            subprocess.run(
                [sys.executable, "-c", script, str(place)], check=True, env={**os.environ, "PYTHONHASHSEED": hash_seed}
            )
            files = sorted(place.rglob("*.jsonl"))
            assert len(files) > 12
            digest = hashlib.sha256()
            for file in files:
                digest.update(file.name.encode() + file.read_bytes())
            digests.add(digest.hexdigest())
        assert len(digests) == 1


def of_their_own(plan: Plan) -> Plan | None:
    """The same run of messages that are not ours; None where it needs what only ours have."""
    topology, load = plan.scenario["topology"], dict(plan.scenario["load"])
    said = {key for spec in topology["subscriptions"] for key in spec} & {"filter", "pattern", "queue"}
    if said or load.pop("poison", None) or topology.get("redrive"):
        return None
    order = {"id": "o-{n}", "who": f"c{{int:1:{load.pop('groups')}}}"}
    event = {"source": "shop", "detail-type": "Placed", "detail": order}
    place = "/detail" if plan.transport == "eventbridge" else ""
    del load["payload"]
    message = {"template": event if place else order, "id": f"{place}/id", "group": f"{place}/who"}
    return replace(plan, scenario={**plan.scenario, "load": {**load, "message": message}})


def test_messages_that_are_not_ours_are_judged_rightly() -> None:
    """Correct runs and broken ones, on every transport: what is told of them is what happened."""
    per_transport = 2
    chosen: dict[str, list[Plan]] = {transport: [] for transport in TRANSPORTS}
    for plan in map(draw, range(400)):
        here = chosen[plan.transport]
        if len(here) < per_transport and plan.planted is None and (own := of_their_own(plan)) is not None:
            here.append(own)
    assert all(len(here) == per_transport for here in chosen.values())
    results = check([plan for here in chosen.values() for plan in here])
    assert {f"seed {r.plan.seed}": r.complaints for r in results if r.complaints} == {}
    assert {"holds", "violated"} <= {result.verdict for result in results}


REACHED: Mapping[str, Callable[[Plan], bool]] = {
    **{f"transport {name}": partial(lambda name, plan: plan.transport == name, name) for name in TRANSPORTS},
    **{f"broken {name}": partial(lambda name, plan: plan.broken == name, name) for name in BROKEN},
    **{
        f"fault {kind}": partial(lambda kind, plan: any(fault.kind == kind for fault in plan.faults), kind)
        for kind in (*ON_CONSUMERS, *ON_NETWORK, "lose-delete", "split", "merge")
    },
    **{
        f"crash {point}": partial(lambda point, plan: any(fault.point == point for fault in plan.faults), point)
        for point in POINTS
    },
    "torn write": lambda plan: any(fault.kind == "kill-in-write" for fault in plan.faults),
    "redriven": lambda plan: bool(plan.scenario["topology"].get("redrive")),
    "replayed": lambda plan: bool(plan.scenario["topology"].get("replay")),
    "correct": lambda plan: plan.planted is None and plan.broken is None,
}


class TestHosts:
    """Runs on several hosts, whose clocks are off, drift and step, and are measured by round trips."""

    @in_series
    @in_soak
    def test_nobody_is_blamed_for_a_clock_and_what_is_out_of_order_is_found(self) -> None:
        results = check([draw(seed, on_hosts=True) for seed in ON_HOSTS])
        wrong = {
            f"python -m tests.simulation --hosts --seed {r.plan.seed}": r.complaints for r in results if r.complaints
        }
        assert wrong == {}
        counts = Counts()
        for result in results:
            for name, times in result.counts.items():
                counts.add(name, times)
        assert counts.of["hosts"] == len(results)
        assert counts.of["hosts reordered beyond the bound"] > 0
        assert counts.of["hosts reordered beyond the bound, found"] == counts.of["hosts reordered beyond the bound"]
        for name in ("hosts unsynchronised", "hosts silent", "hosts: a claim holds", "hosts: a claim violated"):
            assert counts.of[name] > 0, name

    def test_without_them_a_seed_draws_what_it_would_have_drawn(self) -> None:
        drawn = [draw(seed) for seed in range(200)]
        assert 5 < sum(bool(plan.hosts) for plan in drawn) < 50
        assert all(plan == draw(plan.seed, on_hosts=False) for plan in drawn if not plan.hosts)
        assert not any(draw(seed, on_hosts=False).hosts for seed in range(50))

    def test_a_step_that_is_seen_leaves_the_clock_unknown(self, tmp_path: Path) -> None:
        """And one that no measurement can tell is within what the marks say."""
        known = set()
        for number, step_ns in enumerate((NS_PER_S, -NS_PER_S, 2_000_000, -2_000_000)):
            plan = replace(self.correct_on_hosts(), hosts=(self.host(step_at_s=1.0, step_ns=step_ns),))
            truth = Truth(play(plan, tmp_path / str(number)))
            assert truth.clocks_belied == []
            known.add((abs(step_ns), not truth.unsynchronised))
        assert known == {(NS_PER_S, False), (2_000_000, True)}

    def test_an_error_that_is_too_small_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """By the marks themselves, and by the verdict of some run, which blames the broker."""
        mark = clock_sync.HostClock._mark

        def too_small(host: clock_sync.HostClock, error_ns: int | None) -> Any:
            return mark(host, error_ns and error_ns // 100)

        monkeypatch.setattr(clock_sync.HostClock, "_mark", too_small)
        wrong = next(filter(None, (self.wrongly_blamed(seed) for seed in sooner([BLAMED_AT], DRAWN))))
        assert any(complaint.startswith("parts: clocks: h") for complaint in wrong)

    def wrongly_blamed(self, seed: int) -> Sequence[str]:
        (result,) = check([draw(seed, on_hosts=True)])
        return result.complaints if any("wrong blame" in complaint for complaint in result.complaints) else ()

    def test_an_offset_that_is_not_taken_off_is_found(self, monkeypatch: pytest.MonkeyPatch, played: Play) -> None:
        def raw(found: clock_sync.Measured) -> Clock:
            return Clock(epoch_ns=found.at_ns, monotonic_ns=found.at_ns)

        plan = replace(self.correct_on_hosts(), hosts=(self.host(),))
        assert list(failures_of_the_parts(Truth(played(plan)))) == []
        monkeypatch.setattr(clock_sync, "clock_of", raw)
        # The second measurement contradicts the first, so that nobody is blamed by it, and nothing holds.
        (wrong,) = failures_of_the_parts(Truth(played(plan)))
        assert wrong == "parts: clocks: h1 is steady and is measured, and nobody knows how far it is off"

    def host(self, **fields: Any) -> OnHost:
        return OnHost(name="h1", ahead_ns=-300_000_000, rate_ppm=300, **fields)

    def correct_on_hosts(self) -> Plan:
        plan = next(p for p in correct("sqs") if not p.faults)
        return replace(plan, latency_s=(0.0005, 0.003), clock_error_ns=0)


class TestWhatIsReached:
    """Over a fixed range nothing that a run could meet is never met."""

    @pytest.fixture(scope="class")
    @classmethod
    def counts(cls, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, int]:
        counts, place = Counts(), tmp_path_factory.mktemp("runs")
        chosen = {p.seed: p for could in REACHED.values() for p in islice(filter(could, plans()), TRIES)}
        for number, plan in enumerate(sooner(map(draw, REACHED_AT), chosen.values())):
            one = play(plan, place / str(number))
            assert one.failures == []
            for name, times in reached(one, {}).items():
                counts.add(name, times)
            shutil.rmtree(place / str(number))
            if all(counts.of.get(name) for name in REACHED):
                break
        return counts.of

    @pytest.mark.parametrize("name", REACHED)
    def test_it_is_reached(self, counts: Mapping[str, int], name: str) -> None:
        assert counts.get(name, 0) > 0


class TestDefects:
    @in_series
    def test_each_that_breaks_a_claim_is_met_and_found(self, tmp_path: Path) -> None:
        """Met: what really happened says that some claim must not hold."""
        met: dict[str, Played] = {}
        for name in MUST_BE_FOUND:
            for number, plan in enumerate(with_defect(name)):
                one = play(plan, tmp_path / name / str(number))
                claimed = {claim.claim for claim in one.manifest.claims} - {"lag"}
                if one.struck and any(e.must for claim, e in expected(Truth(one)).items() if claim in claimed):
                    met[name] = one
                    break
        assert [name for name in MUST_BE_FOUND if name not in met] == []
        documents = dict(zip(met, judged([one.directory for one in met.values()]), strict=True))
        told = {name: complaints(Truth(one), documents[name]) for name, one in met.items()}
        assert {name: wrong for name, wrong in told.items() if wrong} == {}
        assert [name for name, document in documents.items() if document["verdict"] == "holds"] == []

    @pytest.mark.parametrize("name", [name for name in (*HARMLESS, *UNCLAIMED) if name != "dedup-never-forgets"])
    def test_one_that_breaks_no_claim_strikes_all_the_same(self, played: Play, name: str) -> None:
        assert any(played(plan).struck for plan in with_defect(name))


class TestParts:
    """A mistake in a part of ours is found, though everything else is right."""

    def found(self, played: Play, what: str, *transports: str) -> bool:
        return any(
            f"parts: {what}" in wrong
            for plan in correct(*transports)
            for wrong in failures_of_the_parts(Truth(played(plan)))
        )

    def test_a_guard_that_guards_nothing(self, played: Play, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(GUARDS, "transaction", replace(GUARDS["transaction"], stand_around=guards.none))
        assert self.found(played, "applied twice")

    def test_a_worker_that_deletes_first(self, played: Play, monkeypatch: pytest.MonkeyPatch) -> None:
        wrong = replace(HANDLERS["reference"], handle=handlers.delete_first)
        monkeypatch.setitem(HANDLERS, "reference", wrong)
        assert self.found(played, "never applied", "sqs", "sqs-fifo", "sns")

    def test_a_sender_whose_retries_keep_no_order(self, played: Play, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Lane, "_track_of", lambda self, message: message.id)
        assert self.found(played, "stored in the wrong order", *FIFO, "kinesis")

    def test_a_reader_that_checkpoints_too_much(self, played: Play, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stream, "takewhile", lambda handled, batch: batch)
        assert self.found(played, "never applied", "kinesis")

    def test_leases_of_children_before_their_parents(self, played: Play, monkeypatch: pytest.MonkeyPatch) -> None:
        def early(*args: Any, **kwargs: Any) -> Any:
            return leases.plan(*args, **{**kwargs, "early": True})

        monkeypatch.setattr(stream, "plan", early)
        assert self.found(played, "effects of a group in the wrong order", "kinesis")

    def test_a_queue_that_deduplicates_nothing(self, played: Play, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Conduct, "deduplicates", lambda self: False)
        assert self.found(played, "twice in a FIFO queue", *FIFO)


class TestTruth:
    """A verdict that is not what happened is told, whichever way it is wrong."""

    @pytest.fixture(scope="class")
    @classmethod
    def doubled(cls, tmp_path_factory: pytest.TempPathFactory) -> tuple[Truth, dict[str, Any]]:
        """A run in which effects were doubled and nothing else is wrong."""
        for number, plan in enumerate(p for p in plans() if p.broken == "none" and p.transport == "sqs-fifo"):
            directory = tmp_path_factory.mktemp("judged") / str(number)
            truth = Truth(play(plan, directory))
            if truth.doubled_effects and truth.played.drained and not truth.missing_effects:
                (document,) = judged([directory])
                return truth, document
        raise AssertionError("no run has doubled an effect")

    def test_the_right_one_is_right(self, doubled: tuple[Truth, dict[str, Any]]) -> None:
        assert complaints(*doubled) == []

    @pytest.mark.parametrize(
        ("claim", "verdict", "complaint"),
        [
            ("exactly-once-effect", "holds", "missed: exactly-once-effect holds"),
            ("exactly-once-effect", "unknown", "not found: exactly-once-effect is unknown"),
            ("no-loss", "violated", "wrong blame: no-loss"),
            ("ordered-per-group", "violated", "wrong blame: ordered-per-group"),
        ],
    )
    def test_a_wrong_one_is_told(
        self, doubled: tuple[Truth, dict[str, Any]], claim: str, verdict: str, complaint: str
    ) -> None:
        truth, document = doubled
        forged = copy.deepcopy(document)
        next(each for each in forged["claims"] if each["claim"] == claim)["verdict"] = verdict
        assert [told[: len(complaint)] for told in complaints(truth, forged)] == [complaint]

    @pytest.mark.parametrize("anomaly", ["effect-duplicate", "lost", "vanished", "phantom", "misrouted"])
    def test_a_wrong_count_is_told(self, doubled: tuple[Truth, dict[str, Any]], anomaly: str) -> None:
        truth, document = doubled
        forged = copy.deepcopy(document)
        forged["anomalies"][anomaly]["count"] += 1
        assert [told.partition(" is ")[0] for told in complaints(truth, forged)] == [f"count: {anomaly}"]


class TestCauses:
    """A cause that is not what happened is told, and so is one that is missing."""

    @pytest.mark.parametrize(
        ("cause", "query", "complaint"),
        [
            (
                "holder-killed",
                "SELECT what, s, id, subject_line AS line FROM holds",
                "causes: holder-killed of redelivery",
            ),
            ("broker", "SELECT what, s, id, line FROM subjects", "causes: broker of"),
        ],
    )
    def test_a_wrong_one_is_told(self, cause: str, query: str, complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
        sql = f"SELECT *, NULL AS instance, NULL AS excess_ns FROM ({query})"
        wrong = {**CAUSES, cause: replace(CAUSES[cause], number=0, sql=sql)}
        monkeypatch.setattr(explaining, "CAUSES", wrong)
        (result,) = check([draw(EXPIRES_AT)])
        assert [told for told in result.complaints if told.startswith(complaint)] == result.complaints != []

    def test_a_broker_that_is_not_blamed_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(explaining, "CAUSES", {name: each for name, each in CAUSES.items() if name != "broker"})
        (result,) = check([draw(UNLOCKS_AT)])
        (told,) = result.complaints
        assert told.startswith("causes: group-overtake") and "can only be the broker's" in told


class TestShrinking:
    def test_what_fails_is_made_as_small_as_it_gets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of a run with many faults what is left is the one that a guard which guards nothing cannot survive."""
        monkeypatch.setitem(GUARDS, "transaction", replace(GUARDS["transaction"], stand_around=guards.none))
        many = (plan for plan in correct("sqs") if len(plan.faults) >= 4)
        found = next(result for plan in many if self._doubles(result := check([plan], judging=False)[0]))
        smallest = shrink(found)
        assert self._doubles(smallest)
        assert len(smallest.plan.faults) <= 1
        assert float(smallest.plan.scenario["load"]["rate"].removesuffix("/s")) <= 4

    def _doubles(self, result: Result) -> bool:
        return bool(result.complaints) and "applied twice" in result.complaints[0]

    def test_a_plan_survives_being_printed(self) -> None:
        for seed in range(20):
            plan = draw(seed, on_hosts=seed % 2 == 0)
            assert Plan.from_json(plan.to_json()) == plan


class TestFaults:
    """What a fault of the simulation does is what it says."""

    def plan(self, *faults: Fault) -> Plan:
        quiet = next(p for p in correct("sqs-fifo") if p.scenario["consumers"]["processes"] == 1)
        scenario = copy.deepcopy(dict(quiet.scenario))
        scenario["consumers"] |= {"processing_time": "50ms", "concurrency": 1}
        scenario["load"] |= {"rate": "10/s", "duration": "2s"}
        return replace(quiet, scenario=scenario, faults=faults, latency_s=(0.001, 0.001), clock_error_ns=0)

    def by(self, one: Played, writer: str) -> list[int]:
        return [written.at for written in one.records if written.by == writer]

    def test_who_was_killed_writes_nothing_more_and_is_replaced(self, played: Play) -> None:
        one = played(self.plan(Fault(kind="kill", at_s=1.0)))
        (start,) = [w.at for w in one.records if w.record["event"] == "fault" and w.record["phase"] == "start"]
        assert max(self.by(one, "orders-1.1")) <= start < min(self.by(one, "orders-1.2"))

    def test_who_is_paused_goes_on_where_it_was(self, played: Play) -> None:
        one = played(self.plan(Fault(kind="pause", at_s=0.5, for_s=1.0)))
        start, stop = [w.at for w in one.records if w.record["event"] == "fault"]
        at = self.by(one, "orders-1.1")
        assert stop - start >= NS_PER_S
        assert [each for each in at if start < each < stop] == []
        assert min(at) < start < stop < max(at)

    def test_a_write_is_torn_within_its_batch(self, played: Play, tmp_path: Path) -> None:
        ends = set()
        for seed in range(12):
            plan = replace(self.plan(Fault(kind="kill-in-write", at_s=1.0)), seed=seed)
            one = played(plan)
            text = (one.directory / "history" / "orders-1.1.jsonl").read_bytes()
            ends.add(text.endswith(b"\n"))
            told = sum(written.by == "orders-1.1" for written in one.records)
            assert text.count(b"\n") <= told <= text.count(b"\n") + 1
        assert False in ends

    @pytest.mark.parametrize(
        ("fate", "served", "code"),
        [
            (None, [0.1], None),
            ("lose-request", [], "ReadTimeoutError"),
            ("lose-answer", [0.1], "ReadTimeoutError"),
            ("late-request", [3.1], "ReadTimeoutError"),
            ("late-answer", [0.1], "ReadTimeoutError"),
            ("refuse", [], "ThrottlingException"),
        ],
    )
    def test_the_network_does_to_a_request_what_it_says(self, fate: Any, served: list[float], code: str | None) -> None:
        world = World(seed=1, step_ns=0)
        network = Network(world, latency_s=(0.1, 0.1), timeout_s=2.0)
        if fate is not None:
            network.troubles.append(
                Trouble(fate=fate, share=1.0, whom=lambda who: who == "me", what=lambda what: True, late_s=3.0)
            )
        moments: list[float] = []
        told: list[object] = []

        def serve(reply: Callable[[object], object], entries: object) -> None:
            moments.append(round(world.passed_s, 3))
            reply("done")

        network.exchange("me", "DoIt", serve, told.append)
        world.at(world.now_ns + 10 * NS_PER_S, lambda: moments.append(10.0))
        world.run(lambda: 10.0 in moments, steps_max=100, within_s=20)
        assert moments[:-1] == served
        if code is None:
            assert told == ["done"]
        else:
            (failed,) = told
            assert isinstance(failed, CallFailed)
            assert (failed.code, failed.definite) == (code, fate == "refuse")

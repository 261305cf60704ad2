"""Scenarios on a clock that jumps come to what they come to on real processes: those that are shipped, and the proofs
of every fault that can be simulated."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gameday.history.errors import ProcessError
from gameday.processes.disturbances import Disturbance, Disturbances
from gameday.run.phases.redrive import NOTHING_DEAD
from gameday.run.rehearsal import surprises
from gameday.scenario import document as documents
from gameday.scenario import reading
from gameday.scenario.model import Scenario
from gameday.scenario.reading import resolve
from gameday.simulation.batch import Batch, Order, judged, play_batch
from gameday.simulation.consumers import Simulated
from gameday.simulation.kernel import Stuck, World
from gameday.simulation.network import Network
from gameday.simulation.play import play
from gameday.simulation.scope import FAULTS, TRANSPORTS, unsimulated
from gameday.transports.base import CallFailed
from gameday.verify.judge import judge
from tests.chaos.proofs import PROOFS, Proof
from tests.chaos.proven import Turn

SHIPPED = {
    name: scenario for name in reading.names() if not list(unsimulated(scenario := reading.load(reading.find(name))))
}


def played(scenarios: Mapping[str, Scenario], place: Path) -> dict[str, dict[str, Any]]:
    """The object of verdict.json of each, by its name."""
    for name, scenario in scenarios.items():
        play(scenario, seed=1, directory=place / name)
    return dict(zip(scenarios, judged([place / name for name in scenarios]), strict=True))


def written(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def resolved(text: str, overrides: Sequence[str], place: Path) -> Scenario:
    path = place / "scenario.yaml"
    path.write_text(text)
    return resolve(documents.override(documents.read(path), overrides))


class TestShipped:
    def test_most_of_them_can_be_simulated(self) -> None:
        assert len(SHIPPED) > 35 and {scenario.transport for scenario in SHIPPED.values()} == {*TRANSPORTS}

    @pytest.mark.parametrize("transport", TRANSPORTS)
    def test_each_comes_to_what_it_expects(self, transport: str, tmp_path: Path) -> None:
        scenarios = {name: scenario for name, scenario in SHIPPED.items() if scenario.transport == transport}
        found = played(scenarios, tmp_path)
        assert {name: wrong for name in scenarios if (wrong := surprises(scenarios[name].expect, found[name]))} == {}  # type: ignore[arg-type]


class TestFaults:
    @pytest.mark.parametrize("fault", FAULTS)
    def test_who_is_correct_holds_and_who_is_broken_is_caught(self, fault: str, tmp_path: Path) -> None:
        proof = PROOFS[fault]
        assert isinstance(proof, Proof)
        turns = {broken: Turn(fault=fault, proof=proof, broken=broken) for broken in (False, True)}
        scenarios = {turn.name: resolved(turn.scenario, turn.overrides, tmp_path) for turn in turns.values()}
        found = played(scenarios, tmp_path)
        assert {turn.name: wrong for turn in turns.values() if (wrong := turn.surprises(found[turn.name]))} == {}


class TestPlaying:
    def test_the_same_seed_is_the_same_run_to_the_byte(self, tmp_path: Path) -> None:
        for name, seed in (("one", 1), ("same", 1), ("other", 2)):
            play(SHIPPED["broken-check-then-act"], seed=seed, directory=tmp_path / name)
        one, same, other = (written(tmp_path / name) for name in ("one", "same", "other"))
        assert one == same != other

    def test_whoever_is_killed_holds_nothing_of_the_machine_afterwards(self, tmp_path: Path) -> None:
        chaos = 'chaos=[{"fault": "kill-consumer", "every": "1s", "pick": "100%"}]'
        scenario = resolved(
            "name: mine\ntransport: sqs\nload: {rate: 10/s, duration: 5s}\nclaims: [no-loss]\n", [chaos], tmp_path
        )
        held = []
        for seed in range(3):
            play(scenario, seed=seed, directory=tmp_path / str(seed))
            held.append(len([*Path("/proc/self/fd").iterdir()]))
        assert held[0] == held[1] == held[2]

    def test_a_redrive_of_nothing_ends_the_run_as_on_real_processes(self, tmp_path: Path) -> None:
        scenario = resolved(reading.find("redrive").read_text(), ["load.poison=0%", "expect=null"], tmp_path)
        play(scenario, seed=1, directory=tmp_path / "run")
        assert judge(tmp_path / "run").document["aborted"] == NOTHING_DEAD

    def test_a_slot_that_nobody_can_be_started_in_ends_the_run(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def start(self: Simulated, name: str, armed: object) -> None:
            if not name.endswith(".1"):
                raise ProcessError(f"cannot start {name}")
            return await ours(self, name, armed)  # type: ignore[arg-type,return-value]

        ours = Simulated.start
        monkeypatch.setattr(Simulated, "start", start)
        play(SHIPPED["quick"], seed=1, directory=tmp_path / "run")
        assert "cannot start orders-" in judge(tmp_path / "run").document["aborted"]

    def test_a_limit_is_one_for_all_behind_a_wire_and_goes_by_the_clock_that_jumps(self, tmp_path: Path) -> None:
        chaos = 'chaos=[{"fault": "throttle", "at": "1s", "for": "3s", "operation": "receive", "rate": "2/s"}]'
        scenario = resolved(
            "name: mine\ntransport: sqs\nload: {rate: 20/s, duration: 5s}\nclaims: [no-loss]\n", [chaos], tmp_path
        )
        for name in ("one", "same"):
            play(scenario, seed=1, directory=tmp_path / name)
        # Two a second pass, and two more at once, of the calls that three consumers make meanwhile.
        (stop,) = [
            record
            for record in map(json.loads, (tmp_path / "one" / "history" / "conductor.jsonl").read_text().splitlines())
            if record["event"] == "fault" and record["phase"] == "stop"
        ]
        assert stop["params"]["fired"] > 5 and written(tmp_path / "one") == written(tmp_path / "same")

    def test_one_that_comes_to_no_end_says_so_and_proves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def run(self: World, *arguments: object, **limits: object) -> None:
            raise Stuck("the run is not over")

        monkeypatch.setattr(World, "run", run)
        play(SHIPPED["quick"], seed=1, directory=tmp_path / "run")
        verdict = judge(tmp_path / "run").document
        assert (verdict["verdict"], verdict["aborted"]) == ("unknown", "the run is not over")

    def test_a_part_that_fails_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def reference(*arguments: object, **more: object) -> None:
            raise RuntimeError("a bug of ours")

        monkeypatch.setattr("gameday.consumers.worker.Worker.run", reference)
        with pytest.raises(ProcessError, match=r"orders-\d\.1 died of itself(.|\n)*a bug of ours"):
            play(SHIPPED["quick"], seed=1, directory=tmp_path / "run")
        monkeypatch.undo()
        monkeypatch.setattr("gameday.simulation.play.plan", reference)
        with pytest.raises(ProcessError, match=r"the conductor failed(.|\n)*a bug of ours"):
            play(SHIPPED["quick"], seed=1, directory=tmp_path / "other")


class TestWire:
    @pytest.mark.parametrize(
        ("operation", "code"), [("ReceiveMessage", "ConnectionClosedError"), ("store.apply", None)]
    )
    def test_what_goes_to_a_store_does_not_go_over_it(self, operation: str, code: str | None) -> None:
        world = World(seed=1, step_ns=0)
        network = Network(world, latency_s=(0.1, 0.1), timeout_s=2.0)
        network.wires["orders-1.1"] = Disturbances(lambda instance: None)
        network.wires["orders-1.1"].arm(Disturbance(kind="lose-request", instance="lose-request-1"))
        told: list[object] = []
        network.exchange("orders-1.1", operation, lambda reply, entries: reply("done"), told.append)
        world.run(lambda: bool(told), steps_max=100, within_s=20)
        (heard,) = told
        assert (heard.code if isinstance(heard, CallFailed) else None) == code


class TestBatches:
    def test_each_is_judged_as_alone(self, tmp_path: Path) -> None:
        path = reading.find("broken-delete-first")
        calm = Order(number=7, overrides=["chaos=[]"], seed=1)
        broken = Order(number=3, overrides=[], seed=2)
        found = {each.number: each for each in play_batch(Batch(path=path, orders=[calm, broken]))}
        assert [*found] == [7, 3] and not any(each.failed for each in found.values())
        verdicts = {number: each.verdict and each.verdict["verdict"] for number, each in found.items()}
        assert verdicts == {7: "holds", 3: "violated"}


class TestScope:
    @pytest.mark.parametrize(
        ("override", "says"),
        [
            ("consumers.store=dynamodb", "consumers.store: dynamodb cannot be simulated"),
            ("transport=stepfunctions", "transport: stepfunctions cannot be simulated"),
            ('consumers={"command": ["python3"]}', "consumers: code of yours cannot be simulated"),
            ('consumers.handler={"python": "mine:handle"}', "consumers: code of yours cannot be simulated"),
            ('load.message={"template": {"id": "{uuid}"}, "id": "/id"}', "load.message: cannot be simulated"),
            ('chaos=[{"fault": "latency", "at": "1s", "by": "1s"}]', "chaos[0]: the fault latency cannot"),
            (
                'chaos=[{"fault": "kill-consumer", "when": {"backlog": ">5"}}]',
                "chaos[0]: a simulated fault cannot wait for a number",
            ),
            (
                'chaos=[{"fault": "lose-delete", "at": "1s", "nth": 2}]',
                "chaos[0]: a simulated lose-delete strikes a `share`, not the `nth`",
            ),
        ],
    )
    def test_what_cannot_be_simulated_is_named(self, tmp_path: Path, override: str, says: str) -> None:
        scenario = resolved(
            "name: mine\ntransport: sqs\nload: {rate: 10/s, duration: 5s}\nclaims: [no-loss]\n", [override], tmp_path
        )
        assert any(line.startswith(says) for line in unsimulated(scenario)), list(unsimulated(scenario))

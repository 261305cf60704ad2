"""`python -m tests.simulation`: runs by the seed on virtual time, each judged and held to what really happened.

    python -m tests.simulation --seeds 0:1000            a range; what fails is told with the command that repeats it
    python -m tests.simulation --seed 4711 --keep DIR    one seed, with its story; its run directory stays in DIR
    python -m tests.simulation --seed 4711 --shrink      made as small as it gets; the plan is printed
    python -m tests.simulation --seeds 0:200 --hosts     every run on several hosts, whose clocks are off
    python -m tests.simulation --plan FILE               a plan that was printed so

It exits 1 when a verdict is wrong or a part fails.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.simulation.check import Result, check, check_seeds
from tests.simulation.plan import Counts, Plan, draw
from tests.simulation.shrink import shrink, size


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Runs on virtual time.")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seeds", metavar="FIRST:END", help="a range of seeds")
    which.add_argument("--seed", type=int, help="one seed")
    which.add_argument("--plan", type=Path, help="a plan as --shrink prints it")
    parser.add_argument("--hosts", action="store_true", help="every run of these seeds on several hosts")
    parser.add_argument("--jobs", type=int, default=1, help="processes, for a range")
    parser.add_argument("--keep", type=Path, help="where the run directory of one seed stays")
    parser.add_argument("--shrink", action="store_true", help="make what fails as small as it gets")
    parser.add_argument("--reference", action="store_true", help="the slow judge must say the same (a second a run)")
    parser.add_argument("--counts", action="store_true", help="after a range, tell what was reached how often")
    arguments = parser.parse_args(argv)
    if arguments.seeds:
        first, _, end = arguments.seeds.partition(":")
        return _range(range(int(first), int(end)), arguments)
    plan = (
        draw(arguments.seed, on_hosts=arguments.hosts or None)
        if arguments.plan is None
        else Plan.from_json(arguments.plan.read_bytes())
    )
    (result,) = check([plan], keep=arguments.keep, reference=arguments.reference)
    _tell(result)
    if arguments.shrink and result.complaints:
        _shrink(result)
    return 1 if result.complaints else 0


def _range(seeds: range, arguments: argparse.Namespace) -> int:
    began, failed, counts = time.monotonic(), 0, Counts()
    how = {"jobs": arguments.jobs, "reference": arguments.reference, "on_hosts": arguments.hosts or None}
    for number, result in enumerate(check_seeds(seeds, **how), start=1):
        for name, times in result.counts.items():
            counts.add(name, times)
        if result.complaints:
            failed += 1
            print(f"seed {result.plan.seed} ({_named(result.plan)}): {result.complaints[0]}")
            hosts = " --hosts" if arguments.hosts else ""
            print(f"    python -m tests.simulation --seed {result.plan.seed}{hosts} --shrink", flush=True)
            if arguments.shrink:
                _shrink(result)
        if number % 500 == 0:
            _progress(number, failed, began)
    _progress(len(seeds), failed, began)
    if arguments.counts:
        for name, times in sorted(counts.of.items()):
            print(f"{times:8} {name}")
    return 1 if failed else 0


def _progress(number: int, failed: int, began: float) -> None:
    passed_s = time.monotonic() - began
    print(f"{number} runs, {failed} failed, {number / passed_s * 60:.0f} a minute", file=sys.stderr, flush=True)


def _named(plan: Plan) -> str:
    wrong = f", {plan.planted or plan.broken}" if plan.planted or plan.broken else ""
    hosts = f", {len(plan.hosts)} hosts" if plan.hosts else ""
    return f"{plan.transport}{wrong}{hosts}, {size(plan)}"


def _tell(result: Result) -> None:
    plan = result.plan
    print(f"seed {plan.seed}: {_named(plan)}")
    for fault in plan.faults:
        print(f"  {fault.at_s:6.2f} s  {fault}")
    for host in plan.hosts:
        print(f"  {host}")
    for claim, verdict in result.claims.items():
        print(f"  {verdict:9} {claim}")
    print("  " + (", ".join(f"{n} {name}" for name, n in result.anomalies.items()) or "no anomalies"))
    for line in result.said.splitlines()[:20]:
        print(f"  said: {line[:160]}")
    for complaint in result.complaints:
        print(f"WRONG  {complaint}")


def _shrink(result: Result) -> None:
    smallest = shrink(result, tell=lambda text: print(f"    {text}", file=sys.stderr, flush=True))
    print(smallest.plan.to_json())
    _tell(smallest)


if __name__ == "__main__":
    sys.exit(main())

"""The judge of the product and the slow reference judge, side by side on random small histories, legal and broken.

The histories come from a simulated broker with kills, pauses, lost replies and planted defects; each is judged as it is
and as somebody retells it who saw less (tests/reference/retelling.py); half of them tell of large messages and
schemas, too (tests/reference/payloads.py). Where the two judges differ, one of them misreads the record format.

    python -m tests.verify.agreement 0:10000        compare these seeds; exit code 1 if any differs
    python -m tests.verify.agreement 4711           show how the two differ on one seed
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Collection, Hashable, Iterable, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

import orjson

from gameday.history.errors import NotARun
from gameday.verify.judge import Verdict, judge_all
from tests.reference.flows import draw
from tests.reference.judge import judge as reference
from tests.reference.payloads import add_payloads
from tests.reference.retelling import retell
from tests.reference.simulation import simulate

_AT_ONCE = 400
Case = TypeVar("Case", bound=Hashable)


def shown(document: dict[str, Any]) -> dict[str, Any]:
    """What both judges must say alike. Of a damaged history nothing is judged, so there only that it is damaged."""
    if document["damaged"]:
        return {"damaged": True, "claims": [claim["verdict"] for claim in document["claims"]]}
    counts = {
        name: entry if isinstance(entry, int) else entry["count"] for name, entry in document["anomalies"].items()
    }
    return {
        "anomalies": counts,
        "claims": [(claim["verdict"], claim["checked"]) for claim in document["claims"]],
        "torn": document["torn_lines"],
    }


def _told(verdict: Verdict | NotARun) -> dict[str, Any] | None:
    return None if isinstance(verdict, NotARun) else shown(verdict.document)


def _expected(run: Path) -> dict[str, Any] | None:
    try:
        return shown(reference(run))
    except ValueError:
        return None


def leave_out(run: Path, fields: Collection[str]) -> None:
    """Take fields away from every record about a message; lines that are no record, and packed files, stay."""
    for path in run.glob("history/*.jsonl"):
        lines = path.read_bytes().splitlines(keepends=True)
        for n, line in enumerate(lines):
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if isinstance(record, dict) and record.get("event") != "mark":
                lines[n] = orjson.dumps({name: value for name, value in record.items() if name not in fields}) + b"\n"
        path.write_bytes(b"".join(lines))


def differing(
    seeds: Iterable[int],
    directory: Path,
    *,
    retold: bool = False,
    functions: bool = False,
    workflows: bool = False,
) -> list[int]:
    """The seeds of those histories of which the two judges do not say the same. `functions`: a service invokes
    functions in place of consumers; `workflows`: messages start executions."""
    runs = {seed: _place(directory, seed, retold=retold, functions=functions, workflows=workflows) for seed in seeds}
    for seed, run in runs.items():
        _make(seed, run, functions=functions, workflows=workflows)
        if retold:
            retell(run, seed)
    return _differing(runs)


def differing_without(cases: Iterable[tuple[str, int]], directory: Path) -> list[tuple[str, int]]:
    """Of these (field, seed) those where the two judges differ on the seed's history without that field."""
    runs = {case: directory / "-".join(map(str, case)) for case in cases}
    for (field, seed), run in runs.items():
        _make(seed, run, functions=False, workflows=False)
        leave_out(run, {field})
    return _differing(runs)


def _differing(runs: Mapping[Case, Path]) -> list[Case]:
    """All at once: most of the time goes into planning the queries, once for all histories with the same clocks."""
    verdicts = judge_all(list(runs.values()))
    return [
        case for (case, run), verdict in zip(runs.items(), verdicts, strict=True) if _told(verdict) != _expected(run)
    ]


def _place(directory: Path, seed: int, *, retold: bool, functions: bool, workflows: bool) -> Path:
    return directory / f"{seed}{'-functions' * functions}{'-workflows' * workflows}{'-retold' * retold}"


def _make(seed: int, run: Path, *, functions: bool, workflows: bool) -> None:
    if workflows:
        draw(seed, run=run)
    else:
        simulate(seed, run=run, functions=functions)
        add_payloads(run, seed)


def show(seed: int, directory: Path, *, retold: bool = False, functions: bool = False, workflows: bool = False) -> None:
    """What the judge says of one history and what the reference says, where that is not the same."""
    run = _place(directory, seed, retold=retold, functions=functions, workflows=workflows)
    _make(seed, run, functions=functions, workflows=workflows)
    if retold:
        retell(run, seed)
    (verdict,) = judge_all([run])
    told, expected = _told(verdict) or {}, _expected(run) or {}
    for part in told.keys() | expected.keys():
        ours, theirs = told.get(part), expected.get(part)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            pairs = [(name, ours[name], theirs.get(name)) for name in ours]
        elif isinstance(ours, list) and isinstance(theirs, list):
            keys = [] if isinstance(verdict, NotARun) else [claim["key"] for claim in verdict.document["claims"]]
            pairs = list(zip_longest(keys, ours, theirs))
        else:
            pairs = [(part, ours, theirs)]
        for name, one, other in pairs:
            if one != other:
                telling = "functions: " * functions + "workflows: " * workflows + "retold: " * retold
                print(f"{telling}{name}: the judge says {one}, the reference {other}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seeds", help="FROM:TO, or one seed")
    parser.add_argument("--functions", action="store_true", help="those in which functions are invoked, alone")
    parser.add_argument("--workflows", action="store_true", help="those in which executions are started, alone")
    arguments = parser.parse_args()
    first, colon, last = arguments.seeds.partition(":")
    tellings = [
        {"functions": functions, "retold": retold}
        for functions in ((True,) if arguments.functions else (False, True))
        for retold in (False, True)
    ]
    if arguments.workflows:
        tellings = [{"workflows": True}]
    elif not arguments.functions:
        tellings.append({"workflows": True})
    if not colon:
        with tempfile.TemporaryDirectory() as directory:
            for telling in tellings:
                show(int(first), Path(directory), **telling)
        return 0
    different: list[int] = []
    for start in range(int(first), int(last), _AT_ONCE):
        seeds = range(start, min(start + _AT_ONCE, int(last)))
        with tempfile.TemporaryDirectory() as directory:
            found = {seed for telling in tellings for seed in differing(seeds, Path(directory), **telling)}
            different += sorted(found)
        print(f"{seeds.stop - int(first)} compared; different: {different or 'none'}", flush=True)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())

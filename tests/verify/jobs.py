"""Judging in buckets says what judging whole says, to the byte, on random small histories and on those made by hand.

The histories are those of tests/verify/agreement.py, as they are and as somebody retells them who saw less. Many are
judged at once, so that a bucket is one pass over the records of all of them that fall into it.

    python -m tests.verify.jobs 0:200           compare these seeds; exit code 1 if any differs
    python -m tests.verify.jobs 0:200 --handmade     and the histories of tests/verify/handmade
    python -m tests.verify.jobs 0:200 --spark   the same on Spark (gameday[spark])
    python -m tests.verify.jobs 4711            show where the verdicts differ on one seed
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from gameday.history.errors import NotARun
from gameday.verify.buckets import Engine, one_after_another
from gameday.verify.judge import Verdict, judge_all
from gameday.verify.spark import in_spark
from tests.reference.retelling import retell
from tests.reference.simulation import simulate
from tests.verify.handmade import ahead

# By what stands for each: so many buckets, one after another; the seven are cut in several parts.
BUCKETS: Mapping[str, Engine] = {
    "2 buckets": one_after_another(2),
    "7 buckets": one_after_another(7, cut_at_once=1000),
}
_AT_ONCE = 100


def written(verdict: Verdict | NotARun) -> bytes:
    """What stands in verdict.json; of a directory that cannot be judged, why not."""
    return str(verdict).encode() if isinstance(verdict, NotARun) else orjson.dumps(verdict.document)


def differing(
    runs: Sequence[Path],
    engines: Mapping[str, Engine] = BUCKETS,
    *,
    whole: Sequence[Verdict | NotARun] | None = None,
) -> list[tuple[Path, str]]:
    """The runs whose verdict is another one by some engine, and which. `whole`: what judging whole says, if known."""
    told = [written(verdict) for verdict in whole or judge_all(runs, with_examples=True)]
    return [
        (run, name)
        for name, engine in engines.items()
        for run, one, verdict in zip(runs, told, judge_all(runs, with_examples=True, engine=engine), strict=True)
        if written(verdict) != one
    ]


def random(seeds: Sequence[int], directory: Path, *, retold: bool) -> list[Path]:
    runs = [directory / f"{seed}{'-retold' * retold}" for seed in seeds]
    for seed, run in zip(seeds, runs, strict=True):
        # Of every second one functions are invoked in place of consumers.
        simulate(seed, run=run, functions=seed % 2 == 1)
        if retold:
            retell(run, seed)
    return runs


def handmade(directory: Path) -> list[Path]:
    """The first history of every test that builds one by hand."""

    class Collector:
        items: Sequence[pytest.Item] = ()

        def pytest_collection_finish(self, session: pytest.Session) -> None:
            self.items = session.items

    collector = Collector()
    here = Path(__file__).parent
    places = [str(here / "handmade"), str(here / "test_loose.py"), str(here / "test_identified.py")]
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", *places], plugins=[collector])
    return list(ahead.built(collector.items, directory).values())


def differences(one: Any, other: Any, at: str = "") -> Iterator[str]:
    """Where two documents are not the same."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in one.keys() | other.keys():
            yield from differences(one.get(name), other.get(name), f"{at}.{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for n, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            yield from differences(mine, theirs, f"{at}[{n}]")
    elif one != other:
        yield f"{at}: whole {json.dumps(one)}, in buckets {json.dumps(other)}"


def show(runs: Sequence[Path], engines: Mapping[str, Engine]) -> None:
    whole = judge_all(runs, with_examples=True)
    for name, engine in engines.items():
        for run, one, other in zip(runs, whole, judge_all(runs, with_examples=True, engine=engine), strict=True):
            if isinstance(one, Verdict) and isinstance(other, Verdict):
                for difference in differences(one.document, other.document):
                    print(f"{run.name} by {name} {difference}")


@contextlib.contextmanager
def chosen(*, spark: bool) -> Iterator[Mapping[str, Engine]]:
    if not spark:
        yield BUCKETS
        return
    with in_spark() as engine:
        yield {"Spark": engine}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seeds", help="FROM:TO, or one seed")
    parser.add_argument("--handmade", action="store_true", help="and those made by hand")
    parser.add_argument("--spark", action="store_true", help="on Spark, in place of buckets one after another")
    arguments = parser.parse_args()
    with chosen(spark=arguments.spark) as engines:
        return compare(arguments, engines)


def compare(arguments: argparse.Namespace, engines: Mapping[str, Engine]) -> int:
    first, colon, last = arguments.seeds.partition(":")
    different = 0
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        if not colon:
            for retold in (False, True):
                show(random([int(first)], directory, retold=retold), engines)
            return 0
        if arguments.handmade:
            (directory / "handmade").mkdir()
            runs = handmade(directory / "handmade")
            for start in range(0, len(runs), _AT_ONCE):
                some = runs[start : start + _AT_ONCE]
                found = differing(some, engines)
                print(f"{start + len(some)} made by hand; different: {len(found) or 'none'}", flush=True)
                show([run for run, _ in found[:5]], engines)
                different += len(found)
        for start in range(int(first), int(last), _AT_ONCE):
            seeds = range(start, min(start + _AT_ONCE, int(last)))
            for retold in (False, True):
                found = differing(random(seeds, directory, retold=retold), engines)
                told = [f"{run.name} by {name}" for run, name in found]
                print(f"{seeds}{', retold' * retold}; different: {told or 'none'}", flush=True)
                different += len(found)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())

"""The programs: how each is started, what it consumes, which mistakes it can be made to have, what it wants to be sent.

`environment` is all that they learn of where they are: AWS's own variables, a queue's URL or a stream's name,
and a directory for their effects. `scripts/programs.sh` installs them; `ready` says whether it did.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

HERE = Path(__file__).resolve().parent
INSTALLED = HERE.parent.parent / ".programs"
PYTHON = str(INSTALLED / "python/bin/python")


class Order(NamedTuple):
    """What is sent, and under which name its effect is found."""

    body: str
    key: str


def plain(count: int, queue_url: str) -> Sequence[Order]:
    keys = [f"order-{number}" for number in range(count)]
    return [Order(json.dumps({"orderId": key, "amount": number}), key) for number, key in enumerate(keys)]


def in_celerys_words(count: int, queue_url: str) -> Sequence[Order]:
    argv = [PYTHON, str(HERE / "python/celery_messages.py"), str(count)]
    env = {**os.environ, "GAMEDAY_QUEUE_URL": queue_url}
    made = subprocess.run(argv, env=env, capture_output=True, text=True, check=True, timeout=60).stdout
    return [Order(line["body"], line["key"]) for line in map(json.loads, made.splitlines())]


def ready(part: str) -> bool:
    return (INSTALLED / part / ".ready").exists()


def environment(*, endpoint: str, effects: Path) -> Mapping[str, str]:
    """Whole, so that nothing of the caller's own set-up reaches a program."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(effects.parent),
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "EFFECTS": str(effects),
    }


@dataclass(frozen=True, kw_only=True)
class Program:
    """`needs`: the part of .programs that it runs from. `settings`: what else it is told by its environment."""

    argv: Sequence[str]
    needs: str
    variants: Sequence[str]
    consumes: Literal["queue", "stream"] = "queue"
    orders: Callable[[int, str], Sequence[Order]] = plain
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        return ready(self.needs)

    def environment(self, *, endpoint: str, effects: Path, queue_url: str = "", stream: str = "") -> Mapping[str, str]:
        where = {"QUEUE_URL": queue_url} if self.consumes == "queue" else {"STREAM_NAME": stream}
        return {**environment(endpoint=endpoint, effects=effects), "WAIT_S": "1", **where, **self.settings}


PROGRAMS: Mapping[str, Program] = {
    "sqs-consumer": Program(
        argv=["node", str(INSTALLED / "sqs_consumer/worker.mjs")],
        needs="sqs_consumer",
        variants=("correct", "delete-first", "no-guard", "ignores-failed"),
    ),
    "celery": Program(
        # Two processes below the one that polls: Celery's own way, and what a kill of the one must not leave behind.
        argv=[
            *(PYTHON, "-m", "celery", "--workdir", str(HERE / "python"), "--app", "celery_worker", "worker"),
            *("--concurrency", "2", "--loglevel", "INFO", "--without-gossip", "--without-mingle"),
        ],
        needs="python",
        variants=("correct", "delete-first", "no-guard"),
        orders=in_celerys_words,
    ),
    "boto3": Program(
        argv=[PYTHON, str(HERE / "python/boto3_loop.py")],
        needs="python",
        variants=("correct", "delete-first", "no-guard", "ignores-failed"),
    ),
    "go": Program(
        argv=[str(INSTALLED / "go_loop/worker")],
        needs="go_loop",
        variants=("correct", "delete-first", "no-guard", "ignores-failed"),
    ),
    "kcl": Program(
        argv=["java", "-cp", f"{INSTALLED}/kcl/classes:{INSTALLED}/kcl/jars/*", "Worker"],
        needs="kcl",
        variants=("correct", "delete-first", "no-guard"),
        consumes="stream",
        # MiniStack reads no CBOR, which the SDK for Java speaks to Kinesis unless it is told otherwise. And leases
        # change hands within seconds.
        settings={"CBOR_ENABLED": "false", "FAILOVER_MS": "2000"},
    ),
}

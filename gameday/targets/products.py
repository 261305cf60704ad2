"""What answers at an endpoint, one record for each product: how it is recognised, how slow it may be, what it lacks.

A product is a service of AWS's API: AWS itself, or an emulator of it. It promises that whatever is known of one stands
in its record and nowhere else. What it lacks was seen on it (docs/conformance.md).
"""

from __future__ import annotations

import http.client
import re
import urllib.parse
import urllib.request
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from gameday.history.errors import TargetLacks
from gameday.targets.prices import Range
from gameday.transports.base import Capability, Transport
from gameday.transports.endpoint import Endpoint

_AWS_HOST = re.compile(r"(.+\.)?(amazonaws\.com(\.cn)?|api\.aws)\.?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """`sign`: a path that nobody else answers. `tick_ns`: how exactly its clock tells when a message is visible again.

    `settle_s`: by service, how long an absence must last before it is loss. `counts_settle_s`: how long a queue must be
    told to be empty before it is. `effective_s`: how long a filter or a rule may take to apply; what is sent before is
    not judged by it. `policy_s`: how long the change of a queue's policy may take to be everywhere. `gaps`: by service,
    what it does not do, and why that is said; `lacks`: the same of what no pipeline needs. `cannot_show`: what no run
    on it says anything about.

    `call_s`: how long a call takes that waits for nothing, as its caller sees it; `made_s`: how long after its creation
    a stream or a table is there. A plan reckons with both, and nothing else does.
    """

    name: str
    sign: str | None = None
    tick_ns: int = 1_000_000_000
    settle_s: Mapping[str, float] = field(default_factory=dict)
    counts_settle_s: float = 0.0
    effective_s: float = 0.0
    policy_s: float = 0.0
    gaps: Mapping[str, Mapping[Capability, str]] = field(default_factory=dict)
    lacks: Mapping[Capability, str] = field(default_factory=dict)
    cannot_show: Sequence[str] = ()
    call_s: Range = Range(low=0.001, likely=0.005, high=0.05)  # noqa: RUF009  # it is frozen
    made_s: Range = Range(low=0.0, likely=0.0, high=60.0)  # noqa: RUF009  # likewise

    def settles_after_s(self, services: Sequence[str]) -> float:
        """As long as the slowest of these services asks."""
        return max((self.settle_s.get(service, 0.0) for service in services), default=0.0)

    def gaps_of(self, transport: Transport) -> Mapping[Capability, str]:
        """What the pipeline cannot do here, each with the reason: because there is nothing to do it to, or it fails."""
        gaps = {**self.lacks, **transport.lacks}
        for service in transport.services:
            gaps |= {need: why for need, why in self.gaps.get(service, {}).items() if need not in gaps}
        return gaps


def _fixed_size(name: str) -> str:
    # The topics of emulators know no other size; seen with MiniStack 1.5, and in the sources of the others.
    return f"{name}'s topics take no message above 256 KiB, whatever MaximumMessageSize says"


def _ignores_policies(name: str) -> str:
    return f"{name} does what a queue's policy denies"


# SNS does not say whether several fields of an object in an array are asked for together; they are here, as EventBridge
# has it.
_TOGETHER = "matches fields of different objects of an array in a body as if they stood in one"
_EMULATED = ("quotas and throttling, unless this emulator has them", "replication, and AWS's latencies and scale")

_WINDOW = "its deduplication window is as long as AWS's, 5 minutes"
_NO_ROLE = "a state machine needs an IAM role there, which gameday does not make yet"

MINISTACK = Product(
    name="ministack",
    sign="/_ministack/health",
    lacks={"dedup-window": _WINDOW},
    # It reads the wall clock, which may be slewed by some parts in a thousand.
    tick_ns=10_000_000,
    # It delivers within the call that sends, so nothing has to settle.
    gaps={
        "sqs": {
            "redrive": "MiniStack does not move dead letters back (no StartMessageMoveTask)",
            "policy-deny": _ignores_policies("MiniStack"),
        },
        "sns": {
            "max_message": _fixed_size("MiniStack"),
            "filter-arrays": "MiniStack's SNS does not look into the objects of an array in a body",
            "filter-dots": "MiniStack's SNS takes a dot in a key of a policy for a part of a name",
        },
        "events": {"filter-dots": "MiniStack's EventBridge takes a dot in a key of a pattern for a part of a name"},
        "kinesis": {"reshard": "MiniStack's split and merge drop the parents' unread records"},
        "stepfunctions": {
            "start-again": "MiniStack answers ExecutionAlreadyExists to a start that is repeated while the first runs",
            "redrive-executions": "MiniStack redrives no execution (no RedriveExecution)",
        },
    },
    cannot_show=(
        "quotas and throttling (it has none)",
        "replication: one process holds every message, so none is lost or duplicated inside the service",
        "AWS's latencies and scale",
    ),
)
MEMORY = Product(
    name="memory",
    sign="/_gameday/health",
    tick_ns=1_000_000,
    cannot_show=("anything about AWS: it is a broker of our own, for large or quick runs and for testing gameday",),
    call_s=Range(low=0.0005, likely=0.002, high=0.02),
)
LOCALSTACK = Product(
    name="localstack",
    lacks={"functions": "LocalStack without Docker runs no functions; write `by: poller`", "dedup-window": _WINDOW},
    # MiniStack answers there, too.
    sign="/_localstack/health",
    # It hands on from threads of its own: on a busy machine a bus up to 2.4 s later, a FIFO topic up to 15 s.
    settle_s={"sns": 15.0, "events": 5.0},
    gaps={
        "sqs": {"policy-deny": _ignores_policies("LocalStack")},
        "sns": {"max_message": _fixed_size("LocalStack"), "filter-arrays-together": f"LocalStack's SNS {_TOGETHER}"},
        "events": {
            "filter-arrays-together": (
                "LocalStack's EventBridge matches fields of different objects of an array as if they stood in one"
            ),
            # It takes the time of an archived event, a text, for a date.
            "replay": "LocalStack answers StartReplay with an error once its archive holds an event",
        },
        "stepfunctions": {"workflows": "what a task of a machine sent to a queue never came there when it was tried"},
    },
    cannot_show=_EMULATED,
)
MOTO = Product(
    name="moto",
    lacks={"functions": "moto without Docker runs no functions; write `by: poller`", "dedup-window": _WINDOW},
    sign="/moto-api/",
    gaps={
        "sqs": {"policy-deny": _ignores_policies("moto")},
        "sns": {
            "max_message": _fixed_size("moto"),
            "filter-arrays-together": f"moto's SNS {_TOGETHER}",
            "filter-dots": "moto's SNS takes a dot in a key of a policy for a part of a name",
        },
        "events": {"filter-arrays": "moto's EventBridge does not look into the objects of an array"},
        "stepfunctions": {"workflows": "moto runs no state machine unless it is told to"},
        "kinesis": {
            "reshard": "moto moves or copies the parents' records into the children, and its closed shards never end"
        },
    },
    cannot_show=_EMULATED,
)
AWS = Product(
    name="aws",
    lacks={
        "claim-check": "no plan, policy or sweep of gameday's knows of the bucket yet that a run would make there",
        "functions": "gameday deploys no functions on AWS yet; write `by: poller`",
        "dedup-window": "it is always 5 minutes",
    },
    # AWS's own counts of a queue settle about a minute after the last send, and what goes through SNS or EventBridge is
    # on its way for longer; an archive may lag ten minutes (userguide/eb-archive.html).
    settle_s={"sqs": 60.0, "sns": 600.0, "events": 600.0},
    # "at least 1 minute after the producers stop sending messages" (APIReference/API_GetQueueAttributes.html).
    counts_settle_s=60.0,
    gaps={"stepfunctions": {"workflows": _NO_ROLE}},
    # "Additions or changes to a subscription filter policy require up to 15 minutes to fully take effect"
    # (docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html), and what has the filter is made first.
    effective_s=16 * 60.0,
    # "the change can take up to 60 seconds for most of the attributes to propagate" (API_SetQueueAttributes.html).
    policy_s=60.0,
    # Assumed, of a machine in the region; from elsewhere the way there comes on top, and messages share more calls.
    call_s=Range(low=0.005, likely=0.015, high=0.2),
    # Assumed as well: AWS says nothing about how long a table or a stream takes.
    made_s=Range(low=0.0, likely=10.0, high=60.0),
    cannot_show=(
        "quotas and throttling, unless this endpoint has them",
        "replication and AWS's latencies, unless this endpoint is AWS",
    ),
)
# Who says nothing of himself may be as slow as the slowest emulator.
UNKNOWN = Product(
    name="unknown",
    lacks={
        "functions": "nobody knows whether this endpoint runs functions; write `by: poller`",
        "dedup-window": "nobody knows how long its deduplication window is",
    },
    settle_s={"sns": 15.0, "events": 5.0},
    cannot_show=_EMULATED,
)

# In the order in which they are asked for.
PRODUCTS: Mapping[str, Product] = {
    product.name: product for product in (MEMORY, MINISTACK, LOCALSTACK, MOTO, AWS, UNKNOWN)
}


def refuse_gaps(product: Product, transport: Transport, needs: Collection[Capability], *, what: str) -> None:
    """Errors: TargetLacks when the scenario needs what the product does not do, with the reason."""
    gaps = product.gaps_of(transport)
    if missing := [f"{need}: {gaps[need]}" for need in needs if need in gaps]:
        there = ", --target memory for example" if not MEMORY.gaps_of(transport).keys() & set(needs) else ""
        raise TargetLacks(
            f"{what} cannot do what the scenario asks for ({'; '.join(missing)}). Use another target{there}, "
            "or take it out of the scenario."
        )


def is_aws(url: str) -> bool:
    """Whether that is AWS itself, by the host."""
    return _AWS_HOST.fullmatch(urllib.parse.urlsplit(url).hostname or "") is not None


def recognise(url: str | None) -> Product:
    """Who answers at a URL, by the host or by its sign. None is where the SDKs go by themselves."""
    if url is None or is_aws(url):
        return AWS
    signed = (product for product in PRODUCTS.values() if product.sign and answers(url.rstrip("/") + product.sign))
    return next(signed, UNKNOWN)


def product_of(target: str | None) -> Product:
    """Who is reckoned with on a target, by the target's name as a manifest has it, before anybody was asked."""
    # Behind `localstack` may stand any endpoint, and the history of a program of the user's may name any target.
    of_targets = {"embedded": MINISTACK, "memory": MEMORY, "aws": AWS}
    return of_targets.get(target or "", UNKNOWN)


def cannot_show(target: str | None) -> Sequence[str]:
    """What no run on a target says anything about, by the target's name as a manifest has it."""
    return product_of(target).cannot_show


def reckoned_with(product: Product, endpoint: Endpoint) -> Product:
    """Whose pace to reckon with: who says nothing of himself, and is elsewhere, may be AWS by another name."""
    return AWS if product is UNKNOWN and not endpoint.on_this_machine else product


def answers(url: str) -> bool:
    """Whether something answers a GET there, and not with an error."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except (http.client.HTTPException, OSError):
        return False

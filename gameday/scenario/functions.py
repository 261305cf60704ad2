"""What a scenario says of functions that messages are handed to as Lambda does it: the function, and its mapping.

Defaults are AWS's own where it has some. What AWS refuses is a rule (gameday/scenario/rules/functions.py); what it lets
somebody get wrong later stands in `deployed`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gameday.scenario.units import Duration, PositiveDuration

# docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
TIMEOUT_MAX_S = 900.0
# docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html
DIRECT_RETRIES_MAX = 2
# docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html, ParallelizationFactor
PARALLEL_MAX = 10
_RUNTIME = r"^(python3\.\d+|nodejs\d+\.x)$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class FunctionModel(_Strict):
    """A function as Lambda calls it: `def handler(event, context)`, or `exports.handler` of Node."""

    path: str = Field(
        min_length=1, description="its file, or the directory of its code; counts from the scenario's directory"
    )
    handler: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][\w./-]*\.[A-Za-z_]\w*$",
        description="FILE.FUNCTION in that directory (default: `handler` of the file that `path` names)",
    )
    runtime: str = Field(
        default="python3.12", pattern=_RUNTIME, description="as Lambda calls it: python3.12, nodejs22.x …"
    )
    interpreter: str | None = Field(
        default=None, description="the program that runs it on this machine (default: python3, or node, on PATH)"
    )
    env: dict[str, str] = Field(default_factory=dict, description="variables of its environment")

    @property
    def in_python(self) -> bool:
        return self.runtime.startswith("python")

    def place(self, base: Path) -> tuple[Path, str]:
        """The directory of its code, and FILE.FUNCTION in it. Errors: ValueError where nothing says which."""
        path = base / Path(self.path).expanduser()
        if path.is_dir():
            if self.handler is None:
                raise ValueError("a directory does not say which function of which file; add `handler: FILE.FUNCTION`")
            return path, self.handler
        return path.parent, self.handler or f"{path.stem}.handler"


class DeployedMappingModel(_Strict):
    """What is really deployed, where it differs from what is meant: a mistake planted on purpose."""

    timeout: Annotated[PositiveDuration, Field(le=TIMEOUT_MAX_S)] | None = Field(
        default=None,
        description="the function's timeout as somebody set it later; AWS checks it against the queue only when the "
        "mapping is made",
    )


class LambdaModel(_Strict):
    """A function, and the event source mapping that invokes it: docs/functions.md."""

    function: FunctionModel = Field(description="the code")
    by: Literal["poller", "target"] = Field(
        default="poller",
        description="who invokes it: `poller`, a process of ours that does as an event source mapping does, or "
        "`target`, where it is deployed with a mapping of its own",
    )
    shim: bool = Field(
        default=True,
        description="with `by: target`: deploy it behind a shim that records each invocation; without, effects alone "
        "are judged",
    )
    batch: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None,
        description="the most messages of one invocation: on a FIFO queue 10, on a Standard one 10,000 (default: 10; "
        "of a stream: 100)",
    )
    window: Annotated[Duration, Field(ge=0, le=300)] = Field(
        default=0.0, description="how long a batch is gathered for (whole seconds); a FIFO queue has none"
    )
    concurrency: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=5, description="the most invocations at once: the mapping's maximum concurrency, on AWS 2 to 1,000"
    )
    reserved: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="the function's reserved concurrency: what comes above it is throttled (default: none is reserved)",
    )
    partial: bool = Field(
        default=True, description="ReportBatchItemFailures: the answer may say what of a batch failed"
    )
    timeout: Annotated[PositiveDuration, Field(le=TIMEOUT_MAX_S)] = Field(
        default=3.0, description="how long an invocation may take; at most the visibility timeout"
    )
    filter: list[dict[str, Any]] | None = Field(
        default=None,
        description="patterns as of FilterCriteria, of which a message must match one, like {body: {detail: "
        "{currency: [EUR]}}} (of a stream {data: …}); others are deleted or passed over unseen, and expected by nobody",
    )
    direct: bool = Field(
        default=False,
        description="of a topic or a bus: it invokes the function by itself, asynchronously and message by message, "
        "and no queue of yours stands between",
    )
    retries: Annotated[int, Field(ge=0, le=10_000)] | None = Field(
        default=None,
        description="of a stream, and with `direct`: how often what failed is tried again (default: until it expires; "
        "with `direct` 2, the most there)",
    )
    retry_wait: Annotated[Duration, Field(ge=0)] = Field(
        default=60.0, description="with `direct`: how long what failed waits for its next try; Lambda's wait is fixed"
    )
    max_age: Annotated[Duration, Field(ge=60, le=604_800)] | None = Field(
        default=None,
        description="of a stream, and with `direct`: how old what failed may become (default: no limit)",
    )
    bisect: bool = Field(default=False, description="of a stream: what failed is tried again in halves")
    parallel: Annotated[int, Field(ge=1, le=PARALLEL_MAX)] = Field(
        default=1,
        description="of a stream: the invocations that a shard has at once (ParallelizationFactor); each partition key "
        "is in one of them at a time",
    )
    on_failure: bool = Field(
        default=False, description="of a stream, and with `direct`: what is given up goes to a destination"
    )
    deployed: DeployedMappingModel | None = Field(
        default=None, description="what is really deployed, where that is not what is meant"
    )

    @property
    def lasts_s(self) -> float:
        """How long all tries of a message take at most, where a topic or a bus invokes."""
        retries = self.retries or 0
        return (retries + 1) * self.timeout_in_force + retries * self.retry_wait

    @property
    def timeout_in_force(self) -> float:
        return (self.deployed and self.deployed.timeout) or self.timeout

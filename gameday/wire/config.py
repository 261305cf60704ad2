"""What a wire is told: written by the conductor as JSON, read by `python -m gameday.wire`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from gameday.history.clock import Clock
from gameday.history.errors import UsageError
from gameday.history.identity import Identification
from gameday.transports.base import ENVELOPE, Addresses
from gameday.transports.endpoint import Endpoint


@dataclass(frozen=True, kw_only=True, slots=True)
class WireConfig:
    """`subscription`: whose consumers are before it; None: the load is, and nothing is consumed there.

    `endpoint` is the target behind it. `signs`: the target checks signatures, so what goes there is signed anew.

    `records_in`: the run directory whose history says what passes; None: the wire only breaks. `visibility_timeout_s`
    is the queue's own. `identification` says how a message is told from another.
    """

    clock: Clock
    endpoint: Endpoint
    transport: str
    addresses: Addresses
    subscription: str | None
    visibility_timeout_s: float = 0.0
    records_in: Path | None = None
    signs: bool = False
    identification: Identification = ENVELOPE

    @property
    def name(self) -> str:
        """What the process, and its history file, are called."""
        # A subscription may be called "load".
        return "load-wire" if self.subscription is None else f"wire-{self.subscription}"

    def save(self, path: Path) -> None:
        document = {**asdict(self), "records_in": self.records_in and str(self.records_in), "clock": str(self.clock)}
        path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")

    @classmethod
    def load(cls, path: Path) -> WireConfig:
        """Errors: UsageError when the file cannot be read or is no such document."""
        try:
            document = orjson.loads(path.read_bytes())
            return cls(
                **{
                    **document,
                    "records_in": document["records_in"] and Path(document["records_in"]),
                    "clock": Clock.parse(document["clock"]),
                    "endpoint": Endpoint.from_json(document["endpoint"]),
                    "identification": Identification.from_json(document["identification"]),
                    "addresses": Addresses.from_json(document["addresses"]),
                }
            )
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{path} is no configuration of a wire: {error}") from error

"""Deny calls: AccessDenied, as after a change of a policy.

Somebody has changed a policy or a key has expired: the consumer runs and may do nothing. SDKs do not try again. With
`reason: kms` it is the key's policy that was changed, not the queue's: what needs the key is denied (to send and to
receive), and what does not, to delete say, goes on. Each service has a word of its own for that.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from gameday.chaos.wire_fault import GROUPS, CallFault

# Of a bus EventBridge itself asks for the key, and tells no producer.
_NEEDS_THE_KEY = [call for name in ("send", "receive") for call in GROUPS[name] if call != "PutEvents"]


class Deny(CallFault):
    """Deny calls: AccessDenied, as after a change of a policy."""

    colour: ClassVar[str] = "#705da0"

    fault: Literal["deny"]
    reason: Literal["policy", "kms"] = Field(
        default="policy",
        description="kms: in the words for a key that may not be used, and only calls that need it (`send`, "
        "`receive`); where `topology.encryption` names one",
    )

    @model_validator(mode="after")
    def _calls_need_the_key(self) -> Deny:
        named = super().operations
        if self.reason == "kms" and (others := [call for call in named if call not in _NEEDS_THE_KEY]):
            raise ValueError(
                f"{others[0]} needs no key of KMS, so `reason: kms` denies nothing there; name `send` or `receive`"
            )
        return self

    @property
    def does(self) -> str:
        return "are denied" if self.reason == "policy" else "are denied the key of KMS"

    @property
    def operations(self) -> list[str]:
        return super().operations or (_NEEDS_THE_KEY if self.reason == "kms" else [])

    @property
    def needs_key(self) -> bool:
        return self.reason == "kms"

    @property
    def details(self) -> dict[str, Any]:
        return {"code": "kms"} if self.reason == "kms" else {}

"""Answers of AWS made from botocore's own service models, for transports that nobody has written yet.

A call is held to the model of its operation (it exists, its parameters are valid), and its answer is filled in from
the output's shape, so that the contract suite needs no network and no line for a new transport. A batch answers entry
by entry, in whichever of AWS's two forms the operation has.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

import botocore.session
from botocore.model import OperationModel, Shape
from botocore.validate import ParamValidator

from gameday.transports.base import Answer, Call

_BATCHES = ("Entries", "Records", "PublishBatchRequestEntries")


@cache
def model_of(service: str, operation: str) -> OperationModel:
    model = botocore.session.get_session().get_service_model(service)
    return model.operation_model(operation)


def complaints(call: Call) -> str:
    """What botocore's model has to say against the call; empty when it is valid."""
    return str(
        ParamValidator()
        .validate(dict(call.params), model_of(call.service, call.operation).input_shape)
        .generate_report()
    )


def answer(call: Call, *, failed: Collection[int] = (), sender_fault: bool = True) -> Answer:
    """A good answer, but for the entries of a batch (by place, from 0) that `failed` names."""
    shape = model_of(call.service, call.operation).output_shape
    if shape is None:
        return {}
    entries = next((call.params[name] for name in _BATCHES if name in call.params), None)
    if entries is None:
        return dict(_filled(shape, ""))
    if "Successful" in shape.members:
        error = {"Code": "Refused" if sender_fault else "InternalError", "Message": "no", "SenderFault": sender_fault}
        good = [{**_entry(shape, "Successful", n), "Id": e["Id"]} for n, e in enumerate(entries) if n not in failed]
        bad = [{"Id": entries[n]["Id"], **error} for n in failed]
        return {"Successful": good, **({"Failed": bad} if bad else {})}
    name = next(name for name in _BATCHES if name in shape.members)
    error = {"ErrorCode": "InvalidArgument" if sender_fault else "InternalFailure", "ErrorMessage": "no"}
    return {name: [error if n in failed else _good(_entry(shape, name, n)) for n in range(len(entries))]}


def _entry(shape: Shape, name: str, n: int) -> dict[str, Any]:
    return dict(_filled(shape.members[name].member, str(n)))


def _good(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if not name.startswith("Error")}


def _filled(shape: Shape, suffix: str) -> Any:
    match shape.type_name:
        case "structure":
            return {
                name: _filled_as(member, name, suffix)
                for name, member in shape.members.items()
                # A token would say that there is another page; what failed has no place in a good answer.
                if not name.endswith("Token") and not name.startswith("Failed")
            }
        case "list":
            return [_filled(shape.member, suffix)]
        case "map":
            return {key: _filled_as(shape.value, key, suffix) for key in getattr(shape.key, "enum", None) or ["key"]}
        case "integer" | "long":
            return 1
        case "boolean":
            return False
        case "timestamp" | "double" | "float":
            return 1.0
        case "blob":
            return b""
        case _:
            return ""


def _filled_as(shape: Shape, name: str, suffix: str) -> Any:
    if shape.type_name != "string":
        return _filled(shape, suffix)
    if getattr(shape, "enum", None):
        return "ACTIVE" if "ACTIVE" in shape.enum else shape.enum[0]
    if name == "SequenceNumber":
        return f"1{suffix or '0'}"
    if name.lower().endswith("arn"):
        return f"arn:aws:service:us-east-1:000000000000:{name}{suffix}"
    return f"{name}{suffix}"

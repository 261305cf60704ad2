"""The trace that a message belongs to (W3C Trace Context), made of its run and its id, so that nothing is stored.

Whoever has a history can name the trace of each of its messages, whether or not anybody recorded it.
"""

from __future__ import annotations

from hashlib import blake2b

ATTRIBUTE = "traceparent"


def trace_id(run: str, id: str) -> str:
    """32 hexadecimal digits, as W3C Trace Context has it."""
    return _digits(16, f"{run}\n{id}".encode())


def span_id(run: str, id: str, *what: object) -> str:
    """16 hexadecimal digits: of the span that the producer made, or with `what` of another of the message's spans."""
    return _digits(8, "\n".join((run, id, *map(str, what))).encode())


def traceparent(run: str, id: str) -> str:
    """What travels with the message: version 00, its trace, the producer's span, sampled."""
    of = f"{run}\n{id}".encode()
    return f"00-{_digits(16, of)}-{_digits(8, of)}-01"


def aws_header(traceparent: str) -> str:
    """The same as X-Ray writes it, which takes trace ids of W3C (xray/latest/devguide/xray-api-sendingdata)."""
    _, trace, span, _ = traceparent.split("-")
    return f"Root=1-{trace[:8]}-{trace[8:]};Parent={span};Sampled=1"


def _digits(count: int, of: bytes) -> str:
    # All zero would be no id; nobody will ever see it.
    return blake2b(of, digest_size=count).hexdigest()

"""The trace that a message belongs to (W3C Trace Context), made of its run and its id, so that nothing is stored.

Whoever has a history can name the trace of each of its messages, whether or not anybody recorded it.
"""

from __future__ import annotations

from hashlib import blake2b

ATTRIBUTE = "traceparent"


def trace_id(run: str, id: str) -> str:
    """32 hexadecimal digits, as W3C Trace Context has it."""
    return _digits(16, run, id)


def span_id(run: str, id: str, *what: object) -> str:
    """16 hexadecimal digits: of the span that the producer made, or with `what` of another of the message's spans."""
    return _digits(8, run, id, *map(str, what))


def traceparent(run: str, id: str) -> str:
    """What travels with the message: version 00, its trace, the producer's span, sampled."""
    return f"00-{trace_id(run, id)}-{span_id(run, id)}-01"


def aws_header(traceparent: str) -> str:
    """The same as X-Ray writes it, which takes trace ids of W3C (xray/latest/devguide/xray-api-sendingdata)."""
    _, trace, span, _ = traceparent.split("-")
    return f"Root=1-{trace[:8]}-{trace[8:]};Parent={span};Sampled=1"


def _digits(count: int, *of: str) -> str:
    # All zero would be no id; nobody will ever see it.
    return blake2b("\n".join(of).encode(), digest_size=count).hexdigest()

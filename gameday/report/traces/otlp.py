"""Sends spans to whoever takes OTLP over HTTP. Nothing else here imports OpenTelemetry (extra `otel`)."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies

from gameday.history.errors import UsageError
from gameday.report.traces.spans import Span

PATH = "/v1/traces"
TIMEOUT_S = 10.0
_AT_ONCE = 500
_LOGGER = "opentelemetry.exporter"


class NotExported(Exception):
    """Why the spans, or the rest of them, did not arrive, in a sentence."""


def endpoint(url: str) -> str:
    """Where OTLP's traces go: an address without a path means OTLP's own. Errors: UsageError, without the extra too."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise UsageError(f"--otlp is {url!r}; it takes the address of an OTLP endpoint, as http://localhost:4318")
    try:
        there = find_spec("opentelemetry.exporter.otlp.proto.http") and find_spec("opentelemetry.sdk.trace")
    except ModuleNotFoundError:
        there = None
    if there is None:
        raise UsageError("--otlp needs OpenTelemetry, which is not installed: pip install 'gameday[otel]'")
    return url if parts.path.strip("/") else urlunsplit(parts._replace(path=PATH))


def shown(url: str) -> str:
    """An address without what may be secret in it."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def export(spans: Sequence[Span], url: str) -> None:
    """Send them all. `url` is from `endpoint`. Errors: NotExported, whatever went wrong."""
    sent = 0
    try:
        for arrived in _exported(spans, url):
            sent = arrived
    except NotExported as error:
        raise NotExported(
            f"{shown(url)} did not take the traces ({sent} of {len(spans)} spans arrived): {error}"
        ) from None
    except Exception as error:
        # It reads a dozen variables of the environment, and names what it does not like by all kinds of exceptions.
        raise NotExported(
            f"OpenTelemetry's exporter failed ({type(error).__name__}); the traces are not sent"
        ) from error


def _exported(spans: Sequence[Span], url: str) -> Iterator[int]:
    """How many have arrived so far. Errors: NotExported, and what the exporter raises."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExportResult
    from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

    def context(trace: str, span: str) -> SpanContext:
        return SpanContext(int(trace, 16), int(span, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

    def readable(span: Span) -> ReadableSpan:
        return ReadableSpan(
            name=span.name,
            context=context(span.trace, span.id),
            parent=None if span.parent is None else context(span.trace, span.parent),
            resource=Resource({"service.name": span.service, "service.namespace": "gameday"}),
            attributes=span.attributes,
            events=[Event(each.name, each.attributes, each.at) for each in span.happened],
            links=[Link(context(each.trace, each.span), {"gameday.why": each.why}) for each in span.links],
            kind=SpanKind[span.kind.upper()],
            status=Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error),
            start_time=span.start,
            end_time=span.end,
        )

    _reach(url)
    exporter = OTLPSpanExporter(endpoint=url, timeout=TIMEOUT_S)
    try:
        for first in range(0, len(spans), _AT_ONCE):
            with _heard() as said:
                result = exporter.export([readable(span) for span in spans[first : first + _AT_ONCE]])
            if result is not SpanExportResult.SUCCESS:
                raise NotExported("; ".join(dict.fromkeys([*said[:1], *said[-1:]])) or "no reason was given")
            yield min(first + _AT_ONCE, len(spans))
    finally:
        exporter.shutdown()  # type: ignore[no-untyped-call]  # it has no types


def _reach(url: str) -> None:
    """The exporter would try for long and not say why. Errors: NotExported."""
    parts = urlsplit(url)
    if parts.scheme in getproxies():
        return  # Only the proxy may know the host.
    try:
        address = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        socket.create_connection(address, timeout=TIMEOUT_S).close()
    except OSError as error:
        raise NotExported(f"it cannot be reached: {error}") from error


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What the exporter logs, which is where it says why it failed; it is not printed besides."""
    said: list[str] = []

    class Hearing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, handler = logging.getLogger(_LOGGER), Hearing()
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated

"""What a process shows Prometheus: metrics made of plain numbers when they are asked for, on a port of its own.

`/metrics` of a server with exemplars answers in OpenMetrics where the asker prefers it, the format that carries them;
writing it costs twice as much, so others answer in the plain format. It promises that a process serves nothing but its
pages, and that it ends although somebody is still asking.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from socketserver import TCPServer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, Exemplar, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from gameday.processes.meters import Distribution

LOOPBACK = "127.0.0.1"
METRICS = "/metrics"
# OpenMetrics: names and values of an exemplar's labels together.
_EXEMPLAR_CHARACTERS_MAX = 128

# By label values, a tuple of as many as there are labels.
Labelled = Mapping[Any, float]
# Given the name or address, and the port, at which the asker has reached us: the content type, and the page.
Page = Callable[[str, int], tuple[str, bytes]]
# Given the request as WSGI has it (PEP 3333) and its body: the status, and a sentence.
Post = Callable[[Mapping[str, Any], bytes], tuple[str, str]]
_BODY_MAX = 65_536


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """What a metric is, apart from its values. `name` is without the prefix and, of a counter, without `_total`;
    `full_name` is what Prometheus knows it by."""

    name: str
    kind: str
    labels: Sequence[str] = ()
    help: str

    @property
    def full_name(self) -> str:
        return f"gameday_{self.name}_total" if self.kind == "counter" else f"gameday_{self.name}"

    def counter(self, values: Labelled, exemplars: Mapping[Any, Exemplar] | None = None) -> Metric:
        metric = CounterMetricFamily(self.full_name, self.help, labels=self.labels)
        for key, value in values.items():
            metric.add_metric(key, value, exemplar=(exemplars or {}).get(key))
        return metric

    def gauge(self, values: Labelled) -> Metric:
        metric = GaugeMetricFamily(self.full_name, self.help, labels=self.labels)
        for key, value in values.items():
            metric.add_metric(key, value)
        return metric

    def histogram(
        self,
        values: Mapping[Any, Distribution],
        exemplars: Mapping[Any, Mapping[int, Exemplar]] | None = None,
    ) -> Metric:
        """`exemplars`: of each histogram, by the number of the bucket."""
        metric = HistogramMetricFamily(self.full_name, self.help, labels=self.labels)
        for key, distribution in values.items():
            shown = (exemplars or {}).get(key, {})
            below = 0
            buckets: list[Any] = []
            bounds = (*map(floatToGoString, distribution.bounds), "+Inf")
            for n, (bound, count) in enumerate(zip(bounds, distribution.buckets, strict=True)):
                below += count
                buckets.append((bound, below, shown[n]) if n in shown else (bound, below))
            metric.add_metric(key, buckets, distribution.sum)
        return metric


def url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def exemplar(labels: Mapping[str, str], value: float, at_s: float) -> Exemplar | None:
    """None where the labels are longer than an exemplar may be. `at_s`: seconds since 1970."""
    if sum(len(name) + len(text) for name, text in labels.items()) > _EXEMPLAR_CHARACTERS_MAX:
        return None
    return Exemplar(dict(labels), value, at_s)


class Server:
    """Serves from threads of its own. Errors: OSError when the address cannot be had."""

    def __init__(
        self,
        collect: Callable[[], Iterable[Metric]],
        *,
        host: str = LOOPBACK,
        port: int = 0,
        exemplars: bool = False,
        pages: Mapping[str, Page] | None = None,
        posts: Mapping[str, Post] | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """`posts`: what takes a POST, by path. `headers`: of every page."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Asked(collect))
        self.host = host
        # Compressing costs the process more than the way costs a scraper that is near.
        self._metrics = make_wsgi_app(registry, disable_compression=True)
        self._exemplars = exemplars
        self._pages = pages or {}
        self._posts = posts or {}
        self._headers = list(headers)
        family, address = resolve(host, port)

        class Here(_ManyThreads):
            address_family = family

        self._server: WSGIServer = make_server(address, port, self._answer, Here, handler_class=_Silent)
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == METRICS:
            asked = environ if self._exemplars else {**environ, "HTTP_ACCEPT": "text/plain"}
            answer: Iterable[bytes] = self._metrics(asked, start_response)
            return answer
        post = self._posts.get(path)
        if post is not None and environ["REQUEST_METHOD"] == "POST":
            length = environ.get("CONTENT_LENGTH") or "0"
            size = min(int(length), _BODY_MAX) if length.isdigit() else 0
            status, told = post(environ, environ["wsgi.input"].read(size))
            start_response(status, [("Content-Type", "text/plain; charset=utf-8"), *self._headers])
            return [f"{told}\n".encode()]
        page = self._pages.get(path)
        if page is None or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            status = "404 Not Found" if page is None else "405 Method Not Allowed"
            start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
            return [f"{status}; here are: {' '.join([METRICS, *self._pages])}\n".encode()]
        content_type, body = page(_host_of(environ.get("HTTP_HOST", "")) or self.host, self.port)
        told_headers = [("Content-Type", content_type), ("Content-Length", str(len(body))), *self._headers]
        start_response("200 OK", told_headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


class _ManyThreads(ThreadingWSGIServer):
    # Of a process that ends nobody waits for an answer.
    block_on_close = False

    def server_bind(self) -> None:
        """As HTTPServer does, but without asking the network for this machine's name, which may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _Silent(WSGIRequestHandler):
    # A client that connects and asks nothing holds no thread for ever.
    timeout = 30

    def log_message(self, format: str, *args: Any) -> None:
        """A scrape is no news."""


class _Asked(Collector):
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Metric]:
        yield from self._collect()


def resolve(host: str, port: int) -> tuple[socket.AddressFamily, str]:
    """What a server binds to. Errors: OSError for a host that nobody knows."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return family, str(address[0])


def _host_of(header: str) -> str:
    """The host of a Host header, an IPv6 address in its brackets; nothing where it is none."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d+)?", header)
    return found[1] if found else ""

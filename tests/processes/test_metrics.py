"""What a process shows Prometheus, and how it is found: the pages, the formats, and that the dead are not listed."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from gameday.processes.discovery import Announcement, Exposed, Scraped, found
from gameday.processes.exposition import Family, Server, exemplar
from gameday.processes.meters import Distribution

TOOK = Family(name="took_seconds", kind="histogram", labels=("what",), help="How long it took.")
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@given(values=st.lists(st.floats(0, 1000)), bounds=st.sets(st.floats(0.001, 500), min_size=1))
def test_a_value_is_counted_in_the_first_bucket_that_takes_it_in(values: list[float], bounds: set[float]) -> None:
    distribution = Distribution(sorted(bounds))
    for value in values:
        distribution.add(value)
    below = 0
    for bound, count in zip(sorted(bounds), distribution.buckets, strict=False):
        below += count
        assert below == sum(value <= bound for value in values)
    assert sum(distribution.buckets) == len(values)
    assert distribution.sum == pytest.approx(sum(values))


def took() -> Iterator[Metric]:
    distribution = Distribution((0.5, 2))
    for value in (0.1, 1.0, 2.0, 7.0):
        distribution.add(value)
    shown = exemplar({"message_id": "m7"}, 1.0, 1_700_000_000.5)
    assert shown is not None
    yield TOOK.histogram({("this",): distribution}, {("this",): {1: shown}})


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(took, exemplars=True, pages={"/where": lambda host, port: ("text/plain", host.encode())})
    yield server
    server.close()


def get(port: int, path: str, **headers: str) -> tuple[str, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_both_formats_and_exemplars_in_the_one_that_has_them(server: Server) -> None:
    _, plain = get(server.port, "/metrics")
    assert 'gameday_took_seconds_bucket{le="2.0",what="this"} 3.0\n' in plain
    assert "m7" not in plain
    content_type, text = get(server.port, "/metrics", Accept=OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text")
    (family,) = text_string_to_metric_families(text)
    values = {sample.labels.get("le", sample.name): sample.value for sample in family.samples}
    assert values == {"0.5": 1, "2.0": 3, "+Inf": 4, "gameday_took_seconds_count": 4, "gameday_took_seconds_sum": 10.1}
    shown = {sample.labels["le"]: sample.exemplar for sample in family.samples if sample.exemplar}
    assert {le: (each.labels, each.value) for le, each in shown.items()} == {"2.0": ({"message_id": "m7"}, 1.0)}


def test_without_exemplars_the_plain_format_is_all_there_is() -> None:
    server = Server(took)
    try:
        content_type, text = get(server.port, "/metrics", Accept=OPENMETRICS)
    finally:
        server.close()
    assert content_type.startswith("text/plain")
    assert "m7" not in text


def test_an_exemplar_that_is_too_long_is_left_out() -> None:
    assert exemplar({"message_id": "x" * 118}, 1, 1) is not None
    assert exemplar({"message_id": "x" * 119}, 1, 1) is None


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("10.1.2.3:9464", "10.1.2.3"),
        ("load.example", "load.example"),
        ("[::1]:80", "[::1]"),
        ('x"}:80', "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
def test_a_page_is_told_where_the_asker_reached_us(server: Server, header: str, host: str) -> None:
    assert get(server.port, "/where", Host=header)[1] == host


@pytest.mark.parametrize(("path", "data", "code"), [("/", None, 404), ("/metrics2", None, 404), ("/where", b"x", 405)])
def test_there_is_nothing_else(server: Server, path: str, data: bytes | None, code: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", data=data, timeout=10)
    assert raised.value.code == code
    assert "/metrics /where" in raised.value.read().decode()


def test_it_listens_on_loopback_unless_told_otherwise(server: Server) -> None:
    listening = Path("/proc/net/tcp").read_text() if sys.platform == "linux" else ""
    assert f" 0100007F:{server.port:04X} " in listening or sys.platform != "linux"


class TestDiscovery:
    def scraped(self, process: str, host: str = "127.0.0.1") -> Scraped:
        return Scraped(process=process, role="consumer", host=host, port=1234, labels={"subscription": "orders"})

    def test_who_announces_is_found_until_it_withdraws(self, tmp_path: Path) -> None:
        assert found(tmp_path) == []
        first, second = self.scraped("orders-1.1"), self.scraped("orders-2.1")
        announcement = Announcement(tmp_path, first)
        Announcement(tmp_path, second)
        assert found(tmp_path) == [first, second]
        announcement.withdraw()
        assert found(tmp_path) == [second]

    def test_who_was_killed_is_not_found(self, tmp_path: Path) -> None:
        script = (
            "import sys; from pathlib import Path; from gameday.processes.discovery import Exposed\n"
            "Exposed(Path(sys.argv[1]), lambda: [], process='c', role='load', host='127.0.0.1', labels={})\n"
            "print('ready', flush=True); sys.stdin.read()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            (there,) = found(tmp_path)
            assert get(there.port, "/metrics")[1] == ""
            # One that is stopped is not gone: that it does not answer is news.
            process.send_signal(signal.SIGSTOP)
            assert [scraped.process for scraped in found(tmp_path)] == ["c"]
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
        assert found(tmp_path) == []
        assert [path.name for path in (tmp_path / "metrics").iterdir()] == ["c.json"]

    @pytest.mark.parametrize(
        ("bound", "target"),
        [
            ("127.0.0.1", "127.0.0.1"),
            ("0.0.0.0", "host.example"),
            ("::", "host.example"),
            ("fd00::1", "[fd00::1]"),
        ],
    )
    def test_a_target_is_where_the_asker_can_reach_it(self, bound: str, target: str) -> None:
        assert self.scraped("orders-1.1", bound).target("r", "host.example") == {
            "targets": [f"{target}:1234"],
            "labels": {"run": "r", "role": "consumer", "process": "orders-1.1", "subscription": "orders"},
        }

    def test_a_process_that_cannot_serve_says_so_and_works_on(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "metrics").write_text("in the way")
        exposed = Exposed(tmp_path, lambda: [], process="c", role="load", host="127.0.0.1", labels={})
        assert "no metrics of c: cannot serve them at 127.0.0.1" in capsys.readouterr().err
        exposed.withdraw()

    def test_nothing_but_what_is_whole_is_read(self, tmp_path: Path) -> None:
        announcement = Announcement(tmp_path, self.scraped("orders-1.1"))
        (path,) = (tmp_path / "metrics").iterdir()
        assert path.name == "orders-1.1.json"
        assert orjson.loads(path.read_bytes())["port"] == 1234
        announcement.withdraw()

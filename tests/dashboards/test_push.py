"""`gameday dashboards push`, against a Grafana that holds every call to the published reference."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path

import pytest

from gameday import cli
from gameday.dashboards import files, push
from gameday.dashboards.grafana import Address, Grafana, GrafanaError
from gameday.history.errors import UsageError
from tests.dashboards.fake_grafana import TOKEN, FakeGrafana

UIDS = {"gameday-game-day", "gameday-consumers", "gameday-load", "gameday-aws"}


def told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str, token: str | None = TOKEN
) -> tuple[int, str, str]:
    """Exit code, output and error of the command; the token stands in neither."""
    monkeypatch.setattr(sys, "argv", ["gameday", "dashboards", "push", *arguments])
    if token is not None:
        monkeypatch.setenv("GRAFANA_TOKEN", token)
    code = 0
    try:
        cli.main()
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    assert TOKEN not in out + err
    return code, out, err


def test_everything_is_there_afterwards(server: FakeGrafana) -> None:
    done = [str(each) for each in push.push(Grafana(Address.parse(server.url), TOKEN))]
    assert server.folders.keys() == {"gameday"}
    assert server.datasources["gameday-prometheus"]["url"] == "http://127.0.0.1:9090"
    assert server.dashboards.keys() == UIDS
    assert set(server.folder_of.values()) == {"gameday"}
    titles = {alert["alert"] for alert in files.rules()[1]}
    assert {rule["title"] for rule in server.rules.values()} == titles and len(titles) == len(server.rules)
    assert server.intervals == {("gameday", "gameday"): 10}
    assert done[0] == "folder gameday: created" and "dashboard Game day: created" in done


def test_pushed_again_it_writes_nothing(server: FakeGrafana) -> None:
    grafana = Grafana(Address.parse(server.url), TOKEN)
    list(push.push(grafana))
    before = len(server.writes())
    assert {each.done for each in push.push(grafana)} == {"unchanged"}
    assert len(server.writes()) == before


def test_what_was_changed_is_brought_back_and_what_is_not_ours_stays(server: FakeGrafana) -> None:
    grafana = Grafana(Address.parse(server.url), TOKEN)
    list(push.push(grafana))
    server.dashboards["gameday-load"]["title"] = "Broken"
    server.rules["gameday-load-late"]["for"] = "1h"
    server.datasources["gameday-prometheus"]["basicAuthUser"] = "theirs"
    server.datasources["theirs"] = {"name": "theirs", "url": "x"}
    done = {each.what: each.done for each in push.push(grafana, prometheus="http://prometheus:9090")}
    assert {what for what, how in done.items() if how == "updated"} == {
        "dashboard Load",
        "alert rule GamedayLoadLate",
        "data source gameday Prometheus",
    }
    assert server.dashboards["gameday-load"]["title"] == "Load"
    assert server.rules["gameday-load-late"]["for"] == "3s"
    source = server.datasources["gameday-prometheus"]
    assert (source["url"], source["basicAuthUser"]) == ("http://prometheus:9090", "theirs")
    assert server.datasources["theirs"] == {"name": "theirs", "url": "x"}


def test_a_data_source_that_is_there_is_used(server: FakeGrafana) -> None:
    server.datasources["mine"] = {"uid": "mine", "name": "mine", "orgId": 3}
    list(push.push(Grafana(Address.parse(server.url), TOKEN), datasource="mine"))
    assert server.datasources.keys() == {"mine"}
    queries = [query for rule in server.rules.values() for query in rule["data"]]
    assert {query["datasourceUid"] for query in queries} == {"mine", "__expr__"}
    assert {rule["orgID"] for rule in server.rules.values()} == {3}
    assert "gameday-prometheus" not in str(server.dashboards)
    with pytest.raises(GrafanaError, match="no data source 'other'"):
        list(push.push(Grafana(Address.parse(server.url), TOKEN), datasource="other"))


def test_a_provisioned_data_source_is_left_alone(server: FakeGrafana) -> None:
    grafana = Grafana(Address.parse(server.url), TOKEN)
    list(push.push(grafana))
    server.datasources["gameday-prometheus"]["readOnly"] = True
    done = {each.what: each.done for each in push.push(grafana, prometheus="http://elsewhere:9090")}
    assert done["data source gameday Prometheus"] == "left alone: it is provisioned from a file"


def test_a_rule_of_grafana_stands_alone() -> None:
    """No recording rule has to be loaded anywhere: the expressions hold only metrics."""
    records, alerts = files.rules()
    rules = push.alert_rules(datasource="mine", org=1)
    assert len(rules) == len(alerts) and records
    for rule in rules:
        assert not re.search(r"\w:gameday_", rule["data"][0]["model"]["expr"]), rule["title"]
        assert re.fullmatch(r"gameday-[a-z-]{1,32}", rule["uid"])


def test_under_a_path(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    server = FakeGrafana(path="ops/grafana")
    try:
        code, out, _ = told(capsys, monkeypatch, "--grafana", f"{server.url}/")
        assert code == 0 and server.dashboards.keys() == UIDS and server.wrong == []
        assert f"look at {server.url}/d/gameday-game-day" in out
    finally:
        server.end()


def test_the_token_may_stand_in_a_file(
    server: FakeGrafana, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GRAFANA_TOKEN", raising=False)
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    code, _, err = told(capsys, monkeypatch, "--grafana", server.url, "--token-file", str(path), token=None)
    assert code == 0, err


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ("token", 4, r"does not accept the token \(401\).*Service accounts"),
        ("role", 4, r"the token may not create a data source \(403\).*role Admin"),
        ("old", 4, r"version 9\.5\.2, which is too old: 10\.1 or newer"),
        ("gone", 4, r"cannot reach Grafana at http://127\.0\.0\.1:\d+: .*refused; is it running there\?"),
        ("ill", 4, r"could not read the folder \(500\): database is locked"),
        ("moved", 4, r"answers with another address"),
        ("other", 4, r"is not Grafana"),
    ],
)
def test_what_goes_wrong_is_one_clear_message(
    server: FakeGrafana,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: str,
    code: int,
    says: str,
) -> None:
    url, token, answer = server.url, TOKEN, server.answer
    match change:
        case "token":
            token = "glsa_expired"
        case "role":
            server.denied = {"datasources:create"}
        case "old":
            server.version = "9.5.2"
        case "gone":
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                url = f"http://127.0.0.1:{free.getsockname()[1]}"
        case "ill":
            monkeypatch.setattr(
                server,
                "answer",
                lambda *call: (
                    answer(*call) if "health" in call[1] else (500, {"message": f"database is locked {TOKEN}"})
                ),
            )
        case "moved":
            monkeypatch.setattr(server, "answer", lambda *call: (302, {}))
            monkeypatch.setattr(server, "headers", {"Location": "http://127.0.0.1:9/"})
        case "other":
            monkeypatch.setattr(server, "answer", lambda *call: (200, ["hello"]))
    got, _, err = told(capsys, monkeypatch, "--grafana", url, token=token)
    assert got == code and re.search(says, err), err
    assert err.count("\n") == 1 and token not in err


@pytest.mark.parametrize(
    "url", ["grafana.example", "ftp://grafana.example", "http://", "http://admin:secret@grafana.example", "http://[::1"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        Address.parse(url)
    assert "secret" not in str(refused.value)


def test_an_address_is_what_was_written() -> None:
    for url in ("http://127.0.0.1:3000", "https://grafana.example/ops", "http://[::1]:3000"):
        assert str(Address.parse(url)) == url


@pytest.mark.parametrize("token", ["", "  ", "two words", "line\nbreak", "schlüssel"])
def test_a_token_that_is_none_is_refused_and_not_shown(
    server: FakeGrafana, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], token: str
) -> None:
    code, out, err = told(capsys, monkeypatch, "--grafana", server.url, token=token)
    assert code == 2 and "GRAFANA_TOKEN holds" in err
    assert not token.strip() or token not in out + err
    assert server.calls == []


def test_without_a_token_it_says_where_one_goes(
    server: FakeGrafana, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GRAFANA_TOKEN", raising=False)
    code, _, err = told(capsys, monkeypatch, "--grafana", server.url, token=None)
    assert code == 2 and "set GRAFANA_TOKEN, or name a file with --token-file" in err
    code, _, err = told(capsys, monkeypatch, "--grafana", server.url, "--token-file", "/nowhere", token=None)
    assert code == 2 and "cannot read the token from /nowhere: No such file or directory" in err

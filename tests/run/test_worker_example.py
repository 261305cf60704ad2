"""The worker of README's second example, as anybody would run it: it books twice, and with a key it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commanded import Gameday
from tests.series import in_series, in_soak

pytestmark = pytest.mark.live

Start = Callable[..., Gameday]
ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "consumers"


@in_series
@pytest.mark.parametrize(
    ("column", "insert", "verdict"),
    [
        ("order_id TEXT", "INSERT", "violated"),
        pytest.param("order_id TEXT PRIMARY KEY", "INSERT OR IGNORE", "holds", marks=in_soak),
    ],
)
def test_it_says_what_the_readme_says(gameday: Start, tmp_path: Path, column: str, insert: str, verdict: str) -> None:
    worker = (EXAMPLE / "worker.py").read_text()
    worker = worker.replace("order_id TEXT", column).replace("INSERT INTO", f"{insert} INTO")
    (tmp_path / "worker.py").write_text(worker)
    scenario = (EXAMPLE / "orders.yaml").read_text().replace("../../.venv", str(ROOT / ".venv"))
    (tmp_path / "orders.yaml").write_text(scenario)
    run = gameday(str(tmp_path / "orders.yaml"), "--target", "memory")
    code, out, err = run.end()
    document = json.loads((run.run / "verdict.json").read_bytes())
    assert {claim["key"]: claim["verdict"] for claim in document["claims"]} == {
        "no-loss": "holds",
        "at-least-once-effect": "holds",
        "exactly-once-effect": verdict,
    }, out + err
    assert code == (1 if verdict == "violated" else 0)


def test_the_readme_shows_what_is_there() -> None:
    readme = (ROOT / "README.md").read_text()
    shown = ("  command:", "  env:", "effects:", "  - {at:", "claims:", "        sqs.delete", "        order =")
    for file in ("worker.py", "orders.yaml"):
        for line in (EXAMPLE / file).read_text().splitlines():
            assert not line.startswith(shown) or line in readme, f"{file}: {line}"

"""The floor diagram held to the imports, and no file that nobody uses.

The roof imports every floor, siblings never each other, the checks only the history. Whoever adds a fault or a check
and forgets its line in the registry hears it here.
"""

from __future__ import annotations

import ast
import importlib
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Which other floors each floor may import.
GROUND = {"history"}
BELOW = GROUND | {"processes", "transports"}
SIBLINGS = {"loadgen", "consumers", "chaos", "dashboards", "conformance", "targets", "wire", "verify", "watch"}
FLOORS: dict[str, set[str]] = {
    "history": set(),
    "processes": GROUND,
    "transports": GROUND | {"processes"},
    "emulator": BELOW,
    "verify": GROUND,
    "watch": GROUND | {"processes"},
    "targets": BELOW,
    "conformance": BELOW,
    "wire": BELOW,
    "loadgen": BELOW,
    "consumers": BELOW,
    "chaos": BELOW,
    "dashboards": GROUND | {"processes"},
    "scenario": BELOW | SIBLINGS,
    "compare": GROUND | {"verify"},
    "find_rate": GROUND | {"verify"},
    "search": GROUND | {"verify"},
    "report": BELOW | SIBLINGS | {"scenario", "compare", "find_rate", "search"},
    "run": BELOW | SIBLINGS | {"scenario", "report"},
    # What it stands in for is started by `run`, and speaks to the emulator over a socket.
    "simulation": BELOW | SIBLINGS | {"scenario", "run", "emulator"},
    # The roof: the command line.
    "gameday": BELOW | SIBLINGS | {"scenario", "compare", "find_rate", "search", "report", "run", "simulation"},
}
# Where what may come from outside is a promise of its own: a history is judged years later, with no AWS code at hand.
FOREIGN = {"history": {"orjson", "msgspec"}, "processes": {"orjson", "prometheus_client"}, "chaos": {"pydantic"}}
AWS = {"boto3", "botocore", "aiobotocore", "ministack"}
# Started by name, as a file.
ENTRY_POINTS = {
    "gameday.conformance.probe_function",
    "gameday.consumers.function_shim",
    "gameday.loadgen.locustfile",
    "gameday.loadgen.message_shim",
    "gameday.scenarios.functions.orders",
}


def _modules() -> dict[str, Path]:
    """Every module of ours by its dotted name; four of the packages are links to what stands at the root."""
    found = {}
    places = [ROOT / "gameday", *(path for path in (ROOT / "gameday").iterdir() if path.is_symlink())]
    for place in places:
        for path in sorted(place.rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def imports(path: Path) -> Iterator[str]:
    """Every name imported anywhere in a file, inside functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import hides which floor it comes from"
            assert node.module
            yield node.module
            # `from package import module` names a module too.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


def floor_of(name: str) -> str:
    """The floor of one of our modules by its dotted name; what stands in `gameday` itself is the roof."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOORS else parts[0]


def forbidden(floor: str, path: Path) -> set[str]:
    """The floors that a file of `floor` imports and must not."""
    ours = {name for name in imports(path) if name.partition(".")[0] == "gameday" and name != "gameday"}
    return {floor_of(name) for name in ours} - FLOORS[floor] - {floor}


def test_a_module_imports_only_from_floors_below_it() -> None:
    assert len(MODULES) > len(FLOORS), "there is nothing to look at"
    wrong = {name: found for name, path in MODULES.items() if (found := forbidden(floor_of(name), path))}
    assert not wrong


@pytest.mark.parametrize(
    "line",
    [
        "import gameday.consumers.fleet",
        "def f():\n    from gameday.loadgen import shapes",
        "from gameday import verify",
        "from gameday.cli import main",
    ],
)
def test_an_import_of_a_sibling_is_seen(tmp_path: Path, line: str) -> None:
    path = tmp_path / "fault.py"
    path.write_text(f"import gameday.history.events\n{line}\n")
    assert forbidden("chaos", path)
    assert not forbidden("gameday", path)


def test_everything_of_ours_is_imported_by_its_one_name() -> None:
    """A directory at the root could be imported as a package of its own too; then each module would be there twice."""
    linked = {path.name for path in (ROOT / "gameday").iterdir() if path.is_symlink()}
    assert {"loadgen", "consumers", "chaos", "dashboards"} <= linked
    files = [*MODULES.values(), *sorted(ROOT.glob("tests/**/*.py")), *sorted(ROOT.glob("[bs]*/*.py"))]
    assert [str(path) for path in files if packages(path) & linked] == []


def test_a_low_floor_stands_on_little() -> None:
    known = sys.stdlib_module_names | {"gameday"}
    for name, path in MODULES.items():
        if (allowed := FOREIGN.get(floor_of(name))) is not None:
            assert packages(path) - known <= allowed, f"{name} needs more than {allowed}"
        if floor_of(name) == "verify":
            assert not packages(path) & AWS, f"{name} needs AWS code to judge"


def test_a_module_opens_with_its_promise() -> None:
    silent = [
        name
        for name, path in MODULES.items()
        if not (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").strip()
    ]
    assert silent == []


def test_no_module_is_dead() -> None:
    """Every module is reached from something that a person or the conductor starts."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["script-files"]
    waiting = [*ENTRY_POINTS, *(name for script in scripts for name in imports(ROOT / script))]
    waiting += [name for name, path in MODULES.items() if '__name__ == "__main__"' in path.read_text("utf-8")]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in MODULES and name not in reached:
            reached.add(name)
            # Importing a module runs its package's __init__ first.
            waiting += [*imports(MODULES[name]), name.rpartition(".")[0]]
    assert sorted(MODULES.keys() - reached) == [], "nobody imports these"


def test_every_fault_has_its_line() -> None:
    registered = importlib.import_module("gameday.chaos.registry").FAULTS
    for name, fault in registered.items():
        assert fault.__module__ == f"gameday.chaos.faults.{name.replace('-', '_')}", "a file is named for its fault"
    files = {name for name in MODULES if name.startswith("gameday.chaos.faults.")}
    assert files == {fault.__module__ for fault in registered.values()}

"""What checks terraform/: which tool is taken, the tables of the READMEs, and that no state is ever committed.

What it says of the modules themselves, and that it finds planted mistakes, `make terraform` shows.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts import terraform_checks, terraform_docs, terraform_tool
from scripts.terraform_tool import INSTALLER, Tool

ROOT = Path(__file__).resolve().parent.parent
TERRAFORM = ROOT / "terraform"
MODULES = {"queue", "topic", "bus", "stream", "effects", "fleet", "observability", "fis", "access"}
# What a program says to `init`.
WORKS, FAILS = "exit 0", "echo no such host >&2; exit 1"


def program(path: Path, does: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{does}\n")
    path.chmod(0o755)
    return path


def installing(does: str) -> str:
    """What an installer does whose tool does that."""
    return f"""mkdir -p "$1/bin"; printf '#!/bin/sh\\n{does}\\n' > "$1/bin/tofu"; chmod +x "$1/bin/tofu\""""


@pytest.fixture
def bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory of the PATH."""
    (tmp_path / "bin").mkdir()
    for needed in ("mkdir", "chmod"):
        (tmp_path / "bin" / needed).symlink_to(str(shutil.which(needed)))
    monkeypatch.setattr(terraform_tool, "PLACE", tmp_path / "place")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv(INSTALLER, raising=False)
    return tmp_path / "bin"


def test_the_one_that_works_is_taken(bin: Path) -> None:
    program(bin / "tofu", FAILS)
    terraform = program(bin / "terraform", WORKS)
    tool = terraform_tool.found()
    assert isinstance(tool, Tool) and tool.program == str(terraform)


def test_tofu_is_taken_first(bin: Path) -> None:
    tofu = program(bin / "tofu", WORKS)
    program(bin / "terraform", WORKS)
    tool = terraform_tool.found()
    assert isinstance(tool, Tool) and tool.program == str(tofu)


def test_where_none_works_the_installer_is_asked(bin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(bin / "terraform", FAILS)
    # Its tool works with the configuration that it brings, and not without.
    installs = f'{installing("test -s $TF_CLI_CONFIG_FILE")}; echo x > "$1/tofurc"'
    monkeypatch.setenv(INSTALLER, str(program(tmp_path / "install", installs)))
    tool = terraform_tool.found()
    assert isinstance(tool, Tool) and tool.program == str(tmp_path / "place/bin/tofu")
    assert tool.environment == {"TF_CLI_CONFIG_FILE": str(tmp_path / "place/tofurc")}


@pytest.mark.parametrize(
    ("installer", "said"),
    [
        (None, "GAMEDAY_TOFU_INSTALLER names no program that installs one"),
        ("echo the disk is full >&2; exit 1", "install failed: the disk is full"),
        (installing(FAILS), "cannot be used: no such host"),
    ],
)
def test_where_there_is_none_it_says_why(
    bin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installer: str | None, said: str
) -> None:
    program(bin / "terraform", FAILS)
    if installer is not None:
        monkeypatch.setenv(INSTALLER, str(program(tmp_path / "install", installer)))
    told = terraform_tool.found()
    assert isinstance(told, str)
    assert "tofu is not on the PATH" in told and "terraform cannot be used: no such host" in told and said in told


def test_nothing_is_called_checked_where_there_is_no_tool(bin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert terraform_checks.main([]) == 1
    assert "nothing was checked: tofu is not on the PATH" in capsys.readouterr().err


def test_every_module_has_what_a_module_has() -> None:
    assert {path.name for path in terraform_docs.modules(TERRAFORM)} == MODULES | {"complete"}
    for path in terraform_docs.modules(TERRAFORM):
        assert {"main.tf", "variables.tf", "outputs.tf", "versions.tf", "README.md"} <= {
            each.name for each in path.iterdir()
        }
        assert list(path.glob("tests/*.tftest.hcl")), path
        if path.name in MODULES:
            create = next(each for each in terraform_docs.read(path) if each.name == "create")
            assert (create.type, create.default) == ("bool", "true"), path


def test_the_tables_are_current() -> None:
    assert terraform_docs.stale(TERRAFORM) == []


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "modules" / "one"
    path.mkdir(parents=True)
    (path / "variables.tf").write_text(
        'variable "sizes" {\n  description = "By name, a \\"size\\"|limit."\n  type = map(object({\n    cpu = number\n'
        "    names = optional(list(string), [])\n  }))\n"
        "  default = {\n    small = { cpu = 1 }\n    large = { cpu = 2 }\n  }\n\n"
        '  validation {\n    condition     = true\n    error_message = "Never."\n  }\n}\n\n'
        'variable "name" {\n  description = "A name."\n  type        = string\n}\n'
    )
    (path / "outputs.tf").write_text(
        'output "arn" {\n  description = "Its ARN."\n  value = {\n    description = "none of it"\n  }\n}\n'
    )
    (path / "README.md").write_text("# One\n\n<!-- inputs and outputs -->\n<!-- /inputs and outputs -->\nbehind\n")
    return path


def test_tables_tell_what_is_declared(module: Path) -> None:
    assert terraform_docs.main([str(module.parents[1])]) == 0
    assert (module / "README.md").read_text() == (
        "# One\n\n<!-- inputs and outputs -->\n"
        "| input | what it is | type | default |\n|---|---|---|---|\n"
        '| `sizes` | By name, a "size"\\|limit. '
        "| `map(object({ cpu = number, names = optional(list(string), []) }))` "
        "| `{ small = { cpu = 1 }, large = { cpu = 2 } }` |\n"
        "| `name` | A name. | `string` | required |\n\n"
        "| output | what it is |\n|---|---|\n| `arn` | Its ARN. |\n<!-- /inputs and outputs -->\nbehind\n"
    )
    assert terraform_docs.main(["--check", str(module.parents[1])]) == 0


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("variables.tf", "A name.", "Another.", "one/README.md is not current"),
        ("variables.tf", '  description = "A name."\n', "", "one/variables.tf: variable name has no description"),
        ("variables.tf", "  type        = string\n", "", "one/variables.tf: variable name has no type"),
        ("outputs.tf", '  description = "Its ARN."\n', "", "one/outputs.tf: output arn has no description"),
        ("README.md", "<!-- /inputs and outputs -->", "", "one/README.md has no <!-- inputs and outputs -->"),
    ],
)
def test_what_is_not_told_is_refused(
    module: Path, capsys: pytest.CaptureFixture[str], file: str, old: str, new: str, said: str
) -> None:
    terraform_docs.main([str(module.parents[1])])
    (module / file).write_text((module / file).read_text().replace(old, new))
    assert terraform_docs.main(["--check", str(module.parents[1])]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "left",
    [
        "terraform.tfstate",
        "terraform.tfstate.backup",
        ".terraform/modules/modules.json",
        ".terraform.lock.hcl",
        "mine.tfvars",
    ],
)
def test_no_state_can_be_committed(left: str) -> None:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a clone")
    path = f"terraform/examples/complete/{left}"
    done = subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT, env=os.environ, check=False)
    assert done.returncode == 0, f"{path} is not ignored"

"""OpenTofu or Terraform, whichever works here.

`tofu` and `terraform` of the PATH come first; one works if it can get the AWS provider, which an `init` tells. Where
neither does, GAMEDAY_TOFU_INSTALLER may name a program that is called with a directory and puts into it `bin/tofu` and
`tofurc`, the CLI configuration that tells where the provider is.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What it needs of its own here, beside the repository's files and no part of them.
PLACE = ROOT / ".tofu"
INSTALLER = "GAMEDAY_TOFU_INSTALLER"
_PROBE = 'terraform {\n  required_providers {\n    aws = { source = "hashicorp/aws", version = ">= 6.0" }\n  }\n}\n'
# The provider has hundreds of megabytes.
_INIT_S = 600


@dataclass(frozen=True, kw_only=True)
class Tool:
    """`environment`: what its processes have besides."""

    program: str
    environment: Mapping[str, str]

    def init(self, root: Path) -> subprocess.CompletedProcess[str]:
        """What `init` without a backend said of a root module."""
        return self.run(root, "init", "-backend=false", "-input=false", "-no-color", timeout_s=_INIT_S)

    def run(
        self,
        root: Path,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """In that directory; standard output and error come together. `environment`: in place of this process's."""
        return subprocess.run(
            [self.program, *arguments],
            cwd=root,
            env={
                **(os.environ if environment is None else environment),
                "TF_IN_AUTOMATION": "1",
                "CHECKPOINT_DISABLE": "1",
                **self.environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )


def found() -> Tool | str:
    """One that works, or in words why there is none."""
    PLACE.mkdir(exist_ok=True)
    with (PLACE / "lock").open("w") as lock:
        # Tests beside each other ask at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = []
        for name in ("tofu", "terraform"):
            if (program := shutil.which(name)) is None:
                told.append(f"{name} is not on the PATH")
                continue
            tool = Tool(program=program, environment=_cached())
            if (why := _fails(tool)) is None:
                return tool
            told.append(f"{program} cannot be used: {why}")
        installer = os.environ.get(INSTALLER)
        if not installer:
            return f"{'; '.join(told)}; and {INSTALLER} names no program that installs one"
        done = subprocess.run([installer, str(PLACE)], capture_output=True, text=True, check=False)
        if done.returncode:
            return f"{'; '.join(told)}; and {installer} failed: {done.stderr.strip()[-500:]}"
        tool = Tool(program=str(PLACE / "bin/tofu"), environment={"TF_CLI_CONFIG_FILE": str(PLACE / "tofurc")})
        why = _fails(tool)
        return tool if why is None else f"{'; '.join(told)}; and what {installer} installed cannot be used: {why}"


def _cached() -> Mapping[str, str]:
    """The provider is fetched once for all root modules."""
    cache = PLACE / "plugins"
    cache.mkdir(exist_ok=True)
    return {"TF_PLUGIN_CACHE_DIR": str(cache)}


def _fails(tool: Tool) -> str | None:
    """Why it cannot be used: what it says to an `init` that needs the AWS provider."""
    with tempfile.TemporaryDirectory(prefix="gameday-tofu-") as probe:
        (Path(probe) / "main.tf").write_text(_PROBE)
        try:
            done = tool.init(Path(probe))
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    return None if done.returncode == 0 else " ".join(done.stdout.split())[:300]

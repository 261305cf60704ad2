"""The processes of Locust that a run starts: their command line, and what they find in their environment.

Locust looks into the current directory for modules, and for options of its own (locust.conf, pyproject.toml). It
promises that it finds none of the user's: each stands in a directory of the run, and finds the files of AWS's SDKs all
the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

LOCUSTFILE = Path(__file__).resolve().parents[1] / "loadgen" / "locustfile.py"
ARGUMENTS = ("-m", "locust", "-f", str(LOCUSTFILE), "--only-summary")
# What AWS's SDKs read, by a path that may begin at the current directory.
_AWS_FILES = (
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)


def place(run: Path) -> Path:
    """Where such a process stands."""
    return run / "logs"


def aws_files(environ: Mapping[str, str]) -> dict[str, str]:
    """The files of AWS's SDKs that the environment names, for a process that stands in another directory."""
    return {name: str(Path(file).expanduser().absolute()) for name in _AWS_FILES if (file := environ.get(name))}

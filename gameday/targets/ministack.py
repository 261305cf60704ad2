"""MiniStack as a process of this run: `python -m gameday.targets.ministack PARENT_PID`.

It promises what the conductor needs of it: one loopback port (BIND_HOST and GATEWAY_PORT, set by whoever starts it)
and nothing else listening, no state read or left behind, and no life after the conductor's: the kernel kills it when
its parent dies, however that dies.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import Mapping

from gameday.processes.control import die_with_parent

# What MiniStack reads from the environment and a user may have set for an instance of their own.
_OTHERS = ("MINISTACK_", "IOT_", "SFTP_", "LOCALSTACK_", "S3_", "USE_SSL", "SERVICES", "EDGE_PORT", "AUTH")


def environment(*, port: int, data: str) -> Mapping[str, str]:
    return {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "LOG_LEVEL": "WARNING",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "PERSIST_STATE": "0",
        "TMPDIR": data,
        "STATE_DIR": data,
    }


def main(parent: int) -> None:
    # MiniStack logs each request on standard output, which is the conductor's line; what it says belongs in the log.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        # The conductor died before the kernel was asked; nobody would ever end this process.
        raise SystemExit(1)
    ours = environment(port=0, data="")
    for name in [name for name in os.environ if name.startswith(_OTHERS) and name not in ours]:
        del os.environ[name]
    sys.argv = ["ministack"]
    runpy.run_module("ministack", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""Counts the effects in a directory: `python3 count_effects.py DIR` prints {"key": …, "applied": n} for each file.

A line in a file is one effect. A name that begins with a dot is a file that is still being written.
"""

import json
import sys
from pathlib import Path


def main(directory: str) -> None:
    for path in sorted(Path(directory).iterdir()):
        if not path.name.startswith("."):
            print(json.dumps({"key": path.name, "applied": len(path.read_text().splitlines())}))


main(sys.argv[1])

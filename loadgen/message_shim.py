"""Runs in the user's own Python, 3.8 or newer: calls their function for each message of a load.

    python message_shim.py MODULE:FUNCTION

One file without dependencies, so that it runs wherever their code does. Each line of standard input asks for one
message, each line of standard output answers one, in the same order; the first line says whether the function is there.
What their code prints goes to standard error.

    {"ready": true}                                   or {"error": "…"}, and it ends
    {"n": 1, "group": "g3", "seq": 1, "seed": 7, "run": "…", "at_s": 0.05, "total": 1000}
    {"body": "…", "group": "…", "dedup_id": "…", "key": "…", "id": "…", "attributes": {…}}     or {"error": "…"}
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path

FIELDS = ("body", "group", "dedup_id", "attributes", "key", "id")


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    # Whatever their code prints, from C as well.
    os.dup2(2, 1)

    def answer(**fields: object) -> None:
        answers.write(json.dumps(fields, ensure_ascii=False) + "\n")

    try:
        name, _, function = sys.argv[1].partition(":")
        sys.path[0] = str(Path.cwd())
        make = importlib.import_module(name)
        for part in function.split("."):
            make = getattr(make, part)
        if not callable(make):
            raise TypeError(f"{sys.argv[1]} is {make!r}, which is no function")
    except BaseException as error:
        answer(error=_told(error))
        answers.flush()
        sys.exit(1)
    answer(ready=True)
    answers.flush()
    for line in sys.stdin.buffer:
        try:
            answer(**_fields(make(json.loads(line))))
        except Exception as error:
            # No further message is asked for: what is said last is about this one.
            answer(error=_told(error))
            break
        answers.flush()
    answers.flush()


def _fields(made: object) -> dict[str, object]:
    """A message in the words of the protocol: a dict with a `body` says more than the body."""
    if isinstance(made, dict) and "body" in made:
        strange = [key for key in made if key not in FIELDS]
        if strange:
            raise ValueError(
                f"{strange[0]!r} is none of {', '.join(FIELDS)}; a body that has a field `body` of its own is returned "
                'as {"body": {…}}'
            )
        return {**made, "body": _text(made["body"])}
    return {"body": _text(made)}


def _text(body: object) -> str:
    if isinstance(body, str):
        return body
    if isinstance(body, (bytes, bytearray)):
        return bytes(body).decode("utf-8")
    if isinstance(body, (dict, list)):
        return json.dumps(body, ensure_ascii=False)
    raise TypeError(f"a body is a text, bytes in UTF-8, or what becomes JSON, and not {body!r:.60}")


def _told(error: BaseException) -> str:
    traceback.print_exc()
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main()

"""Writes the tables of inputs and outputs into the README of each module of terraform/, from what the module declares.

Each README has them between `<!-- inputs and outputs -->` and `<!-- /inputs and outputs -->`. A variable without a type
is refused, and anything without a description. It reads what `fmt` has formatted: blocks begin and end at the margin.

python scripts/terraform_docs.py [--check] [TERRAFORM]    --check: exit code 1 if they are not what would be written
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "terraform"
_BEGIN, _END = "<!-- inputs and outputs -->", "<!-- /inputs and outputs -->"
_BLOCK = re.compile(r'^(variable|output) "([^"]+)" \{\n(.*?)^\}$', re.MULTILINE | re.DOTALL)
# An argument of the block, with the lines that belong to it: those that are further from the margin, or close it.
_ARGUMENT = re.compile(r"^  (\w+) += (.*(?:\n(?:    .*|  [\])}]+.*|))*)", re.MULTILINE)


class Undescribed(Exception):
    """What lacks a type or a description, a line each."""


@dataclass(frozen=True, kw_only=True)
class Described:
    """A variable, or an output, that has only name and description. `default` is None where a value has to be given."""

    kind: str
    name: str
    description: str
    type: str
    default: str | None


def modules(root: Path) -> Sequence[Path]:
    """The directories that have a README: modules and examples."""
    return sorted([*root.glob("modules/*"), *root.glob("examples/*")])


def read(module: Path) -> Sequence[Described]:
    """In the order of the files. Errors: Undescribed."""
    found, wrong = [], []
    for file in ("variables.tf", "outputs.tf"):
        text = (module / file).read_text(encoding="utf-8")
        for kind, name, body in _BLOCK.findall(text):
            arguments = {key: _line(value) for key, value in _ARGUMENT.findall(body)}
            described = arguments.get("description", "").strip('"').replace('\\"', '"')
            wrong += [f"{module.name}/{file}: {kind} {name} has no description"] if not described else []
            if kind == "variable" and "type" not in arguments:
                wrong.append(f"{module.name}/{file}: variable {name} has no type")
            found.append(
                Described(
                    kind=kind,
                    name=name,
                    description=described,
                    type=arguments.get("type", ""),
                    default=arguments.get("default"),
                )
            )
    if wrong:
        raise Undescribed("\n".join(wrong))
    return found


def _line(value: str) -> str:
    """On one line, as it can be typed: the commas that line ends had the meaning of."""
    text = re.sub(r"\n\s*", " ", re.sub(r"(?<=[^{(\[,\s])\n(?!\s*[})\]])", ",\n", value.strip()))
    return re.sub(r" +", " ", text)


def tables(module: Path) -> str:
    """Errors: Undescribed."""
    return "\n".join(_lines(read(module)))


def _lines(described: Sequence[Described]) -> Iterator[str]:
    yield "| input | what it is | type | default |"
    yield "|---|---|---|---|"
    for each in described:
        if each.kind == "variable":
            default = "required" if each.default is None else f"`{_cell(each.default)}`"
            yield f"| `{each.name}` | {_cell(each.description)} | `{_cell(each.type)}` | {default} |"
    yield ""
    yield "| output | what it is |"
    yield "|---|---|"
    for each in described:
        if each.kind == "output":
            yield f"| `{each.name}` | {_cell(each.description)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def written(module: Path) -> str:
    """The README as it should be. Errors: Undescribed, also for a README that has no place for the tables."""
    try:
        text = (module / "README.md").read_text(encoding="utf-8")
    except OSError as error:
        raise Undescribed(f"{module.name} has no README.md") from error
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise Undescribed(f"{module.name}/README.md has no {_BEGIN} and {_END}")
    return f"{before}{_BEGIN}\n{tables(module)}\n{_END}{after}"


def stale(root: Path) -> Sequence[str]:
    """What is wrong with the READMEs below it, a line each; nothing where all is current."""
    wrong = []
    for module in modules(root):
        try:
            if written(module) != (module / "README.md").read_text(encoding="utf-8"):
                wrong.append(f"{module.name}/README.md is not current; write it with: python scripts/terraform_docs.py")
        except Undescribed as error:
            wrong += str(error).splitlines()
    return wrong


def main(arguments: Sequence[str]) -> int:
    paths = [Path(word) for word in arguments if word != "--check"]
    root = paths[0] if paths else ROOT
    if "--check" not in arguments:
        for module in modules(root):
            try:
                (module / "README.md").write_text(written(module), encoding="utf-8")
            except Undescribed as error:
                print(error, file=sys.stderr)
    wrong = stale(root)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

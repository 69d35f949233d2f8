"""How the site shows docstrings: a line about an argument as an item of a list, and examples as code."""

import re
from typing import Any

import griffe

ARGUMENT = re.compile(r"^((?:\w+(?:, | and )?)+): (?=\S)")


class Lines(griffe.Extension):
    """Mark up the two shapes of line that this package's docstrings have."""

    def on_function_instance(self, *, func: griffe.Function, **kwargs: Any) -> None:
        names = {parameter.name for parameter in func.parameters}
        _mark_up(func.docstring, names)

    def on_class_instance(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        _mark_up(cls.docstring, set())

    def on_module_instance(self, *, mod: griffe.Module, **kwargs: Any) -> None:
        _mark_up(mod.docstring, set())


def _mark_up(docstring: griffe.Docstring | None, names: set[str]) -> None:
    if docstring is None:
        return
    lines, example, item = [], False, False
    for line in docstring.value.splitlines():
        starts = line.startswith((">>> ", "... "))
        if starts != example:
            lines += ["", "```pycon"] if starts else ["```", ""]
            example = starts
        argument = ARGUMENT.match(line)
        if not example and argument and set(re.split(", | and ", argument[1])) <= names:
            lines += [] if item else [""]
            line, item = f"- `{argument[1]}`: {line[argument.end() :]}", True
        elif item and line.strip():
            if line.startswith("Raises"):
                lines, item = [*lines, ""], False
            else:
                line = "  " + line
        elif not line.strip():
            item = False
        lines.append(re.sub(r" {2,}# ", "  # ", line) if example else line)
    docstring.value = "\n".join([*lines, "```"] if example else lines)

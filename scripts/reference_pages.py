"""What the command line and the service say of themselves → the tables of their reference pages, in Markdown."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from mien.cli import app
from mien.cli import help as verb_help


def command_line() -> str:
    """Return a section for each verb: how it is called, what it does, its arguments and options."""
    main = typer.main.get_command(app)
    return "\n".join(line for verb in _verbs(main, ("mien",)) for line in verb)


def _verbs(command: Any, path: tuple[str, ...]) -> Iterator[list[str]]:
    if hasattr(command, "commands"):
        for name, child in command.commands.items():
            yield from _verbs(child, (*path, name))
        return
    name = " ".join(path)
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    usage = " ".join([name, *(_argument(argument) for argument in arguments), "[OPTIONS]"])
    lines = [f"## {name}", "", "```text", usage, "```", "", verb_help.prose(command.help), ""]
    if examples := verb_help.examples(command.help):
        lines += ["```sh", *examples, "```", ""]
    rows = [(f"`{_argument(argument)}`", _cell(verb_help.meaning(argument))) for argument in arguments]
    lines += _table(("argument", "what"), rows)
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    lines += _table(("option", "what"), [(_option(option), _cell(verb_help.meaning(option))) for option in options])
    yield lines


def _argument(argument: Any) -> str:
    return verb_help.name(argument) + ("…" if argument.nargs == -1 else "")


def _option(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    return names if verb_help.is_switch(option) else f"{names} *{_cell(verb_help.value(option))}*"


def rest() -> str:
    """Return a section for each path of the service, and the problem documents that it can answer with."""
    from mien.serve.app import create_app
    from mien.serve.settings import Settings

    schema = create_app(Settings(page=False)).openapi()
    lines = []
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            lines += [f"## {method.upper()} {path}", "", _prose(operation.get("summary", "")) + ".", ""]
            lines += [_prose(operation["description"]), ""] if "description" in operation else []
            asked = [
                (f"`{parameter['name']}`", parameter["in"], _cell(parameter.get("description", "")))
                for parameter in operation.get("parameters", [])
            ]
            lines += _table(("parameter", "in", "what"), asked)
            if body := operation.get("requestBody"):
                lines += ["Body: " + ", ".join(f"`{kind}`" for kind in body["content"]) + ".", ""]
            answers = operation["responses"]
            good = [code for code in answers if code < "400"]
            for code in good:
                kinds = ", ".join(f"`{kind}`" for kind in answers[code].get("content", {})) or "nothing"
                model = _named(answers[code].get("content", {}))
                told = answers[code]["description"]
                told = "" if told == "Successful Response" else f" {told}"
                lines += [f"Answers {code}: {kinds}{model}.{told}", ""]
            bad = ", ".join(sorted(set(answers) - set(good)))
            lines += [f"Or a problem document: {bad}.", ""]
    lines += ["## What is in the answers", ""]
    for name, model in sorted(schema["components"]["schemas"].items()):
        if "properties" not in model:
            continue
        lines += [f"### {name}", "", _prose(model.get("description", "")), ""]
        rows = [
            (f"`{key}`", _cell(_kind(value)), _cell(value.get("description", "")))
            for key, value in model["properties"].items()
        ]
        lines += _table(("field", "type", "what"), rows)
    return "\n".join(lines)


def _named(content: dict[str, Any]) -> str:
    schemas = [kind.get("schema", {}) for kind in content.values()]
    name = schemas[0].get("$ref", "").rpartition("/")[2] if schemas else ""
    return f", [{name}](#{name.lower()})" if name else ""


def _kind(value: dict[str, Any]) -> str:
    """Return a JSON schema in a few words."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return "one of the emotions" if name == "Emotion" else f"[{name}](#{name.lower()})"
    if "anyOf" in value:
        return " or ".join(_kind(choice) for choice in value["anyOf"])
    if "const" in value:
        return str(value["const"])
    if "enum" in value:
        return " or ".join(map(str, value["enum"]))
    if value.get("type") == "array":
        return f"list of {_kind(value.get('items', {}))}"
    if value.get("type") == "object":
        return "object"
    return str(value.get("type", "any"))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    lines = [head, ["---"] * len(head), *rows]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def _prose(text: str | None) -> str:
    """Return help text as Markdown, which it nearly is: without the marks by which terminals keep lines apart."""
    return inspect.cleandoc((text or "").replace("\b", "").replace("\f", ""))


def _cell(text: str) -> str:
    """Return text that stands in one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")

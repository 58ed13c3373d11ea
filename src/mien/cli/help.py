"""What `--help` shows, in plain text that reads well in 80 columns.

A verb's docstring is its help. It may end with a list of commands, indented below a line of its own that says
"Examples:"; they are shown as they stand, never broken, and the tests run them. Commands within prose, in backquotes,
are kept on one line.
"""

from __future__ import annotations

import enum
import inspect
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

_EXAMPLES = re.compile(r"^Examples:\n(?P<lines>(?:^(?: .*)?(?:\n|\Z))+)", re.MULTILINE)
_CODE = re.compile(r"`[^`]+`")
_TOGETHER = "\N{NO-BREAK SPACE}"
"""Stands for the spaces of a command until lines are broken."""
_KINDS = {int: "N", float: "NUMBER", str: "TEXT"}


def prose(text: str | None) -> str:
    """Return the help of a verb or an option without its examples."""
    return _EXAMPLES.sub("", inspect.cleandoc(text or "") + "\n").strip()


def first_line(command: Any) -> str:
    """Return in a line what a verb does."""
    return " ".join(prose(command.help).partition("\n\n")[0].split())


def examples(text: str | None) -> list[str]:
    """Return the commands that a verb's help ends with."""
    found = _EXAMPLES.search(inspect.cleandoc(text or ""))
    return [] if found is None else [line.strip() for line in found["lines"].splitlines() if line.strip()]


def name(parameter: Any) -> str:
    """Return how an argument, or an option with its value, is written: `-o, --out PATH`."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    short = [option for option in parameter.opts if not option.startswith("--")]
    long = [option for option in parameter.opts if option.startswith("--")]
    names = ", ".join([*short, *long, *parameter.secondary_opts])
    return names if is_switch(parameter) else f"{names} {value(parameter)}"


def is_switch(parameter: Any) -> bool:
    """Say whether an option stands alone, without a value."""
    return bool(parameter.is_flag) or parameter.name == "help"


def value(option: Any) -> str:
    """Return how a value of an option is written: its name, or what it can be."""
    return str(option.metavar or _written(option.type_descriptor.annotation))


def _written(annotation: Any) -> str:
    if choices := typing.get_args(annotation):
        return _written(choices[0]) if typing.get_origin(annotation) is list else "|".join(map(str, choices))
    if issubclass(annotation, enum.Enum):
        return "|".join(str(choice.value) for choice in annotation)
    return _KINDS.get(annotation, str(annotation.__name__).upper())


def meaning(parameter: Any) -> str:
    """Return what an argument or an option does, with its default."""
    told = " ".join(prose(parameter.help).split())
    default = parameter.default
    if parameter.required:
        told += " Required."
    elif isinstance(default, str | int | float) and not isinstance(default, bool) and "Default" not in told:
        told += f" Default: {f'{default:g}' if isinstance(default, float) else default}."
    if parameter.envvar:
        told += f" Or set {parameter.envvar}."
    if getattr(parameter, "multiple", False) and "times" not in told and "repeated" not in told:
        told += " May be given several times."
    return told.strip()


def _unbroken(text: str) -> str:
    return _CODE.sub(lambda code: code[0].replace(" ", _TOGETHER), text)


def _finished(text: str) -> str:
    """Return help with its headings and names set off, which `echo` takes away again where it is no terminal."""
    text = re.sub(r"^\S[^\n]*:$", lambda line: typer.style(line[0], bold=True), text, flags=re.MULTILINE)
    text = re.sub(r"(?<=^  )-[^\n]*?(?=  |$)", lambda line: typer.style(line[0], fg="cyan"), text, flags=re.MULTILINE)
    return text.replace(_TOGETHER, " ")


def _write_prose(formatter: Any, text: str) -> None:
    formatter.write_paragraph()
    for i, paragraph in enumerate(prose(text).split("\n\n")):
        if i:
            formatter.write_paragraph()
        formatter.write_text(_unbroken(" ".join(paragraph.split())))


def _write_panels(formatter: Any, title: str, parameters: Iterable[Any]) -> None:
    """Write a section for each panel; what would be alone in one comes under `title`, which is the first."""
    panels: dict[str, list[Any]] = {title: []}
    for parameter in parameters:
        if not getattr(parameter, "hidden", False):
            panels.setdefault(parameter.rich_help_panel or title, []).append(parameter)
    for heading in [heading for heading, those in panels.items() if len(those) == 1 and heading != title]:
        panels[title] += panels.pop(heading)
    panels[title].sort(key=lambda parameter: parameter.name == "help")
    for heading, those in panels.items():
        _write_section(formatter, heading, [(name(one), meaning(one)) for one in those])


def _write_section(formatter: Any, heading: str, rows: Sequence[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(heading):
            formatter.write_dl([(first, _unbroken(second)) for first, second in rows], col_max=24)


def _write_examples(formatter: Any, text: str) -> None:
    if lines := examples(text):
        with formatter.section("Examples"):
            formatter.write("".join(f"  {line}\n" for line in lines))


def _write(command: Any, ctx: Any, formatter: Any, *, verbs: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    draft = ctx.make_formatter()
    command.format_usage(ctx, draft)
    _write_prose(draft, command.help)
    for heading, rows in verbs.items():
        _write_section(draft, heading, rows)
    for title in ("Arguments", "Options"):
        kind = title.lower().removesuffix("s")
        _write_panels(draft, title, [one for one in command.get_params(ctx) if one.param_type_name == kind])
    _write_examples(draft, command.help)
    formatter.write(_finished(draft.getvalue()))


class Verb(TyperCommand):
    """A verb whose help is that of this module."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line, without the braces round what must be given."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        _write(self, ctx, formatter, verbs={})

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return its first line, whole, as shells show it beside the verb."""
        return first_line(self)


class Verbs(TyperGroup):
    """A group of verbs, `mien` itself among them, with that help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with a section for each panel of verbs."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for verb in self.list_commands(ctx):
            command: Any = self.get_command(ctx, verb)
            panels.setdefault(command.rich_help_panel or "Verbs", []).append((verb, first_line(command)))
        _write(self, ctx, formatter, verbs=panels)

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return its first line, whole."""
        return first_line(self)

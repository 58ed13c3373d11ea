"""Scores → a folder that can be passed on: report.md, report.html, report.json and the charts."""

from __future__ import annotations

import base64
import html
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

import mien
from mien.datasets.staging import staged_folder
from mien.errors import OutputError, UsageError, one_line
from mien.evaluation.charts import draw_confusion, draw_reliability, require_charts
from mien.evaluation.robustness import Robustness
from mien.evaluation.scores import Score, headlines
from mien.evaluation.slices import Slices
from mien.evaluation.tables import (
    Table,
    gap_sentence,
    recall_table,
    records,
    robustness_table,
    score_table,
    slices_table,
    slices_title,
)
from mien.models.metadata import Metadata

_REPORT = "report.json"  # by which a folder is known as a report
_NOTES = (
    "fer2013: that set's own label is taken for the truth. ferplus: the emotion that most of its ten raters named; "
    "faces where that is unknown, or no face, are left out. ferplus-majority: the same by its authors' rule, which "
    "published figures follow: votes of a single rater are dropped, and only faces count where more than half of the "
    "rest agree.",
    "A set counts the faces whose label lies in it, with the scores renormalised over it.",
    "deduplicated: without the faces of which a copy is among the training pictures.",
    "One pass is what `mien analyze` does; flip averages the answers to the face and to its mirror image.",
    "In brackets: the middle 95% when the faces are drawn again.",
    "ECE: the expected calibration error, over 15 bins of equal width.",
)


def check_report(folder: Path, *, overwrite: bool) -> None:
    """Check that a report can be written to `folder`, before anything is measured.

    Raises:
        MissingExtraError: the charts cannot be drawn.
        OutputError: nothing can be written there.
        UsageError: the folder is there and `overwrite` is off, or it is no report.

    """
    require_charts()
    if folder.exists() and not overwrite:
        raise UsageError(f"{folder}: it exists already; name another folder or pass --overwrite")
    if folder.exists() and not _is_report(folder):
        raise UsageError(f"{folder}: it is not just a report that mien made, so it is not overwritten")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder.parent).close()
    except OSError as error:
        raise OutputError(f"{folder}: the report cannot be written ({error.strerror or error})") from error


def _is_report(folder: Path) -> bool:
    """Say whether all that lies in `folder` is a report."""
    try:
        names = [path.name for path in folder.iterdir()]
        facts = json.loads((folder / _REPORT).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    ours = all(name.startswith(("report.", "confusion-", "reliability-")) for name in names)
    return ours and isinstance(facts, dict) and {"mien", "model", "scores"} <= set(facts)


def write_report(
    folder: Path,
    scores: Sequence[Score],
    *,
    model: str,
    metadata: Metadata,
    data: Path,
    sliced: Sequence[Slices] = (),
    kept: Sequence[Robustness] = (),
    overwrite: bool = False,
) -> None:
    """Write the report on `scores`, slices and robustness, which takes its name `folder` when it is whole.

    Raises:
        MissingExtraError, UsageError: as `check_report`.
        OutputError: it cannot be written.

    """
    check_report(folder, overwrite=overwrite)
    title = one_line(f"{model} on {data.resolve().name}, {scores[0].split}")
    with staged_folder(folder) as new:
        charts = []
        for score in headlines(scores):
            for kind, draw in (("confusion", draw_confusion), ("reliability", draw_reliability)):
                charts.append(f"{kind}-{score.labels}.png")
                draw(score, new / charts[-1])
        facts = {"mien": mien.__version__, "model": one_line(model), "data": one_line(data.resolve().name)}
        figures = {**facts, "scores": records(scores, sliced, kept)}
        (new / _REPORT).write_text(json.dumps(figures, indent=1), "utf-8")
        parts = _parts(scores, sliced, kept)
        (new / "report.md").write_text(_markdown(title, parts, metadata, charts), "utf-8")
        (new / "report.html").write_text(_html(title, parts, metadata, [new / chart for chart in charts]), "utf-8")


@dataclass(frozen=True, slots=True)
class _Part:
    """A table with what stands above and below it."""

    title: str
    table: Table
    note: str = ""


def _parts(scores: Sequence[Score], sliced: Sequence[Slices], kept: Sequence[Robustness]) -> list[_Part]:
    parts = [_Part("", score_table(scores)), _Part("", recall_table(scores))]
    parts += [_Part(one_line(slices_title(one)), slices_table(one), gap_sentence(one)) for one in sliced]
    if kept:
        parts.append(_Part("Robustness, one pass", robustness_table(kept)))
    return parts


def _about(metadata: Metadata) -> list[str]:
    temperatures = ", ".join(f"{output.name} {output.temperature:.3f}" for output in metadata.outputs)
    lines = [
        f"Trained on: {'; '.join(metadata.data)}",
        f"Licence of the weights: {metadata.licence}",
        f"Temperatures: {temperatures}",
        f"Made by: {metadata.reproduce}",
    ]
    return [one_line(line) for line in lines]


def _markdown(title: str, tables: Sequence[_Part], metadata: Metadata, charts: Iterable[str]) -> str:
    parts = [f"# {title}"]
    for one in tables:
        parts += [
            part for part in (f"## {one.title}" if one.title else "", _markdown_table(one.table), one.note) if part
        ]
    parts += ["## What the figures are", "\n".join(f"- {note}" for note in _NOTES)]
    parts += [f"![{Path(chart).stem}]({chart})" for chart in charts]
    parts += ["## The model", "\n".join(f"- {line}" for line in _about(metadata))]
    return "\n\n".join(parts) + "\n"


def _markdown_table(table: Table) -> str:
    heads, rows = table
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _html(title: str, tables: Sequence[_Part], metadata: Metadata, charts: Iterable[Path]) -> str:
    template = Template((resources.files("mien.evaluation") / "report.html").read_text("utf-8"))
    pictures = "".join(
        f'<img alt="{html.escape(chart.stem)}" '
        f'src="data:image/png;base64,{base64.b64encode(chart.read_bytes()).decode()}">'
        for chart in charts
    )
    return template.substitute(
        title=html.escape(title),
        tables="".join(
            (f"<h2>{html.escape(one.title)}</h2>" if one.title else "")
            + _html_table(one.table)
            + (f"<p>{html.escape(one.note)}</p>" if one.note else "")
            for one in tables
        ),
        notes=_html_list(_NOTES),
        charts=pictures,
        about=_html_list(_about(metadata)),
    )


def _html_table(table: Table) -> str:
    heads, rows = table
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in heads)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _html_list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"

"""Scores → a folder that can be passed on: report.md, report.html, report.json and the charts."""

from __future__ import annotations

import base64
import html
import json
import tempfile
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from string import Template

import mien
from mien.datasets.staging import staged_folder
from mien.emotions import set_name
from mien.errors import OutputError, UsageError, one_line
from mien.evaluation.charts import draw_confusion, draw_reliability, require_charts
from mien.evaluation.scores import Score, headlines
from mien.models.metadata import Metadata

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""The heads of the columns, and the rows."""

_REPORT = "report.json"  # by which a folder is known as a report
_NOTES = (
    "fer2013: that set's own label is taken for the truth. ferplus: the emotion that most of its ten raters named; "
    "faces where that is unknown, or no face, are left out. ferplus-majority: the same by its authors' rule, which "
    "published figures follow: votes of a single rater are dropped, and only faces count where more than half of the "
    "rest agree.",
    "A set counts the faces whose label lies in it, with the scores renormalised over it.",
    "deduplicated: without the faces of which a copy is among the training pictures.",
    "One pass is what `mien analyze` does; flip averages the answers to the face and to its mirror image.",
    "In brackets: the middle 95 % when the faces are drawn again.",
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
    folder: Path, scores: Sequence[Score], *, model: str, metadata: Metadata, data: Path, overwrite: bool = False
) -> None:
    """Write the report on `scores`, which takes its name `folder` when it is whole.

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
        records = [score.to_record() for score in scores]
        (new / _REPORT).write_text(json.dumps({**facts, "scores": records}, indent=1), "utf-8")
        (new / "report.md").write_text(_markdown(title, scores, metadata, charts), "utf-8")
        (new / "report.html").write_text(_html(title, scores, metadata, [new / chart for chart in charts]), "utf-8")


def score_table(scores: Sequence[Score]) -> Table:
    """Return a row for each labelling, set and subset, in one pass and with flip averaging."""
    return ("labels", "emotions", "faces", "flip", "n", "accuracy %", "macro-F1 %", "ECE"), [
        (
            score.labels,
            set_name(score.emotions),
            score.subset,
            "flip" if score.flip else "",
            str(score.n),
            f"{score.accuracy:.2f} ({score.interval[0]:.1f} to {score.interval[1]:.1f})",
            f"{score.macro_f1:.2f}",
            f"{score.reliability.error:.3f}",
        )
        for score in scores
    ]


def recall_table(scores: Sequence[Score]) -> Table:
    """Return a row for each labelling, with the recall of every emotion in one pass."""
    tops = list(headlines(scores))
    emotions = sorted({emotion for top in tops for emotion in top.emotions})
    return ("recall %", *map(str, emotions)), [
        (top.labels, *(f"{top.recall[emotion]:.1f}" if emotion in top.recall else "" for emotion in emotions))
        for top in tops
    ]


def _about(metadata: Metadata) -> list[str]:
    temperatures = ", ".join(f"{output.name} {output.temperature:.3f}" for output in metadata.outputs)
    lines = [
        f"Trained on: {'; '.join(metadata.data)}",
        f"Licence of the weights: {metadata.licence}",
        f"Temperatures: {temperatures}",
        f"Made by: {metadata.reproduce}",
    ]
    return [one_line(line) for line in lines]


def _markdown(title: str, scores: Sequence[Score], metadata: Metadata, charts: Iterable[str]) -> str:
    parts = [f"# {title}", *map(_markdown_table, (score_table(scores), recall_table(scores)))]
    parts += ["\n".join(f"- {note}" for note in _NOTES)]
    parts += [f"![{Path(chart).stem}]({chart})" for chart in charts]
    parts += ["## The model", "\n".join(f"- {line}" for line in _about(metadata))]
    return "\n\n".join(parts) + "\n"


def _markdown_table(table: Table) -> str:
    heads, rows = table
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _html(title: str, scores: Sequence[Score], metadata: Metadata, charts: Iterable[Path]) -> str:
    template = Template((resources.files("mien.evaluation") / "report.html").read_text("utf-8"))
    pictures = "".join(
        f'<img alt="{html.escape(chart.stem)}" '
        f'src="data:image/png;base64,{base64.b64encode(chart.read_bytes()).decode()}">'
        for chart in charts
    )
    return template.substitute(
        title=html.escape(title),
        tables=_html_table(score_table(scores)) + _html_table(recall_table(scores)),
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

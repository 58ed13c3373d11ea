"""What a person looks at of a run: pictures as the network sees them, figures over time, predictions, a report."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import cast

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mien.training.folder import RunFolder
from mien.training.job import Batch, Job, Trainable
from mien.whole import whole_file, write_whole

_CELL = 96  # pixels of a picture in a grid
_COLUMNS = 8
_ROW = 18  # pixels of a line of text
_RIGHT, _WRONG, _INK = (0, 114, 68), (192, 57, 0), (20, 20, 20)


def draw_seen(module: LightningModule, batch: Batch, target: Path) -> None:
    """Write a grid of the pictures of a batch as they are shown in training, augmented."""
    with torch.no_grad():
        pictures = cast("Trainable", module).augmented(batch[0]).clamp(0, 255).round().byte()
    _save(_grid(_rgb(pictures), [("", _INK)] * len(pictures)), target)


def write_report(folder: RunFolder, name: str, job: Job, shown: Batch) -> None:
    """Write the curves, the best epoch's predictions of some validation pictures, and a page about both."""
    module = job.module.eval().cpu()
    texts = []
    for wanted, said, probability in cast("Trainable", module).told(shown):
        right = wanted in ("", said)
        mark = f"{said} {probability:.2f}" if not wanted else f"{said} {probability:.0%}"
        texts.append((mark if right else f"{mark} ({wanted})", _RIGHT if right else _WRONG))
    _save(_grid(_rgb(shown[0]), texts), folder.predictions)
    rows = _epochs(folder.metrics)
    _draw_curves(rows, job, folder.curves)
    figures = [float(row[job.monitor]) for row in rows]
    best = int(np.argmax(figures) if job.mode == "max" else np.argmin(figures))
    lines = [f"# Run of {name}", ""]
    lines += [
        f"The best of {len(rows)} epochs is number {rows[best]['epoch']}, counted from 0, by {job.monitor}.",
        "",
    ]
    lines += ["| figure | best epoch | last epoch |", "|---|---|---|"]
    lines += [f"| {column} | {rows[best][column]} | {rows[-1][column]} |" for column in job.columns]
    lines += ["", "| fact | |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in job.facts.items() if key != "backbone"]
    lines += ["", "![Figures over time](curves.png)", ""]
    lines += ["Pictures as they are shown in training:", "", "![Training pictures](seen.png)", ""]
    lines += ["What the best epoch says of pictures to choose by (wanted in brackets where it errs):", ""]
    lines += ["![Predictions](predictions.png)", ""]
    write_whole(folder.report, "\n".join(lines).encode())


def _epochs(metrics: Path) -> list[dict[str, str]]:
    with metrics.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _draw_curves(rows: list[dict[str, str]], job: Job, target: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    epochs = [int(row["epoch"]) for row in rows]
    for column in job.columns:
        axes = losses if column.endswith("loss") else scores
        axes.plot(epochs, [float(row[column] or "nan") for row in rows], label=column.replace("_", " "), marker=".")
    for axes in (losses, scores):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    with whole_file(target) as partial:
        figure.savefig(partial, dpi=110, format="png")


def _rgb(pictures: torch.Tensor) -> NDArray[np.uint8]:
    """Return uint8 (n, c, h, w) as (n, h, w, 3)."""
    array = pictures.cpu().numpy().transpose(0, 2, 3, 1)
    return np.repeat(array, 3, axis=3) if array.shape[3] == 1 else array


def _grid(pictures: NDArray[np.uint8], texts: list[tuple[str, tuple[int, int, int]]]) -> Image.Image:
    lined = any(text for text, _ in texts)
    high = _CELL + (2 * _ROW if lined else 0)
    rows = -(-len(pictures) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * (_CELL + 8) + 8, rows * (high + 8) + 8), "white")
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for i, (picture, (text, colour)) in enumerate(zip(pictures, texts, strict=True)):
        x, y = 8 + i % _COLUMNS * (_CELL + 8), 8 + i // _COLUMNS * (high + 8)
        sheet.paste(Image.fromarray(picture).resize((_CELL, _CELL), Image.Resampling.BICUBIC), (x, y))
        for line, part in enumerate(text.split(" (", 1)):
            canvas.text((x, y + _CELL + 2 + line * _ROW), ("(" if line else "") + part, fill=colour, font=font)
    return sheet


def _save(image: Image.Image, target: Path) -> None:
    with whole_file(target) as partial:
        image.save(partial, format="PNG")

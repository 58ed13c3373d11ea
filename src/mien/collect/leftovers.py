"""What is left out of a data set, put aside with the reason, and contact sheets of that and of what is kept."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from PIL import Image, ImageDraw

from mien.align import FER2013, crop_square, face_frame
from mien.collect.cutting import Cut
from mien.collect.pooling import ProgressHook, in_threads
from mien.collect.sheets import contact_sheet, spread
from mien.collect.verdicts import Reason, Rejected, Verdicts
from mien.datasets.naming import free_name
from mien.errors import SourceError
from mien.sources import read_picture

REJECTED = "rejected"
"""The folder of what was left out; with .csv, the list of it."""
SHEETS = "sheets"
"""The folder of the contact sheets."""


def write_rejected(target: Path, rejected: Sequence[Rejected]) -> None:
    """Put the pictures that are left out into folders, and write the list of them."""
    copies: dict[tuple[Reason, Path], str] = {}
    taken: set[str] = set()
    with (target / f"{REJECTED}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "face", "reason", "detail", "picture", "copy"])
        for one in rejected:
            source, label = one.candidate.file, one.candidate.label
            copy = copies.get((one.reason, one.candidate.path))
            if copy is None and one.sha256:
                copy = free_name(f"{REJECTED}/{one.reason}/{label}/{PurePosixPath(source).name}", taken)
                _put(one.candidate.path, target / copy)
                copies[one.reason, one.candidate.path] = copy
            face = "" if one.face is None else one.face
            writer.writerow([source, label, face, one.reason, one.detail, one.sha256, copy or ""])


def _put(source: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), copy)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, copy)


def write_sheets(target: Path, verdicts: Verdicts, cut: Cut, progress: ProgressHook) -> None:
    """Write a contact sheet of each label and each reason; of many pictures it shows some, evenly chosen."""
    (target / SHEETS).mkdir()
    labels = sorted({one.label for one in verdicts.kept})
    reasons = [reason for reason in Reason if any(one.reason == reason for one in verdicts.rejected)]
    for done, label in enumerate(labels, start=1):
        rows = [i for i, one in enumerate(verdicts.kept) if one.label == label]
        tiles = [(_opened(target / cut.names[i]), [verdicts.kept[i].sha256[:12]]) for i in spread(rows)]
        _save(target, f"label-{label}", contact_sheet(f"{label}: {_told(rows, tiles)}", tiles))
        progress("sheets", done, len(labels) + len(reasons))
    for done, reason in enumerate(reasons, start=len(labels) + 1):
        chosen = [one for one in verdicts.rejected if one.reason == reason]
        shown = spread(chosen)
        pictures = in_threads(_look_at, shown)
        texts = ([str(one.candidate.label), one.detail or PurePosixPath(one.candidate.file).name] for one in shown)
        looked_at = list(zip(pictures, texts, strict=True))
        title = f"{REJECTED}: {reason} ({reason.meaning}): {_told(chosen, shown)}"
        _save(target, f"{REJECTED}-{reason}", contact_sheet(title, looked_at))
        progress("sheets", done, len(labels) + len(reasons))


def _told(items: Sequence[object], shown: Sequence[object]) -> str:
    return f"{len(items)}" if len(shown) == len(items) else f"{len(items)}, of which {len(shown)} are shown"


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        picture.load()
        return picture


def _save(target: Path, name: str, sheet: Image.Image) -> None:
    content = io.BytesIO()  # where Pillow writes a JPEG to a file itself, it does not notice that the disk is full
    sheet.save(content, "JPEG", quality=85)
    (target / SHEETS / f"{name}.jpg").write_bytes(content.getbuffer())


def _look_at(one: Rejected) -> Image.Image | None:
    """Return the face that is left out, or the picture with its faces framed; None where there is none to see."""
    try:
        pixels = read_picture(one.candidate.path).pixels
    except SourceError:
        return None
    if one.face is not None and one.faces:
        frame = face_frame(one.faces[0].detection, FER2013)
        return Image.fromarray(crop_square(pixels, frame, size=128))
    picture = Image.fromarray(pixels)
    scale = 256 / max(picture.size)
    picture = picture.resize(
        (max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), reducing_gap=3.0
    )
    canvas = ImageDraw.Draw(picture)
    for face in one.faces:
        canvas.rectangle([edge * scale for edge in face.detection.box], outline="#ff3b30", width=3)
    return picture

"""Labelled pictures of anything → a data set of faces, with all that was left out beside it, and why.

DATASET/
  metadata.csv, data.txt, train/…   the data set, as `mien.datasets.labelled` has it, sorted by picture and face
  rejected.csv                      file, label, face, reason, detail and copy, of each picture or face left out
  rejected/REASON/LABEL/…           the pictures themselves
  sheets/…                          contact sheets, for each label and each reason
  suspects.html                     where asked for: faces whose label is in doubt, for a person to decide
  decisions.json                    what was decided before, and is obeyed here
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.classifier import open_classifier
from mien.collect.candidates import Candidates, read_candidates
from mien.collect.cutting import Crop, describe_faces, write_faces
from mien.collect.decisions import DECISIONS, Decision, Key, read_decisions, write_decisions
from mien.collect.doubting import write_suspects
from mien.collect.findings import KEPT, Finder
from mien.collect.heldout import read_held_out
from mien.collect.leftovers import write_rejected, write_sheets
from mien.collect.pooling import ProgressHook, counted
from mien.collect.verdicts import Reason, Requirements, Verdicts, judge
from mien.datasets.staging import staged_folder
from mien.datasets.writing import check_apart, check_unused
from mien.emotions import Emotion
from mien.errors import DataError


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What `clean_pictures` wrote.

    Attributes:
        pictures: that were looked at, by label.
        kept: faces, by label.
        rejected: pictures or faces left out, by label and reason.
        decided: decisions that were obeyed.
        idle: decisions about faces that are not there, or were left out for another reason.
        suspects: faces whose label is in doubt; None where nobody asked.
        shown: how many of those are on the page.

    """

    pictures: Mapping[Emotion, int]
    kept: Mapping[Emotion, int]
    rejected: Mapping[tuple[Emotion, Reason], int]
    decided: int
    idle: int
    suspects: int | None
    shown: int


def clean_pictures(
    folder: str | Path,
    out: str | Path,
    *,
    crop: Crop | None = None,
    limits: Requirements | None = None,
    detector: str = "mtcnn",
    against: Sequence[Path] = (),
    decisions: Path | None = None,
    suspect: bool = False,
    model: str | Path = "embedded",
    overwrite: bool = False,
    progress: ProgressHook = lambda what, done, of: None,
) -> Cleaned:
    """Write the faces in labelled pictures, those fit to train on, as a data set.

    What is found in a picture is kept in a file in `folder`, so that a run which was ended, or is done again with
    other limits, does not search it again. The same pictures and arguments give the same bytes.

    Args:
        folder: a collection, or a folder for each class.
        out: the folder to make; it appears under this name only when it is whole.
        crop: how faces are cut out; None is 112 pixels, grey, as FER2013 frames them.
        limits: what a face must be; None are those by default.
        detector: `mtcnn`, `yunet`, or `none` where every picture is already a face.
        against: data sets or folders of pictures; what is in one is left out.
        decisions: a file of decisions to obey, besides `out`/decisions.json, which is obeyed where it is there.
        suspect: write the page of faces whose label a model doubts.
        model: that model, by name or path.
        overwrite: replace a data set `out` that is there.
        progress: is told how far the work is.

    Raises:
        DataError: `folder` has no labelled pictures, no face in it is fit, or decisions are damaged.
        ModelError: the model cannot be used.
        OutputError: something cannot be written.
        SourceError: a folder in `against` is not there, or a picture went away meanwhile.
        UsageError: `out` is there and may not be replaced, or an argument makes no sense.

    """
    folder, out = Path(folder), Path(out)
    crop, limits = crop or Crop(), limits or Requirements()
    check_unused(out, overwrite=overwrite)
    check_apart(out, folder)
    obeyed = _decisions(out, decisions)
    classifier = open_classifier(model) if suspect else None
    candidates = read_candidates(folder)
    with Finder(_kept_in(folder, out), detector=detector) as finder:
        held_out = read_held_out(against, lambda paths: counted(finder.find(paths), "held out", len(paths), progress))
        paths = [picture.path for picture in candidates.pictures]
        findings = list(counted(finder.find(paths), "faces", len(paths), progress))
    progress("copies", 0, 0)
    verdicts = judge(
        list(zip(candidates.pictures, findings, strict=True)), limits=limits, held_out=held_out, decisions=obeyed
    )
    _check_enough(folder, verdicts)
    with staged_folder(out) as target:
        cut = write_faces(target, verdicts.kept, crop, classifier, progress)
        describe_faces(target, verdicts.kept, cut, candidates)
        write_rejected(target, verdicts.rejected)
        write_sheets(target, verdicts, cut, progress)
        if obeyed:
            write_decisions(obeyed, target / DECISIONS)
        doubts = None
        if classifier is not None:
            doubts = write_suspects(target, verdicts.kept, cut, classifier, obeyed, crop.geometry, progress)
    return _report(candidates, verdicts, obeyed, doubts)


def _decisions(out: Path, given: Path | None) -> dict[Key, Decision]:
    own = out / DECISIONS
    before = read_decisions(own) if own.is_file() else {}
    return before | (read_decisions(given) if given is not None else {})


def _kept_in(folder: Path, out: Path) -> Path:
    """Return where to keep what is found: beside the data set where the pictures' folder cannot be written."""
    if os.access(folder, os.W_OK):
        return folder / KEPT
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.parent / f".{out.name}{KEPT}"


def _check_enough(folder: Path, verdicts: Verdicts) -> None:
    if not verdicts.kept:
        counts = Counter(one.reason for one in verdicts.rejected)
        told = ", ".join(f"{reason} {count}" for reason, count in counts.most_common())
        raise DataError(f"{folder}: no face is left ({told}); see --faces, --min-face and --min-sharpness")


def _report(
    candidates: Candidates, verdicts: Verdicts, obeyed: Mapping[Key, Decision], doubts: tuple[int, int] | None
) -> Cleaned:
    there = {one.key for one in verdicts.kept if one.decided}
    there |= {(one.sha256, one.face) for one in verdicts.rejected if one.reason is Reason.DROPPED and one.face}
    decided = len(there & set(obeyed))
    found, shown = doubts or (None, 0)
    return Cleaned(
        pictures=Counter(one.label for one in candidates.pictures),
        kept=Counter(one.label for one in verdicts.kept),
        rejected=Counter((one.candidate.label, one.reason) for one in verdicts.rejected),
        decided=decided,
        idle=len(obeyed) - decided,
        suspects=found,
        shown=shown,
    )

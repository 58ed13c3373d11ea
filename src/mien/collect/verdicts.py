"""Which faces are kept and why others are not: from what was found in pictures, without looking at one again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np

from mien.collect.candidates import Candidate
from mien.collect.decisions import Decision, Key
from mien.collect.findings import Finding, Seen
from mien.collect.heldout import HeldOut
from mien.collect.likeness import framed, same_faces, upright
from mien.collect.sharpness import BLURRED
from mien.datasets.duplicates import first_of_group
from mien.emotions import Emotion


class Reason(StrEnum):
    """Why a face, or a picture with all of its faces, is left out."""

    UNREADABLE = "unreadable"
    NO_FACE = "no-face"
    SEVERAL_FACES = "several-faces"
    SMALL = "small"
    BLURRED = "blurred"
    DROPPED = "dropped"
    HELD_OUT = "held-out"
    AMBIGUOUS = "ambiguous"
    DUPLICATE = "duplicate"

    @property
    def meaning(self) -> str:
        """What it says, in words."""
        return _MEANINGS[self]


_MEANINGS = {
    Reason.UNREADABLE: "cannot be read as a picture",
    Reason.NO_FACE: "no face is found",
    Reason.SEVERAL_FACES: "more than one face is found",
    Reason.SMALL: "the face is smaller than --min-face",
    Reason.BLURRED: "the face is less sharp than --min-sharpness",
    Reason.DROPPED: "dropped by a decision",
    Reason.HELD_OUT: "a picture of a folder that --against names",
    Reason.AMBIGUOUS: "the same face stands under two labels",
    Reason.DUPLICATE: "the same face is kept already",
}


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a face must be to be kept.

    Attributes:
        faces: `one`: pictures with exactly one face. `all`: every face.
        min_face: side of the smallest, in pixels.
        min_sharpness: of the least sharp, as `mien.collect.sharpness` measures it.

    """

    faces: Literal["one", "all"] = "one"
    min_face: float = 48.0
    min_sharpness: float = BLURRED


@dataclass(frozen=True, slots=True)
class Kept:
    """A face of the data set to be made.

    Attributes:
        candidate: the picture it is in.
        sha256: of that.
        face: its number in the picture, from 1, from left to right.
        seen: what was found.
        label: the candidate's, or the one it was moved to.
        decided: whether a person has confirmed or changed its label.
        pages: on which it, or a duplicate of it, is shown.

    """

    candidate: Candidate
    sha256: str
    face: int
    seen: Seen
    label: Emotion
    decided: bool
    pages: frozenset[str]

    @property
    def key(self) -> Key:
        """What decisions name it by, and what the data set is sorted by."""
        return self.sha256, self.face


@dataclass(frozen=True, slots=True)
class Rejected:
    """A face or picture that is left out.

    Attributes:
        candidate: the picture.
        sha256: of that; empty where it cannot be read.
        face: its number in the picture, from 1; None where it is all of it.
        reason: the first that applies.
        detail: what there is to say more.
        faces: those that are meant, for a look at them.

    """

    candidate: Candidate
    sha256: str
    face: int | None
    reason: Reason
    detail: str
    faces: tuple[Seen, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdicts:
    """All faces and pictures: what is kept, by sha256 and face, and what is left out, by label, file and face."""

    kept: tuple[Kept, ...]
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True, slots=True)
class _Face:
    """A face that is good enough, with all the pictures of the same bytes that it is in."""

    candidates: tuple[Candidate, ...]
    sha256: str
    face: int
    seen: Seen
    decision: Decision | None

    @property
    def labels(self) -> set[Emotion]:
        if isinstance(self.decision, Emotion):
            return {self.decision}
        return {candidate.label for candidate in self.candidates}


def judge(
    pictures: Sequence[tuple[Candidate, Finding]],
    *,
    limits: Requirements,
    held_out: HeldOut,
    decisions: Mapping[Key, Decision],
) -> Verdicts:
    """Return what is kept and what is not.

    Of faces that are one photograph, under one label, the largest is kept. Under two labels, all are left out,
    unless a person has decided on one. A face that a person has dropped takes those that are the same with it.

    Args:
        pictures: with what was found in each.
        limits: what a face must be.
        held_out: what must not be in the data set.
        decisions: of a person.

    """
    rejected: list[Rejected] = []
    by_bytes: dict[str, list[tuple[Candidate, Finding]]] = {}
    for candidate, finding in pictures:
        if finding.error is not None:
            rejected.append(Rejected(candidate, finding.sha256, None, Reason.UNREADABLE, finding.error))
        elif candidate.sha256 is not None and candidate.sha256 != finding.sha256:
            rejected.append(
                Rejected(candidate, finding.sha256, None, Reason.UNREADABLE, "it was changed since it was collected")
            )
        else:
            by_bytes.setdefault(finding.sha256, []).append((candidate, finding))
    faces: list[_Face] = []
    for sha256, copies in sorted(by_bytes.items()):
        candidates, finding = tuple(candidate for candidate, _ in copies), copies[0][1]
        if (whole := _whole(finding, limits)) is not None:
            rejected += [Rejected(one, sha256, None, *whole, faces=finding.faces) for one in candidates]
            continue
        for number, seen in enumerate(finding.faces, start=1):
            face = _Face(candidates, sha256, number, seen, decisions.get((sha256, number)))
            problem = _problem(face, limits)
            if problem is None:
                faces.append(face)
            else:
                rejected += _left_out(face, *problem)
    out = _held_out(faces, held_out)
    kept = []
    for rows in _groups(faces):
        # what is one photograph with a face that is held out is held out too, though it may not be known by itself
        if name := next((out[i] for i in rows if i in out), None):
            for i in rows:
                rejected += _left_out(faces[i], Reason.HELD_OUT, f"the same as {out.get(i, name)}")
            continue
        one, others = _settled([faces[i] for i in rows])
        rejected += others
        kept += one
    rejected.sort(key=lambda one: (one.candidate.label, one.candidate.file, one.face or 0))
    return Verdicts(tuple(sorted(kept, key=lambda one: one.key)), tuple(rejected))


def _whole(finding: Finding, limits: Requirements) -> tuple[Reason, str] | None:
    """Return what is wrong with a picture as a whole."""
    if not finding.faces:
        return Reason.NO_FACE, ""
    if limits.faces == "one" and len(finding.faces) > 1:
        return Reason.SEVERAL_FACES, f"{len(finding.faces)} faces"
    return None


def _problem(face: _Face, limits: Requirements) -> tuple[Reason, str] | None:
    """Return what is wrong with a face, seen by itself."""
    if face.seen.side < limits.min_face:
        return Reason.SMALL, f"{face.seen.side:.0f} pixels"
    if face.seen.sharpness < limits.min_sharpness:
        return Reason.BLURRED, f"sharpness {face.seen.sharpness:g}"
    return None


def _left_out(face: _Face, reason: Reason, detail: str) -> list[Rejected]:
    return [Rejected(one, face.sha256, face.face, reason, detail, (face.seen,)) for one in face.candidates]


def _held_out(faces: Sequence[_Face], held_out: HeldOut) -> dict[int, str]:
    """Return which of the faces are held out, and the name of what each is the same as."""
    found = {i: name for i, face in enumerate(faces) if (name := held_out.sha256.get(face.sha256)) is not None}
    if faces and held_out.names:
        views = np.stack([face.seen.view for face in faces])
        turned = np.stack([upright(face.seen.view, face.seen.detection) for face in faces])
        for i, j in (*same_faces(views, held_out.faces), *same_faces(turned, held_out.faces[: held_out.cut])):
            found.setdefault(i, held_out.names[j])
    return found


def _groups(faces: Sequence[_Face]) -> list[list[int]]:
    """Return the rows of faces, those together that are one photograph."""
    if not faces:
        return []
    views = np.stack([face.seen.view for face in faces])
    firsts = first_of_group(len(faces), same_faces(views, framed(views), later=True))
    groups: dict[int, list[int]] = {}
    for i, first in enumerate(firsts.tolist()):
        groups.setdefault(first, []).append(i)
    return list(groups.values())


def _settled(group: Sequence[_Face]) -> tuple[list[Kept], list[Rejected]]:
    """Return the one of a group that is kept, if any, and why the others are not."""
    decided = [face for face in group if face.decision is not None and face.decision is not False]
    dropped = [face for face in group if face.decision is False]
    rejected = []
    if dropped and not decided:
        for face in group:
            detail = "" if face.decision is False else f"the same as {dropped[0].candidates[0].file}"
            rejected += _left_out(face, Reason.DROPPED, detail)
        return [], rejected
    for face in dropped:
        rejected += _left_out(face, Reason.DROPPED, "")
    labels = set[Emotion]().union(*(face.labels for face in decided or group))
    rest = [face for face in group if face.decision is not False]
    if len(labels) > 1:
        for face in rest:
            rejected += _left_out(face, Reason.AMBIGUOUS, " and ".join(sorted(labels)))
        return [], rejected
    (label,) = labels
    best = max(decided or rest, key=lambda face: (face.seen.side, face.seen.sharpness))  # of equals the first
    own, *copies = sorted(best.candidates, key=lambda candidate: candidate.label != label)
    for copy in copies:
        rejected.append(Rejected(copy, best.sha256, best.face, Reason.DUPLICATE, f"the same file as {own.file}"))
    for face in rest:
        if face is not best:
            rejected += _left_out(face, Reason.DUPLICATE, f"the same as {own.file}")
    pages = {candidate.facts.get("page", "") for face in group for candidate in face.candidates} - {""}
    kept = Kept(own, best.sha256, best.face, best.seen, label, bool(decided), frozenset(pages))
    return [kept], rejected

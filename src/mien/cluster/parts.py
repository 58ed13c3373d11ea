"""What a task has found, as text: from the worker that found it to the pass that makes rows of it, nothing rounded.

As plain JSON: what lies in a folder that others can write to is no program.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from mien.emotions import Emotion
from mien.results import Face, Result
from mien.segments import Event, Part
from mien.tracking import Edge, Glimpse, Person
from mien.tracking.motion import Motion


def results_to_text(results: Sequence[Result]) -> str:
    """Return results of pictures and whole films as text."""
    return json.dumps([_of_result(result) for result in results])


def results_from_text(text: str) -> list[Result]:
    """Return the results of which `results_to_text` gave the text, less landmarks and squares."""
    return [_to_result(values) for values in json.loads(text)]


def part_to_text(part: Part) -> str:
    """Return what was found in a segment as text."""
    values = {
        "results": [_of_result(result) for result in part.results],
        "events": [
            [event.result, [[track, _of_glimpse(one)] for track, one in event.begun], list(event.confirmed)]
            for event in part.events
        ],
        "edges": [None if edge is None else [edge.time, edge.light.tolist()] for edge in (part.first, part.last)],
        "people": [[one.number, one.motion.state, one.looks.tolist(), one.seen, one.present] for one in part.people],
        "lost": part.lost,
        "exact": part.exact,
        "whole": part.whole,
    }
    return json.dumps(values)


def part_from_text(text: str) -> Part:
    """Return the part of which `part_to_text` gave the text."""
    values = json.loads(text)
    first, last = (None if edge is None else Edge(edge[0], np.array(edge[1], np.uint8)) for edge in values["edges"])
    return Part(
        results=[_to_result(one) for one in values["results"]],
        events=[
            Event(result, [(track, _to_glimpse(one)) for track, one in begun], confirmed)
            for result, begun, confirmed in values["events"]
        ],
        first=first,
        last=last,
        people=[
            Person(number, Motion.of_state(motion), np.array(looks, np.float32), seen, present)
            for number, motion, looks, seen, present in values["people"]
        ],
        lost=values["lost"],
        exact=values["exact"],
        whole=values["whole"],
    )


def _of_glimpse(glimpse: Glimpse) -> list[Any]:
    return [list(glimpse.box), glimpse.looks.tolist(), glimpse.time]


def _to_glimpse(values: Sequence[Any]) -> Glimpse:
    (x1, y1, x2, y2), looks, time = values
    return Glimpse((x1, y1, x2, y2), np.array(looks, np.float32), time)


def _of_result(result: Result) -> list[Any]:
    faces = [
        [list(face.box), face.detection, face.track, dict(face.scores), face.smoothed and dict(face.smoothed)]
        for face in result.faces
    ]
    place = [result.source, result.frame, result.time, result.width, result.height, result.model]
    return [*place, faces, result.error]


def _to_result(values: Sequence[Any]) -> Result:
    source, frame, time, width, height, model, faces, error = values
    return Result(source, frame, time, width, height, model, tuple(_to_face(*face) for face in faces), error)


def _to_face(
    box: Sequence[float],
    detection: float | None,
    track: int | None,
    scores: dict[str, float],
    smoothed: dict[str, float] | None,
) -> Face:
    x1, y1, x2, y2 = box
    return Face(
        box=(x1, y1, x2, y2),
        detection=detection,
        scores={_EMOTIONS[name]: score for name, score in scores.items()},
        track=track,
        smoothed=None if smoothed is None else {_EMOTIONS[name]: score for name, score in smoothed.items()},
    )


_EMOTIONS = {str(emotion): emotion for emotion in Emotion}

import dataclasses
import json
import sys

import pytest

import mien
from mien.emotions import SETS, Emotion
from mien.results import Face, Result

SCORES = {Emotion.ANGRY: 0.25, Emotion.HAPPY: 0.7, Emotion.SAD: 0.05}


def test_label_and_confidence_come_from_the_distribution():
    face = Face(box=(0, 0, 1, 1), detection=0.9, scores=SCORES)
    assert (face.emotion, face.confidence) == (Emotion.HAPPY, 0.7)
    smoothed = dataclasses.replace(face, smoothed={Emotion.ANGRY: 0.6, Emotion.HAPPY: 0.3, Emotion.SAD: 0.1})
    assert (smoothed.emotion, smoothed.confidence) == (Emotion.ANGRY, 0.6)
    assert smoothed.scores == SCORES


def test_record_has_the_documented_form():
    face = Face(box=(1.234, 2, 30, 40), detection=0.99876, scores=SCORES)
    record = Result("a.jpg", 0, None, 640, 360, "embedded@0123456789ab", faces=(face,)).to_record()
    assert json.loads(json.dumps(record)) == {
        "schema": 1,
        "source": "a.jpg",
        "frame": 0,
        "time": None,
        "width": 640,
        "height": 360,
        "model": "embedded@0123456789ab",
        "faces": [
            {
                "box": [1.23, 2, 30, 40],
                "detection": 0.9988,
                "track": None,
                "emotion": "happy",
                "confidence": 0.7,
                "scores": {"angry": 0.25, "happy": 0.7, "sad": 0.05},
                "smoothed": None,
            }
        ],
        "error": None,
    }


def test_values_are_frozen():
    face = Face(box=(0, 0, 1, 1), detection=None, scores=dict.fromkeys(SETS["three"], 1 / 3))
    with pytest.raises(dataclasses.FrozenInstanceError):
        face.box = (1, 1, 2, 2)


def test_without_pandas_the_table_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(mien.UsageError, match="pip install pandas"):
        mien.to_pandas([])

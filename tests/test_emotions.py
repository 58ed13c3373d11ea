import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.emotions import COLOURS, SETS, Emotion, emotion_set, project
from mien.errors import UsageError


def test_sets_are_those_of_the_documentation():
    assert [str(e) for e in SETS["three"]] == ["angry", "happy", "sad"]
    assert [str(e) for e in SETS["five"]] == ["angry", "disgusted", "happy", "sad", "surprised"]
    assert set(SETS["seven"]) == set(SETS["five"]) | {"fearful", "neutral"}
    assert set(SETS["eight"]) == set(SETS["seven"]) | {"contemptuous"} == set(Emotion) == set(COLOURS)


def test_emotions_read_as_their_names():
    assert f"{Emotion.HAPPY}" == "happy"
    assert Emotion.HAPPY == "happy"


@given(st.lists(st.floats(0, 1), min_size=8, max_size=8), st.sampled_from(sorted(SETS)))
def test_projection_renormalises_and_keeps_the_order(values, name):
    scores = dict(zip(Emotion, values, strict=True))
    projected = project(scores, SETS[name])
    assert sum(projected.values()) == pytest.approx(1)
    assert list(projected) == list(SETS[name])
    total = sum(scores[e] for e in SETS[name])
    if total > 1e-6:
        for emotion in SETS[name]:
            assert projected[emotion] == pytest.approx(scores[emotion] / total)


def test_projection_of_nothing_known_is_uniform():
    assert project(dict.fromkeys(Emotion, 0.0), SETS["five"]) == dict.fromkeys(SETS["five"], 0.2)


def test_a_set_that_the_model_does_not_cover_is_refused():
    with pytest.raises(UsageError, match="contemptuous"):
        emotion_set("eight", SETS["seven"])
    with pytest.raises(UsageError, match="three, five, seven, eight"):
        emotion_set("six", SETS["seven"])

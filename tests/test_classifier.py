"""From crops to probabilities."""

import json

import numpy as np
import pytest

from mien.align import crop_faces
from mien.classifier import open_classifier
from mien.models.metadata import KEY
from mien.results import Detection

from conftest import COMPLETE, real_faces, write_model


@pytest.fixture(scope="module")
def crops(astronaut_pixels):
    """Return crops that are not mirror images of themselves: a face, and halves of it, of which little is sure."""
    boxes = [(176, 58, 265, 174), (110, 60, 210, 180), (230, 40, 330, 160)]
    return crop_faces(astronaut_pixels, [Detection(box, 0.9) for box in boxes], size=48)


def test_each_output_is_a_distribution(crops):
    for answers, labels in zip(open_classifier()(crops), (8, 7), strict=True):
        assert answers.shape == (3, labels)
        assert answers.dtype == np.float32
        assert answers.sum(axis=1) == pytest.approx(1)


def test_a_batch_over_the_bound_answers_as_each_alone(crops):
    classifier = open_classifier()
    many = np.concatenate([crops] * 30)
    for together, alone in zip(classifier(many), classifier(crops), strict=True):
        assert together == pytest.approx(np.concatenate([alone] * 30), abs=1e-5)


def test_no_crops_no_answers():
    assert [answers.shape for answers in open_classifier()(np.empty((0, 48, 48), np.uint8))] == [(0, 8), (0, 7)]


def test_flip_averages_with_the_mirrored_crops(crops):
    classifier = open_classifier()
    plain, mirrored, both = classifier(crops), classifier(crops[:, :, ::-1]), classifier(crops, flip=True)
    for one, other, mean in zip(plain, mirrored, both, strict=True):
        assert np.abs(one - other).max() > 1e-3
        assert mean == pytest.approx((one + other) / 2, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("flip", [False, True])
def test_the_embedded_model_reaches_the_scores_that_it_claims(shared, flip):
    classifier = open_classifier()
    truth = np.load(shared / "data" / "fer2013" / "labels.npz")
    votes, labels = classifier(real_faces(shared, "private_test"), flip=flip)

    # the published numbers stand for angry disgusted fearful happy sad surprised neutral
    published = np.array([0, 1, 2, 3, 6, 4, 5])[labels.argmax(axis=1)]
    accuracy = {"fer2013": 100 * (published == truth["private_test_labels"]).mean()}
    # and the votes are for neutral happy surprised sad angry disgusted fearful contemptuous unknown NF
    majority = truth["private_test_votes"].argmax(axis=1)
    named = np.array([4, 7, 5, 6, 1, 0, 3, 2])[votes.argmax(axis=1)]
    accuracy["ferplus"] = 100 * (named == majority)[majority < 8].mean()

    wanted = [("fer2013", "seven", "private_test", "all", flip), ("ferplus", "eight", "private_test", "all", flip)]
    for claim in classifier.metadata.scores:
        if tuple(claim[name] for name in ("labels", "emotions", "split", "subset", "flip")) in wanted:
            assert claim["accuracy"] == pytest.approx(accuracy.pop(claim["labels"]), abs=0.05)
    assert not accuracy


def test_temperature_divides_the_logits(tmp_path, crops):
    odds = []
    for temperature in (1.0, 4.0):
        outputs = [{**COMPLETE["outputs"][0], "temperature": temperature}]
        path = tmp_path / f"{temperature}.onnx"
        write_model(path, {KEY: json.dumps({**COMPLETE, "outputs": outputs})}, first=1e-3)
        ((happy, sad), *_) = open_classifier(path)(crops)[0]
        odds.append(np.log(happy / sad))
    assert abs(odds[0]) > 0.05
    assert odds[1] == pytest.approx(odds[0] / 4, rel=1e-3)

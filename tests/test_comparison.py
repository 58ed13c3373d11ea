"""Models side by side: the paired figures, counted by hand and held against published ones."""

import csv
import json
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from PIL import Image

from mien.classifier import Classifier
from mien.datasets.labelled import VOTES, read_labelled_faces
from mien.emotions import SETS, Emotion
from mien.errors import DataError, ModelError, UsageError
from mien.evaluation.comparison import compare, mcnemar, paired_interval
from mien.evaluation.scores import evaluate, headlines
from mien.models.metadata import KEY, Metadata, Output

from conftest import COMPLETE, write_model

SEVEN, EIGHT = SETS["seven"], SETS["eight"]
LABELS = ["happy"] * 6 + ["sad"] * 4
FIRST = ["happy"] * 5 + ["sad"] + ["sad", "sad", "happy", "happy"]
SECOND = ["happy"] * 4 + ["sad"] * 2 + ["sad"] * 4
"""The first is right on 5 and 2, the second on 4 and 4: only the first on one face, only the second on two."""


class Scripted:
    """A network that knows each face by its grey level, and answers as its script says."""

    def __init__(self, script, **outputs):
        self.script, self.labels = script, outputs
        self.outputs = tuple(outputs)

    def __call__(self, batch):
        index = np.rint((batch[:, 0, 0, 0] * 64 + 128) / 10).astype(int)
        logits = {name: np.zeros((len(batch), len(labels)), np.float32) for name, labels in self.labels.items()}
        for row, i in enumerate(index):
            for name, labels in self.labels.items():
                if i < len(self.script) and self.script[i] in labels:
                    logits[name][row, labels.index(self.script[i])] = 2.0
        return [*logits.values()]


def scripted(script, identity, **outputs):
    described = tuple(Output(name, labels, 1.0) for name, labels in outputs.items())
    crop = {"scale": 1.0, "across": 0.0, "down": 0.0}
    metadata = Metadata(identity, described, 8, "grey", 128.0, 64.0, crop, (), "", (), "", "")
    return Classifier(Scripted(script, **outputs), metadata, identity=identity)


def write_data(folder, labels, *, description=None, votes=False):
    with (folder / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "split", "label", "group", *(VOTES if votes else ())])
        for i, label in enumerate(labels):
            Image.new("L", (8, 8), 10 * i).save(folder / f"{i}.png")
            counts = [10, *[0] * 9] if votes else ()  # all raters say neutral
            writer.writerow([f"{i}.png", "test", label, f"{i}.png", *counts])
    if description:
        (folder / "data.txt").write_text(description)
    return read_labelled_faces(folder)


@pytest.fixture
def faces(tmp_path):
    return write_data(tmp_path, LABELS, description="made up: ours\n")


def test_two_models_by_hand(faces):
    models = [(scripted(FIRST, "a", only=SEVEN), 2_000_000), (scripted(SECOND, "b", only=SEVEN), 500_000)]
    found = compare(models, faces, split="test")
    assert (found.n, found.left_out, found.emotions) == (10, 0, (Emotion.HAPPY, Emotion.SAD))
    first, second = found.contenders
    assert (first.accuracy, second.accuracy) == (70.0, 80.0)
    assert (first.megabytes, second.megabytes) == (2.0, 0.5)
    assert first.milliseconds > 0
    # happy 2*5 / (6 + 7), sad 2*2 / (4 + 3)
    assert first.macro_f1 == pytest.approx(100 * (10 / 13 + 4 / 7) / 2)
    (pair,) = found.pairs
    assert (pair.b, pair.c, pair.difference) == (1, 2, pytest.approx(10.0))
    assert pair.p == 1.0
    assert pair.interval[0] < 0 < pair.interval[1]
    assert list(pair.recall.items()) == [("sad", 50.0), ("happy", pytest.approx(-100 / 6))]
    assert json.loads(json.dumps(found.to_record()))["pairs"][0]["recall"]["sad"] == 50.0


def test_a_model_alone_scores_the_same(faces):
    model = scripted(FIRST, "a", only=SEVEN)
    found = compare([(model, 1), (model, 1)], faces, split="test")
    alone = next(score for score in evaluate(model, faces, split="test") if score.emotions == found.emotions)
    one = found.contenders[0]
    assert (one.accuracy, one.interval, one.macro_f1) == (alone.accuracy, alone.interval, alone.macro_f1)
    assert (one.ece, one.recall) == (alone.reliability.error, alone.recall)
    (pair,) = found.pairs
    assert (pair.difference, pair.interval, pair.b, pair.c, pair.p) == (0.0, (0.0, 0.0), 0, 0, 1.0)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (0, 6), (3, 9), (20, 20), (59, 6), (9, 2), (150, 101)])
def test_mcnemar_is_the_exact_binomial_test(b, c):
    tail = sum(comb(b + c, i) for i in range(min(b, c) + 1))
    assert mcnemar(b, c) == pytest.approx(float(min(Fraction(1), Fraction(2 * tail, 2 ** (b + c)))), rel=1e-9)


def test_mcnemar_of_a_published_table():
    """Agresti, "Categorical data analysis", approval of the prime minister: 150 and 86 changed their minds."""
    assert mcnemar(86, 150) == pytest.approx(3.7e-5, rel=0.02)
    assert mcnemar(20_000, 21_000) == pytest.approx(8e-7, rel=0.1)  # no overflow


def test_the_paired_interval_is_that_of_drawing_faces_again():
    b, c, n = 30, 50, 400
    random = np.random.default_rng(1)
    sign = np.array([-1] * b + [1] * c + [0] * (n - b - c))
    drawn = [100 * sign[random.integers(0, n, n)].mean() for _ in range(4000)]
    assert paired_interval(b, c, n) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.3)


def test_models_are_asked_what_all_of_them_and_the_labels_know(tmp_path):
    faces = write_data(tmp_path, [*LABELS, "angry", "fearful"], description="made up: ours\n")
    three = SETS["three"]
    models = [(scripted([*FIRST, "angry", "fearful"], "a", only=SEVEN), 1), (scripted(SECOND, "b", mine=three), 1)]
    found = compare(models, faces, split="test")
    assert (found.emotions, found.n, found.left_out) == (three, 11, 1)
    assert compare(models, faces, split="test", emotions="three").pairs == found.pairs
    with pytest.raises(UsageError, match="cannot answer in the set 'five'"):
        compare(models, faces, split="test", emotions="five")
    with pytest.raises(UsageError, match="two models or more"):
        compare(models[:1], faces, split="test")
    with pytest.raises(DataError, match="fewer than two emotions in common"):
        compare([models[0], (scripted([], "c", only=("contemptuous", "happy")), 1)], faces, split="test")


def test_the_rater_chooses_the_labels(tmp_path):
    """The labels say happy and sad; all raters say neutral."""
    faces = write_data(tmp_path, LABELS, votes=True)
    both = {"votes": EIGHT, "fer2013": SEVEN}
    models = [(scripted(["neutral"] * 10, "a", **both), 1), (scripted(LABELS, "b", **both), 1)]
    found = compare(models, faces, split="test")
    assert (found.labels, [one.output for one in found.contenders]) == ("ferplus", ["votes", "votes"])
    assert [one.accuracy for one in found.contenders] == [100.0, 0.0]
    found = compare(models, faces, split="test", rater="fer2013")
    assert (found.labels, [one.accuracy for one in found.contenders]) == ("fer2013", [60.0, 100.0])
    # a model without votes is held against the labels, and so is the other then
    found = compare([models[0], (scripted(LABELS, "c", mine=SEVEN), 1)], faces, split="test")
    assert (found.labels, [one.output for one in found.contenders]) == ("fer2013", ["fer2013", "mine"])
    with pytest.raises(DataError, match="no labelling in it is what all of a, c answer to"):
        compare([models[0], (scripted(LABELS, "c", mine=SEVEN), 1)], faces, split="test", rater="votes")
    with pytest.raises(ModelError, match="has no output 'nobody'"):
        compare(models, faces, split="test", rater="nobody")


def test_another_set_is_asked_of_the_same_output(faces):
    both = {"votes": EIGHT, "fer2013": SEVEN}
    models = [(scripted(FIRST, name, **both), 1) for name in "ab"]
    assert [one.output for one in compare(models, faces, split="test").contenders] == ["votes", "votes"]
    found = compare(models, faces, split="test", rater="fer2013")
    assert (found.labels, [one.output for one in found.contenders]) == ("labels", ["fer2013", "fer2013"])


def test_flip_is_that_of_evaluate(faces):
    model = scripted(FIRST, "a", only=SEVEN)
    found = compare([(model, 1), (model, 1)], faces, split="test", flip=True)
    scores = evaluate(model, faces, split="test")
    assert found.contenders[0].accuracy == next(s for s in scores if s.flip and s.emotions == found.emotions).accuracy
    assert next(headlines(scores)).flip is False


def test_from_the_command_line(run, faces, tmp_path):
    outputs = [{"name": "only", "labels": ["happy", "sad"], "temperature": 1.0}]
    for name, first in (("a", 0.001), ("b", -0.001)):
        properties = {KEY: json.dumps({**COMPLETE, "name": name, "outputs": outputs})}
        write_model(tmp_path / f"{name}.onnx", properties, first=first, output="only")
    done = run("compare", tmp_path / "a.onnx", tmp_path / "b.onnx", "--data", tmp_path)
    assert (done.status, done.err) == (0, "")
    assert "10 faces of labels, happy,sad" in done.out
    assert "McNemar p = " in done.out and "recall changed most: " in done.out
    done = run("compare", tmp_path / "a.onnx", tmp_path / "b.onnx", "--data", tmp_path, "--json")
    record = json.loads(done.out)
    assert [one["model"].partition("@")[0] for one in record["contenders"]] == ["a", "b"]
    assert {"b", "c", "p", "difference", "interval", "recall", "model"} == set(record["pairs"][0])
    done = run("compare", tmp_path / "a.onnx", "--data", tmp_path)
    assert (done.status, "two models or more" in done.err) == (2, True)
    done = run("compare", tmp_path / "a.onnx", "embedded", "--data", tmp_path, "--split", "dev")
    assert (done.status, len(done.err.splitlines())) == (1, 1)

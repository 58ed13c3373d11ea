"""Figures by a column of the metadata, on the emotions that model and labels share, and under faults of the crop."""

import csv
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.classifier import Classifier
from mien.datasets.labelled import LabelledFaces, read_labelled_faces
from mien.emotions import SETS, Emotion
from mien.errors import UsageError
from mien.evaluation.answers import Answers, ask, known_to_both
from mien.evaluation.robustness import FAULTS, robustness
from mien.evaluation.scores import evaluate, headlines
from mien.evaluation.slices import LEAST, bins, slices
from mien.models.metadata import KEY, Metadata, Output

from conftest import COMPLETE, write_model

SEVEN, EIGHT = SETS["seven"], SETS["eight"]
TWO = (Emotion.HAPPY, Emotion.SAD)


def faces_with(**columns: list[str]) -> LabelledFaces:
    n = len(next(iter(columns.values())))
    names = np.full(n, "")
    arrays = {name: np.array(values) for name, values in columns.items()}
    return LabelledFaces(Path("set"), tuple(names), names, names, names, names, None, ("a set",), arrays)


def answers(right: list[bool], wanted: list[int] | None = None) -> Answers:
    """Return answers of two emotions of which those in `right` are so."""
    labels = np.array(wanted if wanted is not None else [0] * len(right))
    named = np.where(right, labels, 1 - labels)
    return Answers("labels", "only", TWO, np.arange(len(right)), labels, np.eye(2)[named])


def test_further_columns_are_kept_and_selected(tmp_path):
    (tmp_path / "metadata.csv").write_text(
        "file_name,split,label,group,age,gender\na.png,train,happy,a.png,30,male\nb.png,test,sad,b.png,,female\n"
    )
    faces = read_labelled_faces(tmp_path)
    assert {name: values.tolist() for name, values in faces.columns.items()} == {
        "age": ["30", ""], "gender": ["male", "female"],
    }  # fmt: skip
    assert faces.split("test").columns["gender"].tolist() == ["female"]


def test_accuracy_for_each_value():
    faces = faces_with(gender=["male"] * 40 + ["female"] * 60 + [""] * 3)
    found = slices(answers([True] * 30 + [False] * 10 + [True] * 57 + [False] * 3 + [True] * 3), faces, "gender")
    assert [(one.value, one.n, one.accuracy) for one in found.slices] == [
        ("female", 60, 95.0), ("male", 40, 75.0), ("not stated", 3, 100.0),
    ]  # fmt: skip
    assert (found.gap.best, found.gap.worst, found.gap.points) == ("female", "male", pytest.approx(20.0))
    assert found.gap.p == pytest.approx(0.0051, abs=0.002)  # Fisher's exact test says 0.0051
    assert found.to_record()["slices"][1] == {
        "value": "male", "n": 40, "accuracy": 75.0, "interval": [59.81, 85.81],
    }  # fmt: skip


def test_a_gap_that_the_mix_of_labels_makes_is_told_apart():
    """Happy faces are always named rightly, sad ones half the time; one group is mostly happy, one mostly sad."""
    groups = ["old"] * 100 + ["young"] * 100
    wanted = [0] * 80 + [1] * 20 + [0] * 20 + [1] * 80
    right = [label == 0 or i % 2 == 0 for i, label in enumerate(wanted)]
    gap = slices(answers(right, wanted), faces_with(age=groups), "age").gap
    assert gap.points == pytest.approx(30.0)
    assert gap.p < 0.001
    assert gap.p_within_labels > 0.3


def test_the_largest_of_many_gaps_is_expected_to_be_large():
    """A test of the chosen pair alone would find something in nearly every third set without any difference."""
    random = np.random.default_rng(0)
    values = faces_with(group=[str(i % 10) for i in range(400)])
    found = [slices(answers((random.random(400) < 0.7).tolist()), values, "group").gap.p for _ in range(60)]
    assert np.mean(np.array(found) < 0.05) < 0.15
    assert 0.3 < np.mean(found) < 0.7


def test_small_values_count_in_no_gap():
    faces = faces_with(group=["a"] * 50 + ["b"] * (LEAST - 1))
    assert slices(answers([True] * 50 + [False] * (LEAST - 1)), faces, "group").gap is None


def test_numbers_become_quarters():
    ages = [str(age) for age in range(100)]
    order, of_face = bins(faces_with(age=[*ages, ""]), "age")
    assert order == ["0 to 24", "25 to 49", "50 to 74", "75 to 99", "not stated"]
    assert np.bincount(of_face).tolist() == [25, 25, 25, 25, 1]
    few = [str(number) for number in (10, 9, 2, 10)]
    assert bins(faces_with(age=few), "age")[0] == ["2", "9", "10"]
    skewed = ["0"] * 80 + [str(i) for i in range(1, 21)]
    order, of_face = bins(faces_with(age=skewed), "age")
    assert order[0] == "0 to 0"
    assert all(int(a.split()[2]) < int(b.split()[0]) for a, b in pairwise(order))


def test_columns_that_make_no_slices():
    with pytest.raises(UsageError, match="no further column 'race'; it has age"):
        bins(faces_with(age=["1"]), "race")
    with pytest.raises(UsageError, match="'name' has 60 different texts"):
        bins(faces_with(name=[f"n{i}" for i in range(60)]), "name")


class Light:
    """Calls light faces happy and dark ones sad; one output knows eight emotions, the other seven."""

    outputs = ("votes", "fer2013")

    def __call__(self, batch):
        light = batch.mean(axis=(1, 2, 3)) > 0
        logits = []
        for labels in (EIGHT, SEVEN):
            logits.append(np.zeros((len(batch), len(labels)), np.float32))
            logits[-1][light, labels.index("happy")] = logits[-1][~light, labels.index("sad")] = 2.0
        return logits


def light() -> Classifier:
    outputs = (Output("votes", EIGHT, 1.0), Output("fer2013", SEVEN, 1.0))
    crop = {"scale": 1.0, "across": 0.0, "down": 0.0}
    return Classifier(Light(), Metadata("m", outputs, 8, "grey", 128.0, 64.0, crop, (), "", (), "", ""), identity="m")


@pytest.fixture
def data(tmp_path):
    """Return 80 light happy and dark sad faces, the last of each wrongly labelled; a data.txt says what they are."""
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "split", "label", "group", "gender"])
        for i in range(80):
            label = "happy" if i < 40 else "sad"
            Image.new("L", (8, 8), 150 if (label == "happy") == (i % 40 < 39) else 90).save(tmp_path / f"{i}.png")
            writer.writerow([f"{i}.png", "test", label, f"{i}.png", "ab"[i % 2]])
    (tmp_path / "data.txt").write_text("made up: ours\n")
    return tmp_path


def test_only_emotions_that_both_know_count(data):
    truth = np.array(["happy", "sad", "contemptuous", ""])
    assert known_to_both(SEVEN, SEVEN, truth) == TWO
    assert known_to_both(EIGHT, SEVEN, truth) == TWO
    assert known_to_both(SEVEN, SEVEN, np.array(["happy"])) == SEVEN
    assert known_to_both(tuple(reversed(SEVEN)), SEVEN, np.array(SEVEN)) == SEVEN
    first, second = ask(light(), read_labelled_faces(data).split("test"))
    assert (first.labels, first.output, first.emotions) == ("labels", "votes", TWO)
    assert (second.labels, second.output, len(second)) == ("labels:fer2013", "fer2013", 80)
    assert first.right.sum() == 78
    assert first.shares.sum(axis=1) == pytest.approx(1.0)


def test_another_set_is_scored_by_every_output_and_on_what_both_know(data):
    scores = evaluate(light(), read_labelled_faces(data), split="test")
    assert [score.labels for score in headlines(scores)] == ["labels", "labels:fer2013"]
    both = next(score for score in scores if score.emotions == TWO)
    assert (both.n, both.accuracy) == (80, 97.5)


@pytest.fixture
def model(tmp_path):
    """Return the file of a model that calls all faces happy, and knows happy and sad."""
    outputs = [{"name": "only", "labels": ["happy", "sad"], "temperature": 1.0}]
    write_model(tmp_path / "m.onnx", {KEY: json.dumps({**COMPLETE, "outputs": outputs})}, first=0.1, output="only")
    return tmp_path / "m.onnx"


def test_evaluate_by_column_and_under_faults(run, data, model):
    done = run("evaluate", model, "--data", data, "--by", "gender", "--robustness")
    assert (done.status, done.err) == (0, "")
    assert any(line.split()[:2] == ["a", "40"] for line in done.out.splitlines())
    assert "Largest gap: " in done.out
    assert all(fault in done.out for fault in FAULTS)
    done = run("evaluate", model, "--data", data, "--by", "gender", "--robustness", "--json")
    first, *others = json.loads(done.out)
    assert first["by"][0]["column"] == "gender"
    assert {"best", "worst", "points", "p", "p_within_labels"} == set(first["by"][0]["gap"])
    assert [entry["fault"] for entry in first["robustness"]] == ["none", *FAULTS]
    assert not any("by" in other or "robustness" in other for other in others)
    pytest.importorskip("matplotlib", reason="charts are an extra: pip install 'mien[plot]'")
    report = data.parent / "report"
    assert run("evaluate", model, "--data", data, "--by", "gender", "--robustness", "--report", report).status == 0
    for page in ("report.md", "report.html"):
        text = (report / page).read_text()
        assert "Largest gap: " in text and all(fault in text for fault in FAULTS)
    assert json.loads((report / "report.json").read_text())["scores"][0]["by"] == first["by"]
    done = run("evaluate", model, "--data", data, "--by", "race")
    assert (done.status, done.out) == (2, "")


def test_what_is_not_shared_is_said(run, data, model):
    text = (data / "metadata.csv").read_text().replace("0.png,test,happy", "0.png,test,contemptuous")
    (data / "metadata.csv").write_text(text)
    done = run("evaluate", model, "--data", data)
    assert "do not count, because the model does not know their label: contemptuous 4." in done.out
    done = run("evaluate", "embedded", "--data", data)
    assert (
        "the model also knows angry, disgusted, fearful, neutral, surprised, which is the label of no face."
        in done.out
    )


def test_each_fault_does_what_it_says():
    random = np.random.default_rng(0)
    picture = np.asarray(Image.fromarray(random.integers(0, 256, (6, 6), dtype=np.uint8)).resize((48, 48)))
    for colour in (picture, np.stack([picture, picture // 2, 255 - picture], axis=2)):
        for spoils in FAULTS.values():
            for spoil in spoils:
                spoiled = spoil(colour, random)
                assert (spoiled.shape, spoiled.dtype) == (colour.shape, np.uint8)
                assert not np.array_equal(spoiled, colour)
    dark, bright = (spoil(picture, random) for spoil in FAULTS["brightness ±30%"])
    assert dark[9, 9] == round(0.7 * picture[9, 9])
    assert bright.max() == 255
    left, right = (spoil(picture, random).astype(float) for spoil in FAULTS["roll ±15°"])
    mirrored = FAULTS["roll ±15°"][1](np.ascontiguousarray(picture[:, ::-1]), random)[:, ::-1]
    assert np.abs(left - mirrored).mean() < 1.0
    assert np.abs(left - right).mean() > 5.0


def test_faults_are_the_same_at_every_call(data):
    faces = read_labelled_faces(data)
    once, again = robustness(light(), faces, split="test"), robustness(light(), faces, split="test")
    assert once == again
    clean = once[0]
    assert (clean.fault, clean.accuracy, clean.fall) == ("none", 97.5, 0.0)
    by_fault = {entry.fault: entry for entry in once if entry.labels == "labels"}
    assert by_fault["half resolution"].fall == pytest.approx(0.0)  # even faces have nothing to lose
    assert by_fault["brightness ±30%"].accuracy == 50.0  # all dark: the worse of the two
    assert by_fault["brightness ±30%"].fall == pytest.approx(47.5)

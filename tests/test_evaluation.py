"""Figures: counted by hand on a handful of faces, and on answers whose calibration is known."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.classifier import Classifier
from mien.datasets.labelled import VOTES, LabelledFaces, read_labelled_faces
from mien.emotions import SETS, Emotion
from mien.errors import DataError
from mien.evaluation.calibration import fit_temperature, reliability
from mien.evaluation.scores import default_split, evaluate, headlines, largest_difference, wilson
from mien.evaluation.truth import ferplus_majority, ferplus_plurality
from mien.models.metadata import KEY, Metadata, Output

from conftest import COMPLETE, write_model

EIGHT, SEVEN = SETS["eight"], SETS["seven"]
LABELS = [*["happy"] * 4, *["sad"] * 3, *["angry"] * 2, "fearful"]
ANSWERS = ["happy", "happy", "happy", "sad", "sad", "angry", "neutral", "angry", "happy", "sad"]
"""Of ten faces: right are 3 of 4 happy, 1 of 3 sad, 1 of 2 angry, 0 of 1 fearful."""


@pytest.fixture
def data(tmp_path):
    """Return ten test faces, each with a grey level of its own by which `Scripted` knows it.

    The raters call all of them what the label says, except that nobody knows the fourth. The first face is
    a copy of the one training picture.
    """
    columns = dict(
        zip(("neutral", "happy", "surprised", "sad", "angry", "disgusted", "fearful"), VOTES, strict=False)
    )
    rows = [("train", "happy", "train.png")]
    rows += [("test", label, "train.png" if i == 0 else f"test{i}.png") for i, label in enumerate(LABELS)]
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["file_name", "split", "label", "group", *VOTES], restval=0)
        writer.writeheader()
        for i, (split, label, group) in enumerate(rows):
            name = "train.png" if split == "train" else f"test{i - 1}.png"
            Image.new("L", (8, 8), 10 * i).save(tmp_path / name)
            voted = "unknown" if i == 4 else columns[label]
            writer.writerow({"file_name": name, "split": split, "label": label, "group": group, voted: 10})
    return tmp_path


class Scripted:
    """A network that answers as ANSWERS says, to mirrored and plain faces alike, with some doubt."""

    outputs = ("votes", "fer2013")

    def __call__(self, batch):
        index = np.rint((batch[:, 0, 0, 0] * 64 + 128) / 10).astype(int) - 1
        votes, labels = np.zeros((len(batch), 8), np.float32), np.zeros((len(batch), 7), np.float32)
        for row, i in enumerate(index):
            if 0 <= i < len(ANSWERS):
                votes[row, EIGHT.index(ANSWERS[i])] = labels[row, SEVEN.index(ANSWERS[i])] = 2.0
        return [votes, labels]


def scripted() -> Classifier:
    outputs = (Output("votes", EIGHT, 1.0), Output("fer2013", SEVEN, 1.0))
    crop = {"scale": 1.0, "across": 0.0, "down": 0.0}
    metadata = Metadata("m", outputs, 8, "grey", 128.0, 64.0, crop, (), "", (), "", "")
    return Classifier(Scripted(), metadata, identity="m")


def test_figures_counted_by_hand(data):
    scores = evaluate(scripted(), read_labelled_faces(data), split="test")
    fer, plus, majority = headlines(scores)
    assert fer.key == {"labels": "fer2013", "emotions": "seven", "split": "test", "subset": "all", "flip": False}
    assert (fer.n, fer.accuracy) == (10, 50.0)
    assert fer.recall == {"happy": 75.0, "sad": pytest.approx(100 / 3), "angry": 50.0, "fearful": 0.0}
    # of the emotions that are labelled or answered: happy 6/8, sad 2/6, angry 2/4, fearful 0, neutral 0
    assert fer.macro_f1 == pytest.approx(100 * (6 / 8 + 2 / 6 + 2 / 4) / 5)
    order = fer.emotions
    assert fer.confusion.sum() == 10
    assert fer.confusion[order.index("sad"), order.index("neutral")] == 1
    assert fer.confusion[order.index("happy"), order.index("happy")] == 3
    assert (plus.labels, plus.n, plus.key["emotions"]) == ("ferplus", 9, "eight")  # nobody knew the fourth
    assert plus.accuracy == pytest.approx(100 * 5 / 9)
    assert (majority.labels, majority.key["emotions"]) == ("ferplus-majority", "eight")


def test_sets_count_their_own_faces_and_force_a_choice(data):
    scores = evaluate(scripted(), read_labelled_faces(data), split="test")
    three = next(s for s in scores if s.labels == "fer2013" and s.key["emotions"] == "three")
    assert three.n == 9  # all but the fearful one
    # the sad face that was called neutral is now called the first of three equals, angry
    assert three.accuracy == pytest.approx(100 * 5 / 9)
    assert three.confusion.shape == (3, 3)
    # and confidence is over the set: three equals for that one, one of three with logits 2, 0 and 0 for the rest
    told = np.average(three.reliability.confidence, weights=three.reliability.counts)
    assert told == pytest.approx((8 * np.exp(2) / (np.exp(2) + 2) + 1 / 3) / 9, abs=1e-6)


def test_copies_of_training_pictures_are_left_out_of_one_subset(data):
    scores = evaluate(scripted(), read_labelled_faces(data), split="test")
    apart = next(s for s in scores if s.labels == "fer2013" and s.subset == "deduplicated")
    assert (apart.n, apart.accuracy) == (9, pytest.approx(100 * 4 / 9))


def test_flip_averages_with_the_mirrored_face(data):
    """A network that calls what is light on its left happy, and what is light on its right sad, more surely."""

    class OneSided:
        outputs = ("votes", "fer2013")

        def __call__(self, batch):
            left, top = batch[:, 0, :, :4].mean(axis=(1, 2)) > 0, batch[:, 0, :4, :].mean(axis=(1, 2)) > 0
            votes, labels = np.zeros((len(batch), 8), np.float32), np.zeros((len(batch), 7), np.float32)
            labels[:, SEVEN.index("sad")] = np.where(left, 0.0, 3.0)
            labels[:, SEVEN.index("happy")] = np.where(left, 1.0, 0.0)
            labels[top, SEVEN.index("angry")] = 9.0  # upside down, all is lost
            return [votes, labels]

    half = np.zeros((8, 8), np.uint8)
    half[3:, :4] = 255
    for i in range(len(LABELS)):
        Image.fromarray(half).save(data / f"test{i}.png")
    outputs = (Output("votes", EIGHT, 1.0), Output("fer2013", SEVEN, 1.0))
    crop = {"scale": 1.0, "across": 0.0, "down": 0.0}
    metadata = Metadata("m", outputs, 8, "grey", 128.0, 64.0, crop, (), "", (), "", "")
    scores = evaluate(Classifier(OneSided(), metadata, identity="m"), read_labelled_faces(data), split="test")
    plain, flipped = (next(s for s in scores if s.labels == "fer2013" and s.flip is flip) for flip in (False, True))
    assert plain.recall["happy"] == 100.0
    assert flipped.recall["sad"] == 100.0


def test_the_interval_stands_with_the_accuracy(data):
    fer, *_ = headlines(evaluate(scripted(), read_labelled_faces(data), split="test"))
    assert fer.interval == pytest.approx((23.66, 76.34), abs=0.01)  # five of ten


@pytest.mark.parametrize(
    ("hits", "n", "interval"),
    [(0, 10, (0.0, 27.75)), (10, 10, (72.25, 100.0)), (5, 10, (23.66, 76.34)), (81, 263, (25.53, 36.62))],
)
def test_wilson_as_published(hits, n, interval):
    """The last is the example of Newcombe, "Two-sided confidence intervals for the single proportion", 1998."""
    assert wilson(hits, n) == pytest.approx(interval, abs=0.01)


@pytest.mark.parametrize(
    ("confidence", "right", "error"),
    [
        ([0.9, 0.9, 0.9, 0.9], [1, 1, 1, 0], 0.15),
        ([1.0, 1.0], [1, 1], 0.0),
        ([0.5, 0.5, 0.95], [1, 0, 0], 0.95 / 3),
        ([0.2], [0], 0.2),
    ],
)
def test_calibration_error_by_hand(confidence, right, error):
    diagram = reliability(np.array(confidence), np.array(right, bool))
    assert diagram.error == pytest.approx(error)
    assert diagram.counts.sum() == len(right)
    assert len(diagram.counts) == 15


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_spoiled_the_answers_is_found(temperature):
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (40_000, 5))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (random.random((len(shares), 1)) > shares.cumsum(axis=1)).sum(axis=1)
    spoiled = np.exp(logits / temperature)
    spoiled /= spoiled.sum(axis=1, keepdims=True)
    labels[:7] = -1  # these do not count
    assert fit_temperature(spoiled, labels) == pytest.approx(1 / temperature, rel=0.03)


def test_ferplus_plurality():
    # neutral happiness surprise sadness anger disgust fear contempt unknown NF
    votes = [
        [4, 0, 0, 4, 0, 0, 0, 0, 1, 1],  # a tie goes to the first
        [0, 0, 0, 0, 3, 0, 0, 3, 0, 4],  # not a face
        [0, 0, 2, 0, 0, 0, 0, 0, 5, 3],  # unknown
        [0, 0, 0, 0, 0, 0, 0, 5, 5, 0],  # a tie of contempt with unknown
    ]
    assert ferplus_plurality(voted(np.array(votes))).tolist() == ["neutral", "", "", "contemptuous"]


def test_ferplus_majority_as_published():
    # neutral happiness surprise sadness anger disgust fear contempt unknown NF
    votes = [
        [5, 0, 0, 5, 0, 0, 0, 0, 0, 0],  # half is no majority
        [4, 3, 1, 0, 0, 0, 1, 1, 0, 0],  # 4 of the 7 that are not alone
        [0, 0, 0, 0, 1, 1, 1, 1, 6, 0],  # unknown
        [0, 0, 0, 0, 0, 0, 0, 2, 1, 7],  # not a face
        [0, 0, 0, 0, 0, 0, 0, 9, 1, 0],
    ]
    assert ferplus_majority(voted(np.array(votes))).tolist() == ["", "neutral", "", "", "contemptuous"]


def test_ferplus_rows_that_count(shared):
    votes = np.load(shared / "data" / "fer2013" / "labels.npz")["private_test_votes"].astype(int)
    assert (ferplus_plurality(voted(votes)) != "").sum() == 3546
    assert (ferplus_majority(voted(votes)) != "").sum() == 3152


def voted(votes: np.ndarray) -> LabelledFaces:
    names = np.full(len(votes), "")
    return LabelledFaces(Path(), tuple(names), names, names, names, names, votes, ())


def test_without_a_label_there_is_no_temperature_to_fit():
    assert fit_temperature(np.full((3, 2), 0.5), np.array([-1, -1, -1])) == 1.0


def test_claims_that_make_no_sense_are_passed_over(data):
    scores = evaluate(scripted(), read_labelled_faces(data), split="test")
    claim = scores[0].to_claim()
    nonsense = [{**claim, "accuracy": "65"}, {**claim, "labels": ["x"]}, {}]
    assert largest_difference(nonsense, scores) == (0, 0.0)


def test_claims_are_compared_with_what_they_speak_of(data):
    scores = evaluate(scripted(), read_labelled_faces(data), split="test")
    claims = [score.to_claim() for score in scores]
    assert largest_difference(claims, scores) == (len(scores), pytest.approx(0.0, abs=0.005))
    claims[3]["accuracy"] += 1.5
    assert largest_difference(claims, scores)[1] == pytest.approx(1.5, abs=0.005)
    assert largest_difference([{**claims[3], "split": "private_test"}, {"accuracy": 1.0}], scores) == (0, 0.0)


def test_the_split_to_report_on(data):
    faces = read_labelled_faces(data)
    assert default_split(faces) == "test"
    with pytest.raises(DataError, match="no split private_test or test; name one of train"):
        default_split(faces.split("train"))


@pytest.fixture
def model(tmp_path):
    """Return the file of a model that calls light faces happy and knows happy and sad alone."""
    file = tmp_path / "two.onnx"
    claim = {"labels": "fer2013", "emotions": "happy,sad", "split": "test", "subset": "all", "flip": False}
    outputs = [{"name": "fer2013", "labels": ["happy", "sad"], "temperature": 1.0}]
    scores = [{**claim, "accuracy": 40.0}]
    write_model(file, {KEY: json.dumps({**COMPLETE, "outputs": outputs, "scores": scores})}, output="fer2013")
    return file


def test_evaluate_prints_what_a_person_reads(run, data, model):
    done = run("evaluate", model, "--data", data)
    assert (done.status, done.err) == (0, "")
    assert "split test" in done.out
    assert any(line.split()[:4] == ["fer2013", "happy,sad", "all", "7"] for line in done.out.splitlines())
    assert any(line.split()[:5] == ["fer2013", "happy,sad", "all", "flip", "7"] for line in done.out.splitlines())
    assert "claims 1 of these accuracies" in done.out


def test_evaluate_as_json_is_a_list_of_plain_objects(run, data, model):
    done = run("evaluate", model, "--data", data, "--split", "test", "--json")
    entries = json.loads(done.out)
    assert {"labels", "emotions", "subset", "flip", "n", "accuracy", "macro_f1", "ece"} <= set(entries[0])
    assert {(entry["subset"], entry["flip"]) for entry in entries} == {
        (subset, flip) for subset in ("all", "deduplicated") for flip in (False, True)
    }


def test_a_report_is_whole_or_not_there(run, data, model, tmp_path):
    pytest.importorskip("matplotlib", reason="charts are an extra: pip install 'mien[plot]'")
    report = tmp_path / "report"
    done = run("evaluate", model, "--data", data, "--report", report)
    assert done.status == 0
    assert sorted(path.name for path in report.iterdir()) == [
        "confusion-fer2013.png", "reliability-fer2013.png", "report.html", "report.json", "report.md",
    ]  # fmt: skip
    with Image.open(report / "confusion-fer2013.png") as chart:
        assert min(chart.size) > 400
    page = (report / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert "http" not in page
    assert len(json.loads((report / "report.json").read_text())["scores"]) == 4
    assert run("evaluate", model, "--data", data, "--report", report).status == 2
    assert run("evaluate", model, "--data", data, "--report", report, "--overwrite").status == 0
    (report / "thesis.txt").write_text("mine")
    done = run("evaluate", model, "--data", data, "--report", report, "--overwrite")
    assert (done.status, "not just a report" in done.err) == (2, True)
    assert not list(tmp_path.glob("*.partial*"))


def test_a_report_that_fails_leaves_the_earlier_one_and_the_figures(run, data, model, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="charts are an extra: pip install 'mien[plot]'")
    report = tmp_path / "report"
    assert run("evaluate", model, "--data", data, "--report", report).status == 0
    before = (report / "report.json").read_bytes()

    def full(*arguments, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mien.evaluation.report.draw_reliability", full)
    done = run("evaluate", model, "--data", data, "--report", report, "--overwrite")
    assert done.status == 1
    assert done.err == f"mien: {report}: cannot be written (No space left on device)\n"
    assert "accuracy %" in done.out
    assert (report / "report.json").read_bytes() == before
    assert not list(tmp_path.glob("*.partial*"))
    (tmp_path / "file").write_text("in the way")
    done = run("evaluate", model, "--data", data, "--report", tmp_path / "file" / "report")
    assert (done.status, done.out) == (1, "")


def test_a_set_without_votes(run, data, tmp_path):
    text = (data / "metadata.csv").read_text()
    header, *rows = text.splitlines()
    (data / "metadata.csv").write_text("\n".join(row.rsplit(",", len(VOTES))[0] for row in (header, *rows)))
    done = run("evaluate", "embedded", "--data", data)
    assert done.status == 0
    assert "it has no votes, so the output votes is not measured" in done.err
    file = tmp_path / "votes.onnx"
    write_model(file, {KEY: json.dumps(COMPLETE)})
    done = run("evaluate", file, "--data", data)
    assert (done.status, "it has no votes; unpack it again" in done.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["--data", "nowhere"], 1, "nowhere"),
        (["--data", "DATA", "--split", "dev"], 1, "there is no split 'dev'; the set has test, train"),
    ],
)
def test_evaluate_says_what_is_wrong(run, data, model, arguments, status, reason):
    done = run("evaluate", model, *(str(data) if word == "DATA" else word for word in arguments))
    assert (done.status, len(done.err.splitlines())) == (status, 1)
    assert reason in done.err


def test_labels_that_the_model_does_not_know(run, data, tmp_path):
    file = tmp_path / "two.onnx"
    outputs = [{"name": "only", "labels": ["contemptuous", "disgusted"], "temperature": 1.0}]
    write_model(file, {KEY: json.dumps({**COMPLETE, "outputs": outputs})}, output="only")
    done = run("evaluate", file, "--data", data)
    assert done.status == 1
    assert "no face of test has a label that the model knows" in done.err


def test_a_model_with_one_output_of_its_own_is_scored_on_the_labels(data, tmp_path):
    from mien.classifier import open_classifier

    file = tmp_path / "two.onnx"
    outputs = [{"name": "mine", "labels": ["happy", "sad"], "temperature": 1.0}]
    write_model(file, {KEY: json.dumps({**COMPLETE, "outputs": outputs})}, output="mine")
    (top,) = headlines(evaluate(open_classifier(file), read_labelled_faces(data), split="test"))
    assert (top.labels, top.emotions, top.n) == ("fer2013", (Emotion.HAPPY, Emotion.SAD), 7)

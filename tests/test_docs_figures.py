"""What pages say of the record, the public names and the embedded model is what these are."""

import json
import re

import pytest

import mien
from mien.classifier import open_classifier

from conftest import ROOT
from pages import Page


def test_the_record_is_described_whole():
    text = (ROOT / "docs" / "reference" / "record.md").read_text("utf-8")
    face = mien.Face((0, 0, 1, 1), 1.0, {mien.Emotion.HAPPY: 1.0}, track=1, smoothed={mien.Emotion.HAPPY: 1.0})
    record = mien.Result("a", 0, 0.0, 1, 1, "m", (face,)).to_record()
    (example,) = (
        json.loads(block.code)
        for block in Page(ROOT / "docs/reference/record.md").blocks()
        if block.language == "json"
    )
    assert list(example) == list(record)
    assert list(example["faces"][0]) == list(record["faces"][0])
    assert sum(example["faces"][0]["scores"].values()) == pytest.approx(1)
    for name in [*record, *record["faces"][0]]:
        assert f"`{name}`" in text
    mien.Result.from_record(example)


def test_every_public_name_is_in_the_reference():
    text = (ROOT / "docs" / "reference" / "python.md").read_text("utf-8")
    assert sorted(re.findall(r"^::: mien\.(\w+)$", text, re.MULTILINE)) == sorted(mien.__all__)


@pytest.mark.parametrize("name", ["README.md", "docs/concepts/sets.md", "docs/concepts/raters.md"])
def test_accuracies_in_tables_are_those_of_the_model(name):
    scores = open_classifier("embedded").metadata.scores
    known = {f"{score['accuracy']:.1f}" for score in scores if score["split"] == "private_test" and not score["flip"]}
    rows = [line for line in (ROOT / name).read_text("utf-8").splitlines() if line.startswith("|")]
    ours = [row for row in rows if name != "README.md" or row.startswith("| **mien**")]
    said = {figure for row in ours for figure in re.findall(r"\b\d\d\.\d\b", row)}
    assert len(said) >= 4
    assert said <= known


def test_what_is_said_of_calibration_is_true():
    metadata = open_classifier("embedded").metadata
    text = (ROOT / "docs" / "concepts" / "calibration.md").read_text("utf-8")
    for output in metadata.outputs:
        assert f"{output.temperature:.2f} for `{output.name}`" in text
    errors = {
        (score["labels"], score["emotions"]): f"{score['ece']:.3f}"
        for score in metadata.scores
        if score["split"] == "private_test" and not score["flip"] and score["subset"] == "all"
    }
    said = re.findall(r"^\| `\w+` \|.*\| (0\.\d{3}) \|$", text, re.MULTILINE)
    assert said == [errors["fer2013", "seven"], errors["ferplus", "eight"], errors["ferplus-majority", "eight"]]
    least, most = min(map(float, errors.values())), max(map(float, errors.values()))
    assert f"{least:.3f} and {most:.3f}" in " ".join(text.split())


def test_what_is_said_of_weak_spots_is_true():
    (score,) = (
        score
        for score in open_classifier("embedded").metadata.scores
        if (score["labels"], score["emotions"], score["split"]) == ("ferplus", "eight", "private_test")
        and not score["flip"]
        and score["subset"] == "all"
    )
    text = " ".join((ROOT / "docs" / "concepts" / "measured.md").read_text("utf-8").split())
    told = "{happy:.0f}% of the faces that they call happy, {neutral:.0f}% of the neutral and {surprised:.0f}% of the"
    assert told.format(**score["recall"]) in text
    assert "{sad:.0f}% of the sad ones".format(**score["recall"]) in text
    assert "{fearful:.0f}% of the fearful".format(**score["recall"]) in text

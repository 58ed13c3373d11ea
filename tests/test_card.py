"""The model card says what the file's metadata say, no more and no less, in Markdown that is valid."""

import json
import re

import pytest
from markdown_it import MarkdownIt

from mien.classifier import open_classifier
from mien.evaluation.card import model_card
from mien.models.metadata import KEY, parse_metadata

from conftest import COMPLETE, write_model

CLAIM = {"labels": "fer2013", "emotions": "seven", "split": "private_test", "subset": "all", "flip": False}
SCORES = [
    {**CLAIM, "n": 3589, "accuracy": 70.49, "macro_f1": 68.04, "ece": 0.0148},
    {**CLAIM, "flip": True, "n": 3589, "accuracy": 70.88, "macro_f1": 68.55, "ece": 0.0213},
    {**CLAIM, "subset": "deduplicated", "n": 3293, "accuracy": 70.06, "macro_f1": 66.42, "ece": 0.0152},
    {**CLAIM, "split": "public_test", "n": 3590, "accuracy": 69.24, "macro_f1": 66.99, "ece": 0.0157},
]


def card(**changes) -> str:
    values = {**COMPLETE, "scores": SCORES, **changes}
    return model_card(parse_metadata({KEY: json.dumps(values)}, file="m.onnx"), identity="m@0123")


def changed(**values) -> list:
    return [{**SCORES[0], **values}, *SCORES[1:]]


def tables(text: str) -> list[list[str]]:
    return [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]


@pytest.mark.parametrize(
    ("name", "value", "shown"), [("accuracy", 12.34, "12.34"), ("ece", 0.4321, "0.4321"), ("n", 77, "77")]
)
def test_a_score_in_the_card_is_that_in_the_file(name, value, shown):
    before, after = card(), card(scores=changed(**{name: value}))
    assert shown not in before
    assert shown in after
    old = [line for line in before.splitlines() if line not in after.splitlines()]
    assert all("private_test" in line or line.startswith("| fer2013") for line in old)


def test_no_figure_comes_from_elsewhere():
    metadata = open_classifier("embedded").metadata
    text = model_card(metadata, identity="embedded@0")
    claimed = {figure for score in metadata.scores for value in score.values() for figure in numbers(value)}
    told = [table for table in tables(text) if not table[2].startswith("| `")]
    scores = [row for table in told if not table[0].startswith("| recall") for row in table[2:]]
    assert len(scores) == len(metadata.scores) / 2  # one pass and flip side by side
    figures = {figure for table in told for row in table[2:] for figure in re.findall(r"\d+\.\d+|\b\d{3,}\b", row)}
    assert {float(figure) for figure in figures} <= claimed
    limits = text.partition("## Calibration")[2].partition("## What is not known")[0]
    stated = {float(figure) for figure in re.findall(r"\d+\.\d{2,}", limits)}
    assert stated <= claimed | {output.temperature for output in metadata.outputs}
    assert stated


def numbers(value: object) -> set[float]:
    """Return the numbers in a value of a score."""
    if isinstance(value, dict):
        return {float(part) for part in value.values()}
    if isinstance(value, list):
        return {float(part) for part in value}
    return set() if isinstance(value, str) else {float(value)}


def test_what_the_file_does_not_hold_is_left_out():
    text = card(scores=[{"accuracy": 50.0}])
    assert "50.00" in text
    assert not {"interval", "recall", "macro-F1 %", "flip %", "Epoch", "parameters", "None"} & set(
        re.findall(r"[\w-]+(?: %)?", text.partition("### ")[2])
    )
    assert "claims no accuracy" in card(scores=[{"note": "none yet"}])


def test_intervals_and_the_weakest_emotions_where_the_file_holds_them():
    recall = {"angry": 60.5, "fearful": 41.25, "happy": 90.0, "sad": 55.0}
    text = card(scores=changed(interval=[69.01, 71.98], recall=recall))
    assert "69.01 to 71.98" in text
    assert "worst: fearful (41.25%), sad (55.00%), angry (60.50%)" in text
    assert "named worse than the frequent" not in text  # the emotions are there to be named
    (table,) = [table for table in tables(text) if table[0].startswith("| recall")]
    assert re.split(r" *\| *", table[2])[1:-1] == ["fer2013", "60.50", "41.25", "90.00", "55.00"]


def test_the_card_is_valid_and_reads_as_plain_text_too():
    text = card()
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    assert [token.type for token in tokens].count("table_open") == len(tables(text)) == 3
    assert [token.tag for token in tokens if token.type == "heading_open"].count("h1") == 1
    for table in tables(text):
        assert len({len(line) for line in table}) == 1
        assert len({tuple(i for i, letter in enumerate(line) if letter == "|") for line in table}) == 1
    assert text.endswith("\n") and "\n\n\n" not in text


def test_what_a_card_must_say():
    text = card(extra={"weights": "int8", "epoch": 3, "run": {"versions": {"torch": "2.13.0"}}})
    for words in (
        "An expression is not a feeling", "Judging persons", "Article 5(1)(f)", "Article 50(3)",
        "somebody's pictures", "Licence of the weights: MIT", "every age, gender, skin tone",
        "Weights: int8", "torch 2.13.0", "    mien train\n", "m@0123",
    ):  # fmt: skip
        assert words in text
    assert "chosen on `public_test`" in text


def test_a_strangers_words_stay_words():
    nasty = "a | b\n# heading <script>alert(1)</script> [x](javascript:y) `"
    text = card(name=nasty, data=[nasty], licence=nasty, reproduce=nasty, scores=changed(labels=nasty, split=nasty))
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert "<script" not in html and "<a " not in html
    assert html.count("<h1>") == 1
    assert html.count("<table>") == len(tables(text))


def test_commands_are_laid_out_only_where_they_are_commands():
    assert "    a b && \\\n    c\n" in card(reproduce="a b && c")
    for whole in ("a --licence 'x && y'", "don't && ask"):
        assert f"    {whole}\n" in card(reproduce=whole)


def test_card_from_the_command_line(run, tmp_path):
    done = run("models", "card")
    assert done.status == 0
    assert done.out.startswith("# Model card: embedded\n")
    model, out = tmp_path / "mine.onnx", tmp_path / "deep" / "card.md"
    write_model(model, {KEY: json.dumps({**COMPLETE, "scores": SCORES})})
    done = run("models", "card", model, "--out", out)
    assert (done.status, done.out) == (0, "")
    assert out.read_text().startswith("# Model card: mine\n")
    assert run("models", "card", model, "--out", out).status == 2
    assert run("models", "card", model, "--out", out, "--overwrite").status == 0
    assert [path.name for path in out.parent.iterdir()] == ["card.md"]
    assert run("models", "card", model, "--out", model / "card.md").status == 1
    assert run("models", "card", "mtcnn_pnet").status == 2

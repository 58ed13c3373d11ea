"""What a model's file says of itself → a model card in Markdown, after Mitchell et al. (2019)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from mien.errors import one_line
from mien.evaluation.scores import TEST_SPLITS
from mien.models.metadata import Metadata

Claim = Mapping[str, Any]
"""One entry of `Metadata.scores`."""

_TO_CHOOSE_BY = ("public_test", "validation", "val", "valid")  # the splits for epochs and temperatures
_WEAKEST = 3  # emotions to name
_LABELLINGS = {
    "fer2013": "FER2013's own label is taken for the truth",
    "ferplus": "the emotion that most of the ten FERPlus raters named is taken for the truth",
    "ferplus-majority": "the emotion that more than half of the FERPlus raters named is taken for the truth, votes "
    "of a single rater left aside, as in published figures; other faces do not count",
    "labels": "the label that the data give is taken for the truth",
}
_OUTPUTS = {
    "votes": "the share of human raters that would name each emotion",
    "fer2013": "FER2013's own labels, for comparison with the literature",
}
_PURPOSE = """\
## What it is for

To name the expression on faces in pictures and films: to sort, search and annotate them, to study faces and those
who read them, to teach and to learn. A person should look at what comes out before anything depends on it, and a
wrong answer should harm nobody. How often answers are wrong, the scores below tell.

## What it is not for

- **Feelings.** An expression is not a feeling: people smile in distress and frown in thought, so what a face shows
  does not tell what its owner feels.
- **Judging persons.** Not for decisions on work, schooling, credit, insurance, health, crime, borders or asylum, and
  not for telling lies from truth.
- **Work and education in the European Union.** Article 5(1)(f) of the AI Act (Regulation (EU) 2024/1689) prohibits
  systems that infer emotions of people at the workplace and in education, save for medical or safety reasons.
- **Use in secret.** Article 50(3) of the same act obliges whoever deploys an emotion recognition system to inform the
  people who are exposed to it."""
_UNKNOWN = """\
## What is not known

- **Groups of people.** Whether it does equally well for people of every age, gender, skin tone, origin or way of
  life: the file holds no score of any such group. Measure that on people like those whom you mean to analyse.
- **Your pictures.** The scores are of faces that were cut out already. A face that has to be found first, turned
  away, covered, badly lit or small, may do worse."""


def model_card(metadata: Metadata, *, identity: str) -> str:
    """Return the card, in Markdown, of the model that results call `identity`.

    All that it says of this model, and every figure, comes from `metadata`; what the file does not hold is left out.
    """
    claims = [claim for claim in metadata.scores if _is_number(claim.get("accuracy"))]
    name = identity.rpartition("@")[0]  # that of the file: of a recipe many models are made
    parts = [
        f"# Model card: {_text(name)}",
        f"{_code(name)} reads the expression on a face: the one that a human rater would most likely name. "
        "It does not know what a person feels.",
        "mien wrote this card from what the model's file says of itself, in the form of *Model Cards for Model "
        "Reporting* (Mitchell et al., 2019). Its figures are the file's own claims; `mien evaluate` measures them "
        "again.",
        "## The model",
        _list(_about(metadata, identity)),
        _PURPOSE,
        "## Data and licence",
        "It was trained on:",
        _list(_text(line) for line in metadata.data),
        f"Licence of the weights: {_text(metadata.licence)}. It does not extend to the data, which have their own "
        "terms.",
        *_interface(metadata),
        *_scores(claims),
        *_calibration(metadata, claims),
        *_limits(metadata, claims),
        _UNKNOWN,
        *_reproduction(metadata),
    ]
    return "\n\n".join(parts) + "\n"


def _about(metadata: Metadata, identity: str) -> Iterator[str]:
    run = _mapping(metadata.extra.get("run"))
    yield f"Called {_code(identity)} in results: the name, and the first digits of the file's sha256."
    yield f"Written by mien {_text(metadata.mien)}."
    if _is_number(weights := run.get("parameters")):
        adds = run.get("multiply_adds")
        work = f" and {adds:,} multiply-adds a face" if _is_number(adds) else ""
        yield f"A neural network with {weights:,} parameters{work}."
    if (stored := metadata.extra.get("weights")) is not None:
        yield f"Weights: {_text(stored)}."


def _interface(metadata: Metadata) -> Iterator[str]:
    crop, side = metadata.crop, f"{metadata.size}x{metadata.size}"
    colour = {"grey": "grey values", "rgb": "RGB values"}[metadata.colour]
    yield "## What goes in"
    moved = f"moved by {crop['across']:g} across and {crop['down']:g} down"
    where = "about the middle of the box" if not (crop["across"] or crop["down"]) else moved
    yield (
        f"One face, {side} pixels, {colour} from 0 to 255, of which {metadata.mean:g} is subtracted before they are "
        f"divided by {metadata.scale:g}. mien cuts it out as a square {where} that a detector has drawn round the "
        f"face, turned upright by the eyes; its side is {crop['scale']:g} times the root of the box's area."
    )
    yield "## What comes out"
    yield "For each output a probability for each of its labels, which sum to 1. The first output is the default."
    rows = [
        (_code(output.name), _OUTPUTS.get(output.name, ""), ", ".join(output.labels), f"{output.temperature:g}")
        for output in metadata.outputs
    ]
    yield _table(("output", "what it is", "labels", "temperature"), rows, right={3})


def _scores(claims: Sequence[Claim]) -> Iterator[str]:
    yield "## Scores"
    if not claims:
        yield "The file claims no accuracy."
        return
    splits = list(dict.fromkeys(str(claim.get("split", "")) for claim in claims))
    splits.sort(key=lambda split: split not in TEST_SPLITS)
    notes = [
        f"{_code(name)}: {_LABELLINGS[name]}."
        for name in dict.fromkeys(str(claim.get("labels")) for claim in claims)
        if name in _LABELLINGS
    ]
    notes += [
        "A set of emotions counts the faces whose label lies in it, and the answer is the likeliest within it.",
        "Deduplicated: without the faces of which a copy is in the training split.",
        "One pass is what `mien analyze` does; flip averages the answers to a face and to its mirror image. Macro-F1 "
        "and calibration error are those of one pass.",
    ]
    if any(_interval(claim) for claim in claims):
        notes.append("Interval: the middle 95% of the accuracy when the faces are drawn again.")
    yield _list(notes)
    chosen_on = next((split for split in splits if split in _TO_CHOOSE_BY), None)
    if chosen_on is not None and len(splits) > 1:
        yield (
            f"The epoch and the temperatures were chosen on {_code(chosen_on)}, which flatters its figures: quote "
            "those of another split."
        )
    for split in splits:
        rows = [claim for claim in claims if str(claim.get("split", "")) == split]
        yield f"### On {_code(split)}" if split else "### On a split that is not named"
        yield _score_table(rows)
        yield from _recall_table(rows)


def _score_table(claims: Sequence[Claim]) -> str:
    """Return a row for each labelling, set and subset; what no row has is left out."""
    heads = ("labels", "emotions", "faces", "n", "one pass %", "interval", "flip %", "macro-F1 %", "calib. error")
    pairs: dict[tuple[str, ...], dict[bool, Claim]] = {}
    for claim in claims:
        of = tuple(str(claim.get(name, "")) for name in ("labels", "emotions", "subset"))
        pairs.setdefault(of, {}).setdefault(bool(claim.get("flip")), claim)
    rows = []
    for (labels, emotions, subset), pair in pairs.items():
        plain, flip = pair.get(False, {}), pair.get(True, {})
        rows.append(
            [
                _text(labels),
                _text(emotions).replace(",", ", "),
                _text(subset),
                _number((plain or flip).get("n"), 0),
                _number(plain.get("accuracy"), 2),
                _interval(plain),
                _number(flip.get("accuracy"), 2),
                _number(plain.get("macro_f1"), 2),
                _number(plain.get("ece"), 4),
            ]
        )
    kept = [i for i in range(len(heads)) if any(row[i] for row in rows)]
    right = {place for place, i in enumerate(kept) if i >= 3}
    return _table([heads[i] for i in kept], [[row[i] for i in kept] for row in rows], right=right)


def _recall_table(claims: Sequence[Claim]) -> Iterator[str]:
    """Yield the recall of each emotion, where the file holds it."""
    tops = [(claim, recall) for claim in _headlines(claims) if (recall := _recall(claim))]
    if not tops:
        return
    emotions = sorted({emotion for _, recall in tops for emotion in recall})
    rows = [
        [_text(claim.get("labels", "")), *(_number(recall.get(emotion), 2) for emotion in emotions)]
        for claim, recall in tops
    ]
    yield "Of the faces of each emotion, the share that is named so, in one pass:"
    yield _table(["recall %", *map(_text, emotions)], rows, right=range(1, len(emotions) + 1))


def _calibration(metadata: Metadata, claims: Sequence[Claim]) -> Iterator[str]:
    yield "## Calibration"
    fitted = ", ".join(f"{output.temperature:g} for {_code(output.name)}" for output in metadata.outputs)
    yield (
        f"The logits are divided by a temperature, {fitted}, so that a confidence of 0.8 is meant to be right four "
        "times in five. The calibration error is the mean distance of confidence and accuracy, over 15 bins of equal "
        "width, between 0 and 1."
    )
    if errors := [
        f"By the labels {_code(claim.get('labels', ''))} on {_code(claim.get('split', ''))}, in one pass: "
        f"{_number(claim['ece'], 4)}."
        for claim in _headlines(claims)
        if _is_number(claim.get("ece"))
    ]:
        yield _list(errors)


def _limits(metadata: Metadata, claims: Sequence[Claim]) -> Iterator[str]:
    yield "## Known limits"
    lines: list[str] = []
    tops = _headlines(claims)
    for claim in [top for top in tops if top.get("split") in TEST_SPLITS] or tops:
        where = f"By the labels {_code(claim.get('labels', ''))} on {_code(claim.get('split', ''))}"
        if recall := _recall(claim):
            worst = sorted(recall, key=lambda emotion: recall[emotion])[:_WEAKEST]
            named = ", ".join(f"{_text(emotion)} ({_number(recall[emotion], 2)}%)" for emotion in worst)
            lines.append(f"{where} it names these worst: {named} of the faces that are so labelled.")
        elif _is_number(f1 := claim.get("macro_f1")) and f1 < claim["accuracy"]:
            lines.append(
                f"{where} the mean F1 of the emotions is {_number(f1, 2)}%, below the accuracy of "
                f"{_number(claim['accuracy'], 2)}%: the rarer emotions are named worse than the frequent ones. "
                "`mien evaluate` tells which."
            )
        lines += [
            f"{where} the accuracy is {_number(claim['accuracy'], 2)}% on all faces, and "
            f"{_number(other['accuracy'], 2)}% on those without a copy in the training split."
            for other in claims
            if _twin(claim, other) and other["accuracy"] < claim["accuracy"]
        ]
    if any("neutral" in output.labels for output in metadata.outputs):
        lines.append("Asked for a set without neutral, it is forced to see an emotion in every face.")
    lines.append("It sees one face at a time: neither the scene, nor the voice, nor what came before.")
    yield _list(lines)


def _reproduction(metadata: Metadata) -> Iterator[str]:
    yield "## How to make and measure it again"
    yield _block(metadata.reproduce)
    run = _mapping(metadata.extra.get("run"))
    facts = []
    if _is_number(rows := run.get("training_rows")):
        facts.append(f"Pictures trained on: {rows:,}.")
    if _is_number(epoch := metadata.extra.get("epoch")):
        facts.append(f"Epoch, counted from 0: {epoch}.")
    if (digest := run.get("data_sha256")) is not None:
        facts.append(f"Fingerprint of the data: {_code(digest)}.")
    if versions := _mapping(run.get("versions")):
        facts.append(f"Trained with {', '.join(f'{_text(name)} {_text(versions[name])}' for name in versions)}.")
    if "recipe" in metadata.extra:
        facts.append("The whole recipe is in the file: `mien models info FILE --json`.")
    if facts:
        yield _list(facts)
    yield "The scores, on the same data:"
    yield _block("mien evaluate FILE --data DATA")


def _headlines(claims: Sequence[Claim]) -> list[Claim]:
    """Return for each split and labelling the first figure of one pass over all faces: the model's own labels."""
    first: dict[tuple[Any, Any], Claim] = {}
    for claim in claims:
        if not claim.get("flip") and claim.get("subset", "all") == "all":
            first.setdefault((str(claim.get("labels")), str(claim.get("split"))), claim)
    return sorted(first.values(), key=lambda claim: claim.get("split") not in TEST_SPLITS)


def _twin(claim: Claim, other: Claim) -> bool:
    """Say whether `other` is of the same as `claim`, without copies of training pictures."""
    same = all(claim.get(name) == other.get(name) for name in ("labels", "emotions", "split", "flip"))
    return same and other.get("subset") == "deduplicated"


def _recall(claim: Claim) -> dict[str, float]:
    return {str(name): value for name, value in _mapping(claim.get("recall")).items() if _is_number(value)}


def _interval(claim: Claim) -> str:
    bounds = claim.get("interval")
    if not isinstance(bounds, list | tuple) or len(bounds) != 2 or not all(map(_is_number, bounds)):
        return ""
    return " to ".join(_number(bound, 2) for bound in bounds)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any, digits: int) -> str:
    return f"{value:.{digits}f}" if _is_number(value) else ""


def _text(value: Any) -> str:
    """Return a line in which nothing is taken for Markdown or HTML."""
    return re.sub(r"([\\`*\[\]<|])", r"\\\1", one_line(str(value)))


def _code(value: Any) -> str:
    return "`" + one_line(str(value)).replace("`", "'").replace("|", "/") + "`"


def _block(command: str) -> str:
    """Return a command as a block of code, with a line for each of its parts."""
    line = one_line(command)
    try:
        parts = shlex.split(line).count("&&")
    except ValueError:  # no command, but words
        parts = 0
    if parts == line.count(" && "):  # none of them is within quotation marks
        line = line.replace(" && ", " && \\\n    ")
    return f"    {line}"


def _list(lines: Iterator[str] | Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """Return a table whose columns stand below one another in plain text too."""
    widths = [max(3, *(len(line[i]) for line in (heads, *rows))) for i in range(len(heads))]
    rule = ["-" * (width - 1) + ":" if i in right else "-" * width for i, width in enumerate(widths)]
    return "\n".join(
        "| "
        + " | ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in (heads, rule, *rows)
    )

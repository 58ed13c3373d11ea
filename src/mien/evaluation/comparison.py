"""Models side by side on the same faces, and whether they differ by more than chance."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mien.classifier import Classifier
from mien.datasets.labelled import LabelledFaces
from mien.emotions import Emotion, emotion_set, set_name
from mien.errors import DataError, UsageError
from mien.evaluation.answers import Answers, ask, in_order
from mien.evaluation.calibration import reliability
from mien.evaluation.scores import confusion_matrix, macro_f1, wilson
from mien.evaluation.truth import labellings

_TIMED_FACES = 64
_TIMED_RUNS = 5
_RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Contender:
    """The figures of one model.

    Attributes:
        model: its identity.
        output: that was asked.
        accuracy, macro_f1: in percent.
        interval: of 95% of the accuracy, as in `Score`.
        ece: expected calibration error, 0 to 1.
        recall: by emotion, in percent; emotions without a face are left out.
        milliseconds: a face, in batches of 64: the median of five.
        megabytes: of its file, in 10^6 bytes.

    """

    model: str
    output: str
    accuracy: float
    interval: tuple[float, float]
    macro_f1: float
    ece: float
    recall: Mapping[Emotion, float]
    milliseconds: float
    megabytes: float


@dataclass(frozen=True, slots=True)
class Pair:
    """A model against the first one, face by face.

    Attributes:
        model: its identity.
        difference: its accuracy less that of the first, in points.
        interval: of 95% of that, where the same faces are drawn for both (paired bootstrap; Efron, 1979).
        b: faces that only the first names rightly.
        c: faces that only this one does.
        p: of the exact test of McNemar (1947): the two-sided binomial one of b in b + c at one half.
        recall: by emotion, its recall less that of the first, in points, the largest change first.

    """

    model: str
    difference: float
    interval: tuple[float, float]
    b: int
    c: int
    p: float
    recall: Mapping[Emotion, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `compare` found.

    Attributes:
        split: of the data.
        labels: the labelling that is taken for the truth.
        emotions: that count: those which all models and the labels know.
        flip: whether each answer is averaged with that to the mirrored face.
        n: faces that count.
        left_out: faces of the split that do not.
        contenders: one a model, in the order given.
        pairs: one for each but the first.

    """

    split: str
    labels: str
    emotions: tuple[Emotion, ...]
    flip: bool
    n: int
    left_out: int
    contenders: tuple[Contender, ...]
    pairs: tuple[Pair, ...]

    def to_record(self) -> dict[str, Any]:
        """Return all of it as plain values, rounded for reading."""
        record = _rounded(asdict(self))
        return {**record, "emotions": set_name(self.emotions), "order": [str(emotion) for emotion in self.emotions]}


def compare(
    models: Sequence[tuple[Classifier, int]],
    faces: LabelledFaces,
    *,
    split: str,
    flip: bool = False,
    rater: str | None = None,
    emotions: str | None = None,
) -> Comparison:
    """Ask several models about the same faces.

    Args:
        models: two or more, each with the size of its file in bytes.
        faces: labelled.
        split: of them.
        flip: average with the answer to the mirrored face.
        rater: the output to ask. Default: the first of the first model, if the others can be held against its labels.
        emotions: the name of a set that all models know. Default: all that they and the labels have in common.

    Raises:
        DataError: the set has no such split, the models have no labelling in common, or no face counts.
        ModelError: the first model has no output `rater`.
        SourceError: a picture cannot be read.
        UsageError: there are fewer than two models, or one does not know the set.

    """
    if len(models) < 2:
        raise UsageError("two models or more are needed to compare")
    chosen = faces.split(split)
    classifiers = [classifier for classifier, _ in models]
    labels, outputs = _common(classifiers, chosen, rater)
    known = _known(classifiers, outputs)
    if emotions is not None:
        known = emotion_set(emotions, known)
    if len(known) < 2:
        raise DataError("the models have fewer than two emotions in common to tell apart")
    answers = [
        next(one for one in ask(classifier, chosen, flip=flip, emotions=known) if one.output == output)
        for classifier, output in zip(classifiers, outputs, strict=True)
    ]
    first = answers[0]
    contenders = [
        _contender(classifier, size, one, chosen, flip=flip)
        for (classifier, size), one in zip(models, answers, strict=True)
    ]
    return Comparison(
        split=split,
        labels=labels,
        emotions=first.emotions,
        flip=flip,
        n=len(first),
        left_out=len(chosen) - len(first),
        contenders=tuple(contenders),
        pairs=tuple(
            _pair(first, other, contenders[0], contender)
            for other, contender in zip(answers[1:], contenders[1:], strict=True)
        ),
    )


def mcnemar(b: int, c: int) -> float:
    """Return the two-sided p of the exact test: b in b + c draws of a fair coin, or further from the half."""
    draws, least = b + c, min(b, c)
    if b == c:
        return 1.0
    i = np.arange(1, least + 1)
    logarithms = np.concatenate([[0.0], np.cumsum(np.log((draws - i + 1) / i))]) - draws * np.log(2.0)
    return min(1.0, 2.0 * float(np.exp(logarithms).sum()))


def paired_interval(b: int, c: int, n: int) -> tuple[float, float]:
    """Return the percentile interval of 95% of (c - b) / n, in points.

    Drawing n faces with replacement and counting those that only one model names rightly is multinomial.
    """
    draws = np.random.default_rng(0).multinomial(n, [b / n, c / n, (n - b - c) / n], size=_RESAMPLES)
    low, high = np.percentile(100.0 * (draws[:, 1] - draws[:, 0]) / n, [2.5, 97.5])
    return float(low), float(high)


def _common(classifiers: Sequence[Classifier], faces: LabelledFaces, rater: str | None) -> tuple[str, list[str]]:
    """Return the labelling to hold all models against, and the output to ask of each."""
    entries = [  # of each model, the labelling of each output
        {
            classifier.metadata.outputs[index].name: labels.partition(":")[0]
            for index, labels, _ in labellings(classifier.metadata.outputs, faces)
        }
        for classifier in classifiers
    ]
    first = classifiers[0].metadata
    preferred = first.outputs[first.output(rater)].name
    candidates = sorted(entries[0], key=lambda output: output != preferred)
    if rater is not None:
        candidates = [output for output in candidates if output == preferred]
    for labels in (entries[0][output] for output in candidates):
        fitting = [[output for output, its in of_model.items() if its == labels] for of_model in entries]
        if all(fitting):
            wanted = preferred if entries[0].get(preferred) == labels else None
            return labels, [wanted if wanted in outputs else outputs[0] for outputs in fitting]
    names = ", ".join(classifier.identity for classifier in classifiers)
    raise DataError(f"{faces.root}: no labelling in it is what all of {names} answer to; try another --rater")


def _known(classifiers: Sequence[Classifier], outputs: Sequence[str]) -> tuple[Emotion, ...]:
    """Return the emotions that all models know, in the order of the first."""
    knowledge = [
        classifier.metadata.outputs[classifier.metadata.output(output)].labels
        for classifier, output in zip(classifiers, outputs, strict=True)
    ]
    return in_order([emotion for emotion in knowledge[0] if all(emotion in known for known in knowledge)])


def _contender(classifier: Classifier, size: int, answers: Answers, faces: LabelledFaces, *, flip: bool) -> Contender:
    confusion = confusion_matrix(answers.wanted, answers.named, len(answers.emotions))
    of_label = confusion.sum(axis=1)
    return Contender(
        model=classifier.identity,
        output=answers.output,
        accuracy=100.0 * float(answers.right.mean()),
        interval=wilson(int(answers.right.sum()), len(answers.right)),
        macro_f1=macro_f1(confusion),
        ece=reliability(answers.shares.max(axis=1), answers.right).error,
        recall={
            emotion: 100.0 * float(confusion[i, i] / of_label[i])
            for i, emotion in enumerate(answers.emotions)
            if of_label[i] > 0
        },
        milliseconds=_milliseconds(classifier, faces, flip=flip),
        megabytes=size / 1e6,
    )


def _milliseconds(classifier: Classifier, faces: LabelledFaces, *, flip: bool) -> float:
    few = faces.select(np.arange(min(_TIMED_FACES, len(faces))))
    pictures = few.pictures(classifier.metadata.size, grey=classifier.grey)
    times = []
    for _ in range(_TIMED_RUNS):  # the model is warm: it has just answered
        started = time.perf_counter()
        classifier(pictures, flip=flip)
        times.append(1000.0 * (time.perf_counter() - started) / len(pictures))
    return statistics.median(times)


def _pair(first: Answers, other: Answers, of_first: Contender, of_other: Contender) -> Pair:
    b = int((first.right & ~other.right).sum())
    c = int((other.right & ~first.right).sum())
    changes = {emotion: of_other.recall[emotion] - recall for emotion, recall in of_first.recall.items()}
    return Pair(
        model=of_other.model,
        difference=100.0 * (c - b) / len(first),
        interval=paired_interval(b, c, len(first)),
        b=b,
        c=c,
        p=mcnemar(b, c),
        recall=dict(sorted(changes.items(), key=lambda entry: -abs(entry[1]))),
    )


def _rounded(value: Any) -> Any:
    """Return the same values with numbers of four decimals and plain names."""
    if isinstance(value, float):
        return float(f"{value:.4g}") if abs(value) < 1e-3 else round(value, 4)
    if isinstance(value, dict):
        return {str(key): _rounded(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(entry) for entry in value]
    return value

"""Readers of what strangers wrote, each given bytes that nobody would write: they answer, or say what is wrong.

`python -m fuzzing` names them; `python -m fuzzing NAME -max_total_time=60` has Atheris look for bytes on which one
does anything else, guided by what they reach, from seeds that are read rightly. Without Atheris, bytes of the seeds
are changed at random.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mien.collect.queries import parse_queries, read_queries
from mien.datasets.fer2013 import unpack_fer2013
from mien.datasets.labelled import read_labelled_faces
from mien.emotions import Emotion
from mien.errors import MienError
from mien.models.metadata import KEY, parse_metadata
from mien.results import Face, Result
from mien.sinks import Csv, JsonLines, JsonList
from mien.timeline.reading import read_results

from conftest import COMPLETE

_FOLDER = Path(tempfile.mkdtemp(prefix="mien-fuzz-"))


@dataclass(frozen=True, slots=True)
class Target:
    """A reader.

    Attributes:
        seeds: that it reads.
        read: reads bytes; what is wrong with them is a `MienError`.

    """

    seeds: Sequence[bytes]
    read: Callable[[bytes], object]


def one(target: Target, content: bytes) -> bool:
    """Return whether a reader took `content`; whatever it raises and is no error of mien's goes on."""
    try:
        target.read(content)
    except MienError as error:
        assert str(error).strip(), "an error that says nothing"
        return False
    return True


def mutations(seeds: Sequence[bytes], dice: random.Random) -> Iterator[bytes]:
    """Yield, without end, `seeds` with some bytes changed, taken out, doubled, or with others between them."""
    words = [b"", b"\0", b"\xff", b"\xff\xfe", b'"', b"'", b",", b"\n", b"\r", b"{", b"[", b"]]", b"null", b"NaN"]
    words += [
        b"1e999",
        b"-1",
        b"9" * 400,
        b"\xed\xa0\x80",
        b"\\ud800",
        b"[" * 2000,
        b"=",
        b"true",
        b"0x10",
        b"\xef\xbb\xbf",
    ]
    while True:
        content = bytearray(dice.choice(seeds))
        for _ in range(dice.randint(1, 4)):
            begin = dice.randrange(len(content) + 1)
            end = min(len(content), begin + dice.choice((0, 1, 1, 2, 5, 20)))
            other = dice.choice(seeds)
            piece = other[dice.randrange(len(other)) :][: dice.randrange(40)]
            content[begin:end] = dice.choice(
                (dice.choice(words), dice.randbytes(2), bytes(content[begin:end]) * 2, piece)
            )
        yield bytes(content)


def _results() -> list[Result]:
    scores = dict(zip(Emotion, (0.05, 0.0, 0.05, 0.1, 0.5, 0.1, 0.1, 0.1), strict=True))
    face = Face((1.5, 2.0, 30.25, 40.0), 0.98, scores, track=1, smoothed=scores)
    return [
        Result("clip.mp4", 0, 0.0, 640, 360, "embedded@1f3a9c0b27de", (face, face)),
        Result("clip.mp4", 1, 0.04, 640, 360, "embedded@1f3a9c0b27de"),
        Result("bad \n.jpg", 0, None, None, None, "embedded@1f3a9c0b27de", error="bad: it is empty"),
    ]


def _written(form: Csv | JsonLines | JsonList) -> bytes:
    return (form.head() + "".join(map(form.text, _results())) + form.tail()).encode()


def _reads(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """Return what writes bytes to a file and has `read` read it."""
    path = _FOLDER / name

    def read_bytes(content: bytes) -> object:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return read(path)

    return read_bytes


def _all_results(path: Path) -> None:
    for result in read_results(path):
        record = json.loads(json.dumps(result.to_record(), allow_nan=False))
        assert Result.from_record(record).to_record() == record


def _unpacked(path: Path) -> None:
    unpack_fer2013(path, _FOLDER / "unpacked", overwrite=True, skip_bad=True)


def _metadata(content: bytes) -> None:
    metadata = parse_metadata({KEY: content.decode(errors="surrogateescape")}, file="test")
    assert parse_metadata({KEY: metadata.to_json()}, file="test") == metadata


_PIXELS = " ".join(str(i % 256) for i in range(48 * 48))
_QUERIES = """
limit = 20

[[query]]
label = "angry"
words = ["angry", "furious"]
phrases = ["{word} human face", "{word} face"]

[[query]]
label = "happy"
words = ["happy"]
synonym_limit = 3
"""

TARGETS = {
    "metadata": Target([json.dumps(COMPLETE).encode()], _metadata),
    "records-jsonl": Target([_written(JsonLines())], _reads("records.jsonl", _all_results)),
    "records-json": Target([_written(JsonList())], _reads("records.json", _all_results)),
    "records-csv": Target([_written(Csv(tuple(Emotion)))], _reads("records.csv", _all_results)),
    "queries": Target([_QUERIES.encode()], _reads("queries.toml", lambda path: read_queries(str(path)))),
    "fer2013-csv": Target(
        [f"emotion,pixels,Usage\n3,{_PIXELS},Training\n0,{_PIXELS},PublicTest\n".encode()],
        _reads("fer2013.csv", _unpacked),
    ),
    "labels-csv": Target(
        [b"file_name,label,split,group\na.png,happy,train,1\nb.png,sad,test,2\n"],
        _reads("labelled/metadata.csv", lambda path: read_labelled_faces(path.parent)),
    ),
}
assert parse_queries(_QUERIES, "seed")


def main(arguments: Sequence[str]) -> None:
    """Name the readers, or search for what one of them does not bear."""
    if not arguments:
        print("\n".join(TARGETS))
        return
    target = TARGETS[arguments[0]]
    if find_spec("atheris") is None:
        _search(target, arguments)
        return
    import atheris

    atheris.instrument_all()
    corpus = _FOLDER / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)

    def test_one(content: bytes) -> None:
        one(target, content)

    atheris.Setup([sys.argv[0], *arguments[1:], str(corpus)], test_one)
    atheris.Fuzz()


def _search(target: Target, arguments: Sequence[str]) -> None:
    seconds = next((float(a.partition("=")[2]) for a in arguments if a.startswith("-max_total_time=")), 60.0)
    end = time.monotonic() + seconds
    for number, content in enumerate(mutations(target.seeds, random.Random())):
        try:
            one(target, content)
        except BaseException:
            Path("crash.bin").write_bytes(content)
            print(f"{arguments[0]}: not borne: {content!r}, written to crash.bin")
            raise
        if time.monotonic() > end:
            print(f"{arguments[0]}: {number + 1} borne")
            return


if __name__ == "__main__":
    main(sys.argv[1:])

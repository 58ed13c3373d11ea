"""Labelled pictures → a clean data set: what is left out and why, killed and resumed, and a person's decisions."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mien.collect.candidates import Candidate
from mien.collect.cleaning import Cleaned, clean_pictures
from mien.collect.collection import Collected
from mien.collect.decisions import read_decisions
from mien.collect.findings import Finding, Seen
from mien.collect.heldout import HeldOut
from mien.collect.likeness import FACE_SIDE, framed, same_faces, view
from mien.collect.suspects import find_suspects
from mien.collect.verdicts import Requirements, judge
from mien.datasets.labelled import read_labelled_faces
from mien.datasets.staging import staged_folder
from mien.detectors import Mtcnn
from mien.emotions import Emotion
from mien.errors import DataError, SourceError, UsageError
from mien.results import Detection
from mien.sources import read_picture

from conftest import EXAMPLES, real_faces

FOUND = {"happy": (4, 5, 19, 30, 32, 39), "sad": (2, 12, 23, 27, 35, 41)}
"""Rows of FER2013's public test in which MTCNN finds the face, by what they are called."""


def backdrop(seed: int, size: tuple[int, int] = (640, 480)) -> Image.Image:
    """Return a picture like no other, without faces."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def pasted(face: np.ndarray, seed: int, side: int = 220) -> Image.Image:
    """Return a picture of 640x480 with a face of FER2013 in it."""
    picture = backdrop(seed)
    large = Image.fromarray(face).resize((side, side), Image.Resampling.BICUBIC)
    picture.paste(large.convert("RGB"), (60 + 11 * (seed % 20), 40 + 7 * (seed % 20)))
    return picture


def put(path: Path, picture: Image.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=92)
    return path


@pytest.fixture(scope="session")
def people(shared) -> dict[str, list[Image.Image]]:
    """Return pictures with one face each, by what it is called."""
    faces = real_faces(shared, "public_test")
    return {label: [pasted(faces[row], row) for row in rows] for label, rows in FOUND.items()}


@pytest.fixture
def folder(people, tmp_path) -> Path:
    """Return a folder for each class, with six good pictures each."""
    for label, pictures in people.items():
        for i, picture in enumerate(pictures):
            put(tmp_path / "web" / label / f"{i}.jpg", picture)
    return tmp_path / "web"


@pytest.fixture
def collection(people, tmp_path) -> Path:
    """Return the same as `mien collect` leaves it."""
    lines = []
    for label, pictures in people.items():
        for i, picture in enumerate(pictures):
            lines.append(collected(tmp_path / "web", picture, label, page=f"https://example.org/{label}/{i // 2}"))
    (tmp_path / "web" / "provenance.jsonl").write_text("".join(f"{line.to_json()}\n" for line in lines))
    return tmp_path / "web"


def collected(root: Path, picture: Image.Image, label: str, *, page: str) -> Collected:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=92)
    sha256 = hashlib.sha256(content.getvalue()).hexdigest()
    file = f"pictures/{sha256[:2]}/{sha256}.jpg"
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_bytes(content.getvalue())
    return Collected(
        file=file,
        sha256=sha256,
        size=len(content.getvalue()),
        width=picture.width,
        height=picture.height,
        label=label,
        query=f"{label} human face",
        provider="openverse",
        url=f"https://example.org/{sha256[:8]}.jpg",
        page=page,
        title="A face,\nin two lines",
        licence="CC BY 2.0" if label == "happy" else "",
        licence_url="",
        author="Somebody",
        time="2026-01-01T00:00:00Z",
    )


def rejected(out: Path) -> list[dict[str, str]]:
    with (out / "rejected.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_what_is_left_out_and_why(run, folder, people, astronaut, tmp_path):
    put(folder / "happy" / "nobody.jpg", backdrop(1))
    with Image.open(EXAMPLES / "three_people.jpg") as three, Image.open(astronaut) as one:
        put(folder / "happy" / "three.jpg", three)
        put(folder / "happy" / "blurred.jpg", one.convert("RGB").filter(ImageFilter.GaussianBlur(4)))
        tiny = backdrop(2, (320, 240))
        tiny.paste(one.convert("RGB").resize((180, 180)), (60, 30))
        put(folder / "sad" / "small.jpg", tiny)
    (folder / "sad" / "broken.jpg").write_bytes(b"\xff\xd8\xff rubbish")
    (folder / "happy" / "again.jpg").write_bytes((folder / "happy" / "0.jpg").read_bytes())
    put(folder / "sad" / "1 smaller.jpg", people["sad"][1].resize((448, 336)))
    put(folder / "sad" / "called happy.jpg", people["happy"][2].resize((512, 384)))
    (folder / "sad" / "called sad.jpg").write_bytes((folder / "happy" / "3.jpg").read_bytes())
    put(tmp_path / "test" / "any" / "tested.png", people["sad"][5].resize((576, 432)))
    before = tree(folder)

    done = run("clean", folder, "--out", tmp_path / "faces", "--against", tmp_path / "test")
    assert done.status == 0
    assert {(row["file"], row["reason"]) for row in rejected(tmp_path / "faces")} == {
        ("happy/nobody.jpg", "no-face"),
        ("happy/three.jpg", "several-faces"),
        ("happy/blurred.jpg", "blurred"),
        ("happy/again.jpg", "duplicate"),
        ("happy/2.jpg", "ambiguous"),
        ("happy/3.jpg", "ambiguous"),
        ("sad/called happy.jpg", "ambiguous"),
        ("sad/called sad.jpg", "ambiguous"),
        ("sad/small.jpg", "small"),
        ("sad/broken.jpg", "unreadable"),
        ("sad/1 smaller.jpg", "duplicate"),
        ("sad/5.jpg", "held-out"),
    }
    for row in rejected(tmp_path / "faces"):
        assert (tmp_path / "faces" / row["copy"]).read_bytes() == before[row["file"]], row
        assert row["copy"].startswith(f"rejected/{row['reason']}/{row['label']}/")
    assert {name: content for name, content in tree(folder).items() if name != ".cleaning.jsonl"} == before

    faces = read_labelled_faces(tmp_path / "faces")
    assert Counter(faces.labels.tolist()) == {"happy": 4, "sad": 5}
    keys = [(sha, int(face)) for sha, face in zip(faces.columns["picture"], faces.columns["face"], strict=True)]
    assert keys == sorted(keys)
    assert set(faces.columns["file"]) == {f"happy/{i}.jpg" for i in (0, 1, 4, 5)} | {f"sad/{i}.jpg" for i in range(5)}
    with Image.open(tmp_path / "faces" / faces.file_names[0]) as picture:
        assert (picture.size, picture.mode, picture.format) == ((112, 112), "L", "PNG")
    sheets = {path.name for path in (tmp_path / "faces" / "sheets").iterdir()}
    assert {"label-happy.jpg", "label-sad.jpg", "rejected-ambiguous.jpg", "rejected-unreadable.jpg"} <= sheets
    assert len(sheets) == 2 + 8

    lines = done.err.splitlines()
    assert lines[0].split() == [
        *("label", "pictures", "faces", "unreadable", "no-face", "several-faces", "small", "blurred", "held-out"),
        *("ambiguous", "duplicate"),
    ]
    assert lines[1].split() == ["happy", "10", "4", "0", "1", "1", "0", "1", "0", "2", "1"]
    assert lines[3].split()[:3] == ["together", "21", "9"]


def test_a_collection_keeps_its_provenance(run, collection, tmp_path):
    done = run("clean", collection, "--out", tmp_path / "faces")
    assert done.status == 0
    faces = read_labelled_faces(tmp_path / "faces")
    assert len(faces) == 12
    lines = {
        line["sha256"]: line for line in map(json.loads, (collection / "provenance.jsonl").read_text().splitlines())
    }
    for i, sha256 in enumerate(faces.columns["picture"].tolist()):
        line = lines[sha256]
        for name in ("page", "url", "licence", "author", "provider", "query"):
            assert faces.columns[name][i] == line[name]
        assert faces.columns["title"][i] == "A face, in two lines"
    assert "time" not in faces.columns
    # two pictures a page
    assert len(set(faces.origins.tolist())) == 6
    assert all(len(set(faces.origins[faces.columns["page"] == page])) == 1 for page in faces.columns["page"])
    assert (faces.similar == np.array(faces.file_names)).all()
    assert faces.description == (
        "Faces in pictures that were collected from the web (openverse 12), labelled by the words that found them",
        "CC BY 2.0: 6 pictures",
        "licence not known: 6 pictures",
        "Author, page and licence of each picture stand in metadata.csv; keep them with the data",
    )


def test_a_collection_that_was_changed_or_is_of_other_things(collection, people, tmp_path):
    first = json.loads((collection / "provenance.jsonl").read_text().splitlines()[0])
    put(collection / first["file"], people["sad"][0].resize((600, 450)))
    clean_pictures(collection, tmp_path / "faces")
    (row,) = rejected(tmp_path / "faces")
    assert (row["file"], row["reason"], row["detail"]) == (
        first["file"],
        "unreadable",
        "it was changed since it was collected",
    )
    text = (collection / "provenance.jsonl").read_text()
    (collection / "provenance.jsonl").write_text(text.replace('"label": "sad"', '"label": "tench"'))
    with pytest.raises(DataError, match=r"no emotion is called tench; .*train on .*pictures"):
        clean_pictures(collection, tmp_path / "other")


@pytest.mark.slow
def test_a_training_splits_by_page(collection, tmp_path):
    pytest.importorskip("torch", reason="needs the extra train")
    from mien.training.recipe import read_recipe
    from mien.training.transfer import parted

    clean_pictures(collection, tmp_path / "faces")
    faces = read_labelled_faces(tmp_path / "faces")
    pages = faces.columns["page"]
    number = np.unique(pages, return_inverse=True)[1]  # six, of two faces each: two for each of three labels
    faces = replace(faces, labels=np.array(["angry", "happy", "sad"])[number // 2])
    recipe = read_recipe("web-five", ['emotions="three"', "split=[0.5, 0.5]"])
    train, validation, _ = parted(faces, recipe)
    assert (len(train), len(validation)) == (6, 6)
    assert not set(pages[train]) & set(pages[validation])


@pytest.mark.parametrize(
    ("options", "size", "mode"),
    [
        (["--for", "vggface2-three"], 160, "RGB"),
        (["--size", "64", "--colour"], 64, "RGB"),
        (["--for", "vggface2-three", "--grey"], 160, "L"),
    ],
)
def test_as_a_recipe_takes_them(run, folder, tmp_path, options, size, mode):
    assert run("clean", folder, "--out", tmp_path / "faces", "--quiet", *options).status == 0
    for name in read_labelled_faces(tmp_path / "faces").file_names:
        with Image.open(tmp_path / "faces" / name) as picture:
            assert (picture.size, picture.mode) == ((size, size), mode)


def test_every_face_of_a_group(folder, tmp_path):
    with Image.open(EXAMPLES / "three_people.jpg") as three:
        put(folder / "happy" / "three.png", three)
    done = clean_pictures(folder, tmp_path / "faces", limits=Requirements(faces="all", min_face=30, min_sharpness=10))
    assert done.kept == {"happy": 9, "sad": 6}
    faces = read_labelled_faces(tmp_path / "faces")
    group = faces.columns["file"] == "happy/three.png"
    assert faces.columns["face"][group].tolist() == ["1", "2", "3"]
    left = [float(box.split()[0]) for box in faces.columns["box"][group]]
    assert left == sorted(left)
    assert len(set(faces.origins[group])) == 1
    assert len(set(faces.similar[group])) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
def test_names_that_are_no_text(folder, tmp_path):
    strange = os.fsencode(folder / "sad") + b"/\xff \xe4.jpg"
    os.rename(folder / "sad" / "0.jpg", strange)
    put(folder / "sad" / "nobody.jpg", backdrop(3))
    os.rename(folder / "sad" / "nobody.jpg", strange + b".jpg")
    assert clean_pictures(folder, tmp_path / "faces").kept == {"happy": 6, "sad": 6}
    assert "sad/\ufffd \ufffd.jpg" in read_labelled_faces(tmp_path / "faces").columns["file"]
    assert rejected(tmp_path / "faces")[0]["copy"] == "rejected/no-face/sad/\ufffd \ufffd.jpg.jpg"


def test_pictures_that_are_faces_already(shared, tmp_path):
    faces = real_faces(shared, "public_test")
    for i in range(4):
        put(tmp_path / "own" / "train" / "joy" / f"{i}.png", Image.fromarray(faces[i]))
        put(tmp_path / "own" / "test" / "sad" / f"{i}.png", Image.fromarray(faces[10 + i]))
    done = clean_pictures(tmp_path / "own", tmp_path / "faces", detector="none")
    assert done.kept == {"happy": 4, "sad": 4}
    read = read_labelled_faces(tmp_path / "faces")
    assert Counter(zip(read.splits.tolist(), read.labels.tolist(), strict=True)) == {
        ("train", "happy"): 4,
        ("test", "sad"): 4,
    }


@pytest.mark.slow
def test_nothing_that_is_tested_on(shared, folder, people, tmp_path):
    """A set of faces, framed in its own way; its originals; and a data set made of the same pictures."""
    faces = real_faces(shared, "public_test")
    for row in (*FOUND["happy"], *range(100, 120)):
        put(tmp_path / "fer" / "happy" / f"{row}.png", Image.fromarray(faces[row]))
    from mien.datasets.importing import import_faces

    import_faces(tmp_path / "fer", tmp_path / "test", split="test")
    clean_pictures(folder, tmp_path / "faces", against=[tmp_path / "test"])
    out = rejected(tmp_path / "faces")
    assert len(out) >= 5  # nine in ten are known again, however they are framed
    for row in out:
        number = FOUND["happy"][int(row["file"].removeprefix("happy/").removesuffix(".jpg"))]
        assert row["reason"] == "held-out" and row["detail"].endswith(f"/test/test/happy/{number}.png")

    half = tmp_path / "half"
    for label in ("happy", "sad"):
        for i in (1, 2, 3):
            put(half / label / f"other name {i}.png", people[label][i].resize((400, 300)))
    clean_pictures(half, tmp_path / "held out")
    done = clean_pictures(folder, tmp_path / "others", against=[tmp_path / "held out", EXAMPLES])
    out = {row["file"] for row in rejected(tmp_path / "others")}
    assert out <= {f"{label}/{i}.jpg" for label in ("happy", "sad") for i in (1, 2, 3)}
    assert len(out) >= 5 and sum(done.kept.values()) == 12 - len(out)
    with pytest.raises(SourceError, match="there is no such folder to hold pictures out by"):
        clean_pictures(folder, tmp_path / "more", against=[tmp_path / "nowhere"])


def test_one_photograph_in_two_pictures(people):
    detector = Mtcnn(threads=1)

    def views(pictures):
        frames = [read_picture(picture) for picture in pictures]
        found = [(i, faces[0]) for i, faces in enumerate(detector(frames)) if faces]
        return [i for i, _ in found], np.stack([view(frames[i].pixels, face) for i, face in found])

    pictures = [*people["happy"], *people["sad"]]
    _, first = views(pictures)
    assert list(same_faces(first, framed(first), later=True)) == []
    rows, again = views([one.point(lambda level: 0.9 * level + 10).resize((500, 375)) for one in pictures])
    known = [(i, rows[j]) for i, j in same_faces(first, framed(again))]
    assert all(i == row for i, row in known) and len(known) >= 10
    blank = np.full((1, FACE_SIDE, FACE_SIDE), 90, np.uint8)
    assert list(same_faces(first, blank)) == []


@pytest.fixture
def plain(tmp_path) -> Path:
    """Return a folder for each class of pictures that are taken for faces as they are, which is fast."""
    for i in range(8):
        put(tmp_path / "web" / ("happy", "sad")[i % 2] / f"{i}.png", backdrop(i, (64, 64)))
    return tmp_path / "web"


def clean_plain(folder: Path, out: Path, **options: Any) -> Cleaned:
    return clean_pictures(folder, out, detector="none", limits=Requirements(min_sharpness=0), **options)


def test_ended_and_started_again(plain, tmp_path):
    """Where a run was ended the next one goes on, and makes the same."""
    shutil.copytree(plain, tmp_path / "copy" / "web")
    assert clean_plain(tmp_path / "copy" / "web", tmp_path / "wanted").kept == {"happy": 4, "sad": 4}

    def end(what: str, done: int, of: int) -> None:
        if (what, done) == ("faces", 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clean_plain(plain, tmp_path / "faces", progress=end)
    assert not (tmp_path / "faces").exists()
    found = (plain / ".cleaning.jsonl").read_bytes()
    assert found.count(b"\n") == 3
    (plain / ".cleaning.jsonl").write_bytes(found + b'{"picture": "cut sho')
    clean_plain(plain, tmp_path / "faces")
    lines = (plain / ".cleaning.jsonl").read_bytes()
    assert lines.startswith(found)
    assert len({json.loads(line)["picture"] for line in lines.splitlines()}) == lines.count(b"\n") == 8
    assert tree(tmp_path / "faces") == tree(tmp_path / "wanted")


def test_what_is_kept_of_findings_may_be_damaged(plain, tmp_path):
    clean_plain(plain, tmp_path / "wanted")
    kept = plain / ".cleaning.jsonl"
    good = [json.loads(line) for line in kept.read_text().splitlines()]

    def line(i: int, picture: object = None, **face: object) -> str:
        faces = [{**good[i]["faces"][0], **face}]
        return json.dumps({**good[i], "picture": good[i]["picture"] if picture is None else picture, "faces": faces})

    large = int("9" * 400)
    damaged = [line(0, []), line(1, box=[large, 0, 0, 0]), line(2, box=[float("inf"), 0, 9, 9]), line(3, score=large)]
    kept.write_text("".join(f"{one}\n" for one in [*damaged, line(4, box=["a"]), "7", "[]", "\x00"]))
    clean_plain(plain, tmp_path / "faces")
    assert tree(tmp_path / "faces") == tree(tmp_path / "wanted")


def test_folders_that_links_lead_to_are_held_out_too(plain, tmp_path):
    (tmp_path / "elsewhere" / "deeper").mkdir(parents=True)
    shutil.copy(plain / "happy" / "0.png", tmp_path / "elsewhere" / "deeper")
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "test")
    shutil.copy(plain / "sad" / "1.png", tmp_path / "test")
    clean_plain(plain, tmp_path / "faces", against=[tmp_path / "test"])
    assert [(row["file"], row["reason"]) for row in rejected(tmp_path / "faces")] == [
        ("happy/0.png", "held-out"),
        ("sad/1.png", "held-out"),
    ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no picture is in this folder to hold out"):
        clean_plain(plain, tmp_path / "faces", against=[tmp_path / "empty"], overwrite=True)


def test_a_copy_of_what_is_held_out_is_not_kept_for_being_a_worse_one():
    """It is one photograph with a face that is known again, though it is not by itself."""
    random = np.random.default_rng(1)

    def noisy(one: np.ndarray, much: float) -> np.ndarray:
        rough = Image.fromarray(random.normal(0, much, (20, 20)).astype(np.float32)).resize((80, 80))
        return np.clip(one + np.asarray(rough), 0, 255).astype(np.uint8)

    tested = np.asarray(backdrop(1, (80, 80)).convert("L"))
    near = noisy(tested, 15)
    far = noisy(near, 15)
    other = np.asarray(backdrop(2, (80, 80)).convert("L"))
    held_out = HeldOut({}, ["tested.png"], framed(tested[None]), 0)
    assert [i for i, _ in same_faces(np.stack([near, far]), held_out.faces)] == [0]
    assert list(same_faces(np.stack([near, far]), framed(np.stack([near, far])), later=True)) == [(0, 1)]
    detection = Detection(box=(0.0, 0.0, 100.0, 100.0), score=1.0)
    pictures = [
        (Candidate(Path(name), name, Emotion.HAPPY), Finding(name, (Seen(detection, 99.0, one),)))
        for name, one in (("near", near), ("far", far), ("other", other))
    ]
    verdicts = judge(pictures, limits=Requirements(), held_out=held_out, decisions={})
    assert [one.sha256 for one in verdicts.kept] == ["other"]
    assert [(one.candidate.file, one.reason, one.detail) for one in verdicts.rejected] == [
        ("far", "held-out", "the same as tested.png"),
        ("near", "held-out", "the same as tested.png"),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes, devices")
def test_names_that_are_long_or_no_text_end_nothing(plain, tmp_path):
    (tmp_path / "both").mkdir()
    plain.rename(tmp_path / "both" / "train")
    shutil.copytree(tmp_path / "both" / "train", tmp_path / "both" / "test")
    folder = os.fsencode(tmp_path / "both" / "train" / "happy")
    names = [b"\xff.jpg", b"\xfe.jpg", b"\xfc" * 100 + b".jpg", b"n" * 251 + b".jpg"]
    for name in names:
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(b"\xff\xd8\xff" + name)
    (tmp_path / "both" / "test" / "happy" / ("n" * 251 + ".jpg")).write_bytes(b"\xff\xd8\xff")
    clean_plain(tmp_path / "both", tmp_path / "faces")
    copies = [
        tmp_path / "faces" / row["copy"] for row in rejected(tmp_path / "faces") if row["reason"] == "unreadable"
    ]
    assert sorted(path.read_bytes()[3:] for path in copies) == sorted([*names, b""])


def test_a_killed_run_loses_no_decision(plain, tmp_path):
    """As staging leaves it between its two renames: the decisions are in the set that was put aside."""
    out = tmp_path / "faces"
    clean_plain(plain, out)
    picture = read_labelled_faces(out).columns["picture"][0]
    decided = {"mien": "decisions", "decisions": [{"picture": picture, "face": 1, "decision": "drop"}]}
    (out / "decisions.json").write_text(json.dumps(decided))
    scratch = tmp_path / "faces.partial-dead"
    scratch.mkdir()
    (scratch / ".claimed").touch()
    out.rename(scratch / "old")
    assert clean_plain(plain, out, overwrite=True).decided == 1
    assert read_decisions(out / "decisions.json") == {(picture, 1): False}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces", "web"]


def test_halves_of_letters_in_a_collection(tmp_path):
    lines = [
        replace(collected(tmp_path / "web", backdrop(i, (64, 64)), ("happy", "sad")[i % 2], page=""), title=title)
        for i, title in enumerate(["half \ud800", "\0", "", ""])
    ]
    lines[3] = replace(lines[3], file="pictures/\ud800.jpg", provider="\udfff")
    text = "".join(f"{json.dumps(asdict(line))}\n" for line in lines)
    (tmp_path / "web" / "provenance.jsonl").write_text(text)
    done = clean_plain(tmp_path / "web", tmp_path / "faces", suspect=True)
    assert sum(done.kept.values()) == 3
    assert "half \ufffd" in read_labelled_faces(tmp_path / "faces").columns["title"]
    assert [row["file"] for row in rejected(tmp_path / "faces")] == ["pictures/\ufffd.jpg"]


def start(*arguments: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "mien", *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


@pytest.mark.slow
def test_killed_and_started_again(run, shared, tmp_path):
    faces = real_faces(shared, "train")
    for i in range(24):
        put(tmp_path / "web" / ("happy", "sad")[i % 2] / f"{i}.jpg", pasted(faces[i], i))
    undisturbed = tmp_path / "copy" / "web"
    for name, content in tree(tmp_path / "web").items():
        (undisturbed / name).parent.mkdir(parents=True, exist_ok=True)
        (undisturbed / name).write_bytes(content)
    assert run("clean", undisturbed, "--out", tmp_path / "wanted").status == 0

    kept = tmp_path / "web" / ".cleaning.jsonl"
    for enough in (5, 12):
        process = start("clean", tmp_path / "web", "--out", tmp_path / "faces")
        deadline = time.monotonic() + 60
        while not kept.exists() or kept.read_bytes().count(b"\n") < enough:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "faces").exists()
        found = kept.read_bytes()
        kept.write_bytes(found + b'{"picture": "cut sho')
    done = run("clean", tmp_path / "web", "--out", tmp_path / "faces")
    assert done.status == 0
    assert kept.read_bytes().startswith(found[: found.rindex(b"\n") + 1])
    pictures = [json.loads(line)["picture"] for line in kept.read_text().splitlines()]
    assert len(pictures) == len(set(pictures)) == 24
    assert tree(tmp_path / "faces") == tree(tmp_path / "wanted")


@pytest.mark.slow
def test_killed_while_it_writes(run, folder, tmp_path):
    """Nothing half-written stands under the name, an earlier set is kept, and nothing is left lying about."""
    assert run("clean", folder, "--out", tmp_path / "faces", "--size", "48").status == 0
    before = tree(tmp_path / "faces")
    process = start("clean", folder, "--out", tmp_path / "faces", "--size", "512", "--colour", "--overwrite")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("faces.partial-*/new/train/*/*.png")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert tree(tmp_path / "faces") == before
    assert run("clean", folder, "--out", tmp_path / "faces", "--size", "48", "--overwrite").status == 0
    assert tree(tmp_path / "faces") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces", "web"]


def test_two_at_once_leave_each_other_alone(tmp_path):
    with staged_folder(tmp_path / "out") as first:
        (first / "a").write_text("first")
        with staged_folder(tmp_path / "out") as second:
            (second / "a").write_text("second")
        assert (first / "a").read_text() == "first"
    assert (tmp_path / "out" / "a").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_was_found_is_found_for_other_limits_too(folder, tmp_path):
    clean_pictures(folder, tmp_path / "one")
    before = (folder / ".cleaning.jsonl").read_bytes()
    done = clean_pictures(folder, tmp_path / "two", limits=Requirements(min_face=170))
    assert (folder / ".cleaning.jsonl").read_bytes() == before
    assert any(reason == "small" for _, reason in done.rejected)


def test_errors_are_one_line(run, folder, tmp_path):
    for arguments, words in (
        (["--min-face", "5000"], "no face is left (small 12); see --faces"),
        (["--for", "gray-imagenet"], "--for gray-imagenet: it does not take faces"),
        (["--for", "nothing"], "there is no recipe 'nothing'"),
        (
            ["--decisions", tmp_path / "none.json"],
            "none.json: there is no such file; the page suspects.html saves it",
        ),
        (["--suspect", "--model", tmp_path / "none.onnx"], "none.onnx"),
    ):
        done = run("clean", folder, "--out", tmp_path / "faces", *arguments)
        assert done.status in (1, 2) and len(done.err.splitlines()) == 1 and words in done.err
        assert not (tmp_path / "faces").exists()
    with pytest.raises(UsageError, match="lie in each other"):
        clean_pictures(folder, folder / "faces")
    with pytest.raises(DataError, match="there is no such folder"):
        clean_pictures(tmp_path / "nowhere", tmp_path / "faces")
    clean_pictures(folder, tmp_path / "faces")
    with pytest.raises(UsageError, match="exists already"):
        clean_pictures(folder, tmp_path / "faces")
    (tmp_path / "mine").mkdir()
    with pytest.raises(UsageError, match="not a data set that mien made"):
        clean_pictures(folder, tmp_path / "mine", overwrite=True)


def test_the_help_names_its_files_at_80_columns(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    done = run("clean", "--help")
    assert "suspects.html" in done.out and "decisions.json" in done.out and "…" not in done.out


def test_decisions_are_obeyed(folder, people, tmp_path):
    put(folder / "happy" / "1 smaller.jpg", people["happy"][1].resize((448, 336)))
    clean_pictures(folder, tmp_path / "faces")
    faces = read_labelled_faces(tmp_path / "faces")
    sha256 = dict(zip(faces.columns["file"].tolist(), faces.columns["picture"].tolist(), strict=True))
    made = [
        {"picture": sha256["happy/0.jpg"], "face": 1, "decision": "move", "label": "surprised"},
        {"picture": sha256["happy/1.jpg"], "face": 1, "decision": "drop"},
        {"picture": sha256["sad/2.jpg"], "face": 1, "decision": "keep"},
        {"picture": "0" * 64, "face": 1, "decision": "drop"},
    ]
    given = tmp_path / "decisions.json"
    given.write_text(json.dumps({"mien": "decisions", "decisions": made}))
    done = clean_pictures(folder, tmp_path / "faces", decisions=given, overwrite=True)
    assert (done.decided, done.idle) == (3, 1)
    faces = read_labelled_faces(tmp_path / "faces")
    labels = dict(zip(faces.columns["file"].tolist(), faces.labels.tolist(), strict=True))
    assert labels["happy/0.jpg"] == "surprised"
    # what looks like a face that was dropped does not take its place
    assert {(row["file"], row["reason"]) for row in rejected(tmp_path / "faces")} == {
        ("happy/1.jpg", "dropped"),
        ("happy/1 smaller.jpg", "dropped"),
    }
    assert read_decisions(tmp_path / "faces" / "decisions.json") == read_decisions(given)
    # found in the data set by itself, and overruled by what is given
    once = tree(tmp_path / "faces")
    clean_pictures(folder, tmp_path / "faces", overwrite=True)
    assert tree(tmp_path / "faces") == once
    made[1]["decision"] = "keep"
    given.write_text(json.dumps({"mien": "decisions", "decisions": made[1:2]}))
    clean_pictures(folder, tmp_path / "faces", decisions=given, overwrite=True)
    labels = dict(zip(*(read_labelled_faces(tmp_path / "faces").columns["file"],) * 2, strict=True))
    assert "happy/1.jpg" in labels


def test_a_moved_face_stays_with_its_copies(folder, people, tmp_path):
    put(folder / "happy" / "1 smaller.jpg", people["happy"][1].resize((448, 336)))
    clean_pictures(folder, tmp_path / "faces")
    faces = read_labelled_faces(tmp_path / "faces")
    row = faces.columns["file"].tolist().index("happy/1.jpg")
    decided = [{"picture": faces.columns["picture"][row], "face": 1, "decision": "move", "label": "angry"}]
    (tmp_path / "faces" / "decisions.json").write_text(json.dumps({"mien": "decisions", "decisions": decided}))
    clean_pictures(folder, tmp_path / "faces", overwrite=True)
    faces = read_labelled_faces(tmp_path / "faces")
    assert faces.labels[faces.columns["file"] == "happy/1.jpg"].tolist() == ["angry"]
    assert [(row["file"], row["reason"]) for row in rejected(tmp_path / "faces")] == [
        ("happy/1 smaller.jpg", "duplicate")
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "it is not JSON"),
        ("[]", "it holds no decisions"),
        ('{"mien": "decisions", "decisions": [{"picture": "a", "face": 1}]}', "decision 1: it is keep, drop or move"),
        (
            '{"mien": "decisions", "decisions": [{"picture": "a", "face": 1, "decision": "move", "label": "odd"}]}',
            "decision 1: no emotion is called odd",
        ),
        ('{"mien": "decisions", "decisions": [{"face": 1, "decision": "keep"}]}', "it names no picture and face"),
        (
            '{"mien": "decisions", "decisions": [{"picture": "\\ud800", "face": 1, "decision": "keep"}]}',
            "it names no picture and face",
        ),
    ],
)
def test_broken_decisions(tmp_path, text, reason):
    (tmp_path / "decisions.json").write_text(text)
    with pytest.raises(DataError, match=reason):
        read_decisions(tmp_path / "decisions.json")


def test_labels_in_doubt_are_those_that_a_model_contradicts():
    known = (Emotion.ANGRY, Emotion.HAPPY, Emotion.NEUTRAL, Emotion.SAD)
    labels = [Emotion.HAPPY] * 4 + [Emotion.SAD] * 4 + [Emotion.SURPRISED]
    scores = np.array(
        [
            *([0.0, 0.9, 0.0, 0.1], [0.1, 0.8, 0.0, 0.1], [0.0, 0.3, 0.5, 0.2], [0.0, 0.1, 0.0, 0.9]),
            *([0.0, 0.1, 0.0, 0.9], [0.0, 0.3, 0.0, 0.7], [0.0, 0.2, 0.6, 0.2], [0.1, 0.7, 0.0, 0.2]),
            [0.0, 0.5, 0.0, 0.5],
        ],
        np.float32,
    )
    found = find_suspects(labels, scores, known)
    assert [(one.index, one.other) for one in found] == [(3, Emotion.SAD), (7, Emotion.HAPPY)]
    assert found[0].margin == pytest.approx(-0.8)
    with pytest.raises(UsageError, match=r"doubts take two at least: .* leave out --suspect"):
        find_suspects([Emotion.HAPPY] * 9, scores, known)


@pytest.mark.slow
def test_a_thousand_pictures_in_a_minute_on_two_cores(shared, tmp_path):
    """A fifth of them here, in processor time, which does not depend on what else runs."""
    faces = real_faces(shared, "train")
    for i in range(200):
        put(tmp_path / "web" / ("happy", "sad")[i % 2] / f"{i}.jpg", pasted(faces[i], i))
    before = time.process_time()
    clean_pictures(tmp_path / "web", tmp_path / "faces")
    assert time.process_time() - before < 2 * 60 / 5

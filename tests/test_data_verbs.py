"""Data sets that are there already: counted, split by source, merged."""

from __future__ import annotations

import hashlib
import json
import os
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.datasets.importing import import_faces
from mien.datasets.labelled import VOTES, LabelledFaces, read_labelled_faces
from mien.datasets.merging import merge_faces
from mien.datasets.naming import free_name, place_in
from mien.datasets.splitting import draw_splits, split_faces
from mien.datasets.statistics import data_statistics
from mien.datasets.writing import relate
from mien.errors import DataError, SourceError, UsageError

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}


def face(seed: int, side: int = 48) -> Image.Image:
    """Return a picture like no other, smooth as faces are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def make(root: Path, name: str, *, first: int = 0, count: int = 20, side: int = 48) -> Path:
    """Make a data set of `count` happy and half as many sad faces."""
    for label, number in (("happy", count), ("sad", count // 2)):
        for i in range(number):
            path = root / f"{name}-source" / label / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            face(first + i + 1000 * (label == "sad"), side).save(path)
    import_faces(root / f"{name}-source", root / name)
    return root / name


def add_columns(data: Path, **columns: list[str]) -> None:
    lines = (data / "metadata.csv").read_text().splitlines()
    for name, values in columns.items():
        lines = [f"{line},{value}" for line, value in zip(lines, [name, *values], strict=True)]
    (data / "metadata.csv").write_text("\n".join(lines) + "\n")


def sides(faces: LabelledFaces, column: str) -> dict[str, set[str]]:
    """Return the splits in which each value of a column is."""
    found: dict[str, set[str]] = {}
    for value, split in zip(faces.columns[column].tolist(), faces.splits.tolist(), strict=True):
        found.setdefault(value, set()).add(split)
    return found


def test_statistics(run, tmp_path):
    data = make(tmp_path, "set")
    face(1).save(tmp_path / "set" / "train/happy/0.png")  # as 1.png now
    Image.fromarray(np.asarray(face(2).convert("L").resize((64, 64)))).save(data / "train/happy/2.png")
    add_columns(data, licence=["CC0 1.0"] * 25 + [""] * 5)
    done = run("data", "stats", data, "--json")
    assert done.status == 0
    told = json.loads(done.out)
    assert (told["pictures"], told["counts"]) == (30, {"train": {"happy": 20, "sad": 10}})
    assert told["sizes"] == [
        {"width": 48, "height": 48, "colour": "colour", "pictures": 29},
        {"width": 64, "height": 64, "colour": "grey", "pictures": 1},
    ]
    assert told["licences"] == {"CC0 1.0": 25, "not known": 5}
    assert (told["columns"], told["votes"], told["missing"]) == (["licence"], False, [])
    assert told["fingerprint"] == hashlib.sha256((data / "metadata.csv").read_bytes()).hexdigest()

    table = run("data", "stats", data)
    assert [line.split() for line in table.out.splitlines()[:4]] == [
        ["label", "train", "together"],
        ["happy", "20", "20"],
        ["sad", "10", "10"],
        ["together", "30", "30"],
    ]
    content = told["content"]
    face(77).save(data / "train/sad/3.png")
    assert data_statistics(data).content != content
    (data / "train/sad/3.png").unlink()
    done = run("data", "stats", data)
    assert (done.status, done.err) == (1, "mien: 1 pictures are missing, such as train/sad/3.png\n")


@pytest.mark.slow  # it loads torch
def test_the_fingerprint_is_that_of_a_run(tmp_path):
    pytest.importorskip("torch", reason="needs the extra train")
    from mien.training.folder import fingerprint

    data = make(tmp_path, "set")
    assert data_statistics(data).fingerprint == fingerprint(data)


def test_split_by_source(run, tmp_path):
    data = make(tmp_path, "set", count=60)
    add_columns(data, page=[f"page {i // 3}" for i in range(90)], author=["somebody"] * 90)
    done = run("data", "split", data, "--out", tmp_path / "new", "--shares", "train=0.6,val=0.2,test=0.2")
    assert done.status == 0
    faces = read_labelled_faces(tmp_path / "new")
    assert all(len(found) == 1 for found in sides(faces, "page").values())
    counts = Counter(zip(faces.labels.tolist(), faces.splits.tolist(), strict=True))
    for label, number in (("happy", 60), ("sad", 30)):
        for split, share in SHARES.items():
            assert abs(counts[label, split] - share * number) <= 3
    assert faces.columns["author"].tolist() == ["somebody"] * 90
    assert all(name.startswith(f"{split}/") for name, split in zip(faces.file_names, faces.splits, strict=True))
    before = read_labelled_faces(data)
    for old, new in zip(before.file_names, faces.file_names, strict=True):
        assert (data / old).read_bytes() == (tmp_path / "new" / new).read_bytes()
    assert len(set(faces.origins.tolist())) == 30
    assert "new: 90 pictures from 30 sources, 3 from the largest" in done.err

    split_faces(data, tmp_path / "again", shares=SHARES)
    assert (tmp_path / "again" / "metadata.csv").read_bytes() == (tmp_path / "new" / "metadata.csv").read_bytes()
    split_faces(data, tmp_path / "other", shares=SHARES, seed=1)
    assert (tmp_path / "other" / "metadata.csv").read_bytes() != (tmp_path / "new" / "metadata.csv").read_bytes()
    assert data_statistics(tmp_path / "new").origins_on_both_sides == 0
    # what was drawn once can be drawn again, and still by source
    split_faces(tmp_path / "new", tmp_path / "twice", shares={"train": 0.5, "test": 0.5})
    assert all(len(found) == 1 for found in sides(read_labelled_faces(tmp_path / "twice"), "page").values())


def test_look_alikes_that_nobody_noted_stay_together(tmp_path):
    data = make(tmp_path, "set")
    for i in range(5):
        face(40).resize((48 + i, 48 + i)).save(data / "train/happy" / f"{i}.png")
    split_faces(data, tmp_path / "new", shares=SHARES)
    faces = read_labelled_faces(tmp_path / "new")
    rows = [
        i for i, name in enumerate(faces.file_names) if name.split("happy/")[-1] in {f"{k}.png" for k in range(5)}
    ]
    assert len(set(faces.splits[rows])) == len(set(faces.similar[rows])) == 1


def test_sources_of_many_sizes_give_the_shares_that_are_asked_for():
    wanted = {"train": 0.7, "val": 0.15, "test": 0.15}
    for seed in range(20):
        sizes = (np.random.default_rng(seed).lognormal(0.5, 1.3, 60) + 1).astype(int)
        sources = np.repeat(np.arange(len(sizes)), sizes)
        labels = ["happy" if source % 2 else "sad" for source in sources.tolist()]
        drawn = draw_splits(labels, sources, wanted, seed=seed)
        counts = Counter(drawn)
        assert all(abs(counts[name] / len(drawn) - share) < 0.01 for name, share in wanted.items()), seed
        assert drawn == draw_splits(labels, sources, wanted, seed=seed)
        assert drawn != draw_splits(labels, sources, wanted, seed=seed + 100)
        assert len(set(zip(sources.tolist(), drawn, strict=True))) == len(sizes)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (9, 1, 1), (5, 4, 3, 1), (50, 1, 1, 1)])
@pytest.mark.parametrize("shares", [(0.7, 0.15, 0.15), (0.01, 0.01, 0.98), (0.98, 0.01, 0.01)])
def test_no_split_is_empty_where_there_are_sources_for_all(sizes, shares):
    sources = np.repeat(np.arange(len(sizes)), sizes)
    wanted = dict(zip(("train", "val", "test"), shares, strict=True))
    for seed in range(5):
        drawn = draw_splits(["happy"] * len(sources), sources, wanted, seed=seed)
        assert set(drawn) == set(wanted)
        assert len(set(zip(sources.tolist(), drawn, strict=True))) == len(sizes)


def test_equal_pictures_are_not_compared_each_with_each():
    """Of a placeholder that stands a thousand times, all pairs would fill the memory."""
    pictures = np.stack([np.asarray(face(i % 3).convert("L")) for i in range(1200)])
    tracemalloc.start()
    relations = relate(pictures)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert relations.groups.tolist() == relations.similar.tolist() == [i % 3 for i in range(1200)]
    assert most < 5 * pictures.nbytes


def test_a_long_cell_takes_no_room_in_the_other_rows(run, tmp_path):
    data = make(tmp_path, "set")
    add_columns(data, title=["x" * 65_000, *[""] * 29])
    faces = read_labelled_faces(data)
    assert sum(values.nbytes for values in (faces.groups, faces.similar, *faces.columns.values())) < 100_000
    assert [len(title) for title in faces.columns["title"].tolist()] == [65_000, *[0] * 29]
    split_faces(data, tmp_path / "new", shares={"train": 1.0})
    assert (read_labelled_faces(tmp_path / "new").columns["title"] == faces.columns["title"]).all()
    lines = (data / "metadata.csv").read_text().splitlines()
    lines[1] = lines[1].replace(",train,", f",{'t' * 300},", 1)
    (data / "metadata.csv").write_text("\n".join(lines))
    done = run("data", "stats", data)
    assert done.status == 1 and "line 2: the name of the split is longer than 255 letters" in done.err


def test_splits_that_cannot_be(tmp_path):
    data = make(tmp_path, "set", count=4)
    add_columns(data, page=["one"] * 6)
    with pytest.raises(
        UsageError, match="fewer sources, 1, than there are splits, so that val would be empty; leave one out"
    ):
        split_faces(data, tmp_path / "new", shares=SHARES)
    assert not (tmp_path / "new").exists()
    with pytest.raises(UsageError, match="lie in each other"):
        split_faces(data, data / "new", shares=SHARES)
    (data / "train/happy/1.png").unlink()
    with pytest.raises(SourceError, match=r"1\.png"):
        split_faces(data, tmp_path / "new", shares=SHARES)
    with pytest.raises(DataError, match=r"metadata\.csv: there is no such file"):
        split_faces(tmp_path, tmp_path.parent / "new", shares=SHARES)


@pytest.mark.parametrize("shares", ["train=0.5", "train=0.5,train=0.5", "Train=1", "train=x,test=0.5"])
def test_shares_that_make_no_sense(run, tmp_path, shares):
    done = run("data", "split", make(tmp_path, "set", count=2), "--out", tmp_path / "new", "--shares", shares)
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    assert f"--shares {shares}" in done.err


def test_merge(run, tmp_path):
    one, two = make(tmp_path, "one"), make(tmp_path, "two", first=500, side=64)
    face(500).save(one / "train/happy/0.png")  # as the first of two, larger
    add_columns(one, page=[f"page {i}" for i in range(30)])
    add_columns(two, page=[f"page {i + 29}" for i in range(30)], licence=["CC0"] * 30)
    split_faces(two, tmp_path / "other" / "one", shares={"test": 1.0})
    done = run("data", "merge", one, tmp_path / "other" / "one", "--out", tmp_path / "both")
    assert done.status == 0
    assert "both: 60 pictures (one 30, one-2 30)" in done.err
    assert "1 are copies of an earlier one" in done.err
    faces = read_labelled_faces(tmp_path / "both")
    assert len(set(faces.file_names)) == 60
    assert faces.file_names[0] == "train/one/happy/0.png"
    assert faces.file_names[-1] == "test/one-2/sad/9.png"
    assert Counter(faces.columns["set"].tolist()) == {"one": 30, "one-2": 30}
    assert faces.columns["licence"].tolist() == [""] * 30 + ["CC0"] * 30
    first = faces.file_names.index("test/one-2/happy/0.png")
    assert faces.similar[first] == "train/one/happy/0.png"
    assert "1 look the same as one" in done.err
    # page 29 is in both
    shared_page = faces.columns["page"] == "page 29"
    assert shared_page.sum() == 2 and len(set(faces.origins[shared_page])) == 1
    assert faces.description[0] == "one-source: pictures in a folder for each class"
    assert faces.description[2] == "two-source: pictures in a folder for each class"
    assert faces.pictures(48).shape == (60, 48, 48)

    merge_faces([tmp_path / "both", two], tmp_path / "three", link=True)
    faces = read_labelled_faces(tmp_path / "three")
    assert Counter(faces.columns["set"].tolist()) == {"both/one": 30, "both/one-2": 30, "two": 30}
    assert (tmp_path / "three" / faces.file_names[0]).is_symlink()
    assert data_statistics(tmp_path / "three").copies == 31


def test_merge_with_votes_scores_nothing_on_faces_that_nobody_voted_on(tmp_path):
    one, two = make(tmp_path, "one", count=4), make(tmp_path, "two", first=500, count=4)
    columns = {name: ["10" if name == "happiness" else "0"] * 6 for name in VOTES}
    add_columns(one, **columns)
    merge_faces([one, two], tmp_path / "both")
    faces = read_labelled_faces(tmp_path / "both")
    from mien.evaluation.truth import ferplus_plurality

    assert faces.votes is not None
    assert ferplus_plurality(faces).tolist() == ["happy"] * 6 + [""] * 6


def test_merges_that_cannot_be(run, tmp_path):
    one = make(tmp_path, "one", count=2)
    with pytest.raises(UsageError, match="two data sets or more, each once"):
        merge_faces([one, one], tmp_path / "both")
    with pytest.raises(DataError, match="there is no such file"):
        merge_faces([one, tmp_path / "nowhere"], tmp_path / "both")
    done = run("data", "merge", one, make(tmp_path, "two", count=2), "--out", one)
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    assert "exists already" in done.err


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train/{victim}", "train"),  # as train//…
        ("{victim}", "train"),
        ("../victim/notes.png", "train"),
        ("train/../../victim/notes.png", "train"),
        ("train/\0.png", "train"),
        ("", "train"),
        ("train/happy/0.png", "{victim}"),
        ("train/happy/0.png", ".."),
        ("train/happy/0.png", "train/x"),
    ],
)
def test_a_foreign_set_is_held_to_its_folder(run, tmp_path, name, split):
    one, two = make(tmp_path, "one", count=2), make(tmp_path, "two", first=500, count=2)
    victim = tmp_path / "victim" / "notes.png"
    victim.parent.mkdir()
    victim.write_text("precious")
    name, split = name.format(victim=victim), split.format(victim=victim)
    metadata = one / "metadata.csv"
    lines = metadata.read_text().splitlines()
    lines[1] = ",".join([name, split, *lines[1].split(",")[2:]])
    metadata.write_text("\n".join(lines))
    for arguments in (("split", one), ("merge", one, two), ("stats", one)):
        done = run("data", *arguments, *(["--out", tmp_path / "new"] if arguments[0] != "stats" else []))
        assert done.status == 1 and len(done.err.splitlines()) == 1
        assert "metadata.csv, line 2: " in done.err and "Traceback" not in done.err
    assert victim.read_text() == "precious"
    assert not (tmp_path / "new").exists() and [path.name for path in victim.parent.iterdir()] == ["notes.png"]


def test_nothing_is_placed_outside_a_set_that_is_made(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train").symlink_to(tmp_path)
    for name in ("train/x.png", "../x.png", f"{tmp_path}/x.png"):
        with pytest.raises(DataError, match="not the name of a picture within a data set"):
            place_in(tmp_path / "set", name)
    assert place_in(tmp_path / "set", "test/x.png").parent.is_dir()


def test_names_are_numbered_and_fit():
    taken: set[str] = set()
    names = [
        free_name(name, taken) for name in ("a/B.jpg", "a/b.jpg", "a/b-2.jpg", "b/b.jpg", "a/.hidden", "a/b.jpg")
    ]
    assert names == ["a/B.jpg", "a/b-2.jpg", "a/b-2-2.jpg", "b/b.jpg", "a/.hidden", "a/b-3.jpg"]
    long = [
        free_name(f"a/{letter * 300}{end}", taken)
        for letter in "n\u00fc\ufffd"
        for end in (".jpg", ".jpg", "." * 300)
    ]
    assert len(set(long)) == 9
    assert all(200 < len(name.removeprefix("a/").encode()) <= 255 for name in long)
    assert long[1].endswith("n-2.jpg")
    assert [free_name("set.v1", taken, suffix="") for _ in range(2)] == ["set.v1", "set.v1-2"]


def test_pictures_without_an_end_are_missing(run, tmp_path):
    data = make(tmp_path, "set", count=4)
    (data / "train/happy/0.png").unlink()
    (data / "train/happy/0.png").symlink_to("/dev/zero")
    (data / "train/happy/1.png").unlink()
    os.mkfifo(data / "train/happy/1.png")
    done = run("data", "stats", data)
    assert (done.status, done.err) == (1, "mien: 2 pictures are missing, such as train/happy/0.png\n")
    for name in ("0.png", "1.png"):
        with pytest.raises(SourceError, match=name):
            split_faces(data, tmp_path / "new", shares={"train": 1.0})
        (data / "train/happy" / name).unlink()
        face(1).save(data / "train/happy" / name)
    (data / "metadata.csv").unlink()
    (data / "metadata.csv").symlink_to("/dev/zero")
    done = run("data", "stats", data)
    assert done.status == 1 and done.err.endswith("metadata.csv: it is no file\n")


def test_what_killed_runs_leave_at_their_beginning_and_end_is_removed(tmp_path):
    """A run claims its folder once that is there, and the claim is the last that goes; others' folders stay."""
    data = make(tmp_path, "set", count=2)
    for name in ("unclaimed", "claimed", "others"):
        (tmp_path / f"new.partial-{name}").mkdir()
    (tmp_path / "new.partial-claimed" / ".claimed").touch()
    (tmp_path / "new.partial-others" / "thesis.txt").write_text("precious")
    split_faces(data, tmp_path / "new", shares={"train": 1.0})
    assert sorted(path.name for path in tmp_path.glob("new*")) == ["new", "new.partial-others"]


def test_a_folder_that_is_removed_by_half_is_known_as_a_dead_runs(tmp_path, monkeypatch):
    """Killed while it removes the old set: the next run removes the rest."""
    data, out = make(tmp_path, "set", count=2), tmp_path / "new"
    split_faces(data, out, shares={"train": 1.0})
    unlink, removed = os.unlink, []

    def dies(path, **where):
        removed.append(path)
        if len(removed) > 1:
            raise PermissionError
        unlink(path, **where)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", dies)
        split_faces(data, out, shares={"train": 1.0}, overwrite=True)
    assert len(list(tmp_path.glob("new.partial-*"))) == 1
    split_faces(data, out, shares={"train": 1.0}, overwrite=True)
    assert not list(tmp_path.glob("new.partial-*"))


def test_what_a_killed_run_had_put_aside_comes_back_before_anything_is_asked(tmp_path):
    """As staging leaves it between its two renames."""
    data, out = make(tmp_path, "set", count=2), tmp_path / "new"
    split_faces(data, out, shares={"train": 1.0})
    (out / "mine.txt").write_text("precious")
    scratch = tmp_path / "new.partial-dead"
    scratch.mkdir()
    (scratch / ".claimed").touch()
    out.rename(scratch / "old")
    with pytest.raises(UsageError, match="exists already"):
        split_faces(data, out, shares={"train": 1.0})
    assert (out / "mine.txt").read_text() == "precious"
    assert not scratch.exists()

"""The importer: the published files → labelled pictures, and every broken row named."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.datasets.duplicates import COPY_DISTANCE, first_of_group, similar_pairs
from mien.datasets.fer2013 import LABELS, unpack_fer2013
from mien.datasets.labelled import VOTES, read_labelled_faces
from mien.errors import DataError, UsageError

from conftest import real_faces

USAGES = ["Training"] * 6 + ["PublicTest"] * 3 + ["PrivateTest"] * 3


def faces(count: int) -> np.ndarray:
    """Return `count` pictures that differ, smooth as faces are."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, 6, 6), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(face).resize((48, 48), Image.Resampling.BICUBIC)) for face in coarse])


def write_fer(path: Path, pictures: np.ndarray, *, usages=USAGES) -> list[list[str]]:
    rows = [
        [str(i % 7), " ".join(map(str, picture.ravel())), usage]
        for i, (picture, usage) in enumerate(zip(pictures, usages, strict=True))
    ]
    write_csv(path, ["emotion", "pixels", "Usage"], rows)
    return rows


def write_csv(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_ferplus(path: Path, usages=USAGES) -> np.ndarray:
    votes = np.random.default_rng(1).multinomial(10, [0.1] * 10, size=len(usages))
    rows = [
        [usage, f"fer{i:07d}.png", *map(str, row)] for i, (usage, row) in enumerate(zip(usages, votes, strict=True))
    ]
    write_csv(path, ["Usage", "Image name", *VOTES], rows)
    return votes


def test_what_is_written_is_what_was_published(tmp_path):
    pictures = faces(12)
    write_fer(tmp_path / "fer2013.csv", pictures)
    votes = write_ferplus(tmp_path / "fer2013new.csv")
    done = unpack_fer2013(tmp_path / "fer2013.csv", tmp_path / "out", ferplus=tmp_path / "fer2013new.csv")
    assert done.pictures == {"train": 6, "public_test": 3, "private_test": 3}

    read = read_labelled_faces(tmp_path / "out")
    assert np.array_equal(read.pictures(48), pictures)
    assert read.labels.tolist() == [LABELS[i % 7] for i in range(12)]
    assert read.splits.tolist() == ["train"] * 6 + ["public_test"] * 3 + ["private_test"] * 3
    assert np.array_equal(read.votes, votes)
    assert read.groups.tolist() == list(read.file_names)
    with (tmp_path / "out" / "metadata.csv").open() as file:
        assert next(csv.reader(file)) == ["file_name", "split", "label", "group", "similar", *VOTES]


def test_copies_are_grouped_also_when_they_were_compressed_again(tmp_path):
    pictures = faces(12)
    random = np.random.default_rng(2)
    pictures[7] = np.clip(pictures[1] + random.normal(0, 1.4, (48, 48)), 0, 255)  # of train, in public_test
    pictures[4] = pictures[2]  # within train
    pictures[10] = np.clip(pictures[5] + random.normal(0, 4.0, (48, 48)), 0, 255)  # one photo, saved differently
    write_fer(tmp_path / "fer2013.csv", pictures)
    done = unpack_fer2013(tmp_path / "fer2013.csv", tmp_path / "out")
    assert (done.copies, done.train_copies_of_test, done.train_similar_to_test) == (2, 1, 2)
    read = read_labelled_faces(tmp_path / "out")
    tests = ("public_test", "private_test")
    assert read.copied_in(*tests)[:6].tolist() == [False, True, False, False, False, False]
    assert read.similar_in(*tests)[:6].tolist() == [False, True, False, False, False, True]
    assert read.first_similar().tolist() == [i not in (4, 7, 10) for i in range(12)]
    assert read.votes is None


def test_without_a_column_for_it_only_copies_look_the_same(tmp_path):
    (tmp_path / "metadata.csv").write_text(
        "file_name,split,label,group\na.png,train,happy,a.png\nb.png,test,happy,a.png\n"
    )
    assert read_labelled_faces(tmp_path).similar_in("test").tolist() == [True, True]


def test_groups_are_transitive_and_named_by_the_first():
    base = faces(3)
    chain = np.stack([base[0], base[1], base[0] // 2 * 2, base[2], base[0]])
    pairs, distances = similar_pairs(chain)
    assert sorted(map(tuple, pairs.tolist())) == [(0, 2), (0, 4), (2, 4)]
    assert max(distances) < 1.0
    assert first_of_group(5, pairs).tolist() == [0, 1, 0, 3, 0]
    assert first_of_group(4, np.array([[2, 3], [1, 2]])).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        (0, "7", "unknown emotion '7'"),
        (0, "-1", "unknown emotion '-1'"),
        (0, "happy", "unknown emotion 'happy'"),
        (1, "1 2 3", "3 pixels instead of 2304"),
        (1, "x " * 2304, "the pixels are not all whole numbers"),
        (1, "256 " * 2304, "a pixel lies outside 0 to 255"),
        (2, "Test", "unknown Usage 'Test'"),
    ],
)
def test_a_broken_row_is_named_and_nothing_is_left(tmp_path, column, value, reason):
    rows = write_fer(tmp_path / "fer2013.csv", faces(12))
    rows[4][column] = value
    write_csv(tmp_path / "fer2013.csv", ["emotion", "pixels", "Usage"], rows)
    with pytest.raises(DataError, match=rf"fer2013\.csv, line 6: {reason}"):
        unpack_fer2013(tmp_path / "fer2013.csv", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["fer2013.csv"]


def test_a_row_cut_short(tmp_path):
    rows = write_fer(tmp_path / "fer2013.csv", faces(12))
    rows[11] = rows[11][:1]
    write_csv(tmp_path / "fer2013.csv", ["emotion", "pixels", "Usage"], rows)
    with pytest.raises(DataError, match="line 13: the row is cut short"):
        unpack_fer2013(tmp_path / "fer2013.csv", tmp_path / "out")


def test_votes_out_of_step(tmp_path):
    write_fer(tmp_path / "fer2013.csv", faces(12))
    ferplus = tmp_path / "fer2013new.csv"
    for usages, reason in (
        (USAGES[:-1], "it has 11 rows and fer2013.csv has 12"),
        ([*USAGES, "PrivateTest"], "line 14: it has more rows"),
        (USAGES[1:] + USAGES[:1], "line 7: its Usage differs"),
    ):
        write_ferplus(ferplus, usages)
        with pytest.raises(DataError, match=reason):
            unpack_fer2013(tmp_path / "fer2013.csv", tmp_path / "out", ferplus=ferplus)
    write_ferplus(ferplus)
    lines = ferplus.read_text().splitlines()
    lines[2], lines[3] = lines[3], lines[2]  # of one split, so that only the names tell
    ferplus.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"line 3: it is about fer0000002\.png"):
        unpack_fer2013(tmp_path / "fer2013.csv", tmp_path / "out", ferplus=ferplus)


def test_bad_rows_are_left_out_where_that_is_wanted(tmp_path):
    pictures = faces(12)
    rows = write_fer(tmp_path / "fer2013.csv", pictures)
    rows[1][0], rows[2][1], rows[7][2] = "9", "1 2 3", "Test"
    rows[9] = rows[9][:2]
    rows[10] = [*rows[10], "and more"]
    write_csv(tmp_path / "fer2013.csv", ["emotion", "pixels", "Usage"], rows)
    ferplus = tmp_path / "fer2013new.csv"
    votes = write_ferplus(ferplus)
    lines = ferplus.read_text().splitlines()
    lines[6] = lines[6].rpartition(",")[0] + ",many"
    ferplus.write_text("\n".join(lines))
    done = unpack_fer2013(tmp_path / "fer2013.csv", tmp_path / "out", ferplus=ferplus, skip_bad=True)
    assert [reason.partition(", ")[2].partition(":")[0] for reason in done.skipped] == [
        "line 3", "line 4", "line 9", "line 11", "line 12", "line 7",
    ]  # fmt: skip
    assert done.pictures == {"train": 3, "public_test": 2, "private_test": 1}
    read = read_labelled_faces(tmp_path / "out")
    kept = [0, 3, 4, 6, 8, 11]
    assert [int(name[-11:-4]) for name in read.file_names] == kept  # the numbers are those of the published rows
    assert np.array_equal(read.votes, votes[kept])  # and each vote is still that of its face
    assert np.array_equal(read.pictures(48), pictures[kept])


def test_files_out_of_step_are_never_passed_over(tmp_path):
    write_fer(tmp_path / "fer2013.csv", faces(12))
    ferplus = tmp_path / "fer2013new.csv"
    for usages in (USAGES[:-1], [*USAGES, "PrivateTest"], USAGES[1:] + USAGES[:1]):
        write_ferplus(ferplus, usages)
        with pytest.raises(DataError):
            unpack_fer2013(tmp_path / "fer2013.csv", tmp_path / "out", ferplus=ferplus, skip_bad=True)
    assert not (tmp_path / "out").exists()


def test_nothing_but_bad_rows(run, tmp_path):
    rows = [["7", "1 2", "Training"]] * 3
    write_csv(tmp_path / "fer2013.csv", ["emotion", "pixels", "Usage"], rows)
    done = run("data", "unpack-fer", tmp_path / "fer2013.csv", tmp_path / "out", "--skip-bad")
    assert (done.status, "it has no rows that are as published" in done.err) == (1, True)
    rows = write_fer(tmp_path / "fer2013.csv", faces(12))
    rows[5][1] = "dark"
    write_csv(tmp_path / "fer2013.csv", ["emotion", "pixels", "Usage"], rows)
    done = run("data", "unpack-fer", tmp_path / "fer2013.csv", tmp_path / "out", "--skip-bad")
    assert done.status == 0
    assert "rows left out as bad: 1; the first: " in done.err
    assert "fer2013.csv, line 7: the pixels are not all whole numbers" in done.err


def test_a_byte_order_mark_is_no_column(tmp_path):
    write_fer(tmp_path / "fer2013.csv", faces(12))
    path = tmp_path / "fer2013.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert unpack_fer2013(path, tmp_path / "out").pictures["train"] == 6


@pytest.mark.parametrize(
    "content",
    [
        b"\x00\xff\xfe",
        b"",
        b"file_name,split,label,group\nx.png,train,gloomy,x.png\n",
        b"file_name,label,split,group\nx.png,happy\n",
        f"file_name,split,label,group,{','.join(VOTES)}\nx.png,train,happy,x.png,{'9' * 25}{',0' * 9}\n".encode(),
    ],
)
def test_a_broken_data_set_is_named(tmp_path, content):
    (tmp_path / "metadata.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"metadata\.csv"):
        read_labelled_faces(tmp_path)


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe\x00rubbish", b"emotion,pixels,Usage\n"])
def test_files_of_another_kind(tmp_path, content):
    (tmp_path / "fer2013.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"fer2013\.csv"):
        unpack_fer2013(tmp_path / "fer2013.csv", tmp_path / "out")


def test_existing_folders_are_kept(tmp_path):
    write_fer(tmp_path / "fer2013.csv", faces(12))
    unpack_fer2013(tmp_path / "fer2013.csv", tmp_path / "out")
    with pytest.raises(UsageError, match="exists already"):
        unpack_fer2013(tmp_path / "fer2013.csv", tmp_path / "out")
    unpack_fer2013(tmp_path / "fer2013.csv", tmp_path / "out", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fer2013.csv", "out"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "mine" / "metadata.csv").write_text("file_name,chapter\nthesis.txt,1\n")  # somebody else's layout
    with pytest.raises(UsageError, match="not a data set"):
        unpack_fer2013(tmp_path / "fer2013.csv", tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_the_set_says_what_it_is_and_on_what_terms(tmp_path):
    write_fer(tmp_path / "fer2013.csv", faces(12))
    unpack_fer2013(tmp_path / "fer2013.csv", tmp_path / "out")
    (line,) = read_labelled_faces(tmp_path / "out").description
    assert "FER2013" in line
    assert "without an open licence" in line
    (tmp_path / "out" / "data.txt").unlink()
    assert read_labelled_faces(tmp_path / "out").description == ("out: terms not stated",)


def test_from_the_command_line(run, tmp_path):
    write_fer(tmp_path / "fer2013.csv", faces(12))
    done = run("data", "unpack-fer", tmp_path / "fer2013.csv", tmp_path / "out")
    assert done.status == 0
    assert "train 6, public_test 3, private_test 3 pictures" in done.err
    done = run("data", "unpack-fer", tmp_path / "nowhere.csv", tmp_path / "out2")
    assert (done.status, len(done.err.splitlines())) == (1, 1)


@pytest.mark.slow
def test_every_copy_of_a_real_test_picture_is_found(shared):
    """No test picture may be in training: recall is what matters.

    Precision ends at 0.97 to 0.98: other savings of the same photo are as near as copies that were compressed.
    """
    truth = np.load(shared / "data" / "fer2013" / "labels.npz")
    splits = ("train", "public_test", "private_test")
    pictures = [real_faces(shared, split) for split in splits]
    pairs, distances = similar_pairs(np.concatenate(pictures))
    train, public, private = (np.repeat(splits, [len(faces) for faces in pictures]) == split for split in splits)

    groups = first_of_group(len(train), pairs[distances <= COPY_DISTANCE])
    again = np.ones(len(train), bool)
    again[np.unique(groups, return_index=True)[1]] = False
    found = {
        "train_in_test": np.isin(groups[train], groups[~train]),
        "train_extra_copy": again[train],
        "public_test_in_train": np.isin(groups[public], groups[train]),
        "private_test_in_train": np.isin(groups[private], groups[train]),
    }
    hits = {name: (mask & truth[name]).sum() for name, mask in found.items()}
    assert all(hits[name] / truth[name].sum() >= 0.99 for name in found)
    assert all(hits[name] / mask.sum() >= 0.96 for name, mask in found.items())

    similar = first_of_group(len(train), pairs)
    assert np.isin(similar[train], similar[~train])[truth["train_in_test"]].all()

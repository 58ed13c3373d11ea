"""Other people's layouts → the one on disk, on small made sets; real RAF-DB and AffectNet are not at hand."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.datasets.importing import draw_splits, import_faces
from mien.datasets.labelled import read_labelled_faces
from mien.errors import DataError, OutputError, SourceError, UsageError


def face(seed: int, side: int = 48) -> Image.Image:
    """Return a picture like no other, smooth as faces are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def put(path: Path, seed: int, side: int = 48) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    face(seed, side).save(path, quality=95)
    return path


@pytest.fixture
def classes(tmp_path):
    """Return a folder with 3 classes of 4 pictures, one of which is a copy of one in another class."""
    source = tmp_path / "mine"
    for i, name in enumerate(["Happy", "sadness", "ANGER"]):
        for j in range(4):
            put(source / name / f"{j}.png", 10 * i + j)
    face(0).save(source / "ANGER" / "3.png")
    (source / "notes.txt").write_text("not a picture")
    (source / "Happy" / "Thumbs.db").write_bytes(b"nor this")
    return source


def test_a_folder_for_each_class(classes, tmp_path):
    done = import_faces(classes, tmp_path / "out")
    assert (done.layout, done.pictures, done.skipped) == ("folders", {"train": 12}, ())
    assert done.labels == {"angry": 4, "happy": 4, "sad": 4}
    assert done.copies == 1
    read = read_labelled_faces(tmp_path / "out")
    assert read.file_names[0] == "train/ANGER/0.png"
    assert sorted(zip(read.file_names, read.labels.tolist(), strict=True))[-1] == ("train/sadness/3.png", "sad")
    assert (tmp_path / "out" / "train/Happy/1.png").read_bytes() == (classes / "Happy" / "1.png").read_bytes()
    assert read.groups[list(read.file_names).index("train/Happy/0.png")] == "train/ANGER/3.png"
    assert read.description == (
        "mine: pictures in a folder for each class",
        "Imported by mien, which does not know on what terms the pictures may be used: that is yours to check",
    )
    assert not (tmp_path / "out" / ".reading").exists()


def test_splits_of_its_own(tmp_path):
    for split, name, seed in (("Training", "fear", 1), ("Validation", "fear", 2), ("test", "fear", 1)):
        put(tmp_path / "set" / split / name / "a.png", seed)
    done = import_faces(tmp_path / "set", tmp_path / "out")
    assert done.pictures == {"train": 1, "val": 1, "test": 1}
    assert (done.train_copies_of_test, done.train_similar_to_test) == (1, 1)
    assert read_labelled_faces(tmp_path / "out").copied_in("train").tolist() == [True, False, True]
    with pytest.raises(UsageError, match="splits of its own, test, train, val"):
        import_faces(tmp_path / "set", tmp_path / "other", split="test")


def test_shares_are_drawn_in_every_class_and_look_alikes_stay_together(classes, tmp_path):
    done = import_faces(classes, tmp_path / "out", split="train=0.75,test=0.25")
    assert sum(done.pictures.values()) == 12
    read = read_labelled_faces(tmp_path / "out")
    splits = dict(zip(read.file_names, read.splits.tolist(), strict=True))
    twins = [split for name, split in splits.items() if name.endswith(("Happy/0.png", "ANGER/3.png"))]
    assert len(set(twins)) == 1

    labels = ["happy"] * 60 + ["sad"] * 20
    similar = np.arange(80)
    similar[:10] = 0
    drawn = np.array(draw_splits(labels, similar, {"train": 0.8, "test": 0.2}))
    assert len(set(drawn[:10])) == 1
    for part, share in ((slice(0, 60), 12), (slice(60, 80), 4)):
        assert abs((drawn[part] == "test").sum() - share) <= 1
    assert draw_splits(labels, similar, {"train": 0.8, "test": 0.2}) == drawn.tolist()


@pytest.mark.parametrize("split", ["train=0.5", "train=0.5,train=0.5", "train=x,test=0.5", "Train", "../up", ""])
def test_shares_that_make_no_sense(classes, tmp_path, split):
    with pytest.raises(UsageError, match="--split"):
        import_faces(classes, tmp_path / "out", split=split)


def test_links_instead_of_copies(classes, tmp_path):
    import_faces(classes, tmp_path / "out", link=True)
    picture = tmp_path / "out" / "train/Happy/1.png"
    assert picture.is_symlink() and picture.resolve() == (classes / "Happy" / "1.png").resolve()
    assert read_labelled_faces(tmp_path / "out").pictures(48).shape == (12, 48, 48)


def test_a_class_that_is_no_emotion_is_named_with_the_known_ones(classes, tmp_path):
    put(classes / "gloomy" / "a.png", 99)
    with pytest.raises(DataError, match=r"no emotion is called gloomy; known are angry, .*sadness"):
        import_faces(classes, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_said(tmp_path):
    source = tmp_path / "set"
    with pytest.raises(DataError, match="no such folder"):
        import_faces(source, tmp_path / "out")
    source.mkdir()
    with pytest.raises(DataError, match="no folder is in it"):
        import_faces(source, tmp_path / "out")
    put(source / "happy" / "a.png", 1)
    with pytest.raises(DataError, match=r"a single picture, .*a\.png, is no data set"):
        import_faces(source, tmp_path / "out")
    put(source / "happy" / "b.png", 2)
    (source / "sad").mkdir()
    with pytest.raises(DataError, match="sad: the class is empty"):
        import_faces(source, tmp_path / "out")
    (source / "sad").rmdir()
    (source / "train").mkdir()
    with pytest.raises(DataError, match="happy lies beside folders of splits"):
        import_faces(source, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def test_pictures_that_cannot_be_read(classes, tmp_path):
    (classes / "Happy" / "2.png").write_bytes(b"\x89PNG rubbish")
    (classes / "sadness" / "1.png").unlink()
    (classes / "sadness" / "1.png").symlink_to("nowhere.png")
    with pytest.raises(SourceError, match=r"2\.png"):
        import_faces(classes, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))
    done = import_faces(classes, tmp_path / "out", skip_bad=True)
    assert sum(done.pictures.values()) == 10
    assert [Path(reason.split(":")[0]).name for reason in done.skipped] == ["2.png", "1.png"]
    for path in classes.glob("*/*.png"):
        path.unlink()
        path.write_bytes(b"rubbish")
    with pytest.raises(DataError, match="no labelled picture is in it; 12 were left out, the first because of"):
        import_faces(classes, tmp_path / "other", skip_bad=True)


def test_nothing_is_lost(classes, tmp_path, monkeypatch):
    import_faces(classes, tmp_path / "out")
    with pytest.raises(UsageError, match="exists already"):
        import_faces(classes, tmp_path / "out")
    before = (tmp_path / "out" / "metadata.csv").read_bytes()

    def full(*arguments, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mien.datasets.importing.write_metadata", full)
    with pytest.raises(OutputError, match="No space left"):
        import_faces(classes, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "metadata.csv").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out"]


def test_the_pictures_are_not_replaced_by_their_own_copies(classes):
    (classes.parent / "metadata.csv").write_text("file_name,split,label,group\na.png,train,happy,a.png\n")
    for out in (classes.parent, classes):
        (classes / "metadata.csv").write_text("file_name,split,label,group\na.png,train,happy,a.png\n")
        with pytest.raises(UsageError, match="the pictures to import lie in it"):
            import_faces(classes, out, overwrite=True)
    assert len(list(classes.glob("*/*.png"))) == 12


@pytest.fixture
def raf(tmp_path):
    """Return RAF-DB's layout with a picture for each label, and attributes of all but the last."""
    root = tmp_path / "basic"
    lines = []
    for label in range(1, 8):
        name = f"train_{label:05}" if label < 5 else f"test_{label:04}"
        put(root / "Image/aligned" / f"{name}_aligned.jpg", label, 100)
        lines.append(f"{name}.jpg {label}")
        if label < 7:
            attributes = root / "Annotation/manual" / f"{name}_manu_attri.txt"
            attributes.parent.mkdir(parents=True, exist_ok=True)
            attributes.write_text("30.5\t40\n" * 5 + f"{label % 3}\n{label % 3}\n{label % 5}\n")
    (root / "EmoLabel").mkdir()
    (root / "EmoLabel/list_patition_label.txt").write_text("\n".join(lines) + "\n")
    return root


def test_rafdb_with_its_attributes(raf, tmp_path):
    done = import_faces(raf, tmp_path / "out")
    assert (done.layout, done.pictures) == ("rafdb", {"train": 4, "test": 3})
    read = read_labelled_faces(tmp_path / "out")
    assert read.file_names[0] == "train/train_00001.jpg"
    assert read.labels.tolist() == ["surprised", "fearful", "disgusted", "happy", "sad", "angry", "neutral"]
    assert read.columns["gender"].tolist() == ["female", "unsure", "male", "female", "unsure", "male", ""]
    assert read.columns["race"].tolist()[:3] == ["African-American", "Asian", "Caucasian"]
    assert read.columns["age"].tolist() == ["4-19", "20-39", "40-69", "70+", "0-3", "4-19", ""]
    assert "Li et al., 2017" in read.description[0]
    original = raf / "Image/aligned/train_00001_aligned.jpg"
    assert (tmp_path / "out/train/train_00001.jpg").read_bytes() == original.read_bytes()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("train_00009.jpg 8", "unknown label '8', not 1 to 7"),
        ("train_00009.jpg", "is not a picture and a label"),
        ("../train_00009.jpg 1", "is not a picture and a label"),
        ("train_00002.jpg 2", "listed twice"),
    ],
)
def test_rafdb_broken_lines(raf, tmp_path, line, reason):
    with (raf / "EmoLabel/list_patition_label.txt").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(DataError, match=reason):
        import_faces(raf, tmp_path / "out")
    done = import_faces(raf, tmp_path / "out", skip_bad=True)
    assert (sum(done.pictures.values()), len(done.skipped)) == (7, 1)


def test_rafdb_broken_attributes_and_missing_pictures(raf, tmp_path):
    (raf / "Annotation/manual/train_00001_manu_attri.txt").write_text("1 2\n" * 5 + "7\n0\n0\n")
    (raf / "Image/aligned/train_00002_aligned.jpg").unlink()
    with pytest.raises(DataError, match="lines 6 to 8 are not gender, race and age"):
        import_faces(raf, tmp_path / "out")
    done = import_faces(raf, tmp_path / "out", skip_bad=True)
    assert len(done.skipped) == 2
    assert "train_00002_aligned.jpg" in done.skipped[1]


def test_rafdb_in_numbered_folders(tmp_path):
    for split in ("train", "test"):
        for label in range(1, 8):
            put(
                tmp_path / "set/DATASET" / split / str(label) / f"{split}_{label}_aligned.jpg", label + 9 * len(split)
            )
    done = import_faces(tmp_path / "set", tmp_path / "out")
    assert (done.layout, done.pictures) == ("rafdb", {"train": 7, "test": 7})
    assert dict(done.labels) == dict.fromkeys(
        ["angry", "disgusted", "fearful", "happy", "neutral", "sad", "surprised"], 2
    )
    assert read_labelled_faces(tmp_path / "out").labels[0] == "surprised"
    put(tmp_path / "set/DATASET/train/9/a.jpg", 99)
    with pytest.raises(DataError, match=r"neither EmoLabel/list_patition_label\.txt nor"):
        import_faces(tmp_path / "set", tmp_path / "other", layout="rafdb")


HEAD = [
    "subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks", "expression",
    "valence", "arousal",
]  # fmt: skip


@pytest.fixture
def affect(tmp_path):
    """Return AffectNet's csv layout: each face fills the box 20, 30, 40x40 of a grey picture."""
    root = tmp_path / "affectnet"
    rows = []
    for expression in range(11):
        picture = Image.new("RGB", (120, 100), (90, 90, 90))
        picture.paste(face(expression, 40), (20, 30))
        path = root / "Manually_Annotated_Images" / "1" / f"{expression}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
        rows.append([f"1/{expression}.png", 20, 30, 40, 40, "1;2;3", expression, -0.1 * expression, 0.5])
    write_lists(root, rows)
    return root, rows


def write_lists(root: Path, rows: list[list[object]]) -> None:
    for name, part in (("training", rows[:6]), ("validation", rows[6:])):
        with (root / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([HEAD, *part])


def test_affectnet_faces_are_cut_out_by_their_boxes(affect, tmp_path):
    root, _ = affect
    done = import_faces(root, tmp_path / "out")
    assert (done.layout, done.pictures, done.not_emotions) == ("affectnet", {"train": 6, "val": 2}, 3)
    read = read_labelled_faces(tmp_path / "out")
    assert read.labels.tolist() == [
        "neutral", "happy", "sad", "surprised", "fearful", "disgusted", "angry", "contemptuous",
    ]  # fmt: skip
    with Image.open(tmp_path / "out" / read.file_names[1]) as image:
        assert image.size == (40, 40)
        assert np.array_equal(np.asarray(image), np.asarray(face(1, 40)))
    assert read.columns["valence"].tolist()[1:3] == ["-0.1", "-0.2"]
    assert set(read.columns) == {"valence", "arousal"}


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        (6, "11", "unknown expression '11', not 0 to 10"),
        (6, "happy", "unknown expression 'happy'"),
        (3, "-1", "the face's box is empty"),
        (3, "wide", "could not convert"),
        (0, "../../secret.png", "is not the path of a picture within the set"),
    ],
)
def test_affectnet_broken_rows(affect, tmp_path, column, value, reason):
    root, rows = affect
    rows[2][column] = value
    write_lists(root, rows)
    with pytest.raises(DataError, match=rf"training\.csv, line 4: .*{reason}"):
        import_faces(root, tmp_path / "out")
    done = import_faces(root, tmp_path / "out", skip_bad=True)
    assert (sum(done.pictures.values()), len(done.skipped)) == (7, 1)


def test_affectnet_with_a_file_for_each_value(tmp_path):
    for split in ("train_set", "val_set"):
        for i in range(9):
            folder = tmp_path / "set" / split
            put(folder / "images" / f"{i}.jpg", i + 20 * len(split))
            (folder / "annotations").mkdir(exist_ok=True)
            np.save(folder / "annotations" / f"{i}_exp.npy", np.array(str(i)) if i % 2 else np.array(float(i)))
            np.save(folder / "annotations" / f"{i}_val.npy", np.array("-0.25"))
    done = import_faces(tmp_path / "set", tmp_path / "out")
    assert (done.layout, done.pictures, done.not_emotions) == ("affectnet", {"train": 8, "val": 8}, 2)
    read = read_labelled_faces(tmp_path / "out")
    assert read.labels.tolist()[:3] == ["neutral", "happy", "sad"]
    assert read.columns["valence"].tolist()[0] == "-0.25"
    (tmp_path / "set/val_set/annotations/3_exp.npy").unlink()
    with pytest.raises(DataError, match=r"3\.jpg: 3_exp\.npy cannot be read"):
        import_faces(tmp_path / "set", tmp_path / "other")
    np.save(tmp_path / "set/val_set/annotations/3_exp.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(DataError, match=r"3\.jpg: 3_exp\.npy cannot be read"):  # a pickle is never run
        import_faces(tmp_path / "set", tmp_path / "other")


def test_from_the_command_line(run, classes, tmp_path):
    (classes / "Happy" / "2.png").write_bytes(b"rubbish")
    done = run("data", "import", classes, "--out", tmp_path / "out", "--split", "test")
    assert (done.status, len(done.err.splitlines())) == (1, 1)
    done = run("data", "import", classes, "--out", tmp_path / "out", "--split", "test", "--skip-bad")
    assert done.status == 0
    assert "test 11 pictures, read as folders" in done.err
    assert "angry 4, happy 3, sad 4" in done.err
    assert "faces left out as bad: 1; the first: " in done.err
    done = run("data", "import", classes, "--out", tmp_path / "raf", "--layout", "rafdb")
    assert (done.status, "neither EmoLabel" in done.err) == (1, True)

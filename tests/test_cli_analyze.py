"""`mien analyze` as a user meets it: what it prints, what it writes, how it ends."""

import csv
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import mien
from mien.emotions import SETS
from mien.sources import read_frames

from conftest import EXAMPLES

MIEN = Path(sys.executable).with_name("mien")


def records(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def folder(tmp_path, astronaut):
    """Return a folder with a good picture, one in a folder of its own, a bad one, and no picture at all."""
    source = tmp_path / "photos"
    (source / "more").mkdir(parents=True)
    shutil.copy(astronaut, source / "a.jpg")
    with Image.open(astronaut) as image:
        image.crop((100, 0, 400, 300)).save(source / "more" / "b.bmp")
    (source / "c.jpg").write_bytes(b"no picture")
    (source / "notes.txt").write_text("no picture")
    return source


def test_in_a_pipe_there_are_records_and_nothing_else(run, astronaut):
    done = run("analyze", astronaut, EXAMPLES / "three_people.jpg")
    assert (done.status, done.err) == (0, "")
    one, three = records(done.out)
    assert (one["source"], len(one["faces"]), len(three["faces"])) == (str(astronaut), 1, 3)
    assert one["faces"][0]["emotion"] == "happy"
    assert one["faces"][0] == mien.analyze(astronaut).faces[0].to_record()


def test_real_photos_give_the_records_that_are_promised(run, shared):
    media = shared / "media"
    done = run("analyze", media / "five_people.jpg", media / "astronaut.png", "--out", "-")
    five, one = records(done.out)
    assert sum(face["emotion"] == "happy" for face in five["faces"]) >= 4
    assert len(five["faces"]) == 5
    assert [face["emotion"] for face in one["faces"]] == ["happy"]


def test_csv_has_a_row_a_face_and_one_where_nobody_is(run, shared_scene, tmp_path):
    done = run("analyze", *shared_scene, "--out", tmp_path / "faces.csv", "--out", tmp_path / "faces.jsonl")
    assert done.status == 0
    with (tmp_path / "faces.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    faces = [record for record in records((tmp_path / "faces.jsonl").read_text()) for _ in record["faces"] or [None]]
    assert [row["source"] for row in rows] == [record["source"] for record in faces]
    three = [row for row in rows if row["source"] == str(shared_scene[0])]
    assert [row["face"] for row in three] == ["1", "2", "3"]
    (nobody,) = (row for row in rows if row["source"] == str(shared_scene[1]))
    assert (nobody["width"], nobody["face"], nobody["emotion"], nobody["score_happy"]) == ("64", "", "", "")
    scores = [float(three[0][f"score_{emotion}"]) for emotion in SETS["eight"]]
    assert sum(scores) == pytest.approx(1, abs=1e-5)
    assert float(three[0]["confidence"]) == max(scores)
    assert list(rows[0])[:8] == ["schema", "source", "frame", "time", "width", "height", "model", "face"]
    assert list(rows[0])[-1] == "error"


@pytest.fixture
def shared_scene(tmp_path):
    """Return a picture of three, and one of nobody whose name breaks lines where only some readers see it."""
    empty = tmp_path / "of two\rlines.png"
    Image.new("RGB", (64, 48)).save(empty)
    return EXAMPLES / "three_people.jpg", empty


def test_json_is_one_list_of_the_same_records(run, shared_scene, tmp_path):
    run("analyze", *shared_scene, "--out", tmp_path / "faces.json", "--out", tmp_path / "faces.jsonl")
    assert json.loads((tmp_path / "faces.json").read_text()) == records((tmp_path / "faces.jsonl").read_text())


def test_a_table_for_pandas_has_the_columns_of_the_csv(run, shared_scene, tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    run("analyze", *shared_scene, "--out", tmp_path / "faces.csv")
    read = pandas.read_csv(tmp_path / "faces.csv")
    made = mien.to_pandas(mien.Analyzer().analyze(path) for path in shared_scene)
    assert list(read.columns) == list(made.columns)
    assert read["score_happy"].round(6).tolist()[:3] == made["score_happy"].tolist()[:3]
    assert mien.analyze(shared_scene[0]).to_pandas()["face"].tolist() == [1, 2, 3]


def test_crops_are_what_the_model_sees(run, astronaut, tmp_path):
    done = run("analyze", astronaut, EXAMPLES / "three_people.jpg", "--crops", tmp_path / "faces")
    assert (done.status, done.out) == (0, "")
    names = sorted(path.name for path in (tmp_path / "faces").iterdir())
    assert names == ["astronaut.jpg-1.png", *(f"three_people.jpg-{i}.png" for i in (1, 2, 3))]
    with Image.open(tmp_path / "faces" / "astronaut.jpg-1.png") as crop:
        assert (crop.mode, crop.width) == ("RGB", crop.height)
    (face,) = mien.analyze(astronaut).faces
    (again,) = mien.analyze(tmp_path / "faces" / "astronaut.jpg-1.png", detector="none").faces
    for emotion, score in face.scores.items():
        assert again.scores[emotion] == pytest.approx(score, abs=0.05)
    assert run("analyze", astronaut, "--crops", tmp_path / "faces").status == 2
    assert run("analyze", astronaut, "--crops", tmp_path / "faces", "--overwrite").status == 0


def test_rater_and_flip_reach_the_analyzer(run, astronaut):
    plain, other, flipped, eight = (
        records(run("analyze", astronaut, *more).out)[0]["faces"][0]["scores"]
        for more in ([], ["--rater", "fer2013"], ["--flip"], ["--rater", "votes"])
    )
    assert set(plain) - set(other) == {"contemptuous"}
    assert plain == eight
    assert plain != flipped
    assert flipped["happy"] == pytest.approx(plain["happy"], abs=0.2)
    done = run("analyze", astronaut, "--rater", "mother")
    assert (done.status, "it has votes, fer2013" in done.err) == (2, True)


def test_verbose_says_what_is_used_and_done(run, folder):
    done = run("analyze", folder, "--verbose")
    lines = done.err.splitlines()
    assert mien.Analyzer().model in lines[0]
    assert sum("1 face, " in line and line.endswith(" ms") for line in lines) == 1
    assert sum("not read" in line for line in lines) == 1
    assert run("analyze", folder, "--verbose", "--quiet").status == 2


@pytest.fixture
def film(tmp_path, astronaut):
    """Return a GIF of three frames: the astronaut, nobody, and the astronaut again."""
    with Image.open(astronaut) as image:
        face = image.convert("RGB").resize((256, 256))
    path = tmp_path / "film.gif"
    frames = [Image.new("RGB", face.size), face.rotate(5)]
    face.save(path, save_all=True, append_images=frames, duration=[200, 300, 100], loop=0)
    return path


def test_an_animated_picture_has_a_record_for_every_frame_and_becomes_a_film(run, film, tmp_path):
    done = run("analyze", film, "--out", "-", "--out", tmp_path / "marked", "--crops", tmp_path / "faces")
    assert done.status == 0
    assert [(r["frame"], r["time"], len(r["faces"])) for r in records(done.out)] == [
        (0, 0.0, 1),
        (1, 0.2, 0),
        (2, 0.5, 1),
    ]
    assert [path.name for path in (tmp_path / "marked").iterdir()] == ["film.gif.mp4"]
    assert [frame.time for frame in read_frames(tmp_path / "marked" / "film.gif.mp4")] == [0.0, 0.2, 0.5]
    assert sorted(path.name for path in (tmp_path / "faces").iterdir()) == [f"film.gif-{i:06d}-1.png" for i in (0, 2)]
    assert run("analyze", film, "--out", tmp_path / "marked").status == 2
    assert run("analyze", film, "--out", tmp_path / "marked", "--overwrite").status == 0


def test_a_film_is_no_picture_and_a_picture_no_film(run, film, astronaut, tmp_path):
    done = run("analyze", film, "--out", tmp_path / "one.png")
    assert (done.status, "one picture cannot hold a film; name a film, such as one.mp4" in done.err) == (1, True)
    done = run("analyze", astronaut, "--out", tmp_path / "one.mp4")
    assert (done.status, "a picture is no film; name a picture, such as one.png" in done.err) == (1, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.gif"]


def test_films_and_stills_in_one_folder(run, film, astronaut, tmp_path):
    folder = tmp_path / "both"
    folder.mkdir()
    shutil.copy(film, folder / "a.gif")
    shutil.copy(astronaut, folder / "b.jpg")
    done = run("analyze", folder, "--out", tmp_path / "marked")
    assert done.status == 0
    assert sorted(path.name for path in (tmp_path / "marked").iterdir()) == ["a.gif.mp4", "b.jpg"]


def test_one_output_that_fails_at_the_end_does_not_take_the_others(run, astronaut, tmp_path, monkeypatch):
    real = Path.replace

    def replace(path, target):
        if Path(target).name == "a.json":
            raise OSError(28, "No space left on device")
        return real(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    done = run("analyze", astronaut, "--out", tmp_path / "a.json", "--out", tmp_path / "b.csv")
    assert done.status == 1
    assert "a.json: cannot be written (No space left on device)" in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json.partial", "a.json.partial.run", "b.csv"]
    monkeypatch.undo()
    names = ["--out", tmp_path / "a.json", "--out", tmp_path / "b.csv"]
    assert run("analyze", astronaut, *names, "--resume").status == 0  # once there is room
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.csv"]
    assert len(json.loads((tmp_path / "a.json").read_text())) == 1


def test_pictures_within_the_output_folder_can_be_named(run, astronaut, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(astronaut, tmp_path / "in" / "a.jpg")
    assert run("analyze", tmp_path / "in", "--out", tmp_path).status == 0
    assert (tmp_path / "a.jpg").is_file()


def test_records_do_not_go_to_a_folder(run, astronaut, tmp_path):
    (tmp_path / "d.jsonl").mkdir()
    done = run("analyze", astronaut, "--out", tmp_path / "d.jsonl", "--overwrite")
    assert done.status == 2
    assert "it is a folder" in done.err


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_on_a_terminal_there_is_a_table(astronaut, encoding):
    """Run in a real pseudo-terminal."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [MIEN, "analyze", astronaut.name, "three_people.jpg"],
        cwd=EXAMPLES,
        stdout=follower,
        stderr=follower,
        env={**os.environ, "COLUMNS": "80", "TERM": "xterm", "PYTHONIOENCODING": encoding},
    ) as process:
        os.close(follower)
        text = b""
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:  # how Linux says that the other end is closed
                break
            if not chunk:
                break
            text += chunk
    os.close(leader)
    assert process.returncode == 0
    shown = text.decode()
    assert "happy" in shown
    assert "%" in shown
    assert "astronaut.jpg" in shown
    assert '"schema"' not in shown


def test_standard_input(astronaut):
    done = subprocess.run([MIEN, "analyze", "-"], input=astronaut.read_bytes(), capture_output=True, check=True)
    (record,) = records(done.stdout.decode())
    assert (record["source"], len(record["faces"]), done.stderr) == ("-", 1, b"")


def test_a_reader_that_goes_away_is_no_crash(astronaut):
    command = f"'{MIEN}' analyze '{EXAMPLES}' '{astronaut}' | head -c 10 > {os.devnull}; exit $PIPESTATUS"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 1)


@pytest.mark.parametrize("closed", ["analyze - <&-", f"analyze '{EXAMPLES}' >&-"])
def test_closed_streams_are_no_crash(closed):
    done = subprocess.run(["bash", "-c", f"'{MIEN}' {closed}"], capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("mien: ")


def test_a_picture_from_a_pipe_with_a_name(astronaut):
    done = subprocess.run(
        ["bash", "-c", f"'{MIEN}' analyze <(cat '{astronaut}')"], capture_output=True, text=True, check=True
    )
    assert len(records(done.stdout)[0]["faces"]) == 1


def test_an_interrupt_keeps_what_was_there_and_what_is_done(run, folder, tmp_path, monkeypatch):
    out = tmp_path / "all.jsonl"
    assert run("analyze", folder, "-r", "--out", out).status == 1
    whole = out.read_text()
    original = mien.Analyzer.analyze_frames
    calls = []

    def interrupted(self, frames):
        if calls:
            os.kill(os.getpid(), signal.SIGINT)
        calls.append(1)
        return original(self, frames)

    monkeypatch.setattr(mien.Analyzer, "analyze_frames", interrupted)
    done = run("analyze", folder, "-r", "--out", out, "--overwrite")
    assert done.status == 130
    assert f"{out}.partial" in done.err
    assert out.read_text() == whole
    assert len(records((tmp_path / "all.jsonl.partial").read_text())) == 2
    monkeypatch.undo()
    assert run("analyze", folder, "--out", tmp_path / "all.jsonl", "--overwrite").status == 1
    assert not (tmp_path / "all.jsonl.partial").exists()


def test_names_that_no_file_system_takes_do_not_stop_the_rest(run, astronaut, tmp_path):
    loop = tmp_path / "loop.jpg"
    loop.symlink_to(loop)
    done = run("analyze", "x" * 300, loop, astronaut)
    assert done.status == 1
    assert len(done.err.splitlines()) == 2
    assert [len(line["faces"]) for line in records(done.out)] == [0, 0, 1]


def test_pictures_that_differ_by_suffix_alone_are_all_annotated(run, astronaut, tmp_path):
    (tmp_path / "in").mkdir()
    with Image.open(astronaut) as image:
        for name in ("p.png", "p.gif", "p.bmp"):
            image.resize((100, 100)).save(tmp_path / "in" / name)
    assert run("analyze", tmp_path / "in", "--out", tmp_path / "out").status == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["p.bmp.png", "p.gif.png", "p.png"]


def test_annotated_pictures_within_the_folder_are_not_taken_for_input(run, folder):
    assert run("analyze", folder, "-r", "--out", folder / "marked").status == 1
    done = run("analyze", folder, "-r", "--out", folder / "marked", "--overwrite", "--out", "-")
    assert (done.status, len(records(done.out))) == (1, 3)


def test_a_folder_mirrors_its_tree_and_goes_on_after_a_bad_file(run, folder, tmp_path):
    out = tmp_path / "out"
    done = run("analyze", folder, "--recursive", "--out", out, "--out", tmp_path / "all.jsonl")
    assert done.status == 1
    assert done.err.splitlines() == [
        f"mien: {folder / 'c.jpg'}: neither a picture nor a film, or of a format that cannot be read here"
    ]
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()) == [
        "a.jpg",
        "more/b.bmp.png",
    ]
    with Image.open(out / "a.jpg") as image:
        assert (image.size, image.format) == ((512, 512), "JPEG")
    lines = records((tmp_path / "all.jsonl").read_text())
    assert [(Path(line["source"]).name, len(line["faces"]), line["error"] is None) for line in lines] == [
        ("a.jpg", 1, True),
        ("c.jpg", 0, False),
        ("b.bmp", 1, True),
    ]
    assert done.out == ""


def test_without_recursive_only_the_folder_itself(run, folder):
    assert [Path(line["source"]).name for line in records(run("analyze", folder).out)] == ["a.jpg", "c.jpg"]


def test_one_annotated_picture(run, astronaut, tmp_path):
    done = run("analyze", astronaut, "--out", tmp_path / "new" / "marked.png")
    assert done.status == 0
    with Image.open(tmp_path / "new" / "marked.png") as image:
        assert (image.size, image.format) == ((512, 512), "PNG")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["marked.png"]


def test_options_reach_the_analyzer(run, astronaut):
    (record,) = records(run("analyze", astronaut, "--emotions", "three").out)
    assert list(record["faces"][0]["scores"]) == ["angry", "happy", "sad"]
    (record,) = records(run("analyze", astronaut, "--min-face", "300").out)
    assert record["faces"] == []
    (record,) = records(run("analyze", astronaut, "--detector", "none").out)
    assert record["faces"][0]["box"] == [0, 0, 512, 512]
    assert run("analyze", astronaut, "--max-pixels", "0.1").status == 1


def test_nobody_in_the_picture_is_a_record_not_an_error(run, tmp_path):
    Image.new("RGB", (200, 100), (90, 120, 150)).save(tmp_path / "wall.png")
    done = run("analyze", tmp_path / "wall.png")
    assert (done.status, done.err) == (0, "")
    assert records(done.out)[0]["faces"] == []


def test_missing_path_is_named_and_the_rest_is_done(run, astronaut, tmp_path):
    done = run("analyze", tmp_path / "nowhere.jpg", astronaut)
    assert (done.status, done.err) == (1, f"mien: {tmp_path / 'nowhere.jpg'}: there is no such file or folder\n")
    assert [len(line["faces"]) for line in records(done.out)] == [0, 1]


def test_folder_without_pictures(run, tmp_path):
    done = run("analyze", tmp_path)
    assert (done.status, done.out) == (1, "")
    assert (
        done.err == f"mien: {tmp_path}: no picture or film is in this folder; --recursive looks in its folders too\n"
    )


@pytest.mark.parametrize("name", ["out.jsonl", "out.png", "folder"])
def test_an_existing_output_is_refused_until_overwrite(run, astronaut, tmp_path, name):
    out = tmp_path / name
    assert run("analyze", astronaut, "--out", out).status == 0
    file = out / "astronaut.jpg" if name == "folder" else out
    before = file.stat().st_mtime_ns
    done = run("analyze", astronaut, "--out", out)
    assert done.status == 2
    assert done.err == f"mien: {file}: it exists already; name another output or pass --overwrite\n"
    assert file.stat().st_mtime_ns == before
    assert run("analyze", astronaut, "--out", out, "--overwrite").status == 0
    assert file.stat().st_mtime_ns > before


@pytest.mark.parametrize("name", ["out.jsonl", "out.png", "folder/"])
def test_unwritable_output_is_said_before_anything_is_done(run, astronaut, tmp_path, name):
    (tmp_path / "file").write_text("in the way")
    done = run("analyze", astronaut, "--out", f"{tmp_path}/file/{name}")
    assert done.status == 2
    assert len(done.err.splitlines()) == 1
    assert str(tmp_path / "file") in done.err


def test_an_output_that_fails_to_open_leaves_nothing_of_the_others(run, astronaut, tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = run("analyze", astronaut, "--out", tmp_path / "good.jsonl", "--out", tmp_path / "file" / "bad.jsonl")
    assert done.status == 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("arguments", [["analyze", EXAMPLES / "astronaut.jpg"], ["models", "info", "--json"]])
def test_a_full_disk_is_one_clear_line(arguments):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, which is always a full disk")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([MIEN, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "mien: standard output: cannot be written (No space left on device)\n"


@pytest.mark.parametrize("name", ["out.jsonl", "out.json", "out.csv"])
def test_a_full_disk_keeps_the_records_so_far(astronaut, tmp_path, name):
    """A limit on the size of files stands in for the disk: writing fails in the same place, with another reason."""
    resource = pytest.importorskip("resource", reason="needs a system with limits on the size of files")
    done = subprocess.run(
        [MIEN, "analyze", *[astronaut] * 8, "--out", tmp_path / name],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"the records so far are in {tmp_path / name}.partial" in done.stderr
    assert not (tmp_path / name).exists()
    assert (tmp_path / f"{name}.partial").read_text().count("happy") > 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--out", "x.xyz"], "x.xyz: cannot write .xyz files"),
        (["--out", "same.jsonl", "--out", "./same.jsonl"], "same.jsonl: two outputs would go there"),
        (["--out", "-", "--out", "-"], "once"),
        (["--out", ""], "--out is empty"),
        (["--max-pixels", "inf"], "--max-pixels"),
        (["--min-face", "inf"], "the smallest face"),
        (["--min-face", "40", "--detector", "none"], "leave out --min-face"),
        (["--model", "nowhere.onnx"], "nowhere.onnx"),
        (["--min-face", "3"], "the smallest face is 12 pixels"),
        (["--emotions", "six"], "six"),
        (["--detector", "haar"], "haar"),
    ],
)
def test_usage_errors_end_with_2(run, astronaut, arguments, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("analyze", astronaut, *arguments)
    assert done.status == 2
    assert reason in done.err
    assert list(tmp_path.iterdir()) == []


def test_one_file_cannot_hold_two_pictures(run, astronaut, tmp_path):
    done = run("analyze", astronaut, EXAMPLES / "three_people.jpg", "--out", tmp_path / "x.png")
    assert done.status == 2
    assert "name a folder" in done.err


def test_pictures_of_one_name_do_not_overwrite_each_other(run, folder, astronaut, tmp_path):
    (tmp_path / "other").mkdir()
    shutil.copy(astronaut, tmp_path / "other" / "a.jpg")
    done = run("analyze", folder / "a.jpg", tmp_path / "other" / "a.jpg", "--out", tmp_path / "out")
    assert done.status == 2
    assert "both" in done.err


def test_the_input_is_never_written_over(run, folder):
    before = (folder / "a.jpg").read_bytes()
    done = run("analyze", folder / "a.jpg", "--out", folder / "a.jpg", "--overwrite")
    assert done.status == 2
    assert (folder / "a.jpg").read_bytes() == before
    assert run("analyze", folder, "--out", folder, "--overwrite").status == 2


def test_bad_model_file(run, astronaut, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    done = run("analyze", astronaut, "--model", tmp_path / "bad.onnx")
    assert done.status == 2
    assert "bad.onnx" in done.err and len(done.err.splitlines()) == 1


def test_names_with_odd_characters(run, astronaut, tmp_path):
    odd = tmp_path / "a photo ü\n[red].jpg"
    shutil.copy(astronaut, odd)
    done = run("analyze", odd)
    assert records(done.out)[0]["source"] == str(odd)


def test_help_and_version(run):
    assert run("--version").out == f"mien {mien.__version__}\n"
    text = run("analyze", "--help").out
    for option in ("--out", "--emotions", "--model", "--min-face", "--detector", "--recursive", "--overwrite"):
        assert option in text

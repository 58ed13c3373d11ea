"""`mien analyze` and `mien watch` on films and streams, as a user meets them."""

import csv
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mien.evaluation.scenes import write_film
from mien.sources import read_frames
from test_films import encode
from test_live import begin, in_real_time, serving

MIEN = Path(sys.executable).with_name("mien")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Return two seconds of one happy face, over which a camera sways, with a sound."""
    folder = tmp_path_factory.mktemp("films")
    write_film(folder / "silent.mp4", 1, (320, 240), 2)
    path = folder / "talk.mp4"
    with av.open(str(folder / "silent.mp4")) as silent, av.open(str(path), "w") as container:
        video = container.add_stream_from_template(silent.streams.video[0])
        audio = container.add_stream("aac", rate=48000)
        for packet in silent.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                container.mux(packet)
        for block in range(90):
            noise = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            noise.sample_rate, noise.pts = 48000, block * 1024
            noise.planes[0].update(np.random.default_rng(block).normal(0, 0.1, 1024).astype(np.float32).tobytes())
            container.mux(audio.encode(noise))
        container.mux(audio.encode(None))
    return path


def records(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def tracks(path) -> dict[str, int]:
    """Return how many packets each kind of stream has."""
    with av.open(str(path)) as container:
        found: dict[str, int] = {}
        for packet in container.demux():
            found[packet.stream.type] = found.get(packet.stream.type, 0) + (packet.size > 0)
    return found


def test_records_tables_and_the_annotated_film_in_one_run(run, film, tmp_path):
    outs = [tmp_path / name for name in ("all.jsonl", "all.csv", "all.parquet", "marked.mp4")]
    done = run("analyze", film, *(part for out in outs for part in ("--out", out)), "--summary")
    assert (done.status, done.err) == (0, "")
    lines = records(outs[0].read_text())
    assert [(line["frame"], line["time"]) for line in lines] == [(i, i / 25) for i in range(50)]
    assert {line["faces"][0]["track"] for line in lines} == {1}
    assert {line["faces"][0]["emotion"] for line in lines} == {"happy"}
    assert all(line["faces"][0]["smoothed"] for line in lines)
    with outs[1].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["time"] for row in rows] == [str(line["time"]) for line in lines]
    assert {row["track"] for row in rows} == {"1"}
    assert float(rows[3]["smoothed_happy"]) == lines[3]["faces"][0]["smoothed"]["happy"]
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    assert parquet.read_table(outs[2]).column("time").to_pylist() == [line["time"] for line in lines]
    assert tracks(outs[3]) == tracks(film)
    assert [frame.time for frame in read_frames(outs[3])] == [line["time"] for line in lines]
    head, person = done.out.splitlines()
    assert head.split() == ["person", "first", "last", "seconds", "happy"]
    assert person.split() == ["1", "0.0", "2.0", "2.0", "2.0"]


def test_a_part_at_fewer_frames(run, film):
    done = run("analyze", film, "--start", "0:00.5", "--end", "1.5", "--fps", "5", "--no-smooth")
    lines = records(done.out)
    assert [(line["frame"], line["time"]) for line in lines] == [
        (13, 0.52),
        (18, 0.72),
        (23, 0.92),
        (28, 1.12),
        (33, 1.32),
    ]
    assert lines[0]["faces"][0]["smoothed"] is None


def test_blurred_faces_cannot_be_found_and_the_numbers_are_the_same(run, film, tmp_path):
    plain = run("analyze", film)
    blurred = run("analyze", film, "--blur", "--out", tmp_path / "blurred.mp4", "--out", "-")
    assert records(blurred.out) == records(plain.out)
    again = records(run("analyze", tmp_path / "blurred.mp4", "--every", "10").out)
    assert len(again) == 5
    assert not any(line["faces"] for line in again)
    assert run("analyze", film, "--blur").status == 2
    assert run("analyze", film, "--blur", "--out", tmp_path / "b.mp4", "--crops", tmp_path / "c").status == 2


def test_folders_of_films(run, film, tmp_path):
    source = tmp_path / "in"
    (source / "more").mkdir(parents=True)
    (source / "a.mp4").write_bytes(film.read_bytes())
    with av.open(str(film)) as given, av.open(str(source / "more" / "b.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number, frame in enumerate(given.decode(video=0)):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert run("analyze", source, "-r", "--out", tmp_path / "out").status == 0
    made = [str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert sorted(made) == ["a.mp4", "more/b.avi.mkv"]
    assert {len(list(read_frames(tmp_path / "out" / name))) for name in made} == {50}


def sound_only() -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48000)
        for block in range(20):
            silence = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            silence.sample_rate, silence.pts = 48000, block * 1024
            silence.planes[0].update(bytes(4096))
            container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    return target.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: b"", "the file is empty"),
        (sound_only, "there is no video in it, only sound"),
        (lambda: encode().replace(b"avc1", b"zqzq"), "its video is coded in a way that cannot be decoded here"),
        (lambda: encode()[:2000], "the film has no index (moov)"),
    ],
)
def test_what_is_no_film_is_one_line_and_the_rest_is_done(run, film, tmp_path, content, reason):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(content())
    done = run("analyze", bad, film, "--fps", "1", "--out", tmp_path / "all.jsonl", "--out", tmp_path / "marked")
    assert done.status == 1
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith(f"mien: {bad}: {reason}")
    assert [line["error"] is None for line in records((tmp_path / "all.jsonl").read_text())] == [False, True, True]
    assert [path.name for path in (tmp_path / "marked").iterdir()] == ["talk.mp4"]


def test_a_film_cut_short_is_analysed_as_far_as_it_goes(run, film, tmp_path):
    write_film(tmp_path / "whole.ts", 1, (320, 240), 2, form="mpegts")
    data = (tmp_path / "whole.ts").read_bytes()
    cut = tmp_path / "cut.ts"
    cut.write_bytes(data[: len(data) // 2 // 188 * 188 + 100])
    done = run("analyze", cut, "--out", tmp_path / "cut.jsonl", "--out", tmp_path / "marked.mkv")
    assert done.status == 1
    (line,) = done.err.splitlines()
    assert line.startswith(f"mien: {cut}: the film breaks off after frame ")
    *good, last = records((tmp_path / "cut.jsonl").read_text())
    assert len(good) > 5
    assert all(one["faces"] and one["error"] is None for one in good)
    assert (last["faces"], last["error"]) == ([], line.removeprefix("mien: "))
    assert len(list(read_frames(tmp_path / "marked.mkv"))) == len(good)


@pytest.mark.parametrize(
    ("options", "status", "reason"),
    [
        (["--start", "9"], 1, "it ends at 1.96 s, and --start (start=) asks for what comes after 9 s"),
        (["--start", "soon"], 2, "--start soon: a time is seconds, or minutes and hours"),
        (["--start", "-1"], 2, "--start -1: a time is"),
        (["--start", "2", "--end", "1"], 2, "--end (end=) is 1.0: it is seconds, and more than --start"),
        (["--fps", "0"], 2, "--fps (fps=) is 0"),
        (["--every", "0"], 2, "--every (every=) is 0"),
        (["--every", "2", "--fps", "2"], 2, "give one of them"),
        (["--smooth", "0"], 2, "--smooth (smooth=) is a half-life"),
        (["--detect-every", "2"], 2, "--detect-every (detect_every=) is a number of seconds from 0 to 0.5"),
        (["--out", "film.webm"], 2, "film.webm: cannot write .webm files"),
    ],
)
def test_options_that_make_no_sense(run, film, options, status, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("analyze", film, *options)
    assert (done.status, len(done.err.splitlines())) == (status, 1)
    assert reason in done.err
    assert not list(tmp_path.iterdir())


def test_a_film_is_never_written_over_and_one_file_holds_one_film(run, film, tmp_path):
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(film.read_bytes())
    assert "one of the pictures or films to analyse" in run("analyze", copy, "--out", copy, "--overwrite").err
    assert "one film cannot hold 2" in run("analyze", copy, film, "--out", tmp_path / "both.mp4").err
    assert copy.read_bytes() == film.read_bytes()


def test_a_film_without_faces_has_a_row_a_frame(run, shared, tmp_path):
    out = tmp_path / "nobody.csv"
    done = run("analyze", shared / "media" / "no_face.mp4", "--out", out, "--summary")
    assert (done.status, done.err) == (0, "")
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 95
    assert {row["face"] for row in rows} == {""}
    assert "nobody was seen in" in done.out


# --- ended from outside -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_everything_up_to_there(film, tmp_path, number):
    long = tmp_path / "long.mp4"
    write_film(long, 1, (320, 240), 5, times=30)
    names = ("all.jsonl", "all.csv", "all.parquet", "marked.mp4")
    outs = [part for name in names for part in ("--out", str(tmp_path / name))]
    process = subprocess.Popen([MIEN, "analyze", long, *outs], stderr=subprocess.PIPE, text=True)
    partial = tmp_path / "all.jsonl.partial"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (partial.exists() and partial.read_text().count("\n") > 60):
        time.sleep(0.02)
    process.send_signal(number)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 130
    *finishing, error = error.splitlines()
    assert finishing in ([], ["mien: finishing what is begun; once more gives it up"])
    assert error.startswith("mien: interrupted; what is done so far is in ")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["long.mp4", *(f"{name}.partial" for name in names)]
    )
    assert all(f"{name}.partial" in error for name in names)
    lines = records(partial.read_text())  # whole records, to the last
    assert [line["frame"] for line in lines] == list(range(len(lines)))
    film = (tmp_path / "marked.mp4.partial").read_bytes()
    assert len(list(read_frames(film))) == len(lines)


@pytest.fixture(scope="module")
def stream_data():
    data = io.BytesIO()
    write_film(data, 1, (320, 240), 4, form="mpegts")
    return data.getvalue()


@pytest.mark.slow
def test_a_recording_of_a_stream_is_whole_when_somebody_ends_it(stream_data, tmp_path):
    outs = ["--out", tmp_path / "seen.jsonl", "--out", tmp_path / "seen.mp4"]
    with serving(in_real_time(stream_data, 30)) as url:
        process = subprocess.Popen([MIEN, "analyze", url, *outs], stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 30
        partial = tmp_path / "seen.jsonl.partial"
        while time.monotonic() < deadline and not (partial.exists() and partial.stat().st_size > 5000):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=20)
    assert (process.returncode, error.splitlines()[-1]) == (0, "mien: stopped")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seen.jsonl", "seen.mp4"]
    lines = records((tmp_path / "seen.jsonl").read_text())
    assert {line["source"] for line in lines} == {url}
    assert len(list(read_frames(tmp_path / "seen.mp4"))) == len(lines)


def test_a_stream_that_goes_away_is_told_and_what_came_is_kept(run, stream_data, tmp_path):
    def half(request):
        begin(request)
        request.wfile.write(stream_data[: len(stream_data) // 2])
        request.wfile.flush()
        time.sleep(0.3)
        request.connection.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER: a reset, not an end
        request.connection.close()

    with serving(half) as url:
        done = run("analyze", url, "--out", tmp_path / "seen.jsonl")
    lines = records((tmp_path / "seen.jsonl").read_text())
    assert any(line["faces"] for line in lines)
    assert done.status == 1
    assert done.err.startswith(f"mien: {url}: the stream has broken off")


def test_a_camera_that_is_not_there(run, tmp_path):
    for verb in ("analyze", "watch"):
        done = run(verb, "camera:987")
        assert done.status == 1
        assert done.err.startswith("mien: camera:987: ")
        assert len(done.err.splitlines()) == 1


# --- on a terminal ----------------------------------------------------------------------------------------------


def on_terminal(arguments, *, until=None, number=None) -> tuple[int, str]:
    """Run a command on a terminal of 100 columns; send it a signal once `until` is seen."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(
        [MIEN, *map(str, arguments)], stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
    )
    os.close(slave)
    seen, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([master], [], [], 0.1)[0]:
            try:
                seen += os.read(master, 65536)
            except OSError:
                break
        if until is not None and until in seen:
            process.send_signal(number)
            until = None
    os.close(master)
    return process.wait(20), seen.decode()


def test_a_film_on_a_terminal_has_a_bar_and_a_summary_of_its_people(film):
    status, seen = on_terminal(["analyze", film])
    assert status == 0
    assert "talk.mp4" in seen
    assert "50 faces" in seen
    assert re.search(r"\d+\.\dx", seen)  # times as fast as it plays
    assert re.search(r"\d+%", seen)
    assert re.search(r"1 .*0:00–0:02.*2\.0 s.*happy", seen)


def test_watching_shows_the_latest_and_ends_on_request(stream_data):
    with serving(in_real_time(stream_data, 20)) as url:
        status, seen = on_terminal(["watch", url], until=b"person 1", number=signal.SIGINT)
    assert status == 0
    assert "frames a second" in seen
    assert "happy" in seen
    assert "stopped" in seen
    assert "Traceback" not in seen


def test_watching_in_a_pipe_is_lines(run, film):
    done = run("watch", film)
    assert done.status == 0
    assert done.out.splitlines()[0] == "0.0 s  person 1  happy  100%"


# --- what others have left, and what they have closed --------------------------------------------------------------


def test_what_an_interrupted_run_has_left_is_told_before_anything_begins(run, film, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (source / name).write_bytes(film.read_bytes())
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.mp4.partial").touch()
    done = run("analyze", source, "--out", out, "--out", tmp_path / "all.jsonl")
    assert (done.status, done.err) == (
        2,
        f"mien: {out / 'b.mp4.partial'}: left by an interrupted run; move it away or pass --overwrite\n",
    )
    assert not (tmp_path / "all.jsonl.partial").exists()
    assert run("analyze", source, "--fps", "2", "--out", out, "--overwrite").status == 0


def test_a_mistake_leaves_nothing_that_would_block_the_right_command(run, film, tmp_path):
    records_out = ["--out", tmp_path / "all.jsonl", "--out", tmp_path / "all.parquet"]
    assert run("analyze", film, *records_out, "--out", tmp_path / "one.png").status == 1
    assert not list(tmp_path.iterdir())
    assert run("analyze", film, "--fps", "2", *records_out, "--out", tmp_path / "one.mp4").status == 0


def test_a_picture_beside_a_film_that_is_called_like_its_copy(run, film, astronaut, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    (source / "x.jpg").write_bytes(astronaut.read_bytes())
    (source / "x.jpg.mp4").write_bytes(film.read_bytes())
    assert run("analyze", source, "--fps", "1", "--out", tmp_path / "out").status == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["x.jpg", "x.jpg.mp4"]


@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-"])
def test_closed_streams_do_not_end_a_run(film, tmp_path, closed):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no film")
    out = tmp_path / "all.jsonl"
    done = subprocess.run(
        f"'{MIEN}' analyze '{bad}' '{film}' --fps 2 --summary --out '{out}' {closed}", shell=True, capture_output=True
    )
    assert done.returncode == 1
    assert len(records(out.read_text())) == 5


def test_an_interrupt_while_outputs_are_finished_loses_none(film, tmp_path):
    names = ["all.mp4", "all.jsonl", "all.parquet"]
    outs = [part for name in names for part in ("--out", str(tmp_path / name))]
    code = f"""
import os, signal, sys
from mien.cli import main
from mien.sinks import AnnotatedFilms
close = AnnotatedFilms.close
def interrupted(self, *, complete=True):
    os.kill(os.getpid(), signal.SIGINT)
    close(self, complete=complete)
AnnotatedFilms.close = interrupted
sys.argv = ["mien", "analyze", {str(film)!r}, *{outs!r}]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "mien: finishing what is begun; once more gives it up\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert len(list(read_frames(tmp_path / "all.mp4"))) == 50


def test_an_interrupt_that_is_ignored_stays_ignored(film, tmp_path):
    command = f"trap '' INT; exec '{MIEN}' analyze '{film}' --out '{tmp_path / 'all.jsonl'}'"
    process = subprocess.Popen(command, shell=True)
    time.sleep(0.7)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert len(records((tmp_path / "all.jsonl").read_text())) == 50

"""Annotated films as a player meets them: pictures at their times, the sound as it was, nothing half-written."""

import itertools
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mien.drawing.layout import FIRST, lay_out
from mien.emotions import SETS
from mien.errors import OutputError
from mien.results import Face, Frame, Result
from mien.sinks import AnnotatedFilms, AnnotatedPictures, film_name

EMOTIONS = SETS["eight"]
VARIABLE = list(itertools.accumulate([0, 500, 500, 1500, 200, 3000, 700] + [500] * 60))
"""Times of frames in 12800ths of a second."""


def make_film(path, ticks=VARIABLE, tick=Fraction(1, 12800), size=(64, 48), codecs=("aac",), form=None):
    """Write a film whose frames grow lighter, with a track of noise for each codec."""
    noise = np.random.default_rng(0)
    with av.open(str(path), "w", format=form) as output:
        pictures = output.add_stream("libx264", rate=25, width=size[0], height=size[1], time_base=tick)
        tracks = [output.add_stream(codec, rate=48000) for codec in codecs]
        for track, language in zip(tracks, ("fra", "jpn"), strict=False):
            track.metadata["language"] = language
        for number, pts in enumerate(ticks):
            light = np.full((size[1], size[0], 3), 40 + 2 * (number % 100), np.uint8)
            frame = av.VideoFrame.from_ndarray(light)
            frame.pts, frame.time_base = pts, tick
            output.mux(pictures.encode(frame))
        output.mux(pictures.encode(None))
        for track in tracks:
            context = track.codec_context
            long = context.frame_size or 1024
            for at in range(round(ticks[0] * tick * 48000), round(ticks[-1] * tick * 48000), long):
                samples = av.AudioFrame(format=context.format.name, layout="stereo", samples=long)
                for plane in samples.planes:
                    plane.update(noise.integers(0, 60, plane.buffer_size, dtype=np.uint8).tobytes())
                samples.sample_rate, samples.pts, samples.time_base = 48000, at, Fraction(1, 48000)
                output.mux(track.encode(samples))
            output.mux(track.encode(None))
    return path


def frames_of(path, source="clip"):
    """Return the frames and results of a film, timed as its reader does, with a face that moves."""
    with av.open(str(path)) as film:
        origin = film.start_time / 1e6
        decoded = [(frame.time - origin, frame.to_ndarray(format="rgb24")) for frame in film.decode(video=0)]
    shown = []
    for number, (time, pixels) in enumerate(decoded):
        result = Result(
            source, number, round(time, 6), pixels.shape[1], pixels.shape[0], "m", (face(10 + number / 9),)
        )
        shown.append((result, Frame(pixels, source, number, result.time)))
    return shown


def face(left, top=20, wide=14, track=1, confidence=0.65) -> Face:
    scores = {e: confidence if e == "happy" else (1 - confidence) / 7 for e in EMOTIONS}
    return Face((left, top, left + wide, top + wide), 0.9, scores, track=track, smoothed=scores)


def annotate_film(target, shown, original=None, *, complete=True, overwrite=False):
    sink = AnnotatedFilms({"clip": target}, {"clip": original}, overwrite=overwrite)
    for result, frame in shown:
        sink.write(result, frame)
    sink.close(complete=complete)
    return target


def pictures(path) -> list[tuple[Fraction, np.ndarray]]:
    with av.open(str(path)) as film:
        return [(f.pts * f.time_base, f.to_ndarray(format="rgb24")) for f in film.decode(video=0)]


def times(path) -> list[Fraction]:
    return [time for time, _ in pictures(path)]


def sound(path, track=0) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as film:
        return [(p.pts * p.time_base, bytes(p)) for p in film.demux(audio=track) if p.size]


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4")


@pytest.fixture(scope="module")
def shown(film):
    return frames_of(film)


def test_every_frame_stands_at_its_own_time_and_the_sound_is_the_same(film, shown, tmp_path):
    target = annotate_film(tmp_path / "new" / "out: 1.mp4", shown, film)
    assert [path.name for path in target.parent.iterdir()] == ["out: 1.mp4"]
    assert times(target) == times(film) == [Fraction(tick, 12800) for tick in VARIABLE]
    assert sound(target) == sound(film)
    with av.open(str(target)) as new, av.open(str(film)) as old:
        for a, b in zip(new.streams, old.streams, strict=True):
            assert abs(a.duration * a.time_base - b.duration * b.time_base) < Fraction(1, 1000)
        assert abs(new.duration - old.duration) < 1000
        video = new.streams.video[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (video.color_range, video.colorspace, video.color_primaries, video.color_trc) == (1, 6, 6, 6)
        assert new.streams.audio[0].language == "fra"
    assert target.read_bytes()[:2000].find(b"moov") > 0  # before the pictures: it plays while it loads


@pytest.mark.parametrize("size", [(64, 48), (64, 720)])
def test_pictures_are_the_annotated_ones_in_the_same_colours(tmp_path, size):
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, 32:] = (40, 160, 90)
    pixels[:, :16] = (220, 40, 60)
    faces = (face(14, 20, 10),)
    for name, found in (("plain", ()), ("marked", faces)):
        result = Result("clip", 0, 0.0, *size, "m", found)
        annotate_film(tmp_path / f"{name}.mp4", [(result, Frame(pixels, "clip", 0, 0.0))])
    ((_, plain),), ((_, marked),) = pictures(tmp_path / "plain.mp4"), pictures(tmp_path / "marked.mp4")
    for column in (4, 24, 56):
        assert abs(plain[:, column].astype(int) - pixels[:, column]).max() <= 6
    assert abs(plain.astype(int) - marked).max() > 50


@pytest.mark.parametrize("suffix", [".mkv", ".mov", ".m4v"])
def test_other_containers(film, shown, tmp_path, suffix):
    target = annotate_film(tmp_path / f"out{suffix}", shown, film)
    assert times(target)[0] == 0
    unit = Fraction(1, 1000) if suffix == ".mkv" else 0
    assert all(abs(a - b) <= unit for a, b in zip(times(target), times(film), strict=True))
    # Matroska cannot begin before 0: what a decoder is given before the first sound is left out
    kept = [(time, data) for time, data in sound(film) if time >= 0 or suffix != ".mkv"]
    assert [data for _, data in sound(target)] == [data for _, data in kept]
    assert all(abs(a - b) <= unit for (a, _), (b, _) in zip(sound(target), kept, strict=True))


def test_of_a_part_there_is_the_sound_of_that_part_in_step(film, shown, tmp_path):
    target = annotate_film(tmp_path / "out.mp4", shown[20:50], film)
    begin, end = Fraction(VARIABLE[20], 12800), Fraction(VARIABLE[50], 12800)
    assert times(target) == [time - begin for time in times(film)[20:50]]
    where = {data: time for time, data in sound(film)}
    moved = [(time, where[data] - begin) for time, data in sound(target)]
    assert all(abs(new - old) <= Fraction(1, 48000) for new, old in moved)
    assert -0.15 < moved[0][0] <= 0  # a decoder needs some before; it is not heard
    assert end - begin - Fraction(1024, 48000) <= moved[-1][0] < end - begin
    with av.open(str(target)) as new:
        assert abs(new.duration / 1e6 - float(end - begin)) < 0.03


def test_a_long_way_into_a_film(tmp_path):
    film = make_film(tmp_path / "long.mkv", ticks=range(0, 12000, 40), tick=Fraction(1, 1000))
    shown = frames_of(film)[200:210]
    target = annotate_film(tmp_path / "out.mkv", shown, film)
    assert times(target) == [Fraction(40 * number, 1000) for number in range(10)]
    where = {data: time for time, data in sound(film)}
    moved = [where[data] - time for time, data in sound(target)]
    assert moved and all(abs(shift - 8) <= Fraction(1, 1000) for shift in moved)


def test_frames_that_were_left_out_change_nothing_but_their_number(film, shown, tmp_path):
    target = annotate_film(tmp_path / "out.mp4", shown[::5], film)
    assert times(target) == times(film)[::5]
    assert sound(target) == sound(film)


def test_a_transport_stream_that_begins_late(tmp_path):
    film = make_film(
        tmp_path / "film.ts", ticks=range(180_000, 360_000, 3600), tick=Fraction(1, 90000), codecs=("mp2",)
    )
    target = annotate_film(tmp_path / "out.mp4", frames_of(film), film)
    begin = times(film)[0]
    assert begin > 1
    assert times(target) == [time - begin for time in times(film)]
    assert [data for _, data in sound(target)] == [data for _, data in sound(film)]
    for (new, _), (old, _) in zip(sound(target), sound(film), strict=True):
        assert abs(new - (old - begin)) <= Fraction(1, 10000)


def test_all_tracks_of_sound_are_there(tmp_path):
    film = make_film(
        tmp_path / "film.mkv", codecs=("aac", "libopus"), tick=Fraction(1, 1000), ticks=range(0, 2000, 40)
    )
    target = annotate_film(tmp_path / "out.mkv", frames_of(film), film)
    assert [[data for _, data in sound(target, track)] for track in (0, 1)] == [
        [data for _, data in sound(film, track)] for track in (0, 1)
    ]
    with av.open(str(target)) as new:
        assert [track.language for track in new.streams.audio] == ["fra", "jpn"]


@pytest.mark.parametrize(
    ("codec", "fits"),
    [
        ("pcm_s16le", {".mp4": False, ".mov": True, ".mkv": True}),
        ("libopus", {".mp4": True, ".mov": False, ".mkv": True}),
        ("flac", {".mp4": True, ".mov": False, ".mkv": True}),
        ("libmp3lame", {".mp4": True, ".mov": True, ".mkv": True}),
        ("ac3", {".mp4": True, ".mov": True, ".mkv": True}),
        ("adpcm_ms", {".mp4": False, ".mov": False, ".mkv": False}),
    ],
)
def test_sound_that_a_format_cannot_hold_is_told_at_once(tmp_path, codec, fits):
    name = "film.avi" if codec == "adpcm_ms" else "film.mkv"
    film = make_film(tmp_path / name, ticks=range(5), tick=Fraction(1, 25), codecs=(codec,))
    shown = frames_of(film)
    for suffix, fit in fits.items():
        target = tmp_path / f"out{suffix}"
        if fit:
            annotate_film(target, shown, film)
            assert len(sound(target)) > 0
            continue
        sink = AnnotatedFilms({"clip": target}, {"clip": film})
        with pytest.raises(OutputError, match="cannot hold its sound") as refused:
            sink.write(*shown[0])
        assert (".mkv can: name NAME.mkv" in str(refused.value)) == (suffix != ".mkv")
        sink.close(complete=False)
        assert not target.exists() and not target.with_name(target.name + ".partial").exists()


@pytest.mark.parametrize("size", [(33, 25), (1, 1), (64, 25)])
def test_odd_sizes_get_their_edge_repeated(tmp_path, size):
    pixels = np.random.default_rng(1).integers(0, 256, (1, size[0], 3), dtype=np.uint8).repeat(size[1], axis=0)
    annotate_film(tmp_path / "a.mp4", [(Result("clip", 0, 0.0, *size, "m"), Frame(pixels, "clip", 0, 0.0))])
    ((_, picture),) = pictures(tmp_path / "a.mp4")
    assert picture.shape == (size[1] + size[1] % 2, size[0] + size[0] % 2, 3)
    assert abs(picture[-1].astype(int) - picture[-2]).max() <= 20


def test_frames_of_another_size_are_fitted_between_black_bars(tmp_path):
    shown = []
    for number, (height, width) in enumerate([(48, 64), (48, 64), (96, 32), (10, 200)]):
        pixels = np.full((height, width, 3), 200, np.uint8)
        result = Result("clip", number, number / 10, width, height, "m")
        shown.append((result, Frame(pixels, "clip", number, result.time)))
    seen = [picture[:, :, 1] for _, picture in pictures(annotate_film(tmp_path / "a.mp4", shown))]
    assert {picture.shape for picture in seen} == {(48, 64)}
    assert [(p[24, 32] > 190, p[24, 2] > 190, p[2, 32] > 190) for p in seen] == [
        (True, True, True), (True, True, True), (True, False, True), (True, True, False),
    ]  # fmt: skip


def test_times_that_stand_still_or_go_back_are_moved_on_by_a_tick(tmp_path):
    pixels = np.zeros((48, 64, 3), np.uint8)
    stamps = [0.0, 0.1, 0.1, 0.05, 0.2, 0.2]
    shown = [(Result("clip", i, t, 64, 48, "m"), Frame(pixels, "clip", i, t)) for i, t in enumerate(stamps)]
    seen = [round(time * 90_000) for time in times(annotate_film(tmp_path / "a.mp4", shown))]
    assert seen == [0, 9000, 9001, 9002, 18000, 18001]


def test_a_film_that_breaks_off_is_finished_and_the_next_one_begins(film, shown, tmp_path):
    targets = {name: tmp_path / f"{name}.mp4" for name in ("clip", "other")}
    sink = AnnotatedFilms(targets, {"clip": film})
    for result, frame in shown[:30]:
        sink.write(result, frame)
    sink.write(Result("clip", 30, None, None, None, "m", error="clip: breaks off"), None)
    sink.write(Result("photo", 0, None, 64, 48, "m"), Frame(shown[0][1].pixels, "photo"))
    for result, frame in frames_of(film, "other")[:10]:
        sink.write(result, frame)
    assert targets["clip"].exists() and not targets["other"].exists()
    sink.close()
    assert times(targets["clip"]) == times(film)[:30]
    assert len(times(targets["other"])) == 10
    assert len(list(tmp_path.iterdir())) == 2


def test_an_original_that_is_cut_short_gives_the_sound_that_is_left(tmp_path):
    film = make_film(tmp_path / "film.mkv", ticks=range(0, 4000, 40), tick=Fraction(1, 1000))
    shown = frames_of(film)
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    target = annotate_film(tmp_path / "out.mkv", shown[:40], film)
    assert len(times(target)) == 40
    assert 0 < len(sound(target)) <= len(sound(film))


def test_after_an_interrupt_there_is_a_film_that_plays_under_its_provisional_name(film, shown, tmp_path):
    target = annotate_film(tmp_path / "out.mp4", shown[:20], film, complete=False)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4.partial"]
    assert times(tmp_path / "out.mp4.partial") == times(film)[:20]
    with pytest.raises(OutputError, match="left by an interrupted run"):
        annotate_film(target, shown, film)
    annotate_film(target, shown, film, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_a_film_that_exists_is_kept(film, shown, tmp_path):
    target = tmp_path / "out.mp4"
    target.write_text("mine")
    with pytest.raises(OutputError, match="it exists already"):
        annotate_film(target, shown, film)
    assert target.read_text() == "mine"
    annotate_film(target, shown, film, overwrite=True)
    assert times(target) == times(film)


def test_a_film_named_twice_is_written_again(film, shown, tmp_path):
    annotate_film(tmp_path / "out.mp4", [*shown, *shown], film)
    assert times(tmp_path / "out.mp4") == times(film)


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from mien.errors import OutputError
from mien.results import Frame, Result
from mien.sinks import AnnotatedFilms
if limit := int(sys.argv[2]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sink = AnnotatedFilms({"clip": Path(sys.argv[1])}, {})
noise = np.random.default_rng(0)
try:
    for number in range(60):
        pixels = noise.integers(0, 256, (96, 128, 3), dtype=np.uint8)
        sink.write(Result("clip", number, number / 25, 128, 96, "m"), Frame(pixels, "clip", number, number / 25))
    sink.close()
except OutputError as error:
    print(error)
sink.close(complete=False)
"""


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, suffix):
    pytest.importorskip("resource", reason="needs a system with limits on the size of files")
    target = tmp_path / f"out{suffix}"
    command = [sys.executable, "-c", FULL_DISK, str(target)]
    subprocess.run([*command, "0"], check=True)
    whole = target.stat().st_size
    target.unlink()
    for limit in (20, whole // 2, whole - 100):  # at the beginning, in the middle, and as it is finished
        done = subprocess.run([*command, str(limit)], capture_output=True, text=True, check=False)
        assert done.stdout == f"{target}: cannot be written (File too large)\n"
        assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(shown, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"out\.mp4: cannot be written"):
        annotate_film(tmp_path / "file" / "out.mp4", shown)


@pytest.mark.parametrize(
    ("source", "name"),
    [("a/clip.mp4", "a/clip.mp4"), ("clip.MOV", "clip.MOV"), ("old.avi", "old.avi.mkv"), ("d.gif", "d.gif.mp4")],
)
def test_names(source, name):
    assert film_name(Path(source)) == Path(name)


def test_pictures_leave_films_to_the_sink_beside_them(shown, tmp_path):
    sink = AnnotatedPictures({"clip": tmp_path / "clip.png"})
    sink.write(*shown[0])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(
        OutputError, match=r"one picture cannot hold a film; name a film, such as clip\.mp4, or a fold"
    ):
        AnnotatedPictures({"clip": tmp_path / "clip.png"}, films=False).write(*shown[0])


def moving(number: int) -> list[Face]:
    """Return five faces that drift, come near the border and each other, tremble, and are not always seen."""
    shake = np.random.default_rng(number).normal(0, 0.7, (5, 2))
    faces = []
    for track in range(5):
        turn = number / (90 + 17 * track) + 1.3 * track
        x, y = 320 + 250 * np.sin(turn), 150 + 110 * np.cos(0.7 * turn + track)
        confidence = 0.55 + 0.44 * np.sin(number / 7 + track)
        if (number * 7 + track * 31) % 47:  # missed now and then
            faces.append(face(x + shake[track, 0], y + shake[track, 1], 50 + 3 * track, track + 1, abs(confidence)))
    return faces


def hops(steady: bool) -> tuple[float, float]:
    """Return the share of labels, and of bars, that jump against their boxes from one frame to the next."""
    layout, last, count, jumped = FIRST, {}, 0, np.zeros(2)
    for number in range(600):
        layout = lay_out(moving(number), (640, 360), layout if steady else None)
        for mark in layout.marks:
            now = ((mark.tag and mark.tag.choice, layout.text), mark.side)
            if mark.face.track in last:
                count += 1
                jumped += [a != b for a, b in zip(now, last[mark.face.track], strict=True)]
            last[mark.face.track] = now
    return tuple(jumped / count)


@pytest.mark.slow
def test_labels_and_bars_stay_where_they_are_while_faces_move():
    still, film = hops(steady=False), hops(steady=True)
    assert film[0] < 0.02 and film[1] < 0.03
    assert film[0] < still[0] / 2 and film[1] < still[1] / 2


def test_in_a_film_labels_do_not_overlap_and_lie_in_the_picture():
    layout = FIRST
    for number in range(0, 600, 3):
        layout = lay_out(moving(number), (640, 360), layout)
        places = [mark.tag.place for mark in layout.marks if mark.tag] + [m.panel for m in layout.marks if m.panel]
        assert all(0 <= x1 < x2 <= 640 and 0 <= y1 < y2 <= 360 for x1, y1, x2, y2 in places)
        for a, b in itertools.combinations(places, 2):
            assert not (a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3])


def test_a_label_keeps_its_width_whatever_its_number_says():
    layout, widths = FIRST, set()
    for confidence in (0.2, 0.87, 0.31, 1.0):
        layout = lay_out([face(100, 100, 80, confidence=confidence)], (640, 360), layout)
        (mark,) = layout.marks
        widths.add((mark.tag.place, mark.panel))
    assert len(widths) == 1


def test_rows_of_bars_change_places_only_for_a_clear_difference():
    def order(sad: float, angry: float, before) -> list[str]:
        scores = dict.fromkeys(EMOTIONS, 0.0) | {"happy": 1 - sad - angry, "sad": sad, "angry": angry}
        layout = lay_out([Face((100, 100, 180, 200), 0.9, scores, track=1)], (640, 360), before)
        return [str(emotion) for emotion, _ in layout.marks[0].ranking][:3], layout

    first, layout = order(0.11, 0.10, FIRST)
    near, layout = order(0.10, 0.11, layout)
    clear, layout = order(0.10, 0.20, layout)
    top, _ = order(0.10, 0.60, layout)
    assert (first, near) == (["happy", "sad", "angry"],) * 2
    assert clear == ["happy", "angry", "sad"]
    assert top == ["angry", "happy", "sad"]


def test_a_pipe_that_has_been_read_is_not_waited_for(shown, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    target = annotate_film(tmp_path / "out.mp4", shown[:3], tmp_path / "pipe")
    assert [round(time * 12800) for time in times(target)] == VARIABLE[:3]

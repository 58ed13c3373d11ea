"""Segments of films: read and analysed each on its own, together they are the whole."""

import io
import pickle
from dataclasses import replace
from itertools import pairwise

import av
import numpy as np
import pytest

import mien
from mien.segments import join
from mien.sources import Selection, find_segments, open_segment, read_frames
from mien.sources.clock import Clock
from test_films import encode

RATE = 5
EVERY = Selection(every=3)


def long_film(form="mp4", codec="libx264", *, seconds=100, **how):
    """Return a small film, with keyframes 7 s apart: not where its segments are asked to begin."""
    how = {"gop": 7 * RATE, "size": (48, 32), **how}
    rate = how.pop("rate", RATE)
    return encode(form, codec, frames=seconds * rate, rate=rate, noise=True, **how)


def whole(film, selection):
    return [(f.index, f.time, f.segment, f.pixels) for f in read_frames(film, selection=selection)]


def in_parts(film, selection):
    """Return what `whole` does, of each segment read on its own, with the latest first; and whether it is exact."""
    parts, exact = [], []
    for segment in reversed(find_segments(film, selection=selection)):
        with open_segment(film, pickle.loads(pickle.dumps(segment)), selection=selection, threads=1) as (
            opened,
            frames,
        ):
            parts.append([(f.index, f.time, f.pixels) for f in frames])
            exact.append(opened.exact)
    return parts[::-1], all(exact)


FILMS = {
    "mp4": {},
    "two seconds": {"gop": 2 * RATE},
    "open gop": {"options_": {"x264-params": "open-gop=1:bframes=3:b-adapt=0:scenecut=0:keyint=35"}},
    "mov": {"form": "mov"},
    "matroska": {"form": "matroska"},
    "mpegts": {"form": "mpegts"},
    "flv": {"form": "flv"},
    "hevc": {
        "codec": "libx265",
        "size": (128, 96),
        "options_": {"x265-params": "log-level=none:open-gop=1:bframes=3:pools=1"},
    },
    "vp9": {"form": "webm", "codec": "libvpx-vp9", "options_": {"deadline": "realtime", "cpu-used": "8"}},
    "mpeg2": {
        "form": "mpegts",
        "codec": "mpeg2video",
        "rate": 25,
        "setup": lambda stream: setattr(stream, "max_b_frames", 2),
    },
    "fragments": {"options": {"movflags": "frag_keyframe+empty_moov"}},
}


def made(name):
    how = dict(FILMS[name])
    return long_film(**how.pop("options_", {}), **how)


@pytest.mark.parametrize(
    "name", [name if name in ("mp4", "open gop") else pytest.param(name, marks=pytest.mark.slow) for name in FILMS]
)
@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        Selection(start=33.3, end=95.0, every=7),
        Selection(fps=0.7),
    ],
    ids=["all", "every", "fps"],
)
def test_segments_read_on_their_own_are_the_film(name, selection):
    film = made(name)
    parts, exact = in_parts(film, selection)
    assert exact
    frames = whole(film, selection)
    assert len(parts) == len({frame[2] for frame in frames}) > 2
    assert [frame[:2] for part in parts for frame in part] == [frame[:2] for frame in frames]
    segments = [frame[2] for frame in frames]
    borders = [i for i in range(1, len(frames)) if segments[i] != segments[i - 1]]
    assert borders == list(np.cumsum([len(part) for part in parts])[:-1])
    for (_, _, alone), (_, _, _, pixels) in zip((f for part in parts for f in part), frames, strict=True):
        assert np.array_equal(alone, pixels)


def test_segments_begin_at_the_first_keyframe_from_each_multiple_of_30_seconds():
    film = made("mp4")
    with av.open(io.BytesIO(film)) as container:
        keyframes = sorted(p.pts * float(p.time_base) for p in container.demux() if p.is_keyframe and p.size)
    wanted = [0.0, *(next(time for time in keyframes if time >= since) for since in (30, 60, 90))]
    assert [segment.frame / RATE for segment in find_segments(film)] == pytest.approx(wanted)


@pytest.mark.parametrize(
    "film", [{"form": "avi", "codec": "mpeg4"}, {"form": "asf", "codec": "mpeg4"}, {"seconds": 20}]
)
def test_what_cannot_be_counted_or_is_short_is_one_segment(film):
    data = long_film(**film)
    assert find_segments(data) == []
    assert {frame.segment for frame in read_frames(data)} == {0}


def test_pictures_have_no_segments(astronaut):
    assert find_segments(astronaut) == []


@pytest.mark.parametrize("name", ["mp4", "matroska", "mpegts", "flv"])
def test_a_segment_is_reached_without_decoding_what_comes_before(name, monkeypatch):
    film = made(name)
    *_, last = find_segments(film)
    timed = []
    monkeypatch.setattr(Clock, "time", lambda clock, frame: timed.append(frame.pts) or 0.0)
    with open_segment(film, last) as (_, frames):
        assert len(list(frames)) == 100 * RATE - last.frame
    assert timed[0] == last.begin
    assert len(timed) == 100 * RATE - last.frame


def test_timestamps_that_begin_anew_end_the_borders():
    film = long_film("mpegts", seconds=40) + long_film("mpegts", seconds=70)
    frames = whole(film, Selection())
    assert {frame[2] for frame in frames} == {0, 1}
    parts, _ = in_parts(film, Selection())
    assert len(parts[0]) == [frame[2] for frame in frames].count(0)


@pytest.fixture(scope="module")
def real_film(shared, tmp_path_factory):
    """Return a film of 66 seconds of one real face, 160 pictures from a clip with other timestamps, and B-frames."""
    path = tmp_path_factory.mktemp("films") / "real.mp4"
    pictures = [
        frame.pixels[::2, ::2] for frame in read_frames(shared / "media" / "one_face_20s.mp4", selection=EVERY)
    ]
    rate = 2
    encode(
        frames=66 * rate, rate=rate, size=(320, 180), gop=9, path=path, pictures=lambda i: pictures[i % len(pictures)]
    )
    return path


def analysed_in_parts(analyzer, film, *, smooth=0.4, **options):
    selection = Selection(**options)
    parts = [
        pickle.loads(pickle.dumps(analyzer.analyze_segment(film, segment, name=str(film), selection=selection)))
        for segment in reversed(find_segments(film, selection=selection))
    ]
    assert all(part.exact for part in parts)
    return list(join(reversed(parts), smooth=smooth))


def assert_same(results, others):
    assert len(results) == len(others)
    for one, other in zip(results, others, strict=True):
        assert replace(one, faces=()) == replace(other, faces=())
        assert [face.track for face in one.faces] == [face.track for face in other.faces]
        for face, again in zip(one.faces, other.faces, strict=True):
            assert face.box == pytest.approx(again.box, abs=0.01)
            assert face.scores == pytest.approx(again.scores, abs=1e-5)
            assert (face.smoothed is None) == (again.smoothed is None)
            assert face.shown == pytest.approx(again.shown, abs=1e-5)


@pytest.mark.slow
def test_a_real_person_sits_through_the_borders(real_film, analyzer):
    results = list(analyzer.stream(real_film))
    assert [result.time for result in results] == [i / 2 for i in range(132)]
    assert {tuple(face.track for face in result.faces) for result in results} == {(1,)}
    jumps = [
        max(abs(a.faces[0].smoothed[e] - b.faces[0].smoothed[e]) for e in a.faces[0].smoothed)
        for a, b in pairwise(results)
    ]
    border = find_segments(real_film)[1].frame
    assert results[border].faces[0].smoothed != results[border].faces[0].scores
    assert jumps[border - 1] <= max(jumps[: border - 1])
    assert_same(analysed_in_parts(mien.Analyzer(threads=1), real_film), results)


@pytest.mark.parametrize(
    "options", [{"start": 20.2, "end": 61.0, "every": 3}, {"fps": 0.9, "smooth": None}], ids=["every", "fps"]
)
@pytest.mark.slow
def test_a_selection_of_a_real_film(real_film, analyzer, options):
    assert_same(analysed_in_parts(analyzer, real_film, **options), list(analyzer.stream(real_film, **options)))


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_film_cut_short_says_so_at_its_end(analyzer, share, tmp_path):
    film = long_film("matroska", seconds=70)
    path = tmp_path / "film.mkv"
    path.write_bytes(film[: int(len(film) * share)])
    results = list(analyzer.stream(path))
    assert "the film breaks off" in results[-1].error
    assert_same(analysed_in_parts(analyzer, path), results)


def test_a_damaged_film_tells_how_many_frames_are_lost(analyzer, tmp_path):
    film = bytearray(long_film("matroska", seconds=70))
    with av.open(io.BytesIO(film)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux() if packet.size]
    for number in (20, 200):
        place, size = places[number]
        film[place + 8 : place + size] = bytes(size - 8)
    path = tmp_path / "film.mkv"
    path.write_bytes(film)
    results = list(analyzer.stream(path))
    assert "the film is damaged" in results[-1].error
    assert_same(analysed_in_parts(analyzer, path), results)

"""Films: every frame with its number and time, upright and in its colours, and damage told in one line."""

import contextlib
import io
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mien.errors import SourceError, UsageError
from mien.sources import Selection, find_pictures, open_media, read_frames, read_picture
from mien.sources.folder import FILM_SUFFIXES

SIZE = (96, 64)


def encode(
    form: str = "mp4",
    codec: str = "libx264",
    *,
    frames: int = 48,
    size: tuple[int, int] = SIZE,
    rate: int = 24,
    times: list[int] | None = None,
    pictures: Callable[[int], np.ndarray] | None = None,
    noise: bool = False,
    sound: float = 0.0,
    gop: int = 12,
    setup: Callable[[av.VideoStream], None] = lambda stream: None,
    path: Path | None = None,
    options: dict[str, str] | None = None,
    pixel_format: str = "yuv420p",
    **codec_options: str,
) -> bytes:
    """Return a film of which each frame differs; `times` are milliseconds, `sound` is seconds."""
    target = io.BytesIO() if path is None else str(path)
    random = np.random.default_rng(0)
    with av.open(target, "w", format=form, options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt, stream.gop_size, stream.options = pixel_format, gop, codec_options
        if codec == "libx264":
            stream.max_b_frames = 3
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        setup(stream)
        audio = container.add_stream("aac", rate=48000) if sound else None
        for i in range(frames):
            picture = np.zeros((size[1], size[0], 3), np.uint8)
            if pictures is not None:
                picture = pictures(i)
            elif noise:
                picture = random.integers(0, 256, picture.shape, dtype=np.uint8)
            else:
                picture[:, :, 0] = i * 5 % 256
                picture[:, : i * 2 % size[0], 1] = 200
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = i if times is None else times[i]
            frame.time_base = Fraction(1, rate if times is None else 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None:
            mux_silence(container, audio, sound)
    return target.getvalue() if path is None else path.read_bytes()


def mux_silence(container, stream, seconds: float) -> None:
    for block in range(int(seconds * 48000 / 1024)):
        silence = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        silence.sample_rate, silence.pts = 48000, block * 1024
        silence.planes[0].update(bytes(4096))
        container.mux(stream.encode(silence))
    container.mux(stream.encode(None))


def quarters(size: tuple[int, int]) -> np.ndarray:
    """Return a picture of which each quarter has another colour, so that any turn or mix-up shows."""
    width, height = size
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = (200, 30, 40)
    picture[: height // 2, width // 2 :] = (20, 180, 60)
    picture[height // 2 :, : width // 2] = (30, 50, 210)
    picture[height // 2 :, width // 2 :] = (230, 220, 20)
    return picture


def assert_same_quarters(pixels: np.ndarray, wanted: np.ndarray, tolerance: int = 14) -> None:
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    for down in (0.25, 0.75):
        for across in (0.25, 0.75):
            seen, known = (p[int(p.shape[0] * down), int(p.shape[1] * across)].astype(int) for p in (pixels, wanted))
            assert np.abs(seen - known).max() <= tolerance, (down, across, seen, known)


def listed(source, **options) -> list[tuple[int, float]]:
    return [(frame.index, frame.time) for frame in read_frames(source, **options)]


def read_until_error(source, **options) -> tuple[list[int], str]:
    """Return the numbers of the frames before the error, and what it says."""
    seen: list[int] = []
    frames = read_frames(source, name="film", **options)
    with pytest.raises(SourceError) as caught:
        seen.extend(frame.index for frame in frames)
    assert len(str(caught.value).splitlines()) == 1
    return seen, str(caught.value)


FORMS = [
    ("mp4", "libx264"),
    ("mov", "libx264"),
    ("matroska", "libx264"),
    ("webm", "libvpx-vp9"),
    ("webm", "libvpx"),
    ("mpegts", "libx264"),
    ("mpeg", "mpeg2video"),
    ("avi", "mpeg4"),
    ("flv", "libx264"),
    ("asf", "mpeg4"),
    ("ogg", "libvpx"),
    ("yuv4mpegpipe", "wrapped_avframe"),
]


@pytest.mark.parametrize(("form", "codec"), FORMS)
def test_formats(form, codec, tmp_path):
    data = encode(form, codec, frames=30)
    path = tmp_path / "film"  # what it is, its content says
    path.write_bytes(data)
    frames = list(read_frames(path))
    assert [frame.index for frame in frames] == list(range(30))
    assert [frame.time for frame in frames] == pytest.approx([i / 24 for i in range(30)], abs=0.002)
    for i in (0, 29):
        assert frames[i].pixels.shape == (64, 96, 3)
        assert abs(int(frames[i].pixels[30, 90, 0]) - i * 5) < 16
    assert frames[0].source == str(path)
    assert listed(data) == listed(path)
    for start in (0.5, 1.03):
        assert listed(data, selection=Selection(start=start)) == [
            known for known in listed(data) if known[1] >= start
        ]


def test_a_transport_stream_begins_at_zero():
    data = encode("mpegts")
    with av.open(io.BytesIO(data)) as container:
        assert container.start_time > 0
    assert listed(data)[0] == (0, 0.0)


@pytest.mark.parametrize("form", ["mp4", "matroska", "mpegts"])
def test_variable_frame_rate(form):
    times = [0, 40, 80, 500, 510, 600, 1500, 1540]
    data = encode(form, frames=8, times=times, rate=25)
    assert [time for _, time in listed(data)] == pytest.approx([time / 1000 for time in times], abs=0.021)
    if form == "matroska":
        assert [time for _, time in listed(data)] == [time / 1000 for time in times]


def test_times_go_on_where_timestamps_begin_anew():
    joined = encode("mpegts", frames=24) + encode("mpegts", frames=24, size=(128, 96))
    frames = list(read_frames(joined))
    assert [frame.time for frame in frames] == pytest.approx([i / 24 for i in range(48)], abs=0.002)
    assert [frame.pixels.shape for frame in frames] == [(64, 96, 3)] * 24 + [(96, 128, 3)] * 24
    later = listed(joined, selection=Selection(start=1.5))
    assert later == [(frame.index, frame.time) for frame in frames if frame.time >= 1.5]


def test_a_bare_stream_has_times_by_its_rate():
    data = encode("h264", frames=24) + encode("h264", frames=24, size=(128, 96))
    frames = list(read_frames(data))
    assert [frame.index for frame in frames] == list(range(48))
    assert frames[-1].pixels.shape == (96, 128, 3)
    times = [frame.time for frame in frames]
    assert times == sorted(set(times))


@pytest.mark.parametrize("gop", [12, 900])
@pytest.mark.parametrize("form", ["mp4", "matroska", "mpegts"])
def test_a_start_gives_what_the_whole_gives_from_there(form, gop):
    """The same numbers, times and pixels; with B-frames, and leading ones that show before their keyframe."""
    data = encode(form, frames=700, size=(32, 32), rate=30, gop=gop, **{"x264-params": "open-gop=1:bframes=3"})
    whole = list(read_frames(data))
    assert len(whole) == 700
    for start in (0.001, whole[333].time, 20.0, whole[-1].time):
        later = list(read_frames(data, selection=Selection(start=start)))
        wanted = [frame for frame in whole if frame.time >= start]
        assert [(frame.index, frame.time) for frame in later] == [(frame.index, frame.time) for frame in wanted]
        assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(later, wanted, strict=True))


def test_a_start_does_not_decode_what_is_before(monkeypatch):
    from mien.sources.clock import Clock

    data = encode("mp4", frames=240)
    decoded = []
    time_of = Clock.time
    monkeypatch.setattr(Clock, "time", lambda self, frame: decoded.append(frame) or time_of(self, frame))
    assert listed(data, selection=Selection(start=9.0))[0] == (216, 9.0)
    assert len(decoded) < 40


@pytest.mark.parametrize(("clip", "frames", "last"), [("one_face_20s", 472, 19.644625), ("no_face", 95, 3.916667)])
def test_real_clips(shared, clip, frames, last):
    """An edit list leaves out the first three of no_face.mp4, as players do."""
    path = shared / "media" / f"{clip}.mp4"
    whole = listed(path)
    assert [index for index, _ in whole] == list(range(frames))
    assert whole[-1][1] == last
    start = last / 2
    kept = {f.index: f.pixels for f in read_frames(path, selection=Selection(start=start, end=start + 0.5))}
    for frame in read_frames(path):
        if frame.index in kept:
            assert np.array_equal(frame.pixels, kept.pop(frame.index))
    assert not kept
    for start in (last / 2, last * 0.9):
        assert listed(path, selection=Selection(start=start)) == [known for known in whole if known[1] >= start]


def test_frames_a_second_and_every():
    data = encode("mp4", frames=48)
    numbers = {
        Selection(fps=6): list(range(0, 48, 4)),
        Selection(fps=5): [0, 5, 10, 15, 20, 24, 29, 34, 39, 44],
        Selection(fps=1000): list(range(48)),
        Selection(fps=3, start=0.5, end=1.5): [12, 20, 28],
        Selection(every=7): list(range(0, 48, 7)),
        Selection(every=7, start=0.5): list(range(12, 48, 7)),
        Selection(end=0.125): [0, 1, 2],
    }
    for selection, wanted in numbers.items():
        assert [index for index, _ in listed(data, selection=selection)] == wanted, selection


def test_a_moving_picture_is_selected_from_too():
    stream = io.BytesIO()
    first, *others = (Image.new("RGB", (4, 4), (i * 20, 0, 0)) for i in range(10))
    first.save(stream, "GIF", save_all=True, append_images=others, duration=100)
    data = stream.getvalue()
    assert [index for index, _ in listed(data, selection=Selection(start=0.3, end=0.8))] == [3, 4, 5, 6, 7]
    assert [index for index, _ in listed(data, selection=Selection(every=4))] == [0, 4, 8]
    with pytest.raises(SourceError, match=r"it ends at 0\.9 s"):
        listed(data, selection=Selection(start=3))
    still = io.BytesIO()
    first.save(still, "PNG")
    assert listed(still.getvalue(), selection=Selection(start=3)) == [(0, None)]


@pytest.mark.parametrize("form", ["mp4", "avi"])
def test_nothing_selected(form):
    data = encode(form, "libx264" if form == "mp4" else "mpeg4")
    seen, message = read_until_error(data, selection=Selection(start=5))
    assert message == "film: it ends at 1.95833 s, and --start (start=) asks for what comes after 5 s"
    seen, message = read_until_error(data, selection=Selection(start=0.01, end=0.03))
    assert not seen
    assert message == "film: no frame of it lies from 0.01 s (--start, start=) to 0.03 s (--end, end=)"
    late = encode("mpegts", frames=4, times=[2000, 2040, 2080, 2120], rate=25, sound=1)
    _, message = read_until_error(late, selection=Selection(end=0.5))
    assert "film: it begins at 2." in message and "--end (end=) asks for what comes before 0.5 s" in message


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"start": -1}, "--start"),
        ({"start": float("nan")}, "--start"),
        ({"end": 0}, "--end"),
        ({"start": 2, "end": 1}, "--end"),
        ({"end": float("inf")}, "--end"),
        ({"fps": 0}, "--fps"),
        ({"fps": float("nan")}, "--fps"),
        ({"every": 0}, "--every"),
        ({"fps": 2, "every": 2}, r"--fps \(fps=\) and --every \(every=\)"),
    ],
)
def test_a_selection_that_makes_no_sense(options, named):
    with pytest.raises(UsageError, match=f"^{named}"):
        Selection(**options)


TURNS = [(0, {}), (90, {}), (180, {}), (-90, {}), (0, {"hflip": True}), (0, {"vflip": True}), (90, {"hflip": True})]


@pytest.mark.parametrize(("degrees", "flips"), TURNS)
def test_films_are_upright(degrees, flips):
    """As the matrix in the file is defined: first turned, counterclockwise, and then flipped."""
    stored = quarters(SIZE)
    wanted = np.rot90(stored, degrees // 90)
    wanted = wanted[:: -1 if flips.get("vflip") else 1, :: -1 if flips.get("hflip") else 1]
    data = encode(
        frames=3, pictures=lambda i: stored, setup=lambda s: s.set_display_rotation(degrees, **flips), crf="8"
    )
    frame = read_picture(data)
    assert frame.pixels.shape == wanted.shape
    assert_same_quarters(frame.pixels, wanted)
    small = frame.reduced(frame.width // 2, frame.height // 2)
    assert small.shape == (frame.height // 2, frame.width // 2, 3)
    assert_same_quarters(small, wanted)


@pytest.mark.parametrize(("aspect", "size"), [((4, 3), (128, 64)), ((1, 2), (96, 128)), ((1, 1000), (96, 64))])
def test_oblong_pixels_are_made_square(aspect, size):
    def setup(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(*aspect)

    data = encode(frames=2, pictures=lambda i: quarters(SIZE), setup=setup, crf="8")
    frame = read_picture(data)
    assert (frame.width, frame.height) == size
    assert_same_quarters(frame.pixels, quarters(SIZE))
    with pytest.raises(SourceError, match="over the limit"):
        read_picture(data, max_pixels=size[0] * size[1] - 1)


def flat(colour: tuple[int, int, int], matrix: int, size: tuple[int, int], *, tagged: bool, full: bool) -> bytes:
    """Return a film of one colour by the definition of BT.709 (1) or BT.601 (5)."""
    red, blue = (0.2126, 0.0722) if matrix == 1 else (0.299, 0.114)
    r, g, b = (value / 255 for value in colour)
    luma = red * r + (1 - red - blue) * g + blue * b
    chroma = (b - luma) / (2 * (1 - blue)), (r - luma) / (2 * (1 - red))
    values = [luma * 255, *(c * 255 + 128 for c in chroma)]
    if not full:
        values = [16 + luma * 219, *(c * 224 + 128 for c in chroma)]
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height = size
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "4"}
        if tagged:
            stream.codec_context.colorspace = matrix
        if full:
            stream.codec_context.color_range = 2
        for i in range(2):
            frame = av.VideoFrame(*size, "yuv420p")
            for plane, value in zip(frame.planes, values, strict=True):
                plane.update(bytes([round(value)]) * plane.buffer_size)
            frame.pts, frame.time_base = i, Fraction(1, 24)
            if full:
                frame.color_range = 2
            if tagged:
                frame.colorspace = matrix
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("matrix", "size", "tagged"),
    [(1, SIZE, True), (5, SIZE, True), (5, SIZE, False), (1, (64, 720), False), (5, (64, 720), True)],
)
def test_colours(matrix, size, tagged, full):
    """What is said of a film's colours holds; where nothing is, high definition is BT.709 and the rest BT.601."""
    for colour in ((220, 30, 40), (20, 200, 60)):
        frame = read_picture(flat(colour, matrix, size, tagged=tagged, full=full))
        assert np.abs(frame.pixels[10, 10].astype(int) - colour).max() <= 4
        assert np.abs(frame.reduced(32, 32)[10, 10].astype(int) - colour).max() <= 4


def test_a_smaller_picture_comes_straight_from_the_film(shared):
    frame = read_picture(shared / "media" / "one_face_20s.mp4")
    small = frame.reduced(160, 90)
    assert small.shape == (90, 160, 3)
    wanted = np.asarray(Image.fromarray(frame.pixels).resize((160, 90), Image.Resampling.BOX))
    assert np.abs(small.astype(int) - wanted).mean() < 2


@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
@pytest.mark.parametrize("form", ["mp4", "matroska", "webm", "mpegts", "avi", "flv"])
def test_a_film_cut_short_keeps_its_frames_so_far(form, share, tmp_path):
    codec = {"webm": "libvpx-vp9", "avi": "mpeg4"}.get(form, "libx264")
    options = {"movflags": "faststart"} if form == "mp4" else {}
    data = encode(form, codec, frames=100, noise=True, path=tmp_path / "film", options=options)
    whole = [frame.pixels for frame in read_frames(data)]
    cut = data[: int(len(data) * share) // 188 * 188 + 100]
    if form in ("matroska", "webm") and share == 0.97:
        return  # what a film announces may be wrong by more than is missing here
    kept = []
    with pytest.raises(SourceError) as caught:
        kept.extend(frame.pixels for frame in read_frames(cut, name="film"))
    assert 0.8 * share * 100 - 10 < len(kept) < 100
    last = len(kept) - 1
    assert str(caught.value).startswith(f"film: the film breaks off after frame {last} (at ")
    assert all(np.array_equal(a, b) for a, b in zip(kept[:-4], whole, strict=False))


def test_a_film_that_was_not_finished():
    data = encode("mp4", noise=True)
    _, message = read_until_error(data[: len(data) // 2])
    assert message == "film: the film has no index (moov): it is cut short, or its recording was not finished"


@pytest.mark.parametrize("form", ["mp4", "matroska", "mpegts"])
def test_sound_longer_than_the_video_is_no_damage(form):
    assert len(listed(encode(form, frames=12, sound=4.0))) == 12


def test_a_damaged_part_is_passed_over_and_told_at_the_end():
    data = bytearray(encode("mp4", frames=48))
    with av.open(io.BytesIO(bytes(data))) as container:
        places = [(packet.pos, packet.size) for packet in container.demux() if packet.size]
    for number in (20, 21):
        place, size = places[number]
        data[place : place + size] = b"\xff" * size
    seen, message = read_until_error(bytes(data))
    assert len(seen) == 46
    assert seen[-1] == 47  # what cannot be seen has its number
    assert message == "film: the film is damaged: 2 frames of it could not be decoded"


@pytest.mark.parametrize(("form", "most_pieces"), [("mp4", 7), ("matroska", 2)])
def test_a_file_that_becomes_empty_while_it_is_read(form, most_pieces, tmp_path, capfd):
    """As the server empties that of a cancelled job: it is told of the film, and PyAV prints nothing of its own."""
    path, content = tmp_path / "film", encode(form, noise=True, frames=24, size=(192, 128))

    class Emptied(io.FileIO):
        left = 0

        def readinto(self, buffer: object) -> int:
            self.left -= 1
            if self.left == 0:
                os.truncate(path, 0)
            return super().readinto(buffer)

    for pieces in range(2, most_pieces + 1):
        path.write_bytes(content)
        file = Emptied(path)
        file.left = pieces
        _, message = read_until_error(io.BufferedReader(file))
        assert "argument" not in message  # of which nobody has given a wrong one
    assert capfd.readouterr() == ("", "")


def test_a_recording_that_begins_anywhere_is_whole():
    data = encode("mpegts", noise=True)
    frames = list(read_frames(data[len(data) // 188 // 3 * 188 :]))
    assert 12 <= len(frames) < 40
    assert [frame.index for frame in frames] == list(range(len(frames)))


def test_a_title_in_another_alphabet_does_no_harm():
    data = encode("mp4").replace(b"VideoHandler", b"Vid\xe9oHandler")
    assert len(listed(data)) == 48


@pytest.mark.parametrize(("form", "codec"), [("mp4", "libx264"), ("matroska", "libx264"), ("flv", "libx264")])
def test_damage_anywhere_is_told_as_such(form, codec):
    data, random = encode(form, codec, frames=12, size=(32, 32)), np.random.default_rng(0)
    for _ in range(25):
        damaged = np.frombuffer(data, np.uint8).copy()
        damaged[random.integers(0, len(damaged), 12)] = random.integers(0, 256, 12)
        with contextlib.suppress(SourceError):
            listed(damaged.tobytes(), selection=Selection(start=0.2), max_pixels=10**6)


def test_only_sound():
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        mux_silence(container, container.add_stream("aac", rate=48000), 1)
    assert read_until_error(target.getvalue())[1] == "film: there is no video in it, only sound"


def test_a_cover_is_no_film():
    stream = io.BytesIO()
    Image.new("RGB", (32, 32)).save(stream, "JPEG")
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=48000)
        picture = container.add_stream("mjpeg", rate=1)
        picture.width = picture.height = 32
        picture.pix_fmt = "yuvj420p"
        picture.disposition = av.stream.Disposition.attached_pic
        packet = av.Packet(stream.getvalue())
        packet.stream, packet.pts, packet.dts = picture, 0, 0
        mux_silence(container, sound, 1)
        container.mux(packet)
    assert read_until_error(target.getvalue())[1] == "film: there is no video in it, only a cover picture"


@pytest.mark.parametrize(("form", "codec", "fourcc"), [("mp4", "libx264", b"avc1"), ("avi", "mpeg4", b"FMP4")])
def test_a_codec_that_nobody_knows(form, codec, fourcc):
    data = encode(form, codec).replace(fourcc, b"zqzq")
    assert read_until_error(data)[1] == "film: its video is coded in a way that cannot be decoded here"


@pytest.mark.parametrize(
    ("content", "suffix", "reason"),
    [
        (b"", ".mp4", "the file is empty"),
        (b"nothing but text\n" * 50, ".mp4", "neither a picture nor a film, or of a format that cannot be read here"),
        (b"\x1aE\xdf\xa3" + bytes(500), ".mkv", "the film is damaged at its beginning, or of a format"),
        (b"RIFF\x24\0\0\0WAVEfmt " + bytes(60), ".wav", "neither a picture nor a film"),
    ],
)
def test_what_is_no_film(content, suffix, reason, tmp_path):
    path = tmp_path / f"film{suffix}"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=rf"film\{suffix}: {reason}"):
        read_picture(path)


@pytest.mark.parametrize("suffix", [".mp4", ".ts", ".mkv"])
def test_lists_of_files_open_none(suffix, tmp_path):
    """A playlist or script is not a film, whatever it is called, and has nothing else read."""
    secret = tmp_path / "secret.ts"
    secret.write_bytes(encode("mpegts", frames=24))
    lists = [
        f"ffconcat version 1.0\nfile '{secret}'\n",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\na={secret}\n",
    ]
    for text in lists:
        path = tmp_path / f"list{suffix}"
        path.write_text(text)
        with pytest.raises(SourceError, match="neither a picture nor a film"):
            read_picture(path)


ODD_NAMES = [
    "concat:x",
    "http:x",
    "two\nlines.mp4",
    "frame%03d.mp4",
    "-i.mp4",
    os.fsdecode(b"not utf-8 \xff.mp4"),
    "é 笑",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names(name, tmp_path, monkeypatch):
    (tmp_path / name).write_bytes(encode(frames=3))
    monkeypatch.chdir(tmp_path)
    assert listed(name) == [(0, 0.0), (1, 0.041667), (2, 0.083333)]


def test_a_folder_of_films(tmp_path):
    for name in ("a.mp4", "b.MKV", "c.jpg", "d.mp3", "e.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in find_pictures(tmp_path)] == ["a.mp4", "b.MKV", "c.jpg"]
    assert {".mp4", ".mov", ".webm", ".m2ts", ".y4m"} <= FILM_SUFFIXES


def test_what_is_told_of_a_film_before_it_is_read():
    with open_media(encode(frames=48)) as media:
        assert (media.live, media.duration, media.rate) == (False, 2.0, 24.0)
    with pytest.raises(SourceError, match="there is no such file"), open_media("nowhere.mp4"):
        pass


def test_the_pixel_limit(tmp_path):
    with pytest.raises(SourceError, match=r"96x64 is .* over the limit"), open_media(encode(), max_pixels=6143):
        pass
    joined = encode("mpegts", frames=12) + encode("mpegts", frames=12, size=(128, 96))
    seen, message = read_until_error(joined, max_pixels=96 * 64)
    assert seen == list(range(12))
    assert message.startswith("film, frame 12: 128x96 is")


def test_closing_early_frees_file_and_threads():
    def tasks() -> int:
        return len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else threading.active_count()

    data = encode(frames=60)
    next(held := read_frames(data))  # swscale's own threads, too, are there before they are counted
    held.close()
    before = tasks()
    frames = read_frames(data)
    first = next(frames)
    assert tasks() >= before
    frames.close()
    assert tasks() <= before
    assert first.reduced(48, 32).shape == (32, 48, 3)


def test_memory_does_not_grow_with_the_film():
    data = encode("mp4", frames=300, size=(320, 240))
    tracemalloc.start()
    try:
        peaks = []
        for number, _ in enumerate(read_frames(data)):
            if number in (20, 299):
                peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1_000_000


def test_ffmpeg_prints_nothing_and_is_loaded_only_for_films(tmp_path):
    path = tmp_path / "cut.ts"
    path.write_bytes(encode("mpegts", noise=True)[:20_000])
    code = f"""
import sys
import mien.sources
assert "av" not in sys.modules
try:
    for frame in mien.sources.read_frames({str(path)!r}): pass
except mien.errors.SourceError as error:
    print("told")
"""
    done = subprocess.run([sys.executable, "-c", "import mien\n" + code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("told\n", "")

"""Every form a picture can come in becomes upright RGB, and every bad one a line that names it."""

import inspect
import io
import itertools
import os
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zlib

import numpy as np
import PIL
import pytest
from PIL import Image, ImageCms, features

from mien.errors import SourceError, one_line
from mien.results import Frame
from mien.sources import find_pictures, read_frames, read_picture, read_pipe
from mien.sources.folder import SUFFIXES

SIZE = (40, 30)


@pytest.fixture
def colours() -> Image.Image:
    """Return a picture of which each quarter has another colour, so that any turn or mix-up shows."""
    image = Image.new("RGB", SIZE)
    image.paste((200, 30, 40), (0, 0, 20, 15))
    image.paste((20, 180, 60), (20, 0, 40, 15))
    image.paste((30, 50, 210), (0, 15, 20, 30))
    image.paste((230, 220, 20), (20, 15, 40, 30))
    return image


def encoded(image: Image.Image, form: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def assert_same(pixels: np.ndarray, image: Image.Image, tolerance: int) -> None:
    wanted = np.asarray(image.convert("RGB")).astype(int)
    assert pixels.shape == wanted.shape
    assert pixels.dtype == np.uint8
    middle = np.ix_((4, 8, 20, 24), (4, 10, 28, 34))  # well inside the quarters: JPEG blurs their edges
    assert np.abs(pixels[middle].astype(int) - wanted[middle]).max() <= tolerance


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM"])
def test_formats(colours, form, tmp_path):
    path = tmp_path / f"picture.{form.lower()}"
    path.write_bytes(encoded(colours, form))
    assert_same(read_picture(path).pixels, colours, 0 if form not in ("JPEG", "WEBP") else 12)
    assert read_picture(path).source == str(path)


def test_path_bytes_image_and_array_are_the_same_picture(colours, tmp_path):
    path = tmp_path / "picture.png"
    colours.save(path)
    wanted = np.asarray(colours)
    for source in (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), colours, wanted, wanted[:, :]):
        assert np.array_equal(read_picture(source).pixels, wanted)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_obeyed(colours, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = colours.transpose(turns[orientation]) if orientation > 1 else colours
    data = encoded(stored, "JPEG", exif=exif, quality=95, subsampling=0)
    assert_same(read_picture(data).pixels, colours, 12)


def test_a_broken_exif_block_does_not_lose_the_picture(colours):
    data = encoded(colours, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff rubbish", quality=95, subsampling=0)
    assert_same(read_picture(data).pixels, colours, 12)


def overlapping(count: int, size: int) -> bytes:
    """Return a TIFF's head and a directory of tags that all point at the same bytes."""
    tags = b"".join(struct.pack("<HHII", 30_000 + number, 1, size, 8) for number in range(count))
    return struct.pack("<2sHIH", b"II", 42, 8, count) + tags + bytes(size)


@pytest.mark.parametrize("form", ["TIFF", "PNG", "WEBP", "JPEG", "AVIF"])
def test_tags_that_share_their_bytes_do_not_fill_the_memory(colours, form):
    """Each of the thousand would be a copy of sixty kilobytes: sixty megabytes, of a file of a hundredth of that."""
    tags = overlapping(1000, 50_000)
    content = tags if form == "TIFF" else encoded(colours, form, exif=b"Exif\0\0" + tags)
    if form == "JPEG":  # without a density of its own, so that Pillow looks for it in the block
        content = content.replace(content[2:20], b"", 1)
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if form == "TIFF":
                with pytest.raises(SourceError):
                    read_picture(content)
            else:
                assert_same(read_picture(content).pixels, colours, 60)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 5_000_000


def test_grey(colours):
    assert_same(read_picture(encoded(colours.convert("L"))).pixels, colours.convert("L"), 0)
    assert_same(read_picture(np.asarray(colours.convert("L"))).pixels, colours.convert("L"), 0)


def test_sixteen_bits_are_scaled_not_cut_off():
    ramp = np.linspace(0, 65535, 40 * 30).reshape(30, 40).astype(np.uint16)
    wanted = (ramp // 257).astype(int)
    image = Image.fromarray(ramp)
    for source in (encoded(image), encoded(image, "TIFF"), encoded(image, "PPM"), ramp, image):
        pixels = read_picture(source).pixels.astype(int)
        assert np.abs(pixels - wanted[:, :, None]).max() <= 1


def test_transparency_shows_white_not_what_is_hidden(colours):
    layer = colours.convert("RGBA")
    layer.putalpha(Image.new("L", SIZE, 0))
    assert (read_picture(encoded(layer)).pixels == 255).all()
    assert (read_picture(np.asarray(layer)).pixels == 255).all()
    layer.putalpha(255)
    assert_same(read_picture(encoded(layer)).pixels, colours, 0)


def test_palette_with_and_without_transparency(colours):
    palette = colours.convert("P", palette=Image.Palette.ADAPTIVE)
    assert_same(read_picture(encoded(palette)).pixels, colours, 6)
    assert_same(read_picture(encoded(palette, "GIF")).pixels, colours, 6)
    hidden = encoded(palette, transparency=palette.getpixel((2, 2)))
    assert (read_picture(hidden).pixels[2, 2] == 255).all()


def test_cmyk(colours):
    assert_same(read_picture(encoded(colours.convert("CMYK"), "JPEG", quality=95)).pixels, colours, 16)


def test_one_pixel():
    assert read_picture(encoded(Image.new("RGB", (1, 1), (9, 8, 7)))).pixels.tolist() == [[[9, 8, 7]]]


def test_missing_path(tmp_path):
    with pytest.raises(SourceError, match=r"nowhere\.jpg: there is no such file"):
        read_picture(tmp_path / "nowhere.jpg")


def test_folder_is_not_a_picture(tmp_path):
    with pytest.raises(SourceError, match="it is a folder"):
        read_picture(tmp_path)


def test_path_with_a_null_character():
    with pytest.raises(SourceError, match="cannot be opened"):
        read_picture("a\0b.jpg")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (bytes(range(256)) * 8, "neither a picture nor a film"),
        (b"<html>no such picture</html>", "neither a picture nor a film"),
    ],
)
def test_what_is_no_picture(content, reason, tmp_path):
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=rf"picture\.jpg: {reason}"):
        read_picture(path)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_cut_short(form, share, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), form)
    path = tmp_path / f"cut.{form.lower()}"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(SourceError, match=r"cut\."):
        read_picture(path)


def png(width: int, height: int, depth: int, colour: int, packed: bytes) -> bytes:
    """Return a PNG of compressed rows, each of which begins with its filter."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def huge_png(side: int) -> bytes:
    """Return a valid black grey PNG of side x side: a hundred kilobytes that unpack to side² bytes."""
    packer = zlib.compressobj(9)
    rows = b"".join([packer.compress(bytes(side + 1)) for _ in range(side)]) + packer.flush()
    return png(side, side, 8, 0, rows)


def test_above_the_pixel_limit_is_refused_in_bounded_memory(tmp_path):
    path = tmp_path / "huge.png"
    path.write_bytes(huge_png(12_000))
    code = f"""
import resource
from mien.errors import SourceError
from mien.sources import read_picture
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_picture({str(path)!r})
except SourceError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    message, grown = done.stdout.splitlines()
    assert "huge.png: 12000x12000 is 144 million pixels" in message
    assert "--max-pixels" in message
    assert int(grown) < 20


def test_the_pixel_limit_can_be_raised_and_lowered(colours):
    data = encoded(colours)
    assert read_picture(data, max_pixels=1200).width == 40
    for source in (data, colours, np.asarray(colours)):
        with pytest.raises(SourceError, match="over the limit"):
            read_picture(source, max_pixels=1199)


def test_pillows_own_limit_is_left_as_it_was(colours):
    limit = Image.MAX_IMAGE_PIXELS
    read_picture(encoded(colours))
    with pytest.raises(SourceError):
        read_picture(b"no picture")
    assert limit == Image.MAX_IMAGE_PIXELS


RGB = (4, 4, 3)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((4, 4, 2), np.uint8), "shape"),
        (np.zeros((4, 4, 0), np.uint8), "shape"),
        (np.zeros((4,), np.uint8), "shape"),
        (np.zeros((), np.uint8), "shape"),
        (np.zeros((2, 4, 4, 3), np.uint8), "shape"),
        (np.zeros((3, 40, 40), np.uint8), r"array\.transpose\(1, 2, 0\)"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (np.zeros((4, 0), np.float32), "no pixels"),
        (np.zeros(RGB, np.float32), r"float32.*\(array \* 255\)\.round\(\)\.astype\(np\.uint8\).*0 to 1"),
        (np.full(RGB, 200.0), r"float64.*array\.round\(\)\.astype\(np\.uint8\) if from 0 to 255"),
        (np.full(RGB, np.nan), "NaN or infinite"),
        (np.full(RGB, -np.inf, np.float16), "NaN or infinite"),
        (np.zeros(RGB, np.int64), r"int64.*pass array\.astype\(np\.uint8\)"),
        (np.full(RGB, -1, np.int16), "int16, with values from -1 to -1.*bring its values to 0 to 255"),
        (np.full(RGB, 256, np.uint16), "uint16, with values from 256 to 256.*bring its values to 0 to 255"),
        (np.zeros(RGB, bool), r"bool.*array\.astype\(np\.uint8\) \* 255"),
        (np.zeros(RGB, complex), "complex128"),
        (np.full(RGB, None), "object"),
        (np.full((4, 4), "x"), "<U1"),
        (np.zeros((4, 4), [("a\n", np.uint8)]), "not uint8"),
        (np.broadcast_to(np.uint8(0), (100_000, 100_000, 3)), "over the limit"),
    ],
)
def test_arrays_of_wrong_shape_or_type(array, reason):
    with pytest.raises(SourceError, match=f"^<array>: .*{reason}") as caught:
        read_picture(array)
    assert len(str(caught.value).splitlines()) == 1


def test_arrays_however_they_lie_in_memory(colours):
    wanted = np.asarray(colours)
    locked = wanted.copy()
    locked.setflags(write=False)
    wide = np.zeros((30, 80, 3), np.uint8)
    wide[:, ::2] = wanted
    for array in (locked, np.asfortranarray(wanted), wide[:, ::2], wanted[::-1, ::-1].copy()[::-1, ::-1]):
        assert np.array_equal(read_picture(array).pixels, wanted)
    deep = np.asarray(colours.convert("L")).astype(">u2") * 257
    assert np.array_equal(read_picture(deep).pixels[:, :, 0], np.asarray(colours.convert("L")))


def test_a_frame_does_not_change_with_the_array_it_came_from():
    for shape in ((4, 4), (4, 4, 3), (4, 4, 4)):
        array = np.full(shape, 255, np.uint8)
        frame = read_picture(array)
        array[:] = 0
        assert (frame.pixels == 255).all()


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros(RGB, np.float32)])
def test_a_frame_of_other_pixels_is_refused(pixels):
    with pytest.raises(SourceError, match="mine: the pixels of a Frame are RGB"):
        read_picture(Frame(pixels, "mine"))


def test_something_else_altogether():
    with pytest.raises(SourceError, match="a dict is not a picture"):
        read_picture({"picture": 1})


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_pictures_of_32_bits_are_refused_not_guessed(tmp_path, kind):
    Image.fromarray(np.zeros((4, 4), kind)).save(tmp_path / "deep.tiff")
    with pytest.raises(SourceError, match="32 bits, of unknown range"):
        read_picture(tmp_path / "deep.tiff")


def test_postscript_is_not_handed_to_another_program(tmp_path):
    path = tmp_path / "page.jpg"
    path.write_bytes(encoded(Image.new("RGB", (8, 8)), "EPS"))
    with pytest.raises(SourceError, match="neither a picture nor a film"):
        read_picture(path)


def test_a_frame_may_get_another_name(colours):
    frame = read_picture(colours)
    assert read_picture(frame) is frame
    assert read_picture(frame, name="mine").source == "mine"


def test_reading_warns_of_nothing(colours):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_picture(encoded(colours, "JPEG"))


def test_folders(colours, tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("b.jpg", "a.PNG", ".c.jpg", "notes.txt", "inner/d.webp", ".hidden/e.jpg"):
        (tmp_path / name).write_bytes(b"")

    def names(**options: bool) -> list[str]:
        return [str(path.relative_to(tmp_path)) for path in find_pictures(tmp_path, **options)]

    assert names() == ["a.PNG", "b.jpg"]
    assert names(recursive=True) == ["a.PNG", "b.jpg", "inner/d.webp"]


def test_a_pipe_that_does_not_end_is_given_up(monkeypatch):
    monkeypatch.setattr("mien.sources.opening.MAX_BYTES", 1000)
    assert read_pipe(io.BytesIO(bytes(1000)), "-") == bytes(1000)
    with pytest.raises(SourceError, match="-: more than 1000 bytes"):
        read_pipe(io.BytesIO(bytes(1001)), "-")


def test_a_pipe_in_a_folder_is_passed_over(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "a.jpg").write_bytes(b"")
    assert [path.name for path in find_pictures(tmp_path)] == ["a.jpg"]


@pytest.mark.parametrize("recursive", [False, True])
def test_links_in_a_folder(tmp_path, recursive):
    folder, other = tmp_path / "photos", tmp_path / "other"
    (folder / "inner").mkdir(parents=True)
    other.mkdir()
    for path in (folder / "a.jpg", folder / "inner" / "b.jpg", other / "c.jpg"):
        path.write_bytes(b"")
    for link, target in {
        "itself": folder,
        "up": tmp_path,
        "inner/up.jpg": folder,  # a folder, whatever it is called
        "aside": other,
        "d.jpg": other / "c.jpg",
        "dangling.jpg": tmp_path / "nowhere.jpg",
        "round.jpg": folder / "round.jpg",
    }.items():
        (folder / link).symlink_to(target)
    inner = ["inner/b.jpg"] if recursive else []
    found = find_pictures(folder, recursive=recursive)
    assert [str(path.relative_to(folder)) for path in found] == [
        "a.jpg",
        "d.jpg",
        "dangling.jpg",
        "round.jpg",
        *inner,
    ]
    with pytest.raises(SourceError, match=r"dangling\.jpg: a link to what is not there"):
        read_picture(folder / "dangling.jpg")
    with pytest.raises(SourceError, match=r"round\.jpg: cannot be opened"):
        read_picture(folder / "round.jpg")


def test_a_folder_given_by_a_link_is_looked_into(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    (tmp_path / "link").symlink_to("photos")
    assert [path.name for path in find_pictures(tmp_path / "link")] == ["a.jpg"]


def test_folders_may_be_nested_deeper_than_python_recurses(tmp_path):
    deepest = tmp_path.joinpath(*["d"] * 300)
    deepest.mkdir(parents=True)
    (deepest / "a.jpg").write_bytes(b"")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 150)
    try:
        assert find_pictures(tmp_path, recursive=True) == [deepest / "a.jpg"]
    finally:
        sys.setrecursionlimit(limit)


def test_a_folder_called_like_a_picture(tmp_path):
    (tmp_path / "b.jpg").mkdir()
    for path in (tmp_path / "a.jpg", tmp_path / "b.jpg" / "c.jpg"):
        path.write_bytes(b"")
    assert find_pictures(tmp_path) == [tmp_path / "a.jpg"]
    assert find_pictures(tmp_path, recursive=True) == [tmp_path / "a.jpg", tmp_path / "b.jpg" / "c.jpg"]
    with pytest.raises(SourceError, match=r"b\.jpg: it is a folder"):
        read_picture(tmp_path / "b.jpg")


def test_every_suffix_is_of_a_format_that_can_be_read():
    formats = Image.registered_extensions()
    others = {".heic", ".heif", ".hif", ".avif"}  # by an extra, and from Pillow 11.3
    assert {formats[suffix] for suffix in SUFFIXES - others} == {"BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_what_may_not_be_read(colours, tmp_path):
    (tmp_path / "inner").mkdir()
    for path in (tmp_path / "a.png", tmp_path / "inner" / "b.png"):
        colours.save(path)
        path.chmod(0)
    (tmp_path / "inner").chmod(0)
    try:
        found = find_pictures(tmp_path, recursive=True)
        assert found == [tmp_path / "a.png", tmp_path / "inner"]
        for path in found:
            with pytest.raises(SourceError, match=f"{path.name}: cannot be "):
                read_picture(path)
    finally:
        (tmp_path / "inner").chmod(0o700)


ODD_NAMES = ["two\nlines.png", "a\ttab.png", "-dash.png", " spaces .png", "\"quotes'.png", "bell\a\x1b[31m.png"]
ODD_NAMES += [os.fsdecode(b"not utf-8 \xff.png"), "right-to-left \u202e.png", "é 笑 😀.png", "x" * 251 + ".png"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names(name, colours, tmp_path):
    path = tmp_path / name
    colours.save(path)
    assert find_pictures(tmp_path) == [path]
    assert read_picture(path).source == str(path)
    path.write_bytes(b"no picture")
    with pytest.raises(SourceError) as caught:
        read_picture(path)
    message = str(caught.value)
    assert message.isprintable()
    message.encode()  # also where bytes of the name are not UTF-8
    assert message == f"{one_line(str(path))}: neither a picture nor a film, or of a format that cannot be read here"


def test_what_is_fine_in_a_name_is_left_as_it_is():
    assert one_line("é 笑 😀 'a' \\ .png") == "é 笑 😀 'a' \\ .png"
    assert one_line("a\nb\udcff") == "a\\nb\\udcff"


def test_content_passed_as_a_path_does_not_fill_the_screen():
    with pytest.raises(SourceError, match=r"x{80}… \(100000 characters\): cannot be opened"):
        read_picture("x" * 100_000)


def test_folder_without_pictures(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(SourceError, match="no picture or film is in this folder; --recursive"):
        find_pictures(tmp_path)


COLOURS = [(200, 30, 40), (20, 180, 60), (30, 50, 210), (230, 220, 20)]
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")


def film(form: str, durations: list[int], colours=COLOURS, *, size=SIZE, **options) -> bytes:
    """Return an animated picture of frames of one colour each."""
    first, *others = (Image.new("RGB", size, colour) for colour in colours)
    return encoded(first, form, save_all=True, append_images=others, duration=durations, **options)


def noisy_film(form: str) -> bytes:
    """Return an animated picture of four frames of equal size in bytes."""
    values = np.random.default_rng(0).integers(0, 256, (4, 40, 60, 3), dtype=np.uint8)
    first, *others = map(Image.fromarray, values)
    return encoded(first, form, save_all=True, append_images=others, duration=100)


@pytest.mark.parametrize(
    ("form", "durations", "options", "times"),
    [
        ("GIF", [100, 250, 0, 40], {}, [0, 0.1, 0.35, 0.45]),
        ("GIF", [10, 20, 20, 20], {}, [0, 0.1, 0.12, 0.14]),
        ("WEBP", [100, 250, 0, 40], {"lossless": True}, [0, 0.1, 0.35, 0.45]),
        ("PNG", [100, 250, 0, 40], {}, [0, 0.1, 0.35, 0.45]),
        pytest.param("AVIF", [100, 250, 80, 40], {"quality": 100}, [0, 0.1, 0.35, 0.43], marks=needs_avif),
    ],
)
def test_a_moving_picture_is_a_film(form, durations, options, times, tmp_path):
    path = tmp_path / "film"
    path.write_bytes(film(form, durations, **options))
    for source in (path, path.read_bytes()):
        frames = list(read_frames(source, name="film"))
        assert [(frame.source, frame.index) for frame in frames] == [
            ("film", 0),
            ("film", 1),
            ("film", 2),
            ("film", 3),
        ]
        assert [frame.time for frame in frames] == times
        for frame, colour in zip(frames, COLOURS, strict=True):
            assert frame.pixels.shape == (30, 40, 3)
            assert np.abs(frame.pixels.astype(int) - colour).max() <= (4 if form == "AVIF" else 0)
    first = read_picture(path)
    assert (first.index, first.time) == (0, 0.0)
    assert np.array_equal(first.pixels, frames[0].pixels)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "JPEG", "TIFF"])
def test_a_still_picture_has_one_frame_and_no_time(colours, form):
    (frame,) = read_frames(encoded(colours, form))
    assert (frame.index, frame.time) == (0, None)


@pytest.mark.parametrize("form", ["TIFF", "MPO"])
def test_pages_and_views_are_not_a_film(form):
    (frame,) = read_frames(film(form, []))
    assert frame.time is None
    assert np.abs(frame.pixels.astype(int) - COLOURS[0]).max() <= 2


def test_the_picture_in_place_of_a_film_is_not_part_of_it():
    data = film("PNG", [100, 200, 300], default_image=True)
    frames = list(read_frames(data))
    assert [tuple(frame.pixels[0, 0]) for frame in frames] == COLOURS[1:]
    assert [frame.time for frame in frames] == [0, 0.1, 0.3]


def test_frames_that_change_only_a_part_are_whole(colours):
    changed = colours.copy()
    changed.paste((250, 250, 250), (5, 5, 9, 9))
    for form, options in (("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True})):
        data = encoded(colours, form, save_all=True, append_images=[changed], duration=50, **options)
        first, second = read_frames(data)
        assert_same(first.pixels, colours, 0)
        assert np.array_equal(second.pixels, np.asarray(changed))


def test_a_film_that_shows_through_is_white_there():
    """Each frame is a dot on a page that is transparent else, and goes before the next comes."""
    frames = []
    for x in (5, 15, 25):
        layer = Image.new("RGBA", SIZE)
        layer.paste((200, 30, 40, 255), (x, 5, x + 5, 10))
        frames.append(layer)
    for form, options in (("GIF", {"disposal": 2}), ("PNG", {"disposal": 1}), ("WEBP", {"lossless": True})):
        data = encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=50, **options)
        for frame, x in zip(read_frames(data), (5, 15, 25), strict=True):
            wanted = np.full((30, 40, 3), 255)
            wanted[5:10, x : x + 5] = (200, 30, 40)
            assert np.array_equal(frame.pixels, wanted)


@pytest.mark.parametrize("form", ["GIF", "PNG"])
@pytest.mark.parametrize(("share", "whole"), [(0.4, 1), (0.6, 2), (0.9, 3)])
def test_a_film_cut_short_keeps_its_frames_so_far(form, share, whole):
    data = noisy_film(form)
    frames = read_frames(data[: int(len(data) * share)], name="film")
    wanted = list(itertools.islice(read_frames(data), whole))
    for frame in wanted:
        assert np.array_equal(next(frames).pixels, frame.pixels)
    with pytest.raises(SourceError, match=f"^film, frame {whole}: the picture is cut short or damaged"):
        next(frames)
    with pytest.raises(StopIteration):
        next(frames)


@pytest.mark.parametrize(
    ("kept", "end"), [(0, b""), (0, PNG_END), (38, PNG_END)], ids=["nothing", "end", "header, end"]
)
def test_a_film_that_says_it_has_more_frames_is_cut_short(kept, end):
    data = film("PNG", [50] * 4)
    last = data.rindex(b"fcTL") - 4
    frames = read_frames(data[: last + kept] + end, name="film")
    assert [next(frames).index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(SourceError, match=r"^film, frame 3: the picture is cut short"):
        next(frames)


@pytest.mark.parametrize("form", ["WEBP", pytest.param("AVIF", marks=needs_avif)])
def test_a_film_whose_frames_cannot_be_told_apart_is_refused_whole(form):
    with pytest.raises(SourceError, match=r"^film: the picture is damaged"):
        next(read_frames(noisy_film(form)[:-500], name="film"))


def test_a_film_is_decoded_frame_by_frame(monkeypatch):
    from mien.sources import animation

    decoded = []
    decode = animation.decode
    monkeypatch.setattr(animation, "decode", lambda image, name: decoded.append(name) or decode(image, name))
    frames = read_frames(film("GIF", [50] * 4), name="film")
    assert decoded == []
    next(frames)
    assert decoded == ["film"]
    next(frames)
    assert decoded == ["film", "film, frame 1"]
    frames.close()


def gif(*sizes: tuple[int, int], disposal: int = 2) -> bytes:
    """Return a GIF whose frames claim such sizes, on a page of one pixel."""
    frames = [
        b"!\xf9\x04"
        + bytes([disposal << 2, 5, 0, 0, 0])
        + b","
        + struct.pack("<4HB", 0, 0, *size, 0)
        + b"\x02\x02\x4c\x01\0"
        for size in sizes
    ]
    return b"GIF89a\1\0\1\0\x80\0\0" + b"\0\0\0\xff\xff\xff" + b"".join(frames) + b";"


def test_a_gif_cannot_claim_memory_before_its_size_is_checked():
    with pytest.raises(SourceError, match=r"^bomb: the picture is over the limit of 50 million pixels"):
        read_picture(gif((65535, 65535)), name="bomb")


def test_the_pixel_limit_holds_for_each_frame():
    frames = read_frames(gif((1, 1), (40, 30)), name="film", max_pixels=1199)
    assert next(frames).pixels.shape == (1, 1, 3)
    with pytest.raises(SourceError, match=r"^film, frame 1: 40x30 is 0 million pixels, over the limit"):
        next(frames)
    frames = read_frames(gif((1, 1), (65535, 65535)), name="film")
    next(frames)
    with pytest.raises(SourceError, match=r"^film, frame 1: "):
        next(frames)


@pytest.mark.parametrize(
    ("name", "count", "end"), [("two_faces.gif", 56, 4.58), ("three_people_walking.gif", 41, 3.33)]
)
def test_real_films(shared, name, count, end):
    seen, times = 0, []
    for frame in read_frames(shared / "media" / name):
        assert frame.pixels.shape == (270, 480, 3)
        seen += frame.index == seen
        times.append(frame.time)
    assert seen == count
    assert times == sorted(set(times))
    assert (times[0], times[-1]) == (0, end)


HEIC = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf"


@pytest.mark.parametrize(
    ("head", "heic"),
    [
        (HEIC, True),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", True),
        (b"\0\0\0\x14ftypmsf1\0\0\0\0hevc", True),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", False),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1heic", False),
        (b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", False),
        (b"\x89PNG\r\n\x1a\n", False),
    ],
)
def test_heic_without_its_extra_says_which(head, heic, monkeypatch, tmp_path):
    """Known by its content, whatever the file is called; nothing else needs the extra."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)  # another test may have met one
    path = tmp_path / "photo.jpg"
    path.write_bytes(head + bytes(200))
    with pytest.raises(SourceError) as caught:
        read_picture(path)
    wanted = f"{path}: reading HEIC pictures needs an optional part: pip install 'mien[heic]'"
    assert (str(caught.value) == wanted) is heic


def test_heic(colours, tmp_path):
    heif = pytest.importorskip("pillow_heif", reason="needs the extra heic")
    path = tmp_path / "photo.heic"
    heif.from_pillow(colours).save(path, quality=95, chroma=444)
    (frame,) = read_frames(path)
    assert frame.time is None
    assert_same(frame.pixels, colours, 12)
    data = path.read_bytes()
    assert np.array_equal(read_picture(data).pixels, frame.pixels)
    assert find_pictures(tmp_path) == [path]
    with pytest.raises(SourceError, match="over the limit"):
        read_picture(path, max_pixels=1199)
    for share in (0.2, 0.95):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(SourceError, match=r"photo\.heic: the picture is .*damaged"):
            read_picture(path)


def test_heic_is_turned_once(colours):
    """As phones write it: the turn stands in the file's structure and again in its EXIF block."""
    heif = pytest.importorskip("pillow_heif", reason="needs the extra heic")
    stored = colours.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    stored.info["exif"] = exif.tobytes()
    heif.register_heif_opener()
    data = encoded(stored, "HEIF", quality=95, chroma=444)
    assert b"irot" in data
    assert_same(read_picture(data).pixels, colours, 12)


def test_heic_with_several_pictures_is_not_a_film(colours):
    heif = pytest.importorskip("pillow_heif", reason="needs the extra heic")
    file = heif.from_pillow(colours)
    file.add_from_pillow(colours.rotate(180))
    stream = io.BytesIO()
    file.save(stream, quality=95, chroma=444)
    (frame,) = read_frames(stream.getvalue())
    assert_same(frame.pixels, colours, 12)


def icc(space: bytes, tags: dict[bytes, bytes], *, kind: bytes = b"mntr", connection: bytes = b"XYZ ") -> bytes:
    """Return a colour profile of the second version."""
    bodies = {name: body + bytes(-len(body) % 4) for name, body in tags.items()}
    table, place = struct.pack(">I", len(bodies)), 132 + 12 * len(bodies)
    for name, body in bodies.items():
        table += name + struct.pack(">II", place, len(body))
        place += len(body)
    head = struct.pack(">I4sI4s4s4s", place, b"\0" * 4, 0x02400000, kind, space, connection)
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + b"".join(bodies.values())


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


WHITE = {b"wtpt": xyz(0.9642, 1, 0.8249)}
SRGB_COLOURS = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.7141]])
P3_COLOURS = np.array([[0.51512, 0.29198, 0.1571], [0.2412, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
"""Display P3's red, green and blue as XYZ, in columns, adapted to the white of profiles; so for sRGB."""

P3 = icc(
    b"RGB ",
    WHITE
    | {f"{c}XYZ".encode(): xyz(*P3_COLOURS[:, i]) for i, c in enumerate("rgb")}
    | {f"{c}TRC".encode(): gamma(2.2) for c in "rgb"},
)
LINEAR_GREY = icc(b"GRAY", WHITE | {b"kTRC": gamma(1)})
# four inks on a grid of two: paper is white, black ink makes black, and any other only makes it grey
LAB = bytes(
    itertools.chain.from_iterable(
        (0 if k else 128 if c + m + y else 255, 128, 128) for c, m, y, k in itertools.product((0, 1), repeat=4)
    )
)
INKS = icc(
    b"CMYK",
    WHITE
    | {
        b"A2B0": b"mft1\0\0\0\0\4\3\2\0"
        + struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
        + bytes(range(256)) * 4
        + LAB
        + bytes(range(256)) * 3
    },
    kind=b"prtr",
    connection=b"Lab ",
)


def from_p3(colour: tuple[int, int, int]) -> np.ndarray:
    """Return what a colour of `P3` is in sRGB, by the definition of both."""
    linear = np.linalg.solve(SRGB_COLOURS, P3_COLOURS @ (np.array(colour) / 255) ** 2.2).clip(0, 1)
    return 255 * np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_wide_profile_is_converted(form, tmp_path):
    colour = (150, 100, 90)
    image = Image.new("RGB", SIZE, colour)
    options = {"quality": 100, "subsampling": 0} if form == "JPEG" else {"lossless": True} if form == "WEBP" else {}
    data = encoded(image, form, icc_profile=P3, **options)
    path = tmp_path / "wide"
    path.write_bytes(data)
    pixels = read_picture(data).pixels
    assert np.abs(pixels - from_p3(colour)).max() <= 3
    assert np.abs(pixels - np.array(colour)).max() > 5
    with Image.open(io.BytesIO(data)) as opened:
        for source in (path, opened):
            assert np.array_equal(read_picture(source).pixels, pixels)


def test_a_profile_holds_for_palettes_and_beside_transparency():
    colour = (150, 100, 90)
    wanted = from_p3(colour)
    palette = Image.new("RGB", SIZE, colour).convert("P", palette=Image.Palette.ADAPTIVE)
    layer = Image.new("RGBA", SIZE, (*colour, 255))
    layer.putpixel((0, 0), (0, 0, 0, 0))
    for image in (palette, layer):
        pixels = read_picture(encoded(image, icc_profile=P3)).pixels
        assert np.abs(pixels[9, 9] - wanted).max() <= 3
    assert pixels[0, 0].tolist() == [255, 255, 255]


def test_a_profile_holds_for_every_frame():
    data = film("PNG", [50, 50], [(150, 100, 90), (90, 150, 100)], icc_profile=P3)
    for frame, colour in zip(read_frames(data), [(150, 100, 90), (90, 150, 100)], strict=True):
        assert np.abs(frame.pixels - from_p3(colour)).max() <= 3


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_a_grey_profile_is_converted(mode):
    """A linear value of 55 / 255 is half way to white for the eye."""
    image = Image.new(mode, SIZE, {"L": 55, "LA": (55, 255), "I;16": 55 * 257}[mode])
    pixels = read_picture(encoded(image, icc_profile=LINEAR_GREY)).pixels
    assert np.abs(pixels.astype(int) - 128).max() <= 2


def test_a_profile_of_inks_is_converted():
    image = Image.new("CMYK", SIZE, (0, 0, 0, 0))
    image.paste((255, 0, 0, 0), (0, 0, 20, 30))
    for form in ("TIFF", "JPEG"):
        options = {"quality": 100} if form == "JPEG" else {}
        plain = read_picture(encoded(image, form, **options)).pixels
        assert plain[9, 9, 0] < 5 and plain[9, 9, 2] > 250  # cyan, as far as anybody can tell
        pixels = read_picture(encoded(image, form, icc_profile=INKS, **options)).pixels
        assert np.abs(pixels[9, 9].astype(int) - 119).max() <= 2  # half as light as paper: L* 50
        assert pixels[9, 30].min() >= 253


@pytest.mark.parametrize(
    "profile",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        b"",
        b"no profile",
        P3[:200],
        P3[:132] + bytes(len(P3) - 132),
        LINEAR_GREY,
        INKS,
    ],
    ids=["sRGB", "empty", "no profile", "cut short", "broken", "of grey", "of inks"],
)
def test_srgb_and_profiles_that_make_no_sense_leave_the_colours_alone(profile):
    values = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    for form in ("PNG", "TIFF"):
        assert np.array_equal(
            read_picture(encoded(Image.fromarray(values), form, icc_profile=profile)).pixels, values
        )


def test_sixteen_bits_a_colour():
    values = np.linspace(0, 65535, 30 * 40 * 3).reshape(30, 120).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    wanted = (values // 257).astype(int).reshape(30, 40, 3)
    portable = b"P6 40 30 65535\n" + values.tobytes()
    for data in (png(40, 30, 16, 2, zlib.compress(rows)), portable):
        assert np.abs(read_picture(data).pixels - wanted).max() <= 1


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "PPM"])
def test_one_bit(colours, form):
    image = colours.convert("1", dither=Image.Dither.NONE)
    pixels = read_picture(encoded(image, form)).pixels
    assert np.array_equal(pixels, np.asarray(image.convert("RGB")))
    assert set(np.unique(pixels)) == {0, 255}


@pytest.mark.parametrize("mode", ["LA", "La", "RGBA", "RGBa", "PA"])
def test_every_mode_with_transparency(colours, mode):
    layer = colours.convert("RGBA")
    layer.putalpha(Image.new("L", SIZE, 255))
    layer.paste((0, 0, 0, 0), (0, 0, 20, 30))
    image = layer.convert("LA").convert("La") if mode == "La" else layer.convert(mode)
    pixels = read_picture(image).pixels
    assert (pixels[:, :20] == 255).all()
    wanted = colours.convert("L") if mode in ("LA", "La") else colours
    assert np.array_equal(pixels[:, 20:], np.asarray(wanted.convert("RGB"))[:, 20:])


@pytest.mark.parametrize(("mode", "hidden"), [("1", 0), ("L", 78), ("RGB", (30, 50, 210))])
def test_a_colour_that_stands_for_transparency(mode, hidden):
    image = Image.new(mode, SIZE, hidden)
    assert (read_picture(encoded(image, transparency=hidden)).pixels == 255).all()


@pytest.mark.parametrize("mode", ["LAB", "YCbCr", "HSV", "RGBX"])
def test_other_ways_to_write_a_colour(colours, mode):
    assert_same(read_picture(colours.convert(mode)).pixels, colours, 10)
    # Pillow before 13 does not read the YCbCr TIFF that it writes
    if mode == "LAB" or (mode == "YCbCr" and int(PIL.__version__.split(".")[0]) >= 13):
        assert_same(read_picture(encoded(colours.convert(mode), "TIFF")).pixels, colours, 10)


def test_orientation_is_obeyed_where_the_rest_of_exif_is_broken(colours):
    entries = struct.pack("<HHII", 0x0112, 3, 1, 6) + struct.pack("<HHII", 0x010F, 2, 4_000_000, 4_000_000)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + bytes(4)
    data = encoded(colours.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95, subsampling=0)
    assert_same(read_picture(data).pixels, colours, 12)

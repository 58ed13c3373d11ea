"""Every form a picture can come in becomes upright RGB, and every bad one a line that names it."""

import io
import os
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from mien.errors import SourceError
from mien.sources import find_pictures, read_picture, read_pipe

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
        (bytes(range(256)) * 8, "not a picture"),
        (b"<html>no such picture</html>", "not a picture"),
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


def huge_png(side: int) -> bytes:
    """Return a valid black grey PNG of side x side: a hundred kilobytes that unpack to side² bytes."""
    packer = zlib.compressobj(9)
    rows = b"".join([packer.compress(bytes(side + 1)) for _ in range(side)]) + packer.flush()

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    head = side.to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


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


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((4, 4, 2), np.uint8), "shape"),
        (np.zeros((4,), np.uint8), "shape"),
        (np.zeros((2, 4, 4, 3), np.uint8), "shape"),
        (np.zeros((3, 40, 40), np.uint8), "shape"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((4, 4, 3), np.int64), "int64"),
        (np.zeros((4, 4, 3), np.uint16), "uint16"),
        (np.zeros((4, 4, 3), bool), "bool"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
    ],
)
def test_arrays_of_wrong_shape_or_type(array, reason):
    with pytest.raises(SourceError, match=reason):
        read_picture(array)


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
    with pytest.raises(SourceError, match="not a picture"):
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
    (tmp_path / "loop").symlink_to(tmp_path)

    def names(**options: bool) -> list[str]:
        return [str(path.relative_to(tmp_path)) for path in find_pictures(tmp_path, **options)]

    assert names() == ["a.PNG", "b.jpg"]
    assert names(recursive=True) == ["a.PNG", "b.jpg", "inner/d.webp"]


def test_a_pipe_that_does_not_end_is_given_up(monkeypatch):
    monkeypatch.setattr("mien.sources.picture.MAX_BYTES", 1000)
    assert read_pipe(io.BytesIO(bytes(1000)), "-") == bytes(1000)
    with pytest.raises(SourceError, match="-: more than 1000 bytes"):
        read_pipe(io.BytesIO(bytes(1001)), "-")


def test_a_pipe_in_a_folder_is_passed_over(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "a.jpg").write_bytes(b"")
    assert [path.name for path in find_pictures(tmp_path)] == ["a.jpg"]


def test_folder_without_pictures(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(SourceError, match="no picture is in this folder; --recursive"):
        find_pictures(tmp_path)

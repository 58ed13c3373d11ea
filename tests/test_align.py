import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mien.align import FER2013, Geometry, crop_faces, face_frame
from mien.results import Detection


def ramp(height: int = 200, width: int = 300) -> np.ndarray:
    """Return a picture whose red is x and whose green is y, so that a crop tells where it was cut."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, np.zeros_like(x)], axis=2).astype(np.uint8)


def landmarks_at(x: float, y: float, turn: float) -> tuple[tuple[float, float], ...]:
    """Return five landmarks about (x, y), turned clockwise by `turn` radians."""
    upright = np.array([[-20, -20], [20, -20], [0, 0], [-15, 25], [15, 25]])
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return tuple(map(tuple, upright @ rotation + [x, y]))


def test_frame_is_the_square_that_the_geometry_says():
    geometry = Geometry(scale=1.5, across=0.1, down=-0.2)
    frame = face_frame(Detection((100, 100, 140, 190), 0.9), geometry)
    size = (40 * 90) ** 0.5
    assert frame.side == pytest.approx(1.5 * size)
    assert (frame.x, frame.y, frame.turn) == (pytest.approx(120 + 0.1 * size), pytest.approx(145 - 0.2 * size), 0)


def test_frame_turns_with_the_eyes():
    geometry = Geometry(scale=1.0, across=0.0, down=0.1)
    frame = face_frame(Detection((100, 100, 200, 200), 0.9, landmarks_at(150, 150, 0.5)), geometry)
    assert frame.turn == pytest.approx(0.5)
    assert (frame.x, frame.y) == (pytest.approx(150 - 10 * np.sin(0.5)), pytest.approx(150 + 10 * np.cos(0.5)))


@pytest.mark.parametrize("degrees", [-40, -10, 3, 30, 90])
def test_a_tilted_head_stands_upright_in_its_crop(degrees):
    """Turn a picture, find its landmarks turned: the crop is that of the picture before it was turned."""
    coarse = np.random.default_rng(0).integers(0, 256, (10, 10, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((300, 300), Image.Resampling.BICUBIC)
    turned = picture.rotate(-degrees, Image.Resampling.BICUBIC)  # Pillow turns counter-clockwise
    geometry = Geometry(1.0, 0.0, 0.0)
    box = (100, 100, 200, 200)
    (wanted,) = crop_faces(np.asarray(picture), [Detection(box, 0.9)], size=48, geometry=geometry)
    tilted = Detection(box, 0.9, landmarks_at(150, 150, np.radians(degrees)))
    (got,) = crop_faces(np.asarray(turned), [tilted], size=48, geometry=geometry)
    difference = np.abs(wanted.astype(int) - got)
    assert difference.mean() < 1.5
    assert difference.max() < 12


@given(
    st.floats(-50, 250), st.floats(-50, 250), st.floats(1, 200), st.floats(1, 200), st.integers(8, 64), st.booleans()
)
def test_any_box_gives_a_crop_of_the_asked_shape(x, y, width, height, size, grey):
    crops = crop_faces(ramp(), [Detection((x, y, x + width, y + height), 0.9)], size=size, grey=grey)
    assert crops.shape == ((1, size, size) if grey else (1, size, size, 3))


def test_crop_shows_what_lies_in_the_frame():
    detection = Detection((100, 50, 160, 110), 0.9)
    (crop,) = crop_faces(ramp(), [detection], size=30, geometry=Geometry(1.0, 0.0, 0.0), grey=False)
    assert crop[15, :, 0] == pytest.approx(np.linspace(101, 159, 30) * 255 / 300, abs=2)
    assert crop[:, 15, 1] == pytest.approx(np.linspace(51, 109, 30) * 255 / 200, abs=2)


def test_shrinking_averages_instead_of_skipping_pixels():
    stripes = np.zeros((200, 200, 3), np.uint8)
    stripes[::2] = 255
    (crop,) = crop_faces(stripes, [Detection((0, 0, 200, 200), 0.9)], size=20, geometry=Geometry(0.9, 0.0, 0.0))
    assert crop.min() > 110 and crop.max() < 145


def test_beyond_the_border_the_picture_is_reflected():
    pixels = ramp()
    (crop,) = crop_faces(
        pixels, [Detection((-30, 60, 30, 120), 0.9)], size=60, geometry=Geometry(1.0, 0.0, 0.0), grey=False
    )
    assert np.abs(crop[:, :30, 0].astype(int) - crop[:, :29:-1, 0].astype(int)).max() <= 2


def test_a_frame_wholly_outside_is_black_not_an_error():
    assert not crop_faces(ramp(), [Detection((500, 500, 600, 600), 0.9)], size=10).any()


def test_a_picture_that_is_a_face_already_is_taken_whole():
    face = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    pixels = np.repeat(face[:, :, None], 3, axis=2)
    assert np.array_equal(crop_faces(pixels, [Detection((0, 0, 48, 48), is_crop=True)], size=48)[0], face)


def test_a_face_without_a_score_is_cut_like_any_other():
    """Such as a box carried over from another frame, or one from a detector that gives no scores."""
    box = (100, 60, 180, 150)
    scored, unscored = (crop_faces(ramp(), [Detection(box, score)], size=48) for score in (0.9, None))
    assert np.array_equal(scored, unscored)


def test_no_faces_no_crops():
    assert crop_faces(ramp(), [], size=48, geometry=FER2013).shape == (0, 48, 48)

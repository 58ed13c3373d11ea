"""Whatever a user can name → Frames: RGB, uint8, upright."""

from mien.sources.folder import find_pictures
from mien.sources.picture import MAX_PIXELS, PictureSource, read_picture, read_pipe

__all__ = ["MAX_PIXELS", "PictureSource", "find_pictures", "read_picture", "read_pipe"]

"""Whatever a user can name → Frames: RGB, uint8, upright."""

from mien.sources.folder import find_pictures
from mien.sources.opening import MAX_PIXELS, read_pipe
from mien.sources.picture import PictureSource, read_frames, read_picture

__all__ = ["MAX_PIXELS", "PictureSource", "find_pictures", "read_frames", "read_picture", "read_pipe"]

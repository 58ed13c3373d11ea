"""Whatever a user can name → Frames: RGB, uint8, upright."""

from mien.sources.folder import find_pictures
from mien.sources.naming import one_line
from mien.sources.opening import MAX_PIXELS, read_pipe
from mien.sources.picture import PictureSource, read_frames, read_picture

__all__ = ["MAX_PIXELS", "PictureSource", "find_pictures", "one_line", "read_frames", "read_picture", "read_pipe"]

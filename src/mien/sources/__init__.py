"""Whatever a user can name → Frames: RGB, uint8, upright."""

from mien.sources.folder import find_pictures, walk_pictures
from mien.sources.media import Media, MediaSource, open_media
from mien.sources.naming import is_stream
from mien.sources.opening import MAX_PIXELS, read_pipe
from mien.sources.picture import read_frames, read_picture
from mien.sources.selection import WHOLE, Selection

__all__ = [
    "MAX_PIXELS",
    "WHOLE",
    "Media",
    "MediaSource",
    "Selection",
    "find_pictures",
    "is_stream",
    "open_media",
    "read_frames",
    "read_picture",
    "read_pipe",
    "walk_pictures",
]

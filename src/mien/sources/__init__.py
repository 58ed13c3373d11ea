"""Whatever a user can name → Frames: RGB, uint8, upright."""

from mien.limits import MAX_PIXELS
from mien.sources.folder import find_pictures, walk_pictures
from mien.sources.media import FileSource, Media, MediaSource, find_segments, open_media, open_segment
from mien.sources.naming import is_stream
from mien.sources.opening import read_pipe
from mien.sources.picture import read_frames, read_picture
from mien.sources.segments import SEGMENT, Segment
from mien.sources.selection import WHOLE, Selection

__all__ = [
    "MAX_PIXELS",
    "SEGMENT",
    "WHOLE",
    "FileSource",
    "Media",
    "MediaSource",
    "Segment",
    "Selection",
    "find_pictures",
    "find_segments",
    "is_stream",
    "open_media",
    "open_segment",
    "read_frames",
    "read_picture",
    "read_pipe",
    "walk_pictures",
]

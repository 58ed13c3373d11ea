"""Boxes over time → who is who; scores over time → smooth ones."""

from mien.tracking.joining import Edge, Joiner, Person
from mien.tracking.smoothing import Smoother
from mien.tracking.tracker import Glimpse, Tracker
from mien.tracking.watcher import LONGEST, Look, SegmentWatcher, Watcher

__all__ = [
    "LONGEST",
    "Edge",
    "Glimpse",
    "Joiner",
    "Look",
    "Person",
    "SegmentWatcher",
    "Smoother",
    "Tracker",
    "Watcher",
]

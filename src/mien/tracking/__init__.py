"""Boxes over time → who is who; scores over time → smooth ones."""

from mien.tracking.smoothing import Smoother
from mien.tracking.tracker import Tracker
from mien.tracking.watcher import LONGEST, Watcher

__all__ = ["LONGEST", "Smoother", "Tracker", "Watcher"]

"""The same analysis on Ray, over the cores of one machine or of many: for what one process takes too long over.

Ray itself is imported when something is started on it.
"""

from mien.cluster.engine import Outcome, run
from mien.cluster.places import find_sources, refuse_streams

__all__ = ["Outcome", "find_sources", "refuse_streams", "run"]

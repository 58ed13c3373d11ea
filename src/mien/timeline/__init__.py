"""Results over time: who is seen how long with which expression, as a summary and as a chart."""

from mien.timeline.chart import draw_timeline
from mien.timeline.reading import read_results
from mien.timeline.summary import Film, Person, Summary

__all__ = ["Film", "Person", "Summary", "draw_timeline", "read_results"]

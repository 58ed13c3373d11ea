"""Results drawn on their pictures."""

from mien.drawing.painting import annotate

__all__ = ["annotate"]

"""Results drawn on their pictures."""

from mien.drawing.painting import annotate, annotated_image

__all__ = ["annotate", "annotated_image"]

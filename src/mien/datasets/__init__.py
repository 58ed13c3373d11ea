"""Labelled faces on disk: importers, one layout, and the search for near-duplicates."""

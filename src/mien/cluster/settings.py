"""What decides the answers, and so what has to be equal for results to stand in one table."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mien.analyzer import Analyzer
from mien.bulk.task import Settings
from mien.results import SCHEMA
from mien.sources import SEGMENT


def described(settings: Settings, analyzer: Analyzer) -> dict[str, Any]:
    """Return it in plain values, by the options' names."""
    values = asdict(settings)
    selection = values.pop("selection")
    del values["device"]  # where it was computed is nothing that the answers depend on
    exact = {"model": analyzer.model, "emotions": [str(emotion) for emotion in analyzer.emotions]}
    return {**values, **selection, **exact, "schema": SCHEMA, "segment": SEGMENT}

"""What is asked for: labels, the words that stand for them, and how the words become searches."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from mien.errors import UsageError

SHIPPED = ("five", "three")
"""Queries that come with mien."""

REQUEST = "collected"
"""The table of a collection's own copy of the queries that says how they were asked."""

_PHRASES = ("{word} human face", "{word} face")
_LIMIT = 100
_PLACE = "{word}"
_LONGEST = 200  # characters of a search; Openverse takes no more
_KEYS = ("phrases", "limit", "synonym_limit")


@dataclass(frozen=True, slots=True)
class Query:
    """A word that stands for a label.

    Attributes:
        label: what the pictures that are found are labelled as.
        word: such as "furious".
        phrases: such as "{word} human face".
        limit: how many pictures are wanted.

    """

    label: str
    word: str
    phrases: tuple[str, ...]
    limit: int

    @property
    def texts(self) -> tuple[str, ...]:
        """What is searched for, such as "furious human face"; the next one where those before find too little."""
        return tuple(phrase.replace(_PLACE, self.word) for phrase in self.phrases)


def read_queries(source: str) -> tuple[Query, ...]:
    """Return the queries of a TOML file, or those that are shipped under the name `source`, grouped by label.

    Raises:
        UsageError: there is no such file, or it is not in the form that docs/collecting.md describes.

    """
    if source in SHIPPED:
        return parse_queries(_shipped(f"{source}.toml"), source)
    try:
        text = Path(source).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or error) if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(
            f"{source}: the queries cannot be read ({reason}); give a .toml file, or {' or '.join(SHIPPED)}"
        ) from error
    return parse_queries(text, source)


def imagenet_queries(limit: int) -> tuple[Query, ...]:
    """Return a query for each of the 1,000 labels of ImageNet, for `limit` pictures each."""
    return tuple(Query(name, name, (_PLACE,), limit) for name in _shipped("imagenet.txt").splitlines())


def with_limit(queries: Iterable[Query], limit: int | None) -> tuple[Query, ...]:
    """Return the queries, each for `limit` pictures where it is given."""
    return tuple(query if limit is None else replace(query, limit=limit) for query in queries)


def parse_queries(text: str, name: str) -> tuple[Query, ...]:
    """Return the queries in the TOML `text`; `name` is what messages call it.

    Raises:
        UsageError: it is not in the form; the message names the place.

    """
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{name}: it is not TOML ({error})") from error
    _check_keys(table, (*_KEYS, "query", REQUEST), name)
    entries = table.get("query")
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{name}: it has no [[query]], with a label and words")
    labels: dict[str, dict[str, Query]] = {}
    for number, entry in enumerate(entries, start=1):
        where = f"{name}, query {number}"
        if not isinstance(entry, dict):
            raise UsageError(f"{where}: it is not a table: write [[query]]")
        _check_keys(entry, ("label", "words", *_KEYS), where)
        for query in _read_entry(entry, table, where):
            words = labels.setdefault(query.label, {})
            if query.word in words:
                raise UsageError(f"{where}: {query.word!r} stands twice under {query.label!r}")
            words[query.word] = query
    return tuple(query for words in labels.values() for query in words.values())


def write_queries(queries: Iterable[Query], asked: Mapping[str, str | bool | list[str]]) -> str:
    """Return the TOML of `queries`, and how they were `asked`, as `parse_queries` reads it."""
    lines = ["# What `mien collect` was asked for; it can be given to it again.", "", f"[{REQUEST}]"]
    lines += _lines(asked)
    for query in queries:
        entry = {"label": query.label, "words": [query.word], "phrases": query.phrases, "limit": query.limit}
        lines += ["", "[[query]]", *_lines(entry)]
    return "\n".join(lines) + "\n"


def _lines(table: Mapping[str, object]) -> list[str]:
    # what JSON writes of texts, numbers, truths and lists of them is TOML
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()]


def _shipped(file: str) -> str:
    return (files("mien.collect") / "shipped" / file).read_text("utf-8")


def _read_entry(entry: Mapping[str, Any], defaults: Mapping[str, Any], where: str) -> Iterable[Query]:
    label = _text(entry.get("label"), f"{where}: label")
    if "/" in label or "\\" in label or label.startswith("."):
        raise UsageError(f"{where}: label: {label!r} cannot name a folder: leave out slashes and a leading dot")
    phrases = _texts(entry.get("phrases", defaults.get("phrases", list(_PHRASES))), f"{where}: phrases")
    for phrase in phrases:
        if _PLACE not in phrase:
            raise UsageError(f"{where}: phrases: {phrase!r} lacks {_PLACE}, which stands for the word")
    words = _texts(entry.get("words"), f"{where}: words")
    limit = _count(entry.get("limit", defaults.get("limit", _LIMIT)), f"{where}: limit")
    synonyms = _count(entry.get("synonym_limit", defaults.get("synonym_limit", limit)), f"{where}: synonym_limit")
    for number, word in enumerate(words):
        query = Query(label, word, tuple(phrases), synonyms if number else limit)
        if len(set(phrases)) < len(phrases) or any(len(text) > _LONGEST for text in query.texts):
            raise UsageError(f"{where}: phrases: they are the same, or longer than {_LONGEST} letters, for {word!r}")
        yield query


def _check_keys(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    if unknown := [key for key in table if key not in known]:
        raise UsageError(f"{where}: unknown: {', '.join(unknown)}; known are {', '.join(known)}")


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > _LONGEST:
        raise UsageError(f"{where}: it is not a text on one line, of 1 to {_LONGEST} letters")
    return value.strip()


def _texts(value: object, where: str) -> list[str]:
    if not isinstance(value, list) or not value:
        raise UsageError(f'{where}: it is not a list of texts, as in ["angry", "furious"]')
    return [_text(item, where) for item in value]


def _count(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"{where}: it is not a whole number above 0")
    return value

"""The files that say what to look for."""

import pytest

from mien.collect.licences import CODES, Licences, code
from mien.collect.queries import (
    SHIPPED,
    Query,
    imagenet_queries,
    parse_queries,
    read_queries,
    with_limit,
    write_queries,
)
from mien.emotions import SETS
from mien.errors import UsageError

WORDS = {
    "angry": "angry furious resentful irate",
    "disgusted": "disgusted sour grossed out",
    "happy": "happy smiling cheerful elated joyful",
    "sad": "sad depressed sorrowful mournful grieving crying",
    "surprised": "surprised astonished shocked amazed",
}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_ones_have_the_emotions_of_their_set(name):
    queries = read_queries(name)
    assert tuple(dict.fromkeys(query.label for query in queries)) == tuple(map(str, SETS[name]))
    assert all(query.texts == (f"{query.word} human face", f"{query.word} face") for query in queries)


def test_five_has_synonyms_with_smaller_limits_and_three_some_500_each():
    for label, words in WORDS.items():
        queries = [query for query in read_queries("five") if query.label == label]
        assert " ".join(query.word for query in queries) == words
        assert queries[0].word == label and queries[0].limit > max(query.limit for query in queries[1:])
    assert [query.limit for query in read_queries("three")] == [500] * 3


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        """
        phrases = ["{word} Gesicht"]
        limit = 30
        [[query]]
        label = "wütend"
        words = ["wütendes", "zorniges"]
        synonym_limit = 5
        [[query]]
        label = "glad"
        words = ["glatt ansikte"]
        phrases = ["{word}"]
        [[query]]
        label = "wütend"
        words = ["böses"]
        limit = 7
        """,
        "utf-8",
    )
    queries = read_queries(str(path))
    assert queries == (
        Query("wütend", "wütendes", ("{word} Gesicht",), 30),
        Query("wütend", "zorniges", ("{word} Gesicht",), 5),
        Query("wütend", "böses", ("{word} Gesicht",), 7),
        Query("glad", "glatt ansikte", ("{word}",), 30),
    )
    assert queries[1].texts == ("zorniges Gesicht",)
    assert {query.limit for query in with_limit(queries, 2)} == {2}
    assert with_limit(queries, None) == queries
    written = write_queries(queries, {"providers": ["local"], "from": 'C:\\a "b"\t', "allow_unknown_licence": False})
    assert parse_queries(written, "copy") == queries


ENTRY = '[[query]]\nlabel = "a"\nwords = ["b"]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"it has no \[\[query\]\]"),
        ("query = 3", r"it has no \[\[query\]\]"),
        ("query = [3]", "query 1: it is not a table"),
        ("= 1", "it is not TOML"),
        ("limits = 3\n" + ENTRY, "unknown: limits; known are phrases, limit"),
        (ENTRY + 'langage = "de"', "query 1: unknown: langage"),
        ('[[query]]\nwords = ["b"]', "query 1: label: it is not a text"),
        ('[[query]]\nlabel = "a/b"\nwords = ["b"]', "cannot name a folder"),
        ('[[query]]\nlabel = ".."\nwords = ["b"]', "cannot name a folder"),
        ('[[query]]\nlabel = "a"\nwords = "b"', "words: it is not a list"),
        ('[[query]]\nlabel = "a"\nwords = []', "words: it is not a list"),
        ('[[query]]\nlabel = "a"\nwords = ["b\\n"]', "words: it is not a text on one line"),
        ('[[query]]\nlabel = "a"\nwords = ["b", "b"]', "'b' stands twice under 'a'"),
        (ENTRY + ENTRY, "query 2: 'b' stands twice under 'a'"),
        (ENTRY + "limit = 0", "limit: it is not a whole number above 0"),
        (ENTRY + "limit = true", "limit: it is not a whole number"),
        (ENTRY + "synonym_limit = 1.5", "synonym_limit: it is not a whole number"),
        (ENTRY + 'phrases = ["face"]', "phrases: 'face' lacks {word}"),
        (ENTRY + 'phrases = ["{word}", "{word}"]', "phrases: they are the same"),
        (ENTRY + f'phrases = ["{{word}} {"x" * 193}", "{{word}} {"x" * 190}"]', "longer than 200 letters"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(text, message):
    text = text.replace('"b"]\nphrases', '"bbbbbbbbbbbb"]\nphrases') if "longer" in message else text
    with pytest.raises(UsageError, match=f"mine.toml.*{message}"):
        parse_queries(text, "mine.toml")


def test_the_labels_of_imagenet():
    queries = imagenet_queries(3)
    assert len({query.label for query in queries}) == 1000
    assert queries[0] == Query("tench", "tench", ("{word}",), 3)
    assert parse_queries(write_queries(queries, {}), "copy") == queries


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CC BY-SA 4.0", "by-sa"),
        ("CC BY 2.5 nl", "by"),
        ("cc-by-sa-3.0,2.5,2.0,1.0", "by-sa"),
        ("CC BY-NC-ND 2.0", "by-nc-nd"),
        ("CC BY-NC 2.0", "by-nc"),
        ("CC0", "cc0"),
        ("CC0 1.0", "cc0"),
        ("Public domain", "pdm"),
        ("Public Domain Mark 1.0", "pdm"),
        ("PD-old-70", "pdm"),
        ("No restrictions", "pdm"),
        ("GFDL 1.2", "gfdl 1.2"),
        ("OGL 3", "ogl 3"),
    ],
)
def test_licences_as_services_write_them(text, expected):
    assert code(text) == expected


def test_groups_of_licences():
    names = {code: f"CC {code.upper()} 4.0" if code.startswith("by") else code for code in CODES}
    wanted = {
        group: {code for code, name in names.items() if Licences((group,)).refusal(name) is None}
        for group in ("open", "commercial", "modification")
    }
    assert wanted["open"] == set(CODES)
    assert wanted["commercial"] == {"by", "by-sa", "by-nd", "cc0", "pdm"}
    assert wanted["modification"] == {"by", "by-sa", "by-nc", "by-nc-sa", "cc0", "pdm"}
    # whoever asks for what is allowed gets only what is known to be allowed
    assert Licences(("open",)).refusal("OGL 3") is None
    assert Licences(("commercial",)).refusal("OGL 3") == "licence not wanted"
    assert Licences(("modification",)).refusal("OGL 3") == "licence not wanted"
    assert Licences(("by",)).refusal("CC BY-SA 4.0") == "licence not wanted"
    assert Licences(("by",)).refusal("") == "licence unknown"
    assert Licences(("by",), unknown=True).refusal("") is None

"""JSON lines: words with tags, and texts with spans."""

import json
from pathlib import Path

import pytest

from multiner.jsonl import read_jsonl
from multiner.sentences import Account, CorpusError, Sentence


@pytest.fixture
def write(tmp_path: Path):
    def write(*records: object) -> Path:
        path = tmp_path / "data.jsonl"
        lines = (record if isinstance(record, str) else json.dumps(record, ensure_ascii=False) for record in records)
        path.write_text("\n".join(lines), encoding="utf8")
        return path

    return write


def read(path: Path, **options) -> list[Sentence]:
    return list(read_jsonl(path, **options))


@pytest.mark.parametrize(
    ("record", "options"),
    [
        ({"tokens": ["Ada", "spoke"], "tags": ["B-PER", "O"]}, {}),
        ({"words": ["Ada", "spoke"], "labels": ["B-PER", "O"]}, {}),
        ({"tokens": ["Ada", "spoke"], "ner_tags": [1, 0]}, {"names": ["O", "B-PER", "I-PER"]}),
        ({"tokens": ["Ada", "spoke"], "tags": ["S-PER", "O"]}, {}),
        ({"t": ["Ada", "spoke"], "n": ["B-PER", "O"]}, {"words_field": "t", "tags_field": "n"}),
        ({"text": "Ada spoke", "spans": [{"start": 0, "end": 3, "label": "PER"}]}, {}),
        ({"text": "Ada spoke", "entities": [[0, 3, "PER"]]}, {}),
        ({"text": "Ada spoke", "label": [[0, 4, "PER"]]}, {}),
        ({"text": "Ada spoke", "tokens": [{"text": "Ada"}], "spans": [{"start": 0, "end": 3, "label": "PER"}]}, {}),
    ],
    ids=["tags", "other names", "numbers", "BIOES", "named fields", "spans", "entities", "blank at the end", "prodigy"],
)
def test_what_annotation_tools_write_is_understood(write, record, options):
    path = write(record)
    (sentence,) = read(path, **options)
    assert (sentence.words, sentence.tags, sentence.source) == (["Ada", "spoke"], ["B-PER", "O"], f"{path}:1")


def test_texts_are_cut_into_words_as_pipelines_of_the_language_cut_them(write):
    (sentence,) = read(write({"text": "L'Italie, oui", "spans": [[2, 8, "LOC"]], "lang": "fr"}))
    assert sentence.words == ["L'", "Italie", ",", "oui"]
    assert sentence.tags == ["O", "B-LOC", "O", "O"]
    assert sentence.spaces == [False, False, True, False]
    assert sentence.language == "fr"
    (unknown,) = read(write({"text": "Nama Jawa", "lang": "jv"}))
    assert unknown.words == ["Nama", "Jawa"]


def test_a_text_without_spans_has_no_entities(write):
    assert [sentence.tags for sentence in read(write({"text": "nobody here", "spans": []}, "", {"text": "x"}))] == [
        ["O", "O"],
        ["O"],
    ]


def test_spans_within_words_are_counted_and_their_words_are_left_without_annotation(write):
    account = Account()
    path = write({"text": "im Hauptbahnhof Bern", "spans": [[3, 8, "LOC"], [16, 20, "LOC"]]})
    (sentence,) = read_jsonl(path, account=account)
    assert sentence.tags == ["O", "-", "B-LOC"]
    (change,) = account.changes
    assert change[:4] == (f"{path}, line 1", "Haupt", "LOC", "no annotation")
    assert "'Hauptbahnhof'" in change.reason


def test_of_overlapping_spans_repair_keeps_the_longest_and_lists_the_other(write):
    path = write({"text": "University of Bern", "spans": [[14, 18, "LOC"], [0, 18, "ORG"]]})
    with pytest.raises(CorpusError, match=r"line 1: the spans 'Bern' \(LOC\) and 'University of Bern' \(ORG\) overlap"):
        read(path)
    account = Account()
    (sentence,) = read_jsonl(path, repair=True, account=account)
    assert sentence.tags == ["B-ORG", "I-ORG", "I-ORG"]
    assert account.changes[0].text == "Bern"


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("{", r"line 2: .* at column 2\. Every line is one JSON object"),
        ("[1]", r"line 2: '\[1\]' is no object"),
        ("null", r"line 2: 'None' is no object"),
        ({"x": 1}, r"line 2: no 'tokens', 'words' among 'x'.*--words-field"),
        ({"tokens": ["a"]}, r"line 2: no 'tags', 'ner_tags', 'labels' among 'tokens'"),
        ({"tokens": "a", "tags": ["O"]}, r"line 2: 'a' is no list"),
        ({"tokens": ["a", "b"], "tags": ["O"]}, r"line 2: 2 words, but 1 tags"),
        ({"tokens": ["a", " "], "tags": ["O", "O"]}, r"line 2: ' ' is no word"),
        ({"tokens": ["a", 1], "tags": ["O", "O"]}, r"line 2: 1 is no word"),
        ({"tokens": ["a"], "tags": [1]}, r"line 2: the tag of 'a' is the number 1, and nothing says its name"),
        ({"tokens": ["a"], "tags": ["LOC"]}, r"line 2: 'LOC' \(for 'a'\) is not a tag"),
        ({"tokens": ["a"], "tags": [None]}, r"line 2: None \(for 'a'\) is not a tag"),
        ({"tokens": ["a"], "tags": ["I-LOC"]}, r"line 2: the tag 'I-LOC' of 'a' is not legal IOB2.*--repair"),
        ({"text": " "}, r"line 2: the text ' ' is empty"),
        ({"text": "a", "spans": [[0, 2, "LOC"]]}, r"line 2: \[0, 2, \"LOC\"\] is no span of the text's 1 characters"),
        ({"text": "a b", "spans": [[1, 2, "LOC"]]}, r"covers more than white space"),
        ({"text": "a", "spans": [{"start": 0, "end": 1}]}, r"line 2: .* is no span"),
        ({"text": "a", "spans": ["LOC"]}, r"line 2: \"LOC\" is no span"),
    ],
)
def test_a_bad_line_is_refused_with_its_number_value_and_remedy(write, record, message):
    path = write({"tokens": ["a", "b"], "tags": ["B-LOC", "O"]}, record)
    with pytest.raises(CorpusError, match=message) as error:
        read(path)
    assert str(path) in str(error.value)


def test_numbers_without_a_name_and_mixed_schemes_are_refused(write):
    with pytest.raises(CorpusError, match=r"the number 7, but only 0 to 2 have names\. The names are O, B-X, I-X"):
        read(write({"tokens": ["a"], "tags": [7]}), names=["O", "B-X", "I-X"])
    with pytest.raises(CorpusError, match=r"BIOES and of BILUO are mixed"):
        read(write({"tokens": ["a", "b"], "tags": ["S-X", "U-X"]}))


def test_an_empty_file_and_other_encodings_are_refused(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"\n")
    with pytest.raises(CorpusError, match="holds no sentence"):
        read(path)
    path.write_bytes('{"text": "Zürich"}'.encode("latin-1"))
    with pytest.raises(CorpusError, match=r"line 1: .* JSON is UTF-8"):
        read(path)

"""Sentences in spaCy's binary format."""

import pytest
import spacy
from spacy.tokens import Doc, DocBin

from multiner.docbins import count_docs, pack, read_docs, read_sentences, write_docs
from multiner.sentences import Sentence

SENTENCES = [
    Sentence(["Ada", "Lovelace", ",", "London"], ["B-PER", "I-PER", "O", "B-creative-work"], "en", "a:1"),
    Sentence(["l'", "ORG", "?"], ["O", "B-ORG", "-"], None, "b:7", [False, False, True]),
]


def test_what_spacy_reads_is_what_was_written(tmp_path):
    write_docs(SENTENCES, tmp_path / "out.spacy")
    # By spaCy's own reader, with nothing of ours in between.
    first, second = DocBin().from_disk(tmp_path / "out.spacy").get_docs(spacy.blank("xx").vocab)
    assert first.text == "Ada Lovelace, London"
    assert [(entity.text, entity.label_) for entity in first.ents] == [
        ("Ada Lovelace", "PER"),
        ("London", "creative-work"),
    ]
    assert first.user_data == {"source": "a:1", "language": "en"}
    assert (second.text, second.user_data) == ("l'ORG? ", {"source": "b:7"})
    assert [token.ent_iob_ for token in second] == ["O", "B", ""]
    assert second[1].ent_type_ == "ORG"


def test_sentences_are_read_back_as_they_were(tmp_path):
    write_docs(SENTENCES, tmp_path / "out.spacy")
    again = list(read_sentences(tmp_path / "out.spacy"))
    assert [sentence[:4] for sentence in again] == [sentence[:4] for sentence in SENTENCES]
    assert again[0].spaces == [True, False, True, False]


def test_other_peoples_docbins_are_read(tmp_path):
    nlp = spacy.blank("en")
    with_spaces = nlp("Ada lives in London.")
    with_spaces.ents = [with_spaces.char_span(0, 3, label="PER")]
    without_spaces = Doc(nlp.vocab, words=["Bonn", "!"])
    DocBin(docs=[with_spaces, without_spaces]).to_disk(tmp_path / "theirs.spacy")
    first, second = read_sentences(tmp_path / "theirs.spacy")
    assert first.tags == ["B-PER", "O", "O", "O", "O"]
    assert (first.spaces, first.source) == ([True, True, True, False, False], f"{tmp_path}/theirs.spacy, document 1")
    assert (second.tags, second.language) == (["-", "-"], None)


def test_shards_hold_all_sentences_in_order(tmp_path):
    sentences = [Sentence([str(number)], ["O"], None, f"x:{number}") for number in range(25)]
    write_docs(sentences, tmp_path / "out.spacy", shard=10)
    assert sorted(path.name for path in (tmp_path / "out.spacy").iterdir()) == [
        "00000.spacy",
        "00001.spacy",
        "00002.spacy",
    ]
    assert count_docs(tmp_path / "out.spacy") == 25
    assert [doc.text for doc in read_docs(tmp_path / "out.spacy", spacy.blank("xx").vocab)] == list(map(str, range(25)))
    write_docs(sentences[:10], tmp_path / "out.spacy", shard=10)
    assert (tmp_path / "out.spacy").is_file()


def test_a_corpus_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no corpus at .*none.spacy. Make it with scripts/convert.py"):
        list(read_docs(tmp_path / "none.spacy", spacy.blank("xx").vocab))


def test_the_same_corpus_gives_the_same_bytes():
    assert pack(SENTENCES).to_bytes() == pack(SENTENCES).to_bytes()

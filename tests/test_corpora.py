"""From files to DocBin: the sample, real corpora, and what is refused."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import spacy

from multiner.columns import ColumnError, Sentence, read_columns
from multiner.corpora import convert, find_sources, gold_words_corpus, read_docs, sample
from multiner.tags import spans_from_tags

from .conftest import PROJECT, SHARED_DATA

SAMPLE = PROJECT / "corpus" / "sample"
LANGUAGES = ["de", "fr", "it", "en"]
SIZES = {"train": 120, "dev": 40, "test": 60}
NLP = spacy.blank("xx")


def masked(sentence: Sentence) -> tuple[str, ...]:
    """The sentence with its entities blanked."""
    return tuple(
        "_" if tag != "O" else word for word, tag in zip(sentence.words, sentence.tags, strict=True) if tag[0] != "I"
    )


@pytest.fixture(scope="module")
def sample_sentences() -> dict[tuple[str, str], list[Sentence]]:
    return {
        (language, split): read_columns(SAMPLE / language / f"{split}.conll").sentences
        for language in LANGUAGES
        for split in SIZES
    }


def test_the_sample_has_enough_sentences_of_every_type_in_every_part(sample_sentences):
    for (language, split), sentences in sample_sentences.items():
        assert len(sentences) >= SIZES[split]
        assert {sentence.language for sentence in sentences} == {language}
        assert {span.label for s in sentences for span in spans_from_tags(s.tags)} == {"PER", "LOC", "ORG"}


def test_the_sample_is_written_without_templates(sample_sentences):
    everything = [masked(sentence) for sentences in sample_sentences.values() for sentence in sentences]
    assert [frame for frame, count in Counter(everything).items() if count > 1] == []


def test_no_sentence_of_the_sample_is_in_two_parts(sample_sentences):
    seen: dict[str, tuple[str, str]] = {}
    for part, sentences in sample_sentences.items():
        for sentence in sentences:
            text = " ".join(sentence.words).lower()
            assert seen.setdefault(text, part) == part


def test_the_sample_is_varied(sample_sentences):
    for language in LANGUAGES:
        sentences = [s for split in SIZES for s in sample_sentences[language, split]]
        count = len(sentences)
        without = sum(not spans_from_tags(s.tags) for s in sentences)
        spans = [(s, span) for s in sentences for span in spans_from_tags(s.tags)]
        assert 0.15 < without / count < 0.25
        assert sum(span.start == 0 for _, span in spans) > 0.1 * count
        assert sum(span.end == len(s.words) for s, span in spans) > 0.04 * count
        assert sum(span.end - span.start >= 3 for _, span in spans) > 0.05 * count
        assert any("-" in word for s, span in spans for word in s.words[span.start : span.end])
        lines = [" ".join(s.words) for s in sentences]
        assert sum(line.isupper() for line in lines) >= 10
        assert sum(line.islower() for line in lines) >= 10


def test_a_converted_corpus_keeps_words_entities_blanks_and_origin(tmp_path):
    out = tmp_path / "out" / "train.spacy"
    conversion = convert([SAMPLE], out, split="train")
    docs = list(read_docs(out, NLP.vocab))
    assert conversion.docs == len(docs) == 1073
    assert conversion.languages == {"de": 255, "fr": 267, "it": 272, "en": 279}
    assert conversion.entities == sum(len(doc.ents) for doc in docs)
    first = read_columns(SAMPLE / "de" / "train.conll").sentences[0]
    assert [token.text for token in docs[0]] == first.words
    assert docs[0].user_data["language"] == "de"
    assert docs[0].user_data["source"] == f"{SAMPLE / 'de' / 'train.conll'}:1"
    assert not any(re.search(r" [,.]$", doc.text) for doc in docs)


def test_training_examples_have_the_words_of_the_corpus(tmp_path):
    convert([SAMPLE / "fr"], tmp_path / "fr.spacy", split="dev")
    read = gold_words_corpus(tmp_path / "fr.spacy", limit=20)
    examples = list(read(NLP))
    assert len(examples) == 20
    for example in examples:
        assert [token.text for token in example.predicted] == [token.text for token in example.reference]
        assert example.predicted.text == example.reference.text
        assert not example.predicted.ents


def test_a_sample_is_drawn_as_datasets_shuffles():
    """`datasets.Dataset.shuffle(seed)` orders rows by numpy's default generator."""
    rows = [Sentence([str(index)], ["O"], None, Path("x"), index) for index in range(50)]
    expected = np.random.default_rng(7).permutation(50)[:10].tolist()
    assert [row.line for row in sample(rows, 10, 7)] == expected
    assert sample(rows, 80, 0) != rows and len(sample(rows, 80, 0)) == 50


def test_parts_are_found_under_their_usual_names(tmp_path):
    for name in ("de/train.conllu", "de/val.conllu", "emerging.dev.conll", "eng.testb", "wnut17train.tsv", "notes.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("a\tO\n")
    assert [path.name for path in find_sources([tmp_path], "train")] == ["train.conllu"]
    assert [path.name for path in find_sources([tmp_path], "dev")] == ["val.conllu", "emerging.dev.conll"]
    with pytest.raises(FileNotFoundError, match=r"has no 'test' file \(test, testb\) ending in"):
        find_sources([tmp_path], "test")
    with pytest.raises(FileNotFoundError, match="There is no file or folder"):
        find_sources([tmp_path / "absent"], "train")


def test_the_language_comes_from_prefix_folder_or_option(tmp_path):
    (tmp_path / "it").mkdir()
    (tmp_path / "it" / "a.conll").write_text("x\tO\n")
    (tmp_path / "b.conll").write_text("fr:x\tO\n")
    (tmp_path / "c.conll").write_text("x\tO\n")
    out = tmp_path / "out.spacy"
    sources = [tmp_path / "it" / "a.conll", tmp_path / "b.conll", tmp_path / "c.conll"]
    assert convert(sources, out, language="de").languages == {"it": 1, "fr": 1, "de": 1}
    assert convert(sources, out, language="xx").languages == {"it": 1, "fr": 1, "unknown": 1}


def test_a_bad_file_leaves_no_corpus_behind(tmp_path):
    (tmp_path / "a.conll").write_text("x\tO\n")
    (tmp_path / "b.conll").write_text("x\tB_LOC\n")
    with pytest.raises(ColumnError, match=r"b.conll, line 1"):
        convert([tmp_path / "a.conll", tmp_path / "b.conll"], tmp_path / "out.spacy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.conll", "b.conll"]


def test_repairs_are_counted_and_listed_beside_the_corpus(tmp_path):
    (tmp_path / "a.conll").write_text("x\tB-LOC\ny\tI-PER\n")
    conversion = convert([tmp_path / "a.conll"], tmp_path / "out.spacy", repair=True)
    (line,) = (tmp_path / "out.repairs.jsonl").read_text().splitlines()
    assert len(conversion.repairs) == 1
    (tmp_path / "b.conll").write_text("x\tB-LOC\n")
    convert([tmp_path / "b.conll"], tmp_path / "out.spacy")
    assert not (tmp_path / "out.repairs.jsonl").exists()
    assert (
        json.loads(line)["tag"] == "I-PER" and json.loads(line)["read_as"] == "B-PER" and json.loads(line)["line"] == 2
    )


def test_an_entity_of_white_space_is_refused(tmp_path):
    (tmp_path / "a.conll").write_text("x\tB-LOC\n\u2003\tI-LOC\n")
    with pytest.raises(ColumnError, match=r"line 2: the word in .* is empty"):
        convert([tmp_path / "a.conll"], tmp_path / "out.spacy")


real_data = pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the real corpora are not on this machine")


def count_raw(path: Path) -> tuple[int, int]:
    """Words and entities straight from the lines, by other means than the reader's."""
    tags = re.findall(rb"\t(O|[BI]-[^\t\r\n]+)\r?$", path.read_bytes(), re.MULTILINE)
    return len(tags), sum(tag.startswith(b"B-") for tag in tags)


@real_data
@pytest.mark.parametrize(
    ("file", "docs", "entities"),
    [("wnut17/train.conll", 3394, 1975), ("panx/de/train.conllu", 20000, 27643), ("wnut17/test.conll", 1287, 1079)],
)
def test_real_corpora_convert_without_a_lost_word_or_entity(tmp_path, file, docs, entities):
    source = SHARED_DATA / file
    conversion = convert([source], tmp_path / "out.spacy")
    words, begins = count_raw(source)
    assert (conversion.docs, conversion.entities) == (docs, entities)
    assert (conversion.words, conversion.entities) == (words, begins)
    loaded = list(read_docs(tmp_path / "out.spacy", NLP.vocab))
    assert (len(loaded), sum(map(len, loaded)), sum(len(doc.ents) for doc in loaded)) == (docs, words, entities)

"""From files to DocBin: the sample, real corpora, and what is refused."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.tokens import DocBin

from multiner.columns import open_columns
from multiner.corpora import Conversion, convert, convert_splits, draw, find_files, has_splits
from multiner.docbins import gold_words_corpus, read_docs
from multiner.labels import LabelError
from multiner.recipes import Recipe, SourceRecipe
from multiner.sentences import CorpusError, Sentence, SplitError
from multiner.tags import spans_from_tags

from .conftest import PROJECT, SHARED_DATA

SAMPLE = PROJECT / "corpus" / "sample"
LANGUAGES = ["de", "fr", "it", "en"]
SIZES = {"train": 120, "dev": 40, "test": 60}
NLP = spacy.blank("xx")


def convert_one(source: Path, out: Path, **options) -> Conversion:
    """Convert a single source; what `convert` does not know is how the source is read."""
    own = {key: options.pop(key) for key in ("split", "sentences", "seed", "shard") if key in options}
    return convert(Recipe((SourceRecipe(str(source), **options),)), out, **own)


def masked(sentence: Sentence) -> tuple[str, ...]:
    """The sentence with its entities blanked."""
    return tuple(
        "_" if tag != "O" else word for word, tag in zip(sentence.words, sentence.tags, strict=True) if tag[0] != "I"
    )


@pytest.fixture(scope="module")
def sample_sentences() -> dict[tuple[str, str], list[Sentence]]:
    return {
        (language, split): list(open_columns(SAMPLE / language / f"{split}.conll").sentences())
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
    conversion = convert_one(SAMPLE, out, split="train")
    docs = list(read_docs(out, NLP.vocab))
    assert conversion.docs == len(docs) == 1073
    assert conversion.languages == {"de": 255, "fr": 267, "it": 272, "en": 279}
    assert conversion.entities == sum(len(doc.ents) for doc in docs)
    first = next(open_columns(SAMPLE / "de" / "train.conll").sentences())
    assert [token.text for token in docs[0]] == first.words
    assert docs[0].user_data["language"] == "de"
    assert docs[0].user_data["source"] == f"{SAMPLE / 'de' / 'train.conll'}:1"
    assert not any(re.search(r" [,.]$", doc.text) for doc in docs)


def test_training_examples_have_the_words_of_the_corpus(tmp_path):
    convert_one(SAMPLE / "fr", tmp_path / "fr.spacy", split="dev")
    read = gold_words_corpus(tmp_path / "fr.spacy", limit=20)
    examples = list(read(NLP))
    assert len(examples) == 20
    for example in examples:
        assert [token.text for token in example.predicted] == [token.text for token in example.reference]
        assert example.predicted.text == example.reference.text
        assert not example.predicted.ents


def test_sentences_are_drawn_as_datasets_shuffles():
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"row": list(range(50))})
    assert np.flatnonzero(draw(50, 10, 7)).tolist() == sorted(rows.shuffle(seed=7).select(range(10))["row"])
    assert draw(50, 80, 0).all()


def test_a_drawn_part_keeps_the_order_of_the_corpus_and_the_rest_is_counted(tmp_path):
    conversion = convert_one(SAMPLE / "de", tmp_path / "de.spacy", split="dev", sentences=20, seed=3)
    lines = [int(doc.user_data["source"].rpartition(":")[2]) for doc in read_docs(tmp_path / "de.spacy", NLP.vocab)]
    assert len(lines) == 20 and lines == sorted(lines)
    assert conversion.left_out == 40


def test_languages_are_taken_and_drawn_each_by_its_share(tmp_path):
    conversion = convert_one(
        SAMPLE, tmp_path / "out.spacy", split="train", languages=("de", "fr"), fractions=(0.5, 0.1), seed=0
    )
    assert conversion.languages == {"de": int(0.5 * 255), "fr": int(0.1 * 267)}
    assert conversion.other_languages == 272 + 279
    german = [doc for doc in read_docs(tmp_path / "out.spacy", NLP.vocab) if doc.user_data["language"] == "de"]
    all_german = list(open_columns(SAMPLE / "de" / "train.conll").sentences())
    expected = [sentence.words for sentence, taken in zip(all_german, draw(255, 127, 0), strict=True) if taken]
    assert [[token.text for token in doc] for doc in german] == expected


def test_parts_are_found_under_their_usual_names(tmp_path):
    for name in ("de/train.conllu", "de/val.conllu", "emerging.dev.conll", "eng.testb", "wnut17train.tsv", "notes.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("a\tO\n")
    assert [path.name for path in find_files(tmp_path, "train")] == ["train.conllu"]
    assert [path.name for path in find_files(tmp_path, "dev")] == ["val.conllu", "emerging.dev.conll"]
    with pytest.raises(SplitError, match=r"has no 'test' file \(test, testb\) ending in"):
        find_files(tmp_path, "test")


def test_all_parts_of_a_folder_are_converted_together(tmp_path):
    out = tmp_path / "sample.spacy"
    recipe = Recipe((SourceRecipe(str(SAMPLE)),))
    assert has_splits(recipe)
    conversions = convert_splits(recipe, out, sentences=100)
    assert sorted(path.name for path in out.iterdir()) == ["dev.spacy", "test.spacy", "train.spacy"]
    assert {split: conversion.docs for split, conversion in conversions.items()} == {
        "train": 100,
        "dev": 240,
        "test": 400,
    }


def test_parts_that_are_not_there_are_left_out_if_others_are(tmp_path):
    (tmp_path / "val.conll").write_text("x\tO\n")
    recipe = Recipe((SourceRecipe(str(tmp_path)),))
    assert list(convert_splits(recipe, tmp_path / "out")) == ["dev"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(SplitError, match="has no 'train' file"):
        convert_splits(Recipe((SourceRecipe(str(tmp_path / "empty")),)), tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_source_without_the_part_is_named_when_others_have_it(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "dev.conll").write_text("x\tO\n")
    recipe = Recipe((SourceRecipe(str(SAMPLE)), SourceRecipe(str(tmp_path / "a"))))
    assert convert(recipe, tmp_path / "train.spacy", split="train").absent == [str(tmp_path / "a")]


def test_a_converted_corpus_can_be_converted_again(tmp_path):
    convert_one(SAMPLE, tmp_path / "once" / "train.spacy", split="train", shard=300)
    assert sorted(path.name for path in (tmp_path / "once" / "train.spacy").iterdir())[-1] == "00003.spacy"
    again = convert_one(tmp_path / "once", tmp_path / "twice.spacy", split="train")
    first, second = (
        [(doc.text, [(e.text, e.label_) for e in doc.ents], doc.user_data) for doc in read_docs(path, NLP.vocab)]
        for path in (tmp_path / "once" / "train.spacy", tmp_path / "twice.spacy")
    )
    assert first == second
    assert again.docs == 1073


def test_shards_and_a_single_file_take_each_others_place(tmp_path):
    out = tmp_path / "out.spacy"
    for shard in (500, 5000, 500):
        convert_one(SAMPLE, out, split="train", shard=shard)
        assert out.is_dir() == (shard == 500)
        assert sum(1 for _ in read_docs(out, NLP.vocab)) == 1073
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_of_other_things_is_not_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CorpusError, match=r"holds other files, such as .*thesis.txt"):
        convert_one(SAMPLE, tmp_path, split="dev")
    assert (tmp_path / "thesis.txt").exists()


def test_labels_are_renamed_merged_and_dropped_with_counts(tmp_path):
    plain = convert_one(SAMPLE, tmp_path / "plain.spacy", split="dev")
    conversion = convert_one(
        SAMPLE, tmp_path / "out.spacy", split="dev", rename={"PER": "NAME", "ORG": "NAME", "LOC": ""}
    )
    assert conversion.labels == {"NAME": plain.labels["PER"] + plain.labels["ORG"]}
    assert conversion.renamed == [
        (str(SAMPLE), "LOC", "", plain.labels["LOC"]),
        (str(SAMPLE), "ORG", "NAME", plain.labels["ORG"]),
        (str(SAMPLE), "PER", "NAME", plain.labels["PER"]),
    ]
    with pytest.raises(LabelError, match="has no label 'PERSON'; it has 'LOC', 'ORG', 'PER'"):
        convert_one(SAMPLE, tmp_path / "bad.spacy", split="dev", rename={"PERSON": "PER"})
    with pytest.raises(LabelError, match="has the label 'LOC', 'ORG', but only 'PER' are wanted"):
        convert(Recipe((SourceRecipe(str(SAMPLE)),), ("PER",)), tmp_path / "bad.spacy", split="dev")
    assert not (tmp_path / "bad.spacy").exists()


def test_corpora_with_other_labels_are_joined_into_one(tmp_path):
    (tmp_path / "a.conll").write_text("Ada\tB-person\n\nBonn\tB-location\n")
    (tmp_path / "b.jsonl").write_text('{"text": "Bob lives.", "spans": [{"start": 0, "end": 3, "label": "PER"}]}\n')
    recipe = Recipe(
        (
            SourceRecipe(str(tmp_path / "a.conll"), rename={"person": "PER", "location": "LOC"}, language="en"),
            SourceRecipe(str(tmp_path / "b.jsonl")),
        ),
        ("PER", "LOC"),
    )
    conversion = convert(recipe, tmp_path / "out.spacy")
    assert conversion.labels == {"PER": 2, "LOC": 1}
    assert conversion.languages == {"en": 2, "unknown": 1}
    assert [doc.text for doc in read_docs(tmp_path / "out.spacy", NLP.vocab)] == ["Ada", "Bonn", "Bob lives."]


def test_the_language_comes_from_prefix_folder_or_option(tmp_path):
    (tmp_path / "it").mkdir()
    (tmp_path / "it" / "a.conll").write_text("x\tO\n")
    (tmp_path / "b.conll").write_text("fr:x\tO\n")
    (tmp_path / "c.conll").write_text("x\tO\n")
    out = tmp_path / "out.spacy"
    for language, expected in (("de", {"it": 1, "fr": 1, "de": 1}), ("xx", {"it": 1, "fr": 1, "unknown": 1})):
        sources = (
            SourceRecipe(str(tmp_path / name), language=language) for name in ("it/a.conll", "b.conll", "c.conll")
        )
        assert convert(Recipe(tuple(sources)), out).languages == expected


def test_a_bad_file_leaves_no_corpus_behind(tmp_path):
    (tmp_path / "a.conll").write_text("x\tO\n")
    (tmp_path / "b.conll").write_text("x\tB_LOC\n")
    sources = (SourceRecipe(str(tmp_path / "a.conll")), SourceRecipe(str(tmp_path / "b.conll")))
    with pytest.raises(CorpusError, match=r"b.conll, line 1"):
        convert(Recipe(sources), tmp_path / "out.spacy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.conll", "b.conll"]


def test_changes_are_counted_and_listed_beside_the_corpus(tmp_path):
    (tmp_path / "a.conll").write_text("x\tB-LOC\ny\tI-PER\n")
    conversion = convert_one(tmp_path / "a.conll", tmp_path / "out.spacy", repair=True)
    (line,) = (tmp_path / "out.changes.jsonl").read_text().splitlines()
    assert len(conversion.changes) == 1
    assert json.loads(line) == {
        "source": f"{tmp_path / 'a.conll'}, line 2",
        "text": "y",
        "found": "I-PER",
        "read_as": "B-PER",
        "reason": "no entity of this label goes on here",
    }
    (tmp_path / "b.conll").write_text("x\tB-LOC\n")
    convert_one(tmp_path / "b.conll", tmp_path / "out.spacy")
    assert not (tmp_path / "out.changes.jsonl").exists()


real_data = pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the real corpora are not on this machine")


def count_raw(path: Path) -> tuple[int, Counter[str]]:
    """Sentences and tags straight from the lines, by other means than the reader's."""
    content = path.read_bytes().replace(b"\r", b"")
    sentences = sum(1 for block in re.split(rb"\n[\t ]*(?=\n)", b"\n" + content) if block.strip())
    return sentences, Counter(tag.decode() for tag in re.findall(rb"\t(O|[BI]-[^\t\n]+)$", content, re.MULTILINE))


REAL_FILES = [
    *(("wnut17", f"wnut17/{split}.conll") for split in ("train", "dev", "test")),
    *(("panx", f"panx/{language}/{split}.conllu") for language in ("de", "en") for split in ("train", "dev", "test")),
    *(
        ("wikineural", f"wikineural/{language}/{split}.conllu")
        for language in ("de", "en", "fr", "it")
        for split in ("val", "test")
    ),
]
REAL_SENTENCES = {"wnut17": 1009 + 1287 + 3394, "panx": 80_000, "wikineural": 95_286}


@real_data
@pytest.mark.parametrize("corpus", REAL_SENTENCES)
def test_real_corpora_convert_without_a_lost_word_tag_or_entity(tmp_path, corpus):
    total = 0
    for name, file in REAL_FILES:
        if name != corpus:
            continue
        sentences, tags = count_raw(SHARED_DATA / file)
        for label in {tag[2:] for tag in tags}:
            NLP.vocab.strings.add(label)
        conversion = convert_one(SHARED_DATA / file, tmp_path / "out.spacy", repair=corpus == "wikineural")
        docs = DocBin().from_disk(tmp_path / "out.spacy")
        codes, counts = np.unique(np.vstack(docs.tokens)[:, 1:], axis=0, return_counts=True)
        found = {
            f"{' IOB'[code]}-{NLP.vocab.strings[label]}" if label else " IOB"[code]: count
            for (code, label), count in zip(codes.tolist(), counts.tolist(), strict=True)
        }
        # A lone I- starts an entity: --repair turned it into a B-.
        expected = tags - Counter(change.found for change in conversion.changes)
        expected += Counter(change.read_as for change in conversion.changes)
        assert (len(docs), conversion.docs) == (sentences, sentences)
        assert (sum(map(len, docs.tokens)), conversion.words) == (tags.total(), tags.total())
        assert found == expected
        assert conversion.entities == sum(count for tag, count in expected.items() if tag.startswith("B-"))
        total += sentences
    assert total == REAL_SENTENCES[corpus]


@real_data
@pytest.mark.parametrize(
    ("file", "docs", "entities"), [("wnut17/train.conll", 3394, 1975), ("panx/de/train.conllu", 20000, 27643)]
)
def test_real_corpora_have_the_published_sizes(tmp_path, file, docs, entities):
    conversion = convert_one(SHARED_DATA / file, tmp_path / "out.spacy")
    assert (conversion.docs, conversion.entities) == (docs, entities)

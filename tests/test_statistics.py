"""What is counted in a corpus, on corpora small enough to count by hand."""

import builtins
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin, Span

from multiner.encoder import load_encoder
from multiner.errors import UserError
from multiner.statistics import Report, describe, describe_corpus, load_cutting
from multiner.statistics_plots import draw
from multiner.statistics_tables import markdown, tables, write_statistics

from .conftest import Ran, run_script

NLP = spacy.blank("xx")
PNG = b"\x89PNG\r\n"


def doc_of(text: str, *entities: tuple[int, int, str], **data: str) -> Doc:
    """A document of the words between blanks."""
    doc = Doc(NLP.vocab, words=text.split())
    doc.set_ents([Span(doc, start, end, label=label) for start, end, label in entities])
    doc.user_data.update(data)
    return doc


def count(**splits: list[Doc]) -> Report:
    return {"corpus": "tiny", **describe(splits, NLP.vocab.strings)}


def write(folder: Path, **splits: list[Doc]) -> Path:
    for split, docs in splits.items():
        DocBin(docs=docs, store_user_data=True).to_disk(folder / f"{split}.spacy")
    return folder


TRAIN = [
    doc_of("Ada Lovelace met Paris", (0, 2, "PER"), (3, 4, "LOC"), language="en", source="train.conll:1"),
    doc_of("Paris Hilton likes Paris", (0, 2, "PER"), (3, 4, "LOC"), language="en", source="train.conll:6"),
    doc_of("Paris spielt Ada Lovelace", (0, 1, "PER"), language="de", source="train.conll:11"),
    doc_of("niemand da", language="de", source="train.conll:16"),
    doc_of("niemand da", language="de", source="train.conll:19"),
]
TEST = [
    doc_of("niemand da", language="de", source="test.conll:1"),
    doc_of("PARIS sah New York", (0, 1, "LOC"), (2, 4, "LOC"), language="de", source="test.conll:4"),
    doc_of("Paris Hilton GmbH", (0, 2, "ORG"), language="de", source="test.conll:9"),
]


@pytest.fixture(scope="module")
def report() -> Report:
    return count(train=TRAIN, test=TEST)


def test_entities_are_counted_by_type_and_a_type_that_a_split_lacks_has_none(report):
    assert report["labels"] == ["LOC", "ORG", "PER"]
    assert report["splits"]["train"]["entities_by_type"] == {"LOC": 2, "ORG": 0, "PER": 3}
    assert report["splits"]["test"]["entities_by_type"] == {"LOC": 2, "ORG": 1, "PER": 0}


def test_sentences_and_words_are_counted(report):
    train = report["splits"]["train"]
    assert (train["sentences"], train["words"], train["entities"]) == (5, 16, 5)
    assert (train["sentences_without_entity"], train["share_without_entity"]) == (2, 0.4)
    assert train["share_of_words_in_entities"] == 7 / 16
    assert train["words_per_sentence"] == {"mean": 3.2, "median": 4, "percentile_95": 4, "max": 4}
    assert train["sentences_by_words"] == {"2": 2, "4": 3}


def test_languages_are_counted_apart(report):
    assert report["splits"]["train"]["by_language"] == {
        "de": {"sentences": 3, "words": 8, "entities": 1},
        "en": {"sentences": 2, "words": 8, "entities": 4},
    }
    assert list(count(train=[doc_of("who knows")])["splits"]["train"]["by_language"]) == ["unknown"]


def test_lengths_of_entities_are_counted_and_all_from_five_words_on_together():
    lengths = count(
        train=[doc_of("a b c d e f g h i j k l", (0, 1, "X"), (1, 6, "X"), (6, 12, "X")), doc_of("a b", (0, 2, "Y"))]
    )["splits"]["train"]["entity_lengths"]
    assert lengths["by_type"]["X"] == {"1": 1, "2": 0, "3": 0, "4": 0, "5+": 2, "longest": 6}
    assert lengths["all"] == {"1": 1, "2": 1, "3": 0, "4": 0, "5+": 2, "longest": 6}


def test_an_entity_is_unseen_if_train_has_none_of_its_words_whatever_their_case(report):
    unseen = report["unseen"]["test"]
    # PARIS is known from train; Paris Hilton is known there, but as a person; New York is new.
    assert unseen["all"] == {
        "entities": 3,
        "unseen": 1,
        "share_unseen": 1 / 3,
        "unseen_with_type": 2,
        "share_unseen_with_type": 2 / 3,
    }
    assert (unseen["by_type"]["LOC"]["share_unseen"], unseen["by_type"]["ORG"]["share_unseen"]) == (0.5, 0.0)
    assert unseen["by_type"]["PER"]["share_unseen"] is None


def test_a_sentence_in_two_splits_is_found_with_both_places(report):
    assert report["shared"] == [
        {
            "split": "test",
            "also_in": "train",
            "sentences": 1,
            "share": 1 / 3,
            "examples": [
                {"sentence": "niemand da", "place": "test.conll:1", "earlier_place": "train.conll:16"},
            ],
        }
    ]


def test_sentences_are_the_same_only_in_the_same_words():
    shared = count(
        train=[doc_of("a b c"), doc_of("A b")], dev=[doc_of("a b"), doc_of("ab c")], test=[doc_of("a b"), doc_of("a b")]
    )["shared"]
    found = {(row["split"], row["also_in"]): (row["sentences"], row["share"]) for row in shared}
    assert found == {("dev", "train"): (0, 0.0), ("test", "train"): (0, 0.0), ("test", "dev"): (2, 1.0)}
    # Where a corpus does not know its sources, the place in the split is said.
    assert [row["examples"] for row in shared if row["examples"]] == [
        [{"sentence": "a b", "place": "sentence 1 of test", "earlier_place": "sentence 1 of dev"}]
    ]


def test_repetitions_within_a_split_are_counted_without_the_first(report):
    assert (report["splits"]["train"]["repeated_sentences"], report["splits"]["train"]["share_repeated"]) == (1, 0.2)
    assert report["splits"]["test"]["repeated_sentences"] == 0


def test_forms_that_contradict_themselves_are_counted_and_listed(report):
    found = report["contradictions"]
    assert (found["forms"], found["mentions"]) == (3, 5)
    # Paris is a place twice and a person once. The Paris in Paris Hilton is neither.
    assert found["several_labels"] == {
        "forms": 1,
        "mentions": 3,
        "share_of_mentions": 0.6,
        "most_frequent": [{"form": "Paris", "labels": {"LOC": 2, "PER": 1}, "outside": 0}],
    }
    # Ada Lovelace is a person once and nothing once.
    assert found["also_outside"] == {
        "forms": 1,
        "mentions": 1,
        "share_of_mentions": 0.2,
        "most_frequent": [{"form": "Ada Lovelace", "labels": {"PER": 1}, "outside": 1}],
    }


def test_forms_that_disagree_most_come_first():
    docs = [doc_of("rare", (0, 1, "A")), *[doc_of("rare")] * 9]
    docs += [*[doc_of("even", (0, 1, "A"))] * 3, *[doc_of("even")] * 3]
    forms = [row["form"] for row in count(train=docs)["contradictions"]["also_outside"]["most_frequent"]]
    assert forms == ["even", "rare"]


def test_words_without_annotation_are_not_outside_of_entities():
    partly = doc_of("Paris liegt in Paris")
    partly.set_ents([Span(partly, 0, 1, label="LOC")], missing=[partly[2:4]], default="outside")
    report = count(train=[partly, Doc(NLP.vocab, words=["nobody", "knows"])])
    train = report["splits"]["train"]
    assert train["words_without_annotation"] == 4
    assert train["sentences_without_entity"] == 0
    assert train["share_of_words_in_entities"] == 0.5
    assert report["contradictions"]["also_outside"]["forms"] == 0


def test_a_corpus_of_nothing_has_no_shares():
    report = count(train=[], dev=[doc_of("")])
    train = report["splits"]["train"]
    assert (train["share_without_entity"], train["words_per_sentence"]["mean"]) == (None, None)
    assert report["unseen"]["dev"]["all"]["share_unseen"] is None
    assert "| train | 0 | 0 | - | 0 | - | 0 |" in markdown(report)


def test_pieces_are_those_of_the_encoders_own_tokenizer(tiny_encoder):
    docs = [doc_of("Ada lives", language="en"), doc_of("unbelievably ☃ Ada", language="de")]
    encoder = load_encoder(tiny_encoder)
    words = [
        [len(encoder.tokenizer.encode([w.text], is_pretokenized=True, add_special_tokens=False).ids) for w in doc]
        for doc in docs
    ]
    cutting = load_cutting(Path(tiny_encoder), 4)
    assert (cutting.special, cutting.window) == (2, 4)
    train = describe({"train": docs}, NLP.vocab.strings, cutting)["splits"]["train"]
    all_words = sorted(words[0] + words[1])
    assert train["pieces"]["per_word"] == {
        "mean": sum(all_words) / 5,
        "median": all_words[2],
        "percentile_95": all_words[-1],
        "max": all_words[-1],
    }
    assert train["pieces"]["per_sentence"]["max"] == max(map(sum, words))
    assert train["pieces"]["share_of_words_cut"] == sum(pieces > 1 for pieces in all_words) / 5
    assert train["pieces"]["share_unknown"] > 0
    assert train["pieces"]["sentences_longer_than_window"] == sum(sum(sentence) + 2 > 4 for sentence in words)
    assert train["by_language"]["en"]["pieces"]["per_sentence"]["max"] == sum(words[0])


def test_a_window_is_no_larger_than_the_encoder_reads(tiny_encoder):
    assert load_cutting(Path(tiny_encoder), 4000).window == 40


def test_white_space_has_no_pieces_and_does_not_count(tiny_encoder):
    doc = Doc(NLP.vocab, words=["Ada", "\n"])
    pieces = describe({"dev": [doc]}, NLP.vocab.strings, load_cutting(Path(tiny_encoder), 256))["splits"]["dev"][
        "pieces"
    ]
    assert pieces["per_word"]["mean"] == pieces["per_sentence"]["mean"]


@st.composite
def corpora(draw: st.DrawFn) -> list[Doc]:
    """Documents of few words, so that much is repeated and contradictory."""
    docs = []
    for _ in range(draw(st.integers(0, 8))):
        words = draw(st.lists(st.sampled_from("abAB"), max_size=5))
        entities, at = [], 0
        while at < len(words):
            length = draw(st.integers(1, 3))
            label = draw(st.sampled_from(["", "X", "Y"]))
            if label:
                entities.append((at, min(at + length, len(words)), label))
            at += length
        docs.append(doc_of(" ".join(words), *entities, language=draw(st.sampled_from(["de", "fr"]))))
    return docs


@given(corpora(), corpora(), st.randoms())
def test_parts_add_up_and_the_order_of_sentences_does_not_matter(train, dev, random):
    report = count(train=train, dev=dev)
    for docs, counts in zip((train, dev), report["splits"].values(), strict=True):
        entities = sum(len(doc.ents) for doc in docs)
        lengths = counts["entity_lengths"]["all"]
        assert counts["entities"] == sum(counts["entities_by_type"].values()) == entities
        assert sum(count for key, count in lengths.items() if key != "longest") == entities
        assert sum(counts["sentences_by_words"].values()) == counts["sentences"] == len(docs)
        for key in ("sentences", "words", "entities"):
            assert sum(language[key] for language in counts["by_language"].values()) == counts[key]
    shuffled = count(train=random.sample(train, len(train)), dev=random.sample(dev, len(dev)))
    for found in (report, shuffled):
        for row in found["shared"]:
            row.pop("examples")  # the first ones, by their places
    assert report == shuffled


@given(corpora())
def test_forms_outside_of_entities_are_those_that_a_search_word_by_word_finds(train):
    forms = {tuple(token.text for token in entity) for doc in train for entity in doc.ents}
    outside: Counter[str] = Counter()
    for doc in train:
        for start in range(len(doc)):
            for end in range(start + 1, len(doc) + 1):
                words = tuple(token.text for token in doc[start:end])
                if words in forms and all(token.ent_iob_ == "O" for token in doc[start:end]):
                    outside[" ".join(words)] += 1
    found = count(train=train)["contradictions"]["also_outside"]
    assert found["forms"] == len(outside)
    assert all(row["outside"] == outside[row["form"]] for row in found["most_frequent"])


def test_splits_are_files_or_folders_of_files_and_may_be_absent(tmp_path):
    (tmp_path / "dev.spacy").mkdir()
    write(tmp_path / "dev.spacy", **{"part-1": TRAIN[:2], "part-2": TRAIN[2:]})
    write(tmp_path, test=TEST)
    report = describe_corpus(tmp_path)
    assert {split: row["sentences"] for split, row in report["splits"].items()} == {"dev": 5, "test": 3}
    assert "unseen" not in report and "contradictions" not in report
    assert [row["sentences"] for row in report["shared"]] == [1]


def test_a_folder_without_any_split_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(UserError, match=r"no train.spacy, dev.spacy or test.spacy in .* Make them with scripts/conv"):
        describe_corpus(tmp_path)


def test_the_report_is_plain_json_and_its_pictures_are_pictures(report, tmp_path):
    files = write_statistics(report, tmp_path / "stats")
    assert json.loads((tmp_path / "stats" / "stats.json").read_text()) == report
    pictures = [file for file in files if file.suffix == ".png"]
    assert {file.stem for file in pictures} == {"entity-types", "entity-lengths", "sentence-lengths", "unseen-entities"}
    for picture in pictures:
        content = picture.read_bytes()
        assert content.startswith(PNG) and len(content) > 10_000
        assert f"]({picture.name})" in (tmp_path / "stats" / "stats.md").read_text()
    assert sorted(files) == sorted((tmp_path / "stats").iterdir())


def test_markdown_shows_every_table_with_its_definition(report):
    text = markdown(report)
    for table in tables(report):
        assert f"## {table.title}\n\n{table.meaning}\n\n| {' | '.join(table.columns)} |" in text
    assert "| train | 2 | 0 | 3 | 5 |" in text and "| test | train | 1 | 33.3 |" in text


def test_words_do_not_become_markup(tmp_path):
    leaked = doc_of("a|b *c* <d> [e](f) `g`")
    text = markdown(count(train=[leaked], dev=[leaked]))
    assert r"| a\|b \*c\* \<d\> \[e\](f) \`g\` | sentence 1 of dev | sentence 1 of train |" in text


def test_a_corpus_without_entities_has_pictures_of_its_sentences_only():
    assert list(draw(count(train=[doc_of("nobody knows")], dev=[], test=[doc_of("")]))) == ["sentence-lengths"]
    assert draw(count(train=[])) == {}


def test_pictures_show_what_is_all_known_and_what_is_not_there():
    """A split without entities of a type, and one whose entities are all known from train."""
    docs = [doc_of("Ada", (0, 1, "PER")), doc_of("Chur", (0, 1, "LOC"))]
    assert "unseen-entities" in draw(count(train=docs, dev=docs[:1], test=docs))


def test_without_matplotlib_the_remedy_is_said_and_nothing_is_written(report, tmp_path, monkeypatch):
    own = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return own(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r'pip install -c constraints.txt -e "\.\[report\]"'):
        write_statistics(report, tmp_path / "stats")
    assert list(tmp_path.iterdir()) == []


def run(*arguments: str | Path) -> Ran:
    return run_script("scripts/stats.py", *arguments)


def test_the_command_prints_and_writes(tmp_path, tiny_encoder):
    write(tmp_path, train=TRAIN, test=TEST)
    result = run(tmp_path, "--encoder", tiny_encoder, "--window", 16, "--output", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "Unseen entities" in result.stdout and "Pieces per word" in result.stdout and "niemand da" in result.stdout
    assert json.loads((tmp_path / "out" / "stats.json").read_text())["window"] == 16


def test_the_command_says_in_one_sentence_what_is_missing(tmp_path):
    result = run(tmp_path / "absent", "--output", tmp_path / "out")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "✘ There is no train.spacy" in result.stderr and list(tmp_path.iterdir()) == []
    write(tmp_path, train=TRAIN)
    result = run(tmp_path, "--encoder", tmp_path / "nothing", "--output", tmp_path / "out")
    assert result.returncode == 1 and "✘ There is no encoder in" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["train.spacy"]

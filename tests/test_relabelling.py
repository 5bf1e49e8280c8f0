"""Likely label errors: found, written for people, and brought back."""

import json
from pathlib import Path

import pytest
import spacy
import typer
from scripts.relabel import main
from spacy.language import Language
from spacy.tokens import Doc
from typer.testing import CliRunner

from multiner.corpora import convert
from multiner.docbins import read_sentences, write_docs
from multiner.errors import UserError
from multiner.losses import word_losses
from multiner.matching import match
from multiner.predictions import predict
from multiner.recipes import Recipe, SourceRecipe
from multiner.relabelling import relabel, relabelling_rows, write_rows
from multiner.sentences import CorpusError, Sentence
from multiner.suspects import OUTSIDE, PART, count_mentions, find_suspects
from multiner.tags import Span, tags_from_spans

from .conftest import SENTENCES, make_doc


def gold_with_an_error(nlp: Language) -> list[Doc]:
    """The sentences that were learnt, and in the second one Manchester is a person by mistake."""
    docs = [make_doc(nlp, *sentence) for sentence in SENTENCES]
    docs[1] = make_doc(nlp, SENTENCES[1][0], [(0, 2, "PER"), (4, 5, "PER")])
    for number, doc in enumerate(docs):
        doc.user_data.update({"language": "en", "source": f"made here:{number}"})
    return docs


def suspects_of(nlp: Language, gold: list[Doc], other: list[Doc] | None = None):
    predictions = predict(nlp, gold)
    matches = match(predictions.gold_spans, predictions.predicted_spans)
    return predictions, find_suspects(predictions, matches, word_losses(predictions), other or ())


def write_corpus(path: Path) -> list[Sentence]:
    """The same as a `.spacy` file, with an odd blank that no rule would find again."""
    sentences = []
    for number, (words, entities) in enumerate(SENTENCES):
        spans = [(0, 2, "PER"), (4, 5, "PER")] if number == 1 else entities
        spaces = [False] + [True] * (len(words) - 1)
        tags = tags_from_spans([Span(*span) for span in spans], len(words))
        sentences.append(Sentence(words, tags, "en", f"made here:{number}", spaces))
    write_docs(sentences, path)
    return sentences


def test_a_planted_error_is_the_first_suspect(trained):
    _, suspects = suspects_of(trained, gold_with_an_error(trained))
    assert len(suspects) == 1
    found = suspects[0]
    assert (found["document"], found["words"], found["kind"]) == (1, "Manchester", "type")
    assert (found["annotated"], found["predicted"]) == ("PER", "LOC")
    assert found["margin"] > 0.8


def test_how_the_corpus_has_the_same_words_elsewhere_speaks_for_or_against_it(trained):
    gold = gold_with_an_error(trained)
    same = [make_doc(trained, ["Manchester", "won"], [(0, 1, "PER")])] * 3
    other = [make_doc(trained, ["Manchester", "won"], [(0, 1, "LOC")])] * 3
    _, [alone] = suspects_of(trained, gold)
    _, [supported] = suspects_of(trained, gold, same)
    _, [contradicted] = suspects_of(trained, gold, other)
    assert supported["suspicion"] < alone["suspicion"] < contradicted["suspicion"]
    assert contradicted["elsewhere"] == {"LOC": 3} and alone["elsewhere"] == {}
    assert contradicted["suspicion"] == pytest.approx(contradicted["margin"] + 3 / 4)


def test_without_scores_the_corpus_alone_is_heard():
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "LOC", "pattern": "Bern"}])
    words = ["Bern", "and", "Basel"]
    gold = [make_doc(nlp, words, [(0, 1, "LOC"), (2, 3, "LOC")]), make_doc(nlp, words, [(2, 3, "LOC")])]
    _, suspects = suspects_of(nlp, gold)
    # Basel is annotated alike everywhere, so it is the pipeline that is wrong there.
    assert [(each["words"], each["document"]) for each in suspects] == [("Bern", 1), ("Basel", 0), ("Basel", 1)]
    assert suspects[0]["margin"] is None and suspects[0]["annotated"] == OUTSIDE


def test_mentions_are_counted_by_what_they_are():
    nlp = spacy.blank("en")
    docs = [
        make_doc(nlp, ["New", "York"], [(0, 2, "LOC")]),
        make_doc(nlp, ["New", "York", "Times"], [(0, 3, "ORG")]),
        make_doc(nlp, ["New", "York", "New", "York"], []),
    ]
    spans = [[Span(0, 2, "LOC")], [Span(0, 3, "ORG")], []]
    found = count_mentions(zip(docs, spans, strict=True), {("New", "York")})
    assert found["New", "York"] == {"LOC": 1, PART: 1, OUTSIDE: 2}


def test_what_is_written_for_labelling_is_read_back_as_it_is(trained, tmp_path):
    predictions, suspects = suspects_of(trained, gold_with_an_error(trained))
    write_rows(relabelling_rows(predictions, suspects, limit=10), tmp_path / "relabel.jsonl")
    [row] = [json.loads(line) for line in (tmp_path / "relabel.jsonl").read_text(encoding="utf8").splitlines()]
    assert row["tags"][4] == "B-PER" and row["suggested"][4] == "B-LOC"
    assert row["doubts"][0]["kind"] == "type" and row["document"] == 1
    convert(Recipe((SourceRecipe(str(tmp_path / "relabel.jsonl")),), ()), tmp_path / "again.spacy")
    [sentence] = read_sentences(tmp_path / "again.spacy")
    assert (sentence.words, sentence.tags, sentence.language) == (row["tokens"], row["tags"], "en")


def test_sentences_that_are_not_annotated_throughout_are_not_written(trained):
    gold = gold_with_an_error(trained)
    gold[1] = Doc(trained.vocab, words=SENTENCES[1][0], ents=["B-PER", "I-PER", "", "O", "B-PER", "O"])
    predictions, suspects = suspects_of(trained, gold)
    assert suspects and relabelling_rows(predictions, suspects, limit=10) == []


def test_corrections_come_back_into_the_corpus_and_nothing_else_changes(trained, tmp_path):
    before = write_corpus(tmp_path / "test.spacy")
    predictions, suspects = suspects_of(trained, gold_with_an_error(trained))
    [row] = relabelling_rows(predictions, suspects, limit=10)
    row["tags"] = row["suggested"]
    write_rows([row], tmp_path / "corrected.jsonl")
    done = relabel(tmp_path / "test.spacy", tmp_path / "corrected.jsonl", tmp_path / "new.spacy")
    assert done == (4, 1, 1, 1)
    after = list(read_sentences(tmp_path / "new.spacy"))
    assert after[1].tags[4] == "B-LOC"
    assert [sentence._replace(tags=[]) for sentence in after] == [sentence._replace(tags=[]) for sentence in before]
    assert [after[number].tags for number in (0, 2, 3)] == [before[number].tags for number in (0, 2, 3)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"document": 9}, "has only 4 documents"),
        ({"document": 0}, "the words are not those of document 0"),
        ({"document": None}, "'document' is None"),
        ({"tags": ["B-PER", "I-LOC", "O", "O", "O", "O"]}, "not legal IOB2"),
    ],
)
def test_rows_that_do_not_fit_are_named_and_nothing_is_written(change, message, tmp_path):
    before = write_corpus(tmp_path / "test.spacy")
    row = {"tokens": before[1].words, "tags": before[1].tags, "document": 1} | change
    write_rows([row], tmp_path / "corrected.jsonl")
    with pytest.raises(CorpusError, match=message):
        relabel(tmp_path / "test.spacy", tmp_path / "corrected.jsonl", tmp_path / "new.spacy")
    assert not (tmp_path / "new.spacy").exists()


def test_a_corpus_is_not_written_over_itself(tmp_path):
    with pytest.raises(UserError, match="would be overwritten"):
        relabel(tmp_path / "a.spacy", tmp_path / "b.jsonl", tmp_path / "a.spacy")


def test_the_command_says_what_came_back(tmp_path):
    before = write_corpus(tmp_path / "test.spacy")
    tags = ["B-PER", "I-PER", "O", "O", "B-LOC", "O"]
    write_rows([{"tokens": before[1].words, "tags": tags, "document": 1}], tmp_path / "c.jsonl")
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [str(tmp_path / name) for name in ("test.spacy", "c.jsonl", "new.spacy")])
    assert result.exit_code == 0
    assert "1 words in 1 sentences got another tag" in " ".join(result.output.split())

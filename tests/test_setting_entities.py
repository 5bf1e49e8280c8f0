"""What the component sets and what it leaves alone: entities set before, the threshold, several in one pipeline."""

import json
from pathlib import Path

import pytest
import spacy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.cli._util import app
from spacy.cli.find_threshold import find_threshold
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from typer.testing import CliRunner

from multiner.pipe import ComponentError

from .conftest import SENTENCES, make_doc
from .test_pipe import TEXTS, entities, scores

SENTENCE = TEXTS[0]


@pytest.fixture(scope="session")
def keeping(saved: Path) -> Language:
    return spacy.load(saved)


@pytest.fixture(scope="session")
def overwriting(saved: Path) -> Language:
    return spacy.load(saved, config={"components.ner.overwrite_ents": True})


@pytest.fixture(scope="module")
def unsure(saved: Path) -> Language:
    """The trained pipeline, whose confidences are anywhere between a third and nine tenths."""
    nlp = spacy.load(saved)
    with torch.no_grad():
        for parameter in nlp.get_pipe("ner").shim.network.head.parameters():
            parameter.mul_(0.3)
    return nlp


def with_ruler(nlp: Language, **place: object) -> Language:
    ruler = nlp.add_pipe("entity_ruler", **place)
    ruler.add_patterns([{"label": "BOOK", "pattern": "Lovelace lives", "id": "b1"}])
    return nlp


def in_spans(doc: Doc, key: str = "ner") -> list[tuple[str, str]]:
    return [(span.text, span.label_) for span in doc.spans[key]]


# Entities that were there before


def test_ruler_before_ner(saved):
    """Rules come first: their entities stay with their identity, and the best ones around them are found."""
    doc = with_ruler(spacy.load(saved), before="ner")(SENTENCE)
    assert entities(doc) == [("Ada", "PER"), ("Lovelace lives", "BOOK"), ("London", "LOC")]
    assert [entity.ent_id_ for entity in doc.ents] == ["", "b1", ""]
    assert in_spans(doc) == [("Ada", "PER"), ("London", "LOC")]
    assert len(scores(doc)) == 2


def test_ner_before_ruler(saved):
    doc = with_ruler(spacy.load(saved))(SENTENCE)
    assert entities(doc) == in_spans(doc) == [("Ada Lovelace", "PER"), ("London", "LOC")]


def test_overwrite_ents(saved, keeping):
    nlp = with_ruler(spacy.load(saved, config={"components.ner.overwrite_ents": True}), before="ner")
    doc = nlp(SENTENCE)
    assert entities(doc) == in_spans(doc) == entities(keeping(SENTENCE))
    assert scores(doc) == scores(keeping(SENTENCE))
    assert not any(token.ent_id_ for token in doc)


def test_block_ner(keeping, overwriting):
    """Blocked words are in no entity; words that were only said to be outside may be in one, as with spaCy's `ner`."""
    doc = Doc(keeping.vocab, words=SENTENCES[0][0])
    doc.set_ents([], blocked=[doc[0:2]], outside=[doc[2:5]])
    again = overwriting(doc.copy())
    doc = keeping(doc)
    assert entities(doc) == [("London", "LOC")]
    assert [token.ent_iob_ for token in doc] == ["B", "B", "O", "O", "B"]
    assert entities(again) == [("Ada Lovelace", "PER"), ("London", "LOC")]


def test_what_was_annotated_before_is_annotated_again_only_if_asked_for(keeping, overwriting):
    words, found = SENTENCES[0]
    gold = make_doc(keeping, words, [(2, 3, "OTHER")])
    assert entities(overwriting(gold.copy())) == [(" ".join(words[start:end]), label) for start, end, label in found]
    assert ("lives", "OTHER") in entities(keeping(gold.copy()))


@st.composite
def annotations(draw: st.DrawFn) -> tuple[list[str], list[int]]:
    """Words, and for each how it was annotated: not at all, outside, blocked, or in an entity of its own."""
    words = draw(st.lists(st.sampled_from([word for text in TEXTS for word in text.split()] + [" "]), max_size=12))
    return words, draw(st.lists(st.integers(0, 3), min_size=len(words), max_size=len(words)))


@given(annotations())
def test_whatever_was_set_before_stays(keeping, case):
    words, kinds = case
    doc = Doc(keeping.vocab, words=words)
    missing, outside, blocked, before = (
        [Span(doc, at, at + 1, label="RULE" if kind == 3 else "") for at, kind in enumerate(kinds) if kind == wanted]
        for wanted in range(4)
    )
    doc.set_ents(before, missing=missing, outside=outside, blocked=blocked)
    keeping(doc)
    assert [entity.start for entity in doc.ents if entity.label_ == "RULE"] == [span.start for span in before]
    assert all(doc[span.start].ent_iob_ == "B" and not doc[span.start].ent_type for span in blocked)
    ours = [entity for entity in doc.ents if entity.label_ != "RULE"]
    assert [(span.start, span.end) for span in doc.spans["ner"]] == [(entity.start, entity.end) for entity in ours]
    assert not {word for entity in ours for word in range(entity.start, entity.end) if kinds[word] > 1}
    assert all(0 <= score <= 1 for score in scores(doc))
    assert all(token.ent_iob for token in doc)


# The threshold


@settings(max_examples=25)
@given(threshold=st.floats(0, 1))
def test_entities_below_the_threshold_are_not_set(unsure, threshold):
    cfg = unsure.get_pipe("ner").cfg
    cfg["threshold"] = 0.0
    everything = list(unsure.pipe(TEXTS))
    cfg["threshold"] = threshold
    for doc, complete in zip(unsure.pipe(TEXTS), everything, strict=True):
        sure = [place for place, score in zip(in_spans(complete), scores(complete), strict=True) if score >= threshold]
        assert entities(doc) == in_spans(doc) == sure
        assert all(score >= threshold for score in scores(doc))


@pytest.mark.parametrize("wrong", [-0.1, 1.5])
def test_the_threshold_is_between_0_and_1(wrong):
    with pytest.raises(ComponentError, match=r"\[components.ner\] threshold = .* must be between 0 and 1"):
        spacy.blank("en").add_pipe("multiner", name="ner", config={"threshold": wrong})


def test_settings_are_changed_where_a_pipeline_is_loaded_and_survive_saving(saved, tmp_path):
    nlp = spacy.load(saved, config={"components.ner.threshold": 1.0, "components.ner.spans_key": "found"})
    nlp.to_disk(tmp_path / "config")
    written = json.loads((tmp_path / "config" / "ner" / "cfg").read_text())
    assert written == {"labels": ["LOC", "ORG", "PER"], "temperature": 1.0}
    # `spacy find-threshold` and its users change `cfg` instead; that is kept too.
    other = spacy.load(saved)
    other.get_pipe("ner").cfg |= {"threshold": 1.0, "spans_key": "found"}
    other.to_disk(tmp_path / "cfg")
    from_bytes = spacy.blank("en")
    from_bytes.add_pipe("multiner", name="ner")
    from_bytes.from_bytes(nlp.to_bytes())
    for again in (nlp, spacy.load(tmp_path / "config"), spacy.load(tmp_path / "cfg"), from_bytes):
        doc = again(SENTENCE)
        assert entities(doc) == in_spans(doc, "found") == []
    back = spacy.load(tmp_path / "config", config={"components.ner.threshold": 0.0})
    assert len(in_spans(back(SENTENCE), "found")) == 2


def test_find_threshold(unsure, tmp_path):
    """Gold are the entities that the component is rather sure of: a threshold finds exactly them."""
    unsure.get_pipe("ner").cfg["threshold"] = 0.0
    gold = list(unsure.pipe(TEXTS))
    for doc in gold:
        doc.set_ents([span for span, score in zip(doc.spans["ner"], scores(doc), strict=True) if score >= 0.6])
    DocBin(docs=gold).to_disk(tmp_path / "dev.spacy")
    unsure.to_disk(tmp_path / "model")
    best, score, by_threshold = find_threshold(
        str(tmp_path / "model"), tmp_path / "dev.spacy", "ner", "threshold", "ents_f", n_trials=6
    )
    assert 0.0 < best < 0.61 and score == 1.0
    assert by_threshold[0.0] < 1.0 and by_threshold[1.0] == 0.0
    command = ["find-threshold", str(tmp_path / "model"), str(tmp_path / "dev.spacy"), "ner", "threshold", "ents_f"]
    result = CliRunner().invoke(app, [*command, "--n_trials", "3"])
    assert result.exit_code == 0 and "Best threshold: " in result.output, result.output


# Several components


def test_two_components_write_to_their_own_keys(saved):
    nlp = spacy.load(saved, config={"components.ner.spans_key": "first"})
    nlp.add_pipe("ner", source=spacy.load(saved), name="second")
    nlp.get_pipe("second").cfg |= {"spans_key": "second", "overwrite_ents": True}
    doc = nlp(SENTENCE)
    assert in_spans(doc, "first") == in_spans(doc, "second") == entities(doc)
    assert doc.spans["first"].attrs["scores"].tolist() == doc.spans["second"].attrs["scores"].tolist()
    assert "ner" not in doc.spans


def test_a_second_component_adds_to_the_first(saved):
    nlp = spacy.load(saved)
    nlp.add_pipe("ner", source=spacy.load(saved), name="second")
    nlp.get_pipe("ner").cfg["threshold"] = 1.0
    nlp.get_pipe("second").cfg["spans_key"] = "second"
    doc = nlp(SENTENCE)
    assert in_spans(doc) == [] and scores(doc) == []
    assert in_spans(doc, "second") == entities(doc) == [("Ada Lovelace", "PER"), ("London", "LOC")]

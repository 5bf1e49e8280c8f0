"""What the pieces of a word learn: its first one the word's tag, the others what the strategy says."""

import numpy as np
import pytest
import spacy
import torch
from hypothesis import given
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc
from transformers import AutoTokenizer

from multiner.model import EveryPiece, PieceScores
from multiner.pipe import Multiner
from multiner.tags import IGNORED, LABEL_STRATEGIES, piece_labels

from .conftest import SENTENCES, learn_by_heart, make_examples


def make_pipeline(tiny_encoder: str, strategy: str) -> Language:
    torch.manual_seed(0)
    nlp = spacy.blank("en")
    config = {"label_strategy": strategy, "model": {"precision": "float32"}}
    pipe = nlp.add_pipe("multiner", name="ner", config=config)
    examples = make_examples(nlp)
    pipe.initialize(lambda: examples, nlp=nlp, encoder=tiny_encoder)
    return nlp


def docs_of(nlp: Language) -> list[Doc]:
    return [example.predicted for example in make_examples(nlp)]


def score_every_piece(nlp: Language, docs: list[Doc]) -> list[PieceScores]:
    nlp.get_pipe("ner").shim.network.set_dropout(0.0)
    return nlp.get_pipe("ner").model.begin_update(EveryPiece(docs))[0]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("first", [-100, 3, -100, 0, 7, 0, -100]),
        ("inside", [-100, 3, 4, 0, 7, 0, -100]),
        ("repeat", [-100, 3, 3, 0, 7, 0, -100]),
    ],
)
def test_the_examples_known_from_the_field(strategy, expected):
    assert piece_labels([3, 0, 7, 0], [None, 0, 0, 1, 2, 3, None], strategy).tolist() == expected


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("first", [4, -100, -100, 0, -100, -100, -100]),
        ("inside", [4, 4, 4, 0, 0, -100, -100]),
        ("repeat", [4, 4, 4, 0, 0, -100, -100]),
    ],
)
def test_what_is_no_start_stays_as_it_is_and_what_is_not_annotated_stays_ignored(strategy, expected):
    assert piece_labels([4, 0, IGNORED], [0, 0, 0, 1, 1, 2, 2], strategy).tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 4)), max_size=12), st.sampled_from(LABEL_STRATEGIES))
def test_first_pieces_learn_the_tags_of_words_and_no_entity_starts_twice_but_by_repetition(words, strategy):
    labels = [label for label, _ in words]
    word_ids = np.repeat(np.arange(len(words)), [count for _, count in words])
    pieces = piece_labels(labels, word_ids, strategy)
    firsts = [int(np.argmax(word_ids == word)) for word, (_, count) in enumerate(words) if count]
    assert pieces[firsts].tolist() == [label for label, count in words if count]
    starts = int((pieces % 2 == 1).sum())
    if strategy != "repeat":
        assert starts == sum(label % 2 for label, count in words if count)
    else:
        assert starts == sum(count * (label % 2) for label, count in words)


@pytest.mark.parametrize("strategy", LABEL_STRATEGIES)
def test_overfitting_IO(tiny_encoder, tmp_path, strategy):
    learnt_nlp = make_pipeline(tiny_encoder, strategy)
    learn_by_heart(learnt_nlp, make_examples(learnt_nlp))
    learnt_nlp.to_disk(tmp_path)
    nlp = spacy.load(tmp_path)
    pipe = nlp.get_pipe("ner")
    assert pipe.cfg["label_strategy"] == nlp.config["components"]["ner"]["label_strategy"] == strategy
    for (_, entities), doc in zip(SENTENCES, pipe.pipe(docs_of(nlp)), strict=True):
        assert [(entity.start, entity.end, entity.label_) for entity in doc.ents] == entities
    learnt = words = 0
    for example, (word_ids, scores) in zip(make_examples(nlp), score_every_piece(nlp, docs_of(nlp)), strict=True):
        wanted = piece_labels(pipe._gold_tags(example), word_ids, strategy)
        taught = wanted != IGNORED
        assert scores.argmax(axis=1)[taught].tolist() == wanted[taught].tolist()
        learnt, words = learnt + taught.sum(), words + len(example)
    assert learnt == words if strategy == "first" else learnt > words


@pytest.mark.parametrize("strategy", LABEL_STRATEGIES)
def test_the_loss_is_that_of_transformers_on_labels_of_pieces(tiny_encoder, strategy):
    nlp = make_pipeline(tiny_encoder, strategy)
    pipe = nlp.get_pipe("ner")
    network = pipe.shim.network.eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    scores, labels = [], []
    for example in make_examples(nlp):
        words = [token.text for token in example.predicted]
        encoded = tokenizer(words, is_split_into_words=True, return_tensors="pt")
        with torch.inference_mode():
            vectors = network.encoder(**encoded).last_hidden_state[0]
            scores.append(network.head(vectors))
        labels.append(torch.tensor(piece_labels(pipe._gold_tags(example), encoded.word_ids(), strategy)))
    expected = torch.nn.functional.cross_entropy(torch.cat(scores), torch.cat(labels)).item()
    assert pipe.update(make_examples(nlp))["ner"] == pytest.approx(expected, rel=1e-5)


def test_every_piece_of_a_long_document_is_scored_once_and_words_by_their_first_pieces(tiny_encoder):
    nlp = make_pipeline(tiny_encoder, "inside")
    pipe = nlp.get_pipe("ner")
    words = [word for words, _ in SENTENCES for word in [*words, " \n"]] * 4
    docs = [Doc(nlp.vocab, words=words), Doc(nlp.vocab), *docs_of(nlp)]
    by_word = pipe.model.predict(docs)
    counts = [pipe.shim.batcher.cut([doc]).counts for doc in docs]
    assert counts[0].sum() > 3 * pipe.shim.batcher.capacity
    for (word_ids, scores), of_words, count in zip(score_every_piece(nlp, docs), by_word, counts, strict=True):
        assert np.bincount(word_ids, minlength=len(count)).tolist() == count.tolist()
        assert len(scores) == len(word_ids) and (scores != 0).any(axis=1).all()
        firsts = np.flatnonzero(np.diff(word_ids, prepend=-1))
        np.testing.assert_allclose(scores[firsts], of_words[count > 0], atol=1e-5)


def test_an_unknown_strategy_is_refused_with_the_known_ones(nlp):
    allowed = "first.*inside.*repeat"
    with pytest.raises(ValueError, match=rf'label_strategy = "last" is none of .*{allowed}'):
        Multiner(nlp.vocab, nlp.get_pipe("ner").model, label_strategy="last")
    with pytest.raises(ValueError, match=rf"label_strategy.*{allowed}"):
        nlp.add_pipe("multiner", name="other", config={"label_strategy": "last"})


def test_by_default_first_pieces_alone_are_trained(nlp):
    pipe = nlp.get_pipe("ner")
    assert pipe.cfg["label_strategy"] == "first"
    scores, _ = pipe.model.begin_update(docs_of(nlp))
    assert [len(of_words) for of_words in scores] == [len(words) for words, _ in SENTENCES]

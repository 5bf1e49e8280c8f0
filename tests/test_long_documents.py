"""Documents longer than the encoder reads: nothing is cut, every word is read in its one window, memory stays.

What is promised: a long document is covered with overlapping windows of whole words, or with its sentences, and a word
has the scores that it has in the window in which it stands farther from the border. So the long document must give what
each of its windows gives as a document of its own.
"""

import itertools
import random
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from hypothesis import given
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc

from multiner import batches as batches_module
from multiner.model import BatchesScorer, TaggerShim
from multiner.sentence_ends import sentence_ends
from multiner.windows import Window, plan_sentences, plan_windows

from .conftest import SENTENCES
from .test_pipe import predict_scores

BETWEEN = [["nobody", "knows", "where"], ["the", "unbelievably", "long", "words", "come", "from", "."], ["\n"]]


def many_words(count: int) -> list[str]:
    """Sentences in random order, until there are so many words."""
    draw = random.Random(0)
    sentences = [*(words for words, _ in SENTENCES), *BETWEEN]
    return list(itertools.islice(itertools.chain.from_iterable(iter(lambda: draw.choice(sentences), None)), count))


@pytest.fixture(scope="module", params=[False, True], ids=["whole", "by sentence"])
def reader(request: pytest.FixtureRequest, saved: Path) -> Language:
    """The trained pipeline as it reads documents as far as a window reaches, or each sentence by itself."""
    return spacy.load(saved, config={"components.ner.model.by_sentence": request.param})


def windows_of(nlp: Language, doc: Doc) -> list[Window]:
    """The windows of a document, planned in one go."""
    batcher = nlp.get_pipe("ner").shim.batcher
    counts = batcher.cutter([word.orth for word in doc], nlp.vocab.strings.__getitem__).counts
    if batcher.whole_words == 0:
        return plan_sentences(counts, sentence_ends(doc), batcher.capacity, batcher.overlap)
    return plan_windows(counts, batcher.capacity, batcher.overlap)


def test_200_000_words_have_the_scores_and_entities_of_their_windows(reader):
    pipe = reader.get_pipe("ner")
    words = many_words(200_000)
    doc = Doc(reader.vocab, words=words)
    scores = pipe.model.predict([doc])[0]
    assert scores.shape == (len(words), 7)
    pieced = np.array([not word.isspace() for word in words])
    assert np.array_equal(scores.any(axis=1), pieced)
    windows = windows_of(reader, doc)
    assert len(windows) > 10_000
    chosen = random.Random(1).sample(windows, 500) + windows[:3] + windows[-3:]
    alone = [Doc(reader.vocab, words=words[window.start : window.end]) for window in chosen]
    for window, expected in zip(chosen, pipe.model.predict(alone), strict=True):
        start, _, keep_start, keep_end = window
        np.testing.assert_allclose(
            scores[keep_start:keep_end], expected[keep_start - start : keep_end - start], atol=1e-4
        )
    # So are the entities inside a window's kept part, but for the few places where the best tags are not legal: they
    # are repaired along the whole document, which is more than a window sees.
    ((places, _),) = pipe.decode([doc], [scores])
    found = {start: (start, end, label) for start, end, label in places}
    compared = different = 0
    for window, (own, _) in zip(chosen, pipe.predict(alone), strict=True):
        start, _, keep_start, keep_end = window
        expected = {(start + first, start + last, label) for first, last, label in own}
        there = {found[word] for word in range(keep_start, keep_end) if word in found}
        near = {span for span in expected | there if keep_start < span[0] and span[1] < keep_end}
        compared += len(near)
        different += len(near & (expected ^ there))
    assert compared > 300
    assert different < 0.03 * compared


def test_a_document_is_the_same_however_many_words_are_looked_at_in_one_turn(reader, monkeypatch):
    words = many_words(600)
    docs = [words[:5], words[5:400], [], [" "] * 70, words[400:], []]
    whole = reader.get_pipe("ner").model.predict([Doc(reader.vocab, words=some) for some in docs])
    for turn in (1, 7, 30, 64, 300):
        monkeypatch.setattr(batches_module, "WORDS_AT_ONCE", turn)
        parted = reader.get_pipe("ner").model.predict([Doc(reader.vocab, words=some) for some in docs])
        for one, other in zip(whole, parted, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=120), st.integers(1, 130))
def test_a_plan_made_in_parts_is_the_plan_of_the_whole(counts, part):
    capacity, overlap = 20, 6
    whole = plan_windows(np.array(counts, np.int64), capacity, overlap)
    made, start, keep_start, size = [], 0, 0, part
    while True:
        planned = plan_windows(np.array(counts[start : start + size], np.int64), capacity, overlap, keep_start)
        goes_on = start + size < len(counts)
        last = planned[-1]
        made += [tuple(start + word for word in window) for window in (planned[:-1] if goes_on else planned)]
        if not goes_on:
            break
        size += part if last.start == 0 else 0
        start, keep_start = start + last.start, last.keep_start - last.start
    assert made == [tuple(window) for window in whole]


def test_memory_grows_with_a_documents_scores_and_nothing_else(reader, monkeypatch):
    """The document itself takes some 125 bytes a word; its scores, which are the result, 4 a tag."""

    def nothing(batches):
        return ((batch, partial(torch.zeros, len(batch.places), 7)) for batch in batches)

    pipe = reader.get_pipe("ner")
    monkeypatch.setattr(pipe.shim, "_scorer", BatchesScorer(nothing))
    pipe.model.predict([Doc(reader.vocab, words=many_words(1000))])  # remembers how words are cut
    peaks = []
    for count in (20_000, 200_000):
        doc = Doc(reader.vocab, words=many_words(count))
        tracemalloc.start()
        try:
            pipe.model.predict([doc])
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / 180_000 < 4 * 7 + 20
    assert peaks[0] < 10_000_000


def test_an_encoder_that_reads_less_than_the_window_is_not_read_word_by_word(reader):
    """The configured overlap, 64 pieces, is more than the tiny encoder reads at once."""
    words = many_words(2000)
    doc = Doc(reader.vocab, words=words)
    assert len(windows_of(reader, doc)) < len(words) / 4


def test_a_word_of_5_000_pieces_leaves_its_neighbours_the_scores_they_have_beside_its_first_pieces(reader):
    shim = reader.get_pipe("ner").shim
    huge = "unbelievably" * 2500
    assert len(shim.batcher.cutter.tokenizer.encode([huge], is_pretokenized=True).ids) >= 5000
    kept = shim.batcher.cutter([reader.vocab.strings.add(huge)], reader.vocab.strings.__getitem__).ids.tolist()
    assert len(kept) == shim.batcher.cutter.longest
    short = next(
        text
        for text in (huge[:end] for end in range(1, 200))
        if shim.batcher.cutter([reader.vocab.strings.add(text)], reader.vocab.strings.__getitem__).ids.tolist() == kept
    )
    for words in (["Ada", "Lovelace", huge, "lives", "in", "London"], [huge, "Ada", "Lovelace"], ["London", huge]):
        beside_short = [short if word == huge else word for word in words]
        np.testing.assert_array_equal(predict_scores(reader, words), predict_scores(reader, beside_short))


def test_many_huge_words_leave_every_other_word_scored(reader):
    words = ["x" * 4000, "Ada", "Lovelace", "y" * 4000, "z" * 4000, "in", "London"] * 40
    scores = predict_scores(reader, words)
    assert scores.any(axis=1).all()


def test_capacity_is_never_exceeded(reader, monkeypatch):
    """What reaches the encoder is at most what it can read, special pieces included."""
    longest = []
    make = TaggerShim._make_scorer

    def watched(self, network):
        scorer = make(self, network)

        def watch(batches):
            for batch, scored in scorer.score(batches):
                longest.extend(batch.lengths)
                yield batch, scored

        return scorer._replace(score=watch)

    monkeypatch.setattr(TaggerShim, "_make_scorer", watched)
    reader.get_pipe("ner").shim.to_device("cpu", 0)  # forgets how it scored before
    reader.get_pipe("ner").model.predict([Doc(reader.vocab, words=many_words(3000))])
    assert max(longest) <= 40
    assert max(longest) >= 38

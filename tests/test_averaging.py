"""The average of the weights is what is evaluated and saved; training itself goes on from the weights."""

from itertools import pairwise
from typing import Any

import pytest
import spacy
import torch
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_config

from multiner.embedding import FIRST_ROWS, RowwiseEmbedding
from multiner.optimizer import AdamW, step_adamw

from .conftest import PROJECT, SENTENCES, make_examples, starting_from, write_corpus

DECAY = 0.8


def test_it_is_the_exponential_average_of_the_weights_and_follows_them_closely_at_first():
    settings, state = AdamW(0.1, average_decay=DECAY, grad_clip=0.0), None
    parameter = torch.nn.Parameter(torch.zeros(3))
    expected = None
    for step in range(1, 31):
        parameter.grad = torch.sin(torch.arange(3.0) + step)
        state = step_adamw(settings, state, [("encoder.a", parameter)])
        weights = parameter.detach().clone()
        share = min(DECAY, (1 + step) / (10 + step))
        expected = weights if expected is None else share * expected + (1 - share) * weights
        torch.testing.assert_close(weights + state.lags()["encoder.a"], expected)


def test_rows_of_the_embedding_that_are_met_late_are_averaged_from_then_on():
    embedding = RowwiseEmbedding(torch.ones(3 * FIRST_ROWS, 2))
    settings, state = AdamW(0.1, average_decay=DECAY, weight_decay=0.0), None
    # Some fit into the room that there is, then more room is made.
    for ids in (torch.arange(4), torch.arange(8), torch.arange(2 * FIRST_ROWS), torch.arange(4)):
        embedding.train()
        embedding.meet(ids)
        embedding(ids).sum().backward()
        state = step_adamw(settings, state, [("embedding.rows", embedding.rows)])
        embedding.rows.grad = None
    average = (embedding.rows + state.lags()["embedding.rows"])[: 2 * FIRST_ROWS]
    lowest, highest = embedding.rows[: 2 * FIRST_ROWS].min().item(), 1.0
    assert bool(((average >= lowest) & (average <= highest)).all())
    # Rows that were met first have moved furthest.
    assert all(earlier < later for earlier, later in pairwise(average[[0, 4, 8], 0].tolist()))


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_that_makes_no_average_is_refused(decay):
    with pytest.raises(ValueError, match=rf"average_decay = {decay} must be 0, for no average, or below 1"):
        AdamW(0.1, average_decay=decay)


@pytest.fixture
def learning(nlp: spacy.Language) -> tuple[spacy.Language, AdamW]:
    """A pipeline that has made some steps, and the optimizer that made them."""
    optimizer = AdamW(1e-2, average_decay=DECAY)
    for _ in range(6):
        nlp.update(make_examples(nlp), sgd=optimizer)
    return nlp, optimizer


def scores(nlp: spacy.Language) -> torch.Tensor:
    docs = [spacy.tokens.Doc(nlp.vocab, words=words) for words, _ in SENTENCES]
    return torch.cat([torch.from_numpy(rows) for rows in nlp.get_pipe("ner").tag_scores(docs)])


def test_a_pipeline_predicts_with_the_average_only_for_so_long_as_it_is_told_to(learning):
    nlp, optimizer = learning
    network = nlp.get_pipe("ner").shim.network
    before, weights = scores(nlp), {name: each.detach().clone() for name, each in network.trained()}
    with nlp.use_params(optimizer.averages):
        averaged = scores(nlp)
        saved = nlp.to_bytes()
    assert not torch.allclose(averaged, before)
    assert torch.equal(scores(nlp), before)
    assert all(torch.equal(each, weights[name]) for name, each in network.trained())
    # What was saved in the meantime is the average, the rows of the embedding too.
    nlp.from_bytes(saved)
    torch.testing.assert_close(scores(nlp), averaged)


def test_training_goes_on_from_the_weights_and_not_from_the_average(learning):
    nlp, optimizer = learning
    undisturbed = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    with nlp.use_params(optimizer.averages):
        scores(nlp)
    losses: list[dict[str, Any]] = [{}, {}]
    for pipeline, loss in zip((nlp, undisturbed), losses, strict=True):
        for _ in range(2):
            pipeline.update(make_examples(pipeline), sgd=AdamW(1e-2), losses=loss, drop=0.0)
    assert losses[0]["ner"] == pytest.approx(losses[1]["ner"])


def test_spacy_train_evaluates_and_saves_it(tiny_encoder, tmp_path):
    overrides = {
        **write_corpus(tmp_path, SENTENCES * 4),
        **starting_from(tiny_encoder),
        "system.epochs": 2,
        "training.optimizer.learn_rate.peak": 1e-2,
        "training.dropout": 0.0,
    }
    for name, decay in (("usual", 0.0), ("averaged", DECAY)):
        changed = {**overrides, "training.optimizer.average_decay": decay}
        nlp = init_nlp(load_config(PROJECT / "configs/e5-small.cfg", overrides=changed, interpolate=False))
        (tmp_path / name).mkdir()
        train(nlp, tmp_path / name)
        written = scores(spacy.load(tmp_path / name / "model-last"))
        assert torch.allclose(written, scores(nlp), atol=1e-5) == (decay == 0.0)

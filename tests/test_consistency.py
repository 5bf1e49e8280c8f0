"""Two readings of the same sentences with other dropout are to agree."""

import numpy as np
import pytest
import spacy
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from multiner.divergence import divergence, two_sided_divergence
from multiner.optimizer import AdamW

from .conftest import make_examples

SCORES = arrays(np.float64, (4, 5), elements=st.floats(-8, 8))


def divergence_by_torch(wanted: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.kl_div(scores.log_softmax(-1), wanted.log_softmax(-1), log_target=True, reduction="sum")


@given(SCORES, SCORES)
def test_the_divergence_and_its_gradient_are_those_of_torch(wanted, scores):
    total, gradient = divergence(wanted, scores)
    by_torch = torch.tensor(scores, requires_grad=True)
    expected = divergence_by_torch(torch.tensor(wanted), by_torch)
    expected.backward()
    assert total == pytest.approx(expected.item(), abs=1e-9)
    np.testing.assert_allclose(gradient, by_torch.grad.numpy(), atol=1e-9)


@given(SCORES, SCORES)
def test_seen_from_both_sides_it_moves_both(first, second):
    total, *gradients = two_sided_divergence(first, second)
    one, other = torch.tensor(first, requires_grad=True), torch.tensor(second, requires_grad=True)
    expected = (divergence_by_torch(one, other) + divergence_by_torch(other, one)) / 2
    expected.backward()
    assert total == pytest.approx(expected.item(), abs=1e-9)
    for gradient, by_torch in zip(gradients, (one.grad, other.grad), strict=True):
        np.testing.assert_allclose(gradient, by_torch.numpy(), atol=1e-9)


def gradients_of(nlp: spacy.Language, consistency: float, drop: float) -> tuple[float, dict[str, torch.Tensor]]:
    pipe = nlp.get_pipe("ner")
    pipe.cfg["consistency"] = consistency
    torch.manual_seed(0)
    loss = nlp.update(make_examples(nlp), sgd=False, drop=drop)["ner"]
    gradients = {name: each.grad.clone() for name, each in pipe.shim.network.trained() if each.grad is not None}
    pipe.finish_update(AdamW(0.0))
    return loss, gradients


def test_without_dropout_both_readings_agree_and_nothing_changes(nlp):
    usual, usual_gradients = gradients_of(nlp, 0.0, 0.0)
    twice, gradients = gradients_of(nlp, 2.0, 0.0)
    assert twice == pytest.approx(usual, rel=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, usual_gradients[name], rtol=1e-3, atol=1e-6)


def test_with_dropout_disagreement_costs(nlp):
    little, little_gradients = gradients_of(nlp, 1e-9, 0.3)
    more, more_gradients = gradients_of(nlp, 1.0, 0.3)
    assert more > little
    assert any(not torch.allclose(more_gradients[name], gradient) for name, gradient in little_gradients.items())


def test_less_than_nothing_is_refused(nlp):
    with pytest.raises(ValueError, match=r"\[components.other\] consistency = -1.0 must be 0 or more"):
        nlp.add_pipe("multiner", name="other", config={"consistency": -1.0})

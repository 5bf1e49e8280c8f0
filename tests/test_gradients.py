"""However a batch goes through the network, weights move as one large batch would move them."""

import warnings
from collections.abc import Sequence

import pytest
import spacy
import torch
from spacy.language import Language
from spacy.training import Example
from spacy.training.loop import subdivide_batch
from thinc.api import fix_random_seed
from transformers import BertModel

from multiner.encoder import EncoderNotUsable
from multiner.model import TaggerShim, TrainingInFloat16
from multiner.network import WordTagger
from multiner.optimizer import AdamW, step_adamw
from multiner.pipe import ComponentError, Multiner

from .conftest import make_examples


def gradients(pipe: Multiner) -> dict[str, torch.Tensor]:
    return {
        name: parameter.grad.clone() for name, parameter in pipe.shim.network.trained() if parameter.grad is not None
    }


def make_pipe(encoder: str, **settings: object) -> tuple[Language, Multiner]:
    fix_random_seed(0)
    nlp = spacy.blank("en")
    model = {"@architectures": "multiner.Classifier.v1", "window": 32, "overlap": 8, "batch_pieces": 256}
    pipe = nlp.add_pipe("multiner", name="ner", config={"model": {"precision": "float32", **model, **settings}})
    pipe.initialize(lambda: make_examples(nlp), nlp=nlp, encoder=encoder)
    return nlp, pipe


def learn(pipe: Multiner, parts: Sequence[Sequence[Example]]) -> tuple[dict[str, torch.Tensor], float]:
    """Gradients and loss of one batch in parts."""
    losses: dict[str, float] = {}
    for part in parts:
        pipe.update(part, losses=losses)
    return gradients(pipe), losses["ner"]


def assert_alike(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("accumulate", [2, 3])
def test_accumulated_gradients_are_those_of_one_large_batch(tiny_encoder, accumulate):
    """The parts into which spaCy cuts a batch have unlike numbers of words, and words in them the others have not."""
    nlp, pipe = make_pipe(tiny_encoder)
    parts = list(subdivide_batch(make_examples(nlp), accumulate))
    assert len({sum(map(len, part)) for part in parts}) > 1
    found, loss = learn(pipe, parts)
    whole_nlp, whole = make_pipe(tiny_encoder)
    wanted, whole_loss = learn(whole, [make_examples(whole_nlp)])
    rows = found.pop("embedding.rows"), wanted.pop("embedding.rows")
    assert_alike(found, wanted)
    assert loss == pytest.approx(whole_loss, rel=1e-5)
    ids = whole.shim.network.embedding.met
    places = [each.shim.network.embedding._place[ids] for each in (pipe, whole)]
    torch.testing.assert_close(rows[0][places[0]], rows[1][places[1]], rtol=1e-4, atol=1e-6)


def test_a_label_that_comes_up_in_a_later_part_leaves_what_the_others_have_learnt(tiny_encoder):
    nlp, pipe = make_pipe(tiny_encoder)
    before, _ = learn(pipe, [make_examples(nlp)])
    pipe.add_label("NEW")
    after = gradients(pipe)
    for name in ("head.weight", "head.bias"):
        rows = len(before[name])
        torch.testing.assert_close(after[name][:rows], before[name], rtol=0, atol=0)
        assert len(after[name]) == rows + 2 and not after[name][rows:].any()


def test_gradients_are_clipped_once_after_all_parts(tiny_encoder, monkeypatch):
    steps = []
    monkeypatch.setattr("multiner.model.step_adamw", lambda *given: steps.append(given) or step_adamw(*given))
    results = []
    for accumulate in (1, 2):
        nlp, pipe = make_pipe(tiny_encoder)
        optimizer = AdamW(1.0, grad_clip=0.1, eps=1.0)  # a large eps, so that rounding does not decide on steps
        for part in subdivide_batch(make_examples(nlp), accumulate):
            pipe.update(part)
        norm = torch.nn.utils.get_total_norm(list(gradients(pipe).values()))
        assert norm > 0.2
        pipe.finish_update(optimizer)
        results.append(pipe.shim.network.head.weight.detach().clone())
    assert len(steps) == 2
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-6)


def test_the_loss_of_several_updates_is_the_mean_and_that_of_several_steps_the_sum(nlp):
    pipe, examples = nlp.get_pipe("ner"), make_examples(nlp)
    losses: dict[str, float] = {}
    for _ in range(2):
        for part in (examples[:1], examples[1:]):
            pipe.update(part, losses=losses)
        pipe.finish_update(AdamW(0.0))
    (alone,) = pipe.update(examples).values()
    assert losses["ner"] == pytest.approx(2 * alone, rel=1e-4)


def test_gradient_checkpointing_gives_the_same_gradients(tiny_encoder):
    results, layers = [], []
    for checkpointing in (False, True):
        nlp, pipe = make_pipe(tiny_encoder, gradient_checkpointing=checkpointing)
        count = [0]
        pipe.shim.network.encoder.encoder.layer[0].attention.self.query.register_forward_hook(
            lambda *_, count=count: count.__setitem__(0, count[0] + 1)
        )
        torch.manual_seed(0)
        pipe.update(make_examples(nlp), drop=0.2)
        results.append(gradients(pipe))
        layers.append(count[0])
    assert layers == [1, 2]
    assert_alike(results[1], results[0])


def test_an_encoder_that_cannot_compute_its_layers_again_is_told_apart(tiny_encoder, monkeypatch):
    monkeypatch.setattr(BertModel, "supports_gradient_checkpointing", False)
    with pytest.raises(
        EncoderNotUsable, match="gradient_checkpointing = true: BertModel cannot do that. Set it to false"
    ):
        make_pipe(tiny_encoder, gradient_checkpointing=True)


def test_mixed_precision_keeps_weights_gradients_and_moments_in_float32(tiny_encoder):
    nlp, pipe = make_pipe(tiny_encoder, precision="bfloat16")
    formats = set()
    pipe.shim.network.encoder.encoder.layer[0].attention.self.query.register_forward_hook(
        lambda module, inputs, output: formats.add(output.dtype)
    )
    pipe.update(make_examples(nlp))
    assert {gradient.dtype for gradient in gradients(pipe).values()} == {torch.float32}
    before = pipe.shim.network.head.weight.detach().clone()
    # Far less than the smallest step that bfloat16 could take from here.
    pipe.finish_update(AdamW(1e-7, head_factor=1.0))
    assert formats == {torch.bfloat16}
    assert not torch.equal(pipe.shim.network.head.weight, before)
    moments = [value for state in pipe.shim._optimizer.state.values() for value in state.values()]
    assert {moment.dtype for moment in moments} == {torch.float32}


def test_mixed_precision_goes_the_way_of_float32_with_attention_in_float32(tiny_encoder, monkeypatch):
    formats = set()
    attend = torch.nn.functional.scaled_dot_product_attention

    def watched(queries: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        result = attend(queries, *others)
        formats.update((queries.dtype, result.dtype))
        return result

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    found, wanted = (
        learn(pipe, [make_examples(nlp)])[0]
        for nlp, pipe in (make_pipe(tiny_encoder, precision=precision) for precision in ("bfloat16", "float32"))
    )
    assert formats == {torch.float32}
    for name, gradient in wanted.items():
        assert (
            torch.cosine_similarity(found[name].flatten(), gradient.flatten(), dim=0) > 0.99 or gradient.norm() < 1e-6
        )


def test_training_in_float16_is_refused(tiny_encoder):
    nlp, pipe = make_pipe(tiny_encoder, precision="float16")
    with pytest.raises(TrainingInFloat16, match='"float16" is for predicting.*Train with "auto"'):
        pipe.update(make_examples(nlp))


def test_evaluation_goes_through_the_fast_path_of_prediction(nlp, monkeypatch):
    seen = []
    score = WordTagger.score

    def watch(self, vectors):
        seen.append((torch.is_inference_mode_enabled(), self.training))
        return score(self, vectors)

    monkeypatch.setattr(WordTagger, "score", watch)
    nlp.update(make_examples(nlp), sgd=AdamW(1e-3))
    nlp.evaluate(make_examples(nlp))
    assert seen == [(False, True), (True, False)]


# Out of memory


def short_of_memory(monkeypatch: pytest.MonkeyPatch, most: int, place: str) -> list[int]:
    """Have a GPU's memory hold so many documents at once. RETURNS: The sizes that were tried."""
    tried: list[int] = []
    train = TaggerShim._train

    def train_little(self, network, docs):
        tried.append(len(docs))
        if place == "forward" and len(docs) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        scores, backprop = train(self, network, docs)

        def backprop_little(gradients):
            result = backprop(gradients)  # some of the way back may be done when memory ends
            if len(docs) > most:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return result

        return scores, backprop_little

    monkeypatch.setattr(TaggerShim, "_train", train_little)
    return tried


@pytest.mark.parametrize("place", ["forward", "backward"])
def test_out_of_memory_halves_what_goes_through_at_once_and_says_so_once(tiny_encoder, monkeypatch, place):
    whole_nlp, whole = make_pipe(tiny_encoder)
    wanted, wanted_loss = learn(whole, [make_examples(whole_nlp)])
    nlp, pipe = make_pipe(tiny_encoder)
    tried = short_of_memory(monkeypatch, 2, place)
    with pytest.warns(UserWarning, match="learn from 4 documents at once, and learns from 2 at a time") as said:
        found, loss = learn(pipe, [make_examples(nlp)])
    assert tried == [4, 2, 2] and len(said) == 1
    assert loss == pytest.approx(wanted_loss, rel=1e-5)
    assert_alike({"head": found["head.weight"]}, {"head": wanted["head.weight"]})
    pipe.finish_update(AdamW(1e-2, eps=1.0))
    whole.finish_update(AdamW(1e-2, eps=1.0))
    for name, weight in whole.shim.network.eval().state_dict().items():
        torch.testing.assert_close(pipe.shim.network.eval().state_dict()[name], weight, rtol=1e-3, atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe.update(make_examples(nlp))
    assert tried == [4, 2, 2, 2, 2]


def test_a_document_that_memory_cannot_hold_at_all_ends_training_with_advice(nlp, monkeypatch):
    short_of_memory(monkeypatch, 0, "forward")
    with (
        pytest.warns(UserWarning),
        pytest.raises(ComponentError, match=r"\[components\.ner\.model\] set gradient_checkpointing = true"),
    ):
        nlp.get_pipe("ner").update(make_examples(nlp))

"""The component, as users of spaCy meet it. Names of tests are those of spaCy's own components."""

import copy

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam
from transformers import AutoModelForTokenClassification, AutoTokenizer

from multiner.optimizer import AdamW

from .conftest import SENTENCES, make_examples

TEXTS = [" ".join(words) for words, _ in SENTENCES] + ["", "  ", "Ada met Alan Turing in London , said Grace Hopper"]


def entities(doc: Doc) -> list[tuple[str, str]]:
    return [(entity.text, entity.label_) for entity in doc.ents]


def scores(doc: Doc) -> list[float]:
    return doc.spans["ner"].attrs["scores"].tolist()


def predict_scores(nlp: Language, words: list[str]) -> np.ndarray:
    return nlp.get_pipe("ner").model.predict([Doc(nlp.vocab, words=words)])[0]


def test_implicit_label(nlp):
    assert nlp.get_pipe("ner").labels == ("LOC", "ORG", "PER")


def test_explicit_labels(tiny_encoder):
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("multiner")
    pipe.initialize(lambda: make_examples(nlp), nlp=nlp, encoder=tiny_encoder, labels=["PER", "LOC"])
    assert pipe.labels == ("PER", "LOC")
    again = spacy.blank("en").add_pipe("multiner")
    again.initialize(lambda: make_examples(nlp), encoder=tiny_encoder, labels=pipe.label_data)
    assert again.labels == pipe.labels


def test_label_types(nlp):
    pipe = nlp.get_pipe("ner")
    assert pipe.add_label("MISC") == 1
    assert pipe.add_label("MISC") == 0
    with pytest.raises(ValueError, match="E187"):
        pipe.add_label(5)


def test_add_label_keeps_the_scores_of_the_others(nlp):
    words = SENTENCES[0][0]
    before = predict_scores(nlp, words)
    nlp.get_pipe("ner").add_label("MISC")
    after = predict_scores(nlp, words)
    assert after.shape == (len(words), before.shape[1] + 2)
    # A product with more outputs may be rounded otherwise.
    np.testing.assert_allclose(after[:, : before.shape[1]], before, atol=1e-6)


def test_overfitting_IO(trained, tmp_path):
    docs = list(trained.pipe(TEXTS))
    assert [entities(doc) for doc in docs[:4]] == [
        [("Ada Lovelace", "PER"), ("London", "LOC")],
        [("Alan Turing", "PER"), ("Manchester", "LOC")],
        [],
        [("Grace Hopper", "PER"), ("Remington Rand", "ORG")],
    ]
    trained.to_disk(tmp_path / "pipeline")
    from_disk = spacy.load(tmp_path / "pipeline")
    from_bytes = spacy.blank("en")
    from_bytes.add_pipe("multiner", name="ner")
    from_bytes.from_bytes(trained.to_bytes())
    for other in (from_disk, from_bytes):
        again = list(other.pipe(TEXTS))
        assert [entities(doc) for doc in again] == [entities(doc) for doc in docs]
        assert [scores(doc) for doc in again] == [scores(doc) for doc in docs]
        assert other.get_pipe("ner").labels == trained.get_pipe("ner").labels
    np.testing.assert_array_equal(predict_scores(from_disk, ["Ada", "left"]), predict_scores(trained, ["Ada", "left"]))


def test_a_saved_pipeline_holds_json_and_safetensors_only(trained, tmp_path):
    trained.to_disk(tmp_path)
    files = {path.name for path in (tmp_path / "ner").rglob("*") if path.is_file()}
    assert files == {"manifest.json", "cfg", "config.json", "reading.json", "tokenizer.json", "weights.safetensors"}


def test_loading_makes_no_network_call(trained, tmp_path, monkeypatch):
    import socket

    def refuse(*arguments, **options):
        raise AssertionError("a connection was opened")

    trained.to_disk(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert entities(spacy.load(tmp_path)(TEXTS[0])) == entities(trained(TEXTS[0]))


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_pipe_gives_what_call_gives_whatever_else_is_in_the_batch(trained, batch_size):
    one_by_one = [(entities(doc), scores(doc)) for doc in map(trained, TEXTS)]
    for order in (1, -1):
        together = [(entities(doc), scores(doc)) for doc in trained.pipe(TEXTS[::order], batch_size=batch_size)][
            ::order
        ]
        assert [found for found, _ in together] == [found for found, _ in one_by_one]
        for (_, batched), (_, single) in zip(together, one_by_one, strict=True):
            assert batched == pytest.approx(single, abs=1e-5)


def test_an_entity_is_set_with_its_confidence(trained):
    doc = trained(TEXTS[0])
    assert [span.text for span in doc.spans["ner"]] == [entity.text for entity in doc.ents]
    assert doc.spans["ner"].attrs["scores"].dtype == np.float32
    assert all(0.5 < score <= 1 for score in scores(doc))
    # Where there is no entity that is annotated too; else scores of the document would be missing.
    assert trained(TEXTS[2]).has_annotation("ENT_IOB")
    assert scores(trained("")) == []


def test_white_space_is_no_entity_and_parts_none(trained):
    doc = trained(" Ada  Lovelace lives in London \n")
    assert entities(doc) == [("Ada  Lovelace", "PER"), ("London", "LOC")]
    assert list(doc.spans["ner"].attrs["scores"]) == pytest.approx(scores(trained(TEXTS[0])), abs=1e-5)


def test_no_word_is_cut_off_in_a_long_document(trained):
    """The tiny encoder reads 38 pieces at once; this document has some hundred times as many."""
    sentence = TEXTS[0]
    doc = trained(" ".join([sentence] * 200))
    per_sentence = len(doc) // 200
    assert len(doc.ents) >= 380
    assert all(doc[start : start + per_sentence].ents for start in range(0, len(doc), per_sentence))


def test_a_word_longer_than_the_encoder_breaks_nothing(trained):
    doc = trained("Ada Lovelace lives in London " + "x" * 3000)
    assert entities(doc)[:2] == [("Ada Lovelace", "PER"), ("London", "LOC")]


def test_no_data(nlp):
    losses = nlp.get_pipe("ner").update([Example(Doc(nlp.vocab), Doc(nlp.vocab))])
    assert losses == {"ner": 0.0}
    assert list(nlp.pipe([])) == []


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_gradient_is_that_of_the_cross_entropy(nlp, smoothing):
    examples = make_examples(nlp)
    pipe = nlp.get_pipe("ner")
    pipe.cfg["label_smoothing"] = smoothing
    predicted = pipe.model.predict([example.predicted for example in examples])
    loss, gradients = pipe.get_loss(examples, predicted)
    together = torch.tensor(np.concatenate(predicted), requires_grad=True)
    gold = torch.tensor(np.concatenate([pipe._gold_tags(example) for example in examples]))
    expected = torch.nn.functional.cross_entropy(together, gold, label_smoothing=smoothing)
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    np.testing.assert_allclose(np.concatenate(gradients), together.grad.numpy(), atol=1e-6)


def test_no_label_is_smoothed_away(nlp):
    with pytest.raises(ValueError, match=r"\[components.other\] label_smoothing = 1.0 must be 0 or more, below 1"):
        nlp.add_pipe("multiner", name="other", config={"label_smoothing": 1.0})


@pytest.mark.parametrize("optimizer", [AdamW(3e-3), Adam(3e-3)], ids=["multiner", "thinc"])
def test_any_optimizer_of_spacy_trains_it(nlp, optimizer):
    examples = make_examples(nlp)
    losses = [nlp.update(examples, sgd=optimizer)["ner"] for _ in range(15)]
    assert losses[-1] < 0.8 * losses[0]


def test_training_only_the_rows_in_use_gives_the_weights_of_training_all(tiny_encoder):
    """The exact short cut, in the whole network: each step trains the rows that the corpus uses, or the full table."""

    def weights(meet_all: bool) -> dict[str, torch.Tensor]:
        nlp = spacy.blank("en")
        pipe = nlp.add_pipe("multiner", name="ner")
        torch.manual_seed(1)
        pipe.initialize(lambda: make_examples(nlp), nlp=nlp, encoder=tiny_encoder)
        network = pipe.shim.network
        if meet_all:
            network.train()
            network.embedding.meet(torch.arange(len(network.embedding.weight)))
        optimizer = AdamW(1e-3)
        for _ in range(10):
            pipe.update(make_examples(nlp), sgd=optimizer)
        network.eval()
        return {name: tensor.clone() for name, tensor in network.state_dict().items()}

    torch.testing.assert_close(weights(meet_all=False), weights(meet_all=True), rtol=0, atol=1e-6)


def test_scores_are_those_of_transformers(trained, tiny_encoder, tmp_path):
    """Word scores equal those of AutoModelForTokenClassification on the same pieces, at first pieces."""
    nlp = copy.deepcopy(trained)
    nlp.get_pipe("ner").shim.compute_in("float32")
    network = nlp.get_pipe("ner").shim.network
    reference = AutoModelForTokenClassification.from_pretrained(tiny_encoder, num_labels=network.head.out_features)
    reference.bert.load_state_dict(network.encoder.state_dict(), strict=False)
    reference.classifier.load_state_dict(network.head.state_dict())
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    for words, _ in SENTENCES:
        encoded = tokenizer(words, is_split_into_words=True, return_tensors="pt")
        with torch.inference_mode():
            pieces = reference.eval()(**encoded).logits[0].numpy()
        word_ids = encoded.word_ids()
        firsts = [word_ids.index(word) for word in range(len(words))]
        np.testing.assert_allclose(predict_scores(nlp, words), pieces[firsts], atol=1e-5)


def test_evaluate_and_pipe_labels(trained):
    result = trained.evaluate(make_examples(trained))
    assert result["ents_f"] == 1.0
    assert set(result["ents_per_type"]) == {"PER", "LOC", "ORG"}
    assert trained.pipe_labels["ner"] == ["LOC", "ORG", "PER"]
    assert trained.analyze_pipes()["summary"]["ner"]["assigns"] == [
        "doc.ents",
        "doc.spans",
        "token.ent_iob",
        "token.ent_type",
    ]


def test_bfloat16_can_be_asked_for(trained, tmp_path):
    trained.to_disk(tmp_path)
    nlp = spacy.load(tmp_path, config={"components.ner.model.precision": "bfloat16"})
    assert [entities(doc) for doc in nlp.pipe(TEXTS)] == [entities(doc) for doc in trained.pipe(TEXTS)]

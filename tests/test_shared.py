"""One encoder for several components: our head on the `transformer` of spacy-transformers."""

import json
import warnings
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from spacy.cli.train import train
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from thinc.api import Config, fix_random_seed
from transformers import AutoTokenizer

from multiner import shared
from multiner.losses import describe_losses, word_losses
from multiner.model import EveryPiece
from multiner.optimizer import AdamW
from multiner.pipe import Multiner
from multiner.predictions import predict
from multiner.shared import TransformerMissing, all_pieces, first_pieces

from .conftest import PROJECT, SENTENCES, learn_by_heart, make_doc
from .families import save_encoder

pytest.importorskip("spacy_transformers", reason="the extra `shared` is not installed")
NAME = "multiner.SharedClassifier.v1"

CONFIG = """
[nlp]
lang = "en"
pipeline = ["transformer", "ner", "tagger"]

[components]

[components.transformer]
factory = "transformer"
[components.transformer.model]
@architectures = "spacy-transformers.TransformerModel.v3"
name = ""
transformer_config = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
[components.transformer.model.get_spans]
@span_getters = "spacy-transformers.strided_spans.v1"
window = 16
stride = 12

[components.ner]
factory = "multiner"
[components.ner.model]
@architectures = "multiner.SharedClassifier.v1"

[components.tagger]
factory = "tagger"
[components.tagger.model]
@architectures = "spacy.Tagger.v2"
[components.tagger.model.tok2vec]
@architectures = "spacy-transformers.TransformerListener.v1"
[components.tagger.model.tok2vec.pooling]
@layers = "reduce_mean.v1"
"""


def save_fast(family: str, folder: Path) -> str:
    """An encoder whose tokenizer is read without the file that it was made from, which spacy-transformers wants."""
    save_encoder(family, folder)
    file = folder / "tokenizer_config.json"
    changes: dict[str, object] = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 120}
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return str(folder)


def make_examples(nlp: Language) -> list[Example]:
    examples = []
    for words, entities in SENTENCES:
        doc = make_doc(nlp, words, entities)
        for word in doc:
            word.tag_ = "NAME" if word.is_title else "WORD"
        examples.append(Example(Doc(nlp.vocab, words=words), doc))
    return examples


def make_pipeline(encoder: str, settings: dict | None = None) -> Language:
    fix_random_seed(0)
    config = Config().from_str(CONFIG, overrides={"components.transformer.model.name": encoder, **(settings or {})})
    nlp = spacy.util.load_model_from_config(config, auto_fill=True)
    nlp.initialize(lambda: make_examples(nlp))
    return nlp


def transformer_weights(nlp: Language) -> dict[str, torch.Tensor]:
    module = nlp.get_pipe("transformer").model.transformer
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def found(doc: Doc) -> list[tuple[str, str]]:
    return [(entity.text, entity.label_) for entity in doc.ents]


@pytest.fixture(scope="module", params=["bert", "deberta-v2", "modernbert"])
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_fast(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def learnt(encoder: str) -> Language:
    """A pipeline that has learnt the sentences by heart. Tests must leave it as it is."""
    nlp = make_pipeline(encoder)
    learn_by_heart(nlp, make_examples(nlp))
    return nlp


def test_overfitting_IO(learnt, tmp_path):
    """Two components learn from one encoder, and are the same after saving and loading."""
    assert type(learnt.get_pipe("ner")) is Multiner
    texts = [" ".join(words) for words, _ in SENTENCES] + ["", "  "]
    docs = list(learnt.pipe(texts))
    for (words, entities), doc in zip(SENTENCES, docs, strict=False):
        assert [(entity.start, entity.end, entity.label_) for entity in doc.ents] == entities
        assert [token.tag_ for token in doc] == ["NAME" if word.istitle() else "WORD" for word in words]
        sure = doc.spans["ner"].attrs["scores"]
        assert len(sure) == len(entities) and all(0.5 < score <= 1 for score in sure)
    learnt.to_disk(tmp_path)
    files = {path.name for path in (tmp_path / "ner").rglob("*") if path.is_file()}
    assert files == {"cfg", "manifest.json", "weights.safetensors"}
    from_bytes = spacy.util.load_model_from_config(learnt.config)
    from_bytes.from_bytes(learnt.to_bytes())
    for again in (spacy.load(tmp_path), from_bytes):
        for ours, theirs in zip(again.pipe(texts), docs, strict=True):
            assert found(ours) == found(theirs)
            np.testing.assert_array_equal(ours.spans["ner"].attrs["scores"], theirs.spans["ner"].attrs["scores"])


def test_tags_can_be_scored_together(tmp_path):
    nlp = make_pipeline(save_fast("bert", tmp_path / "bert"), {"components.ner.model.crf": True})
    learn_by_heart(nlp, make_examples(nlp))
    nlp.to_disk(tmp_path / "pipeline")
    loaded = spacy.load(tmp_path / "pipeline")
    transitions = loaded.get_pipe("ner").shim.transitions
    assert np.abs(transitions).max() > 0.01
    np.testing.assert_array_equal(transitions, nlp.get_pipe("ner").shim.transitions)
    for words, entities in SENTENCES:
        doc = loaded(" ".join(words))
        assert [(entity.start, entity.end, entity.label_) for entity in doc.ents] == entities


def test_the_transformer_gets_the_gradients_of_both_components(encoder):
    def gradient(ner: float, tagger: float) -> torch.Tensor:
        factors = {"components.ner.model.grad_factor": ner, "components.tagger.model.tok2vec.grad_factor": tagger}
        nlp = make_pipeline(encoder, factors)
        output = nlp.get_pipe("tagger").model.get_ref("softmax")
        output.set_param("W", np.linspace(-1, 1, output.get_param("W").size, dtype="f").reshape(2, -1))
        for name in ("transformer", "ner", "tagger"):
            nlp.get_pipe(name).update(make_examples(nlp))
        module = nlp.get_pipe("transformer").model.transformer
        return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])

    from_ner, from_tagger, from_both = gradient(1.0, 0.0), gradient(0.0, 1.0), gradient(1.0, 1.0)
    assert from_ner.abs().max() > 1e-4 and from_tagger.abs().max() > 1e-4
    torch.testing.assert_close(from_both, from_ner + from_tagger, rtol=1e-3, atol=1e-6)
    assert gradient(0.0, 0.0).abs().max() == 0


def test_gradients_are_those_of_the_whole_network(encoder):
    """Head and transformer together, against the same in plain torch."""
    nlp = make_pipeline(encoder, {"components.tagger.model.tok2vec.grad_factor": 0.0})
    pipe, module = nlp.get_pipe("ner"), nlp.get_pipe("transformer").model.transformer
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    scores, gold = [], []
    for example in make_examples(nlp):
        doc = nlp.get_pipe("transformer")(Doc(nlp.vocab, words=[word.text for word in example.predicted]))
        word_ids, places = first_pieces(doc, doc._.trf_data)
        assert len(word_ids) == len(doc) and len(doc) <= 16
        vectors = module.eval()(**tokenizer(doc[:].text, return_tensors="pt")).last_hidden_state[0]
        scores.append(pipe.shim.network.eval().score(vectors[places]))
        gold.append(torch.tensor(pipe._gold_tags(example)))
    loss = torch.nn.functional.cross_entropy(torch.cat(scores), torch.cat(gold))
    loss.backward()
    expected = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
    for parameter in [*module.parameters(), *pipe.shim.network.parameters()]:
        parameter.grad = None
    losses = {}
    for name in ("transformer", "ner", "tagger"):
        nlp.get_pipe(name).update(make_examples(nlp), losses=losses)
    assert losses["ner"] == pytest.approx(loss.item(), rel=1e-4)
    for name, parameter in module.named_parameters():
        if parameter.grad is not None and "pooler" not in name:
            torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-3, atol=1e-5)


def test_updates_move_the_transformer(encoder):
    nlp = make_pipeline(encoder)
    before = transformer_weights(nlp)
    optimizer = AdamW(1e-3)
    for _ in range(2):  # spaCy moves a transformer at the update that follows
        nlp.update(make_examples(nlp), sgd=optimizer)
    after = transformer_weights(nlp)
    assert any(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("text", ["Ada Lovelace lives in London", " Ada  Lovelace\n lives (in) London, 東京 …! \t"])
def test_a_word_is_read_from_the_first_piece_with_its_first_character(learnt, encoder, text):
    """Against the offsets of the tokenizer, which spacy-transformers does not keep."""
    doc = learnt.get_pipe("transformer")(learnt.make_doc(text))
    word_ids, places = first_pieces(doc, doc._.trf_data)
    offsets = AutoTokenizer.from_pretrained(encoder)(text, return_offsets_mapping=True).offset_mapping
    expected = {
        word.i: next(piece for piece, (start, end) in enumerate(offsets) if start <= word.idx < end)
        for word in doc
        if not word.is_space
    }
    assert dict(zip(word_ids.tolist(), places.tolist(), strict=True)) == expected


def test_no_piece_of_the_next_word_counts_as_a_words_own(learnt):
    doc = learnt.get_pipe("transformer")(learnt.make_doc("Ada Lovelace lives in London"))
    word_ids, places = all_pieces(doc, doc._.trf_data)
    assert len(set(places.tolist())) == len(places), "one piece belongs to two words"
    assert places.tolist() == sorted(places.tolist()) and word_ids.tolist() == sorted(word_ids.tolist())


def test_a_long_document_is_read_in_the_window_where_a_word_is_farther_from_the_border(learnt):
    doc = learnt.get_pipe("transformer")(Doc(learnt.vocab, words=SENTENCES[0][0] * 12))
    data = doc._.trf_data
    windows, width, _ = data.model_output.last_hidden_state.shape
    assert windows > 2
    word_ids, places = first_pieces(doc, data)
    assert word_ids.tolist() == list(range(len(doc)))
    assert (np.diff(places // width) >= 0).all() and set(places // width) == set(range(windows))
    # Windows of 16 words share 4, which are read half in the one and half in the other.
    changes = np.flatnonzero(np.diff(places // width)) + 1
    assert all(12 * (number + 1) < change < 12 * (number + 1) + 4 for number, change in enumerate(changes[:-1]))
    assert len(learnt.get_pipe("ner")(doc).ents) >= 20


def test_words_that_the_transformer_has_no_piece_for_are_said(learnt):
    doc = learnt.get_pipe("transformer")(Doc(learnt.vocab, words=["Ada", "Lovelace", "lives"]))
    data = doc._.trf_data
    firsts = first_pieces(doc, data)
    cut = spacy_transformers_data(data, lengths=[data.align.lengths[0], 0, 0])
    with pytest.warns(UserWarning, match=r"no piece for some words.*lower `window` and `stride`"):
        word_ids, places = first_pieces(doc, cut)
    assert word_ids.tolist() == [0] and places.tolist() == firsts[1][:1].tolist()


def spacy_transformers_data(data, lengths: list[int]):
    from dataclasses import replace

    from thinc.types import Ragged

    return replace(data, align=Ragged(data.align.dataXd[: sum(lengths)], np.array(lengths, dtype="i")))


@pytest.mark.parametrize("encoder", ["bert"], indirect=True)
@pytest.mark.parametrize("strategy", ["inside", "repeat"])
def test_later_pieces_can_be_trained_too(encoder, strategy):
    nlp = make_pipeline(encoder, {"components.ner.label_strategy": strategy})
    learn_by_heart(nlp, make_examples(nlp))
    docs = [Doc(nlp.vocab, words=words) for words, _ in SENTENCES]
    for (_, entities), doc in zip(SENTENCES, nlp.pipe(docs), strict=True):
        assert [(entity.start, entity.end, entity.label_) for entity in doc.ents] == entities
    of_pieces = nlp.get_pipe("ner").model.begin_update(EveryPiece(docs))[0]
    assert sum(len(of_doc.word_ids) for of_doc in of_pieces) > sum(map(len, docs))


def test_documents_without_words_or_annotation_stay_in_step_with_the_transformer(encoder):
    nlp = make_pipeline(encoder)
    unannotated = Example(Doc(nlp.vocab, words=["Ada"]), Doc(nlp.vocab, words=["Ada"]))
    empty = Example(Doc(nlp.vocab), Doc(nlp.vocab))
    examples = make_examples(nlp)
    mixed = [empty, examples[0], unannotated, *examples[1:], empty]
    optimizer = AdamW(3e-3)
    losses = [nlp.update(mixed, sgd=optimizer)["ner"] for _ in range(20)]
    assert losses[-1] < 0.5 * losses[0]
    assert nlp.update([empty], sgd=optimizer) == {"ner": 0.0, "tagger": 0.0}
    assert nlp.update([unannotated], sgd=optimizer)["ner"] == 0.0


@pytest.mark.parametrize("encoder", ["bert"], indirect=True)
def test_a_frozen_transformer_is_read_and_stays_as_it_is(encoder):
    nlp = make_pipeline(encoder)
    before = transformer_weights(nlp)
    learn_by_heart(nlp, make_examples(nlp), rate=1e-2, loss=0.02, exclude=["transformer"], annotates=["transformer"])
    assert all(torch.equal(before[name], weights) for name, weights in transformer_weights(nlp).items())
    doc = nlp(" ".join(SENTENCES[0][0]))
    assert found(doc) == [("Ada Lovelace", "PER"), ("London", "LOC")]


def test_one_text_gives_the_same_alone_and_in_a_batch(learnt):
    texts = [" ".join(words) for words, _ in SENTENCES] + ["", "Ada met Alan Turing in London , said Grace Hopper"]
    for alone, doc in zip(map(learnt, texts), learnt.pipe(texts), strict=True):
        assert found(alone) == found(doc)
        np.testing.assert_allclose(alone.spans["ner"].attrs["scores"], doc.spans["ner"].attrs["scores"], atol=1e-5)


def test_a_new_label_keeps_the_scores_of_the_others(encoder):
    nlp = make_pipeline(encoder)
    doc = nlp.get_pipe("transformer")(Doc(nlp.vocab, words=SENTENCES[0][0]))
    pipe = nlp.get_pipe("ner")
    before = pipe.model.predict([doc])[0]
    pipe.add_label("MISC")
    # A product with more outputs may be rounded otherwise.
    np.testing.assert_allclose(pipe.model.predict([doc])[0][:, : before.shape[1]], before, atol=1e-6)


LINES = r'\[nlp\]\npipeline = \["transformer", "ner"\]\n\n\[components.transformer\]\nfactory = "transformer"'


def test_without_a_transformer_the_lines_to_add_are_said(learnt):
    nlp = spacy.blank("en")
    nlp.add_pipe("multiner", name="ner", config={"model": {"@architectures": NAME}})
    with pytest.raises(TransformerMissing, match=rf"(?s)There is none before this component .*{LINES}"):
        nlp.initialize(lambda: make_examples(nlp))
    with learnt.select_pipes(disable="transformer"), pytest.raises(TransformerMissing, match=LINES):
        learnt("Ada Lovelace")


def test_an_encoder_of_its_own_is_refused(encoder):
    nlp = make_pipeline(encoder)
    with pytest.raises(ValueError, match=r"shares the encoder of another one.* Take `encoder` out of"):
        nlp.get_pipe("ner").initialize(lambda: make_examples(nlp), nlp=nlp, encoder=encoder)


def test_a_missing_extra_is_said_with_the_command(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "spacy_transformers.layers", None)
    with pytest.raises(TransformerMissing, match=r"Install it: pip install 'spacy-multiner\[shared\]'"):
        shared.SharedClassifier()


def test_the_entry_point_is_the_function_that_is_imported():
    lines = (PROJECT / "setup.cfg").read_text(encoding="utf8").splitlines()
    value = next(line.split(" = ")[1] for line in lines if line.strip().startswith(NAME))
    assert EntryPoint(NAME, value, "spacy_architectures").load() is shared.SharedClassifier


def test_spacy_train_runs_the_config_as_it_stands(tmp_path):
    encoder = save_fast("xlm-roberta", tmp_path / "encoder")
    nlp = spacy.blank("xx")
    docs = [example.reference for example in make_examples(nlp)] * 8
    for part in ("train", "dev"):
        DocBin(docs=docs, attrs=["ENT_IOB", "ENT_TYPE", "TAG"]).to_disk(tmp_path / f"{part}.spacy")
    overrides = {
        "paths.train": str(tmp_path / "train.spacy"),
        "paths.dev": str(tmp_path / "dev.spacy"),
        "paths.encoder": encoder,
        "system.epochs": 12,
        "training.optimizer.learn_rate.peak": 3e-3,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        train(PROJECT / "configs/shared.cfg", tmp_path / "out", overrides=overrides)
    best = spacy.load(tmp_path / "out" / "model-best")
    assert best.meta["performance"]["ents_f"] > 0.9 and best.meta["performance"]["tag_acc"] > 0.9
    assert best("Ada Lovelace lives in London").ents[0].label_ == "PER"
    assert best.pipe_names == ["transformer", "ner", "tagger"]
    assert not list(Path(tmp_path / "out" / "model-best" / "ner").rglob("tokenizer.json"))


def test_losses_are_known_where_the_encoder_is_shared_and_pieces_are_not(learnt):
    predictions = predict(learnt, [make_doc(learnt, *sentence) for sentence in SENTENCES])
    losses = word_losses(predictions)
    assert losses is not None and predictions.pieces is None
    found = describe_losses(losses, predictions.gold, predictions.pieces)
    assert found["mean"] < 0.1 and found["by_piece"] is None

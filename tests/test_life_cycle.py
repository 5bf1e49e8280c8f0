"""From a blank component to a trained one and beyond: labels, starting, resuming, rehearsing, sourcing, copying.

Names of tests are those of spaCy's own components where it has them.
"""

import copy
import json
import pickle
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.cli._util import app
from spacy.cli.train import train
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import load_config
from thinc.api import Adam, Config, Optimizer, fix_random_seed
from typer.testing import CliRunner

from multiner.optimizer import AdamW
from multiner.pipe import Multiner

from .conftest import PROJECT, SENTENCES, Sentences, learn_by_heart, make_doc, make_examples, write_corpus
from .test_pipe import TEXTS, entities, predict_scores, scores

# A new entity type, and one sentence of those that were learnt before.
WEEKDAYS: Sentences = [
    (["Ada", "Lovelace", "moved", "programs", "Monday"], [(0, 2, "PER"), (4, 5, "DAY")]),
    (["nobody", "writes", "Monday"], [(2, 3, "DAY")]),
    SENTENCES[1],
]


def examples_of(nlp: Language, sentences: Sentences) -> list[Example]:
    return [Example(Doc(nlp.vocab, words=words), make_doc(nlp, words, found)) for words, found in sentences]


def blank(tiny_encoder: str | None = None, name: str = "ner") -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("multiner", name=name)
    if tiny_encoder:
        nlp.config["initialize"]["components"][name] = {"encoder": tiny_encoder}
    return nlp


def weights(nlp: Language, name: str = "ner") -> dict[str, torch.Tensor]:
    network = nlp.get_pipe(name).shim.network.eval()
    return {key: tensor.clone() for key, tensor in network.state_dict().items()}


def head_size(nlp: Language) -> int:
    return int(nlp.get_pipe("ner").shim.network.head.out_features)


def corpus_of(folder: Path, sentences: Sentences) -> dict[str, Any]:
    """The overrides that train on these sentences, in batches of many."""
    return {**write_corpus(folder, sentences, times=8), "system.batch_size": 16}


def write_config(folder: Path, change: dict[str, Any], pipeline: list[str] | None = None) -> Path:
    """The project's config, nothing frozen, with some sections replaced; those replaced by None are gone."""
    config = load_config(PROJECT / "configs/e5-small.cfg")
    # A tiny encoder has fewer layers than the config keeps, freezes and mixes.
    config["components"]["ner"]["model"] |= {"frozen_layers": 0, "mixed_layers": 2}
    config["initialize"]["components"]["ner"]["layers"] = 2
    for place, value in change.items():
        *sections, last = place.split(".")
        section: Any = config
        for name in sections:
            section = section[name]
        section.pop(last, None)
        if value is not None:
            section[last] = value
    config["nlp"]["pipeline"] = pipeline or ["ner"]
    Config(config).to_disk(folder / "config.cfg", interpolate=False)
    return folder / "config.cfg"


# Blank and initialised


def test_a_blank_component_needs_neither_network_nor_weights(monkeypatch, tmp_path):
    def refuse(*arguments, **options):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    nlp = blank()
    assert nlp.get_pipe("ner").labels == ()
    nlp.to_disk(tmp_path)
    assert spacy.load(tmp_path).pipe_names == ["ner"]


def test_initialize_examples(tiny_encoder):
    nlp = blank(tiny_encoder)
    examples = make_examples(nlp)
    for wrong in (lambda: None, lambda: examples[0], examples, lambda: [example.reference for example in examples]):
        with pytest.raises(TypeError):
            nlp.initialize(get_examples=wrong)
    nlp.initialize(get_examples=lambda: examples)
    assert nlp.get_pipe("ner").labels == ("LOC", "ORG", "PER")
    assert len(nlp("Ada Lovelace lives in London")) == 5


def test_labels_that_were_added_need_no_examples(tiny_encoder):
    nlp = blank(tiny_encoder)
    nlp.get_pipe("ner").add_label("DAY")
    nlp.initialize()
    assert nlp.get_pipe("ner").labels == ("DAY",)
    assert head_size(nlp) == 3


def test_labels_are_written_and_read_by_spacys_commands(tiny_encoder, tmp_path):
    corpus = corpus_of(tmp_path, SENTENCES)
    options = {**corpus, "paths.encoder": tiny_encoder}
    arguments = [part for key, value in options.items() for part in (f"--{key}", str(value))]
    config = write_config(tmp_path, {})
    result = CliRunner().invoke(app, ["init", "labels", str(config), str(tmp_path / "labels"), *arguments])
    assert result.exit_code == 0, result.output
    file = tmp_path / "labels" / "ner.json"
    assert json.loads(file.read_text()) == ["LOC", "ORG", "PER"]
    file.write_text(json.dumps(["LOC", "ORG", "PER", "DAY"]))
    reader = {"@readers": "spacy.read_labels.v1", "path": str(file), "require": True}
    config = write_config(
        tmp_path, {"initialize.components.ner": {"encoder": tiny_encoder, "labels": reader}, "system.epochs": 1}
    )
    nlp, _ = train_config(config, tmp_path / "out", corpus)
    assert nlp.get_pipe("ner").labels == ("LOC", "ORG", "PER", "DAY")


def train_config(config: Path, out: Path, overrides: dict[str, Any]) -> tuple[Language, Language]:
    """Run `spacy train`; the last pipeline and the best one."""
    train(config, out, overrides=overrides)
    return spacy.load(out / "model-last"), spacy.load(out / "model-best")


def test_an_encoder_given_again_starts_anew_and_none_keeps_the_weights(saved, tiny_encoder):
    nlp = spacy.load(saved)
    before = weights(nlp)
    nlp.initialize(lambda: make_examples(nlp))
    for name, tensor in weights(nlp).items():
        assert torch.equal(tensor, before[name]), name
    nlp.config["initialize"]["components"]["ner"] = {"encoder": tiny_encoder}
    nlp.initialize(lambda: make_examples(nlp))
    assert not torch.equal(weights(nlp)["head.weight"], before["head.weight"])
    assert nlp.get_pipe("ner").labels == ("LOC", "ORG", "PER")


# More labels


def test_add_label(trained):
    """A trained component that gets another label learns it, and its old rows and their momentum stay."""
    nlp = copy.deepcopy(trained)
    pipe, optimizer = nlp.get_pipe("ner"), AdamW(3e-3)
    for _ in range(3):
        nlp.update(make_examples(nlp), sgd=optimizer)
    before, momentum = weights(nlp)["head.weight"], head_momentum(pipe)
    assert pipe.add_label("DAY") == 1
    after = weights(nlp)["head.weight"]
    assert torch.equal(after[: len(before)], before) and len(after) == len(before) + 2
    pipe.shim._optimizer.set_parameters(list(pipe.shim.network.trained()))
    assert torch.equal(head_momentum(pipe)[: len(before)], momentum)
    assert not head_momentum(pipe)[len(before) :].any()
    learn_by_heart(nlp, examples_of(nlp, SENTENCES + WEEKDAYS))
    assert entities(nlp("nobody writes Monday")) == [("Monday", "DAY")]
    assert entities(nlp(TEXTS[0])) == entities(trained(TEXTS[0]))


def head_momentum(pipe: Multiner) -> torch.Tensor:
    return pipe.shim._optimizer.state[pipe.shim.network.head.weight]["exp_avg"].clone()


def test_another_optimizer_starts_without_the_momentum_of_the_last(nlp):
    pipe, examples = nlp.get_pipe("ner"), make_examples(nlp)
    for optimizer, steps in ((AdamW(1e-3), 3), (AdamW(1e-3), 1)):
        for _ in range(steps):
            nlp.update(examples, sgd=optimizer)
        assert pipe.shim._optimizer.state[pipe.shim.network.head.weight]["step"].item() == steps


@pytest.mark.parametrize("optimizer", [AdamW(3e-3), Adam(3e-3)], ids=["multiner", "thinc"])
def test_resize(nlp, optimizer):
    """The counterpart of spaCy's `test_no_resize`: labels may come in the middle of training, with any optimizer."""
    pipe, examples = nlp.get_pipe("ner"), make_examples(nlp)
    nlp.update(examples, sgd=optimizer)
    pipe.add_label("DAY")
    losses = [nlp.update(examples, sgd=optimizer)["ner"] for _ in range(10)]
    assert losses[-1] < losses[0]
    assert predict_scores(nlp, ["Ada"]).shape == (1, 9)


# Resumed


def test_resume_training(saved, trained):
    """A loaded pipeline learns a new type from examples alone, as spaCy's `ner` does."""
    nlp = spacy.load(saved)
    assert isinstance(nlp.resume_training(sgd=AdamW(3e-3)), Optimizer)
    learn_by_heart(nlp, examples_of(nlp, SENTENCES + WEEKDAYS))
    assert nlp.pipe_labels["ner"] == ["LOC", "ORG", "PER", "DAY"]
    assert entities(nlp("nobody writes Monday")) == [("Monday", "DAY")]
    assert entities(nlp(TEXTS[0])) == entities(trained(TEXTS[0]))
    again = spacy.blank("en")
    again.add_pipe("multiner", name="ner")
    again.from_bytes(nlp.to_bytes())
    assert [entities(doc) for doc in again.pipe(TEXTS)] == [entities(doc) for doc in nlp.pipe(TEXTS)]


@pytest.mark.parametrize("config", sorted((PROJECT / "configs").glob("*.cfg")), ids=lambda path: path.stem)
def test_a_pipeline_that_a_config_of_ours_trained_can_be_trained_on(config, saved, tmp_path):
    """Its config has settings of training which name others, and spaCy reads the optimizer's by themselves."""
    nlp = spacy.load(saved)
    nlp.config.update({section: load_config(config)[section] for section in ("paths", "system", "training")})
    nlp.to_disk(tmp_path)
    nlp = spacy.load(tmp_path)
    optimizer = nlp.resume_training()
    assert optimizer.learn_rate > 0
    before = predict_scores(nlp, SENTENCES[0][0])
    losses = nlp.update(make_examples(nlp), sgd=optimizer)
    assert 0 < losses["ner"] < 1 and not np.array_equal(predict_scores(nlp, SENTENCES[0][0]), before)


def test_spacy_train_goes_on_from_a_saved_pipeline(saved, tmp_path):
    """`source` in the config, no encoder anywhere, and a type in the corpus that the saved pipeline does not know."""
    corpus = corpus_of(tmp_path, SENTENCES + WEEKDAYS)
    config = write_config(
        tmp_path, {"components.ner": {"source": str(saved)}, "initialize.components.ner": None, "paths.encoder": None}
    )
    peak = {"training.optimizer.learn_rate.peak": 1e-3, "system.epochs": 8, "nlp.lang": "en"}
    _, best = train_config(config, tmp_path / "out", {**corpus, **peak})
    assert best.get_pipe("ner").labels == ("LOC", "ORG", "PER", "DAY")
    assert entities(best("nobody writes Monday")) == [("Monday", "DAY")]
    assert best.config["components"]["ner"]["factory"] == "multiner"


def test_rehearse(saved):
    """Rehearsal alone undoes what contrary examples did to the predictions."""
    nlp = spacy.load(saved, config={"components.ner.model.precision": "float32"})
    optimizer = nlp.resume_training(sgd=AdamW(1e-3))
    unannotated = [Example.from_dict(nlp.make_doc(text), {}) for text in TEXTS]
    wanted = [entities(doc) for doc in nlp.pipe(TEXTS)]
    assert nlp.get_pipe("ner").rehearse(unannotated, sgd=optimizer)["ner"] == pytest.approx(0.0, abs=1e-6)
    nothing = [Example(example.predicted, make_doc(nlp, SENTENCES[0][0], [])) for example in make_examples(nlp)[:1]]
    for _ in range(30):
        nlp.update(nothing, sgd=optimizer)
    assert entities(nlp(TEXTS[0])) == []
    far = nlp.get_pipe("ner").rehearse(unannotated)["ner"]
    losses = [nlp.rehearse(unannotated, sgd=optimizer)["ner"]]
    assert losses[0] == pytest.approx(far, rel=1e-3)
    while [entities(doc) for doc in nlp.pipe(TEXTS)] != wanted and len(losses) < 400:
        losses += [nlp.rehearse(unannotated, sgd=optimizer)["ner"] for _ in range(20)]
    assert losses[-1] < far / 20
    assert [entities(doc) for doc in nlp.pipe(TEXTS)] == wanted


def test_rehearsal_leaves_new_labels_free(saved):
    nlp = spacy.load(saved)
    nlp.resume_training()
    pipe = nlp.get_pipe("ner")
    pipe.add_label("DAY")
    pipe.shim.network.head.bias.data[-2:] = 50.0
    words = [Example.from_dict(nlp.make_doc(TEXTS[0]), {})]
    assert pipe.rehearse(words)["ner"] == pytest.approx(0.0, abs=1e-6)
    gradient = pipe.shim.network.head.weight.grad
    assert not gradient[-2:].any()


def test_the_gradient_of_rehearsal_is_that_of_the_divergence(saved):
    nlp = spacy.load(saved)
    nlp.resume_training()
    for _ in range(3):
        nlp.update(examples_of(nlp, WEEKDAYS), sgd=AdamW(1e-2))
    pipe = nlp.get_pipe("ner")
    examples = examples_of(nlp, [(["Ada", " ", "lives"], []), (["Alan"], [])])
    loss = pipe.rehearse(examples)["ner"]
    rows = [0, 2, 3]  # not the blank
    wanted = np.concatenate(pipe._rehearsal_model.predict([example.predicted for example in examples]))[rows]
    found = torch.tensor(np.concatenate(pipe.model.predict([each.predicted for each in examples]))[rows])
    found.requires_grad_()
    expected = torch.nn.functional.kl_div(
        found[:, : wanted.shape[1]].log_softmax(-1), torch.tensor(wanted).softmax(-1), reduction="batchmean"
    )
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-4)
    torch.testing.assert_close(pipe.shim.network.head.bias.grad, found.grad.sum(0), rtol=1e-3, atol=1e-6)


def test_without_resuming_there_is_nothing_to_rehearse(trained):
    before = weights(trained)
    assert trained.rehearse(make_examples(trained), sgd=AdamW(1.0)) == {"ner": 0.0}
    assert torch.equal(weights(trained)["head.weight"], before["head.weight"])


# Frozen, annotating, sourced, switched off


def test_frozen_components_stay_and_annotating_ones_are_heard(saved, tiny_encoder, tmp_path, trained):
    """One pipeline by `spacy train`: "ner" is sourced, frozen and annotates; "days" is trained beside it."""
    corpus = corpus_of(tmp_path, WEEKDAYS)
    config = write_config(
        tmp_path,
        {
            "components.ner": {"source": str(saved)},
            "components.days": {"factory": "multiner", "spans_key": "days", "overwrite_ents": True},
            "initialize.components": {"days": {"encoder": tiny_encoder}},
            "training.frozen_components": ["ner"],
            "training.annotating_components": ["ner"],
        },
        ["ner", "days"],
    )
    peak = {"training.optimizer.learn_rate.peak": 3e-3, "system.epochs": 8, "nlp.lang": "en"}
    last, _ = train_config(config, tmp_path / "out", {**corpus, **peak})
    for name, tensor in weights(last).items():
        assert torch.equal(tensor, weights(trained)[name]), name
    text = " ".join(WEEKDAYS[0][0])
    doc = last(text)
    assert [(span.text, span.label_) for span in doc.spans["ner"]] == entities(trained(text))
    assert [(span.text, span.label_) for span in doc.spans["days"]] == entities(doc)
    assert ("Monday", "DAY") in entities(doc)
    assert last.pipe_labels == {"ner": ["LOC", "ORG", "PER"], "days": ["DAY", "LOC", "PER"]}


class Listener:
    """A component that remembers the entities which it is given in training."""

    def __init__(self) -> None:
        self.heard: list[list[tuple[str, str]]] = []

    def __call__(self, doc: Doc) -> Doc:
        return doc

    def update(self, examples: list[Example], **options: Any) -> None:
        self.heard += [entities(example.predicted) for example in examples]


@Language.factory("test_listener")
def make_listener(nlp: Language, name: str) -> Listener:
    return Listener()


def test_what_is_annotated_in_training_is_seen_by_the_components_after(trained):
    nlp = copy.deepcopy(trained)
    listener = nlp.add_pipe("test_listener")
    before = weights(nlp)
    examples = make_examples(nlp)
    losses = nlp.update(examples, sgd=AdamW(1e-2), annotates=["ner"], exclude=["ner"])
    assert losses == {}
    assert listener.heard == [entities(example.reference) for example in examples]
    assert torch.equal(weights(nlp)["head.weight"], before["head.weight"])
    assert not any(example.predicted.ents for example in examples)


def test_annotating_while_it_is_trained_changes_nothing_in_what_is_learnt(tiny_encoder):
    """The steps of `spacy train`: gradients first, then annotation, and only then the weights move."""
    results = []
    for annotates in ([], ["ner"]):
        nlp = blank(tiny_encoder)
        fix_random_seed(0)
        nlp.initialize(lambda nlp=nlp: make_examples(nlp))
        optimizer = AdamW(1e-2)
        for _ in range(3):
            nlp.update(make_examples(nlp), sgd=False, annotates=annotates)
            nlp.get_pipe("ner").finish_update(optimizer)
        results.append((predict_scores(nlp, SENTENCES[0][0]), weights(nlp)))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    for name, tensor in results[0][1].items():
        assert torch.equal(tensor, results[1][1][name]), name


def test_a_component_is_sourced_from_another_pipeline(trained):
    source = copy.deepcopy(trained)
    nlp = spacy.blank("xx")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("ner", source=source, name="entities")
    assert nlp.pipe_names == ["sentencizer", "entities"]
    assert [entities(doc) for doc in nlp.pipe(TEXTS)] == [entities(doc) for doc in trained.pipe(TEXTS)]
    nlp.initialize(lambda: make_examples(nlp))
    assert entities(nlp(TEXTS[0])) == entities(trained(TEXTS[0]))
    assert nlp.config["components"]["entities"] == trained.config["components"]["ner"]


def test_components_are_switched_off_and_set_up_by_the_call(trained, monkeypatch):
    nlp = copy.deepcopy(trained)
    with nlp.select_pipes(disable="ner"):
        assert nlp(TEXTS[0]).ents == ()
    assert next(nlp.pipe([TEXTS[0]], disable=["ner"])).ents == ()
    pairs = list(nlp.pipe([(text, number) for number, text in enumerate(TEXTS)], as_tuples=True))
    assert [(entities(doc), number) for doc, number in pairs] == [
        (entities(doc), number) for number, doc in enumerate(trained.pipe(TEXTS))
    ]
    sizes = []
    predict = Multiner.predict
    monkeypatch.setattr(Multiner, "predict", lambda self, docs: sizes.append(len(docs)) or predict(self, docs))
    assert len(list(nlp.pipe(TEXTS, component_cfg={"ner": {"batch_size": 3}}))) == len(TEXTS)
    assert sizes == [3, 3, 1]
    rates = []
    monkeypatch.setattr(type(nlp.get_pipe("ner").shim.network), "set_dropout", lambda self, rate: rates.append(rate))
    nlp.update(make_examples(nlp), sgd=AdamW(1e-3), drop=0.1, component_cfg={"ner": {"drop": 0.3}})
    assert rates == [0.3]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda nlp: pickle.loads(pickle.dumps(nlp))], ids=["deep", "pickle"])
def test_copies_predict_the_same_and_learn_on_their_own(trained, copied):
    nlp = copied(trained)
    assert [(entities(doc), scores(doc)) for doc in nlp.pipe(TEXTS)] == [
        (entities(doc), scores(doc)) for doc in trained.pipe(TEXTS)
    ]
    assert trained.get_pipe("ner").shim._optimizer and not nlp.get_pipe("ner").shim._optimizer
    before = weights(trained)
    nlp.update(make_examples(nlp), sgd=AdamW(1e-2))
    assert not torch.equal(weights(nlp)["head.weight"], before["head.weight"])
    for name, tensor in weights(trained).items():
        assert torch.equal(tensor, before[name]), name


# What is not annotated


@pytest.mark.parametrize(
    "annotation", [{"entities": ["B-PER", "L-PER", "-", "-", "-"]}, {"entities": ["B-PER", "L-PER", None, None, None]}]
)
def test_incomplete_data(nlp, annotation):
    """Words without annotation are masked: they are not learnt as 'no entity'."""
    pipe = nlp.get_pipe("ner")
    example = Example.from_dict(Doc(nlp.vocab, words=SENTENCES[0][0]), annotation)
    _, (gradient,) = pipe.get_loss([example], pipe.model.predict([example.predicted]))
    assert gradient.any(axis=1).tolist() == [True, True, False, False, False]


def test_examples_without_annotation_teach_nothing(nlp):
    before = weights(nlp)
    empty = [Example.from_dict(nlp.make_doc(text), {}) for text in TEXTS]
    for _ in range(3):
        assert nlp.update(empty, sgd=AdamW(1e-2)) == {"ner": 0.0}
    for name, tensor in weights(nlp).items():
        assert torch.equal(tensor, before[name]), name
    # Said to be without entity is another thing than not said.
    outside = [Example.from_dict(nlp.make_doc(TEXTS[0]), {"entities": []})]
    assert nlp.update(outside, sgd=AdamW(1e-2))["ner"] > 0


def test_examples_without_annotation_beside_others_count_for_nothing(nlp):
    pipe = nlp.get_pipe("ner")
    unknown = [Example.from_dict(nlp.make_doc(text), {}) for text in TEXTS]
    assert pipe.update(make_examples(nlp) + unknown)["ner"] == pytest.approx(pipe.update(make_examples(nlp))["ner"])

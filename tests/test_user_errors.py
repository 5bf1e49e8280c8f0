"""What users can put right is said in a sentence with the remedy, and with the lines that a config lacks."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import spacy
import torch
from huggingface_hub import constants, file_download
from spacy.cli.train import train
from spacy.language import Language
from spacy.training import Example

from multiner.encoder import EncoderNotFound, EncoderNotUsable, load_encoder
from multiner.errors import UserError
from multiner.optimizer import AdamW

from .conftest import SENTENCES, make_examples
from .test_life_cycle import corpus_of, write_config

ENCODER_LINES = r'\[initialize.components.people\]\nencoder = "xlm-roberta-base"'


@pytest.fixture
def untrained() -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("multiner", name="people")
    return nlp


def test_no_encoder(untrained):
    with pytest.raises(
        UserError, match=f"'people' has no encoder to start from. Add to the config:\n\n{ENCODER_LINES}"
    ):
        untrained.initialize(lambda: make_examples(untrained))


def test_no_label(untrained, tiny_encoder):
    untrained.config["initialize"]["components"]["people"] = {"encoder": tiny_encoder}
    lines = r'\[initialize.components.people\]\nlabels = \["PER", "LOC", "ORG"\]'
    with pytest.raises(UserError, match=f"holds no entity. Check it, or add to the config:\n\n{lines}"):
        untrained.initialize(lambda: [Example.from_dict(untrained.make_doc("Ada"), {})])


def test_untrained_pipe_is_refused(untrained):
    uses = [
        lambda: untrained("Ada"),
        lambda: list(untrained.pipe(["Ada"])),
        lambda: untrained.update(make_examples(untrained), sgd=AdamW(1e-3)),
        lambda: untrained.evaluate(make_examples(untrained)),
    ]
    for use in uses:
        with pytest.raises(UserError, match=rf"E109.*It has no weights: train or load.*\n\n{ENCODER_LINES}"):
            use()


class Hub(BaseHTTPRequestHandler):
    """A hub that has nothing, and says so as the Hugging Face hub does."""

    def do_HEAD(self) -> None:
        problem = {"gated": "GatedRepo", "revision": "RevisionNotFound"}.get(self.path.split("/")[1], "RepoNotFound")
        self.send_response(403 if problem == "GatedRepo" else 404)
        self.send_header("X-Error-Code", problem)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(
        constants.ENDPOINT, f"http://127.0.0.1:{server.server_port}"
    )
    monkeypatch.setattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    Thread(target=server.serve_forever, daemon=True).start()
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("xlm-robertta-base", "it has no model of this name. Check the name, log in if it is private"),
        ("gated/model", "it is only for those who were given access. Ask for access and log in there"),
        ("revision/model", "the model has no such revision. Check `revision`"),
        ("assets/my/encoder", "no model can have such a name there. Check the name or the path"),
    ],
)
def test_a_name_that_the_hub_does_not_know_is_told_from_other_reasons(hub, name, reason):
    with pytest.raises(EncoderNotFound, match=f"'{name}' is not a folder here, and it could not be had .*: {reason}"):
        load_encoder(name)


def test_a_hub_that_cannot_be_reached_is_told_from_a_wrong_name(no_network):
    message = "'nobody/nothing' is not a folder here.* cannot be reached from here.*or give the path of a folder"
    with pytest.raises(EncoderNotFound, match=message):
        load_encoder("nobody/nothing")


def test_an_encoder_that_is_nowhere_is_named_with_the_lines_of_the_config(untrained, no_network):
    untrained.config["initialize"]["components"]["people"] = {"encoder": "nobody/nothing"}
    with pytest.raises(EncoderNotFound, match=rf"'nobody/nothing' .* has it:\n\n{ENCODER_LINES}"):
        untrained.initialize(lambda: make_examples(untrained))


def test_a_folder_that_holds_no_encoder_is_named(tmp_path):
    with pytest.raises(EncoderNotUsable, match=f"'{tmp_path}' does not hold a usable encoder"):
        load_encoder(str(tmp_path))


def test_a_loss_that_is_no_number_stops_training_with_the_setting_to_lower(nlp):
    with torch.no_grad():
        nlp.get_pipe("ner").shim.network.head.weight.fill_(float("nan"))
    before = nlp.get_pipe("ner").shim.network.head.bias.clone()
    with pytest.raises(UserError, match=r"E910.*'ner'.*about a third.*\n\n\[training.optimizer.learn_rate\]\npeak = "):
        nlp.update(make_examples(nlp), sgd=AdamW(1e-3))
    assert torch.equal(nlp.get_pipe("ner").shim.network.head.bias, before)


def test_spacy_train_stops_at_a_loss_that_is_no_number(tiny_encoder, tmp_path, capsys):
    corpus = corpus_of(tmp_path, SENTENCES)
    overrides = {**corpus, "paths.encoder": tiny_encoder, "training.optimizer.learn_rate.peak": 1e30}
    with pytest.raises(UserError, match=r"learn_rate\]\npeak = "):
        train(write_config(tmp_path, {}), tmp_path / "out", overrides=overrides)
    assert "Aborting and saving the final best model" in capsys.readouterr().out


def test_an_error_of_the_model_is_raised_or_goes_to_the_error_handler(saved, monkeypatch):
    """As with spaCy's trainable components: without a handler nothing is hidden, with one the other batches go on."""
    nlp = spacy.load(saved)
    shim = nlp.get_pipe("ner").shim
    predict = shim._predict

    def fail(network, docs):
        if any(doc.text == "nobody" for doc in docs):
            raise RuntimeError("out of memory")
        return predict(network, docs)

    monkeypatch.setattr(shim, "_predict", fail)
    texts = ["Ada Lovelace", "London", "nobody", "Grace Hopper", "Alan Turing"]
    with pytest.raises(RuntimeError, match="out of memory"):
        list(nlp.pipe(texts))
    heard = []
    nlp.set_error_handler(lambda name, pipe, docs, error: heard.append((name, [doc.text for doc in docs], str(error))))
    docs = list(nlp.pipe(texts, batch_size=2))
    assert [doc.text for doc in docs] == ["Ada Lovelace", "London", "Alan Turing"]
    assert heard == [("ner", ["nobody", "Grace Hopper"], "out of memory")]

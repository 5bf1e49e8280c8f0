"""A pipeline for measurements, made of an encoder's tokenizer and nothing else of it."""

import json
from pathlib import Path

import spacy
import torch
from typer.testing import CliRunner

from multiner.encoder import load_tokenizer
from multiner.small_pipeline import HEADS, LABELS, LAYERS, WIDTH, make_small_pipeline

from .conftest import PROJECT, SENTENCES


def test_it_cuts_as_the_encoder_does_with_a_network_of_its_own(tiny_encoder, tmp_path, monkeypatch):
    config = json.loads((Path(tiny_encoder) / "config.json").read_text())
    large = tmp_path / "large"
    large.mkdir()
    for file in Path(tiny_encoder).iterdir():
        (large / file.name).symlink_to(file)
    (large / "config.json").unlink()
    # Weights that do not fit this would be refused if they were read.
    larger = {"num_hidden_layers": 7, "hidden_size": 96, "num_attention_heads": 6}
    (large / "config.json").write_text(json.dumps({**config, **larger}))
    monkeypatch.syspath_prepend(PROJECT / "scripts")
    import benchmark

    arguments = ["small-pipeline", str(tmp_path / "small"), "--encoder", str(large)]
    result = CliRunner().invoke(benchmark.app, arguments)
    assert result.exit_code == 0, result.output
    nlp = spacy.load(tmp_path / "small")
    pipe = nlp.get_pipe("ner")
    assert pipe.labels == LABELS
    module = pipe.shim.network.encoder
    found = module.config
    assert (found.num_hidden_layers, found.hidden_size, found.num_attention_heads) == (LAYERS, WIDTH, HEADS)
    assert found.vocab_size == config["vocab_size"]
    tokenizer, _ = load_tokenizer(tiny_encoder)
    for words, _ in SENTENCES:
        doc = nlp(" ".join(words))
        cut = [tokenizer.encode([word.text], is_pretokenized=True, add_special_tokens=False).ids for word in doc]
        assert pipe.shim.piece_texts(doc) == [list(map(tokenizer.id_to_token, pieces)) for pieces in cut]


def test_the_seed_decides_the_weights(tiny_encoder):
    def weights(seed: int) -> list[torch.Tensor]:
        network = make_small_pipeline(Path(tiny_encoder), seed).get_pipe("ner").shim.network
        return list(network.state_dict().values())

    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    one, again, other = weights(1), weights(1), weights(2)
    assert torch.rand(1) == expected  # chance elsewhere is left alone
    assert all(map(torch.equal, one, again))
    assert not all(map(torch.equal, one, other))


def test_a_folder_without_an_encoder_is_named(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(PROJECT / "scripts")
    import benchmark

    arguments = ["small-pipeline", str(tmp_path / "small"), "--encoder", str(tmp_path / "none")]
    result = CliRunner().invoke(benchmark.app, arguments)
    assert result.exit_code == 1 and "There is no encoder in" in result.output
    assert list(tmp_path.iterdir()) == []

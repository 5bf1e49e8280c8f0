"""Schedule, batches, and training by `spacy train`."""

import json
import os
import random
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import spacy
import torch
from spacy.cli.train import train
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.util import load_config, registry

from multiner.docbins import count_steps
from multiner.network import Dropout
from multiner.optimizer import AdamW, step_adamw
from multiner.training import length_grouped_batches, warmup_linear

from .conftest import PROJECT, SENTENCES, starting_from, write_corpus


def test_the_learning_rate_rises_then_falls_to_zero():
    rates = list(islice(warmup_linear(1.0, 0.25, 8), 9))
    assert rates[1] == max(rates) == 1.0
    assert rates[0] == 0.5
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[8] == 0.0


@pytest.mark.parametrize(("steps", "peak"), [(1600, 1.0), (800, 1.0), (400, 2**0.5), (200, 2.0), (10, 2.0)])
def test_few_steps_are_made_up_for_by_a_higher_rate(steps, peak):
    assert max(islice(warmup_linear(1.0, 0.1, steps, 800, 2.0), steps)) == pytest.approx(peak)


def test_batches_hold_every_example_once_and_like_with_like():
    nlp = spacy.blank("xx")
    random.seed(0)
    examples = [Example(doc, doc) for doc in (Doc(nlp.vocab, words=["w"] * random.randint(1, 30)) for _ in range(203))]
    batches = list(length_grouped_batches(10)(examples))
    assert sorted(id(example) for batch in batches for example in batch) == sorted(map(id, examples))
    assert sorted(map(len, batches))[:2] == [3, 10]
    filled = sum(max(len(example) for example in batch) * len(batch) for batch in batches)
    assert filled < 1.15 * sum(map(len, examples))
    # Short ones first would be a curriculum; the order of batches is random.
    lengths = [len(batch[0]) for batch in batches]
    assert lengths not in (sorted(lengths), sorted(lengths, reverse=True))


def test_steps_are_counted_from_the_corpus(tmp_path):
    nlp = spacy.blank("xx")
    DocBin(docs=[Doc(nlp.vocab, words=["a"])] * 33).to_disk(tmp_path / "train.spacy")
    assert count_steps(tmp_path / "train.spacy", batch_size=16, epochs=1) == 3
    assert count_steps(tmp_path, batch_size=16, epochs=2.5) == 8
    with pytest.raises(FileNotFoundError, match=r"There is no corpus at .*convert"):
        count_steps(tmp_path / "absent.spacy", batch_size=16, epochs=1)


def test_the_head_learns_faster_and_decay_spares_biases_and_the_embedding():
    parameters = {name: torch.nn.Parameter(torch.ones(2, 2)) for name in ("encoder.w", "head.w", "embedding.rows")}
    parameters["encoder.bias"] = torch.nn.Parameter(torch.ones(2))
    for parameter in parameters.values():
        parameter.grad = torch.zeros_like(parameter)
    step_adamw(AdamW(0.1, head_factor=3.0, weight_decay=0.5), None, list(parameters.items()))
    moved = {name: round(1 - parameter.flatten()[0].item(), 6) for name, parameter in parameters.items()}
    assert moved == {"encoder.w": 0.05, "head.w": 0.15, "embedding.rows": 0.0, "encoder.bias": 0.0}


def test_lower_layers_learn_more_slowly_if_told_to():
    names = ["embedding.rows", "encoder.embeddings.position.weight", "encoder.encoder.layer.0.output.weight"]
    names += ["encoder.encoder.layer.1.output.weight", "head.weight", "mixing"]
    parameters = [(name, torch.nn.Parameter(torch.zeros(2, 2))) for name in names]
    for _, parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    step_adamw(AdamW(0.1, head_factor=3.0, layer_decay=0.5, grad_clip=0.0), None, parameters)
    moved = [round(-parameter[0, 0].item(), 6) for _, parameter in parameters]
    assert moved == [0.025, 0.025, 0.05, 0.1, 0.3, 0.3]
    with pytest.raises(ValueError, match=r"layer_decay = 0\.0 must be above 0 and at most 1"):
        AdamW(0.1, layer_decay=0.0)


def test_gradients_are_clipped_together():
    parameters = [(name, torch.nn.Parameter(torch.zeros(4))) for name in ("encoder.a", "encoder.b")]
    for _, parameter in parameters:
        parameter.grad = torch.full((4,), 10.0)
    step_adamw(AdamW(0.1, grad_clip=1.0), None, parameters)
    assert torch.cat([parameter.grad for _, parameter in parameters]).norm().item() == pytest.approx(1.0, rel=1e-4)


def test_dropout_zeroes_the_given_share_and_keeps_the_mean():
    torch.manual_seed(0)
    dropout = Dropout(0.3).train()
    values = dropout(torch.ones(100_000))
    assert (values == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert values.mean().item() == pytest.approx(1.0, abs=0.02)
    assert torch.equal(dropout.eval()(torch.ones(5)), torch.ones(5))
    ones = torch.ones(1001, requires_grad=True)
    dropped = dropout.train()(ones)
    dropped.sum().backward()
    assert torch.equal(ones.grad, dropped.detach())


def test_spacy_train_runs_a_config_of_the_project_as_it_stands(tiny_encoder, tmp_path, capsys):
    overrides = {
        **write_corpus(tmp_path, SENTENCES, times=8),
        **starting_from(tiny_encoder, frozen_layers=1),
        "system.epochs": 8,
        "system.batch_size": 16,
        "training.optimizer.learn_rate.peak": 3e-3,
        "training.logger.output": str(tmp_path / "log" / "training.jsonl"),
    }
    train(PROJECT / "configs/e5-small.cfg", tmp_path / "out", overrides=overrides)
    printed = capsys.readouterr().out
    lines = [line.split() for line in printed.splitlines() if line.split() and line.split()[0].isdigit()]
    # One line after the first step, one after each epoch.
    assert [line[1] for line in lines] == ["0", "2", "4", "6", "8", "10", "12", "14", "16"]
    assert "Words/s" in printed
    logged = [json.loads(line) for line in (tmp_path / "log" / "training.jsonl").read_text().splitlines()]
    assert [row["Step"] for row in logged] == list(range(0, 17, 2))
    assert all(row["Words/s"] > 0 for row in logged[1:])
    best = spacy.load(tmp_path / "out" / "model-best")
    assert best.meta["performance"]["ents_f"] == pytest.approx(max(float(line[5]) for line in lines) / 100, abs=1e-4)
    assert best.meta["performance"]["ents_f"] > 0.9
    assert best("Ada Lovelace lives in London").ents[0].label_ == "PER"
    assert not list(Path(tmp_path / "out").rglob("*.pkl"))


@pytest.mark.parametrize(
    ("sentences", "epochs", "batch_size", "steps"), [(300, 12, 8, 456), (1500, 12, 8, 2256), (1501, 5, 16, 470)]
)
def test_configs_go_by_the_number_of_sentences(sentences, epochs, batch_size, steps, tmp_path):
    DocBin(docs=[Doc(spacy.blank("xx").vocab, words=["a"])] * sentences).to_disk(tmp_path / "train.spacy")
    training = resolve(tmp_path / "train.spacy")
    assert training["max_steps"] == steps
    assert training["eval_frequency"] == steps / epochs
    assert steps == epochs * -(-sentences // batch_size)


def test_configs_go_by_a_name_or_by_numbers_too(tmp_path):
    DocBin(docs=[Doc(spacy.blank("xx").vocab, words=["a"])] * 640).to_disk(tmp_path / "train.spacy")
    sizes = {"hundreds": 12 * 80, "thousands": 5 * 40, "hundred_thousands": 2 * 20}
    for name, steps in sizes.items():
        assert resolve(tmp_path / "train.spacy", **{"system.size": name})["max_steps"] == steps
    numbers = {"system.epochs": 3, "system.batch_size": 64}
    assert resolve(tmp_path / "train.spacy", **numbers)["max_steps"] == 30
    assert resolve(tmp_path / "train.spacy", **{"training.batcher.size": 64})["max_steps"] == 12 * 10


def resolve(corpus: Path, **overrides: object) -> dict[str, Any]:
    config = load_config(PROJECT / "configs/e5-small.cfg", overrides={"paths.train": str(corpus), **overrides})
    resolved: dict[str, Any] = registry.resolve(config.interpolate()["training"])
    return resolved


def test_larger_encoders_learn_more_slowly():
    names = ("e5-small", "xlm-roberta-base", "xlm-roberta-large")
    rates = [load_config(PROJECT / f"configs/{name}.cfg")["training"]["optimizer"]["learn_rate"] for name in names]
    assert [rate["peak"] for rate in rates] == [1e-4, 5e-5, 2e-5]


@pytest.mark.parametrize("said", [None, "1024"])
def test_code_for_products_that_do_not_come_up_again_is_not_kept_unless_one_says_so(said):
    names = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    script = f"import os, multiner.model; print([os.environ[name] for name in {names}])"
    told = {} if said is None else dict.fromkeys(names, said)
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment | told, capture_output=True, text=True, check=True
    )
    assert result.stdout == f"{[said or '64'] * 2}\n"
